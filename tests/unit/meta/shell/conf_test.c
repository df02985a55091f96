/* Configuration of howdah-meta: defaults, instance sections, and what is refused. */
#include "meta/shell/conf.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>

static struct hd_meta_conf conf;

static int load(const char *text, const char *name, bool secondary)
{
    HD_AUTO(hd_config_freep) struct hd_config *c = NULL;
    ATF_REQUIRE_EQ(hd_file_replace("howdah.conf", text, strlen(text), 0644), 0);
    ATF_REQUIRE_EQ(hd_config_load("howdah.conf", &c), 0);
    return hd_meta_conf_load(c, name, secondary, &conf);
}

ATF_TC_WITHOUT_HEAD(defaults_are_the_documented_ones);
ATF_TC_BODY(defaults_are_the_documented_ones, tc)
{
    ATF_REQUIRE_EQ(load("[cluster]\ndir = /d\n", "meta", false), 0);
    ATF_CHECK_STREQ(conf.dir, "/d/meta");
    ATF_CHECK_STREQ(conf.rpc_address, "127.0.0.1:8020");
    ATF_CHECK_STREQ(conf.host_name, "localhost");
    ATF_CHECK_STREQ(conf.supergroup, "supergroup");
    ATF_CHECK_EQ(conf.core.block_size_bytes, 134217728);
    ATF_CHECK_EQ(conf.core.replication, 3);
    ATF_CHECK_EQ(conf.core.dead_ms, 15000);
    ATF_CHECK_EQ(conf.flush_ms, 1000);
    ATF_CHECK_EQ(conf.checkpoints_kept, 2);
    ATF_CHECK_EQ(conf.checkpoint_txns, 1000000);
}

ATF_TC_WITHOUT_HEAD(secondary_has_its_own_directory_and_knows_its_primary);
ATF_TC_BODY(secondary_has_its_own_directory_and_knows_its_primary, tc)
{
    ATF_REQUIRE_EQ(load("[cluster]\ndir = /d\n[meta]\nrpc_address = 10.0.0.1:9000\n"
                        "[secondary]\ncheckpoint_txns = 5\n",
                        "secondary", true),
                   0);
    ATF_CHECK_STREQ(conf.dir, "/d/secondary");
    ATF_CHECK_STREQ(conf.rpc_address, "127.0.0.1:9868");
    ATF_CHECK_STREQ(conf.peer_address, "10.0.0.1:9000");
    ATF_CHECK_EQ(conf.checkpoint_txns, 5);
}

ATF_TC_WITHOUT_HEAD(wrong_values_are_refused_by_name);
ATF_TC_BODY(wrong_values_are_refused_by_name, tc)
{
    ATF_CHECK_EQ(load("[meta]\nrpc_address = x:1\n", "meta", false), -HD_E_CONFIG);
    ATF_CHECK_EQ(load("[meta]\ndir = d\nheartbeat_ms = 0\n", "meta", false), -HD_E_CONFIG);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "heartbeat_ms") != NULL, "%s", hd_fail_text());
    ATF_CHECK_EQ(load("[meta]\ndir = d\nreplication = 513\n", "meta", false), -HD_E_CONFIG);
    ATF_CHECK_EQ(load("[meta]\ndir = d\nblock_size = much\n", "meta", false), -HD_E_CONFIG);
    ATF_CHECK_EQ(load("[meta]\ndir = d\ncheckpoints_kept = 0\n", "meta", false), -HD_E_CONFIG);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, defaults_are_the_documented_ones);
    ATF_TP_ADD_TC(tp, secondary_has_its_own_directory_and_knows_its_primary);
    ATF_TP_ADD_TC(tp, wrong_values_are_refused_by_name);
    return atf_no_error();
}
