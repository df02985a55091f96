/* The sorter against qsort: any budget, any partition count, repeats counted, spills merged. */
#include "runner/ops/sorter.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "runner/ops/merge.h"
#include "runner/ops/partition.h"

#include <atf-c.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct line {
    char *key;
    size_t key_size;
    char *value;
    size_t value_size;
    uint32_t partition;
};

static int by_order(const void *a, const void *b)
{
    const struct line *x = a;
    const struct line *y = b;
    if (x->partition != y->partition) {
        return x->partition < y->partition ? -1 : 1;
    }
    struct hd_record r = {(uint8_t *)x->key, (uint8_t *)x->value, (uint32_t)x->key_size,
                          (uint32_t)x->value_size, 1};
    struct hd_record s = {(uint8_t *)y->key, (uint8_t *)y->value, (uint32_t)y->key_size,
                          (uint32_t)y->value_size, 1};
    return hd_record_compare(&r, &s);
}

/* Keys with shared beginnings, zero bytes, many repeats when `words` is small. */
static void make_line(struct hd_prng *p, uint64_t words, size_t max, struct line *l, uint32_t parts)
{
    struct hd_prng word = {hd_prng_below(p, words) * 7919 + 1};
    l->key_size = hd_prng_below(&word, max);
    l->value_size = hd_prng_below(&word, 4);
    l->key = malloc(l->key_size + 1);
    l->value = malloc(l->value_size + 1);
    for (size_t i = 0; i < l->key_size; i++) {
        l->key[i] = (char)(i < 9 ? hd_prng_below(&word, 3) : hd_prng_below(&word, 256));
    }
    for (size_t i = 0; i < l->value_size; i++) {
        l->value[i] = (char)('a' + hd_prng_below(&word, 2));
    }
    l->partition = hd_partition_hash((uint8_t *)l->key, l->key_size, parts);
}

static uint32_t by_hash(const void *ctx, const uint8_t *key, size_t size, uint32_t partitions)
{
    (void)ctx;
    return hd_partition_hash(key, size, partitions);
}

static void check_partition(const char *path, const struct hd_run_index *index, uint32_t partition,
                            const struct line *lines, size_t count, size_t *at)
{
    struct hd_source *s;
    struct hd_record r;
    int fd = open(path, O_RDONLY);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(hd_run_reader_new(fd, &index->parts[partition], &s), 0);
    int got;
    while ((got = s->next(s, &r)) == 1) {
        for (uint64_t i = 0; i < r.repeat; i++, (*at)++) {
            ATF_REQUIRE(*at < count);
            const struct line *l = &lines[*at];
            ATF_REQUIRE_EQ(l->partition, partition);
            ATF_REQUIRE_EQ(l->key_size, r.key_size);
            ATF_REQUIRE_EQ(memcmp(l->key, r.key, r.key_size), 0);
            ATF_REQUIRE_EQ(l->value_size, r.value_size);
            ATF_REQUIRE_EQ(memcmp(l->value, r.value, r.value_size), 0);
        }
    }
    ATF_REQUIRE_MSG(got == 0, "%s", hd_fail_describe(got));
    s->close(s);
    close(fd);
}

static void check_sort(size_t count, uint64_t words, size_t max, uint32_t parts, uint32_t factor,
                       hd_combine_fn combine, uint32_t *ret_spills)
{
    struct hd_prng prng = {count + words};
    struct line *lines = calloc(count, sizeof(*lines));
    struct hd_sorter_options o = {.dir = ".",
                                  .name = "t",
                                  .partitions = parts,
                                  .budget_bytes = HD_SORTER_MIN_BUDGET_BYTES,
                                  .factor = factor,
                                  .partition = by_hash,
                                  .combine = combine};
    struct hd_sorter *s;
    struct hd_run_index index;
    struct hd_sorter_stats stats;
    ATF_REQUIRE_EQ(hd_sorter_new(&o, &s), 0);
    for (size_t i = 0; i < count; i++) {
        struct line *l = &lines[i];
        make_line(&prng, words, max, l, parts);
        ATF_REQUIRE_EQ(
            hd_sorter_add(s, (uint8_t *)l->key, l->key_size, (uint8_t *)l->value, l->value_size, 1),
            0);
    }
    ATF_REQUIRE_EQ(hd_sorter_finish(s, "t.run", &index), 0);
    hd_sorter_stats(s, &stats);
    ATF_CHECK_EQ(stats.records, count);
    *ret_spills = stats.spills;
    hd_sorter_free(s);
    qsort(lines, count, sizeof(*lines), by_order);
    size_t at = 0;
    for (uint32_t p = 0; p < parts; p++) {
        check_partition("t.run", &index, p, lines, count, &at);
    }
    ATF_CHECK_EQ(at, count);
    hd_run_index_done(&index);
    for (size_t i = 0; i < count; i++) {
        free(lines[i].key);
        free(lines[i].value);
    }
    free(lines);
}

