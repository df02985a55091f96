/*
 * Drills on the job runner. The drill writes texts whose words it has counted, has `runner` count
 * them while an agent or the manager fails, and compares. A job that ended as failed is run once
 * more on the healed cluster; the verdict says so.
 */
#include "tools/drill/do_job.h"
#include "tools/drill/do_process.h"
#include "tools/drill/drill.h"
#include "tools/process.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORDS = 100,
    FILES = 4,
    LINES = 2000,
    WORDS_A_LINE = 20,
    JOB_HEAD_START_MS = 700, /* until its first tasks run */
    JOB_LIMIT_MS = 120000,
    OUTPUT_MAX_BYTES = 1 << 20,
};

static struct {
    uint64_t counts[WORDS];
    pid_t pid; /* of `runner`; 0: none */
    int runs;
} job; /* one drill at a time, main thread */

static void job_path(const struct hd_drill_run *r, const char *name,
                     char out[HD_LEDGER_PATH_BYTES + 32])
{
    snprintf(out, HD_LEDGER_PATH_BYTES + 32, "%s/%s", r->fs_dir, name);
}

/* ---- input ---- */

static int write_text(struct hd_drill_run *r, struct hd_fs *fs, int n)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    char path[HD_LEDGER_PATH_BYTES + 32];
    char name[32];
    struct hd_file *f;
    struct hd_create_options o = {
        .mode = 0644, .parents = true, .overwrite = true, .sync_on_close = true};
    int rc = 0;
    for (int i = 0; rc == 0 && i < LINES * WORDS_A_LINE; i++) {
        uint64_t word = hd_prng_below(&r->prng, WORDS);
        job.counts[word]++;
        rc = hd_buf_addf(&text, "w%" PRIu64 "%c", word, (i + 1) % WORDS_A_LINE == 0 ? '\n' : ' ');
    }
    snprintf(name, sizeof(name), "job-in/text-%d", n);
    job_path(r, name, path);
    rc = rc == 0 ? hd_file_create(fs, path, &o, &f) : rc;
    if (rc < 0) {
        return rc;
    }
    rc = hd_file_write(f, text.data, text.size);
    int closed = hd_file_close(f);
    return rc < 0 ? rc : closed;
}

static int write_input(struct hd_drill_run *r)
{
    struct hd_fs *fs;
    memset(&job, 0, sizeof(job));
    int rc = hd_cluster_open_fs(&r->cluster, NULL, &fs);
    for (int n = 0; rc == 0 && n < FILES; n++) {
        rc = write_text(r, fs, n);
    }
    if (rc == 0) {
        hd_fs_close(fs);
    }
    return rc;
}

/* ---- the job ---- */

static void output_name(char out[32])
{
    snprintf(out, 32, "job-out-%d", job.runs);
}

static int start_job(struct hd_drill_run *r)
{
    char program[HD_PATH_BYTES];
    char log[HD_PATH_BYTES + 16];
    char in[HD_LEDGER_PATH_BYTES + 32];
    char out[HD_LEDGER_PATH_BYTES + 32];
    char name[32];
    int rc = hd_process_program("runner", program);
    if (rc < 0) {
        return rc;
    }
    job.runs++;
    output_name(name);
    job_path(r, "job-in", in);
    job_path(r, name, out);
    snprintf(log, sizeof(log), "%s/job.log", r->dir);
    const char *const argv[] = {program,
                                "streaming",
                                "--conf",
                                r->cluster.conf,
                                "-input",
                                in,
                                "-output",
                                out,
                                "-mapper",
                                "sleep 1 && tr -cs a-z0-9 '\\n'",
                                "-reducer",
                                "uniq -c",
                                "-numReduceTasks",
                                "2",
                                NULL};
    job.pid = fork();
    if (job.pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        setsid();
        execv(program, (char *const *)argv);
        _exit(127);
    }
    if (job.pid < 0) {
        job.pid = 0;
        return hd_fail_errno(errno, "fork");
    }
    hd_drill_say(r, "job", "a word count of %d words begins", FILES * LINES * WORDS_A_LINE);
    return 0;
}

/* Its exit code, or -ETIMEDOUT after it was ended, or -ECANCELED. */
static int wait_job(struct hd_drill_run *r)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + JOB_LIMIT_MS;
    int status = 0;
    int rc = 0;
    while (waitpid(job.pid, &status, WNOHANG) == 0) {
        rc = hd_drill_wait(r, 50);
        if (rc < 0 || hd_clock_mono_ms().v > deadline_ms) {
            kill(job.pid, SIGKILL);
            waitpid(job.pid, &status, 0);
            job.pid = 0;
            return rc < 0 ? rc
                          : hd_fail(-ETIMEDOUT, "the job has not ended after %d s",
                                    JOB_LIMIT_MS / 1000);
        }
    }
    job.pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* ---- its output ---- */

