/*
 * Recovery of an edit log from any bytes: it opens, or it is refused; what opens replays in order.
 *
 * Sums would stop nearly every input at the door, so the input is a list of pieces: byte 0 of a
 * piece says how it enters the segment (as it is; framed as a good record; framed and then one byte
 * changed; zeros), byte 1 how long it is.
 */
#include "meta/log/edit_log.h"
#include "fs/base/assert.h"
#include "fs/os/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/howdah-fuzz-edit-log.XXXXXX"; /* its fsyncs cost nothing */

static void remove_dir(void)
{
    (void)hd_dir_remove(dir);
}

static void add_piece(struct hd_buf *b, uint64_t *txid, uint8_t kind, const uint8_t *p, size_t n)
{
    static const uint8_t zeros[256];
    size_t at = b->size;
    const struct hd_record r = {{*txid}, {*txid - 1 - (kind >> 4) % *txid}, p, n};
    switch (kind & 3) {
    case 0:
        (void)hd_buf_add(b, p, n);
        return;
    case 1:
        (void)hd_buf_add(b, zeros, n);
        return;
    default:
        break;
    }
    if (n == 0 || hd_record_encode(b, &r) < 0) {
        return;
    }
    (*txid)++;
    if ((kind & 3) == 3) {
        b->data[at + p[0] % (b->size - at)] ^= p[n - 1];
    }
}

static int on_record(void *ctx, const struct hd_record *r)
{
    uint64_t *next = ctx;
    hd_assert(r->txid.v == *next && r->size > 0);
    (*next)++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    uint8_t header[HD_SEGMENT_HEADER_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    char path[128];
    uint64_t txid = 1;
    if (!made) {
        made = mkdtemp(dir) != NULL && atexit(remove_dir) == 0;
        hd_assert(made);
    }
    hd_segment_header_encode(header, "CID-1", (struct hd_txid){1});
    (void)hd_buf_add(&b, header, sizeof(header));
    while (size >= 2) {
        size_t n = HD_MIN((size_t)data[1], size - 2);
        add_piece(&b, &txid, data[0], data + 2, n);
        data += 2 + n;
        size -= 2 + n;
    }
    (void)hd_dir_remove(dir);
    (void)hd_dir_make(dir, 0755);
    snprintf(path, sizeof(path), "%s/edits_inprogress_%020d", dir, 1);
    HD_AUTO(hd_fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    hd_assert(fd >= 0 && hd_fd_write(fd, b.data, b.size) == 0);
    const struct hd_edit_log_options o = {.dir = dir, .cluster_id = "CID-1"};
    struct hd_edit_log *l;
    if (hd_edit_log_open(&o, &l, NULL) == 0) {
        uint64_t next = 1;
        hd_assert(hd_edit_log_replay(l, (struct hd_txid){1}, on_record, &next) == 0);
        hd_assert(next == hd_edit_log_last(l).v + 1);
        hd_edit_log_close(l);
    }
    return 0;
}
