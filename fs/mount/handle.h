/*
 * An open file: whose it is, its reader (made when first needed), and which failures of its inode's
 * writes it has reported. fi->fh points to it from OPEN or CREATE to RELEASE.
 */
#ifndef HD_MOUNT_HANDLE_H
#define HD_MOUNT_HANDLE_H

#include "fs/mount/mount.h"

struct hd_handle {
    struct hd_node *node;   /* pinned */
    struct hd_claim *claim; /* pinned; NULL without a session */
    struct hd_fs *fs;       /* of the user who opened */
    pid_t opener;           /* the thread that opened it; 0: not known */
    enum hd_open_mode mode;
    bool writable;
    bool append;
    uint32_t errors_seen;    /* (node's io) of node->error_count */
    _Atomic uint32_t losses; /* that fsync has told of (hd_fs_sync_since) */
    pthread_mutex_t lock;
    struct hd_file *reader;  /* (lock) */
    uint32_t reader_version; /* (lock) node->version it was made or refreshed at */
};

static inline struct hd_handle *hd_handle_of(const struct fuse_file_info *fi)
{
    return (struct hd_handle *)(uintptr_t)fi->fh;
}

/* Makes a handle with a pin of its own on node; the opens are not counted yet. NULL: no memory. */
struct hd_handle *hd_handle_new(struct hd_mount *m, struct hd_node *node, struct hd_fs *fs,
                                int open_flags);

/* Frees; the reader is closed, the pin dropped. */
void hd_handle_free(struct hd_mount *m, struct hd_handle *h);

/* The reader, up to date with what this mount did and the size the kernel was told. */
int hd_handle_reader(struct hd_mount *m, struct hd_handle *h, struct hd_file **ret);

/* hd_fs_sync as seen from this handle: what got lost since it was opened is an error once. */
int hd_handle_sync_names(struct hd_handle *h);

/* The failure of an earlier write that this handle has not told yet, or 0. Wants io held. */
int hd_handle_take_error(struct hd_handle *h);

/*
 * Whether what is closed is one descriptor of several: then the file goes on being written. Looked
 * for where it may be: with the closer, and with who opened it. Only when this handle is the only
 * one of the file, so that what is found is of this one.
 */
bool hd_handle_is_duplicate(struct hd_mount *m, fuse_req_t req, const struct hd_handle *h);

#endif
