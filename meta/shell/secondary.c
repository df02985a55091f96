/* The secondary. See roles.h. */
#include "meta/shell/roles.h"
#include "fs/base/error.h"

#include <errno.h>

int hd_secondary_run(const struct hd_meta_conf *conf, int signal_fd)
{
    (void)conf;
    (void)signal_fd;
    return hd_fail(-ENOSYS, "not yet");
}
