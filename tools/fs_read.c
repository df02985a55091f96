/* fs -cat -text -head -tail -getmerge -checksum: what only reads file contents. */
#include "tools/fs_shell.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { READ_BYTES = 1 << 20, SHORT_BYTES = 1024, FOLLOW_MS = 5000 };

/* Where the bytes of a reading verb go. */
struct sink {
    int (*write)(struct sink *s, const void *data, size_t size); /* 0 or negative */
    int fd;
    z_stream *inflate; /* of -text, while a gzip file is read */
};

static int write_plain(struct sink *s, const void *data, size_t size)
{
    return hd_fd_write(s->fd, data, size);
}

/* Opens for reading; a directory fails as Hadoop says it. NULL after the error line. */
static struct hd_file *open_item(struct hd_sh *sh, const struct hd_sh_item *item)
{
    struct hd_file *f;
    int rc = item->st.type == HD_TYPE_DIR ? -EISDIR : hd_file_open(sh->fs, item->path, &f);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return NULL;
    }
    return f;
}

/* Sends [offset, end) of f to the sink. */
static int send_range(struct hd_file *f, uint64_t offset, uint64_t end, struct sink *s)
{
    uint8_t *buf = malloc(READ_BYTES);
    int rc = buf != NULL ? 0 : -ENOMEM;
    while (rc == 0 && offset < end && !hd_sh_interrupted()) {
        int64_t n = hd_file_pread(f, buf, (size_t)HD_MIN(end - offset, READ_BYTES), offset);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = s->write(s, buf, (size_t)n);
        offset += (uint64_t)n;
    }
    free(buf);
    return rc;
}

static void cat_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct hd_file *f = open_item(sh, item);
    if (f == NULL) {
        return;
    }
    int rc = send_range(f, 0, UINT64_MAX, ctx);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    hd_file_close(f);
}

static int run_cat(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct sink out = {.write = write_plain, .fd = STDOUT_FILENO};
    hd_sh_each(sh, args, 0, cat_item, &out);
    return 0;
}

/* ---- text ---- */

static int write_inflated(struct sink *s, const void *data, size_t size)
{
    uint8_t out[65536];
    z_stream *z = s->inflate;
    z->next_in = (Bytef *)data;
    z->avail_in = (uInt)size;
    while (z->avail_in > 0) {
        z->next_out = out;
        z->avail_out = sizeof(out);
        int zrc = inflate(z, Z_NO_FLUSH);
        if (zrc != Z_OK && zrc != Z_STREAM_END && zrc != Z_BUF_ERROR) {
            return hd_fail(-HD_E_CORRUPT, "gzip data is damaged: %s",
                           z->msg != NULL ? z->msg : "unknown reason");
        }
        int rc = hd_fd_write(s->fd, out, sizeof(out) - z->avail_out);
        if (rc < 0) {
            return rc;
        }
        if (zrc == Z_STREAM_END && z->avail_in > 0) {
            inflateReset(z); /* the next member of the same file */
        }
    }
    return 0;
}

static int send_gzip(struct hd_file *f)
{
    z_stream z = {0};
    struct sink out = {.write = write_inflated, .fd = STDOUT_FILENO, .inflate = &z};
    if (inflateInit2(&z, 15 + 16) != Z_OK) {
        return -ENOMEM;
    }
    int rc = send_range(f, 0, UINT64_MAX, &out);
    inflateEnd(&z);
    return rc;
}

static void text_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct sink out = {.write = write_plain, .fd = STDOUT_FILENO};
    uint8_t magic[3] = {0};
    (void)ctx;
    struct hd_file *f = open_item(sh, item);
    if (f == NULL) {
        return;
    }
    int64_t n = hd_file_pread(f, magic, sizeof(magic), 0);
    int rc = (int)HD_MIN(n, 0);
    if (rc == 0 && n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        rc = send_gzip(f);
    } else if (rc == 0 && n == 3 &&
               (memcmp(magic, "SEQ", 3) == 0 || memcmp(magic, "Obj", 3) == 0)) {
        rc = hd_fail(-EOPNOTSUPP, "`%s': sequence and Avro files are not supported; use -cat",
                     item->shown);
    } else if (rc == 0) {
        rc = send_range(f, 0, UINT64_MAX, &out);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    hd_file_close(f);
}

static int run_text(struct hd_sh *sh, struct hd_sh_args *args)
{
    hd_sh_each(sh, args, 0, text_item, NULL);
    return 0;
}

/* ---- head, tail ---- */

static void head_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct hd_file *f = open_item(sh, item);
    if (f == NULL) {
        return;
    }
    int rc = send_range(f, 0, SHORT_BYTES, ctx);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    hd_file_close(f);
}

static int run_head(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct sink out = {.write = write_plain, .fd = STDOUT_FILENO};
    hd_sh_each(sh, args, 0, head_item, &out);
    return 0;
}

struct tailing {
    bool follow;
    int64_t sleep_ms;
};

