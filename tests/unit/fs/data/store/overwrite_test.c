/* Replicas that are changed in place: against a model, over restarts, boots and broken disks. */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/data/core/dirty.h"
#include "fs/data/store/block_writer.h"
#include "fs/data/store/check.h"
#include "fs/data/store/patch.h"
#include "fs/os/fault.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 512, MODEL_BYTES = 3 << 20, SUMS_MAX = 1 << 16 };

static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, CHUNK};
static const struct hd_block_id id = {1073741825};
static const struct hd_store_identity identity = {
    .cluster_id = "CID-1", .pool_id = "BP-1-127.0.0.1-2", .namespace_id = 5, .ctime_ms = 9};

#define LOG_PATH  "d/current/BP-1-127.0.0.1-2/dirty/blk_1073741825.dirty"
#define DATA_PATH "d/current/BP-1-127.0.0.1-2/current/rbw/blk_1073741825"
#define DONE_PATH "d/current/BP-1-127.0.0.1-2/current/finalized/subdir0/subdir0/blk_1073741825"

/* What the replica has to be. */
struct model {
    uint8_t bytes[MODEL_BYTES];
    size_t size;
};

static struct hd_store *open_boot(uint8_t boot)
{
    uint8_t boot_id[HD_BOOT_ID_BYTES] = {boot, 1};
    struct hd_store_options o = {.dirs = "d", .boot_id = boot_id};
    struct hd_store *s;
    hd_log_init("test", HD_LOG_ERROR);
    ATF_REQUIRE_EQ_MSG(hd_store_new(&o, &s), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ_MSG(hd_store_bind(s, &identity), 0, "%s", hd_fail_text());
    return s;
}

static int try_open(struct hd_store *s, enum hd_write_stage stage, uint64_t gs, uint64_t new_gs,
                    uint64_t min, uint64_t max, struct hd_sum_format f,
                    struct hd_block_writer **ret)
{
    struct hd_block_writer_options o = {.setup = {.stage = stage,
                                                  .id = id,
                                                  .gs = {gs},
                                                  .new_gs = {new_gs},
                                                  .min_bytes = min,
                                                  .max_bytes = max,
                                                  .overwrite = true},
                                        .format = f};
    return hd_block_writer_open(s, &o, ret);
}

static struct hd_block_writer *open_writer(struct hd_store *s, enum hd_write_stage stage,
                                           uint64_t gs, uint64_t new_gs, uint64_t min, uint64_t max)
{
    struct hd_block_writer *w;
    ATF_REQUIRE_EQ_MSG(try_open(s, stage, gs, new_gs, min, max, crc32c, &w), 0, "%s",
                       hd_fail_text());
    return w;
}

/* Sums of bytes on the grid of the block. */
static size_t grid_sums(struct hd_sum_format f, const uint8_t *data, uint64_t offset, size_t size,
                        uint8_t *out)
{
    size_t first = f.bytes_per_checksum - (size_t)(offset % f.bytes_per_checksum);
    first = first < size ? first : size;
    hd_checksum_chunks(f.type, f.bytes_per_checksum, data, first, out);
    if (size > first) {
        hd_checksum_chunks(f.type, f.bytes_per_checksum, data + first, size - first, out + 4);
    }
    return hd_patch_sums_count(offset, (uint32_t)size, f.bytes_per_checksum) * 4;
}

static int put_as(struct hd_block_writer *w, struct hd_sum_format f, struct model *m,
                  uint64_t offset, const uint8_t *data, size_t size)
{
    static uint8_t sums[SUMS_MAX];
    struct hd_packet p = {.offset_bytes = (int64_t)offset,
                          .data_bytes = (uint32_t)size,
                          .sums_bytes = (uint32_t)grid_sums(f, data, offset, size, sums)};
    int err = hd_block_writer_write(w, &p, sums, data, true);
    if (err == 0) {
        memcpy(m->bytes + offset, data, size);
        m->size = HD_MAX(m->size, offset + size);
    }
    return err;
}

static int put(struct hd_block_writer *w, struct model *m, uint64_t offset, unsigned seed,
               size_t size)
{
    static uint8_t data[MODEL_BYTES];
    struct hd_prng r;
    r.state = seed;
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)hd_prng_next(&r);
    }
    return put_as(w, crc32c, m, offset, data, size);
}

