/* Names through PosixProtocol: types, further names, removal, moves, attributes, permissions. */
#include "tests/unit/meta/core/mounts.h"
#include "tests/unit/meta/core/posix_calls.h"

/* ---- making and looking ---- */

ATF_TC_WITHOUT_HEAD(every_type_is_made_and_loaded_again);
ATF_TC_BODY(every_type_is_made_and_loaded_again, tc)
{
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
    struct world w;
    char name[8];
    world_init(&w);
    for (unsigned n = 0; n < HD_ARRAY_COUNT(types); n++) {
        snprintf(name, sizeof(name), "n%u", n);
        Hdw__MakeNodeResponse *r = NULL;
        ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = ROOT,
                             .name = text_bytes(name), .mode = types[n] | 07777, .has_umask = true,
                             .umask = 022, .has_rdev = true, .rdev = 0x1234),
                       0);
        bool device = types[n] == S_IFCHR || types[n] == S_IFBLK;
        ATF_CHECK_EQ(r->attr->mode, types[n] | 07755);
        ATF_CHECK_EQ(r->attr->nlink, types[n] == S_IFDIR ? 2 : 1);
        ATF_CHECK_EQ(r->attr->mtime_ns, w.wall_ms * 1000000);
        ATF_CHECK_EQ(r->attr->ctime_ns, w.wall_ms * 1000000);
        ATF_CHECK_EQ(r->attr->atime_ns, w.wall_ms * 1000000);
        ATF_CHECK_EQ(r->attr->rdev, device ? 0x1234 : 0);
        ATF_CHECK_EQ(r->parent->ino, ROOT);
    }
    ATF_CHECK_EQ(px_attr(&w, ROOT)->nlink, 3);
    world_check(&w);
    world_restart(&w);
    for (unsigned n = 0; n < HD_ARRAY_COUNT(types); n++) {
        snprintf(name, sizeof(name), "n%u", n);
        ATF_CHECK_EQ(px_lookup(&w, ROOT, name)->mode, types[n] | 07755);
    }
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "n4")->rdev, 0x1234);
    ATF_CHECK_EQ(px_make(&w, ROOT, "no", S_IFLNK | 0777, NULL), -EINVAL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(hdfs_sees_special_files_as_empty_ones_and_no_set_id_bits);
ATF_TC_BODY(hdfs_sees_special_files_as_empty_ones_and_no_set_id_bits, tc)
{
    struct world w;
    world_init(&w);
    px_new(&w, ROOT, "pipe", S_IFIFO | 06755);
    const Hdw__HdfsFileStatus *s = do_stat(&w, "/pipe");
    ATF_CHECK_EQ(s->file_type, HDW__FILE_TYPE__IS_FILE);
    ATF_CHECK_EQ(s->length, 0);
    ATF_CHECK_EQ(s->permission->perm, 0755);
    ATF_CHECK_EQ(do_locate(&w, "/pipe")->file_length, 0);
    ATF_CHECK(do_delete(&w, "/pipe", false));
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(names_are_any_bytes_but_two);
ATF_TC_BODY(names_are_any_bytes_but_two, tc)
{
    struct world w;
    char name[257];
    memset(name, 'x', 256);
    name[256] = '\0';
    world_init(&w);
    ATF_CHECK_EQ(px_make(&w, ROOT, name, S_IFREG, NULL), -HD_E_NAME_TOO_LONG);
    name[255] = '\0';
    ATF_CHECK_EQ(px_make(&w, ROOT, name, S_IFREG, NULL), 0);
    ATF_CHECK_EQ(px_make(&w, ROOT, "\xff\x01:\n", S_IFREG, NULL), 0);
    ATF_CHECK_EQ(px_make(&w, ROOT, "a/b", S_IFREG, NULL), -EINVAL);
    ATF_CHECK_EQ(px_make(&w, ROOT, "", S_IFREG, NULL), -ENOENT);
    ATF_CHECK_EQ(px_make(&w, ROOT, ".", S_IFDIR, NULL), -EEXIST);
    ATF_CHECK_EQ(px_make(&w, ROOT, "..", S_IFDIR, NULL), -EEXIST);
    ATF_CHECK_EQ(px_make(&w, ROOT, ".reserved", S_IFDIR, NULL), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_make(&w, 99, "x", S_IFREG, NULL), -ESTALE);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, ".")->ino, ROOT);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "..")->ino, ROOT);
    uint64_t dir = px_new(&w, ROOT, "dir", S_IFDIR | 0755);
    uint64_t file = px_new(&w, dir, "file", S_IFREG | 0644);
    ATF_CHECK_EQ(px_lookup(&w, dir, "..")->ino, ROOT);
    ATF_CHECK_EQ(px_attr(&w, dir)->parent, ROOT);
    ATF_CHECK_EQ(px_make(&w, file, "x", S_IFREG, NULL), -ENOTDIR);
    ATF_CHECK_EQ(px_make(&w, dir, "file", S_IFREG, NULL), -EEXIST);
    ATF_CHECK_EQ(px_make(&w, dir, "file", S_IFDIR, NULL), -EEXIST);
    Hdw__MakeNodeResponse *r = NULL;
    ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = dir,
                         .name = text_bytes("file"), .mode = S_IFREG),
                   0);
    ATF_CHECK(r->existed);
    ATF_CHECK_EQ(r->attr->ino, file);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(directories_are_read_in_pages);
