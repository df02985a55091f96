/* Quotas: what counts is what a fresh count gives, whatever was done; and what they refuse. */
#include "fs/base/prng.h"
#include "meta/core/links.h"
#include "meta/core/quota.h"
#include "tests/unit/meta/core/blocks.h"

enum { ROOT = HD_ROOT_INO };

static void set_quota(struct bench *b, const char *path, int64_t names, int64_t bytes)
{
    ASK(&b->t, "setTreeQuota", SetTreeQuota, set_tree_quota, .path = S(path), .has_names = true,
        .names = names, .has_bytes = true, .bytes = bytes);
}

static Hdw__GetTreeQuotaResponse *get_quota(struct mount *t, const char *path)
{
    return ASK(t, "getTreeQuota", GetTreeQuota, get_tree_quota, .path = S(path));
}

/* Every quota knows what there is. */
static void check_usage(struct world *w)
{
    uint64_t ino;
    void *value;
    for (size_t cursor = 0; hd_map_next(&w->m->ns.quotas, &cursor, &ino, &value);) {
        const struct hd_quota *q = value;
        struct hd_charge fresh = hd_quota_of_tree(hd_ns_inode(&w->m->ns, ino));
        ATF_REQUIRE_MSG(q->used_names == fresh.names && q->used_bytes == fresh.space_bytes &&
                            q->used_data_bytes == fresh.data_bytes,
                        "inode %d: %d names, %lld space, %lld data, counted %d %lld %lld", (int)ino,
                        (int)q->used_names, (long long)q->used_bytes, (long long)q->used_data_bytes,
                        (int)fresh.names, (long long)fresh.space_bytes,
                        (long long)fresh.data_bytes);
    }
}

static uint64_t make(struct mount *t, uint64_t parent, const char *name, uint32_t mode)
{
    uint64_t token =
        SEND(t, "makeNode", MakeNode, make_node, .parent = parent, .name = bytes_named(name),
             .mode = mode, .has_exclusive = true, .exclusive = true);
    struct answer *a = world_answer(t->w, token);
    ATF_REQUIRE(a != NULL);
    return a->err < 0 ? 0
                      : ((Hdw__MakeNodeResponse *)world_decode(
                             t->w, a, &hdw__make_node_response__descriptor))
                            ->attr->ino;
}

static int link_to(struct mount *t, uint64_t ino, uint64_t parent, const char *name)
{
    return error_of(
        t, SEND(t, "link", Link, link, .ino = ino, .parent = parent, .name = bytes_named(name)));
}

static int move(struct mount *t, uint64_t from, const char *a, uint64_t to, const char *b,
                bool exchange)
{
    return error_of(t, SEND(t, "move", Move, move, .from_parent = from, .from_name = bytes_named(a),
                            .to_parent = to, .to_name = bytes_named(b), .has_exchange = exchange,
                            .exchange = exchange));
}

static int unlink_name(struct mount *t, uint64_t parent, const char *name)
{
    return error_of(t,
                    SEND(t, "unlink", Unlink, unlink, .parent = parent, .name = bytes_named(name)));
}

static uint64_t ino_of(struct world *w, uint64_t parent, const char *name)
{
    struct hd_inode *i = hd_ns_child(&w->m->ns, hd_ns_inode(&w->m->ns, parent), name, strlen(name));
    i = hd_inode_of_entry(i);
    return i != NULL && hd_inode_is_file(i) ? i->ino.v : 0;
}

/* ---- at random ---- */

enum { DIRS = 4, NAMES = 5 };

