/* See script.h. */
#include "runner/core/script.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct hd_op_def defs[] = {
    {"job", NULL, HD_OP_SETTING, 1, 1, "", "NAME"},
    {"read", "textFile", HD_OP_SOURCE, 1, -1, "key as persist ", "PATH... [key=N]"},
    {"map", NULL, HD_OP_NARROW, 1, -1, "", "COMMAND"},
    {"flatMap", NULL, HD_OP_NARROW, 1, -1, "", "COMMAND | tokens"},
    {"filter", NULL, HD_OP_NARROW, 1, -1, "", "COMMAND | grep [-viEF] PATTERN"},
    {"grep", NULL, HD_OP_NARROW, 1, -1, "", "[-viEF] PATTERN"},
    {"tokens", NULL, HD_OP_NARROW, 0, 0, "", ""},
    {"fields", NULL, HD_OP_NARROW, 1, -1, "", "N[,N]..."},
    {"keyBy", NULL, HD_OP_NARROW, 1, 1, "", "N"},
    {"sample", NULL, HD_OP_NARROW, 1, 1, "seed ", "FRACTION [seed=N]"},
    {"pipe", "mapPartitions", HD_OP_NARROW, 1, -1, "", "COMMAND"},
    {"union", NULL, HD_OP_UNION, 1, -1, "", "DATASET..."},
    {"count", "countByValue", HD_OP_WIDE, 0, 0, "reduces ", ""},
    {"countByKey", NULL, HD_OP_WIDE, 0, 0, "reduces ", ""},
    {"distinct", NULL, HD_OP_WIDE, 0, 0, "reduces ", ""},
    {"reduceByKey", NULL, HD_OP_WIDE, 1, -1, "reduces ",
     "sum|count|min|max|avg|first|last|concat|COMMAND"},
    {"groupByKey", NULL, HD_OP_WIDE, 0, 0, "reduces ", ""},
    {"reduce", NULL, HD_OP_WIDE, 1, -1, "reduces ", "COMMAND"},
    {"sortByKey", "sort", HD_OP_WIDE, 0, 2, "", "[numeric] [desc]"},
    {"repartition", NULL, HD_OP_WIDE, 1, 1, "", "N"},
    {"take", NULL, HD_OP_WIDE, 1, 1, "", "N"},
    {"first", NULL, HD_OP_WIDE, 0, 0, "", ""},
    {"top", NULL, HD_OP_WIDE, 1, 1, "by ", "N [by=K[n][r]]"},
    {"takeOrdered", NULL, HD_OP_WIDE, 1, 1, "by ", "N [by=K[n][r]]"},
    {"join", NULL, HD_OP_COMBINE, 1, -1, "how reduces ", "DATASET... [how=inner|left|right|full]"},
    {"cogroup", NULL, HD_OP_COMBINE, 1, -1, "reduces ", "DATASET..."},
    {"intersection", NULL, HD_OP_COMBINE, 1, -1, "reduces ", "DATASET..."},
    {"subtract", NULL, HD_OP_COMBINE, 1, -1, "reduces ", "DATASET..."},
    {"cache", NULL, HD_OP_KEEP, 0, 0, "", ""},
    {"persist", "checkpoint", HD_OP_KEEP, 0, 1, "", "[memory|memory+disk|disk]"},
    {"collect", "show", HD_OP_ACTION, 0, 0, "", ""},
    {"save", "saveAsTextFile", HD_OP_ACTION, 1, 1, "parts if-exists ",
     "PATH [parts=N] [if-exists=fail|replace]"},
};

const struct hd_op_def *hd_op_find(const char *name)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(defs); i++) {
        if (strcasecmp(defs[i].name, name) == 0 ||
            (defs[i].alias != NULL && strcasecmp(defs[i].alias, name) == 0)) {
            return &defs[i];
        }
    }
    return NULL;
}

const char *hd_node_option(const struct hd_node *n, const char *name, const char *fallback)
{
    for (size_t i = 0; i < n->option_count; i++) {
        if (strcmp(n->options[i].name, name) == 0) {
            return n->options[i].value;
        }
    }
    return fallback;
}

/* ---- words ---- */

enum word_type { WORD_TEXT, WORD_BAR, WORD_LINE_END };

struct word {
    enum word_type type;
    const char *text;
    bool plain; /* nothing of it was quoted */
    uint32_t line;
    uint32_t column;
};

