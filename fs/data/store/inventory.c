/*
 * What a directory holds against what the map says. See check.h.
 *
 * The map is looked through in slices, so that nobody waits long for its lock; a replica that slips
 * through is there in the next round. A file that seems to have none, or a replica without a file,
 * is looked at once more under ownership: somebody may have been moving it.
 */
#include "fs/base/error.h"
#include "fs/data/store/check.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SLICE_SLOTS = 8192,
    LEAVES = 32 * 32,
    STRAY_AGE_S = 600, /* younger ones may belong to something under way */
};

/* --- inventory --- */

static int compare_ids(const void *a, const void *b)
{
    const struct hd_block_id *x = a;
    const struct hd_block_id *y = b;
    unsigned lx = hd_layout_folder(*x);
    unsigned ly = hd_layout_folder(*y);
    return lx != ly ? (lx < ly ? -1 : 1) : x->v < y->v ? -1 : x->v > y->v;
}

static int inventory_add(struct hd_inventory *i, size_t *capacity, const struct hd_store_replica *r)
{
    if (i->count == *capacity) {
        size_t more = *capacity == 0 ? 1024 : *capacity * 2;
        struct hd_block_id *ids = realloc(i->ids, more * sizeof(*ids));
        if (ids == NULL) {
            return -ENOMEM;
        }
        i->ids = ids;
        *capacity = more;
    }
    i->ids[i->count++] = r->r.id;
    i->bytes += hd_store_replica_disk_bytes(r->r.size_bytes);
    return 0;
}

/* A growing map shows some twice. */
static void drop_doubles(struct hd_inventory *i)
{
    size_t n = 0;
    for (size_t k = 0; k < i->count; k++) {
        if (n == 0 || i->ids[n - 1].v != i->ids[k].v) {
            i->ids[n++] = i->ids[k];
        }
    }
    i->count = n;
}

