/* Properties: order, twins of old names, environment names. */
#include "runner/core/props.h"

#include <atf-c.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(an_old_name_also_sets_the_new_one);
ATF_TC_BODY(an_old_name_also_sets_the_new_one, tc)
{
    struct hd_props p = {0};
    ATF_REQUIRE_EQ(hd_props_set(&p, "mapred.reduce.tasks", "3"), 0);
    ATF_CHECK_EQ(hd_props_int(&p, "mapreduce.job.reduces", 1), 3);
    ATF_CHECK_STREQ(hd_props_old_name("mapreduce.task.id"), "mapred.tip.id");
    ATF_CHECK_EQ(hd_props_old_name("my.own"), NULL);
    hd_props_done(&p);
}

ATF_TC_WITHOUT_HEAD(the_last_value_wins_in_the_first_place);
ATF_TC_BODY(the_last_value_wins_in_the_first_place, tc)
{
    struct hd_props p = {0};
    hd_props_set(&p, "a", "1");
    hd_props_set(&p, "b", "true");
    hd_props_set(&p, "a", "x");
    ATF_CHECK_EQ(p.count, 2);
    ATF_CHECK_STREQ(p.items[0].value, "x");
    ATF_CHECK_EQ(hd_props_int(&p, "a", 7), 7); /* not a number */
    ATF_CHECK_EQ(hd_props_bool(&p, "b", false), true);
    ATF_CHECK_EQ(hd_props_bool(&p, "c", true), true);
    hd_props_done(&p);
}

ATF_TC_WITHOUT_HEAD(environment_names_have_letters_digits_and_underscores);
ATF_TC_BODY(environment_names_have_letters_digits_and_underscores, tc)
{
    char name[] = "my.own-key\xc3\xa4 9";
    hd_props_env_name(name);
    ATF_CHECK_STREQ(name, "my_own_key___9");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_old_name_also_sets_the_new_one);
    ATF_TP_ADD_TC(tp, the_last_value_wins_in_the_first_place);
    ATF_TP_ADD_TC(tp, environment_names_have_letters_digits_and_underscores);
    return atf_no_error();
}
