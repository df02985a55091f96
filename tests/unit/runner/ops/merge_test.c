/* The loser tree: any number of sources, empty ones among them, give one order; errors pass. */
#include "runner/ops/merge.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <stdlib.h>

struct list_source {
    struct hd_source source;
    char (*keys)[16];
    size_t count;
    size_t at;
    int end; /* what it says after the last */
    int *closed;
};

static int list_next(struct hd_source *source, struct hd_record *ret)
{
    struct list_source *l = HD_CONTAINER(source, struct list_source, source);
    if (l->at == l->count) {
        return l->end;
    }
    const char *key = l->keys[l->at++];
    *ret =
        (struct hd_record){(const uint8_t *)key, (const uint8_t *)"", (uint32_t)strlen(key), 0, 1};
    return 1;
}

static void list_close(struct hd_source *source)
{
    struct list_source *l = HD_CONTAINER(source, struct list_source, source);
    (*l->closed)++;
    free(l->keys);
    free(l);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct hd_source *new_list(struct hd_prng *p, size_t count, int end, int *closed)
{
    struct list_source *l = calloc(1, sizeof(*l));
    *l = (struct list_source){.source = {.next = list_next, .close = list_close},
                              .keys = calloc(count + 1, 16),
                              .count = count,
                              .end = end,
                              .closed = closed};
    for (size_t i = 0; i < count; i++) {
        snprintf(l->keys[i], 16, "%0*llu", (int)hd_prng_below(p, 10),
                 (unsigned long long)hd_prng_below(p, 1000));
    }
    qsort(l->keys, count, 16, by_text);
    return &l->source;
}

ATF_TC_WITHOUT_HEAD(any_number_of_sources_gives_one_order);
ATF_TC_BODY(any_number_of_sources_gives_one_order, tc)
{
    struct hd_prng prng = {3};
    for (size_t count = 0; count < 40; count++) {
        struct hd_source *sources[40];
        struct hd_source *m;
        struct hd_record r;
        char last[16] = "";
        size_t total = 0;
        size_t seen = 0;
        int closed = 0;
        for (size_t i = 0; i < count; i++) {
            size_t n = hd_prng_below(&prng, 50) * hd_prng_below(&prng, 2);
            total += n;
            sources[i] = new_list(&prng, n, 0, &closed);
        }
        ATF_REQUIRE_EQ(hd_merge_new(sources, count, &m), 0);
        while (m->next(m, &r) == 1) {
            char key[16];
            snprintf(key, sizeof(key), "%.*s", (int)r.key_size, (const char *)r.key);
            ATF_REQUIRE(strcmp(last, key) <= 0);
            memcpy(last, key, sizeof(last));
            seen++;
        }
        ATF_CHECK_EQ(seen, total);
        ATF_CHECK_EQ(m->next(m, &r), 0); /* the end stays the end */
        m->close(m);
        ATF_CHECK_EQ(closed, (int)count);
    }
}

ATF_TC_WITHOUT_HEAD(an_error_of_a_source_is_the_merges);
ATF_TC_BODY(an_error_of_a_source_is_the_merges, tc)
{
    struct hd_prng prng = {4};
    int closed = 0;
    struct hd_source *sources[] = {new_list(&prng, 10, 0, &closed),
                                   new_list(&prng, 5, -HD_E_CORRUPT, &closed),
                                   new_list(&prng, 10, 0, &closed)};
    struct hd_source *m;
    struct hd_record r;
    int got;
    ATF_REQUIRE_EQ(hd_merge_new(sources, 3, &m), 0);
    while ((got = m->next(m, &r)) == 1) {
    }
    ATF_CHECK_EQ(got, -HD_E_CORRUPT);
    m->close(m);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, any_number_of_sources_gives_one_order);
    ATF_TP_ADD_TC(tp, an_error_of_a_source_is_the_merges);
    return atf_no_error();
}