int hd_store_inventory(struct hd_store *s, int volume, struct hd_inventory *ret)
{
    const struct hd_volume *v = &s->volumes[volume];
    size_t capacity = 0;
    size_t cursor = 0;
    bool more = true;
    int err = 0;
    *ret = (struct hd_inventory){0};
    while (more && err == 0) {
        size_t end = cursor + SLICE_SLOTS;
        pthread_mutex_lock(&s->lock);
        while (more && err == 0 && cursor < end) {
            void *value;
            more = hd_map_next(&s->replicas, &cursor, NULL, &value);
            const struct hd_store_replica *r = more ? value : NULL;
            if (more && r->volume == v && r->r.state == HD_REPLICA_FINALIZED) {
                err = inventory_add(ret, &capacity, r);
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (err < 0) {
        hd_inventory_done(ret);
        return err;
    }
    if (ret->count > 0) {
        qsort(ret->ids, ret->count, sizeof(*ret->ids), compare_ids);
    }
    drop_doubles(ret);
    return 0;
}

void hd_inventory_done(struct hd_inventory *i)
{
    free(i->ids);
    *i = (struct hd_inventory){0};
}

size_t hd_inventory_after(const struct hd_inventory *i, struct hd_block_id id)
{
    size_t low = 0;
    size_t high = i->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(&i->ids[middle], &id) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- the files of one leaf --- */

struct file_pair {
    struct hd_block_id id;
    struct hd_genstamp gs; /* the newest sums */
    bool has_data;
    bool has_sums;
};

struct leaf {
    struct file_pair *pairs; /* heap; sorted by id, one for each */
    size_t count;
    size_t capacity;
};

struct walk {
    struct hd_store *store;
    struct hd_volume *volume;
    struct hd_layout layout;
    bool lengths;
    int (*found)(void *ctx, const struct hd_stray_found *f);
    void *ctx;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct file_pair *x = a;
    const struct file_pair *y = b;
    return x->id.v < y->id.v ? -1 : x->id.v > y->id.v;
}

static int leaf_add(struct leaf *f, const struct file_pair *p)
{
    if (f->count == f->capacity) {
        size_t more = f->capacity == 0 ? 256 : f->capacity * 2;
        struct file_pair *pairs = realloc(f->pairs, more * sizeof(*pairs));
        if (pairs == NULL) {
            return -ENOMEM;
        }
        f->pairs = pairs;
        f->capacity = more;
    }
    f->pairs[f->count++] = *p;
    return 0;
}

static void leaf_join(struct leaf *f)
{
    size_t n = 0;
    if (f->count > 0) {
        qsort(f->pairs, f->count, sizeof(*f->pairs), compare_pairs);
    }
    for (size_t i = 0; i < f->count; i++) {
        const struct file_pair *p = &f->pairs[i];
        struct file_pair *last = n > 0 ? &f->pairs[n - 1] : NULL;
        if (last == NULL || last->id.v != p->id.v) {
            f->pairs[n++] = *p;
            continue;
        }
        last->has_data = last->has_data || p->has_data;
        if (p->has_sums && (!last->has_sums || last->gs.v < p->gs.v)) {
            last->gs = p->gs;
        }
        last->has_sums = last->has_sums || p->has_sums;
    }
    f->count = n;
}

/* A folder that is not there is an empty one. */
static int leaf_read(struct leaf *f, const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return errno == ENOENT ? 0 : hd_fail_errno(errno, "%s", path);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        struct file_pair p = {0};
        enum hd_name_kind kind = hd_layout_parse(e->d_name, &p.id, &p.gs);
        p.has_data = kind == HD_NAME_DATA;
        p.has_sums = kind == HD_NAME_META;
        err = kind == HD_NAME_OTHER ? 0 : leaf_add(f, &p);
    }
    closedir(d);
    leaf_join(f);
    return err;
}

/* --- strays --- */

static int tell(struct walk *w, enum hd_stray kind, struct hd_block block)
{
    struct hd_stray_found f = {
        .kind = kind, .block = block, .storage_id = w->volume->version.storage_id};
    return w->found(w->ctx, &f);
}

/* The replica's file was not in the list. */
static int look_for_lost(struct walk *w, struct hd_block_id id)
{
    struct hd_check c;
    struct stat st;
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_data(&w->layout, HD_PLACE_FINALIZED, id, path);
    if (stat(path, &st) == 0 || errno != ENOENT) {
        return 0;
    }
    int err = hd_store_check_replica(w->store, id, &(struct hd_check_options){0}, &c);
    return err == 0 && c.finding == HD_CHECK_LOST ? tell(w, HD_STRAY_LOST, c.block) : err;
}

static bool is_old(const char *path)
{
    struct stat st;
    int64_t now_s = hd_clock_wall_ms().v / 1000;
    return stat(path, &st) == 0 && st.st_ctime + STRAY_AGE_S < now_s;
}

/* What the map has of the block; false: nothing. */
static bool known_as(struct hd_store *s, struct hd_block_id id, struct hd_replica *ret,
                     const struct hd_volume **ret_volume)
{
    pthread_mutex_lock(&s->lock);
    const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
    if (r != NULL) {
        *ret = r->r;
        *ret_volume = r->volume;
    }
    pthread_mutex_unlock(&s->lock);
    return r != NULL;
}

/* Takes a place in the map before the files are looked at, so that nobody makes the block anew. */
static struct hd_store_replica *claim(struct walk *w, const struct file_pair *p)
{
    struct hd_store *s = w->store;
    struct hd_store_replica *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    *r = (struct hd_store_replica){.volume = w->volume,
                                   .owned = true,
                                   .synced = true, /* who knows */
                                   .r = {.id = p->id, .gs = p->gs, .state = HD_REPLICA_FINALIZED}};
    pthread_mutex_lock(&s->lock);
    bool taken = hd_map_get(&s->replicas, p->id.v) != NULL || w->volume->failed;
    if (taken || hd_store_insert(s, r) < 0) {
        free(r);
        r = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Data and sums that nobody knows: brought back by somebody, or a restart lost count. */
static int adopt(struct walk *w, const struct file_pair *p)
{
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    struct hd_store *s = w->store;
    struct hd_sum_format format;
    struct stat st;
    struct hd_store_replica *r = claim(w, p);
    if (r == NULL) {
        return 0;
    }
    int err = hd_files_open(&w->layout, &r->r, HD_PLACE_FINALIZED, O_RDONLY, &data_fd, &meta_fd);
    if (err == 0) {
        err = hd_meta_file_read_header(meta_fd, &format);
    }
    if (err == 0 && fstat(data_fd, &st) < 0) {
        err = -errno;
    }
    struct hd_block block = {p->id, p->gs, err == 0 ? (uint64_t)st.st_size : 0};
    pthread_mutex_lock(&s->lock);
    if (err == 0) {
        r->r.size_bytes = r->r.acked_bytes = block.size_bytes;
        w->volume->used_bytes += hd_store_replica_disk_bytes(block.size_bytes);
        w->volume->used_bytes -= hd_store_replica_disk_bytes(0);
        hd_store_disown(s, r);
    } else {
        hd_store_remove(s, r);
    }
    pthread_mutex_unlock(&s->lock);
    return err == 0 ? tell(w, HD_STRAY_ADOPTED, block) : 0; /* torn: it stays what it is */
}

static int remove_files(struct walk *w, const struct file_pair *p)
{
    struct hd_replica r = {.id = p->id, .gs = p->gs};
    int err = hd_files_unlink(&w->layout, &r, HD_PLACE_FINALIZED);
    return err < 0 ? err : tell(w, HD_STRAY_REMOVED, (struct hd_block){p->id, p->gs, 0});
}

static int look_at_pair(struct walk *w, const struct file_pair *p)
{
    struct hd_replica known;
    const struct hd_volume *where;
    char path[HD_LAYOUT_PATH_BYTES];
    if (known_as(w->store, p->id, &known, &where)) {
        /* The one in the map is in use; an older double on another directory is in the way. */
        bool older = where != w->volume && p->has_data && p->has_sums && p->gs.v < known.gs.v;
        return older ? remove_files(w, p) : 0;
    }
    if (p->has_data && p->has_sums) {
        return adopt(w, p);
    }
    if (p->has_data) {
        return tell(w, HD_STRAY_LEFT, (struct hd_block){.id = p->id});
    }
    hd_layout_meta(&w->layout, HD_PLACE_FINALIZED, p->id, p->gs, path);
    if (!is_old(path)) {
        return 0;
    }
    int err =
        hd_io_unlink(path) < 0 && errno != ENOENT ? hd_fail_errno(errno, "%s: unlink", path) : 0;
    return err < 0 ? err : tell(w, HD_STRAY_REMOVED, (struct hd_block){p->id, p->gs, 0});
}

/* Replicas that are not summed as usual look wrong here, and are found good by the check. */
static int look_at_lengths(struct walk *w, const struct file_pair *p)
{
    static const struct hd_sum_format usual = {HD_CHECKSUM_CRC32C, HD_BYTES_PER_CHECKSUM};
    struct hd_replica known;
    const struct hd_volume *where;
    struct stat data;
    struct stat sums;
    char path[HD_LAYOUT_PATH_BYTES];
    if (!w->lengths || !p->has_sums || !known_as(w->store, p->id, &known, &where) ||
        where != w->volume || known.state != HD_REPLICA_FINALIZED) {
        return 0;
    }
    hd_layout_data(&w->layout, HD_PLACE_FINALIZED, p->id, path);
    bool wrong = stat(path, &data) == 0 && (uint64_t)data.st_size != known.size_bytes;
    hd_layout_meta(&w->layout, HD_PLACE_FINALIZED, p->id, known.gs, path);
    wrong = wrong || (stat(path, &sums) == 0 &&
                      (uint64_t)sums.st_size != hd_meta_file_size(usual, known.size_bytes));
    struct hd_block block = {known.id, known.gs, known.size_bytes};
    return wrong ? tell(w, HD_STRAY_LENGTH, block) : 0;
}

/* Both lists are sorted by id: one walk over both. */
static int compare_leaf(struct walk *w, const struct leaf *f, const struct hd_block_id *ids,
                        size_t count)
{
    size_t at = 0;
    int err = 0;
    for (size_t i = 0; i < f->count && err == 0; i++) {
        const struct file_pair *p = &f->pairs[i];
        for (; at < count && ids[at].v < p->id.v && err == 0; at++) {
            err = look_for_lost(w, ids[at]);
        }
        bool known = at < count && ids[at].v == p->id.v;
        at += known;
        if (err == 0 && known && !p->has_data) {
            err = look_for_lost(w, p->id);
        } else if (err == 0 && !known) {
            err = look_at_pair(w, p);
        } else if (err == 0) {
            err = look_at_lengths(w, p);
        }
    }
    for (; at < count && err == 0; at++) {
        err = look_for_lost(w, ids[at]);
    }
    return err;
}

int hd_store_reconcile(struct hd_store *s, int volume, bool lengths,
                       int (*found)(void *ctx, const struct hd_stray_found *f), void *ctx)
{
    struct walk w = {
        .store = s, .volume = &s->volumes[volume], .lengths = lengths, .found = found, .ctx = ctx};
    struct hd_inventory inventory;
    int err = hd_volume_probe(s, w.volume);
    if (err == 0) {
        err = hd_store_inventory(s, volume, &inventory);
    }
    if (err < 0) {
        return err;
    }
    w.layout = hd_store_layout(s, w.volume);
    size_t at = 0;
    for (unsigned l = 0; l < LEAVES && err == 0 && !w.volume->failed; l++) {
        struct hd_block_id any = {(uint64_t)(l >> 5) << 16 | (uint64_t)(l & 31) << 8};
        char path[HD_LAYOUT_PATH_BYTES];
        struct leaf f = {0};
        size_t end = at;
        while (end < inventory.count && hd_layout_folder(inventory.ids[end]) == l) {
            end++;
        }
        hd_layout_dir(&w.layout, HD_PLACE_FINALIZED, any, path);
        err = leaf_read(&f, path);
        if (err == 0) {
            err = compare_leaf(&w, &f, inventory.ids + at, end - at);
        }
        free(f.pairs);
        at = end;
    }
    hd_inventory_done(&inventory);
    if (hd_volume_error_is_fatal(err)) {
        hd_volume_fail(s, w.volume, err);
    }
    return err;
}

/* --- directories, as the scanner counts them --- */

int hd_store_volume_count(struct hd_store *s)
{
    return s->volume_count;
}

bool hd_store_volume_at(struct hd_store *s, int volume, const char **ret_dir,
                        const char **ret_storage_id)
{
    const struct hd_volume *v = &s->volumes[volume];
    pthread_mutex_lock(&s->lock);
    bool ok = s->bound && !v->failed && v->version.storage_id[0] != '\0';
    pthread_mutex_unlock(&s->lock);
    *ret_dir = v->dir;
    *ret_storage_id = v->version.storage_id;
    return ok;
}
