/* Disks that are slow, hang or fail, by the fault table. */
#include "fs/base/error.h"
#include "fs/data/store/block_writer.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void on_failure(void *ctx)
{
    (void)ctx;
    failures++;
}

/* "d" or "d,e", below the working directory: faults know absolute paths. */
static struct hd_store *open_store(const char *names, int64_t slow_ms, int64_t hang_ms)
{
    static const struct hd_store_identity identity = {
        .cluster_id = "CID-1", .pool_id = "BP-1-127.0.0.1-2", .namespace_id = 5, .ctime_ms = 9};
    char here[PATH_MAX];
    char dirs[PATH_MAX * 2 + 8];
    ATF_REQUIRE(getcwd(here, sizeof(here)) != NULL);
    snprintf(dirs, sizeof(dirs), "%s/d%s%s%s", here, strlen(names) > 1 ? "," : "",
             strlen(names) > 1 ? here : "", strlen(names) > 1 ? "/e" : "");
    struct hd_store_options o = {.dirs = dirs,
                                 .failed_volumes_tolerated = 1,
                                 .slow_ms = slow_ms,
                                 .hang_ms = hang_ms,
                                 .on_failure = on_failure};
    struct hd_store *s;
    hd_log_init("test", HD_LOG_ERROR);
    ATF_REQUIRE_EQ_MSG(hd_store_new(&o, &s), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ_MSG(hd_store_bind(s, &identity), 0, "%s", hd_fail_text());
    return s;
}

static void fault(enum hd_fault_point point, const char *dir, int64_t value)
{
    char path[PATH_MAX];
    ATF_REQUIRE(realpath(dir, path) != NULL);
    struct hd_fault f = {.point = point, .target = path, .value = value, .for_ms = 60000};
    ATF_REQUIRE_EQ_MSG(hd_fault_set(&f, 1), 0, "%s", hd_fail_text());
}

static void heal(void)
{
    ATF_REQUIRE_EQ(hd_fault_set(NULL, 0), 0);
}

static int failed(struct hd_store *s)
{
    struct hd_store_failures f;
    hd_store_failures(s, &f);
    return f.count;
}

ATF_TC_WITHOUT_HEAD(a_dead_disk_is_found_by_a_look_and_told);
ATF_TC_BODY(a_dead_disk_is_found_by_a_look_and_told, tc)
{
    struct hd_store *s = open_store("d,e", 0, 0);
    hd_store_look(s, 0, true);
    hd_store_look(s, 1, true);
    ATF_CHECK_EQ(failed(s), 0);
    fault(HD_FAULT_DISK_ERROR, "d", EIO);
    hd_store_look(s, 0, true);
    hd_store_look(s, 1, true);
    ATF_CHECK_EQ(failed(s), 1);
    ATF_CHECK_EQ(failures, 1);
    ATF_CHECK_EQ(hd_store_check(s), 0); /* one may */
    heal();
    hd_store_look(s, 0, true); /* it does not come back by itself */
    ATF_CHECK_EQ(failed(s), 1);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_disk_that_turned_read_only_has_failed);
ATF_TC_BODY(a_disk_that_turned_read_only_has_failed, tc)
{
    struct hd_store *s = open_store("d,e", 0, 0);
    fault(HD_FAULT_DISK_ERROR, "e", EROFS);
    hd_store_look(s, 1, true);
    heal();
    ATF_CHECK_EQ(failed(s), 1);
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_full_disk_has_not_failed);
ATF_TC_BODY(a_full_disk_has_not_failed, tc)
{
    struct hd_store *s = open_store("d", 0, 0);
    struct hd_volume_info info;
    hd_store_look(s, 0, true);
    fault(HD_FAULT_DISK_FULL, "d", 0);
    hd_store_look(s, 0, true);
    ATF_CHECK_EQ(failed(s), 0);
    ATF_REQUIRE_EQ(hd_store_volumes(s, &info, 1), 1);
    ATF_CHECK_EQ(info.free_bytes, 0);
    heal();
    hd_store_look(s, 0, true);
    ATF_REQUIRE_EQ(hd_store_volumes(s, &info, 1), 1);
    ATF_CHECK(info.free_bytes > 0);
    hd_store_free(s);
}

static const char *where(struct hd_store *s, uint64_t id)
{
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_CREATE, .id = {id}, .gs = {1}},
                                        .format = {HD_CHECKSUM_CRC32C, 512}};
    struct hd_block_writer *w;
    static char storage[HD_LAYOUT_ID_BYTES];
    ATF_REQUIRE_EQ_MSG(hd_block_writer_open(s, &o, &w), 0, "%s", hd_fail_text());
    snprintf(storage, sizeof(storage), "%s", hd_block_writer_storage_id(w));
    hd_block_writer_close(w);
    return storage;
}