static int put_last(struct hd_block_writer *w, struct model *m, uint64_t size)
{
    struct hd_packet p = {.offset_bytes = (int64_t)size, .last = true};
    int err = hd_block_writer_write(w, &p, NULL, NULL, true);
    if (err == 0) {
        m->size = size;
        err = hd_block_writer_finish(w);
    }
    return err;
}

static struct hd_replica get(struct hd_store *s)
{
    struct hd_replica r = {0};
    ATF_REQUIRE_EQ_MSG(hd_store_get(s, id, &r), 0, "%s", hd_fail_text());
    return r;
}

/* Bytes, sums and lengths of both files, past all locks. */
static void check_files(struct hd_store *s, const struct model *m)
{
    static uint8_t got[MODEL_BYTES];
    static uint8_t sums[SUMS_MAX];
    struct hd_block_view v;
    struct stat st;
    ATF_REQUIRE_EQ_MSG(hd_store_view(s, id, &v), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(v.replica.size_bytes, m->size);
    size_t chunk = v.format.bytes_per_checksum;
    ATF_REQUIRE_EQ(fstat(v.data_fd, &st), 0);
    ATF_CHECK_EQ(st.st_size, (off_t)m->size);
    ATF_REQUIRE_EQ(fstat(v.meta_fd, &st), 0);
    ATF_CHECK_EQ(st.st_size, (off_t)hd_meta_file_size(v.format, m->size));
    ATF_REQUIRE_EQ(hd_fd_pread(v.data_fd, got, m->size, 0), 0);
    ATF_REQUIRE_EQ(hd_fd_pread(v.meta_fd, sums, (m->size + chunk - 1) / chunk * 4, 7), 0);
    ATF_REQUIRE_EQ(memcmp(got, m->bytes, m->size), 0);
    ATF_REQUIRE_EQ(
        hd_checksum_verify(v.format.type, v.format.bytes_per_checksum, got, m->size, sums), -1);
    hd_block_view_done(&v);
}

/* What a reader gets while somebody is at it. */
static void check_shared(struct hd_store *s, const struct model *m, uint64_t visible)
{
    static uint8_t got[MODEL_BYTES];
    static uint8_t sums[SUMS_MAX];
    struct hd_block_view v;
    ATF_REQUIRE_EQ_MSG(hd_store_view(s, id, &v), 0, "%s", hd_fail_text());
    ATF_CHECK(!v.plain);
    ATF_REQUIRE_EQ(v.visible_bytes, visible);
    ATF_REQUIRE_EQ(hd_block_view_read(&v, 0, visible, got, sums), 0);
    ATF_CHECK_EQ(memcmp(got, m->bytes, visible), 0);
    ATF_CHECK_EQ(hd_checksum_verify(crc32c.type, CHUNK, got, visible, sums), -1);
    hd_block_view_done(&v);
}

static bool log_exists(void)
{
    return access(LOG_PATH, F_OK) == 0;
}

/* A finished replica of `size` random bytes under stamp 1001, clean. */
static void make(struct hd_store *s, struct model *m, size_t size)
{
    m->size = 0;
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    for (size_t at = 0; at < size; at += 65536) {
        ATF_REQUIRE_EQ_MSG(put(w, m, at, (unsigned)at, HD_MIN(size - at, (size_t)65536)), 0, "%s",
                           hd_fail_text());
    }
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    ATF_REQUIRE_EQ(put_last(w, m, size), 0);
    hd_block_writer_close(w);
    ATF_CHECK(!log_exists());
}

static struct model m;

ATF_TC_WITHOUT_HEAD(random_changes_leave_the_bytes_and_sums_of_the_model);
ATF_TC_BODY(random_changes_leave_the_bytes_and_sums_of_the_model, tc)
{
    struct hd_prng r;
    struct hd_store *s = open_boot(1);
    uint64_t gs = 1001;
    r.state = 5;
    make(s, &m, 300001);
    for (int round = 0; round < 60; round++) {
        uint64_t length = hd_prng_next(&r) % 4 != 0 ? m.size : hd_prng_next(&r) % MODEL_BYTES;
        enum hd_write_stage stage = round % 3 == 0 ? HD_STAGE_STREAMING_RECOVERY : HD_STAGE_APPEND;
        struct hd_block_writer *w = open_writer(s, stage, gs, gs + 1, m.size, length);
        gs++;
        if (length > m.size) {
            memset(m.bytes + m.size, 0, length - m.size);
        }
        m.size = length;
        check_files(s, &m);
        for (int i = 0; i < 20; i++) {
            uint64_t at = hd_prng_next(&r) % (m.size + 20000);
            size_t size = 1 + hd_prng_next(&r) % (hd_prng_next(&r) % 2 != 0 ? 700 : 70000);
            at = HD_MIN(at, (uint64_t)MODEL_BYTES - size);
            at = hd_prng_next(&r) % 3 == 0 ? at / CHUNK * CHUNK : at;
            if (at > m.size) {
                memset(m.bytes + m.size, 0, at - m.size);
            }
            ATF_REQUIRE_EQ_MSG(put(w, &m, at, (unsigned)hd_prng_next(&r), size), 0, "%s",
                               hd_fail_text());
            check_files(s, &m);
            if (i % 7 == 0) {
                ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
            }
        }
        if (round % 5 == 4) { /* the chain breaks: the next set-up goes on with it */
            hd_block_writer_close(w);
            continue;
        }
        uint64_t end = hd_prng_next(&r) % 2 != 0 ? m.size : hd_prng_next(&r) % (m.size + 1);
        ATF_REQUIRE_EQ(put_last(w, &m, end), 0);
        hd_block_writer_close(w);
        check_files(s, &m);
        ATF_CHECK_EQ(get(s).state, HD_REPLICA_FINALIZED);
        if (round % 4 == 0) {
            hd_store_clean(s, 0);
            ATF_CHECK(!log_exists());
        }
    }
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(packets_that_come_twice_change_nothing);
ATF_TC_BODY(packets_that_come_twice_change_nothing, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 100000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 100000, 100000);
    for (int twice = 0; twice < 2; twice++) {
        ATF_REQUIRE_EQ(put(w, &m, 1000, 1, 3000), 0);
        ATF_REQUIRE_EQ(put(w, &m, 3333, 2, 100), 0);
        ATF_REQUIRE_EQ(put(w, &m, 100000, 3, 777), 0);
        ATF_REQUIRE_EQ(put(w, &m, 100777, 4, 700), 0);
        check_files(s, &m);
        if (twice == 0) { /* with a broken chain in between */
            hd_block_writer_close(w);
            w = open_writer(s, HD_STAGE_STREAMING_RECOVERY, 1002, 1003, 100000, 101477);
        }
    }
    check_shared(s, &m, 101477);
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(bytes_that_come_in_order_need_no_dirty_log);
ATF_TC_BODY(bytes_that_come_in_order_need_no_dirty_log, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 3 * CHUNK);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 0, 3 * CHUNK);
    ATF_REQUIRE_EQ(put(w, &m, 3 * CHUNK, 1, CHUNK), 0);
    ATF_CHECK(!log_exists());
    ATF_REQUIRE_EQ(put(w, &m, 4 * CHUNK, 1, 100), 0);
    ATF_CHECK(!log_exists());
    /* Into a chunk that was there before: its old sum must not be all there is of it. */
    ATF_REQUIRE_EQ(put(w, &m, 4 * CHUNK + 100, 1, 100), 0);
    ATF_CHECK(log_exists());
    check_files(s, &m);
    ATF_REQUIRE_EQ(put_last(w, &m, m.size), 0);
    hd_block_writer_close(w);
    ATF_CHECK_EQ(hd_store_clean(s, 0), 1);
    ATF_CHECK(!log_exists());
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_fresh_replica_begins_as_long_as_it_is_told);
ATF_TC_BODY(a_fresh_replica_begins_as_long_as_it_is_told, tc)
{
    struct hd_store *s = open_boot(1);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 100000);
    memset(m.bytes, 0, sizeof(m.bytes));
    m.size = 100000;
    check_files(s, &m);
    check_shared(s, &m, 100000);
    ATF_REQUIRE_EQ(put(w, &m, 5000, 1, 3000), 0);
    ATF_REQUIRE_EQ(put_last(w, &m, 100000), 0);
    hd_block_writer_close(w);
    check_files(s, &m);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(wrong_sums_are_refused_and_change_nothing);
