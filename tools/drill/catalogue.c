/* The drills there are. */
#include "tools/drill/do_process.h"
#include "tools/drill/drill.h"

#define NO_LOSS "No acknowledged byte or name is lost and nobody reads wrong bytes."

const struct hd_drill hd_drills[] = {
    {
        .name = "kill-data",
        .summary = "a data node's process dies",
        .how = "SIGKILL to one data node.",
        .must = NO_LOSS " Reading and writing go on, through other copies and rebuilt chains.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .takes_copies = true,
        .goals = {.read_s = 0.1, .write_s = 0.3, .noticed_s = 4},
        .inject = hd_drill_kill,
    },
    {
        .name = "kill-meta",
        .summary = "the metadata daemon dies",
        .how = "SIGKILL to meta; it is started again when the time is over.",
        .must = NO_LOSS " Names change again as soon as it is back.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .inject = hd_drill_kill,
    },
    {
        .name = "kill-secondary",
        .summary = "the secondary dies",
        .how = "SIGKILL to the secondary.",
        .must = NO_LOSS " Meta goes on alone and says that it is exposed.",
        .target_role = HD_ROLE_SECONDARY,
        .targets = 1,
        .needs = HD_NEED_SECONDARY,
        .goals = {.read_s = 0.1, .write_s = 3, .metadata_s = 3},
        .inject = hd_drill_kill,
    },
    {
        .name = "pause-data",
        .summary = "a data node hangs",
        .how = "SIGSTOP to one data node, SIGCONT afterwards.",
        .must = NO_LOSS " Reading and writing go round it; what it missed is removed or copied "
                        "again when it wakes.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .takes_copies = true,
        .goals = {.read_s = 1, .write_s = 3, .noticed_s = 5.5},
        .inject = hd_drill_pause,
    },
    {
        .name = "pause-meta",
        .summary = "the metadata daemon hangs",
        .how = "SIGSTOP to meta, SIGCONT afterwards.",
        .must = NO_LOSS " What was asked meanwhile is answered once it wakes.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .inject = hd_drill_pause,
    },
    {
        .name = "pause-secondary",
        .summary = "the secondary hangs",
        .how = "SIGSTOP to the secondary, SIGCONT afterwards.",
        .must = NO_LOSS " Meta goes on without it after a moment.",
        .target_role = HD_ROLE_SECONDARY,
        .targets = 1,
        .needs = HD_NEED_SECONDARY,
        .goals = {.read_s = 0.1, .write_s = 4, .metadata_s = 4},
        .inject = hd_drill_pause,
    },
    {
        .name = "reboot-all",
        .summary = "every machine restarts at once",
        .how = "SIGKILL to every daemon but the mount; all are started again.",
        .must = NO_LOSS,
        .target_role = -1,
        .inject = hd_drill_reboot_all,
    },
    {
        .name = "rolling-restart",
        .summary = "an upgrade: every daemon restarts, one after the other",
        .how = "Each daemon is stopped in order and started again; the next one follows when the "
               "cluster is whole.",
        .must = NO_LOSS " Nobody is refused service.",
        .target_role = -1,
        .inject = hd_drill_rolling_restart,
        .hold = hd_drill_no_wait,
    },
    {
        .name = "two-failures-at-once",
        .summary = "two data nodes die in the same moment",
        .how = "SIGKILL to two data nodes.",
        .must = NO_LOSS " What had copies on both is read from the third and copied first.",
        .target_role = HD_ROLE_DATA,
        .targets = 2,
        .takes_copies = true,
        .goals = {.read_s = 0.2, .write_s = 0.6, .noticed_s = 4},
        .inject = hd_drill_kill,
    },
};

const size_t hd_drill_count = HD_ARRAY_COUNT(hd_drills);

const struct hd_drill *hd_drill_find(const char *name)
{
    for (size_t i = 0; i < hd_drill_count; i++) {
        if (strcmp(hd_drills[i].name, name) == 0) {
            return &hd_drills[i];
        }
    }
    return NULL;
}
