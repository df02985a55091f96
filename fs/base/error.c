/* Error codes, their edges, and the thread's failure text. See error.h. */
#include "fs/base/error.h"
#include "fs/base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct error_row {
    int number;
    int errno_;
    const char *name;
    const char *class_name;
};

static const struct error_row rows[] = {
#define HD_ERROR(name, number, errno_, class_) {number, errno_, #name, class_},
#include "fs/base/error.def"
};

struct errno_row {
    int errno_;
    const char *class_name;
};

static const struct errno_row errno_rows[] = {
#define HD_ERRNO_CLASS(errno_, class_) {errno_, class_},
#include "fs/base/error.def"
};

static _Thread_local char fail_text[HD_FAIL_TEXT_BYTES];

static const struct error_row *find_row(int err)
{
    size_t index = (size_t)(-err) - (size_t)rows[0].number;
    if (err <= -rows[0].number && index < HD_ARRAY_COUNT(rows)) {
        hd_assert(rows[index].number == -err);
        return &rows[index];
    }
    return NULL;
}

int hd_error_errno(int err)
{
    if (err >= 0) {
        return 0;
    }
    if (err > -rows[0].number) {
        return -err;
    }
    const struct error_row *row = find_row(err);
    return row != NULL ? row->errno_ : EIO;
}

const char *hd_error_class(int err)
{
    const struct error_row *row = find_row(err);
    if (row != NULL) {
        return row->class_name;
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(errno_rows); i++) {
        if (errno_rows[i].errno_ == -err) {
            return errno_rows[i].class_name;
        }
    }
    return "java.io.IOException";
}

int hd_error_from_class(const char *class_name)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(errno_rows); i++) {
        if (strcmp(errno_rows[i].class_name, class_name) == 0) {
            return -errno_rows[i].errno_;
        }
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        if (strcmp(rows[i].class_name, class_name) == 0) {
            return -rows[i].number;
        }
    }
    return -HD_E_IO;
}

const char *hd_error_name(int err)
{
    const struct error_row *row = find_row(err);
    if (row != NULL) {
        return row->name;
    }
    const char *name = strerrorname_np(-err);
    return name != NULL ? name : "UNKNOWN";
}

int hd_failv(int err, const char *fmt, va_list ap)
{
    char text[HD_FAIL_TEXT_BYTES];
    vsnprintf(text, sizeof(text), fmt, ap); /* by way of a copy: arguments may be the old text */
    memcpy(fail_text, text, sizeof(text));
    return err;
}

int hd_fail(int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    hd_failv(err, fmt, ap);
    va_end(ap);
    return err;
}

int hd_fail_errno(int e, const char *fmt, ...)
{
    char what[HD_FAIL_TEXT_BYTES - 128];
    char reason[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return hd_fail(-e, "%s: %s", what, strerror_r(e, reason, sizeof(reason)));
}

const char *hd_fail_text(void)
{
    return fail_text;
}

const char *hd_fail_describe(int err)
{
    return fail_text[0] != '\0' ? fail_text : hd_error_name(err);
}

void hd_fail_clear(void)
{
    fail_text[0] = '\0';
}

void hd_assert_fail(const char *file, int line, const char *func, const char *cond)
{
    dprintf(STDERR_FILENO, "<0>%s:%d: %s: assertion failed: %s\n", file, line, func, cond);
    abort();
}
