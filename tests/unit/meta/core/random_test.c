/*
 * Random operations against a naive model of a tree, and at every step: the view put together from
 * the puts, and the log replayed from nothing, give the state that is in memory.
 */
#include "tests/unit/meta/core/harness.h"

enum { PATHS_MAX = 256, PATH_BYTES = 64 };

/* The model: every path that exists, and what it is. */
struct thing {
    char path[PATH_BYTES];
    bool directory;
    uint64_t size;
};

struct model {
    struct thing things[PATHS_MAX];
    size_t count;
};

static struct thing *find(struct model *m, const char *path)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->things[i].path, path) == 0) {
            return &m->things[i];
        }
    }
    return NULL;
}

static bool is_under(const char *path, const char *top)
{
    size_t size = strlen(top);
    return strncmp(path, top, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static void parent_of(const char *path, char *out)
{
    snprintf(out, PATH_BYTES, "%s", path);
    *strrchr(out, '/') = '\0';
}

static bool is_dir(struct model *m, const char *path)
{
    const struct thing *t = find(m, path);
    return path[0] == '\0' || (t != NULL && t->directory);
}

static size_t children(struct model *m, const char *path)
{
    char parent[PATH_BYTES];
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        parent_of(m->things[i].path, parent);
        count += strcmp(parent, path) == 0;
    }
    return count;
}

static void remove_under(struct model *m, const char *top)
{
    for (size_t i = m->count; i > 0; i--) {
        if (is_under(m->things[i - 1].path, top)) {
            m->things[i - 1] = m->things[--m->count];
        }
    }
}

static void add(struct model *m, const char *path, bool directory, uint64_t size)
{
    ATF_REQUIRE(m->count < PATHS_MAX);
    struct thing *t = &m->things[m->count++];
    snprintf(t->path, sizeof(t->path), "%s", path);
    t->directory = directory;
    t->size = size;
}

/* A path of one to three components out of few names, so that they meet. */
static void random_path(struct hd_prng *p, char *out)
{
    size_t depth = 1 + hd_prng_below(p, 3);
    size_t at = 0;
    for (size_t i = 0; i < depth; i++) {
        at += (size_t)snprintf(out + at, PATH_BYTES - at, "/%c", (char)('a' + hd_prng_below(p, 4)));
    }
}

static void random_mkdir(struct world *w, struct model *m, const char *path)
{
    char parent[PATH_BYTES];
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    perm.perm = 0755;
    parent_of(path, parent);
    struct answer *a = CALL_ANSWER(w, "mkdirs", Mkdirs, mkdirs, .src = S(path), .masked = &perm,
                                   .create_parent = false);
    const struct thing *t = find(m, path);
    bool works = t != NULL ? t->directory : is_dir(m, parent);
    ATF_REQUIRE_MSG((a->err == 0) == works, "mkdir %s: %s", path, a->text);
    if (works && t == NULL) {
        add(m, path, true, 0);
    }
}

static void random_write(struct world *w, struct model *m, struct hd_prng *p, const char *path)
{
    char parent[PATH_BYTES];
    parent_of(path, parent);
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    perm.perm = 0644;
    bool overwrite = hd_prng_below(p, 2) == 0;
    struct answer *a = CALL_ANSWER(w, "create", Create, create, .src = S(path), .masked = &perm,
                                   .client_name = S("c"), .create_flag = overwrite ? 3 : 1,
                                   .create_parent = false, .replication = 2, .block_size = 1 << 20);
    struct thing *t = find(m, path);
    bool works = is_dir(m, parent) && (t == NULL || (!t->directory && overwrite));
    ATF_REQUIRE_MSG((a->err == 0) == works, "create %s: %s", path, a->text);
    if (!works) {
        return;
    }
    uint64_t size = hd_prng_below(p, 3) * 100;
    Hdw__ExtendedBlock *b = NULL;
    if (size > 0) {
        Hdw__LocatedBlock *l = do_add_block(w, path, "c", NULL);
        b = l->b;
        b->num_bytes = size;
        node_received(w, node_of(l->locs[0]), b->block_id, b->generation_stamp, size);
    }
    ATF_REQUIRE(do_complete(w, path, "c", b));
    if (t != NULL) {
        t->size = size;
    } else {
        add(m, path, false, size);
    }
}

static void random_delete(struct world *w, struct model *m, struct hd_prng *p, const char *path)
{
    bool recursive = hd_prng_below(p, 2) == 0;
    char parent[PATH_BYTES];
    parent_of(path, parent);
    struct answer *a =
        CALL_ANSWER(w, "delete", Delete, delete, .src = S(path), .recursive = recursive);
    const struct thing *t = find(m, path);
    bool full = t != NULL && t->directory && children(m, path) > 0;
    if (full && !recursive) {
        ATF_REQUIRE_EQ(a->err, -ENOTEMPTY);
    } else if (t != NULL) {
        ATF_REQUIRE_MSG(a->err == 0, "delete %s: %s", path, a->text);
        remove_under(m, path);
    }
}

static bool rename_works(struct model *m, const char *from, const char *to, bool overwrite)
{
    char parent[PATH_BYTES];
    const struct thing *a = find(m, from);
    const struct thing *b = find(m, to);
    parent_of(to, parent);
    if (a == NULL || is_under(to, from) || !is_dir(m, parent)) {
        return false;
    }
    return b == NULL || (overwrite && a->directory == b->directory && children(m, to) == 0);
}

static void random_rename(struct world *w, struct model *m, struct hd_prng *p, const char *from)
{
    char to[PATH_BYTES];
    bool overwrite = hd_prng_below(p, 2) == 0;
    random_path(p, to);
    struct answer *a = CALL_ANSWER(w, "rename2", Rename2, rename2, .src = S(from), .dst = S(to),
                                   .overwrite_dest = overwrite);
    bool works = rename_works(m, from, to, overwrite);
    ATF_REQUIRE_MSG((a->err == 0) == works, "rename %s %s: %s", from, to, a->text);
    if (!works) {
        return;
    }
    remove_under(m, to);
    for (size_t i = 0; i < m->count; i++) {
        if (is_under(m->things[i].path, from)) {
            char rest[PATH_BYTES];
            snprintf(rest, sizeof(rest), "%s", m->things[i].path + strlen(from));
            int size = snprintf(m->things[i].path, PATH_BYTES, "%s%s", to, rest);
            ATF_REQUIRE(size < PATH_BYTES);
        }
    }
}

static void random_attributes(struct world *w, struct hd_prng *p, const char *path)
{
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    Hdw__XAttr x = HDW__XATTR__INIT;
    perm.perm = (uint32_t)hd_prng_below(p, 01000);
    x.name = S(hd_prng_below(p, 2) == 0 ? "one" : "two");
    CALL_ANSWER(w, "setPermission", SetPermission, set_permission, .src = S(path),
                .permission = &perm);
    CALL_ANSWER(w, "setTimes", SetTimes, set_times, .src = S(path),
                .mtime = hd_prng_below(p, 1000000), .atime = UINT64_MAX);
    if (hd_prng_below(p, 2) == 0) {
        CALL_ANSWER(w, "setXAttr", SetXAttr, set_xattr, .src = S(path), .x_attr = &x);
    } else {
        CALL_ANSWER(w, "removeXAttr", RemoveXAttr, remove_xattr, .src = S(path), .x_attr = &x);
    }
    CALL_ANSWER(w, "setQuota", SetQuota, set_quota, .path = S(path),
                .namespace_quota = hd_prng_below(p, 2) == 0 ? 1000 : UINT64_MAX,
                .storagespace_quota = INT64_MAX);
}

/* Every path of the model is there, as it should be, and nothing else. */
static void compare_trees(struct world *w, struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct thing *t = &m->things[i];
        Hdw__HdfsFileStatus *s = do_stat(w, t->path);
        ATF_REQUIRE_MSG(s != NULL, "%s is missing", t->path);
        ATF_REQUIRE_EQ(s->file_type == HDW__FILE_TYPE__IS_DIR, t->directory);
        ATF_REQUIRE_EQ(s->length, t->size);
        if (t->directory) {
            ATF_REQUIRE_EQ((size_t)s->children_num, children(m, t->path));
        }
    }
    ATF_REQUIRE_EQ(w->m->ns.inodes.count, m->count + 1);
}

