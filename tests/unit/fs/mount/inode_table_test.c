/* The inode table: counting, names, paths, and a random walk against the kernel's rules. */
#include "fs/mount/inode_table.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <errno.h>
#include <string.h>

static const struct hd_seen seen = {.size_bytes = 7, .mtime_ms = 8, .gid = 9};

static void check_path(struct hd_inode_table *t, uint64_t ino, const char *want)
{
    char path[256];
    ATF_REQUIRE_EQ(hd_inode_path(t, ino, path, sizeof(path)), 0);
    ATF_CHECK_STREQ(path, want);
}

static struct hd_node *enter(struct hd_inode_table *t, uint64_t id, uint64_t parent,
                             const char *name)
{
    struct hd_node *n;
    ATF_REQUIRE_EQ(hd_inode_enter(t, id, parent, name, &seen, &n), 0);
    return n;
}

ATF_TC_WITHOUT_HEAD(the_root_is_one_here_and_its_own_number_there);
ATF_TC_BODY(the_root_is_one_here_and_its_own_number_there, tc)
{
    struct hd_inode_table t;
    char path[HD_INODE_PATH_BYTES];
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    ATF_CHECK_EQ(hd_inode_ino(&t, 16385), 1);
    ATF_CHECK_EQ(hd_inode_id(&t, 1), 16385);
    ATF_CHECK_EQ(hd_inode_ino(&t, 16386), 16386);
    hd_inode_object(&t, 1, path);
    ATF_CHECK_STREQ(path, "/.reserved/.inodes/16385");
    ATF_CHECK_EQ(hd_inode_child(&t, 20000, "a b", path), 0);
    ATF_CHECK_STREQ(path, "/.reserved/.inodes/20000/a b");
    char name[258] = {0};
    memset(name, 'n', 255);
    ATF_CHECK_EQ(hd_inode_child(&t, UINT64_MAX, name, path), 0);
    ATF_CHECK_STREQ(path + strlen(path) - 255, name);
    memset(name, 'n', 256);
    ATF_CHECK_EQ(hd_inode_child(&t, 20000, name, path), -ENAMETOOLONG);
    check_path(&t, 1, "/");
    hd_inode_forget(&t, 1, 1);
    check_path(&t, 1, "/");
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(a_node_lives_while_it_is_looked_up_or_pinned);
ATF_TC_BODY(a_node_lives_while_it_is_looked_up_or_pinned, tc)
{
    struct hd_inode_table t;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    struct hd_node *n = enter(&t, 20000, 1, "x");
    ATF_CHECK_EQ(enter(&t, 20000, 1, "x"), n);
    ATF_CHECK_EQ(n->nlookup, 2);
    ATF_CHECK_EQ(hd_inode_seen(&t, n).size_bytes, 7);
    hd_inode_forget(&t, 20000, 1);
    struct hd_node *pinned = hd_inode_get(&t, 20000);
    ATF_CHECK_EQ(pinned, n);
    hd_inode_forget(&t, 20000, 1);
    ATF_CHECK_EQ(hd_inode_get_child(&t, 1, "x"), n);
    hd_inode_put(&t, n);
    hd_inode_put(&t, n);
    ATF_CHECK_EQ(hd_inode_get(&t, 20000), NULL);
    ATF_CHECK_EQ(hd_inode_get_child(&t, 1, "x"), NULL);
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(paths_follow_renames);
ATF_TC_BODY(paths_follow_renames, tc)
{
    struct hd_inode_table t;
    char path[8];
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    enter(&t, 20000, 1, "a");
    enter(&t, 20001, 20000, "b");
    enter(&t, 20002, 20001, "c");
    check_path(&t, 20002, "/a/b/c");
    ATF_CHECK_EQ(hd_inode_parent(&t, 20002), 20001);
    ATF_CHECK_EQ(hd_inode_parent(&t, 1), 1);
    ATF_CHECK_EQ(hd_inode_parent(&t, 999), 1);
    ATF_CHECK_EQ(hd_inode_path(&t, 20002, path, 6), -ENAMETOOLONG);
    ATF_CHECK_EQ(hd_inode_path(&t, 20002, path, 7), 0);
    hd_inode_moved(&t, 20000, "b", 1, "d");
    check_path(&t, 20002, "/d/c");
    /* over another name: who was there has none */
    enter(&t, 20003, 1, "e");
    hd_inode_moved(&t, 1, "d", 1, "e");
    check_path(&t, 20002, "/e/c");
    ATF_CHECK_EQ(hd_inode_path(&t, 20003, path, sizeof(path)), -ENODATA);
    /* a file we never looked up takes a name: who was there has none */
    hd_inode_moved(&t, 1, "unknown", 1, "e");
    ATF_CHECK_EQ(hd_inode_path(&t, 20002, path, sizeof(path)), -ENODATA);
    hd_inode_unlinked(&t, 1, "a");
    ATF_CHECK_EQ(hd_inode_path(&t, 20000, path, sizeof(path)), -ENODATA);
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(another_inode_under_a_name_takes_it_over);
ATF_TC_BODY(another_inode_under_a_name_takes_it_over, tc)
{
    struct hd_inode_table t;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    enter(&t, 20000, 1, "x");
    struct hd_node *n = enter(&t, 20001, 1, "x");
    struct hd_node *got = hd_inode_get_child(&t, 1, "x");
    ATF_CHECK_EQ(got, n);
    hd_inode_put(&t, got);
    hd_inode_forget(&t, 20000, 1);
    got = hd_inode_get_child(&t, 1, "x");
    ATF_CHECK_EQ(got, n);
    hd_inode_put(&t, got);
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(dirty_nodes_are_given_with_a_pin);
ATF_TC_BODY(dirty_nodes_are_given_with_a_pin, tc)
{
    struct hd_inode_table t;
    struct hd_node *got[4];
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    struct hd_node *a = enter(&t, 20000, 1, "a");
    struct hd_node *b = enter(&t, 20001, 1, "b");
    ATF_CHECK_EQ(hd_inode_dirty_nodes(&t, got, 4), 0);
    hd_inode_mark_dirty(&t, a, true);
    hd_inode_mark_dirty(&t, a, true);
    hd_inode_mark_dirty(&t, b, true);
    ATF_REQUIRE_EQ(hd_inode_dirty_nodes(&t, got, 4), 2);
    ATF_CHECK(got[0] == a && got[1] == b);
    hd_inode_put(&t, a);
    hd_inode_put(&t, b);
    ATF_REQUIRE_EQ(hd_inode_dirty_nodes(&t, got, 1), 1);
    hd_inode_put(&t, got[0]);
    hd_inode_mark_dirty(&t, a, false);
    hd_inode_mark_dirty(&t, b, false);
    ATF_CHECK_EQ(hd_inode_dirty_nodes(&t, got, 4), 0);
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(lookups_and_forgets_balance);
ATF_TC_BODY(lookups_and_forgets_balance, tc)
{
    enum { INODES = 200, STEPS = 100000 };
    static uint64_t lookups[INODES];
    struct hd_prng prng = {5};
    struct hd_inode_table t;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    for (int i = 0; i < STEPS; i++) {
        uint64_t at = hd_prng_below(&prng, INODES);
        char name[16];
        snprintf(name, sizeof(name), "n%u", (unsigned)hd_prng_below(&prng, 50));
        switch (hd_prng_below(&prng, 4)) {
        case 0:
        case 1:
            enter(&t, 20000 + at, 1, name);
            lookups[at]++;
            break;
        case 2:
            if (lookups[at] > 0) {
                uint64_t n = 1 + hd_prng_below(&prng, lookups[at]);
                hd_inode_forget(&t, 20000 + at, n);
                lookups[at] -= n;
            }
            break;
        default:
            hd_inode_moved(&t, 1, name, 1, "other");
            break;
        }
        struct hd_node *n = hd_inode_get(&t, 20000 + at);
        ATF_REQUIRE_EQ(n != NULL, lookups[at] > 0);
        hd_inode_put(&t, n);
    }
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(attributes_of_a_directory_are_kept_for_their_time);
ATF_TC_BODY(attributes_of_a_directory_are_kept_for_their_time, tc)
{
    struct hd_inode_table t;
    struct stat st = {.st_mode = S_IFDIR | 0755, .st_nlink = 2};
    struct stat got;
    int64_t left_ms;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    uint64_t root = HD_MOUNT_ROOT_INO;
    ATF_CHECK(!hd_inode_kept_dir(&t, root, 100, &got, &left_ms));
    hd_inode_keep_dir(&t, root, hd_inode_dir_changes(&t, root), &st, 1100);
    ATF_REQUIRE(hd_inode_kept_dir(&t, root, 400, &got, &left_ms));
    ATF_CHECK_EQ(left_ms, 700);
    hd_inode_dir_changed(&t, root, 5004);
    ATF_REQUIRE(hd_inode_kept_dir(&t, root, 400, &got, &left_ms));
    ATF_CHECK_EQ(got.st_mtim.tv_sec, 5);
    ATF_CHECK_EQ(got.st_mtim.tv_nsec, 4000000);
    ATF_CHECK_EQ(got.st_nlink, 3u);
    ATF_CHECK(!hd_inode_kept_dir(&t, root, 1100, &got, &left_ms));
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(what_a_change_overtook_is_not_kept);
ATF_TC_BODY(what_a_change_overtook_is_not_kept, tc)
{
    struct hd_inode_table t;
    struct stat st = {.st_mode = S_IFDIR | 0755, .st_nlink = 2};
    int64_t left_ms;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    uint64_t root = HD_MOUNT_ROOT_INO;
    uint32_t before = hd_inode_dir_changes(&t, root);
    hd_inode_dir_changed(&t, root, 5004);
    hd_inode_keep_dir(&t, root, before, &st, 1100);
    ATF_CHECK(!hd_inode_kept_dir(&t, root, 400, &st, &left_ms));
    hd_inode_keep_dir(&t, root, hd_inode_dir_changes(&t, root), &st, 1100);
    hd_inode_dir_changed(&t, root, 0);
    ATF_CHECK(!hd_inode_kept_dir(&t, root, 400, &st, &left_ms));
    hd_inode_dir_changed(&t, 12345, 0); /* not known: no harm */
    hd_inode_table_done(&t);
}

static struct hd_node *enter_alias(struct hd_inode_table *t, uint64_t id, uint64_t parent,
                                   const char *name)
{
    struct hd_node *n;
    ATF_REQUIRE_EQ(hd_inode_enter_alias(t, id, parent, name, &seen, &n), 0);
    return n;
}

ATF_TC_WITHOUT_HEAD(a_file_may_have_several_names);
ATF_TC_BODY(a_file_may_have_several_names, tc)
{
    struct hd_inode_table t;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    struct hd_node *n = enter_alias(&t, 20000, 1, "a");
    ATF_CHECK_EQ(enter_alias(&t, 20000, 1, "b"), n);
    ATF_CHECK_EQ(enter_alias(&t, 20000, 1, "c"), n);
    ATF_CHECK_EQ(enter_alias(&t, 20000, 1, "a"), n);
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "a"), n);
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "b"), n);
    hd_inode_unlinked(&t, 1, "b");
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "b"), NULL);
    hd_inode_unlinked(&t, 1, "c");
    check_path(&t, 20000, "/a");
    hd_inode_moved(&t, 1, "a", 1, "d");
    check_path(&t, 20000, "/d");
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "a"), NULL);
    struct hd_node *other = enter_alias(&t, 20001, 1, "d"); /* the name is another's now */
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "d"), other);
    ATF_CHECK_EQ(n->name, NULL);
    hd_inode_forget(&t, 20000, 4);
    ATF_CHECK_EQ(hd_inode_find(&t, 20000), NULL);
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "d"), other);
    hd_inode_table_done(&t);
}

