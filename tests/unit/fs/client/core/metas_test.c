/* Which meta a session follows, and what it must take for lost. */
#include "fs/client/core/metas.h"

#include <atf-c.h>

static struct hd_metas two(uint64_t epoch)
{
    struct hd_metas m = {.epoch = epoch};
    ATF_REQUIRE(hd_metas_add(&m, "a:1"));
    ATF_REQUIRE(hd_metas_add(&m, "b:2"));
    return m;
}

ATF_TC_WITHOUT_HEAD(an_address_is_kept_once);
ATF_TC_BODY(an_address_is_kept_once, tc)
{
    struct hd_metas m = two(0);
    ATF_CHECK(hd_metas_add(&m, "a:1"));
    ATF_CHECK_EQ(m.count, 2u);
    for (int i = 3; i <= HD_METAS_MAX; i++) {
        char text[16];
        snprintf(text, sizeof(text), "h:%d", i);
        ATF_CHECK(hd_metas_add(&m, text));
    }
    ATF_CHECK(!hd_metas_add(&m, "one:2many"));
    ATF_CHECK_EQ(m.count, (size_t)HD_METAS_MAX);
}

ATF_TC_WITHOUT_HEAD(only_a_higher_epoch_takes_over_from_a_slow_primary);
ATF_TC_BODY(only_a_higher_epoch_takes_over_from_a_slow_primary, tc)
{
    struct hd_metas m = two(3);
    struct hd_meta_answer a[] = {{HD_META_SILENT, 0}, {HD_META_PRIMARY, 3}};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, false), 0u);
    a[1] = (struct hd_meta_answer){HD_META_STANDBY, 4};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, false), 0u);
    a[1] = (struct hd_meta_answer){HD_META_PRIMARY, 4};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, false), 1u);
}

ATF_TC_WITHOUT_HEAD(a_lower_epoch_is_never_followed);
ATF_TC_BODY(a_lower_epoch_is_never_followed, tc)
{
    struct hd_metas m = two(3);
    m.current = 1;
    struct hd_meta_answer a[] = {{HD_META_PRIMARY, 2}, {HD_META_SILENT, 0}};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 1u);
    ATF_CHECK(!hd_metas_admit(&m, 2));
    ATF_CHECK(!hd_metas_admit(&m, 0));
    ATF_CHECK(hd_metas_admit(&m, 3));
    ATF_CHECK(hd_metas_admit(&m, 5));
    ATF_CHECK_EQ(m.epoch, 5u);
}

ATF_TC_WITHOUT_HEAD(of_two_primaries_the_higher_epoch_wins);
ATF_TC_BODY(of_two_primaries_the_higher_epoch_wins, tc)
{
    struct hd_metas m = two(0);
    struct hd_meta_answer a[] = {{HD_META_PRIMARY, 2}, {HD_META_PRIMARY, 7}};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 1u);
    ATF_CHECK_EQ(hd_metas_choose(&m, a, false), 1u);
}

ATF_TC_WITHOUT_HEAD(a_refusal_with_nobody_better_changes_nothing);
ATF_TC_BODY(a_refusal_with_nobody_better_changes_nothing, tc)
{
    struct hd_metas m = two(3);
    struct hd_meta_answer a[] = {{HD_META_SILENT, 0}, {HD_META_STANDBY, 3}};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 0u);
}

ATF_TC_WITHOUT_HEAD(foreign_servers_take_turns);
ATF_TC_BODY(foreign_servers_take_turns, tc)
{
    struct hd_metas m = two(0);
    struct hd_meta_answer a[] = {{HD_META_FOREIGN, 0}, {HD_META_FOREIGN, 0}};
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 1u);
    m.current = 1;
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 0u);
    ATF_CHECK_EQ(hd_metas_choose(&m, a, false), 1u); /* slow is no reason */
    a[0].role = HD_META_SILENT;
    ATF_CHECK_EQ(hd_metas_choose(&m, a, true), 1u);
}

