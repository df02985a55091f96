/* What a check says about replicas that rotted, were cut, lost or brought back. */
#include "fs/data/store/check.h"
#include "fs/base/error.h"
#include "fs/data/store/block_writer.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST = 1073741825, BYTES = 5000, GS = 1001 };

#define POOL "BP-1-127.0.0.1-2"
#define LEAF "/current/" POOL "/current/finalized/subdir0/subdir0/"

static struct hd_store *open_store(const char *dirs)
{
    static const struct hd_store_identity identity = {
        .cluster_id = "CID-1", .pool_id = POOL, .namespace_id = 5, .ctime_ms = 9};
    struct hd_store_options o = {.dirs = dirs, .failed_volumes_tolerated = 1};
    struct hd_store *s;
    hd_log_init("test", HD_LOG_ERROR);
    ATF_REQUIRE_EQ_MSG(hd_store_new(&o, &s), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ_MSG(hd_store_bind(s, &identity), 0, "%s", hd_fail_text());
    return s;
}

static struct hd_block_writer *begin(struct hd_store *s, uint64_t id)
{
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_CREATE, .id = {id}, .gs = {GS}},
                                        .format = {HD_CHECKSUM_CRC32C, 512}};
    struct hd_block_writer *w;
    uint8_t data[BYTES];
    uint8_t sums[(BYTES + 511) / 512 * 4];
    struct hd_packet p = {.data_bytes = BYTES, .sums_bytes = sizeof(sums)};
    for (int i = 0; i < BYTES; i++) {
        data[i] = (uint8_t)(i * 7 + (int)id);
    }
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data, BYTES, sums);
    ATF_REQUIRE_EQ_MSG(hd_block_writer_open(s, &o, &w), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(hd_block_writer_write(w, &p, sums, data, true), 0);
    return w;
}

static void put(struct hd_store *s, uint64_t id)
{
    struct hd_block_writer *w = begin(s, id);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
}

static const char *path_of(const char *dir, uint64_t id, bool sums)
{
    static char path[512];
    snprintf(path, sizeof(path), sums ? "%s" LEAF "blk_%llu_1001.meta" : "%s" LEAF "blk_%llu", dir,
             (unsigned long long)id);
    return path;
}

static struct hd_check check(struct hd_store *s, uint64_t id)
{
    struct hd_check c;
    ATF_REQUIRE_EQ_MSG(
        hd_store_check_replica(s, (struct hd_block_id){id}, &(struct hd_check_options){0}, &c), 0,
        "%s", hd_fail_text());
    return c;
}

