/* A session between stub metas: who is followed, and what happens to calls under way. */
#include "fs/client/howdah.h"
#include "fs/os/clock.h"
#include "tests/support/rpc_peer.h"

#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <stdatomic.h>

static const char *const protocols[] = {HD_PROTOCOL_CLIENT, "howdah.PosixProtocol",
                                        "howdah.MetaProtocol", NULL};
static const char *const foreign_protocols[] = {HD_PROTOCOL_CLIENT, NULL};

/* A meta of straw. What it is may be changed while it serves. */
struct meta {
    struct test_server server;
    char address[64];
    const char *other; /* told by openSession; or NULL */
    const char *cluster;
    atomic_bool primary;
    atomic_bool deaf; /* reads calls and keeps them */
    atomic_ullong epoch;
    atomic_ullong txid;
    atomic_ullong incarnation;
    atomic_ullong first_txid;
    atomic_int deletes; /* heard */
    atomic_int sessions;
    atomic_int last_call_id;
    atomic_int last_retry;
    uint8_t last_client_id[16];
    struct hd_rpc_call *kept[64];
    int kept_count;
};

static void reply_session(struct meta *m, struct hd_rpc_call *call)
{
    Hdw__OpenSessionResponse r = HDW__OPEN_SESSION_RESPONSE__INIT;
    char *addresses[] = {m->address, (char *)(uintptr_t)m->other};
    r.cluster_id = (char *)(uintptr_t)m->cluster;
    r.txid = m->txid;
    r.has_epoch = true;
    r.epoch = m->epoch;
    r.n_meta_addresses = m->other != NULL ? 2 : 0;
    r.meta_addresses = addresses;
    r.has_incarnation = r.has_first_txid = m->incarnation != 0;
    r.incarnation = m->incarnation;
    r.first_txid = m->first_txid;
    m->sessions++;
    hd_rpc_reply(call, &r.base, (int64_t)m->txid);
}

static void reply_cluster(struct meta *m, struct hd_rpc_call *call)
{
    Hdw__GetClusterResponse r = HDW__GET_CLUSTER_RESPONSE__INIT;
    r.cluster_id = r.block_pool_id = (char *)(uintptr_t)m->cluster;
    r.role = (char *)(uintptr_t)(m->primary ? "primary" : "secondary");
    r.has_epoch = true;
    r.epoch = m->epoch;
    hd_rpc_reply(call, &r.base, 0);
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct meta *m = ctx;
    bool is_delete = strcmp(call->method, "delete") == 0;
    if (is_delete) {
        m->last_call_id = call->call_id;
        m->last_retry = call->retry_count;
        memcpy(m->last_client_id, call->client_id, sizeof(m->last_client_id));
        m->deletes++;
    }
    if (m->deaf) {
        ATF_REQUIRE(m->kept_count < 64);
        m->kept[m->kept_count++] = call;
    } else if (strcmp(call->method, "getCluster") == 0) {
        reply_cluster(m, call);
    } else if (!m->primary) {
        hd_rpc_reply_error(call, -HD_E_STANDBY, "not here");
    } else if (strcmp(call->method, "openSession") == 0) {
        reply_session(m, call);
    } else if (strcmp(call->method, "syncTxid") == 0) {
        Hdw__SyncTxidResponse r = HDW__SYNC_TXID_RESPONSE__INIT;
        r.durable_txid = m->txid;
        hd_rpc_reply(call, &r.base, 0);
    } else if (is_delete) {
        Hdw__DeleteResponse r = HDW__DELETE_RESPONSE__INIT;
        r.result = true;
        hd_rpc_reply(call, &r.base, (int64_t)++m->txid);
    } else {
        hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, call->method);
    }
}

static void end_kept(void *ctx)
{
    struct meta *m = ctx;
    while (m->kept_count > 0) {
        hd_rpc_reply_error(m->kept[--m->kept_count], -EINTR, "");
    }
}

static void meta_start(struct meta *m, bool primary, uint64_t epoch, const char *const *served)
{
    *m = (struct meta){.cluster = "CID-1"};
    m->primary = primary;
    m->epoch = epoch;
    m->txid = 10;
    struct hd_rpc_server_options o = {.protocols = served, .on_call = on_call, .ctx = m};
    test_server_start(&m->server, &o);
    m->server.at_end = end_kept;
    m->server.at_end_ctx = m;
    snprintf(m->address, sizeof(m->address), "127.0.0.1:%d", m->server.port);
}

