/*
 * The status page: / (jobs, nodes), /job/ID (its tasks over time, as a picture), /metrics (text for
 * Prometheus). Plain HTML, made anew for each request on the loop; it needs no script, and with one
 * it fetches itself every two seconds.
 */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "runner/lib/json.h"
#include "runner/manager/manager.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOBS_SHOWN = 100,
    LANES_MAX = 200, /* of the picture */
    TASKS_SHOWN = 2000,
    PICTURE_WIDTH = 1000,
    LANE_HEIGHT = 12,
};

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n<style>\n"
    ":root{color-scheme:light dark;--line:#8884;--done:#3a8f5c;--run:#3a78c2;--bad:#c0453a}\n"
    "body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem}\n"
    "h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:1.6rem}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;white-space:nowrap}\n"
    "th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line)}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".bar{display:inline-block;width:7rem;height:.7rem;background:var(--line);vertical-align:"
    "middle}\n"
    ".bar i{display:block;height:100%;background:var(--run)}\n"
    ".succeeded,.up,.done{color:var(--done)}.failed,.killed,.lost{color:var(--bad)}\n"
    ".running,.committing,.planning{color:var(--run)}\n"
    "svg .done{fill:var(--done)}svg .failed,svg .killed,svg .lost{fill:var(--bad)}"
    "svg .running{fill:var(--run)}\n"
    "svg text{font:10px system-ui,sans-serif;fill:currentColor}\n"
    "pre{white-space:pre-wrap}code{background:var(--line);padding:0 .25rem}\n"
    "</style>\n";

static const char tail[] =
    "</main><script>\n"
    "setInterval(async()=>{if(document.hidden)return;try{const r=await fetch(location.href);"
    "if(!r.ok)return;const d=new DOMParser().parseFromString(await r.text(),'text/html');"
    "const m=d.querySelector('main');if(m)document.querySelector('main').replaceWith(m)"
    "}catch(e){}},2000)\n"
    "</script></body></html>\n";

static void begin(struct hd_buf *b, const char *title)
{
    (void)hd_buf_addf(b, "%s<title>", head);
    (void)hd_http_escape(b, title);
    (void)hd_buf_addf(b, "</title></head><body><main>\n");
}

static void text(struct hd_buf *b, const char *s)
{
    (void)hd_http_escape(b, s != NULL ? s : "");
}

static void bytes(struct hd_buf *b, uint64_t n)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    double v = (double)n;
    size_t u = 0;
    while (v >= 1000 && u + 1 < HD_ARRAY_COUNT(units)) {
        v /= 1000;
        u++;
    }
    (void)hd_buf_addf(b, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

static const char *kind_of(const struct hd_mjob *job)
{
    return job->spec == NULL ? "" : job->spec->n_input_chain > 0 ? "pipeline" : "streaming";
}

/* ---- / ---- */

static void bar(struct hd_buf *b, uint32_t done, uint32_t all)
{
    unsigned share = all == 0 ? 100 : (unsigned)((uint64_t)done * 100 / all);
    (void)hd_buf_addf(b,
                      "<td><span class=\"bar\"><i style=\"width:%u%%\"></i></span> %" PRIu32
                      "/%" PRIu32 "</td>",
                      share, done, all);
}

static void job_row(struct hd_buf *b, const struct hd_mjob *job, struct hd_arena *arena)
{
    const Hdw__RunnerJobStatus *s = hd_mjob_status(job, arena);
    if (s == NULL) {
        return;
    }
    const char *state = hd_job_state_name(s->state);
    (void)hd_buf_addf(b, "<tr><td><a href=\"/job/%s\">%s</a></td><td>", s->id, s->id);
    text(b, s->name);
    (void)hd_buf_addf(b, "</td><td>%s</td><td>", kind_of(job));
    text(b, s->user);
    (void)hd_buf_addf(b, "</td><td class=\"%s\">%s</td>", state, state);
    bar(b, s->maps_done, s->maps);
    bar(b, s->reduces_done, s->reduces);
    (void)hd_buf_addf(b, "<td class=\"n\">%.2f s</td><td class=\"n\">",
                      (double)s->elapsed_ms / 1000);
    bytes(b, s->bytes_in);
    (void)hd_buf_addf(b, "</td></tr>\n");
}

static void jobs_table(struct hd_manager *m, struct hd_buf *b)
{
    uint32_t shown = 0;
    (void)hd_buf_addf(b, "<h2>Jobs</h2><div class=\"wide\"><table><tr><th>job</th><th>name</th>"
                         "<th>kind</th><th>user</th><th>state</th><th>maps</th><th>reduces</th>"
                         "<th class=\"n\">time</th><th class=\"n\">in</th></tr>\n");
    HD_LIST_FOR(it, &m->jobs)
    {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        hd_arena_init(&arena, 0);
        if (shown++ == JOBS_SHOWN) {
            break;
        }
        job_row(b, HD_LIST_ENTRY(it, struct hd_mjob, link), &arena);
    }
    (void)hd_buf_addf(b, "</table></div>\n");
    if (shown == 0) {
        (void)hd_buf_addf(b, "<p>None yet: <code>runner streaming -input /in -output /out -mapper "
                             "cat</code></p>\n");
    }
}

static uint32_t slots_used(const struct hd_manager *m, const struct hd_magent *a)
{
    const struct hd_sched_agent *s = a->lost ? NULL : hd_sched_agent(m->sched, a->id);
    return s != NULL ? s->used : 0;
}

static void agents_table(struct hd_manager *m, struct hd_buf *b)
{
    (void)hd_buf_addf(b, "<h2>Nodes</h2><div class=\"wide\"><table><tr><th>agent</th><th>state</th>"
                         "<th>tasks of slots</th><th>address</th><th>data node</th></tr>\n");
    HD_LIST_FOR(it, &m->agents)
    {
        const struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        const char *state = a->lost ? "lost" : "up";
        (void)hd_buf_addf(b, "<tr><td>");
        text(b, a->name);
        (void)hd_buf_addf(b, "</td><td class=\"%s\">%s</td>", state, state);
        bar(b, slots_used(m, a), a->lost ? 0 : a->slots);
        (void)hd_buf_addf(b, "<td>");
        text(b, a->address);
        (void)hd_buf_addf(b, "</td><td>");
        text(b, a->data_node);
        (void)hd_buf_addf(b, "</td></tr>\n");
    }
    (void)hd_buf_addf(b, "</table></div>\n");
}

static void queue_line(struct hd_manager *m, struct hd_buf *b)
{
    uint32_t running = 0;
    uint32_t waiting = 0;
    HD_LIST_FOR(it, &m->sched->jobs)
    {
        const struct hd_sched_job *j = HD_LIST_ENTRY(it, struct hd_sched_job, link);
        for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
            running += j->running[kind];
            waiting += j->count[kind] - j->done[kind] - j->running[kind];
        }
    }
    (void)hd_buf_addf(b,
                      "<h2>Queues</h2><p>default: %" PRIu32 " jobs, %" PRIu32
                      " tasks running, %" PRIu32 " waiting</p>\n",
                      m->jobs_running, running, waiting);
}

static void front_page(struct hd_manager *m, struct hd_buf *b)
{
    begin(b, "Howdah runner");
    (void)hd_buf_addf(b, "<h1>Howdah runner</h1><p>");
    text(b, m->settings.uri);
    (void)hd_buf_addf(b, ", manager at ");
    text(b, m->settings.manager_address);
    (void)hd_buf_addf(b, " &middot; <a href=\"/metrics\">metrics</a></p>\n");
    jobs_table(m, b);
    queue_line(m, b);
    agents_table(m, b);
    (void)hd_buf_addf(b, "%s", tail);
}

/* ---- /job/ID ---- */

static void picture_bar(struct hd_buf *b, const Hdw__RunnerTask *t, const Hdw__RunnerAttempt *a,
                        uint32_t lane, uint64_t now_ms, uint64_t all_ms)
{
    uint64_t end = a->has_end_ms ? a->end_ms : now_ms;
    double scale = (double)PICTURE_WIDTH / (double)all_ms;
    double x = (double)a->start_ms * scale;
    double width = HD_MAX((double)(end - HD_MIN(a->start_ms, end)) * scale, 1.5);
    (void)hd_buf_addf(b, "<rect class=\"");
    text(b, a->state);
    (void)hd_buf_addf(b,
                      "\" x=\"%.1f\" y=\"%" PRIu32 "\" width=\"%.1f\" height=\"%d\"><title>%s on ",
                      x, lane * LANE_HEIGHT, width, LANE_HEIGHT - 3, t->id);
    text(b, a->agent);
    (void)hd_buf_addf(b, ": ");
    text(b, a->state);
    (void)hd_buf_addf(b, " %.2f s to %.2f s</title></rect>\n", (double)a->start_ms / 1000,
                      (double)end / 1000);
}

/* Tasks over time, a lane each: those with an attempt, in the order of the plan. */
static void picture(struct hd_buf *b, Hdw__RunnerTask *const *tasks, size_t count, uint64_t all_ms)
{
    uint32_t lanes = 0;
    for (size_t i = 0; i < count && lanes < LANES_MAX; i++) {
        lanes += tasks[i]->n_attempt > 0;
    }
    if (lanes == 0) {
        return;
    }
    (void)hd_buf_addf(b,
                      "<h2>Tasks over time</h2><svg viewBox=\"0 0 %d %" PRIu32
                      "\" width=\"100%%\" role=\"img\" aria-label=\"tasks over time\">\n",
                      PICTURE_WIDTH, lanes * LANE_HEIGHT + 16);
    uint32_t lane = 0;
    for (size_t i = 0; i < count && lane < lanes; i++) {
        for (size_t k = 0; k < tasks[i]->n_attempt; k++) {
            picture_bar(b, tasks[i], tasks[i]->attempt[k], lane, all_ms, all_ms);
        }
        lane += tasks[i]->n_attempt > 0;
    }
    for (int i = 0; i <= 4; i++) {
        (void)hd_buf_addf(b, "<text x=\"%d\" y=\"%" PRIu32 "\" text-anchor=\"%s\">%.2f s</text>\n",
                          PICTURE_WIDTH * i / 4, lanes * LANE_HEIGHT + 12,
                          i == 0   ? "start"
                          : i == 4 ? "end"
                                   : "middle",
                          (double)all_ms * i / 4000);
    }
    (void)hd_buf_addf(b, "</svg>\n");
}

static void task_row(struct hd_buf *b, const Hdw__RunnerTask *t)
{
    const Hdw__RunnerAttempt *a = t->n_attempt > 0 ? t->attempt[t->n_attempt - 1] : NULL;
    (void)hd_buf_addf(b, "<tr><td>%s</td><td class=\"%s\">%s</td><td class=\"n\">%zu</td><td>",
                      t->id, t->state, t->state, t->n_attempt);
    text(b, a != NULL ? a->agent : "");
    (void)hd_buf_addf(b, "</td><td class=\"n\">");
    if (a != NULL && a->has_end_ms) {
        (void)hd_buf_addf(b, "%.2f s", (double)(a->end_ms - a->start_ms) / 1000);
    }
    (void)hd_buf_addf(b, "</td><td>");
    text(b, a != NULL && a->error != NULL ? a->error : t->input);
    (void)hd_buf_addf(b, "</td></tr>\n");
}

static size_t gather_tasks(const struct hd_mjob *job, struct hd_arena *arena,
                           Hdw__RunnerTask ***ret)
{
    size_t room = job->old_task_count;
    size_t count = 0;
    for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
        room += job->tasks[kind] != NULL ? job->count[kind] : 0;
    }
    Hdw__RunnerTask **tasks = HD_ARENA_ARRAY(arena, Hdw__RunnerTask *, room + 1);
    for (size_t i = 0; tasks != NULL && i < job->old_task_count; i++) {
        tasks[count++] = job->old_tasks[i];
    }
    for (int kind = HD_TASK_MAP; tasks != NULL && kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; job->tasks[kind] != NULL && i < job->count[kind]; i++) {
            tasks[count] = hd_mtask_view(job, (enum hd_task_kind)kind, i, arena);
            count += tasks[count] != NULL;
        }
    }
    *ret = tasks;
    return count;
}

