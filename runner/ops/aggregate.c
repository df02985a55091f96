/* See aggregate.h. */
#include "runner/ops/aggregate.h"
#include "fs/base/error.h"
#include "fs/base/map.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

enum { HISTOGRAM_MAX = 16 << 20, SHOWN_BYTES = 100 };

enum kind {
    LONG_SUM,
    LONG_MAX_OF,
    LONG_MIN_OF,
    DOUBLE_SUM,
    STRING_MAX,
    STRING_MIN,
    UNIQUE,
    HISTOGRAM
};

static const struct {
    const char *name;
    enum kind kind;
} kinds[] = {
    {"LongValueSum", LONG_SUM},     {"LongValueMax", LONG_MAX_OF},  {"LongValueMin", LONG_MIN_OF},
    {"DoubleValueSum", DOUBLE_SUM}, {"StringValueMax", STRING_MAX}, {"StringValueMin", STRING_MIN},
    {"UniqValueCount", UNIQUE},     {"ValueHistogram", HISTOGRAM},
};

struct hd_aggregate {
    struct hd_aggregate_options o;
    bool any; /* a key is under way: all below is of it */
    enum kind kind;
    struct hd_buf key;
    size_t id_at; /* behind the colon */
    int64_t number;
    double sum;
    struct hd_buf text;      /* largest, smallest or last value */
    int64_t unique;          /* values that were different */
    struct hd_strmap places; /* of values in counts, plus 1 */
    int64_t *counts;
    size_t count;
    size_t capacity;
};

int hd_aggregate_new(const struct hd_aggregate_options *o, struct hd_aggregate **ret)
{
    struct hd_aggregate *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return -ENOMEM;
    }
    a->o = *o;
    hd_strmap_init(&a->places);
    *ret = a;
    return 0;
}

void hd_aggregate_free(struct hd_aggregate *a)
{
    if (a != NULL) {
        hd_buf_done(&a->key);
        hd_buf_done(&a->text);
        hd_strmap_done(&a->places);
        free(a->counts);
        free(a);
    }
}

/* ---- numbers as Java reads and writes them ---- */

static int shown(size_t size)
{
    return (int)HD_MIN(size, (size_t)SHOWN_BYTES);
}

static int parse_long(const uint8_t *p, size_t size, int64_t *ret)
{
    size_t i = size > 0 && (p[0] == '-' || p[0] == '+');
    bool negative = i == 1 && p[0] == '-';
    int64_t v = 0;
    bool good = i < size;
    for (; good && i < size; i++) {
        good = p[i] >= '0' && p[i] <= '9' && !__builtin_mul_overflow(v, 10, &v) &&
               !__builtin_sub_overflow(v, p[i] - '0', &v); /* negative: its range is larger */
    }
    if (good && !negative) {
        good = v != INT64_MIN;
        v = good ? -v : v;
    }
    *ret = v;
    return good ? 0
                : hd_fail(-EINVAL, "aggregate: '%.*s' is not a whole number", shown(size),
                          (const char *)p);
}

static int parse_double(const uint8_t *p, size_t size, double *ret)
{
    char text[512];
    char *end = text;
    int n = snprintf(text, sizeof(text), "%.*s", (int)HD_MIN(size, sizeof(text)), (const char *)p);
    const char *start = text + strspn(text, " \t\r");
    const char *body = start + (*start == '-' || *start == '+');
    bool word = strncmp(body, "NaN", 3) == 0 || strncmp(body, "Infinity", 8) == 0;
    bool good = n < (int)sizeof(text) && (word || (*body >= '0' && *body <= '9') || *body == '.');
    if (good) {
        *ret = strtod(start, &end);
        end += end > start && *end != '\0' && !word && strchr("dDfF", *end) != NULL;
        end += strspn(end, " \t\r");
    }
    return good && end > start && *end == '\0'
               ? 0
               : hd_fail(-EINVAL, "aggregate: '%.*s' is not a number", shown(size),
                         (const char *)p);
}

/* The fewest digits of v, and the power of ten of the first. */
static int shortest(double v, char digits[24])
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    char *e = strchr(text, 'e');
    size_t n = 0;
    for (char *c = text; c < e; c++) {
        if (*c != '.') {
            digits[n++] = *c;
        }
    }
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10);
}

void hd_java_double(double v, char *out, size_t room)
{
    char digits[24];
    const char *sign = signbit(v) ? "-" : "";
    if (isnan(v) || isinf(v) || v == 0) {
        snprintf(out, room, "%s%s", isnan(v) ? "" : sign,
                 isnan(v) ? "NaN"
                 : v == 0 ? "0.0"
                          : "Infinity");
        return;
    }
    int power = shortest(fabs(v), digits);
    int n = (int)strlen(digits);
    if (power < -3 || power >= 7) {
        snprintf(out, room, "%s%c.%sE%d", sign, digits[0], n > 1 ? digits + 1 : "0", power);
    } else if (power < 0) {
        snprintf(out, room, "%s0.%.*s%s", sign, -power - 1, "000", digits);
    } else if (n <= power + 1) {
        snprintf(out, room, "%s%s%.*s.0", sign, digits, power + 1 - n, "0000000");
    } else {
        snprintf(out, room, "%s%.*s.%s", sign, power + 1, digits, digits + power + 1);
    }
}

