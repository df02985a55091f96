/* Processes: started clean, fed and read at once, known to have closed early, killed when told. */
#include "runner/agent/spawn.h"
#include "fs/base/error.h"
#include "runner/agent/pump.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct feed {
    const char *text;
    size_t left; /* times to give it */
};

static int fill(void *ctx, const uint8_t **data, size_t *size)
{
    struct feed *f = ctx;
    *data = (const uint8_t *)f->text;
    *size = strlen(f->text);
    return f->left > 0 ? (f->left--, 1) : 0;
}

static int take(void *ctx, const uint8_t *line, size_t size)
{
    hd_buf_add(ctx, line, size);
    return hd_buf_add_u8(ctx, '\n');
}

struct result {
    struct hd_buf out;
    struct hd_buf err;
    int status;
    int rc;
    bool closed_early;
};

static void start(const char *const *argv, struct hd_pump *p, pid_t *pid)
{
    static char *const envp[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", NULL};
    struct hd_identity who = {0};
    char path[4096];
    int theirs[3];
    int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ATF_REQUIRE_EQ(hd_pump_pipe(true, &p->in_fd, &theirs[0]), 0);
    ATF_REQUIRE_EQ(hd_pump_pipe(false, &p->out_fd, &theirs[1]), 0);
    ATF_REQUIRE_EQ(hd_pump_pipe(false, &p->err_fd, &theirs[2]), 0);
    ATF_REQUIRE_EQ(hd_spawn_find(argv[0], cwd, "/usr/bin:/bin", path, sizeof(path)), 0);
    struct hd_spawn s = {.path = path,
                         .argv = (char *const *)(uintptr_t)argv,
                         .envp = envp,
                         .cwd_fd = cwd,
                         .stdio = {theirs[0], theirs[1], theirs[2]},
                         .identity = &who};
    ATF_REQUIRE_EQ(hd_spawn(&s, pid), 0);
    for (int i = 0; i < 3; i++) {
        close(theirs[i]);
    }
    close(cwd);
}

static void run(const char *const *argv, const char *text, size_t times, struct result *r)
{
    struct feed f = {text, times};
    struct hd_lines out, err;
    pid_t pid;
    *r = (struct result){0};
    hd_lines_init(&out, take, &r->out, 4096, 1 << 20);
    hd_lines_init(&err, take, &r->err, 4096, 1 << 20);
    struct hd_pump p = {.cancel_fd = eventfd(0, EFD_CLOEXEC),
                        .fill = fill,
                        .fill_ctx = &f,
                        .out = &out,
                        .err = &err};
    start(argv, &p, &pid);
    r->rc = hd_pump_run(&p);
    r->closed_early = p.closed_early;
    ATF_REQUIRE_EQ(waitpid(pid, &r->status, 0), pid);
    close(p.cancel_fd);
    hd_lines_done(&out);
    hd_lines_done(&err);
}

static void result_done(struct result *r)
{
    hd_buf_done(&r->out);
    hd_buf_done(&r->err);
}

#define RUN(r, text, times, ...)                                                                   \
    do {                                                                                           \
        const char *const argv[] = {__VA_ARGS__, NULL};                                            \
        run(argv, text, times, &r);                                                                \
    } while (0)

ATF_TC_WITHOUT_HEAD(much_more_than_a_pipe_holds_goes_through);
ATF_TC_BODY(much_more_than_a_pipe_holds_goes_through, tc)
{
    struct result r;
    RUN(r, "some words of a line\n", 500000, "cat");
    ATF_CHECK_EQ(r.rc, 0);
    ATF_CHECK_EQ(r.status, 0);
    ATF_CHECK_EQ(r.out.size, 500000 * 21);
    result_done(&r);
}

ATF_TC_WITHOUT_HEAD(standard_error_is_kept_apart_and_exit_codes_come_back);
ATF_TC_BODY(standard_error_is_kept_apart_and_exit_codes_come_back, tc)
{
    struct result r;
    RUN(r, "x\n", 1, "sh", "-c", "cat; echo oops >&2; exit 7");
    ATF_CHECK_STREQ(hd_buf_str(&r.out), "x\n");
    ATF_CHECK_STREQ(hd_buf_str(&r.err), "oops\n");
    ATF_CHECK_EQ(WEXITSTATUS(r.status), 7);
    result_done(&r);
}

ATF_TC_WITHOUT_HEAD(closing_stdin_early_is_noticed_and_no_error);
ATF_TC_BODY(closing_stdin_early_is_noticed_and_no_error, tc)
{
    struct result r;
    signal(SIGPIPE, SIG_IGN);
    RUN(r, "line\n", 1000000, "head", "-n", "1");
    ATF_CHECK_EQ(r.rc, 0);
    ATF_CHECK(r.closed_early);
    ATF_CHECK_EQ(r.status, 0);
    ATF_CHECK_STREQ(hd_buf_str(&r.out), "line\n");
    result_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_child_has_only_its_three_descriptors_and_a_clean_signal_state);
ATF_TC_BODY(a_child_has_only_its_three_descriptors_and_a_clean_signal_state, tc)
{
    struct result r;
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
    ATF_REQUIRE(leak > 2);
    signal(SIGPIPE, SIG_IGN);
    RUN(r, "", 0, "sh", "-c",
        "ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk' /proc/self/status | cut -f2");
    const char *out = hd_buf_str(&r.out);
    ATF_CHECK_MSG(strncmp(out, "4\n", 2) == 0, "%s", out); /* and the folder that ls reads */
    ATF_CHECK(strstr(out, "0000000000000000\n0000000000000000\n") != NULL);
    close(leak);
    result_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_program_that_cannot_run_is_an_error);
ATF_TC_BODY(a_program_that_cannot_run_is_an_error, tc)
{
    struct hd_identity who = {0};
    char path[4096];
    pid_t pid;
    int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int null = open("/dev/null", O_RDWR);
    ATF_CHECK_EQ(hd_spawn_find("no-such-program", cwd, "/usr/bin", path, sizeof(path)), -ENOENT);
    char *const argv[] = {(char *)(uintptr_t) "x", NULL};
    struct hd_spawn s = {.path = "./not-here",
                         .argv = argv,
                         .envp = argv + 1,
                         .cwd_fd = cwd,
                         .stdio = {null, null, null},
                         .identity = &who};
    ATF_CHECK_EQ(hd_spawn(&s, &pid), -ENOENT);
    close(cwd);
    close(null);
}

ATF_TC_WITHOUT_HEAD(the_working_directory_comes_before_the_path);
ATF_TC_BODY(the_working_directory_comes_before_the_path, tc)
{
    char path[4096];
    int cwd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FILE *f = fopen("cat", "w");
    fputs("#!/bin/sh\necho mine\n", f);
    fclose(f);
    ATF_REQUIRE_EQ(hd_spawn_find("cat", cwd, "/usr/bin:/bin", path, sizeof(path)), 0);
    ATF_CHECK(path[0] == '/'); /* not executable: passed over */
    ATF_REQUIRE_EQ(chmod("cat", 0755), 0);
    ATF_REQUIRE_EQ(hd_spawn_find("cat", cwd, "/usr/bin:/bin", path, sizeof(path)), 0);
    ATF_CHECK_STREQ(path, "./cat");
    close(cwd);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, much_more_than_a_pipe_holds_goes_through);
    ATF_TP_ADD_TC(tp, standard_error_is_kept_apart_and_exit_codes_come_back);
    ATF_TP_ADD_TC(tp, closing_stdin_early_is_noticed_and_no_error);
    ATF_TP_ADD_TC(tp, a_child_has_only_its_three_descriptors_and_a_clean_signal_state);
    ATF_TP_ADD_TC(tp, a_program_that_cannot_run_is_an_error);
    ATF_TP_ADD_TC(tp, the_working_directory_comes_before_the_path);
    return atf_no_error();
}