ATF_TC_BODY(directories_are_read_in_pages, tc)
{
    struct world w;
    char name[8];
    char after[8] = "";
    int seen = 0;
    world_init(&w);
    for (int n = 0; n < 25; n++) {
        snprintf(name, sizeof(name), "f%02d", n);
        px_new(&w, ROOT, name, S_IFREG | 0644);
    }
    for (bool more = true; more;) {
        Hdw__ReadDirResponse *r = NULL;
        ATF_REQUIRE_EQ(POSIX(&w, "readDir", ReadDir, read_dir, &r, .ino = ROOT,
                             .start_after = text_bytes(after), .max = 10),
                       0);
        for (size_t n = 0; n < r->n_entries; n++, seen++) {
            snprintf(name, sizeof(name), "f%02d", seen);
            ATF_CHECK(r->entries[n]->name.len == 3 &&
                      memcmp(r->entries[n]->name.data, name, 3) == 0);
            snprintf(after, sizeof(after), "%s", name);
        }
        more = r->more;
    }
    ATF_CHECK_EQ(seen, 25);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_setgid_directory_gives_its_group_and_its_bit);
ATF_TC_BODY(a_setgid_directory_gives_its_group_and_its_bit, tc)
{
    struct world w;
    Hdw__MakeNodeResponse *r = NULL;
    Hdw__PosixCred cred = HDW__POSIX_CRED__INIT;
    cred.user = S("ann");
    cred.group = S("staff");
    world_init(&w);
    uint64_t dir = px_new(&w, ROOT, "dir", S_IFDIR | 02775);
    ATF_REQUIRE_EQ(px_set(&w, dir, (Hdw__PosixAttrChange){.group = S("web")}, NULL), 0);
    ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = dir,
                         .name = text_bytes("sub"), .mode = S_IFDIR | 0755, .cred = &cred),
                   0);
    ATF_CHECK_STREQ(r->attr->user, "ann");
    ATF_CHECK_STREQ(r->attr->group, "web");
    ATF_CHECK_EQ(r->attr->mode, S_IFDIR | 02755);
    ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = dir,
                         .name = text_bytes("file"), .mode = S_IFREG | 0644, .cred = &cred),
                   0);
    ATF_CHECK_STREQ(r->attr->group, "web");
    ATF_CHECK_EQ(r->attr->mode, S_IFREG | 0644);
    ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = ROOT,
                         .name = text_bytes("file"), .mode = S_IFREG | 0644, .cred = &cred),
                   0);
    ATF_CHECK_STREQ(r->attr->group, "staff");
    do_mkdirs(&w, "/dir/hdfs", 0755);
    ATF_CHECK_EQ(px_lookup(&w, dir, "hdfs")->mode, S_IFDIR | 02755);
    world_check(&w);
    world_done(&w);
}

/* ---- further names ---- */

