/*
 * runner pipe, run, check, explain, and operations as verbs: text -> script -> stages, which
 * stage_run.c runs. Nothing is asked of the cluster before the whole text was found good.
 */
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/cli/cli.h"
#include "runner/core/stages.h"
#include "runner/ops/chain.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PARAMS_MAX = 100 };

struct pipe {
    struct hd_arena arena;
    struct hd_script script;
    struct hd_stages stages;
    struct hd_script_param params[PARAMS_MAX];
    size_t param_count;
    const char *conf;
    const char *dir;
    bool quiet;
    const char *origin; /* of the text, for messages */
};

static int usage(const char *why, const char *text)
{
    hd_cli_say("%s\nUsage: runner %s", why, text);
    return HD_EXIT_USAGE;
}

static bool add_param(struct pipe *p, char *text)
{
    char *equal = strchr(text, '=');
    if (equal == NULL || p->param_count == PARAMS_MAX) {
        return false;
    }
    *equal = '\0';
    p->params[p->param_count++] = (struct hd_script_param){text, equal + 1};
    return true;
}

/* Where the options of grep itself begin; argc for other verbs. */
static int runners_words(int argc, char **argv)
{
    int i = 1;
    while (i < argc && (strcmp(argv[0], "grep") != 0 || argv[i][0] != '-' || argv[i][1] == '\0' ||
                        strspn(argv[i] + 1, "viEF") != strlen(argv[i] + 1))) {
        i++;
    }
    return i;
}

/* Options; what is left begins at optind. 0 or an exit code. */
static int parse(struct pipe *p, int argc, char **argv, const char *text, const char *help)
{
    static const struct option longs[] = {
        {"conf", required_argument, NULL, 'c'},
        {"dir", required_argument, NULL, 'd'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    *p = (struct pipe){0};
    hd_arena_init(&p->arena, 0);
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(runners_words(argc, argv), argv, "+p:qh", longs, NULL)) != -1) {
        switch (c) {
        case 'p':
            if (!add_param(p, optarg)) {
                return usage("-p takes NAME=VALUE", text);
            }
            break;
        case 'q':
            p->quiet = true;
            break;
        case 'c':
            p->conf = optarg;
            break;
        case 'd':
            p->dir = optarg;
            break;
        case 'h':
            printf("Usage: runner %s\n\n%s", text, help);
            exit(0);
        default:
            return usage("unknown option", text);
        }
    }
    return 0;
}

/* Words of steps that only the step understands: patterns, numbers of fields. */
static int check_steps(const struct hd_steps *steps)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < steps->count; i++) {
        const struct hd_step *s = &steps->items[i];
        struct hd_chain *chain = NULL;
        bool heavy = strcmp(s->op, "grep") == 0 && strchr(s->args[s->arg_count - 1], '{') != NULL;
        if (strcmp(s->op, "exec") != 0 && !heavy) { /* such a pattern may want all memory */
            err = hd_chain_new(s, 1, NULL, NULL, &chain);
            hd_chain_free(err == 0 ? chain : NULL);
        }
    }
    return err;
}

static int check_stages(const struct pipe *p)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < p->stages.count; i++) {
        const struct hd_stage *s = &p->stages.items[i];
        for (size_t k = 0; err == 0 && k < s->flow_count; k++) {
            err = check_steps(&s->flows[k].steps);
        }
        err = err == 0 ? check_steps(&s->after) : err;
    }
    return err;
}

/* Text to stages. A bad one: where, what, exit 3. */
static int make(struct pipe *p, const char *text, bool pipeline)
{
    const struct hd_script_params params = {p->params, p->param_count};
    int err = hd_script_parse(text, &params, pipeline, &p->arena, &p->script);
    if (err == 0) {
        err = hd_stages_make(&p->script, &p->arena, &p->stages);
    }
    if (err == -EINVAL) {
        fprintf(stderr, "%s:%" PRIu32 ":%" PRIu32 ": %s\n", p->origin, p->script.error.line,
                p->script.error.column, p->script.error.text);
        return HD_EXIT_BAD_CONF;
    }
    if (err == 0 && (err = check_stages(p)) < 0) {
        fprintf(stderr, "%s: %s\n", p->origin, hd_fail_describe(err));
        return HD_EXIT_BAD_CONF;
    }
    if (err < 0) {
        hd_cli_say("%s: %s", p->origin, hd_fail_describe(err));
        return HD_EXIT_FAILED;
    }
    return 0;
}