/* ---- values ---- */

/* String.compareTo: as bytes, but characters of two units come before U+E000 and above. */
static int compare_strings(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t n = HD_MIN(a_size, b_size);
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            bool high = a[i] >= 0xee && b[i] >= 0xee && (a[i] >= 0xf0) != (b[i] >= 0xf0);
            return (a[i] < b[i]) != high ? -1 : 1;
        }
    }
    return (a_size > b_size) - (a_size < b_size);
}

static int set_text(struct hd_aggregate *a, const struct hd_kv *kv)
{
    hd_buf_clear(&a->text);
    return hd_buf_add(&a->text, kv->value, kv->value_size);
}

static int add_long(struct hd_aggregate *a, const struct hd_kv *kv, uint64_t repeat, bool first)
{
    int64_t v;
    int err = parse_long(kv->value, kv->value_size, &v);
    if (a->kind == LONG_SUM) {
        a->number = (int64_t)((uint64_t)a->number + (uint64_t)v * repeat);
    } else if (first || (a->kind == LONG_MAX_OF ? v > a->number : v < a->number)) {
        a->number = v;
    }
    return err;
}

static int add_double(struct hd_aggregate *a, const struct hd_kv *kv, uint64_t repeat)
{
    double v = 0;
    int err = parse_double(kv->value, kv->value_size, &v);
    a->sum += v * (double)repeat;
    return err;
}

static int add_string(struct hd_aggregate *a, const struct hd_kv *kv, bool first)
{
    int c = first ? 0 : compare_strings(kv->value, kv->value_size, a->text.data, a->text.size);
    return first || (a->kind == STRING_MAX ? c > 0 : c < 0) ? set_text(a, kv) : 0;
}

static int emit(struct hd_aggregate *a, const void *value, size_t size)
{
    size_t at = a->o.combine ? 0 : a->id_at;
    struct hd_kv kv = {a->key.data + at, a->key.size - at, value, size};
    return a->o.emit(a->o.ctx, &kv);
}

/* Values are in order: equal ones follow each other, and a combiner can give each at once. */
static int add_unique(struct hd_aggregate *a, const struct hd_kv *kv, bool first)
{
    bool same = !first && a->text.size == kv->value_size &&
                memcmp(a->text.data, kv->value, kv->value_size) == 0;
    if (same || a->unique >= a->o.max_unique) {
        return 0;
    }
    a->unique++;
    int err = set_text(a, kv);
    return err == 0 && a->o.combine ? emit(a, kv->value, kv->value_size) : err;
}

static int new_count(struct hd_aggregate *a, const uint8_t *value, size_t size, size_t *ret_place)
{
    if (a->count == HISTOGRAM_MAX) {
        return hd_fail(-HD_E_TOO_LARGE, "aggregate: the histogram of %.*s has more than %d values",
                       shown(a->key.size), (const char *)a->key.data, HISTOGRAM_MAX);
    }
    if (a->count == a->capacity) {
        size_t capacity = HD_MAX(2 * a->capacity, (size_t)64);
        int64_t *more = realloc(a->counts, capacity * sizeof(*more));
        if (more == NULL) {
            return -ENOMEM;
        }
        a->counts = more;
        a->capacity = capacity;
    }
    a->counts[a->count++] = 0;
    *ret_place = a->count;
    return hd_strmap_put(&a->places, (const char *)value, size, (void *)(uintptr_t)a->count);
}

static int add_histogram(struct hd_aggregate *a, const struct hd_kv *kv, uint64_t repeat)
{
    const uint8_t *tab = memrchr(kv->value, '\t', kv->value_size);
    size_t size = tab != NULL ? (size_t)(tab - kv->value) : kv->value_size;
    int64_t count = 1;
    int err = tab != NULL ? parse_long(tab + 1, kv->value_size - size - 1, &count) : 0;
    if (err < 0) {
        return err;
    }
    size_t place = (size_t)(uintptr_t)hd_strmap_get(&a->places, (const char *)kv->value, size);
    if (place == 0) {
        err = new_count(a, kv->value, size, &place);
    }
    if (err == 0) {
        int64_t *have = &a->counts[place - 1];
        *have = (int64_t)((uint64_t)*have + (uint64_t)count * repeat);
    }
    return err;
}

/* ---- results ---- */