ATF_TC_WITHOUT_HEAD(a_file_lives_until_its_last_name_goes);
ATF_TC_BODY(a_file_lives_until_its_last_name_goes, tc)
{
    struct world w;
    world_init(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    do_mkdirs(&w, "/d", 0755);
    do_write(&w, "/d/first", 100);
    uint64_t dir = px_lookup(&w, ROOT, "d")->ino;
    uint64_t file = px_lookup(&w, dir, "first")->ino;
    w.wall_ms += 1000;
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "second"), 0);
    ATF_REQUIRE_EQ(px_link(&w, file, dir, "third"), 0);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 3);
    ATF_CHECK_EQ(px_attr(&w, file)->ctime_ns, w.wall_ms * 1000000);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "second")->ino, file);
    ATF_CHECK_EQ(do_stat(&w, "/second")->file_id, file);
    ATF_CHECK_EQ(do_stat(&w, "/second")->length, 100);
    ATF_CHECK_EQ(do_locate(&w, "/second")->n_blocks, 1);
    world_check(&w);
    ATF_REQUIRE_EQ(px_unlink(&w, dir, "first"), 0); /* the file's own place */
    ATF_CHECK(px_lookup(&w, dir, "first") == NULL);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "second")->ino, file);
    ATF_CHECK_EQ(px_lookup(&w, dir, "third")->nlink, 2);
    world_check(&w);
    world_restart(&w);
    ATF_CHECK_EQ(px_lookup(&w, dir, "third")->nlink, 2);
    ATF_REQUIRE_EQ(hd_safe_mode_on(w.m), true);
    for (int n = 1; n <= 3; n++) {
        node_register(&w, n);
        node_beat(&w, n);
    }
    CALL(&w, "setSafeMode", SetSafeMode, set_safe_mode, .action = 1);
    ATF_REQUIRE_EQ(px_unlink(&w, dir, "third"), 0);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 1);
    world_check(&w);
    Hdw__UnlinkResponse *r = NULL;
    ATF_REQUIRE_EQ(px_remove(&w, ROOT, "second", false, false, &r), 0);
    ATF_CHECK_EQ(r->attr->nlink, 0);
    ATF_CHECK(px_attr(&w, file) == NULL);
    ATF_CHECK_EQ(w.m->ns.blocks.count, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(listings_show_the_file_under_each_name);
ATF_TC_BODY(listings_show_the_file_under_each_name, tc)
{
    struct world w;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "b", S_IFREG | 0640);
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "a"), 0);
    const Hdw__DirectoryListing *l =
        CALL(&w, "getListing", GetListing, get_listing, .src = S("/"))->dir_list;
    ATF_REQUIRE_EQ(l->n_partial_listing, 2);
    ATF_CHECK_EQ(l->partial_listing[0]->path.data[0], 'a');
    ATF_CHECK_EQ(l->partial_listing[0]->file_id, file);
    ATF_CHECK_EQ(l->partial_listing[0]->permission->perm, 0640);
    Hdw__ReadDirResponse *r = NULL;
    ATF_REQUIRE_EQ(POSIX(&w, "readDir", ReadDir, read_dir, &r, .ino = ROOT, .max = 10), 0);
    ATF_REQUIRE_EQ(r->n_entries, 2);
    ATF_CHECK_EQ(r->entries[0]->attr->ino, file);
    ATF_CHECK_EQ(r->entries[1]->attr->ino, file);
    const Hdw__ContentSummary *s =
        CALL(&w, "getContentSummary", GetContentSummary, get_content_summary, .path = S("/"))
            ->summary;
    ATF_CHECK_EQ(s->file_count, 2); /* names */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_tree_that_goes_takes_only_its_own_names);
ATF_TC_BODY(a_tree_that_goes_takes_only_its_own_names, tc)
{
    struct world w;
    world_init(&w);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    uint64_t in = px_new(&w, dir, "in", S_IFREG | 0644);
    uint64_t out = px_new(&w, ROOT, "out", S_IFREG | 0644);
    uint64_t both = px_new(&w, dir, "both", S_IFREG | 0644);
    ATF_REQUIRE_EQ(px_link(&w, in, dir, "again"), 0);
    ATF_REQUIRE_EQ(px_link(&w, in, ROOT, "kept"), 0);
    ATF_REQUIRE_EQ(px_link(&w, out, dir, "inside"), 0);
    ATF_REQUIRE_EQ(px_link(&w, both, dir, "both2"), 0);
    ATF_REQUIRE(do_delete(&w, "/d", true));
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "kept")->ino, in);
    ATF_CHECK_EQ(px_attr(&w, in)->nlink, 1);
    ATF_CHECK_EQ(px_attr(&w, out)->nlink, 1);
    ATF_CHECK(px_attr(&w, both) == NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(hdfs_removes_and_replaces_one_name_of_several);
ATF_TC_BODY(hdfs_removes_and_replaces_one_name_of_several, tc)
{
    struct world w;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "a", S_IFREG | 0644);
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "b"), 0);
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "c"), 0);
    ATF_REQUIRE_EQ(try_create(&w, "/c", "writer", 3, 1)->err, 0); /* over it */
    ATF_CHECK(px_lookup(&w, ROOT, "c")->ino != file);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 2);
    ATF_REQUIRE_EQ(try_create(&w, "/a", "writer", 3, 1)->err, 0); /* the file's own place */
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "b")->ino, file);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 1);
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "d"), 0);
    CALL(&w, "rename2", Rename2, rename2, .src = S("/d"), .dst = S("/e"));
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "e")->ino, file);
    CALL_FAILS(&w, -EEXIST, NULL, "rename2", Rename2, rename2, .src = S("/e"), .dst = S("/b"),
               .overwrite_dest = true); /* the same file */
    CALL(&w, "rename2", Rename2, rename2, .src = S("/c"), .dst = S("/e"), .overwrite_dest = true);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 1);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "b")->ino, file);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_cannot_be_linked_is_refused);
