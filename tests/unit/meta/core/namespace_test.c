/* Tests of names: making, finding, listing, renaming, deleting, permissions. */
#include "tests/unit/meta/core/harness.h"

ATF_TC_WITHOUT_HEAD(root_is_as_hdfs_makes_it);
ATF_TC_BODY(root_is_as_hdfs_makes_it, tc)
{
    struct world w;
    world_init(&w);
    Hdw__HdfsFileStatus *s = do_stat(&w, "/");
    ATF_REQUIRE(s != NULL);
    ATF_CHECK_EQ(s->file_id, 16385);
    ATF_CHECK_EQ(s->permission->perm, 0755);
    ATF_CHECK_STREQ(s->owner, "root");
    ATF_CHECK_STREQ(s->group, "supergroup");
    ATF_CHECK_EQ(s->flags, 8);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(mkdirs_makes_parents_and_is_idempotent);
ATF_TC_BODY(mkdirs_makes_parents_and_is_idempotent, tc)
{
    struct world w;
    world_init(&w);
    ATF_CHECK(do_mkdirs(&w, "/a/b/c", 01777));
    ATF_CHECK(do_mkdirs(&w, "/a/b/c", 0700));
    ATF_CHECK_EQ(do_stat(&w, "/a/b/c")->permission->perm, 01777);
    ATF_CHECK_EQ(do_stat(&w, "/a")->children_num, 1);
    ATF_CHECK_EQ(do_stat(&w, "//a/b/")->file_id, 16387);
    ATF_CHECK(do_stat(&w, "/a/x") == NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(bad_names_are_refused_as_in_hadoop);
ATF_TC_BODY(bad_names_are_refused_as_in_hadoop, tc)
{
    struct world w;
    world_init(&w);
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    do_create(&w, "/f", "h");
    CALL_FAILS(&w, -HD_E_INVALID_PATH, "Invalid path name Invalid file name: /a/../b", "mkdirs",
               Mkdirs, mkdirs, .src = S("/a/../b"), .masked = &p, .create_parent = true);
    CALL_FAILS(&w, -ENOTDIR, "/f (is not a directory)", "mkdirs", Mkdirs, mkdirs, .src = S("/f/b"),
               .masked = &p, .create_parent = true);
    CALL_FAILS(&w, -EEXIST, "Path is not a directory: /f", "mkdirs", Mkdirs, mkdirs, .src = S("/f"),
               .masked = &p, .create_parent = true);
    CALL_FAILS(&w, -ENOENT, "Parent directory doesn't exist: /x/y", "mkdirs", Mkdirs, mkdirs,
               .src = S("/x/y/z"), .masked = &p, .create_parent = false);
    CALL_FAILS(&w, -HD_E_ASSERTION, "Absolute path required, but got 'rel'", "getFileInfo",
               GetFileInfo, get_file_info, .src = S("rel"));
    CALL_FAILS(&w, -HD_E_ILLEGAL_ARGUMENT, "\".snapshot\" is a reserved name.", "mkdirs", Mkdirs,
               mkdirs, .src = S("/.snapshot"), .masked = &p, .create_parent = true);
    char name[302] = "/";
    memset(name + 1, 'n', 260);
    CALL_FAILS(&w, -HD_E_NAME_TOO_LONG, NULL, "mkdirs", Mkdirs, mkdirs, .src = name, .masked = &p,
               .create_parent = true);
    world_done(&w);
}

static void list_all(struct world *w, const char *path, char *out)
{
    ProtobufCBinaryData after = {0};
    out[0] = '\0';
    for (;;) {
        Hdw__DirectoryListing *l =
            CALL(w, "getListing", GetListing, get_listing, .src = S(path), .start_after = after)
                ->dir_list;
        ATF_REQUIRE(l != NULL);
        for (size_t i = 0; i < l->n_partial_listing; i++) {
            strncat(out, (char *)l->partial_listing[i]->path.data, l->partial_listing[i]->path.len);
            strcat(out, " ");
            after = l->partial_listing[i]->path;
        }
        if (l->remaining_entries == 0) {
            return;
        }
    }
}

ATF_TC_WITHOUT_HEAD(listing_pages_in_byte_order);
ATF_TC_BODY(listing_pages_in_byte_order, tc)
{
    struct world w;
    char names[256];
    world_init(&w);
    w.m->o.list_limit = 2;
    do_mkdirs(&w, "/d/b", 0755);
    do_mkdirs(&w, "/d/a", 0755);
    do_mkdirs(&w, "/d/\xc3\xa4", 0755);
    do_mkdirs(&w, "/d/ab", 0755);
    do_mkdirs(&w, "/d/B", 0755);
    list_all(&w, "/d", names);
    ATF_CHECK_STREQ(names, "B a ab b \xc3\xa4 ");
    ATF_CHECK(CALL(&w, "getListing", GetListing, get_listing, .src = S("/none"))->dir_list == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(rename2_follows_hadoops_table);
ATF_TC_BODY(rename2_follows_hadoops_table, tc)
{
    struct world w;
    world_init(&w);
    do_mkdirs(&w, "/d1/x", 0755);
    do_mkdirs(&w, "/d2", 0755);
    do_mkdirs(&w, "/d3", 0755);
    do_create(&w, "/f", "h");
    do_create(&w, "/g", "h");
#define RENAME_FAILS(code, words, from, to, over)                                                  \
    CALL_FAILS(&w, code, words, "rename2", Rename2, rename2, .src = S(from), .dst = S(to),         \
               .overwrite_dest = over)
    RENAME_FAILS(-ENOENT, "rename source /no is not found.", "/no", "/x", false);
    RENAME_FAILS(-HD_E_IO, "rename source cannot be the root", "/", "/x", false);
    RENAME_FAILS(-HD_E_IO, "rename destination cannot be the root", "/d1", "/", false);
    RENAME_FAILS(-EEXIST, "The source /f and destination /f are the same", "/f", "/f", true);
    RENAME_FAILS(-HD_E_IO, "Rename destination /d1/x/y is a directory or file under source /d1",
                 "/d1", "/d1/x/y", false);
    RENAME_FAILS(-ENOENT, "rename destination parent /no/z not found.", "/f", "/no/z", false);
    RENAME_FAILS(-HD_E_IO, "Source /f and destination /d2 must both be directories", "/f", "/d2",
                 true);
    RENAME_FAILS(-EEXIST, "rename destination /d3 already exists", "/d2", "/d3", false);
    RENAME_FAILS(-HD_E_IO, "rename destination directory is not empty: /d1", "/d2", "/d1", true);
    RENAME_FAILS(-ENOTDIR, "/f (is not a directory)", "/d2", "/f/x", true);
    uint64_t f = do_stat(&w, "/f")->file_id;
    CALL(&w, "rename2", Rename2, rename2, .src = S("/f"), .dst = S("/g"), .overwrite_dest = true);
    ATF_CHECK(do_stat(&w, "/f") == NULL);
    ATF_CHECK_EQ(do_stat(&w, "/g")->file_id, f);
    CALL(&w, "rename2", Rename2, rename2, .src = S("/d2"), .dst = S("/d3"), .overwrite_dest = true);
    ATF_CHECK(do_stat(&w, "/d2") == NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(rename_moves_into_directories_and_says_false);
ATF_TC_BODY(rename_moves_into_directories_and_says_false, tc)
{
    struct world w;
    world_init(&w);
    do_mkdirs(&w, "/d/e", 0755);
    do_create(&w, "/f", "h");
#define RENAMED(from, to) CALL(&w, "rename", Rename, rename, .src = S(from), .dst = S(to))->result
    ATF_CHECK(RENAMED("/f", "/d"));
    ATF_CHECK(do_stat(&w, "/d/f") != NULL);
    ATF_CHECK(!RENAMED("/none", "/d"));
    ATF_CHECK(!RENAMED("/d", "/d/e"));
    ATF_CHECK(!RENAMED("/d", "/d"));
    ATF_CHECK(RENAMED("/d/f", "/d/f"));
    ATF_CHECK(!RENAMED("/d/f", "/no/f"));
    ATF_CHECK(!RENAMED("/", "/x"));
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(delete_wants_recursive_for_full_directories);
ATF_TC_BODY(delete_wants_recursive_for_full_directories, tc)
{
    struct world w;
    world_init(&w);
    do_mkdirs(&w, "/d/e", 0755);
    do_create(&w, "/d/f", "h");
    CALL_FAILS(&w, -ENOTEMPTY, "`/d is non empty': Directory is not empty", "delete", Delete,
               delete, .src = S("/d"), .recursive = false);
    CALL_FAILS(&w, -EACCES, "/d/f (is not a directory)", "delete", Delete, delete,
               .src = S("/d/f/x"), .recursive = false);
    ATF_CHECK(!do_delete(&w, "/", true));
    ATF_CHECK(!do_delete(&w, "/none", true));
    ATF_CHECK(do_delete(&w, "/d/e", false));
    ATF_CHECK(do_delete(&w, "/d", true));
    ATF_CHECK(do_stat(&w, "/d") == NULL);
    ATF_CHECK_EQ(w.m->ns.inodes.count, 1);
    ATF_CHECK_EQ(w.m->ns.open.count, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(permissions_have_hadoops_words);
ATF_TC_BODY(permissions_have_hadoops_words, tc)
{
    struct world w;
    world_init(&w);
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    do_mkdirs(&w, "/tmp", 01777);
    do_mkdirs(&w, "/closed/in", 0750);
    do_create(&w, "/tmp/root", "h");
    w.user = "alice";
    CALL_FAILS(
        &w, -EACCES,
        "Permission denied: user=alice, access=WRITE, inode=\"/\":root:supergroup:drwxr-xr-x",
        "mkdirs", Mkdirs, mkdirs, .src = S("/x"), .masked = &p, .create_parent = true);
    CALL_FAILS(&w, -EACCES,
               "Permission denied: user=alice, access=EXECUTE, "
               "inode=\"/closed\":root:supergroup:drwxr-x---",
               "getFileInfo", GetFileInfo, get_file_info, .src = S("/closed/in"));
    CALL_FAILS(&w, -EACCES,
               "Permission denied by sticky bit: user=alice, "
               "path=\"/tmp/root\":root:supergroup:-rw-r--r--, "
               "parent=\"/tmp\":root:supergroup:drwxrwxrwt",
               "delete", Delete, delete, .src = S("/tmp/root"), .recursive = false);
    CALL_FAILS(&w, -EACCES, "Permission denied. user=alice is not the owner of inode=/tmp/root",
               "setPermission", SetPermission, set_permission, .src = S("/tmp/root"),
               .permission = &p);
    do_mkdirs(&w, "/tmp/mine", 0755);
    ATF_CHECK_STREQ(do_stat(&w, "/tmp/mine")->owner, "alice");
    CALL_FAILS(&w, -EACCES, "User alice does not belong to wheel", "setOwner", SetOwner, set_owner,
               .src = S("/tmp/mine"), .groupname = S("wheel"));
    CALL_FAILS(&w, -EACCES, "User alice is not a super user (non-super user cannot change owner).",
               "setOwner", SetOwner, set_owner, .src = S("/tmp/mine"), .username = S("bob"));
    ATF_CHECK(do_delete(&w, "/tmp/mine", false));
    world_done(&w);
}

static void make_link(struct world *w, const char *link)
{
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    CALL(w, "createSymlink", CreateSymlink, create_symlink, .target = S("x"), .link = S(link),
         .dir_perm = &p);
}

ATF_TC_WITHOUT_HEAD(a_posix_session_makes_files_of_the_callers_group);
ATF_TC_BODY(a_posix_session_makes_files_of_the_callers_group, tc)
{
    static const char *const groups[] = {"staff", "wheel", NULL};
    struct world w;
    world_init(&w);
    do_mkdirs(&w, "/d", 0777);
    w.groups = groups;
    w.user = "ann";
    do_mkdirs(&w, "/d/hdfs", 0755);
    ATF_CHECK_STREQ(do_stat(&w, "/d/hdfs")->group, "supergroup");
    w.posix = true;
    do_mkdirs(&w, "/d/a/b", 0755);
    do_create(&w, "/d/f", "writer");
    make_link(&w, "/d/l");
    ATF_CHECK_STREQ(do_stat(&w, "/d/a")->group, "staff");
    ATF_CHECK_STREQ(do_stat(&w, "/d/a/b")->group, "staff");
    ATF_CHECK_STREQ(do_stat(&w, "/d/f")->group, "staff");
    ATF_CHECK_STREQ(do_stat(&w, "/d/l")->group, "staff");
    w.groups = no_groups;
    do_mkdirs(&w, "/d/stranger", 0755);
    ATF_CHECK_STREQ(do_stat(&w, "/d/stranger")->group, "supergroup");
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_posix_session_makes_a_directory_once);
ATF_TC_BODY(a_posix_session_makes_a_directory_once, tc)
{
    struct world w;
    world_init(&w);
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    do_mkdirs(&w, "/d", 0755);
    w.posix = true;
    CALL_FAILS(&w, -EEXIST, "/d already exists as a directory", "mkdirs", Mkdirs, mkdirs,
               .src = S("/d"), .masked = &p, .create_parent = false);
    ATF_CHECK(do_mkdirs(&w, "/d", 0755)); /* mkdir -p */
    w.posix = false;
    ATF_CHECK(
        CALL(&w, "mkdirs", Mkdirs, mkdirs, .src = S("/d"), .masked = &p, .create_parent = false)
            ->result);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(inode_paths_name_inodes);
ATF_TC_BODY(inode_paths_name_inodes, tc)
{
    struct world w;
    char path[64];
    world_init(&w);
    do_mkdirs(&w, "/d", 0755);
    uint64_t d = do_stat(&w, "/d")->file_id;
    snprintf(path, sizeof(path), "/.reserved/.inodes/%llu/a:b", (unsigned long long)d);
    do_create(&w, path, "h");
    ATF_CHECK(do_stat(&w, "/d/a:b") != NULL);
    CALL(&w, "rename2", Rename2, rename2, .src = S("/d"), .dst = S("/e"), .overwrite_dest = false);
    ATF_CHECK(do_stat(&w, path) != NULL);
    snprintf(path, sizeof(path), "/.reserved/.inodes/%llu", (unsigned long long)d);
    ATF_CHECK_EQ(do_stat(&w, path)->file_id, d);
    ATF_CHECK(do_stat(&w, "/.reserved/.inodes/4711") == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(symlinks_are_followed_by_clients);
ATF_TC_BODY(symlinks_are_followed_by_clients, tc)
{
    struct world w;
    char path[64];
    world_init(&w);
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    do_mkdirs(&w, "/d/e", 0755);
    CALL(&w, "createSymlink", CreateSymlink, create_symlink, .target = S("e"), .link = S("/d/l"),
         .dir_perm = &p);
    Hdw__HdfsFileStatus *s = do_stat(&w, "/d/l");
    ATF_CHECK_EQ(s->file_type, HDW__FILE_TYPE__IS_SYMLINK);
    ATF_CHECK_EQ(s->symlink.len, 1);
    CALL_FAILS(&w, -HD_E_UNRESOLVED_LINK, "/d/e", "getFileInfo", GetFileInfo, get_file_info,
               .src = S("/d/l"));
    CALL_FAILS(&w, -HD_E_UNRESOLVED_LINK, "/d/e/x/y", "getFileInfo", GetFileInfo, get_file_info,
               .src = S("/d/l/x/y"));
    CALL(&w, "setTimes", SetTimes, set_times,
         .src = (snprintf(path, sizeof(path), "/.reserved/.inodes/%llu",
                          (unsigned long long)s->file_id),
                 path),
         .mtime = 5, .atime = 6);
    ATF_CHECK_EQ(do_stat(&w, "/d/l")->modification_time, 5);
    ATF_CHECK_STREQ(
        CALL(&w, "getLinkTarget", GetLinkTarget, get_link_target, .path = S("/d/l"))->target_path,
        "e");
    ATF_CHECK(do_delete(&w, "/d/l", false));
    ATF_CHECK(do_stat(&w, "/d/e") != NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(xattrs_have_flags_and_limits);
ATF_TC_BODY(xattrs_have_flags_and_limits, tc)
{
    struct world w;
    world_init(&w);
    Hdw__XAttr x = HDW__XATTR__INIT;
    x.name = S("a");
    x.has_value = true;
    x.value = (ProtobufCBinaryData){3, (uint8_t *)S("one")};
    do_create(&w, "/f", "h");
#define SET(flags) .src = S("/f"), .x_attr = &x, .has_flag = true, .flag = flags
    CALL_FAILS(&w, -HD_E_IO, "XAttr: a does not exist. The CREATE flag must be specified.",
               "setXAttr", SetXAttr, set_xattr, SET(2));
    CALL(&w, "setXAttr", SetXAttr, set_xattr, SET(1));
    CALL_FAILS(&w, -HD_E_IO, "XAttr: a already exists. The REPLACE flag must be specified.",
               "setXAttr", SetXAttr, set_xattr, SET(1));
    Hdw__GetXAttrsResponse *r = CALL(&w, "getXAttrs", GetXAttrs, get_xattrs, .src = S("/f"));
    ATF_REQUIRE_EQ(r->n_x_attrs, 1);
    ATF_CHECK_EQ(r->x_attrs[0]->value.len, 3);
    world_check(&w);
    x.namespace_ = HDW__XATTR_NAMESPACE__XATTR_NS_SYSTEM;
    CALL_FAILS(&w, -EACCES, "User doesn't have permission for xattr: system.a", "setXAttr",
               SetXAttr, set_xattr, SET(1));
    x.namespace_ = HDW__XATTR_NAMESPACE__XATTR_NS_USER;
    CALL(&w, "removeXAttr", RemoveXAttr, remove_xattr, .src = S("/f"), .x_attr = &x);
    CALL_FAILS(&w, -HD_E_IO, "No matching attributes found for remove operation", "removeXAttr",
               RemoveXAttr, remove_xattr, .src = S("/f"), .x_attr = &x);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(quotas_count_names_and_space);
ATF_TC_BODY(quotas_count_names_and_space, tc)
{
    struct world w;
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    world_init(&w);
    do_mkdirs(&w, "/q/a", 0755);
    CALL(&w, "setQuota", SetQuota, set_quota, .path = S("/q"), .namespace_quota = 3,
         .storagespace_quota = INT64_MAX);
    do_mkdirs(&w, "/q/b", 0755);
    CALL_FAILS(&w, -HD_E_NS_QUOTA,
               "The NameSpace quota (directories and files) of directory /q is exceeded: quota=3 "
               "file count=4",
               "mkdirs", Mkdirs, mkdirs, .src = S("/q/c"), .masked = &p, .create_parent = true);
    world_check(&w);
    do_delete(&w, "/q/b", false);
    do_mkdirs(&w, "/q/c", 0755);
    CALL(&w, "setQuota", SetQuota, set_quota, .path = S("/q"), .namespace_quota = UINT64_MAX,
         .storagespace_quota = UINT64_MAX);
    do_mkdirs(&w, "/q/d", 0755);
    world_check(&w);
    world_done(&w);
}

/* Loads the world's view; with the values of two entries exchanged, or their keys' order. */
static int load_with(struct world *w, size_t one, size_t other, bool exchange_values)
{
    struct hd_meta *m;
    ATF_REQUIRE(hd_meta_new(&w->options, &m) == 0);
    for (size_t i = 0; i < w->view_count; i++) {
        size_t from = i == one ? other : i == other ? one : i;
        const struct bytes *key = exchange_values ? &w->view[i].key : &w->view[from].key;
        const struct bytes *value = &w->view[from].value;
        int err = hd_meta_load(m, key->data, key->size, value->data, value->size);
        if (err < 0) {
            hd_meta_free(m);
            return err;
        }
    }
    int err = hd_meta_load_done(m, (struct hd_txid){w->record_count});
    hd_meta_free(m);
    return err;
}

ATF_TC_WITHOUT_HEAD(a_view_whose_entries_do_not_fit_is_refused);
ATF_TC_BODY(a_view_whose_entries_do_not_fit_is_refused, tc)
{
    struct world w;
    world_init(&w);
    for (int i = 0; i < 600; i++) { /* more than fit in one chunk of children */
        char path[32];
        snprintf(path, sizeof(path), "/%s/%d", i % 2 == 0 ? "d" : "e", i);
        do_mkdirs(&w, path, 0755);
    }
    world_check(&w);
    ATF_REQUIRE(w.view[10].key.data[0] == 'D');
    ATF_REQUIRE(w.view[11].key.data[0] == 'D');
    ATF_CHECK_EQ(load_with(&w, 0, 0, true), 0);
    ATF_CHECK_EQ(load_with(&w, 10, 11, true), -HD_E_CORRUPT);
    ATF_CHECK_EQ(load_with(&w, 10, 11, false), -HD_E_CORRUPT);
    size_t last = w.view_count - 1;
    ATF_REQUIRE(w.view[last].key.data[0] == 'I');
    ATF_CHECK_EQ(load_with(&w, last - 1, last, false), -HD_E_CORRUPT);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(unknown_methods_and_messages_are_told);
ATF_TC_BODY(unknown_methods_and_messages_are_told, tc)
{
    struct world w;
    world_init(&w);
    Hdw__MsyncRequest q = HDW__MSYNC_REQUEST__INIT;
    struct answer *a = world_call(&w, "noSuch", &q);
    ATF_CHECK_EQ(a->err, -HD_E_NO_SUCH_METHOD);
    ATF_CHECK_STREQ(a->text, "Unknown method noSuch called on " CLIENT_PROTOCOL " protocol.");
    a = world_call(&w, "create", &q); /* an empty body: required fields are missing */
    ATF_CHECK_EQ(a->err, -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(a->text, "Message missing required fields: src, masked, clientName, "
                             "createFlag, createParent, replication, blockSize");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_tools_ask_to_be_read_again_is_answered);
ATF_TC_BODY(what_tools_ask_to_be_read_again_is_answered, tc)
{
    static const char *const calls[][2] = {
        {"org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol", "listReconfigurableProperties"},
        {"org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol", "getReconfigurationStatus"},
        {"org.apache.hadoop.ipc.RefreshCallQueueProtocol", "refreshCallQueue"},
        {"org.apache.hadoop.security.RefreshUserMappingsProtocol",
         "refreshSuperUserGroupsConfiguration"},
    };
    struct world w;
    world_init(&w);
    Hdw__MsyncRequest q = HDW__MSYNC_REQUEST__INIT; /* empty, as all of these */
    for (size_t i = 0; i < HD_ARRAY_COUNT(calls); i++) {
        w.user = "root";
        struct answer *a = world_answer(&w, world_send(&w, calls[i][0], calls[i][1], &q, 1));
        ATF_REQUIRE_MSG(a != NULL && a->err == 0, "%s", calls[i][1]);
        w.user = "ann";
        a = world_answer(&w, world_send(&w, calls[i][0], calls[i][1], &q, 1));
        ATF_CHECK_EQ(a->err, -EACCES);
    }
    w.user = "root";
    struct answer *a = world_answer(
        &w,
        world_send(&w, "org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol",
                   "refreshServiceAcl", &q, 1));
    ATF_CHECK_EQ(a->err, -HD_E_UNAUTHORIZED);
    ATF_CHECK_STREQ(a->text, "Service Level Authorization not enabled!");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(repeated_calls_get_the_first_answer);
ATF_TC_BODY(repeated_calls_get_the_first_answer, tc)
{
    struct world w;
    world_init(&w);
    w.call_id = 5;
    uint64_t first = do_create(&w, "/f", "h")->file_id;
    ATF_CHECK_EQ(do_create(&w, "/f", "h")->file_id, first);
    w.call_id = 6;
    ATF_CHECK(do_delete(&w, "/f", false));
    ATF_CHECK(do_delete(&w, "/f", false)); /* nothing there, but this is the same call */
    w.call_id = 7;
    ATF_CHECK(!do_delete(&w, "/f", false));
    w.call_id = 8;
    uint64_t second = do_create(&w, "/f", "h")->file_id;
    world_restart(&w);
    ATF_CHECK_EQ(do_create(&w, "/f", "h")->file_id, second);
    w.call_id = 6;
    ATF_CHECK(do_delete(&w, "/f", false)); /* remembered through the restart, and not done again */
    ATF_CHECK(do_stat(&w, "/f") != NULL);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, root_is_as_hdfs_makes_it);
    ATF_TP_ADD_TC(tp, mkdirs_makes_parents_and_is_idempotent);
    ATF_TP_ADD_TC(tp, bad_names_are_refused_as_in_hadoop);
    ATF_TP_ADD_TC(tp, listing_pages_in_byte_order);
    ATF_TP_ADD_TC(tp, rename2_follows_hadoops_table);
    ATF_TP_ADD_TC(tp, rename_moves_into_directories_and_says_false);
    ATF_TP_ADD_TC(tp, delete_wants_recursive_for_full_directories);
    ATF_TP_ADD_TC(tp, permissions_have_hadoops_words);
    ATF_TP_ADD_TC(tp, a_posix_session_makes_files_of_the_callers_group);
    ATF_TP_ADD_TC(tp, a_posix_session_makes_a_directory_once);
    ATF_TP_ADD_TC(tp, inode_paths_name_inodes);
    ATF_TP_ADD_TC(tp, symlinks_are_followed_by_clients);
    ATF_TP_ADD_TC(tp, xattrs_have_flags_and_limits);
    ATF_TP_ADD_TC(tp, quotas_count_names_and_space);
    ATF_TP_ADD_TC(tp, a_view_whose_entries_do_not_fit_is_refused);
    ATF_TP_ADD_TC(tp, unknown_methods_and_messages_are_told);
    ATF_TP_ADD_TC(tp, what_tools_ask_to_be_read_again_is_answered);
    ATF_TP_ADD_TC(tp, repeated_calls_get_the_first_answer);
    return atf_no_error();
}
