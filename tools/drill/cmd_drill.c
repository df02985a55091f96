/* howdah drill: the verbs. drill.h has the map. */
#include "tools/cmd.h"
#include "tools/drill/drill.h"
#include "tools/drill/history.h"
#include "tools/drill/verbs.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: howdah drill [--dir DIR] VERB ...\n\n"
    "Rehearses a failure on a running cluster, under a load that knows every byte it was "
    "promised,\n"
    "heals it, and says whether anything was lost.\n\n"
    "  list [--json]             the drills, and how they went last time\n"
    "  show NAME                 what one does and what must hold\n"
    "  run NAME [--target NODE] [--for 30s] [--load WORKLOAD] [--seed N] [--yes] [--json]\n"
    "  plan FILE [--dry-run] [--yes] [--json]   the drills of a file, one after the other\n"
    "  soak [--hours H] [--seed S] [--yes] [--json]   drills drawn at random until one fails\n"
    "  abort                     ends the drill that is under way, and undoes what it did\n"
    "  report [--html FILE] [--json]   the history of drills\n\n"
    "WORKLOAD: mixed (default), write, read, metadata, small, mount, or a directory of the "
    "cluster\n"
    "to write below. --yes asks nothing. Ctrl-C heals first.\n\n"
    "Exit code of run, plan, soak: 0 held, 1 did not hold, 2 refused, 3 aborted, 4 the tool "
    "failed.\n";

enum { DEFAULT_FOR_MS = 30000, ABORT_WAIT_MS = 180000, ABORT_STEP_MS = 50 };

/* "30s", "2m", "1h", "500ms", "30". -EINVAL. */
int hd_drill_parse_time(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1e3}, {"", 1e3}, {"m", 60e3}, {"h", 3600e3}};
    char *end;
    errno = 0;
    double n = strtod(text, &end);
    for (size_t i = 0; end != text && errno == 0 && i < HD_ARRAY_COUNT(units); i++) {
        if (strcmp(end, units[i].unit) == 0 && n >= 0 && n * units[i].ms <= 30.0 * 86400e3) {
            *ret_ms = (int64_t)(n * units[i].ms);
            return 0;
        }
    }
    return hd_fail(-EINVAL, "%s: a time like 30s, 5m or 2h is expected", text);
}

/* ---- list, show ---- */

static const char *last_text(json_t *last, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(last, key));
    return text != NULL ? text : fallback;
}

/* "3 days ago" */
static void age_text(json_t *last, char out[32])
{
    int64_t began_ms = json_integer_value(json_object_get(last, "began_ms"));
    int64_t s = (hd_clock_wall_ms().v - began_ms) / 1000;
    if (last == NULL) {
        snprintf(out, 32, "never");
    } else if (s < 120) {
        snprintf(out, 32, "%" PRId64 " s ago", HD_MAX(s, 0));
    } else if (s < 7200) {
        snprintf(out, 32, "%" PRId64 " min ago", s / 60);
    } else if (s < 172800) {
        snprintf(out, 32, "%" PRId64 " h ago", s / 3600);
    } else {
        snprintf(out, 32, "%" PRId64 " days ago", s / 86400);
    }
}

static const char *needs_text(const struct hd_drill *d)
{
    return (d->needs & HD_NEED_POWERCUT) != 0     ? "preload"
           : (d->needs & HD_NEED_SPARE_NODE) != 0 ? "spare node"
           : (d->needs & HD_NEED_RUNNER) != 0     ? "job runner"
           : (d->needs & HD_NEED_FAULTS) != 0     ? "drills = on"
           : (d->needs & HD_NEED_SECONDARY) != 0  ? "secondary"
                                                  : "-";
}

static json_t *drill_json(const struct hd_drill *d, json_t *last)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", d->name, "summary", d->summary,
                          "what_is_done", d->how, "must_hold", d->must, "needs", needs_text(d));
    json_object_set_new(o, "target",
                        d->target_role >= 0
                            ? json_string(hd_role_name((enum hd_role)d->target_role))
                            : json_null());
    json_t *outcome = json_object_get(last, "outcome");
    json_t *began = json_object_get(last, "began_ms");
    json_object_set(o, "last_outcome", outcome != NULL ? outcome : json_null());
    json_object_set(o, "last_run_ms", began != NULL ? began : json_null());
    return o;
}

