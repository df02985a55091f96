/* The arena of arena.h: a list of chunks, the newest first. */
#include "fs/base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16384, ALIGN = 16 };

struct hd_arena_chunk {
    struct hd_arena_chunk *next;
    size_t used;
    size_t size;
    uint8_t data[] __attribute__((aligned(16)));
};

void hd_arena_init(struct hd_arena *a, size_t max)
{
    *a = (struct hd_arena){.max = max != 0 ? max : (size_t)1 << 30};
}

void hd_arena_done(struct hd_arena *a)
{
    while (a->chunks != NULL) {
        struct hd_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    a->used = 0;
}

void hd_arena_reset(struct hd_arena *a)
{
    struct hd_arena_chunk *keep = NULL;
    while (a->chunks != NULL) {
        struct hd_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (keep == NULL && c->size == CHUNK_BYTES) {
            keep = c;
        } else {
            free(c);
        }
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->chunks = keep;
    a->used = 0;
}

void *hd_arena_alloc(struct hd_arena *a, size_t size)
{
    size_t max = a->max != 0 ? a->max : (size_t)1 << 30;
    if (size > max || a->used > max - size) {
        return NULL;
    }
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct hd_arena_chunk *c = a->chunks;
    if (c == NULL || c->size - c->used < size) {
        size_t chunk = HD_MAX(size, (size_t)CHUNK_BYTES);
        c = malloc(sizeof(*c) + chunk);
        if (c == NULL) {
            return NULL;
        }
        c->used = 0;
        c->size = chunk;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    a->used += size;
    return memset(p, 0, size);
}

void *hd_arena_copy(struct hd_arena *a, const void *data, size_t size)
{
    void *p = hd_arena_alloc(a, size != 0 ? size : 1);
    if (p != NULL && size > 0) {
        memcpy(p, data, size);
    }
    return p;
}

char *hd_arena_strn(struct hd_arena *a, const char *text, size_t size)
{
    char *p = hd_arena_alloc(a, size + 1);
    if (p != NULL) {
        memcpy(p, text, size);
        p[size] = '\0';
    }
    return p;
}

char *hd_arena_str(struct hd_arena *a, const char *text)
{
    return hd_arena_strn(a, text, strlen(text));
}

char *hd_arena_vprintf(struct hd_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n >= 0 ? hd_arena_alloc(a, (size_t)n + 1) : NULL;
    if (p != NULL) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return p;
}

char *hd_arena_printf(struct hd_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = hd_arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

static void *pb_alloc(void *data, size_t size)
{
    return hd_arena_alloc(data, size != 0 ? size : 1);
}

static void pb_free(void *data HD_UNUSED, void *pointer HD_UNUSED)
{
}

ProtobufCAllocator hd_arena_allocator(struct hd_arena *a)
{
    return (ProtobufCAllocator){.alloc = pb_alloc, .free = pb_free, .allocator_data = a};
}
