/* Properties that cannot be served are refused. */
#include "runner/core/props_check.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>

static int check(const char *name, const char *value)
{
    struct hd_props p = {0};
    ATF_REQUIRE_EQ(hd_props_set(&p, name, value), 0);
    int err = hd_props_check(&p);
    hd_props_done(&p);
    return err;
}

ATF_TC_WITHOUT_HEAD(what_is_not_done_is_refused_with_a_sentence);
ATF_TC_BODY(what_is_not_done_is_refused_with_a_sentence, tc)
{
    ATF_CHECK_EQ(check("mapred.partitioner.class", "my.own.Partitioner"), -EINVAL);
    ATF_CHECK_STREQ(hd_fail_text(),
                    "mapreduce.job.partitioner.class = my.own.Partitioner is not supported");
    ATF_CHECK_EQ(check("mapreduce.map.env", "A=b"), -EINVAL);
    ATF_CHECK_STREQ(hd_fail_text(), "mapreduce.map.env = A=b is not supported: use -cmdenv");
    ATF_CHECK_EQ(check("mapred.output.compress", "true"), -EINVAL);
    ATF_CHECK_EQ(check("mapreduce.job.output.key.comparator.class",
                       "org.apache.hadoop.io.LongWritable$DecreasingComparator"),
                 -EINVAL);
    ATF_CHECK_EQ(check("mapreduce.job.partitioner.class", "KeyFieldBased"), -EINVAL);
    ATF_CHECK_EQ(check("mapreduce.map.skip.maxrecords", "1"), -EINVAL);
}

ATF_TC_WITHOUT_HEAD(what_is_done_passes);
ATF_TC_BODY(what_is_done_passes, tc)
{
    ATF_CHECK_EQ(check("mapreduce.job.partitioner.class",
                       "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner"),
                 0);
    ATF_CHECK_EQ(check("mapred.output.key.comparator.class",
                       "org.apache.hadoop.mapreduce.lib.partition.KeyFieldBasedComparator"),
                 0);
    ATF_CHECK_EQ(check("mapreduce.job.inputformat.class", "TextInputFormat"), 0);
    ATF_CHECK_EQ(check("mapreduce.output.fileoutputformat.compress", "false"), 0);
    ATF_CHECK_EQ(check("mapreduce.map.speculative", "true"), 0);
    ATF_CHECK_EQ(check("my.own.thing", "whatever"), 0);
}

ATF_TC_WITHOUT_HEAD(a_number_must_be_one);
ATF_TC_BODY(a_number_must_be_one, tc)
{
    ATF_CHECK_EQ(check("mapreduce.task.io.sort.mb", "100m"), -EINVAL);
    ATF_CHECK_STREQ(hd_fail_text(),
                    "mapreduce.task.io.sort.mb = 100m: expected a number from 1 up");
    ATF_CHECK_EQ(check("io.sort.factor", "1"), -EINVAL);
    ATF_CHECK_EQ(check("io.sort.factor", "10"), 0);
    ATF_CHECK_EQ(check("mapred.reduce.tasks", "many"), -EINVAL);
    ATF_CHECK_EQ(check("dfs.blocksize", "64m"), 0);
    ATF_CHECK_EQ(check("dfs.blocksize", "64q"), -EINVAL);
    ATF_CHECK_EQ(check("dfs.blocksize", "-1"), -EINVAL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_is_not_done_is_refused_with_a_sentence);
    ATF_TP_ADD_TC(tp, what_is_done_passes);
    ATF_TP_ADD_TC(tp, a_number_must_be_one);
    return atf_no_error();
}
