/*
 * Random names through PosixProtocol and ClientProtocol against a naive model: entries that point
 * to nodes, nodes with counts. At every step the tree is the model's, quotas count what is there,
 * and the view put together from puts and the log replayed from nothing give the state in memory.
 */
#include "tests/unit/meta/core/mounts.h"
#include "tests/unit/meta/core/posix_calls.h"

enum { NODES_MAX = 400, ENTRIES_MAX = 400, PATH_ROOM = 512, NAMES = 4, DEPTH_MAX = 4 };

struct node {
    uint64_t ino;
    uint32_t mode;
    unsigned names; /* entries that point to it */
    bool gone;
    bool held; /* no names, and open */
};

struct entry {
    int dir;
    char name[2];
    int node;
};

struct model {
    struct world w;
    struct mount mount;
    struct hd_prng p;
    struct node nodes[NODES_MAX]; /* 0: the root */
    int node_count;
    struct entry entries[ENTRIES_MAX];
    int entry_count;
};

/* ---- the model ---- */

static bool is_directory(const struct model *m, int node)
{
    return S_ISDIR(m->nodes[node].mode);
}

static struct entry *find_entry(struct model *m, int dir, const char *name)
{
    for (int n = 0; n < m->entry_count; n++) {
        if (m->entries[n].dir == dir && strcmp(m->entries[n].name, name) == 0) {
            return &m->entries[n];
        }
    }
    return NULL;
}

static const struct entry *entry_of_directory(const struct model *m, int dir)
{
    for (int n = 0; n < m->entry_count; n++) {
        if (m->entries[n].node == dir) {
            return &m->entries[n];
        }
    }
    return NULL;
}

static int count_in(const struct model *m, int dir, bool directories_only)
{
    int count = 0;
    for (int n = 0; n < m->entry_count; n++) {
        count +=
            m->entries[n].dir == dir && (!directories_only || is_directory(m, m->entries[n].node));
    }
    return count;
}

static bool is_in(const struct model *m, int node, int above)
{
    while (node != above && node != 0) {
        node = entry_of_directory(m, node)->dir;
    }
    return node == above;
}

static int depth_of(const struct model *m, int dir)
{
    int depth = 0;
    for (; dir != 0; dir = entry_of_directory(m, dir)->dir) {
        depth++;
    }
    return depth;
}

static void path_of(const struct model *m, int dir, const char *name, char *out)
{
    char rest[PATH_ROOM];
    snprintf(out, PATH_ROOM, "/%s", name);
    for (; dir != 0; dir = entry_of_directory(m, dir)->dir) {
        snprintf(rest, sizeof(rest), "%s", out);
        int size = snprintf(out, PATH_ROOM, "/%s%s", entry_of_directory(m, dir)->name, rest);
        ATF_REQUIRE(size < PATH_ROOM);
    }
}

static void add_entry(struct model *m, int dir, const char *name, int node)
{
    ATF_REQUIRE(m->entry_count < ENTRIES_MAX);
    struct entry *e = &m->entries[m->entry_count++];
    *e = (struct entry){.dir = dir, .node = node};
    snprintf(e->name, sizeof(e->name), "%s", name);
    m->nodes[node].names++;
}

static void add_node(struct model *m, int dir, const char *name, uint64_t ino, uint32_t mode)
{
    ATF_REQUIRE(m->node_count < NODES_MAX);
    m->nodes[m->node_count] = (struct node){.ino = ino, .mode = mode};
    add_entry(m, dir, name, m->node_count++);
}

static void remove_entry(struct model *m, struct entry *e, bool held)
{
    struct node *node = &m->nodes[e->node];
    if (S_ISDIR(node->mode)) {
        for (int n = m->entry_count; n > 0; n--) {
            if (n <= m->entry_count && m->entries[n - 1].dir == e->node) {
                struct entry copy = *e;
                remove_entry(m, &m->entries[n - 1], false);
                e = find_entry(m, copy.dir, copy.name);
                n = m->entry_count + 1;
            }
        }
    }
    *e = m->entries[--m->entry_count];
    if (--node->names == 0) {
        node->held = held && !S_ISDIR(node->mode) && !S_ISLNK(node->mode);
        node->gone = !node->held;
    }
}

static int random_directory(struct model *m)
{
    for (;;) {
        int node = (int)hd_prng_below(&m->p, (uint64_t)m->node_count);
        if (is_directory(m, node) && !m->nodes[node].gone) {
            return node;
        }
    }
}

static const char *random_name(struct model *m)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d"};
    return names[hd_prng_below(&m->p, NAMES)];
}

/* ---- the mount ---- */

static void as_mount(struct model *m)
{
    m->w.session = m->mount.number;
    m->w.posix = true;
}

