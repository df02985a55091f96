/* The store on real directories: what survives a restart, a crash between renames, a failing disk.
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/store/block_writer.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};
static const struct hd_block_id id = {1073741825};

static const struct hd_store_identity identity = {
    .cluster_id = "CID-1", .pool_id = "BP-1-127.0.0.1-2", .namespace_id = 5, .ctime_ms = 9};

static struct hd_store *open_store(const char *dirs, int tolerated)
{
    struct hd_store_options o = {.dirs = dirs, .failed_volumes_tolerated = tolerated};
    struct hd_store *s;
    hd_log_init("test", HD_LOG_ERROR);
    ATF_REQUIRE_EQ_MSG(hd_store_new(&o, &s), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ_MSG(hd_store_bind(s, &identity), 0, "%s", hd_fail_text());
    return s;
}

static void fill(uint8_t *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + seed + (i >> 9));
    }
}

static struct hd_block_writer *open_writer(struct hd_store *s, enum hd_write_stage stage,
                                           uint64_t gs, uint64_t new_gs, uint64_t min, uint64_t max)
{
    struct hd_block_writer_options o = {.setup = {.stage = stage,
                                                  .id = id,
                                                  .gs = {gs},
                                                  .new_gs = {new_gs},
                                                  .min_bytes = min,
                                                  .max_bytes = max},
                                        .format = crc32c};
    struct hd_block_writer *w;
    ATF_REQUIRE_EQ_MSG(hd_block_writer_open(s, &o, &w), 0, "%s", hd_fail_text());
    return w;
}

/* One packet of `size` bytes of the data at `offset`, summed on the grid of the packet. */
static int write_packet(struct hd_block_writer *w, const uint8_t *data, size_t offset, size_t size)
{
    uint8_t sums[4096];
    struct hd_packet p = {.offset_bytes = (int64_t)offset,
                          .data_bytes = (uint32_t)size,
                          .sums_bytes = (uint32_t)((size + 511) / 512 * 4)};
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data + offset, size, sums);
    return hd_block_writer_write(w, &p, sums, data + offset, true);
}

static void check_bytes(struct hd_store *s, const uint8_t *data, size_t size)
{
    struct hd_block_view v;
    ATF_REQUIRE_EQ_MSG(hd_store_view(s, id, &v), 0, "%s", hd_fail_text());
    uint8_t got[65536];
    uint8_t sums[4096];
    ATF_REQUIRE_EQ(v.replica.size_bytes, size);
    ATF_REQUIRE_EQ(hd_fd_pread(v.data_fd, got, size, 0), 0);
    ATF_REQUIRE_EQ(hd_fd_pread(v.meta_fd, sums, (size + 511) / 512 * 4, 7), 0);
    ATF_CHECK_EQ(memcmp(got, data, size), 0);
    ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, got, size, sums), -1);
    hd_block_view_done(&v);
}

static struct hd_replica get(struct hd_store *s)
{
    struct hd_replica r = {0};
    ATF_REQUIRE_EQ_MSG(hd_store_get(s, id, &r), 0, "%s", hd_fail_text());
    return r;
}

