/* Wide operations: records to pairs, sorted, to records again; against the rule in wide.h. */
#include "runner/ops/wide.h"
#include "runner/ops/record.h"

#include <atf-c.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 100 };

static struct hd_buf out;
static struct pair {
    uint8_t data[128];
    struct hd_record r;
} pairs[PAIRS_MAX];
static size_t pair_count;

static int collect(void *ctx, const uint8_t *record, size_t size)
{
    (void)ctx;
    ATF_REQUIRE_EQ(hd_buf_add(&out, record, size), 0);
    return hd_buf_add(&out, "|", 1);
}

static int by_record(const void *a, const void *b)
{
    return hd_record_compare(&((const struct pair *)a)->r, &((const struct pair *)b)->r);
}

static void add_pairs(struct hd_wide *w, uint32_t tag, const char *lines)
{
    while (*lines != '\0') {
        size_t n = strcspn(lines, "\n");
        struct hd_kv kv;
        ATF_REQUIRE_EQ(hd_wide_pair(w, tag, (const uint8_t *)lines, n, &kv), 0);
        struct pair *p = &pairs[pair_count++];
        memcpy(p->data, kv.key, kv.key_size);
        if (kv.value_size > 0) {
            memcpy(p->data + kv.key_size, kv.value, kv.value_size);
        }
        p->r = (struct hd_record){
            .key_size = (uint32_t)kv.key_size, .value_size = (uint32_t)kv.value_size, .repeat = 1};
        lines += n + (lines[n] == '\n');
    }
}

static const char *run(const char *op, const char *arg, const char *left, const char *right)
{
    char *args[] = {(char *)(uintptr_t)arg};
    struct hd_step s = {.op = op, .args = args, .arg_count = arg != NULL};
    const struct hd_wide_options o = {.op = &s, .map = 5, .emit = collect};
    struct hd_wide *w;
    int err = hd_wide_new(&o, &w);
    if (err < 0) {
        return "refused";
    }
    hd_buf_clear(&out);
    pair_count = 0;
    add_pairs(w, 0, left);
    add_pairs(w, 1, right);
    for (size_t i = 0; i < pair_count; i++) { /* not before: qsort moves them */
        pairs[i].r.key = pairs[i].data;
        pairs[i].r.value = pairs[i].data + pairs[i].r.key_size;
    }
    for (size_t i = 1; i < pair_count; i++) {
        for (size_t k = i; k > 0 && by_record(&pairs[k - 1], &pairs[k]) > 0; k--) {
            struct pair t = pairs[k];
            pairs[k] = pairs[k - 1];
            pairs[k - 1] = t;
            pairs[k].r.key = pairs[k].data;
            pairs[k].r.value = pairs[k].data + pairs[k].r.key_size;
            pairs[k - 1].r.key = pairs[k - 1].data;
            pairs[k - 1].r.value = pairs[k - 1].data + pairs[k - 1].r.key_size;
        }
    }
    for (size_t i = 0; err == 0 && i < pair_count; i++) {
        const struct hd_record *r = &pairs[i].r;
        err = hd_wide_add(w, &(struct hd_kv){r->key, r->key_size, r->value, r->value_size}, 1);
    }
    err = err == 0 ? hd_wide_finish(w) : err;
    hd_wide_free(w);
    return err == 0 ? hd_buf_str(&out) : "failed";
}

ATF_TC_WITHOUT_HEAD(counting);
ATF_TC_BODY(counting, tc)
{
    ATF_CHECK_STREQ(run("count", NULL, "b\na\nb\t1\nb", ""), "a\t1|b\t2|b\t1\t1|");
    ATF_CHECK_STREQ(run("countByKey", NULL, "b\t1\na\nb\t2", ""), "a\t1|b\t2|");
    ATF_CHECK_STREQ(run("distinct", NULL, "b\na\nb", ""), "a|b|");
    ATF_CHECK_STREQ(run("count", NULL, "", ""), "");
}

