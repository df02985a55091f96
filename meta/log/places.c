/* The directories of an edit log. See places.h. */
#include "meta/log/places.h"
#include "fs/base/assert.h"

#include <errno.h>

static int add(struct hd_places *ps, const char *id, const char *dir)
{
    struct hd_place *p = &ps->list[ps->count++];
    p->writer.fd = -1;
    atomic_init(&p->failed, false);
    snprintf(p->id, sizeof(p->id), "%s", id);
    return snprintf(p->dir, sizeof(p->dir), "%s", dir) < (int)sizeof(p->dir)
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s", dir);
}

int hd_places_init(struct hd_places *ps, const char *dir, const struct hd_members *members)
{
    *ps = (struct hd_places){.count = 0};
    pthread_mutex_init(&ps->lock, NULL);
    if (members == NULL) {
        return add(ps, "", dir);
    }
    ps->members = *members;
    int err = 0;
    for (size_t i = 0; i < members->count && err == 0; i++) {
        if (strcmp(members->list[i].path, dir) == 0) {
            err = add(ps, members->list[i].id, dir);
        }
    }
    hd_assert(err < 0 || ps->count == 1);
    for (size_t i = 0; i < members->count && err == 0; i++) {
        if (strcmp(members->list[i].path, dir) != 0) {
            err = add(ps, members->list[i].id, members->list[i].path);
        }
    }
    return err;
}

void hd_places_done(struct hd_places *ps)
{
    for (size_t i = 0; i < ps->count; i++) {
        hd_segment_writer_done(&ps->list[i].writer);
    }
    pthread_mutex_destroy(&ps->lock);
}

struct hd_place *hd_places_first(struct hd_places *ps)
{
    for (size_t i = 0; i < ps->count; i++) {
        if (!atomic_load(&ps->list[i].failed)) {
            return &ps->list[i];
        }
    }
    hd_assert(false);
    return NULL;
}

/* The members in use but p; how many. Lock held. */
static size_t others(struct hd_places *ps, const struct hd_place *p, struct hd_members *ret)
{
    *ret = (struct hd_members){.generation = ps->members.generation + 1};
    for (size_t i = 0; i < ps->count; i++) {
        struct hd_place *o = &ps->list[i];
        if (o != p && !atomic_load(&o->failed)) {
            hd_members_add(ret, o->id, o->dir);
        }
    }
    return ret->count;
}

static void mark(struct hd_places *ps, struct hd_place *p, const char *why)
{
    snprintf(p->why, sizeof(p->why), "%s", why);
    atomic_store(&p->failed, true);
    if (ps->on_dropped != NULL) {
        ps->on_dropped(ps->ctx, p->dir, p->why);
    }
}

/* The note into every place in use but p. The first that does not take it, or NULL. Lock held. */
static struct hd_place *note(struct hd_places *ps, const struct hd_place *p,
                             const struct hd_members *m)
{
    for (size_t i = 0; i < ps->count; i++) {
        struct hd_place *o = &ps->list[i];
        if (o != p && !atomic_load(&o->failed) && hd_members_write(o->dir, o->id, m) < 0) {
            return o;
        }
    }
    return NULL;
}

int hd_places_drop(struct hd_places *ps, struct hd_place *p, int err)
{
    char why[HD_FAIL_TEXT_BYTES];
    snprintf(why, sizeof(why), "%s", hd_fail_describe(err));
    pthread_mutex_lock(&ps->lock);
    /* A place that does not take the note has failed as well: it goes the same way. */
    for (struct hd_place *bad = p; bad != NULL;) {
        struct hd_members m;
        if (atomic_load(&bad->failed)) {
            break;
        }
        if (others(ps, bad, &m) == 0) {
            err = hd_fail(err, "%s", why);
            pthread_mutex_unlock(&ps->lock);
            return err;
        }
        mark(ps, bad, why);
        bad = note(ps, bad, &m);
        if (bad == NULL) {
            ps->members = m;
        } else {
            snprintf(why, sizeof(why), "%s", hd_fail_text());
        }
    }
    pthread_mutex_unlock(&ps->lock);
    return 0;
}

int hd_places_each(struct hd_places *ps, hd_place_fn fn, void *ctx)
{
    int errs[HD_DIRS_MAX] = {0};
    char texts[HD_DIRS_MAX][HD_FAIL_TEXT_BYTES];
    size_t good = 0;
    int first_err = 0;
    size_t first = 0;
    for (size_t i = 0; i < ps->count; i++) {
        struct hd_place *p = &ps->list[i];
        if (atomic_load(&p->failed)) {
            continue;
        }
        errs[i] = fn(ctx, p);
        if (errs[i] >= 0) {
            good++;
            continue;
        }
        snprintf(texts[i], sizeof(texts[i]), "%s", hd_fail_describe(errs[i]));
        if (first_err == 0) {
            first_err = errs[i];
            first = i;
        }
    }
    if (first_err == 0) {
        return 0;
    }
    if (good == 0) {
        return hd_fail(first_err, "%s", texts[first]);
    }
    int err = 0;
    for (size_t i = 0; i < ps->count && err == 0; i++) {
        if (errs[i] < 0) {
            err = hd_places_drop(ps, &ps->list[i], hd_fail(errs[i], "%s", texts[i]));
        }
    }
    return err;
}
