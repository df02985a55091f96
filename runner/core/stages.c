/* See stages.h. */
#include "runner/core/stages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a node gives: flows that nobody has brought together yet. */
struct result {
    struct hd_flow *flows;
    size_t count;
};

struct planner {
    struct hd_script *script;
    struct hd_arena *arena;
    struct hd_stages *out;
    struct result *results; /* by node */
};

static int fail(struct planner *p, const struct hd_node *n, const char *text)
{
    snprintf(p->script->error.text, sizeof(p->script->error.text), "%s: %s", n->def->name, text);
    p->script->error.line = n->line;
    p->script->error.column = n->column;
    return -EINVAL;
}

/* ---- steps ---- */

static int add_step(struct planner *p, struct hd_steps *s, struct hd_step step)
{
    if (s->count == s->capacity) {
        size_t capacity = 2 * s->capacity + 4;
        struct hd_step *more = HD_ARENA_ARRAY(p->arena, struct hd_step, capacity);
        if (more == NULL) {
            return -ENOMEM;
        }
        if (s->count > 0) {
            memcpy(more, s->items, s->count * sizeof(*more));
        }
        s->items = more;
        s->capacity = capacity;
    }
    s->items[s->count++] = step;
    return 0;
}

static struct hd_step make_step(struct planner *p, const char *op, size_t count,
                                const char *const *args)
{
    struct hd_step s = {.op = op, .arg_count = count};
    s.args = HD_ARENA_ARRAY(p->arena, char *, count + 1);
    for (size_t i = 0; s.args != NULL && i < count; i++) {
        s.args[i] = hd_arena_str(p->arena, args[i]);
    }
    return s;
}

static struct hd_step step1(struct planner *p, const char *op, const char *arg)
{
    return make_step(p, op, arg != NULL, &arg);
}

