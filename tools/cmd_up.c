/*
 * howdah up: a whole cluster on this machine, by one command.
 *
 * The first run decides ports, folders and the number of nodes and writes them down; every run
 * starts what does not run and returns when the cluster can be used. So it is also how a killed
 * daemon comes back.
 */
#include "tools/cmd.h"
#include "tools/cluster_init.h"
#include "tools/probe.h"
#include "tools/process.h"
#include "tools/start.h"
#include "tools/up_lock.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: howdah up [--dir DIR] [--nodes N] [--mount PATH] [--no-mount] [--spare-ports]\n"
    "                 [--foreground]\n\n"
    "Starts a cluster on this machine, with everything it keeps under DIR, and returns when it "
    "can\n"
    "be used. Run again it starts only what is not running, with the same data, ports and "
    "nodes.\n\n"
    "  --dir DIR     where it lives (default ~/.howdah)\n"
    "  --nodes N     data nodes of a new cluster (default 3)\n"
    "  --mount PATH  where it is mounted (default DIR/mnt)\n"
    "  --no-mount    start no mount this time\n"
    "  --spare-ports a new cluster takes none of HDFS's own ports, but ones nobody expects\n"
    "  --foreground  stay, and stop all on SIGINT or SIGTERM\n";

enum {
    USABLE_TIMEOUT_MS = 60000,
    LOCK_TIMEOUT_MS = 90000,
    STOP_LIMIT_MS = 10000,
    DEFAULT_NODES = 3
};

struct up {
    char dir[HD_PATH_BYTES];
    char conf[HD_PATH_BYTES];
    char mount[HD_PATH_BYTES]; /* "" when --mount was not given */
    int nodes;                 /* 0 when --nodes was not given */
    bool no_mount;
    bool spare_ports;
    bool foreground;
};

/* An absolute path without resolving anything: what lies behind may be a dead mount. */
static int absolute(const char *path, char out[HD_PATH_BYTES])
{
    char cwd[HD_PATH_BYTES];
    int n;
    if (path[0] == '/') {
        n = snprintf(out, HD_PATH_BYTES, "%s", path);
    } else if (getcwd(cwd, sizeof(cwd)) == NULL) {
        return hd_fail_errno(errno, "current directory");
    } else {
        n = snprintf(out, HD_PATH_BYTES, "%s/%s", cwd, path);
    }
    if (n >= HD_PATH_BYTES) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    while (n > 1 && out[n - 1] == '/') {
        out[--n] = '\0';
    }
    return 0;
}

static int default_dir(char out[HD_PATH_BYTES])
{
    const char *home = getenv("HOME");
    if (home == NULL || home[0] == '\0') {
        const struct passwd *pw = getpwuid(geteuid());
        home = pw != NULL ? pw->pw_dir : "";
    }
    if (home[0] != '/' || snprintf(out, HD_PATH_BYTES, "%s/.howdah", home) >= HD_PATH_BYTES) {
        return hd_fail(-ENOENT, "no home directory; name one with --dir");
    }
    return 0;
}

/* DIR as the kernel sees it, so that two spellings of it are one cluster. It is made if missing. */
static int resolve_dir(const char *given, char out[HD_PATH_BYTES])
{
    char path[HD_PATH_BYTES];
    char real[PATH_MAX];
    int rc = given != NULL ? absolute(given, path) : default_dir(path);
    if (rc == 0) {
        rc = hd_dir_make(path, 0755);
    }
    if (rc < 0) {
        return rc;
    }
    if (realpath(path, real) == NULL) {
        return hd_fail_errno(errno, "%s", path);
    }
    snprintf(out, HD_PATH_BYTES, "%s", real);
    return 0;
}

static int take_options(const struct hd_command *self, int argc, char **argv, struct up *up)
{
    const char *dir = NULL;
    const char *nodes = NULL;
    const char *mount = NULL;
    const struct hd_option options[] = {
        {"dir", &dir, NULL},
        {"nodes", &nodes, NULL},
        {"mount", &mount, NULL},
        {"no-mount", NULL, &up->no_mount},
        {"spare-ports", NULL, &up->spare_ports},
        {"foreground", NULL, &up->foreground},
        {0},
    };
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc;
    }
    if (argc > 1) {
        return hd_cmd_usage(self, "unexpected argument %s", argv[1]);
    }
    if (nodes != NULL) {
        char *end;
        long n = strtol(nodes, &end, 10);
        if (*end != '\0' || n < 1 || n > HD_NODES_MAX) {
            return hd_cmd_usage(self, "--nodes %s: a number from 1 to %d is expected", nodes,
                                HD_NODES_MAX);
        }
        up->nodes = (int)n;
    }
    if (mount != NULL && up->no_mount) {
        return hd_cmd_usage(self, "--mount and --no-mount exclude each other");
    }
    rc = resolve_dir(dir, up->dir);
    if (rc == 0 && mount != NULL) {
        rc = absolute(mount, up->mount);
    }
    if (rc < 0) {
        return hd_cmd_fail(self, rc);
    }
    if (snprintf(up->conf, sizeof(up->conf), "%s/howdah.conf", up->dir) >= (int)sizeof(up->conf)) {
        return hd_cmd_usage(self, "--dir %s: too long", up->dir);
    }
    return 0;
}

/* Only one up or down at a time for a DIR. */
int hd_up_lock(const char *dir, int *ret_fd)
{
    char path[HD_PATH_BYTES];
    int64_t deadline_ms = hd_clock_mono_ms().v + LOCK_TIMEOUT_MS;
    if (snprintf(path, sizeof(path), "%s/run", dir) >= (int)sizeof(path) - 16) {
        return hd_fail(-ENAMETOOLONG, "%s", dir);
    }
    int rc = hd_dir_make(path, 0755);
    if (rc < 0) {
        return rc;
    }
    strcat(path, "/up.lock");
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            return hd_fail_errno(errno, "%s", path);
        }
        if (hd_clock_mono_ms().v > deadline_ms) {
            return hd_fail(-EBUSY, "%s: another `howdah up` or `down` is at work", path);
        }
        hd_clock_sleep_ms(20);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* Writes the configuration of a new cluster. */
