/* See sorter.h. */
#include "runner/ops/sorter.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/ops/entry_sort.h"
#include "runner/ops/merge.h"
#include "runner/ops/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A record in the mapping, 4-byte aligned; key and value follow. */
struct stored {
    uint32_t repeat;
    uint32_t key_size;
    uint32_t value_size;
};

struct recent {
    uint32_t hash;
    uint32_t place; /* of the record; UINT32_MAX: empty */
};

enum {
    UNIT = 4, /* of places */
    RECENT_BITS = 16,
    RECENT_COUNT = 1 << RECENT_BITS,
    RECENT_WINDOW = 1 << 16, /* records after which the table must have earned its keep */
    RECENT_MAX_BYTES = 64,   /* longer records are not looked up */
    DEFAULT_FACTOR = 64,
};

struct spill {
    char *path;
    struct hd_run_index index;
};

struct hd_sorter {
    struct hd_sorter_options o;
    char *dir;
    char *name;
    uint32_t fixed_partition; /* of a combiner's output, when o.partition is NULL */
    uint8_t *map;
    size_t map_size;
    size_t used;              /* bytes of records from the start */
    struct hd_entry *entries; /* the newest; the oldest is the last of the mapping */
    size_t entry_count;
    struct recent *recent;
    bool recent_on;
    uint32_t window_seen;
    uint32_t window_found;
    struct spill *spills;
    size_t spill_count;
    size_t spill_capacity;
    uint32_t names_used;
    struct hd_sorter_stats stats;
};

int hd_sorter_new(const struct hd_sorter_options *o, struct hd_sorter **ret)
{
    hd_assert(o->partitions > 0);
    struct hd_sorter *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->o = *o;
    s->o.factor = o->factor != 0 ? HD_MAX(o->factor, 2u) : DEFAULT_FACTOR;
    s->map = MAP_FAILED;
    s->map_size =
        HD_MIN(HD_MAX(o->budget_bytes, (size_t)HD_SORTER_MIN_BUDGET_BYTES), (size_t)8 << 30);
    s->map_size &= ~(size_t)4095;
    s->dir = strdup(o->dir);
    s->name = strdup(o->name);
    s->recent = malloc(RECENT_COUNT * sizeof(*s->recent));
    s->map = mmap(NULL, s->map_size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->dir == NULL || s->name == NULL || s->recent == NULL || s->map == MAP_FAILED) {
        hd_sorter_free(s);
        return hd_fail(-ENOMEM, "no memory for %zu bytes of sort buffer", s->map_size);
    }
    madvise(s->map, s->map_size, MADV_HUGEPAGE);
    s->o.dir = s->dir;
    s->o.name = s->name;
    s->entries = (struct hd_entry *)(void *)(s->map + s->map_size);
    memset(s->recent, 0xff, RECENT_COUNT * sizeof(*s->recent));
    s->recent_on = true;
    *ret = s;
    return 0;
}

static void spill_drop(struct spill *x)
{
    if (x->path != NULL) {
        unlink(x->path);
        free(x->path);
    }
    hd_run_index_done(&x->index);
    *x = (struct spill){0};
}

void hd_sorter_free(struct hd_sorter *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->spill_count; i++) {
        spill_drop(&s->spills[i]);
    }
    free(s->spills);
    if (s->map != MAP_FAILED) {
        munmap(s->map, s->map_size);
    }
    free(s->recent);
    free(s->dir);
    free(s->name);
    free(s);
}

void hd_sorter_stats(const struct hd_sorter *s, struct hd_sorter_stats *ret)
{
    *ret = s->stats;
}

static struct stored *stored_at(const struct hd_sorter *s, uint32_t place)
{
    return (struct stored *)(void *)(s->map + (size_t)place * UNIT);
}

static struct hd_record record_at(const struct hd_sorter *s, uint32_t place)
{
    const struct stored *r = stored_at(s, place);
    const uint8_t *bytes = (const uint8_t *)(r + 1);
    return (struct hd_record){.key = bytes,
                              .value = bytes + r->key_size,
                              .key_size = r->key_size,
                              .value_size = r->value_size,
                              .repeat = r->repeat};
}

static int compare_entries(const void *ctx, const struct hd_entry *a, const struct hd_entry *b)
{
    struct hd_record x = record_at(ctx, a->place);
    struct hd_record y = record_at(ctx, b->place);
    return hd_record_compare(&x, &y);
}

/* ---- the sorted content of the mapping as a source, one partition at a time ---- */

struct memory_source {
    struct hd_source source;
    const struct hd_sorter *sorter;
    size_t at;
    size_t end;
};

