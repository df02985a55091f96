/* runner ps, history, show, logs, kill, wait. See cli.h. */
#include "fs/base/error.h"
#include "runner/cli/look.h"
#include "runner/lib/call.h"
#include "runner/lib/json.h"
#include "runner/lib/names.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

static int usage(const struct hd_look_verb *v, const char *why)
{
    hd_cli_say("%s\nUsage: runner %s", why, v->usage);
    return HD_EXIT_USAGE;
}

static int parse(struct hd_look *l, const struct hd_look_verb *v, int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'},
        {"all", no_argument, NULL, 'a'},
        {"failed", no_argument, NULL, 'f'},
        {"conf", required_argument, NULL, 'c'},
        {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, "ah", longs, NULL)) != -1) {
        switch (c) {
        case 'j':
            l->json = true;
            break;
        case 'a':
            l->all = true;
            break;
        case 'f':
            l->failed = true;
            break;
        case 'c':
            l->conf = optarg;
            break;
        case 'd':
            l->dir = optarg;
            break;
        case 'h':
            printf("Usage: runner %s\n\n%s", v->usage, v->help);
            exit(0);
        default:
            return usage(v, "unknown option");
        }
    }
    for (; optind < argc; optind++) {
        if (l->word_count == v->max_words) {
            return usage(v, "too many words");
        }
        l->words[l->word_count++] = argv[optind];
    }
    return l->word_count < v->min_words ? usage(v, "which job?") : 0;
}

int hd_look_start(struct hd_look *l, const struct hd_look_verb *v, int argc, char **argv)
{
    *l = (struct hd_look){0};
    hd_arena_init(&l->arena, 0);
    int rc = parse(l, v, argc, argv);
    if (rc == 0 && v->max_words > 0 && !hd_job_id_valid(l->words[0])) {
        hd_cli_say("%s: not a job id (20261122-0007)", l->words[0]);
        rc = HD_EXIT_USAGE;
    }
    return rc == 0 ? hd_cli_open(&l->cli, l->conf, l->dir) : rc;
}

int hd_look_end(struct hd_look *l, int rc)
{
    hd_cli_close(&l->cli);
    hd_arena_done(&l->arena);
    return rc;
}

int hd_look_call(struct hd_look *l, const char *method, const void *request,
                 const ProtobufCMessageDescriptor *type, void *ret)
{
    int err = hd_runner_call(l->cli.manager, method, request, type, 0, &l->arena, ret);
    if (err == 0) {
        return 0;
    }
    hd_cli_say("%s%s%s", l->words[0] != NULL ? l->words[0] : l->cli.settings.manager_address, ": ",
               hd_fail_describe(err));
    return hd_cli_exit_code(err);
}

int hd_look_print_json(json_t *o)
{
    int rc = o != NULL && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
    putchar('\n');
    json_decref(o);
    return rc;
}

/* ---- ps, history ---- */

static void print_row(const Hdw__RunnerJobStatus *s)
{
    char in[32];
    printf("%-14s %-10s %-10s %6u/%-6u %6u/%-6u %9.2f s %9s  %s\n", s->id, s->user,
           hd_job_state_name(s->state), s->maps_done, s->maps, s->reduces_done, s->reduces,
           (double)s->elapsed_ms / 1000, hd_size_text(s->bytes_in, in), s->name);
}

static int list(int argc, char **argv, bool all)
{
    static const struct hd_look_verb ps = {
        "ps [--all] [--json]", "Lists running jobs; --all also those that ended.\n", 0, 0};
    static const struct hd_look_verb history = {"history [--json]",
                                                "Lists all jobs, newest first.\n", 0, 0};
    struct hd_look l;
    int rc = hd_look_start(&l, all ? &history : &ps, argc, argv);
    Hdw__ListJobsRequest request = HDW__LIST_JOBS_REQUEST__INIT;
    Hdw__ListJobsResponse *response;
    request.all = all || l.all;
    if (rc == 0) {
        rc =
            hd_look_call(&l, "listJobs", &request, &hdw__list_jobs_response__descriptor, &response);
    }
    if (rc == 0 && l.json) {
        json_t *a = json_array();
        for (size_t i = 0; i < response->n_job; i++) {
            json_array_append_new(a, hd_job_json(response->job[i]));
        }
        rc = hd_look_print_json(a);
    } else if (rc == 0) {
        printf("%-14s %-10s %-10s %13s %13s %11s %9s  %s\n", "JOB", "USER", "STATE", "MAPS",
               "REDUCES", "TIME", "IN", "NAME");
        for (size_t i = 0; i < response->n_job; i++) {
            print_row(response->job[i]);
        }
    }
    return hd_look_end(&l, rc);
}