static struct hd_fs *open_fs(const struct meta *a, const struct meta *b, bool relaxed)
{
    char uri[256];
    snprintf(uri, sizeof(uri), "hdfs://%s", a->address);
    struct hd_fs_options o = {.uri = uri,
                              .meta_addresses = b != NULL ? b->address : NULL,
                              .retry_ms = 4000,
                              .relaxed = relaxed,
                              .user = "alice"};
    struct hd_fs *fs;
    ATF_REQUIRE_EQ(hd_fs_open(&o, &fs), 0);
    return fs;
}

static void check_delete(struct hd_fs *fs)
{
    int rc = hd_fs_delete(fs, "/x", false);
    ATF_CHECK_EQ_MSG(rc, 1, "%d %s", rc, hd_fail_text());
}

ATF_TC_WITHOUT_HEAD(a_standby_is_left_for_the_primary);
ATF_TC_BODY(a_standby_is_left_for_the_primary, tc)
{
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        struct meta a, b;
        meta_start(&a, false, 1, protocols);
        meta_start(&b, true, 1, protocols);
        struct hd_fs *fs = open_fs(&a, &b, relaxed == 1);
        int64_t began = hd_clock_mono_ms().v;
        check_delete(fs);
        ATF_CHECK(hd_clock_mono_ms().v - began < 500);
        ATF_CHECK_EQ(a.deletes, 0); /* the hello told */
        char meta[HD_META_TEXT_BYTES];
        hd_fs_meta(fs, meta);
        ATF_CHECK_STREQ(meta, b.address);
        hd_fs_close(fs);
        test_server_stop(&a.server);
        test_server_stop(&b.server);
    }
}

ATF_TC_WITHOUT_HEAD(a_silent_primary_is_left_after_a_second_with_the_same_ids);
ATF_TC_BODY(a_silent_primary_is_left_after_a_second_with_the_same_ids, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols);
    a.other = b.address; /* only the first is configured */
    struct hd_fs *fs = open_fs(&a, NULL, true);
    check_delete(fs);
    a.deaf = true;
    b.epoch = 2;
    b.primary = true;
    int64_t began = hd_clock_mono_ms().v;
    check_delete(fs);
    int64_t took = hd_clock_mono_ms().v - began;
    ATF_CHECK_MSG(took >= 900 && took < 2500, "%lld ms", (long long)took);
    ATF_CHECK_EQ(a.deletes, 2);
    ATF_CHECK_EQ(b.deletes, 1);
    ATF_CHECK_EQ(a.last_call_id, b.last_call_id);
    ATF_CHECK_EQ(b.last_retry, 1);
    ATF_CHECK_EQ(memcmp(a.last_client_id, b.last_client_id, 16), 0);
    ATF_CHECK_EQ(b.sessions, 1);
    hd_fs_close(fs);
    test_server_stop(&a.server);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(a_woken_old_primary_is_not_gone_back_to);
ATF_TC_BODY(a_woken_old_primary_is_not_gone_back_to, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, true, 2, protocols);
    struct hd_fs *fs = open_fs(&b, &a, true);
    check_delete(fs);
    b.primary = false; /* for a moment nobody of epoch 2 serves; epoch 1 offers itself */
    int rc = hd_fs_delete(fs, "/x", false);
    ATF_CHECK_MSG(rc == -HD_E_STANDBY, "%d", rc);
    ATF_CHECK_EQ(a.deletes, 0);
    b.primary = true;
    check_delete(fs);
    hd_fs_close(fs);
    test_server_stop(&a.server);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(a_slow_primary_stays_when_no_epoch_is_higher);
ATF_TC_BODY(a_slow_primary_stays_when_no_epoch_is_higher, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols);
    struct hd_fs *fs = open_fs(&a, &b, false);
    check_delete(fs);
    a.deaf = true;
    struct hd_fs *other;
    ATF_REQUIRE_EQ(hd_fs_as(fs, "bob", &other), 0);
    char meta[HD_META_TEXT_BYTES];
    hd_clock_sleep_ms(10);
    hd_fs_meta(fs, meta);
    ATF_CHECK_STREQ(meta, a.address);
    a.deaf = false;
    check_delete(other);
    hd_fs_close(fs);
    test_server_stop(&a.server);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(a_dead_primary_is_left_at_once);
ATF_TC_BODY(a_dead_primary_is_left_at_once, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols);
    struct hd_fs *fs = open_fs(&a, &b, true);
    struct hd_fs *bob;
    ATF_REQUIRE_EQ(hd_fs_as(fs, "bob", &bob), 0);
    check_delete(fs);
    check_delete(bob);
    test_server_stop(&a.server);
    b.epoch = 2;
    b.primary = true;
    int64_t began = hd_clock_mono_ms().v;
    check_delete(fs);
    check_delete(bob);
    ATF_CHECK(hd_clock_mono_ms().v - began < 500);
    ATF_CHECK_EQ(b.deletes, 2);
    hd_fs_close(fs);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(foreign_servers_are_tried_in_turn);
