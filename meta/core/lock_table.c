/* Locks of files and their waiting. See lock_table.h. */
#include "meta/core/lock_table.h"
#include "meta/core/mem.h"

#include <errno.h>

enum kind { POSIX_LOCKS, FLOCKS, KINDS };

struct hd_lock_file {
    uint64_t ino;
    struct hd_lock_ranges held[KINDS];
    struct hd_list queue; /* struct lock_wait, the first first */
    struct hd_list in_dirty;
};

struct lock_wait {
    struct hd_list in_queue;
    struct hd_list in_owner;
    struct hd_lock_file *file;
    struct hd_lock_want want;
};

/* Somebody who holds or waits. */
struct hd_lock_owner {
    struct hd_lock_owner *next; /* of the same hash */
    uint64_t session;
    uint64_t number;
    struct hd_list waits;
    uint32_t holds; /* files of which it has locks, each kind by itself */
    uint32_t visit; /* the search that has seen it last */
};

void hd_lock_table_init(struct hd_lock_table *t,
                        void (*on_done)(void *ctx, const struct hd_lock_want *want, int err),
                        void *ctx)
{
    *t = (struct hd_lock_table){.on_done = on_done, .ctx = ctx};
    hd_map_init(&t->files);
    hd_map_init(&t->owners);
    hd_list_init(&t->dirty);
}

/* ---- owners ---- */

static uint64_t owner_key(uint64_t session, uint64_t number)
{
    return hd_hash_u64(session) ^ number;
}

static struct hd_lock_owner *find_owner(const struct hd_lock_table *t, uint64_t session,
                                        uint64_t number)
{
    struct hd_lock_owner *o = hd_map_get(&t->owners, owner_key(session, number));
    while (o != NULL && (o->session != session || o->number != number)) {
        o = o->next;
    }
    return o;
}

static struct hd_lock_owner *get_owner(struct hd_lock_table *t, uint64_t session, uint64_t number)
{
    struct hd_lock_owner *o = find_owner(t, session, number);
    if (o == NULL) {
        o = HD_MEM_NEW(struct hd_lock_owner);
        o->session = session;
        o->number = number;
        o->next = hd_map_get(&t->owners, owner_key(session, number));
        hd_list_init(&o->waits);
        int err = hd_map_put(&t->owners, owner_key(session, number), o);
        hd_assert(err == 0);
    }
    return o;
}

static void forget_idle_owner(struct hd_lock_table *t, struct hd_lock_owner *o)
{
    if (o == NULL || o->holds > 0 || !hd_list_empty(&o->waits)) {
        return;
    }
    uint64_t key = owner_key(o->session, o->number);
    struct hd_lock_owner *first = hd_map_get(&t->owners, key);
    if (first != o) {
        while (first->next != o) {
            first = first->next;
        }
        first->next = o->next;
    } else if (o->next != NULL) {
        int err = hd_map_put(&t->owners, key, o->next);
        hd_assert(err == 0);
    } else {
        hd_map_remove(&t->owners, key);
    }
    free(o);
}

/* ---- files ---- */

static struct hd_lock_file *get_file(struct hd_lock_table *t, uint64_t ino)
{
    struct hd_lock_file *f = hd_map_get(&t->files, ino);
    if (f == NULL) {
        f = HD_MEM_NEW(struct hd_lock_file);
        f->ino = ino;
        hd_list_init(&f->queue);
        hd_list_init(&f->in_dirty);
        int err = hd_map_put(&t->files, ino, f);
        hd_assert(err == 0);
    }
    return f;
}

static void forget_idle_file(struct hd_lock_table *t, struct hd_lock_file *f)
{
    if (f->held[POSIX_LOCKS].count + f->held[FLOCKS].count > 0 || !hd_list_empty(&f->queue)) {
        return;
    }
    hd_list_remove(&f->in_dirty);
    hd_map_remove(&t->files, f->ino);
    hd_lock_ranges_done(&f->held[POSIX_LOCKS]);
    hd_lock_ranges_done(&f->held[FLOCKS]);
    free(f);
}

static enum kind kind_of(const struct hd_lock_want *want)
{
    return want->flock ? FLOCKS : POSIX_LOCKS;
}

static void mark_dirty(struct hd_lock_table *t, struct hd_lock_file *f)
{
    hd_list_remove(&f->in_dirty);
    hd_list_push_back(&t->dirty, &f->in_dirty);
}

