/* See wide.h. */
#include "runner/ops/wide.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "runner/ops/chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    GATHER,
    REPARTITION,
    COUNT,
    COUNT_BY_KEY,
    DISTINCT,
    REDUCE_BY_KEY,
    GROUP_BY_KEY,
    SORT_BY_KEY,
    JOIN,
    COGROUP,
    INTERSECTION,
    SUBTRACT,
    REDUCE,
};

static const char *const kind_names[] = {
    "gather",    "repartition", "count",   "countByKey",   "distinct", "reduceByKey", "groupByKey",
    "sortByKey", "join",        "cogroup", "intersection", "subtract", "reduce",
};

enum function { SUM, COUNT_OF, MIN, MAX, AVG, FIRST, LAST, CONCAT };

static const char *const function_names[] = {"sum", "count", "min",  "max",
                                             "avg", "first", "last", "concat"};

struct hd_wide {
    struct hd_wide_options o;
    enum kind kind;
    enum function function;
    bool left_alone, right_alone; /* of a join */
    struct hd_buf pair;
    uint64_t sequence;
    /* the key under way */
    struct hd_buf key;
    bool has_key;
    uint64_t count;
    struct hd_number number;
    bool has_number;
    bool is_text; /* min, max: the value is no number */
    struct hd_buf value;
    struct hd_buf left; /* a join's: sizes and bytes of the first data set's values */
    uint64_t left_count, right_count;
    struct hd_buf out;
};

static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int hd_wide_new(const struct hd_wide_options *o, struct hd_wide **ret)
{
    int kind = find(kind_names, HD_ARRAY_COUNT(kind_names), o->op->op);
    const char *arg = o->op->arg_count > 0 ? o->op->args[0] : "";
    int function = 0;
    if (kind == REDUCE_BY_KEY) {
        function = find(function_names, HD_ARRAY_COUNT(function_names), arg);
    }
    if (kind < 0 || function < 0) {
        return hd_fail(-EINVAL, "%s %s: not an operation", o->op->op, arg);
    }
    struct hd_wide *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->o = *o;
    w->kind = (enum kind)kind;
    w->function = (enum function)function;
    w->left_alone = strcmp(arg, "left") == 0 || strcmp(arg, "full") == 0;
    w->right_alone = strcmp(arg, "right") == 0 || strcmp(arg, "full") == 0;
    hd_buf_init(&w->left, HD_WIDE_GROUP_MAX_BYTES);
    hd_buf_init(&w->value, HD_WIDE_GROUP_MAX_BYTES);
    *ret = w;
    return 0;
}

void hd_wide_free(struct hd_wide *w)
{
    if (w != NULL) {
        hd_buf_done(&w->pair);
        hd_buf_done(&w->key);
        hd_buf_done(&w->value);
        hd_buf_done(&w->left);
        hd_buf_done(&w->out);
        free(w);
    }
}

/* ---- the map side ---- */

static size_t key_size(const uint8_t *record, size_t size)
{
    const uint8_t *tab = memchr(record, '\t', size);
    return tab != NULL ? (size_t)(tab - record) : size;
}

/* The value with a byte in front of it: of which data set it is. */
static int tagged(struct hd_wide *w, uint32_t tag, const uint8_t *value, size_t size,
                  struct hd_kv *kv)
{
    hd_buf_clear(&w->pair);
    int err = hd_buf_add_u8(&w->pair, (uint8_t)tag);
    if (err == 0) {
        err = hd_buf_add(&w->pair, value, size);
    }
    kv->value = w->pair.data;
    kv->value_size = w->pair.size;
    return err;
}

static int pair_gather(struct hd_wide *w, const uint8_t *record, size_t size, struct hd_kv *kv)
{
    enum { KEY_BYTES = 12 };
    hd_buf_clear(&w->pair);
    int err = hd_buf_reserve(&w->pair, KEY_BYTES);
    if (err < 0) {
        return err;
    }
    hd_put_be32(w->pair.data, w->o.map);
    hd_put_be64(w->pair.data + 4, w->sequence++);
    *kv = (struct hd_kv){w->pair.data, KEY_BYTES, record, size};
    return 0;
}

