/*
 * ACLs: HDFS's changes of lists, permission checks against acl(5) written down once more, what is
 * inherited, and that both protocols see the same.
 */
#include "tests/unit/meta/core/posix_calls.h"
#include "fs/base/prng.h"
#include "meta/core/acl_spec.h"

/* ---- lists as text: "u::rwx,u:ann:r--,g::r-x,m::rwx,o::---,d:u::rwx" ---- */

static uint8_t perm_of(const char *text)
{
    return (uint8_t)((text[0] == 'r') << 2 | (text[1] == 'w') << 1 | (text[2] == 'x'));
}

static struct hd_acl_spec spec_of(const char *text, struct hd_arena *arena)
{
    static const char kinds[] = "ugmo";
    struct hd_acl_spec s;
    hd_acl_spec_init(&s, 80, arena);
    for (const char *p = text; *p != '\0';) {
        struct hd_acl_line l = {0};
        if (strncmp(p, "d:", 2) == 0) {
            l.is_default = true;
            p += 2;
        }
        l.kind = (uint8_t)(strchr(kinds, p[0]) - kinds);
        p += 2;
        size_t name = strcspn(p, ":");
        l.name = name > 0 ? hd_arena_copy(arena, p, name + 1) : NULL;
        if (l.name != NULL) {
            ((char *)(uintptr_t)l.name)[name] = '\0';
        }
        l.perm = perm_of(p + name + 1);
        p += name + 4;
        p += *p == ',';
        hd_acl_spec_add(&s, l);
    }
    hd_acl_spec_sort(&s);
    return s;
}

static void text_of(const struct hd_acl_spec *s, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t n = 0; n < s->count; n++) {
        const struct hd_acl_line *l = &s->lines[n];
        at += (size_t)snprintf(out + at, size - at, "%s%s%c:%s:%c%c%c", n > 0 ? "," : "",
                               l->is_default ? "d:" : "", "ugmo"[l->kind],
                               l -> name != NULL ? l -> name : "", (l->perm & 4) != 0 ? 'r' : '-',
                               (l->perm & 2) != 0 ? 'w' : '-', (l->perm & 1) != 0 ? 'x' : '-');
    }
}

/* want: the list, or the sentence of the refusal. */
static const struct change_case {
    const char *old;
    enum hd_acl_change how;
    const char *by;
    const char *want;
} changes[] = {
    /* A new name brings a mask: what the group class had, and the new one. */
    {"u::rw-,g::r--,o::r--", HD_ACL_MERGE, "u:ann:rwx", "u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--"},
    /* One that is changed changes the mask, unless a mask comes with it. */
    {"u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--", HD_ACL_MERGE, "u:ann:r--",
     "u::rw-,u:ann:r--,g::r--,m::r--,o::r--"},
    {"u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--", HD_ACL_MERGE, "u:ann:r--,m::-w-",
     "u::rw-,u:ann:r--,g::r--,m::-w-,o::r--"},
    {"u::rw-,u:ann:rwx,g::r--,m::r--,o::r--", HD_ACL_MERGE, "m::rw-",
     "u::rw-,u:ann:rwx,g::r--,m::rw-,o::r--"},
    {"u::rw-,g::r--,o::r--", HD_ACL_MERGE, "m::r--", "u::rw-,g::r--,m::r--,o::r--"},
    /* A default ACL gets what it lacks of the access ACL. */
    {"u::rwx,g::r-x,o::--x", HD_ACL_MERGE, "d:u:ann:r--",
     "u::rwx,g::r-x,o::--x,d:u::rwx,d:u:ann:r--,d:g::r-x,d:m::r-x,d:o::--x"},
    {"u::rwx,g::r-x,o::--x,d:u::r--,d:g::---,d:o::---", HD_ACL_MERGE, "d:g::rwx",
     "u::rwx,g::r-x,o::--x,d:u::r--,d:g::rwx,d:o::---"},
    {"u::rw-,g::r--,o::r--", HD_ACL_MERGE, "u:ann:rwx,u:ann:r--",
     "Invalid ACL: multiple entries with same scope, type and name."},
    {"u::rw-,g::r--,o::r--", HD_ACL_MERGE, "m:ann:rwx",
     "Invalid ACL: this entry type must not have a name."},
    /* What goes takes the mask along when nobody is named any more. */
    {"u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--", HD_ACL_REMOVE, "u:ann:---,m::---",
     "u::rw-,g::r--,o::r--"},
    {"u::rw-,u:ann:rwx,u:bob:r--,g::r--,m::rwx,o::r--", HD_ACL_REMOVE, "u:ann:---",
     "u::rw-,u:bob:r--,g::r--,m::r--,o::r--"},
    {"u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--", HD_ACL_REMOVE, "u:ann:---",
     "u::rw-,g::r--,m::r--,o::r--"},
    {"u::rw-,u:ann:rwx,g::r--,m::rwx,o::r--", HD_ACL_REMOVE, "m::---",
     "Invalid ACL: mask is required and cannot be deleted."},
    {"u::rw-,g::r--,o::r--", HD_ACL_REMOVE, "o::---",
     "Invalid ACL: the user, group and other entries are required."},
    {"u::rw-,g::r--,o::r--", HD_ACL_REMOVE, "u:nobody:---", "u::rw-,g::r--,o::r--"},
    /* Of a list that is set, the kind that is not in it stays. */
    {"u::rwx,g::r-x,o::--x,d:u::r--,d:g::---,d:o::---", HD_ACL_REPLACE,
     "u::rw-,u:ann:r--,g::---,o::---",
     "u::rw-,u:ann:r--,g::---,m::r--,o::---,d:u::r--,d:g::---,d:o::---"},
    {"u::rwx,u:ann:r--,g::r-x,m::rwx,o::--x", HD_ACL_REPLACE, "d:u::rwx,d:g::r--,d:o::---",
     "u::rwx,u:ann:r--,g::r-x,m::rwx,o::--x,d:u::rwx,d:g::r--,d:o::---"},
    {"u::rwx,g::r-x,o::--x", HD_ACL_REPLACE, "u::rw-,u:ann:r--",
     "Invalid ACL: the user, group and other entries are required."},
};