static int by_value(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x;
    int64_t b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static int report_histogram(struct hd_aggregate *a)
{
    char text[200], average_text[32], deviation_text[32];
    uint64_t all = 0;
    double squares = 0;
    qsort(a->counts, a->count, sizeof(*a->counts), by_value);
    for (size_t i = 0; i < a->count; i++) {
        all += (uint64_t)a->counts[i];
    }
    double average = (double)(int64_t)all / (double)a->count;
    for (size_t i = 0; i < a->count; i++) {
        double d = (double)a->counts[i] - average;
        squares += d * d;
    }
    hd_java_double(average, average_text, sizeof(average_text));
    hd_java_double(sqrt(squares / (double)a->count), deviation_text, sizeof(deviation_text));
    int n = snprintf(text, sizeof(text), "%zu\t%lld\t%lld\t%lld\t%s\t%s", a->count,
                     (long long)a->counts[0], (long long)a->counts[a->count / 2],
                     (long long)a->counts[a->count - 1], average_text, deviation_text);
    return emit(a, text, (size_t)n);
}

static int give_histogram(struct hd_aggregate *a)
{
    HD_AUTO(hd_buf_done) struct hd_buf line = {0};
    size_t cursor = 0;
    const char *value;
    void *place;
    int err = 0;
    while (err == 0 && hd_strmap_next(&a->places, &cursor, &value, &place)) {
        hd_buf_clear(&line);
        err = hd_buf_add(&line, value, a->places.slots[cursor - 1].key_size);
        if (err == 0) {
            err = hd_buf_addf(&line, "\t%lld", (long long)a->counts[(uintptr_t)place - 1]);
        }
        if (err == 0) {
            err = emit(a, line.data, line.size);
        }
    }
    return err;
}

static int end_key(struct hd_aggregate *a)
{
    char text[64];
    a->any = false;
    switch (a->kind) {
    case LONG_SUM:
    case LONG_MAX_OF:
    case LONG_MIN_OF:
        snprintf(text, sizeof(text), "%lld", (long long)a->number);
        return emit(a, text, strlen(text));
    case DOUBLE_SUM:
        hd_java_double(a->sum, text, sizeof(text));
        return emit(a, text, strlen(text));
    case STRING_MAX:
    case STRING_MIN:
        return emit(a, a->text.data, a->text.size);
    case UNIQUE:
        if (a->o.combine) {
            return 0;
        }
        snprintf(text, sizeof(text), "%lld", (long long)a->unique);
        return emit(a, text, strlen(text));
    case HISTOGRAM:
        return a->o.combine ? give_histogram(a) : report_histogram(a);
    }
    return 0;
}

static int begin_key(struct hd_aggregate *a, const struct hd_kv *kv)
{
    const uint8_t *colon = memchr(kv->key, ':', kv->key_size);
    size_t size = colon != NULL ? (size_t)(colon - kv->key) : 0;
    bool found = false;
    for (size_t i = 0; colon != NULL && i < HD_ARRAY_COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == size &&
            strncasecmp(kinds[i].name, (const char *)kv->key, size) == 0) {
            a->kind = kinds[i].kind;
            found = true;
        }
    }
    if (!found) {
        return hd_fail(
            -EINVAL,
            "aggregate: the mapper writes AGGREGATOR:id TAB value (LongValueSum:x TAB 1), "
            "not '%.*s'",
            shown(kv->key_size), (const char *)kv->key);
    }
    a->number = 0;
    a->sum = 0;
    a->unique = 0;
    a->count = 0;
    hd_strmap_done(&a->places);
    hd_strmap_init(&a->places);
    a->id_at = size + 1;
    a->any = true;
    hd_buf_clear(&a->key);
    return hd_buf_add(&a->key, kv->key, kv->key_size);
}

int hd_aggregate_add(struct hd_aggregate *a, const struct hd_kv *kv, uint64_t repeat)
{
    int err = 0;
    bool first =
        !a->any || a->key.size != kv->key_size || memcmp(a->key.data, kv->key, kv->key_size) != 0;
    if (first) {
        err = a->any ? end_key(a) : 0;
        err = err == 0 ? begin_key(a, kv) : err;
    }
    if (err < 0) {
        return err;
    }
    switch (a->kind) {
    case LONG_SUM:
    case LONG_MAX_OF:
    case LONG_MIN_OF:
        return add_long(a, kv, repeat, first);
    case DOUBLE_SUM:
        return add_double(a, kv, repeat);
    case STRING_MAX:
    case STRING_MIN:
        return add_string(a, kv, first);
    case UNIQUE:
        return add_unique(a, kv, first);
    case HISTOGRAM:
        return add_histogram(a, kv, repeat);
    }
    return 0;
}

int hd_aggregate_finish(struct hd_aggregate *a)
{
    return a->any ? end_key(a) : 0;
}
