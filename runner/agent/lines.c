/* See lines.h. */
#include "runner/agent/lines.h"
#include "fs/base/error.h"

#include <errno.h>
#include <unistd.h>

void hd_lines_init(struct hd_lines *l, hd_line_fn on_line, void *ctx, size_t room,
                   size_t max_line_bytes)
{
    *l = (struct hd_lines){.on_line = on_line, .ctx = ctx, .room = room};
    hd_buf_init(&l->buf, max_line_bytes + room);
    hd_line_split_init(&l->cr, 0, UINT64_MAX);
    l->cr.bom_seen = 0xff;
}

void hd_lines_done(struct hd_lines *l)
{
    hd_buf_done(&l->buf);
    hd_buf_done(&l->scratch);
}

/* Gives every whole line from `at` on; what is left moves to the front. */
static int give(struct hd_lines *l, size_t scan_from)
{
    const uint8_t *line = l->buf.data;
    const uint8_t *end = line + l->buf.size;
    const uint8_t *scan = line + scan_from;
    const uint8_t *lf;
    while (scan < end && (lf = memchr(scan, '\n', (size_t)(end - scan))) != NULL) {
        l->count++;
        int err = l->on_line(l->ctx, line, (size_t)(lf - line));
        if (err < 0) {
            return err;
        }
        line = lf + 1;
        scan = line;
    }
    hd_buf_consume(&l->buf, (size_t)(line - l->buf.data));
    return 0;
}

static int give_last(struct hd_lines *l)
{
    if (l->buf.size == 0) {
        return 0;
    }
    l->count++;
    int err = l->on_line(l->ctx, l->buf.data, l->buf.size);
    hd_buf_clear(&l->buf);
    return err;
}

/* Makes CR and CRLF in the newest n bytes LF. */
static int normalize(struct hd_lines *l, size_t from, size_t n)
{
    const uint8_t *out;
    size_t size;
    int err = hd_line_split_feed(&l->cr, l->buf.data + from, n, &l->scratch, &out, &size);
    if (err == 0 && out != l->buf.data + from) {
        memcpy(l->buf.data + from, out, size); /* never more than n */
        l->buf.size = from + size;
    }
    return err;
}

int hd_lines_read(struct hd_lines *l, int fd)
{
    size_t from = l->buf.size;
    int err = hd_buf_reserve(&l->buf, l->room);
    if (err < 0) {
        return hd_fail(-HD_E_TOO_LARGE, "a line of output is longer than %zu bytes",
                       l->buf.max - l->room);
    }
    ssize_t n = read(fd, l->buf.data + from, l->room);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : hd_fail_errno(errno, "read of output");
    }
    if (n == 0) {
        err = give_last(l);
        return err < 0 ? err : 0;
    }
    l->buf.size = from + (size_t)n;
    err = normalize(l, from, (size_t)n);
    if (err == 0) {
        err = give(l, from);
    }
    return err < 0 ? err : 1;
}