ATF_TC_WITHOUT_HEAD(lists_change_as_hadoop_s_do);
ATF_TC_BODY(lists_change_as_hadoop_s_do, tc)
{
    for (size_t n = 0; n < HD_ARRAY_COUNT(changes); n++) {
        const struct change_case *t = &changes[n];
        struct hd_arena arena;
        char got[512];
        const char *text;
        hd_arena_init(&arena, 0);
        struct hd_acl_spec old = spec_of(t->old, &arena);
        struct hd_acl_spec by = spec_of(t->by, &arena);
        struct hd_acl_spec changed;
        int err =
            hd_acl_spec_change(&old, &by, t->how, HD_ACL_ENTRIES_MAX, &arena, &changed, &text);
        ATF_CHECK_EQ_MSG(err, text != NULL ? -HD_E_ACL : 0, "case %zu", n);
        if (err == 0) {
            text_of(&changed, got, sizeof(got));
        }
        ATF_CHECK_STREQ(text != NULL ? text : got, t->want);
        hd_arena_done(&arena);
    }
}

ATF_TC_WITHOUT_HEAD(a_list_has_at_most_32_lines);
ATF_TC_BODY(a_list_has_at_most_32_lines, tc)
{
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    for (int named = 28; named <= 29; named++) {
        struct hd_acl_spec old = spec_of("u::rw-,g::r--,o::r--", &arena);
        struct hd_acl_spec by, changed;
        const char *text;
        hd_acl_spec_init(&by, 40, &arena);
        for (int n = 0; n < named; n++) {
            struct hd_acl_line l = {.kind = HD_ACL_USER, .perm = 4};
            l.name = hd_arena_printf(&arena, "user-%d", n);
            hd_acl_spec_add(&by, l);
        }
        int err = hd_acl_spec_change(&old, &by, HD_ACL_MERGE, 32, &arena, &changed, &text);
        ATF_CHECK_EQ(err, named == 28 ? 0 : -HD_E_ACL); /* and owner, group, mask, others */
    }
    hd_arena_done(&arena);
}

/* ---- calls ---- */

