/*
 * Waiting for locks. A small world (three owners, two files) is walked through whole: from every
 * state that can be reached every call is made, and in each state that follows it must hold that
 * nobody has what another excludes, nobody waits for what he could have, nobody waits in a circle,
 * and everybody gets his turn when those who wait for nothing let go.
 */
#include "meta/core/lock_table.h"

#include <atf-c.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWNERS = 3, FILES = 2, WAITS_MAX = OWNERS * FILES + 1, PATH_MAX_OPS = 24 };

struct world {
    struct hd_lock_table t;
    struct hd_lock_want waits[WAITS_MAX]; /* those that are queued, in the order of coming */
    int wait_count;
    int last_err; /* of the last on_done */
    uint64_t next_wait_id;
    bool flock;
};

static void remove_wait(struct world *w, int n)
{
    w->wait_count--;
    memmove(&w->waits[n], &w->waits[n + 1], sizeof(w->waits[0]) * (size_t)(w->wait_count - n));
}

static void on_done(void *ctx, const struct hd_lock_want *want, int err)
{
    struct world *w = ctx;
    w->last_err = err;
    for (int n = 0; n < w->wait_count; n++) {
        if (w->waits[n].wait_id == want->wait_id) {
            remove_wait(w, n);
            return;
        }
    }
    atf_tc_fail("a wait that is not queued is done");
}

static void world_init(struct world *w, bool flock)
{
    *w = (struct world){.flock = flock};
    hd_lock_table_init(&w->t, on_done, w);
}

static struct hd_lock_want want_of(const struct world *w, int owner, int file,
                                   enum hd_lock_type type)
{
    return (struct hd_lock_want){
        .ino = 100 + (uint64_t)file,
        .flock = w->flock,
        .range = {.session = 1 + (uint64_t)owner % 2,
                  .owner = (uint64_t)owner / 2,
                  .end = UINT64_MAX,
                  .type = (uint8_t)type},
    };
}

static bool holds(const struct world *w, int owner, int file, enum hd_lock_type type)
{
    struct hd_lock_want want = want_of(w, owner, file, type);
    return hd_lock_table_covers(&w->t, &want);
}

static bool holds_any(const struct world *w, int owner)
{
    bool any = false;
    for (int f = 0; f < FILES; f++) {
        any = any || holds(w, owner, f, HD_LOCK_READ);
    }
    return any;
}

static bool waits(const struct world *w, int owner, int file) /* file -1: for any */
{
    for (int n = 0; n < w->wait_count; n++) {
        struct hd_lock_want own = want_of(w, owner, 0, HD_LOCK_READ);
        if (hd_lock_range_same_owner(&w->waits[n].range, &own.range) &&
            (file < 0 || w->waits[n].ino == 100 + (uint64_t)file)) {
            return true;
        }
    }
    return false;
}

/* ---- the calls ---- */

enum { LOCK_CALLS = OWNERS * FILES * 4, UNLOCK_CALLS = OWNERS * FILES, CANCEL_CALLS = WAITS_MAX };
enum { CALLS = LOCK_CALLS + UNLOCK_CALLS + CANCEL_CALLS };

static enum hd_lock_verdict lock(struct world *w, int owner, int file, enum hd_lock_type type,
                                 bool wait)
{
    struct hd_lock_want want = want_of(w, owner, file, type);
    want.wait = wait;
    want.wait_id = ++w->next_wait_id;
    if (wait) { /* on_done may come before the call is back */
        w->waits[w->wait_count++] = want;
    }
    enum hd_lock_verdict v = hd_lock_table_lock(&w->t, &want);
    for (int n = w->wait_count; n > 0 && v != HD_LOCK_QUEUED; n--) {
        if (w->waits[n - 1].wait_id == want.wait_id) {
            remove_wait(w, n - 1);
        }
    }
    return v;
}

