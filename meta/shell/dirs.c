/* Which metadata directories are there, and which have everything. See dirs.h. */
#include "meta/shell/dirs.h"
#include "meta/shell/dirs_fill.h"
#include "meta/shell/store.h"
#include "fs/base/assert.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

int hd_dirs_split(const char *text, char out[HD_DIRS_MAX][HD_DIR_PATH_BYTES], size_t *ret_count)
{
    size_t count = 0;
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, ",");
        const char *from = p;
        size_t size = n;
        while (size > 0 && isspace((unsigned char)*from)) {
            from++;
            size--;
        }
        while (size > 0 &&
               (isspace((unsigned char)from[size - 1]) || (size > 1 && from[size - 1] == '/'))) {
            size--;
        }
        p += n + (p[n] == ',');
        if (size == 0) {
            continue;
        }
        if (count == HD_DIRS_MAX || size >= HD_DIR_PATH_BYTES) {
            return hd_fail(-HD_E_CONFIG, "dir = %s: more than %d directories, or too long", text,
                           HD_DIRS_MAX);
        }
        snprintf(out[count], HD_DIR_PATH_BYTES, "%.*s", (int)size, from);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(out[i], out[count]) == 0) {
                return hd_fail(-HD_E_CONFIG, "dir = %s: names %s twice", text, out[count]);
            }
        }
        count++;
    }
    *ret_count = count;
    return count > 0 ? 0 : hd_fail(-HD_E_CONFIG, "dir: names no directory");
}

static void set_state(struct hd_dir *e, enum hd_dir_state state, int err)
{
    e->state = state;
    e->err = err;
    snprintf(e->why, sizeof(e->why), "%s", hd_fail_describe(err));
}

/* What one directory has. Errors are those that end the start. */
static int look(struct hd_dir *e)
{
    int err = hd_dir_make(e->path, 0755);
    if (err == 0) {
        err = hd_dir_lock(e->path, &e->lock_fd);
    }
    if (err < 0) {
        set_state(e, HD_DIR_FAILED, err);
        return err == -EBUSY ? err : 0;
    }
    if (hd_dirs_filling(e->path)) { /* an earlier start was interrupted while it filled it */
        e->state = HD_DIR_NEW;
        return 0;
    }
    err = hd_members_read(e->path, &e->note);
    if (err < 0 && err != -ENOENT) {
        return err;
    }
    e->noted = err == 0;
    err = hd_store_peek(e->path, &e->version);
    if (err == -ENOENT) {
        err = hd_dir_sync_parent(e->path); /* its name is to be as durable as what comes into it */
        e->state = HD_DIR_NEW;
        if (err < 0 && err != -EACCES) {
            set_state(e, HD_DIR_FAILED, err);
        }
        return 0;
    }
    if (err == 0) {
        e->state = HD_DIR_OLD;
        return 0;
    }
    set_state(e, HD_DIR_DAMAGED, err);
    return err == -HD_E_CORRUPT && e->noted ? 0 : err; /* another directory may have the like */
}

static struct hd_dir *find_id(struct hd_dirs *d, const char *id)
{
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        if (e->noted && strcmp(e->note.self, id) == 0) {
            return e;
        }
    }
    return NULL;
}

static bool same_set(const struct hd_members *a, const struct hd_members *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++) {
        same = hd_members_find(b, a->list[i].id) != NULL;
    }
    return same;
}

/* No directory has a note: fine as long as only one has anything. */
static int take_unnoted(struct hd_dirs *d)
{
    const struct hd_dir *only = NULL;
    for (size_t i = 0; i < d->count; i++) {
        const struct hd_dir *e = &d->list[i];
        if (e->state != HD_DIR_OLD) {
            continue;
        }
        if (only != NULL) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s and %s both hold metadata and nothing says which is newer: choose, "
                           "howdah admin edits accept DIR",
                           only->path, e->path);
        }
        only = e;
    }
    d->members = (struct hd_members){0};
    hd_members_add(&d->members, "", only->path);
    return 0;
}

static int check_twins(struct hd_dirs *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        const struct hd_dir *other = e->noted ? find_id(d, e->note.self) : NULL;
        if (other != NULL && other != e) {
            return hd_fail(
                -HD_E_CORRUPT,
                "%s is a copy of %s, and nothing says which is newer: empty the one that "
                "is not",
                e->path, other->path);
        }
    }
    return 0;
}

