/* The drills there are. */
#include "tools/drill/do_faults.h"
#include "tools/drill/do_files.h"
#include "tools/drill/do_job.h"
#include "tools/drill/do_nodes.h"
#include "tools/drill/do_powercut.h"
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
        .name = "kill-agent",
        .summary = "an agent of the job runner dies",
        .how = "SIGKILL to one agent while a job counts words.",
        .must = NO_LOSS " The job ends, and its output is right.",
        .target_role = HD_ROLE_AGENT,
        .targets = 1,
        .needs = HD_NEED_RUNNER,
        .inject = hd_drill_kill_under_job,
        .heal = hd_drill_end_job,
    },
    {
        .name = "kill-manager",
        .summary = "the manager of the job runner dies",
        .how = "SIGKILL to the manager while a job counts words.",
        .must = NO_LOSS " The job is run again by the next manager; its output is right.",
        .target_role = HD_ROLE_MANAGER,
        .targets = 1,
        .needs = HD_NEED_RUNNER,
        .inject = hd_drill_kill_under_job,
        .heal = hd_drill_end_job,
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
        .name = "pause-agent",
        .summary = "an agent of the job runner hangs",
        .how = "SIGSTOP to one agent while a job counts words, SIGCONT afterwards.",
        .must = NO_LOSS " The job ends, and its output is right.",
        .target_role = HD_ROLE_AGENT,
        .targets = 1,
        .needs = HD_NEED_RUNNER,
        .inject = hd_drill_pause_under_job,
        .heal = hd_drill_end_job,
    },
    {
        .name = "pause-manager",
        .summary = "the manager of the job runner hangs",
        .how = "SIGSTOP to the manager while a job counts words, SIGCONT afterwards.",
        .must = NO_LOSS " The job ends, and its output is right.",
        .target_role = HD_ROLE_MANAGER,
        .targets = 1,
        .needs = HD_NEED_RUNNER,
        .inject = hd_drill_pause_under_job,
        .heal = hd_drill_end_job,
    },
    {
        .name = "partition",
        .summary = "a data node is cut off",
        .how = "Nothing passes between one data node and meta, the other nodes or clients.",
        .must = NO_LOSS " The rest goes on without it; it comes back by itself.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .needs = HD_NEED_FAULTS,
        .takes_copies = true,
        .goals = {.read_s = 1, .write_s = 3, .noticed_s = 5.5},
        .inject = hd_drill_partition,
    },
    {
        .name = "slow-disk",
        .summary = "a disk that is about to fail gets slow",
        .how = "Each operation on the disk of one data node takes 50 ms longer.",
        .must = NO_LOSS " Nobody takes the node for dead.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .needs = HD_NEED_FAULTS,
        .goals = {.read_s = 1, .write_s = 3},
        .inject = hd_drill_slow_disk,
    },
    {
        .name = "full-disk",
        .summary = "the disk of a data node is full",
        .how = "256 KiB are left on the disk of one data node.",
        .must = NO_LOSS " New blocks go elsewhere; what the node has stays readable.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .needs = HD_NEED_FAULTS,
        .goals = {.read_s = 0.1, .write_s = 3},
        .inject = hd_drill_full_disk,
    },
    {
        .name = "dead-disk",
        .summary = "the disk of a data node fails",
        .how = "Each operation on the disk of one data node fails with EIO; afterwards the node "
               "starts on a disk that works.",
        .must = NO_LOSS " Its copies are made again elsewhere, or counted again when it is back.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .needs = HD_NEED_FAULTS,
        .takes_copies = true,
        .goals = {.read_s = 1, .write_s = 3},
        .inject = hd_drill_dead_disk,
    },
    {
        .name = "corrupt-block",
        .summary = "a disk returns wrong bytes",
        .how =
            "64 bytes of a copy of a file of the drill are overwritten on one node's disk, while "
            "two good copies are elsewhere. The file is read all the time; then the node is "
            "asked to verify its copies.",
        .must = NO_LOSS " The bad copy is replaced by a good one.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .goals = {.read_s = 1},
        .inject = hd_drill_corrupt_block,
        .hold = hd_drill_read_rotten,
        .heal = hd_drill_scan_rotten,
    },
    {
        .name = "corrupt-meta-file",
        .summary = "a file of meta rots",
        .how = "Meta is killed, and 64 bytes of its newest image or of a file of its view are "
               "overwritten before it starts again.",
        .must = NO_LOSS " Meta starts by itself, from what is good.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .prepare = hd_drill_two_images,
        .inject = hd_drill_corrupt_meta_file,
        .heal = hd_drill_start_damaged,
    },
    {
        .name = "tear-edits",
        .summary = "the edit log ends in the middle of a record",
        .how = "Meta is killed, and half a record that nobody acknowledged is put behind the end "
               "of its edit log before it starts again.",
        .must = NO_LOSS " Meta cuts the torn record off and starts by itself.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .inject = hd_drill_tear_edits,
        .heal = hd_drill_start_damaged,
    },
    {
        .name = "tear-image",
        .summary = "the newest image is only half there, and the view is gone",
        .how = "Meta is killed, its newest image is cut in half and its view removed before it "
               "starts again.",
        .must = NO_LOSS " Meta starts by itself, from the image before and the edit log.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .prepare = hd_drill_two_images,
        .inject = hd_drill_tear_image,
        .heal = hd_drill_start_damaged,
    },
    {
        .name = "lose-leveldb",
        .summary = "the view of the namespace is gone",
        .how = "Meta is killed and its view (leveldb) removed before it starts again.",
        .must = NO_LOSS " Meta starts by itself and makes the view again.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .prepare = hd_drill_two_images,
        .inject = hd_drill_lose_leveldb,
        .heal = hd_drill_start_damaged,
    },
    {
        .name = "power-cut",
        .summary = "the power fails, everywhere at once",
        .how = "Meta, secondary and data nodes restart under a library that notes what is not "
               "synced. They are killed in one moment, and what was not synced is taken off their "
               "disks, whole or in part.",
        .must = NO_LOSS " Everything starts by itself.",
        .target_role = -1,
        .needs = HD_NEED_POWERCUT,
        .prepare = hd_drill_watch_writes,
        .inject = hd_drill_power_cut,
        .hold = hd_drill_no_wait,
        .heal = hd_drill_power_back,
    },
    {
        .name = "clock-jump",
        .summary = "clocks are set",
        .how = "Meta's wall clock jumps an hour forward and that of a data node an hour back, and "
               "both return.",
        .must = NO_LOSS " No node is given up and no lease taken away for it.",
        .target_role = -1,
        .needs = HD_NEED_FAULTS,
        .goals = {.read_s = 0.1, .write_s = 0.3, .metadata_s = 0.3},
        .inject = hd_drill_clock_jump,
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
        .name = "decommission",
        .summary = "a data node leaves in order, and comes back",
        .how = "One data node is decommissioned; when no block needs it any more it is taken back.",
        .must = NO_LOSS " Nobody notices.",
        .target_role = HD_ROLE_DATA,
        .targets = 1,
        .needs = HD_NEED_SPARE_NODE,
        .goals = {.read_s = 0.1, .write_s = 0.3, .metadata_s = 0.3},
        .inject = hd_drill_decommission,
        .hold = hd_drill_wait_decommissioned,
    },
    {
        .name = "promote",
        .summary = "meta hangs and the secondary takes over",
        .how = "SIGSTOP to meta, the secondary is promoted, SIGCONT to the old meta afterwards. "
               "The two have changed roles then.",
        .must = NO_LOSS " The old meta acknowledges nothing any more and becomes a secondary.",
        .target_role = HD_ROLE_META,
        .targets = 1,
        .needs = HD_NEED_SECONDARY,
        .goals = {.read_s = 3, .write_s = 4, .metadata_s = 4},
        .inject = hd_drill_promotion,
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
