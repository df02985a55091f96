/* runner streaming: Hadoop Streaming's command line. See cli.h. */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/cli/cli.h"
#include "runner/cli/options.h"
#include "runner/core/command.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <stdlib.h>

enum { CONF_MAX_BYTES = 16 << 20 };

static const char help[] =
    "Usage: runner streaming [options]\n"
    "\n"
    "Runs commands over files beside their blocks; the options are those of Hadoop Streaming.\n"
    "\n"
    "  -input PATH            input file or folder; repeatable, commas and globs allowed\n"
    "  -output PATH           output folder, must not exist\n"
    "  -mapper COMMAND        reads lines, writes key TAB value lines; default: offset TAB line\n"
    "  -combiner COMMAND      run on sorted map output before it leaves the node\n"
    "  -reducer COMMAND|NONE  reads sorted lines; default: identity; NONE: no reduces\n"
    "           aggregate     sums, extremes, counts of AGGREGATOR:key TAB value lines\n"
    "  -numReduceTasks N      default 1; 0: the mapper's output is the result\n"
    "  -files A,B#NAME        files put into the tasks' working directory (also -file A)\n"
    "  -cmdenv NAME=VALUE     environment of the tasks; repeatable\n"
    "  -D NAME=VALUE          job property; repeatable\n"
    "  -conf FILE             properties of a Hadoop XML file\n"
    "  -io text|keyonlytext   how records become lines\n"
    "  -inputformat, -outputformat, -partitioner CLASS, -lazyOutput, -fs, -jt: accepted\n"
    "  -background            return when the job is submitted\n"
    "  -verbose, -info, -help\n"
    "  --conf FILE, --dir DIR the cluster's howdah.conf, or the folder that holds it\n"
    "\n"
    "A command is split into words at spaces; '...' and \"...\" keep spaces together. It runs in "
    "a\n"
    "shell only when |, &&, ;, < or > stands as a word of its own.\n"
    "\n"
    "Exit: 0 done, 1 usage or failed job, 2 no such file to ship, 3 bad configuration,\n"
    "4 output exists, 5 input missing or I/O error, 6 interrupted. See runner(1).\n";

/* ---- -conf: <property><name>n</name><value>v</value></property> ---- */

static char *element(const char *from, const char *to, const char *name, struct hd_arena *arena)
{
    char open[32], close[32];
    snprintf(open, sizeof(open), "<%s>", name);
    snprintf(close, sizeof(close), "</%s>", name);
    const char *a = memmem(from, (size_t)(to - from), open, strlen(open));
    if (a == NULL) {
        return NULL;
    }
    a += strlen(open);
    const char *b = memmem(a, (size_t)(to - a), close, strlen(close));
    if (b == NULL) {
        return NULL;
    }
    static const struct {
        const char *entity;
        char c;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *out = hd_arena_alloc(arena, (size_t)(b - a) + 1);
    size_t n = 0;
    while (out != NULL && a < b) {
        char c = *a;
        size_t size = 1;
        for (size_t i = 0; c == '&' && i < HD_ARRAY_COUNT(entities); i++) {
            if (strncmp(a, entities[i].entity, strlen(entities[i].entity)) == 0) {
                c = entities[i].c;
                size = strlen(entities[i].entity);
                break;
            }
        }
        out[n++] = c;
        a += size;
    }
    return out;
}

static int read_conf(const char *path, struct hd_props *props, struct hd_arena *arena)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = hd_file_read(path, CONF_MAX_BYTES, &text);
    const char *p = err == 0 ? hd_buf_str(&text) : NULL;
    if (p == NULL || strstr(p, "<configuration") == NULL) {
        hd_cli_say("%s: %s", path,
                   p == NULL ? hd_fail_describe(err) : "not a Hadoop configuration");
        return HD_EXIT_BAD_CONF;
    }
    while ((p = strstr(p, "<property>")) != NULL) {
        const char *end = strstr(p, "</property>");
        char *name = end != NULL ? element(p, end, "name", arena) : NULL;
        char *value = end != NULL ? element(p, end, "value", arena) : NULL;
        if (name == NULL) {
            hd_cli_say("%s: a <property> without a <name> or an end", path);
            return HD_EXIT_BAD_CONF;
        }
        /* -D on the command line wins over files. */
        if (hd_props_get(props, name, NULL) == NULL &&
            hd_props_set(props, name, value != NULL ? value : "") < 0) {
            return HD_EXIT_BAD_CONF;
        }
        p = end;
    }
    return 0;
}

/* ---- the job ---- */

static Hdw__RunnerProperty *new_property(struct hd_arena *arena, const char *name,
                                         const char *value)
{
    Hdw__RunnerProperty *p = HD_ARENA_NEW(arena, Hdw__RunnerProperty);
    if (p != NULL) {
        hdw__runner_property__init(p);
        p->name = (char *)(uintptr_t)name;
        p->value = (char *)(uintptr_t)value;
    }
    return p;
}

static int fill_properties(const struct hd_streaming_options *o, Hdw__RunnerJobSpec *spec,
                           struct hd_arena *arena)
{
    spec->property = HD_ARENA_ARRAY(arena, Hdw__RunnerProperty *, o->props.count + 1);
    spec->env = HD_ARENA_ARRAY(arena, Hdw__RunnerProperty *, o->env.count + 1);
    if (spec->property == NULL || spec->env == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < o->props.count; i++) {
        Hdw__RunnerProperty *p =
            new_property(arena, o->props.items[i].name, o->props.items[i].value);
        if (p == NULL) {
            return -ENOMEM;
        }
        spec->property[spec->n_property++] = p;
    }
    for (size_t i = 0; i < o->env.count; i++) {
        char *name = o->env.items[i];
        char *equal = strchr(name, '=');
        *equal = '\0';
        Hdw__RunnerProperty *p = new_property(arena, name, equal + 1);
        if (p == NULL) {
            return -ENOMEM;
        }
        spec->env[spec->n_env++] = p;
    }
    return 0;
}

