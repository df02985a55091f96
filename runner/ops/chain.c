/* See chain.h. */
#include "runner/ops/chain.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FULL = 1, FIELDS_MAX = 1000 };

/* A record that top or ordered keeps. */
struct kept {
    uint8_t *data; /* heap, owned */
    size_t size;
    uint64_t sequence; /* the earlier one wins between equals */
    struct hd_number number;
};

struct link {
    int (*push)(struct link *l, const uint8_t *record, size_t size);
    int (*finish)(struct link *l); /* NULL: nothing is kept */
    struct link *next;             /* NULL: the last; then emit */
    struct hd_chain *chain;
    bool full;
    struct hd_buf buf;
    /* grep */
    regex_t regex;
    bool has_regex;
    const char *literal;
    size_t literal_size;
    bool invert;
    /* fields, key */
    uint32_t *fields;
    uint32_t field_count;
    /* sample */
    struct hd_prng prng;
    uint64_t threshold;
    /* take, lines, sum */
    uint64_t limit;
    uint64_t seen;
    struct hd_number sum;
    /* top, ordered: a heap with the worst on top */
    struct kept *heap;
    size_t heap_count;
    size_t heap_bytes;
    uint32_t by; /* field, 0: the whole record */
    bool numeric;
    bool least_first;
};

struct hd_chain {
    struct link *links;
    size_t count;
    hd_chain_emit_fn emit;
    void *ctx;
};

static int pass(struct link *l, const uint8_t *record, size_t size)
{
    struct link *n = l->next;
    if (n == NULL) {
        return l->chain->emit(l->chain->ctx, record, size);
    }
    if (n->full) {
        return FULL;
    }
    return n->push(n, record, size);
}

/* ---- tokens, grep, fields, key, sample ---- */

static int push_tokens(struct link *l, const uint8_t *record, size_t size)
{
    static const bool space[256] = {
        [' '] = true, ['\t'] = true, ['\n'] = true, ['\r'] = true, ['\f'] = true, ['\v'] = true};
    size_t at = 0;
    while (at < size) {
        while (at < size && space[record[at]]) {
            at++;
        }
        size_t start = at;
        while (at < size && !space[record[at]]) {
            at++;
        }
        int got = at > start ? pass(l, record + start, at - start) : 0;
        if (got != 0) {
            return got;
        }
    }
    return 0;
}

static int push_grep(struct link *l, const uint8_t *record, size_t size)
{
    bool found;
    if (l->has_regex) {
        regmatch_t m = {.rm_so = 0, .rm_eo = (regoff_t)size};
        found = regexec(&l->regex, (const char *)record, 1, &m, REG_STARTEND) == 0;
    } else {
        found = memmem(record, size, l->literal, l->literal_size) != NULL;
    }
    return found != l->invert ? pass(l, record, size) : 0;
}

static int init_grep(struct link *l, const struct hd_step *s)
{
    const char *options = s->arg_count == 2 ? s->args[0] : "";
    const char *pattern = s->arg_count > 0 ? s->args[s->arg_count - 1] : "";
    bool fixed = strchr(options, 'F') != NULL || strpbrk(pattern, "\\.[]*^$+?(){}|") == NULL;
    l->push = push_grep;
    l->invert = strchr(options, 'v') != NULL;
    if (fixed && strchr(options, 'i') == NULL) {
        l->literal = pattern;
        l->literal_size = strlen(pattern);
        return 0;
    }
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    for (const char *c = pattern; fixed && *c != '\0'; c++) {
        if (strchr("\\.[*^$", *c) != NULL) {
            (void)hd_buf_add_u8(&b, '\\');
        }
        (void)hd_buf_add_u8(&b, (uint8_t)*c);
    }
    int flags = (strchr(options, 'i') != NULL ? REG_ICASE : 0) |
                (strchr(options, 'E') != NULL ? REG_EXTENDED : 0);
    const char *quoted = fixed ? hd_buf_str(&b) : pattern;
    int rc = quoted != NULL ? regcomp(&l->regex, quoted, flags) : REG_ESPACE;
    if (rc != 0) {
        char why[128];
        regerror(rc, &l->regex, why, sizeof(why));
        return hd_fail(-EINVAL, "grep: %s: %s", pattern, why);
    }
    l->has_regex = true;
    return 0;
}

/* Where field n (from 1) of a record is; false: it has fewer. */
static bool find_field(const uint8_t *record, size_t size, uint32_t n, size_t *at, size_t *length)
{
    size_t start = 0;
    for (uint32_t i = 1;; i++) {
        const uint8_t *tab = memchr(record + start, '\t', size - start);
        size_t end = tab != NULL ? (size_t)(tab - record) : size;
        if (i == n) {
            *at = start;
            *length = end - start;
            return true;
        }
        if (tab == NULL) {
            return false;
        }
        start = end + 1;
    }
}