static void hdfs_set_acl(struct world *w, const char *path, const char *text)
{
    Hdw__AclEntry entries[40];
    Hdw__AclEntry *pointers[40];
    struct hd_acl_spec s = spec_of(text, &w->arena);
    for (size_t n = 0; n < s.count; n++) {
        hdw__acl_entry__init(&entries[n]);
        entries[n].scope = s.lines[n].is_default ? HDW__ACL_ENTRY_SCOPE__SCOPE_DEFAULT
                                                 : HDW__ACL_ENTRY_SCOPE__SCOPE_ACCESS;
        entries[n].type = (Hdw__AclEntryType)s.lines[n].kind;
        entries[n].permissions = (Hdw__FsAction)s.lines[n].perm;
        entries[n].name = S(s.lines[n].name);
        pointers[n] = &entries[n];
    }
    CALL(w, "setAcl", SetAcl, set_acl, .src = S(path), .acl_spec = pointers, .n_acl_spec = s.count);
}

static int posix_set_acl(struct world *w, uint64_t ino, bool is_default, const char *text,
                         bool clear_setgid)
{
    Hdw__PosixAclEntry entries[40];
    Hdw__PosixAclEntry *pointers[40];
    struct hd_acl_spec s = spec_of(text, &w->arena);
    for (size_t n = 0; n < s.count; n++) {
        hdw__posix_acl_entry__init(&entries[n]);
        entries[n].kind = (Hdw__AclEntryKind)s.lines[n].kind;
        entries[n].perm = s.lines[n].perm;
        entries[n].name = S(s.lines[n].name);
        pointers[n] = &entries[n];
    }
    return POSIX(w, "setPosixAcl", SetPosixAcl, set_posix_acl, NULL, .ino = ino,
                 .has_is_default = is_default, .is_default = is_default, .entries = pointers,
                 .n_entries = s.count, .has_clear_setgid = clear_setgid,
                 .clear_setgid = clear_setgid);
}

/* Both ACLs as a mount gets them; "" when the mode says all. */
static const char *posix_acl(struct world *w, uint64_t ino)
{
    static char text[1024];
    Hdw__GetPosixXattrsResponse *r = NULL;
    int err = POSIX(w, "getPosixXattrs", GetPosixXattrs, get_posix_xattrs, &r, .ino = ino);
    ATF_REQUIRE_EQ(err, 0);
    struct hd_acl_spec s;
    hd_acl_spec_init(&s, r->n_acl + r->n_default_acl, &w->arena);
    for (size_t n = 0; n < r->n_acl + r->n_default_acl; n++) {
        bool is_default = n >= r->n_acl;
        const Hdw__PosixAclEntry *e = is_default ? r->default_acl[n - r->n_acl] : r->acl[n];
        struct hd_acl_line l = {.is_default = is_default,
                                .kind = (uint8_t)e->kind,
                                .perm = (uint8_t)e->perm,
                                .name = e->name};
        hd_acl_spec_add(&s, l);
    }
    hd_acl_spec_sort(&s);
    text_of(&s, text, sizeof(text));
    return text;
}

static uint32_t mode_of(struct world *w, uint64_t ino)
{
    return px_attr(w, ino)->mode & 07777;
}

ATF_TC_WITHOUT_HEAD(the_mode_is_the_acl_s_and_the_other_way_round);
ATF_TC_BODY(the_mode_is_the_acl_s_and_the_other_way_round, tc)
{
    struct world w;
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100640);
    ATF_CHECK_STREQ(posix_acl(&w, f), "");
    ATF_CHECK(!px_attr(&w, f)->has_acl);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,u:ann:rw-,g::r--,m::rw-,o::---", false), 0);
    ATF_CHECK_EQ(mode_of(&w, f), 0760);
    ATF_CHECK(px_attr(&w, f)->has_acl);
    ATF_CHECK_EQ(px_set(&w, f, (Hdw__PosixAttrChange){.has_mode = true, .mode = 0645}, NULL), 0);
    ATF_CHECK_STREQ(posix_acl(&w, f), "u::rw-,u:ann:rw-,g::r--,m::r--,o::r-x");
    /* HDFS's status says that there is one; its removal gives the group its own bits back. */
    Hdw__HdfsFileStatus *st = do_stat(&w, "/f");
    ATF_CHECK_EQ(st->flags, HDW__FLAGS__STATUS_FLAG_HAS_ACL);
    ATF_CHECK_EQ(st->permission->perm, 0645 | 1 << 12);
    hdfs_set_acl(&w, "/f", "u::rw-,u:ann:rw-,g::r--,o::---");
    ATF_CHECK_EQ(mode_of(&w, f), 0660);
    CALL(&w, "removeAcl", RemoveAcl, remove_acl, .src = S("/f"));
    ATF_CHECK_EQ(mode_of(&w, f), 0640);
    ATF_CHECK_STREQ(posix_acl(&w, f), "");
    ATF_CHECK_EQ(do_stat(&w, "/f")->flags, 0);
    /* setxattr(2) with nothing but owner, group and others is a chmod; removexattr(2) changes no
     * mode. */
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::r--,g::-w-,o::--x", false), 0);
    ATF_CHECK_EQ(mode_of(&w, f), 0421);
    ATF_CHECK(!px_attr(&w, f)->has_acl);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,g::r--,m::rwx,o::---", false), 0);
    ATF_CHECK_EQ(mode_of(&w, f), 0770);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "", false), 0);
    ATF_CHECK_EQ(mode_of(&w, f), 0770);
    ATF_CHECK(!px_attr(&w, f)->has_acl);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_is_no_acl_is_refused);
