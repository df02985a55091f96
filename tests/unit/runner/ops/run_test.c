/* Runs: what is written comes back; a flipped bit, a cut file or a wrong index never goes unseen.
 */
#include "runner/ops/run.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_record rec(const char *key, const char *value, uint64_t repeat)
{
    return (struct hd_record){.key = (const uint8_t *)key,
                              .value = (const uint8_t *)value,
                              .key_size = (uint32_t)strlen(key),
                              .value_size = (uint32_t)strlen(value),
                              .repeat = repeat};
}

static void write_run(const char *path, struct hd_run_index *index)
{
    struct hd_run_writer *w;
    ATF_REQUIRE_EQ(hd_run_writer_new(path, 4, &w), 0);
    const struct hd_record a[] = {rec("", "", 1), rec("apple", "1", 1), rec("apple", "1", 2),
                                  rec("apples", "x", 1), rec("b", "", 70000)};
    for (size_t i = 0; i < HD_ARRAY_COUNT(a); i++) {
        ATF_REQUIRE_EQ(hd_run_writer_add(w, 0, &a[i]), 0);
    }
    char key[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "key-%08d", i);
        struct hd_record r = rec(key, "some value", 1);
        ATF_REQUIRE_EQ(hd_run_writer_add(w, 2, &r), 0);
    }
    ATF_REQUIRE_EQ(hd_run_writer_finish(w, index), 0);
}

/* Reads a partition to its end; the number of records or the error. */
static int64_t read_part(const char *path, const struct hd_run_part *part)
{
    struct hd_source *s;
    struct hd_record r;
    int64_t records = 0;
    int got;
    int fd = open(path, O_RDONLY);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(hd_run_reader_new_owned(fd, part, &s), 0);
    while ((got = s->next(s, &r)) == 1) {
        records += (int64_t)r.repeat;
    }
    s->close(s);
    return got < 0 ? got : records;
}

ATF_TC_WITHOUT_HEAD(records_come_back_and_equal_ones_are_one);
ATF_TC_BODY(records_come_back_and_equal_ones_are_one, tc)
{
    struct hd_run_index x;
    struct hd_source *s;
    struct hd_record r;
    write_run("run", &x);
    ATF_CHECK_EQ(x.count, 4);
    ATF_CHECK_EQ(x.parts[0].records, 1 + 3 + 1 + 70000);
    ATF_CHECK_EQ(x.parts[1].size_bytes, 0);
    ATF_CHECK_EQ(x.parts[3].size_bytes, 0);
    ATF_CHECK_EQ(read_part("run", &x.parts[2]), 20000);
    ATF_CHECK_EQ(read_part("run", &x.parts[1]), 0);
    int fd = open("run", O_RDONLY);
    ATF_REQUIRE_EQ(hd_run_reader_new(fd, &x.parts[0], &s), 0);
    ATF_REQUIRE_EQ(s->next(s, &r), 1);
    ATF_CHECK_EQ(r.key_size, 0);
    ATF_REQUIRE_EQ(s->next(s, &r), 1);
    ATF_CHECK_EQ(r.repeat, 3);
    ATF_CHECK_EQ(memcmp(r.key, "apple", 5), 0);
    ATF_REQUIRE_EQ(s->next(s, &r), 1);
    ATF_CHECK_EQ(r.key_size, 6);
    s->close(s);
    close(fd);
    hd_run_index_done(&x);
}

ATF_TC_WITHOUT_HEAD(every_flipped_bit_is_seen);
ATF_TC_BODY(every_flipped_bit_is_seen, tc)
{
    struct hd_run_index x;
    write_run("run", &x);
    int fd = open("run", O_RDWR);
    uint64_t end = x.parts[0].size_bytes; /* small: every bit of it */
    for (uint64_t bit = 0; bit < end * 8; bit++) {
        uint8_t byte;
        ATF_REQUIRE_EQ(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
        uint8_t flipped = byte ^ (uint8_t)(1u << (bit % 8));
        ATF_REQUIRE_EQ(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        ATF_REQUIRE_MSG(read_part("run", &x.parts[0]) < 0, "bit %llu", (unsigned long long)bit);
        ATF_REQUIRE_EQ(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    }
    ATF_CHECK_EQ(read_part("run", &x.parts[0]), 70005);
    close(fd);
    hd_run_index_done(&x);
}

ATF_TC_WITHOUT_HEAD(a_cut_file_and_a_lying_index_are_seen);
ATF_TC_BODY(a_cut_file_and_a_lying_index_are_seen, tc)
{
    struct hd_run_index x;
    write_run("run", &x);
    struct hd_run_part lie = x.parts[2];
    lie.records--;
    ATF_CHECK_EQ(read_part("run", &lie), -HD_E_CORRUPT);
    lie = x.parts[2];
    lie.hash++;
    ATF_CHECK_EQ(read_part("run", &lie), -HD_E_CORRUPT);
    lie = x.parts[2];
    lie.size_bytes--;
    ATF_CHECK(read_part("run", &lie) < 0);
    lie = x.parts[2];
    lie.offset++;
    ATF_CHECK(read_part("run", &lie) < 0);
    ATF_REQUIRE_EQ(truncate("run", (off_t)(x.parts[2].offset + x.parts[2].size_bytes - 1)), 0);
    ATF_CHECK(read_part("run", &x.parts[2]) < 0);
    hd_run_index_done(&x);
}

ATF_TC_WITHOUT_HEAD(an_index_survives_only_whole);
ATF_TC_BODY(an_index_survives_only_whole, tc)
{
    struct hd_run_index x, y;
    HD_AUTO(hd_buf_done) struct hd_buf bytes = {0};
    write_run("run", &x);
    ATF_REQUIRE_EQ(hd_run_index_encode(&x, &bytes), 0);
    ATF_REQUIRE_EQ(hd_run_index_decode(bytes.data, bytes.size, &y), 0);
    ATF_CHECK_EQ(memcmp(x.parts, y.parts, 4 * sizeof(*x.parts)), 0);
    hd_run_index_done(&y);
    for (size_t size = 0; size < bytes.size; size++) {
        ATF_CHECK_EQ(hd_run_index_decode(bytes.data, size, &y), -HD_E_CORRUPT);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ATF_CHECK_EQ(hd_run_index_decode(bytes.data, bytes.size, &y), -HD_E_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    hd_run_index_done(&x);
}

ATF_TC_WITHOUT_HEAD(an_abandoned_run_leaves_no_file);
ATF_TC_BODY(an_abandoned_run_leaves_no_file, tc)
{
    struct hd_run_writer *w;
    ATF_REQUIRE_EQ(hd_run_writer_new("gone", 1, &w), 0);
    hd_run_writer_abort(w);
    ATF_CHECK_EQ(access("gone", F_OK), -1);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, records_come_back_and_equal_ones_are_one);
    ATF_TP_ADD_TC(tp, every_flipped_bit_is_seen);
    ATF_TP_ADD_TC(tp, a_cut_file_and_a_lying_index_are_seen);
    ATF_TP_ADD_TC(tp, an_index_survives_only_whole);
    ATF_TP_ADD_TC(tp, an_abandoned_run_leaves_no_file);
    return atf_no_error();
}