/* Answers what the session is told until there is nothing more: nothing is open here. */
static void settle(struct model *m)
{
    for (;;) {
        mount_poll(&m->mount, 0);
        Hdw__PollResponse *r = mount_pushes(&m->mount);
        ATF_REQUIRE(r != NULL);
        if (r->n_pushes == 0) {
            return;
        }
        uint64_t serials[64];
        ATF_REQUIRE(r->n_pushes <= 64);
        for (size_t n = 0; n < r->n_pushes; n++) {
            serials[n] = r->pushes[n]->serial;
        }
        mount_poll_with(&m->mount, 0, serials, r->n_pushes, false);
    }
}

static int client_call(struct model *m, const char *method, const void *q)
{
    m->w.session = 0;
    m->w.posix = false;
    uint64_t token = world_send(&m->w, CLIENT_PROTOCOL, method, q, 1);
    settle(m); /* the answer is held until the mount knows */
    struct answer *a = world_answer(&m->w, token);
    ATF_REQUIRE_MSG(a != NULL, "%s was not answered", method);
    return a->err;
}

/* ---- operations ---- */

static void random_make(struct model *m)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFIFO, S_IFCHR, S_IFLNK};
    int dir = random_directory(m);
    const char *name = random_name(m);
    uint32_t type = types[hd_prng_below(&m->p, HD_ARRAY_COUNT(types))];
    if (S_ISDIR(type) && depth_of(m, dir) >= DEPTH_MAX) {
        return;
    }
    int want = find_entry(m, dir, name) != NULL ? -EEXIST : 0;
    if (S_ISLNK(type)) {
        Hdw__MakeSymlinkResponse *r = NULL;
        ATF_REQUIRE_EQ(px_symlink(&m->w, m->nodes[dir].ino, name, "x", &r), want);
        if (want == 0) {
            add_node(m, dir, name, r->attr->ino, S_IFLNK | 0777);
        }
        return;
    }
    uint32_t mode = type | (uint32_t)hd_prng_below(&m->p, 010000);
    Hdw__MakeNodeResponse *r = NULL;
    ATF_REQUIRE_EQ(px_make(&m->w, m->nodes[dir].ino, name, mode, &r), want);
    if (want == 0) {
        mode |= S_ISDIR(type) ? m->nodes[dir].mode & S_ISGID : 0;
        add_node(m, dir, name, r->attr->ino, mode);
    }
}

static void random_link(struct model *m)
{
    int node = (int)hd_prng_below(&m->p, (uint64_t)m->node_count);
    int dir = random_directory(m);
    const char *name = random_name(m);
    int want = m->nodes[node].gone                ? -ESTALE
               : is_directory(m, node)            ? -HD_E_NOT_PERMITTED
               : m->nodes[node].held              ? -ENOENT
               : find_entry(m, dir, name) != NULL ? -EEXIST
                                                  : 0;
    ATF_REQUIRE_EQ(px_link(&m->w, m->nodes[node].ino, m->nodes[dir].ino, name), want);
    if (want == 0) {
        add_entry(m, dir, name, node);
    }
}

static void random_unlink(struct model *m)
{
    int dir = random_directory(m);
    const char *name = random_name(m);
    bool directory = hd_prng_below(&m->p, 3) == 0;
    bool held = hd_prng_below(&m->p, 2) == 0;
    struct entry *e = find_entry(m, dir, name);
    int want = e == NULL                                      ? -ENOENT
               : directory && !is_directory(m, e->node)       ? -ENOTDIR
               : !directory && is_directory(m, e->node)       ? -EISDIR
               : directory && count_in(m, e->node, false) > 0 ? -ENOTEMPTY
                                                              : 0;
    ATF_REQUIRE_EQ(px_remove(&m->w, m->nodes[dir].ino, name, directory, held, NULL), want);
    if (want == 0) {
        remove_entry(m, e, held);
    }
}

static int move_error(struct model *m, struct entry *from, int to_dir, struct entry *to,
                      unsigned flags)
{
    bool exchange = (flags & EXCHANGE) != 0;
    if (from == NULL || (exchange && to == NULL)) {
        return -ENOENT;
    }
    if (to != NULL && (flags & NO_REPLACE) != 0) {
        return -EEXIST;
    }
    if (to != NULL && to->node == from->node) {
        return 0;
    }
    if (is_directory(m, from->node) && is_in(m, to_dir, from->node)) {
        return -EINVAL;
    }
    if (to != NULL && is_directory(m, to->node) && is_in(m, from->dir, to->node)) {
        return exchange ? -EINVAL : -ENOTEMPTY;
    }
    if (to == NULL || exchange) {
        return 0;
    }
    if (is_directory(m, from->node) && !is_directory(m, to->node)) {
        return -ENOTDIR;
    }
    if (!is_directory(m, from->node) && is_directory(m, to->node)) {
        return -EISDIR;
    }
    return is_directory(m, to->node) && count_in(m, to->node, false) > 0 ? -ENOTEMPTY : 0;
}