/* False: it makes no sense now. */
static bool make_call(struct world *w, int call)
{
    if (call < LOCK_CALLS) {
        int owner = call / 4 % OWNERS;
        int file = call / 4 / OWNERS;
        bool wait = (call & 1) != 0;
        if (waits(w, owner, file)) {
            return false;
        }
        enum hd_lock_type type = (call & 2) != 0 ? HD_LOCK_WRITE : HD_LOCK_READ;
        enum hd_lock_verdict v = lock(w, owner, file, type, wait);
        ATF_REQUIRE(v != HD_LOCK_TOO_MANY && (v != HD_LOCK_QUEUED || wait) &&
                    (v != HD_LOCK_REFUSED || !wait));
        ATF_REQUIRE(v != HD_LOCK_GRANTED || holds(w, owner, file, type));
        return true;
    }
    call -= LOCK_CALLS;
    if (call < UNLOCK_CALLS) {
        int owner = call % OWNERS;
        int file = call / OWNERS;
        struct hd_lock_want want = want_of(w, owner, file, HD_LOCK_NONE);
        if (!holds(w, owner, file, HD_LOCK_READ)) {
            return false;
        }
        hd_lock_table_unlock(&w->t, &want, false);
        ATF_REQUIRE(!holds(w, owner, file, HD_LOCK_READ));
        return true;
    }
    call -= UNLOCK_CALLS;
    if (call >= w->wait_count) {
        return false;
    }
    struct hd_lock_want want = w->waits[call];
    remove_wait(w, call);
    ATF_REQUIRE(!hd_lock_table_cancel(&w->t, &want) || want.range.type == HD_LOCK_READ);
    return true;
}

/* ---- what must always hold ---- */

static void check_exclusion(const struct world *w)
{
    for (int f = 0; f < FILES; f++) {
        int readers = 0;
        int writers = 0;
        for (int o = 0; o < OWNERS; o++) {
            writers += holds(w, o, f, HD_LOCK_WRITE);
            readers += holds(w, o, f, HD_LOCK_READ);
        }
        ATF_REQUIRE(writers == 0 || readers == 1);
    }
}

static void check_nobody_waits_in_vain(const struct world *w)
{
    for (int n = 0; n < w->wait_count; n++) {
        const struct hd_lock_want *want = &w->waits[n];
        if (hd_lock_table_conflict(&w->t, want) != NULL) {
            continue;
        }
        bool behind = false;
        for (int k = 0; k < n; k++) {
            behind = behind || (w->waits[k].ino == want->ino &&
                                hd_lock_range_conflicts(&w->waits[k].range, &want->range));
        }
        int owner = (int)(want->range.session - 1 + want->range.owner * 2);
        ATF_REQUIRE_MSG(behind && !holds_any(w, owner), "somebody waits for what is free");
    }
}

/* Those who wait for nothing let go of everything, until nobody holds anything. */
static void check_everybody_gets_his_turn(struct world *w)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (int o = 0; o < OWNERS; o++) {
            if (waits(w, o, -1)) {
                continue;
            }
            for (int f = 0; f < FILES; f++) {
                if (holds(w, o, f, HD_LOCK_READ)) {
                    struct hd_lock_want want = want_of(w, o, f, HD_LOCK_NONE);
                    hd_lock_table_unlock(&w->t, &want, true);
                    moved = true;
                }
            }
        }
    }
    ATF_REQUIRE_MSG(w->wait_count == 0, "%d wait for each other for ever", w->wait_count);
    ATF_REQUIRE(w->t.range_count == 0 && w->t.wait_count == 0);
    ATF_REQUIRE(w->t.files.count == 0 && w->t.owners.count == 0);
}

/* ---- every state ---- */

struct path {
    uint8_t calls[PATH_MAX_OPS];
    uint8_t count;
};

static struct path *paths; /* the states that were found, as the way to them */
static size_t path_count, path_capacity;
static struct hd_strmap known;

static void state_name(const struct world *w, char *out, size_t size)
{
    size_t at = 0;
    for (int f = 0; f < FILES; f++) {
        for (int o = 0; o < OWNERS; o++) {
            out[at++] = holds(w, o, f, HD_LOCK_WRITE)  ? 'w'
                        : holds(w, o, f, HD_LOCK_READ) ? 'r'
                                                       : '-';
        }
    }
    for (int n = 0; n < w->wait_count; n++) {
        const struct hd_lock_want *q = &w->waits[n];
        at += (size_t)snprintf(out + at, size - at, "|%d%d%d", (int)q->ino,
                               (int)(q->range.session - 1 + q->range.owner * 2), q->range.type);
    }
    out[at] = '\0';
}

static void walk(struct world *w, const struct path *p)
{
    for (int n = 0; n < p->count; n++) {
        ATF_REQUIRE(make_call(w, p->calls[n]));
    }
}

static void note_state(const struct world *w, const struct path *p)
{
    char name[128];
    state_name(w, name, sizeof(name));
    if (hd_strmap_get(&known, name, strlen(name)) != NULL) {
        return;
    }
    hd_strmap_put(&known, name, strlen(name), &known);
    if (path_count == path_capacity) {
        path_capacity = path_capacity == 0 ? 1024 : path_capacity * 2;
        paths = realloc(paths, sizeof(*paths) * path_capacity);
    }
    paths[path_count++] = *p;
}

