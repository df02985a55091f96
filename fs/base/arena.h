/*
 * An arena: memory of one turn or one request, freed at once.
 *
 * Allocation never fails below the ceiling; at the ceiling or when the heap is empty it returns
 * NULL. Memory is zeroed and aligned to 16 bytes. Not thread safe. Chunks are kept across
 * hd_arena_reset up to one chunk, so a loop that resets does not touch the heap.
 */
#ifndef HD_BASE_ARENA_H
#define HD_BASE_ARENA_H

#include <stdarg.h>
#include <protobuf-c/protobuf-c.h>

struct hd_arena_chunk;

struct hd_arena {
    struct hd_arena_chunk *chunks; /* newest first; owned */
    size_t used;                   /* bytes handed out since the last reset */
    size_t max;                    /* ceiling in bytes; 0: 1 GiB */
};

void hd_arena_init(struct hd_arena *a, size_t max);
void hd_arena_done(struct hd_arena *a);
void hd_arena_reset(struct hd_arena *a); /* everything handed out before is gone */

void *hd_arena_alloc(struct hd_arena *a, size_t size);
void *hd_arena_copy(struct hd_arena *a, const void *data, size_t size);
char *hd_arena_str(struct hd_arena *a, const char *text);
char *hd_arena_strn(struct hd_arena *a, const char *text, size_t size); /* adds the NUL */
char *hd_arena_printf(struct hd_arena *a, const char *fmt, ...) HD_PRINTF(2, 3);
char *hd_arena_vprintf(struct hd_arena *a, const char *fmt, va_list ap) HD_PRINTF(2, 0);

#define HD_ARENA_NEW(a, type)          ((type *)hd_arena_alloc((a), sizeof(type)))
#define HD_ARENA_ARRAY(a, type, count) ((type *)hd_arena_alloc((a), sizeof(type) * (count)))

/* An allocator for protobuf_c_message_unpack: messages live in the arena and are never freed. */
ProtobufCAllocator hd_arena_allocator(struct hd_arena *a);

#endif
