/* Hadoop's path patterns. See fs_glob.h. */
#include "tools/fs_glob.h"
#include "fs/base/error.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>

enum { EXPANSIONS_MAX = 10000, PATTERN_MAX_BYTES = 8192 };

bool hd_glob_is_pattern(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
        } else if (strchr("*?[{", *text) != NULL) {
            return true;
        }
    }
    return false;
}

void hd_glob_unescape(char *text)
{
    char *out = text;
    for (; *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
        }
        *out++ = *text;
    }
    *out = '\0';
}

/*
 * One [class] at *pattern (behind the bracket) against c. Moves *pattern behind the closing
 * bracket; a class without one matches nothing.
 */
static bool match_class(const char **pattern, char c)
{
    const char *p = *pattern;
    bool negated = *p == '^' || *p == '!';
    bool hit = false;
    p += negated;
    for (bool first = true; *p != '\0' && (first || *p != ']'); first = false) {
        unsigned char low = (unsigned char)*p;
        if (low == '\\' && p[1] != '\0') {
            low = (unsigned char)*++p;
        }
        unsigned char high = low;
        if (p[1] == '-' && p[2] != '\0' && p[2] != ']') {
            p += 2;
            high = (unsigned char)*p;
        }
        hit = hit || (low <= (unsigned char)c && (unsigned char)c <= high);
        p++;
    }
    if (*p != ']') {
        *pattern = p;
        return false;
    }
    *pattern = p + 1;
    return hit != negated;
}

/* One pattern element that is not a star against c; moves *pattern behind it. */
static bool match_one(const char **pattern, char c)
{
    const char *p = *pattern;
    if (*p == '[') {
        *pattern = p + 1;
        return match_class(pattern, c);
    }
    if (*p == '\\' && p[1] != '\0') {
        p++;
    } else if (*p == '?') {
        *pattern = p + 1;
        return true;
    }
    *pattern = p + 1;
    return *p == c;
}

bool hd_glob_match(const char *pattern, const char *name)
{
    const char *star = NULL; /* behind the last star; what it took ends at star_name */
    const char *star_name = NULL;
    while (*name != '\0') {
        const char *next = pattern;
        if (*pattern == '*') {
            star = ++pattern;
            star_name = name;
        } else if (*pattern != '\0' && match_one(&next, *name)) {
            pattern = next;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

struct expansion {
    int (*fn)(void *ctx, const char *text);
    void *ctx;
    int left; /* texts that may still be made */
};

/* The brace that closes the one at open, or NULL. */
static const char *closing(const char *open)
{
    int depth = 0;
    for (const char *p = open; *p != '\0'; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
        } else if (*p == '{') {
            depth++;
        } else if (*p == '}' && --depth == 0) {
            return p;
        }
    }
    return NULL;
}

static const char *first_brace(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
        } else if (*text == '{') {
            return text;
        }
    }
    return NULL;
}

/* The end of the alternative at p: a comma of this level, or the closing brace. */
static const char *alternative_end(const char *p, const char *close)
{
    for (int depth = 0; p < close; p++) {
        if (*p == '\\') {
            p++;
        } else if (*p == '{') {
            depth++;
        } else if (*p == '}') {
            depth--;
        } else if (*p == ',' && depth == 0) {
            break;
        }
    }
    return HD_MIN(p, close);
}

static int expand(struct expansion *e, const char *pattern)
{
    const char *open = first_brace(pattern);
    if (open == NULL) {
        return e->left-- > 0 ? e->fn(e->ctx, pattern)
                             : hd_fail(-HD_E_TOO_LARGE, "pattern stands for more than %d paths",
                                       EXPANSIONS_MAX);
    }
    const char *close = closing(open);
    if (close == NULL) {
        return hd_fail(-EINVAL, "%s: no } for this {", pattern);
    }
    if (strlen(pattern) >= PATTERN_MAX_BYTES) {
        return hd_fail(-HD_E_TOO_LARGE, "pattern above %d bytes", PATTERN_MAX_BYTES);
    }
    char *text = malloc(PATTERN_MAX_BYTES);
    int rc = text != NULL ? 0 : -ENOMEM;
    for (const char *p = open + 1; rc == 0 && p <= close; p++) {
        const char *end = alternative_end(p, close);
        snprintf(text, PATTERN_MAX_BYTES, "%.*s%.*s%s", (int)(open - pattern), pattern,
                 (int)(end - p), p, close + 1);
        rc = expand(e, text);
        p = end;
    }
    free(text);
    return rc;
}

int hd_glob_expand_braces(const char *pattern, int (*fn)(void *ctx, const char *text), void *ctx)
{
    struct expansion e = {.fn = fn, .ctx = ctx, .left = EXPANSIONS_MAX};
    return expand(&e, pattern);
}
