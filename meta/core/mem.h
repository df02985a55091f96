/*
 * Memory of the resident state. A core cannot refuse half of a change, so an empty heap ends the
 * process (the log is intact; ceilings keep it from coming to that).
 */
#ifndef HD_META_CORE_MEM_H
#define HD_META_CORE_MEM_H

#include "fs/base/assert.h"

#include <stdlib.h>

static inline void *hd_mem_new(size_t size)
{
    void *p = calloc(1, size);
    hd_assert(p != NULL);
    return p;
}

static inline void *hd_mem_resize(void *p, size_t size)
{
    void *q = realloc(p, size);
    hd_assert(q != NULL);
    return q;
}

/* A NUL-terminated copy of `size` bytes. */
static inline char *hd_mem_str(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    hd_assert(copy != NULL);
    if (size > 0) {
        memcpy(copy, text, size); /* text of an empty protobuf field is NULL */
    }
    copy[size] = '\0';
    return copy;
}

#define HD_MEM_NEW(type) ((type *)hd_mem_new(sizeof(type)))

/* Makes room for one more element of a vector {ptr, count, capacity}. */
#define HD_MEM_GROW(ptr, count, capacity)                                                          \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity) == 0 ? 8 : (capacity)*2;                                       \
            (ptr) = hd_mem_resize((ptr), sizeof(*(ptr)) * (capacity));                             \
        }                                                                                          \
    } while (0)

#endif
