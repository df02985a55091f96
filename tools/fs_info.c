/* fs -du -df -count -stat -test: what is known about paths. */
#include "tools/fs_format.h"
#include "tools/fs_shell.h"
#include "tools/meta_call.h"
#include "fs/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { COLUMNS_MAX = 5, ACCESS_TIMEOUT_MS = 30000 };

/* ---- a table whose columns are as wide as their widest text; two blanks between ---- */

struct table {
    size_t columns;
    bool right[COLUMNS_MAX]; /* aligned */
    char **cells;            /* heap texts, row by row */
    size_t count;
    size_t capacity;
};

static void table_done(struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
}

static void table_add(struct table *t, const char *text)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity != 0 ? t->capacity * 2 : 64;
        char **grown = realloc(t->cells, capacity * sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        t->cells = grown;
        t->capacity = capacity;
    }
    char *copy = strdup(text);
    if (copy != NULL) {
        t->cells[t->count++] = copy;
    }
}

static void table_print(const struct table *t)
{
    int widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->count; i++) {
        widths[i % t->columns] = HD_MAX(widths[i % t->columns], (int)strlen(t->cells[i]));
    }
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i % t->columns;
        bool last = c == t->columns - 1;
        if (t->right[c]) {
            printf("%*s", widths[c], t->cells[i]);
        } else {
            printf("%-*s", last ? 0 : widths[c], t->cells[i]);
        }
        fputs(last ? "\n" : "  ", stdout);
    }
}

/* ---- du ---- */

struct usage {
    bool summary, human;
    struct table table;
};

static void du_row(struct usage *u, const char *shown, uint64_t size, uint64_t space)
{
    char text[HD_SIZE_TEXT_BYTES];
    table_add(&u->table, hd_format_bytes(size, u->human, text));
    table_add(&u->table, hd_format_bytes(space, u->human, text));
    table_add(&u->table, shown);
}

static void du_one(struct hd_sh *sh, const struct hd_sh_item *item, struct usage *u)
{
    struct hd_summary sum;
    if (item->st.type == HD_TYPE_SYMLINK) {
        du_row(u, item->shown, 0, 0);
        return;
    }
    if (item->st.type == HD_TYPE_FILE) {
        du_row(u, item->shown, item->st.size_bytes, item->st.size_bytes * item->st.replication);
        return;
    }
    int rc = hd_fs_summary(sh->fs, item->path, &sum);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    du_row(u, item->shown, sum.size_bytes, sum.space_bytes);
}

static void du_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct usage *u = ctx;
    if (u->summary || item->st.type != HD_TYPE_DIR) {
        du_one(sh, item, u);
        return;
    }
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = hd_sh_list(sh, item, &items);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
    for (size_t i = 0; i < items.count && !hd_sh_interrupted(); i++) {
        du_one(sh, &items.list[i], u);
    }
}

/* The paths of a command that works on "." without any. */
static void default_to(struct hd_sh_args *args, char *path)
{
    static char *one[2];
    if (args->count == 0) {
        one[0] = path;
        args->list = one;
        args->count = 1;
    }
}

static int run_du_with(struct hd_sh *sh, struct hd_sh_args *args, bool summary)
{
    static char here[] = ".";
    struct usage u = {.summary = summary || hd_sh_flag(args, "s"),
                      .human = hd_sh_flag(args, "h"),
                      .table = {.columns = 3}};
    if (hd_sh_flag(args, "v")) {
        table_add(&u.table, "SIZE");
        table_add(&u.table, "DISK_SPACE_CONSUMED_WITH_ALL_REPLICAS");
        table_add(&u.table, "FULL_PATH_NAME");
    }
    default_to(args, here);
    hd_sh_each(sh, args, 0, du_item, &u);
    table_print(&u.table);
    table_done(&u.table);
    return 0;
}

static int run_du(struct hd_sh *sh, struct hd_sh_args *args)
{
    return run_du_with(sh, args, false);
}

static int run_dus(struct hd_sh *sh, struct hd_sh_args *args)
{
    fprintf(stderr, "dus: DEPRECATED: Please use 'du -s' instead.\n");
    return run_du_with(sh, args, true);
}

/* ---- df ---- */

