/* Readers among replicas that hang or rot. */
#include "tests/support/straw_cluster.h"

enum { SIZE = 300000, PIECE = 4096 };

static void fill(struct straw_cluster *c)
{
    for (int n = 0; n < STRAW_NODES; n++) {
        for (size_t i = 0; i < SIZE; i++) {
            c->nodes[n]->data[i] = (uint8_t)(i * 7 + i / 512);
        }
        c->nodes[n]->size = SIZE;
    }
}

static void check_read(struct hd_file *f, const struct straw_cluster *c, uint64_t at)
{
    uint8_t out[PIECE];
    int64_t n = hd_file_pread(f, out, PIECE, at);
    ATF_REQUIRE_EQ_MSG(n, PIECE, "%lld %s", (long long)n, hd_fail_text());
    ATF_CHECK_EQ(memcmp(out, c->nodes[1]->data + at, PIECE), 0);
}

ATF_TC_WITHOUT_HEAD(a_hanging_node_costs_a_fraction_of_a_second_once);
ATF_TC_BODY(a_hanging_node_costs_a_fraction_of_a_second_once, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    struct hd_file *f;
    fill(&c);
    c.nodes[0]->hang = true;
    ATF_REQUIRE_EQ(hd_file_open(fs, "/f", &f), 0);
    int64_t began = hd_clock_mono_ms().v;
    check_read(f, &c, 100000);
    int64_t took = hd_clock_mono_ms().v - began;
    ATF_CHECK_MSG(took >= 150 && took < 800, "%lld ms", (long long)took);
    began = hd_clock_mono_ms().v;
    check_read(f, &c, 1000);
    check_read(f, &c, 200000);
    ATF_CHECK(hd_clock_mono_ms().v - began < 150);
    ATF_CHECK_EQ(c.nodes[0]->reads, 1);
    ATF_CHECK(c.nodes[1]->reads >= 1);
    ATF_CHECK_EQ(c.nodes[2]->reads, 0);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(the_first_answer_wins_where_all_are_slow);
ATF_TC_BODY(the_first_answer_wins_where_all_are_slow, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    struct hd_file *f;
    fill(&c);
    c.nodes[0]->hang = c.nodes[1]->hang = true;
    ATF_REQUIRE_EQ(hd_file_open(fs, "/f", &f), 0);
    int64_t began = hd_clock_mono_ms().v;
    check_read(f, &c, 0);
    ATF_CHECK(hd_clock_mono_ms().v - began < 1200);
    ATF_CHECK_EQ(c.nodes[2]->reads, 1);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(a_rotten_replica_is_reported_beside_a_good_one);
ATF_TC_BODY(a_rotten_replica_is_reported_beside_a_good_one, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    struct hd_file *f;
    fill(&c);
    c.nodes[0]->rot = true;
    ATF_REQUIRE_EQ(hd_file_open(fs, "/f", &f), 0);
    check_read(f, &c, 0);
    ATF_CHECK_EQ(c.reports, 1);
    ATF_CHECK_STREQ(c.reported, "node-0");
    check_read(f, &c, 65536);
    ATF_CHECK_EQ(c.reports, 1);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(where_every_replica_is_rotten_none_is_reported);
ATF_TC_BODY(where_every_replica_is_rotten_none_is_reported, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    struct hd_file *f;
    uint8_t out[PIECE];
    fill(&c);
    c.nodes[0]->rot = c.nodes[1]->rot = c.nodes[2]->rot = true;
    ATF_REQUIRE_EQ(hd_file_open(fs, "/f", &f), 0);
    ATF_CHECK_EQ(hd_file_pread(f, out, PIECE, 0), -HD_E_CHECKSUM);
    ATF_CHECK_EQ(c.reports, 0);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

/* An open file of which the writer told SIZE bytes; the nodes have so many of them. */
static struct hd_file *open_unfinished(struct straw_cluster *c, struct hd_fs *fs,
                                       const size_t *have)
{
    struct hd_file *f;
    fill(c);
    for (int n = 0; n < STRAW_NODES; n++) {
        c->nodes[n]->size = have[n];
    }
    c->told = SIZE;
    c->open = true;
    ATF_REQUIRE_EQ(hd_file_open(fs, "/f", &f), 0);
    return f;
}

ATF_TC_WITHOUT_HEAD(what_is_left_of_a_lost_end_is_read);
ATF_TC_BODY(what_is_left_of_a_lost_end_is_read, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t out[2 * PIECE];
    struct hd_file *f = open_unfinished(&c, fs, (const size_t[]){90000, 100000, 100000});
    check_read(f, &c, 0);
    ATF_CHECK_EQ(hd_file_pread(f, out, sizeof(out), 100000 - PIECE), PIECE);
    ATF_CHECK_EQ(memcmp(out, c.nodes[1]->data + 100000 - PIECE, PIECE), 0);
    ATF_CHECK_EQ(hd_file_pread(f, out, sizeof(out), 100000), 0);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(one_replica_that_has_the_told_end_is_enough);
ATF_TC_BODY(one_replica_that_has_the_told_end_is_enough, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    struct hd_file *f = open_unfinished(&c, fs, (const size_t[]){90000, 0, SIZE});
    check_read(f, &c, SIZE - PIECE);
    check_read(f, &c, 0);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(an_end_that_a_silent_node_may_have_is_not_cut_off);
ATF_TC_BODY(an_end_that_a_silent_node_may_have_is_not_cut_off, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    c.silent = 3;
    struct hd_file *f = open_unfinished(&c, fs, (const size_t[]){90000, 90000, SIZE});
    check_read(f, &c, SIZE - PIECE);
    ATF_CHECK_EQ(hd_file_close(f), 0);
    straw_stop(&c, fs);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_is_left_of_a_lost_end_is_read);
    ATF_TP_ADD_TC(tp, one_replica_that_has_the_told_end_is_enough);
    ATF_TP_ADD_TC(tp, an_end_that_a_silent_node_may_have_is_not_cut_off);
    ATF_TP_ADD_TC(tp, a_hanging_node_costs_a_fraction_of_a_second_once);
    ATF_TP_ADD_TC(tp, the_first_answer_wins_where_all_are_slow);
    ATF_TP_ADD_TC(tp, a_rotten_replica_is_reported_beside_a_good_one);
    ATF_TP_ADD_TC(tp, where_every_replica_is_rotten_none_is_reported);
    return atf_no_error();
}
