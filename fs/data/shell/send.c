/* Replicas onto sockets. See send.h. */
#include "fs/data/shell/send.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/shell/packet_io.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/*
 * The sum of a short last chunk of a replica that still grows: the stored one may already cover
 * more than readers see, so it is made from the bytes they see.
 */
static int make_last_sum(struct hd_block_view *v)
{
    uint32_t into = (uint32_t)(v->visible_bytes % v->format.bytes_per_checksum);
    if (v->has_last_sum || into == 0 || v->format.type == HD_CHECKSUM_NULL) {
        return 0;
    }
    uint8_t *chunk = malloc(into);
    int err =
        chunk == NULL ? -ENOMEM : hd_fd_pread(v->data_fd, chunk, into, v->visible_bytes - into);
    if (err == 0) {
        hd_put_be32(v->last_sum, hd_checksum(v->format.type, chunk, into));
        v->has_last_sum = true;
    }
    free(chunk);
    return err;
}

static int read_sums(const struct hd_block_view *v, uint64_t start, uint64_t end, uint8_t *out)
{
    uint64_t count = hd_chunk_count(end - start, v->format.bytes_per_checksum);
    bool short_last = end == v->visible_bytes && v->has_last_sum;
    uint64_t stored = count - short_last;
    int err =
        hd_fd_pread(v->meta_fd, out, stored * HD_SUM_BYTES, hd_meta_file_offset(v->format, start));
    if (err == 0 && short_last) {
        memcpy(out + stored * HD_SUM_BYTES, v->last_sum, HD_SUM_BYTES);
    }
    return err;
}

/* A replica that somebody changes meanwhile: what is sent is a copy, and fits its sums. */
static int send_copied(const struct hd_send *s, const struct hd_packet *p, uint8_t *head, size_t n)
{
    uint64_t start = (uint64_t)p->offset_bytes;
    uint8_t *sums = p->sums_bytes > 0 ? head + n : NULL;
    uint8_t *data = head + n + p->sums_bytes;
    int err = hd_block_view_read(s->view, start, start + p->data_bytes, data, sums);
    return err < 0 ? err : hd_socket_send(s->fd, head, n + p->sums_bytes + p->data_bytes, false);
}

static int send_packet(const struct hd_send *s, int64_t seqno, uint64_t start, uint64_t end,
                       uint8_t *head)
{
    bool sums = s->sums && s->view->format.type != HD_CHECKSUM_NULL;
    uint64_t chunks = hd_chunk_count(end - start, s->view->format.bytes_per_checksum);
    struct hd_packet p = {.offset_bytes = (int64_t)start,
                          .seqno = seqno,
                          .data_bytes = (uint32_t)(end - start),
                          .sums_bytes = sums ? (uint32_t)chunks * HD_SUM_BYTES : 0,
                          .sync = s->durable && start == end,
                          .last = start == end};
    size_t n = hd_packet_encode(&p, head);
    if (!s->view->plain && p.data_bytes > 0) {
        return send_copied(s, &p, head, n);
    }
    if (p.sums_bytes > 0) {
        int err = read_sums(s->view, start, end, head + n);
        if (err < 0) {
            return err;
        }
    }
    int err = hd_socket_send(s->fd, head, n + p.sums_bytes, p.data_bytes > 0);
    if (err == 0 && p.data_bytes > 0) {
        err = hd_socket_sendfile(s->fd, s->view->data_fd, start, p.data_bytes);
    }
    return err;
}

int hd_send_block(const struct hd_send *s)
{
    uint32_t chunk = s->view->format.bytes_per_checksum;
    uint32_t step = HD_MAX(s->packet_bytes / chunk, 1u) * chunk;
    uint8_t *head = malloc(HD_PACKET_HEADER_MAX_BYTES + step / chunk * HD_SUM_BYTES +
                           (s->view->plain ? 0 : step));
    int err = head == NULL ? -ENOMEM : 0;
    if (err == 0 && s->sums && s->view->plain) {
        err = make_last_sum(s->view);
    }
    if (s->span.end_bytes - s->span.start_bytes > step) {
        posix_fadvise(s->view->data_fd, (off_t)s->span.start_bytes,
                      (off_t)(s->span.end_bytes - s->span.start_bytes), POSIX_FADV_SEQUENTIAL);
    }
    int64_t seqno = 0;
    for (uint64_t at = s->span.start_bytes; err == 0 && at < s->span.end_bytes; at += step) {
        uint64_t end = HD_MIN(at + step, s->span.end_bytes);
        hd_throttle_take(s->throttle, end - at);
        err = send_packet(s, seqno++, at, end, head);
    }
    if (err == 0) {
        err = send_packet(s, seqno, s->span.end_bytes, s->span.end_bytes, head);
    }
    free(head);
    return err;
}