ATF_TC_BODY(wrong_sums_are_refused_and_change_nothing, tc)
{
    uint8_t data[2000] = {1};
    uint8_t sums[32];
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    struct hd_packet p = {.offset_bytes = 300, .data_bytes = sizeof(data)};
    p.sums_bytes = (uint32_t)grid_sums(crc32c, data, 300, sizeof(data), sums);
    ATF_CHECK_EQ(p.sums_bytes, 5 * 4);
    for (unsigned i = 0; i < 5; i++) {
        sums[i * 4] ^= 1;
        ATF_CHECK_EQ(hd_block_writer_write(w, &p, sums, data, true), -HD_E_CHECKSUM);
        check_files(s, &m);
        /* A node in the middle compares what it merges itself. */
        if (i == 0 || i == 4) {
            ATF_CHECK_EQ(hd_block_writer_write(w, &p, sums, data, false), -HD_E_CHECKSUM);
        }
        sums[i * 4] ^= 1;
    }
    p.sums_bytes -= 4;
    ATF_CHECK_EQ(hd_block_writer_write(w, &p, sums, data, true), -HD_E_BAD_MESSAGE);
    check_files(s, &m);
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_rotten_chunk_is_not_merged_into);
ATF_TC_BODY(a_rotten_chunk_is_not_merged_into, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    int fd = open(DONE_PATH, O_RDWR);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(pwrite(fd, "rot", 3, 1030), 3);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_CHECK_EQ(put(w, &m, 1100, 1, 50), -HD_E_IO);
    ATF_CHECK_EQ(put(w, &m, 1024, 1, CHUNK), 0); /* the whole chunk is replaced: good */
    check_files(s, &m);
    hd_block_writer_close(w);
    close(fd);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(sums_of_another_format_are_made_anew);
ATF_TC_BODY(sums_of_another_format_are_made_anew, tc)
{
    static const struct hd_sum_format other = {HD_CHECKSUM_CRC32, 128};
    uint8_t data[3000];
    struct hd_block_writer *w;
    memset(data, 7, sizeof(data));
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    ATF_REQUIRE_EQ(try_open(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000, other, &w), 0);
    ATF_REQUIRE_EQ(put_as(w, other, &m, 777, data, sizeof(data)), 0);
    check_files(s, &m);
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(only_replicas_that_fit_are_opened);
ATF_TC_BODY(only_replicas_that_fit_are_opened, tc)
{
    struct hd_store *s = open_boot(1);
    struct hd_block_writer *w;
    make(s, &m, 1000);
    ATF_CHECK_EQ(try_open(s, HD_STAGE_APPEND, 1002, 1003, 0, 0, crc32c, &w),
                 -HD_E_ILLEGAL_ARGUMENT); /* stale here */
    ATF_CHECK_EQ(try_open(s, HD_STAGE_APPEND, 999, 1000, 0, 0, crc32c, &w),
                 -HD_E_ILLEGAL_ARGUMENT); /* stale there */
    ATF_CHECK_EQ(try_open(s, HD_STAGE_APPEND, 1001, 1002, 1001, 2000, crc32c, &w),
                 -HD_E_ILLEGAL_ARGUMENT); /* bytes are missing: zeros would take their place */
    ATF_CHECK_EQ(try_open(s, HD_STAGE_CREATE, 1001, 0, 0, 0, crc32c, &w), -HD_E_REPLICA_EXISTS);
    struct hd_block_writer *first = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 1000, 1000);
    hd_block_writer_close(first);
    /* The set-up failed elsewhere, and is made again. */
    w = open_writer(s, HD_STAGE_APPEND, 1001, 1003, 1000, 500);
    m.size = 500;
    check_files(s, &m);
    hd_block_writer_close(w);
    w = open_writer(s, HD_STAGE_CLOSE_RECOVERY, 1003, 1004, 500, 20);
    hd_block_writer_close(w);
    m.size = 20;
    check_files(s, &m);
    ATF_CHECK_EQ(get(s).state, HD_REPLICA_FINALIZED);
    ATF_CHECK_EQ(get(s).gs.v, 1004);
    hd_store_free(s);
}

/* --- the dirty log --- */

/* The process ends here, without a word; what was written is in the page cache. */
static struct hd_store *die_and_start(struct hd_store *s, uint8_t boot)
{
    ATF_REQUIRE_EQ(system("rm -rf e && cp -a d e"), 0);
    (void)s;
    ATF_REQUIRE_EQ(system("mv d old && mv e d && rm -f d/in_use.lock"), 0);
    return open_boot(boot);
}

static void end_old(struct hd_store *s, struct hd_block_writer *w)
{
    hd_block_writer_close(w);
    hd_store_free(s);
}

static void spoil_sums(const char *data_path, uint64_t gs, uint64_t chunk)
{
    char path[500];
    snprintf(path, sizeof(path), "%s_%llu.meta", data_path, (unsigned long long)gs);
    int fd = open(path, O_RDWR);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(pwrite(fd, "spoilt", 4, (off_t)(7 + chunk * 4)), 4);
    close(fd);
}

ATF_TC_WITHOUT_HEAD(after_the_same_boot_a_finished_replica_stays_finished);
ATF_TC_BODY(after_the_same_boot_a_finished_replica_stays_finished, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 2 << 20);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 2 << 20, 2 << 20);
    ATF_REQUIRE_EQ(put(w, &m, 1500000, 1, 5000), 0);
    ATF_REQUIRE_EQ(put_last(w, &m, 2 << 20), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    spoil_sums(DONE_PATH, 1002, 1500000 / CHUNK); /* as if it had not been written */
    s = open_boot(1);
    ATF_CHECK_EQ(get(s).state, HD_REPLICA_FINALIZED);
    check_files(s, &m);
    ATF_CHECK(log_exists());
    ATF_CHECK_EQ(hd_store_clean(s, 1000000), 0); /* not yet */
    ATF_CHECK_EQ(hd_store_clean(s, 0), 1);
    ATF_CHECK(!log_exists());
    hd_store_free(s);
    spoil_sums(DONE_PATH, 1002, 7); /* now that is rot, and is not blessed */
    s = open_boot(1);
    struct hd_check c;
    ATF_REQUIRE_EQ(hd_store_check_replica(s, id, &(struct hd_check_options){0}, &c), 0);
    ATF_CHECK_EQ(c.finding, HD_CHECK_BAD);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(only_the_sums_of_dirty_regions_are_made_anew);
ATF_TC_BODY(only_the_sums_of_dirty_regions_are_made_anew, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 2 << 20);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 2 << 20, 2 << 20);
    ATF_REQUIRE_EQ(put(w, &m, 1500000, 1, 5000), 0);
    ATF_REQUIRE_EQ(put_last(w, &m, 2 << 20), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    spoil_sums(DONE_PATH, 1002, 3); /* of the first region, which is clean */
    s = open_boot(1);
    struct hd_check c;
    ATF_REQUIRE_EQ(hd_store_check_replica(s, id, &(struct hd_check_options){0}, &c), 0);
    ATF_CHECK_EQ(c.finding, HD_CHECK_BAD);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(after_another_boot_it_waits_for_a_recovery);
ATF_TC_BODY(after_another_boot_it_waits_for_a_recovery, tc)
{
    struct hd_store *s = open_boot(1);
    struct hd_block_writer *w;
    make(s, &m, 2 << 20);
    w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 2 << 20, 2 << 20);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 5000), 0);
    ATF_REQUIRE_EQ(put_last(w, &m, 2 << 20), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    for (uint8_t boot = 2; boot < 4; boot++) { /* and it stays so over further starts */
        s = open_boot(2);
        ATF_CHECK_EQ(get(s).state, HD_REPLICA_RWR);
        ATF_CHECK(get(s).doubtful);
        check_files(s, &m);
        ATF_CHECK_EQ(hd_store_clean(s, 0), 0);
        ATF_CHECK_EQ(try_open(s, HD_STAGE_APPEND, 1002, 1003, 0, 2 << 20, crc32c, &w),
                     -HD_E_ILLEGAL_ARGUMENT);
        hd_store_free(s);
    }
}