static bool is_there(struct hd_store *s, uint64_t id)
{
    struct hd_replica r;
    return hd_store_get(s, (struct hd_block_id){id}, &r) == 0;
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    ATF_REQUIRE_MSG(fd >= 0, "%s", path);
    ATF_REQUIRE_EQ(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ATF_REQUIRE_EQ(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

ATF_TC_WITHOUT_HEAD(a_replica_as_it_was_written_is_good);
ATF_TC_BODY(a_replica_as_it_was_written_is_good, tc)
{
    struct hd_store *s = open_store("d");
    struct hd_bad_replica bad[4];
    put(s, FIRST);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_GOOD);
    ATF_CHECK_EQ(hd_store_bad_replicas(s, bad, 4), 0);
    hd_store_free(s);
}

/* Any byte of either file: header, sums and data are all vouched for. */
ATF_TC_WITHOUT_HEAD(one_flipped_bit_anywhere_is_found);
ATF_TC_BODY(one_flipped_bit_anywhere_is_found, tc)
{
    struct hd_store *s = open_store("d");
    struct hd_bad_replica bad[4];
    put(s, FIRST);
    for (int i = 0; i < BYTES; i += 397) {
        flip(path_of("d", FIRST, false), i);
        ATF_CHECK_EQ_MSG(check(s, FIRST).finding, HD_CHECK_BAD, "byte %d of the data", i);
        flip(path_of("d", FIRST, false), i);
    }
    for (int i = 0; i < 7 + 40; i++) {
        flip(path_of("d", FIRST, true), i);
        ATF_CHECK_EQ_MSG(check(s, FIRST).finding, HD_CHECK_BAD, "byte %d of the sums", i);
        flip(path_of("d", FIRST, true), i);
    }
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_GOOD);
    ATF_CHECK_EQ(hd_store_bad_replicas(s, bad, 4), 0);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_bad_replica_is_news_once_and_listed_until_it_goes);
ATF_TC_BODY(a_bad_replica_is_news_once_and_listed_until_it_goes, tc)
{
    struct hd_store *s = open_store("d");
    struct hd_bad_replica bad[4];
    char storage_id[HD_LAYOUT_ID_BYTES];
    put(s, FIRST);
    put(s, FIRST + 1);
    flip(path_of("d", FIRST, false), 4999);
    ATF_CHECK(check(s, FIRST).news);
    ATF_CHECK(!check(s, FIRST).news);
    ATF_REQUIRE_EQ(hd_store_bad_replicas(s, bad, 4), 1);
    ATF_CHECK(bad[0].block.id.v == FIRST && bad[0].block.gs.v == GS &&
              bad[0].block.size_bytes == BYTES && bad[0].storage_id[0] != '\0');
    ATF_REQUIRE_EQ(
        hd_store_delete(s, (struct hd_block_id){FIRST}, (struct hd_genstamp){GS}, storage_id), 0);
    ATF_CHECK_EQ(hd_store_bad_replicas(s, bad, 4), 0);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(files_of_other_lengths_are_bad_and_not_read);
ATF_TC_BODY(files_of_other_lengths_are_bad_and_not_read, tc)
{
    static const struct {
        bool sums;
        off_t size;
    } cuts[] = {{false, 4096}, {false, 0}, {false, 5001}, {true, 46},
                {true, 7},     {true, 3},  {true, 0},     {true, 51}};
    struct hd_store *s = open_store("d");
    struct hd_block_view v;
    for (size_t i = 0; i < HD_ARRAY_COUNT(cuts); i++) {
        put(s, FIRST + i);
        ATF_REQUIRE_EQ(truncate(path_of("d", FIRST + i, cuts[i].sums), cuts[i].size), 0);
        ATF_CHECK_EQ_MSG(check(s, FIRST + i).finding, HD_CHECK_BAD, "cut %zu", i);
        ATF_CHECK_MSG(hd_store_view(s, (struct hd_block_id){FIRST + i}, &v) < 0, "cut %zu", i);
    }
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_replica_without_data_is_lost_and_forgotten);
ATF_TC_BODY(a_replica_without_data_is_lost_and_forgotten, tc)
{
    struct hd_store *s = open_store("d");
    struct stat st;
    put(s, FIRST);
    ATF_REQUIRE_EQ(unlink(path_of("d", FIRST, false)), 0);
    struct hd_check c = check(s, FIRST);
    ATF_CHECK_EQ(c.finding, HD_CHECK_LOST);
    ATF_CHECK(c.block.gs.v == GS && c.block.size_bytes == BYTES && c.storage_id[0] != '\0');
    ATF_CHECK(!is_there(s, FIRST));
    ATF_CHECK(stat(path_of("d", FIRST, true), &st) < 0);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_SKIPPED);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_replica_without_sums_is_bad);
ATF_TC_BODY(a_replica_without_sums_is_bad, tc)
{
    struct hd_store *s = open_store("d");
    put(s, FIRST);
    ATF_REQUIRE_EQ(unlink(path_of("d", FIRST, true)), 0);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_BAD);
    ATF_CHECK(is_there(s, FIRST));
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(what_is_being_written_is_left_alone);
ATF_TC_BODY(what_is_being_written_is_left_alone, tc)
{
    struct hd_store *s = open_store("d");
    struct hd_block_writer *w = begin(s, FIRST);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_SKIPPED);
    hd_block_writer_close(w);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_SKIPPED);
    hd_store_free(s);
}

static int stop_at_once(void *ctx, uint64_t bytes, uint64_t elapsed_ns)
{
    (void)elapsed_ns;
    *(uint64_t *)ctx += bytes;
    return -ECANCELED;
}

ATF_TC_WITHOUT_HEAD(a_check_stops_when_told);
ATF_TC_BODY(a_check_stops_when_told, tc)
{
    struct hd_store *s = open_store("d");
    struct hd_check c;
    uint64_t seen = 0;
    put(s, FIRST);
    struct hd_check_options o = {.pace = stop_at_once, .ctx = &seen};
    ATF_CHECK_EQ(hd_store_check_replica(s, (struct hd_block_id){FIRST}, &o, &c), -ECANCELED);
    ATF_CHECK_EQ(seen, BYTES);
    hd_store_free(s);
}

/* --- directories --- */

struct strays {
    int count[5]; /* by kind */
    uint64_t last;
};

static int note(void *ctx, const struct hd_stray_found *f)
{
    struct strays *n = ctx;
    n->count[f->kind]++;
    n->last = f->block.id.v;
    return 0;
}

static struct strays reconcile(struct hd_store *s, int volume)
{
    struct strays n = {0};
    ATF_REQUIRE_EQ_MSG(hd_store_reconcile(s, volume, true, note, &n), 0, "%s", hd_fail_text());
    return n;
}

