/* Graphs to stages: what is fused, what is shuffled, what is made once. */
#include "runner/core/stages.h"

#include <atf-c.h>
#include <string.h>

struct planned {
    struct hd_arena arena;
    struct hd_script script;
    struct hd_stages stages;
    int err;
};

static struct planned plan(const char *text)
{
    struct planned p;
    hd_arena_init(&p.arena, 0);
    p.err = hd_script_parse(text, NULL, true, &p.arena, &p.script);
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.script.error.text);
    p.err = hd_stages_make(&p.script, &p.arena, &p.stages);
    return p;
}

ATF_TC_WITHOUT_HEAD(narrow_operations_are_one_stage);
ATF_TC_BODY(narrow_operations_are_one_stage, tc)
{
    struct planned p = plan("read /a | map cat | filter grep x | fields 1,2");
    ATF_REQUIRE_EQ(p.err, 0);
    ATF_REQUIRE_EQ(p.stages.count, 1);
    const struct hd_stage *s = &p.stages.items[0];
    ATF_CHECK(s->wide.op == NULL);
    ATF_CHECK_EQ(s->end, HD_STAGE_COLLECT);
    ATF_REQUIRE_EQ(s->flows[0].steps.count, 3);
    ATF_CHECK_STREQ(s->flows[0].steps.items[0].op, "exec");
    ATF_CHECK_STREQ(s->flows[0].steps.items[1].op, "grep");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(steps_behind_a_wide_operation_are_fused_with_it);
ATF_TC_BODY(steps_behind_a_wide_operation_are_fused_with_it, tc)
{
    struct planned p = plan("read /a | count | grep x | save /o parts=3");
    ATF_REQUIRE_EQ(p.err, 0);
    ATF_REQUIRE_EQ(p.stages.count, 1);
    ATF_CHECK_STREQ(p.stages.items[0].wide.op, "count");
    ATF_CHECK_EQ(p.stages.items[0].after.count, 1);
    ATF_CHECK_EQ(p.stages.items[0].reduces, 3);
    ATF_CHECK_STREQ(p.stages.items[0].path, "/o");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(what_two_use_is_made_once);
ATF_TC_BODY(what_two_use_is_made_once, tc)
{
    struct planned p = plan("c = read /a | count\nc | save /o\nc | top 3 | save /t");
    ATF_REQUIRE_EQ(p.err, 0);
    ATF_REQUIRE_EQ(p.stages.count, 3);
    ATF_CHECK_EQ(p.stages.items[0].end, HD_STAGE_KEEP);
    ATF_CHECK_EQ(p.stages.items[1].flows[0].stage, 0);
    ATF_CHECK_EQ(p.stages.items[2].flows[0].stage, 0);
    ATF_CHECK_EQ(p.stages.items[2].reduces, 1);
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(a_join_tells_its_sides_apart_and_keys_come_to_the_front);
ATF_TC_BODY(a_join_tells_its_sides_apart_and_keys_come_to_the_front, tc)
{
    struct planned p = plan("a = read /a key=2\nb = read /b\nu = union b /c\njoin a u how=full");
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.script.error.text);
    ATF_REQUIRE_EQ(p.stages.count, 1);
    const struct hd_stage *s = &p.stages.items[0];
    ATF_REQUIRE_EQ(s->flow_count, 3);
    ATF_CHECK_EQ(s->flows[0].tag, 0);
    ATF_CHECK_EQ(s->flows[1].tag, 1);
    ATF_CHECK_EQ(s->flows[2].tag, 1);
    ATF_REQUIRE_EQ(s->flows[0].steps.count, 1);
    ATF_CHECK_STREQ(s->flows[0].steps.items[0].op, "key");
    ATF_CHECK_EQ(s->flows[1].steps.count, 0);
    ATF_CHECK_STREQ(s->wide.args[0], "full");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(each_set_of_a_union_has_its_own_key);
ATF_TC_BODY(each_set_of_a_union_has_its_own_key, tc)
{
    struct planned p = plan("a = read /a key=2\nb = read /b key=3\nunion a b /c | countByKey");
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.script.error.text);
    const struct hd_stage *s = &p.stages.items[0];
    ATF_REQUIRE_EQ(s->flow_count, 3);
    ATF_REQUIRE_EQ(s->flows[0].steps.count, 1);
    ATF_CHECK_STREQ(s->flows[0].steps.items[0].args[0], "2");
    ATF_REQUIRE_EQ(s->flows[1].steps.count, 1);
    ATF_CHECK_STREQ(s->flows[1].steps.items[0].args[0], "3");
    ATF_CHECK_EQ(s->flows[2].steps.count, 0);
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(count_at_the_end_is_a_number);
ATF_TC_BODY(count_at_the_end_is_a_number, tc)
{
    struct planned p = plan("read /a | count");
    ATF_REQUIRE_EQ(p.stages.count, 1);
    ATF_CHECK_STREQ(p.stages.items[0].wide.op, "gather");
    ATF_CHECK_STREQ(p.stages.items[0].after.items[0].op, "sum");
    hd_arena_done(&p.arena);
}

ATF_TC_WITHOUT_HEAD(bad_arguments_are_refused_with_a_place);
ATF_TC_BODY(bad_arguments_are_refused_with_a_place, tc)
{
    static const char *const bad[] = {
        "read /a | top x",
        "read /a | take -1",
        "read /a | sort upwards",
        "read /a | repartition 0",
        "read /a key=0",
        "read /a | save /b parts=0",
        "read /a | save /b if-exists=maybe",
        "join /a /b how=both",
        "join /a /b /c",
        "read /a | reduceByKey sum 2",
        "read /a | sort | map cat | save /b parts=3",
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        struct planned p = plan(bad[i]);
        ATF_CHECK_MSG(p.err < 0, "%s", bad[i]);
        ATF_CHECK_EQ(p.script.error.line, 1);
        hd_arena_done(&p.arena);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, narrow_operations_are_one_stage);
    ATF_TP_ADD_TC(tp, steps_behind_a_wide_operation_are_fused_with_it);
    ATF_TP_ADD_TC(tp, what_two_use_is_made_once);
    ATF_TP_ADD_TC(tp, a_join_tells_its_sides_apart_and_keys_come_to_the_front);
    ATF_TP_ADD_TC(tp, each_set_of_a_union_has_its_own_key);
    ATF_TP_ADD_TC(tp, count_at_the_end_is_a_number);
    ATF_TP_ADD_TC(tp, bad_arguments_are_refused_with_a_place);
    return atf_no_error();
}
