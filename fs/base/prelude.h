/*
 * Included by the compiler before every file of the project (-include).
 *
 * It fixes the feature-test macros, names the few attributes the code uses, and bans the functions
 * that have no safe use. Nothing else belongs here.
 */
#ifndef HD_BASE_PRELUDE_H
#define HD_BASE_PRELUDE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h> /* before the poison below */
#include <string.h>

#define HD_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))
#define HD_NORETURN                      __attribute__((noreturn))
#define HD_MUST_USE                      __attribute__((warn_unused_result))
#define HD_UNUSED                        __attribute__((unused))

/* A local that is destroyed at the end of its scope: HD_AUTO(hd_buf_done) struct hd_buf b = {0}; */
#define HD_AUTO(destructor) __attribute__((cleanup(destructor)))

#define HD_ARRAY_COUNT(a)               (sizeof(a) / sizeof((a)[0]))
#define HD_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define HD_MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define HD_MAX(a, b)                    ((a) > (b) ? (a) : (b))

/* Takes a pointer out of a variable: the caller owns it, the variable is NULL. */
#define HD_TAKE_PTR(p)                                                                             \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#ifndef __cplusplus
#pragma GCC poison gets strtok vsprintf
#endif

#endif