struct parser {
    struct hd_arena *arena;
    const struct hd_script_params *params;
    struct hd_script *script;
    struct word *words;
    size_t word_count;
    size_t at; /* the word that is looked at */
    size_t capacity;
    bool pipe;
    uint32_t last; /* node that a statement goes on with; UINT32_MAX: none */
    bool failed_memory;
};

HD_PRINTF(4, 5)
static int fail(struct parser *p, uint32_t line, uint32_t column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->script->error.text, sizeof(p->script->error.text), fmt, ap);
    va_end(ap);
    p->script->error.line = line;
    p->script->error.column = column;
    return -EINVAL;
}

struct reader {
    const char *at;
    uint32_t line;
    uint32_t column;
};

static void step(struct reader *r)
{
    r->column++;
    if (*r->at++ == '\n') {
        r->line++;
        r->column = 1;
    }
}

static const char *param(const struct parser *p, const char *name, size_t size)
{
    for (size_t i = 0; p->params != NULL && i < p->params->count; i++) {
        const char *have = p->params->items[i].name;
        if (strlen(have) == size && memcmp(have, name, size) == 0) {
            return p->params->items[i].value;
        }
    }
    return NULL;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* $NAME at r, appended to out. A $ that no name follows, as in awk's $1, stands for itself. */
static int expand(struct parser *p, struct reader *r, char **out, size_t *n)
{
    size_t size = 0;
    bool digit = r->at[1] >= '0' && r->at[1] <= '9';
    while (!digit && is_name_byte(r->at[1 + size])) {
        size++;
    }
    const char *value = size > 0 ? param(p, r->at + 1, size) : "$";
    if (value == NULL) {
        return fail(p, r->line, r->column, "$%.*s has no value; give one with -p %.*s=VALUE",
                    (int)size, r->at + 1, (int)size, r->at + 1);
    }
    char *more = hd_arena_printf(p->arena, "%.*s%s", (int)*n, *out, value);
    char *room = more != NULL ? hd_arena_alloc(p->arena, strlen(more) + strlen(r->at) + 1) : NULL;
    if (room == NULL) {
        return -ENOMEM;
    }
    *n = strlen(more);
    memcpy(room, more, *n);
    *out = room;
    for (size_t i = 0; i <= size; i++) {
        step(r);
    }
    return 0;
}

/* Inside double quotes and outside of any, a backslash keeps the next byte as it is. */
static int read_word(struct parser *p, struct reader *r, struct word *w)
{
    char *out = hd_arena_alloc(p->arena, strlen(r->at) + 1);
    size_t n = 0;
    char quote = '\0';
    struct reader start = *r;
    if (out == NULL) {
        return -ENOMEM;
    }
    w->plain = true;
    while (*r->at != '\0') {
        char c = *r->at;
        if (quote == '\0' && strchr(" \t\r\n|", c) != NULL) {
            break;
        }
        if ((quote == '\0' && (c == '\'' || c == '"')) || (quote != '\0' && c == quote)) {
            quote = quote == '\0' ? c : '\0';
            w->plain = false;
            step(r);
        } else if (c == '$' && quote != '\'') {
            int err = expand(p, r, &out, &n);
            if (err < 0) {
                return err;
            }
        } else if (c == '\\' && quote != '\'' && r->at[1] != '\0') {
            bool known = quote == '\0' || strchr("\\\"$", r->at[1]) != NULL;
            if (!known) {
                out[n++] = c;
            }
            step(r);
            out[n++] = *r->at;
            w->plain = false;
            step(r);
        } else {
            out[n++] = c;
            step(r);
        }
    }
    if (quote != '\0') {
        return fail(p, start.line, start.column, "a %c that is not closed", quote);
    }
    out[n] = '\0';
    w->text = out;
    return 0;
}

static int add_word(struct parser *p, struct word w)
{
    if (p->word_count == HD_SCRIPT_WORDS_MAX) {
        return fail(p, w.line, w.column, "more than %d words", HD_SCRIPT_WORDS_MAX);
    }
    p->words[p->word_count++] = w;
    return 0;
}

/* A line that begins deeper than the statement before goes on with it. */
static bool goes_on(const struct parser *p, uint32_t column, uint32_t indent)
{
    return p->word_count > 0 && indent > 0 && column > indent;
}

static int scan(struct parser *p, const char *text)
{
    struct reader r = {.at = text, .line = 1, .column = 1};
    uint32_t indent = 0; /* column of the statement under way; 0: none */
    bool job = false;    /* in the line that names the job */
    int err = 0;
    p->words = HD_ARENA_ARRAY(p->arena, struct word, HD_SCRIPT_WORDS_MAX + 1);
    if (p->words == NULL) {
        return -ENOMEM;
    }
    bool fresh = true; /* at the beginning of a line */
    while (err == 0 && *r.at != '\0') {
        struct word w = {.line = r.line, .column = r.column};
        if (*r.at == '\n' || *r.at == ' ' || *r.at == '\t' || *r.at == '\r') {
            fresh = fresh || *r.at == '\n';
            if (*r.at == '\n' && job) { /* what follows the job line may be indented */
                indent = 0;
                job = false;
            }
            step(&r);
            continue;
        }
        if (*r.at == '#') {
            while (*r.at != '\0' && *r.at != '\n') {
                step(&r);
            }
            continue;
        }
        if (fresh && *r.at != '|') {
            if (!goes_on(p, r.column, indent)) {
                struct word end = {.type = WORD_LINE_END, .line = r.line, .column = r.column};
                err = p->word_count > 0 ? add_word(p, end) : 0;
                indent = r.column;
            }
        }
        fresh = false;
        if (err == 0 && *r.at == '|') {
            w.type = WORD_BAR;
            step(&r);
            err = add_word(p, w);
        } else if (err == 0) {
            err = read_word(p, &r, &w);
            err = err == 0 ? add_word(p, w) : err;
            if (err == 0 && p->word_count == 1) {
                job = w.plain && strcmp(w.text, "job") == 0;
            }
        }
    }
    struct word end = {.type = WORD_LINE_END, .line = r.line, .column = r.column};
    return err == 0 ? add_word(p, end) : err;
}

/* ---- statements ---- */

static const struct word *peek(const struct parser *p)
{
    return &p->words[p->at];
}

static uint32_t find_name(const struct parser *p, const char *name)
{
    for (size_t i = p->script->count; i-- > 0;) {
        if (p->script->nodes[i].name != NULL && strcmp(p->script->nodes[i].name, name) == 0) {
            return (uint32_t)i;
        }
    }
    return UINT32_MAX;
}

static struct hd_node *add_node(struct parser *p, const struct hd_op_def *def, const struct word *w)
{
    struct hd_script *s = p->script;
    if (s->count == HD_SCRIPT_NODES_MAX) {
        fail(p, w->line, w->column, "more than %d operations", HD_SCRIPT_NODES_MAX);
        return NULL;
    }
    struct hd_node *n = &s->nodes[s->count++];
    *n = (struct hd_node){.def = def, .line = w->line, .column = w->column};
    return n;
}

static void use(struct parser *p, struct hd_node *n, uint32_t input)
{
    n->inputs[n->input_count++] = input;
    p->script->nodes[input].uses++;
}

/* How near two names are: the fewest changes of one byte (at most a few dozen bytes each). */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t row[MAX + 1];
    size_t n = strnlen(a, MAX);
    size_t m = strnlen(b, MAX);
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t old = row[j];
            bool same = (a[i - 1] | 32) == (b[j - 1] | 32);
            row[j] = HD_MIN(HD_MIN(row[j] + 1, row[j - 1] + 1), diagonal + !same);
            diagonal = old;
        }
    }
    return row[m];
}