ATF_TC_WITHOUT_HEAD(a_finished_replica_is_there_after_a_restart);
ATF_TC_BODY(a_finished_replica_is_there_after_a_restart, tc)
{
    uint8_t data[5000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, sizeof(data)), 0);
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    char uuid[HD_LAYOUT_ID_BYTES];
    snprintf(uuid, sizeof(uuid), "%s", hd_store_node_uuid(s));
    hd_store_free(s);
    struct stat st;
    ATF_CHECK_EQ(stat("d/current/BP-1-127.0.0.1-2/current/finalized/subdir0/subdir0/"
                      "blk_1073741825_1001.meta",
                      &st),
                 0);
    ATF_CHECK_EQ(st.st_size, 7 + 40);
    s = open_store("d", 0);
    ATF_CHECK_STREQ(hd_store_node_uuid(s), uuid);
    ATF_CHECK(get(s).state == HD_REPLICA_FINALIZED && get(s).gs.v == 1001);
    check_bytes(s, data, sizeof(data));
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(an_unfinished_replica_comes_back_as_far_as_its_sums_agree);
ATF_TC_BODY(an_unfinished_replica_comes_back_as_far_as_its_sums_agree, tc)
{
    uint8_t data[5000];
    fill(data, sizeof(data), 2);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, sizeof(data)), 0);
    hd_block_writer_close(w);
    ATF_CHECK_EQ(get(s).state, HD_REPLICA_RBW);
    hd_store_free(s);
    /* The power went: a page of the data never reached the disk. */
    int fd = open("d/current/BP-1-127.0.0.1-2/current/rbw/blk_1073741825", O_WRONLY);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(pwrite(fd, "\0\0\0\0", 4, 3000), 4);
    close(fd);
    s = open_store("d", 0);
    ATF_CHECK(get(s).state == HD_REPLICA_RWR && get(s).size_bytes == 2560);
    check_bytes(s, data, 2560);
    /* A client that goes on with it gets what it has acknowledged and no more. */
    w = open_writer(s, HD_STAGE_STREAMING_RECOVERY, 1001, 1002, 1000, 5000);
    ATF_CHECK(get(s).size_bytes == 1000 && get(s).gs.v == 1002);
    ATF_REQUIRE_EQ(write_packet(w, data, 512, 5000 - 512), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    check_bytes(s, data, 5000);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_crash_before_the_new_sum_of_a_chunk_costs_nothing_older);
ATF_TC_BODY(a_crash_before_the_new_sum_of_a_chunk_costs_nothing_older, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 4);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 700), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    int fd = open("d/current/BP-1-127.0.0.1-2/current/rbw/blk_1073741825", O_WRONLY | O_APPEND);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(write(fd, data + 700, 300), 300);
    close(fd);
    s = open_store("d", 0);
    ATF_CHECK_EQ(get(s).size_bytes, 700);
    check_bytes(s, data, 700);
    hd_store_free(s);
}

/* What remains of a replica when a second packet, into its last chunk, cannot be stored. */
static void check_failed_data_write(uint64_t offset, size_t size)
{
    uint8_t data[1000];
    struct rlimit limit;
    fill(data, sizeof(data), 5);
    signal(SIGXFSZ, SIG_IGN);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 700), 0);
    ATF_REQUIRE_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 700; /* stands for a kill between two writes */
    ATF_REQUIRE_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ATF_CHECK(write_packet(w, data, offset, size) < 0);
    limit.rlim_cur = before;
    ATF_REQUIRE_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
    s = open_store("d", 0);
    check_bytes(s, data, 700);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(no_sum_is_written_before_its_bytes);
ATF_TC_BODY(no_sum_is_written_before_its_bytes, tc)
{
    check_failed_data_write(512, 400); /* our clients send the chunk again, with more in it */
    ATF_REQUIRE_EQ(hd_dir_remove("d"), 0);
    check_failed_data_write(700, 200); /* Hadoop's go on in the middle */
}

static void spoil(const char *path)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    ATF_REQUIRE_MSG(fd >= 0, "%s", path);
    ATF_REQUIRE_EQ(write(fd, "#garbage\n", 9), 9);
    close(fd);
}

ATF_TC_WITHOUT_HEAD(a_damaged_version_costs_its_directory_or_is_mended);
ATF_TC_BODY(a_damaged_version_costs_its_directory_or_is_mended, tc)
{
    struct hd_store_failures f;
    struct hd_store_options o = {.dirs = "d,e", .failed_volumes_tolerated = 0};
    struct hd_store *s;
    hd_store_free(open_store("d,e", 1));
    spoil("d/current/BP-1-127.0.0.1-2/current/VERSION"); /* meta and the other file know it all */
    s = open_store("d,e", 1);
    hd_store_failures(s, &f);
    ATF_CHECK_EQ(f.count, 0);
    hd_store_free(s);
    spoil("d/current/VERSION"); /* nobody else knows which storage that was */
    s = open_store("d,e", 1);
    hd_store_failures(s, &f);
    ATF_CHECK_EQ(f.count, 1);
    hd_store_free(s);
    ATF_CHECK_EQ(hd_store_new(&o, &s), -HD_E_IO);
}

