/*
 * Bringing the daemons up. See start.h.
 *
 *   meta ──READY──> secondary, data-*, manager, agent-*, mount ──READY──> usable?
 *
 * One poll(2) waits for all of it: a datagram socket on which the daemons say READY=1 (each known
 * by the pid in its credentials), and a pidfd a daemon, which tells of its death in the moment.
 */
#include "tools/start.h"
#include "tools/meta_call.h"
#include "tools/probe.h"
#include "tools/process.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    META_HEAD_START_MS = 500, /* how long the others wait for meta before they start anyway */
    ASK_EVERY_MS = 10,
    ASK_TIMEOUT_MS = 1000,
    LOG_TAIL_BYTES = 4096,
    LOG_TAIL_LINES = 8,
};

/* One daemon on its way. */
struct starting {
    const struct hd_member *member;
    pid_t pid;
    int pidfd;       /* -1 before the start */
    off_t log_start; /* size of its log before: only what comes after is this run's */
    bool ours;       /* started by us, so it will say READY */
    bool ready;
};

struct start {
    const struct hd_cluster *cluster;
    const struct hd_start_options *options;
    int64_t deadline_ms;
    int notify_fd;
    char notify_path[64];
    struct starting *list; /* one for each member */
    size_t count;
    struct hd_meta_call meta;
    struct pollfd *polls; /* count + 1 */
};

static void start_done(struct start *s)
{
    for (size_t i = 0; s->list != NULL && i < s->count; i++) {
        hd_fd_done(&s->list[i].pidfd);
    }
    hd_fd_done(&s->notify_fd);
    hd_meta_call_done(&s->meta);
    free(s->list);
    free(s->polls);
}

/* An abstract socket: it needs no folder and leaves nothing behind. */
static int open_notify(struct start *s)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    uint64_t salt;
    int one = 1;
    hd_random_bytes(&salt, sizeof(salt));
    int size = snprintf(s->notify_path, sizeof(s->notify_path), "@howdah-up-%d-%" PRIx64,
                        (int)getpid(), salt);
    memcpy(addr.sun_path + 1, s->notify_path + 1, (size_t)size - 1);
    s->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->notify_fd < 0 ||
        setsockopt(s->notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
        bind(s->notify_fd, (struct sockaddr *)&addr,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size)) < 0) {
        return hd_fail_errno(errno, "notification socket");
    }
    return 0;
}

static int start_init(struct start *s, const struct hd_cluster *c,
                      const struct hd_start_options *options)
{
    *s = (struct start){.cluster = c, .options = options, .notify_fd = -1};
    s->deadline_ms = hd_clock_mono_ms().v + options->timeout_ms;
    s->list = calloc(c->member_count + 1, sizeof(*s->list));
    s->polls = calloc(c->member_count + 1, sizeof(*s->polls));
    if (s->list == NULL || s->polls == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_MOUNT && options->no_mount) {
            continue;
        }
        s->list[s->count++] = (struct starting){.member = &c->members[i], .pidfd = -1};
    }
    int rc = open_notify(s);
    return rc;
}

/* ---- failures ---- */

/* The last lines a daemon wrote since it was started, indented. */
static const char *log_tail(const struct start *s, const struct starting *d, struct hd_buf *out)
{
    char path[HD_PATH_BYTES];
    char text[LOG_TAIL_BYTES + 1];
    struct stat st;
    hd_member_log_path(s->cluster, d->member, path);
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return "";
    }
    off_t from = HD_MAX(d->log_start, st.st_size - LOG_TAIL_BYTES);
    ssize_t n = pread(fd, text, LOG_TAIL_BYTES, from);
    if (n <= 0) {
        return "";
    }
    text[n] = '\0';
    char *line = text + n;
    for (int lines = 0; line > text; line--) {
        if (line[-1] == '\n' && line[0] != '\0' && ++lines == LOG_TAIL_LINES) {
            break;
        }
    }
    for (char *save = NULL, *one = strtok_r(line, "\n", &save); one != NULL;
         one = strtok_r(NULL, "\n", &save)) {
        if (hd_buf_addf(out, "\n  | %s", one) < 0) {
            break;
        }
    }
    const char *str = hd_buf_str(out);
    return str != NULL ? str : "";
}

static int fail_daemon(const struct start *s, const struct starting *d, int err, const char *what)
{
    HD_AUTO(hd_buf_done) struct hd_buf tail = {.max = HD_FAIL_TEXT_BYTES};
    char path[HD_PATH_BYTES];
    hd_member_log_path(s->cluster, d->member, path);
    const char *hint = d->member->role == HD_ROLE_MOUNT ? "\n(`--no-mount` does without it)" : "";
    return hd_fail(err, "%s %s; its log %s ends:%s%s", d->member->name, what, path,
                   log_tail(s, d, &tail), hint);
}

