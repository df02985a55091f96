/* The window of listing.h: the chunk that is being filled and the one before it. */
#include "fs/mount/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    uint64_t base; /* index of the first entry */
    size_t count;
    struct hd_stat entries[HD_LISTING_CHUNK];
};

struct hd_listing {
    struct hd_listing_source source;
    void *cursor; /* NULL: not open */
    bool ended;   /* the cursor has said so */
    struct chunk *now;
    struct chunk *before; /* the chunk in front of now, or empty */
    char **marks;         /* marks[i]: the name chunk i+1 begins behind */
    size_t mark_count;
    size_t mark_capacity;
};

static void empty_chunk(struct chunk *c, uint64_t base)
{
    for (size_t i = 0; i < c->count; i++) {
        hd_stat_done(&c->entries[i]);
    }
    c->count = 0;
    c->base = base;
}

int hd_listing_new(const struct hd_listing_source *source, struct hd_listing **ret)
{
    struct hd_listing *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    l->source = *source;
    l->now = calloc(1, sizeof(*l->now));
    l->before = calloc(1, sizeof(*l->before));
    if (l->now == NULL || l->before == NULL) {
        hd_listing_free(l);
        return -ENOMEM;
    }
    *ret = l;
    return 0;
}

static void close_cursor(struct hd_listing *l)
{
    if (l->cursor != NULL) {
        l->source.close(l->cursor);
        l->cursor = NULL;
    }
    l->ended = false;
}

void hd_listing_rewind(struct hd_listing *l)
{
    close_cursor(l);
    empty_chunk(l->now, 0);
    empty_chunk(l->before, 0);
    for (size_t i = 0; i < l->mark_count; i++) {
        free(l->marks[i]);
    }
    l->mark_count = 0;
}

void hd_listing_free(struct hd_listing *l)
{
    if (l == NULL) {
        return;
    }
    if (l->now != NULL && l->before != NULL) {
        hd_listing_rewind(l);
    }
    free(l->now);
    free(l->before);
    free(l->marks);
    free(l);
}

/* Remembers the name that the chunk of this number (from 1) begins behind. */
static int set_mark(struct hd_listing *l, size_t chunk, const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL) {
        return -ENOMEM;
    }
    if (chunk <= l->mark_count) {
        free(l->marks[chunk - 1]);
        l->marks[chunk - 1] = copy;
        return 0;
    }
    if (l->mark_count == l->mark_capacity) {
        size_t capacity = HD_MAX(l->mark_capacity * 2, (size_t)16);
        char **marks = realloc(l->marks, capacity * sizeof(*marks));
        if (marks == NULL) {
            free(copy);
            return -ENOMEM;
        }
        l->marks = marks;
        l->mark_capacity = capacity;
    }
    l->marks[l->mark_count++] = copy;
    return 0;
}

/* Reads one more entry behind the window: 1, 0 at the end, or an error. */
static int read_one(struct hd_listing *l)
{
    if (l->ended) {
        return 0;
    }
    if (l->now->count == HD_LISTING_CHUNK) {
        uint64_t next = l->now->base + HD_LISTING_CHUNK;
        int rc = set_mark(l, (size_t)(next / HD_LISTING_CHUNK),
                          l->now->entries[HD_LISTING_CHUNK - 1].name);
        if (rc < 0) {
            return rc;
        }
        struct chunk *old = l->before;
        l->before = l->now;
        l->now = old;
        empty_chunk(l->now, next);
    }
    if (l->cursor == NULL) {
        size_t chunk = (size_t)(l->now->base / HD_LISTING_CHUNK);
        int rc = l->source.open(l->source.arg, chunk == 0 ? "" : l->marks[chunk - 1], &l->cursor);
        if (rc < 0) {
            l->cursor = NULL;
            return rc;
        }
    }
    struct hd_stat *entry = &l->now->entries[l->now->count];
    memset(entry, 0, sizeof(*entry));
    int rc = l->source.next(l->cursor, entry);
    if (rc == 1) {
        l->now->count++;
    }
    l->ended = rc == 0;
    return rc;
}

static bool inside(const struct chunk *c, uint64_t index)
{
    return index >= c->base && index < c->base + c->count;
}

int hd_listing_at(struct hd_listing *l, uint64_t index, const struct hd_stat **ret)
{
    if (index < l->now->base && !inside(l->before, index)) {
        close_cursor(l);
        empty_chunk(l->before, 0);
        empty_chunk(l->now, index - index % HD_LISTING_CHUNK);
    }
    for (;;) {
        struct chunk *c = inside(l->before, index) ? l->before : l->now;
        if (inside(c, index)) {
            *ret = &c->entries[index - c->base];
            return 1;
        }
        int rc = read_one(l);
        if (rc <= 0) {
            return rc;
        }
    }
}
