/* fs -ls. Columns are as wide as the widest entry of one listing, and never narrower than before.
 */
#include "tools/fs_format.h"
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

struct listing {
    bool paths_only, no_recursion, human, mask, recursive, by_time, by_size, reverse, access_time,
        policy;
    json_t *entries; /* array, with --json: printed at the end, instead of lines */
    int replication_width, owner_width, group_width, size_width;
};

static void fit(int *width, size_t size)
{
    *width = HD_MAX(*width, (int)size);
}

static void adjust_widths(struct listing *l, const struct hd_sh_item *items, size_t count)
{
    char text[HD_SIZE_TEXT_BYTES];
    for (size_t i = 0; i < count; i++) {
        const struct hd_stat *st = &items[i].st;
        fit(&l->owner_width, strlen(st->owner));
        fit(&l->group_width, strlen(st->group));
        fit(&l->size_width, strlen(hd_format_bytes(st->size_bytes, l->human, text)));
        snprintf(text, sizeof(text), "%u", st->replication);
        fit(&l->replication_width, strlen(text));
    }
}

static void print_path(const struct listing *l, const char *path)
{
    for (; *path != '\0'; path++) {
        putchar(l->mask && iscntrl((unsigned char)*path) ? '?' : *path);
    }
    putchar('\n');
}

static char type_letter(enum hd_file_type type)
{
    switch (type) {
    case HD_TYPE_DIR:
        return 'd';
    case HD_TYPE_FILE:
        return '-';
    case HD_TYPE_SYMLINK:
        return 'l';
    }
    return '?';
}

static const char *type_name(enum hd_file_type type)
{
    switch (type) {
    case HD_TYPE_DIR:
        return "directory";
    case HD_TYPE_FILE:
        return "file";
    case HD_TYPE_SYMLINK:
        return "symlink";
    }
    return "unknown";
}

/* Times are milliseconds since 1970, the mode is octal text as chmod takes it. */
static json_t *json_item(const struct hd_sh_item *item)
{
    char mode[16];
    const struct hd_stat *st = &item->st;
    snprintf(mode, sizeof(mode), "%04o", st->mode);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "path", item->shown,
                     "type", type_name(st->type), "size", (json_int_t)st->size_bytes, "mode", mode,
                     "owner", st->owner, "group", st->group, "replication", (int)st->replication,
                     "block_size", (json_int_t)st->block_size_bytes, "modified_ms",
                     (json_int_t)st->mtime_ms, "accessed_ms", (json_int_t)st->atime_ms);
}

static void print_item(const struct listing *l, const struct hd_sh_item *item)
{
    if (l->entries != NULL) {
        json_array_append_new(l->entries, json_item(item));
        return;
    }
    char mode[HD_MODE_TEXT_BYTES];
    char size[HD_SIZE_TEXT_BYTES];
    char time[HD_TIME_TEXT_BYTES];
    char replication[16] = "-";
    const struct hd_stat *st = &item->st;
    if (!l->paths_only) {
        if (st->type == HD_TYPE_FILE) {
            snprintf(replication, sizeof(replication), "%u", st->replication);
        }
        printf("%c%s %*s %-*s %-*s ", type_letter(st->type), hd_format_mode(st->mode, mode),
               l->replication_width, replication, l->owner_width, st->owner, l->group_width,
               st->group);
        if (l->policy) {
            printf("%-10s ", st->type == HD_TYPE_FILE ? "Replicated" : "");
        }
        printf("%*s %s ", l->size_width, hd_format_bytes(st->size_bytes, l->human, size),
               hd_format_time(l->access_time ? st->atime_ms : st->mtime_ms, "%Y-%m-%d %H:%M", false,
                              time));
    }
    print_path(l, item->shown);
}

static int64_t time_of(const struct listing *l, const struct hd_sh_item *item)
{
    return l->access_time ? item->st.atime_ms : item->st.mtime_ms;
}