static int unknown_op(struct parser *p, const struct word *w)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; i < HD_ARRAY_COUNT(defs); i++) {
        size_t d = distance(defs[i].name, w->text);
        if (d < least) {
            least = d;
            best = defs[i].name;
        }
    }
    return best != NULL
               ? fail(p, w->line, w->column, "%s: no such operation; did you mean %s?", w->text,
                      best)
               : fail(p, w->line, w->column, "%s: expected an operation or a data set", w->text);
}

static bool takes_option(const struct hd_op_def *def, const char *text, size_t name_size)
{
    const char *at = def->options;
    while (*at != '\0') {
        size_t size = strcspn(at, " ");
        if (size == name_size && memcmp(at, text, size) == 0) {
            return true;
        }
        at += size + 1;
    }
    return false;
}

static bool add_option(struct parser *p, struct hd_node *n, const struct word *w)
{
    const char *equal = strchr(w->text, '=');
    if (equal == NULL || !takes_option(n->def, w->text, (size_t)(equal - w->text))) {
        return false;
    }
    char *name = hd_arena_strn(p->arena, w->text, (size_t)(equal - w->text));
    if (name == NULL) {
        p->failed_memory = true;
        return true;
    }
    n->options[n->option_count++] = (struct hd_script_option){name, equal + 1};
    return true;
}

