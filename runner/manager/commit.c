/*
 * The end of a job on the cluster, on a worker thread. The staging directory is complete, _SUCCESS
 * included, before one rename makes it the output: whoever looks sees nothing or everything.
 */
#include "fs/base/error.h"
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
    return err == 0 ? hd_fs_rename(strict, job->staging, job->spec->output, false) : err;
}

void hd_abort_job(struct hd_mjob *job)
{
    struct hd_fs *fs;
    if (hd_fs_as(job->manager->fs, job->user, &fs) == 0) {
        (void)hd_fs_delete(fs, job->staging, true);
    }
}