static void model_move(struct model *m, int from_dir, const char *from_name, int to_dir,
                       const char *to_name, unsigned flags)
{
    struct entry *from = find_entry(m, from_dir, from_name);
    struct entry *to = find_entry(m, to_dir, to_name);
    if (to != NULL && to->node == from->node) {
        return;
    }
    if ((flags & EXCHANGE) != 0) {
        int node = from->node;
        from->node = to->node;
        to->node = node;
        return;
    }
    if (to != NULL) {
        remove_entry(m, to, (flags & HELD) != 0);
        from = find_entry(m, from_dir, from_name);
    }
    from->dir = to_dir;
    snprintf(from->name, sizeof(from->name), "%s", to_name);
}

static void random_move(struct model *m)
{
    int from_dir = random_directory(m);
    int to_dir = random_directory(m);
    const char *from_name = random_name(m);
    const char *to_name = random_name(m);
    static const unsigned all[] = {0, 0, HELD, NO_REPLACE, EXCHANGE, EXCHANGE};
    unsigned flags = all[hd_prng_below(&m->p, HD_ARRAY_COUNT(all))];
    int want = move_error(m, find_entry(m, from_dir, from_name), to_dir,
                          find_entry(m, to_dir, to_name), flags);
    ATF_REQUIRE_EQ(px_move(&m->w, m->nodes[from_dir].ino, from_name, m->nodes[to_dir].ino, to_name,
                           flags, NULL),
                   want);
    if (want == 0) {
        model_move(m, from_dir, from_name, to_dir, to_name, flags);
    }
}

static void random_chmod(struct model *m)
{
    int node = (int)hd_prng_below(&m->p, (uint64_t)m->node_count);
    if (S_ISLNK(m->nodes[node].mode)) {
        return;
    }
    Hdw__PosixAttrChange change = {.has_mode = true,
                                   .mode = (uint32_t)hd_prng_below(&m->p, 010000)};
    Hdw__PosixAttr *a;
    int want = m->nodes[node].gone ? -ESTALE : 0;
    ATF_REQUIRE_EQ(px_set(&m->w, m->nodes[node].ino, change, &a), want);
    if (want == 0) {
        m->nodes[node].mode = (m->nodes[node].mode & S_IFMT) | change.mode;
    }
}

static void random_hdfs_delete(struct model *m)
{
    char path[PATH_ROOM];
    int dir = random_directory(m);
    const char *name = random_name(m);
    struct entry *e = find_entry(m, dir, name);
    if (e != NULL && is_directory(m, e->node) && depth_of(m, dir) < 1 &&
        hd_prng_below(&m->p, 4) != 0) {
        return; /* not the whole tree each time */
    }
    path_of(m, dir, name, path);
    Hdw__DeleteRequest q = HDW__DELETE_REQUEST__INIT;
    q.src = path;
    q.recursive = true;
    ATF_REQUIRE_EQ(client_call(m, "delete", &q), 0);
    if (e != NULL) {
        remove_entry(m, e, false);
    }
}

static void random_hdfs_rename(struct model *m)
{
    char from[PATH_ROOM];
    char to[PATH_ROOM];
    int from_dir = random_directory(m);
    int to_dir = random_directory(m);
    const char *from_name = random_name(m);
    const char *to_name = random_name(m);
    const struct entry *a = find_entry(m, from_dir, from_name);
    const struct entry *b = find_entry(m, to_dir, to_name);
    path_of(m, from_dir, from_name, from);
    path_of(m, to_dir, to_name, to);
    Hdw__Rename2Request q = HDW__RENAME2_REQUEST__INIT;
    q.src = from;
    q.dst = to;
    q.overwrite_dest = true;
    bool works = a != NULL && (b == NULL || b->node != a->node) &&
                 !(is_directory(m, a->node) && is_in(m, to_dir, a->node)) &&
                 (b == NULL || (is_directory(m, a->node) == is_directory(m, b->node) &&
                                count_in(m, b->node, false) == 0));
    ATF_REQUIRE_EQ(client_call(m, "rename2", &q) == 0, works);
    if (works) {
        model_move(m, from_dir, from_name, to_dir, to_name, 0);
    }
}

static void random_forget(struct model *m)
{
    for (int n = 0; n < m->node_count; n++) {
        struct node *node = &m->nodes[n];
        if (node->held && hd_prng_below(&m->p, 2) == 0) {
            Hdw__ForgetOrphansRequest q = HDW__FORGET_ORPHANS_REQUEST__INIT;
            q.session = m->mount.number;
            q.n_inos = 1;
            q.inos = &node->ino;
            struct answer *a =
                world_answer(&m->w, world_send(&m->w, POSIX_PROTOCOL, "forgetOrphans", &q, 1));
            ATF_REQUIRE(a != NULL && a->err == 0);
            node->held = false;
            node->gone = true;
        }
    }
}

