/* Options of commands and of the shell's verbs. */
#include "tools/cmd.h"
#include "tools/fs_shell.h"

#include <atf-c.h>
#include <string.h>

static const struct hd_command command = {.name = "test", .usage = "usage: test\n"};

static int parse(int *argc, char **argv, const char **dir, bool *json)
{
    const struct hd_option options[] = {{"dir", dir, NULL}, {"json", NULL, json}, {0}};
    return hd_cmd_options(&command, options, argc, argv);
}

#define ARGV(...)                                                                                  \
    char *argv[] = {(char[]){"test"}, __VA_ARGS__, NULL};                                          \
    int argc = (int)HD_ARRAY_COUNT(argv) - 1
#define S(text) ((char[]){text})

ATF_TC_WITHOUT_HEAD(options_may_stand_anywhere);
ATF_TC_BODY(options_may_stand_anywhere, tc)
{
    const char *dir = NULL;
    bool json = false;
    ARGV(S("a"), S("--dir"), S("/x"), S("-b"), S("--json"), S("c"));
    ATF_REQUIRE_EQ(parse(&argc, argv, &dir, &json), 0);
    ATF_CHECK_EQ(argc, 4);
    ATF_CHECK_STREQ(dir, "/x");
    ATF_CHECK(json);
    ATF_CHECK_STREQ(argv[1], "a");
    ATF_CHECK_STREQ(argv[2], "-b");
    ATF_CHECK_STREQ(argv[3], "c");
    ATF_CHECK_EQ(argv[4], NULL);
}

ATF_TC_WITHOUT_HEAD(a_value_may_follow_an_equals_sign);
ATF_TC_BODY(a_value_may_follow_an_equals_sign, tc)
{
    const char *dir = NULL;
    bool json = false;
    ARGV(S("--dir=/x=y"));
    ATF_REQUIRE_EQ(parse(&argc, argv, &dir, &json), 0);
    ATF_CHECK_STREQ(dir, "/x=y");
    ATF_CHECK_EQ(argc, 1);
}

ATF_TC_WITHOUT_HEAD(two_dashes_end_the_options);
ATF_TC_BODY(two_dashes_end_the_options, tc)
{
    const char *dir = NULL;
    bool json = false;
    ARGV(S("--"), S("--json"));
    ATF_REQUIRE_EQ(parse(&argc, argv, &dir, &json), 0);
    ATF_CHECK(!json);
    ATF_CHECK_STREQ(argv[1], "--json");
}

ATF_TC_WITHOUT_HEAD(wrong_options_are_usage_errors);
ATF_TC_BODY(wrong_options_are_usage_errors, tc)
{
    const char *dir = NULL;
    bool json = false;
    {
        ARGV(S("--nonsense"));
        ATF_CHECK_EQ(parse(&argc, argv, &dir, &json), HD_EXIT_USAGE);
    }
    {
        ARGV(S("--dir"));
        ATF_CHECK_EQ(parse(&argc, argv, &dir, &json), HD_EXIT_USAGE);
    }
    {
        ARGV(S("--json=1"));
        ATF_CHECK_EQ(parse(&argc, argv, &dir, &json), HD_EXIT_USAGE);
    }
}

/* ---- verbs ---- */

static const struct hd_sh_verb verb = {
    .name = "verb", .options = "R t= skip", .min = 1, .max = 2, .synopsis = ""};

#define WORDS(...)                                                                                 \
    char *list[] = {__VA_ARGS__, NULL};                                                            \
    struct hd_sh_args args = {.verb = &verb, .count = (int)HD_ARRAY_COUNT(list) - 1, .list = list}

ATF_TC_WITHOUT_HEAD(a_verb_takes_its_options_from_the_front);
ATF_TC_BODY(a_verb_takes_its_options_from_the_front, tc)
{
    WORDS(S("-R"), S("-t"), S("5"), S("/a"), S("-skip"));
    ATF_REQUIRE_EQ(hd_sh_parse(&args), 0);
    ATF_CHECK(hd_sh_flag(&args, "R"));
    ATF_CHECK(!hd_sh_flag(&args, "skip"));
    ATF_CHECK_STREQ(hd_sh_value(&args, "t"), "5");
    ATF_CHECK_EQ(args.count, 2);
    ATF_CHECK_STREQ(args.list[0], "/a");
    ATF_CHECK_STREQ(args.list[1], "-skip");
}

ATF_TC_WITHOUT_HEAD(a_single_dash_is_an_argument);
ATF_TC_BODY(a_single_dash_is_an_argument, tc)
{
    WORDS(S("-"), S("/a"));
    ATF_REQUIRE_EQ(hd_sh_parse(&args), 0);
    ATF_CHECK_EQ(args.count, 2);
}

ATF_TC_WITHOUT_HEAD(a_verb_refuses_what_it_does_not_know);
ATF_TC_BODY(a_verb_refuses_what_it_does_not_know, tc)
{
    {
        WORDS(S("-x"), S("/a"));
        ATF_CHECK_EQ(hd_sh_parse(&args), HD_SH_USAGE);
    }
    {
        WORDS(S("-R"));
        ATF_CHECK_EQ(hd_sh_parse(&args), HD_SH_USAGE);
    }
    {
        WORDS(S("a"), S("b"), S("c"));
        ATF_CHECK_EQ(hd_sh_parse(&args), HD_SH_USAGE);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, options_may_stand_anywhere);
    ATF_TP_ADD_TC(tp, a_value_may_follow_an_equals_sign);
    ATF_TP_ADD_TC(tp, two_dashes_end_the_options);
    ATF_TP_ADD_TC(tp, wrong_options_are_usage_errors);
    ATF_TP_ADD_TC(tp, a_verb_takes_its_options_from_the_front);
    ATF_TP_ADD_TC(tp, a_single_dash_is_an_argument);
    ATF_TP_ADD_TC(tp, a_verb_refuses_what_it_does_not_know);
    return atf_no_error();
}