ATF_TC_WITHOUT_HEAD(a_directory_as_the_map_has_it_shows_nothing);
ATF_TC_BODY(a_directory_as_the_map_has_it_shows_nothing, tc)
{
    struct hd_store *s = open_store("d");
    for (uint64_t i = 0; i < 600; i += 40) {
        put(s, FIRST + i); /* over several folders */
    }
    struct hd_block_writer *w = begin(s, FIRST + 1);
    struct strays n = reconcile(s, 0);
    ATF_CHECK(n.count[HD_STRAY_LOST] + n.count[HD_STRAY_ADOPTED] + n.count[HD_STRAY_REMOVED] +
                  n.count[HD_STRAY_LEFT] + n.count[HD_STRAY_LENGTH] ==
              0);
    hd_block_writer_close(w);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(missing_files_are_noticed_by_their_names);
ATF_TC_BODY(missing_files_are_noticed_by_their_names, tc)
{
    struct hd_store *s = open_store("d");
    for (uint64_t i = 0; i < 5; i++) {
        put(s, FIRST + i);
    }
    ATF_REQUIRE_EQ(unlink(path_of("d", FIRST + 1, false)), 0);
    ATF_REQUIRE_EQ(unlink(path_of("d", FIRST + 4, false)), 0);
    ATF_REQUIRE_EQ(unlink(path_of("d", FIRST + 4, true)), 0);
    ATF_CHECK_EQ(reconcile(s, 0).count[HD_STRAY_LOST], 2);
    ATF_CHECK(is_there(s, FIRST) && !is_there(s, FIRST + 1) && !is_there(s, FIRST + 4));
    ATF_CHECK_EQ(reconcile(s, 0).count[HD_STRAY_LOST], 0);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_replica_brought_back_is_adopted);
ATF_TC_BODY(a_replica_brought_back_is_adopted, tc)
{
    struct hd_store *s = open_store("d");
    char sums[512];
    put(s, FIRST);
    put(s, FIRST + 1);
    snprintf(sums, sizeof(sums), "%s", path_of("d", FIRST, true));
    ATF_REQUIRE_EQ(rename(sums, "sums"), 0);
    ATF_REQUIRE_EQ(rename(path_of("d", FIRST, false), "data"), 0);
    ATF_CHECK_EQ(reconcile(s, 0).count[HD_STRAY_LOST], 1);
    ATF_REQUIRE_EQ(rename("sums", sums), 0);
    ATF_REQUIRE_EQ(rename("data", path_of("d", FIRST, false)), 0);
    struct strays n = reconcile(s, 0);
    ATF_CHECK(n.count[HD_STRAY_ADOPTED] == 1 && n.last == FIRST);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_GOOD);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(files_that_nobody_can_vouch_for_are_left);
ATF_TC_BODY(files_that_nobody_can_vouch_for_are_left, tc)
{
    struct hd_store *s = open_store("d");
    struct stat st;
    put(s, FIRST);
    int fd = open(path_of("d", FIRST + 1, false), O_WRONLY | O_CREAT, 0644);
    ATF_REQUIRE(fd >= 0);
    close(fd);
    fd = open(path_of("d", FIRST + 2, true), O_WRONLY | O_CREAT, 0644); /* too young to be old */
    ATF_REQUIRE(fd >= 0);
    close(fd);
    struct strays n = reconcile(s, 0);
    ATF_CHECK(n.count[HD_STRAY_LEFT] == 1 && n.count[HD_STRAY_REMOVED] == 0);
    ATF_CHECK(!is_there(s, FIRST + 1));
    ATF_CHECK_EQ(stat(path_of("d", FIRST + 1, false), &st), 0);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(an_older_double_on_another_directory_goes);
ATF_TC_BODY(an_older_double_on_another_directory_goes, tc)
{
    struct hd_store *s = open_store("d,e");
    char name[512];
    struct stat st;
    put(s, FIRST);
    bool in_d = stat(path_of("d", FIRST, false), &st) == 0;
    const char *here = in_d ? "d" : "e";
    const char *there = in_d ? "e" : "d";
    char command[2048];
    snprintf(name, sizeof(name), "%s" LEAF, there);
    snprintf(command, sizeof(command),
             "mkdir -p %s && cp %s%sblk_%d %s && cp %s%sblk_%d_1001.meta %sblk_%d_1000.meta", name,
             here, LEAF, FIRST, name, here, LEAF, FIRST, name, FIRST);
    ATF_REQUIRE_EQ(system(command), 0);
    ATF_CHECK_EQ(reconcile(s, in_d ? 1 : 0).count[HD_STRAY_REMOVED], 1);
    ATF_CHECK(stat(path_of(there, FIRST, false), &st) < 0);
    ATF_CHECK_EQ(check(s, FIRST).finding, HD_CHECK_GOOD);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_directory_that_was_exchanged_fails_and_loses_nothing_else);
ATF_TC_BODY(a_directory_that_was_exchanged_fails_and_loses_nothing_else, tc)
{
    struct hd_store *s = open_store("d,e");
    struct hd_store_failures f;
    struct strays n = {0};
    put(s, FIRST);
    put(s, FIRST + 1);
    struct stat st;
    const char *gone = stat(path_of("d", FIRST, false), &st) == 0 ? "d" : "e";
    ATF_REQUIRE_EQ(rename(gone, "elsewhere"), 0); /* as when a disk is not mounted any more */
    ATF_REQUIRE_EQ(mkdir(gone, 0755), 0);
    ATF_CHECK(hd_store_reconcile(s, gone[0] == 'd' ? 0 : 1, true, note, &n) < 0);
    ATF_CHECK_EQ(n.count[HD_STRAY_LOST], 0);
    hd_store_failures(s, &f);
    ATF_CHECK_EQ(f.count, 1);
    ATF_CHECK(!is_there(s, FIRST) && is_there(s, FIRST + 1));
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(files_of_other_lengths_are_noticed_without_reading_them);
ATF_TC_BODY(files_of_other_lengths_are_noticed_without_reading_them, tc)
{
    struct hd_store *s = open_store("d");
    for (uint64_t i = 0; i < 3; i++) {
        put(s, FIRST + i);
    }
    ATF_REQUIRE_EQ(truncate(path_of("d", FIRST, true), 0), 0);
    ATF_REQUIRE_EQ(truncate(path_of("d", FIRST + 2, false), BYTES + 1), 0);
    struct strays n = reconcile(s, 0);
    ATF_CHECK(n.count[HD_STRAY_LENGTH] == 2 && n.last == FIRST + 2);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(an_inventory_is_in_the_order_of_the_files);
ATF_TC_BODY(an_inventory_is_in_the_order_of_the_files, tc)
{
    static const uint64_t ids[] = {FIRST + 300, FIRST + 70000, FIRST, FIRST + 1};
    struct hd_store *s = open_store("d");
    struct hd_inventory i;
    for (size_t k = 0; k < HD_ARRAY_COUNT(ids); k++) {
        put(s, ids[k]);
    }
    ATF_REQUIRE_EQ(hd_store_inventory(s, 0, &i), 0);
    ATF_REQUIRE_EQ(i.count, 4);
    ATF_CHECK(i.ids[0].v == FIRST && i.ids[1].v == FIRST + 1 && i.ids[2].v == FIRST + 300 &&
              i.ids[3].v == FIRST + 70000);
    ATF_CHECK_EQ(hd_inventory_after(&i, (struct hd_block_id){FIRST + 1}), 2);
    ATF_CHECK_EQ(hd_inventory_after(&i, (struct hd_block_id){FIRST + 2}), 2); /* deleted since */
    ATF_CHECK_EQ(hd_inventory_after(&i, (struct hd_block_id){FIRST + 70000}), 4);
    hd_inventory_done(&i);
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_replica_as_it_was_written_is_good);
    ATF_TP_ADD_TC(tp, one_flipped_bit_anywhere_is_found);
    ATF_TP_ADD_TC(tp, a_bad_replica_is_news_once_and_listed_until_it_goes);
    ATF_TP_ADD_TC(tp, files_of_other_lengths_are_bad_and_not_read);
    ATF_TP_ADD_TC(tp, a_replica_without_data_is_lost_and_forgotten);
    ATF_TP_ADD_TC(tp, a_replica_without_sums_is_bad);
    ATF_TP_ADD_TC(tp, what_is_being_written_is_left_alone);
    ATF_TP_ADD_TC(tp, a_check_stops_when_told);
    ATF_TP_ADD_TC(tp, a_directory_as_the_map_has_it_shows_nothing);
    ATF_TP_ADD_TC(tp, missing_files_are_noticed_by_their_names);
    ATF_TP_ADD_TC(tp, a_replica_brought_back_is_adopted);
    ATF_TP_ADD_TC(tp, files_that_nobody_can_vouch_for_are_left);
    ATF_TP_ADD_TC(tp, an_older_double_on_another_directory_goes);
    ATF_TP_ADD_TC(tp, a_directory_that_was_exchanged_fails_and_loses_nothing_else);
    ATF_TP_ADD_TC(tp, files_of_other_lengths_are_noticed_without_reading_them);
    ATF_TP_ADD_TC(tp, an_inventory_is_in_the_order_of_the_files);
    return atf_no_error();
}