/* The set of the highest generation, of which every directory has to be here. */
static int take_noted(struct hd_dirs *d, const struct hd_dir *top)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct hd_dir *e = &d->list[i];
        if (e->noted && e->note.generation == top->note.generation &&
            !same_set(&e->note, &top->note)) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s and %s went on without each other: choose the one to keep, howdah "
                           "admin edits accept DIR",
                           top->path, e->path);
        }
    }
    for (size_t i = 0; i < top->note.count; i++) {
        const struct hd_dir_member *m = &top->note.list[i];
        if (find_id(d, m->id) == NULL) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s was in use together with %s, which is not here: it may have gone on "
                           "alone and hold newer changes. Bring it back (it has to be named in dir "
                           "=); or, when it is lost for good: howdah admin edits accept %s",
                           top->path, m->path, top->path);
        }
    }
    d->members = top->note;
    return 0;
}

static int check_ids(const struct hd_dirs *d)
{
    const struct hd_dir *first = NULL;
    for (size_t i = 0; i < d->count; i++) {
        const struct hd_dir *e = &d->list[i];
        if (e->state != HD_DIR_OLD) {
            continue;
        }
        if (first != NULL && strcmp(first->version.cluster_id, e->version.cluster_id) != 0) {
            return hd_fail(-HD_E_INCORRECT_VERSION, "%s belongs to cluster %s, %s to %s",
                           first->path, first->version.cluster_id, e->path, e->version.cluster_id);
        }
        first = first != NULL ? first : e;
    }
    return 0;
}

static int decide(struct hd_dirs *d)
{
    struct hd_dir *top = NULL;
    const struct hd_dir *failed = NULL;
    size_t old = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        failed = e->state == HD_DIR_FAILED ? e : failed;
        old += e->state == HD_DIR_OLD;
        if (e->noted && (e->state == HD_DIR_OLD || e->state == HD_DIR_DAMAGED) &&
            (top == NULL || e->note.generation > top->note.generation)) {
            top = e;
        }
    }
    if (old == 0) {
        for (size_t i = 0; i < d->count; i++) {
            if (d->list[i].state == HD_DIR_NEW && hd_dirs_filling(d->list[i].path)) {
                return hd_fail(-HD_E_CORRUPT,
                               "%s was being filled from another metadata directory that is not "
                               "here; name that one in dir = too",
                               d->list[i].path);
            }
        }
        if (failed != NULL) { /* it may be the one that has everything */
            return hd_fail(failed->err, "%s: %s", failed->path, failed->why);
        }
        return top != NULL ? hd_fail(top->err, "%s", top->why) : -ENOENT;
    }
    int err = check_ids(d);
    if (err == 0) {
        err = check_twins(d);
    }
    if (err == 0) {
        err = top != NULL ? take_noted(d, top) : take_unnoted(d);
    }
    return err;
}

int hd_dirs_open(const char *text, struct hd_dirs *d)
{
    char paths[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    *d = (struct hd_dirs){.count = 0};
    size_t count;
    int err = hd_dirs_split(text, paths, &count);
    for (size_t i = 0; err == 0 && i < count; i++) {
        struct hd_dir *e = &d->list[d->count++];
        e->lock_fd = -1;
        snprintf(e->path, sizeof(e->path), "%s", paths[i]);
        err = look(e);
    }
    return err == 0 ? decide(d) : err;
}

void hd_dirs_close(struct hd_dirs *d)
{
    for (size_t i = 0; i < d->count; i++) {
        hd_fd_done(&d->list[i].lock_fd);
    }
    d->count = 0;
}

int hd_dirs_formatted(struct hd_dirs *d)
{
    struct hd_dir *e = &d->list[0];
    int err = hd_version_read(e->path, &e->version);
    if (err == 0) {
        e->state = HD_DIR_OLD;
        err = take_unnoted(d);
    }
    return err;
}

const struct hd_version *hd_dirs_version(const struct hd_dirs *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->list[i].state == HD_DIR_OLD) {
            return &d->list[i].version;
        }
    }
    hd_assert(false);
    return NULL;
}

/* --- settling --- */

/* Was it in use when the last process ended? */
static bool is_member(const struct hd_dirs *d, const struct hd_dir *e)
{
    if (d->members.generation == 0) {
        return e->state == HD_DIR_OLD; /* the only one */
    }
    return e->noted && hd_members_find(&d->members, e->note.self) != NULL;
}

/* The end of its log, which recovery may cut. Damage is noted, not returned. */
static uint64_t last_txid(struct hd_dir *e)
{
    const struct hd_edit_log_options o = {.dir = e->path, .cluster_id = e->version.cluster_id};
    struct hd_edit_log *log = NULL;
    struct hd_edit_log_recovery recovery;
    int err = hd_store_has_log(e->path);
    if (err == 0) {
        err = hd_edit_log_open(&o, &log, &recovery);
    }
    if (err < 0) {
        set_state(e, HD_DIR_DAMAGED, err);
        return 0;
    }
    if (recovery.cut_bytes > 0) {
        hd_log_warn("unfinished write cut off the end of the edit log",
                    "dir=%s last_txid=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64, e->path,
                    hd_edit_log_last(log).v, recovery.cut_offset, recovery.cut_bytes);
    }
    uint64_t last = hd_edit_log_last(log).v;
    hd_edit_log_close(log);
    return last;
}

