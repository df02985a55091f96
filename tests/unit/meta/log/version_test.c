/* The VERSION file: round trip, and what is refused. */
#include "meta/log/version.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>

static void put(const char *text)
{
    ATF_REQUIRE_EQ(hd_file_replace("VERSION", text, strlen(text), 0644), 0);
}

ATF_TC_WITHOUT_HEAD(version_comes_back);
ATF_TC_BODY(version_comes_back, tc)
{
    struct hd_version a;
    struct hd_version b;
    ATF_CHECK_EQ(hd_version_read(".", &b), -ENOENT);
    hd_version_make(&a, "127.0.0.1", 1234567890123u);
    ATF_CHECK_EQ(strncmp(a.cluster_id, "CID-", 4), 0);
    ATF_CHECK(strstr(a.block_pool_id, "-127.0.0.1-1234567890123") != NULL);
    ATF_REQUIRE_EQ(hd_version_write(".", &a), 0);
    ATF_REQUIRE_EQ(hd_version_read(".", &b), 0);
    ATF_CHECK_STREQ(a.cluster_id, b.cluster_id);
    ATF_CHECK_STREQ(a.block_pool_id, b.block_pool_id);
    ATF_CHECK_EQ(a.namespace_id, b.namespace_id);
    ATF_CHECK_EQ(a.creation_ms, b.creation_ms);
}

ATF_TC_WITHOUT_HEAD(damaged_version_is_refused_and_a_new_key_is_not);
ATF_TC_BODY(damaged_version_is_refused_and_a_new_key_is_not, tc)
{
    struct hd_version v;
    put("cluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=7\ncreation_ms=8\nlayout_version=2\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), 0);
    put("x=y\ncluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=7\ncreation_ms=8\nlayout_version="
        "2\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), 0);
    put("cluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=7\nlayout_version=2\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_CORRUPT);
    put("cluster_id=\nblock_pool_id=BP-1\nnamespace_id=7\ncreation_ms=8\nlayout_version=2\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_CORRUPT);
    put("cluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=x\ncreation_ms=8\nlayout_version=2\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_CORRUPT);
    put("cluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=7\ncreation_ms=8\nlayout_version=3\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_INCORRECT_VERSION);
    put("cluster_id=CID-1\nblock_pool_id=BP-1\nnamespace_id=7\ncreation_ms=8\nlayout_version=1\n");
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_INCORRECT_VERSION);
    ATF_CHECK_EQ(hd_version_read_any(".", &v), 0);
    ATF_CHECK_EQ(hd_version_read(".", &v), -HD_E_INCORRECT_VERSION);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "./VERSION") != NULL, "%s", hd_fail_text());
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, version_comes_back);
    ATF_TP_ADD_TC(tp, damaged_version_is_refused_and_a_new_key_is_not);
    return atf_no_error();
}