static int compare(const void *a, const void *b, void *ctx)
{
    const struct listing *l = ctx;
    const struct hd_sh_item *x = a;
    const struct hd_sh_item *y = b;
    int order = 0;
    if (l->by_time) { /* newest first */
        order = (time_of(l, x) < time_of(l, y)) - (time_of(l, x) > time_of(l, y));
    } else if (l->by_size) { /* largest first */
        order = (x->st.size_bytes < y->st.size_bytes) - (x->st.size_bytes > y->st.size_bytes);
    }
    order = order != 0 ? order : strcmp(x->path, y->path);
    return l->reverse ? -order : order;
}

static void list_directory(struct hd_sh *sh, struct listing *l, const struct hd_sh_item *dir)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = hd_sh_list(sh, dir, &items);
    if (rc < 0) {
        hd_sh_fail(sh, dir->shown, rc);
        return;
    }
    if (items.count != 0 && (l->by_time || l->by_size || l->reverse)) {
        qsort_r(items.list, items.count, sizeof(*items.list), compare, l);
    }
    if (!l->recursive && !l->paths_only && l->entries == NULL && items.count != 0) {
        printf("Found %zu items\n", items.count);
    }
    adjust_widths(l, items.list, items.count);
    for (size_t i = 0; i < items.count && !hd_sh_interrupted(); i++) {
        print_item(l, &items.list[i]);
        if (l->recursive && items.list[i].st.type == HD_TYPE_DIR) {
            list_directory(sh, l, &items.list[i]);
        }
    }
}

static void list_argument(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct listing *l = ctx;
    if (item->st.type == HD_TYPE_DIR && !l->no_recursion) {
        list_directory(sh, l, item);
    } else {
        adjust_widths(l, item, 1);
        print_item(l, item);
    }
}

static int run(struct hd_sh *sh, struct hd_sh_args *args, bool recursive)
{
    static char here[] = ".";
    static char *current[] = {here, NULL};
    struct listing l = {
        .paths_only = hd_sh_flag(args, "C"),
        .no_recursion = hd_sh_flag(args, "d"),
        .human = hd_sh_flag(args, "h"),
        .mask = hd_sh_flag(args, "q"),
        .by_time = hd_sh_flag(args, "t"),
        .by_size = hd_sh_flag(args, "S"),
        .reverse = hd_sh_flag(args, "r"),
        .access_time = hd_sh_flag(args, "u"),
        .policy = hd_sh_flag(args, "e"),
        .replication_width = 3,
        .size_width = 10,
    };
    l.recursive = (recursive || hd_sh_flag(args, "R")) && !l.no_recursion;
    l.by_size = l.by_size && !l.by_time;
    if (args->count == 0) {
        args->list = current;
        args->count = 1;
    }
    l.entries = hd_sh_flag(args, "-json") ? json_array() : NULL;
    hd_sh_each(sh, args, 0, list_argument, &l);
    if (l.entries != NULL) {
        json_dumpf(l.entries, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(l.entries);
    }
    return 0;
}

static int run_ls(struct hd_sh *sh, struct hd_sh_args *args)
{
    return run(sh, args, false);
}

static int run_lsr(struct hd_sh *sh, struct hd_sh_args *args)
{
    fprintf(stderr, "lsr: DEPRECATED: Please use 'ls -R' instead.\n");
    return run(sh, args, true);
}

const struct hd_sh_verb hd_sh_verbs_list[] = {
    {"ls", "C d h q R t S r u e -json", 0, -1,
     "[-C] [-d] [-h] [-q] [-R] [-t] [-S] [-r] [-u] [-e] [--json] [<path> ...]",
     "Lists what matches the paths, and what is in directories. -C paths only, -d directories as\n"
     "files, -h sizes for people, -q ? for control characters, -R what is below too, -t newest\n"
     "first, -S largest first, -r reversed, -u time of access, -e policy, --json an\n"
     "array of objects.",
     run_ls},
    {"lsr", "", 0, -1, "[<path> ...]", "The same as -ls -R.", run_lsr},
    {0},
};