static int count_output(struct hd_fs *fs, const char *path, uint64_t counts[WORDS])
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    struct hd_file *f;
    int rc = hd_file_open(fs, path, &f);
    if (rc < 0) {
        return rc;
    }
    size_t size = (size_t)hd_file_size(f);
    rc = size <= OUTPUT_MAX_BYTES ? hd_buf_reserve(&text, size + 1) : -HD_E_TOO_LARGE;
    int64_t got = rc == 0 ? hd_file_pread(f, text.data, size, 0) : rc;
    hd_file_close(f);
    if (got < 0) {
        return (int)got;
    }
    text.data[got] = '\0';
    char *rest = (char *)text.data;
    for (const char *line; (line = strsep(&rest, "\n")) != NULL;) {
        uint64_t count;
        unsigned word;
        if (sscanf(line, " %" SCNu64 " w%u", &count, &word) == 2 && word < WORDS) {
            counts[word] += count;
        }
    }
    return 0;
}

static int check_output(struct hd_drill_run *r)
{
    uint64_t counts[WORDS] = {0};
    char dir[HD_LEDGER_PATH_BYTES + 32];
    char path[HD_LEDGER_PATH_BYTES + 320];
    char name[32];
    struct hd_fs *fs;
    struct hd_dir *d;
    struct hd_stat st;
    output_name(name);
    job_path(r, name, dir);
    int rc = hd_cluster_open_fs(&r->cluster, NULL, &fs);
    if (rc < 0) {
        return rc;
    }
    rc = hd_dir_open(fs, dir, "", &d);
    if (rc == 0) {
        while ((rc = hd_dir_next(d, &st)) == 1) {
            snprintf(path, sizeof(path), "%s/%s", dir, st.name);
            rc = strncmp(st.name, "part-", 5) == 0 ? count_output(fs, path, counts) : 0;
            hd_stat_done(&st);
            if (rc < 0) {
                break;
            }
        }
        hd_dir_close(d);
    }
    hd_fs_close(fs);
    for (size_t w = 0; rc == 0 && w < WORDS; w++) {
        if (counts[w] != job.counts[w]) {
            hd_drill_blame(r, "the job counted w%zu %" PRIu64 " times instead of %" PRIu64, w,
                           counts[w], job.counts[w]);
            return 0;
        }
    }
    return rc;
}

/* ---- the drills ---- */

static int begin_job(struct hd_drill_run *r)
{
    int rc = write_input(r);
    rc = rc == 0 ? start_job(r) : rc;
    return rc == 0 ? hd_drill_wait(r, JOB_HEAD_START_MS) : rc;
}

int hd_drill_kill_under_job(struct hd_drill_run *r)
{
    int rc = begin_job(r);
    return rc == 0 ? hd_drill_kill(r) : rc;
}

int hd_drill_pause_under_job(struct hd_drill_run *r)
{
    int rc = begin_job(r);
    return rc == 0 ? hd_drill_pause(r) : rc;
}

int hd_drill_end_job(struct hd_drill_run *r)
{
    int rc = 0;
    pid_t pid = hd_process_find(&r->cluster, r->targets[0]);
    if (pid != 0) {
        kill(pid, SIGCONT);
    }
    rc = hd_drill_start_all(r);
    rc = rc == 0 ? wait_job(r) : rc;
    if (rc > 0) {
        snprintf(r->result.note, sizeof(r->result.note),
                 "The job ended as failed (exit code %d) when its %s did, and was run again.", rc,
                 r->targets[0]->role == HD_ROLE_MANAGER ? "manager" : "agent");
        hd_drill_say(r, "job", "it ended as failed (exit code %d); once more", rc);
        rc = start_job(r);
        rc = rc == 0 ? wait_job(r) : rc;
    }
    if (rc > 0) {
        hd_drill_blame(r, "the job failed on the healed cluster too (exit code %d, %.200s/job.log)",
                       rc, r->dir);
        return 0;
    }
    if (rc == -ETIMEDOUT) {
        hd_drill_blame(r, "%s", hd_fail_describe(rc));
        return 0;
    }
    if (rc == 0) {
        hd_drill_say(r, "job", "it is done; its output is compared");
        rc = check_output(r);
    }
    return rc;
}