ATF_TC_WITHOUT_HEAD(a_replica_that_was_open_comes_back_whole);
ATF_TC_BODY(a_replica_that_was_open_comes_back_whole, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 2 << 20);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 2 << 20, 2 << 20);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 5000), 0);
    spoil_sums(DATA_PATH, 1002, 1);
    struct hd_store *after = die_and_start(s, 1);
    ATF_CHECK_EQ(get(after).state, HD_REPLICA_RWR);
    ATF_CHECK(!get(after).doubtful);
    check_files(after, &m);
    struct hd_block_writer *cut = /* its writer goes on with it, or ends it */
        open_writer(after, HD_STAGE_CLOSE_RECOVERY, 1002, 1003, 2 << 20, 1 << 20);
    hd_block_writer_close(cut);
    m.size = 1 << 20;
    check_files(after, &m);
    ATF_CHECK_EQ(get(after).state, HD_REPLICA_FINALIZED);
    hd_store_free(after);
    end_old(s, w);
}

/* Any byte of the log flipped, and any length of it: it is all regions then. */
ATF_TC_WITHOUT_HEAD(a_damaged_log_means_all_regions);
ATF_TC_BODY(a_damaged_log_means_all_regions, tc)
{
    struct stat st;
    struct hd_store *s = open_boot(1);
    make(s, &m, 2 << 20);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 2 << 20, 2 << 20);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 5000), 0);
    ATF_REQUIRE_EQ(put_last(w, &m, 2 << 20), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    ATF_REQUIRE_EQ(stat(LOG_PATH, &st), 0);
    ATF_REQUIRE_EQ(system("cp -a d keep"), 0);
    for (int i = 0; i < st.st_size * 2; i += 3) {
        ATF_REQUIRE_EQ(system("rm -rf d && cp -a keep d"), 0);
        int fd = open(LOG_PATH, O_RDWR);
        uint8_t byte;
        if (i < st.st_size) {
            ATF_REQUIRE_EQ(pread(fd, &byte, 1, i), 1);
            byte ^= 0x10;
            ATF_REQUIRE_EQ(pwrite(fd, &byte, 1, i), 1);
        } else {
            ATF_REQUIRE_EQ(ftruncate(fd, i - st.st_size), 0);
        }
        close(fd);
        spoil_sums(DONE_PATH, 1002, 4000); /* of the last region */
        s = open_boot(1);
        ATF_CHECK_EQ(get(s).state, HD_REPLICA_RWR);
        ATF_CHECK(get(s).doubtful);
        check_files(s, &m);
        hd_store_free(s);
    }
}