ATF_TC_WITHOUT_HEAD(usage_is_what_a_count_gives);
ATF_TC_BODY(usage_is_what_a_count_gives, tc)
{
    struct bench b;
    struct hd_prng prng = {21};
    char text[64];
    bench_init(&b);
    uint64_t dirs[DIRS] = {ROOT};
    dirs[1] = make(&b.t, ROOT, "d1", 040755);
    dirs[2] = make(&b.t, dirs[1], "d2", 040755);
    dirs[3] = make(&b.t, ROOT, "d3", 040755);
    set_quota(&b, "/", 1000, 1 << 20);
    set_quota(&b, "/d1", 500, 100000);
    set_quota(&b, "/d1/d2", 8, 3000);
    set_quota(&b, "/d3", 6, 2000);
    int refused = 0;
    for (int step = 0; step < 3000; step++) {
        uint64_t from = dirs[hd_prng_below(&prng, DIRS)];
        uint64_t to = dirs[hd_prng_below(&prng, DIRS)];
        char a[3] = {'f', (char)('0' + hd_prng_below(&prng, NAMES)), '\0'};
        char c[3] = {'f', (char)('0' + hd_prng_below(&prng, NAMES)), '\0'};
        uint64_t ino = ino_of(&b.w, from, a);
        int err = 0;
        switch (hd_prng_below(&prng, 6)) {
        case 0:
            make(&b.t, from, a, 0100644);
            break;
        case 1:
            err = ino != 0 ? link_to(&b.t, ino, to, c) : 0;
            break;
        case 2:
            err = unlink_name(&b.t, from, a);
            break;
        case 3:
            err = move(&b.t, from, a, to, c, false);
            break;
        case 4:
            err = move(&b.t, from, a, to, c, true);
            break;
        case 5:
            if (ino != 0) {
                uint64_t token = mount_acquire(&b.t, ino, HDW__CAP_KIND__CAP_WRITE);
                ATF_REQUIRE(is_answered(&b.t, token));
                static char content[2000];
                size_t size = (size_t)hd_prng_below(&prng, sizeof(content));
                err = error_of(&b.t, write_content_send(&b.t, ino, content, size));
            }
            break;
        }
        refused += err == -HD_E_NS_QUOTA || err == -HD_E_DS_QUOTA;
        check_usage(&b.w);
        struct hd_quota *q = hd_ns_quota(&b.w.m->ns, hd_ns_inode(&b.w.m->ns, dirs[2]));
        ATF_REQUIRE(q->used_names <= 8); /* data may come when a name elsewhere goes */
        q = hd_ns_quota(&b.w.m->ns, hd_ns_inode(&b.w.m->ns, dirs[3]));
        ATF_REQUIRE(q->used_names <= 6);
        if (step % 100 == 99) {
            bench_pass(&b, 500);
            hd_arena_reset(&b.w.arena);
        }
    }
    snprintf(text, sizeof(text), "%d refusals", refused);
    ATF_CHECK_MSG(refused > 20, "%s", text);
    struct hd_meta *loaded = world_load(&b.w);
    hd_ns_count_quotas(&loaded->ns);
    hd_meta_free(loaded);
    bench_done(&b);
}

/* ---- what they refuse ---- */

ATF_TC_WITHOUT_HEAD(what_moves_within_a_directory_does_not_add_to_it);
ATF_TC_BODY(what_moves_within_a_directory_does_not_add_to_it, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t q = make(&b.t, ROOT, "q", 040755);
    uint64_t sub = make(&b.t, q, "sub", 040755);
    uint64_t f = make(&b.t, q, "f", 0100644);
    make(&b.t, ROOT, "other", 0100644);
    set_quota(&b, "/q", 3, -1);
    ATF_CHECK_EQ(make(&b.t, q, "g", 0100644), 0);
    ATF_CHECK_EQ(link_to(&b.t, f, sub, "g"), -HD_E_NS_QUOTA);
    ATF_CHECK_EQ(move(&b.t, q, "f", sub, "f", false), 0);
    ATF_CHECK_EQ(move(&b.t, ROOT, "other", q, "o", false), -HD_E_NS_QUOTA);
    ATF_CHECK_EQ(move(&b.t, ROOT, "other", sub, "f", false), 0); /* one comes, one goes */
    Hdw__GetTreeQuotaResponse *r = get_quota(&b.t, "/q");
    ATF_CHECK_EQ(r->used_names, 3);
    ATF_CHECK_EQ(r->names, 3);
    ATF_CHECK_EQ(r->bytes, -1);
    ATF_CHECK_EQ(unlink_name(&b.t, sub, "f"), 0);
    ATF_CHECK(make(&b.t, q, "g", 0100644) != 0);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_name_is_not_given_where_the_bytes_would_not_fit);
ATF_TC_BODY(a_name_is_not_given_where_the_bytes_would_not_fit, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t q = make(&b.t, ROOT, "q", 040755);
    uint64_t sub = make(&b.t, q, "sub", 040755);
    uint64_t f = make(&b.t, ROOT, "f", 0100644);
    uint64_t g = make(&b.t, q, "g", 0100644);
    set_quota(&b, "/q", -1, 20);
    take_write(&b.t, f);
    take_write(&b.t, g);
    write_content(&b.t, f, "123456789012345678901");
    write_content(&b.t, g, "12345678901");
    ATF_CHECK_EQ(link_to(&b.t, f, q, "f"), -HD_E_DS_QUOTA);
    write_content(&b.t, f, "123456789");
    ATF_CHECK_EQ(link_to(&b.t, f, q, "f"), 0);
    ATF_CHECK_EQ(link_to(&b.t, g, sub, "g"), 0); /* it counts there already */
    ATF_CHECK_EQ(get_quota(&b.t, "/q")->used_bytes, 11);
    ATF_CHECK_EQ(unlink_name(&b.t, ROOT, "f"), 0);
    ATF_CHECK_EQ(get_quota(&b.t, "/q")->used_bytes, 20);
    ATF_CHECK_EQ(unlink_name(&b.t, q, "g"), 0);
    ATF_CHECK_EQ(get_quota(&b.t, "/q")->used_bytes, 20);
    check_usage(&b.w);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_writer_is_promised_no_more_than_fits);