static int run_df(struct hd_sh *sh, struct hd_sh_args *args)
{
    static const char *const heads[] = {"Filesystem", "Size", "Used", "Available", "Use%"};
    static char root[] = "/";
    struct hd_usage u;
    char text[HD_SIZE_TEXT_BYTES];
    bool human = hd_sh_flag(args, "h");
    default_to(args, root);
    for (int i = 0; i < args->count; i++) {
        HD_AUTO(hd_sh_item_done) struct hd_sh_item item = {0};
        int rc = hd_sh_lookup(sh, args->list[i], &item);
        rc = rc == 0 && !item.exists ? -ENOENT : rc;
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
            return 0;
        }
    }
    int rc = hd_fs_usage(sh->fs, &u);
    if (rc < 0) {
        hd_sh_fail(sh, args->list[0], rc);
        return 0;
    }
    struct table t = {.columns = 5, .right = {false, true, true, true, true}};
    for (size_t i = 0; i < HD_ARRAY_COUNT(heads); i++) {
        table_add(&t, heads[i]);
    }
    table_add(&t, hd_fs_uri(sh->fs));
    table_add(&t, hd_format_bytes(u.capacity_bytes, human, text));
    table_add(&t, hd_format_bytes(u.used_bytes, human, text));
    table_add(&t, hd_format_bytes(u.remaining_bytes, human, text));
    double percent =
        u.capacity_bytes != 0 ? 100.0 * (double)u.used_bytes / (double)u.capacity_bytes : 0;
    snprintf(text, sizeof(text), "%.0f%%", percent);
    table_add(&t, text);
    table_print(&t);
    table_done(&t);
    return 0;
}

/* ---- count ---- */

struct counting {
    bool quota, only_quota, human;
};

/* A quota and what is left of it. */
static void print_quota(int64_t quota, uint64_t used, bool human, int width)
{
    char text[HD_SIZE_TEXT_BYTES];
    char left[HD_SIZE_TEXT_BYTES + 1] = "inf";
    if (quota < 0) {
        printf("%*s %15s ", width, "none", left);
        return;
    }
    bool over = used > (uint64_t)quota;
    uint64_t rest = over ? used - (uint64_t)quota : (uint64_t)quota - used;
    snprintf(left, sizeof(left), "%s%s", over ? "-" : "", hd_format_bytes(rest, human, text));
    printf("%*s %15s ", width, hd_format_bytes((uint64_t)quota, human, text), left);
}

static void count_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct counting *c = ctx;
    struct hd_summary sum;
    char text[HD_SIZE_TEXT_BYTES];
    int rc = hd_fs_summary(sh->fs, item->path, &sum);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    if (c->quota || c->only_quota) {
        print_quota(sum.name_quota, sum.files + sum.directories, c->human, 12);
        print_quota(sum.space_quota, sum.space_bytes, c->human, 15);
    }
    if (!c->only_quota) {
        printf("%12s ", hd_format_bytes(sum.directories, c->human, text));
        printf("%12s ", hd_format_bytes(sum.files, c->human, text));
        printf("%18s ", hd_format_bytes(sum.size_bytes, c->human, text));
    }
    printf("%s\n", item->shown);
}

static int run_count(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct counting c = {.quota = hd_sh_flag(args, "q"),
                         .only_quota = hd_sh_flag(args, "u"),
                         .human = hd_sh_flag(args, "h")};
    if (hd_sh_flag(args, "v")) {
        if (c.quota || c.only_quota) {
            printf("%12s %15s %15s %15s ", "QUOTA", "REM_QUOTA", "SPACE_QUOTA", "REM_SPACE_QUOTA");
        }
        if (!c.only_quota) {
            printf("%12s %12s %18s ", "DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE");
        }
        printf("PATHNAME\n");
    }
    hd_sh_each(sh, args, 0, count_item, &c);
    return 0;
}

/* ---- stat ---- */

static const char *type_name(enum hd_file_type type)
{
    switch (type) {
    case HD_TYPE_DIR:
        return "directory";
    case HD_TYPE_FILE:
        return "regular file";
    case HD_TYPE_SYMLINK:
        return "symlink";
    }
    return "?";
}

/* One %letter of the format; an unknown one is printed as it is. */
static void print_field(char letter, const struct hd_sh_item *item)
{
    const struct hd_stat *st = &item->st;
    char text[HD_TIME_TEXT_BYTES];
    switch (letter) {
    case 'a':
        printf("%o", st->mode);
        break;
    case 'A':
        fputs(hd_format_mode(st->mode, text), stdout);
        break;
    case 'b':
        printf("%" PRIu64, st->size_bytes);
        break;
    case 'F':
        fputs(type_name(st->type), stdout);
        break;
    case 'g':
        fputs(st->group, stdout);
        break;
    case 'n':
        fputs(strcmp(item->path, "/") == 0 ? "" : hd_sh_basename(item->path), stdout);
        break;
    case 'o':
        printf("%" PRIu64, st->block_size_bytes);
        break;
    case 'r':
        printf("%u", st->replication);
        break;
    case 'u':
        fputs(st->owner, stdout);
        break;
    case 'x':
        fputs(hd_format_time(st->atime_ms, "%Y-%m-%d %H:%M:%S", true, text), stdout);
        break;
    case 'X':
        printf("%" PRId64, st->atime_ms);
        break;
    case 'y':
        fputs(hd_format_time(st->mtime_ms, "%Y-%m-%d %H:%M:%S", true, text), stdout);
        break;
    case 'Y':
        printf("%" PRId64, st->mtime_ms);
        break;
    default:
        putchar(letter);
        break;
    }
}