int hd_cmd_ps(int argc, char **argv)
{
    return list(argc, argv, false);
}

int hd_cmd_history(int argc, char **argv)
{
    return list(argc, argv, true);
}

/* ---- show ---- */

static void print_task(const Hdw__RunnerTask *t)
{
    printf("%s %-8s %s\n", t->id, t->state, t->input != NULL ? t->input : "");
    for (size_t i = 0; i < t->n_attempt; i++) {
        const Hdw__RunnerAttempt *a = t->attempt[i];
        printf("  attempt %u on %s: %s %s", a->number, a->agent,
               a->locality != NULL ? a->locality : "", a->state);
        if (a->has_end_ms) {
            printf(" %.2f s - %.2f s", (double)a->start_ms / 1000, (double)a->end_ms / 1000);
        } else {
            printf(" since %.2f s", (double)a->start_ms / 1000);
        }
        printf("%s%s\n", a->error != NULL ? ": " : "", a->error != NULL ? a->error : "");
    }
    if (t->status != NULL) {
        printf("  status: %s\n", t->status);
    }
}

static void print_job(const Hdw__ShowJobResponse *r)
{
    static const char *const names[] = {"mapper", "combiner", "reducer"};
    const Hdw__RunnerJobStatus *s = r->status;
    char in[32], out[32], shuffled[32];
    printf("job       %s\nname      %s\nuser      %s\nstate     %s\noutput    %s\n", s->id, s->name,
           s->user, hd_job_state_name(s->state), s->output);
    for (size_t i = 0; i < r->n_command && i < HD_ARRAY_COUNT(names); i++) {
        if (r->command[i][0] != '\0') {
            printf("%-9s %s\n", names[i], r->command[i]);
        }
    }
    printf("maps      %u of %u (%u local, %u rack, %u any)\nreduces   %u of %u\n", s->maps_done,
           s->maps, s->local, s->rack, s->any, s->reduces_done, s->reduces);
    printf("bytes     in %s  shuffled %s  out %s\ntime      %.2f s\n",
           hd_size_text(s->bytes_in, in), hd_size_text(s->bytes_shuffled, shuffled),
           hd_size_text(s->bytes_out, out), (double)s->elapsed_ms / 1000);
    for (size_t i = 0; i < s->n_counter; i++) {
        printf("counter   %s: %s=%lld\n", s->counter[i]->group, s->counter[i]->name,
               (long long)s->counter[i]->value);
    }
    if (s->failure != NULL) {
        printf("failure   %s\n", s->failure);
    }
    for (size_t i = 0; i < r->n_task; i++) {
        print_task(r->task[i]);
    }
}

int hd_cmd_show(int argc, char **argv)
{
    static const struct hd_look_verb v = {"show JOB [--json]",
                                          "A job, its tasks and their attempts.\n", 1, 1};
    struct hd_look l;
    int rc = hd_look_start(&l, &v, argc, argv);
    Hdw__ShowJobRequest request = HDW__SHOW_JOB_REQUEST__INIT;
    Hdw__ShowJobResponse *response;
    request.job = l.words[0];
    if (rc == 0) {
        rc = hd_look_call(&l, "showJob", &request, &hdw__show_job_response__descriptor, &response);
    }
    if (rc == 0 && l.json) {
        json_t *o = hd_job_json(response->status);
        json_t *tasks = json_array();
        for (size_t i = 0; i < response->n_task; i++) {
            json_array_append_new(tasks, hd_task_json(response->task[i]));
        }
        json_object_set_new(o, "tasks", tasks);
        rc = hd_look_print_json(o);
    } else if (rc == 0) {
        print_job(response);
    }
    return hd_look_end(&l, rc);
}