/* Names of data sets, or paths, which are read. */
static int add_dataset(struct parser *p, uint32_t index, const struct word *w)
{
    uint32_t input = find_name(p, w->text);
    if (p->script->nodes[index].input_count == HD_SCRIPT_INPUTS_MAX) {
        return fail(p, w->line, w->column, "more than %d inputs", HD_SCRIPT_INPUTS_MAX);
    }
    if (input == UINT32_MAX && strchr(w->text, '/') == NULL) {
        return fail(p, w->line, w->column, "%s: no data set of this name, and not a path", w->text);
    }
    if (input == UINT32_MAX) { /* its node has to come before its user */
        struct hd_script *s = p->script;
        if (add_node(p, hd_op_find("read"), w) == NULL) {
            return -EINVAL;
        }
        struct hd_node user = s->nodes[index];
        struct hd_node *read = &s->nodes[index];
        *read = s->nodes[s->count - 1];
        read->args = HD_ARENA_ARRAY(p->arena, char *, 1);
        if (read->args == NULL) {
            return -ENOMEM;
        }
        read->args[0] = (char *)(uintptr_t)w->text;
        read->arg_count = 1;
        s->nodes[s->count - 1] = user;
        input = index;
        index = (uint32_t)s->count - 1;
    }
    use(p, &p->script->nodes[index], input);
    return (int)index;
}

/* The words behind an operation, up to a bar or the end. Returns the node's index. */
static int read_words(struct parser *p, uint32_t index)
{
    struct hd_node *n = &p->script->nodes[index];
    size_t room = 0;
    while (p->words[p->at + room].type == WORD_TEXT) {
        room++;
    }
    n->args = HD_ARENA_ARRAY(p->arena, char *, room + 1);
    n->options = HD_ARENA_ARRAY(p->arena, struct hd_script_option, room + 1);
    if (n->args == NULL || n->options == NULL) {
        return -ENOMEM;
    }
    for (; peek(p)->type == WORD_TEXT; p->at++) {
        const struct word *w = peek(p);
        n = &p->script->nodes[index];
        if (add_option(p, n, w)) {
            continue;
        }
        if (n->def->class == HD_OP_COMBINE || n->def->class == HD_OP_UNION) {
            int at = add_dataset(p, index, w);
            if (at < 0) {
                return at;
            }
            index = (uint32_t)at;
        } else {
            n->args[n->arg_count++] = (char *)(uintptr_t)w->text;
        }
    }
    return p->failed_memory ? -ENOMEM : (int)index;
}

static int check_args(struct parser *p, const struct hd_node *n)
{
    bool of_sets = n->def->class == HD_OP_COMBINE || n->def->class == HD_OP_UNION;
    size_t have = of_sets ? n->input_count : n->arg_count;
    size_t least = of_sets ? 2 : (size_t)n->def->min_args;
    if (have < least || (n->def->max_args >= 0 && have > (size_t)n->def->max_args)) {
        return fail(p, n->line, n->column, "%s: expected %s %s", n->def->name, n->def->name,
                    n->def->usage[0] != '\0' ? n->def->usage : "and nothing behind it");
    }
    return 0;
}

/* One operation; `input`: what is handed to it, or UINT32_MAX. The node's index. */
static int read_operation(struct parser *p, uint32_t input, bool first)
{
    const struct word *w = peek(p);
    if (w->type != WORD_TEXT) {
        return fail(p, w->line, w->column, "expected an operation");
    }
    uint32_t named = first && w->plain ? find_name(p, w->text) : UINT32_MAX;
    enum word_type next = p->words[p->at + 1].type;
    if (named != UINT32_MAX && next != WORD_TEXT) {
        p->at++;
        return (int)named;
    }
    const struct hd_op_def *def = hd_op_find(w->text);
    if (def == NULL) {
        return unknown_op(p, w);
    }
    p->at++;
    if (def->class == HD_OP_SETTING) {
        return fail(p, w->line, w->column, "%s: only at the beginning of a file", def->name);
    }
    struct hd_node *n = add_node(p, def, w);
    if (n == NULL) {
        return -EINVAL;
    }
    uint32_t index = (uint32_t)p->script->count - 1;
    bool of_sets = def->class == HD_OP_COMBINE || def->class == HD_OP_UNION;
    if (def->class == HD_OP_SOURCE) {
        if (!first) {
            return fail(p, w->line, w->column, "%s begins a statement; nothing is handed to it",
                        def->name);
        }
    } else if (!first) {
        use(p, n, input);
    } else if (!of_sets && p->last != UINT32_MAX) {
        use(p, n, p->last);
    } else if (!of_sets) {
        return fail(p, w->line, w->column, "%s: there is nothing to work on; begin with read PATH",
                    def->name);
    }
    int at = read_words(p, index);
    if (at < 0) {
        return at;
    }
    int err = check_args(p, &p->script->nodes[at]);
    return err < 0 ? err : at;
}

