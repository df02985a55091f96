/* The session of session.h. */
#include "fs/mount/session.h"
#include "fs/mount/device.h"
#include "fs/mount/guard.h"
#include "fs/mount/io.h"
#include "fs/mount/keeper.h"
#include "fs/mount/mount.h"
#include "fs/mount/native.h"
#include "fs/mount/stage.h"
#include "fs/mount/stopper.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    IDLE_THREADS = 6,
    DIRTY_AT_ONCE = 256,
    ARENAS = 2,
    MAPPED_FROM_BYTES = 256 << 10, /* larger pieces of memory go back to the system when freed */
    DESCRIPTORS = 65536,
    TOLD_TIMEOUT_MS = 3600000, /* in a session: changes are told */
    ATTR_TIMEOUT_MS = 1000,
    ENTRY_TIMEOUT_MS = 10,
};

struct session {
    struct hd_mount mount;
    struct hd_device device;
    struct hd_keeper keeper;
    struct hd_stopper stopper;
    const struct hd_session_hooks *hooks;
};

static int open_cluster(const struct hd_mount_options *o, struct hd_fs **ret)
{
    const struct hd_fs_options fo = {
        .uri = o->uri,
        .meta_addresses = o->metas,
        .user = o->user,
        .client_name_prefix = "howdah-mount",
        .retry_ms = o->retry_s > 0 ? (int)HD_MIN(o->retry_s * 1000, (int64_t)INT32_MAX) : -1,
        .retry_safe_mode = true,
        .relaxed = !o->strict,
        .short_circuit = o->socket_path != NULL,
        .socket_path = o->socket_path,
        .host_name = o->host_name,
    };
    return hd_fs_open(&fo, ret);
}

/* The first call: it waits for meta as long as any. */
static int find_root(struct hd_fs *fs, const struct hd_mount_options *o, uint64_t *ret_root_id)
{
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    int rc = hd_fs_stat(fs, o->cluster_dir, &st);
    if (rc == 0 && st.type != HD_TYPE_DIR) {
        rc = hd_fail(-ENOTDIR, "%s%s is not a directory", o->uri, o->cluster_dir);
    }
    *ret_root_id = st.ino;
    return rc;
}

/*
 * Names are trusted here as everywhere in a cluster without Kerberos, so root of this machine could
 * call as anybody: it does so as the cluster's superuser, and names whom it calls for.
 */
static int become_superuser(struct hd_mount *m)
{
    char superuser[HD_STAT_USER_BYTES];
    bool trusted;
    if (geteuid() != 0 || m->options->user != NULL ||
        !hd_fs_superuser(m->fs, superuser, &trusted) || trusted) {
        return 0;
    }
    return hd_fs_as(m->fs, superuser, &m->fs);
}

/* A session, if the server knows them; without, everything goes by HDFS's own calls. */
static int open_posix(struct hd_mount *m)
{
    struct hd_posix_events events = hd_native_events;
    events.ctx = m;
    int rc = become_superuser(m);
    rc = rc < 0 ? rc : hd_native_start(m);
    rc = rc < 0 ? rc : hd_posix_open(m->fs, &events, &m->posix);
    if (rc == -EOPNOTSUPP) {
        hd_fail_clear();
        hd_native_stop(m);
        return 0;
    }
    return rc < 0 ? rc : hd_io_start(m);
}

static void close_posix(struct hd_mount *m)
{
    if (m->posix != NULL) {
        hd_io_stop(m);
    }
    hd_native_stop(m); /* its threads call meta, and answer events */
    hd_posix_close(HD_TAKE_PTR(m->posix));
}

static double seconds(int64_t ms, int64_t otherwise_ms)
{
    return (double)(ms >= 0 ? ms : otherwise_ms) / 1000;
}

/* How long the kernel may believe what it was told. */
static void set_timeouts(struct hd_mount *m)
{
    bool told = m->posix != NULL;
    m->attr_timeout_s =
        seconds(m->options->attr_timeout_ms, told ? TOLD_TIMEOUT_MS : ATTR_TIMEOUT_MS);
    m->entry_timeout_s =
        seconds(m->options->entry_timeout_ms, told ? TOLD_TIMEOUT_MS : ENTRY_TIMEOUT_MS);
}

static void on_ready(void *arg)
{
    struct session *s = arg;
    hd_keeper_ready(&s->keeper);
    if (s->hooks->ready != NULL) {
        s->hooks->ready(s->hooks->arg);
    }
    const struct hd_mount_options *o = s->mount.options;
    hd_log_info("mounted", "uri=%s dir=%s path=%s", o->uri, o->cluster_dir, s->device.path);
}