int hd_wide_pair(struct hd_wide *w, uint32_t tag, const uint8_t *record, size_t size,
                 struct hd_kv *ret)
{
    size_t key = key_size(record, size);
    size_t behind = key < size ? key + 1 : key;
    switch (w->kind) {
    case GATHER:
        return pair_gather(w, record, size, ret);
    case REPARTITION:
    case COUNT:
    case DISTINCT:
        *ret = (struct hd_kv){record, size, record, 0};
        return 0;
    case COUNT_BY_KEY:
        *ret = (struct hd_kv){record, key, record, 0};
        return 0;
    case REDUCE_BY_KEY:
        *ret = (struct hd_kv){record, key, record + behind, size - behind};
        if (w->function == COUNT_OF) {
            ret->value_size = 0;
        }
        return 0;
    case GROUP_BY_KEY:
        *ret = (struct hd_kv){record, key, record + behind, size - behind};
        return 0;
    case REDUCE:
    case SORT_BY_KEY: /* the TAB too, so that a record without one comes out without one */
        *ret = (struct hd_kv){record, key, record + key, size - key};
        return 0;
    case JOIN:
    case COGROUP:
        *ret = (struct hd_kv){.key = record, .key_size = key};
        return tagged(w, tag, record + behind, size - behind, ret);
    case INTERSECTION:
    case SUBTRACT:
        *ret = (struct hd_kv){.key = record, .key_size = size};
        return tagged(w, tag, record, 0, ret);
    }
    return -EINVAL;
}

bool hd_wide_combines(const struct hd_wide *w)
{
    return w->kind == REDUCE_BY_KEY &&
           (w->function == SUM || w->function == MIN || w->function == MAX);
}

/* ---- the reduce side ---- */

static int emit(struct hd_wide *w, const uint8_t *record, size_t size)
{
    return w->o.emit(w->o.ctx, record, size);
}

static int emit_times(struct hd_wide *w, const uint8_t *record, size_t size, uint64_t times)
{
    int got = 0;
    for (uint64_t i = 0; got == 0 && i < times; i++) {
        got = emit(w, record, size);
    }
    return got;
}

/* The key, TAB, and text. */
static int emit_key_text(struct hd_wide *w, const void *text, size_t size)
{
    hd_buf_clear(&w->out);
    int err = hd_buf_add(&w->out, w->key.data, w->key.size);
    if (err == 0) {
        err = hd_buf_add_u8(&w->out, '\t');
    }
    if (err == 0) {
        err = hd_buf_add(&w->out, text, size);
    }
    return err == 0 ? emit(w, w->out.data, w->out.size) : err;
}

static int emit_number(struct hd_wide *w, const struct hd_number *n)
{
    char text[40];
    size_t size = hd_number_format(n, text, sizeof(text));
    return emit_key_text(w, text, size);
}

static int emit_count(struct hd_wide *w)
{
    struct hd_number n = {.whole = true, .i = (int64_t)w->count};
    return emit_number(w, &n);
}

static int end_function(struct hd_wide *w)
{
    struct hd_number n = w->number;
    switch (w->function) {
    case COUNT_OF:
        return emit_count(w);
    case AVG:
        n.d = (n.whole ? (double)n.i : n.d) / (double)w->count;
        n.whole = false;
        return emit_number(w, &n);
    case SUM:
        return emit_number(w, &n);
    case MIN: /* the value as it was written */
    case MAX:
    case FIRST:
    case LAST:
    case CONCAT:
        return emit_key_text(w, w->value.data, w->value.size);
    }
    return 0;
}

static int end_key(struct hd_wide *w)
{
    switch (w->kind) {
    case COUNT:
    case COUNT_BY_KEY:
        return emit_count(w);
    case REDUCE_BY_KEY:
        return end_function(w);
    case DISTINCT:
        return emit(w, w->key.data, w->key.size);
    case GROUP_BY_KEY:
        return emit_key_text(w, w->value.data, w->value.size);
    case COGROUP: { /* the commas' list of each side; a TAB for sides that are missing */
        int err = w->right_count == 0 ? hd_buf_add_u8(&w->value, '\t') : 0;
        return err == 0 ? emit_key_text(w, w->value.data, w->value.size) : err;
    }
    case JOIN: {
        if (w->right_count > 0 || !w->left_alone) {
            return 0;
        }
        int got = 0;
        for (size_t at = 0; got == 0 && at < w->left.size;) { /* alone: an empty right value */
            size_t size = hd_get_be32(w->left.data + at);
            hd_buf_clear(&w->value);
            got = hd_buf_add(&w->value, w->left.data + at + 4, size);
            got = got == 0 ? hd_buf_add_u8(&w->value, '\t') : got;
            got = got == 0 ? emit_key_text(w, w->value.data, w->value.size) : got;
            at += 4 + size;
        }
        return got;
    }
    case INTERSECTION:
        return w->left_count > 0 && w->right_count > 0 ? emit(w, w->key.data, w->key.size) : 0;
    case SUBTRACT:
        return w->right_count == 0 ? emit_times(w, w->key.data, w->key.size, w->left_count) : 0;
    case GATHER:
    case REPARTITION:
    case SORT_BY_KEY:
    case REDUCE:
        return 0;
    }
    return 0;
}