static int fail_ended(const struct start *s, const struct starting *d)
{
    char what[64] = "ended";
    int status;
    if (waitpid(d->pid, &status, WNOHANG) == d->pid) {
        if (WIFSIGNALED(status)) {
            snprintf(what, sizeof(what), "was ended by signal %d", WTERMSIG(status));
        } else {
            snprintf(what, sizeof(what), "ended with exit code %d", WEXITSTATUS(status));
        }
    }
    return fail_daemon(s, d, -HD_E_CLOSED, what);
}

/* ---- starting one ---- */

static int prepare_mount(const struct hd_cluster *c)
{
    int rc = hd_unmount(c->mount, NULL); /* left by a mount that was killed */
    return rc < 0 ? rc : hd_dir_make(c->mount, 0755);
}

static int start_one(struct start *s, struct starting *d)
{
    char log[HD_PATH_BYTES];
    struct stat st;
    if (d->member->role == HD_ROLE_MOUNT) {
        int rc = prepare_mount(s->cluster);
        if (rc < 0) {
            return rc;
        }
    }
    hd_member_log_path(s->cluster, d->member, log);
    d->log_start = stat(log, &st) == 0 ? st.st_size : 0;
    int rc = hd_process_start(s->cluster, d->member, s->notify_path, &d->pid);
    if (rc < 0) {
        return rc;
    }
    d->ours = true;
    d->pidfd = pidfd_open(d->pid, 0);
    return d->pidfd >= 0 ? 0 : hd_fail_errno(errno, "pidfd_open");
}

/* Those that run already need no start; their death is watched like the others'. */
static void note_running(struct start *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct starting *d = &s->list[i];
        d->pid = hd_process_find(s->cluster, d->member);
        d->pidfd = d->pid != 0 ? pidfd_open(d->pid, 0) : -1;
        d->ready = d->pidfd >= 0;
    }
}

/* ---- waiting ---- */

static struct starting *find_pid(struct start *s, pid_t pid)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->list[i].pid == pid) {
            return &s->list[i];
        }
    }
    return NULL;
}

/* Takes every notification that is there. */
static void take_notifications(struct start *s)
{
    char text[4096];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    for (;;) {
        struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(s->notify_fd, &msg, MSG_CMSG_CLOEXEC);
        if (n < 0) {
            return;
        }
        text[n] = '\0';
        struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
        if (h == NULL || h->cmsg_type != SCM_CREDENTIALS || strstr(text, "READY=1") == NULL) {
            continue;
        }
        struct ucred cred;
        memcpy(&cred, CMSG_DATA(h), sizeof(cred));
        struct starting *d = find_pid(s, cred.pid);
        if (d != NULL) {
            d->ready = true;
        }
    }
}

/* Sleeps until something happens, at most wait_ms. An error when a daemon has ended. */
static int wait_some(struct start *s, int64_t wait_ms)
{
    s->polls[0] = (struct pollfd){.fd = s->notify_fd, .events = POLLIN};
    for (size_t i = 0; i < s->count; i++) {
        s->polls[i + 1] = (struct pollfd){.fd = s->list[i].pidfd, .events = POLLIN};
    }
    int64_t left = HD_MIN(wait_ms, s->deadline_ms - hd_clock_mono_ms().v);
    if (poll(s->polls, (nfds_t)(s->count + 1), (int)HD_MAX(left, 0)) < 0 && errno != EINTR) {
        return hd_fail_errno(errno, "poll");
    }
    take_notifications(s);
    for (size_t i = 0; i < s->count; i++) {
        if ((s->polls[i + 1].revents & POLLIN) != 0) {
            return fail_ended(s, &s->list[i]);
        }
    }
    return 0;
}

static struct starting *first_not_ready(struct start *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!s->list[i].ready) {
            return &s->list[i];
        }
    }
    return NULL;
}

static bool late(const struct start *s)
{
    return hd_clock_mono_ms().v >= s->deadline_ms;
}

static int wait_all_ready(struct start *s)
{
    struct starting *d;
    while ((d = first_not_ready(s)) != NULL) {
        int rc = wait_some(s, s->options->timeout_ms);
        if (rc < 0) {
            return rc;
        }
        if (late(s) && (d = first_not_ready(s)) != NULL) {
            return fail_daemon(s, d, -ETIMEDOUT, "has not become ready in time");
        }
    }
    return 0;
}

/* ---- usable ---- */

