/* Open files. See handle.h. */
#include "fs/mount/handle.h"
#include "fs/base/error.h"
#include "fs/mount/claim.h"
#include "fs/mount/descriptors.h"
#include "fs/mount/device.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

struct hd_handle *hd_handle_new(struct hd_mount *m, struct hd_node *node, struct hd_fs *fs,
                                int open_flags)
{
    struct hd_handle *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return NULL;
    }
    h->node = hd_inode_get(&m->inodes, node->ino);
    h->fs = fs;
    h->writable = (open_flags & O_ACCMODE) != O_RDONLY;
    h->append = (open_flags & O_APPEND) != 0;
    atomic_init(&h->losses, hd_fs_losses(fs));
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void hd_handle_free(struct hd_mount *m, struct hd_handle *h)
{
    (void)hd_file_close(h->reader);
    pthread_mutex_destroy(&h->lock);
    hd_claim_put(m, h->claim);
    hd_inode_put(&m->inodes, h->node);
    free(h);
}

int hd_handle_reader(struct hd_mount *m, struct hd_handle *h, struct hd_file **ret)
{
    struct hd_node *n = h->node;
    int rc = 0;
    pthread_mutex_lock(&h->lock);
    uint32_t version = atomic_load(&n->version);
    if (h->reader == NULL) {
        char path[HD_INODE_PATH_BYTES];
        hd_inode_object(&m->inodes, n->ino, path);
        rc = hd_file_open(h->fs, path, &h->reader);
    } else if (h->reader_version != version ||
               hd_inode_seen(&m->inodes, n).size_bytes > hd_file_size(h->reader)) {
        rc = hd_file_refresh(h->reader);
    }
    if (rc == 0) {
        h->reader_version = version;
        *ret = h->reader;
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int hd_handle_sync_names(struct hd_handle *h)
{
    uint32_t since = atomic_load(&h->losses);
    int rc = hd_fs_sync_since(h->fs, &since);
    atomic_store(&h->losses, since);
    return rc;
}

int hd_handle_take_error(struct hd_handle *h)
{
    if (h->errors_seen == h->node->error_count) {
        return 0;
    }
    h->errors_seen = h->node->error_count;
    return hd_fail(h->node->write_error, "an earlier write of inode %llu failed",
                   (unsigned long long)h->node->id);
}

bool hd_handle_is_duplicate(struct hd_mount *m, fuse_req_t req, const struct hd_handle *h)
{
    char path[PATH_MAX];
    const char *root = m->device->path;
    size_t size = (size_t)snprintf(path, sizeof(path), "%s", strcmp(root, "/") == 0 ? "" : root);
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_open_state *o = &h->node->opens;
    bool only = o->cached + o->direct + o->passed == 1;
    pthread_mutex_unlock(&m->inodes.lock);
    if (!only || size >= sizeof(path) ||
        hd_inode_path(&m->inodes, h->node->ino, path + size, sizeof(path) - size) < 0) {
        return false;
    }
    pid_t closer = fuse_req_ctx(req)->pid;
    return hd_process_has_open(closer, path) ||
           (h->opener != closer && hd_process_has_open(h->opener, path));
}
