/*
 * Local files of clients on their way to the agents: under DIR/uploads while they come in, under
 * DIR/jobs/<job>/files from the submission to the job's end.
 */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "runner/manager/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_MAX_BYTES = 4 << 20 };
static const uint64_t upload_max_bytes = (uint64_t)16 << 30;

static void path_of(const struct hd_manager *m, uint64_t upload, char out[HD_MANAGER_PATH_BYTES])
{
    snprintf(out, HD_MANAGER_PATH_BYTES, "%s/uploads/%016llx", m->dir, (unsigned long long)upload);
}

static int put_piece(const struct hd_manager *m, const Hdw__PutFileRequest *q, uint64_t upload)
{
    char path[HD_MANAGER_PATH_BYTES];
    struct stat st;
    path_of(m, upload, path);
    int flags = O_WRONLY | O_CLOEXEC | (q->upload == 0 ? O_CREAT | O_EXCL : 0);
    HD_AUTO(hd_fd_done) int fd = open(path, flags, 0600);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return hd_fail_errno(errno, "upload %llx", (unsigned long long)upload);
    }
    if ((uint64_t)st.st_size != q->offset || q->offset > upload_max_bytes) {
        return hd_fail(-EINVAL, "pieces of a file come in order");
    }
    return hd_fd_pwrite(fd, q->data.data, q->data.len, q->offset);
}

void hd_upload_put(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__PutFileRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__put_file_request__descriptor);
    Hdw__PutFileResponse response = HDW__PUT_FILE_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    uint64_t upload = q->upload;
    while (upload == 0) {
        hd_random_bytes(&upload, sizeof(upload));
    }
    int err = put_piece(m, q, upload);
    if (err < 0) {
        hd_rpc_reply_error(call, err, hd_fail_describe(err));
        return;
    }
    response.upload = upload;
    hd_rpc_reply(call, &response.base, 0);
}

static void claimed_path(const struct hd_mjob *job, size_t index, char out[HD_MANAGER_PATH_BYTES])
{
    snprintf(out, HD_MANAGER_PATH_BYTES, "%s/jobs/%s/files/%zu", job->manager->dir, job->id, index);
}

static void claimed_dir(const struct hd_manager *m, const char *job,
                        char out[HD_MANAGER_PATH_BYTES])
{
    snprintf(out, HD_MANAGER_PATH_BYTES, "%s/jobs/%s/files", m->dir, job);
}

int hd_upload_look(struct hd_mjob *job)
{
    char path[HD_MANAGER_PATH_BYTES];
    struct stat st;
    size_t count = job->spec->n_file;
    job->file_sizes = HD_ARENA_ARRAY(&job->arena, uint64_t, count + 1);
    job->file_modes = HD_ARENA_ARRAY(&job->arena, uint32_t, count + 1);
    if (job->file_sizes == NULL || job->file_modes == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        job->file_modes[i] = 0755;
        if (!job->spec->file[i]->has_upload) {
            continue;
        }
        claimed_path(job, i, path);
        if (stat(path, &st) < 0) {
            return hd_fail(-ENOENT, "file %s of the job has not been sent",
                           job->spec->file[i]->name);
        }
        job->file_sizes[i] = (uint64_t)st.st_size;
    }
    return 0;
}

int hd_upload_claim(struct hd_mjob *job)
{
    char from[HD_MANAGER_PATH_BYTES];
    char to[HD_MANAGER_PATH_BYTES];
    bool made = false;
    for (size_t i = 0; i < job->spec->n_file; i++) {
        if (!job->spec->file[i]->has_upload) {
            continue;
        }
        claimed_dir(job->manager, job->id, to);
        int err = made ? 0 : hd_dir_make(to, 0700);
        if (err < 0) {
            return err;
        }
        made = true;
        path_of(job->manager, job->spec->file[i]->upload, from);
        claimed_path(job, i, to);
        if (rename(from, to) < 0 && errno != ENOENT) { /* what is missing, look() tells */
            return hd_fail_errno(errno, "%s", to);
        }
    }
    return hd_upload_look(job);
}

int hd_upload_sync(struct hd_mjob *job)
{
    char path[HD_MANAGER_PATH_BYTES];
    bool any = false;
    for (size_t i = 0; i < job->spec->n_file; i++) {
        if (!job->spec->file[i]->has_upload) {
            continue;
        }
        claimed_path(job, i, path);
        HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fdatasync(fd) < 0) {
            return hd_fail_errno(errno, "%s", path);
        }
        any = true;
    }
    claimed_dir(job->manager, job->id, path);
    return any ? hd_dir_sync(path) : 0;
}

void hd_upload_drop(const struct hd_manager *m, const char *job)
{
    char path[HD_MANAGER_PATH_BYTES];
    claimed_dir(m, job, path);
    (void)hd_dir_remove(path);
}

void hd_upload_fetch(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__FetchFileRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__fetch_file_request__descriptor);
    Hdw__FetchFileResponse response = HDW__FETCH_FILE_RESPONSE__INIT;
    char path[HD_MANAGER_PATH_BYTES];
    if (q == NULL) {
        return;
    }
    const struct hd_mjob *job = hd_mjob_find(m, q->job);
    size_t size = HD_MIN(q->max_bytes, (uint32_t)PIECE_MAX_BYTES);
    uint8_t *data = hd_arena_alloc(&call->arena, size + 1);
    if (job == NULL || data == NULL || job->spec == NULL || q->index >= job->spec->n_file ||
        !job->spec->file[q->index]->has_upload) {
        hd_rpc_reply_error(call, -ENOENT, "no such file of a job");
        return;
    }
    claimed_path(job, q->index, path);
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? pread(fd, data, size, (off_t)q->offset) : -1;
    if (n < 0) {
        hd_rpc_reply_error(call, -errno, "cannot read the file");
        return;
    }
    response.data.data = data;
    response.data.len = (size_t)n;
    hd_rpc_reply(call, &response.base, 0);
}