static int push_fields(struct link *l, const uint8_t *record, size_t size)
{
    size_t at, length;
    hd_buf_clear(&l->buf);
    for (uint32_t i = 0; i < l->field_count; i++) {
        int err = i > 0 ? hd_buf_add_u8(&l->buf, '\t') : 0;
        if (err == 0 && find_field(record, size, l->fields[i], &at, &length)) {
            err = hd_buf_add(&l->buf, record + at, length);
        }
        if (err < 0) {
            return err;
        }
    }
    return pass(l, l->buf.data, l->buf.size);
}

/* Field n first, then the others as they were. A record with fewer fields has an empty key. */
static int push_key(struct link *l, const uint8_t *record, size_t size)
{
    size_t at = 0;
    size_t length = 0;
    bool found = find_field(record, size, l->fields[0], &at, &length);
    if (found && at == 0) {
        return pass(l, record, size);
    }
    hd_buf_clear(&l->buf);
    int err = hd_buf_add(&l->buf, record + at, length);
    if (err == 0) {
        err = hd_buf_add_u8(&l->buf, '\t');
    }
    size_t before = found ? at - 1 : size; /* without the TAB in front of the field */
    if (err == 0) {
        err = hd_buf_add(&l->buf, record, before);
    }
    if (err == 0 && found) {
        err = hd_buf_add(&l->buf, record + at + length, size - at - length);
    }
    return err == 0 ? pass(l, l->buf.data, l->buf.size) : err;
}

static int init_fields(struct link *l, const struct hd_step *s, bool key)
{
    const char *text = s->arg_count == 1 ? s->args[0] : "";
    l->push = key ? push_key : push_fields;
    l->fields = calloc(strlen(text) + 1, sizeof(*l->fields));
    if (l->fields == NULL) {
        return -ENOMEM;
    }
    for (const char *at = text;; at++) {
        char *end;
        unsigned long n = strtoul(at, &end, 10);
        if (at == end || n == 0 || n > FIELDS_MAX || (*end != '\0' && *end != ',') ||
            (key && *end != '\0')) {
            return hd_fail(-EINVAL, "%s: %s: expected numbers of fields, 1 to %d", s->op, text,
                           FIELDS_MAX);
        }
        l->fields[l->field_count++] = (uint32_t)n;
        at = end;
        if (*end == '\0') {
            return 0;
        }
    }
}

static int push_sample(struct link *l, const uint8_t *record, size_t size)
{
    return hd_prng_next(&l->prng) <= l->threshold ? pass(l, record, size) : 0;
}

static int init_sample(struct link *l, const struct hd_step *s)
{
    char *end = NULL;
    double fraction = s->arg_count > 0 ? strtod(s->args[0], &end) : -1;
    if (end == NULL || *end != '\0' || !(fraction >= 0) || fraction > 1) {
        return hd_fail(-EINVAL, "sample: expected a fraction from 0 to 1");
    }
    l->push = push_sample;
    l->threshold = fraction >= 1 ? UINT64_MAX : (uint64_t)(fraction * 0x1p64);
    l->prng.state = s->arg_count > 1 ? strtoull(s->args[1], NULL, 10) : 1;
    return 0;
}

/* ---- take, lines, sum ---- */

static int push_take(struct link *l, const uint8_t *record, size_t size)
{
    if (l->seen == l->limit) {
        l->full = true;
        return FULL;
    }
    l->seen++;
    l->full = l->seen == l->limit;
    int got = pass(l, record, size);
    return got != 0 ? got : l->full ? FULL : 0;
}

static int push_lines(struct link *l, const uint8_t *record, size_t size)
{
    (void)record;
    (void)size;
    l->seen++;
    return 0;
}

static int finish_lines(struct link *l)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)l->seen);
    return pass(l, (const uint8_t *)text, (size_t)n);
}

static int push_sum(struct link *l, const uint8_t *record, size_t size)
{
    struct hd_number x;
    if (!hd_number_parse(record, size, &x)) {
        return hd_fail(-EINVAL, "sum: '%.*s' is not a number", (int)HD_MIN(size, (size_t)60),
                       (const char *)record);
    }
    hd_number_add(&l->sum, &x);
    return 0;
}

static int finish_sum(struct link *l)
{
    char text[40];
    size_t n = hd_number_format(&l->sum, text, sizeof(text));
    return pass(l, (const uint8_t *)text, n);
}

