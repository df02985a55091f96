/* Pipelines as text: what is understood, and where a bad one is wrong. */
#include "runner/core/script.h"

#include <atf-c.h>
#include <string.h>

struct parsed {
    struct hd_arena arena;
    struct hd_script s;
    int err;
};

static struct parsed parse(const char *text, bool pipe)
{
    static const struct hd_script_param items[] = {{"day", "monday"}, {"n", "3"}};
    static const struct hd_script_params params = {items, 2};
    struct parsed p;
    hd_arena_init(&p.arena, 0);
    p.err = hd_script_parse(text, &params, pipe, &p.arena, &p.s);
    return p;
}

#define CHECK_ERROR(source, at_line, at_column, says)                                              \
    do {                                                                                           \
        struct parsed p_ = parse(source, false);                                                   \
        ATF_CHECK(p_.err < 0);                                                                     \
        ATF_CHECK_EQ(p_.s.error.line, at_line);                                                    \
        ATF_CHECK_EQ(p_.s.error.column, at_column);                                                \
        ATF_CHECK_MSG(strstr(p_.s.error.text, says) != NULL, "%s", p_.s.error.text);               \
        hd_arena_done(&p_.arena);                                                                  \
    } while (0)

ATF_TC_WITHOUT_HEAD(a_pipeline_is_a_chain_that_is_collected);
ATF_TC_BODY(a_pipeline_is_a_chain_that_is_collected, tc)
{
    struct parsed p =
        parse("read /a '/b c' | flatMap tr -s ' ' '\\n' | COUNT | top 10 by=2n", true);
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.s.error.text);
    ATF_REQUIRE_EQ(p.s.count, 5);
    ATF_CHECK_EQ(p.s.nodes[0].arg_count, 2);
    ATF_CHECK_STREQ(p.s.nodes[0].args[1], "/b c");
    ATF_CHECK_EQ(p.s.nodes[1].arg_count, 4);
    ATF_CHECK_STREQ(p.s.nodes[1].args[3], "\\n"); /* '...' keeps a backslash */
    ATF_CHECK_STREQ(p.s.nodes[2].def->name, "count");
    ATF_CHECK_STREQ(hd_node_option(&p.s.nodes[3], "by", ""), "2n");
    ATF_CHECK_STREQ(p.s.nodes[4].def->name, "collect");
    ATF_CHECK_EQ(p.s.nodes[4].inputs[0], 3);
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(a_job_file_has_names_and_goes_on_line_by_line);
ATF_TC_BODY(a_job_file_has_names_and_goes_on_line_by_line, tc)
{
    struct parsed p = parse("job visits # who came\n"
                            "  names = read /n key=1\n"
                            "  rows = read /r/$day\n"
                            "    key=$n   # deeper: the same statement\n"
                            "  both = join rows names how=left\n"
                            "  both | save /out parts=2\n"
                            "  read /c\n"
                            "  count\n"
                            "  save /d\n",
                            false);
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.s.error.text);
    ATF_CHECK_STREQ(p.s.name, "visits");
    ATF_REQUIRE_EQ(p.s.count, 7);
    ATF_CHECK_STREQ(p.s.nodes[1].args[0], "/r/monday");
    ATF_CHECK_STREQ(hd_node_option(&p.s.nodes[1], "key", ""), "3");
    ATF_REQUIRE_EQ(p.s.nodes[2].input_count, 2);
    ATF_CHECK_EQ(p.s.nodes[2].inputs[0], 1);
    ATF_CHECK_EQ(p.s.nodes[2].inputs[1], 0);
    ATF_CHECK_EQ(p.s.nodes[3].inputs[0], 2);
    ATF_CHECK_EQ(p.s.nodes[5].inputs[0], 4);
    ATF_CHECK_EQ(p.s.nodes[6].inputs[0], 5);
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(awks_fields_are_no_parameters);
ATF_TC_BODY(awks_fields_are_no_parameters, tc)
{
    struct parsed p = parse("read /$day | map \"awk '{print $1, $NF_}'\"", true);
    ATF_CHECK(p.err < 0); /* $NF_ is a name */
    hd_arena_done(&p.arena);
    p = parse("read /$day | map \"awk '{print $1 $n}'\" | grep x$", true);
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.s.error.text);
    ATF_CHECK_STREQ(p.s.nodes[0].args[0], "/monday");
    ATF_CHECK_STREQ(p.s.nodes[1].args[0], "awk '{print $1 3}'");
    ATF_CHECK_STREQ(p.s.nodes[2].args[0], "x$");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(paths_beside_data_sets_are_read);
ATF_TC_BODY(paths_beside_data_sets_are_read, tc)
{
    struct parsed p = parse("read /a | union /b /c | distinct", true);
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.s.error.text);
    for (size_t i = 0; i < p.s.count; i++) { /* inputs come before their users */
        for (uint32_t k = 0; k < p.s.nodes[i].input_count; k++) {
            ATF_CHECK(p.s.nodes[i].inputs[k] < i);
        }
    }
    ATF_REQUIRE_EQ(p.s.count, 6);
    ATF_CHECK_STREQ(p.s.nodes[3].def->name, "union");
    ATF_REQUIRE_EQ(p.s.nodes[3].input_count, 3);
    ATF_CHECK_STREQ(p.s.nodes[p.s.nodes[3].inputs[1]].args[0], "/b");
    ATF_CHECK_STREQ(p.s.nodes[p.s.nodes[3].inputs[2]].args[0], "/c");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(what_is_wrong_has_a_place);
ATF_TC_BODY(what_is_wrong_has_a_place, tc)
{
    CHECK_ERROR("job bad\n  read /j/x\n  fliter cat\n", 3, 3, "did you mean filter");
    CHECK_ERROR("read /a | xyzzy", 1, 11, "expected an operation");
    CHECK_ERROR("read", 1, 1, "expected read PATH");
    CHECK_ERROR("read /a |", 1, 10, "expected an operation");
    CHECK_ERROR("map cat", 1, 1, "nothing to work on");
    CHECK_ERROR("read '/a", 1, 6, "not closed");
    CHECK_ERROR("read /$year", 1, 7, "-p year=VALUE");
    CHECK_ERROR("read /a\nread /b | save /c", 1, 1, "goes nowhere");
    CHECK_ERROR("x = read /a | save /b", 1, 15, "gives nothing");
    CHECK_ERROR("map = read /a", 1, 1, "is an operation");
    CHECK_ERROR("read /a | save /b | count", 1, 21, "ends a pipeline");
    CHECK_ERROR("a = read /a\njoin a b | save /c", 2, 8, "no data set of this name");
    CHECK_ERROR("read /a | read /b | save /c", 1, 11, "nothing is handed to it");
    CHECK_ERROR("read /a | save /b /c", 1, 11, "expected save PATH");
    CHECK_ERROR("# nothing\n", 1, 1, "nothing to do");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_pipeline_is_a_chain_that_is_collected);
    ATF_TP_ADD_TC(tp, a_job_file_has_names_and_goes_on_line_by_line);
    ATF_TP_ADD_TC(tp, awks_fields_are_no_parameters);
    ATF_TP_ADD_TC(tp, paths_beside_data_sets_are_read);
    ATF_TP_ADD_TC(tp, what_is_wrong_has_a_place);
    return atf_no_error();
}