static void stat_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    (void)sh;
    for (const char *f = ctx; *f != '\0'; f++) {
        if (*f == '%' && f[1] != '\0') {
            print_field(*++f, item);
        } else {
            putchar(*f);
        }
    }
    putchar('\n');
}

static int run_stat(struct hd_sh *sh, struct hd_sh_args *args)
{
    static char fallback[] = "%y";
    bool has_format = strchr(args->list[0], '%') != NULL;
    if (has_format && args->count < 2) {
        return hd_sh_usage(args, "Not enough arguments: expected 1 but got 0");
    }
    hd_sh_each(sh, args, has_format ? 1 : 0, stat_item, has_format ? args->list[0] : fallback);
    return 0;
}

/* ---- test ---- */

static bool may_access(struct hd_sh *sh, const struct hd_sh_item *item, Hdw__FsAction action)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call meta = {0};
    char address[HD_META_TEXT_BYTES];
    hd_fs_meta(sh->fs, address);
    int rc = hd_meta_call_init(&meta, address, hd_fs_user(sh->fs), ACCESS_TIMEOUT_MS);
    if (rc == 0) {
        rc = hd_meta_check_access(&meta, item->path, action);
    }
    if (rc < 0 && rc != -EACCES && rc != -EPERM) {
        hd_sh_fail(sh, item->shown, rc);
    }
    return rc == 0;
}

static bool test_item(struct hd_sh *sh, const struct hd_sh_args *args,
                      const struct hd_sh_item *item)
{
    if (!item->exists) {
        return false;
    }
    if (hd_sh_flag(args, "d")) {
        return item->st.type == HD_TYPE_DIR;
    }
    if (hd_sh_flag(args, "f")) {
        return item->st.type == HD_TYPE_FILE;
    }
    if (hd_sh_flag(args, "s")) {
        return item->st.size_bytes > 0;
    }
    if (hd_sh_flag(args, "z")) {
        return item->st.size_bytes == 0;
    }
    if (hd_sh_flag(args, "w")) {
        return may_access(sh, item, HDW__FS_ACTION__ACTION_WRITE);
    }
    if (hd_sh_flag(args, "r")) {
        return may_access(sh, item, HDW__FS_ACTION__ACTION_READ);
    }
    return true; /* -e */
}

static int run_test(struct hd_sh *sh, struct hd_sh_args *args)
{
    size_t flags = 0;
    for (size_t i = 0; i < HD_SH_OPTIONS_MAX; i++) {
        flags += args->values[i] != NULL;
    }
    if (flags != 1) {
        return hd_sh_usage(args,
                           flags == 0 ? "No test flag given" : "Only one test flag is allowed");
    }
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = hd_sh_expand(sh, args->list[0], &items);
    if (rc < 0) {
        hd_sh_fail(sh, args->list[0], rc);
        return 0;
    }
    for (size_t i = 0; i < items.count; i++) {
        if (!test_item(sh, args, &items.list[i])) {
            sh->exit_code = HD_SH_FAILED;
        }
    }
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_info[] = {
    {"du", "s h v x", 0, -1, "[-s] [-h] [-v] [-x] <path> ...",
     "Prints bytes, bytes with all replicas and path; -s one line for each path, -h sizes for "
     "people, -v a head line.",
     run_du},
    {"dus", "h", 0, -1, "<path> ...", "The same as -du -s.", run_dus},
    {"df", "h", 0, -1, "[-h] [<path> ...]",
     "Prints the capacity of the file system and what is free.", run_df},
    {"count", "q h v t= u x e s", 1, -1, "[-q] [-h] [-v] [-u] <path> ...",
     "Counts directories, files and bytes below the paths; -q with quotas, -u only those, -v a "
     "head line.",
     run_count},
    {"stat", "", 1, -1, "[format] <path> ...",
     "Prints what format names: %a %A permissions, %b bytes, %F type, %g group, %n name, %o block "
     "size,\n"
     "  %r replication, %u owner, %x %X time of access, %y %Y of modification (upper case: "
     "milliseconds).",
     run_stat},
    {"test", "d e f s w r z", 1, 1, "-[defswrz] <path>",
     "Exit code 0 when the path is a directory (-d), exists (-e), is a file (-f), has bytes (-s), "
     "may be written (-w)\n"
     "  or read (-r), is empty (-z); else 1.",
     run_test},
    {0},
};
