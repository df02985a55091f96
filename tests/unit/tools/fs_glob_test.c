/* Hadoop's path patterns, by examples. */
#include "tools/fs_glob.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(names_match_as_hadoop_says);
ATF_TC_BODY(names_match_as_hadoop_says, tc)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } rows[] = {
        {"*", "", true},
        {"*", ".hidden", true},
        {"a*", "abc", true},
        {"a*", "bac", false},
        {"*c", "abc", true},
        {"*b*", "abc", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[^a-c]x", "dx", true},
        {"[^a-c]x", "ax", false},
        {"[]a]", "]", true},
        {"[a-]", "-", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"[\\]]", "]", true},
        {"[ab", "a", false},
        {"part-*", "part-00000", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXbY", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        ATF_CHECK_EQ_MSG(hd_glob_match(rows[i].pattern, rows[i].name), rows[i].match,
                         "%s against %s", rows[i].pattern, rows[i].name);
    }
}

ATF_TC_WITHOUT_HEAD(an_escaped_star_is_no_pattern);
ATF_TC_BODY(an_escaped_star_is_no_pattern, tc)
{
    char text[] = "/a\\*b\\\\";
    ATF_CHECK(!hd_glob_is_pattern(text));
    ATF_CHECK(!hd_glob_is_pattern("/plain"));
    ATF_CHECK(hd_glob_is_pattern("/a*"));
    ATF_CHECK(hd_glob_is_pattern("/{a,b}"));
    hd_glob_unescape(text);
    ATF_CHECK_STREQ(text, "/a*b\\");
}

struct collected {
    char text[512];
};

static int collect(void *ctx, const char *text)
{
    struct collected *c = ctx;
    strcat(strcat(c->text, text), "|");
    return 0;
}

ATF_TC_WITHOUT_HEAD(braces_stand_for_each_alternative);
ATF_TC_BODY(braces_stand_for_each_alternative, tc)
{
    static const struct {
        const char *pattern, *want;
    } rows[] = {
        {"plain", "plain|"},
        {"a{b,c}d", "abd|acd|"},
        {"{a,b}{c,d}", "ac|ad|bc|bd|"},
        {"/{a/x,b}/y", "/a/x/y|/b/y|"},
        {"a{b{c,d},e}f", "abcf|abdf|aef|"},
        {"a{,b}", "a|ab|"},
        {"a{b}", "ab|"},
        {"a\\{b,c}", "a\\{b,c}|"},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        struct collected c = {""};
        ATF_CHECK_EQ(hd_glob_expand_braces(rows[i].pattern, collect, &c), 0);
        ATF_CHECK_STREQ(c.text, rows[i].want);
    }
}

ATF_TC_WITHOUT_HEAD(an_open_brace_is_an_error);
ATF_TC_BODY(an_open_brace_is_an_error, tc)
{
    struct collected c = {""};
    ATF_CHECK_EQ(hd_glob_expand_braces("a{b,c", collect, &c), -EINVAL);
}

static int ignore(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
    return 0;
}

ATF_TC_WITHOUT_HEAD(expansions_have_a_ceiling);
ATF_TC_BODY(expansions_have_a_ceiling, tc)
{
    char bomb[256] = "";
    for (int i = 0; i < 20; i++) {
        strcat(bomb, "{a,b}");
    }
    ATF_CHECK_EQ(hd_glob_expand_braces(bomb, ignore, NULL), -HD_E_TOO_LARGE);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, names_match_as_hadoop_says);
    ATF_TP_ADD_TC(tp, an_escaped_star_is_no_pattern);
    ATF_TP_ADD_TC(tp, braces_stand_for_each_alternative);
    ATF_TP_ADD_TC(tp, an_open_brace_is_an_error);
    ATF_TP_ADD_TC(tp, expansions_have_a_ceiling);
    return atf_no_error();
}