ATF_TC_WITHOUT_HEAD(two_names_can_be_exchanged);
ATF_TC_BODY(two_names_can_be_exchanged, tc)
{
    struct hd_inode_table t;
    ATF_REQUIRE_EQ(hd_inode_table_init(&t, 16385), 0);
    struct hd_node *a = enter_alias(&t, 20000, 1, "a");
    struct hd_node *b = enter_alias(&t, 20001, 1, "b");
    hd_inode_exchanged(&t, 1, "a", 1, "b");
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "a"), b);
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "b"), a);
    check_path(&t, 20000, "/b");
    hd_inode_exchanged(&t, 1, "b", 1, "nobody we know");
    ATF_CHECK_EQ(hd_inode_find_child(&t, 1, "b"), NULL);
    check_path(&t, 20000, "/nobody we know");
    hd_inode_table_done(&t);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_file_may_have_several_names);
    ATF_TP_ADD_TC(tp, two_names_can_be_exchanged);
    ATF_TP_ADD_TC(tp, the_root_is_one_here_and_its_own_number_there);
    ATF_TP_ADD_TC(tp, a_node_lives_while_it_is_looked_up_or_pinned);
    ATF_TP_ADD_TC(tp, paths_follow_renames);
    ATF_TP_ADD_TC(tp, another_inode_under_a_name_takes_it_over);
    ATF_TP_ADD_TC(tp, dirty_nodes_are_given_with_a_pin);
    ATF_TP_ADD_TC(tp, lookups_and_forgets_balance);
    ATF_TP_ADD_TC(tp, attributes_of_a_directory_are_kept_for_their_time);
    ATF_TP_ADD_TC(tp, what_a_change_overtook_is_not_kept);
    return atf_no_error();
}
