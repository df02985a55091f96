/* Errors on their way to a program. */
#include "fs/mount/mount.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>

ATF_TC_WITHOUT_HEAD(trouble_on_the_way_is_eio_and_the_rest_is_itself);
ATF_TC_BODY(trouble_on_the_way_is_eio_and_the_rest_is_itself, tc)
{
    static const int trouble[] = {-ECONNREFUSED,    -ETIMEDOUT,   -EPIPE,
                                  -EHOSTUNREACH,    -HD_E_CLOSED, -HD_E_IO,
                                  -HD_E_RPC_SERVER, -ENODEV,      -HD_E_MISSING_BLOCK,
                                  -HD_E_STANDBY,    -HD_E_FENCED};
    static const int same[] = {-ENOENT, -EACCES,  -EPERM,  -EEXIST, -ENOTEMPTY, -EOPNOTSUPP,
                               -ENOSPC, -ENODATA, -ESTALE, -EFBIG,  -EINVAL};
    for (size_t i = 0; i < HD_ARRAY_COUNT(trouble); i++) {
        ATF_CHECK_EQ_MSG(hd_mount_errno(trouble[i]), EIO, "%d", trouble[i]);
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(same); i++) {
        ATF_CHECK_EQ(hd_mount_errno(same[i]), -same[i]);
    }
    ATF_CHECK_EQ(hd_mount_errno(-HD_E_SAFE_MODE), EROFS);
    ATF_CHECK_EQ(hd_mount_errno(-HD_E_DS_QUOTA), EDQUOT);
    ATF_CHECK_EQ(hd_mount_errno(-HD_E_BEING_CREATED), EBUSY);
    ATF_CHECK_EQ(hd_mount_errno(-HD_E_XATTR_NOT_FOUND), ENODATA);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, trouble_on_the_way_is_eio_and_the_rest_is_itself);
    return atf_no_error();
}