static void job_page(const struct hd_mjob *job, struct hd_buf *b)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__RunnerTask **tasks;
    hd_arena_init(&arena, 0);
    const Hdw__RunnerJobStatus *s = hd_mjob_status(job, &arena);
    size_t count = gather_tasks(job, &arena, &tasks);
    if (s == NULL || tasks == NULL) {
        return;
    }
    const char *state = hd_job_state_name(s->state);
    begin(b, s->id);
    (void)hd_buf_addf(b, "<p><a href=\"/\">all jobs</a></p><h1>%s ", s->id);
    text(b, s->name);
    (void)hd_buf_addf(b, "</h1><p><span class=\"%s\">%s</span> after %.2f s, %s of ", state, state,
                      (double)s->elapsed_ms / 1000, kind_of(job));
    text(b, s->user);
    (void)hd_buf_addf(b, ", to ");
    text(b, s->output);
    (void)hd_buf_addf(b, "</p><p>in ");
    bytes(b, s->bytes_in);
    (void)hd_buf_addf(b, ", shuffled ");
    bytes(b, s->bytes_shuffled);
    (void)hd_buf_addf(b, ", out ");
    bytes(b, s->bytes_out);
    (void)hd_buf_addf(b,
                      "; maps %" PRIu32 " local, %" PRIu32 " rack, %" PRIu32 " any; %" PRIu32
                      " failed attempts</p>\n",
                      s->local, s->rack, s->any, s->failed_attempts);
    if (s->failure != NULL) {
        (void)hd_buf_addf(b, "<pre class=\"failed\">");
        text(b, s->failure);
        (void)hd_buf_addf(b, "</pre>\n");
    }
    picture(b, tasks, count, HD_MAX(s->elapsed_ms, (uint64_t)1));
    (void)hd_buf_addf(b, "<h2>Tasks</h2><div class=\"wide\"><table><tr><th>task</th><th>state</th>"
                         "<th class=\"n\">attempts</th><th>on</th><th class=\"n\">time</th>"
                         "<th>input, or what went wrong</th></tr>\n");
    for (size_t i = 0; i < HD_MIN(count, (size_t)TASKS_SHOWN); i++) {
        task_row(b, tasks[i]);
    }
    (void)hd_buf_addf(b, "</table></div>\n");
    if (count > TASKS_SHOWN) {
        (void)hd_buf_addf(b, "<p>and %zu more: <code>runner show %s</code></p>\n",
                          count - TASKS_SHOWN, s->id);
    }
    (void)hd_buf_addf(b, "%s", tail);
}