static void explore(bool flock, int depth)
{
    path_count = 0;
    hd_strmap_init(&known);
    struct world w;
    world_init(&w, flock);
    note_state(&w, &(struct path){.count = 0});
    hd_lock_table_done(&w.t);
    for (size_t n = 0; n < path_count; n++) {
        for (int call = 0; call < CALLS && paths[n].count < depth; call++) {
            struct path p = paths[n];
            world_init(&w, flock);
            walk(&w, &p);
            if (make_call(&w, call)) {
                p.calls[p.count++] = (uint8_t)call;
                check_exclusion(&w);
                check_nobody_waits_in_vain(&w);
                note_state(&w, &p);
                if (!flock) { /* those may wait for each other: flock(2) does not look */
                    check_everybody_gets_his_turn(&w);
                }
            }
            hd_lock_table_done(&w.t);
        }
    }
    printf("%zu states\n", path_count);
    ATF_REQUIRE(path_count > 100);
    hd_strmap_done(&known);
    free(paths);
    paths = NULL;
    path_capacity = 0;
}

ATF_TC_WITHOUT_HEAD(every_state_of_a_small_world_is_right);
ATF_TC_BODY(every_state_of_a_small_world_is_right, tc)
{
    explore(false, 7);
}

ATF_TC_WITHOUT_HEAD(every_state_of_a_small_world_of_flocks_is_right);
ATF_TC_BODY(every_state_of_a_small_world_of_flocks_is_right, tc)
{
    explore(true, 5);
}

/* ---- single facts ---- */

