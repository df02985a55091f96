/*
 * The end of a job on the cluster, on a worker thread. The staging directory is complete, _SUCCESS
 * included, before one rename makes it the output: whoever looks sees nothing or everything. What
 * it replaces is set aside by a rename just before, and removed after; put back when there is no
 * after.
 */
#include "fs/base/error.h"
#include "fs/os/log.h"
#include "runner/manager/manager.h"

#include <errno.h>

/* What is not a part of the output: files of attempts whose agent died before it could remove them.
 */
static int remove_leftovers(struct hd_fs *fs, const char *staging)
{
    struct hd_dir *dir;
    struct hd_stat st = {0};
    char path[HD_MANAGER_PATH_BYTES];
    int err = hd_dir_open(fs, staging, "", &dir);
    if (err < 0) {
        return err;
    }
    int got;
    while ((got = hd_dir_next(dir, &st)) == 1) {
        if (strncmp(st.name, "_attempt_", 9) == 0) {
            snprintf(path, sizeof(path), "%s/%s", staging, st.name);
            err = hd_fs_delete(fs, path, false);
            if (err < 0) {
                got = err;
            }
        }
        hd_stat_done(&st);
        if (got < 0) {
            break;
        }
    }
    hd_dir_close(dir);
    return got;
}

static void put_back(struct hd_mjob *job, struct hd_fs *fs)
{
    int err = hd_fs_rename(fs, job->replaced, job->spec->output, false);
    if (err < 0 && err != -ENOENT) {
        hd_log_warn("what was set aside stays there", "job=%s path=%s error=\"%s\"", job->id,
                    job->replaced, hd_fail_describe(err));
    }
}

static void drop_replaced(struct hd_mjob *job, struct hd_fs *fs)
{
    int err = hd_fs_delete(fs, job->replaced, true);
    if (err < 0) {
        hd_log_warn("what was replaced cannot be removed", "job=%s path=%s error=\"%s\"", job->id,
                    job->replaced, hd_fail_describe(err));
    }
}

void hd_commit_tidy(struct hd_mjob *job, struct hd_fs *fs)
{
    if (job->replaced == NULL) {
        return;
    }
    if (job->committed) {
        drop_replaced(job, fs);
    } else {
        put_back(job, fs);
    }
}

/* What stands where the output belongs moves away. 0 when nothing does. */
static int set_aside(struct hd_mjob *job, struct hd_fs *fs)
{
    int err = hd_fs_rename(fs, job->spec->output, job->replaced, false);
    return err == -ENOENT ? 0 : err;
}

/* Did the rename that was answered with an error, or by nobody, happen all the same? */
static bool is_ours(const struct hd_mjob *job, struct hd_fs *fs)
{
    struct hd_stat st;
    if (hd_fs_stat(fs, job->spec->output, &st) < 0) {
        return false;
    }
    bool ours = st.ino == job->staging_ino;
    hd_stat_done(&st);
    return ours;
}

static int make_output(struct hd_mjob *job, struct hd_fs *fs)
{
    int err = job->replaced != NULL ? set_aside(job, fs) : 0;
    if (err < 0) {
        return err;
    }
    err = hd_fs_rename(fs, job->staging, job->spec->output, false);
    if (err < 0) {
        char sentence[HD_FAIL_TEXT_BYTES];
        snprintf(sentence, sizeof(sentence), "%s", hd_fail_describe(err));
        err = is_ours(job, fs) ? 0 : hd_fail(err, "%s", sentence);
    }
    if (err == 0 && job->replaced != NULL) {
        drop_replaced(job, fs);
    }
    return err; /* what was set aside is put back by hd_abort_job */
}

int hd_commit_job(struct hd_mjob *job)
{
    struct hd_manager *m = job->manager;
    struct hd_fs *fs;
    struct hd_fs *strict;
    struct hd_file *success;
    char path[HD_MANAGER_PATH_BYTES];
    int err = hd_fs_as(m->fs, job->user, &fs);
    if (err == 0) {
        err = hd_fs_as(m->fs_strict, job->user, &strict);
    }
    if (err == 0) {
        err = remove_leftovers(fs, job->staging);
    }
    if (err < 0) {
        return err;
    }
    if (hd_props_bool(&job->props, "mapreduce.fileoutputcommitter.marksuccessfuljobs", true)) {
        struct hd_create_options o = {.mode = 0644};
        snprintf(path, sizeof(path), "%s/_SUCCESS", job->staging);
        err = hd_file_create(fs, path, &o, &success);
        if (err == 0) {
            err = hd_file_close(success);
        }
    }
    return err == 0 ? make_output(job, strict) : err;
}

void hd_abort_job(struct hd_mjob *job)
{
    struct hd_fs *fs;
    if (hd_fs_as(job->manager->fs, job->user, &fs) == 0) {
        (void)hd_fs_delete(fs, job->staging, true);
        hd_commit_tidy(job, fs);
    }
}
