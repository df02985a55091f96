/* The log's threads on a real loop and a real segment: what is durable when, and in which order. */
#include "meta/shell/log_thread.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/os/fault.h"
#include "fs/os/file.h"
#include "meta/log/edit_log.h"

#include <atf-c.h>

struct fixture {
    struct hd_edit_log *log;
    struct hd_loop *loop;
    struct hd_log_thread *thread;
    struct hd_loop_timer *deadline;
    struct hd_txid written;
    struct hd_txid durable;
    struct hd_txid until; /* the loop stops when this is durable */
    struct hd_txid rolled;
    unsigned posts;
    bool late;
};

static void on_progress(void *ctx, struct hd_txid written, struct hd_txid durable)
{
    struct fixture *f = ctx;
    ATF_CHECK(written.v >= durable.v);
    ATF_CHECK(written.v >= f->written.v && durable.v >= f->durable.v);
    f->written = written;
    f->durable = durable;
    f->posts++;
    if (durable.v >= f->until.v) {
        hd_loop_stop(f->loop);
    }
}

static void on_deadline(void *ctx)
{
    struct fixture *f = ctx;
    f->late = true;
    hd_loop_stop(f->loop);
}

static void on_rolled(void *ctx, struct hd_txid last)
{
    struct fixture *f = ctx;
    f->rolled = last;
    hd_loop_stop(f->loop);
}

static void start(struct fixture *f, int64_t flush_ms)
{
    *f = (struct fixture){0};
    const struct hd_edit_log_options lo = {
        .dir = "log", .cluster_id = "CID-1", .segment_bytes = 4096};
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    ATF_REQUIRE_EQ(hd_edit_log_open(&lo, &f->log, NULL), 0);
    ATF_REQUIRE_EQ(hd_edit_log_start(f->log, (struct hd_txid){hd_edit_log_last(f->log).v + 1}), 0);
    ATF_REQUIRE_EQ(hd_loop_new(&f->loop), 0);
    ATF_REQUIRE_EQ(hd_loop_timer_add(f->loop, 20000, on_deadline, f, &f->deadline), 0);
    const struct hd_log_thread_options to = {
        .log = f->log, .loop = f->loop, .flush_ms = flush_ms, .on_progress = on_progress, .ctx = f};
    ATF_REQUIRE_EQ(hd_log_thread_start(&to, &f->thread), 0);
}

static void stop_loop(void *ctx)
{
    hd_loop_stop(ctx);
}

static void stop(struct fixture *f)
{
    hd_log_thread_stop(f->thread);
    ATF_REQUIRE_EQ(hd_loop_post(f->loop, stop_loop, f->loop), 0);
    ATF_REQUIRE_EQ(hd_loop_run(f->loop), 0);
    ATF_CHECK_EQ(hd_edit_log_stop(f->log), 0);
    hd_edit_log_close(f->log);
    hd_loop_timer_remove(f->deadline);
    hd_loop_free(f->loop);
    ATF_CHECK(!f->late);
}

static void submit(struct fixture *f, uint64_t first, uint64_t last, uint64_t want)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    for (uint64_t t = first; t <= last; t++) {
        const struct hd_record r = {{t}, {f->durable.v}, (const uint8_t *)"some payload", 12};
        ATF_REQUIRE_EQ(hd_record_encode(&b, &r), 0);
    }
    hd_log_thread_submit(f->thread, &b, (struct hd_txid){last}, (struct hd_txid){want});
    ATF_CHECK_EQ(b.size, 0);
}

static void run_until(struct fixture *f, uint64_t durable)
{
    f->until.v = durable;
    if (f->durable.v < durable) {
        ATF_REQUIRE_EQ(hd_loop_run(f->loop), 0);
    }
    ATF_REQUIRE(!f->late);
}

static int count_record(void *ctx, const struct hd_record *r)
{
    uint64_t *next = ctx;
    ATF_REQUIRE_EQ(r->txid.v, *next);
    (*next)++;
    return 0;
}

