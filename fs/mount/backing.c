/* Backing ids by ioctl on /dev/fuse, and the raw answer that names them. See backing.h. */
#include "fs/mount/backing.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>

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

static int backing_id_of(struct hd_mount *m, struct hd_file *reader)
{
    HD_AUTO(hd_fd_done) int fd = -1;
    int rc = hd_file_local_fd(reader, &fd);
    if (rc < 0) {
        fd = -1;
        return rc;
    }
    struct backing_map map = {.fd = fd};
    int id = ioctl(fuse_session_fd(m->session), BACKING_OPEN, &map);
    if (id > 0) {
        return id;
    }
    int e = errno;
    if (e == EPERM || e == ENOTTY || e == EOPNOTSUPP || e == ENOSYS) {
        atomic_store(&m->passthrough, false);
    }
    hd_log_info("no passthrough", "errno=%d", e);
    return -e;
}

static struct hd_open_state opens_of(struct hd_mount *m, struct hd_node *n, uint32_t *ret_writers)
{
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_open_state s = n->opens;
    *ret_writers = n->writers;
    pthread_mutex_unlock(&m->inodes.lock);
    return s;
}

enum hd_open_mode hd_backing_open(struct hd_mount *m, struct hd_node *n, struct hd_file *reader,
                                  bool writable)
{
    uint32_t writers;
    struct hd_open_state s = opens_of(m, n, &writers);
    struct hd_open_wish wish = {.writable = writable};
    int id = 0;
    if (reader != NULL) {
        wish.size_bytes = hd_file_size(reader);
        bool try = atomic_load(&m->passthrough) && !writable && writers == 0 && n->stage == NULL &&
                   s.cached == 0 && s.passed == 0 &&
                   wish.size_bytes >= m->options->passthrough_min_bytes && wish.size_bytes > 0;
        id = try ? backing_id_of(m, reader) : 0;
        wish.can_pass = id > 0;
    }
    pthread_mutex_lock(&m->inodes.lock);
    enum hd_open_mode mode = hd_open_choose(&n->opens, &wish);
    hd_open_count(&n->opens, mode, 1);
    if (wish.can_pass) {
        n->opens.backing_id = id;
        n->opens.backing_bytes = wish.size_bytes;
        n->opens.backing_stale = false;
    }
    n->opens.backing_stale = n->opens.backing_stale || writable;
    n->writers += writable;
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
