/* Encoding of block reports. See report.h. */
#include "fs/data/core/report.h"

int hd_report_add(struct hd_buf *out, const struct hd_replica *r)
{
    int64_t id = (int64_t)r->id.v;
    int err = hd_buf_add_varint(out, (uint64_t)id << 1 ^ (uint64_t)(id >> 63));
    if (err == 0) {
        err = hd_buf_add_varint(out, r->size_bytes);
    }
    if (err == 0) {
        err = hd_buf_add_varint(out, r->gs.v);
    }
    if (err == 0) {
        err = hd_buf_add_varint(out, r->doubtful ? HD_REPORT_DIRTY : (uint64_t)r->state);
    }
    return err;
}