/* Keeps count of what the owner of `l` has in a set that changes. */
static void count_holds(struct hd_lock_table *t, struct hd_lock_file *f, enum kind kind,
                        uint64_t session, uint64_t number, bool had)
{
    bool has = hd_lock_ranges_has(&f->held[kind], session, number);
    if (had == has) {
        return;
    }
    struct hd_lock_owner *o = get_owner(t, session, number);
    if (has && ++o->holds == 1) { /* its waits no longer respect the order of coming */
        HD_LIST_FOR(it, &o->waits)
        {
            mark_dirty(t, HD_LIST_ENTRY(it, struct lock_wait, in_owner)->file);
        }
    } else if (!has) {
        o->holds--;
        forget_idle_owner(t, o);
    }
}

/* Makes the range so, whatever stands in the way. */
static void set_range(struct hd_lock_table *t, struct hd_lock_file *f, enum kind kind,
                      const struct hd_lock_range *l)
{
    struct hd_lock_ranges *held = &f->held[kind];
    bool had = hd_lock_ranges_has(held, l->session, l->owner);
    t->range_count -= held->count;
    int err = hd_lock_ranges_set(held, l);
    hd_assert(err == 0);
    t->range_count += held->count;
    count_holds(t, f, kind, l->session, l->owner, had);
    mark_dirty(t, f);
}

static void drop_owner(struct hd_lock_table *t, struct hd_lock_file *f, enum kind kind,
                       uint64_t session, uint64_t number)
{
    struct hd_lock_ranges *held = &f->held[kind];
    t->range_count -= held->count;
    bool had = hd_lock_ranges_drop_owner(held, session, number);
    t->range_count += held->count;
    count_holds(t, f, kind, session, number, had);
    mark_dirty(t, f);
}

/* ---- waiting ---- */

static void end_wait(struct hd_lock_table *t, struct lock_wait *w)
{
    struct hd_lock_owner *o = find_owner(t, w->want.range.session, w->want.range.owner);
    hd_list_remove(&w->in_queue);
    hd_list_remove(&w->in_owner);
    t->wait_count--;
    free(w);
    forget_idle_owner(t, o);
}

static void tell(struct hd_lock_table *t, struct lock_wait *w, int err)
{
    struct hd_lock_want want = w->want;
    end_wait(t, w);
    t->on_done(t->ctx, &want, err);
}

static struct lock_wait *find_wait(const struct hd_lock_table *t, const struct hd_lock_want *want)
{
    struct hd_lock_owner *o = find_owner(t, want->range.session, want->range.owner);
    if (o != NULL) {
        HD_LIST_FOR(it, &o->waits)
        {
            struct lock_wait *w = HD_LIST_ENTRY(it, struct lock_wait, in_owner);
            if (w->want.wait_id == want->wait_id) {
                return w;
            }
        }
    }
    return NULL;
}

/* Does somebody who came before (than `w`; NULL: than anybody) wait for what excludes this? */
static bool is_behind(const struct hd_lock_file *f, const struct hd_lock_want *want,
                      const struct lock_wait *w)
{
    HD_LIST_FOR(it, &f->queue)
    {
        const struct lock_wait *before = HD_LIST_ENTRY(it, struct lock_wait, in_queue);
        if (before == w) {
            return false;
        }
        if (before->want.flock == want->flock &&
            hd_lock_range_conflicts(&before->want.range, &want->range)) {
            return true;
        }
    }
    return false;
}

static bool may_have(const struct hd_lock_table *t, const struct hd_lock_file *f,
                     const struct hd_lock_want *want, const struct lock_wait *w)
{
    if (hd_lock_ranges_covers(&f->held[kind_of(want)], &want->range)) {
        return true;
    }
    if (t->closed || hd_lock_ranges_conflict(&f->held[kind_of(want)], &want->range) != NULL) {
        return false;
    }
    const struct hd_lock_owner *o = find_owner(t, want->range.session, want->range.owner);
    return !want->wait || (o != NULL && o->holds > 0) || !is_behind(f, want, w);
}

/* ---- circles ---- */

/* Those who hold what excludes `want` and have not been seen, added to the stack. */
static size_t push_holders(struct hd_lock_table *t, const struct hd_lock_file *f,
                           const struct hd_lock_range *want, struct hd_lock_owner ***stack,
                           size_t count, size_t *capacity)
{
    const struct hd_lock_ranges *held = &f->held[POSIX_LOCKS];
    for (size_t n = 0; n < held->count; n++) {
        if (!hd_lock_range_conflicts(&held->items[n], want)) {
            continue;
        }
        struct hd_lock_owner *o = find_owner(t, held->items[n].session, held->items[n].owner);
        if (o->visit != t->visit) {
            o->visit = t->visit;
            HD_MEM_GROW(*stack, count, *capacity);
            (*stack)[count++] = o;
        }
    }
    return count;
}

