/* Ordered children of a directory. See children.h. */
#include "meta/core/children.h"
#include "meta/core/inode.h"
#include "meta/core/mem.h"

enum { CHUNK_MAX = 256, CHUNK_FIRST = 4 };

struct hd_children_chunk {
    uint32_t count;
    uint32_t capacity;
    struct hd_inode *items[];
};

int hd_name_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, HD_MIN(a_size, b_size));
    if (order != 0) {
        return order;
    }
    return a_size < b_size ? -1 : a_size > b_size;
}

static int compare(const struct hd_inode *child, const char *name, size_t name_size)
{
    return hd_name_compare(hd_inode_name(child), child->name_size, name, name_size);
}

void hd_children_done(struct hd_children *c)
{
    for (uint32_t i = 0; i < c->chunk_count; i++) {
        free(c->chunks[i]);
    }
    free(c->chunks);
    *c = (struct hd_children){0};
}

/* The last chunk whose first name is not greater than `name`; chunk 0 when there is none. */
static uint32_t find_chunk(const struct hd_children *c, const char *name, size_t name_size)
{
    uint32_t low = 0;
    uint32_t high = c->chunk_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(c->chunks[middle]->items[0], name, name_size) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first index of the chunk whose name is not less than `name`. */
static uint32_t lower_bound(const struct hd_children_chunk *chunk, const char *name,
                            size_t name_size)
{
    uint32_t low = 0;
    uint32_t high = chunk->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(chunk->items[middle], name, name_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct hd_inode *hd_children_find(const struct hd_children *c, const char *name, size_t name_size)
{
    if (c->chunk_count == 0) {
        return NULL;
    }
    const struct hd_children_chunk *chunk = c->chunks[find_chunk(c, name, name_size)];
    uint32_t index = lower_bound(chunk, name, name_size);
    if (index < chunk->count && compare(chunk->items[index], name, name_size) == 0) {
        return chunk->items[index];
    }
    return NULL;
}

static struct hd_children_chunk *resize_chunk(struct hd_children_chunk *chunk, uint32_t capacity)
{
    chunk = hd_mem_resize(chunk, sizeof(*chunk) + sizeof(chunk->items[0]) * capacity);
    chunk->capacity = capacity;
    return chunk;
}

static void insert_chunk(struct hd_children *c, uint32_t at, struct hd_children_chunk *chunk)
{
    if (c->chunk_count == c->chunk_capacity) {
        c->chunk_capacity = c->chunk_capacity == 0 ? 1 : c->chunk_capacity * 2;
        c->chunks = hd_mem_resize(c->chunks, sizeof(*c->chunks) * c->chunk_capacity);
    }
    memmove(&c->chunks[at + 1], &c->chunks[at], sizeof(*c->chunks) * (c->chunk_count - at));
    c->chunks[at] = chunk;
    c->chunk_count++;
}

/* Moves the upper half of a full chunk into a new one behind it. */
static void split_chunk(struct hd_children *c, uint32_t at, bool at_end)
{
    struct hd_children_chunk *old = c->chunks[at];
    uint32_t keep = at_end ? old->count - 1 : old->count / 2; /* names that come in order fill up */
    struct hd_children_chunk *upper = resize_chunk(NULL, CHUNK_MAX);
    upper->count = old->count - keep;
    memcpy(upper->items, &old->items[keep], sizeof(upper->items[0]) * upper->count);
    old->count = keep;
    insert_chunk(c, at + 1, upper);
}

void hd_children_insert(struct hd_children *c, struct hd_inode *child)
{
    if (c->chunk_count == 0) {
        struct hd_children_chunk *first = resize_chunk(NULL, CHUNK_FIRST);
        first->count = 0;
        insert_chunk(c, 0, first);
    }
    uint32_t at = find_chunk(c, hd_inode_name(child), child->name_size);
    uint32_t index = lower_bound(c->chunks[at], hd_inode_name(child), child->name_size);
    if (c->chunks[at]->count == CHUNK_MAX) {
        split_chunk(c, at, index == CHUNK_MAX && at + 1 == c->chunk_count);
        if (index > c->chunks[at]->count) {
            index -= c->chunks[at]->count;
            at++;
        }
    }
    struct hd_children_chunk *chunk = c->chunks[at];
    if (chunk->count == chunk->capacity) {
        chunk = resize_chunk(chunk, chunk->capacity * 2);
        c->chunks[at] = chunk;
    }
    hd_assert(index == chunk->count ||
              compare(chunk->items[index], hd_inode_name(child), child->name_size) != 0);
    memmove(&chunk->items[index + 1], &chunk->items[index],
            sizeof(chunk->items[0]) * (chunk->count - index));
    chunk->items[index] = child;
    chunk->count++;
    c->count++;
}

bool hd_children_append(struct hd_children *c, struct hd_inode *child)
{
    struct hd_children_chunk *last = c->chunk_count > 0 ? c->chunks[c->chunk_count - 1] : NULL;
    if (last != NULL &&
        compare(last->items[last->count - 1], hd_inode_name(child), child->name_size) >= 0) {
        return false;
    }
    if (last == NULL || last->count == CHUNK_MAX) {
        last = resize_chunk(NULL, last == NULL ? CHUNK_FIRST : CHUNK_MAX);
        last->count = 0;
        insert_chunk(c, c->chunk_count, last);
    } else if (last->count == last->capacity) {
        last = resize_chunk(last, last->capacity * 2);
        c->chunks[c->chunk_count - 1] = last;
    }
    last->items[last->count++] = child;
    c->count++;
    return true;
}

static void remove_chunk(struct hd_children *c, uint32_t at)
{
    free(c->chunks[at]);
    c->chunk_count--;
    memmove(&c->chunks[at], &c->chunks[at + 1], sizeof(*c->chunks) * (c->chunk_count - at));
    if (c->chunk_count == 0) {
        hd_children_done(c);
    }
}

/* Joins a chunk with the one behind it when both are small. */
static void join_chunks(struct hd_children *c, uint32_t at)
{
    if (at + 1 >= c->chunk_count) {
        return;
    }
    struct hd_children_chunk *left = c->chunks[at];
    struct hd_children_chunk *right = c->chunks[at + 1];
    uint32_t sum = left->count + right->count;
    if (sum > CHUNK_MAX / 2) {
        return;
    }
    if (sum > left->capacity) {
        left = resize_chunk(left, CHUNK_MAX);
        c->chunks[at] = left;
    }
    memcpy(&left->items[left->count], right->items, sizeof(left->items[0]) * right->count);
    left->count = sum;
    remove_chunk(c, at + 1);
}

void hd_children_remove(struct hd_children *c, struct hd_inode *child)
{
    hd_assert(c->chunk_count > 0);
    uint32_t at = find_chunk(c, hd_inode_name(child), child->name_size);
    struct hd_children_chunk *chunk = c->chunks[at];
    uint32_t index = lower_bound(chunk, hd_inode_name(child), child->name_size);
    hd_assert(index < chunk->count && chunk->items[index] == child);
    chunk->count--;
    c->count--;
    memmove(&chunk->items[index], &chunk->items[index + 1],
            sizeof(chunk->items[0]) * (chunk->count - index));
    if (chunk->count == 0) {
        remove_chunk(c, at);
    } else {
        join_chunks(c, at);
    }
}

struct hd_children_at hd_children_after(const struct hd_children *c, const char *name,
                                        size_t name_size)
{
    struct hd_children_at at = {0, 0};
    if (c->chunk_count == 0 || name_size == 0) {
        return at;
    }
    at.chunk = find_chunk(c, name, name_size);
    const struct hd_children_chunk *chunk = c->chunks[at.chunk];
    at.index = lower_bound(chunk, name, name_size);
    if (at.index < chunk->count && compare(chunk->items[at.index], name, name_size) == 0) {
        at.index++;
    }
    return at;
}

struct hd_inode *hd_children_next(const struct hd_children *c, struct hd_children_at *at)
{
    while (at->chunk < c->chunk_count) {
        if (at->index < c->chunks[at->chunk]->count) {
            return c->chunks[at->chunk]->items[at->index++];
        }
        at->chunk++;
        at->index = 0;
    }
    return NULL;
}

uint32_t hd_children_remaining(const struct hd_children *c, struct hd_children_at at)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < at.chunk && i < c->chunk_count; i++) {
        before += c->chunks[i]->count;
    }
    return at.chunk < c->chunk_count ? c->count - before - at.index : 0;
}