ATF_TC_BODY(what_is_no_acl_is_refused, tc)
{
    struct world w;
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100640);
    uint64_t d = px_new(&w, ROOT, "d", 042770);
    Hdw__MakeSymlinkResponse *l = NULL;
    ATF_REQUIRE_EQ(px_symlink(&w, ROOT, "l", "f", &l), 0);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,g::r--", false), -EINVAL);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,u:ann:r--,g::r--,o::r--", false), -EINVAL);
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,u::r--,g::r--,o::r--", false), -EINVAL);
    ATF_CHECK_EQ(posix_set_acl(&w, f, true, "u::rwx,g::r--,o::r--", false), -EACCES);
    ATF_CHECK_EQ(posix_set_acl(&w, f, true, "", false), 0);
    ATF_CHECK_EQ(posix_set_acl(&w, l->attr->ino, false, "u::rwx,g::r--,o::r--", false),
                 -EOPNOTSUPP);
    ATF_CHECK_EQ(posix_set_acl(&w, 999999, false, "u::rwx,g::r--,o::r--", false), -ESTALE);
    ATF_CHECK_EQ(posix_set_acl(&w, d, false, "u::rwx,g::r--,o::r--", false), 0);
    ATF_CHECK_EQ(mode_of(&w, d), 02744);
    ATF_CHECK_EQ(posix_set_acl(&w, d, false, "u::rwx,g::r--,o::r--", true), 0);
    ATF_CHECK_EQ(mode_of(&w, d), 0744);
    w.user = "eve";
    ATF_CHECK_EQ(posix_set_acl(&w, f, false, "u::rwx,g::r--,o::r--", false), -HD_E_NOT_PERMITTED);
    CALL_FAILS(&w, -EACCES, NULL, "removeAcl", RemoveAcl, remove_acl, .src = S("/f"));
    world_check(&w);
    world_done(&w);
}

/* ---- inherited ---- */

static int make_with_umask(struct world *w, uint64_t parent, const char *name, uint32_t mode,
                           uint32_t umask, uint64_t *ret)
{
    Hdw__MakeNodeResponse *r = NULL;
    int err = POSIX(w, "makeNode", MakeNode, make_node, &r, .parent = parent,
                    .name = text_bytes(name), .mode = mode, .has_umask = true, .umask = umask,
                    .has_exclusive = true, .exclusive = true);
    *ret = r != NULL ? r->attr->ino : 0;
    return err;
}