static int make_cluster(const struct up *up)
{
    char mount[HD_PATH_BYTES + 4];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(mount, sizeof(mount), "%s/mnt", up->dir);
    struct hd_cluster_plan plan = {
        .dir = up->dir,
        .mount = up->mount[0] != '\0' ? up->mount : mount,
        .nodes = up->nodes != 0 ? up->nodes : DEFAULT_NODES,
        .cores = cores > 0 ? (int)HD_MIN(cores, 4096) : 1,
        .spare_ports = up->spare_ports,
    };
    return hd_cluster_init(&plan);
}

/* What was decided at the first run stays; only the mount may move, while it is not mounted. */
static int check_against(const struct up *up, struct hd_cluster *c)
{
    if (up->nodes != 0 && up->nodes != c->nodes) {
        return hd_fail(-EINVAL, "%s: this cluster has %d data nodes, not %d; their number stays",
                       c->conf, c->nodes, up->nodes);
    }
    if (up->mount[0] == '\0' || strcmp(up->mount, c->mount) == 0) {
        return 0;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_MOUNT && hd_process_find(c, &c->members[i]) != 0) {
            return hd_fail(-EBUSY,
                           "already mounted on %s; stop it first, or mount once more with "
                           "`howdah-mount %s %s`",
                           c->mount, c->uri, up->mount);
        }
    }
    int rc = hd_cluster_set_mount(c->conf, up->mount);
    if (rc < 0) {
        return rc;
    }
    hd_cluster_done(c);
    return hd_cluster_load(up->conf, c);
}

static int load_or_make(const struct up *up, struct hd_cluster *ret, int *ret_ports_fd)
{
    if (access(up->conf, F_OK) != 0) {
        hd_cluster_ports_lock(ret_ports_fd);
        int rc = make_cluster(up);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = hd_cluster_load(up->conf, ret);
    if (rc == 0) {
        rc = check_against(up, ret);
    }
    if (rc == 0) {
        rc = hd_cluster_make_dirs(ret);
    }
    if (rc < 0) {
        return rc;
    }
    char folder[HD_PATH_BYTES + 16];
    snprintf(folder, sizeof(folder), "%s/hadoop-conf", up->dir);
    return hd_cluster_write_hadoop_conf(ret, folder);
}

static void print_members(const struct hd_cluster *c)
{
    for (size_t i = 0; i < c->member_count; i++) {
        const struct hd_member *m = &c->members[i];
        pid_t pid = hd_process_find(c, m);
        if (pid == 0) {
            continue; /* --no-mount */
        }
        printf("  %-12s pid %-8d %-22s %s\n", m->name, (int)pid, m->address,
               m->role == HD_ROLE_MOUNT ? "" : m->dirs);
    }
}

/* Waits for SIGINT or SIGTERM, then stops all. */
static int stay(const struct hd_command *self, const struct hd_cluster *c, int signal_fd)
{
    struct pollfd p = {.fd = signal_fd, .events = POLLIN};
    printf("in the foreground; SIGINT or SIGTERM stops all\n");
    fflush(stdout);
    while (poll(&p, 1, 1000) <= 0) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
    HD_AUTO(hd_buf_done) struct hd_buf given_up = {0};
    int rc = hd_stop(c, STOP_LIMIT_MS, &given_up);
    fprintf(stderr, "%.*s", (int)given_up.size, (const char *)given_up.data);
    return rc < 0 ? hd_cmd_fail(self, rc) : HD_EXIT_OK;
}

static int run_up(const struct hd_command *self, int argc, char **argv)
{
    struct up up = {0};
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    HD_AUTO(hd_fd_done) int lock_fd = -1;
    HD_AUTO(hd_fd_done) int ports_fd = -1;
    HD_AUTO(hd_fd_done) int signal_fd = -1;
    int64_t begin_ms = hd_clock_mono_ms().v;
    int started;
    int rc = take_options(self, argc, argv, &up);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    if (up.foreground && (rc = hd_daemon_signals(&signal_fd)) < 0) {
        return hd_cmd_fail(self, rc);
    }
    rc = hd_up_lock(up.dir, &lock_fd);
    if (rc == 0) {
        rc = load_or_make(&up, &c, &ports_fd);
    }
    if (rc == 0) {
        struct hd_start_options options = {.no_mount = up.no_mount,
                                           .timeout_ms = USABLE_TIMEOUT_MS};
        rc = hd_start(&c, &options, &started);
    }
    if (rc < 0) {
        hd_cmd_fail(self, rc);
        fprintf(stderr, "`howdah down --dir %s` stops what runs\n", up.dir);
        return HD_EXIT_FAILED;
    }
    hd_fd_done(&ports_fd);
    hd_fd_done(&lock_fd);
    bool mounted = c.mount[0] != '\0' && hd_probe_mounted(c.mount);
    printf("%s%s%s, %d of %zu daemons started in %" PRId64 " ms\n", c.uri, mounted ? " on " : "",
           mounted ? c.mount : "", started, c.member_count, hd_clock_mono_ms().v - begin_ms);
    print_members(&c);
    return up.foreground ? stay(self, &c, signal_fd) : HD_EXIT_OK;
}

const struct hd_command hd_cmd_up = {
    .name = "up",
    .summary = "starts a cluster on this machine, or what of it does not run",
    .usage = usage,
    .run = run_up,
};