static int begin_key(struct hd_wide *w, const struct hd_kv *kv)
{
    int got = w->has_key ? end_key(w) : 0;
    hd_buf_clear(&w->key);
    hd_buf_clear(&w->value);
    hd_buf_clear(&w->left);
    w->has_key = true;
    w->has_number = w->is_text = false;
    w->number = (struct hd_number){.whole = true};
    w->count = w->left_count = w->right_count = 0;
    return got != 0 ? got : hd_buf_add(&w->key, kv->key, kv->key_size);
}

static int set_value(struct hd_wide *w, const struct hd_kv *kv)
{
    hd_buf_clear(&w->value);
    return hd_buf_add(&w->value, kv->value, kv->value_size);
}

static int add_list(struct hd_wide *w, const uint8_t *value, size_t size, uint64_t repeat,
                    uint8_t separator, bool first)
{
    int err = 0;
    for (uint64_t i = 0; err == 0 && i < repeat; i++) {
        if (!first || i > 0) {
            err = hd_buf_add_u8(&w->value, separator);
        }
        if (err == 0) {
            err = hd_buf_add(&w->value, value, size);
        }
    }
    return err < 0 ? hd_fail(err, "%s: the values of one key are more than %d bytes", w->o.op->op,
                             HD_WIDE_GROUP_MAX_BYTES)
                   : 0;
}

static int not_a_number(const struct hd_wide *w, const struct hd_kv *kv)
{
    return hd_fail(-EINVAL, "%s %s: '%.*s' is not a number (key '%.*s')", w->o.op->op,
                   w->o.op->args[0], (int)HD_MIN(kv->value_size, (size_t)60),
                   (const char *)kv->value, (int)HD_MIN(kv->key_size, (size_t)60),
                   (const char *)kv->key);
}

static void add_times(struct hd_number *sum, const struct hd_number *x, uint64_t times)
{
    int64_t product;
    struct hd_number n = *x;
    if (x->whole && times <= INT64_MAX && !__builtin_mul_overflow(x->i, (int64_t)times, &product)) {
        n.i = product;
        n.d = (double)product;
    } else {
        n.whole = false;
        n.d = (x->whole ? (double)x->i : x->d) * (double)times;
    }
    hd_number_add(sum, &n);
}

static int compare_value(const struct hd_wide *w, const struct hd_kv *kv)
{
    size_t n = HD_MIN(kv->value_size, w->value.size);
    int order = n > 0 ? memcmp(kv->value, w->value.data, n) : 0;
    return order != 0 ? order : (kv->value_size > w->value.size) - (kv->value_size < w->value.size);
}

/* An order of all values, so that the outcome is the same however they were cut into tasks. */
static int add_extreme(struct hd_wide *w, const struct hd_kv *kv)
{
    struct hd_number x;
    bool number = hd_number_parse(kv->value, kv->value_size, &x);
    int sign = w->function == MIN ? -1 : 1;
    int order = number ? -1 : 1; /* texts come behind numbers */
    if (number != w->is_text) {
        order = number ? hd_number_compare(&x, &w->number) : compare_value(w, kv);
    }
    if (w->count > 0 && order * sign <= 0) {
        return 0;
    }
    w->is_text = !number;
    w->number = number ? x : w->number;
    return set_value(w, kv);
}

static int add_function(struct hd_wide *w, const struct hd_kv *kv, uint64_t repeat)
{
    struct hd_number x;
    int err = 0;
    switch (w->function) {
    case SUM:
    case AVG:
        if (!hd_number_parse(kv->value, kv->value_size, &x)) {
            return not_a_number(w, kv);
        }
        add_times(&w->number, &x, repeat);
        break;
    case MIN:
    case MAX:
        err = add_extreme(w, kv);
        break;
    case FIRST:
        err = w->count == 0 ? set_value(w, kv) : 0;
        break;
    case LAST:
        err = set_value(w, kv);
        break;
    case CONCAT:
        err = add_list(w, kv->value, kv->value_size, repeat, ',', w->count == 0);
        break;
    case COUNT_OF:
        break;
    }
    w->count += repeat;
    return err;
}

