/*
 * howdah drill plan FILE: the drills of a game day, one after the other. A drill file is reviewed
 * and kept in version control:
 *
 *   title = Third quarter
 *   [kill-data]               ; the section's name is the drill's, or any with `drill = NAME`
 *   target = data-2
 *   for = 1m
 *   load = mixed
 *   seed = 7
 *   note = who watches what   ; printed before it begins
 *   acked_lost = 0            ; must hold besides, in seconds: read_s, write_s, metadata_s,
 *   write_s = 3               ;   noticed_s, mended_s
 *
 * It is read whole and every line of it is checked before anything is done. --dry-run ends there.
 */
#include "tools/drill/plan.h"
#include "tools/drill/drill.h"
#include "fs/base/error.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>

struct reading {
    struct hd_plan *plan;
    const char *path;
    int rc;
};

static struct hd_plan_step *step_of(struct hd_plan *p, const char *section)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->steps[i].section, section) == 0) {
            return &p->steps[i];
        }
    }
    if (p->count == HD_PLAN_STEPS_MAX) {
        return NULL;
    }
    struct hd_plan_step *s = &p->steps[p->count++];
    *s = (struct hd_plan_step){.for_ms = 30000, .most_s = {-1, -1, -1, -1, -1}, .load = "mixed"};
    snprintf(s->section, sizeof(s->section), "%s", section);
    snprintf(s->drill, sizeof(s->drill), "%s", section);
    return s;
}

const char *const hd_plan_limit_names[HD_PLAN_LIMITS] = {"read_s", "write_s", "metadata_s",
                                                         "noticed_s", "mended_s"};

static int take_limit(struct hd_plan_step *s, const char *name, const char *value)
{
    for (int k = 0; k < HD_PLAN_LIMITS; k++) {
        char *end;
        if (strcmp(name, hd_plan_limit_names[k]) == 0) {
            s->most_s[k] = strtod(value, &end);
            return *end == '\0' && end != value && s->most_s[k] >= 0
                       ? 0
                       : hd_fail(-EINVAL, "%s = %s: seconds are expected", name, value);
        }
    }
    return hd_fail(-EINVAL,
                   "%s: no such key; drill, target, for, load, seed, note, read_s, write_s, "
                   "metadata_s, noticed_s and mended_s are",
                   name);
}

static int take_text(char *out, size_t size, const char *name, const char *value)
{
    return snprintf(out, size, "%s", value) < (int)size
               ? 0
               : hd_fail(-EINVAL, "%s: longer than %zu bytes", name, size - 1);
}

static int take_key(struct hd_plan_step *s, const char *name, const char *value)
{
    char *end;
    if (strcmp(name, "drill") == 0) {
        return take_text(s->drill, sizeof(s->drill), name, value);
    }
    if (strcmp(name, "target") == 0) {
        return take_text(s->target, sizeof(s->target), name, value);
    }
    if (strcmp(name, "load") == 0) {
        return take_text(s->load, sizeof(s->load), name, value);
    }
    if (strcmp(name, "note") == 0) {
        return take_text(s->note, sizeof(s->note), name, value);
    }
    if (strcmp(name, "for") == 0) {
        return hd_drill_parse_time(value, &s->for_ms);
    }
    if (strcmp(name, "seed") == 0) {
        s->seed = strtoull(value, &end, 10);
        return *end == '\0' && s->seed > 0 ? 0 : hd_fail(-EINVAL, "seed = %s: a number", value);
    }
    if (strcmp(name, "acked_lost") == 0 || strcmp(name, "wrong_bytes") == 0) {
        return strcmp(value, "0") == 0
                   ? 0
                   : hd_fail(-EINVAL, "%s = %s: no drill holds with more than 0", name, value);
    }
    return take_limit(s, name, value);
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct reading *g = user;
    if (g->rc < 0) {
        return 1;
    }
    if (section[0] == '\0') {
        g->rc = strcmp(name, "title") == 0
                    ? take_text(g->plan->title, sizeof(g->plan->title), name, value)
                    : hd_fail(-EINVAL, "%s: only `title` may stand before the first section", name);
    } else {
        struct hd_plan_step *s = step_of(g->plan, section);
        g->rc = s != NULL ? take_key(s, name, value)
                          : hd_fail(-EINVAL, "more than %d drills", HD_PLAN_STEPS_MAX);
    }
    if (g->rc < 0) {
        g->rc = hd_fail(g->rc, "%s: [%s] %s", g->path, section, hd_fail_describe(g->rc));
    }
    return 1;
}