ATF_TC_WITHOUT_HEAD(a_log_without_a_replica_goes);
ATF_TC_BODY(a_log_without_a_replica_goes, tc)
{
    char storage[HD_LAYOUT_ID_BYTES];
    struct hd_store *s = open_boot(1);
    make(s, &m, 1000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 1000, 1000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 50), 0);
    ATF_CHECK(log_exists());
    hd_block_writer_close(w);
    ATF_REQUIRE_EQ(system("cp -a d/current/*/dirty logs"), 0);
    ATF_REQUIRE_EQ(hd_store_delete(s, id, (struct hd_genstamp){1002}, storage), 0);
    ATF_CHECK(!log_exists());
    hd_store_free(s);
    ATF_REQUIRE_EQ(system("cp -a logs/. d/current/*/dirty/"), 0);
    ATF_CHECK(log_exists());
    s = open_boot(1);
    ATF_CHECK(!log_exists());
    hd_store_free(s);
}

/* --- readers --- */

ATF_TC_WITHOUT_HEAD(who_has_the_files_open_keeps_them_as_they_are);
ATF_TC_BODY(who_has_the_files_open_keeps_them_as_they_are, tc)
{
    static uint8_t got[10000];
    static struct model old;
    struct hd_block_view v;
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    old = m;
    ATF_REQUIRE_EQ(hd_store_view(s, id, &v), 0);
    ATF_CHECK(v.plain);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 5000), 0);
    ATF_REQUIRE_EQ(hd_fd_pread(v.data_fd, got, 10000, 0), 0);
    ATF_CHECK_EQ(memcmp(got, old.bytes, 10000), 0);
    hd_block_view_done(&v);
    check_shared(s, &m, 10000);
    ATF_REQUIRE_EQ(put_last(w, &m, 10000), 0);
    hd_block_writer_close(w);
    check_files(s, &m);
    ATF_REQUIRE_EQ(hd_store_view(s, id, &v), 0);
    ATF_CHECK(v.plain);
    hd_block_view_done(&v);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(descriptors_that_were_handed_out_show_what_was);