static int read_statement(struct parser *p)
{
    const char *name = NULL;
    const struct word *w = peek(p);
    if (w->type == WORD_TEXT && p->words[p->at + 1].type == WORD_TEXT &&
        strcmp(p->words[p->at + 1].text, "=") == 0) {
        name = w->text;
        if (hd_op_find(name) != NULL) {
            return fail(p, w->line, w->column, "%s is an operation; call the data set otherwise",
                        name);
        }
        p->at += 2;
    }
    int node = read_operation(p, UINT32_MAX, true);
    while (node >= 0 && peek(p)->type == WORD_BAR) {
        p->at++;
        const struct hd_node *n = &p->script->nodes[node];
        if (n->def->class == HD_OP_ACTION) {
            return fail(p, peek(p)->line, peek(p)->column, "%s ends a pipeline", n->def->name);
        }
        node = read_operation(p, (uint32_t)node, false);
    }
    if (node < 0) {
        return node;
    }
    struct hd_node *n = &p->script->nodes[node];
    if (name != NULL) {
        if (n->def->class == HD_OP_ACTION) {
            return fail(p, n->line, n->column, "%s gives nothing that could be called %s",
                        n->def->name, name);
        }
        n->name = name;
    }
    p->last = n->def->class == HD_OP_ACTION ? UINT32_MAX : (uint32_t)node;
    return 0;
}

static int read_job_line(struct parser *p)
{
    const struct word *w = peek(p);
    if (w->type != WORD_TEXT || !w->plain || strcmp(w->text, "job") != 0) {
        return 0;
    }
    if (p->words[1].type != WORD_TEXT || p->words[2].type != WORD_LINE_END) {
        return fail(p, w->line, w->column, "job: expected job NAME");
    }
    p->script->name = p->words[1].text;
    p->at = 3;
    return 0;
}

/* Results that nobody uses: the end of a pipeline is collected. */
static int finish(struct parser *p)
{
    struct hd_script *s = p->script;
    size_t count = s->count;
    for (size_t i = 0; i < count; i++) {
        struct hd_node *n = &s->nodes[i];
        if (n->uses > 0 || n->def->class == HD_OP_ACTION) {
            continue;
        }
        if (!p->pipe) {
            return fail(p, n->line, n->column, "the result of %s goes nowhere: save it, or show it",
                        n->def->name);
        }
        struct word w = {.line = n->line, .column = n->column};
        struct hd_node *collect = add_node(p, hd_op_find("collect"), &w);
        if (collect == NULL) {
            return -EINVAL;
        }
        use(p, collect, (uint32_t)i);
    }
    return s->count > 0 ? 0 : fail(p, 1, 1, "there is nothing to do");
}

int hd_script_parse(const char *text, const struct hd_script_params *params, bool pipe,
                    struct hd_arena *arena, struct hd_script *ret)
{
    struct parser p = {
        .arena = arena, .params = params, .script = ret, .pipe = pipe, .last = UINT32_MAX};
    *ret = (struct hd_script){0};
    if (strlen(text) > HD_SCRIPT_MAX_BYTES) {
        return fail(&p, 1, 1, "more than %d bytes", HD_SCRIPT_MAX_BYTES);
    }
    ret->nodes = HD_ARENA_ARRAY(arena, struct hd_node, HD_SCRIPT_NODES_MAX);
    int err = ret->nodes != NULL ? scan(&p, text) : -ENOMEM;
    if (err == 0) {
        err = read_job_line(&p);
    }
    while (err == 0 && p.at < p.word_count) {
        if (peek(&p)->type == WORD_LINE_END) {
            p.at++;
            continue;
        }
        err = read_statement(&p);
        if (err == 0 && p.at < p.word_count && peek(&p)->type != WORD_LINE_END) {
            err = fail(&p, peek(&p)->line, peek(&p)->column, "expected | or the end of the line");
        }
    }
    return err == 0 ? finish(&p) : err;
}
