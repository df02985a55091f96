/* Groups of users as this machine knows them. */
#include "meta/shell/groups.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(root_is_in_group_root_and_a_stranger_in_none);
ATF_TC_BODY(root_is_in_group_root_and_a_stranger_in_none, tc)
{
    struct hd_groups g;
    const struct hd_mono_ms now = {1000};
    hd_groups_init(&g);
    for (int i = 0; i < 2; i++) { /* asked, then remembered */
        ATF_CHECK(hd_groups_has(hd_groups_of(&g, "root", now), "root"));
        ATF_CHECK(hd_groups_of(&g, "no-such-user-here", now)[0] == NULL);
    }
    ATF_CHECK(!hd_groups_has(hd_groups_of(&g, "root", now), "no-such-group-here"));
    ATF_CHECK_EQ(g.users.count, 2);
    hd_groups_clear(&g);
    ATF_CHECK_EQ(g.users.count, 0);
    hd_groups_done(&g);
}

ATF_TC_WITHOUT_HEAD(answer_is_asked_for_again_after_its_time);
ATF_TC_BODY(answer_is_asked_for_again_after_its_time, tc)
{
    struct hd_groups g;
    hd_groups_init(&g);
    const char *const *first = hd_groups_of(&g, "root", (struct hd_mono_ms){1000});
    ATF_CHECK_EQ(hd_groups_of(&g, "root", (struct hd_mono_ms){1000 + HD_GROUPS_TTL_MS - 1}), first);
    ATF_CHECK(hd_groups_has(hd_groups_of(&g, "root", (struct hd_mono_ms){1000 + HD_GROUPS_TTL_MS}),
                            "root"));
    hd_groups_done(&g);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, root_is_in_group_root_and_a_stranger_in_none);
    ATF_TP_ADD_TC(tp, answer_is_asked_for_again_after_its_time);
    return atf_no_error();
}