ATF_TC_BODY(descriptors_that_were_handed_out_show_what_was, tc)
{
    static uint8_t got[10000];
    static struct model old;
    struct hd_block_view v;
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    old = m;
    ATF_REQUIRE_EQ(hd_store_view(s, id, &v), 0);
    int fd = dup(v.data_fd);
    ATF_CHECK(hd_store_hand_out(s, &v));
    hd_block_view_done(&v);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 5000), 0);
    ATF_REQUIRE_EQ(hd_fd_pread(fd, got, 10000, 0), 0);
    ATF_CHECK_EQ(memcmp(got, old.bytes, 10000), 0);
    close(fd);
    hd_block_writer_close(w);
    check_files(s, &m);
    hd_store_free(s);
}

struct reader {
    struct hd_store *store;
    atomic_bool stop;
    int reads;
    int torn;
};

static void *read_on(void *ctx)
{
    static uint8_t got[MODEL_BYTES];
    static uint8_t sums[SUMS_MAX];
    struct reader *r = ctx;
    while (!atomic_load(&r->stop)) {
        struct hd_block_view v;
        if (hd_store_view(r->store, id, &v) < 0) {
            r->torn += 1000;
            break;
        }
        for (uint64_t at = 0; at < v.visible_bytes; at += 65536) {
            uint64_t end = HD_MIN(at + 65536, v.visible_bytes);
            int err = hd_block_view_read(&v, at, end, got, sums);
            bool fits = hd_checksum_verify(crc32c.type, CHUNK, got, end - at, sums) < 0;
            r->torn += err < 0 || !fits;
            r->reads++;
        }
        hd_block_view_done(&v);
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(a_reader_never_sees_a_torn_chunk);
ATF_TC_BODY(a_reader_never_sees_a_torn_chunk, tc)
{
    pthread_t thread;
    struct reader r = {.store = open_boot(1)};
    make(r.store, &m, 200000);
    struct hd_block_writer *w = open_writer(r.store, HD_STAGE_APPEND, 1001, 1002, 200000, 200000);
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, read_on, &r), 0);
    struct hd_prng p;
    p.state = 3;
    for (int i = 0; i < 3000; i++) {
        ATF_REQUIRE_EQ(
            put(w, &m, hd_prng_next(&p) % 190000, (unsigned)i, 1 + hd_prng_next(&p) % 9000), 0);
    }
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    ATF_CHECK(r.reads > 0);
    ATF_CHECK_EQ(r.torn, 0);
    check_files(r.store, &m);
    hd_block_writer_close(w);
    hd_store_free(r.store);
}

