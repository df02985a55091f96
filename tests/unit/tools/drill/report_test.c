/* History, its HTML, and drill files. */
#include "tools/drill/drill.h"
#include "tools/drill/history.h"
#include "tools/drill/plan.h"
#include "tools/drill/report.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hd_drill_result some_result(const char *id, const char *drill, const char *outcome)
{
    struct hd_drill_result r = {.seed = 7,
                                .began_ms = 1800000000000,
                                .for_s = 5,
                                .noticed_s = -1,
                                .mended_s = 4.25,
                                .healthy_s = 6,
                                .judged = true};
    snprintf(r.id, sizeof(r.id), "%s", id);
    snprintf(r.drill, sizeof(r.drill), "%s", drill);
    snprintf(r.outcome, sizeof(r.outcome), "%s", outcome);
    snprintf(r.target, sizeof(r.target), "data-2");
    r.load.acked = 1000;
    r.load.longest_stall_s[HD_CLASS_WRITE] = 0.5;
    r.load.wrong = 1;
    r.verdict.lost = 2;
    r.verdict.wrong = 3;
    r.load.error_count = 1;
    snprintf(r.load.errors[0].name, sizeof(r.load.errors[0].name), "EIO");
    r.load.errors[0].count = 9;
    return r;
}

ATF_TC_WITHOUT_HEAD(the_summary_has_what_scripts_read);
ATF_TC_BODY(the_summary_has_what_scripts_read, tc)
{
    struct hd_drill_result r = some_result("a", "kill-data", "held");
    json_t *o = hd_drill_result_json(&r, false);
    ATF_CHECK_STREQ(json_string_value(json_object_get(o, "drill")), "kill-data");
    ATF_CHECK(json_is_true(json_object_get(o, "held")));
    ATF_CHECK_EQ(json_integer_value(json_object_get(o, "acked")), 1000);
    ATF_CHECK_EQ(json_integer_value(json_object_get(o, "lost")), 2);
    ATF_CHECK_EQ(json_integer_value(json_object_get(o, "wrong")), 4);
    ATF_CHECK(json_is_null(json_object_get(o, "noticed_s")));
    ATF_CHECK_EQ(json_real_value(json_object_get(o, "mended_s")), 4.25);
    ATF_CHECK_EQ(json_real_value(json_object_get(json_object_get(o, "longest_stall_s"), "write")),
                 0.5);
    ATF_CHECK_EQ(json_integer_value(json_object_get(json_object_get(o, "errors"), "EIO")), 9);
    ATF_CHECK(json_object_get(o, "samples") == NULL);
    json_decref(o);
    r.judged = false; /* aborted: nobody knows */
    o = hd_drill_result_json(&r, false);
    ATF_CHECK(json_is_null(json_object_get(o, "held")));
    json_decref(o);
}

ATF_TC_WITHOUT_HEAD(the_history_keeps_drills_in_order);
ATF_TC_BODY(the_history_keeps_drills_in_order, tc)
{
    json_t *history;
    struct hd_drill_result first = some_result("20260101-a", "kill-data", "held");
    struct hd_drill_result second = some_result("20260102-b", "kill-data", "not held");
    ATF_REQUIRE_EQ(hd_drill_history_load("nowhere", &history), 0);
    ATF_CHECK_EQ(json_array_size(history), 0);
    json_decref(history);
    ATF_REQUIRE_EQ(hd_drill_history_add(".", &second), 0);
    ATF_REQUIRE_EQ(hd_drill_history_add(".", &first), 0);
    FILE *f = fopen("20260103-torn.json", "w");
    ATF_REQUIRE(f != NULL);
    fputs("{\"drill\": ", f);
    fclose(f);
    ATF_REQUIRE_EQ(hd_drill_history_load(".", &history), 0);
    ATF_REQUIRE_EQ(json_array_size(history), 2);
    json_t *last = hd_drill_history_last(history, "kill-data");
    ATF_CHECK_STREQ(json_string_value(json_object_get(last, "outcome")), "not held");
    ATF_CHECK(hd_drill_history_last(history, "kill-meta") == NULL);
    json_decref(history);
}

