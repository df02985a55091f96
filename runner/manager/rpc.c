/* The table of methods. See manager.h; runner.proto says what each means. */
#include "fs/base/error.h"
#include "runner/lib/call.h"
#include "runner/manager/manager.h"

#include <errno.h>
#include <string.h>

static void kill_job(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__KillJobRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__kill_job_request__descriptor);
    Hdw__KillJobResponse response = HDW__KILL_JOB_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    struct hd_mjob *job = hd_mjob_find(m, q->job);
    if (job == NULL) {
        hd_rpc_reply_error(call, -ENOENT, "no such job");
        return;
    }
    bool may = job->user == NULL || strcmp(job->user, call->user) == 0 ||
               strcmp(hd_fs_user(m->fs), call->user) == 0;
    if (!may) {
        hd_rpc_reply_error(call, -EACCES, "the job belongs to another user");
        return;
    }
    response.killed = job->state <= HDW__RUNNER_JOB_STATE__JOB_RUNNING;
    if (response.killed) {
        char why[300];
        snprintf(why, sizeof(why), "killed by %.200s", call->user);
        hd_mjob_fail(job, HDW__RUNNER_JOB_STATE__JOB_KILLED, why);
    }
    hd_rpc_reply(call, &response.base, 0);
}

static void commit_task(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__CommitTaskRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__commit_task_request__descriptor);
    Hdw__CommitTaskResponse response = HDW__COMMIT_TASK_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    struct hd_mjob *job = hd_mjob_find(m, q->key->job);
    response.granted = job != NULL && job->sched != NULL &&
                       (unsigned)q->key->kind <= HD_TASK_REDUCE &&
                       hd_sched_grant(job->sched, (enum hd_task_kind)q->key->kind, q->key->index,
                                      q->key->number, q->agent_id);
    hd_rpc_reply(call, &response.base, 0);
}

static const struct {
    const char *protocol;
    const char *method;
    void (*fn)(struct hd_manager *m, struct hd_rpc_call *call);
} methods[] = {
    {HD_RUNNER_PROTOCOL, "getStatus", hd_view_status},
    {HD_RUNNER_PROTOCOL, "putFile", hd_upload_put},
    {HD_RUNNER_PROTOCOL, "submit", hd_mjob_submit},
    {HD_RUNNER_PROTOCOL, "watch", hd_mjob_watch},
    {HD_RUNNER_PROTOCOL, "listJobs", hd_view_list},
    {HD_RUNNER_PROTOCOL, "showJob", hd_view_show},
    {HD_RUNNER_PROTOCOL, "getLogs", hd_history_logs},
    {HD_RUNNER_PROTOCOL, "killJob", kill_job},
    {HD_AGENT_PROTOCOL, "register", hd_magent_register},
    {HD_AGENT_PROTOCOL, "nextWork", hd_magent_next_work},
    {HD_AGENT_PROTOCOL, "report", hd_mjob_report},
    {HD_AGENT_PROTOCOL, "commitTask", commit_task},
    {HD_AGENT_PROTOCOL, "fetchFile", hd_upload_fetch},
};

void hd_manager_on_call(void *manager, struct hd_rpc_call *call)
{
    struct hd_manager *m = manager;
    for (size_t i = 0; i < HD_ARRAY_COUNT(methods); i++) {
        if (strcmp(methods[i].method, call->method) != 0 ||
            strcmp(methods[i].protocol, call->protocol) != 0) {
            continue;
        }
        /* An agent that starts tasks as those who submitted them is root. */
        bool trusted =
            strcmp(call->user, hd_fs_user(m->fs)) == 0 || strcmp(call->user, "root") == 0;
        if (strcmp(call->protocol, HD_AGENT_PROTOCOL) == 0 && !trusted) {
            hd_rpc_reply_error(call, -EACCES, "agents run as root or as the user of the manager");
            return;
        }
        methods[i].fn(m, call);
        return;
    }
    hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, call->method);
}

void hd_manager_on_close(void *manager, uint64_t conn_id)
{
    hd_magent_closed(manager, conn_id);
}
