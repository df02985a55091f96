/* Hadoop's hashes; the values were computed with Java's WritableComparator.hashBytes rule. */
#include "runner/ops/partition.h"

#include <atf-c.h>
#include <string.h>

static int32_t hash(const char *text)
{
    return hd_hash_java_bytes((const uint8_t *)text, strlen(text));
}

ATF_TC_WITHOUT_HEAD(hashes_are_those_of_java);
ATF_TC_BODY(hashes_are_those_of_java, tc)
{
    ATF_CHECK_EQ(hash(""), 1);
    ATF_CHECK_EQ(hash("a"), 31 + 97);
    ATF_CHECK_EQ(hash("ab"), (31 + 97) * 31 + 98);
    ATF_CHECK_EQ(hash("hello"), 127791473);
    ATF_CHECK_EQ(hash("\xff"), 31 - 1); /* bytes are signed */
    ATF_CHECK_EQ(hash("\x80"), 31 - 128);
}

ATF_TC_WITHOUT_HEAD(partitions_use_the_hash_without_its_sign);
ATF_TC_BODY(partitions_use_the_hash_without_its_sign, tc)
{
    const uint8_t low[] = {0x80, 0x80};
    int32_t h = hd_hash_java_bytes(low, sizeof(low));
    ATF_CHECK_EQ(h, (31 - 128) * 31 - 128);
    ATF_CHECK(h < 0);
    ATF_CHECK_EQ(hd_partition_hash(low, sizeof(low), 7), ((uint32_t)h & 0x7fffffff) % 7);
    ATF_CHECK_EQ(hd_partition_long(10, 4), 2);
    ATF_CHECK_EQ(hd_partition_long(((int64_t)1 << 32) + 3, 4), 3);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, hashes_are_those_of_java);
    ATF_TP_ADD_TC(tp, partitions_use_the_hash_without_its_sign);
    return atf_no_error();
}