static int make_from_file(struct pipe *p, const char *path)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = hd_file_read(path, HD_SCRIPT_MAX_BYTES, &text);
    const char *s = err == 0 ? hd_buf_str(&text) : NULL;
    if (s == NULL) {
        hd_cli_say("%s", hd_fail_describe(err < 0 ? err : -ENOMEM));
        return HD_EXIT_NO_FILE;
    }
    char *copy = hd_arena_str(&p->arena, s);
    p->origin = path;
    return copy != NULL ? make(p, copy, false) : HD_EXIT_FAILED;
}

static int run(struct pipe *p)
{
    struct hd_cli cli = {0};
    int rc = hd_cli_open(&cli, p->conf, p->dir);
    if (rc == 0) {
        struct hd_stage_run o = {.name = p->script.name != NULL ? p->script.name : "pipe",
                                 .quiet = p->quiet};
        rc = hd_stages_run(&cli, &p->stages, &o);
    }
    hd_cli_close(&cli);
    return rc;
}

static int end(struct pipe *p, int rc)
{
    hd_arena_done(&p->arena);
    return rc;
}

int hd_cmd_pipe(int argc, char **argv)
{
    static const char text[] = "pipe [-q] [-p NAME=VALUE]... 'OPERATION | OPERATION ...'";
    struct pipe p;
    int rc = parse(&p, argc, argv, text,
                   "Runs a pipeline on all machines; what it collects is on stdout.\n\n"
                   "  runner pipe 'read /logs/* | flatMap tokens | count | top 10'\n\n"
                   "runner(1) lists the operations.\n");
    if (rc == 0 && optind + 1 != argc) {
        rc = usage("one text, in quotes", text);
    }
    if (rc == 0) {
        p.origin = "pipe";
        rc = make(&p, argv[optind], true);
    }
    return end(&p, rc == 0 ? run(&p) : rc);
}

static int job_file(int argc, char **argv, const char *text, const char *help,
                    int (*then)(struct pipe *p))
{
    struct pipe p;
    int rc = parse(&p, argc, argv, text, help);
    if (rc == 0 && optind == argc) {
        rc = usage("which file?", text);
    }
    char *path = rc == 0 ? argv[optind] : NULL;
    if (rc == 0) { /* options may follow the file */
        int left = argc - optind;
        struct pipe more;
        rc = parse(&more, left, argv + optind, text, help);
        if (rc == 0 && optind != left) {
            rc = usage("one file", text);
        }
        for (size_t i = 0; i < more.param_count && p.param_count < PARAMS_MAX; i++) {
            p.params[p.param_count++] = more.params[i];
        }
        p.conf = more.conf != NULL ? more.conf : p.conf;
        p.dir = more.dir != NULL ? more.dir : p.dir;
        p.quiet = p.quiet || more.quiet;
        hd_arena_done(&more.arena);
    }
    rc = rc == 0 ? make_from_file(&p, path) : rc;
    return end(&p, rc == 0 ? then(&p) : rc);
}

int hd_cmd_run(int argc, char **argv)
{
    return job_file(argc, argv, "run FILE.job [-q] [-p NAME=VALUE]...",
                    "Runs a job file. Nothing is begun when something in it is wrong.\n", run);
}

static int good(struct pipe *p)
{
    printf("%s: good; %zu %s\n", p->origin, p->stages.count,
           p->stages.count == 1 ? "stage" : "stages");
    return HD_EXIT_OK;
}

int hd_cmd_check(int argc, char **argv)
{
    return job_file(argc, argv, "check FILE.job [-p NAME=VALUE]...",
                    "Says whether a job file is good, or where it is not (exit 3).\n", good);
}

/* ---- explain ---- */

static void print_step(const struct hd_step *s)
{
    printf("%s", strcmp(s->op, "exec") == 0 ? "" : s->op);
    for (size_t i = 0; i < s->arg_count; i++) {
        bool space = strchr(s->args[i], ' ') != NULL || s->args[i][0] == '\0';
        const char *gap = i == 0 && strcmp(s->op, "exec") == 0 ? "" : " ";
        printf(space ? "%s'%s'" : "%s%s", gap, s->args[i]);
    }
}