static int fill_paths(struct hd_cli *c, const struct hd_streaming_options *o,
                      Hdw__RunnerJobSpec *spec, struct hd_arena *arena)
{
    spec->input = HD_ARENA_ARRAY(arena, char *, o->inputs.count + 1);
    spec->output = hd_cli_path(c, o->output, arena);
    if (spec->input == NULL || spec->output == NULL) {
        return HD_EXIT_IO;
    }
    for (size_t i = 0; i < o->inputs.count; i++) {
        char *path = hd_cli_path(c, o->inputs.items[i], arena);
        if (path == NULL) {
            return HD_EXIT_IO;
        }
        spec->input[spec->n_input++] = path;
    }
    return 0;
}

/* The job's name: as given, else the mapper's program. */
static char *job_name(const struct hd_streaming_options *o, struct hd_arena *arena)
{
    const char *name = hd_props_get(&o->props, "mapreduce.job.name", NULL);
    struct hd_command command;
    if (name != NULL) {
        return hd_arena_str(arena, name);
    }
    if (o->mapper == NULL || hd_command_parse(o->mapper, arena, &command) < 0) {
        return hd_arena_str(arena, "identity");
    }
    const char *slash = strrchr(command.argv[0], '/');
    return hd_arena_str(arena, slash != NULL ? slash + 1 : command.argv[0]);
}

static int check_command(const char *option, const char *text, struct hd_arena *arena)
{
    struct hd_command command;
    if (text != NULL && hd_command_parse(text, arena, &command) < 0) {
        hd_cli_say("%s: there is no command in '%s'", option, text);
        return HD_EXIT_FAILED;
    }
    return 0;
}

static int build_spec(struct hd_cli *c, const struct hd_streaming_options *o,
                      Hdw__RunnerJobSpec *spec, struct hd_arena *arena)
{
    if (check_command("-mapper", o->mapper, arena) != 0 ||
        check_command("-combiner", o->combiner, arena) != 0 ||
        check_command("-reducer", o->reducer, arena) != 0) {
        return HD_EXIT_FAILED;
    }
    spec->name = job_name(o, arena);
    spec->reduces = hd_streaming_reduces(o);
    spec->mapper = (char *)(uintptr_t)o->mapper;
    spec->combiner = (char *)(uintptr_t)o->combiner;
    bool none = o->reducer != NULL && strcmp(o->reducer, "NONE") == 0;
    spec->reducer = none ? NULL : (char *)(uintptr_t)o->reducer;
    if (spec->name == NULL || fill_properties(o, spec, arena) < 0) {
        hd_cli_say("out of memory");
        return HD_EXIT_FAILED;
    }
    int rc = fill_paths(c, o, spec, arena);
    return rc == 0 ? hd_ship_files(c, o, spec, arena) : rc;
}

static int submit(struct hd_cli *c, const struct hd_streaming_options *o, struct hd_arena *arena)
{
    Hdw__RunnerJobSpec spec = HDW__RUNNER_JOB_SPEC__INIT;
    Hdw__SubmitRequest request = HDW__SUBMIT_REQUEST__INIT;
    Hdw__SubmitResponse *response;
    int rc = build_spec(c, o, &spec, arena);
    if (rc != 0) {
        return rc;
    }
    request.spec = &spec;
    if (!o->background) {
        hd_catch_interrupts(c, NULL);
        hd_interrupt_submitting(true);
    }
    int err = hd_runner_call(c->manager, "submit", &request, &hdw__submit_response__descriptor,
                             600000, arena, &response);
    if (err < 0 || response->status == NULL) {
        hd_interrupt_submitting(false);
    }
    if (err < 0) {
        hd_cli_say("manager at %s: %s", c->settings.manager_address, hd_fail_describe(err));
        return hd_cli_exit_code(err);
    }
    if (response->exit_code != 0 || response->status == NULL) {
        hd_cli_say("%s", response->message != NULL ? response->message : "refused");
        return response->exit_code != 0 ? response->exit_code : HD_EXIT_FAILED;
    }
    char *id = hd_arena_str(arena, response->status->id);
    if (o->background) {
        hd_print_plan(response->status);
        puts(id);
        return HD_EXIT_OK;
    }
    struct hd_follow follow = {.kill_on_interrupt = true};
    return hd_follow_job(c, id, &follow);
}

static int run(struct hd_streaming_options *o, struct hd_arena *arena)
{
    struct hd_cli cli = {0};
    for (size_t i = 0; i < o->warnings.count; i++) {
        hd_cli_say("%s", o->warnings.items[i]);
    }
    for (size_t i = 0; i < o->confs.count; i++) {
        int rc = read_conf(o->confs.items[i], &o->props, arena);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = hd_cli_open(&cli, o->howdah_conf, o->howdah_dir);
    if (rc != 0) {
        return rc;
    }
    rc = submit(&cli, o, arena);
    hd_cli_close(&cli);
    return rc;
}

int hd_cmd_streaming(int argc, char **argv)
{
    struct hd_streaming_options o;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    int err = hd_streaming_parse(argc - 1, argv + 1, &arena, &o);
    int rc = HD_EXIT_OK;
    if (err < 0) {
        hd_cli_say("%s", o.error);
        fprintf(stderr, "Try -help for more information\nStreaming Command Failed!\n");
        rc = HD_EXIT_FAILED;
    } else if (o.help || o.info) {
        fputs(help, stdout);
    } else {
        rc = run(&o, &arena);
    }
    hd_streaming_options_done(&o);
    return rc;
}
