/* Local files of clients on their way to the agents: kept under DIR/uploads until the job ends. */
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

int hd_upload_claim(struct hd_mjob *job)
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
        path_of(job->manager, job->spec->file[i]->upload, path);
        if (stat(path, &st) < 0) {
            return hd_fail(-ENOENT, "file %s of the job has not been sent",
                           job->spec->file[i]->name);
        }
        job->file_sizes[i] = (uint64_t)st.st_size;
    }
    return 0;
}

void hd_upload_drop(struct hd_mjob *job)
{
    char path[HD_MANAGER_PATH_BYTES];
    for (size_t i = 0; i < job->spec->n_file; i++) {
        if (job->spec->file[i]->has_upload) {
            path_of(job->manager, job->spec->file[i]->upload, path);
            unlink(path);
        }
    }
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
    path_of(m, job->spec->file[q->index]->upload, path);
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
