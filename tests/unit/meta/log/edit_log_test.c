/*
 * The edit log: writing, rolling, reading, purging; and recovery from every prefix, from sectors
 * that a power cut dropped, and from flipped bits.
 */
#include "meta/log/edit_log.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECTOR = 512, CHUNK = 64 << 10 };

static const char cluster[] = "CID-test";
static const char inprogress[] = "log/edits_inprogress_00000000000000000001";

static struct hd_edit_log *open_log(int want_err)
{
    const struct hd_edit_log_options o = {
        .dir = "log", .cluster_id = cluster, .chunk_bytes = CHUNK, .segment_bytes = 8192};
    struct hd_edit_log *l = NULL;
    int err = hd_edit_log_open(&o, &l, NULL);
    ATF_REQUIRE_EQ_MSG(err, want_err, "%d: %s", err, hd_fail_text());
    return l;
}

/* Payload of a txid: its size and bytes follow from it. */
static size_t payload(uint64_t txid, uint8_t out[400])
{
    struct hd_prng p = {txid};
    size_t size = 1 + hd_prng_below(&p, 399);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(1 + hd_prng_below(&p, 255));
    }
    return size;
}

static void frame(struct hd_buf *b, uint64_t txid, uint64_t durable)
{
    uint8_t bytes[400];
    const struct hd_record r = {{txid}, {durable}, bytes, payload(txid, bytes)};
    ATF_REQUIRE_EQ(hd_record_encode(b, &r), 0);
}

/* One batch, of records first..last, while everything up to durable is durable. */
static void append(struct hd_edit_log *l, uint64_t first, uint64_t last, uint64_t durable)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    for (uint64_t t = first; t <= last; t++) {
        frame(&b, t, durable);
    }
    ATF_REQUIRE_EQ(hd_edit_log_append(l, b.data, b.size, (struct hd_txid){last}), 0);
}

static int check_record(void *ctx, const struct hd_record *r)
{
    uint64_t *next = ctx;
    uint8_t want[400];
    ATF_REQUIRE_EQ(r->txid.v, *next);
    ATF_REQUIRE_EQ(r->size, payload(*next, want));
    ATF_REQUIRE_EQ(memcmp(r->data, want, r->size), 0);
    (*next)++;
    return 0;
}

/* Everything in the log, from txid 1 on; the number of records. */
static uint64_t replay_all(struct hd_edit_log *l)
{
    uint64_t next = 1;
    ATF_REQUIRE_EQ_MSG(hd_edit_log_replay(l, (struct hd_txid){1}, check_record, &next), 0, "%s",
                       hd_fail_text());
    return next - 1;
}

/* A log of `batches` batches of 4 records, each synced before the next: all but `open` acked. */
static void make_log(unsigned batches)
{
    ATF_REQUIRE_EQ(hd_dir_remove("log"), 0);
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    struct hd_edit_log *l = open_log(0);
    ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){1}), 0);
    for (uint64_t i = 0; i < batches; i++) {
        append(l, 4 * i + 1, 4 * i + 4, 4 * i);
    }
    ATF_REQUIRE_EQ(hd_edit_log_sync(l), 0);
    hd_edit_log_close(l); /* as a kill leaves it: preallocated, in progress */
}

static void read_segment(struct hd_buf *b)
{
    hd_buf_clear(b);
    ATF_REQUIRE_EQ(hd_file_read(inprogress, 1 << 20, b), 0);
}

/* Makes the directory hold nothing but this segment. */
static void put_segment(const uint8_t *data, size_t size)
{
    ATF_REQUIRE_EQ(hd_dir_remove("log"), 0);
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    HD_AUTO(hd_fd_done) int fd = open(inprogress, O_WRONLY | O_CREAT, 0644);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(hd_fd_write(fd, data, size), 0);
}

/* Where each record ends in the segment: ends[i] for txid i + 1. */
static size_t ends_of(const struct hd_buf *b, size_t ends[64])
{
    size_t count = 0;
    size_t at = HD_SEGMENT_HEADER_BYTES;
    struct hd_record r;
    size_t bytes;
    while (at < b->size &&
           hd_record_decode(b->data + at, b->size - at, &r, &bytes) == HD_RECORD_GOOD) {
        at += bytes;
        ends[count++] = at;
    }
    return count;
}

