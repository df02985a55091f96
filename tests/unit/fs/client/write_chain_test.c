/* Writers and their chain: what goes together, what is kept, what is not believed. */
#include "tests/support/straw_cluster.h"

static void write_file(struct hd_fs *fs, const uint8_t *data, size_t size, int expected)
{
    struct hd_create_options o = {.mode = 0644};
    struct hd_file *f;
    ATF_REQUIRE_EQ_MSG(hd_file_create(fs, "/f", &o, &f), 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(hd_file_write(f, data, size), 0);
    int rc = hd_file_close(f);
    ATF_CHECK_EQ_MSG(rc, expected, "%d %s", rc, hd_fail_text());
}

static uint8_t *pattern(size_t size)
{
    uint8_t *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 13 + i / 512);
    }
    return data;
}

ATF_TC_WITHOUT_HEAD(a_small_block_goes_with_its_request);
ATF_TC_BODY(a_small_block_goes_with_its_request, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(20000);
    write_file(fs, data, 20000, 0);
    ATF_CHECK_EQ(c.nodes[0]->writes, 1);
    ATF_CHECK_EQ(c.nodes[0]->together, 1);
    ATF_CHECK_EQ(c.nodes[0]->size, 20000u);
    ATF_CHECK_EQ(memcmp(c.nodes[0]->data, data, 20000), 0);
    free(data);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(a_larger_block_waits_for_the_answer);
ATF_TC_BODY(a_larger_block_waits_for_the_answer, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(700000);
    write_file(fs, data, 700000, 0);
    ATF_CHECK_EQ(c.nodes[0]->together, 0);
    ATF_CHECK_EQ(c.nodes[0]->size, 700000u);
    ATF_CHECK_EQ(memcmp(c.nodes[0]->data, data, 700000), 0);
    free(data);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(the_connection_of_a_finished_block_serves_the_next);
ATF_TC_BODY(the_connection_of_a_finished_block_serves_the_next, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(1000);
    for (int i = 0; i < 5; i++) {
        write_file(fs, data, 1000, 0);
    }
    ATF_CHECK_EQ(c.nodes[0]->writes, 5);
    ATF_CHECK_EQ(c.nodes[0]->connections, 1);
    free(data);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(a_kept_connection_that_died_is_no_failure_of_the_node);
ATF_TC_BODY(a_kept_connection_that_died_is_no_failure_of_the_node, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(1000);
    write_file(fs, data, 1000, 0);
    shutdown(c.nodes[0]->fds[0], SHUT_RDWR);
    write_file(fs, data, 1000, 0);
    ATF_CHECK_EQ(c.abandoned, 0);
    ATF_CHECK_EQ(c.excluded, 0);
    ATF_CHECK_EQ(c.nodes[0]->connections, 2);
    free(data);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(an_ack_that_is_silent_about_a_node_is_not_believed);
ATF_TC_BODY(an_ack_that_is_silent_about_a_node_is_not_believed, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(1000);
    c.nodes[0]->short_acks = true; /* hides the last of the three */
    write_file(fs, data, 1000, 0);
    ATF_CHECK(c.abandoned >= 1); /* begun anew without the node nobody vouches for */
    ATF_CHECK(c.excluded >= 1);
    free(data);
    straw_stop(&c, fs);
}

ATF_TC_WITHOUT_HEAD(a_flushed_block_is_recovered_instead_of_begun_anew);
ATF_TC_BODY(a_flushed_block_is_recovered_instead_of_begun_anew, tc)
{
    struct straw_cluster c;
    struct hd_fs *fs = straw_start(&c);
    uint8_t *data = pattern(200000);
    struct hd_create_options o = {.mode = 0644};
    struct hd_file *f;
    ATF_REQUIRE_EQ(hd_file_create(fs, "/f", &o, &f), 0);
    ATF_CHECK_EQ(hd_file_write(f, data, 100000), 0);
    ATF_CHECK_EQ(hd_file_hflush(f), 0);
    shutdown(c.nodes[0]->fds[0], SHUT_RDWR); /* the head of the chain goes */
    ATF_CHECK_EQ(hd_file_write(f, data + 100000, 100000), 0);
    ATF_CHECK_EQ(hd_file_hflush(f), 0);
    int rc = hd_file_close(f);
    ATF_CHECK_EQ_MSG(rc, 0, "%d %s", rc, hd_fail_text());
    ATF_CHECK_EQ(c.abandoned, 0);
    ATF_CHECK(c.recoveries >= 1);
    ATF_CHECK_EQ(c.nodes[1]->size, 200000u);
    ATF_CHECK_EQ(memcmp(c.nodes[1]->data + 100000, data + 100000, 100000), 0);
    free(data);
    straw_stop(&c, fs);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_small_block_goes_with_its_request);
    ATF_TP_ADD_TC(tp, a_larger_block_waits_for_the_answer);
    ATF_TP_ADD_TC(tp, the_connection_of_a_finished_block_serves_the_next);
    ATF_TP_ADD_TC(tp, a_kept_connection_that_died_is_no_failure_of_the_node);
    ATF_TP_ADD_TC(tp, an_ack_that_is_silent_about_a_node_is_not_believed);
    ATF_TP_ADD_TC(tp, a_flushed_block_is_recovered_instead_of_begun_anew);
    return atf_no_error();
}
