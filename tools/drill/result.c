/* Results as JSON and text. See result.h. */
#include "tools/drill/result.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const class_names[] = {"read", "write", "metadata"};
static const char *const phase_names[] = {"before", "during", "after"};

void hd_drill_result_done(struct hd_drill_result *r)
{
    free(r->samples);
    free(r->marks);
    *r = (struct hd_drill_result){0};
}

bool hd_drill_result_held(const struct hd_drill_result *r)
{
    return strcmp(r->outcome, "held") == 0;
}

/* Milliseconds are enough for a reader. */
static json_t *seconds(double s)
{
    return s < 0 ? json_null() : json_real((double)(int64_t)(s * 1000 + 0.5) / 1000);
}

static json_t *errors_json(const struct hd_load_result *l)
{
    json_t *o = json_object();
    for (size_t i = 0; i < l->error_count; i++) {
        json_object_set_new(o, l->errors[i].name, json_integer((json_int_t)l->errors[i].count));
    }
    return o;
}

static json_t *stalls_json(const struct hd_load_result *l)
{
    json_t *o = json_object();
    for (int k = 0; k < HD_CLASSES; k++) {
        json_object_set_new(o, class_names[k], seconds(l->longest_stall_s[k]));
    }
    return o;
}

static json_t *latency_json(const struct hd_load_result *l)
{
    json_t *o = json_object();
    for (int k = 0; k < HD_CLASSES; k++) {
        json_t *phases = json_object();
        for (int p = 0; p < HD_PHASES; p++) {
            const struct hd_load_stats *s = &l->stats[k][p];
            json_object_set_new(phases, phase_names[p],
                                json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)s->count,
                                          "p50_ms", s->p50_ms, "p99_ms", s->p99_ms, "max_ms",
                                          s->max_ms));
        }
        json_object_set_new(o, class_names[k], phases);
    }
    return o;
}

static json_t *samples_json(const struct hd_drill_result *r)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->sample_count; i++) {
        const struct hd_sample *s = &r->samples[i];
        json_array_append_new(
            a, json_pack("{s:f, s:b, s:b, s:b, s:I, s:I, s:I, s:i, s:i, s:i, s:i}", "t_s",
                         (double)s->t_ms / 1e3, "answers", s->answers, "safe_mode", s->safe_mode,
                         "exposed", s->exposed, "under", (json_int_t)s->under, "missing",
                         (json_int_t)s->missing, "corrupt", (json_int_t)s->corrupt, "live",
                         (int)s->live, "stale", (int)s->stale, "dead", (int)s->dead, "agents",
                         s->agents));
    }
    return a;
}

static json_t *marks_json(const struct hd_drill_result *r)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->mark_count; i++) {
        json_array_append_new(a, json_pack("{s:f, s:s, s:s}", "t_s", (double)r->marks[i].t_ms / 1e3,
                                           "kind", r->marks[i].kind, "text", r->marks[i].text));
    }
    return a;
}

static json_t *examples_json(const struct hd_verdict *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->example_count; i++) {
        json_array_append_new(a, json_string(v->examples[i]));
    }
    return a;
}

static void add_whole(json_t *o, const struct hd_drill_result *r)
{
    json_object_set_new(o, "began_ms", json_integer(r->began_ms));
    json_object_set_new(o, "for_s", json_real(r->for_s));
    json_object_set_new(o, "fault_at_s", json_real(r->fault_at_s));
    json_object_set_new(o, "heal_at_s", json_real(r->heal_at_s));
    json_object_set_new(o, "latency", latency_json(&r->load));
    json_object_set_new(o, "marks", marks_json(r));
    json_object_set_new(o, "samples", samples_json(r));
}

