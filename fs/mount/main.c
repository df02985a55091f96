/*
 * howdah-mount: Howdah, or any HDFS, as a file system of this machine. docs/man/howdah-mount.8.
 *
 * Without -f the program mounts in a child, waits until the mount is usable, and leaves; a failure
 * is told on stderr with exit status 1 (64 for a wrong command line, as everywhere in the project).
 */
#include "fs/mount/guard.h"
#include "fs/mount/options.h"
#include "fs/mount/session.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef HD_VERSION
#define HD_VERSION "0.1.0"
#endif

static const char program[] = "howdah-mount";

/* What the waiting parent reads: that the mount is usable. */
enum { READY_BYTE = 'r' };

struct daemon_state {
    int ready_fd; /* of the pipe to the parent; -1 in the foreground */
    const char *log;
    int log_level; /* once the log has a place of its own */
};

/* The terminal is let go; what is logged from here goes to the log file, if there is one. */
static void leave_terminal(const char *log)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out = log != NULL ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(out >= 0 ? out : null, STDERR_FILENO);
    }
    if (out > STDERR_FILENO) {
        close(out);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
}

static void on_ready(void *arg)
{
    struct daemon_state *d = arg;
    if (d->ready_fd < 0) {
        return;
    }
    char byte = READY_BYTE;
    leave_terminal(d->log);
    hd_log_init(program, (enum hd_log_level)d->log_level);
    (void)!write(d->ready_fd, &byte, 1);
    close(d->ready_fd);
    d->ready_fd = -1;
}

/* The parent's part: leaves with 0 once the child says that the mount is usable. */
static int wait_for_child(int fd, pid_t child)
{
    char byte = 0;
    ssize_t n;
    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1 && byte == READY_BYTE) {
        return 0;
    }
    int status = 0;
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        return WEXITSTATUS(status);
    }
    return EXIT_FAILURE;
}

static int make_absolute(struct hd_mount_options *o)
{
    if (o->path[0] == '/') {
        return 0;
    }
    char *here = getcwd(NULL, 0);
    char *path = NULL;
    if (here == NULL || asprintf(&path, "%s/%s", here, o->path) < 0) {
        free(here);
        return hd_fail_errno(errno, "%s", o->path);
    }
    free(here);
    free(o->path);
    o->path = path;
    return 0;
}

static int serve(struct hd_mount_options *o, struct daemon_state *d)
{
    const struct hd_session_hooks hooks = {.ready = on_ready, .arg = d};
    int rc = hd_session_run(o, &hooks);
    if (rc < 0) {
        fprintf(stderr, "howdah-mount: %s\n", hd_fail_describe(rc));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int run(struct hd_mount_options *o)
{
    struct daemon_state d = {
        .ready_fd = -1,
    };
    int rc = hd_mount_options_configure(o);
    if (rc == 0) {
        rc = make_absolute(o);
    }
    if (rc == 0 && o->pretend) {
        rc = hd_session_check(o);
    }
    if (rc < 0 || o->pretend) {
        if (rc < 0) {
            fprintf(stderr, "howdah-mount: %s\n", hd_fail_describe(rc));
        }
        return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    d.log = o->log;
    d.log_level = o->log_level;
    if (o->foreground) {
        return serve(o, &d);
    }
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        perror("howdah-mount: pipe");
        return EXIT_FAILURE;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("howdah-mount: fork");
        return EXIT_FAILURE;
    }
    if (child > 0) {
        close(fds[1]);
        return wait_for_child(fds[0], child);
    }
    close(fds[0]);
    hd_log_init(program, HD_LOG_ERROR); /* to a terminal failures are told in words, below */
    (void)setsid();
    (void)!chdir("/");
    d.ready_fd = fds[1];
    return serve(o, &d);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--guard") == 0) {
        return hd_guard_main(argc, argv);
    }
    struct hd_mount_options o;
    hd_mount_options_init(&o, geteuid() == 0);
    int rc = hd_mount_options_parse(&o, argc, argv);
    int status;
    if (rc < 0) {
        fprintf(stderr, "howdah-mount: %s\n", hd_fail_describe(rc));
        status = EX_USAGE;
    } else if (o.help) {
        fputs(hd_mount_options_usage(), stdout);
        status = EXIT_SUCCESS;
    } else if (o.version) {
        puts("howdah-mount " HD_VERSION);
        status = EXIT_SUCCESS;
    } else {
        hd_log_init(program, (enum hd_log_level)o.log_level);
        status = run(&o);
    }
    hd_mount_options_done(&o);
    return status;
}