/* A right value meets every left one, which came before it. */
static int add_right(struct hd_wide *w, const uint8_t *value, size_t size, uint64_t repeat)
{
    static const uint8_t none[4] = {0};
    bool alone = w->left_count == 0;
    const uint8_t *at = alone ? none : w->left.data;
    const uint8_t *end = alone ? none + sizeof(none) : w->left.data + w->left.size;
    int got = 0;
    if (alone && !w->right_alone) {
        return 0;
    }
    while (got == 0 && at < end) {
        size_t left = hd_get_be32(at);
        hd_buf_clear(&w->value);
        got = hd_buf_add(&w->value, at + 4, left);
        got = got == 0 ? hd_buf_add_u8(&w->value, '\t') : got;
        got = got == 0 ? hd_buf_add(&w->value, value, size) : got;
        for (uint64_t i = 0; got == 0 && i < repeat; i++) {
            got = emit_key_text(w, w->value.data, w->value.size);
        }
        at += 4 + left;
    }
    return got;
}

static int add_left(struct hd_wide *w, const uint8_t *value, size_t size, uint64_t repeat)
{
    uint8_t head[4];
    int err = 0;
    hd_put_be32(head, (uint32_t)size);
    for (uint64_t i = 0; err == 0 && i < repeat; i++) {
        err = hd_buf_add(&w->left, head, sizeof(head));
        err = err == 0 ? hd_buf_add(&w->left, value, size) : err;
    }
    return err < 0 ? hd_fail(err, "join: the left values of one key are more than %d bytes",
                             HD_WIDE_GROUP_MAX_BYTES)
                   : 0;
}

static int add_tagged(struct hd_wide *w, const struct hd_kv *kv, uint64_t repeat)
{
    if (kv->value_size == 0) {
        return hd_fail(-HD_E_CORRUPT, "%s: a pair without its data set", w->o.op->op);
    }
    uint8_t tag = kv->value[0];
    const uint8_t *value = kv->value + 1;
    size_t size = kv->value_size - 1;
    bool first = tag == 0 ? w->left_count == 0 : w->right_count == 0;
    int got = 0;
    if (w->kind == JOIN) {
        got = tag == 0 ? add_left(w, value, size, repeat) : add_right(w, value, size, repeat);
    } else if (w->kind == COGROUP) {
        if (tag != 0 && first) {
            got = hd_buf_add_u8(&w->value, '\t');
        }
        got = got == 0 ? add_list(w, value, size, repeat, ',', first) : got;
    }
    *(tag == 0 ? &w->left_count : &w->right_count) += repeat;
    return got;
}

int hd_wide_add(struct hd_wide *w, const struct hd_kv *kv, uint64_t repeat)
{
    if (w->kind == GATHER) {
        return emit_times(w, kv->value, kv->value_size, repeat);
    }
    if (w->kind == REPARTITION) {
        return emit_times(w, kv->key, kv->key_size, repeat);
    }
    if (w->kind == SORT_BY_KEY || w->kind == REDUCE) {
        hd_buf_clear(&w->out);
        int err = hd_buf_add(&w->out, kv->key, kv->key_size);
        err = err == 0 ? hd_buf_add(&w->out, kv->value, kv->value_size) : err;
        return err == 0 ? emit_times(w, w->out.data, w->out.size, repeat) : err;
    }
    bool same = w->has_key && w->key.size == kv->key_size &&
                memcmp(w->key.data, kv->key, kv->key_size) == 0;
    int got = same ? 0 : begin_key(w, kv);
    if (got != 0) {
        return got;
    }
    if (w->kind == REDUCE_BY_KEY) {
        return add_function(w, kv, repeat);
    }
    if (w->kind == GROUP_BY_KEY) {
        bool first = w->count == 0;
        w->count += repeat;
        return add_list(w, kv->value, kv->value_size, repeat, '\t', first);
    }
    w->count += repeat;
    return w->kind >= JOIN && w->kind <= SUBTRACT ? add_tagged(w, kv, repeat) : 0;
}

int hd_wide_finish(struct hd_wide *w)
{
    int got = w->has_key ? end_key(w) : 0;
    w->has_key = false;
    return got;
}
