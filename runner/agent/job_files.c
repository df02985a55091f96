/* What an agent keeps of a job: its description, its user, its files. See agent.h. */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/agent/agent.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20 };

static int make_dirs(struct hd_agent_job *job)
{
    static const char *const names[] = {"files", "out", "work"};
    char path[HD_AGENT_PATH_BYTES];
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", job->dir, names[i]);
        int err = hd_dir_make(path, 0755);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static int set_up(struct hd_agent *a, struct hd_agent_job *job)
{
    const Hdw__RunnerJobSpec *spec = job->setup->spec;
    int err = 0;
    for (size_t i = 0; err == 0 && i < spec->n_property; i++) {
        err = hd_props_set(&job->props, spec->property[i]->name, spec->property[i]->value);
    }
    if (err == 0) {
        err = hd_io_props_read(&job->props, &job->io);
    }
    if (err == 0) {
        err = hd_identity_look_up(job->setup->user, &job->identity);
    }
    if (err == 0) {
        err = hd_fs_as(a->fs, job->setup->user, &job->fs);
    }
    if (err == 0) {
        err = make_dirs(job);
    }
    return err;
}

int hd_agent_job_new(struct hd_agent *a, const Hdw__RunnerAssignment *work,
                     struct hd_agent_job **ret)
{
    struct hd_agent_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return -ENOMEM;
    }
    hd_list_init(&job->link);
    hd_arena_init(&job->arena, 0);
    pthread_mutex_init(&job->files_lock, NULL);
    snprintf(job->id, sizeof(job->id), "%.23s", work->key->job);
    job->setup = hd_message_copy(&work->setup->base, &job->arena);
    pthread_mutex_lock(&a->lock);
    uint64_t turn = ++a->jobs_seen; /* a job dropped and taken up again has another folder */
    pthread_mutex_unlock(&a->lock);
    if (job->setup == NULL ||
        asprintf(&job->dir, "%s/jobs/%s.%llu", a->dir, job->id, (unsigned long long)turn) < 0) {
        hd_agent_job_free(job);
        return -ENOMEM;
    }
    job->ready = set_up(a, job);
    if (job->ready < 0) {
        job->ready_text = strdup(hd_fail_describe(job->ready));
    }
    *ret = job;
    return 0;
}

void hd_agent_job_free(struct hd_agent_job *job)
{
    if (job->dir != NULL) {
        (void)hd_dir_remove(job->dir);
    }
    hd_props_done(&job->props);
    hd_identity_done(&job->identity);
    pthread_mutex_destroy(&job->files_lock);
    hd_arena_done(&job->arena);
    free(job->ready_text);
    free(job->dir);
    free(job);
}

/* From the manager, piece by piece. */
static int fetch_upload(struct hd_agent *a, const struct hd_agent_job *job, uint32_t index, int fd)
{
    uint64_t size = job->setup->file_size[index];
    for (uint64_t offset = 0; offset < size;) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        hd_arena_init(&arena, 0);
        Hdw__FetchFileRequest request = HDW__FETCH_FILE_REQUEST__INIT;
        Hdw__FetchFileResponse *response;
        request.job = (char *)(uintptr_t)job->id;
        request.index = index;
        request.offset = offset;
        request.max_bytes = CHUNK_BYTES;
        int err = hd_runner_call(a->manager, "fetchFile", &request,
                                 &hdw__fetch_file_response__descriptor, 0, &arena, &response);
        if (err == 0 && response->data.len == 0) {
            err = hd_fail(-HD_E_TRUNCATED, "file %s of the job ends early",
                          job->setup->spec->file[index]->name);
        }
        if (err == 0) {
            err = hd_fd_pwrite(fd, response->data.data, response->data.len, offset);
        }
        if (err < 0) {
            return err;
        }
        offset += response->data.len;
    }
    return 0;
}