ATF_TC_WITHOUT_HEAD(records_come_back_after_a_kill);
ATF_TC_BODY(records_come_back_after_a_kill, tc)
{
    make_log(5);
    struct hd_edit_log *l = open_log(0);
    ATF_CHECK_EQ(hd_edit_log_first(l).v, 1);
    ATF_CHECK_EQ(hd_edit_log_last(l).v, 20);
    ATF_CHECK_EQ(replay_all(l), 20);
    ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){21}), 0);
    append(l, 21, 25, 20);
    ATF_REQUIRE_EQ(hd_edit_log_stop(l), 0);
    hd_edit_log_close(l);
    l = open_log(0);
    ATF_CHECK_EQ(replay_all(l), 25);
    hd_edit_log_close(l);
}

ATF_TC_WITHOUT_HEAD(empty_log_keeps_its_place);
ATF_TC_BODY(empty_log_keeps_its_place, tc)
{
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    struct hd_edit_log *l = open_log(0);
    ATF_CHECK_EQ(hd_edit_log_last(l).v, 0);
    ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){101}), 0);
    hd_edit_log_close(l);
    for (int i = 0; i < 2; i++) {
        l = open_log(0);
        ATF_CHECK_EQ(hd_edit_log_first(l).v, 101);
        ATF_CHECK_EQ(hd_edit_log_last(l).v, 100);
        if (i == 0) {
            ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){101}), 0);
        }
        hd_edit_log_close(l);
    }
}

ATF_TC_WITHOUT_HEAD(every_prefix_recovers_its_whole_records);
ATF_TC_BODY(every_prefix_recovers_its_whole_records, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    size_t ends[64];
    make_log(3);
    read_segment(&b);
    size_t count = ends_of(&b, ends);
    ATF_REQUIRE_EQ(count, 12);
    for (size_t n = 0; n <= ends[count - 1]; n++) {
        uint64_t want = 0;
        while (want < count && ends[want] <= n) {
            want++;
        }
        put_segment(b.data, n);
        struct hd_edit_log *l = open_log(0);
        ATF_REQUIRE_EQ_MSG(replay_all(l), want, "prefix of %zu bytes", n);
        hd_edit_log_close(l);
    }
}

/* Batches 1..k acked; batch k + 1 was being written: each of its sectors is there or as before. */
ATF_TC_WITHOUT_HEAD(dropped_sectors_of_an_unacknowledged_write_lose_nothing_acknowledged);
ATF_TC_BODY(dropped_sectors_of_an_unacknowledged_write_lose_nothing_acknowledged, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    size_t ends[64];
    make_log(5);
    read_segment(&b);
    ATF_REQUIRE_EQ(ends_of(&b, ends), 20);
    size_t acked_end = ends[15];
    uint8_t *torn = malloc(b.size);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct hd_prng p = {seed};
        memcpy(torn, b.data, b.size);
        for (size_t at = acked_end / SECTOR * SECTOR; at < ends[19]; at += SECTOR) {
            if (hd_prng_below(&p, 2) == 0) {
                size_t from = HD_MAX(at, acked_end);
                memset(torn + from, 0, at + SECTOR - from);
            }
        }
        put_segment(torn, b.size);
        struct hd_edit_log *l = open_log(0);
        uint64_t got = replay_all(l);
        ATF_CHECK_MSG(got >= 16 && got <= 20, "seed %llu: %llu records", (unsigned long long)seed,
                      (unsigned long long)got);
        hd_edit_log_close(l);
    }
    free(torn);
}