ATF_TC_WITHOUT_HEAD(a_writer_is_not_overtaken_by_new_readers);
ATF_TC_BODY(a_writer_is_not_overtaken_by_new_readers, tc)
{
    struct world w;
    world_init(&w, false);
    ATF_CHECK(lock(&w, 0, 0, HD_LOCK_READ, true) == HD_LOCK_GRANTED);
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    ATF_CHECK(lock(&w, 2, 0, HD_LOCK_READ, true) == HD_LOCK_QUEUED);
    struct hd_lock_want want = want_of(&w, 0, 0, HD_LOCK_NONE);
    hd_lock_table_unlock(&w.t, &want, false);
    ATF_CHECK(holds(&w, 1, 0, HD_LOCK_WRITE));
    ATF_CHECK(waits(&w, 2, 0));
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(two_upgrades_are_a_deadlock_for_the_second);
ATF_TC_BODY(two_upgrades_are_a_deadlock_for_the_second, tc)
{
    struct world w;
    world_init(&w, false);
    lock(&w, 0, 0, HD_LOCK_READ, true);
    lock(&w, 1, 0, HD_LOCK_READ, true);
    ATF_CHECK(lock(&w, 0, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_WRITE, true) == HD_LOCK_DEADLOCK);
    ATF_CHECK(holds(&w, 1, 0, HD_LOCK_READ)); /* as before */
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(an_upgrade_of_a_flock_lets_go_first);
ATF_TC_BODY(an_upgrade_of_a_flock_lets_go_first, tc)
{
    struct world w;
    world_init(&w, true);
    lock(&w, 0, 0, HD_LOCK_READ, true);
    lock(&w, 1, 0, HD_LOCK_READ, true);
    ATF_CHECK(lock(&w, 0, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    ATF_CHECK(!holds(&w, 0, 0, HD_LOCK_READ));
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    ATF_CHECK(holds(&w, 0, 0, HD_LOCK_WRITE));
    struct hd_lock_want want = want_of(&w, 0, 0, HD_LOCK_NONE);
    hd_lock_table_unlock(&w.t, &want, true);
    ATF_CHECK(holds(&w, 1, 0, HD_LOCK_WRITE));
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_READ, false) == HD_LOCK_GRANTED);
    ATF_CHECK(!holds(&w, 1, 0, HD_LOCK_WRITE) && holds(&w, 1, 0, HD_LOCK_READ));
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(the_two_kinds_do_not_see_each_other);
ATF_TC_BODY(the_two_kinds_do_not_see_each_other, tc)
{
    struct world w;
    world_init(&w, false);
    lock(&w, 0, 0, HD_LOCK_WRITE, false);
    w.flock = true;
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_WRITE, false) == HD_LOCK_GRANTED);
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(the_end_of_a_session_lets_others_go_on);
ATF_TC_BODY(the_end_of_a_session_lets_others_go_on, tc)
{
    struct world w;
    world_init(&w, false);
    lock(&w, 0, 0, HD_LOCK_WRITE, true);                             /* session 1 */
    lock(&w, 2, 1, HD_LOCK_WRITE, true);                             /* session 1 */
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_READ, true) == HD_LOCK_QUEUED); /* session 2 */
    ATF_CHECK(lock(&w, 2, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    remove_wait(&w, 1); /* nobody is told: there is nobody any more */
    hd_lock_table_drop_session(&w.t, 1);
    ATF_CHECK(holds(&w, 1, 0, HD_LOCK_READ));
    ATF_CHECK_EQ(w.wait_count, 0);
    ATF_CHECK_EQ(w.t.wait_count, 0);
    ATF_CHECK_EQ(w.t.range_count, 1);
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(the_end_of_a_file_ends_its_waits);
ATF_TC_BODY(the_end_of_a_file_ends_its_waits, tc)
{
    struct world w;
    world_init(&w, false);
    lock(&w, 0, 0, HD_LOCK_WRITE, true);
    lock(&w, 1, 0, HD_LOCK_WRITE, true);
    hd_lock_table_drop_file(&w.t, 100, -ESTALE);
    ATF_CHECK_EQ(w.last_err, -ESTALE);
    ATF_CHECK_EQ(w.wait_count, 0);
    ATF_CHECK_EQ(w.t.files.count, 0);
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(while_closed_only_claims_are_granted);
ATF_TC_BODY(while_closed_only_claims_are_granted, tc)
{
    struct world w;
    world_init(&w, false);
    w.t.closed = true;
    struct hd_lock_want own = want_of(&w, 0, 0, HD_LOCK_WRITE);
    ATF_CHECK(hd_lock_table_claim(&w.t, &own));
    struct hd_lock_want other = want_of(&w, 1, 0, HD_LOCK_READ);
    ATF_CHECK(!hd_lock_table_claim(&w.t, &other));
    ATF_CHECK(lock(&w, 0, 0, HD_LOCK_WRITE, false) == HD_LOCK_GRANTED); /* he has it */
    ATF_CHECK(lock(&w, 1, 1, HD_LOCK_READ, false) == HD_LOCK_REFUSED);
    ATF_CHECK(lock(&w, 1, 1, HD_LOCK_READ, true) == HD_LOCK_QUEUED);
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_READ, true) == HD_LOCK_QUEUED);
    hd_lock_table_open(&w.t);
    ATF_CHECK(holds(&w, 1, 1, HD_LOCK_READ));
    ATF_CHECK(waits(&w, 1, 0));
    hd_lock_table_done(&w.t);
}

ATF_TC_WITHOUT_HEAD(a_wait_asked_for_twice_is_one);
ATF_TC_BODY(a_wait_asked_for_twice_is_one, tc)
{
    struct world w;
    world_init(&w, false);
    lock(&w, 0, 0, HD_LOCK_WRITE, true);
    ATF_CHECK(lock(&w, 1, 0, HD_LOCK_WRITE, true) == HD_LOCK_QUEUED);
    struct hd_lock_want again = w.waits[0];
    ATF_CHECK(hd_lock_table_lock(&w.t, &again) == HD_LOCK_QUEUED);
    ATF_CHECK_EQ(w.t.wait_count, 1);
    struct hd_lock_want none = want_of(&w, 0, 0, HD_LOCK_NONE);
    hd_lock_table_unlock(&w.t, &none, false);
    ATF_CHECK_EQ(w.wait_count, 0);
    ATF_CHECK(hd_lock_table_lock(&w.t, &again) == HD_LOCK_GRANTED); /* the answer was lost */
    ATF_CHECK(hd_lock_table_cancel(&w.t, &again));                  /* too late */
    hd_lock_table_done(&w.t);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_state_of_a_small_world_is_right);
    ATF_TP_ADD_TC(tp, every_state_of_a_small_world_of_flocks_is_right);
    ATF_TP_ADD_TC(tp, a_writer_is_not_overtaken_by_new_readers);
    ATF_TP_ADD_TC(tp, two_upgrades_are_a_deadlock_for_the_second);
    ATF_TP_ADD_TC(tp, an_upgrade_of_a_flock_lets_go_first);
    ATF_TP_ADD_TC(tp, the_two_kinds_do_not_see_each_other);
    ATF_TP_ADD_TC(tp, the_end_of_a_session_lets_others_go_on);
    ATF_TP_ADD_TC(tp, the_end_of_a_file_ends_its_waits);
    ATF_TP_ADD_TC(tp, while_closed_only_claims_are_granted);
    ATF_TP_ADD_TC(tp, a_wait_asked_for_twice_is_one);
    return atf_no_error();
}