ATF_TC_WITHOUT_HEAD(halves_of_unfinished_replicas_go_at_a_start);
ATF_TC_BODY(halves_of_unfinished_replicas_go_at_a_start, tc)
{
    static const char *const halves[] = {"rbw/blk_7", "rbw/blk_8_1001.meta",
                                         "finalized/subdir0/subdir0/blk_9"};
    char path[256];
    struct stat st;
    hd_store_free(open_store("d", 0));
    ATF_REQUIRE_EQ(
        hd_dir_make("d/current/BP-1-127.0.0.1-2/current/finalized/subdir0/subdir0", 0755), 0);
    for (size_t i = 0; i < HD_ARRAY_COUNT(halves); i++) {
        snprintf(path, sizeof(path), "d/current/BP-1-127.0.0.1-2/current/%s", halves[i]);
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        ATF_REQUIRE(fd >= 0);
        close(fd);
    }
    hd_store_free(open_store("d", 0));
    ATF_CHECK(stat("d/current/BP-1-127.0.0.1-2/current/rbw/blk_7", &st) < 0);
    ATF_CHECK(stat("d/current/BP-1-127.0.0.1-2/current/rbw/blk_8_1001.meta", &st) < 0);
    ATF_CHECK_EQ(stat(path, &st), 0); /* it was a whole block once */
}

ATF_TC_WITHOUT_HEAD(a_crash_between_two_renames_is_healed);
ATF_TC_BODY(a_crash_between_two_renames_is_healed, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 3);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, sizeof(data)), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    hd_store_free(s);
#define POOL "d/current/BP-1-127.0.0.1-2/current/"
    ATF_REQUIRE_EQ(rename(POOL "finalized/subdir0/subdir0/blk_1073741825_1001.meta",
                          POOL "rbw/blk_1073741825_1001.meta"),
                   0);
    s = open_store("d", 0);
    ATF_CHECK_EQ(get(s).state, HD_REPLICA_FINALIZED);
    check_bytes(s, data, sizeof(data));
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(copies_on_their_way_are_gone_after_a_restart);
ATF_TC_BODY(copies_on_their_way_are_gone_after_a_restart, tc)
{
    uint8_t data[1000] = {0};
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_TRANSFER_FINALIZED, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, sizeof(data)), 0);
    struct hd_replica r;
    ATF_CHECK_EQ(get(s).state, HD_REPLICA_TEMPORARY);
    struct hd_block_view v;
    ATF_CHECK_EQ(hd_store_view(s, id, &v), -HD_E_REPLICA_NOT_FOUND); /* not for readers */
    hd_block_writer_close(w);
    ATF_CHECK_EQ(hd_store_get(s, id, &r), -HD_E_REPLICA_NOT_FOUND);
    hd_store_free(s);
    ATF_CHECK(access("d/current/BP-1-127.0.0.1-2/tmp/blk_1073741825", F_OK) < 0);
}

