/* Splitting commands as Hadoop Streaming does, and the one shell rule of ours. */
#include "runner/core/command.h"

#include <atf-c.h>
#include <errno.h>

static void check(const char *text, size_t argc, const char *const *argv)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_command c;
    hd_arena_init(&arena, 0);
    ATF_REQUIRE_EQ(hd_command_parse(text, &arena, &c), 0);
    ATF_REQUIRE_EQ_MSG(c.argc, argc, "%s: %zu words", text, c.argc);
    for (size_t i = 0; i < argc; i++) {
        ATF_CHECK_STREQ(c.argv[i], argv[i]);
    }
    ATF_CHECK_EQ(c.argv[argc], NULL);
}

#define CHECK(text, ...)                                                                           \
    do {                                                                                           \
        const char *const want[] = {__VA_ARGS__};                                                  \
        check(text, HD_ARRAY_COUNT(want), want);                                                   \
    } while (0)

ATF_TC_WITHOUT_HEAD(words_end_at_spaces_and_quotes);
ATF_TC_BODY(words_end_at_spaces_and_quotes, tc)
{
    CHECK("tr -cs A-Za-z \\n", "tr", "-cs", "A-Za-z", "\\n");
    CHECK("  a   b ", "a", "b");
    CHECK("awk '{print $1}' x", "awk", "{print $1}", "x");
    CHECK("a \"b c\" 'd \"e'", "a", "b c", "d \"e");
    CHECK("a\"b c\"d", "a", "b c", "d"); /* a quote ends a word: Hadoop's way */
    CHECK("a '' b", "a", "b");
    CHECK("a 'b c", "a", "b c");
    CHECK("a\tb", "a\tb"); /* only spaces part words */
}

ATF_TC_WITHOUT_HEAD(only_a_lone_operator_means_a_shell);
ATF_TC_BODY(only_a_lone_operator_means_a_shell, tc)
{
    CHECK("a | b", "sh", "-c", "a | b");
    CHECK("a && b", "sh", "-c", "a && b");
    CHECK("sort < x", "sh", "-c", "sort < x");
    CHECK("grep a|b", "grep", "a|b");
    CHECK("grep '|'", "grep", "|");
    CHECK("a ';' b", "a", ";", "b");
    CHECK("a; b", "a;", "b");
}

ATF_TC_WITHOUT_HEAD(nothing_is_no_command);
ATF_TC_BODY(nothing_is_no_command, tc)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_command c;
    hd_arena_init(&arena, 0);
    ATF_CHECK_EQ(hd_command_parse("", &arena, &c), -EINVAL);
    ATF_CHECK_EQ(hd_command_parse("  ''  ", &arena, &c), -EINVAL);
    ATF_CHECK_EQ(hd_command_builtin("org.apache.hadoop.mapred.lib.IdentityMapper"), 'I');
    ATF_CHECK_EQ(hd_command_builtin("cat"), 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, words_end_at_spaces_and_quotes);
    ATF_TP_ADD_TC(tp, only_a_lone_operator_means_a_shell);
    ATF_TP_ADD_TC(tp, nothing_is_no_command);
    return atf_no_error();
}