/* 0 when meta serves and knows all its nodes; an error whose text says what is missing. */
static int check_meta(struct start *s)
{
    Hdw__GetClusterResponse *cluster;
    hd_meta_call_done(&s->meta); /* another one may be primary by now */
    int rc = hd_meta_call_init(&s->meta, s->cluster->metas, hd_user_name(), ASK_TIMEOUT_MS);
    if (rc == 0) {
        rc = hd_meta_get_cluster(&s->meta, &cluster);
    }
    if (rc < 0) {
        return hd_fail(rc, "meta does not answer at %s: %s", s->cluster->metas,
                       hd_fail_describe(rc));
    }
    if (cluster->role != NULL && strcmp(cluster->role, "primary") != 0) {
        return hd_fail(-HD_E_STANDBY,
                       "no meta is primary, of %s: choose with `howdah admin promote`",
                       s->cluster->metas);
    }
    if (cluster->nodes_live < (uint32_t)s->cluster->nodes) {
        return hd_fail(-EAGAIN, "meta knows %u of %d data nodes as live", cluster->nodes_live,
                       s->cluster->nodes);
    }
    if (cluster->safe_mode) {
        return hd_fail(-HD_E_SAFE_MODE, "meta is in safe mode: %s",
                       cluster->safe_mode_text != NULL ? cluster->safe_mode_text
                                                       : "no reason given");
    }
    return 0;
}

static int check_mount(const struct start *s)
{
    bool wanted = s->cluster->mount[0] != '\0' && !s->options->no_mount;
    if (wanted && !hd_probe_mounted(s->cluster->mount)) {
        return hd_fail(-EAGAIN, "%s is not mounted", s->cluster->mount);
    }
    return 0;
}

static int check_manager(const struct start *s)
{
    uint32_t agents = 0;
    for (size_t i = 0; i < s->cluster->member_count; i++) {
        agents += s->cluster->members[i].role == HD_ROLE_AGENT;
    }
    for (size_t i = 0; i < s->cluster->member_count; i++) {
        const struct hd_member *m = &s->cluster->members[i];
        uint32_t up;
        if (m->role != HD_ROLE_MANAGER) {
            continue;
        }
        int rc = hd_manager_agents(m->address, hd_user_name(), ASK_TIMEOUT_MS, &up);
        if (rc < 0) {
            return hd_fail(rc, "manager does not answer at %s: %s", m->address,
                           hd_fail_describe(rc));
        }
        if (up < agents) {
            return hd_fail(-EAGAIN, "the manager knows %u of %u agents", up, agents);
        }
    }
    return 0;
}

static int wait_usable(struct start *s)
{
    for (;;) {
        int rc = check_meta(s);
        if (rc == 0) {
            rc = check_mount(s);
        }
        if (rc == 0) {
            rc = check_manager(s);
        }
        if (rc == 0) {
            return 0;
        }
        if (late(s)) {
            return hd_fail(-ETIMEDOUT, "not usable after %" PRId64 " s: %s",
                           s->options->timeout_ms / 1000, hd_fail_describe(rc));
        }
        rc = wait_some(s, ASK_EVERY_MS);
        if (rc < 0) {
            return rc;
        }
    }
}

static int start_rest(struct start *s, int *started)
{
    for (size_t i = 0; i < s->count; i++) {
        struct starting *d = &s->list[i];
        if (d->pid == 0) {
            int rc = start_one(s, d);
            if (rc < 0) {
                return rc;
            }
            (*started)++;
        }
    }
    return 0;
}

/* Meta is given a moment, so that the others find it at their first try. */
static int start_meta(struct start *s, int *started)
{
    struct starting *d = s->count > 0 ? &s->list[0] : NULL;
    if (d == NULL || d->member->role != HD_ROLE_META || d->pid != 0) {
        return 0;
    }
    int rc = start_one(s, d);
    int64_t until_ms = hd_clock_mono_ms().v + META_HEAD_START_MS;
    *started += rc == 0;
    while (rc == 0 && !d->ready && hd_clock_mono_ms().v < until_ms) {
        rc = wait_some(s, until_ms - hd_clock_mono_ms().v);
    }
    return rc;
}

int hd_start(const struct hd_cluster *c, const struct hd_start_options *options, int *ret_started)
{
    HD_AUTO(start_done) struct start s;
    int started = 0;
    int rc = start_init(&s, c, options);
    if (rc < 0) {
        return rc;
    }
    note_running(&s);
    rc = start_meta(&s, &started);
    if (rc == 0) {
        rc = start_rest(&s, &started);
    }
    if (rc == 0) {
        rc = wait_all_ready(&s);
    }
    if (rc == 0) {
        rc = wait_usable(&s);
    }
    if (ret_started != NULL) {
        *ret_started = started;
    }
    return rc;
}