ATF_TC_WITHOUT_HEAD(a_wrong_sum_is_refused_and_nothing_is_written);
ATF_TC_BODY(a_wrong_sum_is_refused_and_nothing_is_written, tc)
{
    uint8_t data[1024] = {0};
    uint8_t sums[8] = {1, 2, 3, 4};
    struct hd_packet p = {.data_bytes = 1024, .sums_bytes = 8};
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_CHECK_EQ(hd_block_writer_write(w, &p, sums, data, true), -HD_E_CHECKSUM);
    p.sums_bytes = 4;
    ATF_CHECK_EQ(hd_block_writer_write(w, &p, sums, data, true), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(write_packet(w, data, 0, 0), 0);
    ATF_CHECK_EQ(get(s).size_bytes, 0);
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(sums_are_translated_when_an_append_uses_another_format);
ATF_TC_BODY(sums_are_translated_when_an_append_uses_another_format, tc)
{
    uint8_t data[3000];
    uint8_t sums[64];
    fill(data, sizeof(data), 4);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 1000), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_APPEND,
                                                  .id = id,
                                                  .gs = {1001},
                                                  .new_gs = {1002},
                                                  .min_bytes = 1000},
                                        .format = {HD_CHECKSUM_CRC32, 1000}};
    ATF_REQUIRE_EQ(hd_block_writer_open(s, &o, &w), 0);
    struct hd_packet p = {.offset_bytes = 1000, .data_bytes = 2000, .sums_bytes = 8};
    hd_checksum_chunks(HD_CHECKSUM_CRC32, 1000, data + 1000, 2000, sums);
    ATF_REQUIRE_EQ_MSG(hd_block_writer_write(w, &p, sums, data + 1000, true), 0, "%s",
                       hd_fail_text());
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    check_bytes(s, data, 3000);
    hd_store_free(s);
}

struct interrupted {
    struct hd_block_writer *w;
    pthread_t thread;
    bool called;
};

static void *closer(void *ctx)
{
    hd_block_writer_close(((struct interrupted *)ctx)->w);
    return NULL;
}

static void interrupt(void *ctx)
{
    struct interrupted *i = ctx;
    i->called = true; /* as a receiver does: another thread gives up and closes */
    pthread_create(&i->thread, NULL, closer, i);
}

ATF_TC_WITHOUT_HEAD(recovery_stops_the_writer_cuts_and_finalizes);
ATF_TC_BODY(recovery_stops_the_writer_cuts_and_finalizes, tc)
{
    uint8_t data[5000];
    fill(data, sizeof(data), 5);
    struct interrupted i = {0};
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_CREATE, .id = id, .gs = {1001}},
                                        .format = crc32c,
                                        .interrupt = interrupt,
                                        .ctx = &i};
    ATF_REQUIRE_EQ(hd_block_writer_open(s, &o, &i.w), 0);
    ATF_REQUIRE_EQ(write_packet(i.w, data, 0, 5000), 0);
    struct hd_recovery_answer a;
    char storage_id[HD_LAYOUT_ID_BYTES];
    struct hd_genstamp gs = {1001};
    ATF_REQUIRE_EQ(hd_store_recovery_init(s, id, gs, 1005, &a), 0);
    ATF_CHECK(i.called);
    pthread_join(i.thread, NULL);
    ATF_CHECK(a.found && a.state == HD_REPLICA_RBW && a.size_bytes == 5000 && a.gs.v == 1001);
    ATF_CHECK_EQ(hd_store_recovery_init(s, id, gs, 1005, &a), -HD_E_RECOVERY);
    ATF_CHECK_EQ(hd_store_recovery_update(s, id, 1004, 3000, storage_id), -HD_E_IO);
    ATF_CHECK_EQ(hd_store_recovery_update(s, id, 1005, 5001, storage_id), -HD_E_IO);
    ATF_REQUIRE_EQ(hd_store_recovery_update(s, id, 1005, 3000, storage_id), 0);
    ATF_CHECK_EQ(strncmp(storage_id, "DS-", 3), 0);
    ATF_CHECK(get(s).state == HD_REPLICA_FINALIZED && get(s).gs.v == 1005);
    check_bytes(s, data, 3000);
    hd_store_free(s);
    s = open_store("d", 0);
    check_bytes(s, data, 3000);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_rotten_replica_takes_no_part_in_a_recovery);