/* What quotas think is used is what is there. */
static void check_quotas(struct world *w)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&w->m->ns.quotas, &cursor, &ino, &value)) {
        const struct hd_quota *q = value;
        struct hd_usage_sum sum = hd_ns_usage(hd_ns_inode(&w->m->ns, ino));
        ATF_REQUIRE_EQ(q->used_names, (int64_t)(sum.files + sum.directories));
        ATF_REQUIRE_EQ(q->used_bytes, (int64_t)sum.space_bytes);
    }
}

static void run(uint64_t seed, int steps)
{
    struct world w;
    struct model m = {.count = 0};
    struct hd_prng p = {seed};
    world_init(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    for (int i = 0; i < steps; i++) {
        char path[PATH_BYTES];
        random_path(&p, path);
        switch (hd_prng_below(&p, 6)) {
        case 0:
        case 1:
            random_mkdir(&w, &m, path);
            break;
        case 2:
            random_write(&w, &m, &p, path);
            break;
        case 3:
            random_delete(&w, &m, &p, path);
            break;
        case 4:
            random_rename(&w, &m, &p, path);
            break;
        default:
            random_attributes(&w, &p, path);
            break;
        }
        w.now_ms += 10;
        w.wall_ms += 10;
        compare_trees(&w, &m);
        check_quotas(&w);
        world_check(&w);
        hd_arena_reset(&w.arena);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_tree_equals_a_naive_model_and_its_own_log);
ATF_TC_BODY(the_tree_equals_a_naive_model_and_its_own_log, tc)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(seed, 120);
    }
}

