/*
 * Calls of POSIX (and of Linux beside it) tried on a directory: what each promises, and each error
 * that can be brought about. Written from the POSIX.1-2017 text and Linux's manual pages.
 *
 *   posix-suite DIR GROUP...    runs groups in a fresh folder below DIR; prints what does not hold
 *
 * The same program on a local file system is its own check: whatever fails there is wrong here.
 * One thread, run by root; AS(...) { } is somebody else for a moment.
 */
#ifndef HD_TESTS_POSIX_SUITE_H
#define HD_TESTS_POSIX_SUITE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Somebody without rights of his own, and his groups. */
enum { NOBODY = 65534, SOMEONE = 65533, ANOTHER = 65532, GROUP_A = 65531, GROUP_B = 65530 };

struct suite_group {
    const char *name;
    void (*run)(void);
};

extern const struct suite_group suite_groups[];

void suite_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The expression gives a result that is not negative. */
#define OK(expression)                                                                             \
    ({                                                                                             \
        errno = 0;                                                                                 \
        __typeof__(expression) got_ = (expression);                                                \
        if (got_ < 0) {                                                                            \
            suite_fail(__FILE__, __LINE__, "%s: %s", #expression, strerror(errno));                \
        }                                                                                          \
        got_;                                                                                      \
    })

/* It fails with this errno. */
#define FAILS(want, expression)                                                                    \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(expression);                                                            \
        if (got_ >= 0) {                                                                           \
            suite_fail(__FILE__, __LINE__, "%s: done, wanted %s", #expression,                     \
                       strerrorname_np(want));                                                     \
        } else if (errno != (want)) {                                                              \
            suite_fail(__FILE__, __LINE__, "%s: %s, wanted %s", #expression,                       \
                       strerrorname_np(errno), strerrorname_np(want));                             \
        }                                                                                          \
    } while (0)

#define TRUE(expression)                                                                           \
    do {                                                                                           \
        if (!(expression)) {                                                                       \
            suite_fail(__FILE__, __LINE__, "not so: %s", #expression);                             \
        }                                                                                          \
    } while (0)

#define SAME(a, b)                                                                                 \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_) {                                                                            \
            suite_fail(__FILE__, __LINE__, "%s is %lld (0%llo), %s is %lld (0%llo)", #a, a_,       \
                       (unsigned long long)a_, #b, b_, (unsigned long long)b_);                    \
        }                                                                                          \
    } while (0)

/* AS(uid, gid, more groups...) { what follows is done as that user }. No return or break inside. */
struct as {
    int done;
};
struct as as_begin(uid_t uid, gid_t gid, int more, const gid_t *groups);
void as_end(struct as *as);
#define AS(uid, ...) AS_(uid, ((gid_t[]){__VA_ARGS__}))
#define AS_(uid, list)                                                                             \
    for (struct as as_ =                                                                           \
             as_begin(uid, (list)[0], (int)(sizeof(list) / sizeof(gid_t)) - 1, (list) + 1);        \
         !as_.done; as_end(&as_))

/* A file with this content and mode; a directory. */
void put(const char *path, const char *content, mode_t mode);
void dir(const char *path, mode_t mode);
bool holds(const char *path, const char *content);
struct stat st_of(const char *path); /* lstat */
bool is_there(const char *path);     /* lstat */
const char *long_name(size_t size);  /* "xxx...", the same memory each time */

/* Runs the block and shows which of path's three times moved ('a', 'm', 'c'). */
struct times_before {
    struct stat st;
    const char *path;
};
struct times_before times_of(const char *path); /* and waits until a later time can be told apart */
bool moved(const struct times_before *b, const char *which); /* exactly "mc", "a", "" ... */
/* The same for a time that may move or not (atime). */
bool moved_at_least(const struct times_before *b, const char *which);

#endif