/* ---- top, ordered ---- */

/* Less than zero: a comes out before b. */
static int rank(const struct link *l, const struct kept *a, const struct kept *b)
{
    int order = 0;
    if (l->numeric) {
        order = hd_number_compare(&a->number, &b->number);
    }
    if (order == 0 && !l->numeric) {
        size_t at_a = 0, at_b = 0, size_a = a->size, size_b = b->size;
        if (l->by > 0) {
            size_a = find_field(a->data, a->size, l->by, &at_a, &size_a) ? size_a : 0;
            size_b = find_field(b->data, b->size, l->by, &at_b, &size_b) ? size_b : 0;
        }
        order = memcmp(a->data + at_a, b->data + at_b, HD_MIN(size_a, size_b));
        order = order != 0 ? order : size_a < size_b ? -1 : size_a > size_b;
    }
    if (order != 0) {
        return l->least_first ? order : -order;
    }
    /* Between equals the bytes decide, so that the outcome is the same however tasks were cut. */
    order = memcmp(a->data, b->data, HD_MIN(a->size, b->size));
    order = order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
    return order != 0 ? order : a->sequence < b->sequence ? -1 : 1;
}

static void sift_down(struct link *l, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < l->heap_count; child++) {
            if (rank(l, &l->heap[child], &l->heap[worst]) > 0) {
                worst = child;
            }
        }
        if (worst == at) {
            return;
        }
        struct kept t = l->heap[at];
        l->heap[at] = l->heap[worst];
        l->heap[worst] = t;
        at = worst;
    }
}

static void sift_up(struct link *l, size_t at)
{
    while (at > 0 && rank(l, &l->heap[at], &l->heap[(at - 1) / 2]) > 0) {
        struct kept t = l->heap[at];
        l->heap[at] = l->heap[(at - 1) / 2];
        l->heap[(at - 1) / 2] = t;
        at = (at - 1) / 2;
    }
}

/* A copy of x into the slot; an error leaves the slot as it was. */
static int keep(struct link *l, struct kept *slot, const struct kept *x)
{
    if (l->heap_bytes + x->size + sizeof(*slot) > HD_CHAIN_KEEP_MAX_BYTES) {
        return hd_fail(-HD_E_TOO_LARGE, "top: more than %d bytes of records to keep",
                       HD_CHAIN_KEEP_MAX_BYTES);
    }
    uint8_t *copy = malloc(x->size + 1);
    if (copy == NULL) {
        return -ENOMEM;
    }
    if (x->size > 0) {
        memcpy(copy, x->data, x->size);
    }
    *slot = *x;
    slot->data = copy;
    l->heap_bytes += x->size + sizeof(*slot);
    return 0;
}

static void number_of(const struct link *l, struct kept *x)
{
    size_t at = 0;
    size_t size = x->size;
    uint32_t by = l->by;
    if (by == 0) { /* of "key TAB number" the number */
        const uint8_t *tab = memrchr(x->data, '\t', x->size);
        at = tab != NULL ? (size_t)(tab - x->data) + 1 : 0;
        size = x->size - at;
    } else if (!find_field(x->data, x->size, by, &at, &size)) {
        size = 0;
    }
    if (!hd_number_parse(x->data + at, size, &x->number)) { /* as sort -n does */
        x->number = (struct hd_number){.whole = true};
    }
}

static int push_top(struct link *l, const uint8_t *record, size_t size)
{
    struct kept x = {.data = (uint8_t *)(uintptr_t)record, .size = size, .sequence = l->seen++};
    if (l->limit == 0) {
        l->full = true;
        return FULL;
    }
    if (l->numeric) {
        number_of(l, &x);
    }
    if (l->heap_count < l->limit) {
        struct kept *more = l->heap;
        if ((l->heap_count & (l->heap_count - 1)) == 0) { /* a power of two: double */
            more = realloc(l->heap, (2 * l->heap_count + 2) * sizeof(*more));
            if (more == NULL) {
                return -ENOMEM;
            }
            l->heap = more;
        }
        int err = keep(l, &l->heap[l->heap_count], &x);
        if (err == 0) {
            sift_up(l, l->heap_count++);
        }
        return err;
    }
    if (rank(l, &x, &l->heap[0]) > 0) {
        return 0;
    }
    struct kept worst = l->heap[0];
    l->heap_bytes -= worst.size + sizeof(x);
    int err = keep(l, &l->heap[0], &x);
    if (err == 0) {
        free(worst.data);
        sift_down(l, 0);
    }
    return err;
}