ATF_TC_WITHOUT_HEAD(a_slow_disk_gets_nothing_while_there_is_another);
ATF_TC_BODY(a_slow_disk_gets_nothing_while_there_is_another, tc)
{
    struct hd_store *s = open_store("d,e", 20, 0);
    struct hd_volume_info info[2];
    struct hd_volume_health h[2];
    ATF_REQUIRE_EQ(hd_store_volumes(s, info, 2), 2);
    fault(HD_FAULT_DISK_DELAY, "d", 60);
    for (int i = 0; i < 3; i++) {
        hd_store_look(s, 0, true);
        hd_store_look(s, 1, true);
    }
    heal();
    ATF_REQUIRE_EQ(hd_store_health(s, h, 2), 2);
    ATF_CHECK(h[0].slow && h[0].probe_ms > 60 && !h[0].stuck);
    ATF_CHECK(!h[1].slow);
    for (uint64_t id = 1; id < 5; id++) {
        ATF_CHECK_STREQ(where(s, id), info[1].storage_id);
    }
    hd_store_free(s);
}

ATF_TC_WITHOUT_HEAD(a_slow_disk_is_better_than_none);
ATF_TC_BODY(a_slow_disk_is_better_than_none, tc)
{
    struct hd_store *s = open_store("d", 1, 0);
    struct hd_volume_info info;
    fault(HD_FAULT_DISK_DELAY, "d", 20);
    hd_store_look(s, 0, true);
    heal();
    ATF_REQUIRE_EQ(hd_store_volumes(s, &info, 1), 1);
    ATF_CHECK_STREQ(where(s, 7), info.storage_id);
    hd_store_free(s);
}

static void *look(void *ctx)
{
    hd_store_look(ctx, 0, true);
    return NULL;
}

/* Others do not wait for it: heartbeats and new replicas go on. */
ATF_TC_WITHOUT_HEAD(a_disk_that_hangs_takes_nothing_and_fails_in_time);
ATF_TC_BODY(a_disk_that_hangs_takes_nothing_and_fails_in_time, tc)
{
    struct hd_store *s = open_store("d,e", 0, 3500);
    struct hd_volume_info info[2];
    pthread_t thread;
    hd_store_look(s, 0, true);
    hd_store_look(s, 1, true);
    ATF_REQUIRE_EQ(hd_store_volumes(s, info, 2), 2);
    fault(HD_FAULT_DISK_DELAY, "d", 5000);
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, look, s), 0);
    hd_clock_sleep_ms(3200);
    int64_t begin_ms = hd_clock_mono_ms().v;
    char good[HD_LAYOUT_ID_BYTES];
    snprintf(good, sizeof(good), "%s", info[1].storage_id);
    ATF_CHECK_EQ(hd_store_volumes(s, info, 2), 2);
    ATF_CHECK_EQ(info[0].free_bytes, 0);
    ATF_CHECK_STREQ(where(s, 1), good);
    ATF_CHECK_STREQ(where(s, 2), good);
    ATF_CHECK_EQ(hd_store_check(s), 0);
    ATF_CHECK(hd_clock_mono_ms().v - begin_ms < 2000);
    hd_clock_sleep_ms(600);
    ATF_CHECK_EQ(hd_store_check(s), 0);
    ATF_CHECK_EQ(failed(s), 1);
    heal();
    pthread_join(thread, NULL);
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_dead_disk_is_found_by_a_look_and_told);
    ATF_TP_ADD_TC(tp, a_disk_that_turned_read_only_has_failed);
    ATF_TP_ADD_TC(tp, a_full_disk_has_not_failed);
    ATF_TP_ADD_TC(tp, a_slow_disk_gets_nothing_while_there_is_another);
    ATF_TP_ADD_TC(tp, a_slow_disk_is_better_than_none);
    ATF_TP_ADD_TC(tp, a_disk_that_hangs_takes_nothing_and_fails_in_time);
    return atf_no_error();
}
