/* leveldb and the store in memory are the same store: random batches, every answer compared. */
#include "meta/kv/kv.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const struct hd_kv_options options = {.create = true};

static void random_batch(struct hd_prng *p, struct hd_kv_batch *b)
{
    hd_kv_batch_clear(b);
    for (uint64_t n = 1 + hd_prng_below(p, 20); n > 0; n--) {
        char key[16];
        uint8_t value[100];
        size_t key_size =
            (size_t)snprintf(key, sizeof(key), "k%llu", (unsigned long long)hd_prng_below(p, 300));
        size_t size = hd_prng_below(p, sizeof(value));
        for (size_t i = 0; i < size; i++) {
            value[i] = (uint8_t)hd_prng_next(p);
        }
        ATF_REQUIRE_EQ(hd_prng_below(p, 3) == 0 ? hd_kv_batch_delete(b, key, key_size)
                                                : hd_kv_batch_put(b, key, key_size, value, size),
                       0);
    }
}

static void require_same(struct hd_kv *a, struct hd_kv_snapshot *sa, struct hd_kv *b,
                         struct hd_kv_snapshot *sb)
{
    struct hd_kv_iter *ia, *ib;
    struct hd_kv_op x, y;
    ATF_REQUIRE_EQ(hd_kv_iter_new(a, sa, &ia), 0);
    ATF_REQUIRE_EQ(hd_kv_iter_new(b, sb, &ib), 0);
    for (;;) {
        int more = hd_kv_iter_next(ia, &x);
        ATF_REQUIRE_EQ(hd_kv_iter_next(ib, &y), more);
        if (more == 0) {
            break;
        }
        ATF_REQUIRE_EQ(more, 1);
        ATF_REQUIRE(x.key_size == y.key_size && memcmp(x.key, y.key, x.key_size) == 0);
        ATF_REQUIRE(x.value_size == y.value_size && memcmp(x.value, y.value, x.value_size) == 0);
    }
    hd_kv_iter_free(ia);
    hd_kv_iter_free(ib);
}

ATF_TC_WITHOUT_HEAD(leveldb_agrees_with_memory);
ATF_TC_BODY(leveldb_agrees_with_memory, tc)
{
    struct hd_kv *disk, *memory;
    struct hd_kv_snapshot *sd = NULL, *sm = NULL;
    struct hd_kv_batch b = {0};
    struct hd_prng p = {5};
    ATF_REQUIRE_EQ_MSG(hd_kv_open_leveldb("view", &options, &disk), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(hd_kv_open_memory(&memory), 0);
    for (int i = 0; i < 300; i++) {
        random_batch(&p, &b);
        ATF_REQUIRE_EQ(hd_kv_write(disk, &b, i % 50 == 0), 0);
        ATF_REQUIRE_EQ(hd_kv_write(memory, &b, false), 0);
        if (i == 150) {
            ATF_REQUIRE_EQ(hd_kv_snapshot_new(disk, &sd), 0);
            ATF_REQUIRE_EQ(hd_kv_snapshot_new(memory, &sm), 0);
        }
        if (i % 60 == 0) {
            hd_kv_close(disk); /* and it is there again */
            if (sd != NULL) {
                sd = NULL;
                hd_kv_snapshot_free(memory, sm);
                sm = NULL;
            }
            ATF_REQUIRE_EQ(hd_kv_open_leveldb("view", &options, &disk), 0);
            require_same(disk, NULL, memory, NULL);
        }
        if (i == 170) {
            require_same(disk, sd, memory, sm); /* the snapshots did not move */
            hd_kv_snapshot_free(disk, sd);
            hd_kv_snapshot_free(memory, sm);
            sd = sm = NULL;
        }
    }
    require_same(disk, NULL, memory, NULL);
    hd_kv_batch_done(&b);
    hd_kv_close(disk);
    hd_kv_close(memory);
}

ATF_TC_WITHOUT_HEAD(value_is_found_or_not_there);
ATF_TC_BODY(value_is_found_or_not_there, tc)
{
    for (int kind = 0; kind < 2; kind++) {
        HD_AUTO(hd_buf_done) struct hd_buf out = {0};
        struct hd_kv_batch b = {0};
        struct hd_kv *kv;
        ATF_REQUIRE_EQ(
            kind == 0 ? hd_kv_open_memory(&kv) : hd_kv_open_leveldb("view", &options, &kv), 0);
        ATF_REQUIRE_EQ(hd_kv_batch_put(&b, "a", 1, "value", 5), 0);
        ATF_REQUIRE_EQ(hd_kv_batch_put(&b, "b", 1, "", 0), 0);
        ATF_REQUIRE_EQ(hd_kv_write(kv, &b, true), 0);
        ATF_CHECK_EQ(hd_kv_get(kv, "a", 1, &out), 0);
        ATF_CHECK(out.size == 5 && memcmp(out.data, "value", 5) == 0);
        ATF_CHECK_EQ(hd_kv_get(kv, "b", 1, &out), 0);
        ATF_CHECK_EQ(out.size, 5);
        ATF_CHECK_EQ(hd_kv_get(kv, "c", 1, &out), -ENOENT);
        hd_kv_batch_done(&b);
        hd_kv_close(kv);
    }
}

ATF_TC_WITHOUT_HEAD(damaged_leveldb_does_not_open_or_says_corrupt);
ATF_TC_BODY(damaged_leveldb_does_not_open_or_says_corrupt, tc)
{
    struct hd_kv *kv = NULL;
    struct hd_kv_batch b = {0};
    ATF_REQUIRE_EQ(hd_kv_open_leveldb("view", &options, &kv), 0);
    ATF_REQUIRE_EQ(hd_kv_batch_put(&b, "a", 1, "value", 5), 0);
    ATF_REQUIRE_EQ(hd_kv_write(kv, &b, true), 0);
    hd_kv_batch_done(&b);
    hd_kv_close(kv);
    ATF_REQUIRE_EQ(hd_file_replace("view/CURRENT", "MANIFEST-999999\n", 16, 0644), 0);
    ATF_CHECK_EQ(hd_kv_open_leveldb("view", &options, &kv), -HD_E_CORRUPT);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "view: leveldb open") != NULL, "%s", hd_fail_text());
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, leveldb_agrees_with_memory);
    ATF_TP_ADD_TC(tp, value_is_found_or_not_there);
    ATF_TP_ADD_TC(tp, damaged_leveldb_does_not_open_or_says_corrupt);
    return atf_no_error();
}