/* The whole member with the longest log: it has all that any of them acknowledged. */
static int find_best(struct hd_dirs *d, struct hd_dir **ret)
{
    struct hd_dir *best = NULL;
    const struct hd_dir *damaged = NULL;
    uint64_t best_txid = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        if (!e->member) {
            continue;
        }
        uint64_t last = e->state == HD_DIR_OLD ? last_txid(e) : 0;
        if (e->state != HD_DIR_OLD) {
            damaged = e;
            continue;
        }
        if (best == NULL || last > best_txid) {
            best = e;
            best_txid = last;
        }
    }
    *ret = best;
    return best != NULL ? 0 : hd_fail(damaged->err, "%s", damaged->why);
}

/* Makes e like `best`; afterwards it is in use, or has failed. */
static void bring_up(struct hd_dir *e, const struct hd_dir *best)
{
    bool whole = e->member && e->state == HD_DIR_OLD;
    if (e->state == HD_DIR_FAILED) {
        hd_log_error("metadata directory cannot be used", "dir=%s reason=\"%s\"", e->path, e->why);
        return;
    }
    if (!whole) {
        hd_log_warn("metadata directory is filled from another", "dir=%s from=%s was=\"%s\"",
                    e->path, best->path,
                    e->state == HD_DIR_NEW   ? "empty"
                    : e->state == HD_DIR_OLD ? "older: it was dropped"
                                             : e->why);
    }
    int err = whole ? hd_dirs_equalise(best->path, e->path) : hd_dirs_fill(best->path, e->path);
    if (err < 0) {
        set_state(e, HD_DIR_FAILED, err);
        hd_log_error("metadata directory cannot be used", "dir=%s reason=\"%s\"", e->path, e->why);
        return;
    }
    if (e->note.self[0] == '\0') {
        hd_random_uuid(e->note.self);
    }
    e->noted = e->noted && whole;
    e->state = HD_DIR_OLD;
    e->version = best->version;
    e->in_use = true;
}

/* Whoever joins is told first: nobody may name a directory that does not know its own id. */
static int write_notes(struct hd_dirs *d, const struct hd_members *m, bool joining)
{
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        if (!e->in_use || e->member == joining) {
            continue;
        }
        int err = hd_members_write(e->path, e->note.self, m);
        if (err < 0) {
            e->in_use = false;
            set_state(e, HD_DIR_FAILED, err);
            hd_log_error("metadata directory cannot be used", "dir=%s reason=\"%s\"", e->path,
                         e->why);
            return err;
        }
    }
    return 0;
}

static bool notes_agree(const struct hd_dirs *d, const struct hd_members *m)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct hd_dir *e = &d->list[i];
        if (e->in_use && (!e->noted || e->note.generation != d->members.generation)) {
            return false;
        }
    }
    return same_set(m, &d->members);
}

static int note_members(struct hd_dirs *d)
{
    struct hd_members m = {.generation = d->members.generation};
    for (;;) {
        m.generation++;
        m.count = 0;
        for (size_t i = 0; i < d->count; i++) {
            if (d->list[i].in_use) {
                hd_members_add(&m, d->list[i].note.self, d->list[i].path);
            }
        }
        if (m.count == 0) {
            return hd_fail(-EIO, "no metadata directory can be written");
        }
        if (notes_agree(d, &m)) {
            m.generation = d->members.generation;
            break;
        }
        if (write_notes(d, &m, true) == 0 && write_notes(d, &m, false) == 0) {
            break;
        }
    }
    d->members = m;
    return 0;
}

int hd_dirs_settle(struct hd_dirs *d)
{
    if (d->count == 1) { /* the usual case: no note, unless there are notes already */
        struct hd_dir *e = &d->list[0];
        e->in_use = true;
        if (!e->noted) {
            return 0;
        }
        snprintf(d->members.list[0].path, sizeof(d->members.list[0].path), "%s", e->path);
        return 0;
    }
    for (size_t i = 0; i < d->count; i++) {
        d->list[i].member = is_member(d, &d->list[i]);
    }
    struct hd_dir *best;
    int err = find_best(d, &best);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < d->count; i++) {
        struct hd_dir *e = &d->list[i];
        if (e == best) {
            e->in_use = true;
            if (e->note.self[0] == '\0') {
                hd_random_uuid(e->note.self);
            }
        } else {
            bring_up(e, best);
        }
    }
    return note_members(d);
}