ATF_TC_BODY(what_cannot_be_linked_is_refused, tc)
{
    struct world w;
    world_init(&w);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    uint64_t file = px_new(&w, ROOT, "f", S_IFREG | 0644);
    ATF_CHECK_EQ(px_link(&w, dir, ROOT, "x"), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_link(&w, file, ROOT, "f"), -EEXIST);
    ATF_CHECK_EQ(px_link(&w, 99, ROOT, "x"), -ESTALE);
    Hdw__MakeSymlinkResponse *r = NULL;
    ATF_REQUIRE_EQ(px_symlink(&w, ROOT, "s", "f", &r), 0);
    ATF_CHECK_EQ(px_link(&w, r->attr->ino, dir, "s2"), 0); /* a symlink has names, too */
    ATF_CHECK_EQ(px_lookup(&w, dir, "s2")->nlink, 2);
    ATF_CHECK_EQ(px_lookup(&w, dir, "s2")->target.len, 1);
    CALL_FAILS(&w, -HD_E_UNRESOLVED_LINK, "/d/f", "getFileInfo", GetFileInfo, get_file_info,
               .src = S("/d/s2"));
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(quotas_count_names_and_the_bytes_once);
ATF_TC_BODY(quotas_count_names_and_the_bytes_once, tc)
{
    static const char *const paths[] = {"/a", "/b"};
    struct world w;
    world_init(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    do_mkdirs(&w, "/a", 0755);
    do_mkdirs(&w, "/b", 0755);
    do_write(&w, "/a/f", 100);
    for (size_t n = 0; n < 2; n++) {
        CALL(&w, "setQuota", SetQuota, set_quota, .path = S(paths[n]), .namespace_quota = 3,
             .storagespace_quota = 1 << 30);
    }
    uint64_t a = px_lookup(&w, ROOT, "a")->ino;
    uint64_t b = px_lookup(&w, ROOT, "b")->ino;
    uint64_t file = px_lookup(&w, a, "f")->ino;
    const struct hd_quota *qa = hd_ns_quota(&w.m->ns, hd_ns_inode(&w.m->ns, a));
    const struct hd_quota *qb = hd_ns_quota(&w.m->ns, hd_ns_inode(&w.m->ns, b));
    ATF_REQUIRE_EQ(px_link(&w, file, b, "g"), 0);
    ATF_REQUIRE_EQ(px_link(&w, file, b, "h"), 0);
    ATF_CHECK_EQ(px_link(&w, file, b, "i"), -HD_E_NS_QUOTA);
    ATF_CHECK_EQ(qb->used_names, 3);
    ATF_CHECK_EQ(qb->used_bytes, 0);
    ATF_CHECK_EQ(qa->used_bytes, 300);
    ATF_REQUIRE_EQ(px_unlink(&w, a, "f"), 0);
    ATF_CHECK_EQ(qa->used_names, 1);
    ATF_CHECK_EQ(qa->used_bytes, 0);
    ATF_CHECK_EQ(qb->used_names, 3);
    ATF_CHECK_EQ(qb->used_bytes, 300);
    world_check(&w);
    world_done(&w);
}

/* ---- unlinking ---- */

ATF_TC_WITHOUT_HEAD(unlink_and_rmdir_fail_as_posix_says);
ATF_TC_BODY(unlink_and_rmdir_fail_as_posix_says, tc)
{
    struct world w;
    world_init(&w);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    px_new(&w, dir, "f", S_IFREG | 0644);
    ATF_CHECK_EQ(px_unlink(&w, ROOT, "d"), -EISDIR);
    ATF_CHECK_EQ(px_rmdir(&w, dir, "f"), -ENOTDIR);
    ATF_CHECK_EQ(px_rmdir(&w, ROOT, "d"), -ENOTEMPTY);
    ATF_CHECK_EQ(px_rmdir(&w, ROOT, "no"), -ENOENT);
    ATF_CHECK_EQ(px_rmdir(&w, dir, "."), -EINVAL);
    ATF_CHECK_EQ(px_rmdir(&w, dir, ".."), -ENOTEMPTY);
    ATF_CHECK_EQ(px_unlink(&w, dir, "f"), 0);
    Hdw__UnlinkResponse *r = NULL;
    w.wall_ms += 5;
    ATF_CHECK_EQ(px_remove(&w, ROOT, "d", true, false, &r), 0);
    ATF_CHECK_EQ(r->attr->ino, dir);
    ATF_CHECK_EQ(r->attr->nlink, 0);
    ATF_CHECK_EQ(r->parent->nlink, 2);
    ATF_CHECK_EQ(r->parent->mtime_ns, w.wall_ms * 1000000);
    ATF_CHECK_EQ(px_unlink(&w, dir, "f"), -ESTALE);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(files_open_in_a_tree_that_hdfs_deletes_stay_without_a_name);
ATF_TC_BODY(files_open_in_a_tree_that_hdfs_deletes_stay_without_a_name, tc)
{
    struct world w;
    uint64_t files[4];
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    uint64_t dir = mount_make(&a, ROOT, "d", S_IFDIR | 0755);
    for (int n = 0; n < 4; n++) {
        char name[] = {(char)('z' - n), '\0'}; /* numbers rise against the order of names */
        files[n] = mount_make(&a, dir, name, S_IFREG | 0644);
    }
    mount_poll(&a, 3000);
    Hdw__DeleteRequest q = HDW__DELETE_REQUEST__INIT;
    q.src = S("/d");
    q.recursive = true;
    uint64_t token = world_send(&w, CLIENT_PROTOCOL, "delete", &q, 1);
    for (int n = 0; n < 4; n++) {
        ATF_CHECK(mount_push_of(&a, HDW__PUSH_KIND__PUSH_GONE, files[n]) != NULL);
    }
    mount_answer_all(&a, true);
    ATF_REQUIRE(is_answered(&a, token));
    for (int n = 0; n < 4; n++) {
        ATF_CHECK_EQ(px_attr(&w, files[n])->nlink, 0);
    }
    ATF_CHECK(px_attr(&w, dir) == NULL);
    world_check(&w);
    world_done(&w);
}

/* ---- moves ---- */

ATF_TC_WITHOUT_HEAD(move_fails_as_rename_says);
ATF_TC_BODY(move_fails_as_rename_says, tc)
{
    struct world w;
    world_init(&w);
    uint64_t d = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    uint64_t e = px_new(&w, d, "e", S_IFDIR | 0755);
    px_new(&w, ROOT, "f", S_IFREG | 0644);
    px_new(&w, ROOT, "empty", S_IFDIR | 0755);
    ATF_CHECK_EQ(px_move(&w, ROOT, "d", e, "x", 0, NULL), -EINVAL);
    ATF_CHECK_EQ(px_move(&w, ROOT, "d", d, "x", 0, NULL), -EINVAL);
    ATF_CHECK_EQ(px_move(&w, d, "e", ROOT, "d", 0, NULL), -ENOTEMPTY);
    ATF_CHECK_EQ(px_move(&w, d, "e", ROOT, "d", EXCHANGE, NULL), -EINVAL);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "d", 0, NULL), -EISDIR);
    ATF_CHECK_EQ(px_move(&w, ROOT, "d", ROOT, "f", 0, NULL), -ENOTDIR);
    ATF_CHECK_EQ(px_move(&w, ROOT, "empty", ROOT, "d", 0, NULL), -ENOTEMPTY);
    ATF_CHECK_EQ(px_move(&w, ROOT, "no", ROOT, "x", 0, NULL), -ENOENT);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "x", EXCHANGE, NULL), -ENOENT);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "d", NO_REPLACE, NULL), -EEXIST);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "f", NO_REPLACE, NULL), -EEXIST);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "d", NO_REPLACE | EXCHANGE, NULL), -EINVAL);
    ATF_CHECK_EQ(px_move(&w, ROOT, "f", ROOT, "f", 0, NULL), 0);
    ATF_CHECK_EQ(px_move(&w, d, "e", ROOT, "empty", 0, NULL), 0);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "empty")->ino, e);
    ATF_CHECK_EQ(px_attr(&w, d)->nlink, 2);
    ATF_CHECK_EQ(px_attr(&w, ROOT)->nlink, 4);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(two_names_of_one_file_both_stay);
