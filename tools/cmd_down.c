/*
 * howdah down: unmounts and stops everything `up` started, within 10 s. Idempotent; what hangs is
 * unmounted lazily or killed, and named on stderr.
 */
#include "tools/cmd.h"
#include "tools/start.h"
#include "tools/up_lock.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

static const char usage[] =
    "usage: howdah down [--dir DIR]\n\n"
    "Unmounts the cluster under DIR (default: as every command finds it) and stops all its\n"
    "daemons. Data and configuration stay; `howdah up` starts it again.\n";

enum { STOP_LIMIT_MS = 10000 };

static int run_down(const struct hd_command *self, int argc, char **argv)
{
    const char *dir = NULL;
    const struct hd_option options[] = {{"dir", &dir, NULL}, {0}};
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    if (argc > 1) {
        return hd_cmd_usage(self, "unexpected argument %s", argv[1]);
    }
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    HD_AUTO(hd_fd_done) int lock_fd = -1;
    rc = hd_cluster_find(dir, &c);
    if (rc == 0) {
        rc = hd_up_lock(c.dir, &lock_fd);
    }
    if (rc == 0) {
        HD_AUTO(hd_buf_done) struct hd_buf given_up = {0};
        rc = hd_stop(&c, STOP_LIMIT_MS, &given_up);
        fprintf(stderr, "%.*s", (int)given_up.size, (const char *)given_up.data);
    }
    return rc < 0 ? hd_cmd_fail(self, rc) : HD_EXIT_OK;
}

const struct hd_command hd_cmd_down = {
    .name = "down",
    .summary = "unmounts and stops the cluster",
    .usage = usage,
    .run = run_down,
};
