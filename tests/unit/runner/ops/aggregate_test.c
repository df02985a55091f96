/* The aggregators, straight and through combiners of any portions. */
#include "runner/ops/aggregate.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>

enum { MAX = 400 };

struct row {
    char key[40];
    char value[60];
};

struct table {
    struct row rows[MAX];
    size_t count;
};

static int take(void *ctx, const struct hd_kv *kv)
{
    struct table *t = ctx;
    ATF_REQUIRE(t->count < MAX);
    struct row *r = &t->rows[t->count++];
    snprintf(r->key, sizeof(r->key), "%.*s", (int)kv->key_size, (const char *)kv->key);
    snprintf(r->value, sizeof(r->value), "%.*s", (int)kv->value_size, (const char *)kv->value);
    return 0;
}

static int by_row(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;
    int c = strcmp(x->key, y->key);
    return c != 0 ? c : strcmp(x->value, y->value);
}

/* Sorts rows [from, to), aggregates them, appends to out. */
static int run(struct table *in, size_t from, size_t to, bool combine, int64_t max_unique,
               struct table *out)
{
    struct hd_aggregate *a;
    struct hd_aggregate_options o = {
        .combine = combine, .max_unique = max_unique, .emit = take, .ctx = out};
    int err = 0;
    qsort(in->rows + from, to - from, sizeof(struct row), by_row);
    ATF_REQUIRE_EQ(hd_aggregate_new(&o, &a), 0);
    for (size_t i = from; err == 0 && i < to; i++) {
        const struct row *r = &in->rows[i];
        uint64_t repeat = 1;
        while (i + 1 < to && by_row(r, &in->rows[i + 1]) == 0) {
            repeat++;
            i++;
        }
        struct hd_kv kv = {(const uint8_t *)r->key, strlen(r->key), (const uint8_t *)r->value,
                           strlen(r->value)};
        err = hd_aggregate_add(a, &kv, repeat);
    }
    err = err == 0 ? hd_aggregate_finish(a) : err;
    hd_aggregate_free(a);
    return err;
}

static void add(struct table *t, const char *key, const char *value)
{
    struct row *r = &t->rows[t->count++];
    snprintf(r->key, sizeof(r->key), "%s", key);
    snprintf(r->value, sizeof(r->value), "%s", value);
}

static const char *find(const struct table *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].key, key) == 0) {
            return t->rows[i].value;
        }
    }
    return "(none)";
}

static struct table in, middle, out;

ATF_TC_WITHOUT_HEAD(every_aggregator_gives_hadoops_answer);
ATF_TC_BODY(every_aggregator_gives_hadoops_answer, tc)
{
    add(&in, "LongValueSum:a", "9223372036854775807");
    add(&in, "LongValueSum:a", "1");
    add(&in, "LongValueMax:a", "-5");
    add(&in, "LongValueMax:a", "-7");
    add(&in, "longvaluemin:a:b", "+5");
    add(&in, "longvaluemin:a:b", "-7");
    add(&in, "DoubleValueSum:d", "0.1");
    add(&in, "DoubleValueSum:d", "0.2");
    add(&in, "StringValueMax:s", "\xef\xbf\xbd");     /* U+FFFD */
    add(&in, "StringValueMax:s", "\xf0\x9f\x98\x80"); /* d83d de00 */
    add(&in, "StringValueMin:t", "b");
    add(&in, "StringValueMin:t", "");
    add(&in, "UniqValueCount:u", "x");
    add(&in, "UniqValueCount:u", "y");
    add(&in, "UniqValueCount:u", "x");
    add(&in, "ValueHistogram:h", "x");
    add(&in, "ValueHistogram:h", "y\t3");
    add(&in, "ValueHistogram:h", "x");
    add(&in, "ValueHistogram:h", "z");
    ATF_REQUIRE_EQ_MSG(run(&in, 0, in.count, false, INT64_MAX, &out), 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(out.count, 8);
    ATF_CHECK_STREQ(out.rows[0].value, "0.30000000000000004");
    ATF_CHECK_STREQ(out.rows[1].value, "-5");
    ATF_CHECK_STREQ(out.rows[2].value, "-9223372036854775808");
    ATF_CHECK_STREQ(find(&out, "s"), "\xef\xbf\xbd");
    ATF_CHECK_STREQ(find(&out, "t"), "");
    ATF_CHECK_STREQ(find(&out, "u"), "2");
    ATF_CHECK_STREQ(find(&out, "h"), "3\t1\t2\t3\t2.0\t0.816496580927726");
    ATF_CHECK_STREQ(find(&out, "a:b"), "-7");
    out.count = 0;
    ATF_REQUIRE_EQ(run(&in, 0, in.count, false, 1, &out), 0);
    ATF_CHECK_STREQ(find(&out, "u"), "1");
}

/* The oracle: what the rows of one key come to, counted the plain way. */
static void want(const struct table *t, const char *key, char *text, size_t room)
{
    int64_t sum = 0, max = INT64_MIN, counts[16] = {0}, unique = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].key, key) == 0) {
            int64_t v = atoll(t->rows[i].value);
            sum += v;
            max = HD_MAX(max, v);
            unique += counts[v]++ == 0;
        }
    }
    if (strncmp(key, "LongValueSum", 12) == 0) {
        snprintf(text, room, "%lld", (long long)sum);
    } else if (strncmp(key, "LongValueMax", 12) == 0) {
        snprintf(text, room, "%lld", (long long)max);
    } else if (strncmp(key, "UniqValueCount", 14) == 0) {
        snprintf(text, room, "%lld", (long long)unique);
    } else {
        snprintf(text, room, "%lld\t", (long long)unique);
    }
}