static int memory_next(struct hd_source *source, struct hd_record *ret)
{
    struct memory_source *m = HD_CONTAINER(source, struct memory_source, source);
    if (m->at == m->end) {
        return 0;
    }
    *ret = record_at(m->sorter, m->sorter->entries[m->at++].place);
    return 1;
}

static void memory_close(struct hd_source *source)
{
    (void)source;
}

/* ---- spilling ---- */

static char *new_path(struct hd_sorter *s)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s.%u.spill", s->dir, s->name, s->names_used++) < 0) {
        return NULL;
    }
    return path;
}

static int combine_partition(struct hd_sorter *s, struct hd_source *in, struct hd_sorter *out,
                             uint32_t partition)
{
    out->fixed_partition = partition;
    return s->o.combine(s->o.combine_ctx, in, out);
}

/* Sends every partition of the mapping through the combiner, and sorts what comes back. */
static int write_combined(struct hd_sorter *s, const char *path, struct hd_run_index *ret)
{
    struct hd_sorter *out = NULL;
    char *name = NULL;
    if (asprintf(&name, "%s.c%u", s->name, s->names_used++) < 0) {
        return -ENOMEM;
    }
    struct hd_sorter_options o = {.dir = s->dir,
                                  .name = name,
                                  .partitions = s->o.partitions,
                                  .budget_bytes = s->map_size / 4,
                                  .factor = s->o.factor};
    int err = hd_sorter_new(&o, &out);
    free(name);
    size_t at = 0;
    while (err == 0 && at < s->entry_count) {
        uint32_t partition = s->entries[at].partition;
        struct memory_source in = {
            .source = {.next = memory_next, .close = memory_close}, .sorter = s, .at = at};
        while (at < s->entry_count && s->entries[at].partition == partition) {
            at++;
        }
        in.end = at;
        err = combine_partition(s, &in.source, out, partition);
    }
    if (err == 0) {
        err = hd_sorter_finish(out, path, ret);
    }
    hd_sorter_free(out);
    return err;
}

static int write_plain(struct hd_sorter *s, const char *path, struct hd_run_index *ret)
{
    struct hd_run_writer *w;
    int err = hd_run_writer_new(path, s->o.partitions, &w);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < s->entry_count; i++) {
        struct hd_record r = record_at(s, s->entries[i].place);
        err = hd_run_writer_add(w, s->entries[i].partition, &r);
        if (err < 0) {
            hd_run_writer_abort(w);
            return err;
        }
    }
    return hd_run_writer_finish(w, ret);
}

static void forget_mapping(struct hd_sorter *s)
{
    s->used = 0;
    s->entry_count = 0;
    s->entries = (struct hd_entry *)(void *)(s->map + s->map_size);
    memset(s->recent, 0xff, RECENT_COUNT * sizeof(*s->recent));
    s->recent_on = true;
    s->window_seen = 0;
    s->window_found = 0;
}

/* Sorts the mapping and writes it as a run. */
static int write_mapping(struct hd_sorter *s, const char *path, struct hd_run_index *ret)
{
    int err = hd_entry_sort(s->entries, s->entry_count, s->o.partitions, compare_entries, s);
    if (err == 0) {
        err = s->o.combine != NULL ? write_combined(s, path, ret) : write_plain(s, path, ret);
    }
    if (err == 0) {
        forget_mapping(s);
    }
    return err;
}

static int add_spill(struct hd_sorter *s, char *path, const struct hd_run_index *index)
{
    if (s->spill_count == s->spill_capacity) {
        size_t capacity = HD_MAX(s->spill_capacity * 2, (size_t)16);
        struct spill *more = realloc(s->spills, capacity * sizeof(*more));
        if (more == NULL) {
            return -ENOMEM;
        }
        s->spills = more;
        s->spill_capacity = capacity;
    }
    s->spills[s->spill_count++] = (struct spill){.path = path, .index = *index};
    return 0;
}

static int spill(struct hd_sorter *s)
{
    struct hd_run_index index = {0};
    char *path = new_path(s);
    int err = path != NULL ? write_mapping(s, path, &index) : -ENOMEM;
    if (err == 0) {
        err = add_spill(s, path, &index);
    }
    if (err < 0) {
        hd_run_index_done(&index);
        if (path != NULL) {
            unlink(path);
        }
        free(path);
        return err;
    }
    s->stats.spills++;
    return 0;
}

/* ---- merging spills ---- */