json_t *hd_drill_result_json(const struct hd_drill_result *r, bool whole)
{
    json_t *o = json_object();
    json_object_set_new(o, "drill", json_string(r->drill));
    json_object_set_new(o, "held", r->judged ? json_boolean(hd_drill_result_held(r)) : json_null());
    json_object_set_new(o, "acked", json_integer((json_int_t)r->load.acked));
    json_object_set_new(o, "lost", json_integer((json_int_t)r->verdict.lost));
    json_object_set_new(o, "wrong", json_integer((json_int_t)(r->verdict.wrong + r->load.wrong)));
    json_object_set_new(o, "longest_stall_s", stalls_json(&r->load));
    json_object_set_new(o, "noticed_s", seconds(r->noticed_s));
    json_object_set_new(o, "mended_s", seconds(r->mended_s));
    json_object_set_new(o, "healthy_s", seconds(r->healthy_s));
    json_object_set_new(o, "errors", errors_json(&r->load));
    json_object_set_new(o, "outcome", json_string(r->outcome));
    json_object_set_new(o, "reason", json_string(r->reason));
    json_object_set_new(o, "id", json_string(r->id));
    json_object_set_new(o, "target", json_string(r->target));
    json_object_set_new(o, "seed", json_integer((json_int_t)(r->seed & INT64_MAX)));
    json_object_set_new(o, "unknown", json_integer((json_int_t)r->verdict.unknown));
    json_object_set_new(o, "files", json_integer((json_int_t)r->verdict.files));
    json_object_set_new(o, "copies", json_integer((json_int_t)r->verdict.replicas));
    json_object_set_new(o, "reads", json_integer((json_int_t)r->load.read));
    json_object_set_new(o, "examples", examples_json(&r->verdict));
    json_object_set_new(o, "note", json_string(r->note));
    json_object_set_new(o, "goals_missed", json_string(r->goals));
    if (whole) {
        add_whole(o, r);
    }
    return o;
}

static void print_seconds(FILE *out, const char *label, double s, const char *never)
{
    if (s < 0) {
        fprintf(out, "%s %s", label, never);
    } else {
        fprintf(out, "%s %.1f s", label, s);
    }
}

void hd_drill_result_print(const struct hd_drill_result *r, FILE *out)
{
    const struct hd_verdict *v = &r->verdict;
    fprintf(out, "Verdict  %s\n", hd_drill_result_held(r) ? "HELD" : "DID NOT HOLD");
    if (r->reason[0] != '\0') {
        fprintf(out, "  %s\n", r->reason);
    }
    fprintf(out,
            "  acknowledged operations lost   %" PRIu64 " of %" PRIu64
            "      wrong bytes   %" PRIu64 "\n",
            v->lost, r->load.acked, v->wrong + r->load.wrong);
    fprintf(out,
            "  checked      %" PRIu64 " files, %" PRIu64 " copies, %" PRIu64
            " reads while it lasted\n",
            v->files, v->replicas, r->load.read);
    fprintf(out, "  longest wait  read %.2f s   write %.2f s   metadata %.2f s\n",
            r->load.longest_stall_s[HD_CLASS_READ], r->load.longest_stall_s[HD_CLASS_WRITE],
            r->load.longest_stall_s[HD_CLASS_METADATA]);
    print_seconds(out, "  noticed after", r->noticed_s, "- (status showed nothing)");
    print_seconds(out, "   all copies after", r->mended_s, "- (never)");
    print_seconds(out, "   as before after", r->healthy_s, "- (never)\n");
    fputc('\n', out);
    for (size_t i = 0; i < r->load.error_count; i++) {
        fprintf(out, "%s%s %" PRIu64, i == 0 ? "  errors clients saw  " : ", ",
                r->load.errors[i].name, r->load.errors[i].count);
    }
    fputs(r->load.error_count > 0 ? "\n" : "", out);
    for (size_t i = 0; i < v->example_count; i++) {
        fprintf(out, "  ! %s\n", v->examples[i]);
    }
    if (r->load.first_wrong[0] != '\0') {
        fprintf(out, "  ! read meanwhile: %s\n", r->load.first_wrong);
    }
    if (r->goals[0] != '\0') {
        fprintf(out, "  goals missed  %s\n", r->goals);
    }
    if (r->note[0] != '\0') {
        fprintf(out, "  note  %s\n", r->note);
    }
}
