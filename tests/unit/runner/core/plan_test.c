/* Planning: blocks become splits, crumbs join, tiny files share. Every byte is planned once. */
#include "runner/core/plan.h"
#include "fs/base/prng.h"

#include <atf-c.h>

enum { MB = 1 << 20 };

static struct hd_plan_options plain(void)
{
    return (struct hd_plan_options){.min_split = 1};
}

static void make_blocks(struct hd_arena *arena, struct hd_plan_file *f, uint64_t block,
                        uint32_t first_node)
{
    f->block_count = (uint32_t)((f->size + block - 1) / block);
    f->blocks = HD_ARENA_ARRAY(arena, struct hd_plan_block, f->block_count + 1);
    for (uint32_t i = 0; i < f->block_count; i++) {
        uint64_t offset = i * block;
        f->blocks[i] = (struct hd_plan_block){.offset = offset,
                                              .size = HD_MIN(block, f->size - offset),
                                              .nodes = {first_node + i},
                                              .node_count = 1};
    }
}

ATF_TC_WITHOUT_HEAD(a_file_is_cut_at_its_blocks);
ATF_TC_BODY(a_file_is_cut_at_its_blocks, tc)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_plan plan;
    struct hd_plan_file f = {.path = "/a", .size = 400 * MB};
    struct hd_plan_options o = plain();
    hd_arena_init(&arena, 0);
    make_blocks(&arena, &f, 128 * MB, 10);
    ATF_REQUIRE_EQ(hd_plan_make(&f, 1, &o, &arena, &plan), 0);
    ATF_REQUIRE_EQ(plan.count, 4);
    ATF_CHECK_EQ(plan.tasks[1].splits[0].start, 128 * MB);
    ATF_CHECK_EQ(plan.tasks[1].splits[0].length, 128 * MB);
    ATF_CHECK_EQ(plan.tasks[3].bytes, 16 * MB);
    ATF_CHECK_EQ(plan.tasks[2].nodes[0], 12);
}

ATF_TC_WITHOUT_HEAD(a_crumb_joins_the_split_before);
ATF_TC_BODY(a_crumb_joins_the_split_before, tc)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_plan plan;
    struct hd_plan_file f = {.path = "/a", .size = 133 * MB};
    struct hd_plan_options o = plain();
    hd_arena_init(&arena, 0);
    make_blocks(&arena, &f, 128 * MB, 0);
    ATF_REQUIRE_EQ(hd_plan_make(&f, 1, &o, &arena, &plan), 0);
    ATF_REQUIRE_EQ(plan.count, 1);
    ATF_CHECK_EQ(plan.tasks[0].bytes, 133 * MB);
    ATF_CHECK_EQ(plan.tasks[0].nodes[0], 0); /* where most of it is */
}

ATF_TC_WITHOUT_HEAD(empty_and_whole_files_are_one_split);
ATF_TC_BODY(empty_and_whole_files_are_one_split, tc)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_plan plan;
    struct hd_plan_file f[2] = {{.path = "/empty"},
                                {.path = "/x.gz", .size = 400 * MB, .whole = true}};
    struct hd_plan_options o = plain();
    hd_arena_init(&arena, 0);
    make_blocks(&arena, &f[1], 128 * MB, 0);
    ATF_REQUIRE_EQ(hd_plan_make(f, 2, &o, &arena, &plan), 0);
    ATF_REQUIRE_EQ(plan.count, 2);
    ATF_CHECK_EQ(plan.tasks[0].bytes, 0);
    ATF_CHECK_EQ(plan.tasks[1].bytes, 400 * MB);
}

ATF_TC_WITHOUT_HEAD(tiny_files_of_a_node_share_a_task);
ATF_TC_BODY(tiny_files_of_a_node_share_a_task, tc)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_plan plan;
    struct hd_plan_file f[300];
    struct hd_plan_options o = {.min_split = 1,
                                .combine = true,
                                .tiny_bytes = MB,
                                .group_bytes = 100 * 1000,
                                .group_files = 1000};
    hd_arena_init(&arena, 0);
    for (uint32_t i = 0; i < 300; i++) {
        f[i] = (struct hd_plan_file){.path = "/f", .size = 1000};
        make_blocks(&arena, &f[i], 128 * MB, i % 3);
    }
    ATF_REQUIRE_EQ(hd_plan_make(f, 300, &o, &arena, &plan), 0);
    ATF_REQUIRE_EQ(plan.count, 3);
    for (uint32_t t = 0; t < 3; t++) {
        ATF_CHECK_EQ(plan.tasks[t].split_count, 100);
        ATF_CHECK_EQ(plan.tasks[t].node_count, 1);
        for (uint32_t s = 0; s < 100; s++) {
            ATF_CHECK_EQ(plan.tasks[t].splits[s].file % 3, plan.tasks[t].nodes[0]);
        }
    }
}

ATF_TC_WITHOUT_HEAD(every_byte_is_in_exactly_one_split);
ATF_TC_BODY(every_byte_is_in_exactly_one_split, tc)
{
    struct hd_prng p = {5};
    for (int round = 0; round < 300; round++) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        struct hd_plan plan;
        struct hd_plan_file f[20];
        uint64_t next[20] = {0};
        uint32_t count = 1 + (uint32_t)hd_prng_below(&p, 20);
        struct hd_plan_options o = {.min_split = 1 + hd_prng_below(&p, 300),
                                    .max_split = hd_prng_below(&p, 3) * 100,
                                    .combine = hd_prng_below(&p, 2),
                                    .tiny_bytes = 100,
                                    .group_bytes = 500,
                                    .group_files = 5};
        hd_arena_init(&arena, 0);
        for (uint32_t i = 0; i < count; i++) {
            f[i] = (struct hd_plan_file){.path = "/f", .size = hd_prng_below(&p, 2000)};
            make_blocks(&arena, &f[i], 128, (uint32_t)hd_prng_below(&p, 3));
        }
        ATF_REQUIRE_EQ(hd_plan_make(f, count, &o, &arena, &plan), 0);
        for (uint32_t t = 0; t < plan.count; t++) {
            for (uint32_t s = 0; s < plan.tasks[t].split_count; s++) {
                const struct hd_plan_split *x = &plan.tasks[t].splits[s];
                ATF_REQUIRE_EQ(next[x->file], x->start);
                next[x->file] += x->length;
            }
        }
        for (uint32_t i = 0; i < count; i++) {
            ATF_REQUIRE_EQ(next[i], f[i].size);
        }
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_file_is_cut_at_its_blocks);
    ATF_TP_ADD_TC(tp, a_crumb_joins_the_split_before);
    ATF_TP_ADD_TC(tp, empty_and_whole_files_are_one_split);
    ATF_TP_ADD_TC(tp, tiny_files_of_a_node_share_a_task);
    ATF_TP_ADD_TC(tp, every_byte_is_in_exactly_one_split);
    return atf_no_error();
}
