/* See plan.h. */
#include "runner/core/plan.h"
#include "fs/base/error.h"

#include <errno.h>
#include <string.h>

struct builder {
    const struct hd_plan_options *o;
    const struct hd_plan_file *files;
    struct hd_arena *arena;
    struct hd_plan_task *tasks;
    uint32_t count;
    uint32_t capacity;
};

static struct hd_plan_task *add_task(struct builder *b, uint32_t split_capacity, int *ret_err)
{
    if (b->count == b->capacity) {
        uint32_t capacity = HD_MAX(b->capacity * 2, 64u);
        struct hd_plan_task *more = HD_ARENA_ARRAY(b->arena, struct hd_plan_task, capacity);
        if (more == NULL || capacity > 2 * HD_PLAN_TASKS_MAX) {
            *ret_err = more == NULL ? -ENOMEM : -HD_E_TOO_LARGE;
            return NULL;
        }
        if (b->count > 0) {
            memcpy(more, b->tasks, b->count * sizeof(*more));
        }
        b->tasks = more;
        b->capacity = capacity;
    }
    struct hd_plan_task *t = &b->tasks[b->count];
    *t = (struct hd_plan_task){.splits =
                                   HD_ARENA_ARRAY(b->arena, struct hd_plan_split, split_capacity)};
    if (t->splits == NULL) {
        *ret_err = -ENOMEM;
        return NULL;
    }
    b->count++;
    return t;
}

/* The block that holds most of [start, start + length). */
static const struct hd_plan_block *main_block(const struct hd_plan_file *f, uint64_t start,
                                              uint64_t length)
{
    const struct hd_plan_block *best = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < f->block_count; i++) {
        const struct hd_plan_block *b = &f->blocks[i];
        uint64_t from = HD_MAX(start, b->offset);
        uint64_t to = HD_MIN(start + length, b->offset + b->size);
        if (to > from && to - from > most) {
            best = b;
            most = to - from;
        }
    }
    return best;
}

static int add_split(struct builder *b, uint32_t file, uint64_t start, uint64_t length)
{
    int err = 0;
    struct hd_plan_task *t = add_task(b, 1, &err);
    if (t == NULL) {
        return err;
    }
    t->splits[0] = (struct hd_plan_split){.file = file, .start = start, .length = length};
    t->split_count = 1;
    t->bytes = length;
    const struct hd_plan_block *block = main_block(&b->files[file], start, length);
    if (block != NULL) {
        memcpy(t->nodes, block->nodes, sizeof(t->nodes));
        t->node_count = block->node_count;
    }
    return 0;
}

/* The size of the split at `start`: to the end of its block, bent by min and max. */
static uint64_t split_size(const struct builder *b, const struct hd_plan_file *f, uint64_t start)
{
    uint64_t left = f->size - start;
    uint64_t size = left;
    for (uint32_t i = 0; i < f->block_count; i++) {
        const struct hd_plan_block *x = &f->blocks[i];
        if (start >= x->offset && start < x->offset + x->size) {
            size = x->offset + x->size - start;
            break;
        }
    }
    if (b->o->max_split != 0) {
        size = HD_MIN(size, b->o->max_split);
    }
    size = HD_MAX(size, b->o->min_split);
    if (left < size + size / 10) { /* no crumbs */
        size = left;
    }
    return HD_MAX(HD_MIN(size, left), 1u);
}

static int cut_file(struct builder *b, uint32_t file)
{
    const struct hd_plan_file *f = &b->files[file];
    if (f->size == 0 || f->whole) {
        return add_split(b, file, 0, f->size);
    }
    uint64_t start = 0;
    while (start < f->size) {
        uint64_t size = split_size(b, f, start);
        int err = add_split(b, file, start, size);
        if (err < 0) {
            return err;
        }
        start += size;
    }
    return 0;
}

static uint32_t home_of(const struct hd_plan_file *f)
{
    return f->block_count > 0 && f->blocks[0].node_count > 0 ? f->blocks[0].nodes[0] : UINT32_MAX;
}

static bool has_node(const struct hd_plan_file *f, uint32_t node)
{
    for (uint32_t i = 0; f->block_count > 0 && i < f->blocks[0].node_count; i++) {
        if (f->blocks[0].nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* Keeps of a shared task's nodes those that hold this file too. */
static void keep_common_nodes(struct hd_plan_task *t, const struct hd_plan_file *f)
{
    uint32_t kept = 0;
    if (f->block_count == 0) { /* an empty file is everywhere */
        return;
    }
    for (uint32_t i = 0; i < t->node_count; i++) {
        if (has_node(f, t->nodes[i])) {
            t->nodes[kept++] = t->nodes[i];
        }
    }
    t->node_count = kept;
}

/* One shared task for the tiny files from `first` on whose first node is `home`. */
static int group_files(struct builder *b, const bool *tiny, bool *taken, uint32_t first,
                       uint32_t count)
{
    int err = 0;
    uint32_t home = home_of(&b->files[first]);
    uint32_t members = 0;
    uint64_t bytes = 0;
    for (uint32_t i = first; i < count && members < b->o->group_files; i++) {
        if (tiny[i] && !taken[i] &&
            (home_of(&b->files[i]) == home || b->files[i].size == 0 ||
             has_node(&b->files[i], home))) {
            if (members > 0 && bytes + b->files[i].size > b->o->group_bytes) {
                break;
            }
            bytes += b->files[i].size;
            members++;
        }
    }
    struct hd_plan_task *t = add_task(b, members, &err);
    if (t == NULL) {
        return err;
    }
    const struct hd_plan_file *f = &b->files[first];
    if (f->block_count > 0) {
        memcpy(t->nodes, f->blocks[0].nodes, sizeof(t->nodes));
        t->node_count = f->blocks[0].node_count;
    }
    for (uint32_t i = first; t->split_count < members; i++) {
        if (tiny[i] && !taken[i] &&
            (home_of(&b->files[i]) == home || b->files[i].size == 0 ||
             has_node(&b->files[i], home))) {
            taken[i] = true;
            t->splits[t->split_count++] =
                (struct hd_plan_split){.file = i, .start = 0, .length = b->files[i].size};
            t->bytes += b->files[i].size;
            keep_common_nodes(t, &b->files[i]);
        }
    }
    return 0;
}

int hd_plan_make(const struct hd_plan_file *files, uint32_t count, const struct hd_plan_options *o,
                 struct hd_arena *arena, struct hd_plan *ret)
{
    struct builder b = {.o = o, .files = files, .arena = arena};
    bool *tiny = HD_ARENA_ARRAY(arena, bool, count + 1);
    bool *taken = HD_ARENA_ARRAY(arena, bool, count + 1);
    if (tiny == NULL || taken == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        tiny[i] = o->combine && files[i].block_count <= 1 && files[i].size <= o->tiny_bytes;
    }
    for (uint32_t i = 0; i < count; i++) {
        int err = 0;
        if (!tiny[i]) {
            err = cut_file(&b, i);
        } else if (!taken[i]) {
            err = group_files(&b, tiny, taken, i, count);
        }
        if (err == 0 && b.count > HD_PLAN_TASKS_MAX) {
            err = -HD_E_TOO_LARGE;
        }
        if (err < 0) {
            return err;
        }
    }
    *ret = (struct hd_plan){.tasks = b.tasks, .count = b.count};
    return 0;
}
