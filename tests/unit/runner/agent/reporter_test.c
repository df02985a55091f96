/* What a task says on stderr: counters, status, and the end of its log. */
#include "runner/agent/reporter.h"

#include <atf-c.h>
#include <string.h>

static void say(struct hd_reporter *r, const char *line)
{
    ATF_REQUIRE_EQ(hd_reporter_line(r, (const uint8_t *)line, strlen(line)), 0);
}

ATF_TC_WITHOUT_HEAD(counters_add_up_and_a_status_stays);
ATF_TC_BODY(counters_add_up_and_a_status_stays, tc)
{
    struct hd_reporter r;
    hd_reporter_init(&r, "reporter:");
    say(&r, "reporter:counter:Mine,Lines,3");
    say(&r, "reporter:counter:Mine,Lines,-1");
    say(&r, "reporter:counter:Mine,Other,1");
    say(&r, "reporter:status:half way");
    ATF_REQUIRE_EQ(r.counter_count, 2);
    ATF_CHECK_EQ(r.counters[0].value, 2);
    ATF_CHECK_STREQ(r.status, "half way");
    ATF_CHECK_EQ(r.tail.size, 0);
    hd_reporter_done(&r);
}

ATF_TC_WITHOUT_HEAD(bad_reports_are_kept_as_lines);
ATF_TC_BODY(bad_reports_are_kept_as_lines, tc)
{
    struct hd_reporter r;
    hd_reporter_init(&r, "reporter:");
    say(&r, "reporter:counter:a,b");
    say(&r, "reporter:counter:a,b,c,1");
    say(&r, "reporter:counter:a,b,x");
    say(&r, "reporter:nonsense");
    say(&r, "plain");
    ATF_CHECK_EQ(r.counter_count, 0);
    ATF_CHECK_STREQ(hd_buf_str(&r.tail), "reporter:counter:a,b\nreporter:counter:a,b,c,1\n"
                                         "reporter:counter:a,b,x\nreporter:nonsense\nplain\n");
    hd_reporter_done(&r);
}

ATF_TC_WITHOUT_HEAD(only_the_end_of_a_long_log_is_kept);
ATF_TC_BODY(only_the_end_of_a_long_log_is_kept, tc)
{
    struct hd_reporter r;
    char line[64];
    hd_reporter_init(&r, "reporter:");
    for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof(line), "this is line number %d", i);
        say(&r, line);
    }
    ATF_CHECK(r.tail_cut);
    ATF_CHECK(r.tail.size <= 2 * HD_REPORTER_TAIL_BYTES);
    ATF_CHECK(strstr(hd_buf_str(&r.tail), "line number 19999\n") != NULL);
    ATF_CHECK_EQ(memcmp(r.tail.data, "this is line", 12), 0); /* whole lines */
    hd_reporter_done(&r);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, counters_add_up_and_a_status_stays);
    ATF_TP_ADD_TC(tp, bad_reports_are_kept_as_lines);
    ATF_TP_ADD_TC(tp, only_the_end_of_a_long_log_is_kept);
    return atf_no_error();
}