static void require_on_disk(uint64_t last)
{
    const struct hd_edit_log_options lo = {.dir = "log", .cluster_id = "CID-1"};
    struct hd_edit_log *l;
    uint64_t next = 1;
    ATF_REQUIRE_EQ_MSG(hd_edit_log_open(&lo, &l, NULL), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(hd_edit_log_replay(l, (struct hd_txid){1}, count_record, &next), 0);
    ATF_CHECK_EQ(next, last + 1);
    hd_edit_log_close(l);
}

ATF_TC_WITHOUT_HEAD(wanted_records_become_durable_at_once);
ATF_TC_BODY(wanted_records_become_durable_at_once, tc)
{
    struct fixture f;
    start(&f, 3600000);
    for (uint64_t t = 1; t <= 500; t++) { /* over many segments */
        submit(&f, t, t, t);
        if (t % 50 == 0) {
            run_until(&f, t);
        }
    }
    stop(&f);
    require_on_disk(500);
}

ATF_TC_WITHOUT_HEAD(unwanted_records_become_durable_by_time);
ATF_TC_BODY(unwanted_records_become_durable_by_time, tc)
{
    struct fixture f;
    start(&f, 20);
    submit(&f, 1, 5, 0);
    run_until(&f, 5);
    submit(&f, 6, 9, 0);
    run_until(&f, 9);
    stop(&f);
}

ATF_TC_WITHOUT_HEAD(written_comes_before_durable_and_a_later_want_syncs);
ATF_TC_BODY(written_comes_before_durable_and_a_later_want_syncs, tc)
{
    struct fixture f;
    struct hd_buf none = {0};
    start(&f, 3600000);
    submit(&f, 1, 3, 0);
    while (f.written.v < 3) {
        f.until.v = 0; /* any progress stops the loop */
        ATF_REQUIRE_EQ(hd_loop_run(f.loop), 0);
    }
    ATF_CHECK_EQ(f.durable.v, 0);
    hd_log_thread_submit(f.thread, &none, (struct hd_txid){3}, (struct hd_txid){3});
    run_until(&f, 3);
    stop(&f);
}

ATF_TC_WITHOUT_HEAD(roll_ends_the_segment_behind_what_was_submitted);
ATF_TC_BODY(roll_ends_the_segment_behind_what_was_submitted, tc)
{
    struct fixture f;
    start(&f, 3600000);
    submit(&f, 1, 7, 0);
    f.until.v = UINT64_MAX;
    ATF_REQUIRE_EQ(hd_log_thread_roll(f.thread, on_rolled, &f), 0);
    ATF_REQUIRE_EQ(hd_loop_run(f.loop), 0);
    ATF_CHECK_EQ(f.rolled.v, 7);
    ATF_CHECK_EQ(f.durable.v, 7); /* told before */
    struct hd_buf b = {0};
    ATF_CHECK_EQ(hd_file_read("log/edits_00000000000000000001-00000000000000000007", 1 << 20, &b),
                 0);
    hd_buf_done(&b);
    stop(&f);
}

ATF_TC_WITHOUT_HEAD(no_room_for_the_next_segment_is_waited_for);
ATF_TC_BODY(no_room_for_the_next_segment_is_waited_for, tc)
{
    struct fixture f;
    start(&f, 3600000);
    submit(&f, 1, 200, 0); /* more than a segment has */
    while (f.written.v < 200) {
        f.until.v = 0;
        ATF_REQUIRE_EQ(hd_loop_run(f.loop), 0);
    }
    const struct hd_fault full = {HD_FAULT_DISK_FULL, NULL, 0, 60000};
    ATF_REQUIRE_EQ(hd_fault_set(&full, 1), 0);
    submit(&f, 201, 210, 210);
    run_until(&f, 200); /* the segment before is finished, and nobody syncs one that is not there */
    ATF_CHECK(f.durable.v < 210);
    hd_log_thread_submit(f.thread, &(struct hd_buf){0}, (struct hd_txid){210},
                         (struct hd_txid){211});
    ATF_REQUIRE_EQ(hd_fault_set(NULL, 0), 0);
    run_until(&f, 210);
    stop(&f);
    require_on_disk(210);
}

ATF_TC_WITHOUT_HEAD(stop_loses_nothing_that_was_submitted);
ATF_TC_BODY(stop_loses_nothing_that_was_submitted, tc)
{
    struct fixture f;
    start(&f, 3600000);
    for (uint64_t t = 1; t <= 200; t++) {
        submit(&f, t, t, 0);
    }
    stop(&f);
    require_on_disk(200);
}

/* Submits, or writes now when that is possible; how many were written now. */
static unsigned write_or_submit(struct fixture *f, uint64_t txid, uint64_t want)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    const struct hd_record r = {{txid}, {f->durable.v}, (const uint8_t *)"some payload", 12};
    ATF_REQUIRE_EQ(hd_record_encode(&b, &r), 0);
    if (hd_log_thread_write_now(f->thread, &b, (struct hd_txid){txid}, (struct hd_txid){want})) {
        ATF_CHECK_EQ(b.size, 0);
        return 1;
    }
    ATF_CHECK(b.size > 0);
    hd_log_thread_submit(f->thread, &b, (struct hd_txid){txid}, (struct hd_txid){want});
    return 0;
}

ATF_TC_WITHOUT_HEAD(what_is_written_now_becomes_durable_as_the_rest);
ATF_TC_BODY(what_is_written_now_becomes_durable_as_the_rest, tc)
{
    struct fixture f;
    start(&f, 20);
    ATF_CHECK_EQ(write_or_submit(&f, 1, 0), 1);
    run_until(&f, 1); /* by time */
    ATF_CHECK_EQ(f.written.v, 1);
    ATF_CHECK_EQ(write_or_submit(&f, 2, 2), 1);
    run_until(&f, 2); /* at once */
    stop(&f);
    require_on_disk(2);
}

ATF_TC_WITHOUT_HEAD(the_executor_and_the_writer_take_turns);
ATF_TC_BODY(the_executor_and_the_writer_take_turns, tc)
{
    struct fixture f;
    unsigned now = 0;
    start(&f, 1);
    for (uint64_t t = 1; t <= 2000; t++) { /* over many segments: those the writer begins */
        now += write_or_submit(&f, t, t % 7 == 0 ? t : 0);
    }
    stop(&f);
    require_on_disk(2000);
    ATF_CHECK(now > 0 && now < 2000);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, wanted_records_become_durable_at_once);
    ATF_TP_ADD_TC(tp, unwanted_records_become_durable_by_time);
    ATF_TP_ADD_TC(tp, written_comes_before_durable_and_a_later_want_syncs);
    ATF_TP_ADD_TC(tp, roll_ends_the_segment_behind_what_was_submitted);
    ATF_TP_ADD_TC(tp, no_room_for_the_next_segment_is_waited_for);
    ATF_TP_ADD_TC(tp, stop_loses_nothing_that_was_submitted);
    ATF_TP_ADD_TC(tp, what_is_written_now_becomes_durable_as_the_rest);
    ATF_TP_ADD_TC(tp, the_executor_and_the_writer_take_turns);
    return atf_no_error();
}
