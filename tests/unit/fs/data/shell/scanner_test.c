/* The scanner of a whole node without a meta. */
#include "fs/data/shell/scanner.h"
#include "fs/data/store/check.h"
#include "fs/data/store/scan_cursor.h"
#include "fs/os/clock.h"
#include "tests/unit/fs/data/shell/node.h"

enum { FIRST = 1073741825, REPLICAS = 20, BYTES = 3000, WAIT_MS = 20000 };

static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};

static void put_some(struct node *n)
{
    uint8_t *data = capture_bytes(0, BYTES, 3);
    for (uint64_t i = 0; i < REPLICAS; i++) {
        node_put(n, FIRST + i, 1001, crc32c, data, BYTES);
    }
    free(data);
}

static void spoil(const struct node *n, uint64_t id, const char *how)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "f=%s/current/%s/current/finalized/subdir0/subdir0/blk_%llu && %s", n->dir, TEST_POOL,
             (unsigned long long)id, how);
    ATF_REQUIRE_EQ_MSG(system(command), 0, "%s", command);
}

static struct hd_scan_status scan(struct node *n)
{
    struct hd_scan_status s;
    int64_t until_ms = hd_clock_mono_ms().v + WAIT_MS;
    hd_scanner_scan_all(n->data.scanner);
    do {
        hd_clock_sleep_ms(5);
        hd_scanner_status(n->data.scanner, &s);
    } while (s.scanning && hd_clock_mono_ms().v < until_ms);
    ATF_REQUIRE(!s.scanning);
    return s;
}

ATF_TC_WITHOUT_HEAD(a_scan_on_request_finds_all_kinds_of_damage);
ATF_TC_BODY(a_scan_on_request_finds_all_kinds_of_damage, tc)
{
    struct node n;
    struct hd_bad_replica bad[REPLICAS];
    node_start(&n, TEST_POOL);
    put_some(&n);
    struct hd_scan_status s = scan(&n);
    ATF_CHECK(s.done == REPLICAS && s.total == REPLICAS && s.bad == 0 && s.lost == 0);
    ATF_CHECK(s.last_scan_ms != 0 && s.oldest_check_ms != 0 && s.oldest_check_ms <= s.last_scan_ms);
    spoil(&n, FIRST + 1, "printf ROT | dd of=$f bs=1 seek=700 conv=notrunc status=none");
    spoil(&n, FIRST + 2, "printf ROT | dd of=${f}_1001.meta bs=1 seek=9 conv=notrunc status=none");
    spoil(&n, FIRST + 3, "truncate -s 2048 $f");
    spoil(&n, FIRST + 4, "truncate -s 5 ${f}_1001.meta");
    spoil(&n, FIRST + 5, "rm ${f}_1001.meta");
    spoil(&n, FIRST + 6, "rm $f");
    spoil(&n, FIRST + 7, "rm $f ${f}_1001.meta");
    s = scan(&n);
    ATF_CHECK_EQ(s.bad, 5);
    ATF_CHECK_EQ(s.lost, 2);
    ATF_CHECK_EQ(s.done, REPLICAS - 2);
    ATF_CHECK_EQ(hd_store_bad_replicas(n.data.store, bad, REPLICAS), 5);
    s = scan(&n); /* nothing new */
    ATF_CHECK(s.bad == 5 && s.lost == 2);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(the_last_scan_is_known_after_a_restart);
ATF_TC_BODY(the_last_scan_is_known_after_a_restart, tc)
{
    struct node n;
    char dir[64];
    node_start(&n, TEST_POOL);
    put_some(&n);
    uint64_t last_ms = scan(&n).last_scan_ms;
    snprintf(dir, sizeof(dir), "%s", n.dir);
    node_stop(&n);
    node_start_in(&n, TEST_POOL, dir);
    int64_t until_ms = hd_clock_mono_ms().v + WAIT_MS;
    while (hd_scanner_last_scan_ms(n.data.scanner) == 0 && hd_clock_mono_ms().v < until_ms) {
        hd_clock_sleep_ms(5);
    }
    ATF_CHECK_EQ(hd_scanner_last_scan_ms(n.data.scanner), last_ms);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(a_suspect_is_checked_at_once);
ATF_TC_BODY(a_suspect_is_checked_at_once, tc)
{
    struct node n;
    struct hd_scan_status s;
    node_start(&n, TEST_POOL);
    put_some(&n);
    spoil(&n, FIRST + 1, "printf ROT | dd of=$f bs=1 seek=700 conv=notrunc status=none");
    hd_scanner_suspect(n.data.scanner, (struct hd_block_id){FIRST}, "test");
    hd_scanner_suspect(n.data.scanner, (struct hd_block_id){FIRST + 1}, "test");
    hd_scanner_suspect(n.data.scanner, (struct hd_block_id){FIRST + 1}, "test");
    int64_t until_ms = hd_clock_mono_ms().v + WAIT_MS;
    do {
        hd_clock_sleep_ms(5);
        hd_scanner_status(n.data.scanner, &s);
    } while (s.bad == 0 && hd_clock_mono_ms().v < until_ms);
    ATF_CHECK_EQ(s.bad, 1);
    node_stop(&n);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_scan_on_request_finds_all_kinds_of_damage);
    ATF_TP_ADD_TC(tp, the_last_scan_is_known_after_a_restart);
    ATF_TP_ADD_TC(tp, a_suspect_is_checked_at_once);
    return atf_no_error();
}
