/* A session of PosixProtocol with a meta of straw: events, answers, and sessions that end. */
#include "fs/client/posix.h"
#include "fs/os/clock.h"
#include "tests/support/rpc_peer.h"

#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <stdatomic.h>

static const char *const protocols[] = {HD_PROTOCOL_CLIENT, "howdah.PosixProtocol",
                                        "howdah.MetaProtocol", NULL};

enum { PUSHES = 8 };

/* A meta of straw; what is not atomic is its own thread's. */
struct meta {
    struct test_server server;
    char address[64];
    atomic_ullong session; /* 0: knows none */
    atomic_uint lease_ms;
    atomic_bool deaf; /* keeps every call */
    atomic_ullong txid;
    atomic_uint polls, reclaims, attrs;
    atomic_ullong reclaimed_orphan;
    atomic_uint answered;    /* bits: serials */
    atomic_uint answer_held; /* the same */
    Hdw__Push pushes[PUSHES];
    atomic_int push_count; /* of those that wait to be sent */
    struct hd_rpc_call *parked;
    struct hd_rpc_call *kept[64];
    int kept_count;
};

static void reply_session(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__OpenSessionRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__open_session_request__descriptor);
    Hdw__OpenSessionResponse r = HDW__OPEN_SESSION_RESPONSE__INIT;
    char cluster[] = "CID-1";
    r.cluster_id = cluster;
    r.txid = m->txid;
    r.has_session = q->has_pushes && m->session != 0;
    r.session = m->session;
    r.has_lease_ms = true;
    r.lease_ms = m->lease_ms;
    r.has_content_max = true;
    r.content_max = 4096;
    r.has_trusted = r.trusted = true;
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void answer_poll(struct meta *m, struct hd_rpc_call *call)
{
    Hdw__PollResponse r = HDW__POLL_RESPONSE__INIT;
    Hdw__Push *pushes[PUSHES];
    for (int i = 0; i < m->push_count; i++) {
        pushes[i] = &m->pushes[i];
    }
    r.pushes = pushes;
    r.n_pushes = (size_t)m->push_count;
    r.lease_ms = m->lease_ms;
    m->push_count = 0;
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void on_poll(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__PollRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__poll_request__descriptor);
    m->polls++;
    if (q->session != m->session) {
        hd_rpc_reply_error(call, -HD_E_NO_SESSION, "it has ended");
        return;
    }
    for (size_t i = 0; i < q->n_answers; i++) {
        m->answered |= 1u << q->answers[i]->serial;
        m->answer_held |= (q->answers[i]->held ? 1u : 0u) << q->answers[i]->serial;
    }
    if (q->wait_ms == 0 || m->push_count > 0) {
        answer_poll(m, call);
        return;
    }
    if (m->parked != NULL) {
        answer_poll(m, m->parked);
    }
    m->parked = call;
}

static void on_get_attr(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__GetAttrRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__get_attr_request__descriptor);
    Hdw__GetAttrResponse r = HDW__GET_ATTR_RESPONSE__INIT;
    Hdw__PosixAttr a = HDW__POSIX_ATTR__INIT;
    char name[] = "root";
    a.ino = q->ino;
    a.mode = 0100644;
    a.nlink = 1;
    a.user = a.group = name;
    a.has_cached = a.cached = true;
    r.attr = &a;
    m->attrs++;
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void on_forget(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__ForgetOrphansRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__forget_orphans_request__descriptor);
    Hdw__ForgetOrphansResponse r = HDW__FORGET_ORPHANS_RESPONSE__INIT;
    if (q->session != m->session) {
        hd_rpc_reply_error(call, -HD_E_NO_SESSION, "it has ended");
        return;
    }
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void on_reclaim(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__ReclaimRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__reclaim_request__descriptor);
    Hdw__ReclaimResponse r = HDW__RECLAIM_RESPONSE__INIT;
    ATF_CHECK_EQ(q->session, m->session);
    m->reclaims++;
    if (q->n_orphans > 0) {
        m->reclaimed_orphan = q->orphans[0];
    }
    r.lost = q->orphans;
    r.n_lost = q->n_orphans;
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct meta *m = ctx;
    if (m->deaf) {
        ATF_REQUIRE(m->kept_count < 64);
        m->kept[m->kept_count++] = call;
    } else if (strcmp(call->method, "openSession") == 0) {
        reply_session(m, call);
    } else if (strcmp(call->method, "poll") == 0) {
        on_poll(m, call);
    } else if (strcmp(call->method, "getAttr") == 0) {
        on_get_attr(m, call);
    } else if (strcmp(call->method, "forgetOrphans") == 0) {
        on_forget(m, call);
    } else if (strcmp(call->method, "reclaim") == 0) {
        on_reclaim(m, call);
    } else if (strcmp(call->method, "syncTxid") == 0) {
        Hdw__SyncTxidResponse r = HDW__SYNC_TXID_RESPONSE__INIT;
        hd_rpc_reply(call, &r.base, (int64_t)m->txid);
    } else if (strcmp(call->method, "getServerDefaults") == 0) {
        Hdw__GetServerDefaultsResponse r = HDW__GET_SERVER_DEFAULTS_RESPONSE__INIT;
        Hdw__FsServerDefaults d = HDW__FS_SERVER_DEFAULTS__INIT;
        d.block_size = 1 << 20;
        d.bytes_per_checksum = 512;
        r.server_defaults = &d;
        hd_rpc_reply(call, &r.base, (int64_t)m->txid);
    } else {
        hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, call->method);
    }
}

