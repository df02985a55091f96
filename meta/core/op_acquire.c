/* The calls of capabilities: acquire, release. */
#include "meta/core/op_blocks.h"
#include "meta/core/posix.h"
#include "meta/core/session_impl.h"

enum { RECOVERY_WAIT_MS = 30000 }; /* for the end of a dead writer's file, then its state is told */

static int answer_acquire(struct hd_call *c, struct hd_inode *file, enum hd_cap granted,
                          uint64_t serial)
{
    const Hdw__AcquireRequest *q = c->request;
    Hdw__AcquireResponse *r = HD_MSG(c->m, Hdw__AcquireResponse, hdw__acquire_response);
    r->granted = (Hdw__CapKind)granted;
    r->attr = hd_posix_attr(c, file);
    r->has_serial = serial != 0;
    r->serial = serial;
    if (q->has_blocks && q->blocks) {
        r->blocks = hd_located_blocks(c, file, 0, UINT64_MAX);
        r->has_content = file->u.file.content_size > 0;
        r->content = hd_content_of(c->m, file);
    }
    return hd_call_done(c, &r->base);
}

/* Parks the acquire until something of `queue` moves. */
static int wait_in(struct hd_call *c, uint64_t queue, bool first, int64_t wait_ms)
{
    if (c->m->sessions->wait_count >= HD_WAITS_MAX) {
        return hd_call_fail(c, -HD_E_RETRIABLE, "Too many calls wait for capabilities");
    }
    c->wait_ino = queue;
    c->wait_first = first;
    c->wait_ms = wait_ms;
    return HD_PARK;
}

/*
 * A lease of the file in the way of a capability: 0 none; 1 an HDFS client writes; HD_PARK its
 * writer is gone, and its end is being found out; or an error.
 */
static int look_at_writer(struct hd_call *c, const struct hd_session *own, struct hd_inode *file,
                          enum hd_cap want)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    if (f == NULL || strcmp(f->lease->holder, own->name) == 0) {
        return 0;
    }
    const struct hd_session *writer = hd_session_named(c->m->sessions, f->lease->holder);
    bool recovering = f->abandoned || strcmp(f->lease->holder, HD_META_HOLDER) == 0;
    /* As between clients of HDFS: who was not heard of for so long may be overruled. */
    bool silent = hd_meta_past(c->m, f->lease->renewed, c->m->o.lease_soft_ms);
    if (writer == NULL && !recovering && !silent) {
        return 1;
    }
    if (writer != NULL) {
        const struct hd_known *k = hd_known_find(c->m->sessions, file->ino.v, writer);
        if (k != NULL && k->cap == HD_CAP_WRITE) {
            return 0; /* it is asked to give it back, and closes what it has open */
        }
    }
    if (want == HD_CAP_READ || c->time_is_up) {
        return 1;
    }
    const char *text;
    int closed = hd_release_lease(c->m, file, &text);
    return closed == 1 ? 0 : wait_in(c, file->ino.v, false, RECOVERY_WAIT_MS);
}

/* Who only asks what he has is told no more than attributes. */
static int check_permission(struct hd_call *c, const Hdw__AcquireRequest *q,
                            const struct hd_inode *file)
{
    if (q->want == HDW__CAP_KIND__CAP_WRITE) {
        return hd_posix_may_open(c, file, HD_W);
    }
    bool reads = q->want == HDW__CAP_KIND__CAP_READ || (q->has_blocks && q->blocks);
    return reads ? hd_posix_may_open(c, file, HD_R) : hd_posix_access(c, file, 0);
}

int hd_op_acquire(struct hd_call *c)
{
    const Hdw__AcquireRequest *q = c->request;
    struct hd_sessions *x = c->m->sessions;
    struct hd_session *s;
    struct hd_inode *file;
    int err = hd_session_of(c, q->session, &s);
    err = err < 0 ? err : hd_posix_inode(c, q->ino, &file);
    if (err < 0) {
        return err;
    }
    if (!hd_inode_is_file(file) || q->want > HDW__CAP_KIND__CAP_WRITE) {
        return hd_call_fail(c, -EINVAL, "Only regular files have content to be kept");
    }
    enum hd_cap want = (enum hd_cap)q->want;
    err = check_permission(c, q, file);
    if (err < 0) {
        return err;
    }
    uint64_t ino = file->ino.v;
    bool writeback = q->has_writeback && q->writeback;
    bool again = x->running != NULL && x->running->ino == ino; /* it is the queue's first */
    struct hd_known *k = hd_known_get(x, ino, s, HD_KNOWN_CEILING);
    if (k == NULL) {
        return hd_call_fail(c, -ENFILE, "The session knows more than %d files", HD_KNOWN_CEILING);
    }
    const struct hd_due *due = hd_due_find(k);
    bool recalled = due != NULL && due->recall != 0 && due->keep < (uint8_t)want;
    if ((k->bits & HD_KNOWN_GRANTING) != 0 && want != HD_CAP_NONE) {
        return wait_in(c, ino, writeback, 0); /* others are still being told that it may write */
    }
    if (want == HD_CAP_NONE || (k->cap >= (uint8_t)want && !recalled)) {
        return answer_acquire(c, file, (enum hd_cap)k->cap, k->grant_serial);
    }
    if (k->cap == HD_CAP_WRITE && writeback) { /* it is being recalled; until then it may */
        return answer_acquire(c, file, HD_CAP_WRITE, k->grant_serial);
    }
    if (x->grace) {
        return wait_in(c, HD_GRACE_QUEUE, false, 0);
    }
    int writer = look_at_writer(c, s, file, want);
    if (writer == 1) {
        return answer_acquire(c, file, HD_CAP_NONE, 0);
    }
    if (writer != 0) {
        return writer;
    }
    if (recalled && !writeback) {
        return wait_in(c, ino, again, 0); /* who waits for it comes first */
    }
    if (!again && !writeback && hd_caps_is_awaited(x, ino)) {
        return wait_in(c, ino, false, 0);
    }
    if (hd_caps_recall_others(c->m, ino, s, want == HD_CAP_WRITE ? HD_CAP_NONE : HD_CAP_READ)) {
        /*
         * Two kernels may both have dirty pages of a file that both may read: neither could drop
         * its pages before it wrote them. So these are written while others only read.
         */
        if (!writeback || hd_caps_busy(c, file)) {
            return wait_in(c, ino, writeback, 0);
        }
    }
    x->writeback = writeback;
    uint64_t serial = hd_caps_raise(c->m, k, want);
    return answer_acquire(c, file, want, serial);
}

int hd_op_release(struct hd_call *c)
{
    const Hdw__ReleaseRequest *q = c->request;
    struct hd_session *s;
    int err = hd_session_of(c, q->session, &s);
    if (err < 0) {
        return err;
    }
    if (q->keep > HDW__CAP_KIND__CAP_WRITE) {
        return hd_call_fail(c, -EINVAL, "There is no capability %d", (int)q->keep);
    }
    struct hd_known *k = hd_known_find(c->m->sessions, q->ino, s);
    if (k != NULL) {
        hd_caps_lower(c->m, k, (enum hd_cap)q->keep, q->has_serial ? q->serial : s->serial);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__ReleaseResponse, hdw__release_response)->base);
}
