/* See upgrade_dirs.h. */
#include "meta/shell/upgrade_dirs.h"
#include "meta/shell/dirs.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "meta/log/upgrade.h"

#include <errno.h>

static int act(const char *dir, enum hd_upgrade_action action)
{
    HD_AUTO(hd_fd_done) int lock = -1;
    int err = hd_dir_lock(dir, &lock);
    if (err < 0) {
        return action == HD_UPGRADE_BEGIN && err == -ENOENT ? 0 : err;
    }
    switch (action) {
    case HD_UPGRADE_NONE:
        return 0;
    case HD_UPGRADE_BEGIN:
        err = hd_upgrade_begin(dir);
        if (err == -EEXIST || err == -ENOENT) {
            return 0;
        }
        break;
    case HD_UPGRADE_ROLLBACK:
        err = hd_upgrade_rollback(dir);
        break;
    case HD_UPGRADE_FINALIZE:
        err = hd_upgrade_finalize(dir);
        break;
    }
    static const char *const done[] = {"", "way back kept in previous/", "went back to previous/",
                                       "way back given up"};
    if (err == 0) {
        hd_log_info(done[action], "dir=%s", dir);
    }
    return err;
}

int hd_upgrade_dirs(const char *text, enum hd_upgrade_action action)
{
    char dirs[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    int err = hd_dirs_split(text, dirs, &count);
    bool any = false;
    for (size_t i = 0; i < count && err == 0; i++) {
        err = act(dirs[i], action);
        any = any || err == 0;
        if (err == -ENOENT && i + 1 < count) {
            err = 0; /* an interrupted run did this one */
        } else if (err == -ENOENT && any) {
            err = 0;
        }
    }
    return err;
}