static void end_calls(void *ctx)
{
    struct meta *m = ctx;
    if (m->parked != NULL) {
        hd_rpc_reply_error(HD_TAKE_PTR(m->parked), -EINTR, "");
    }
    while (m->kept_count > 0) {
        hd_rpc_reply_error(m->kept[--m->kept_count], -EINTR, "");
    }
}

static void meta_start(struct meta *m, uint64_t session)
{
    *m = (struct meta){0};
    m->session = session;
    m->lease_ms = 10000;
    m->txid = 10;
    struct hd_rpc_server_options o = {.protocols = protocols, .on_call = on_call, .ctx = m};
    test_server_start(&m->server, &o);
    m->server.at_end = end_calls;
    m->server.at_end_ctx = m;
    snprintf(m->address, sizeof(m->address), "127.0.0.1:%d", m->server.port);
}

/* On the server's thread: the parked poll brings what is pushed. */
static void flush(void *ctx)
{
    struct meta *m = ctx;
    if (m->parked != NULL && m->push_count > 0) {
        answer_poll(m, HD_TAKE_PTR(m->parked));
    }
}

static void push(struct meta *m, uint64_t serial, Hdw__PushKind kind, uint64_t ino)
{
    Hdw__Push *p = &m->pushes[m->push_count];
    hdw__push__init(p);
    p->serial = serial;
    p->kind = kind;
    p->ino = ino;
    p->txid = 11;
    if (kind == HDW__PUSH_KIND__PUSH_ENTRY) {
        p->has_name = true;
        p->name.data = (uint8_t *)(uintptr_t) "name";
        p->name.len = 4;
    }
    m->push_count++;
}

static void send_pushes(struct meta *m)
{
    ATF_REQUIRE_EQ(hd_loop_post(m->server.loop, flush, m), 0);
}

/* What the mount was told. */
struct told {
    struct hd_posix *posix;
    atomic_uint attrs, entries, gone, lost, reclaims, recalls;
    atomic_ullong entry_serial;
    atomic_bool block_recall;
    atomic_bool in_recall;
    atomic_ullong reclaim_lost;
    atomic_uint calls_before_lost;
    struct meta *meta;
};

static bool on_attr(void *ctx, uint64_t ino, uint64_t txid, uint64_t serial)
{
    struct told *t = ctx;
    (void)serial;
    ATF_CHECK_EQ(ino, 7);
    ATF_CHECK_EQ(txid, 11);
    t->attrs++;
    return true;
}

static bool on_entry(void *ctx, uint64_t dir, const char *name, uint64_t child, uint64_t txid,
                     uint64_t serial)
{
    struct told *t = ctx;
    (void)child;
    (void)txid;
    ATF_CHECK_EQ(dir, 8);
    ATF_CHECK_STREQ(name, "name");
    t->entry_serial = serial;
    t->entries++;
    return false;
}

static void on_recall_event(void *ctx, uint64_t ino, Hdw__CapKind keep, uint64_t serial)
{
    struct told *t = ctx;
    (void)ino;
    (void)keep;
    (void)serial;
    t->in_recall = true;
    while (t->block_recall) {
        hd_clock_sleep_ms(1);
    }
    t->recalls++;
}

static bool on_gone(void *ctx, uint64_t ino, uint64_t txid)
{
    struct told *t = ctx;
    (void)txid;
    t->gone++;
    return ino == 9;
}

static void on_lost(void *ctx)
{
    struct told *t = ctx;
    t->calls_before_lost = t->meta->attrs;
    t->lost++;
}