/* --- disks that fail --- */

static void fail_disk(const char *target, int error)
{
    struct hd_fault f = {
        .point = HD_FAULT_DISK_ERROR, .target = target, .value = error, .for_ms = 100000};
    ATF_REQUIRE_EQ(hd_fault_set(&f, target != NULL ? 1 : 0), 0);
}

ATF_TC_WITHOUT_HEAD(without_its_log_nothing_is_changed);
ATF_TC_BODY(without_its_log_nothing_is_changed, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(mkdir("d/current/BP-1-127.0.0.1-2/dirty", 0755), 0);
    fail_disk("d/current/BP-1-127.0.0.1-2/dirty", ENOSPC);
    ATF_CHECK_EQ(put(w, &m, 100, 1, 50), -ENOSPC);
    fail_disk(NULL, 0);
    check_files(s, &m);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 50), 0); /* and a later one is logged */
    ATF_CHECK(log_exists());
    fail_disk("d/current/BP-1-127.0.0.1-2/dirty", EIO);
    ATF_CHECK_EQ(put(w, &m, (2 << 20) - 100, 1, 50), -EIO); /* another region: that disk is done */
    fail_disk(NULL, 0);
    hd_block_writer_close(w);
    struct hd_replica r;
    ATF_CHECK_EQ(hd_store_get(s, id, &r), -HD_E_REPLICA_NOT_FOUND);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_change_that_fails_half_way_is_summed_as_it_is);
