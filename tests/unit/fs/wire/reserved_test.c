/* Ids of blocks that are no replicas. */
#include "fs/wire/reserved.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(a_replicas_id_is_not_reserved);
ATF_TC_BODY(a_replicas_id_is_not_reserved, tc)
{
    ATF_CHECK(!hd_reserved_is(HD_FIRST_BLOCK_ID));
    ATF_CHECK(!hd_reserved_is(HD_FIRST_BLOCK_ID + ((uint64_t)1 << 60)));
    ATF_CHECK(!hd_reserved_is(UINT64_MAX)); /* -1: a striped one of HDFS */
    ATF_CHECK(!hd_reserved_is((uint64_t)1 << 63));
    ATF_CHECK(!hd_reserved_is(0));
}

ATF_TC_WITHOUT_HEAD(content_names_its_inode);
ATF_TC_BODY(content_names_its_inode, tc)
{
    uint64_t id = hd_reserved_content((struct hd_ino){HD_ROOT_INO + 7});
    ATF_CHECK(hd_reserved_is(id));
    ATF_CHECK(hd_reserved_is_content(id));
    ATF_CHECK(!hd_reserved_is_hole(id));
    ATF_CHECK_EQ(HD_ROOT_INO + 7, hd_reserved_ino(id).v);
    ATF_CHECK((int64_t)id > 0);
}

ATF_TC_WITHOUT_HEAD(a_hole_knows_its_size);
ATF_TC_BODY(a_hole_knows_its_size, tc)
{
    const uint64_t sizes[] = {1, 512, HD_DEFAULT_BLOCK_SIZE, HD_FILE_MAX_BYTES};
    for (size_t i = 0; i < HD_ARRAY_COUNT(sizes); i++) {
        uint64_t id = hd_reserved_hole(9999, sizes[i]);
        ATF_CHECK(hd_reserved_is(id));
        ATF_CHECK(hd_reserved_is_hole(id));
        ATF_CHECK(!hd_reserved_is_content(id));
        ATF_CHECK_EQ(sizes[i], hd_reserved_size(id));
        ATF_CHECK((int64_t)id > 0);
        ATF_CHECK(id != hd_reserved_hole(9998, sizes[i]));
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_replicas_id_is_not_reserved);
    ATF_TP_ADD_TC(tp, content_names_its_inode);
    ATF_TP_ADD_TC(tp, a_hole_knows_its_size);
    return atf_no_error();
}