static void on_reclaim_event(void *ctx, struct hd_posix_holdings *h)
{
    struct told *t = ctx;
    ATF_CHECK_EQ(hd_posix_hold_orphan(h, 77), 0);
    t->reclaims++;
}

static void on_reclaimed(void *ctx, const uint64_t *lost, size_t count)
{
    struct told *t = ctx;
    t->reclaim_lost = count > 0 ? lost[0] : 0;
}

static struct hd_fs *open_fs(const struct meta *m)
{
    char uri[128];
    snprintf(uri, sizeof(uri), "hdfs://%s", m->address);
    struct hd_fs_options o = {.uri = uri, .retry_ms = 10000, .relaxed = true, .user = "alice"};
    struct hd_fs *fs;
    ATF_REQUIRE_EQ(hd_fs_open(&o, &fs), 0);
    return fs;
}

static struct hd_fs *open_posix(struct meta *m, struct told *t)
{
    struct hd_fs *fs = open_fs(m);
    *t = (struct told){.meta = m};
    struct hd_posix_events e = {
        .ctx = t,
        .on_attr = on_attr,
        .on_entry = on_entry,
        .on_recall = on_recall_event,
        .on_gone = on_gone,
        .on_lost = on_lost,
        .on_reclaim = on_reclaim_event,
        .on_reclaimed = on_reclaimed,
    };
    int rc = hd_posix_open(fs, &e, &t->posix);
    ATF_REQUIRE_EQ_MSG(rc, 0, "%d %s", rc, hd_fail_text());
    return fs;
}

static void close_all(struct meta *m, struct told *t, struct hd_fs *fs)
{
    hd_posix_close(t->posix);
    hd_fs_close(fs);
    test_server_stop(&m->server);
}

#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int64_t until_ = hd_clock_mono_ms().v + 10000;                                             \
        while (!(condition) && hd_clock_mono_ms().v < until_) {                                    \
            hd_clock_sleep_ms(1);                                                                  \
        }                                                                                          \
        ATF_CHECK_MSG((condition), #condition);                                                    \
    } while (0)

ATF_TC_WITHOUT_HEAD(a_server_without_sessions_is_refused_and_serves_on);
ATF_TC_BODY(a_server_without_sessions_is_refused_and_serves_on, tc)
{
    struct meta m;
    struct hd_posix *p = NULL;
    struct hd_defaults d;
    meta_start(&m, 0);
    struct hd_fs *fs = open_fs(&m);
    const struct hd_posix_events none = {0};
    ATF_CHECK_EQ(hd_posix_open(fs, &none, &p), -EOPNOTSUPP);
    ATF_CHECK_EQ(p, NULL);
    ATF_CHECK_EQ(hd_fs_defaults(fs, &d), 0);
    hd_fs_close(fs);
    test_server_stop(&m.server);
}

ATF_TC_WITHOUT_HEAD(an_answer_says_what_it_is_as_of);
ATF_TC_BODY(an_answer_says_what_it_is_as_of, tc)
{
    struct meta m;
    struct told t;
    struct hd_posix_attr a;
    meta_start(&m, 5);
    struct hd_fs *fs = open_posix(&m, &t);
    ATF_CHECK_EQ(hd_posix_session(t.posix), 5);
    ATF_CHECK_EQ(hd_posix_content_max(t.posix), 4096);
    ATF_CHECK(hd_posix_is_trusted(t.posix));
    m.txid = 33;
    ATF_REQUIRE_EQ(hd_posix_get_attr(t.posix, 21, &a), 0);
    ATF_CHECK_EQ(a.ino, 21);
    ATF_CHECK(a.cached);
    ATF_CHECK_EQ(a.as_of.txid, 33);
    ATF_CHECK_EQ(a.as_of.era, hd_posix_era(t.posix));
    hd_posix_attr_done(&a);
    close_all(&m, &t, fs);
}