ATF_TC_WITHOUT_HEAD(reducing_by_key);
ATF_TC_BODY(reducing_by_key, tc)
{
    const char *lines = "a\t3\nb\t1.5\na\t10\nb\t2";
    ATF_CHECK_STREQ(run("reduceByKey", "sum", lines, ""), "a\t13|b\t3.5|");
    ATF_CHECK_STREQ(run("reduceByKey", "count", lines, ""), "a\t2|b\t2|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", lines, ""), "a\t3|b\t1.5|");
    ATF_CHECK_STREQ(run("reduceByKey", "max", lines, ""), "a\t10|b\t2|");
    ATF_CHECK_STREQ(run("reduceByKey", "avg", lines, ""), "a\t6.5|b\t1.75|");
    ATF_CHECK_STREQ(run("reduceByKey", "concat", lines, ""), "a\t10,3|b\t1.5,2|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", "a\tx\na\ty", ""), "a\tx|");
    ATF_CHECK_STREQ(run("reduceByKey", "max", "a\tx\na\ty", ""), "a\ty|");
    ATF_CHECK_STREQ(run("reduceByKey", "sum", "a\tx", ""), "failed");
    ATF_CHECK_STREQ(run("reduceByKey", "sum", "a\t0x10", ""), "failed");
    ATF_CHECK_STREQ(run("reduceByKey", "product", "", ""), "refused");
    ATF_CHECK_STREQ(run("groupByKey", NULL, lines, ""), "a\t10\t3|b\t1.5\t2|");
}

/* However values were cut into tasks, and brought together there, the outcome is the same. */
ATF_TC_WITHOUT_HEAD(extremes_are_values_and_texts_come_behind_numbers);
ATF_TC_BODY(extremes_are_values_and_texts_come_behind_numbers, tc)
{
    const char *ids = "a\t12345678901234567890\na\t12345678901234567000";
    ATF_CHECK_STREQ(run("reduceByKey", "max", "a\t007\na\t6.50", ""), "a\t007|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", "a\t007\na\t6.50", ""), "a\t6.50|");
    ATF_CHECK(strstr("a\t12345678901234567890|a\t12345678901234567000|",
                     run("reduceByKey", "max", ids, "")) != NULL);
    ATF_CHECK_STREQ(run("reduceByKey", "max", "a\t-\na\t10\na\t5", ""), "a\t-|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", "a\t-\na\t10\na\t5", ""), "a\t5|");
    ATF_CHECK_STREQ(run("reduceByKey", "max", "a\tx\na\t10\na\t5", ""), "a\tx|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", "a\tnan\na\tMax", ""), "a\tMax|");
    ATF_CHECK_STREQ(run("reduceByKey", "min", "a", ""), "a\t|");
}

ATF_TC_WITHOUT_HEAD(a_command_gets_lines_as_they_were);
ATF_TC_BODY(a_command_gets_lines_as_they_were, tc)
{
    ATF_CHECK_STREQ(run("reduce", "cat", "b\t\na\nb\nb\t1", ""), "a|b|b\t|b\t1|");
}

ATF_TC_WITHOUT_HEAD(joining);
ATF_TC_BODY(joining, tc)
{
    const char *left = "a\t1\na\t2\nb\t3\nd";
    const char *right = "a\tx\na\ty\nc\tz\nd\tw";
    ATF_CHECK_STREQ(run("join", "inner", left, right), "a\t1\tx|a\t2\tx|a\t1\ty|a\t2\ty|d\t\tw|");
    ATF_CHECK_STREQ(run("join", "left", "a\t1\nb\t3", "a\tx"), "a\t1\tx|b\t3\t|");
    ATF_CHECK_STREQ(run("join", "right", "a\t1\nb\t3", "a\tx\nc\tz"), "a\t1\tx|c\t\tz|");
    ATF_CHECK_STREQ(run("join", "full", "b\t3", "c\tz"), "b\t3\t|c\t\tz|");
    ATF_CHECK_STREQ(run("cogroup", NULL, left, right), "a\t1,2\tx,y|b\t3\t|c\t\tz|d\t\tw|");
    ATF_CHECK_STREQ(run("intersection", NULL, "a\na\nb", "a\nc"), "a|");
    ATF_CHECK_STREQ(run("subtract", NULL, "a\nb\nb", "a\nc"), "b|b|");
}

ATF_TC_WITHOUT_HEAD(records_that_only_travel_stay_as_they_are);
ATF_TC_BODY(records_that_only_travel_stay_as_they_are, tc)
{
    ATF_CHECK_STREQ(run("gather", NULL, "b\t\na\n\nb", ""), "b\t|a||b|"); /* in their order */
    ATF_CHECK_STREQ(run("repartition", NULL, "b\t\na\nb", ""), "a|b|b\t|");
    ATF_CHECK_STREQ(run("sortByKey", NULL, "b\t\na\nb\nb\t1", ""), "a|b|b\t|b\t1|");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, counting);
    ATF_TP_ADD_TC(tp, reducing_by_key);
    ATF_TP_ADD_TC(tp, extremes_are_values_and_texts_come_behind_numbers);
    ATF_TP_ADD_TC(tp, a_command_gets_lines_as_they_were);
    ATF_TP_ADD_TC(tp, joining);
    ATF_TP_ADD_TC(tp, records_that_only_travel_stay_as_they_are);
    return atf_no_error();
}
