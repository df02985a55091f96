/*
 * How an open of an inode is answered: through the page cache, past it, or by passthrough. Pure.
 *
 * The kernel's rules (fs/fuse/iomode.c): an inode has one backing file at a time; while an open of
 * it goes to the backing file every other must name the same backing id, and one that also says
 * DIRECT_IO reaches us nevertheless; an inode with an open through the page cache cannot be passed
 * through. Without a session files open for writing bypass the page cache (`direct`), for nobody
 * tells the kernel when its pages are old; with one only O_DIRECT does.
 */
#ifndef HD_MOUNT_OPEN_MODE_H
#define HD_MOUNT_OPEN_MODE_H

enum hd_open_mode {
    HD_OPEN_CACHED,             /* page cache, filled by READ requests */
    HD_OPEN_DIRECT,             /* every read and write is a request */
    HD_OPEN_PASSTHROUGH,        /* the kernel reads the backing file */
    HD_OPEN_PASSTHROUGH_DIRECT, /* requests, beside opens that are passed through */
};

/* A file of this machine, as fstat(2) names it. */
struct hd_backing_name {
    uint64_t device;
    uint64_t inode;
};

/* Opens of one inode, by mode, and the backing file they share. */
struct hd_open_state {
    uint32_t cached;
    uint32_t direct;
    uint32_t passed;                /* both passthrough modes */
    int32_t backing_id;             /* while passed > 0 */
    struct hd_backing_name backing; /* while passed > 0 */
    bool backing_stale;             /* somebody may write to the inode: no more to this file */
};

struct hd_open_wish {
    bool writable;
    bool direct;    /* past the page cache */
    bool has_local; /* the content is a file of this machine and nobody writes to it */
    struct hd_backing_name local;
};

enum hd_open_mode hd_open_choose(const struct hd_open_state *s, const struct hd_open_wish *w);

/* Counts an open that is answered in this mode, or one that ends. */
void hd_open_count(struct hd_open_state *s, enum hd_open_mode mode, int change);

static inline bool hd_open_is_passed(enum hd_open_mode mode)
{
    return mode == HD_OPEN_PASSTHROUGH || mode == HD_OPEN_PASSTHROUGH_DIRECT;
}

#endif
