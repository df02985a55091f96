/*
 * What is durable when the store says so: every fsync is noted by this program, which takes the
 * place of the system's calls.
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/store/block_writer.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <stdlib.h>
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

/* ---- the notes ---- */

static char notes[8192]; /* the last component of every synced path, each behind a space */

static int note(int fd)
{
    char link[64];
    char path[512];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    const char *name = strrchr(path, '/');
    size_t used = strlen(notes);
    snprintf(notes + used, sizeof(notes) - used, " %s", name == NULL ? "?" : name + 1);
    return 0;
}

int fsync(int fd)
{
    return note(fd);
}

int fdatasync(int fd)
{
    return note(fd);
}

static void check_notes(const char *expected)
{
    ATF_CHECK_MSG(strcmp(notes, expected) == 0, "synced:%s\nexpected:%s", notes, expected);
    notes[0] = '\0';
}

#define DATA      " blk_1073741825"
#define FINALIZED " subdir0 subdir0 finalized" /* of the first replica in its folder */

/* ---- cases ---- */

ATF_TC_WITHOUT_HEAD(a_sync_covers_both_files_and_their_names);
ATF_TC_BODY(a_sync_covers_both_files_and_their_names, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    notes[0] = '\0';
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    check_notes(DATA DATA "_1001.meta rbw");
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    check_notes("");
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_block_nobody_synced_is_finished_without);
ATF_TC_BODY(a_block_nobody_synced_is_finished_without, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    notes[0] = '\0';
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    check_notes("");
    hd_block_writer_close(w);
    ATF_REQUIRE_EQ(hd_store_sync(s, id, (struct hd_genstamp){1001}), 0);
    check_notes(DATA DATA "_1001.meta" FINALIZED);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(synced_bytes_stay_so_through_what_follows);
ATF_TC_BODY(synced_bytes_stay_so_through_what_follows, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    notes[0] = '\0';
    /* The sum of the synced bytes goes over only when what it covers from now on is durable. */
    ATF_REQUIRE_EQ(write_packet(w, data, 512, 288), 0);
    check_notes(DATA);
    hd_block_writer_acked(w, 800);
    hd_block_writer_close(w);
    check_notes("");
    /* The chain broke: the new stamp is in a name. */
    w = open_writer(s, HD_STAGE_STREAMING_RECOVERY, 1001, 1002, 600, 800);
    check_notes(" rbw");
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    check_notes(DATA DATA "_1002.meta" FINALIZED);
    hd_block_writer_close(w);
    w = open_writer(s, HD_STAGE_APPEND, 1002, 1003, 800, 800);
    check_notes(" rbw subdir0");
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_recovery_of_the_close_leaves_nothing_in_memory);
ATF_TC_BODY(a_recovery_of_the_close_leaves_nothing_in_memory, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    hd_block_writer_close(w);
    notes[0] = '\0';
    w = open_writer(s, HD_STAGE_CLOSE_RECOVERY, 1001, 1002, 600, 600);
    check_notes(DATA DATA "_1001.meta" FINALIZED " rbw");
    hd_block_writer_close(w);
    hd_store_free(s);
}

/* Its source is deleted once meta knows of it, so nobody else may have the bytes. */
ATF_TC_WITHOUT_HEAD(a_copy_from_another_node_is_durable_when_it_is_finished);
ATF_TC_BODY(a_copy_from_another_node_is_durable_when_it_is_finished, tc)
{
    uint8_t data[1000];
    struct hd_block_writer_options o = {
        .setup = {.stage = HD_STAGE_CREATE, .from_node = true, .id = id, .gs = {1001}},
        .format = crc32c};
    struct hd_block_writer *w;
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    ATF_REQUIRE_EQ(hd_block_writer_open(s, &o, &w), 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    notes[0] = '\0';
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    check_notes(DATA DATA "_1001.meta" FINALIZED);
    hd_block_writer_close(w);
    hd_store_free(s);
}

/* A pipeline's new node gets what was synced before it came: its last packet says so. */
ATF_TC_WITHOUT_HEAD(a_copy_for_a_pipeline_is_durable_in_the_place_where_it_stays);
ATF_TC_BODY(a_copy_for_a_pipeline_is_durable_in_the_place_where_it_stays, tc)
{
    uint8_t data[1000];
    fill(data, sizeof(data), 1);
    struct hd_store *s = open_store("d", 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_TRANSFER_RBW, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(write_packet(w, data, 0, 600), 0);
    ATF_REQUIRE_EQ(hd_block_writer_sync(w), 0);
    notes[0] = '\0';
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    check_notes(" rbw");
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_copy_from_another_node_is_durable_when_it_is_finished);
    ATF_TP_ADD_TC(tp, a_copy_for_a_pipeline_is_durable_in_the_place_where_it_stays);
    ATF_TP_ADD_TC(tp, a_sync_covers_both_files_and_their_names);
    ATF_TP_ADD_TC(tp, a_block_nobody_synced_is_finished_without);
    ATF_TP_ADD_TC(tp, synced_bytes_stay_so_through_what_follows);
    ATF_TP_ADD_TC(tp, a_recovery_of_the_close_leaves_nothing_in_memory);
    return atf_no_error();
}