static void random_quota(struct model *m)
{
    char path[PATH_ROOM];
    int dir = random_directory(m);
    if (dir == 0) {
        return;
    }
    path_of(m, entry_of_directory(m, dir)->dir, entry_of_directory(m, dir)->name, path);
    Hdw__SetQuotaRequest q = HDW__SET_QUOTA_REQUEST__INIT;
    q.path = path;
    q.namespace_quota = hd_prng_below(&m->p, 2) == 0 ? 100000 : UINT64_MAX;
    q.storagespace_quota = INT64_MAX;
    ATF_REQUIRE_EQ(client_call(m, "setQuota", &q), 0);
}

/* ---- comparing ---- */

static void compare_directory(struct model *m, int dir)
{
    Hdw__ReadDirResponse *r = NULL;
    uint64_t ino = m->nodes[dir].ino;
    ATF_REQUIRE_EQ(POSIX(&m->w, "readDir", ReadDir, read_dir, &r, .ino = ino, .max = 100), 0);
    ATF_REQUIRE_EQ(r->n_entries, (size_t)count_in(m, dir, false));
    for (size_t n = 0; n < r->n_entries; n++) {
        char name[2] = {(char)r->entries[n]->name.data[0], '\0'};
        const struct entry *e = find_entry(m, dir, name);
        ATF_REQUIRE(e != NULL);
        const struct node *node = &m->nodes[e->node];
        const Hdw__PosixAttr *a = r->entries[n]->attr;
        unsigned nlink =
            S_ISDIR(node->mode) ? 2 + (unsigned)count_in(m, e->node, true) : node->names;
        ATF_REQUIRE_EQ(a->ino, node->ino);
        ATF_REQUIRE_EQ_MSG(a->mode, node->mode, "%o, not %o", a->mode, node->mode);
        ATF_REQUIRE_EQ(a->nlink, nlink);
        ATF_REQUIRE(!S_ISDIR(node->mode) || a->parent == ino);
        ATF_REQUIRE(n == 0 || r->entries[n - 1]->name.data[0] < name[0]);
    }
}

static void compare(struct model *m)
{
    size_t inodes = 0;
    size_t orphans = 0;
    for (int n = 0; n < m->node_count; n++) {
        const struct node *node = &m->nodes[n];
        if (node->gone) {
            continue;
        }
        inodes += S_ISDIR(node->mode) || node->held ? 1 : node->names;
        orphans += node->held;
        if (S_ISDIR(node->mode)) {
            compare_directory(m, n);
        } else if (node->held) {
            ATF_REQUIRE_EQ(px_attr(&m->w, node->ino)->nlink, 0);
        }
    }
    ATF_REQUIRE_EQ(m->w.m->ns.inodes.count, inodes);
    ATF_REQUIRE_EQ(m->w.m->ns.orphans.count, orphans);
}

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

static void step(struct model *m)
{
    as_mount(m);
    switch (hd_prng_below(&m->p, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        random_make(m);
        break;
    case 4:
    case 5:
        random_link(m);
        break;
    case 6:
    case 7:
    case 8:
        random_unlink(m);
        break;
    case 9:
    case 10:
    case 11:
        random_move(m);
        break;
    case 12:
        random_chmod(m);
        break;
    case 13:
        random_hdfs_delete(m);
        break;
    case 14:
        random_hdfs_rename(m);
        break;
    default:
        random_quota(m);
        as_mount(m);
        random_forget(m);
        break;
    }
}

static void run(uint64_t seed, int steps)
{
    static struct model m;
    m = (struct model){.p = {seed}, .node_count = 1};
    m.nodes[0] = (struct node){.ino = ROOT, .mode = S_IFDIR | 0755, .names = 1};
    world_init(&m.w);
    m.mount = mount_start(&m.w, 0);
    m.mount.calls_conn = 1;
    for (int n = 0; n < steps && m.node_count < NODES_MAX - 1; n++) {
        step(&m);
        settle(&m);
        m.w.now_ms += 10;
        m.w.wall_ms += 10;
        as_mount(&m);
        compare(&m);
        check_quotas(&m.w);
        world_check(&m.w);
        hd_arena_reset(&m.w.arena);
    }
    world_done(&m.w);
}

ATF_TC_WITHOUT_HEAD(names_equal_a_naive_model_and_their_own_log);
ATF_TC_BODY(names_equal_a_naive_model_and_their_own_log, tc)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(seed, 200);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, names_equal_a_naive_model_and_their_own_log);
    return atf_no_error();
}
