/* The way back from an upgrade: kept, gone back to, given up; newer and older layouts. */
#include "tests/unit/meta/shell/store_rig.h"
#include "meta/log/upgrade.h"
#include "meta/shell/upgrade_dirs.h"

#include <unistd.h>

static struct rig rig;

static void shell(const char *command)
{
    ATF_REQUIRE_EQ_MSG(system(command), 0, "%s", command);
}

static void set_layout(const char *n)
{
    char command[256];
    snprintf(command, sizeof(command),
             "sed -i '/^crc32c/d; s/^layout_version=.*/layout_version=%s/' a/VERSION", n);
    shell(command);
}

ATF_TC_WITHOUT_HEAD(rollback_returns_to_what_was);
ATF_TC_BODY(rollback_returns_to_what_was, tc)
{
    rig_init(&rig, "a,b");
    rig_begin(&rig);
    rig_work(&rig, 20);
    rig_checkpoint(&rig, 2);
    rig_work(&rig, 10);
    rig_kill(&rig);
    uint64_t then = rig.acked;
    ATF_REQUIRE_EQ_MSG(hd_upgrade_dirs("a,b", HD_UPGRADE_BEGIN), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(hd_upgrade_dirs("a,b", HD_UPGRADE_BEGIN), 0); /* started again with --upgrade */
    for (int i = 0; i < 3; i++) {
        rig_begin(&rig);
        rig_work(&rig, 30);
        rig_checkpoint(&rig, 1); /* purges what previous/ still has */
        rig_kill(&rig);
    }
    uint64_t sum = rig.sums[then];
    ATF_REQUIRE_EQ_MSG(hd_upgrade_dirs("a,b", HD_UPGRADE_ROLLBACK), 0, "%s", hd_fail_text());
    rig.acked = then;
    rig_begin(&rig);
    ATF_CHECK_EQ(hd_meta_txid(rig.s.meta).v, then);
    ATF_CHECK_EQ(rig_sum(rig.s.meta), sum);
    rig_work(&rig, 10);
    rig_kill(&rig);
    rig_begin(&rig);
    rig_kill(&rig);
    ATF_CHECK_EQ(hd_upgrade_dirs("a,b", HD_UPGRADE_ROLLBACK), -ENOENT);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(interrupted_rollback_does_not_start_and_is_done_again);
ATF_TC_BODY(interrupted_rollback_does_not_start_and_is_done_again, tc)
{
    rig_init(&rig, "a");
    rig_begin(&rig);
    rig_work(&rig, 20);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_upgrade_begin("a"), 0);
    shell("rm a/VERSION"); /* the first thing a rollback does */
    ATF_CHECK_EQ(rig_open(&rig), -HD_E_CORRUPT);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "--rollback again") != NULL, "%s", hd_fail_text());
    ATF_REQUIRE_EQ_MSG(hd_upgrade_rollback("a"), 0, "%s", hd_fail_text());
    rig_kill(&rig);
    rig_begin(&rig);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(finalized_there_is_no_way_back);
ATF_TC_BODY(finalized_there_is_no_way_back, tc)
{
    rig_init(&rig, "a");
    rig_begin(&rig);
    rig_work(&rig, 20);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_upgrade_begin("a"), 0);
    ATF_CHECK(hd_upgrade_pending("a"));
    rig_begin(&rig);
    ATF_CHECK_EQ(hd_upgrade_dirs("a", HD_UPGRADE_FINALIZE), -EBUSY);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_upgrade_dirs("a", HD_UPGRADE_FINALIZE), 0);
    ATF_CHECK(!hd_upgrade_pending("a"));
    ATF_CHECK_EQ(hd_upgrade_rollback("a"), -ENOENT);
    rig_begin(&rig);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(newer_layout_is_refused_and_an_older_one_upgraded);
ATF_TC_BODY(newer_layout_is_refused_and_an_older_one_upgraded, tc)
{
    rig_init(&rig, "a");
    rig_begin(&rig);
    rig_work(&rig, 20);
    rig_kill(&rig);
    set_layout("3");
    ATF_CHECK_EQ(rig_open(&rig), -HD_E_INCORRECT_VERSION);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "newer than this program's") != NULL, "%s",
                  hd_fail_text());
    rig_kill(&rig);
    set_layout("1");
    ATF_CHECK_EQ(rig_open(&rig), -HD_E_INCORRECT_VERSION);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "--upgrade") != NULL, "%s", hd_fail_text());
    hd_store_close(&rig.s);
    ATF_REQUIRE_EQ_MSG(hd_upgrade_begin("a"), 0, "%s", hd_fail_text());
    rig_begin(&rig);
    rig_done(&rig);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, rollback_returns_to_what_was);
    ATF_TP_ADD_TC(tp, interrupted_rollback_does_not_start_and_is_done_again);
    ATF_TP_ADD_TC(tp, finalized_there_is_no_way_back);
    ATF_TP_ADD_TC(tp, newer_layout_is_refused_and_an_older_one_upgraded);
    return atf_no_error();
}