ATF_TC_BODY(two_names_of_one_file_both_stay, tc)
{
    struct world w;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "a", S_IFREG | 0644);
    ATF_REQUIRE_EQ(px_link(&w, file, ROOT, "b"), 0);
    ATF_CHECK_EQ(px_move(&w, ROOT, "a", ROOT, "b", 0, NULL), 0);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 2);
    ATF_CHECK_EQ(px_move(&w, ROOT, "b", ROOT, "a", EXCHANGE, NULL), 0);
    ATF_CHECK_EQ(px_attr(&w, file)->nlink, 2);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(exchange_swaps_names_and_places);
ATF_TC_BODY(exchange_swaps_names_and_places, tc)
{
    struct world w;
    world_init(&w);
    uint64_t d = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    uint64_t sub = px_new(&w, d, "sub", S_IFDIR | 0755);
    px_new(&w, sub, "deep", S_IFREG | 0644);
    uint64_t file = px_new(&w, ROOT, "file", S_IFREG | 0644);
    CALL(&w, "setQuota", SetQuota, set_quota, .path = S("/d"), .namespace_quota = 10,
         .storagespace_quota = INT64_MAX);
    Hdw__MoveResponse *r = NULL;
    ATF_REQUIRE_EQ(px_move(&w, d, "sub", ROOT, "file", EXCHANGE, &r), 0);
    ATF_CHECK_EQ(r->attr->ino, sub);
    ATF_CHECK_EQ(r->other->ino, file);
    ATF_CHECK_EQ(r->from_parent->nlink, 2);
    ATF_CHECK_EQ(r->to_parent->nlink, 4);
    ATF_CHECK_EQ(px_lookup(&w, d, "sub")->ino, file);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "file")->ino, sub);
    ATF_CHECK_EQ(hd_ns_quota(&w.m->ns, hd_ns_inode(&w.m->ns, d))->used_names, 2);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_replaced_file_goes_but_for_its_other_names);