/* All 5 batches are acknowledged: no flip may cost a record and go unnoticed. */
ATF_TC_WITHOUT_HEAD(flipped_bits_are_refused_by_file_and_offset);
ATF_TC_BODY(flipped_bits_are_refused_by_file_and_offset, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    size_t ends[64];
    const struct hd_edit_log_options o = {.dir = "log", .cluster_id = cluster};
    make_log(5);
    read_segment(&b);
    size_t end = ends[ends_of(&b, ends) - 1];
    unsigned refused = 0;
    unsigned same = 0;
    struct hd_prng p = {11};
    for (int i = 0; i < 1500; i++) {
        /* in the records, and a few in the zeros behind them */
        size_t bit = hd_prng_below(&p, (end + 600) * 8);
        bool cut = i % 2 == 0; /* as an orderly stop leaves the file, or as a kill does */
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        put_segment(b.data, cut && bit / 8 < end ? end : b.size);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct hd_edit_log *l = NULL;
        int err = hd_edit_log_open(&o, &l, NULL);
        if (err == 0) {
            ATF_CHECK_EQ_MSG(replay_all(l), 20, "bit %zu of byte %zu", bit % 8, bit / 8);
            hd_edit_log_close(l);
            same++;
            continue;
        }
        ATF_CHECK_MSG(err == -HD_E_CORRUPT || err == -HD_E_INCORRECT_VERSION, "%d", err);
        ATF_CHECK_MSG(strstr(hd_fail_text(), inprogress) != NULL, "%s", hd_fail_text());
        ATF_CHECK_MSG(strstr(hd_fail_text(), "offset") != NULL, "%s", hd_fail_text());
        refused++;
    }
    ATF_CHECK_MSG(refused > 1000 && same > 50, "refused %u, harmless %u", refused, same);
}

ATF_TC_WITHOUT_HEAD(hole_before_a_record_that_saw_it_durable_is_refused);
ATF_TC_BODY(hole_before_a_record_that_saw_it_durable_is_refused, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    size_t ends[64];
    make_log(3);
    read_segment(&b);
    ends_of(&b, ends);
    memset(b.data + ends[3], 0, ends[7] - ends[3]); /* batch 2 is gone, batch 3 came after it */
    put_segment(b.data, b.size);
    open_log(-HD_E_CORRUPT);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "txid 5 is damaged") != NULL, "%s", hd_fail_text());
}

ATF_TC_WITHOUT_HEAD(garbage_behind_the_last_record_is_cut);
ATF_TC_BODY(garbage_behind_the_last_record_is_cut, tc)
{
    static const uint8_t garbage[] = {0, 0, 0, 0x20, 't', 'o', 'r', 'n'};
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    size_t ends[64];
    make_log(2);
    read_segment(&b);
    size_t end = ends[ends_of(&b, ends) - 1];
    for (int i = 0; i < 2; i++) {
        size_t at = i == 0 ? end : b.size; /* after an orderly stop; after a kill, behind zeros */
        put_segment(b.data, at);
        HD_AUTO(hd_fd_done) int fd = open(inprogress, O_WRONLY | O_APPEND);
        ATF_REQUIRE_EQ(hd_fd_write(fd, garbage, sizeof(garbage)), 0);
        struct hd_edit_log *l = open_log(0);
        ATF_CHECK_EQ(replay_all(l), 8);
        hd_edit_log_close(l);
    }
}

ATF_TC_WITHOUT_HEAD(gap_is_refused);
ATF_TC_BODY(gap_is_refused, tc)
{
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    struct hd_edit_log *l = open_log(0);
    ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){1}), 0);
    for (uint64_t t = 1; t <= 3; t++) {
        append(l, t, t, t - 1);
        ATF_REQUIRE_EQ(hd_edit_log_roll(l), 0);
    }
    hd_edit_log_close(l);
    ATF_REQUIRE_EQ(unlink("log/edits_00000000000000000002-00000000000000000002"), 0);
    open_log(-HD_E_CORRUPT);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "txids 2 to 2") != NULL, "%s", hd_fail_text());
}

ATF_TC_WITHOUT_HEAD(finished_segment_must_be_whole);
ATF_TC_BODY(finished_segment_must_be_whole, tc)
{
    static const char name[] = "log/edits_00000000000000000001-00000000000000000008";
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    make_log(2);
    struct hd_edit_log *l = open_log(0); /* finishes the segment */
    hd_edit_log_close(l);
    ATF_REQUIRE_EQ(hd_file_read(name, 1 << 20, &b), 0);
    for (size_t n = HD_SEGMENT_HEADER_BYTES; n < b.size; n += 7) {
        ATF_REQUIRE_EQ(truncate(name, (off_t)n), 0);
        l = open_log(0);
        uint64_t next = 1;
        ATF_CHECK_EQ(hd_edit_log_replay(l, (struct hd_txid){1}, check_record, &next),
                     -HD_E_CORRUPT);
        ATF_CHECK_MSG(strstr(hd_fail_text(), name) != NULL, "%s", hd_fail_text());
        hd_edit_log_close(l);
        ATF_REQUIRE_EQ(hd_file_replace(name, b.data, b.size, 0644), 0);
    }
}