ATF_TC_BODY(foreign_servers_are_tried_in_turn, tc)
{
    struct meta a, b;
    meta_start(&a, false, 0, foreign_protocols);
    meta_start(&b, true, 0, foreign_protocols);
    struct hd_fs *fs = open_fs(&a, &b, false);
    check_delete(fs);
    ATF_CHECK_EQ(b.deletes, 1);
    b.primary = false;
    a.primary = true;
    check_delete(fs);
    hd_fs_close(fs);
    test_server_stop(&a.server);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(another_cluster_at_a_known_address_is_not_followed);
ATF_TC_BODY(another_cluster_at_a_known_address_is_not_followed, tc)
{
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        struct meta a, b;
        meta_start(&a, true, 1, protocols);
        meta_start(&b, true, 9, protocols);
        b.cluster = "CID-2";
        struct hd_fs *fs = open_fs(&a, &b, relaxed == 1);
        check_delete(fs);
        a.primary = false;
        b.deletes = 0;
        ATF_CHECK_EQ(hd_fs_delete(fs, "/x", false), -HD_E_STANDBY);
        ATF_CHECK_EQ(b.deletes, 0);
        a.primary = true;
        check_delete(fs);
        hd_fs_close(fs);
        test_server_stop(&a.server);
        test_server_stop(&b.server);
    }
}

ATF_TC_WITHOUT_HEAD(what_got_lost_is_told_once_to_each_point_of_view);
ATF_TC_BODY(what_got_lost_is_told_once_to_each_point_of_view, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols);
    a.incarnation = 7;
    a.first_txid = 1;
    struct hd_fs *fs = open_fs(&a, &b, true);
    check_delete(fs); /* txid 11 */
    ATF_CHECK_EQ(hd_fs_sync(fs), 0);
    check_delete(fs); /* txid 12, not synced */
    uint32_t one = hd_fs_losses(fs);
    uint32_t two = hd_fs_losses(fs);
    test_server_stop(&a.server);
    b.epoch = 2;
    b.incarnation = 8;
    b.first_txid = 12;
    b.txid = 40; /* others have gone on since */
    b.primary = true;
    ATF_CHECK_EQ(hd_fs_sync_since(fs, &one), -EIO);
    ATF_CHECK_EQ(hd_fs_sync_since(fs, &one), 0);
    ATF_CHECK_EQ(hd_fs_sync_since(fs, &two), -EIO);
    ATF_CHECK_EQ(hd_fs_sync(fs), -EIO);
    ATF_CHECK_EQ(hd_fs_sync(fs), 0);
    uint32_t late = hd_fs_losses(fs);
    check_delete(fs);
    ATF_CHECK_EQ(hd_fs_sync_since(fs, &late), 0);
    hd_fs_close(fs);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(what_was_shipped_in_time_is_not_lost);
ATF_TC_BODY(what_was_shipped_in_time_is_not_lost, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols);
    a.incarnation = 7;
    a.first_txid = 1;
    struct hd_fs *fs = open_fs(&a, &b, true);
    check_delete(fs); /* txid 11 */
    test_server_stop(&a.server);
    b.epoch = 2;
    b.incarnation = 8;
    b.first_txid = 12;
    b.txid = 12;
    b.primary = true;
    ATF_CHECK_EQ(hd_fs_sync(fs), 0);
    hd_fs_close(fs);
    test_server_stop(&b.server);
}

/* What a program does that ends while meta does not answer: it leaves, and a call is over soon. */
static void *leave(void *ctx)
{
    struct hd_fs *fs = ctx;
    for (int i = 0; i < 12; i++) {
        hd_clock_sleep_ms(100);
        hd_fs_leave(fs, 500);
    }
    return NULL;
}

static void check_left(struct hd_fs *fs)
{
    pthread_t thread;
    int64_t began = hd_clock_mono_ms().v;
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, leave, fs), 0);
    ATF_CHECK(hd_fs_delete(fs, "/x", false) < 0);
    int64_t took = hd_clock_mono_ms().v - began;
    ATF_CHECK_MSG(took >= 500 && took < 1200, "%lld ms", (long long)took);
    pthread_join(thread, NULL);
    began = hd_clock_mono_ms().v;
    ATF_CHECK(hd_fs_delete(fs, "/y", false) < 0);
    ATF_CHECK(hd_clock_mono_ms().v - began < 100);
    hd_fs_close(fs);
    ATF_CHECK(hd_clock_mono_ms().v - began < 1000);
}