ATF_TC_BODY(a_replaced_file_goes_but_for_its_other_names, tc)
{
    struct world w;
    world_init(&w);
    uint64_t old = px_new(&w, ROOT, "old", S_IFREG | 0644);
    uint64_t new = px_new(&w, ROOT, "new", S_IFREG | 0644);
    ATF_REQUIRE_EQ(px_link(&w, old, ROOT, "other"), 0);
    ATF_REQUIRE_EQ(px_link(&w, new, ROOT, "new2"), 0);
    Hdw__MoveResponse *r = NULL;
    ATF_REQUIRE_EQ(px_move(&w, ROOT, "new2", ROOT, "old", 0, &r), 0);
    ATF_CHECK_EQ(r->attr->ino, new);
    ATF_CHECK_EQ(r->attr->nlink, 2);
    ATF_CHECK_EQ(r->other->ino, old);
    ATF_CHECK_EQ(r->other->nlink, 1);
    ATF_CHECK_EQ(px_lookup(&w, ROOT, "other")->ino, old);
    world_check(&w);
    ATF_REQUIRE_EQ(px_move(&w, ROOT, "new", ROOT, "other", 0, &r), 0);
    ATF_CHECK_EQ(r->other->nlink, 0);
    ATF_CHECK(px_attr(&w, old) == NULL);
    world_check(&w);
    world_done(&w);
}

/* ---- attributes ---- */

ATF_TC_WITHOUT_HEAD(times_have_nanoseconds_also_before_1970);
ATF_TC_BODY(times_have_nanoseconds_also_before_1970, tc)
{
    const Hdw__PosixAttrChange both = {.has_mtime_ns = true,
                                       .mtime_ns = -1,
                                       .has_atime_ns = true,
                                       .atime_ns = 1234567890123456789};
    const Hdw__PosixAttrChange now = {.has_mtime_now = true, .mtime_now = true};
    struct world w;
    Hdw__PosixAttr *a;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "f", S_IFREG | 0644);
    w.wall_ms += 7;
    ATF_REQUIRE_EQ(px_set(&w, file, both, &a), 0);
    ATF_CHECK_EQ(a->mtime_ns, -1);
    ATF_CHECK_EQ(a->atime_ns, 1234567890123456789);
    ATF_CHECK_EQ(a->ctime_ns, w.wall_ms * 1000000);
    world_check(&w);
    world_restart(&w);
    ATF_CHECK_EQ(px_attr(&w, file)->mtime_ns, -1);
    ATF_CHECK_EQ(px_attr(&w, file)->atime_ns, 1234567890123456789);
    ATF_REQUIRE_EQ(px_set(&w, file, now, &a), 0);
    ATF_CHECK_EQ(a->mtime_ns, w.wall_ms * 1000000);
    ATF_CHECK_EQ(a->atime_ns, 1234567890123456789);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_new_owner_takes_the_set_id_bits_off);