/* ---- /metrics ---- */

static void metric(struct hd_buf *b, const char *name, const char *type, const char *help)
{
    (void)hd_buf_addf(b, "# HELP howdah_runner_%s %s\n# TYPE howdah_runner_%s %s\n", name, help,
                      name, type);
}

static void metrics(struct hd_manager *m, struct hd_buf *b)
{
    uint32_t agents = 0;
    uint32_t slots = 0;
    uint32_t used = 0;
    uint64_t waiting = 0;
    HD_LIST_FOR(it, &m->agents)
    {
        const struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        agents += !a->lost;
        slots += a->lost ? 0 : a->slots;
        used += slots_used(m, a);
    }
    HD_LIST_FOR(it, &m->sched->jobs)
    {
        const struct hd_sched_job *j = HD_LIST_ENTRY(it, struct hd_sched_job, link);
        for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
            waiting += j->count[kind] - j->done[kind] - j->running[kind];
        }
    }
    metric(b, "jobs_running", "gauge", "Jobs that have not ended.");
    (void)hd_buf_addf(b, "howdah_runner_jobs_running %" PRIu32 "\n", m->jobs_running);
    metric(b, "jobs_ended_total", "counter", "Jobs that ended since the manager started.");
    for (int i = HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED; i <= HDW__RUNNER_JOB_STATE__JOB_KILLED;
         i++) {
        (void)hd_buf_addf(b, "howdah_runner_jobs_ended_total{state=\"%s\"} %" PRIu64 "\n",
                          hd_job_state_name((Hdw__RunnerJobState)i), m->jobs_ended[i]);
    }
    metric(b, "agents", "gauge", "Agents that are up.");
    (void)hd_buf_addf(b, "howdah_runner_agents %" PRIu32 "\n", agents);
    metric(b, "slots", "gauge", "Slots of the agents that are up.");
    (void)hd_buf_addf(b, "howdah_runner_slots %" PRIu32 "\n", slots);
    metric(b, "tasks_running", "gauge", "Tasks that run now.");
    (void)hd_buf_addf(b, "howdah_runner_tasks_running %" PRIu32 "\n", used);
    metric(b, "tasks_waiting", "gauge", "Tasks that wait for a slot or for other tasks.");
    (void)hd_buf_addf(b, "howdah_runner_tasks_waiting %" PRIu64 "\n", waiting);
}

void hd_page(void *manager, const char *path, struct hd_http_answer *ret)
{
    static const char jobs[] = "/job/";
    struct hd_manager *m = manager;
    ret->status = 200;
    ret->type = "text/html; charset=utf-8";
    if (strcmp(path, "/") == 0) {
        front_page(m, &ret->body);
        return;
    }
    if (strcmp(path, "/metrics") == 0) {
        ret->type = "text/plain; version=0.0.4; charset=utf-8";
        metrics(m, &ret->body);
        return;
    }
    const struct hd_mjob *job = strncmp(path, jobs, sizeof(jobs) - 1) == 0
                                    ? hd_mjob_find(m, path + sizeof(jobs) - 1)
                                    : NULL;
    if (job != NULL) {
        job_page(job, &ret->body);
        return;
    }
    ret->status = 404;
    begin(&ret->body, "not here");
    (void)hd_buf_addf(&ret->body, "<p>There is nothing at ");
    text(&ret->body, path);
    (void)hd_buf_addf(&ret->body, ". <a href=\"/\">All jobs</a></p>%s", tail);
}