static void print_stage(const struct hd_stages *all, size_t index)
{
    const struct hd_stage *s = &all->items[index];
    printf("stage %zu\n", index + 1);
    for (size_t i = 0; i < s->flow_count; i++) {
        const struct hd_flow *f = &s->flows[i];
        printf("  from ");
        for (size_t k = 0; k < f->path_count; k++) {
            printf("%s%s", k > 0 ? " " : "", f->paths[k]);
        }
        if (f->stage != HD_STAGE_NONE) {
            printf("stage %" PRIu32, f->stage + 1);
        }
        for (size_t k = 0; k < f->steps.count; k++) {
            printf(" | ");
            print_step(&f->steps.items[k]);
        }
        putchar('\n');
    }
    if (s->wide.op != NULL) {
        printf("  shuffle: ");
        print_step(&s->wide);
        if (s->reduces == HD_STAGE_AUTO) {
            printf(", reduces by the size of the input\n");
        } else {
            printf(", %" PRIu32 " %s\n", s->reduces, s->reduces == 1 ? "reduce" : "reduces");
        }
        for (size_t k = 0; k < s->after.count; k++) {
            printf(k == 0 ? "  then " : " | ");
            print_step(&s->after.items[k]);
        }
        printf(s->after.count > 0 ? "\n" : "");
    }
    switch (s->end) {
    case HD_STAGE_KEEP:
        printf("  kept for the stages behind it\n");
        break;
    case HD_STAGE_COLLECT:
        printf("  collected\n");
        break;
    case HD_STAGE_SAVE:
        printf("  saved to %s%s\n", s->path, s->replace ? ", in place of what is there" : "");
        break;
    }
}

static int explain(struct pipe *p)
{
    for (size_t i = 0; i < p->stages.count; i++) {
        print_stage(&p->stages, i);
    }
    return HD_EXIT_OK;
}

int hd_cmd_explain(int argc, char **argv)
{
    return job_file(argc, argv, "explain FILE.job [-p NAME=VALUE]...",
                    "Shows the stages a job file is cut into: what is fused, what is shuffled.\n",
                    explain);
}

/* ---- operations as verbs ---- */

static int quote(struct hd_buf *out, const char *word)
{
    int err = hd_buf_add(out, " '", 2);
    for (; err == 0 && *word != '\0'; word++) {
        err = *word == '\'' ? hd_buf_add(out, "'\\''", 4) : hd_buf_add_u8(out, (uint8_t)*word);
    }
    return err == 0 ? hd_buf_add_u8(out, '\'') : err;
}

/* How many words behind the verb are its own; the others are paths. */
static int own_words(const struct hd_op_def *def, int argc, char **argv)
{
    int own = def->min_args;
    if (def->class == HD_OP_COMBINE || def->class == HD_OP_UNION) {
        own = 0;
    } else if (strcmp(def->name, "sortByKey") == 0) {
        own = 0;
        while (own < argc &&
               (strcasecmp(argv[own], "numeric") == 0 || strcasecmp(argv[own], "desc") == 0)) {
            own++;
        }
    } else if (argc > 0 && strcmp(def->name, "grep") == 0 && argv[0][0] == '-') {
        own = 2;
    }
    while (own < argc && strchr(argv[own], '=') != NULL && strchr(argv[own], '/') == NULL) {
        own++;
    }
    return own;
}

static int build_text(const struct hd_op_def *def, const char *verb, int argc, char **argv,
                      struct hd_buf *out)
{
    bool of_sets = def->class == HD_OP_COMBINE || def->class == HD_OP_UNION;
    int own = own_words(def, argc, argv);
    int err = 0;
    if (of_sets) {
        err = hd_buf_add(out, verb, strlen(verb));
        for (int i = 0; err == 0 && i < argc; i++) {
            err = quote(out, argv[i]);
        }
        return err;
    }
    if (own >= argc) {
        return -EINVAL;
    }
    err = hd_buf_add(out, "read", 4);
    for (int i = own; err == 0 && i < argc; i++) {
        err = quote(out, argv[i]);
    }
    err = err == 0 ? hd_buf_add(out, " | ", 3) : err;
    err = err == 0 ? hd_buf_add(out, verb, strlen(verb)) : err;
    for (int i = 0; err == 0 && i < own; i++) {
        err = quote(out, argv[i]);
    }
    return err;
}

int hd_cmd_operation(int argc, char **argv)
{
    const struct hd_op_def *def = hd_op_find(argv[0]);
    char text[300];
    HD_AUTO(hd_buf_done) struct hd_buf script = {0};
    struct pipe p;
    snprintf(text, sizeof(text), "%s [-q] %s PATH...", argv[0], def->usage);
    int rc = parse(&p, argc, argv, text, "One operation over files; its result is on stdout.\n");
    if (rc != 0) {
        return end(&p, rc);
    }
    int err = build_text(def, argv[0], argc - optind, argv + optind, &script);
    const char *s = err == 0 ? hd_buf_str(&script) : NULL;
    if (s == NULL) {
        return end(&p, usage("which files?", text));
    }
    p.origin = argv[0];
    rc = make(&p, s, true);
    return end(&p, rc == 0 ? run(&p) : rc);
}
