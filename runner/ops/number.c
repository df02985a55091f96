/* Numbers in text, for steps and reducers. See chain.h. */
#include "runner/ops/chain.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hd_number_parse(const uint8_t *text, size_t size, struct hd_number *ret)
{
    char copy[64];
    char *end;
    while (size > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        size--;
    }
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t')) {
        size--;
    }
    if (size == 0 || size >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (strspn(copy, "0123456789+-.eE") != size) { /* nan, 0x1 and the like are words in data */
        bool infinite = strcmp(copy, "inf") == 0 || strcmp(copy, "-inf") == 0; /* sums may be */
        *ret = (struct hd_number){.d = copy[0] == '-' ? -INFINITY : INFINITY};
        return infinite;
    }
    errno = 0;
    long long i = strtoll(copy, &end, 10);
    if (*end == '\0' && errno == 0) {
        *ret = (struct hd_number){.whole = true, .i = i, .d = (double)i};
        return true;
    }
    double d = strtod(copy, &end);
    *ret = (struct hd_number){.d = d};
    return *end == '\0' && end != copy;
}

void hd_number_add(struct hd_number *sum, const struct hd_number *x)
{
    int64_t i;
    if (sum->whole && x->whole && !__builtin_add_overflow(sum->i, x->i, &i)) {
        sum->i = i;
        sum->d = (double)i;
        return;
    }
    sum->d = (sum->whole ? (double)sum->i : sum->d) + (x->whole ? (double)x->i : x->d);
    sum->whole = false;
}

int hd_number_compare(const struct hd_number *a, const struct hd_number *b)
{
    if (a->whole && b->whole) {
        return a->i < b->i ? -1 : a->i > b->i;
    }
    return a->d < b->d ? -1 : a->d > b->d;
}

size_t hd_number_format(const struct hd_number *n, char *out, size_t room)
{
    if (n->whole) {
        return (size_t)snprintf(out, room, "%lld", (long long)n->i);
    }
    int size = 0;
    for (int digits = 15; digits <= 17; digits++) {
        size = snprintf(out, room, "%.*g", digits, n->d);
        if (strtod(out, NULL) == n->d || isnan(n->d)) {
            break;
        }
    }
    return (size_t)size;
}