static int open_partition(const struct spill *spills, const int *fds, size_t count,
                          uint32_t partition, struct hd_source **ret)
{
    struct hd_source **sources = calloc(count, sizeof(struct hd_source *));
    size_t opened = 0;
    int err = sources != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++) {
        const struct hd_run_part *part = &spills[i].index.parts[partition];
        if (part->size_bytes > 0) {
            err = hd_run_reader_new(fds[i], part, &sources[opened]);
            opened += err == 0;
        }
    }
    if (err == 0) {
        err = hd_merge_new(sources, opened, ret);
    } else {
        for (size_t i = 0; i < opened; i++) {
            sources[i]->close(sources[i]);
        }
    }
    free(sources);
    return err;
}

static int merge_partition(const struct spill *spills, const int *fds, size_t count,
                           uint32_t partition, struct hd_run_writer *w)
{
    struct hd_source *merged;
    struct hd_record r;
    int err = open_partition(spills, fds, count, partition, &merged);
    if (err < 0) {
        return err;
    }
    while ((err = merged->next(merged, &r)) == 1) {
        err = hd_run_writer_add(w, partition, &r);
        if (err < 0) {
            break;
        }
    }
    merged->close(merged);
    return err;
}

/* Merges spills[0..count) into a run at path. */
static int merge_spills(struct hd_sorter *s, const struct spill *spills, size_t count,
                        const char *path, struct hd_run_index *ret)
{
    struct hd_run_writer *w = NULL;
    int *fds = malloc(count * sizeof(*fds));
    if (fds == NULL) {
        return -ENOMEM;
    }
    memset(fds, 0xff, count * sizeof(*fds));
    int err = hd_run_writer_new(path, s->o.partitions, &w);
    for (size_t i = 0; err == 0 && i < count; i++) {
        fds[i] = open(spills[i].path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0) {
            err = hd_fail_errno(errno, "%s", spills[i].path);
        }
    }
    for (uint32_t p = 0; err == 0 && p < s->o.partitions; p++) {
        err = merge_partition(spills, fds, count, p, w);
    }
    for (size_t i = 0; i < count; i++) {
        hd_fd_done(&fds[i]);
    }
    free(fds);
    if (err < 0) {
        hd_run_writer_abort(w);
        return err;
    }
    return hd_run_writer_finish(w, ret);
}

/* While there are more than `factor` spills, makes one of the oldest. */
static int reduce_spills(struct hd_sorter *s)
{
    while (s->spill_count > s->o.factor) {
        size_t take = HD_MIN((size_t)s->o.factor, s->spill_count - s->o.factor + 1);
        struct hd_run_index index = {0};
        char *path = new_path(s);
        int err = path != NULL ? merge_spills(s, s->spills, take, path, &index) : -ENOMEM;
        if (err < 0) {
            free(path);
            return err;
        }
        for (size_t i = 0; i < take; i++) {
            spill_drop(&s->spills[i]);
        }
        memmove(s->spills, s->spills + take, (s->spill_count - take) * sizeof(*s->spills));
        s->spill_count -= take;
        s->spills[s->spill_count++] = (struct spill){.path = path, .index = index};
    }
    return 0;
}

int hd_sorter_finish(struct hd_sorter *s, const char *path, struct hd_run_index *ret)
{
    if (s->spill_count == 0) {
        return write_mapping(s, path, ret);
    }
    int err = s->entry_count > 0 ? spill(s) : 0;
    if (err == 0) {
        err = reduce_spills(s);
    }
    if (err == 0) {
        err = merge_spills(s, s->spills, s->spill_count, path, ret);
    }
    for (size_t i = 0; err == 0 && i < s->spill_count; i++) {
        spill_drop(&s->spills[i]);
    }
    if (err == 0) {
        s->spill_count = 0;
    }
    return err;
}

/* ---- adding ---- */

static inline uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/* 1 to 7 bytes as a number, all of them in it; no copy of unknown size, which would stall. */
static inline uint64_t load_tail(const uint8_t *p, size_t size)
{
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, p, sizeof(first));
        memcpy(&last, p + size - sizeof(last), sizeof(last));
        return first | (uint64_t)last << 32;
    }
    return p[0] | (uint64_t)p[size / 2] << 8 | (uint64_t)p[size - 1] << 16;
}

static inline uint64_t hash_short(uint64_t h, const uint8_t *p, size_t size)
{
    h = mix(h, size);
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t v;
        memcpy(&v, p, sizeof(v));
        h = mix(h, v);
    }
    if (size > 0) {
        h = mix(h, load_tail(p, size));
    }
    return h;
}