ATF_TC_WITHOUT_HEAD(who_leaves_does_not_wait_for_a_meta_that_is_gone);
ATF_TC_BODY(who_leaves_does_not_wait_for_a_meta_that_is_gone, tc)
{
    struct meta a, b;
    meta_start(&a, true, 1, protocols);
    meta_start(&b, false, 1, protocols); /* and the other is a standby */
    struct hd_fs *fs = open_fs(&a, &b, true);
    check_delete(fs);
    test_server_stop(&a.server);
    check_left(fs);
    test_server_stop(&b.server);
}

ATF_TC_WITHOUT_HEAD(who_leaves_does_not_wait_for_a_meta_that_says_nothing);
ATF_TC_BODY(who_leaves_does_not_wait_for_a_meta_that_says_nothing, tc)
{
    for (int greeted = 0; greeted < 2; greeted++) {
        struct meta a;
        meta_start(&a, true, 1, protocols);
        struct hd_fs *fs = open_fs(&a, NULL, true);
        if (greeted == 1) {
            check_delete(fs);
        }
        a.deaf = true;
        check_left(fs);
        test_server_stop(&a.server);
    }
}

ATF_TC_WITHOUT_HEAD(who_leaves_a_meta_that_answers_may_take_its_time);
ATF_TC_BODY(who_leaves_a_meta_that_answers_may_take_its_time, tc)
{
    struct meta a;
    meta_start(&a, true, 1, protocols);
    struct hd_fs *fs = open_fs(&a, NULL, true);
    pthread_t thread;
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, leave, fs), 0);
    int64_t until_ms = hd_clock_mono_ms().v + 1500;
    while (hd_clock_mono_ms().v < until_ms) {
        check_delete(fs);
        hd_clock_sleep_ms(5);
    }
    pthread_join(thread, NULL);
    hd_clock_sleep_ms(700); /* silence is no absence when nobody asks */
    check_delete(fs);
    hd_fs_close(fs);
    test_server_stop(&a.server);
}

ATF_TC_WITHOUT_HEAD(a_uri_may_list_metas);
ATF_TC_BODY(a_uri_may_list_metas, tc)
{
    struct hd_fs_options o = {.uri = "hdfs://a.example:1,b.example,[::1]:3/dir"};
    struct hd_fs *fs;
    ATF_REQUIRE_EQ(hd_fs_open(&o, &fs), 0);
    ATF_CHECK_STREQ(hd_fs_uri(fs), "hdfs://a.example:1,b.example:8020,[::1]:3");
    char meta[HD_META_TEXT_BYTES];
    hd_fs_meta(fs, meta);
    ATF_CHECK_STREQ(meta, "a.example:1");
    hd_fs_close(fs);
    static const char *const bad[] = {"hdfs://", "hdfs:///dir", "hdfs://a:1,,b:2", "hdfs://a:1,",
                                      "http://a:1"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        o.uri = bad[i];
        ATF_CHECK_EQ_MSG(hd_fs_open(&o, &fs), -EINVAL, "%s", bad[i]);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_standby_is_left_for_the_primary);
    ATF_TP_ADD_TC(tp, a_silent_primary_is_left_after_a_second_with_the_same_ids);
    ATF_TP_ADD_TC(tp, a_woken_old_primary_is_not_gone_back_to);
    ATF_TP_ADD_TC(tp, a_slow_primary_stays_when_no_epoch_is_higher);
    ATF_TP_ADD_TC(tp, a_dead_primary_is_left_at_once);
    ATF_TP_ADD_TC(tp, foreign_servers_are_tried_in_turn);
    ATF_TP_ADD_TC(tp, another_cluster_at_a_known_address_is_not_followed);
    ATF_TP_ADD_TC(tp, what_got_lost_is_told_once_to_each_point_of_view);
    ATF_TP_ADD_TC(tp, what_was_shipped_in_time_is_not_lost);
    ATF_TP_ADD_TC(tp, who_leaves_does_not_wait_for_a_meta_that_is_gone);
    ATF_TP_ADD_TC(tp, who_leaves_does_not_wait_for_a_meta_that_says_nothing);
    ATF_TP_ADD_TC(tp, who_leaves_a_meta_that_answers_may_take_its_time);
    ATF_TP_ADD_TC(tp, a_uri_may_list_metas);
    return atf_no_error();
}
