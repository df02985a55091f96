/*
 * job.record: what the manager needs to begin a job anew. Durable before the job's submission is
 * answered, removed when the job's end is in its history. CRC-32C of the message, big-endian, then
 * the message (RunnerJobRecord).
 */
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/manager/manager.h"

#include <errno.h>
#include <unistd.h>

enum { RECORD_MAX_BYTES = 64 << 20, CRC_BYTES = 4 };

void hd_record_path(const struct hd_manager *m, const char *job, char out[HD_MANAGER_PATH_BYTES])
{
    snprintf(out, HD_MANAGER_PATH_BYTES, "%s/jobs/%s/job.record", m->dir, job);
}

static int write_record(struct hd_mjob *job, bool ends)
{
    char path[HD_MANAGER_PATH_BYTES];
    Hdw__RunnerJobRecord r = HDW__RUNNER_JOB_RECORD__INIT;
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    r.spec = job->spec;
    r.user = job->user;
    r.submitted_ms = (uint64_t)job->submitted_wall_ms;
    r.lives = job->lives;
    r.staging = job->staging;
    r.staging_ino = job->staging_ino;
    r.has_end = ends;
    r.end = ends ? job->end_state : HDW__RUNNER_JOB_STATE__JOB_PLANNING;
    r.failure = ends ? job->failure : NULL;
    size_t size = hdw__runner_job_record__get_packed_size(&r);
    int err = hd_buf_reserve(&b, CRC_BYTES + size);
    if (err < 0) {
        return err;
    }
    b.size = CRC_BYTES + hdw__runner_job_record__pack(&r, b.data + CRC_BYTES);
    hd_put_be32(b.data, hd_crc32c(0, b.data + CRC_BYTES, size));
    snprintf(path, sizeof(path), "%s/jobs/%s", job->manager->dir, job->id);
    err = hd_dir_make(path, 0755);
    if (err == 0) {
        err = hd_dir_sync_parent(path);
    }
    if (err == 0 && !ends) {
        err = hd_upload_sync(job);
    }
    hd_record_path(job->manager, job->id, path);
    return err == 0 ? hd_file_replace(path, b.data, b.size, 0600) : err;
}

int hd_record_write(struct hd_mjob *job)
{
    return write_record(job, false);
}

int hd_record_end(struct hd_mjob *job)
{
    return write_record(job, true);
}

void hd_record_forget(struct hd_mjob *job)
{
    char path[HD_MANAGER_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/jobs/%s", job->manager->dir, job->id);
    (void)hd_dir_remove(path);
}

int hd_record_resume(struct hd_manager *m, const char *id)
{
    char path[HD_MANAGER_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    hd_record_path(m, id, path);
    if (access(path, F_OK) < 0) {
        return 0;
    }
    int err = hd_file_read(path, RECORD_MAX_BYTES, &b);
    bool whole = err == 0 && b.size > CRC_BYTES &&
                 hd_get_be32(b.data) == hd_crc32c(0, b.data + CRC_BYTES, b.size - CRC_BYTES);
    Hdw__RunnerJobRecord *r =
        whole ? hdw__runner_job_record__unpack(NULL, b.size - CRC_BYTES, b.data + CRC_BYTES) : NULL;
    if (err == 0 && r == NULL) {
        err = hd_fail(-HD_E_CORRUPT, "%s is damaged: the job cannot go on", path);
    }
    if (err == 0) {
        err = hd_mjob_resume(m, id, r);
    }
    if (r != NULL) {
        hdw__runner_job_record__free_unpacked(r, NULL);
    }
    if (err < 0) {
        hd_log_error("job cannot go on", "job=%s error=\"%s\"", id, hd_fail_describe(err));
        return err;
    }
    return 1;
}