ATF_TC_WITHOUT_HEAD(roll_read_and_purge_agree);
ATF_TC_BODY(roll_read_and_purge_agree, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    ATF_REQUIRE_EQ(hd_dir_make("log", 0755), 0);
    struct hd_edit_log *l = open_log(0);
    ATF_REQUIRE_EQ(hd_edit_log_start(l, (struct hd_txid){1}), 0);
    ATF_REQUIRE_EQ(hd_edit_log_roll(l), 0); /* nothing in it: nothing happens */
    unsigned rolls = 0;
    for (uint64_t t = 1; t <= 200; t++) {
        if (hd_edit_log_is_full(l)) {
            ATF_REQUIRE_EQ(hd_edit_log_roll(l), 0);
            rolls++;
        }
        append(l, t, t, t - 1);
    }
    ATF_CHECK(rolls >= 3);
    for (uint64_t from = 1; from <= 200;) { /* in pieces, as the secondary reads it */
        struct hd_txid next;
        hd_buf_clear(&out);
        ATF_REQUIRE_EQ(
            hd_edit_log_read(l, (struct hd_txid){from}, (struct hd_txid){190}, 900, &out, &next),
            from <= 190 ? 0 : -HD_E_CORRUPT);
        if (from > 190) {
            break;
        }
        size_t at = 0;
        struct hd_record r;
        for (size_t bytes; at < out.size; at += bytes) {
            ATF_REQUIRE_EQ(hd_record_decode(out.data + at, out.size - at, &r, &bytes),
                           HD_RECORD_GOOD);
            check_record(&from, &r);
        }
        ATF_CHECK_EQ(next.v, from);
        ATF_CHECK(next.v <= 191);
    }
    ATF_CHECK(hd_edit_log_purge(l, (struct hd_txid){100}) >= 1);
    uint64_t first = hd_edit_log_first(l).v;
    ATF_CHECK(first > 1 && first <= 101);
    struct hd_txid next;
    ATF_CHECK_EQ(
        hd_edit_log_read(l, (struct hd_txid){first - 1}, (struct hd_txid){200}, 900, &out, &next),
        -ENOENT);
    ATF_CHECK(hd_edit_log_purge(l, (struct hd_txid){1000}) >= 1); /* never the open one */
    append(l, 201, 201, 200);
    ATF_CHECK_EQ(hd_edit_log_last(l).v, 201);
    hd_edit_log_close(l);
}

ATF_TC_WITHOUT_HEAD(other_clusters_segment_is_refused);
ATF_TC_BODY(other_clusters_segment_is_refused, tc)
{
    const struct hd_edit_log_options o = {.dir = "log", .cluster_id = "CID-other"};
    struct hd_edit_log *l;
    make_log(1);
    ATF_CHECK_EQ(hd_edit_log_open(&o, &l, NULL), -HD_E_INCORRECT_VERSION);
    ATF_CHECK(strstr(hd_fail_text(), "CID-test") != NULL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, records_come_back_after_a_kill);
    ATF_TP_ADD_TC(tp, empty_log_keeps_its_place);
    ATF_TP_ADD_TC(tp, every_prefix_recovers_its_whole_records);
    ATF_TP_ADD_TC(tp, dropped_sectors_of_an_unacknowledged_write_lose_nothing_acknowledged);
    ATF_TP_ADD_TC(tp, flipped_bits_are_refused_by_file_and_offset);
    ATF_TP_ADD_TC(tp, hole_before_a_record_that_saw_it_durable_is_refused);
    ATF_TP_ADD_TC(tp, garbage_behind_the_last_record_is_cut);
    ATF_TP_ADD_TC(tp, gap_is_refused);
    ATF_TP_ADD_TC(tp, finished_segment_must_be_whole);
    ATF_TP_ADD_TC(tp, roll_read_and_purge_agree);
    ATF_TP_ADD_TC(tp, other_clusters_segment_is_refused);
    return atf_no_error();
}