/* ---- logs ---- */

static void print_log(const Hdw__GetLogsResponse__Log *g)
{
    const Hdw__RunnerAttempt *a = g->attempt;
    printf("%s attempt %u on %s: %s", g->task, a->number, a->agent, a->state);
    if (a->has_end_ms) {
        printf(" after %.2f s", (double)(a->end_ms - a->start_ms) / 1000);
    }
    printf("%s%s\n", a->error != NULL ? ", " : "", a->error != NULL ? a->error : "");
    const char *p = (const char *)g->text.data;
    const char *stop = p + g->text.len;
    while (g->has_text && p < stop) {
        const char *lf = memchr(p, '\n', (size_t)(stop - p));
        size_t size = (size_t)((lf != NULL ? lf : stop) - p);
        printf("  | %.*s\n", (int)size, p);
        p += size + 1;
    }
}

static json_t *log_json(const Hdw__GetLogsResponse__Log *g)
{
    json_t *o = hd_attempt_json(g->attempt);
    json_object_set_new(o, "task", json_string(g->task));
    json_t *text = json_stringn((const char *)g->text.data, g->text.len);
    json_object_set_new(o, "stderr", text != NULL ? text : json_string(""));
    return o;
}

int hd_cmd_logs(int argc, char **argv)
{
    static const struct hd_look_verb v = {
        "logs JOB [TASK] [--failed] [--json]",
        "The end of what attempts wrote to stderr. TASK is m_000012;\n"
        "--failed only attempts that failed.\n",
        1, 2};
    struct hd_look l;
    int rc = hd_look_start(&l, &v, argc, argv);
    Hdw__GetLogsRequest request = HDW__GET_LOGS_REQUEST__INIT;
    Hdw__GetLogsResponse *response;
    request.job = l.words[0];
    request.task = l.words[1];
    request.failed = l.failed;
    if (rc == 0) {
        rc = hd_look_call(&l, "getLogs", &request, &hdw__get_logs_response__descriptor, &response);
    }
    if (rc == 0 && l.json) {
        json_t *a = json_array();
        for (size_t i = 0; i < response->n_log; i++) {
            json_array_append_new(a, log_json(response->log[i]));
        }
        rc = hd_look_print_json(a);
    } else if (rc == 0) {
        for (size_t i = 0; i < response->n_log; i++) {
            print_log(response->log[i]);
        }
    }
    return hd_look_end(&l, rc);
}

/* ---- kill, wait ---- */

int hd_cmd_kill(int argc, char **argv)
{
    static const struct hd_look_verb v = {"kill JOB",
                                          "Ends a job: its processes, its staged output.\n", 1, 1};
    struct hd_look l;
    int rc = hd_look_start(&l, &v, argc, argv);
    Hdw__KillJobRequest request = HDW__KILL_JOB_REQUEST__INIT;
    Hdw__KillJobResponse *response;
    request.job = l.words[0];
    if (rc == 0) {
        rc = hd_look_call(&l, "killJob", &request, &hdw__kill_job_response__descriptor, &response);
    }
    if (rc == 0 && !response->killed) {
        hd_cli_say("job %s had ended before", l.words[0]);
        rc = HD_EXIT_FAILED;
    }
    return hd_look_end(&l, rc);
}

int hd_cmd_wait(int argc, char **argv)
{
    static const struct hd_look_verb v = {"wait JOB",
                                          "Waits for the end of a job; its exit code.\n", 1, 1};
    struct hd_look l;
    int rc = hd_look_start(&l, &v, argc, argv);
    struct hd_follow follow = {.quiet = false};
    if (rc == 0) {
        rc = hd_follow_job(&l.cli, l.words[0], &follow);
    }
    return hd_look_end(&l, rc);
}