ATF_TC_BODY(a_rotten_replica_takes_no_part_in_a_recovery, tc)
{
    uint8_t data[5000];
    struct hd_block_view v;
    struct hd_recovery_answer a;
    fill(data, sizeof(data), 6);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, sizeof(data)), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    ATF_REQUIRE_EQ(hd_store_view(s, id, &v), 0);
    int fd = open(v.data_path, O_WRONLY);
    ATF_REQUIRE(fd >= 0);
    data[2000] ^= 1;
    ATF_REQUIRE_EQ(pwrite(fd, data, 1, 2000), 1);
    close(fd);
    hd_block_view_done(&v);
    ATF_CHECK_EQ(hd_store_recovery_init(s, id, (struct hd_genstamp){1001}, 1005, &a),
                 -HD_E_CHECKSUM);
    ATF_CHECK(!a.reached && !a.found);
    ATF_CHECK(get(s).state == HD_REPLICA_FINALIZED && get(s).gs.v == 1001);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_delete_wants_the_right_stamp_and_leaves_readers_alone);
ATF_TC_BODY(a_delete_wants_the_right_stamp_and_leaves_readers_alone, tc)
{
    uint8_t data[1000];
    uint8_t got[1000];
    char storage_id[HD_LAYOUT_ID_BYTES];
    struct hd_block_view v;
    struct hd_replica r;
    fill(data, sizeof(data), 6);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 1000), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    ATF_CHECK_EQ(hd_store_sync(s, id, (struct hd_genstamp){1001}), 0);
    ATF_CHECK_EQ(hd_store_sync(s, id, (struct hd_genstamp){1002}), -HD_E_REPLICA_NOT_FOUND);
    ATF_REQUIRE_EQ(hd_store_view(s, id, &v), 0);
    ATF_CHECK(v.has_last_sum);
    ATF_CHECK_EQ(hd_store_delete(s, id, (struct hd_genstamp){1000}, storage_id),
                 -HD_E_REPLICA_NOT_FOUND);
    ATF_CHECK_EQ(hd_store_delete(s, id, (struct hd_genstamp){1001}, storage_id), 0);
    ATF_CHECK_EQ(hd_store_get(s, id, &r), -HD_E_REPLICA_NOT_FOUND);
    ATF_CHECK_EQ(hd_fd_pread(v.data_fd, got, 1000, 0), 0);
    ATF_CHECK_EQ(memcmp(got, data, 1000), 0);
    hd_block_view_done(&v);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_full_directory_refuses_new_blocks);
ATF_TC_BODY(a_full_directory_refuses_new_blocks, tc)
{
    struct hd_store_options so = {.dirs = "d", .reserved_bytes = (uint64_t)1 << 60};
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_CREATE, .id = id, .gs = {1001}},
                                        .format = crc32c};
    struct hd_store *s;
    struct hd_block_writer *w;
    struct hd_volume_info info;
    ATF_REQUIRE_EQ(hd_store_new(&so, &s), 0);
    ATF_REQUIRE_EQ(hd_store_bind(s, &identity), 0);
    ATF_CHECK_EQ(hd_block_writer_open(s, &o, &w), -ENOSPC);
    ATF_REQUIRE_EQ(hd_store_volumes(s, &info, 1), 1);
    ATF_CHECK_EQ(info.free_bytes, 0);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(directories_of_another_cluster_are_refused);