/* A directory of many names, in an order that splits and joins chunks, against a sorted array. */
ATF_TC_WITHOUT_HEAD(children_stay_in_order);
ATF_TC_BODY(children_stay_in_order, tc)
{
    enum { NAMES = 5000 };
    struct hd_prng p = {3};
    struct hd_children c = {0};
    static struct hd_inode *all[NAMES];
    bool in[NAMES] = {false};
    size_t count = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "%05d", i);
        all[i] = hd_inode_new((struct hd_ino){(uint64_t)i + 1}, HD_INODE_FILE, name, (size_t)size);
    }
    for (int round = 0; round < 60000; round++) {
        size_t i = hd_prng_below(&p, NAMES);
        bool grow = round % 20000 < 10000 || hd_prng_below(&p, 4) == 0;
        if (in[i] && !grow) {
            hd_children_remove(&c, all[i]);
            in[i] = false;
            count--;
        } else if (!in[i] && grow) {
            hd_children_insert(&c, all[i]);
            in[i] = true;
            count++;
        }
        ATF_REQUIRE_EQ(c.count, count);
        ATF_REQUIRE((hd_children_find(&c, hd_inode_name(all[i]), 5) == all[i]) == in[i]);
        if (round % 1000 == 0) {
            struct hd_children_at at = hd_children_after(&c, hd_inode_name(all[i]), 5);
            uint32_t left = hd_children_remaining(&c, at);
            for (size_t n = i + 1; n < NAMES; n++) {
                if (in[n]) {
                    ATF_REQUIRE(hd_children_next(&c, &at) == all[n]);
                    left--;
                }
            }
            ATF_REQUIRE(hd_children_next(&c, &at) == NULL);
            ATF_REQUIRE_EQ(left, 0);
        }
    }
    hd_children_done(&c);
    for (int i = 0; i < NAMES; i++) {
        hd_inode_free(all[i]);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_tree_equals_a_naive_model_and_its_own_log);
    ATF_TP_ADD_TC(tp, children_stay_in_order);
    return atf_no_error();
}
