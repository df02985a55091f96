/* What a ledger says of names, and what samples say of time. */
#include "tools/drill/load_stats.h"
#include "tools/drill/timeline.h"
#include "tools/drill/verdict.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct said {
    enum hd_ledger_op op;
    enum hd_ledger_result result;
    const char *path;
};

/* The state of a name after some operations; -1 when the ledger does not know it. */
static int state_of(const struct said *list, size_t count, const char *path)
{
    struct hd_ledger_record records[16] = {0};
    struct hd_name *names;
    size_t name_count;
    char *text;
    int state = -1;
    for (size_t i = 0; i < count; i++) {
        records[i].op = list[i].op;
        records[i].result = list[i].result;
        snprintf(records[i].path, sizeof(records[i].path), "%s", list[i].path);
    }
    ATF_REQUIRE_EQ(hd_verdict_names(records, count, &names, &name_count, &text), 0);
    for (size_t i = 0; i < name_count; i++) {
        if (strcmp(names[i].path, path) == 0) {
            state = (int)names[i].state;
        }
    }
    free(names);
    free(text);
    return state;
}

#define STATE(path, ...)                                                                           \
    state_of((const struct said[]){__VA_ARGS__},                                                   \
             HD_ARRAY_COUNT(((const struct said[]){__VA_ARGS__})), path)

ATF_TC_WITHOUT_HEAD(acknowledged_names_are_where_they_were_put);
ATF_TC_BODY(acknowledged_names_are_where_they_were_put, tc)
{
    const struct said made = {HD_DID_MKDIR, HD_RESULT_OK, "/a"};
    const struct said renamed = {HD_DID_RENAME, HD_RESULT_OK, "/a>/b"};
    const struct said deleted = {HD_DID_DELETE, HD_RESULT_OK, "/b"};
    ATF_CHECK_EQ(STATE("/a", made), HD_NAME_THERE);
    ATF_CHECK_EQ(STATE("/a", made, renamed), HD_NAME_GONE);
    ATF_CHECK_EQ(STATE("/b", made, renamed), HD_NAME_THERE);
    ATF_CHECK_EQ(STATE("/b", made, renamed, deleted), HD_NAME_GONE);
}

ATF_TC_WITHOUT_HEAD(what_was_not_answered_may_be_either_way);
ATF_TC_BODY(what_was_not_answered_may_be_either_way, tc)
{
    const struct said made = {HD_DID_MKDIR, HD_RESULT_OK, "/a"};
    const struct said renamed = {HD_DID_RENAME, HD_RESULT_UNKNOWN, "/a>/b"};
    ATF_CHECK_EQ(STATE("/a", made, renamed), HD_NAME_UNKNOWN);
    ATF_CHECK_EQ(STATE("/b", made, renamed), HD_NAME_UNKNOWN);
}

ATF_TC_WITHOUT_HEAD(files_are_judged_by_their_bytes);
ATF_TC_BODY(files_are_judged_by_their_bytes, tc)
{
    const struct said put = {HD_DID_PUT, HD_RESULT_OK, "/f"};
    ATF_CHECK_EQ(STATE("/f", put), -1);
}

/* ---- samples ---- */

static const struct hd_sample well = {
    .answers = true, .live = 4, .agents = 4, .secondary_seen = true};

static struct hd_sample at(int64_t t_ms, uint32_t live, uint64_t under, bool answers)
{
    struct hd_sample s = well;
    s.t_ms = t_ms;
    s.live = live;
    s.under = under;
    s.answers = answers;
    return s;
}

ATF_TC_WITHOUT_HEAD(noticed_is_the_first_sample_that_differs);
ATF_TC_BODY(noticed_is_the_first_sample_that_differs, tc)
{
    const struct hd_sample list[] = {at(0, 4, 0, true), at(100, 4, 0, false), at(200, 4, 0, true),
                                     at(900, 3, 0, true), at(1500, 3, 7, true)};
    ATF_CHECK_EQ(hd_samples_noticed_ms(list, 5, 150, &well), 900);
    ATF_CHECK_EQ(hd_samples_noticed_ms(list, 5, 0, &well), 100);
    ATF_CHECK_EQ(hd_samples_noticed_ms(list, 5, 2000, &well), -1);
    struct hd_sample silent = at(0, 4, 0, true);
    silent.stale = 1;
    ATF_CHECK_EQ(hd_samples_noticed_ms(&silent, 1, 0, &well), 0);
    struct hd_sample alone = at(0, 4, 0, true);
    alone.exposed = true;
    ATF_CHECK_EQ(hd_samples_noticed_ms(&alone, 1, 0, &well), 0);
}