/* From the cluster. */
static int fetch_cluster(const struct hd_agent_job *job, const char *path, int fd)
{
    struct hd_file *file;
    int err = hd_file_open(job->fs, path, &file);
    if (err < 0) {
        return err;
    }
    uint8_t *chunk = malloc(CHUNK_BYTES);
    uint64_t offset = 0;
    int64_t n = chunk != NULL ? 1 : -ENOMEM;
    while (n > 0) {
        n = hd_file_pread(file, chunk, CHUNK_BYTES, offset);
        if (n > 0) {
            err = hd_fd_pwrite(fd, chunk, (size_t)n, offset);
            offset += (uint64_t)n;
            n = err < 0 ? err : n;
        }
    }
    free(chunk);
    (void)hd_file_close(file);
    return (int)n;
}

static int fetch_file(struct hd_agent *a, const struct hd_agent_job *job, uint32_t index)
{
    char path[HD_AGENT_PATH_BYTES];
    const Hdw__RunnerFile *file = job->setup->spec->file[index];
    snprintf(path, sizeof(path), "%s/files/%u", job->dir, index);
    HD_AUTO(hd_fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err =
        file->path != NULL ? fetch_cluster(job, file->path, fd) : fetch_upload(a, job, index, fd);
    if (err == 0 && fchmod(fd, 0755) < 0) {
        err = hd_fail_errno(errno, "%s", path);
    }
    return err;
}

int hd_agent_job_fetch_files(struct hd_agent *a, struct hd_agent_job *job)
{
    int err = 0;
    pthread_mutex_lock(&job->files_lock);
    size_t count = job->setup->spec->n_file;
    if (count > job->setup->n_file_size) {
        err = hd_fail(-HD_E_BAD_MESSAGE, "sizes of the job's files are missing");
    }
    for (uint32_t i = 0; err == 0 && !job->files_done && i < count; i++) {
        err = fetch_file(a, job, i);
    }
    job->files_done = err == 0;
    pthread_mutex_unlock(&job->files_lock);
    return err;
}

/* Hard links, so that the user needs no way to the agent's own folders. */
static int link_files(struct hd_attempt *t)
{
    const struct hd_agent_job *job = t->job;
    char from[HD_AGENT_PATH_BYTES];
    for (uint32_t i = 0; i < job->setup->spec->n_file; i++) {
        const char *name = job->setup->spec->file[i]->name;
        if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0) {
            return hd_fail(-EINVAL, "%s: not a name for a file of the job", name);
        }
        snprintf(from, sizeof(from), "%s/files/%u", job->dir, i);
        if (linkat(AT_FDCWD, from, t->work_fd, name, 0) < 0 && errno != EEXIST) {
            return hd_fail_errno(errno, "link %s to %s/%s", from, t->work_dir, name);
        }
    }
    return 0;
}

int hd_attempt_enter(struct hd_attempt *t)
{
    const struct hd_identity *who = &t->job->identity;
    int err = hd_agent_job_fetch_files(t->agent, t->job);
    if (err < 0) {
        return err;
    }
    if (asprintf(&t->work_dir, "%s/work/%s", t->job->dir, t->name) < 0) {
        t->work_dir = NULL;
        return -ENOMEM;
    }
    if (mkdir(t->work_dir, 0700) < 0) {
        return hd_fail_errno(errno, "%s", t->work_dir);
    }
    t->work_fd = open(t->work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->work_fd < 0 || mkdirat(t->work_fd, "tmp", 0700) < 0) {
        return hd_fail_errno(errno, "%s", t->work_dir);
    }
    err = link_files(t);
    if (err < 0 || !who->switch_user) {
        return err;
    }
    if (fchown(t->work_fd, who->uid, who->gid) < 0 ||
        fchownat(t->work_fd, "tmp", who->uid, who->gid, 0) < 0) {
        return hd_fail_errno(errno, "chown of %s", t->work_dir);
    }
    return 0;
}