/* Would the owner of `want` wait for itself? Through fcntl's locks only, as fcntl(2) has it. */
static bool closes_a_circle(struct hd_lock_table *t, const struct hd_lock_file *f,
                            const struct hd_lock_want *want)
{
    struct hd_lock_owner **stack = NULL;
    size_t capacity = 0;
    bool circle = false;
    t->visit++;
    size_t count = push_holders(t, f, &want->range, &stack, 0, &capacity);
    while (count > 0 && !circle) {
        const struct hd_lock_owner *o = stack[--count];
        HD_LIST_FOR(it, &o->waits)
        {
            const struct lock_wait *w = HD_LIST_ENTRY(it, struct lock_wait, in_owner);
            if (w->want.flock) {
                continue;
            }
            count = push_holders(t, w->file, &w->want.range, &stack, count, &capacity);
        }
        circle = o->session == want->range.session && o->number == want->range.owner;
    }
    free(stack);
    return circle;
}

/* ---- what became possible ---- */

/* Somebody else took what these wait for, perhaps while waiting for them. */
static void break_circles(struct hd_lock_table *t, struct hd_lock_file *f)
{
    HD_LIST_FOR_SAFE(it, &f->queue)
    {
        struct lock_wait *w = HD_LIST_ENTRY(it, struct lock_wait, in_queue);
        if (!w->want.flock && closes_a_circle(t, f, &w->want)) {
            tell(t, w, -EDEADLK);
            mark_dirty(t, f); /* who was behind it */
        }
    }
}

static void look_at_queue(struct hd_lock_table *t, struct hd_lock_file *f)
{
    HD_LIST_FOR_SAFE(it, &f->queue)
    {
        struct lock_wait *w = HD_LIST_ENTRY(it, struct lock_wait, in_queue);
        if (may_have(t, f, &w->want, w)) {
            set_range(t, f, kind_of(&w->want), &w->want.range);
            tell(t, w, 0);
        }
    }
    break_circles(t, f);
}

static void settle(struct hd_lock_table *t)
{
    while (!hd_list_empty(&t->dirty)) {
        struct hd_lock_file *f =
            HD_LIST_ENTRY(hd_list_pop_front(&t->dirty), struct hd_lock_file, in_dirty);
        look_at_queue(t, f); /* marks it again when that let somebody go */
        forget_idle_file(t, f);
    }
}

/* ---- calls ---- */

enum hd_lock_verdict hd_lock_table_lock(struct hd_lock_table *t, const struct hd_lock_want *want)
{
    const struct hd_lock_range *l = &want->range;
    struct hd_lock_file *f = get_file(t, want->ino);
    enum hd_lock_verdict verdict = HD_LOCK_QUEUED;
    if (want->wait && find_wait(t, want) != NULL) {
        return HD_LOCK_QUEUED;
    }
    if (want->flock && !hd_lock_ranges_covers(&f->held[FLOCKS], l)) {
        drop_owner(t, f, FLOCKS, l->session, l->owner); /* flock(2): a change begins with nothing */
    }
    if (may_have(t, f, want, NULL)) {
        if (t->range_count >= HD_LOCKS_MAX) {
            verdict = HD_LOCK_TOO_MANY;
            mark_dirty(t, f); /* perhaps nobody else's: it goes again */
        } else {
            set_range(t, f, kind_of(want), l);
            verdict = HD_LOCK_GRANTED;
        }
    } else if (!want->wait) {
        verdict = HD_LOCK_REFUSED;
    } else if (t->wait_count >= HD_LOCK_WAITS_MAX) {
        verdict = HD_LOCK_TOO_MANY;
    } else if (!want->flock && closes_a_circle(t, f, want)) {
        verdict = HD_LOCK_DEADLOCK;
    } else {
        struct lock_wait *w = HD_MEM_NEW(struct lock_wait);
        w->file = f;
        w->want = *want;
        hd_list_push_back(&f->queue, &w->in_queue);
        hd_list_push_back(&get_owner(t, l->session, l->owner)->waits, &w->in_owner);
        t->wait_count++;
    }
    settle(t);
    return verdict;
}

enum hd_lock_verdict hd_lock_table_unlock(struct hd_lock_table *t, const struct hd_lock_want *want,
                                          bool all)
{
    struct hd_lock_file *f = hd_map_get(&t->files, want->ino);
    if (f != NULL && all) {
        drop_owner(t, f, kind_of(want), want->range.session, want->range.owner);
    } else if (f != NULL) {
        struct hd_lock_range none = want->range;
        none.type = HD_LOCK_NONE;
        set_range(t, f, kind_of(want), &none);
    }
    settle(t);
    return HD_LOCK_GRANTED;
}

bool hd_lock_table_covers(const struct hd_lock_table *t, const struct hd_lock_want *want)
{
    const struct hd_lock_file *f = hd_map_get(&t->files, want->ino);
    return f != NULL && hd_lock_ranges_covers(&f->held[kind_of(want)], &want->range);
}