ATF_TC_WITHOUT_HEAD(the_report_is_one_page_that_needs_nothing);
ATF_TC_BODY(the_report_is_one_page_that_needs_nothing, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf html = {0};
    struct hd_sample samples[] = {
        {.t_ms = 0, .answers = true, .live = 4},
        {.t_ms = 1500, .answers = false},
        {.t_ms = 2500, .answers = true, .under = 12},
        {.t_ms = 9000, .answers = true, .live = 4},
    };
    struct hd_mark marks[] = {{.t_ms = 1500, .kind = "fault", .text = "<b>data-2</b> & \"co\""}};
    struct hd_drill_result r = some_result("a", "kill-data", "held");
    r.samples = samples;
    r.sample_count = HD_ARRAY_COUNT(samples);
    r.marks = marks;
    r.mark_count = 1;
    json_t *history = json_array();
    json_array_append_new(history, hd_drill_result_json(&r, true));
    ATF_REQUIRE_EQ(hd_report_html(history, "hdfs://h:1", &html), 0);
    const char *text = hd_buf_str(&html);
    ATF_CHECK(strncmp(text, "<!DOCTYPE html>", 15) == 0);
    ATF_CHECK(strstr(text, "<svg ") != NULL);
    ATF_CHECK(strstr(text, "12 blocks with too few copies") != NULL);
    ATF_CHECK(strstr(text, "no names served") != NULL);
    ATF_CHECK(strstr(text, "&lt;b&gt;data-2&lt;/b&gt; &amp; &quot;co&quot;") != NULL);
    ATF_CHECK(strstr(text, "<b>data-2") == NULL);
    ATF_CHECK(strstr(text, "<script") == NULL);
    ATF_CHECK(strstr(text, "src=") == NULL && strstr(text, "href=") == NULL);
    ATF_CHECK(strstr(text, "nan") == NULL && strstr(text, "inf ") == NULL);
    ATF_CHECK(strstr(text, "</html>") != NULL);
    json_decref(history);
}

ATF_TC_WITHOUT_HEAD(an_empty_history_is_a_page_too);
ATF_TC_BODY(an_empty_history_is_a_page_too, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf html = {0};
    json_t *history = json_array();
    json_t *bare = json_object(); /* by a later version, say */
    ATF_REQUIRE_EQ(hd_report_html(history, "x", &html), 0);
    json_array_append_new(history, bare);
    ATF_REQUIRE_EQ(hd_report_html(history, "x", &html), 0);
    json_decref(history);
}

/* ---- plans ---- */

static int load_plan(const char *text, struct hd_plan *p)
{
    FILE *f = fopen("plan.ini", "w");
    ATF_REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    return hd_plan_load("plan.ini", p);
}

ATF_TC_WITHOUT_HEAD(a_plan_is_read_whole);
ATF_TC_BODY(a_plan_is_read_whole, tc)
{
    static struct hd_plan p;
    ATF_REQUIRE_EQ(load_plan("title = Third quarter\n"
                             "[kill-data]\ntarget = data-2\nfor = 1m\nwrite_s = 3\n"
                             "[again]\ndrill = kill-data\nseed = 9\nload = small\nnote = Eve\n"
                             "acked_lost = 0\n",
                             &p),
                   0);
    ATF_CHECK_STREQ(p.title, "Third quarter");
    ATF_REQUIRE_EQ(p.count, 2);
    ATF_CHECK_STREQ(p.steps[0].drill, "kill-data");
    ATF_CHECK_STREQ(p.steps[0].target, "data-2");
    ATF_CHECK_EQ(p.steps[0].for_ms, 60000);
    ATF_CHECK_STREQ(p.steps[1].drill, "kill-data");
    ATF_CHECK_EQ(p.steps[1].seed, 9);
    ATF_CHECK_STREQ(p.steps[1].load, "small");
    struct hd_drill_result r = some_result("a", "kill-data", "held");
    ATF_CHECK(hd_plan_missed(&p.steps[0], &r) == NULL);
    r.load.longest_stall_s[HD_CLASS_WRITE] = 3.5;
    ATF_CHECK_STREQ(hd_plan_missed(&p.steps[0], &r), "write_s");
    ATF_CHECK(hd_plan_missed(&p.steps[1], &r) == NULL);
}