ATF_TC_WITHOUT_HEAD(a_higher_epoch_settles_and_silence_does_not);
ATF_TC_BODY(a_higher_epoch_settles_and_silence_does_not, tc)
{
    struct hd_metas m = two(3);
    struct hd_meta_answer a[] = {{HD_META_SILENT, 0}, {HD_META_PRIMARY, 3}};
    bool heard[] = {false, true};
    ATF_CHECK(!hd_metas_is_settled(&m, a, heard));
    a[1].epoch = 4;
    ATF_CHECK(hd_metas_is_settled(&m, a, heard));
    a[1].epoch = 3;
    heard[0] = true;
    ATF_CHECK(hd_metas_is_settled(&m, a, heard));
}

ATF_TC_WITHOUT_HEAD(roles_are_words);
ATF_TC_BODY(roles_are_words, tc)
{
    ATF_CHECK_EQ(hd_meta_role_of("primary"), HD_META_PRIMARY);
    ATF_CHECK_EQ(hd_meta_role_of("secondary"), HD_META_STANDBY);
    ATF_CHECK_EQ(hd_meta_role_of("fenced"), HD_META_STANDBY);
    ATF_CHECK_EQ(hd_meta_role_of(NULL), HD_META_SILENT);
}

ATF_TC_WITHOUT_HEAD(what_a_new_life_numbers_itself_is_lost);
ATF_TC_BODY(what_a_new_life_numbers_itself_is_lost, tc)
{
    struct hd_life seen = {.incarnation = 1, .epoch = 1, .state_id = 100, .synced_id = 90};
    struct hd_life_news now = {.incarnation = 2, .first_txid = 100, .epoch = 2, .txid = 500};
    ATF_CHECK(hd_life_lost(&seen, &now)); /* its 100 is not the one we saw */
    now.first_txid = 101;
    ATF_CHECK(!hd_life_lost(&seen, &now));
    now.first_txid = 100;
    seen.synced_id = 100;
    ATF_CHECK(!hd_life_lost(&seen, &now));
    seen.synced_id = 90;
    now.incarnation = 1; /* the connection was cut, no more */
    ATF_CHECK(!hd_life_lost(&seen, &now));
}

ATF_TC_WITHOUT_HEAD(without_an_incarnation_doubt_counts_as_lost);
ATF_TC_BODY(without_an_incarnation_doubt_counts_as_lost, tc)
{
    struct hd_life seen = {.epoch = 1, .state_id = 100, .synced_id = 90};
    struct hd_life_news now = {.epoch = 1, .txid = 99};
    ATF_CHECK(hd_life_lost(&seen, &now));
    now.txid = 100;
    ATF_CHECK(!hd_life_lost(&seen, &now));
    now.epoch = 2;
    ATF_CHECK(hd_life_lost(&seen, &now));
    seen.synced_id = 100;
    ATF_CHECK(!hd_life_lost(&seen, &now));
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_address_is_kept_once);
    ATF_TP_ADD_TC(tp, only_a_higher_epoch_takes_over_from_a_slow_primary);
    ATF_TP_ADD_TC(tp, a_lower_epoch_is_never_followed);
    ATF_TP_ADD_TC(tp, of_two_primaries_the_higher_epoch_wins);
    ATF_TP_ADD_TC(tp, a_refusal_with_nobody_better_changes_nothing);
    ATF_TP_ADD_TC(tp, foreign_servers_take_turns);
    ATF_TP_ADD_TC(tp, a_higher_epoch_settles_and_silence_does_not);
    ATF_TP_ADD_TC(tp, roles_are_words);
    ATF_TP_ADD_TC(tp, what_a_new_life_numbers_itself_is_lost);
    ATF_TP_ADD_TC(tp, without_an_incarnation_doubt_counts_as_lost);
    return atf_no_error();
}