ATF_TC_WITHOUT_HEAD(combining_any_portions_changes_nothing);
ATF_TC_BODY(combining_any_portions_changes_nothing, tc)
{
    static const char *const types[] = {"LongValueSum", "LongValueMax", "UniqValueCount",
                                        "ValueHistogram"};
    struct hd_prng p = {7};
    for (int round = 0; round < 200; round++) {
        in.count = middle.count = out.count = 0;
        size_t n = 1 + hd_prng_below(&p, 200);
        for (size_t i = 0; i < n; i++) {
            char key[40], value[20];
            snprintf(key, sizeof(key), "%s:%c", types[hd_prng_below(&p, 4)],
                     (char)('a' + hd_prng_below(&p, 3)));
            snprintf(value, sizeof(value), "%d", (int)hd_prng_below(&p, 16));
            add(&in, key, value);
        }
        static struct table straight;
        struct table copy = in;
        straight.count = 0;
        ATF_REQUIRE_EQ(run(&copy, 0, n, false, INT64_MAX, &straight), 0);
        for (size_t at = 0; at < n;) {
            size_t to = at + 1 + hd_prng_below(&p, 60);
            to = HD_MIN(n, to);
            ATF_REQUIRE_EQ_MSG(run(&in, at, to, true, INT64_MAX, &middle), 0, "%s", hd_fail_text());
            at = to;
        }
        ATF_REQUIRE_EQ(run(&middle, 0, middle.count, false, INT64_MAX, &out), 0);
        ATF_REQUIRE_EQ(out.count, straight.count);
        size_t seen = 0;
        for (size_t i = 0; i < n; i++) { /* the rows by key, in order, are those of out */
            char text[60];
            copy = in;
            qsort(copy.rows, n, sizeof(struct row), by_row);
            if (i > 0 && strcmp(copy.rows[i].key, copy.rows[i - 1].key) == 0) {
                continue;
            }
            want(&in, copy.rows[i].key, text, sizeof(text));
            ATF_REQUIRE_STREQ(out.rows[seen].value, straight.rows[seen].value);
            ATF_REQUIRE_MSG(strncmp(out.rows[seen].value, text, strlen(text)) == 0, "%s: %s %s",
                            copy.rows[i].key, out.rows[seen].value, text);
            seen++;
        }
        ATF_REQUIRE_EQ(seen, out.count);
    }
}

ATF_TC_WITHOUT_HEAD(bad_records_are_told);
ATF_TC_BODY(bad_records_are_told, tc)
{
    static const char *const bad[][2] = {{"word", "1"},
                                         {"LongSum:x", "1"},
                                         {"LongValueSum:x", ""},
                                         {"LongValueSum:x", "1x"},
                                         {"LongValueSum:x", "9223372036854775808"},
                                         {"LongValueSum:x", "-9223372036854775809"},
                                         {"LongValueSum:x", " 1"},
                                         {"DoubleValueSum:x", "inf"},
                                         {"DoubleValueSum:x", "one"},
                                         {"ValueHistogram:x", "a\tb"}};
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        in.count = out.count = 0;
        add(&in, bad[i][0], bad[i][1]);
        ATF_CHECK_EQ_MSG(run(&in, 0, 1, false, INT64_MAX, &out), -EINVAL, "%s %s", bad[i][0],
                         bad[i][1]);
    }
}

ATF_TC_WITHOUT_HEAD(doubles_are_written_as_java_writes_them);
ATF_TC_BODY(doubles_are_written_as_java_writes_them, tc)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0.0"},
                {-0.0, "-0.0"},
                {1, "1.0"},
                {0.001, "0.001"},
                {0.00099, "9.9E-4"},
                {9999999, "9999999.0"},
                {1e7, "1.0E7"},
                {12345678.5, "1.23456785E7"},
                {100, "100.0"},
                {-1.25, "-1.25"},
                {1.0 / 3, "0.3333333333333333"},
                {1e300, "1.0E300"},
                {0.05, "0.05"},
                {123456.789, "123456.789"}};
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        char text[32];
        hd_java_double(rows[i].v, text, sizeof(text));
        ATF_CHECK_STREQ(text, rows[i].text);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_aggregator_gives_hadoops_answer);
    ATF_TP_ADD_TC(tp, combining_any_portions_changes_nothing);
    ATF_TP_ADD_TC(tp, bad_records_are_told);
    ATF_TP_ADD_TC(tp, doubles_are_written_as_java_writes_them);
    return atf_no_error();
}