ATF_TC_BODY(a_new_owner_takes_the_set_id_bits_off, tc)
{
    const Hdw__PosixAttrChange bad_mode = {.has_mode = true, .mode = 010000};
    struct world w;
    Hdw__PosixAttr *a;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "f", S_IFREG | 06755);
    uint64_t locked = px_new(&w, ROOT, "l", S_IFREG | 06745);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 06755);
    ATF_REQUIRE_EQ(px_set(&w, file, (Hdw__PosixAttrChange){.user = S("ann")}, &a), 0);
    ATF_CHECK_EQ(a->mode, S_IFREG | 0755);
    ATF_CHECK_STREQ(a->user, "ann");
    ATF_REQUIRE_EQ(px_set(&w, locked, (Hdw__PosixAttrChange){.group = S("staff")}, &a), 0);
    ATF_CHECK_EQ(a->mode, S_IFREG | 02745);
    ATF_REQUIRE_EQ(px_set(&w, dir, (Hdw__PosixAttrChange){.user = S("ann")}, &a), 0);
    ATF_CHECK_EQ(a->mode, S_IFDIR | 06755);
    ATF_CHECK_EQ(px_set(&w, dir, (Hdw__PosixAttrChange){.user = S("")}, NULL), -EINVAL);
    ATF_CHECK_EQ(px_set(&w, dir, bad_mode, NULL), -EINVAL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(hdfs_modes_leave_a_directorys_setgid_bit);
ATF_TC_BODY(hdfs_modes_leave_a_directorys_setgid_bit, tc)
{
    struct world w;
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    perm.perm = 0700;
    world_init(&w);
    uint64_t file = px_new(&w, ROOT, "f", S_IFREG | 06755);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 02755);
    uint64_t other = px_new(&w, ROOT, "o", S_IFREG | 06755);
    CALL(&w, "setPermission", SetPermission, set_permission, .src = S("/f"), .permission = &perm);
    CALL(&w, "setPermission", SetPermission, set_permission, .src = S("/d"), .permission = &perm);
    CALL(&w, "setOwner", SetOwner, set_owner, .src = S("/o"), .username = S("ann"));
    ATF_CHECK_EQ(px_attr(&w, file)->mode, S_IFREG | 0700);
    ATF_CHECK_EQ(px_attr(&w, dir)->mode, S_IFDIR | 02700);
    ATF_CHECK_EQ(px_attr(&w, other)->mode, S_IFREG | 0755);
    world_check(&w);
    world_done(&w);
}

/* ---- who is not trusted ---- */

static void be(struct world *w, const char *user, const char *const *groups)
{
    w->user = user;
    w->groups = groups;
}

