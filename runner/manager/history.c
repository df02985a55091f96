/*
 * What stays of a job: DIR/jobs/<job>/job.json and logs/<attempt>.stderr, plain files. A job that
 * has a record (record.c) was not at its end when its manager was: it goes on.
 */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/lib/json.h"
#include "runner/manager/manager.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { JSON_MAX_BYTES = 64 << 20, LOG_MAX_BYTES = 1 << 20, LOGS_MAX = 1000 };

struct save_work {
    struct hd_work work;
    char dir[HD_MANAGER_PATH_BYTES];
    char name[HD_NAME_BYTES + 16];
    char job[HD_JOB_ID_BYTES];
    char *data; /* malloc'd (jansson's or ours) */
    size_t size;
    bool end; /* the job's end: its record goes when this is on disk */
};

static void save_fn(struct hd_work *w)
{
    struct save_work *s = HD_CONTAINER(w, struct save_work, work);
    char path[HD_MANAGER_PATH_BYTES + 128];
    int err = hd_dir_make(s->dir, 0755);
    snprintf(path, sizeof(path), "%s/%s", s->dir, s->name);
    if (err == 0) {
        err = hd_file_replace(path, s->data, s->size, 0644);
    }
    if (err < 0) {
        hd_log_warn("history cannot be written", "error=\"%s\"", hd_fail_describe(err));
    } else if (s->end) {
        hd_record_path(w->manager, s->job, path);
        (void)unlink(path);
        hd_upload_drop(w->manager, s->job); /* not before: a record without its files is no job */
    }
    free(s->data);
}

static void save(struct hd_mjob *job, const char *sub, const char *name, char *data, size_t size,
                 bool end)
{
    struct save_work *s = calloc(1, sizeof(*s));
    if (s == NULL || data == NULL) {
        free(s);
        free(data);
        return;
    }
    s->work.fn = save_fn;
    snprintf(s->dir, sizeof(s->dir), "%s/jobs/%s%s", job->manager->dir, job->id, sub);
    snprintf(s->name, sizeof(s->name), "%s", name);
    memcpy(s->job, job->id, sizeof(s->job));
    s->data = data;
    s->size = size;
    s->end = end;
    hd_work_submit(job->manager, &s->work);
}

void hd_history_save(struct hd_mjob *job)
{
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__RunnerJobStatus *status = hd_mjob_status(job, &arena);
    json_t *o = status != NULL ? hd_job_json(status) : NULL;
    json_t *tasks = json_array();
    for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; job->tasks[kind] != NULL && i < job->count[kind]; i++) {
            Hdw__RunnerTask *t = hd_mtask_view(job, (enum hd_task_kind)kind, i, &arena);
            if (t != NULL) {
                json_array_append_new(tasks, hd_task_json(t));
            }
        }
    }
    json_object_set_new(o, "tasks", tasks);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    hd_arena_done(&arena);
    save(job, "", "job.json", text, text != NULL ? strlen(text) : 0, true);
}

void hd_history_log(struct hd_mjob *job, const char *attempt, const uint8_t *data, size_t size)
{
    char name[HD_NAME_BYTES + 16];
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, data, size);
    }
    snprintf(name, sizeof(name), "%.60s.stderr", attempt);
    save(job, "/logs", name, copy, size, false);
}

/* ---- at start ---- */

static int by_name_descending(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*b)->d_name, (*a)->d_name);
}

static int is_job(const struct dirent *d)
{
    return hd_job_id_valid(d->d_name);
}

static void load_tasks(struct hd_mjob *job, const json_t *o)
{
    const json_t *list = json_object_get(o, "tasks");
    size_t count = json_array_size(list);
    job->old_tasks = HD_ARENA_ARRAY(&job->arena, Hdw__RunnerTask *, count + 1);
    for (size_t i = 0; job->old_tasks != NULL && i < count; i++) {
        Hdw__RunnerTask *t = hd_task_from_json(json_array_get(list, i), &job->arena);
        if (t != NULL) {
            job->old_tasks[job->old_task_count++] = t;
        }
    }
}