static int finish_top(struct link *l)
{
    size_t count = l->heap_count;
    while (l->heap_count > 1) { /* heap sort: the worst goes behind */
        struct kept worst = l->heap[0];
        l->heap[0] = l->heap[--l->heap_count];
        sift_down(l, 0);
        l->heap[l->heap_count] = worst;
    }
    l->heap_count = count;
    int got = 0;
    for (size_t i = 0; got == 0 && i < count; i++) {
        got = pass(l, l->heap[i].data, l->heap[i].size);
    }
    return got;
}

static int init_limit(struct link *l, const struct hd_step *s)
{
    char *end = NULL;
    l->limit = s->arg_count > 0 ? strtoull(s->args[0], &end, 10) : 0;
    return end != NULL && *end == '\0' && end != s->args[0]
               ? 0
               : hd_fail(-EINVAL, "%s: expected how many", s->op);
}

/* BY is K, Kn, Kr, Knr, or nothing: the number behind the last TAB. */
static int init_top(struct link *l, const struct hd_step *s)
{
    const char *by = s->arg_count > 1 ? s->args[1] : "";
    char *end;
    l->push = push_top;
    l->finish = finish_top;
    l->least_first = strcmp(s->op, "ordered") == 0;
    l->by = (uint32_t)strtoul(by, &end, 10);
    l->numeric = by[0] == '\0';
    for (; *end != '\0'; end++) {
        if (*end == 'n') {
            l->numeric = true;
        } else if (*end == 'r') {
            l->least_first = !l->least_first;
        } else {
            return hd_fail(-EINVAL, "%s: by=%s: expected K, Kn, Kr or Knr", s->op, by);
        }
    }
    return init_limit(l, s);
}

/* ---- the chain ---- */

static int init_link(struct link *l, const struct hd_step *s)
{
    if (strcmp(s->op, "tokens") == 0) {
        l->push = push_tokens;
        return 0;
    }
    if (strcmp(s->op, "grep") == 0) {
        return init_grep(l, s);
    }
    if (strcmp(s->op, "fields") == 0 || strcmp(s->op, "key") == 0) {
        return init_fields(l, s, s->op[0] == 'k');
    }
    if (strcmp(s->op, "sample") == 0) {
        return init_sample(l, s);
    }
    if (strcmp(s->op, "take") == 0) {
        l->push = push_take;
        int err = init_limit(l, s);
        l->full = l->limit == 0;
        return err;
    }
    if (strcmp(s->op, "top") == 0 || strcmp(s->op, "ordered") == 0) {
        return init_top(l, s);
    }
    if (strcmp(s->op, "lines") == 0) {
        l->push = push_lines;
        l->finish = finish_lines;
        return 0;
    }
    if (strcmp(s->op, "sum") == 0) {
        l->push = push_sum;
        l->finish = finish_sum;
        l->sum.whole = true;
        return 0;
    }
    return hd_fail(-EINVAL, "%s: not a step", s->op);
}

int hd_chain_new(const struct hd_step *steps, size_t count, hd_chain_emit_fn emit, void *ctx,
                 struct hd_chain **ret)
{
    struct hd_chain *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->links = calloc(count + 1, sizeof(*c->links))) == NULL) {
        free(c);
        return -ENOMEM;
    }
    c->emit = emit;
    c->ctx = ctx;
    c->count = count;
    for (size_t i = 0; i < count; i++) {
        c->links[i].chain = c;
        c->links[i].next = i + 1 < count ? &c->links[i + 1] : NULL;
        int err = init_link(&c->links[i], &steps[i]);
        if (err < 0) {
            hd_chain_free(c);
            return err;
        }
    }
    *ret = c;
    return 0;
}

void hd_chain_free(struct hd_chain *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        struct link *l = &c->links[i];
        for (size_t k = 0; k < l->heap_count; k++) {
            free(l->heap[k].data);
        }
        free(l->heap);
        free(l->fields);
        if (l->has_regex) {
            regfree(&l->regex);
        }
        hd_buf_done(&l->buf);
    }
    free(c->links);
    free(c);
}

int hd_chain_push(struct hd_chain *c, const uint8_t *record, size_t size)
{
    if (c->count == 0) {
        return c->emit(c->ctx, record, size);
    }
    return c->links[0].full ? FULL : c->links[0].push(&c->links[0], record, size);
}

int hd_chain_finish(struct hd_chain *c)
{
    int got = 0;
    for (size_t i = 0; got >= 0 && i < c->count; i++) {
        got = c->links[i].finish != NULL ? c->links[i].finish(&c->links[i]) : 0;
    }
    return got < 0 ? got : 0;
}