ATF_TC_WITHOUT_HEAD(what_fits_the_budget_is_sorted_without_spills);
ATF_TC_BODY(what_fits_the_budget_is_sorted_without_spills, tc)
{
    uint32_t spills;
    check_sort(0, 10, 10, 3, 0, NULL, &spills);
    check_sort(1, 10, 10, 1, 0, NULL, &spills);
    check_sort(5000, 1000000, 40, 4, 0, NULL, &spills);
    ATF_CHECK_EQ(spills, 0);
}

ATF_TC_WITHOUT_HEAD(what_does_not_fit_is_spilled_and_merged);
ATF_TC_BODY(what_does_not_fit_is_spilled_and_merged, tc)
{
    uint32_t spills;
    check_sort(200000, 1000000, 60, 7, 0, NULL, &spills);
    ATF_CHECK(spills > 5);
    check_sort(200000, 1000000, 60, 2, 3, NULL, &spills); /* merged in several passes */
}

ATF_TC_WITHOUT_HEAD(repeats_cost_a_counter_and_come_back_as_often);
ATF_TC_BODY(repeats_cost_a_counter_and_come_back_as_often, tc)
{
    uint32_t spills;
    check_sort(300000, 500, 20, 3, 0, NULL, &spills);
    ATF_CHECK_EQ(spills, 0); /* a tenth of the records would not fit */
}

static int pass_through(void *ctx, struct hd_source *in, struct hd_sorter *out)
{
    struct hd_record r;
    int got;
    (void)ctx;
    while ((got = in->next(in, &r)) == 1) {
        int err = hd_sorter_add(out, r.key, r.key_size, r.value, r.value_size, r.repeat);
        if (err < 0) {
            return err;
        }
    }
    return got;
}

ATF_TC_WITHOUT_HEAD(a_combiner_that_changes_nothing_changes_nothing);
ATF_TC_BODY(a_combiner_that_changes_nothing_changes_nothing, tc)
{
    uint32_t spills;
    check_sort(50000, 1000000, 60, 5, 0, pass_through, &spills);
    ATF_CHECK(spills > 1);
}

ATF_TC_WITHOUT_HEAD(a_record_above_the_budget_is_refused);
ATF_TC_BODY(a_record_above_the_budget_is_refused, tc)
{
    struct hd_sorter_options o = {.dir = ".", .name = "big", .partitions = 1, .partition = by_hash};
    struct hd_sorter *s;
    uint8_t *big = calloc(1, 2 << 20);
    ATF_REQUIRE_EQ(hd_sorter_new(&o, &s), 0);
    ATF_CHECK_EQ(hd_sorter_add(s, big, 2 << 20, big, 0, 1), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(hd_sorter_add(s, big, 10, big, 0, 1), 0);
    hd_sorter_free(s);
    free(big);
}

ATF_TC_WITHOUT_HEAD(spills_are_removed);
ATF_TC_BODY(spills_are_removed, tc)
{
    uint32_t spills;
    check_sort(100000, 1000000, 60, 2, 0, NULL, &spills);
    ATF_CHECK(spills > 0);
    ATF_CHECK_EQ(system("ls *.spill >/dev/null 2>&1") != 0, true);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_fits_the_budget_is_sorted_without_spills);
    ATF_TP_ADD_TC(tp, what_does_not_fit_is_spilled_and_merged);
    ATF_TP_ADD_TC(tp, repeats_cost_a_counter_and_come_back_as_often);
    ATF_TP_ADD_TC(tp, a_combiner_that_changes_nothing_changes_nothing);
    ATF_TP_ADD_TC(tp, a_record_above_the_budget_is_refused);
    ATF_TP_ADD_TC(tp, spills_are_removed);
    return atf_no_error();
}