ATF_TC_BODY(a_change_that_fails_half_way_is_summed_as_it_is, tc)
{
    static uint8_t data[5000];
    char sums_path[500];
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 50), 0);
    snprintf(sums_path, sizeof(sums_path), "%s_1002.meta", DATA_PATH);
    fail_disk(sums_path, ENOSPC); /* the bytes go, their sums do not */
    memset(data, 9, sizeof(data));
    ATF_CHECK_EQ(put_as(w, crc32c, &m, 1024, data, 4096), -ENOSPC);
    fail_disk(NULL, 0);
    hd_block_writer_close(w);
    memcpy(m.bytes + 1024, data, 4096);
    check_files(s, &m);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(an_fsync_that_fails_ends_the_directory);
ATF_TC_BODY(an_fsync_that_fails_ends_the_directory, tc)
{
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 50), 0);
    fail_disk(DATA_PATH, EIO);
    ATF_CHECK_EQ(hd_block_writer_sync(w), -EIO);
    fail_disk(NULL, 0);
    hd_block_writer_close(w);
    struct hd_replica r;
    ATF_CHECK_EQ(hd_store_get(s, id, &r), -HD_E_REPLICA_NOT_FOUND);
    hd_store_free(s);
}

/* A log that could not be cleaned stays. */
ATF_TC_WITHOUT_HEAD(cleaning_keeps_the_log_until_sums_are_durable);
ATF_TC_BODY(cleaning_keeps_the_log_until_sums_are_durable, tc)
{
    char sums_path[500];
    struct hd_store *s = open_boot(1);
    make(s, &m, 10000);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, 1001, 1002, 10000, 10000);
    ATF_REQUIRE_EQ(put(w, &m, 100, 1, 50), 0);
    ATF_CHECK_EQ(hd_store_clean(s, 0), 0); /* open */
    ATF_REQUIRE_EQ(put_last(w, &m, 10000), 0);
    hd_block_writer_close(w);
    snprintf(sums_path, sizeof(sums_path), "%s_1002.meta", DONE_PATH);
    fail_disk(sums_path, ENOSPC);
    ATF_CHECK_EQ(hd_store_clean(s, 0), 0);
    fail_disk(NULL, 0);
    ATF_CHECK(log_exists());
    ATF_CHECK_EQ(hd_store_clean(s, 0), 1);
    ATF_CHECK(!log_exists());
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, random_changes_leave_the_bytes_and_sums_of_the_model);
    ATF_TP_ADD_TC(tp, packets_that_come_twice_change_nothing);
    ATF_TP_ADD_TC(tp, bytes_that_come_in_order_need_no_dirty_log);
    ATF_TP_ADD_TC(tp, a_fresh_replica_begins_as_long_as_it_is_told);
    ATF_TP_ADD_TC(tp, wrong_sums_are_refused_and_change_nothing);
    ATF_TP_ADD_TC(tp, a_rotten_chunk_is_not_merged_into);
    ATF_TP_ADD_TC(tp, sums_of_another_format_are_made_anew);
    ATF_TP_ADD_TC(tp, only_replicas_that_fit_are_opened);
    ATF_TP_ADD_TC(tp, after_the_same_boot_a_finished_replica_stays_finished);
    ATF_TP_ADD_TC(tp, only_the_sums_of_dirty_regions_are_made_anew);
    ATF_TP_ADD_TC(tp, after_another_boot_it_waits_for_a_recovery);
    ATF_TP_ADD_TC(tp, a_replica_that_was_open_comes_back_whole);
    ATF_TP_ADD_TC(tp, a_damaged_log_means_all_regions);
    ATF_TP_ADD_TC(tp, a_log_without_a_replica_goes);
    ATF_TP_ADD_TC(tp, who_has_the_files_open_keeps_them_as_they_are);
    ATF_TP_ADD_TC(tp, descriptors_that_were_handed_out_show_what_was);
    ATF_TP_ADD_TC(tp, a_reader_never_sees_a_torn_chunk);
    ATF_TP_ADD_TC(tp, without_its_log_nothing_is_changed);
    ATF_TP_ADD_TC(tp, a_change_that_fails_half_way_is_summed_as_it_is);
    ATF_TP_ADD_TC(tp, an_fsync_that_fails_ends_the_directory);
    ATF_TP_ADD_TC(tp, cleaning_keeps_the_log_until_sums_are_durable);
    return atf_no_error();
}
