/* What a mount may keep: answers, pushes, eras, and names that are known not to be there. */
#include "fs/mount/known.h"

#include <atf-c.h>
#include <stdio.h>

static struct hd_known_attr attr(uint64_t as_of, uint64_t size)
{
    return (struct hd_known_attr){
        .as_of = as_of, .era = 1, .cached = true, .size_bytes = size, .mode = S_IFREG | 0644};
}

static bool learn(struct hd_known *k, uint64_t as_of, uint64_t size)
{
    struct hd_known_attr a = attr(as_of, size);
    return hd_known_learn(k, &a, 1, 0);
}

ATF_TC_WITHOUT_HEAD(the_newest_answer_is_kept);
ATF_TC_BODY(the_newest_answer_is_kept, tc)
{
    struct hd_known k = {0};
    ATF_CHECK(learn(&k, 5, 50));
    ATF_CHECK(learn(&k, 4, 40));
    ATF_CHECK_EQ(k.attr.size_bytes, 50);
    ATF_CHECK(learn(&k, 6, 60));
    ATF_CHECK_EQ(k.attr.size_bytes, 60);
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(an_answer_from_before_a_push_is_not_kept);
ATF_TC_BODY(an_answer_from_before_a_push_is_not_kept, tc)
{
    struct hd_known k = {0};
    ATF_CHECK(learn(&k, 5, 50));
    hd_known_push(&k, 1, 8);
    ATF_CHECK(!k.has_attr);
    ATF_CHECK(!learn(&k, 7, 70));
    ATF_CHECK(!k.has_attr);
    ATF_CHECK(learn(&k, 8, 80));
    hd_known_push(&k, 1, 8); /* the answer is as of it already */
    ATF_CHECK(k.has_attr);
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(what_meta_does_not_tell_of_is_not_kept);
ATF_TC_BODY(what_meta_does_not_tell_of_is_not_kept, tc)
{
    struct hd_known k = {0};
    struct hd_known_attr a = attr(5, 50);
    a.cached = false;
    ATF_CHECK(!hd_known_learn(&k, &a, 1, 0));
    a.cached = true;
    a.flags = HD_KNOWN_BUSY;
    ATF_CHECK(!hd_known_learn(&k, &a, 1, 0));
    a.flags = 0;
    ATF_CHECK(
        !hd_known_learn(&k, &a, 1, 6)); /* a push for somebody unknown: it may have been this */
    ATF_CHECK(hd_known_learn(&k, &a, 1, 5));
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(nothing_outlives_its_era);
ATF_TC_BODY(nothing_outlives_its_era, tc)
{
    struct hd_known k = {0};
    struct hd_known_attr old = attr(50, 1);
    ATF_CHECK(learn(&k, 5, 50));
    hd_known_all_names(&k, 1);
    hd_known_push(&k, 1, 9);
    hd_known_turn(&k, 2);
    ATF_CHECK(!k.has_attr);
    ATF_CHECK(!hd_known_is_absent(&k, 2, "x"));
    ATF_CHECK(!hd_known_learn(&k, &old, 2, 0)); /* of era 1 */
    struct hd_known_attr a = attr(3, 1);        /* txids may begin lower */
    a.era = 2;
    ATF_CHECK(hd_known_learn(&k, &a, 2, 0));
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(an_entry_holds_until_a_push_for_its_directory);
ATF_TC_BODY(an_entry_holds_until_a_push_for_its_directory, tc)
{
    struct hd_known k = {0};
    hd_known_turn(&k, 1);
    ATF_CHECK(hd_known_entry_holds(&k, true, 1, 5, 1, 0));
    ATF_CHECK(!hd_known_entry_holds(&k, false, 1, 5, 1, 0));
    ATF_CHECK(!hd_known_entry_holds(&k, true, 0, 5, 1, 0));
    ATF_CHECK(!hd_known_entry_holds(&k, true, 1, 5, 1, 6));
    hd_known_push_entry(&k, 1, 7, NULL);
    ATF_CHECK(!hd_known_entry_holds(&k, true, 1, 6, 1, 0));
    ATF_CHECK(hd_known_entry_holds(&k, true, 1, 7, 1, 0));
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(absence_is_known_of_a_directory_whose_names_are);
ATF_TC_BODY(absence_is_known_of_a_directory_whose_names_are, tc)
{
    struct hd_known k = {0};
    char name[32];
    ATF_CHECK(!hd_known_is_absent(&k, 1, "a"));
    hd_known_all_names(&k, 1);
    ATF_CHECK(hd_known_is_absent(&k, 1, "a"));
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        hd_known_add_name(&k, name);
        hd_known_add_name(&k, name);
    }
    ATF_CHECK_EQ(k.names->count, 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ATF_CHECK(!hd_known_is_absent(&k, 1, name));
    }
    ATF_CHECK(hd_known_is_absent(&k, 1, "n5000"));
    hd_known_push_entry(&k, 1, 9, "n5000");
    ATF_CHECK(!hd_known_is_absent(&k, 1, "n5000"));
    ATF_CHECK(hd_known_is_absent(&k, 1, "n5001"));
    hd_known_push_entries(&k, 1, 10);
    ATF_CHECK(!hd_known_is_absent(&k, 1, "n5001"));
    hd_known_done(&k);
}

ATF_TC_WITHOUT_HEAD(times_before_1970_are_times);
ATF_TC_BODY(times_before_1970_are_times, tc)
{
    struct hd_known_attr a = attr(1, 5000);
    struct stat st;
    a.mtime_ns = -1;
    a.atime_ns = 1500000000;
    a.nlink = 3;
    hd_known_stat(&a, 42, &st);
    ATF_CHECK_EQ(st.st_mtim.tv_sec, -1);
    ATF_CHECK_EQ(st.st_mtim.tv_nsec, 999999999);
    ATF_CHECK_EQ(st.st_atim.tv_sec, 1);
    ATF_CHECK_EQ(st.st_atim.tv_nsec, 500000000);
    ATF_CHECK_EQ(st.st_ino, 42);
    ATF_CHECK_EQ(st.st_nlink, 3);
    ATF_CHECK_EQ(st.st_size, 5000);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_newest_answer_is_kept);
    ATF_TP_ADD_TC(tp, an_answer_from_before_a_push_is_not_kept);
    ATF_TP_ADD_TC(tp, what_meta_does_not_tell_of_is_not_kept);
    ATF_TP_ADD_TC(tp, nothing_outlives_its_era);
    ATF_TP_ADD_TC(tp, an_entry_holds_until_a_push_for_its_directory);
    ATF_TP_ADD_TC(tp, absence_is_known_of_a_directory_whose_names_are);
    ATF_TP_ADD_TC(tp, times_before_1970_are_times);
    return atf_no_error();
}
