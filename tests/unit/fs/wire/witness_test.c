/* Which requests a witness accepts. */
#include "fs/wire/witness.h"

#include <atf-c.h>

enum { A = 7, B = 9 };

static bool ask(struct hd_witness *w, uint64_t epoch, uint64_t owner, uint64_t serial, bool exposed)
{
    const struct hd_witness_request r = {
        .epoch = epoch, .owner = owner, .serial = serial, .exposed = exposed};
    return hd_witness_ask(w, &r);
}

static bool claim(struct hd_witness *w, uint64_t epoch, uint64_t owner, bool force)
{
    const struct hd_witness_request r = {.epoch = epoch, .owner = owner, .force = force};
    return hd_witness_ask(w, &r);
}

ATF_TC_WITHOUT_HEAD(a_late_request_changes_nothing);
ATF_TC_BODY(a_late_request_changes_nothing, tc)
{
    struct hd_witness w = {0};
    ATF_CHECK(ask(&w, 1, A, 10, false));
    ATF_CHECK(ask(&w, 1, A, 12, true));
    ATF_CHECK(!ask(&w, 1, A, 11, false));
    ATF_CHECK(w.exposed);
    ATF_CHECK_MSG(ask(&w, 1, A, 12, true), "the same again, its answer was lost");
    ATF_CHECK(!ask(&w, 1, A, 12, false));
}

ATF_TC_WITHOUT_HEAD(exposed_and_the_next_epoch_exclude_each_other);
ATF_TC_BODY(exposed_and_the_next_epoch_exclude_each_other, tc)
{
    struct hd_witness w = {0};
    ATF_CHECK(ask(&w, 1, A, 1, true));
    ATF_CHECK(!claim(&w, 2, B, false));
    ATF_CHECK_EQ(w.epoch, 1);
    ATF_CHECK(ask(&w, 1, A, 2, false));
    ATF_CHECK(claim(&w, 2, B, false));
    ATF_CHECK(!ask(&w, 1, A, 3, true));
    ATF_CHECK_EQ(w.epoch, 2);
    ATF_CHECK(!w.exposed);
    ATF_CHECK_MSG(claim(&w, 2, B, false), "repeated");
    ATF_CHECK_MSG(!claim(&w, 2, A, true), "of another claimant");
}

ATF_TC_WITHOUT_HEAD(force_goes_over_exposed_and_not_over_a_higher_epoch);
ATF_TC_BODY(force_goes_over_exposed_and_not_over_a_higher_epoch, tc)
{
    struct hd_witness w = {0};
    ATF_CHECK(ask(&w, 3, A, 1, true));
    ATF_CHECK(!claim(&w, 2, B, true));
    ATF_CHECK(claim(&w, 4, B, true));
    ATF_CHECK(!w.exposed);
}

ATF_TC_WITHOUT_HEAD(who_only_asks_leaves_no_trace);
ATF_TC_BODY(who_only_asks_leaves_no_trace, tc)
{
    struct hd_witness w = {0};
    struct hd_witness_request r = {.epoch = 5, .owner = A, .ask_only = true};
    ATF_CHECK(hd_witness_ask(&w, &r));
    ATF_CHECK_EQ(w.epoch, 0);
    ATF_CHECK_MSG(!claim(&w, 6, B, false), "it may have lost its disks");
    ATF_CHECK(ask(&w, 5, A, 3, false));
    ATF_CHECK(claim(&w, 6, B, false));
    ATF_CHECK(!hd_witness_ask(&w, &r));
    r.epoch = 6;
    ATF_CHECK_MSG(!hd_witness_ask(&w, &r), "the epoch is another's");
    ATF_CHECK_MSG(ask(&w, 7, A, 90, true), "the primary of a newer epoch, met late");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_late_request_changes_nothing);
    ATF_TP_ADD_TC(tp, exposed_and_the_next_epoch_exclude_each_other);
    ATF_TP_ADD_TC(tp, force_goes_over_exposed_and_not_over_a_higher_epoch);
    ATF_TP_ADD_TC(tp, who_only_asks_leaves_no_trace);
    return atf_no_error();
}
