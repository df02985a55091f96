/*
 * Errors: one negative int for everything. Below 2048 it is a negated errno, from 2048 up one of
 * the names of error.def.
 *
 * A function that fails returns the code and may leave a sentence in the thread's failure text, so
 * that whoever stops the error can say what, where and why. Pure cores do not use the text; they
 * format into their arena.
 */
#ifndef HD_BASE_ERROR_H
#define HD_BASE_ERROR_H

#include <stdarg.h>

enum {
#define HD_ERROR(name, number, errno_, class_) HD_E_##name = (number),
#include "fs/base/error.def"
};

enum { HD_FAIL_TEXT_BYTES = 2048 };

/* The errno (positive) that a POSIX edge reports for an error code (negative). EIO when unknown. */
int hd_error_errno(int err);

/* The exception class a Hadoop edge sends for an error code (negative). Never NULL. */
const char *hd_error_class(int err);

/* The error code (negative) for an exception class; -HD_E_IO for a class not in error.def. */
int hd_error_from_class(const char *class_name);

/* The short name of an error code, "ENOENT" or "LEASE_EXPIRED". Never NULL; static memory. */
const char *hd_error_name(int err);

/*
 * Sets the calling thread's failure text and returns err, so that a function can
 * `return hd_fail(-ENOENT, "%s: not found", path)`. Arguments may include the old text.
 */
int hd_fail(int err, const char *fmt, ...) HD_PRINTF(2, 3);
int hd_failv(int err, const char *fmt, va_list ap) HD_PRINTF(2, 0);

/* Like hd_fail(-e, ...) with ": <strerror(e)>" appended; e is a positive errno. */
int hd_fail_errno(int e, const char *fmt, ...) HD_PRINTF(2, 3);

/*
 * The calling thread's failure text; "" when none. Valid until the next hd_fail of the thread.
 * hd_fail_describe falls back to the name of err when the text is empty.
 */
const char *hd_fail_text(void);
const char *hd_fail_describe(int err);
void hd_fail_clear(void);

#endif