ATF_TC_WITHOUT_HEAD(a_default_acl_stands_for_the_umask);
ATF_TC_BODY(a_default_acl_stands_for_the_umask, tc)
{
    struct world w;
    uint64_t i;
    world_init(&w);
    uint64_t d = px_new(&w, ROOT, "d", 040755);
    ATF_REQUIRE_EQ(make_with_umask(&w, d, "before", 0100666, 022, &i), 0);
    ATF_CHECK_EQ(mode_of(&w, i), 0644);
    const char *text = "u::rwx,u:ann:rw-,g::r-x,g:dev:rwx,m::rwx,o::--x";
    ATF_REQUIRE_EQ(posix_set_acl(&w, d, true, text, false), 0);
    ATF_REQUIRE_EQ(make_with_umask(&w, d, "file", 0100666, 077, &i), 0);
    ATF_CHECK_STREQ(posix_acl(&w, i), "u::rw-,u:ann:rw-,g::r-x,g:dev:rwx,m::rw-,o::---");
    ATF_REQUIRE_EQ(make_with_umask(&w, d, "sub", 040777, 077, &i), 0);
    ATF_CHECK_STREQ(posix_acl(&w, i),
                    "u::rwx,u:ann:rw-,g::r-x,g:dev:rwx,m::rwx,o::--x,"
                    "d:u::rwx,d:u:ann:rw-,d:g::r-x,d:g:dev:rwx,d:m::rwx,d:o::--x");
    ATF_REQUIRE_EQ(make_with_umask(&w, i, "fifo", 0010600, 0, &i), 0);
    ATF_CHECK_STREQ(posix_acl(&w, i), "u::rw-,u:ann:rw-,g::r-x,g:dev:rwx,m::---,o::---");
    Hdw__MakeSymlinkResponse *l = NULL;
    ATF_REQUIRE_EQ(px_symlink(&w, d, "l", "x", &l), 0);
    ATF_CHECK(!l->attr->has_acl);
    /* Without names it is only the mode that is inherited. */
    ATF_REQUIRE_EQ(posix_set_acl(&w, d, true, "u::rwx,g::r-x,o::---", false), 0);
    ATF_REQUIRE_EQ(make_with_umask(&w, d, "plain", 0100666, 0, &i), 0);
    ATF_CHECK_EQ(mode_of(&w, i), 0640);
    ATF_CHECK_STREQ(posix_acl(&w, i), "");
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(hdfs_s_clients_inherit_the_same);
ATF_TC_BODY(hdfs_s_clients_inherit_the_same, tc)
{
    struct world w;
    world_init(&w);
    uint64_t d = px_new(&w, ROOT, "d", 040755);
    hdfs_set_acl(&w, "/d", "d:u::rwx,d:u:ann:rwx,d:g::r-x,d:o::---");
    Hdw__FsPermission masked = HDW__FS_PERMISSION__INIT;
    Hdw__FsPermission unmasked = HDW__FS_PERMISSION__INIT;
    masked.perm = 0644;
    unmasked.perm = 0666;
    CALL(&w, "create", Create, create, .src = S("/d/sub/f"), .masked = &masked,
         .unmasked = &unmasked, .client_name = S("c"), .create_flag = 1, .create_parent = true,
         .replication = 3, .block_size = 1 << 20);
    uint64_t sub = px_lookup(&w, d, "sub")->ino;
    ATF_CHECK_STREQ(posix_acl(&w, px_lookup(&w, sub, "f")->ino),
                    "u::rw-,u:ann:rwx,g::r-x,m::rw-,o::---");
    ATF_CHECK(strstr(posix_acl(&w, sub), "d:u:ann:rwx") != NULL);
    /* Old clients do not say what they masked. */
    masked.perm = 0700;
    CALL(&w, "mkdirs", Mkdirs, mkdirs, .src = S("/d/old"), .masked = &masked,
         .create_parent = true);
    ATF_CHECK_EQ(mode_of(&w, px_lookup(&w, d, "old")->ino), 0700);
    world_check(&w);
    world_done(&w);
}

/* ---- asked: against acl(5), written down as it is there ---- */

enum { PEOPLE = 3, GROUPS = 3 };

static const char *const people[] = {"ann", "bob", "eve"};
static const char *const group_names[] = {"dev", "ops", "all"};

struct model_acl {
    int user_perm[PEOPLE];  /* -1: no entry */
    int group_perm[GROUPS]; /* the same */
    unsigned owner, group, mask, other;
    int owner_is, group_is;
};

static bool model_allows(const struct model_acl *a, int user, unsigned groups, unsigned want)
{
    if (user == a->owner_is) {
        return (a->owner & want) == want;
    }
    if (a->user_perm[user] >= 0) {
        return ((unsigned)a->user_perm[user] & a->mask & want) == want;
    }
    bool matched = false;
    if ((groups & (1u << a->group_is)) != 0) {
        matched = true;
        if ((a->group & a->mask & want) == want) {
            return true;
        }
    }
    for (int g = 0; g < GROUPS; g++) {
        if ((groups & (1u << g)) != 0 && a->group_perm[g] >= 0) {
            matched = true;
            if (((unsigned)a->group_perm[g] & a->mask & want) == want) {
                return true;
            }
        }
    }
    return !matched && (a->other & want) == want;
}

static void model_text(const struct model_acl *a, char *out, size_t size)
{
    static const char *const perms[] = {"---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"};
    size_t at = (size_t)snprintf(out, size, "u::%s,g::%s,m::%s,o::%s", perms[a->owner],
                                 perms[a->group], perms[a->mask], perms[a->other]);
    for (int n = 0; n < PEOPLE; n++) {
        if (a->user_perm[n] >= 0) {
            at += (size_t)snprintf(out + at, size - at, ",u:%s:%s", people[n],
                                   perms[a->user_perm[n]]);
        }
    }
    for (int n = 0; n < GROUPS; n++) {
        if (a->group_perm[n] >= 0) {
            at += (size_t)snprintf(out + at, size - at, ",g:%s:%s", group_names[n],
                                   perms[a->group_perm[n]]);
        }
    }
}

static struct model_acl random_acl(struct hd_prng *prng)
{
    struct model_acl a = {.owner = (unsigned)hd_prng_below(prng, 8),
                          .group = (unsigned)hd_prng_below(prng, 8),
                          .mask = (unsigned)hd_prng_below(prng, 8),
                          .other = (unsigned)hd_prng_below(prng, 8),
                          .owner_is = (int)hd_prng_below(prng, PEOPLE),
                          .group_is = (int)hd_prng_below(prng, GROUPS)};
    for (int n = 0; n < PEOPLE; n++) {
        a.user_perm[n] = hd_prng_below(prng, 2) == 0 ? -1 : (int)hd_prng_below(prng, 8);
        a.group_perm[n] = hd_prng_below(prng, 2) == 0 ? -1 : (int)hd_prng_below(prng, 8);
    }
    return a;
}

ATF_TC_WITHOUT_HEAD(who_may_what_is_as_acl_5_says);
ATF_TC_BODY(who_may_what_is_as_acl_5_says, tc)
{
    struct world w;
    struct hd_prng prng = {5};
    int allowed = 0;
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100644);
    for (int step = 0; step < 1500; step++) {
        struct model_acl a = random_acl(&prng);
        char text[256];
        model_text(&a, text, sizeof(text));
        w.user = "root";
        w.groups = no_groups;
        ATF_REQUIRE_EQ(posix_set_acl(&w, f, false, text, false), 0);
        ATF_REQUIRE_EQ(px_set(&w, f,
                              (Hdw__PosixAttrChange){.user = S(people[a.owner_is]),
                                                     .group = S(group_names[a.group_is])},
                              NULL),
                       0);
        for (int k = 0; k < 8; k++) {
            int user = (int)hd_prng_below(&prng, PEOPLE);
            unsigned in = (unsigned)hd_prng_below(&prng, 1u << GROUPS);
            unsigned want = 1 + (unsigned)hd_prng_below(&prng, 7);
            const char *groups[GROUPS + 1] = {NULL};
            for (int g = 0, count = 0; g < GROUPS; g++) {
                if ((in & (1u << g)) != 0) {
                    groups[count++] = group_names[g];
                }
            }
            w.user = people[user];
            w.groups = groups;
            struct answer *r = CALL_ANSWER(&w, "checkAccess", CheckAccess, check_access,
                                           .path = S("/f"), .mode = (Hdw__FsAction)want);
            bool may = model_allows(&a, user, in, want);
            allowed += may;
            ATF_REQUIRE_MSG((r->err == 0) == may, "%s of %s:%s, %s in %x wants %u: %s", text,
                            people[a.owner_is], group_names[a.group_is], people[user], in, want,
                            r->err == 0 ? "allowed" : "refused");
        }
        hd_arena_reset(&w.arena);
    }
    ATF_CHECK(allowed > 1000);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, lists_change_as_hadoop_s_do);
    ATF_TP_ADD_TC(tp, a_list_has_at_most_32_lines);
    ATF_TP_ADD_TC(tp, the_mode_is_the_acl_s_and_the_other_way_round);
    ATF_TP_ADD_TC(tp, what_is_no_acl_is_refused);
    ATF_TP_ADD_TC(tp, a_default_acl_stands_for_the_umask);
    ATF_TP_ADD_TC(tp, hdfs_s_clients_inherit_the_same);
    ATF_TP_ADD_TC(tp, who_may_what_is_as_acl_5_says);
    return atf_no_error();
}
