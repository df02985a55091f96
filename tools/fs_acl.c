/* fs -getfacl -setfacl -getfattr -setfattr. */
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { RULES_MAX = 64 };

static const char *const kinds[] = {"user", "group", "mask", "other"};

/* What -R needs: fn for everything below. */
struct deep {
    void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx);
    void *ctx;
};

static void walk_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct deep *d = ctx;
    hd_sh_walk(sh, item, d->fn, d->ctx);
}

static void apply(struct hd_sh *sh, struct hd_sh_args *args, int from,
                  void (*fn)(struct hd_sh *, const struct hd_sh_item *, void *), void *ctx)
{
    struct deep deep = {.fn = fn, .ctx = ctx};
    if (hd_sh_flag(args, "R")) {
        hd_sh_each(sh, args, from, walk_item, &deep);
    } else {
        hd_sh_each(sh, args, from, fn, ctx);
    }
}

/* ---- getfacl ---- */

static const char *perm_text(uint32_t perm, char out[4])
{
    snprintf(out, 4, "%c%c%c", (perm & 4) != 0 ? 'r' : '-', (perm & 2) != 0 ? 'w' : '-',
             (perm & 1) != 0 ? 'x' : '-');
    return out;
}

/* The mask of one of the two ACLs; 7 when it has none. */
static uint32_t mask_of(const struct hd_fs_acl *a, bool is_default)
{
    for (size_t n = 0; n < a->count; n++) {
        if (a->rules[n].kind == HD_FS_ACL_MASK && a->rules[n].is_default == is_default) {
            return a->rules[n].perm;
        }
    }
    return 7;
}

static void print_rule(const struct hd_fs_acl *a, const struct hd_fs_acl_rule *r)
{
    char perm[4], effective[4];
    bool masked = r->name[0] != '\0' || r->kind == HD_FS_ACL_GROUP;
    uint32_t mask = masked ? mask_of(a, r->is_default) : 7;
    printf("%s%s:%s:%s", r->is_default ? "default:" : "", kinds[r->kind], r->name,
           perm_text(r->perm, perm));
    if ((r->perm & ~mask) != 0) {
        printf("\t#effective:%s", perm_text(r->perm & mask, effective));
    }
    putchar('\n');
}

static void getfacl_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    HD_AUTO(hd_fs_acl_done) struct hd_fs_acl a = {0};
    (void)ctx;
    int rc = hd_fs_get_acl(sh->fs, item->path, &a);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    printf("# file: %s\n# owner: %s\n# group: %s\n", item->shown, a.owner, a.group);
    if (a.sticky) {
        printf("# flags: --t\n");
    }
    for (size_t n = 0; n < a.count; n++) {
        print_rule(&a, &a.rules[n]);
    }
    putchar('\n');
}

static int run_getfacl(struct hd_sh *sh, struct hd_sh_args *args)
{
    apply(sh, args, 0, getfacl_item, NULL);
    return 0;
}

/* ---- setfacl ---- */

struct change {
    bool deep, drop, drop_default;
    enum hd_fs_acl_change how; /* of the rules, when there are some */
    struct hd_fs_acl_rule rules[RULES_MAX];
    size_t count;
};

static bool parse_perm(const char *text, size_t size, uint32_t *ret)
{
    static const char letters[] = "rwx";
    if (size != 3) {
        return false;
    }
    *ret = 0;
    for (size_t n = 0; n < 3; n++) {
        char c = (char)tolower((unsigned char)text[n]);
        if (c != letters[n] && c != '-') {
            return false;
        }
        *ret |= c != '-' ? 4u >> n : 0;
    }
    return true;
}

/* "[default:]user:ann:rw-"; without permissions of what is to be removed. */
static bool parse_rule(const char *text, size_t size, bool with_perm, struct hd_fs_acl_rule *ret)
{
    static const char word[] = "default:";
    *ret = (struct hd_fs_acl_rule){0};
    if (size >= sizeof(word) - 1 && strncmp(text, word, sizeof(word) - 1) == 0) {
        ret->is_default = true;
        text += sizeof(word) - 1;
        size -= sizeof(word) - 1;
    }
    const char *colon = memchr(text, ':', size);
    size_t kind_size = colon != NULL ? (size_t)(colon - text) : size;
    size_t kind = 0;
    while (kind < HD_ARRAY_COUNT(kinds) &&
           (strlen(kinds[kind]) != kind_size || strncmp(kinds[kind], text, kind_size) != 0)) {
        kind++;
    }
    if (kind == HD_ARRAY_COUNT(kinds)) {
        return false;
    }
    ret->kind = (enum hd_fs_acl_kind)kind;
    text += HD_MIN(kind_size + 1, size);
    size -= HD_MIN(kind_size + 1, size);
    colon = memchr(text, ':', size);
    size_t name_size = colon != NULL ? (size_t)(colon - text) : size;
    if (name_size >= sizeof(ret->name) || (with_perm && colon == NULL)) {
        return false;
    }
    memcpy(ret->name, text, name_size);
    return !with_perm || parse_perm(colon + 1, size - name_size - 1, &ret->perm);
}

static bool parse_rules(const char *text, bool with_perm, struct change *ret)
{
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        if (ret->count == RULES_MAX ||
            !parse_rule(text, size, with_perm, &ret->rules[ret->count++])) {
            return false;
        }
        text += size + (text[size] == ',');
    }
    return ret->count > 0;
}