ATF_TC_BODY(a_writer_is_promised_no_more_than_fits, tc)
{
    struct bench b;
    bench_init(&b);
    struct hd_ns *ns = &b.w.m->ns;
    uint64_t q = make(&b.t, ROOT, "q", 040755);
    uint64_t f = make(&b.t, q, "f", 0100644);
    uint64_t g = make(&b.t, q, "g", 0100644);
    ATF_CHECK_EQ(hd_quota_room(ns, hd_ns_inode(ns, f)), UINT64_MAX);
    set_quota(&b, "/q", -1, 100000);
    set_quota(&b, "/", -1, 1000000);
    ATF_CHECK_EQ(hd_quota_room(ns, hd_ns_inode(ns, f)), 100000);
    take_write(&b.t, f);
    take_write(&b.t, g);
    (void)open_blocks(&b.t, f);
    (void)open_blocks(&b.t, g);
    ATF_CHECK_EQ(hd_quota_promise(ns, hd_ns_inode(ns, f), 60000), 60000);
    ATF_CHECK_EQ(hd_quota_room(ns, hd_ns_inode(ns, g)), 40000);
    ATF_CHECK_EQ(hd_quota_promise(ns, hd_ns_inode(ns, g), 60000), 40000);
    ATF_CHECK_EQ(hd_quota_promise(ns, hd_ns_inode(ns, f), 80000), 60000);
    ATF_CHECK_EQ(hd_quota_promise(ns, hd_ns_inode(ns, f), 10000), 10000); /* instead of before */
    ATF_CHECK_EQ(hd_quota_room(ns, hd_ns_inode(ns, g)), 90000);
    set_quota(&b, "/q", -1, -1);
    ATF_CHECK_EQ(hd_quota_room(ns, hd_ns_inode(ns, g)), 1000000 - 10000);
    set_quota(&b, "/", -1, -1);
    ATF_CHECK_EQ(hd_quota_promise(ns, hd_ns_inode(ns, f), UINT64_MAX), UINT64_MAX);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(hdfs_s_writers_are_held_to_it_when_a_size_becomes_final);
ATF_TC_BODY(hdfs_s_writers_are_held_to_it_when_a_size_becomes_final, tc)
{
    struct bench b;
    bench_init(&b);
    do_mkdirs(&b.w, "/q", 0755);
    set_quota(&b, "/q", -1, 3 * MIB / 2);
    (void)do_write(&b.w, "/q/a", MIB); /* a block is a MiB: the space of a whole one is not asked */
    do_create(&b.w, "/q/b", "w");
    Hdw__LocatedBlock *l = do_add_block(&b.w, "/q/b", "w", NULL);
    l->b->num_bytes = MIB;
    CALL_FAILS(&b.w, -HD_E_DS_QUOTA,
               "The byte quota of /q is exceeded: quota = 1572864 B but 2097152 B would be stored",
               "complete", Complete, complete, .src = S("/q/b"), .client_name = S("w"),
               .last = l->b);
    l->b->num_bytes = MIB / 2;
    for (size_t n = 0; n < l->n_locs; n++) {
        node_received(&b.w, node_of(l->locs[n]), l->b->block_id, l->b->generation_stamp, MIB / 2);
    }
    ATF_CHECK(do_complete(&b.w, "/q/b", "w", l->b));
    do_create(&b.w, "/q/c", "w");
    CALL_FAILS(&b.w, -HD_E_DS_QUOTA, NULL, "addBlock", AddBlock, add_block, .src = S("/q/c"),
               .client_name = S("w"));
    ATF_CHECK(do_delete(&b.w, "/q/a", false));
    (void)do_add_block(&b.w, "/q/c", "w", NULL);
    check_usage(&b.w);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(statfs_shows_the_nearest_quota);
ATF_TC_BODY(statfs_shows_the_nearest_quota, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t q = make(&b.t, ROOT, "q", 040755);
    uint64_t sub = make(&b.t, q, "sub", 040755);
    uint64_t in = make(&b.t, sub, "in", 040755);
    Hdw__StatFsResponse *r = ASK(&b.t, "statFs", StatFs, stat_fs, .ino = in);
    ATF_CHECK_EQ(r->total_bytes, (uint64_t)1 << 40); /* three nodes, three replicas */
    set_quota(&b, "/q", 100, 10000);
    set_quota(&b, "/q/sub", -1, 50000);
    r = ASK(&b.t, "statFs", StatFs, stat_fs, .ino = in);
    ATF_CHECK_EQ(r->total_bytes, 50000);
    ATF_CHECK_EQ(r->free_bytes, 10000); /* as much as the one above leaves */
    ATF_CHECK_EQ(r->total_names, 100);
    ATF_CHECK_EQ(r->free_names, 97);
    r = ASK(&b.t, "statFs", StatFs, stat_fs, .ino = q);
    ATF_CHECK_EQ(r->total_bytes, 10000);
    r = ASK(&b.t, "statFs", StatFs, stat_fs, .ino = ROOT);
    ATF_CHECK_EQ(r->total_bytes, (uint64_t)1 << 40);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(who_sets_them_and_what_is_none);
ATF_TC_BODY(who_sets_them_and_what_is_none, tc)
{
    struct bench b;
    bench_init(&b);
    make(&b.t, ROOT, "q", 040755);
    make(&b.t, ROOT, "f", 0100644);
    static const struct {
        const char *path;
        int64_t names, bytes;
        int want;
    } cases[] = {
        {"/none", 1, 1, -ENOENT}, {"/f", 1, 1, -HD_E_PATH_NOT_DIR}, {"/q", 0, 1, -EINVAL},
        {"/q", 1, -2, -EINVAL},   {"/q", -2, 1, -EINVAL},           {"/q", 1, 0, 0},
    };
    for (size_t n = 0; n < HD_ARRAY_COUNT(cases); n++) {
        uint64_t token = SEND(&b.t, "setTreeQuota", SetTreeQuota, set_tree_quota,
                              .path = S(cases[n].path), .has_names = true, .names = cases[n].names,
                              .has_bytes = true, .bytes = cases[n].bytes);
        ATF_CHECK_EQ_MSG(error_of(&b.t, token), cases[n].want, "case %zu", n);
    }
    Hdw__ListTreeQuotasResponse *r =
        ASK(&b.t, "listTreeQuotas", ListTreeQuotas, list_tree_quotas, .start_after = 0);
    ATF_REQUIRE_EQ(r->n_quotas, 1);
    ATF_CHECK_EQ(r->quotas[0]->path.len, 2);
    ATF_CHECK(!r->more);
    /* HDFS's own are of the same directory, and do not take ours away. */
    Hdw__SetQuotaRequest q = HDW__SET_QUOTA_REQUEST__INIT;
    q.path = S("/q");
    q.namespace_quota = (uint64_t)-1;
    q.storagespace_quota = 1000;
    uint64_t token = world_send(&b.w, CLIENT_PROTOCOL, "setQuota", &q, 1);
    mount_answer_all(&b.t, false); /* it knows the directory */
    ATF_CHECK_EQ(error_of(&b.t, token), 0);
    ATF_CHECK_EQ(get_quota(&b.t, "/q")->names, -1);
    ATF_CHECK_EQ(get_quota(&b.t, "/q")->bytes, 0);
    struct mount eve = {.w = &b.w, .name = "eve", .calls_conn = 1, .polls_conn = 1};
    b.w.user = "eve";
    ATF_CHECK_EQ(error_of(&eve, SEND(&eve, "setTreeQuota", SetTreeQuota, set_tree_quota,
                                     .path = S("/q"), .has_names = true, .names = 5)),
                 -EACCES);
    b.w.user = "root";
    bench_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, usage_is_what_a_count_gives);
    ATF_TP_ADD_TC(tp, what_moves_within_a_directory_does_not_add_to_it);
    ATF_TP_ADD_TC(tp, a_name_is_not_given_where_the_bytes_would_not_fit);
    ATF_TP_ADD_TC(tp, a_writer_is_promised_no_more_than_fits);
    ATF_TP_ADD_TC(tp, hdfs_s_writers_are_held_to_it_when_a_size_becomes_final);
    ATF_TP_ADD_TC(tp, statfs_shows_the_nearest_quota);
    ATF_TP_ADD_TC(tp, who_sets_them_and_what_is_none);
    return atf_no_error();
}