static void load_job(struct hd_manager *m, const char *id)
{
    char path[HD_MANAGER_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    snprintf(path, sizeof(path), "%s/jobs/%s/job.json", m->dir, id);
    struct hd_mjob *job = calloc(1, sizeof(*job));
    if (job == NULL || hd_file_read(path, JSON_MAX_BYTES, &text) < 0) {
        free(job);
        return;
    }
    json_t *o = json_loadb((const char *)text.data, text.size, 0, NULL);
    job->manager = m;
    hd_arena_init(&job->arena, 0);
    hd_list_init(&job->watchers);
    snprintf(job->id, sizeof(job->id), "%.23s", id);
    job->old = hd_job_from_json(o, &job->arena);
    if (job->old == NULL) {
        json_decref(o);
        hd_arena_done(&job->arena);
        free(job);
        return;
    }
    load_tasks(job, o);
    json_decref(o);
    if (!hd_job_state_final(job->old->state)) {
        job->old->state = HDW__RUNNER_JOB_STATE__JOB_FAILED;
        job->old->failure = hd_arena_str(&job->arena, "its record on the manager's disk was lost");
    }
    job->user = job->old->user;
    job->state = job->old->state;
    job->version = 1;
    hd_list_push_back(&m->jobs, &job->link);
    m->jobs_kept++;
}

int hd_history_load(struct hd_manager *m)
{
    char path[HD_MANAGER_PATH_BYTES];
    struct dirent **names;
    snprintf(path, sizeof(path), "%s/jobs", m->dir);
    int err = hd_dir_make(path, 0755);
    if (err < 0) {
        return err;
    }
    int count = scandir(path, &names, is_job, by_name_descending);
    if (count < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    for (int i = 0; i < count; i++) {
        if (i == 0) {
            snprintf(m->today, sizeof(m->today), "%.8s", names[i]->d_name);
            m->today_number = (uint32_t)strtoul(names[i]->d_name + 9, NULL, 10);
        }
        if (hd_record_resume(m, names[i]->d_name) <= 0 && i < HD_MANAGER_JOBS_KEPT) {
            load_job(m, names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
    return 0;
}

/* ---- logs ---- */

struct logs_work {
    struct hd_work work;
    struct hd_rpc_call *call;
    Hdw__GetLogsResponse response;
    char job[HD_JOB_ID_BYTES];
};

/* The texts, on a worker: the call's arena is ours until it is answered. */
static void logs_fn(struct hd_work *w)
{
    struct logs_work *l = HD_CONTAINER(w, struct logs_work, work);
    char path[HD_MANAGER_PATH_BYTES];
    for (size_t i = 0; i < l->response.n_log; i++) {
        Hdw__GetLogsResponse__Log *log = l->response.log[i];
        HD_AUTO(hd_buf_done) struct hd_buf text = {0};
        snprintf(path, sizeof(path), "%s/jobs/%s/logs/%s_%u.stderr", w->manager->dir, l->job,
                 log->task, log->attempt->number);
        if (hd_file_read(path, LOG_MAX_BYTES, &text) == 0 && text.size > 0) {
            log->text.data = hd_arena_copy(&l->call->arena, text.data, text.size);
            log->text.len = log->text.data != NULL ? text.size : 0;
            log->has_text = true;
        }
    }
}

static void logs_done(struct hd_work *w)
{
    struct logs_work *l = HD_CONTAINER(w, struct logs_work, work);
    hd_rpc_reply(l->call, &l->response.base, 0);
    free(l);
}

static void add_logs(struct logs_work *l, const Hdw__GetLogsRequest *q, const Hdw__RunnerTask *t)
{
    struct hd_arena *arena = &l->call->arena;
    if (q->task != NULL && strcmp(q->task, t->id) != 0) {
        return;
    }
    for (size_t i = 0; i < t->n_attempt && l->response.n_log < LOGS_MAX; i++) {
        bool failed = strcmp(t->attempt[i]->state, "failed") == 0;
        Hdw__GetLogsResponse__Log *log =
            !q->failed || failed ? HD_ARENA_NEW(arena, Hdw__GetLogsResponse__Log) : NULL;
        if (log == NULL) {
            continue;
        }
        hdw__get_logs_response__log__init(log);
        log->task = hd_arena_str(arena, t->id);
        log->input = t->input != NULL ? hd_arena_str(arena, t->input) : NULL;
        /* The job may go while a worker reads: nothing of it is kept by reference. */
        Hdw__RunnerAttempt *a = hd_arena_copy(arena, t->attempt[i], sizeof(*a));
        if (log->task == NULL || a == NULL) {
            continue;
        }
        a->agent = hd_arena_str(arena, a->agent);
        a->state = hd_arena_str(arena, a->state);
        a->error = a->error != NULL ? hd_arena_str(arena, a->error) : NULL;
        a->locality = a->locality != NULL ? hd_arena_str(arena, a->locality) : NULL;
        log->attempt = a;
        l->response.log[l->response.n_log++] = log;
    }
}

void hd_history_logs(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__GetLogsRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__get_logs_request__descriptor);
    if (q == NULL) {
        return;
    }
    const struct hd_mjob *job = hd_mjob_find(m, q->job);
    struct logs_work *l = job != NULL ? calloc(1, sizeof(*l)) : NULL;
    if (l == NULL) {
        hd_rpc_reply_error(call, job == NULL ? -ENOENT : -ENOMEM, job == NULL ? "no such job" : "");
        return;
    }
    hdw__get_logs_response__init(&l->response);
    l->work.fn = logs_fn;
    l->work.done = logs_done;
    l->call = call;
    memcpy(l->job, job->id, sizeof(l->job));
    l->response.log = HD_ARENA_ARRAY(&call->arena, Hdw__GetLogsResponse__Log *, LOGS_MAX);
    for (size_t i = 0; l->response.log != NULL && i < job->old_task_count; i++) {
        add_logs(l, q, job->old_tasks[i]);
    }
    for (int kind = HD_TASK_MAP; l->response.log != NULL && kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; job->tasks[kind] != NULL && i < job->count[kind]; i++) {
            Hdw__RunnerTask *t = hd_mtask_view(job, (enum hd_task_kind)kind, i, &call->arena);
            if (t != NULL) {
                add_logs(l, q, t);
            }
        }
    }
    hd_work_submit(m, &l->work);
}