/* With -R what is not a directory gets no default entries. */
static void setfacl_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct change *c = ctx;
    struct hd_fs_acl_rule rules[RULES_MAX];
    size_t count = 0;
    for (size_t n = 0; n < c->count; n++) {
        if (!c->deep || !c->rules[n].is_default || item->st.type == HD_TYPE_DIR) {
            rules[count++] = c->rules[n];
        }
    }
    int rc = 0;
    if (c->drop) {
        rc = hd_fs_change_acl(sh->fs, item->path, HD_FS_ACL_DROP, NULL, 0);
    } else if (c->drop_default) {
        rc = hd_fs_change_acl(sh->fs, item->path, HD_FS_ACL_DROP_DEFAULT, NULL, 0);
    }
    if (rc == 0 && count > 0) {
        rc = hd_fs_change_acl(sh->fs, item->path, c->how, rules, count);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_setfacl(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct change c = {.deep = hd_sh_flag(args, "R"),
                       .drop = hd_sh_flag(args, "b"),
                       .drop_default = hd_sh_flag(args, "k")};
    bool modify = hd_sh_flag(args, "m");
    bool removes = hd_sh_flag(args, "x");
    bool set = hd_sh_flag(args, "-set");
    bool spec = modify || removes || set;
    if (modify + removes + set > 1 || (!spec && !c.drop && !c.drop_default)) {
        return hd_sh_usage(args, "one of -m, -x and --set, or -b or -k, is expected");
    }
    if (args->count != (spec ? 2 : 1)) {
        return hd_sh_usage(args,
                           spec ? "<acl_spec> and <path> are expected" : "<path> is expected");
    }
    c.how = modify ? HD_FS_ACL_MODIFY : removes ? HD_FS_ACL_REMOVE : HD_FS_ACL_SET;
    if (spec && !parse_rules(args->list[0], !removes, &c)) {
        return hd_sh_usage(args, "Invalid <aclSpec> : %s", args->list[0]);
    }
    apply(sh, args, spec ? 1 : 0, setfacl_item, &c);
    return 0;
}

/* ---- attributes ---- */

static void print_value(const char *name, const char *value, size_t size)
{
    printf("%s", name);
    if (size > 0) {
        printf("=\"%.*s\"", (int)size, value);
    }
    putchar('\n');
}

static int print_attribute(struct hd_sh *sh, const char *path, const char *name)
{
    void *value = NULL;
    size_t size = 0;
    int rc = hd_fs_get_xattr(sh->fs, path, name, &value, &size);
    if (rc == 0) {
        print_value(name, value, size);
        free(value);
    }
    return rc;
}

static void getfattr_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const char *wanted = ctx;
    char *names = NULL;
    size_t size = 0;
    int rc = wanted != NULL ? 0 : hd_fs_list_xattrs(sh->fs, item->path, &names, &size);
    if (rc == 0) {
        printf("# file: %s\n", item->shown);
    }
    if (rc == 0 && wanted != NULL) {
        rc = print_attribute(sh, item->path, wanted);
    }
    for (size_t at = 0; rc == 0 && at < size; at += strlen(names + at) + 1) {
        rc = print_attribute(sh, item->path, names + at);
    }
    free(names);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_getfattr(struct hd_sh *sh, struct hd_sh_args *args)
{
    const char *name = hd_sh_value(args, "n");
    if ((name == NULL) == !hd_sh_flag(args, "d")) {
        return hd_sh_usage(args, "Must specify '-n name' or '-d' option.");
    }
    apply(sh, args, 0, getfattr_item, (void *)(uintptr_t)name);
    return 0;
}

struct attribute {
    const char *name;
    const char *value; /* NULL: it is removed */
};

static void setfattr_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct attribute *a = ctx;
    int rc = a->value != NULL
                 ? hd_fs_set_xattr(sh->fs, item->path, a->name, a->value, strlen(a->value), 0)
                 : hd_fs_remove_xattr(sh->fs, item->path, a->name);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_setfattr(struct hd_sh *sh, struct hd_sh_args *args)
{
    const char *name = hd_sh_value(args, "n");
    const char *gone = hd_sh_value(args, "x");
    const char *value = hd_sh_value(args, "v");
    if ((name == NULL) == (gone == NULL)) {
        return hd_sh_usage(args, "Must specify '-n name' or '-x name' option.");
    }
    struct attribute a = {.name = name != NULL ? name : gone};
    a.value = name == NULL ? NULL : value != NULL ? value : "";
    hd_sh_each(sh, args, 0, setfattr_item, &a);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_acl[] = {
    {"getfacl", "R", 1, 1, "[-R] <path>",
     "Prints the ACL, and the default ACL of a directory; -R of what is below, too.", run_getfacl},
    {"setfacl", "R b k m x -set", 1, 2,
     "[-R] [{-b|-k} {-m|-x <acl_spec>} <path>]|[--set <acl_spec> <path>]",
     "Changes the ACL: -m adds or changes entries ([default:]user:NAME:rwx, group, mask, other), "
     "-x "
     "removes them, --set replaces all, -b drops it, -k the default ACL.",
     run_setfacl},
    {"getfattr", "R n= d e=", 1, 1, "[-R] {-n name | -d} [-e en] <path>",
     "Prints one extended attribute, or all (-d).", run_getfattr},
    {"setfattr", "n= v= x=", 1, 1, "{-n name [-v value] | -x name} <path>",
     "Sets an extended attribute, or removes it (-x).", run_setfattr},
    {0},
};
