/*
 * Assertions, on in every build: a broken invariant of ours ends the process before it can write.
 * Bad input from a network, a disk or a user is never a reason to assert; it is an error.
 */
#ifndef HD_BASE_ASSERT_H
#define HD_BASE_ASSERT_H

#define hd_assert(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            hd_assert_fail(__FILE__, __LINE__, __func__, #cond);                                   \
        }                                                                                          \
    } while (0)

#define hd_unreachable() hd_assert_fail(__FILE__, __LINE__, __func__, "reached")

/* Writes one line to stderr and aborts. Safe in any thread. */
void hd_assert_fail(const char *file, int line, const char *func, const char *cond) HD_NORETURN;

#endif
