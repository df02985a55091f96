/* The calls of sessions: openSession, poll, reclaim, forgetOrphans. */
#include "meta/core/locks.h"
#include "meta/core/posix.h"
#include "meta/core/session_impl.h"

enum {
    NAME_MAX_BYTES = 255,
    POLL_MAX_MS = 60000,
};

/* ---- beginning, being there ---- */

int hd_op_open_session(struct hd_call *c)
{
    const Hdw__OpenSessionRequest *q = c->request;
    const struct hd_sessions *x = c->m->sessions;
    size_t size = strlen(q->client_name);
    if (size == 0 || size > NAME_MAX_BYTES) {
        return hd_call_fail(c, -EINVAL, "A client's name has 1 to %d bytes", NAME_MAX_BYTES);
    }
    if (strcmp(q->client_name, HD_META_HOLDER) == 0) { /* a name is that of a lease's holder, too */
        return hd_call_fail(c, -EINVAL, "\"%s\" is meta's own name", q->client_name);
    }
    struct hd_session *s = hd_session_named(x, q->client_name);
    if (s != NULL && strcmp(s->user, c->event->user) != 0) {
        return hd_call_fail(c, -EACCES, "The session %s is another user's", q->client_name);
    }
    if (s == NULL && q->has_pushes && q->pushes) {
        if (x->by_number.count >= HD_SESSIONS_MAX) {
            return hd_call_fail(c, -HD_E_RETRIABLE, "There are %d sessions: no more",
                                HD_SESSIONS_MAX);
        }
        s = hd_session_begin(c, q->client_name);
    }
    Hdw__OpenSessionResponse *r =
        HD_MSG(c->m, Hdw__OpenSessionResponse, hdw__open_session_response);
    r->cluster_id = hd_unconst(c->m->o.cluster_id);
    r->superuser = hd_unconst(c->m->o.superuser);
    r->txid = c->ns->txid.v;
    r->has_content_max = r->has_trusted = true;
    r->content_max = c->m->o.inline_bytes;
    r->trusted = c->superuser;
    if (s != NULL) {
        r->has_session = r->has_lease_ms = true;
        r->session = s->number;
        r->lease_ms = (uint32_t)hd_session_lease_ms(c->m);
    }
    return hd_call_done(c, &r->base);
}

static void renew_lease(struct hd_call *c, const struct hd_session *s)
{
    struct hd_lease *lease = hd_leases_find(&c->ns->leases, s->name);
    if (lease != NULL) {
        lease->renewed = c->m->now;
    }
}

int hd_op_poll(struct hd_call *c)
{
    const Hdw__PollRequest *q = c->request;
    struct hd_meta *m = c->m;
    struct hd_session *s;
    int err = hd_session_of(c, q->session, &s);
    if (err == 0 && strcmp(s->name, q->client_name) != 0) {
        err = hd_call_fail(c, -HD_E_NO_SESSION, "Session %llu is not that of %s",
                           (unsigned long long)q->session, q->client_name);
    }
    if (err < 0) {
        return err;
    }
    s->heard = m->now;
    s->closed.v = 0;
    renew_lease(c, s);
    for (size_t n = 0; n < q->n_answers; n++) {
        hd_push_answered(m, s, q->answers[n]->serial,
                         q->answers[n]->has_held && q->answers[n]->held);
    }
    if (s->poll_token != 0) {
        if (q->wait_ms == 0) { /* it only brings answers */
            Hdw__PollResponse *r = HD_MSG(m, Hdw__PollResponse, hdw__poll_response);
            r->lease_ms = (uint32_t)hd_session_lease_ms(m);
            return hd_call_done(c, &r->base);
        }
        s->poll_until = m->now;
        hd_push_deliver(m, s);
    }
    s->poll_conn = c->event->conn_id;
    s->poll_token = c->event->token;
    s->poll_until.v = m->now.v + HD_MIN(q->wait_ms, (uint32_t)POLL_MAX_MS);
    hd_list_remove(&s->tell);
    hd_list_push_back(&m->sessions->to_tell, &s->tell);
    return HD_LATER;
}

/* ---- after a restart ---- */

/* A name is all that shows whose session it was: it does not give what permissions deny. An orphan
 * has no directories around it any more: it is given back to its owner only. */
static bool reclaim_orphan(struct hd_call *c, struct hd_session *s, uint64_t ino)
{
    const struct hd_inode *file = hd_ns_inode(c->ns, ino);
    if (file == NULL || !hd_inode_is_orphan(file) || hd_check_owner(c, file) < 0) {
        return false;
    }
    struct hd_known *k = hd_known_get(c->m->sessions, ino, s, HD_KNOWN_CEILING);
    if (k == NULL) {
        return false;
    }
    k->bits |= HD_KNOWN_HELD;
    return true;
}

/* What was kept back is still the newest when nobody could have got the file meanwhile. */
static bool reclaim_writing(struct hd_call *c, struct hd_session *s, uint64_t ino)
{
    struct hd_inode *file = hd_ns_inode(c->ns, ino);
    if (!s->reclaiming || file == NULL || !hd_inode_is_file(file) ||
        hd_posix_may_open(c, file, HD_W) < 0) {
        return false;
    }
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    if (f != NULL && strcmp(f->lease->holder, s->name) != 0) {
        return false;
    }
    uint64_t serial;
    return hd_caps_grant(c, file, HD_CAP_WRITE, &serial);
}

int hd_op_reclaim(struct hd_call *c)
{
    const Hdw__ReclaimRequest *q = c->request;
    struct hd_session *s;
    int err = hd_session_of(c, q->session, &s);
    if (err < 0) {
        return err;
    }
    Hdw__ReclaimResponse *r = HD_MSG(c->m, Hdw__ReclaimResponse, hdw__reclaim_response);
    r->lost = HD_TURN_ARRAY(c->m, uint64_t, q->n_orphans + q->n_writing + q->n_locks);
    for (size_t n = 0; n < q->n_orphans; n++) {
        if (!reclaim_orphan(c, s, q->orphans[n])) {
            r->lost[r->n_lost++] = q->orphans[n];
        }
    }
    for (size_t n = 0; n < q->n_writing; n++) {
        if (!reclaim_writing(c, s, q->writing[n])) {
            r->lost[r->n_lost++] = q->writing[n];
        }
    }
    for (size_t n = 0; n < q->n_locks; n++) {
        const struct hd_inode *i = hd_ns_inode(c->ns, q->locks[n]->ino);
        if (!s->reclaiming || i == NULL || hd_posix_may_open(c, i, 0) < 0 ||
            hd_locks_reclaim(c->m, s->number, q->locks[n]) < 0) {
            r->lost[r->n_lost++] = q->locks[n]->ino;
        }
    }
    s->reclaim_until.v = c->m->now.v + hd_session_lease_ms(c->m);
    if (q->has_done && q->done) {
        hd_session_reclaimed(c->m, s);
    }
    return hd_call_done(c, &r->base);
}

int hd_op_forget_orphans(struct hd_call *c)
{
    const Hdw__ForgetOrphansRequest *q = c->request;
    struct hd_session *s;
    int err = hd_session_of(c, q->session, &s);
    if (err < 0) {
        return err;
    }
    for (size_t n = 0; n < q->n_inos; n++) {
        struct hd_known *k = hd_known_find(c->m->sessions, q->inos[n], s);
        if (k != NULL) {
            k->bits &= (uint8_t)~HD_KNOWN_HELD;
            hd_caps_check_orphan(c->m, q->inos[n]);
        }
    }
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__ForgetOrphansResponse, hdw__forget_orphans_response)->base);
}