ATF_TC_WITHOUT_HEAD(a_wrong_plan_is_refused_with_its_place);
ATF_TC_BODY(a_wrong_plan_is_refused_with_its_place, tc)
{
    static struct hd_plan p;
    ATF_CHECK_EQ(load_plan("[kill-date]\nfor = 1s\n", &p), -EINVAL);
    ATF_CHECK(strstr(hd_fail_text(), "kill-date") != NULL);
    ATF_CHECK_EQ(load_plan("[kill-data]\nfor = soon\n", &p), -EINVAL);
    ATF_CHECK(strstr(hd_fail_text(), "plan.ini: [kill-data] soon") != NULL);
    ATF_CHECK_EQ(load_plan("[kill-data]\nduration = 1s\n", &p), -EINVAL);
    ATF_CHECK_EQ(load_plan("[kill-data]\nacked_lost = 3\n", &p), -EINVAL);
    ATF_CHECK_EQ(load_plan("[kill-data]\nread_s = -1\n", &p), -EINVAL);
    ATF_CHECK_EQ(load_plan("nonsense\n", &p), -EINVAL);
    ATF_CHECK(strstr(hd_fail_text(), "plan.ini:1") != NULL);
    ATF_CHECK_EQ(load_plan("", &p), -EINVAL);
    ATF_CHECK_EQ(hd_plan_load("no-such.ini", &p), -ENOENT);
}

ATF_TC_WITHOUT_HEAD(times_have_units);
ATF_TC_BODY(times_have_units, tc)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"30s", 30000}, {"2m", 120000}, {"1h", 3600000}, {"500ms", 500}, {"1.5", 1500}};
    static const char *const bad[] = {"", "s", "-1s", "1d", "1 s", "99999999h"};
    int64_t ms;
    for (size_t i = 0; i < HD_ARRAY_COUNT(good); i++) {
        ATF_CHECK_EQ_MSG(hd_drill_parse_time(good[i].text, &ms), 0, "%s", good[i].text);
        ATF_CHECK_EQ(ms, good[i].ms);
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        ATF_CHECK_EQ_MSG(hd_drill_parse_time(bad[i], &ms), -EINVAL, "%s", bad[i]);
    }
}

ATF_TC_WITHOUT_HEAD(every_drill_says_what_it_is);
ATF_TC_BODY(every_drill_says_what_it_is, tc)
{
    ATF_CHECK(hd_drill_count >= 20);
    for (size_t i = 0; i < hd_drill_count; i++) {
        const struct hd_drill *d = &hd_drills[i];
        ATF_CHECK(hd_drill_find(d->name) == d); /* names are unique */
        ATF_CHECK(d->summary[0] != '\0' && d->how[0] != '\0' && d->must[0] != '\0');
        ATF_CHECK(strlen(d->summary) <= 60);
        ATF_CHECK(d->inject != NULL);
        ATF_CHECK((d->target_role < 0) == (d->targets == 0));
        ATF_CHECK(strlen(d->name) < sizeof(((struct hd_drill_result *)0)->drill));
    }
    ATF_CHECK(hd_drill_find("no-such") == NULL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_summary_has_what_scripts_read);
    ATF_TP_ADD_TC(tp, the_history_keeps_drills_in_order);
    ATF_TP_ADD_TC(tp, the_report_is_one_page_that_needs_nothing);
    ATF_TP_ADD_TC(tp, an_empty_history_is_a_page_too);
    ATF_TP_ADD_TC(tp, a_plan_is_read_whole);
    ATF_TP_ADD_TC(tp, a_wrong_plan_is_refused_with_its_place);
    ATF_TP_ADD_TC(tp, times_have_units);
    ATF_TP_ADD_TC(tp, every_drill_says_what_it_is);
    return atf_no_error();
}