/* The history, empty when no cluster is found: a list is of use without one. */
static json_t *history_of(const char *dir)
{
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    char base[HD_PATH_BYTES];
    json_t *history = NULL;
    if (hd_cluster_find(dir, &c) == 0 &&
        snprintf(base, sizeof(base), "%s/drills", c.dir) < (int)sizeof(base)) {
        hd_drill_history_load(base, &history);
    }
    return history;
}

int hd_drill_print_json(json_t *o)
{
    int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc == 0 && fflush(stdout) == 0 ? HD_EXIT_OK : HD_DRILL_FAILED;
}

static int do_list(const struct hd_drill_args *a)
{
    json_t *history = history_of(a->dir);
    json_t *list = json_array();
    if (!a->json) {
        printf("%-21s %-52s %-12s %-12s %s\n", "NAME", "WHAT IT REHEARSES", "NEEDS", "LAST RUN",
               "LAST VERDICT");
    }
    for (size_t i = 0; i < hd_drill_count; i++) {
        const struct hd_drill *d = &hd_drills[i];
        json_t *last = hd_drill_history_last(history, d->name);
        char age[32];
        age_text(last, age);
        if (a->json) {
            json_array_append_new(list, drill_json(d, last));
        } else {
            printf("%-21s %-52s %-12s %-12s %s\n", d->name, d->summary, needs_text(d), age,
                   last_text(last, "outcome", "-"));
        }
    }
    json_decref(history);
    if (a->json) {
        return hd_drill_print_json(list);
    }
    json_decref(list);
    return HD_EXIT_OK;
}

static int do_show(const struct hd_drill_args *a)
{
    const struct hd_drill *d = a->word != NULL ? hd_drill_find(a->word) : NULL;
    if (d == NULL) {
        return hd_cmd_usage(a->self, "show: %s: no such drill; `howdah drill list` names them",
                            a->word != NULL ? a->word : "nothing");
    }
    if (a->json) {
        json_t *history = history_of(a->dir);
        int code = hd_drill_print_json(drill_json(d, hd_drill_history_last(history, d->name)));
        json_decref(history);
        return code;
    }
    printf("%s: %s\n\nWhat is done  %s\nMust hold     %s\nTarget        %s\nNeeds         %s\n",
           d->name, d->summary, d->how, d->must,
           d->target_role < 0 || d->targets == 0 ? "the whole cluster"
           : d->targets == 1                     ? hd_role_name((enum hd_role)d->target_role)
                                                 : "two data nodes",
           needs_text(d));
    if (d->goals.read_s + d->goals.write_s + d->goals.metadata_s + d->goals.noticed_s > 0) {
        printf("Goals         longest wait of a reader %.1f s, a writer %.1f s, for names %.1f s; "
               "noticed after %.1f s (0.0: none)\n",
               d->goals.read_s, d->goals.write_s, d->goals.metadata_s, d->goals.noticed_s);
    }
    return HD_EXIT_OK;
}

/* ---- run ---- */

void hd_drill_show_result(const struct hd_drill_result *r, bool json)
{
    if (json) {
        hd_drill_print_json(hd_drill_result_json(r, false));
    } else if (r->judged) {
        hd_drill_result_print(r, stdout);
    } else if (r->id[0] != '\0') {
        printf("%s: %s\n", r->outcome, r->reason);
    }
}

static int do_run(const struct hd_drill_args *a)
{
    struct hd_drill_result result = {0};
    struct hd_drill_options o = {.dir = a->dir,
                                 .name = a->word,
                                 .target = a->target,
                                 .load = a->load,
                                 .for_ms = a->for_ms,
                                 .seed = a->seed,
                                 .yes = a->yes,
                                 .json = a->json};
    if (a->word == NULL || hd_drill_find(a->word) == NULL) {
        return hd_cmd_usage(a->self, "run: %s: no such drill; `howdah drill list` names them",
                            a->word != NULL ? a->word : "nothing");
    }
    int code = hd_drill_run(&o, &result);
    hd_drill_show_result(&result, a->json);
    hd_drill_result_done(&result);
    return code;
}

/* ---- abort ---- */

/* A drill under way is told to end; it heals by itself. */
static int end_other(pid_t pid, const char *base)
{
    if (pid <= 0 || kill(pid, SIGTERM) < 0) {
        /* Its process is gone; the guard has the lock while it heals. */
        printf("the drill's process is gone; its guard is healing\n");
    } else {
        printf("drill of process %d told to end\n", (int)pid);
    }
    int64_t deadline_ms = hd_clock_mono_ms().v + ABORT_WAIT_MS;
    while (hd_drill_lock_holder(base) != 0) {
        if (hd_clock_mono_ms().v > deadline_ms) {
            return hd_fail(-ETIMEDOUT, "process %d has not healed after %d s", (int)pid,
                           ABORT_WAIT_MS / 1000);
        }
        hd_clock_sleep_ms(ABORT_STEP_MS);
    }
    return 0;
}

