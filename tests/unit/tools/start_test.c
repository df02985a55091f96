/*
 * Starting and stopping, with stub daemons: this program under other names. What a stub does is
 * decided by the [meta] stub key of its howdah.conf, before main runs.
 */
#include "tools/process.h"
#include "tools/start.h"
#include "tools/up_lock.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The stub: runs instead of main when the program's name is that of a daemon. */
__attribute__((constructor)) static void be_a_stub(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (slash == NULL || strncmp(slash + 1, "howdah-", 7) != 0 || argc < 3) {
        return;
    }
    struct hd_buf conf = {0};
    if (hd_file_read(argv[2], 65536, &conf) < 0) {
        _exit(3);
    }
    const char *text = hd_buf_str(&conf);
    if (strstr(text, "stub = dies") != NULL) {
        dprintf(STDERR_FILENO, "stub: the disk is on fire\n");
        _exit(7);
    }
    if (strstr(text, "stub = stubborn") != NULL) {
        signal(SIGTERM, SIG_IGN);
    }
    if (strstr(text, "stub = silent") == NULL) {
        hd_daemon_notify("READY=1");
    }
    for (;;) {
        pause();
    }
}

struct place {
    char dir[64];
    struct hd_cluster cluster;
};

/* A cluster of one meta in a directory of its own, its program this one. */
static struct place make_place(const char *stub)
{
    struct place p = {.dir = "/tmp/howdah-start-test.XXXXXX"};
    char self[PATH_MAX];
    char path[PATH_MAX];
    ATF_REQUIRE(mkdtemp(p.dir) != NULL);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    ATF_REQUIRE(n > 0);
    self[n] = '\0';
    snprintf(path, sizeof(path), "%s/howdah-meta", p.dir);
    ATF_REQUIRE_EQ(symlink(self, path), 0);
    setenv("PATH", p.dir, 1);
    snprintf(path, sizeof(path), "%s/howdah.conf", p.dir);
    FILE *f = fopen(path, "w");
    ATF_REQUIRE(f != NULL);
    fprintf(f,
            "[cluster]\nuri = hdfs://127.0.0.1:31690\ndir = %s\n[meta]\nrpc_address = "
            "127.0.0.1:31690\nstub = %s\n",
            p.dir, stub);
    fclose(f);
    ATF_REQUIRE_EQ(hd_cluster_load(path, &p.cluster), 0);
    snprintf(path, sizeof(path), "%s/run", p.dir);
    ATF_REQUIRE_EQ(hd_dir_make(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/log", p.dir);
    ATF_REQUIRE_EQ(hd_dir_make(path, 0755), 0);
    return p;
}

static void remove_place(struct place *p)
{
    hd_dir_remove(p->dir);
    hd_cluster_done(&p->cluster);
}

ATF_TC_WITHOUT_HEAD(a_daemon_that_dies_is_named_with_the_end_of_its_log);
ATF_TC_BODY(a_daemon_that_dies_is_named_with_the_end_of_its_log, tc)
{
    struct place p = make_place("dies");
    struct hd_start_options options = {.timeout_ms = 20000};
    int64_t begin_ms = hd_clock_mono_ms().v;
    ATF_CHECK(hd_start(&p.cluster, &options, NULL) < 0);
    ATF_CHECK(hd_clock_mono_ms().v - begin_ms < 5000);
    ATF_CHECK_MATCH("meta ended with exit code 7", hd_fail_text());
    ATF_CHECK_MATCH("the disk is on fire", hd_fail_text());
    ATF_CHECK_EQ(hd_process_find(&p.cluster, &p.cluster.members[0]), 0);
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(a_daemon_that_never_gets_ready_is_an_error_in_time);
ATF_TC_BODY(a_daemon_that_never_gets_ready_is_an_error_in_time, tc)
{
    struct place p = make_place("silent");
    struct hd_start_options options = {.timeout_ms = 700};
    ATF_CHECK_EQ(hd_start(&p.cluster, &options, NULL), -ETIMEDOUT);
    ATF_CHECK_MATCH("meta has not become ready", hd_fail_text());
    ATF_CHECK_EQ(hd_stop(&p.cluster, 5000, NULL), 0);
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(ready_is_not_yet_usable);
ATF_TC_BODY(ready_is_not_yet_usable, tc)
{
    struct place p = make_place("ready"); /* says READY, but nothing answers at its address */
    struct hd_start_options options = {.timeout_ms = 700};
    int started = 0;
    ATF_CHECK_EQ(hd_start(&p.cluster, &options, &started), -ETIMEDOUT);
    ATF_CHECK_MATCH("meta does not answer at 127.0.0.1:31690", hd_fail_text());
    ATF_CHECK_EQ(started, 1);
    pid_t pid = hd_process_find(&p.cluster, &p.cluster.members[0]);
    ATF_CHECK(pid > 0);
    ATF_CHECK(hd_start(&p.cluster, &options, &started) < 0); /* it runs: nothing is started again */
    ATF_CHECK_EQ(started, 0);
    ATF_CHECK_EQ(hd_process_find(&p.cluster, &p.cluster.members[0]), pid);
    ATF_CHECK_EQ(hd_stop(&p.cluster, 5000, NULL), 0);
    ATF_CHECK(!hd_process_alive(pid));
    ATF_CHECK_EQ(hd_process_recorded(&p.cluster, &p.cluster.members[0]), 0);
    ATF_CHECK_EQ(hd_stop(&p.cluster, 5000, NULL), 0);
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(what_ignores_sigterm_is_killed_and_named);
ATF_TC_BODY(what_ignores_sigterm_is_killed_and_named, tc)
{
    struct place p = make_place("stubborn");
    struct hd_start_options options = {.timeout_ms = 300};
    hd_start(&p.cluster, &options, NULL);
    pid_t pid = hd_process_find(&p.cluster, &p.cluster.members[0]);
    ATF_REQUIRE(pid > 0);
    struct hd_buf given_up = {0};
    int64_t begin_ms = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_stop(&p.cluster, 200, &given_up), 0);
    ATF_CHECK(hd_clock_mono_ms().v - begin_ms < 1500);
    ATF_CHECK(!hd_process_alive(pid));
    ATF_CHECK_MATCH("^meta .pid [0-9]+.: did not end in 0.2 s; killed", hd_buf_str(&given_up));
    hd_buf_done(&given_up);
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(a_stopped_process_is_ended_too);
ATF_TC_BODY(a_stopped_process_is_ended_too, tc)
{
    struct place p = make_place("ready");
    struct hd_start_options options = {.timeout_ms = 300};
    hd_start(&p.cluster, &options, NULL);
    pid_t pid = hd_process_find(&p.cluster, &p.cluster.members[0]);
    ATF_REQUIRE(pid > 0);
    kill(pid, SIGSTOP);
    ATF_CHECK_EQ(hd_stop(&p.cluster, 5000, NULL), 0);
    ATF_CHECK(!hd_process_alive(pid));
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(a_missing_program_is_said);
ATF_TC_BODY(a_missing_program_is_said, tc)
{
    struct place p = make_place("ready");
    struct hd_start_options options = {.timeout_ms = 300};
    setenv("PATH", "/nowhere", 1);
    ATF_CHECK_EQ(hd_start(&p.cluster, &options, NULL), -ENOENT);
    ATF_CHECK_MATCH("howdah-meta: no such program", hd_fail_text());
    remove_place(&p);
}

ATF_TC_WITHOUT_HEAD(the_lock_is_held_by_one_at_a_time);
ATF_TC_BODY(the_lock_is_held_by_one_at_a_time, tc)
{
    struct place p = make_place("ready");
    int fd = -1;
    int second = -1;
    ATF_REQUIRE_EQ(hd_up_lock(p.dir, &fd), 0);
    pid_t pid = fork();
    if (pid == 0) { /* waits until the first lets go */
        close(fd);
        _exit(hd_up_lock(p.dir, &second) == 0 ? 0 : 1);
    }
    int status;
    ATF_CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    close(fd);
    ATF_REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    ATF_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_place(&p);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_daemon_that_dies_is_named_with_the_end_of_its_log);
    ATF_TP_ADD_TC(tp, a_daemon_that_never_gets_ready_is_an_error_in_time);
    ATF_TP_ADD_TC(tp, ready_is_not_yet_usable);
    ATF_TP_ADD_TC(tp, what_ignores_sigterm_is_killed_and_named);
    ATF_TP_ADD_TC(tp, a_stopped_process_is_ended_too);
    ATF_TP_ADD_TC(tp, a_missing_program_is_said);
    ATF_TP_ADD_TC(tp, the_lock_is_held_by_one_at_a_time);
    return atf_no_error();
}