/* The slot of the table for a record, and whether the record is there: then it is counted. */
static struct recent *look_up(struct hd_sorter *s, const struct hd_record *r, bool *ret_found)
{
    uint64_t h = hash_short(hash_short(1, r->key, r->key_size), r->value, r->value_size);
    struct recent *slot = &s->recent[(h >> 32) & (RECENT_COUNT - 1)];
    *ret_found = false;
    if (slot->place != UINT32_MAX && slot->hash == (uint32_t)h) {
        struct stored *have = stored_at(s, slot->place);
        const uint8_t *bytes = (const uint8_t *)(have + 1);
        if (have->key_size == r->key_size && have->value_size == r->value_size &&
            memcmp(bytes, r->key, r->key_size) == 0 &&
            memcmp(bytes + r->key_size, r->value, r->value_size) == 0 &&
            r->repeat <= UINT32_MAX - have->repeat) {
            have->repeat += (uint32_t)r->repeat;
            *ret_found = true;
        }
    }
    slot->hash = (uint32_t)h;
    return slot;
}

/* Switches the table off for the rest of the mapping when few repeats were found. */
static void judge_table(struct hd_sorter *s)
{
    if (s->window_seen == RECENT_WINDOW) {
        s->recent_on = s->window_found >= RECENT_WINDOW / 16;
        s->window_seen = 0;
        s->window_found = 0;
    }
}

static size_t stored_size(const struct hd_record *r)
{
    size_t size = sizeof(struct stored) + r->key_size + r->value_size;
    return (size + UNIT - 1) & ~(size_t)(UNIT - 1);
}

static int store(struct hd_sorter *s, const struct hd_record *r, struct recent *slot)
{
    size_t size = stored_size(r);
    size_t room = (size_t)((uint8_t *)s->entries - s->map) - s->used;
    if (size + sizeof(struct hd_entry) > room) {
        if (size + sizeof(struct hd_entry) > s->map_size) {
            return hd_fail(-HD_E_TOO_LARGE,
                           "a record of %zu bytes does not fit the sort buffer of %zu bytes "
                           "(mapreduce.task.io.sort.mb)",
                           size, s->map_size);
        }
        int err = spill(s);
        if (err < 0) {
            return err;
        }
    }
    uint32_t place = (uint32_t)(s->used / UNIT);
    struct stored *have = stored_at(s, place);
    *have = (struct stored){
        .repeat = (uint32_t)r->repeat, .key_size = r->key_size, .value_size = r->value_size};
    uint8_t *bytes = (uint8_t *)(have + 1);
    memcpy(bytes, r->key, r->key_size);
    memcpy(bytes + r->key_size, r->value, r->value_size);
    s->used += size;
    s->entries--;
    s->entry_count++;
    uint32_t partition = s->o.partition != NULL ? s->o.partition(s->o.partition_ctx, r->key,
                                                                 r->key_size, s->o.partitions)
                                                : s->fixed_partition;
    s->entries[0] = (struct hd_entry){
        .prefix = hd_key_prefix(r->key, r->key_size), .place = place, .partition = partition};
    if (slot != NULL) {
        slot->place = place;
    }
    return 0;
}

int hd_sorter_add(struct hd_sorter *s, const uint8_t *key, size_t key_size, const uint8_t *value,
                  size_t value_size, uint64_t repeat)
{
    struct recent *slot = NULL;
    if (key_size + value_size > HD_RECORD_MAX_BYTES) {
        return hd_fail(-HD_E_TOO_LARGE, "a record of %zu bytes is above the limit of %d",
                       key_size + value_size, HD_RECORD_MAX_BYTES);
    }
    struct hd_record r = {.key = key,
                          .value = value,
                          .key_size = (uint32_t)key_size,
                          .value_size = (uint32_t)value_size,
                          .repeat = repeat};
    s->stats.records += repeat;
    s->stats.bytes += (key_size + value_size) * repeat;
    while (r.repeat > UINT32_MAX) { /* a stored count has 32 bits */
        struct hd_record part = r;
        part.repeat = UINT32_MAX;
        int err = store(s, &part, NULL);
        if (err < 0) {
            return err;
        }
        r.repeat -= UINT32_MAX;
    }
    if (s->recent_on && s->o.partition != NULL && key_size + value_size <= RECENT_MAX_BYTES) {
        bool found;
        slot = look_up(s, &r, &found);
        s->window_seen++;
        s->window_found += found;
        s->stats.repeats += found;
        judge_table(s);
        if (found) {
            return 0;
        }
        slot->place = UINT32_MAX; /* until it is stored; a spill clears the table too */
    }
    return store(s, &r, slot);
}