static int heal_journal(const struct hd_cluster *c, const char *base)
{
    char path[HD_PATH_BYTES];
    HD_AUTO(hd_journal_done) struct hd_journal journal = {.fd = -1};
    int rc = hd_drill_journal_path(base, path);
    if (rc < 0 || access(path, F_OK) != 0) {
        return rc;
    }
    rc = hd_journal_load(path, &journal);
    rc = rc == 0 ? hd_drill_heal(c, &journal, false) : rc;
    rc = rc == 0 ? hd_journal_clear(&journal) : rc;
    if (rc == 0) {
        printf("undone: %zu steps of a drill that had not ended\n", journal.count);
    }
    return rc;
}

static int do_abort(const struct hd_drill_args *a)
{
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    char base[HD_PATH_BYTES];
    int rc = hd_cluster_find(a->dir, &c);
    rc = rc == 0 ? hd_drill_base(&c, base) : rc;
    pid_t pid = rc == 0 ? hd_drill_lock_holder(base) : 0;
    if (rc == 0 && pid != 0) {
        rc = end_other(pid, base);
    }
    rc = rc == 0 ? heal_journal(&c, base) : rc;
    if (rc < 0) {
        hd_cmd_fail(a->self, rc);
        return HD_DRILL_FAILED;
    }
    printf("no drill is under way, nothing is left to undo\n");
    return HD_EXIT_OK;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    bool takes_word;
    int (*run)(const struct hd_drill_args *a);
} verbs[] = {
    {"list", false, do_list},           {"show", true, do_show},        {"run", true, do_run},
    {"plan", true, hd_drill_plan},      {"soak", false, hd_drill_soak}, {"abort", false, do_abort},
    {"report", false, hd_drill_report},
};

static int take_numbers(struct hd_drill_args *a, const char *for_text, const char *seed,
                        const char *hours)
{
    char *end;
    a->for_ms = DEFAULT_FOR_MS;
    if (for_text != NULL) {
        int rc = hd_drill_parse_time(for_text, &a->for_ms);
        if (rc < 0) {
            return hd_cmd_usage(a->self, "--for %s", hd_fail_describe(rc));
        }
        a->for_given = true;
    }
    if (seed != NULL) {
        a->seed = strtoull(seed, &end, 10);
        if (*end != '\0' || a->seed == 0) {
            return hd_cmd_usage(a->self, "--seed %s: a number above 0 is expected", seed);
        }
    }
    if (hours != NULL) {
        a->hours = strtod(hours, &end);
        if (*end != '\0' || a->hours <= 0) {
            return hd_cmd_usage(a->self, "--hours %s: a number above 0 is expected", hours);
        }
    }
    return 0;
}

static int run_drill(const struct hd_command *self, int argc, char **argv)
{
    struct hd_drill_args a = {.self = self, .hours = 1};
    const char *for_text = NULL;
    const char *seed = NULL;
    const char *hours = NULL;
    const struct hd_option options[] = {
        {"dir", &a.dir, NULL},
        {"target", &a.target, NULL},
        {"for", &for_text, NULL},
        {"load", &a.load, NULL},
        {"seed", &seed, NULL},
        {"hours", &hours, NULL},
        {"html", &a.html, NULL},
        {"yes", NULL, &a.yes},
        {"json", NULL, &a.json},
        {"dry-run", NULL, &a.dry},
        {0},
    };
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    rc = take_numbers(&a, for_text, seed, hours);
    if (rc != 0) {
        return rc;
    }
    if (argc < 2) {
        return hd_cmd_usage(self, "a verb is expected");
    }
    a.word = argc > 2 ? argv[2] : NULL;
    for (size_t i = 0; i < HD_ARRAY_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, argv[1]) == 0) {
            int most = verbs[i].takes_word ? 3 : 2;
            return argc > most
                       ? hd_cmd_usage(self, "%s: unexpected argument %s", argv[1], argv[most])
                       : verbs[i].run(&a);
        }
    }
    return hd_cmd_usage(self, "%s: no such verb", argv[1]);
}

const struct hd_command hd_cmd_drill = {
    .name = "drill",
    .summary = "rehearses failures and says whether anything was lost",
    .usage = usage,
    .run = run_drill,
};
