/*
 * Pipelines as text: `read /logs | flatMap tokens | count | top 10`, or a job file with a statement
 * a line. Text in, a graph of operations out; nothing is looked up or run.
 *
 *   job NAME
 *   rows = read /a /b key=1          a name for what a statement makes
 *   both = join rows names how=inner
 *   both | save /out parts=2         `|` hands on
 *   count                            goes on with the statement before
 *
 * Words are quoted as in a shell, `#` begins a comment, $NAME is a parameter. Operations have the
 * names of Spark's, in any case. Pure.
 */
#ifndef HD_RUNNER_CORE_SCRIPT_H
#define HD_RUNNER_CORE_SCRIPT_H

#include "fs/base/arena.h"

enum {
    HD_SCRIPT_MAX_BYTES = 1 << 20,
    HD_SCRIPT_NODES_MAX = 1000,
    HD_SCRIPT_WORDS_MAX = 4096,
    HD_SCRIPT_INPUTS_MAX = 64,
};

enum hd_op_class {
    HD_OP_SOURCE,
    HD_OP_NARROW,  /* record by record, within a task */
    HD_OP_WIDE,    /* brings records together: ends a stage */
    HD_OP_COMBINE, /* wide, of several data sets */
    HD_OP_UNION,
    HD_OP_KEEP, /* cache, persist: its input, once made, is kept */
    HD_OP_ACTION,
    HD_OP_SETTING, /* job, limits, ship */
};

struct hd_op_def {
    const char *name;  /* as Spark writes it */
    const char *alias; /* or NULL */
    enum hd_op_class class;
    int min_args;
    int max_args;        /* -1: any number */
    const char *options; /* names, each followed by a space */
    const char *usage;   /* behind the name */
};

struct hd_script_option {
    const char *name;
    const char *value;
};

struct hd_node {
    const struct hd_op_def *def;
    const char *name; /* of the data set, or NULL */
    char **args;      /* what is neither an option nor a data set */
    size_t arg_count;
    struct hd_script_option *options;
    size_t option_count;
    uint32_t inputs[HD_SCRIPT_INPUTS_MAX]; /* nodes */
    uint32_t input_count;
    uint32_t uses; /* nodes that have it as an input */
    uint32_t line;
    uint32_t column;
};

struct hd_script_param {
    const char *name;
    const char *value;
};

struct hd_script {
    const char *name;      /* of the job, or NULL */
    struct hd_node *nodes; /* inputs come before their users; in the arena */
    size_t count;
    struct { /* what is wrong */
        uint32_t line;
        uint32_t column;
        char text[512];
    } error;
};

struct hd_script_params {
    const struct hd_script_param *items;
    size_t count;
};

/*
 * 0, -EINVAL with ret->error, or -ENOMEM. `pipe`: a result that nobody uses is collected; in a job
 * file it is an error.
 */
int hd_script_parse(const char *text, const struct hd_script_params *params, bool pipe,
                    struct hd_arena *arena, struct hd_script *ret);

/* The value of an option, or fallback. */
const char *hd_node_option(const struct hd_node *n, const char *name, const char *fallback);

/* An operation by name, in any case; NULL: there is none. */
const struct hd_op_def *hd_op_find(const char *name);

#endif