bool hd_lock_table_cancel(struct hd_lock_table *t, const struct hd_lock_want *want)
{
    struct lock_wait *w = find_wait(t, want);
    if (w == NULL) {
        return hd_lock_table_covers(t, want);
    }
    mark_dirty(t, w->file);
    end_wait(t, w);
    settle(t);
    return false;
}

bool hd_lock_table_claim(struct hd_lock_table *t, const struct hd_lock_want *want)
{
    if (hd_lock_table_conflict(t, want) != NULL) {
        return false;
    }
    set_range(t, get_file(t, want->ino), kind_of(want), &want->range);
    settle(t);
    return true;
}

const struct hd_lock_range *hd_lock_table_conflict(const struct hd_lock_table *t,
                                                   const struct hd_lock_want *want)
{
    const struct hd_lock_file *f = hd_map_get(&t->files, want->ino);
    return f != NULL ? hd_lock_ranges_conflict(&f->held[kind_of(want)], &want->range) : NULL;
}

/* The first of the session's ranges in the set; NULL: none. */
static const struct hd_lock_range *any_of(const struct hd_lock_ranges *held, uint64_t session)
{
    for (size_t n = 0; n < held->count; n++) {
        if (held->items[n].session == session) {
            return &held->items[n];
        }
    }
    return NULL;
}

static void drop_session_of_file(struct hd_lock_table *t, struct hd_lock_file *f, uint64_t session)
{
    HD_LIST_FOR_SAFE(it, &f->queue)
    {
        struct lock_wait *w = HD_LIST_ENTRY(it, struct lock_wait, in_queue);
        if (w->want.range.session == session) {
            end_wait(t, w);
            mark_dirty(t, f);
        }
    }
    for (enum kind k = POSIX_LOCKS; k < KINDS; k++) {
        for (const struct hd_lock_range *l; (l = any_of(&f->held[k], session)) != NULL;) {
            drop_owner(t, f, k, session, l->owner);
        }
    }
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The files there are now, by number: what is done to one may end others. */
static uint64_t *all_files(const struct hd_lock_table *t, size_t *ret_count)
{
    uint64_t *inos = hd_mem_new(sizeof(*inos) * (t->files.count + 1));
    size_t count = 0;
    void *file;
    for (size_t cursor = 0; hd_map_next(&t->files, &cursor, &inos[count], &file);) {
        count++;
    }
    qsort(inos, count, sizeof(*inos), compare_inos);
    *ret_count = count;
    return inos;
}

void hd_lock_table_drop_session(struct hd_lock_table *t, uint64_t session)
{
    size_t count;
    uint64_t *inos = all_files(t, &count);
    for (size_t n = 0; n < count; n++) {
        drop_session_of_file(t, hd_map_get(&t->files, inos[n]), session);
    }
    free(inos);
    settle(t); /* only now: nothing is granted to what goes */
}

void hd_lock_table_drop_file(struct hd_lock_table *t, uint64_t ino, int err)
{
    struct hd_lock_file *f = hd_map_get(&t->files, ino);
    if (f == NULL) {
        return;
    }
    HD_LIST_FOR_SAFE(it, &f->queue)
    {
        tell(t, HD_LIST_ENTRY(it, struct lock_wait, in_queue), err);
    }
    for (enum kind k = POSIX_LOCKS; k < KINDS; k++) {
        while (f->held[k].count > 0) {
            drop_owner(t, f, k, f->held[k].items[0].session, f->held[k].items[0].owner);
        }
    }
    forget_idle_file(t, f);
    settle(t);
}

void hd_lock_table_open(struct hd_lock_table *t)
{
    size_t count;
    uint64_t *inos = all_files(t, &count);
    t->closed = false;
    for (size_t n = 0; n < count; n++) {
        mark_dirty(t, hd_map_get(&t->files, inos[n]));
    }
    free(inos);
    settle(t);
}

void hd_lock_table_done(struct hd_lock_table *t)
{
    size_t count;
    uint64_t *inos = all_files(t, &count);
    for (size_t n = 0; n < count; n++) {
        struct hd_lock_file *f = hd_map_get(&t->files, inos[n]);
        HD_LIST_FOR_SAFE(it, &f->queue)
        {
            end_wait(t, HD_LIST_ENTRY(it, struct lock_wait, in_queue));
        }
        for (enum kind k = POSIX_LOCKS; k < KINDS; k++) {
            while (f->held[k].count > 0) {
                drop_owner(t, f, k, f->held[k].items[0].session, f->held[k].items[0].owner);
            }
        }
        forget_idle_file(t, f);
    }
    free(inos);
    hd_map_done(&t->files);
    hd_map_done(&t->owners);
}