int hd_plan_load(const char *path, struct hd_plan *ret)
{
    struct reading g = {.plan = ret, .path = path};
    *ret = (struct hd_plan){0};
    int line = ini_parse(path, handle, &g);
    if (line < 0) {
        return hd_fail(-ENOENT, "%s: cannot be read", path);
    }
    if (line > 0) {
        return hd_fail(-EINVAL, "%s:%d: neither a section nor `key = value`", path, line);
    }
    for (size_t i = 0; g.rc == 0 && i < ret->count; i++) {
        if (hd_drill_find(ret->steps[i].drill) == NULL) {
            g.rc = hd_fail(-EINVAL, "%s: [%s] %s: no such drill; `howdah drill list` names them",
                           path, ret->steps[i].section, ret->steps[i].drill);
        }
    }
    if (g.rc == 0 && ret->count == 0) {
        return hd_fail(-EINVAL, "%s: no drill in it: a section is named as a drill, and has a key",
                       path);
    }
    return g.rc;
}

const char *hd_plan_missed(const struct hd_plan_step *s, const struct hd_drill_result *r)
{
    const double got[HD_PLAN_LIMITS] = {
        r->load.longest_stall_s[HD_CLASS_READ], r->load.longest_stall_s[HD_CLASS_WRITE],
        r->load.longest_stall_s[HD_CLASS_METADATA], r->noticed_s, r->mended_s};
    for (int k = 0; k < HD_PLAN_LIMITS; k++) {
        if (s->most_s[k] >= 0 && got[k] > s->most_s[k]) {
            return hd_plan_limit_names[k];
        }
    }
    return NULL;
}

/* ---- the verb ---- */

static void print_plan(const struct hd_plan *p, const char *path)
{
    printf("Plan  %s: %zu drills (nothing has been changed)\n",
           p->title[0] != '\0' ? p->title : path, p->count);
    for (size_t i = 0; i < p->count; i++) {
        const struct hd_plan_step *s = &p->steps[i];
        const struct hd_drill *d = hd_drill_find(s->drill);
        printf("%3zu. %-21s on %s, for %.1f s, load %s\n     %s\n", i + 1, s->drill,
               s->target[0] != '\0' ? s->target
               : d->targets > 0     ? "one by lot"
                                    : "the whole cluster",
               (double)s->for_ms / 1e3, s->load, d->how);
        if (s->note[0] != '\0') {
            printf("     note: %s\n", s->note);
        }
    }
}

static int run_step(const struct hd_drill_args *a, const struct hd_plan_step *s, json_t *list)
{
    struct hd_drill_result result = {0};
    struct hd_drill_options o = {.dir = a->dir,
                                 .name = s->drill,
                                 .target = s->target[0] != '\0' ? s->target : NULL,
                                 .load = s->load,
                                 .for_ms = a->for_given ? a->for_ms : s->for_ms,
                                 .seed = s->seed != 0 ? s->seed : a->seed,
                                 .yes = a->yes,
                                 .json = a->json};
    fprintf(stderr, "\n== %s%s%s\n", s->section, s->note[0] != '\0' ? ": " : "", s->note);
    int code = hd_drill_run(&o, &result);
    const char *missed = code == HD_DRILL_HELD ? hd_plan_missed(s, &result) : NULL;
    if (missed != NULL) {
        snprintf(result.outcome, sizeof(result.outcome), "not held");
        snprintf(result.reason, sizeof(result.reason),
                 "nothing was lost, but %s is above the "
                 "plan's limit",
                 missed);
        code = HD_DRILL_NOT_HELD;
    }
    if (a->json) {
        json_array_append_new(list, hd_drill_result_json(&result, false));
    } else {
        hd_drill_show_result(&result, false);
    }
    hd_drill_result_done(&result);
    return code;
}

int hd_drill_plan(const struct hd_drill_args *a)
{
    static struct hd_plan plan;
    if (a->word == NULL) {
        return hd_cmd_usage(a->self, "plan: a file is expected");
    }
    int rc = hd_plan_load(a->word, &plan);
    if (rc < 0) {
        hd_cmd_fail(a->self, rc);
        return HD_DRILL_REFUSED;
    }
    if (a->dry) {
        print_plan(&plan, a->word);
        return HD_DRILL_HELD;
    }
    json_t *list = json_array();
    int code = HD_DRILL_HELD;
    for (size_t i = 0; code == HD_DRILL_HELD && i < plan.count; i++) {
        code = run_step(a, &plan.steps[i], list);
    }
    if (a->json) {
        hd_drill_print_json(json_pack("{s:s, s:b, s:o}", "plan", a->word, "held",
                                      code == HD_DRILL_HELD, "drills", list));
    } else {
        printf("\n%s: %s\n", plan.title[0] != '\0' ? plan.title : a->word,
               code == HD_DRILL_HELD ? "every drill held" : "ended early");
        json_decref(list);
    }
    return code;
}
