/* The apply thread on a store in memory: order, applied txid, snapshots. */
#include "meta/shell/apply_thread.h"
#include "fs/base/error.h"
#include "meta/shell/view.h"

#include <atf-c.h>
#include <errno.h>
#include <semaphore.h>

struct snapshot {
    sem_t done;
    int err;
    struct hd_kv_snapshot *s;
    struct hd_txid applied;
};

static void on_snapshot(void *ctx, int err, struct hd_kv_snapshot *s, struct hd_txid applied)
{
    struct snapshot *p = ctx;
    p->err = err;
    p->s = s;
    p->applied = applied;
    sem_post(&p->done);
}

static void submit(struct hd_apply_thread *t, unsigned i)
{
    struct hd_kv_batch b = {0};
    char value[16];
    int n = snprintf(value, sizeof(value), "%u", i);
    ATF_REQUIRE_EQ(hd_kv_batch_put(&b, "last", 4, value, (size_t)n), 0);
    ATF_REQUIRE_EQ(hd_kv_batch_put(&b, value, (size_t)n, "x", 1), 0);
    ATF_REQUIRE_EQ(hd_apply_thread_submit(t, &b, (struct hd_txid){i}), 0);
    ATF_CHECK_EQ(b.count, 0);
    hd_kv_batch_done(&b);
}

static unsigned count_keys(struct hd_kv *kv, struct hd_kv_snapshot *s)
{
    struct hd_kv_iter *it;
    struct hd_kv_op op;
    unsigned n = 0;
    ATF_REQUIRE_EQ(hd_kv_iter_new(kv, s, &it), 0);
    while (hd_kv_iter_next(it, &op) > 0) {
        n++;
    }
    hd_kv_iter_free(it);
    return n;
}

ATF_TC_WITHOUT_HEAD(batches_are_applied_in_order_up_to_the_last);
ATF_TC_BODY(batches_are_applied_in_order_up_to_the_last, tc)
{
    struct hd_kv *kv;
    struct hd_apply_thread *t;
    HD_AUTO(hd_buf_done) struct hd_buf value = {0};
    struct hd_txid applied = {0};
    ATF_REQUIRE_EQ(hd_kv_open_memory(&kv), 0);
    ATF_CHECK_EQ(hd_view_applied_get(kv, &applied), -ENOENT);
    ATF_REQUIRE_EQ(hd_apply_thread_start(kv, (struct hd_txid){0}, &t), 0);
    for (unsigned i = 1; i <= 1000; i++) {
        submit(t, i);
    }
    hd_apply_thread_stop(t);
    ATF_REQUIRE_EQ(hd_kv_get(kv, "last", 4, &value), 0);
    ATF_CHECK(value.size == 4 && memcmp(value.data, "1000", 4) == 0);
    ATF_REQUIRE_EQ(hd_view_applied_get(kv, &applied), 0);
    ATF_CHECK_EQ(applied.v, 1000);
    ATF_CHECK_EQ(count_keys(kv, NULL), 1002);
    hd_kv_close(kv);
}

ATF_TC_WITHOUT_HEAD(snapshot_has_what_was_submitted_before_it_and_nothing_else);
ATF_TC_BODY(snapshot_has_what_was_submitted_before_it_and_nothing_else, tc)
{
    struct hd_kv *kv;
    struct hd_apply_thread *t;
    struct snapshot s;
    sem_init(&s.done, 0, 0);
    ATF_REQUIRE_EQ(hd_kv_open_memory(&kv), 0);
    ATF_REQUIRE_EQ(hd_apply_thread_start(kv, (struct hd_txid){0}, &t), 0);
    for (unsigned i = 1; i <= 100; i++) {
        submit(t, i);
    }
    ATF_REQUIRE_EQ(hd_apply_thread_snapshot(t, on_snapshot, &s), 0);
    for (unsigned i = 101; i <= 200; i++) {
        submit(t, i);
    }
    sem_wait(&s.done);
    ATF_REQUIRE_EQ(s.err, 0);
    ATF_CHECK_EQ(s.applied.v, 100);
    ATF_CHECK_EQ(count_keys(kv, s.s), 102);
    hd_apply_thread_stop(t);
    hd_kv_snapshot_free(kv, s.s);
    ATF_CHECK_EQ(count_keys(kv, NULL), 202);
    hd_kv_close(kv);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, batches_are_applied_in_order_up_to_the_last);
    ATF_TP_ADD_TC(tp, snapshot_has_what_was_submitted_before_it_and_nothing_else);
    return atf_no_error();
}