static void tail_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct tailing *t = ctx;
    struct sink out = {.write = write_plain, .fd = STDOUT_FILENO};
    struct hd_file *f = open_item(sh, item);
    if (f == NULL) {
        return;
    }
    uint64_t size = hd_file_size(f);
    uint64_t at = size > SHORT_BYTES ? size - SHORT_BYTES : 0;
    int rc = send_range(f, at, size, &out);
    while (rc == 0 && t->follow && !hd_sh_interrupted()) {
        hd_clock_sleep_ms(t->sleep_ms);
        rc = hd_file_refresh(f);
        uint64_t now = hd_file_size(f);
        if (rc == 0 && now > size) {
            rc = send_range(f, size, now, &out);
            size = now;
        }
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    hd_file_close(f);
}

static int run_tail(struct hd_sh *sh, struct hd_sh_args *args)
{
    const char *sleep = hd_sh_value(args, "s");
    struct tailing t = {.follow = hd_sh_flag(args, "f"),
                        .sleep_ms = sleep != NULL ? atoll(sleep) : FOLLOW_MS};
    if (t.sleep_ms <= 0) {
        return hd_sh_usage(args, "-s %s: milliseconds are expected", sleep);
    }
    hd_sh_each(sh, args, 0, tail_item, &t);
    return 0;
}

/* ---- getmerge ---- */

struct merging {
    struct sink sink;
    bool newline, skip_empty;
};

static void merge_file(struct hd_sh *sh, const struct hd_sh_item *item, struct merging *m)
{
    if (m->skip_empty && item->st.size_bytes == 0) {
        return;
    }
    struct hd_file *f = open_item(sh, item);
    if (f == NULL) {
        return;
    }
    int rc = send_range(f, 0, UINT64_MAX, &m->sink);
    if (rc == 0 && m->newline) {
        rc = m->sink.write(&m->sink, "\n", 1);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    hd_file_close(f);
}

/* A directory gives its files in order of name, and not those further down. */
static void merge_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    if (item->st.type != HD_TYPE_DIR) {
        merge_file(sh, item, ctx);
        return;
    }
    int rc = hd_sh_list(sh, item, &items);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    for (size_t i = 0; i < items.count; i++) {
        if (items.list[i].st.type == HD_TYPE_FILE) {
            merge_file(sh, &items.list[i], ctx);
        }
    }
}

static int run_getmerge(struct hd_sh *sh, struct hd_sh_args *args)
{
    const char *target = args->list[args->count - 1];
    struct merging m = {.sink = {.write = write_plain, .fd = STDOUT_FILENO},
                        .newline = hd_sh_flag(args, "nl"),
                        .skip_empty = hd_sh_flag(args, "skip-empty-file")};
    bool to_stdout = strcmp(target, "-") == 0;
    if (!to_stdout &&
        (m.sink.fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0) {
        hd_sh_fail(sh, target, hd_fail_errno(errno, "%s", target));
        return 0;
    }
    args->list[--args->count] = NULL;
    hd_sh_each(sh, args, 0, merge_item, &m);
    if (!to_stdout && close(m.sink.fd) < 0) {
        hd_sh_fail(sh, target, hd_fail_errno(errno, "%s", target));
    }
    return 0;
}

/* ---- checksum ---- */

static void checksum_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const bool *verbose = ctx;
    struct hd_file_checksum sum;
    int rc = item->st.type == HD_TYPE_DIR ? -EISDIR : hd_fs_checksum(sh->fs, item->path, &sum);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    printf("%s\t%s\t", item->shown, sum.algorithm);
    for (size_t i = 0; i < sum.size; i++) {
        printf("%02x", sum.bytes[i]);
    }
    if (*verbose) {
        printf("\tBlockSize=%" PRIu64, item->st.block_size_bytes);
    }
    putchar('\n');
}

static int run_checksum(struct hd_sh *sh, struct hd_sh_args *args)
{
    bool verbose = hd_sh_flag(args, "v");
    hd_sh_each(sh, args, 0, checksum_item, &verbose);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_read[] = {
    {"cat", "ignoreCrc", 1, -1, "[-ignoreCrc] <src> ...", "Writes the files to stdout.", run_cat},
    {"text", "ignoreCrc", 1, -1, "[-ignoreCrc] <src> ...", "The same, gzip files unpacked.",
     run_text},
    {"head", "", 1, 1, "<file>", "Writes the first kilobyte of the file.", run_head},
    {"tail", "f s=", 1, 1, "[-f] [-s <sleep interval>] <file>",
     "Writes the last kilobyte of the file; -f also what is appended, asking every -s "
     "milliseconds.",
     run_tail},
    {"getmerge", "nl skip-empty-file", 2, -1, "[-nl] [-skip-empty-file] <src> ... <localdst>",
     "Writes the files, or those in the directories, one behind the other into a local file.\n"
     "-nl adds a newline after each.",
     run_getmerge},
    {"checksum", "v", 1, -1, "[-v] <src> ...", "Prints path, algorithm and checksum of the files.",
     run_checksum},
    {0},
};
