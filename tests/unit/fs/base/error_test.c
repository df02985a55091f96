/* The error table: numbers are dense and unique, both edges translate, texts nest. */
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>

ATF_TC_WITHOUT_HEAD(numbers_are_dense_from_2048);
ATF_TC_BODY(numbers_are_dense_from_2048, tc)
{
    int next = 2048;
#define HD_ERROR(name, number, errno_, class_)                                                     \
    ATF_CHECK_EQ_MSG((number), next, "%s", #name);                                                 \
    next++;
#include "fs/base/error.def"
}

ATF_TC_WITHOUT_HEAD(errors_become_errnos_and_classes);
ATF_TC_BODY(errors_become_errnos_and_classes, tc)
{
    ATF_CHECK_EQ(hd_error_errno(-ENOENT), ENOENT);
    ATF_CHECK_EQ(hd_error_errno(-HD_E_SAFE_MODE), EROFS);
    ATF_CHECK_EQ(hd_error_errno(-99999), EIO);
    ATF_CHECK_EQ(hd_error_errno(0), 0);
    ATF_CHECK_STREQ(hd_error_class(-ENOENT), "java.io.FileNotFoundException");
    ATF_CHECK_STREQ(hd_error_class(-EFBIG), "java.io.IOException");
    ATF_CHECK_EQ(hd_error_from_class("java.io.FileNotFoundException"), -ENOENT);
    ATF_CHECK_EQ(hd_error_from_class("org.apache.hadoop.hdfs.server.namenode.SafeModeException"),
                 -HD_E_SAFE_MODE);
    ATF_CHECK_EQ(hd_error_from_class("org.example.Unheard"), -HD_E_IO);
    ATF_CHECK_STREQ(hd_error_name(-ENOENT), "ENOENT");
    ATF_CHECK_STREQ(hd_error_name(-HD_E_SAFE_MODE), "SAFE_MODE");
}

ATF_TC_WITHOUT_HEAD(texts_may_quote_the_text_before);
ATF_TC_BODY(texts_may_quote_the_text_before, tc)
{
    ATF_CHECK_EQ(hd_fail(-EIO, "inner"), -EIO);
    ATF_CHECK_EQ(hd_fail(-EIO, "outer: %s", hd_fail_text()), -EIO);
    ATF_CHECK_STREQ(hd_fail_text(), "outer: inner");
    hd_fail_errno(ENOSPC, "%s", "/d");
    ATF_CHECK_STREQ(hd_fail_text(), "/d: No space left on device");
    hd_fail_clear();
    ATF_CHECK_STREQ(hd_fail_describe(-ENOSPC), "ENOSPC");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, numbers_are_dense_from_2048);
    ATF_TP_ADD_TC(tp, errors_become_errnos_and_classes);
    ATF_TP_ADD_TC(tp, texts_may_quote_the_text_before);
    return atf_no_error();
}
