/* Backing ids by ioctl on /dev/fuse, and the raw answer that names them. See backing.h. */
#include "fs/mount/backing.h"
#include "fs/base/assert.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* linux/fuse.h of 6.9; newer than Debian 12's header. */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

struct open_answer {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};
#define ANSWER_DIRECT_IO   (1u << 0)
#define ANSWER_PASSTHROUGH (1u << 7)

bool hd_backing_may(struct hd_mount *m, struct hd_node *n, uint64_t size_bytes)
{
    pthread_mutex_lock(&m->inodes.lock);
    bool usable = n->writers == 0 && n->opens.cached == 0 && !n->opens.backing_stale;
    pthread_mutex_unlock(&m->inodes.lock);
    return usable && n->stage == NULL && atomic_load(&m->passthrough) &&
           size_bytes >= HD_MAX(m->options->passthrough_min_bytes, (uint64_t)1);
}

static int give_to_kernel(struct hd_mount *m, int fd)
{
    struct backing_map map = {.fd = fd};
    int id = ioctl(fuse_session_fd(m->session), BACKING_OPEN, &map);
    if (id > 0) {
        return id;
    }
    int e = errno;
    if (e == EPERM || e == ENOTTY || e == EOPNOTSUPP || e == ENOSYS) {
        atomic_store(&m->passthrough, false); /* and never ask again */
    }
    hd_log_info("no passthrough", "errno=%d", e);
    return -e;
}

enum hd_open_mode hd_backing_open(struct hd_mount *m, struct hd_node *n,
                                  const struct hd_backing_wish *w)
{
    struct hd_open_wish wish = {.writable = w->writable, .direct = w->direct};
    struct stat st;
    int id = 0;
    if (w->local_fd >= 0 && fstat(w->local_fd, &st) == 0) {
        wish.has_local = true;
        wish.local = (struct hd_backing_name){.device = st.st_dev, .inode = st.st_ino};
    }
    if (wish.has_local && n->opens.passed == 0) { /* it changes under io only, which we hold */
        id = give_to_kernel(m, w->local_fd);
        wish.has_local = id > 0;
    }
    pthread_mutex_lock(&m->inodes.lock);
    enum hd_open_mode mode = hd_open_choose(&n->opens, &wish);
    if (id > 0) {
        hd_assert(mode == HD_OPEN_PASSTHROUGH);
        n->opens.backing_id = id;
        n->opens.backing = wish.local;
    }
    hd_open_count(&n->opens, mode, 1);
    n->opens.backing_stale = n->opens.passed > 0 && (n->opens.backing_stale || w->writable);
    n->writers += w->writable;
    pthread_mutex_unlock(&m->inodes.lock);
    return mode;
}

void hd_backing_release(struct hd_mount *m, struct hd_node *n, enum hd_open_mode mode)
{
    pthread_mutex_lock(&m->inodes.lock);
    hd_open_count(&n->opens, mode, -1);
    uint32_t id = 0;
    if (hd_open_is_passed(mode) && n->opens.passed == 0) {
        id = (uint32_t)n->opens.backing_id;
        n->opens.backing_id = 0;
        n->opens.backing_stale = false;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    if (id != 0) {
        (void)ioctl(fuse_session_fd(m->session), BACKING_CLOSE, &id);
    }
}

int hd_backing_reply(fuse_req_t req, struct hd_node *n, enum hd_open_mode mode,
                     struct fuse_file_info *fi)
{
    if (!hd_open_is_passed(mode)) {
        return fuse_reply_open(req, fi);
    }
    struct open_answer answer = {
        .fh = fi->fh,
        .open_flags =
            ANSWER_PASSTHROUGH | (mode == HD_OPEN_PASSTHROUGH_DIRECT ? ANSWER_DIRECT_IO : 0),
        .backing_id = n->opens.backing_id,
    };
    return fuse_reply_buf(req, (const char *)&answer, sizeof(answer));
}
