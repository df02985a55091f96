/*
 * See entry_sort.h. Each radix pass is an "American flag" sort: count, then walk the cycles, so
 * that entries move once and nothing is copied aside. Recursion is eight bytes deep at most.
 */
#include "runner/ops/entry_sort.h"

#include <errno.h>
#include <stdlib.h>

enum { SMALL = 64, INSERTION = 12, BYTES = 256 };

struct order {
    hd_entry_compare_fn compare;
    const void *ctx;
};

static int order_of(const struct order *o, const struct hd_entry *a, const struct hd_entry *b)
{
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    return o->compare(o->ctx, a, b);
}

static void swap(struct hd_entry *a, struct hd_entry *b)
{
    struct hd_entry t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(struct hd_entry *e, size_t n, const struct order *o)
{
    for (size_t i = 1; i < n; i++) {
        struct hd_entry t = e[i];
        size_t j = i;
        for (; j > 0 && order_of(o, &t, &e[j - 1]) < 0; j--) {
            e[j] = e[j - 1];
        }
        e[j] = t;
    }
}

static void sift_down(struct hd_entry *e, size_t root, size_t n, const struct order *o)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) {
            return;
        }
        if (child + 1 < n && order_of(o, &e[child], &e[child + 1]) < 0) {
            child++;
        }
        if (order_of(o, &e[root], &e[child]) >= 0) {
            return;
        }
        swap(&e[root], &e[child]);
        root = child;
    }
}

static void heap_sort(struct hd_entry *e, size_t n, const struct order *o)
{
    for (size_t i = n / 2; i-- > 0;) {
        sift_down(e, i, n, o);
    }
    for (size_t i = n; i-- > 1;) {
        swap(&e[0], &e[i]);
        sift_down(e, 0, i, o);
    }
}

static struct hd_entry median(const struct hd_entry *a, const struct hd_entry *b,
                              const struct hd_entry *c, const struct order *o)
{
    if (order_of(o, a, b) < 0) {
        return order_of(o, b, c) < 0 ? *b : order_of(o, a, c) < 0 ? *c : *a;
    }
    return order_of(o, a, c) < 0 ? *a : order_of(o, b, c) < 0 ? *c : *b;
}

/* Three-way quicksort: equal keys are done with at once. Falls back to a heap sort when unlucky. */
static void compare_sort(struct hd_entry *e, size_t n, const struct order *o, int depth)
{
    while (n > INSERTION) {
        if (depth-- == 0) {
            heap_sort(e, n, o);
            return;
        }
        struct hd_entry pivot = median(&e[0], &e[n / 2], &e[n - 1], o);
        size_t lt = 0;
        size_t i = 0;
        size_t gt = n;
        while (i < gt) {
            int c = order_of(o, &e[i], &pivot);
            if (c < 0) {
                swap(&e[lt++], &e[i++]);
            } else if (c > 0) {
                swap(&e[i], &e[--gt]);
            } else {
                i++;
            }
        }
        if (lt < n - gt) { /* recurse into the smaller side */
            compare_sort(e, lt, o, depth);
            e += gt;
            n -= gt;
        } else {
            compare_sort(e + gt, n - gt, o, depth);
            n = lt;
        }
    }
    insertion_sort(e, n, o);
}

static int depth_limit(size_t n)
{
    int bits = 0;
    while (n > 0) {
        bits++;
        n >>= 1;
    }
    return 2 * bits;
}

static uint8_t byte_of(const struct hd_entry *e, unsigned shift)
{
    return (uint8_t)(e->prefix >> shift);
}

/* Sorts by the prefix from the byte at `shift` down; the bytes above are equal. */
static void radix_sort(struct hd_entry *e, size_t n, unsigned shift, const struct order *o)
{
    size_t next[BYTES];
    size_t end[BYTES];
    if (n <= SMALL) {
        compare_sort(e, n, o, depth_limit(n));
        return;
    }
    size_t count[BYTES] = {0};
    for (size_t i = 0; i < n; i++) {
        count[byte_of(&e[i], shift)]++;
    }
    size_t sum = 0;
    for (size_t b = 0; b < BYTES; b++) {
        next[b] = sum;
        sum += count[b];
        end[b] = sum;
    }
    for (size_t b = 0; b < BYTES; b++) {
        while (next[b] < end[b]) {
            uint8_t to = byte_of(&e[next[b]], shift);
            if (to == b) {
                next[b]++;
            } else {
                swap(&e[next[b]], &e[next[to]++]);
            }
        }
    }
    for (size_t b = 0; b < BYTES; b++) {
        if (count[b] < 2) {
            continue;
        }
        struct hd_entry *bucket = e + end[b] - count[b];
        if (shift == 0) {
            compare_sort(bucket, count[b], o, depth_limit(count[b]));
        } else {
            radix_sort(bucket, count[b], shift - 8, o);
        }
    }
}

int hd_entry_sort(struct hd_entry *e, size_t n, uint32_t partitions, hd_entry_compare_fn compare,
                  const void *ctx)
{
    struct order o = {.compare = compare, .ctx = ctx};
    if (partitions <= 1) {
        radix_sort(e, n, 56, &o);
        return 0;
    }
    size_t *next = calloc(2 * ((size_t)partitions + 1), sizeof(*next));
    if (next == NULL) {
        return -ENOMEM;
    }
    size_t *end = next + partitions + 1;
    for (size_t i = 0; i < n; i++) {
        end[e[i].partition]++;
    }
    size_t sum = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        next[p] = sum;
        sum += end[p];
        end[p] = sum;
    }
    for (uint32_t p = 0; p < partitions; p++) {
        while (next[p] < end[p]) {
            uint32_t to = e[next[p]].partition;
            if (to == p) {
                next[p]++;
            } else {
                swap(&e[next[p]], &e[next[to]++]);
            }
        }
    }
    size_t start = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        radix_sort(e + start, end[p] - start, 56, &o);
        start = end[p];
    }
    free(next);
    return 0;
}