ATF_TC_WITHOUT_HEAD(pushes_are_answered_when_they_are_done);
ATF_TC_BODY(pushes_are_answered_when_they_are_done, tc)
{
    struct meta m;
    struct told t;
    meta_start(&m, 5);
    struct hd_fs *fs = open_posix(&m, &t);
    EVENTUALLY(m.polls > 0);
    push(&m, 1, HDW__PUSH_KIND__PUSH_ATTR, 7);
    push(&m, 2, HDW__PUSH_KIND__PUSH_ENTRY, 8);
    push(&m, 3, HDW__PUSH_KIND__PUSH_GONE, 9);
    push(&m, 4, HDW__PUSH_KIND__PUSH_GONE, 10);
    send_pushes(&m);
    EVENTUALLY((m.answered & 1u << 1) != 0);
    EVENTUALLY((m.answered & 1u << 3) != 0 && (m.answered & 1u << 4) != 0);
    ATF_CHECK_EQ(m.answer_held & 1u << 3, 1u << 3);
    ATF_CHECK_EQ(m.answer_held & 1u << 4, 0);
    ATF_CHECK_EQ(t.entries, 1);
    ATF_CHECK_EQ(m.answered & 1u << 2, 0);
    hd_posix_answer(t.posix, t.entry_serial);
    hd_posix_answer(t.posix, t.entry_serial); /* twice does no harm */
    EVENTUALLY((m.answered & 1u << 2) != 0);
    close_all(&m, &t, fs);
}

ATF_TC_WITHOUT_HEAD(a_recall_that_blocks_stops_no_other_push);
ATF_TC_BODY(a_recall_that_blocks_stops_no_other_push, tc)
{
    struct meta m;
    struct told t;
    meta_start(&m, 5);
    struct hd_fs *fs = open_posix(&m, &t);
    t.block_recall = true;
    EVENTUALLY(m.polls > 0);
    push(&m, 1, HDW__PUSH_KIND__PUSH_RECALL, 7);
    send_pushes(&m);
    EVENTUALLY(t.in_recall);
    push(&m, 1, HDW__PUSH_KIND__PUSH_RECALL, 7); /* again: it is the same */
    push(&m, 2, HDW__PUSH_KIND__PUSH_ATTR, 7);
    send_pushes(&m);
    EVENTUALLY((m.answered & 1u << 2) != 0);
    ATF_CHECK_EQ(m.answered & 1u << 1, 0);
    t.block_recall = false;
    EVENTUALLY((m.answered & 1u << 1) != 0);
    ATF_CHECK_EQ(t.recalls, 1);
    close_all(&m, &t, fs);
}

ATF_TC_WITHOUT_HEAD(a_session_that_ended_is_opened_anew_before_calls_go_on);
ATF_TC_BODY(a_session_that_ended_is_opened_anew_before_calls_go_on, tc)
{
    struct meta m;
    struct told t;
    meta_start(&m, 5);
    struct hd_fs *fs = open_posix(&m, &t);
    uint32_t era = hd_posix_era(t.posix);
    const uint64_t orphan = 77;
    EVENTUALLY(m.polls > 0);
    m.session = 6;
    int rc = hd_posix_forget_orphans(t.posix, &orphan, 1);
    ATF_CHECK_EQ_MSG(rc, 0, "%d %s", rc, hd_fail_text());
    ATF_CHECK_EQ(t.lost, 1);
    ATF_CHECK_EQ(t.reclaims, 1);
    ATF_CHECK_EQ(m.reclaimed_orphan, 77);
    ATF_CHECK_EQ(t.reclaim_lost, 77);
    ATF_CHECK_EQ(hd_posix_session(t.posix), 6);
    ATF_CHECK_EQ(hd_posix_era(t.posix), era + 1);
    close_all(&m, &t, fs);
}

ATF_TC_WITHOUT_HEAD(silence_for_two_thirds_of_the_lease_ends_the_session);
ATF_TC_BODY(silence_for_two_thirds_of_the_lease_ends_the_session, tc)
{
    struct meta m;
    struct told t;
    meta_start(&m, 5);
    m.lease_ms = 900;
    struct hd_fs *fs = open_posix(&m, &t);
    EVENTUALLY(m.polls > 0);
    ATF_CHECK_EQ(t.lost, 0);
    m.deaf = true;
    int64_t began = hd_clock_mono_ms().v;
    EVENTUALLY(t.lost > 0);
    ATF_CHECK(hd_clock_mono_ms().v - began < 900 + 500);
    close_all(&m, &t, fs);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_server_without_sessions_is_refused_and_serves_on);
    ATF_TP_ADD_TC(tp, an_answer_says_what_it_is_as_of);
    ATF_TP_ADD_TC(tp, pushes_are_answered_when_they_are_done);
    ATF_TP_ADD_TC(tp, a_recall_that_blocks_stops_no_other_push);
    ATF_TP_ADD_TC(tp, a_session_that_ended_is_opened_anew_before_calls_go_on);
    ATF_TP_ADD_TC(tp, silence_for_two_thirds_of_the_lease_ends_the_session);
    return atf_no_error();
}
