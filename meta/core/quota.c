/* Usage of quotas. See quota.h. */
#include "meta/core/quota.h"

void hd_quota_charge(struct hd_ns *ns, struct hd_inode *i, struct hd_charge more)
{
    if (ns->quotas.count == 0) {
        return;
    }
    for (; i != NULL; i = i->parent) {
        struct hd_quota *q = hd_ns_quota(ns, i);
        if (q != NULL) {
            q->used_names += more.names;
            q->used_bytes += more.space_bytes;
            q->used_data_bytes += more.data_bytes;
        }
    }
}

struct hd_charge hd_quota_of_content(const struct hd_ns *ns, const struct hd_inode *file)
{
    struct hd_charge c = {0};
    if (ns->quotas.count > 0 && hd_inode_is_file(file)) {
        c.space_bytes = (int64_t)hd_file_space(file);
        c.data_bytes = (int64_t)hd_file_data(file);
    }
    return c;
}

void hd_quota_content_changed(struct hd_ns *ns, struct hd_inode *file, struct hd_charge before)
{
    struct hd_charge now = hd_quota_of_content(ns, file);
    now.space_bytes -= before.space_bytes;
    now.data_bytes -= before.data_bytes;
    hd_quota_charge(ns, file, now);
    struct hd_open_file *f = now.data_bytes > 0 ? hd_ns_open_file(ns, file) : NULL;
    if (f != NULL) { /* of what he was promised he has told now */
        f->promised_bytes -= HD_MIN(f->promised_bytes, (uint64_t)now.data_bytes);
    }
}

struct hd_charge hd_quota_of_tree(struct hd_inode *top)
{
    struct hd_usage_sum sum = hd_ns_usage(top);
    return (struct hd_charge){
        .names = (int64_t)(sum.files + sum.directories),
        .space_bytes = (int64_t)sum.space_bytes,
        .data_bytes = (int64_t)sum.data_bytes,
    };
}

void hd_quota_charge_tree(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *top, int sign)
{
    if (ns->quotas.count == 0) {
        return;
    }
    struct hd_charge c = hd_quota_of_tree(top);
    c.names *= sign;
    c.space_bytes *= sign;
    c.data_bytes *= sign;
    hd_quota_charge(ns, parent, c);
}

struct hd_inode *hd_quota_data_above(const struct hd_ns *ns, const struct hd_inode *i)
{
    if (ns->quotas.count == 0) {
        return NULL;
    }
    for (; i != NULL; i = i->parent) {
        const struct hd_quota *q = hd_ns_quota(ns, i);
        if (q != NULL && q->data_bytes >= 0) {
            return (struct hd_inode *)(uintptr_t)i;
        }
    }
    return NULL;
}

/* What the other open files below a directory were promised. */
static uint64_t promised_below(const struct hd_ns *ns, const struct hd_inode *top,
                               const struct hd_inode *but)
{
    uint64_t sum = 0;
    void *value;
    for (size_t cursor = 0; hd_map_next(&ns->open, &cursor, NULL, &value);) {
        const struct hd_open_file *f = value;
        if (f->promised_bytes > 0 && f->file != but && hd_inode_is_within(f->file, top)) {
            sum += f->promised_bytes;
        }
    }
    return sum;
}

uint64_t hd_quota_room(const struct hd_ns *ns, const struct hd_inode *file)
{
    uint64_t room = UINT64_MAX;
    for (const struct hd_inode *at = hd_quota_data_above(ns, file); at != NULL;
         at = hd_quota_data_above(ns, at->parent)) {
        const struct hd_quota *q = hd_ns_quota(ns, at);
        uint64_t left = (uint64_t)HD_MAX(q->data_bytes - q->used_data_bytes, 0);
        uint64_t promised = promised_below(ns, at, file);
        room = HD_MIN(room, left > promised ? left - promised : 0);
    }
    return room;
}

uint64_t hd_quota_promise(struct hd_ns *ns, struct hd_inode *file, uint64_t want)
{
    struct hd_open_file *f = hd_ns_open_file(ns, file);
    uint64_t room = hd_quota_room(ns, file);
    want = HD_MIN(want, room);
    if (f != NULL) {
        f->promised_bytes = room != UINT64_MAX ? want : 0;
    }
    return want;
}