/* A flow of its own, that can be changed without changing what it came from. */
static int copy_flow(struct planner *p, const struct hd_flow *from, struct hd_flow *to)
{
    *to = *from;
    to->steps = (struct hd_steps){0};
    for (size_t i = 0; i < from->steps.count; i++) {
        int err = add_step(p, &to->steps, from->steps.items[i]);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static int copy_result(struct planner *p, const struct result *from, struct result *to)
{
    *to = *from;
    to->flows = HD_ARENA_ARRAY(p->arena, struct hd_flow, from->count + 1);
    for (size_t i = 0; to->flows != NULL && i < from->count; i++) {
        int err = copy_flow(p, &from->flows[i], &to->flows[i]);
        if (err < 0) {
            return err;
        }
    }
    return to->flows != NULL ? 0 : -ENOMEM;
}

/* ---- stages ---- */

static struct hd_stage *new_stage(struct planner *p, uint32_t *ret)
{
    if (p->out->count == HD_STAGES_MAX) {
        return NULL;
    }
    *ret = (uint32_t)p->out->count;
    return &p->out->items[p->out->count++];
}

static int add_flows(struct planner *p, struct hd_stage *s, const struct result *from, uint32_t tag)
{
    size_t need = s->flow_count + from->count;
    struct hd_flow *more = HD_ARENA_ARRAY(p->arena, struct hd_flow, need + 1);
    if (more == NULL) {
        return -ENOMEM;
    }
    if (s->flow_count > 0) {
        memcpy(more, s->flows, s->flow_count * sizeof(*more));
    }
    for (size_t i = 0; i < from->count; i++) {
        int err = copy_flow(p, &from->flows[i], &more[s->flow_count]);
        if (err < 0) {
            return err;
        }
        more[s->flow_count].tag = tag;
        if (more[s->flow_count].stage != HD_STAGE_NONE) {
            p->out->items[more[s->flow_count].stage].users++;
        }
        s->flow_count++;
    }
    s->flows = more;
    return 0;
}

static int single_flow(struct planner *p, uint32_t stage, struct result *ret)
{
    *ret = (struct result){.count = 1};
    ret->flows = HD_ARENA_ARRAY(p->arena, struct hd_flow, 1);
    if (ret->flows == NULL) {
        return -ENOMEM;
    }
    ret->flows[0] = (struct hd_flow){.stage = stage, .key_field = 1};
    return 0;
}

/* By-key operations find the key in front. */
static int key_to_front(struct planner *p, struct result *r)
{
    char text[16];
    for (size_t i = 0; i < r->count; i++) {
        struct hd_flow *f = &r->flows[i];
        snprintf(text, sizeof(text), "%u", f->key_field);
        int err = f->key_field != 1 ? add_step(p, &f->steps, step1(p, "key", text)) : 0;
        if (err < 0) {
            return err;
        }
        f->key_field = 1;
    }
    return 0;
}

static bool parse_count(const char *text, uint32_t least, uint32_t *ret)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    *ret = (uint32_t)v;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && v >= least && v <= 1000000000UL;
}

static int set_reduces(struct planner *p, const struct hd_node *n, struct hd_stage *s)
{
    const char *text = hd_node_option(n, "reduces", NULL);
    s->reduces = HD_STAGE_AUTO;
    if (text != NULL && !parse_count(text, 1, &s->reduces)) {
        return fail(p, n, "reduces: expected a number, 1 or more");
    }
    return 0;
}

/* A wide operation over the inputs of a node: a stage whose output is the node's result. */
static int make_wide(struct planner *p, const struct hd_node *n, struct hd_step wide, bool by_key,
                     uint32_t reduces, struct result *ret)
{
    uint32_t index;
    struct hd_stage *s = new_stage(p, &index);
    if (s == NULL) {
        return fail(p, n, "too many stages");
    }
    int err = set_reduces(p, n, s);
    for (uint32_t i = 0; err == 0 && i < n->input_count; i++) {
        struct result r;
        err = copy_result(p, &p->results[n->inputs[i]], &r);
        if (err == 0 && by_key) {
            err = key_to_front(p, &r);
        }
        err = err == 0 ? add_flows(p, s, &r, i) : err;
    }
    s->wide = wide;
    if (reduces != 0) {
        s->reduces = reduces;
    }
    return err == 0 ? single_flow(p, index, ret) : err;
}

/* ---- operations ---- */

static int check_key(struct planner *p, const struct hd_node *n, const char *text, uint32_t *ret)
{
    return parse_count(text, 1, ret) ? 0 : fail(p, n, "key: expected the number of a field");
}

static int plan_read(struct planner *p, const struct hd_node *n, struct result *ret)
{
    int err = single_flow(p, HD_STAGE_NONE, ret);
    if (err == 0) {
        ret->flows[0].paths = n->args;
        ret->flows[0].path_count = n->arg_count;
        err = check_key(p, n, hd_node_option(n, "key", "1"), &ret->flows[0].key_field);
    }
    const char *as = hd_node_option(n, "as", "text");
    if (err == 0 && strcmp(as, "text") != 0 && strcmp(as, "tsv") != 0) {
        return fail(p, n, "as: expected text or tsv");
    }
    return err;
}

static bool is(const struct hd_node *n, const char *name)
{
    return strcmp(n->def->name, name) == 0;
}

/* A command in one word is cut later; several words are its arguments. */
static struct hd_step exec_step(const struct hd_node *n)
{
    return (struct hd_step){.op = "exec", .args = n->args, .arg_count = n->arg_count};
}

static bool is_builtin_grep(size_t count, char *const *args)
{
    if (count == 2 && args[0][0] == '-') {
        return args[0][1] != '\0' && strspn(args[0] + 1, "viEF") == strlen(args[0] + 1);
    }
    return count == 1 && args[0][0] != '-';
}

static struct hd_step narrow_step(struct planner *p, const struct hd_node *n, bool *keeps_key)
{
    bool grep_word = n->arg_count > 1 && strcmp(n->args[0], "grep") == 0;
    *keeps_key = is(n, "filter") || is(n, "grep") || is(n, "sample");
    if (is(n, "grep") && is_builtin_grep(n->arg_count, n->args)) {
        return (struct hd_step){.op = "grep", .args = n->args, .arg_count = n->arg_count};
    }
    if (is(n, "filter") && grep_word && is_builtin_grep(n->arg_count - 1, n->args + 1)) {
        return (struct hd_step){.op = "grep", .args = n->args + 1, .arg_count = n->arg_count - 1};
    }
    if (is(n, "tokens") ||
        (is(n, "flatMap") && n->arg_count == 1 && strcasecmp(n->args[0], "tokens") == 0)) {
        return step1(p, "tokens", NULL);
    }
    if (is(n, "fields")) {
        return step1(p, "fields", n->args[0]);
    }
    if (is(n, "sample")) {
        const char *args[] = {n->args[0], hd_node_option(n, "seed", "1")};
        return make_step(p, "sample", 2, args);
    }
    return exec_step(n);
}

static void set_key(struct result *r, uint32_t field)
{
    for (size_t i = 0; i < r->count; i++) {
        r->flows[i].key_field = field;
    }
}

static int plan_narrow(struct planner *p, const struct hd_node *n, struct result *ret)
{
    int err = copy_result(p, &p->results[n->inputs[0]], ret);
    if (err == 0 && is(n, "keyBy")) {
        uint32_t field;
        err = check_key(p, n, n->args[0], &field);
        set_key(ret, err == 0 ? field : 1);
        return err;
    }
    if (err == 0 && is(n, "grep") && !is_builtin_grep(n->arg_count, n->args)) {
        return fail(p, n, "expected [-viEF] PATTERN; other options: map grep ...");
    }
    bool keeps_key = false;
    struct hd_step step = narrow_step(p, n, &keeps_key);
    for (size_t i = 0; err == 0 && i < ret->count; i++) {
        err = add_step(p, &ret->flows[i].steps, step);
    }
    if (err == 0 && !keeps_key) {
        set_key(ret, 1);
    }
    return err;
}

static int plan_union(struct planner *p, const struct hd_node *n, struct result *ret)
{
    size_t total = 0;
    for (uint32_t i = 0; i < n->input_count; i++) {
        total += p->results[n->inputs[i]].count;
    }
    *ret = (struct result){0};
    ret->flows = HD_ARENA_ARRAY(p->arena, struct hd_flow, total + 1);
    if (ret->flows == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n->input_count; i++) {
        const struct result *from = &p->results[n->inputs[i]];
        for (size_t f = 0; f < from->count; f++) {
            int err = copy_flow(p, &from->flows[f], &ret->flows[ret->count++]);
            if (err < 0) {
                return err;
            }
        }
    }
    return 0;
}

/* take, first, top, takeOrdered: every task keeps its share, one reduce chooses from the shares. */
static int plan_some(struct planner *p, const struct hd_node *n, struct result *ret)
{
    uint32_t count;
    const char *number = is(n, "first") ? "1" : n->args[0];
    bool ordered = is(n, "top") || is(n, "takeOrdered");
    if (!parse_count(number, 0, &count)) {
        return fail(p, n, "expected how many");
    }
    const char *args[] = {number, hd_node_option(n, "by", "")};
    struct hd_step step = make_step(p,
                                    is(n, "top") ? "top"
                                    : ordered    ? "ordered"
                                                 : "take",
                                    ordered ? 2 : 1, args);
    struct hd_step wide = step1(p, "gather", NULL);
    int err = make_wide(p, n, wide, false, 1, ret);
    struct hd_stage *s = &p->out->items[p->out->count - 1];
    for (size_t i = 0; err == 0 && i < s->flow_count; i++) {
        err = add_step(p, &s->flows[i].steps, step);
    }
    return err == 0 ? add_step(p, &s->after, step) : err;
}

/* count at the end of a pipeline is one number. */
static int plan_count_all(struct planner *p, const struct hd_node *n, struct result *ret)
{
    int err = make_wide(p, n, step1(p, "gather", NULL), false, 1, ret);
    struct hd_stage *s = &p->out->items[p->out->count - 1];
    for (size_t i = 0; err == 0 && i < s->flow_count; i++) {
        err = add_step(p, &s->flows[i].steps, step1(p, "lines", NULL));
    }
    return err == 0 ? add_step(p, &s->after, step1(p, "sum", NULL)) : err;
}

static bool ends_here(const struct planner *p, uint32_t node)
{
    for (size_t i = 0; i < p->script->count; i++) {
        const struct hd_node *n = &p->script->nodes[i];
        for (uint32_t k = 0; k < n->input_count; k++) {
            if (n->inputs[k] == node && !is(n, "collect")) {
                return false;
            }
        }
    }
    return true;
}

static int plan_sort(struct planner *p, const struct hd_node *n, struct result *ret)
{
    for (size_t i = 0; i < n->arg_count; i++) {
        if (strcasecmp(n->args[i], "numeric") != 0 && strcasecmp(n->args[i], "desc") != 0) {
            return fail(p, n, "expected numeric, desc or both");
        }
    }
    struct hd_step wide = {.op = "sortByKey", .args = n->args, .arg_count = n->arg_count};
    return make_wide(p, n, wide, true, 1, ret);
}

static bool is_reducer(const char *name)
{
    static const char *const names[] = {"sum", "count", "min",  "max",
                                        "avg", "first", "last", "concat"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int plan_wide(struct planner *p, uint32_t node, struct result *ret)
{
    const struct hd_node *n = &p->script->nodes[node];
    uint32_t parts;
    if (is(n, "count") && ends_here(p, node)) {
        return plan_count_all(p, n, ret);
    }
    if (is(n, "take") || is(n, "first") || is(n, "top") || is(n, "takeOrdered")) {
        return plan_some(p, n, ret);
    }
    if (is(n, "sortByKey")) {
        return plan_sort(p, n, ret);
    }
    if (is(n, "repartition")) {
        return parse_count(n->args[0], 1, &parts)
                   ? make_wide(p, n, step1(p, "repartition", NULL), false, parts, ret)
                   : fail(p, n, "expected how many parts");
    }
    bool by_record = is(n, "count") || is(n, "distinct");
    struct hd_step wide = {.op = n->def->name, .args = n->args, .arg_count = n->arg_count};
    if (is(n, "reduce") || (is(n, "reduceByKey") && !is_reducer(n->args[0]))) {
        wide.op = "reduce";
    } else if (is(n, "reduceByKey") && n->arg_count != 1) {
        return fail(p, n, "expected one function");
    }
    return make_wide(p, n, wide, !by_record, 0, ret);
}

static int plan_combine(struct planner *p, const struct hd_node *n, struct result *ret)
{
    static const char *const hows[] = {"inner", "left", "right", "full"};
    const char *how = hd_node_option(n, "how", "inner");
    bool known = false;
    for (size_t i = 0; i < HD_ARRAY_COUNT(hows); i++) {
        known = known || strcmp(hows[i], how) == 0;
    }
    if (!known) {
        return fail(p, n, "how: expected inner, left, right or full");
    }
    if (n->input_count != 2) {
        return fail(p, n, "expected two data sets");
    }
    bool by_key = is(n, "join") || is(n, "cogroup");
    struct hd_step wide = step1(p, n->def->name, is(n, "join") ? how : NULL);
    return make_wide(p, n, wide, by_key, 0, ret);
}

/* ---- ends ---- */

/* Steps behind a wide operation that only this flow uses become steps of its stage. */
static struct hd_stage *own_stage(struct planner *p, const struct hd_node *n,
                                  const struct result *r)
{
    const struct hd_flow *f = &r->flows[0];
    if (r->count != 1 || f->stage == HD_STAGE_NONE) {
        return NULL;
    }
    struct hd_stage *s = &p->out->items[f->stage];
    bool alone = s->users == 0 && s->end == HD_STAGE_KEEP && s->path == NULL;
    /* Nobody else may come for it later: every node between is used once. */
    for (uint32_t at = n->inputs[0]; alone; at = p->script->nodes[at].inputs[0]) {
        const struct hd_node *x = &p->script->nodes[at];
        alone = x->uses <= 1;
        if (x->def->class != HD_OP_NARROW && x->def->class != HD_OP_KEEP) {
            break;
        }
    }
    return alone ? s : NULL;
}

static int plan_action(struct planner *p, const struct hd_node *n)
{
    struct result r;
    uint32_t index;
    uint32_t parts = 0;
    const char *text = hd_node_option(n, "parts", NULL);
    const char *exists = hd_node_option(n, "if-exists", "fail");
    if (text != NULL && !parse_count(text, 1, &parts)) {
        return fail(p, n, "parts: expected a number, 1 or more");
    }
    if (strcmp(exists, "fail") != 0 && strcmp(exists, "replace") != 0) {
        return fail(p, n, "if-exists: expected fail or replace");
    }
    int err = copy_result(p, &p->results[n->inputs[0]], &r);
    struct hd_stage *s = err == 0 ? own_stage(p, n, &r) : NULL;
    bool other_parts =
        s != NULL && parts != 0 && s->reduces != HD_STAGE_AUTO && s->reduces != parts;
    if (other_parts && strcmp(s->wide.op, "sortByKey") == 0) {
        return fail(p, n, "parts: the order of sortByKey would be lost; it gives one part");
    }
    if (s != NULL && !other_parts) {
        for (size_t i = 0; err == 0 && i < r.flows[0].steps.count; i++) {
            err = add_step(p, &s->after, r.flows[0].steps.items[i]);
        }
    } else if (err == 0) {
        s = new_stage(p, &index);
        if (s == NULL) {
            return fail(p, n, "too many stages");
        }
        err = add_flows(p, s, &r, 0);
        if (parts != 0) {
            s->wide = step1(p, "repartition", NULL);
        }
    }
    if (err < 0) {
        return err;
    }
    if (parts != 0) {
        s->reduces = parts;
    }
    s->end = is(n, "save") ? HD_STAGE_SAVE : HD_STAGE_COLLECT;
    s->path = is(n, "save") ? n->args[0] : NULL;
    s->replace = strcmp(exists, "replace") == 0;
    return 0;
}

static int plan_node(struct planner *p, uint32_t index)
{
    const struct hd_node *n = &p->script->nodes[index];
    struct result *ret = &p->results[index];
    switch (n->def->class) {
    case HD_OP_SOURCE:
        return plan_read(p, n, ret);
    case HD_OP_NARROW:
        return plan_narrow(p, n, ret);
    case HD_OP_UNION:
        return plan_union(p, n, ret);
    case HD_OP_WIDE:
        return plan_wide(p, index, ret);
    case HD_OP_COMBINE:
        return plan_combine(p, n, ret);
    case HD_OP_KEEP:
        return copy_result(p, &p->results[n->inputs[0]], ret);
    case HD_OP_ACTION:
        return plan_action(p, n);
    case HD_OP_SETTING:
        return 0;
    }
    return 0;
}

int hd_stages_make(struct hd_script *script, struct hd_arena *arena, struct hd_stages *ret)
{
    struct planner p = {.script = script, .arena = arena, .out = ret};
    ret->count = 0;
    ret->items = HD_ARENA_ARRAY(arena, struct hd_stage, HD_STAGES_MAX);
    p.results = HD_ARENA_ARRAY(arena, struct result, script->count + 1);
    int err = ret->items != NULL && p.results != NULL ? 0 : -ENOMEM;
    for (uint32_t i = 0; err == 0 && i < script->count; i++) {
        err = plan_node(&p, i);
    }
    return err;
}
