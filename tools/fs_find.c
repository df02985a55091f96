/* fs -find: path ... expression, where expression is -name -iname -print -print0 and -a. */
#include "tools/fs_glob.h"
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { TERMS_MAX = 32 };

enum term_kind { TERM_NAME, TERM_INAME, TERM_PRINT, TERM_PRINT0 };

struct term {
    enum term_kind kind;
    const char *pattern;
};

struct finding {
    struct term terms[TERMS_MAX];
    size_t count;
    bool prints; /* some term prints; else what is true is printed */
};

struct name_match {
    const char *name;
    bool hit;
};

static int match_expanded(void *ctx, const char *pattern)
{
    struct name_match *m = ctx;
    m->hit = m->hit || hd_glob_match(pattern, m->name);
    return 0;
}

static void to_lower(const char *text, char *out, size_t size)
{
    size_t i = 0;
    for (; text[i] != '\0' && i + 1 < size; i++) {
        out[i] = (char)tolower((unsigned char)text[i]);
    }
    out[i] = '\0';
}

static bool matches(const struct term *t, const char *name)
{
    char low_name[HD_STAT_NAME_BYTES];
    char low_pattern[HD_PATH_BYTES];
    struct name_match m = {.name = name};
    const char *pattern = t->pattern;
    if (t->kind == TERM_INAME) {
        to_lower(name, low_name, sizeof(low_name));
        to_lower(pattern, low_pattern, sizeof(low_pattern));
        m.name = low_name;
        pattern = low_pattern;
    }
    return hd_glob_expand_braces(pattern, match_expanded, &m) == 0 && m.hit;
}

static void find_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct finding *f = ctx;
    (void)sh;
    for (size_t i = 0; i < f->count; i++) {
        const struct term *t = &f->terms[i];
        switch (t->kind) {
        case TERM_NAME:
        case TERM_INAME:
            if (!matches(t, hd_sh_basename(item->path))) {
                return;
            }
            break;
        case TERM_PRINT:
            puts(item->shown);
            break;
        case TERM_PRINT0:
            fputs(item->shown, stdout);
            putchar('\0');
            break;
        }
    }
    if (!f->prints) {
        puts(item->shown);
    }
}

static void find_argument(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    hd_sh_walk(sh, item, find_item, ctx);
}

/* The expression at args->list[at...]. 0, or an exit code after a message. */
static int parse_expression(struct hd_sh *sh, struct hd_sh_args *args, int at, struct finding *f)
{
    for (; at < args->count; at++) {
        const char *word = args->list[at];
        bool name = strcmp(word, "-name") == 0;
        bool iname = strcmp(word, "-iname") == 0;
        bool print = strcmp(word, "-print") == 0;
        bool print0 = strcmp(word, "-print0") == 0;
        if (strcmp(word, "-a") == 0 || strcmp(word, "-and") == 0) {
            continue;
        }
        if (!name && !iname && !print && !print0) {
            hd_sh_say(sh, "Unexpected argument: %s", word);
            return HD_SH_FAILED;
        }
        if (f->count == TERMS_MAX || ((name || iname) && at + 1 == args->count)) {
            return hd_sh_usage(args, "%s: a pattern is expected", word);
        }
        struct term *t = &f->terms[f->count++];
        t->kind = name ? TERM_NAME : iname ? TERM_INAME : print ? TERM_PRINT : TERM_PRINT0;
        t->pattern = name || iname ? args->list[++at] : NULL;
        f->prints = f->prints || print || print0;
    }
    return 0;
}

static int run_find(struct hd_sh *sh, struct hd_sh_args *args)
{
    static char here[] = ".";
    static char *current[] = {here, NULL};
    struct finding f = {0};
    int paths = 0;
    while (paths < args->count && args->list[paths][0] != '-') {
        paths++;
    }
    int rc = parse_expression(sh, args, paths, &f);
    if (rc != 0) {
        return rc;
    }
    args->count = paths;
    if (paths == 0) {
        args->list = current;
        args->count = 1;
    }
    hd_sh_each(sh, args, 0, find_argument, &f);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_find[] = {
    {"find", NULL, 0, -1, "<path> ... <expression> ...",
     "Prints what is at and below the paths and fits the expression: -name PATTERN, -iname "
     "PATTERN\n"
     "  (any case), -print, -print0, -a between them.",
     run_find},
    {0},
};
