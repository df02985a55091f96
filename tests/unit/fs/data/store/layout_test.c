/* Names on disk, VERSION files and the header of checksum files. */
#include "fs/data/store/layout.h"
#include "fs/base/error.h"
#include "fs/data/store/meta_file.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>

static const struct hd_layout l = {.dir = "d", .pool_id = "BP-1"};

ATF_TC_WITHOUT_HEAD(blocks_are_spread_over_32_by_32_directories);
ATF_TC_BODY(blocks_are_spread_over_32_by_32_directories, tc)
{
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_data(&l, HD_PLACE_FINALIZED, (struct hd_block_id){1073741825}, path);
    ATF_CHECK_STREQ(path, "d/current/BP-1/current/finalized/subdir0/subdir0/blk_1073741825");
    hd_layout_data(&l, HD_PLACE_FINALIZED, (struct hd_block_id){0x403f2100}, path);
    ATF_CHECK_STREQ(path, "d/current/BP-1/current/finalized/subdir31/subdir1/blk_1077879040");
    hd_layout_meta(&l, HD_PLACE_RBW, (struct hd_block_id){7}, (struct hd_genstamp){1001}, path);
    ATF_CHECK_STREQ(path, "d/current/BP-1/current/rbw/blk_7_1001.meta");
    hd_layout_data(&l, HD_PLACE_TMP, (struct hd_block_id){7}, path);
    ATF_CHECK_STREQ(path, "d/current/BP-1/tmp/blk_7");
}

ATF_TC_WITHOUT_HEAD(only_exact_names_are_blocks);
ATF_TC_BODY(only_exact_names_are_blocks, tc)
{
    struct hd_block_id id;
    struct hd_genstamp gs;
    ATF_CHECK_EQ(hd_layout_parse("blk_12", &id, &gs), HD_NAME_DATA);
    ATF_CHECK_EQ(id.v, 12);
    ATF_CHECK_EQ(hd_layout_parse("blk_12_34.meta", &id, &gs), HD_NAME_META);
    ATF_CHECK_EQ(gs.v, 34);
    static const char *const others[] = {
        "blk_",          "blk_-1",     "blk_1_",         "blk_1_2",
        "blk_1_2.metax", "blk_1.meta", "scanner.cursor", "blk_99999999999999999999"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(others); i++) {
        ATF_CHECK_EQ_MSG(hd_layout_parse(others[i], &id, &gs), HD_NAME_OTHER, "%s", others[i]);
    }
}

ATF_TC_WITHOUT_HEAD(version_files_are_read_back_and_hadoops_too);
ATF_TC_BODY(version_files_are_read_back_and_hadoops_too, tc)
{
    struct hd_node_version v = {"DS-1", "CID-1", "uuid-1"};
    struct hd_node_version got;
    ATF_CHECK_EQ(hd_node_version_read("d", &got), -ENOENT);
    ATF_REQUIRE_EQ(hd_node_version_write("d", &v), 0);
    ATF_REQUIRE_EQ(hd_node_version_read("d", &got), 0);
    ATF_CHECK_STREQ(got.storage_id, "DS-1");
    ATF_CHECK_STREQ(got.node_uuid, "uuid-1");
    struct hd_pool_version p = {"BP-1", 4000000000u, 1795363449510};
    struct hd_pool_version pool;
    ATF_REQUIRE_EQ(hd_pool_version_write(&l, &p), 0);
    ATF_REQUIRE_EQ(hd_pool_version_read(&l, &pool), 0);
    ATF_CHECK(pool.namespace_id == p.namespace_id && pool.ctime_ms == p.ctime_ms);
    char id[HD_LAYOUT_ID_BYTES];
    ATF_REQUIRE_EQ(hd_layout_find_pool("d", id), 0);
    ATF_CHECK_STREQ(id, "BP-1");
    static const char hadoop[] =
        "#Sun Nov 22 18:00:00 UTC 2026\nstorageID=DS-9\nclusterID=CID\\:9\n"
        "cTime=0\ndatanodeUuid=u9\nstorageType=DATA_NODE\nlayoutVersion=-57\n";
    ATF_REQUIRE_EQ(hd_file_replace("d/current/VERSION", hadoop, sizeof(hadoop) - 1, 0644), 0);
    ATF_REQUIRE_EQ(hd_node_version_read("d", &got), 0);
    ATF_CHECK_STREQ(got.cluster_id, "CID:9");
    static const char other[] = "layoutVersion=-56\nstorageID=a\nclusterID=b\ndatanodeUuid=c\n";
    ATF_REQUIRE_EQ(hd_file_replace("d/current/VERSION", other, sizeof(other) - 1, 0644), 0);
    ATF_CHECK_EQ(hd_node_version_read("d", &got), -HD_E_CORRUPT);
}

ATF_TC_WITHOUT_HEAD(the_checksum_header_has_hadoops_seven_bytes);
ATF_TC_BODY(the_checksum_header_has_hadoops_seven_bytes, tc)
{
    static const uint8_t want[] = {0, 1, 2, 0, 0, 2, 0};
    uint8_t out[HD_META_FILE_HEADER_BYTES];
    struct hd_sum_format f = {HD_CHECKSUM_CRC32C, 512};
    struct hd_sum_format got;
    hd_meta_file_header_encode(f, out);
    ATF_CHECK_EQ(memcmp(out, want, sizeof(want)), 0);
    ATF_REQUIRE_EQ(hd_meta_file_header_decode(out, &got), 0);
    ATF_CHECK(hd_sum_format_equal(f, got));
    ATF_CHECK_EQ(hd_meta_file_size(f, 0), 7);
    ATF_CHECK_EQ(hd_meta_file_size(f, 1000), 15);
    ATF_CHECK_EQ(hd_meta_file_offset(f, 1024), 15);
    out[2] = 3;
    ATF_CHECK_EQ(hd_meta_file_header_decode(out, &got), -HD_E_CORRUPT);
    out[2] = 2;
    memset(out + 3, 0, 4);
    ATF_CHECK_EQ(hd_meta_file_header_decode(out, &got), -HD_E_CORRUPT);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, blocks_are_spread_over_32_by_32_directories);
    ATF_TP_ADD_TC(tp, only_exact_names_are_blocks);
    ATF_TP_ADD_TC(tp, version_files_are_read_back_and_hadoops_too);
    ATF_TP_ADD_TC(tp, the_checksum_header_has_hadoops_seven_bytes);
    return atf_no_error();
}