ATF_TC_WITHOUT_HEAD(others_are_checked_here);
ATF_TC_BODY(others_are_checked_here, tc)
{
    static const char *const staff[] = {"staff", NULL};
    const Hdw__PosixAttrChange mode = {.has_mode = true, .mode = 0600};
    const Hdw__PosixAttrChange at = {.has_mtime_ns = true, .mtime_ns = 5};
    const Hdw__PosixAttrChange now = {.has_mtime_now = true, .mtime_now = true};
    struct world w;
    world_init(&w);
    uint64_t open = px_new(&w, ROOT, "open", S_IFDIR | 01777);
    uint64_t closed = px_new(&w, ROOT, "closed", S_IFDIR | 0700);
    uint64_t deep = px_new(&w, closed, "deep", S_IFREG | 0666);
    px_new(&w, open, "roots", S_IFREG | 0644);
    be(&w, "ann", staff);
    Hdw__PosixCred cred = HDW__POSIX_CRED__INIT;
    cred.user = cred.group = S("root");
    Hdw__MakeNodeResponse *r = NULL;
    ATF_REQUIRE_EQ(POSIX(&w, "makeNode", MakeNode, make_node, &r, .parent = open,
                         .name = text_bytes("f"), .mode = S_IFREG | 0644, .cred = &cred),
                   0);
    uint64_t file = r->attr->ino;
    ATF_CHECK_STREQ(r->attr->user, "ann"); /* not whom she names */
    ATF_CHECK_STREQ(r->attr->group, "staff");
    ATF_CHECK_EQ(POSIX(&w, "getAttr", GetAttr, get_attr, NULL, .ino = deep), -EACCES);
    ATF_CHECK_EQ(POSIX(&w, "readDir", ReadDir, read_dir, NULL, .ino = closed, .max = 1), -EACCES);
    ATF_CHECK_EQ(px_make(&w, ROOT, "x", S_IFREG, NULL), -EACCES);
    ATF_CHECK_EQ(px_unlink(&w, open, "roots"), -EACCES); /* sticky */
    ATF_CHECK_EQ(px_move(&w, open, "f", open, "roots", 0, NULL), -EACCES);
    ATF_CHECK_EQ(px_set(&w, open, mode, NULL), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_set(&w, file, (Hdw__PosixAttrChange){.user = S("bob")}, NULL),
                 -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_set(&w, file, (Hdw__PosixAttrChange){.group = S("wheel")}, NULL),
                 -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_set(&w, file, mode, NULL), 0);
    be(&w, "bob", staff);
    ATF_CHECK_EQ(px_set(&w, file, at, NULL), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(px_set(&w, file, now, NULL), -EACCES);
    ATF_CHECK_EQ(px_unlink(&w, open, "f"), -EACCES);
    be(&w, "root", no_groups);
    ATF_REQUIRE_EQ(px_link(&w, file, open, "g"), 0);
    be(&w, "bob", staff);
    ATF_CHECK_EQ(px_unlink(&w, open, "g"), -EACCES);
    be(&w, "ann", staff);
    ATF_CHECK_EQ(px_unlink(&w, open, "g"), 0); /* the file is hers, whoever named it */
    ATF_CHECK_EQ(px_unlink(&w, open, "f"), 0);
    world_check(&w);
    world_done(&w);
}

/* ---- repeated calls ---- */

ATF_TC_WITHOUT_HEAD(a_repeated_call_gets_its_first_answer_also_after_a_restart);
ATF_TC_BODY(a_repeated_call_gets_its_first_answer_also_after_a_restart, tc)
{
    struct world w;
    uint64_t first = 0;
    world_init(&w);
    uint64_t dir = px_new(&w, ROOT, "d", S_IFDIR | 0755);
    for (int turn = 0; turn < 3; turn++) { /* the call, again, and again after a restart */
        Hdw__MakeNodeResponse *made = NULL;
        Hdw__MakeSymlinkResponse *symlink = NULL;
        Hdw__LinkResponse *link = NULL;
        Hdw__MoveResponse *moved = NULL;
        Hdw__UnlinkResponse *gone = NULL;
        w.call_id = 1;
        ATF_REQUIRE_EQ(px_make(&w, dir, "f", S_IFREG | 0644, &made), 0);
        first = turn == 0 ? made->attr->ino : first;
        ATF_CHECK_EQ(made->attr->ino, first);
        w.call_id = 2;
        ATF_REQUIRE_EQ(px_symlink(&w, dir, "s", "f", &symlink), 0);
        ATF_CHECK_EQ(symlink->attr->ino, first + 1);
        w.call_id = 3;
        ATF_REQUIRE_EQ(POSIX(&w, "link", Link, link, &link, .ino = first, .parent = dir,
                             .name = text_bytes("g")),
                       0);
        ATF_CHECK_EQ(link->attr->ino, first);
        w.call_id = 4;
        ATF_REQUIRE_EQ(px_move(&w, dir, "g", ROOT, "h", 0, &moved), 0);
        ATF_CHECK_EQ(moved->attr->ino, first);
        ATF_CHECK_EQ(moved->to_parent->ino, ROOT);
        w.call_id = 5;
        ATF_REQUIRE_EQ(px_unlink(&w, dir, "s"), 0);
        w.call_id = 6;
        ATF_REQUIRE_EQ(px_remove(&w, ROOT, "h", false, false, &gone), 0);
        ATF_CHECK_EQ(gone->attr->ino, first);
        ATF_CHECK_EQ(gone->parent->ino, ROOT);
        if (turn == 1) {
            world_restart(&w);
        }
    }
    w.call_id = -1;
    ATF_CHECK_EQ(px_lookup(&w, dir, "f")->ino, first);
    ATF_CHECK(px_lookup(&w, dir, "s") == NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_type_is_made_and_loaded_again);
    ATF_TP_ADD_TC(tp, hdfs_sees_special_files_as_empty_ones_and_no_set_id_bits);
    ATF_TP_ADD_TC(tp, names_are_any_bytes_but_two);
    ATF_TP_ADD_TC(tp, directories_are_read_in_pages);
    ATF_TP_ADD_TC(tp, a_setgid_directory_gives_its_group_and_its_bit);
    ATF_TP_ADD_TC(tp, a_file_lives_until_its_last_name_goes);
    ATF_TP_ADD_TC(tp, listings_show_the_file_under_each_name);
    ATF_TP_ADD_TC(tp, a_tree_that_goes_takes_only_its_own_names);
    ATF_TP_ADD_TC(tp, hdfs_removes_and_replaces_one_name_of_several);
    ATF_TP_ADD_TC(tp, what_cannot_be_linked_is_refused);
    ATF_TP_ADD_TC(tp, quotas_count_names_and_the_bytes_once);
    ATF_TP_ADD_TC(tp, unlink_and_rmdir_fail_as_posix_says);
    ATF_TP_ADD_TC(tp, files_open_in_a_tree_that_hdfs_deletes_stay_without_a_name);
    ATF_TP_ADD_TC(tp, move_fails_as_rename_says);
    ATF_TP_ADD_TC(tp, two_names_of_one_file_both_stay);
    ATF_TP_ADD_TC(tp, exchange_swaps_names_and_places);
    ATF_TP_ADD_TC(tp, a_replaced_file_goes_but_for_its_other_names);
    ATF_TP_ADD_TC(tp, times_have_nanoseconds_also_before_1970);
    ATF_TP_ADD_TC(tp, a_new_owner_takes_the_set_id_bits_off);
    ATF_TP_ADD_TC(tp, hdfs_modes_leave_a_directorys_setgid_bit);
    ATF_TP_ADD_TC(tp, others_are_checked_here);
    ATF_TP_ADD_TC(tp, a_repeated_call_gets_its_first_answer_also_after_a_restart);
    return atf_no_error();
}