ATF_TC_WITHOUT_HEAD(mended_is_when_copies_were_last_made);
ATF_TC_BODY(mended_is_when_copies_were_last_made, tc)
{
    const struct hd_sample list[] = {at(0, 4, 0, true),    at(900, 3, 9, true),
                                     at(1500, 3, 0, true), at(1700, 3, 2, true),
                                     at(2500, 3, 0, true), at(4000, 4, 0, true)};
    ATF_CHECK_EQ(hd_samples_mended_ms(list, 6, 500), 2500);
    ATF_CHECK_EQ(hd_samples_mended_ms(list, 6, 3000), 3000); /* was never broken since */
}

/* ---- latencies ---- */

ATF_TC_WITHOUT_HEAD(buckets_hold_what_they_say);
ATF_TC_BODY(buckets_hold_what_they_say, tc)
{
    for (uint64_t us = 1; us < 1000000000; us = us * 3 + 1) {
        size_t b = hd_latency_bucket(us);
        ATF_CHECK(hd_latency_bound_ms(b) * 1000 >= (double)us * 0.999);
        ATF_CHECK(b == 0 || hd_latency_bound_ms(b - 1) * 1000 < (double)us);
    }
    ATF_CHECK_EQ(hd_latency_bucket(UINT64_MAX), HD_LATENCY_BUCKETS - 1);
}

ATF_TC_WITHOUT_HEAD(a_wait_goes_on_through_errors);
ATF_TC_BODY(a_wait_goes_on_through_errors, tc)
{
    struct hd_load_counts c;
    struct hd_load_waiting w = {0};
    struct hd_load_result r;
    hd_load_counts_init(&c);
    c.phase = HD_PHASE_DURING;
    hd_load_begin(&w, HD_CLASS_WRITE);
    uint64_t since = w.since_ns[HD_CLASS_WRITE];
    hd_load_end(&c, &w, HD_CLASS_WRITE, hd_fail(-EIO, "bad disk"));
    hd_load_begin(&w, HD_CLASS_WRITE);
    ATF_CHECK_EQ(w.since_ns[HD_CLASS_WRITE], since);
    w.since_ns[HD_CLASS_WRITE] -= UINT64_C(2000000000);
    hd_load_end(&c, &w, HD_CLASS_WRITE, 0);
    ATF_CHECK_EQ(w.since_ns[HD_CLASS_WRITE], 0);
    hd_load_counts_result(&c, &r);
    ATF_CHECK(r.longest_stall_s[HD_CLASS_WRITE] >= 2 && r.longest_stall_s[HD_CLASS_WRITE] < 3);
    ATF_CHECK_EQ(r.error_count, 1);
    ATF_CHECK_STREQ(r.errors[0].name, "EIO");
    ATF_CHECK_STREQ(r.errors[0].text, "bad disk");
    ATF_CHECK_EQ(r.stats[HD_CLASS_WRITE][HD_PHASE_DURING].count, 1);
    ATF_CHECK_EQ(r.stats[HD_CLASS_WRITE][HD_PHASE_BEFORE].count, 0);
    hd_load_counts_done(&c);
}

ATF_TC_WITHOUT_HEAD(what_was_slow_before_the_fault_is_not_its_doing);
ATF_TC_BODY(what_was_slow_before_the_fault_is_not_its_doing, tc)
{
    struct hd_load_counts c;
    struct hd_load_waiting w = {0};
    struct hd_load_result r;
    hd_load_counts_init(&c);
    hd_load_begin(&w, HD_CLASS_READ);
    w.since_ns[HD_CLASS_READ] -= UINT64_C(5000000000);
    hd_load_end(&c, &w, HD_CLASS_READ, 0);
    hd_load_counts_result(&c, &r);
    ATF_CHECK_EQ(r.longest_stall_s[HD_CLASS_READ], 0);
    ATF_CHECK(r.stats[HD_CLASS_READ][HD_PHASE_BEFORE].max_ms >= 5000);
    hd_load_counts_done(&c);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, acknowledged_names_are_where_they_were_put);
    ATF_TP_ADD_TC(tp, what_was_not_answered_may_be_either_way);
    ATF_TP_ADD_TC(tp, files_are_judged_by_their_bytes);
    ATF_TP_ADD_TC(tp, noticed_is_the_first_sample_that_differs);
    ATF_TP_ADD_TC(tp, mended_is_when_copies_were_last_made);
    ATF_TP_ADD_TC(tp, buckets_hold_what_they_say);
    ATF_TP_ADD_TC(tp, a_wait_goes_on_through_errors);
    ATF_TP_ADD_TC(tp, what_was_slow_before_the_fault_is_not_its_doing);
    return atf_no_error();
}
