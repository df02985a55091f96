/*
 * runner why: where the time of a job went, in words. Reads nothing but what `show` gives: a line
 * of the job's moments, then what held it up.
 */
#include "runner/cli/look.h"
#include "runner/lib/json.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ATTEMPTS_MIN = 4, NEAR = 2 }; /* a median of fewer says nothing; so many medians is slow */

/* A successful attempt. */
struct run {
    const Hdw__RunnerTask *task;
    const Hdw__RunnerAttempt *attempt;
    uint64_t ms;
};

struct phase {
    const char *name;
    char kind; /* first letter of its tasks' ids */
    struct run *runs;
    size_t count;
    uint64_t first_ms; /* a task started; UINT64_MAX: none did */
    uint64_t last_ms;  /* a task ended */
    uint64_t bad;      /* attempts that failed, or were lost */
    uint64_t bad_ms;
    uint64_t waiting; /* tasks not begun */
};

static int by_ms(const void *a, const void *b)
{
    const struct run *x = a;
    const struct run *y = b;
    return x->ms < y->ms ? -1 : x->ms > y->ms;
}

static void take_attempt(struct phase *p, const Hdw__RunnerTask *t, const Hdw__RunnerAttempt *a)
{
    uint64_t ms = a->has_end_ms && a->end_ms > a->start_ms ? a->end_ms - a->start_ms : 0;
    p->first_ms = HD_MIN(p->first_ms, a->start_ms);
    p->last_ms = HD_MAX(p->last_ms, a->end_ms);
    if (strcmp(a->state, "done") == 0) {
        p->runs[p->count++] = (struct run){.task = t, .attempt = a, .ms = ms};
    } else if (strcmp(a->state, "failed") == 0 || strcmp(a->state, "lost") == 0) {
        p->bad++;
        p->bad_ms += ms;
    }
}

static int gather(const Hdw__ShowJobResponse *r, struct phase *p)
{
    size_t attempts = 0;
    for (size_t i = 0; i < r->n_task; i++) {
        attempts += r->task[i]->n_attempt;
    }
    p->first_ms = UINT64_MAX;
    p->runs = calloc(attempts + 1, sizeof(*p->runs));
    if (p->runs == NULL) {
        return -1;
    }
    for (size_t i = 0; i < r->n_task; i++) {
        const Hdw__RunnerTask *t = r->task[i];
        if (t->id[0] != p->kind) {
            continue;
        }
        p->waiting += t->n_attempt == 0;
        for (size_t a = 0; a < t->n_attempt; a++) {
            take_attempt(p, t, t->attempt[a]);
        }
    }
    qsort(p->runs, p->count, sizeof(*p->runs), by_ms);
    return 0;
}

static void moment(double seconds, const char *what)
{
    printf("%.3f %s  ", seconds, what);
}

static void moments(const Hdw__RunnerJobStatus *s, const struct phase *maps,
                    const struct phase *reduces)
{
    moment(0, "submit");
    if (maps->first_ms != UINT64_MAX) {
        moment((double)maps->first_ms / 1000, "first map started");
        moment((double)maps->last_ms / 1000, "last map ended");
    }
    if (reduces->first_ms != UINT64_MAX) {
        moment((double)reduces->first_ms / 1000, "first reduce started");
        moment((double)reduces->last_ms / 1000, "last reduce ended");
    }
    moment((double)s->elapsed_ms / 1000,
           hd_job_state_final(s->state) ? hd_job_state_name(s->state) : "now");
    putchar('\n');
}

static void slowest(const struct phase *p)
{
    if (p->count < ATTEMPTS_MIN) {
        return;
    }
    const struct run *worst = &p->runs[p->count - 1];
    uint64_t median = HD_MAX(p->runs[p->count / 2].ms, (uint64_t)1);
    if (worst->ms < NEAR * median) {
        printf("%ss: even; median %.2f s, slowest %.2f s\n", p->name, (double)median / 1000,
               (double)worst->ms / 1000);
        return;
    }
    printf("slowest %s: %s on %s %.2f s (median %.2f, %.1fx)%s%s\n", p->name, worst->task->id,
           worst->attempt->agent, (double)worst->ms / 1000, (double)median / 1000,
           (double)worst->ms / (double)median, worst->task->input != NULL ? ", input " : "",
           worst->task->input != NULL ? worst->task->input : "");
    if (p->kind == 'r') {
        printf("  a reduce far behind the others has more or bigger keys: a combiner, or more "
               "reduces, may help\n");
    }
}

