/*
 * howdah status: what runs, where it answers, how the blocks are.
 *
 * The JSON form is an interface: scripts and tests read it. It is valid, and the exit code 0, also
 * when meta is down; then "error" says so, safemode is true and the block counts are 0.
 */
#include "tools/cmd.h"
#include "tools/probe.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: howdah status [--dir DIR] [--json] [--watch]\n\n"
    "Shows every daemon of the cluster with its state, and how the blocks are.\n\n"
    "  --dir DIR  the cluster under DIR\n"
    "  --json     the same as one JSON object\n"
    "  --watch    again every second, until interrupted\n\n"
    "States: up; stale (alive, but silent); dead (given up by meta); stopped (no process).\n";

static json_t *text_or_empty(const char *text)
{
    json_t *v = json_string(text);
    return v != NULL ? v : json_string("");
}

static json_t *member_json(const struct hd_member *m, const struct hd_member_health *h)
{
    json_t *o = json_object();
    json_object_set_new(o, "role", json_string(hd_role_name(m->role)));
    json_object_set_new(o, "name", json_string(m->name));
    json_object_set_new(o, "pid", h->pid != 0 ? json_integer(h->pid) : json_null());
    json_object_set_new(o, "address", text_or_empty(m->address));
    json_object_set_new(o, "http", text_or_empty(h->http ? m->http : ""));
    json_object_set_new(o, "state", json_string(hd_state_name(h->state)));
    if (m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY) {
        json_object_set_new(o, "active", json_boolean(h->active));
    }
    return o;
}

static json_t *foreign_json(const struct hd_foreign_node *n)
{
    return json_pack("{s:s, s:s, s:n, s:s, s:s, s:s}", "role", "data", "name", n->address, "pid",
                     "address", n->address, "http", "", "state", hd_state_name(n->state));
}

/* "a,b" as ["a", "b"] */
static json_t *failed_json(const char *dirs)
{
    json_t *list = json_array();
    while (*dirs != '\0') {
        size_t n = strcspn(dirs, ",");
        json_array_append_new(list, json_stringn(dirs, n));
        dirs += n + (dirs[n] == ',');
    }
    return list;
}

static json_t *status_json(const struct hd_cluster *c, const struct hd_health *h)
{
    json_t *daemons = json_array();
    for (size_t i = 0; i < c->member_count; i++) {
        json_array_append_new(daemons, member_json(&c->members[i], &h->members[i]));
    }
    for (size_t i = 0; i < h->foreign_count; i++) {
        json_array_append_new(daemons, foreign_json(&h->foreign[i]));
    }
    json_t *o = json_object();
    json_object_set_new(o, "fs", text_or_empty(c->uri));
    json_object_set_new(o, "mount", text_or_empty(c->mount));
    json_object_set_new(o, "sync", json_string(h->sync));
    json_object_set_new(o, "epoch", json_integer((json_int_t)h->epoch));
    json_object_set_new(o, "safemode", json_boolean(h->safe_mode));
    json_object_set_new(o, "blocks",
                        json_pack("{s:I, s:I, s:I, s:I}", "total", (json_int_t)h->blocks_total,
                                  "missing", (json_int_t)h->blocks_missing, "under_replicated",
                                  (json_int_t)h->blocks_under_replicated, "corrupt",
                                  (json_int_t)h->blocks_corrupt));
    json_object_set_new(o, "failed_dirs", failed_json(h->failed_dirs));
    json_object_set_new(o, "daemons", daemons);
    if (h->error[0] != '\0') {
        json_object_set_new(o, "error", text_or_empty(h->error));
    }
    return o;
}

static int print_json(const struct hd_cluster *c, const struct hd_health *h)
{
    json_t *o = status_json(c, h);
    int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc == 0 && fflush(stdout) == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

static void print_row(const char *name, const char *state, pid_t pid, const char *address,
                      const char *note)
{
    char text[16] = "-";
    if (pid != 0) {
        snprintf(text, sizeof(text), "%d", (int)pid);
    }
    printf("  %-12s %-8s %8s  %s%s\n", name, state, text, address, note);
}

static void print_text(const struct hd_cluster *c, const struct hd_health *h)
{
    printf("%s%s%s%s\n", c->uri, c->mount[0] != '\0' ? "  mount " : "", c->mount,
           h->meta_answers && h->safe_mode ? "  (safe mode)" : "");
    if (h->meta_answers) {
        printf("blocks: %" PRIu64 " total, %" PRIu64 " missing, %" PRIu64
               " under-replicated, %" PRIu64 " corrupt\n",
               h->blocks_total, h->blocks_missing, h->blocks_under_replicated, h->blocks_corrupt);
        if (strcmp(h->sync, "exposed") == 0) {
            printf("exposed: changes are on the primary only until the secondary is in step\n");
        }
        if (h->failed_dirs[0] != '\0') {
            printf("metadata directories that failed: %s\n", h->failed_dirs);
        }
    } else {
        printf("%s\n", h->error);
    }
    printf("\n  %-12s %-8s %8s  %s\n", "DAEMON", "STATE", "PID", "ADDRESS");
    for (size_t i = 0; i < c->member_count; i++) {
        print_row(c->members[i].name, hd_state_name(h->members[i].state), h->members[i].pid,
                  c->members[i].address, h->members[i].active ? "  (primary)" : "");
    }
    for (size_t i = 0; i < h->foreign_count; i++) {
        print_row("data", hd_state_name(h->foreign[i].state), 0, h->foreign[i].address, "");
    }
}

static int show_once(const struct hd_command *self, const struct hd_cluster *c, bool json)
{
    HD_AUTO(hd_health_done) struct hd_health h = {0};
    int rc = hd_probe(c, &h);
    if (rc < 0) {
        return hd_cmd_fail(self, rc);
    }
    if (json) {
        return print_json(c, &h);
    }
    print_text(c, &h);
    return fflush(stdout) == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

static int run_status(const struct hd_command *self, int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;
    bool watch = false;
    const struct hd_option options[] = {
        {"dir", &dir, NULL}, {"json", NULL, &json}, {"watch", NULL, &watch}, {0}};
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    if (argc > 1) {
        return hd_cmd_usage(self, "unexpected argument %s", argv[1]);
    }
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    rc = hd_cluster_find(dir, &c);
    if (rc < 0) {
        return hd_cmd_fail(self, rc);
    }
    while (watch) {
        if (!json) {
            fputs("\033[H\033[2J", stdout);
        }
        if ((rc = show_once(self, &c, json)) != HD_EXIT_OK) {
            return rc;
        }
        hd_clock_sleep_ms(1000);
    }
    return show_once(self, &c, json);
}

const struct hd_command hd_cmd_status = {
    .name = "status",
    .summary = "what runs, where it answers, how the blocks are",
    .usage = usage,
    .run = run_status,
};
