/* See codec.h. Each library does one member; going from one to the next is done here. */
#include "runner/ops/codec.h"
#include "fs/base/error.h"

#include <bzlib.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

struct hd_codec_reader {
    enum hd_codec codec;
    bool open;   /* the library has a member under way */
    bool inside; /* ... and has seen some of it */
    union {
        z_stream z;
        bz_stream bz;
        ZSTD_DStream *zs;
    };
};

static const struct {
    const char *ending;
    enum hd_codec codec;
} endings[] = {
    {".gz", HD_CODEC_ZLIB},
    {".deflate", HD_CODEC_ZLIB},
    {".bz2", HD_CODEC_BZIP2},
    {".zst", HD_CODEC_ZSTD},
    {".lz4", HD_CODEC_UNKNOWN},
    {".snappy", HD_CODEC_UNKNOWN},
    {".lzo_deflate", HD_CODEC_UNKNOWN},
    {".lzo", HD_CODEC_UNKNOWN},
    {".xz", HD_CODEC_UNKNOWN},
};

enum hd_codec hd_codec_of_name(const char *path)
{
    size_t size = strlen(path);
    for (size_t i = 0; i < HD_ARRAY_COUNT(endings); i++) {
        size_t n = strlen(endings[i].ending);
        if (size > n && memcmp(path + size - n, endings[i].ending, n) == 0) {
            return endings[i].codec;
        }
    }
    return HD_CODEC_PLAIN;
}

/* Makes the library ready for the next member. */
static int open_member(struct hd_codec_reader *r)
{
    bool ok = true;
    switch (r->codec) {
    case HD_CODEC_ZLIB:
        r->z = (z_stream){0};
        ok = inflateInit2(&r->z, 15 + 32) == Z_OK; /* gzip or zlib, told by the header */
        break;
    case HD_CODEC_BZIP2:
        r->bz = (bz_stream){0};
        ok = BZ2_bzDecompressInit(&r->bz, 0, 0) == BZ_OK;
        break;
    case HD_CODEC_ZSTD:
        r->zs = ZSTD_createDStream();
        ok = r->zs != NULL;
        break;
    case HD_CODEC_PLAIN:
    case HD_CODEC_UNKNOWN:
        return -EINVAL;
    }
    r->open = ok;
    return ok ? 0 : -ENOMEM;
}

static void close_member(struct hd_codec_reader *r)
{
    if (!r->open) {
        return;
    }
    if (r->codec == HD_CODEC_ZLIB) {
        inflateEnd(&r->z);
    } else if (r->codec == HD_CODEC_BZIP2) {
        BZ2_bzDecompressEnd(&r->bz);
    } else {
        ZSTD_freeDStream(r->zs);
    }
    r->open = false;
    r->inside = false;
}

int hd_codec_reader_new(enum hd_codec codec, struct hd_codec_reader **ret)
{
    struct hd_codec_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->codec = codec;
    int err = open_member(r);
    if (err < 0) {
        free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void hd_codec_reader_free(struct hd_codec_reader *r)
{
    if (r != NULL) {
        close_member(r);
        free(r);
    }
}

/* ---- one call of a library: 1 at the end of a member, 0, or an error ---- */

static int damaged(const char *format, const char *why)
{
    return hd_fail(-HD_E_CORRUPT, "damaged %s data: %s", format, why);
}

static int step_zlib(struct hd_codec_reader *r, const uint8_t *in, size_t in_size, uint8_t *out,
                     size_t out_size, size_t *ret_in, size_t *ret_out)
{
    r->z.next_in = (Bytef *)(uintptr_t)in;
    r->z.avail_in = (uInt)in_size;
    r->z.next_out = out;
    r->z.avail_out = (uInt)out_size;
    int rc = inflate(&r->z, Z_NO_FLUSH);
    *ret_in = in_size - r->z.avail_in;
    *ret_out = out_size - r->z.avail_out;
    if (rc == Z_OK || rc == Z_BUF_ERROR || rc == Z_STREAM_END) {
        return rc == Z_STREAM_END;
    }
    return rc == Z_MEM_ERROR ? -ENOMEM
                             : damaged("gzip", r->z.msg != NULL ? r->z.msg : "unusable header");
}

static int step_bzip2(struct hd_codec_reader *r, const uint8_t *in, size_t in_size, uint8_t *out,
                      size_t out_size, size_t *ret_in, size_t *ret_out)
{
    r->bz.next_in = (char *)(uintptr_t)in;
    r->bz.avail_in = (unsigned)in_size;
    r->bz.next_out = (char *)out;
    r->bz.avail_out = (unsigned)out_size;
    int rc = BZ2_bzDecompress(&r->bz);
    *ret_in = in_size - r->bz.avail_in;
    *ret_out = out_size - r->bz.avail_out;
    if (rc == BZ_OK || rc == BZ_STREAM_END) {
        return rc == BZ_STREAM_END;
    }
    if (rc == BZ_MEM_ERROR) {
        return -ENOMEM;
    }
    return damaged("bzip2",
                   rc == BZ_DATA_ERROR_MAGIC ? "no bzip2 header" : "checksum or structure");
}

static int step_zstd(struct hd_codec_reader *r, const uint8_t *in, size_t in_size, uint8_t *out,
                     size_t out_size, size_t *ret_in, size_t *ret_out)
{
    ZSTD_inBuffer from = {.src = in, .size = in_size};
    ZSTD_outBuffer to = {.dst = out, .size = out_size};
    size_t rc = ZSTD_decompressStream(r->zs, &to, &from);
    *ret_in = from.pos;
    *ret_out = to.pos;
    return ZSTD_isError(rc) ? damaged("zstd", ZSTD_getErrorName(rc)) : rc == 0;
}

/* gzip ignores zeros behind a member (tape blocks); so does this. */
static size_t padding(const struct hd_codec_reader *r, const uint8_t *in, size_t size)
{
    size_t n = 0;
    while (r->codec == HD_CODEC_ZLIB && n < size && in[n] == 0) {
        n++;
    }
    return n;
}

int hd_codec_read(struct hd_codec_reader *r, const uint8_t *in, size_t in_size, uint8_t *out,
                  size_t out_size, size_t *ret_in, size_t *ret_out)
{
    size_t skipped = 0;
    *ret_in = *ret_out = 0;
    in_size = HD_MIN(in_size, (size_t)1 << 30);
    out_size = HD_MIN(out_size, (size_t)1 << 30);
    if (!r->open) { /* between members */
        skipped = padding(r, in, in_size);
        *ret_in = skipped;
        if (skipped == in_size) {
            return 0;
        }
        int err = open_member(r);
        if (err < 0) {
            return err;
        }
    }
    int (*step)(struct hd_codec_reader *, const uint8_t *, size_t, uint8_t *, size_t, size_t *,
                size_t *) = r->codec == HD_CODEC_ZLIB    ? step_zlib
                            : r->codec == HD_CODEC_BZIP2 ? step_bzip2
                                                         : step_zstd;
    r->inside = r->inside || skipped < in_size;
    int rc = step(r, in + skipped, in_size - skipped, out, out_size, ret_in, ret_out);
    *ret_in += skipped;
    if (rc == 1) {
        close_member(r);
    }
    return rc < 0 ? rc : 0;
}

int hd_codec_end(const struct hd_codec_reader *r)
{
    return r->inside ? hd_fail(-HD_E_CORRUPT, "compressed data ends early") : 0;
}