static void lost_work(const struct phase *p, const char *job)
{
    if (p->bad > 0) {
        printf("%" PRIu64 " %s %s failed or lost: %.2f s of work done again; runner logs %s "
               "--failed\n",
               p->bad, p->name, p->bad == 1 ? "attempt" : "attempts", (double)p->bad_ms / 1000,
               job);
    }
}

static void verdict(const Hdw__RunnerJobStatus *s, const struct phase *maps,
                    const struct phase *reduces)
{
    uint64_t remote = s->rack + s->any;
    lost_work(maps, s->id);
    lost_work(reduces, s->id);
    slowest(maps);
    slowest(reduces);
    if (remote > 0 && remote * 4 >= s->maps) {
        printf("%" PRIu64 " of %u maps read their bytes from another machine: no slot was free "
               "beside them\n",
               remote, s->maps);
    }
    if (!hd_job_state_final(s->state) && maps->waiting + reduces->waiting > 0) {
        printf("%" PRIu64 " maps and %" PRIu64 " reduces wait: for a free slot%s\n", maps->waiting,
               reduces->waiting,
               s->maps_done < s->maps && s->reduces > 0 ? ", reduces for the last map" : "");
    }
    if (s->reduces > 0 && s->bytes_shuffled > s->bytes_total && s->bytes_total > 0) {
        printf("more bytes were shuffled than read: a combiner would make them fewer\n");
    }
    if (s->failure != NULL) {
        printf("%s: %s\n", hd_job_state_name(s->state), s->failure);
    }
}

static json_t *phase_json(const struct phase *p)
{
    const struct run *worst = p->count > 0 ? &p->runs[p->count - 1] : NULL;
    json_t *o = json_object();
    if (p->first_ms != UINT64_MAX) {
        json_object_set_new(o, "first_ms", json_integer((json_int_t)p->first_ms));
        json_object_set_new(o, "last_ms", json_integer((json_int_t)p->last_ms));
    }
    json_object_set_new(o, "bad_attempts", json_integer((json_int_t)p->bad));
    json_object_set_new(o, "waiting", json_integer((json_int_t)p->waiting));
    if (worst != NULL) {
        json_object_set_new(o, "median_ms", json_integer((json_int_t)p->runs[p->count / 2].ms));
        json_object_set_new(o, "slowest", json_string(worst->task->id));
        json_object_set_new(o, "slowest_ms", json_integer((json_int_t)worst->ms));
    }
    return o;
}

static int print_json(const Hdw__RunnerJobStatus *s, const struct phase *maps,
                      const struct phase *reduces)
{
    json_t *o = hd_job_json(s);
    json_object_set_new(o, "map", phase_json(maps));
    json_object_set_new(o, "reduce", phase_json(reduces));
    return hd_look_print_json(o);
}

int hd_cmd_why(int argc, char **argv)
{
    static const struct hd_look_verb v = {
        "why JOB [--json]", "Where the time of a job went, and what held it up.\n", 1, 1};
    struct hd_look l;
    struct phase maps = {.name = "map", .kind = 'm'};
    struct phase reduces = {.name = "reduce", .kind = 'r'};
    int rc = hd_look_start(&l, &v, argc, argv);
    Hdw__ShowJobRequest request = HDW__SHOW_JOB_REQUEST__INIT;
    Hdw__ShowJobResponse *r;
    request.job = l.words[0];
    if (rc == 0) {
        rc = hd_look_call(&l, "showJob", &request, &hdw__show_job_response__descriptor, &r);
    }
    if (rc == 0 && (gather(r, &maps) < 0 || gather(r, &reduces) < 0)) {
        hd_cli_say("no memory for %zu tasks", r->n_task);
        rc = HD_EXIT_FAILED;
    }
    if (rc == 0 && l.json) {
        rc = print_json(r->status, &maps, &reduces);
    } else if (rc == 0) {
        moments(r->status, &maps, &reduces);
        verdict(r->status, &maps, &reduces);
    }
    free(maps.runs);
    free(reduces.runs);
    return hd_look_end(&l, rc);
}
