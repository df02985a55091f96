/* Ranges that are locked, against one letter a byte and owner. */
#include "fs/base/lock_ranges.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <stdio.h>
#include <string.h>

enum { BYTES = 40, OWNERS = 4, STEPS = 100000 };

/* The last byte of the model stands for everything from there to the end of the file. */
static uint64_t end_of(int last)
{
    return last == BYTES - 1 ? UINT64_MAX : (uint64_t)last;
}

static struct hd_lock_range range(int owner, int first, int last, enum hd_lock_type type)
{
    return (struct hd_lock_range){
        .session = 1 + (uint64_t)owner / 2, /* two owners of one number in two sessions */
        .owner = (uint64_t)owner % 2,
        .start = (uint64_t)first,
        .end = end_of(last),
        .pid = 100 + (uint32_t)owner,
        .type = (uint8_t)type,
    };
}

struct model {
    uint8_t held[OWNERS][BYTES]; /* enum hd_lock_type */
};

static void model_init(struct model *m)
{
    memset(m->held, HD_LOCK_NONE, sizeof(m->held));
}

/* What the ranges say of each byte; each at most once, and no two that could be one. */
static void check(const struct hd_lock_ranges *r, const struct model *m)
{
    struct model seen;
    model_init(&seen);
    for (size_t n = 0; n < r->count; n++) {
        const struct hd_lock_range *l = &r->items[n];
        int owner = (int)((l->session - 1) * 2 + l->owner);
        ATF_REQUIRE(l->type == HD_LOCK_READ || l->type == HD_LOCK_WRITE);
        ATF_REQUIRE(l->start <= l->end && l->pid == 100 + (uint32_t)owner);
        for (uint64_t b = l->start; b < BYTES && b <= l->end; b++) {
            ATF_REQUIRE(seen.held[owner][b] == HD_LOCK_NONE);
            seen.held[owner][b] = l->type;
        }
        if (l->end != UINT64_MAX && l->end + 1 < BYTES) {
            ATF_REQUIRE_MSG(m->held[owner][l->end + 1] != l->type, "two ranges that touch");
        }
    }
    ATF_REQUIRE(memcmp(&seen, m, sizeof(seen)) == 0);
}

static bool model_conflicts(const struct model *m, int owner, int first, int last,
                            enum hd_lock_type type)
{
    for (int o = 0; o < OWNERS; o++) {
        for (int b = first; b <= last && o != owner; b++) {
            uint8_t held = m->held[o][b];
            if (held == HD_LOCK_WRITE || (held == HD_LOCK_READ && type == HD_LOCK_WRITE)) {
                return true;
            }
        }
    }
    return false;
}

static bool model_covers(const struct model *m, int owner, int first, int last,
                         enum hd_lock_type type)
{
    for (int b = first; b <= last; b++) {
        if (m->held[owner][b] != HD_LOCK_WRITE && m->held[owner][b] != type) {
            return false;
        }
    }
    return true;
}