static int init_mount(struct session *s, const struct hd_mount_options *o, int signal_fd)
{
    struct hd_mount *m = &s->mount;
    uint64_t root_id = 0;
    m->options = o;
    hd_buffers_init(&m->buffers, HD_MOUNT_IO_BYTES);
    int rc = open_cluster(o, &m->fs);
    if (rc == 0) {
        rc = hd_stopper_start(&s->stopper, m->fs, signal_fd);
    }
    if (rc == 0) {
        rc = find_root(m->fs, o, &root_id);
    }
    if (rc == 0) {
        rc = hd_users_new(&hd_users_system, &m->users);
    }
    if (rc == 0) {
        rc = hd_inode_table_init(&m->inodes, root_id);
    }
    if (rc == 0) {
        rc = open_posix(m);
        set_timeouts(m);
    }
    return rc;
}

static void done_mount(struct hd_mount *m)
{
    close_posix(m);
    if (m->inodes.root_id != 0) {
        hd_inode_table_done(&m->inodes);
    }
    hd_users_free(m->users);
    hd_buffers_done(&m->buffers);
    hd_fs_close(m->fs);
}

/* Completes every file that is still open for writing. */
static void finish_writers(struct hd_mount *m)
{
    struct hd_node *nodes[DIRTY_AT_ONCE];
    for (;;) {
        size_t count = hd_inode_dirty_nodes(&m->inodes, nodes, DIRTY_AT_ONCE);
        if (count == 0) {
            return;
        }
        for (size_t i = 0; i < count; i++) {
            pthread_mutex_lock(&nodes[i]->io);
            (void)hd_stage_finish(m, nodes[i]);
            pthread_mutex_unlock(&nodes[i]->io);
            hd_inode_put(&m->inodes, nodes[i]);
        }
    }
}

static int serve(struct session *s)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (config == NULL) {
        return -ENOMEM;
    }
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);
    fuse_loop_cfg_set_max_threads(config, (unsigned)s->mount.options->max_threads);
    int rc = fuse_session_loop_mt(s->mount.session, config);
    fuse_loop_cfg_destroy(config);
    if (rc < 0) {
        return hd_fail_errno(-rc, "%s: the kernel's requests stopped", s->mount.options->path);
    }
    return 0;
}

static int run(struct session *s)
{
    const struct hd_mount_options *o = s->mount.options;
    int rc = hd_device_open(&s->device, o, &hd_mount_operations, &s->mount);
    if (rc < 0) {
        return rc;
    }
    if (hd_guard_start(s->device.path) < 0) {
        hd_log_warn("no guard", "reason=\"%s\"", hd_fail_text());
    }
    s->mount.session = s->device.session;
    s->mount.ready = on_ready;
    s->mount.ready_arg = s;
    rc = hd_keeper_start(&s->keeper, &s->mount, &s->device);
    if (rc == 0) {
        hd_stopper_serve(&s->stopper, &s->device);
        rc = serve(s);
        hd_guard_stop();
        hd_stopper_served(&s->stopper);
        hd_daemon_notify("STOPPING=1");
        finish_writers(&s->mount);
        hd_keeper_stop(&s->keeper);
        close_posix(&s->mount);
        hd_log_info("unmounted", "path=%s", s->device.path);
    }
    hd_guard_stop();
    hd_stopper_stop(&s->stopper);
    hd_device_close(&s->device);
    return rc;
}

/* Many threads that each need much memory for a moment; a descriptor for each local replica. */
static void set_limits(void)
{
    struct rlimit files;
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < DESCRIPTORS) {
        files.rlim_cur = HD_MIN(files.rlim_max, (rlim_t)DESCRIPTORS);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

int hd_session_run(const struct hd_mount_options *o, const struct hd_session_hooks *hooks)
{
    int signal_fd = -1;
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->hooks = hooks;
    set_limits();
    int rc = hd_daemon_signals(&signal_fd);
    if (rc == 0) {
        rc = init_mount(s, o, signal_fd);
    }
    if (rc == 0) {
        rc = run(s);
    }
    hd_stopper_stop(&s->stopper);
    done_mount(&s->mount);
    if (signal_fd >= 0) {
        close(signal_fd);
    }
    free(s);
    return rc;
}

int hd_session_check(const struct hd_mount_options *o)
{
    struct hd_fs *fs = NULL;
    uint64_t root_id;
    struct stat st;
    if (stat(o->path, &st) < 0 && errno != ENOTCONN) {
        return hd_fail_errno(errno, "%s", o->path);
    }
    int rc = open_cluster(o, &fs);
    if (rc == 0) {
        rc = find_root(fs, o, &root_id);
        hd_fs_close(fs);
    }
    return rc;
}