ATF_TC_BODY(directories_of_another_cluster_are_refused, tc)
{
    struct hd_store *s = open_store("d", 0);
    struct hd_store_identity other = identity;
    snprintf(other.cluster_id, sizeof(other.cluster_id), "CID-2");
    ATF_CHECK_EQ(hd_store_bind(s, &other), -HD_E_INCORRECT_VERSION);
    other = identity;
    snprintf(other.pool_id, sizeof(other.pool_id), "BP-2-127.0.0.1-2");
    ATF_CHECK_EQ(hd_store_bind(s, &other), -HD_E_INCORRECT_VERSION);
    other = identity;
    snprintf(other.pool_id, sizeof(other.pool_id), "BP-../../etc");
    ATF_CHECK_EQ(hd_store_bind(s, &other), -HD_E_INCORRECT_VERSION);
    struct hd_store_options so = {.dirs = "d"};
    struct hd_store *second;
    ATF_CHECK_EQ(hd_store_new(&so, &second), -EBUSY); /* one process a directory */
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_lost_directory_takes_only_its_own_replicas);
ATF_TC_BODY(a_lost_directory_takes_only_its_own_replicas, tc)
{
    uint8_t data[100] = {7};
    struct hd_store *s = open_store("d1, d2/", 1);
    for (uint64_t n = 0; n < 4; n++) { /* in turn */
        struct hd_block_writer_options o = {
            .setup = {.stage = HD_STAGE_CREATE, .id = {id.v + n}, .gs = {1001}}, .format = crc32c};
        struct hd_block_writer *w;
        ATF_REQUIRE_EQ(hd_block_writer_open(s, &o, &w), 0);
        ATF_REQUIRE_EQ(write_packet(w, data, 0, 100), 0);
        ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
        hd_block_writer_close(w);
    }
    struct hd_volume_info info[4];
    ATF_REQUIRE_EQ(hd_store_volumes(s, info, 4), 2);
    ATF_CHECK(info[0].replica_count == 2 && info[1].replica_count == 2);
    ATF_CHECK_EQ(hd_store_check(s), 0);
    ATF_REQUIRE_EQ(rename("d1", "gone"), 0);
    ATF_CHECK_EQ(hd_store_check(s), 0); /* one may fail */
    ATF_CHECK_EQ(hd_store_volumes(s, info, 4), 1);
    struct hd_store_failures f;
    hd_store_failures(s, &f);
    ATF_REQUIRE_EQ(f.count, 1);
    ATF_CHECK_STREQ(f.dirs[0], "d1");
    HD_AUTO(hd_buf_done) struct hd_buf report = {0};
    ATF_CHECK_EQ(hd_store_report(s, info[0].storage_id, &report), 2);
    ATF_REQUIRE_EQ(rename("d2", "gone2"), 0);
    ATF_CHECK_EQ(hd_store_check(s), -HD_E_IO);
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_finished_replica_is_there_after_a_restart);
    ATF_TP_ADD_TC(tp, an_unfinished_replica_comes_back_as_far_as_its_sums_agree);
    ATF_TP_ADD_TC(tp, a_crash_before_the_new_sum_of_a_chunk_costs_nothing_older);
    ATF_TP_ADD_TC(tp, no_sum_is_written_before_its_bytes);
    ATF_TP_ADD_TC(tp, a_damaged_version_costs_its_directory_or_is_mended);
    ATF_TP_ADD_TC(tp, halves_of_unfinished_replicas_go_at_a_start);
    ATF_TP_ADD_TC(tp, a_crash_between_two_renames_is_healed);
    ATF_TP_ADD_TC(tp, copies_on_their_way_are_gone_after_a_restart);
    ATF_TP_ADD_TC(tp, a_wrong_sum_is_refused_and_nothing_is_written);
    ATF_TP_ADD_TC(tp, sums_are_translated_when_an_append_uses_another_format);
    ATF_TP_ADD_TC(tp, recovery_stops_the_writer_cuts_and_finalizes);
    ATF_TP_ADD_TC(tp, a_rotten_replica_takes_no_part_in_a_recovery);
    ATF_TP_ADD_TC(tp, a_delete_wants_the_right_stamp_and_leaves_readers_alone);
    ATF_TP_ADD_TC(tp, a_full_directory_refuses_new_blocks);
    ATF_TP_ADD_TC(tp, directories_of_another_cluster_are_refused);
    ATF_TP_ADD_TC(tp, a_lost_directory_takes_only_its_own_replicas);
    return atf_no_error();
}
