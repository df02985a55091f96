/* Reading compressed input as a stream, in pieces of any size. */
#include "runner/ops/codec.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <bzlib.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

static void add_gzip(struct hd_buf *out, const char *text)
{
    z_stream z = {0};
    ATF_REQUIRE_EQ(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    hd_buf_reserve(out, strlen(text) + 1000);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = out->data + out->size;
    z.avail_out = (uInt)(out->capacity - out->size);
    ATF_REQUIRE_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size += z.total_out;
    deflateEnd(&z);
}

static void add_bzip2(struct hd_buf *out, const char *text)
{
    unsigned n = (unsigned)strlen(text) + 1000;
    hd_buf_reserve(out, n);
    ATF_REQUIRE_EQ(BZ2_bzBuffToBuffCompress((char *)out->data + out->size, &n,
                                            (char *)(uintptr_t)text, (unsigned)strlen(text), 1, 0,
                                            0),
                   BZ_OK);
    out->size += n;
}

static void add_zstd(struct hd_buf *out, const char *text)
{
    size_t room = ZSTD_compressBound(strlen(text));
    hd_buf_reserve(out, room);
    size_t n = ZSTD_compress(out->data + out->size, room, text, strlen(text), 3);
    ATF_REQUIRE(!ZSTD_isError(n));
    out->size += n;
}

/* Reads everything, `step` bytes in and out at a time. */
static int read_all(enum hd_codec codec, const struct hd_buf *in, size_t step, struct hd_buf *out)
{
    struct hd_codec_reader *r;
    size_t at = 0;
    int err = 0;
    ATF_REQUIRE_EQ(hd_codec_reader_new(codec, &r), 0);
    hd_buf_clear(out);
    for (;;) {
        size_t took, gave;
        hd_buf_reserve(out, step);
        err = hd_codec_read(r, in->data + at, HD_MIN(step, in->size - at), out->data + out->size,
                            step, &took, &gave);
        at += took;
        out->size += gave;
        if (err < 0 || (at == in->size && took + gave == 0)) {
            break;
        }
    }
    err = err == 0 ? hd_codec_end(r) : err;
    hd_codec_reader_free(r);
    return err;
}

static const struct {
    enum hd_codec codec;
    void (*add)(struct hd_buf *out, const char *text);
} all[] = {{HD_CODEC_ZLIB, add_gzip}, {HD_CODEC_BZIP2, add_bzip2}, {HD_CODEC_ZSTD, add_zstd}};

ATF_TC_WITHOUT_HEAD(members_follow_each_other);
ATF_TC_BODY(members_follow_each_other, tc)
{
    static const size_t steps[] = {1, 7, 100000};
    for (size_t i = 0; i < HD_ARRAY_COUNT(all); i++) {
        struct hd_buf in = {0}, out = {0};
        all[i].add(&in, "one\ntwo\n");
        all[i].add(&in, "");
        all[i].add(&in, "three");
        for (size_t s = 0; s < HD_ARRAY_COUNT(steps); s++) {
            ATF_REQUIRE_EQ_MSG(read_all(all[i].codec, &in, steps[s], &out), 0, "codec %d step %zu",
                               all[i].codec, steps[s]);
            ATF_CHECK_STREQ(hd_buf_str(&out), "one\ntwo\nthree");
        }
        hd_buf_done(&in);
        hd_buf_done(&out);
    }
}

ATF_TC_WITHOUT_HEAD(a_cut_file_is_an_error_at_every_length);
ATF_TC_BODY(a_cut_file_is_an_error_at_every_length, tc)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(all); i++) {
        struct hd_buf in = {0}, out = {0};
        all[i].add(&in, "a line that is cut\n");
        for (in.size--; in.size > 0; in.size--) {
            ATF_CHECK_EQ_MSG(read_all(all[i].codec, &in, 5, &out), -HD_E_CORRUPT,
                             "codec %d, %zu bytes", all[i].codec, in.size);
        }
        hd_buf_done(&in);
        hd_buf_done(&out);
    }
}

ATF_TC_WITHOUT_HEAD(damage_and_plain_text_are_errors);
ATF_TC_BODY(damage_and_plain_text_are_errors, tc)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(all); i++) {
        struct hd_buf in = {0}, out = {0};
        hd_buf_add_str(&in, "this is no compressed data at all\n");
        ATF_CHECK_EQ(read_all(all[i].codec, &in, 100, &out), -HD_E_CORRUPT);
        hd_buf_clear(&in);
        all[i].add(&in, "good\n");
        hd_buf_add_str(&in, "and then text");
        ATF_CHECK_EQ(read_all(all[i].codec, &in, 100, &out), -HD_E_CORRUPT);
        hd_buf_done(&in);
        hd_buf_done(&out);
    }
    struct hd_buf in = {0}, out = {0};
    add_gzip(&in, "a checksum stands behind this");
    in.data[in.size - 6] ^= 1;
    ATF_CHECK_EQ(read_all(HD_CODEC_ZLIB, &in, 100, &out), -HD_E_CORRUPT);
    ATF_CHECK_STREQ(hd_fail_text(), "damaged gzip data: incorrect data check");
    hd_buf_done(&in);
    hd_buf_done(&out);
}

ATF_TC_WITHOUT_HEAD(zeros_behind_gzip_are_padding);
ATF_TC_BODY(zeros_behind_gzip_are_padding, tc)
{
    struct hd_buf in = {0}, out = {0};
    add_gzip(&in, "a\n");
    hd_buf_add(&in, "\0\0\0\0\0", 5);
    add_gzip(&in, "b\n");
    hd_buf_add(&in, "\0\0\0", 3);
    for (size_t step = 1; step < 50; step += 3) {
        ATF_CHECK_EQ(read_all(HD_CODEC_ZLIB, &in, step, &out), 0);
        ATF_CHECK_STREQ(hd_buf_str(&out), "a\nb\n");
    }
    hd_buf_done(&in);
    hd_buf_done(&out);
}

ATF_TC_WITHOUT_HEAD(names_tell_the_codec);
ATF_TC_BODY(names_tell_the_codec, tc)
{
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.gz"), HD_CODEC_ZLIB);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.deflate"), HD_CODEC_ZLIB);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.log.bz2"), HD_CODEC_BZIP2);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.zst"), HD_CODEC_ZSTD);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.snappy"), HD_CODEC_UNKNOWN);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.lzo_deflate"), HD_CODEC_UNKNOWN);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.gz/part-00000"), HD_CODEC_PLAIN);
    ATF_CHECK_EQ(hd_codec_of_name("/a/gz"), HD_CODEC_PLAIN);
    ATF_CHECK_EQ(hd_codec_of_name("/a/b.GZ"), HD_CODEC_PLAIN);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, members_follow_each_other);
    ATF_TP_ADD_TC(tp, a_cut_file_is_an_error_at_every_length);
    ATF_TP_ADD_TC(tp, damage_and_plain_text_are_errors);
    ATF_TP_ADD_TC(tp, zeros_behind_gzip_are_padding);
    ATF_TP_ADD_TC(tp, names_tell_the_codec);
    return atf_no_error();
}