ATF_TC_WITHOUT_HEAD(ranges_agree_with_bytes);
ATF_TC_BODY(ranges_agree_with_bytes, tc)
{
    struct hd_prng prng = {11};
    struct hd_lock_ranges r = {0};
    struct model m;
    model_init(&m);
    for (int step = 0; step < STEPS; step++) {
        int owner = (int)hd_prng_below(&prng, OWNERS);
        int first = (int)hd_prng_below(&prng, BYTES);
        int last = first + (int)hd_prng_below(&prng, (uint64_t)(BYTES - first));
        enum hd_lock_type type = (enum hd_lock_type)hd_prng_below(&prng, 3);
        struct hd_lock_range l = range(owner, first, last, type);
        if (type != HD_LOCK_NONE) {
            bool taken = hd_lock_ranges_conflict(&r, &l) != NULL;
            ATF_REQUIRE(taken == model_conflicts(&m, owner, first, last, type));
            ATF_REQUIRE(hd_lock_ranges_covers(&r, &l) ==
                        model_covers(&m, owner, first, last, type));
            if (taken) {
                continue;
            }
        }
        size_t before = r.count;
        ATF_REQUIRE(hd_lock_ranges_set(&r, &l) == 0);
        ATF_REQUIRE(r.count <= before + 2);
        memset(&m.held[owner][first], type, (size_t)(last - first + 1));
        check(&r, &m);
        if (hd_prng_below(&prng, 50) == 0) {
            uint64_t session = 1 + hd_prng_below(&prng, 2);
            uint64_t which = hd_prng_below(&prng, 2);
            int o = (int)((session - 1) * 2 + which);
            bool has = hd_lock_ranges_has(&r, session, which);
            ATF_REQUIRE(has == (memchr(m.held[o], HD_LOCK_READ, BYTES) != NULL ||
                                memchr(m.held[o], HD_LOCK_WRITE, BYTES) != NULL));
            ATF_REQUIRE(hd_lock_ranges_drop_owner(&r, session, which) == has);
            memset(m.held[o], HD_LOCK_NONE, BYTES);
            check(&r, &m);
        }
        if (hd_prng_below(&prng, 200) == 0) {
            hd_lock_ranges_drop_session(&r, 2);
            memset(m.held[2], HD_LOCK_NONE, sizeof(m.held[2]) * 2);
            check(&r, &m);
        }
    }
    hd_lock_ranges_done(&r);
}

ATF_TC_WITHOUT_HEAD(the_conflict_that_is_named_is_the_first);
ATF_TC_BODY(the_conflict_that_is_named_is_the_first, tc)
{
    struct hd_lock_ranges r = {0};
    const struct hd_lock_range a = range(0, 20, 25, HD_LOCK_WRITE);
    const struct hd_lock_range b = range(1, 5, 8, HD_LOCK_READ);
    const struct hd_lock_range want = range(2, 0, BYTES - 1, HD_LOCK_WRITE);
    const struct hd_lock_range reader = range(2, 0, BYTES - 1, HD_LOCK_READ);
    hd_lock_ranges_set(&r, &a);
    hd_lock_ranges_set(&r, &b);
    ATF_CHECK_EQ(hd_lock_ranges_conflict(&r, &want)->start, 5);
    ATF_CHECK_EQ(hd_lock_ranges_conflict(&r, &reader)->start, 20);
    hd_lock_ranges_done(&r);
}

ATF_TC_WITHOUT_HEAD(numbers_at_the_end_of_the_range_do_not_wrap);
ATF_TC_BODY(numbers_at_the_end_of_the_range_do_not_wrap, tc)
{
    struct hd_lock_ranges r = {0};
    struct hd_lock_range l = {.session = 1, .start = 0, .end = 0, .type = HD_LOCK_WRITE};
    ATF_REQUIRE(hd_lock_ranges_set(&r, &l) == 0);
    l.start = l.end = UINT64_MAX;
    ATF_REQUIRE(hd_lock_ranges_set(&r, &l) == 0);
    ATF_CHECK_EQ(r.count, 2);
    l.start = 1;
    l.end = UINT64_MAX - 1;
    ATF_REQUIRE(hd_lock_ranges_set(&r, &l) == 0);
    ATF_CHECK_EQ(r.count, 1);
    ATF_CHECK_EQ(r.items[0].start, 0);
    ATF_CHECK_EQ(r.items[0].end, UINT64_MAX);
    l.start = l.end = UINT64_MAX;
    l.type = HD_LOCK_NONE;
    ATF_REQUIRE(hd_lock_ranges_set(&r, &l) == 0);
    ATF_CHECK_EQ(r.items[0].end, UINT64_MAX - 1);
    hd_lock_ranges_done(&r);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, ranges_agree_with_bytes);
    ATF_TP_ADD_TC(tp, the_conflict_that_is_named_is_the_first);
    ATF_TP_ADD_TC(tp, numbers_at_the_end_of_the_range_do_not_wrap);
    return atf_no_error();
}
