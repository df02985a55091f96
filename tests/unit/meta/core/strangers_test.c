/* Sessions of ordinary users, and calls without any: nothing is theirs that permissions forbid. */
#include "tests/unit/meta/core/blocks.h"

#define WANT_WRITE HDW__CAP_KIND__CAP_WRITE
#define WANT_READ  HDW__CAP_KIND__CAP_READ

enum { ROOT = HD_ROOT_INO };

/* The files of root, and eve's session beside root's. */
struct rig {
    struct bench b;
    struct mount eve;
    struct mount nobody; /* calls without a session */
    uint64_t secret;     /* 0600 */
    uint64_t notice;     /* 0644 */
    uint64_t hidden;     /* 0666, in a directory that is closed to all */
    uint64_t directory;  /* that one */
    uint64_t common;     /* everybody's directory */
};

static uint64_t make_content(struct mount *t, uint64_t parent, const char *name, uint32_t mode)
{
    uint64_t ino = mount_make(t, parent, name, 0100000 | mode);
    take_write(t, ino);
    (void)write_content(t, ino, "text");
    mount_release(t, ino, HDW__CAP_KIND__CAP_NONE, UINT64_MAX);
    return ino;
}

static void be(struct rig *r, const char *user)
{
    r->b.w.user = user;
}

static void rig_init(struct rig *r)
{
    bench_init(&r->b);
    struct mount *t = &r->b.t;
    r->nobody = (struct mount){.w = &r->b.w, .name = "nobody", .calls_conn = 1, .polls_conn = 1};
    r->common = mount_make(&r->nobody, ROOT, "common", 0040777);
    r->secret = make_content(t, ROOT, "secret", 0600);
    r->notice = make_content(t, ROOT, "notice", 0644);
    r->directory = mount_make(t, ROOT, "closed", 0040700);
    r->hidden = make_content(t, r->directory, "hidden", 0666);
    be(r, "eve");
    r->eve = mount_start(&r->b.w, 1);
    mount_poll(&r->eve, 3000);
}

static void rig_done(struct rig *r)
{
    be(r, "root");
    bench_done(&r->b);
}

static int acquire_error(struct mount *t, uint64_t ino, Hdw__CapKind want)
{
    return error_of(t, mount_acquire(t, ino, want));
}

ATF_TC_WITHOUT_HEAD(the_content_of_a_file_is_given_as_its_mode_says);
ATF_TC_BODY(the_content_of_a_file_is_given_as_its_mode_says, tc)
{
    struct rig r;
    rig_init(&r);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.secret, WANT_READ), -EACCES);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.secret, WANT_WRITE), -EACCES);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.hidden, WANT_READ), -EACCES);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.hidden, WANT_WRITE), -EACCES);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.hidden, HDW__CAP_KIND__CAP_NONE), -EACCES);
    ATF_CHECK_EQ(acquire_error(&r.eve, r.notice, WANT_WRITE), -EACCES);
    ATF_CHECK_EQ(mount_granted(&r.eve, mount_acquire(&r.eve, r.notice, WANT_READ)), 1);
    uint64_t token = SEND(&r.eve, "acquire", Acquire, acquire, .session = r.eve.number,
                          .ino = r.secret, .has_blocks = true, .blocks = true);
    ATF_CHECK_EQ(error_of(&r.eve, token), -EACCES);
    token = write_content_send(&r.eve, r.secret, "mine", 4);
    ATF_CHECK_EQ(error_of(&r.eve, token), -HD_E_LEASE_EXPIRED);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(an_owner_goes_on_with_what_is_open_whatever_its_mode);
ATF_TC_BODY(an_owner_goes_on_with_what_is_open_whatever_its_mode, tc)
{
    struct rig r;
    rig_init(&r);
    uint64_t ino = mount_make(&r.eve, r.common, "f", 0100400);
    ATF_CHECK_EQ(mount_granted(&r.eve, mount_acquire(&r.eve, ino, WANT_WRITE)), 2);
    rig_done(&r);
}

static int lock_error(struct mount *t, uint64_t ino, uint32_t type)
{
    Hdw__LockRange lock = HDW__LOCK_RANGE__INIT;
    lock.ino = ino;
    lock.owner = 1;
    lock.end = UINT64_MAX;
    lock.type = type;
    uint64_t token = SEND(t, "setLock", SetLock, set_lock, .session = t->number, .lock = &lock);
    return error_of(t, token);
}

ATF_TC_WITHOUT_HEAD(who_may_not_open_a_file_may_not_lock_it);
ATF_TC_BODY(who_may_not_open_a_file_may_not_lock_it, tc)
{
    struct rig r;
    rig_init(&r);
    ATF_CHECK_EQ(lock_error(&r.eve, r.secret, 1), -EACCES);
    ATF_CHECK_EQ(lock_error(&r.eve, r.hidden, 0), -EACCES);
    ATF_CHECK_EQ(lock_error(&r.eve, r.notice, 1), 0); /* flock(2) asks for no more than an open */
    ATF_CHECK_EQ(lock_error(&r.eve, r.secret, 2), 0); /* gives nothing away */
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_file_without_a_name_is_no_more_open_than_it_was);
ATF_TC_BODY(a_file_without_a_name_is_no_more_open_than_it_was, tc)
{
    struct rig r;
    rig_init(&r);
    be(&r, "root");
    (void)mount_unlink_send(&r.b.t, r.directory, "hidden", true);
    be(&r, "eve");
    ATF_CHECK_EQ(acquire_error(&r.eve, r.hidden, WANT_READ), -EACCES);
    r.b.w.peer_ip = "10.9.9.9"; /* no node's */
    uint64_t token = SEND(&r.eve, "readContent", ReadContent, read_content, .ino = r.hidden);
    ATF_CHECK_EQ(error_of(&r.eve, token), -EACCES);
    uint64_t inos[] = {r.hidden};
    Hdw__ReclaimResponse *l = ASK(&r.eve, "reclaim", Reclaim, reclaim, .client_name = S(r.eve.name),
                                  .session = r.eve.number, .orphans = inos, .n_orphans = 1);
    ATF_CHECK_EQ(l->n_lost, 1);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_session_that_comes_back_gets_no_more_than_its_user_may);
ATF_TC_BODY(a_session_that_comes_back_gets_no_more_than_its_user_may, tc)
{
    struct rig r;
    rig_init(&r);
    world_restart(&r.b.w); /* both sessions are waited for; eve comes under root's name */
    struct mount other = r.b.t;
    (void)mount_hello(&other);
    Hdw__LockRange lock = HDW__LOCK_RANGE__INIT;
    Hdw__LockRange *locks[] = {&lock};
    lock.ino = r.secret;
    lock.end = UINT64_MAX;
    lock.type = 1;
    uint64_t inos[] = {r.secret};
    Hdw__ReclaimResponse *l =
        ASK(&other, "reclaim", Reclaim, reclaim, .client_name = S(other.name),
            .session = other.number, .writing = inos, .n_writing = 1, .locks = locks, .n_locks = 1);
    ATF_CHECK_EQ(l->n_lost, 2);
    rig_done(&r);
}

static int make_error(struct rig *r, const char *name, uint32_t mode)
{
    return error_of(&r->eve, mount_make_send(&r->eve, r->common, name, mode));
}

ATF_TC_WITHOUT_HEAD(devices_are_made_by_the_superuser);
ATF_TC_BODY(devices_are_made_by_the_superuser, tc)
{
    struct rig r;
    rig_init(&r);
    ATF_CHECK_EQ(make_error(&r, "disk", 0060666), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(make_error(&r, "mem", 0020666), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(make_error(&r, "pipe", 0010666), 0);
    be(&r, "root");
    ATF_CHECK_EQ(error_of(&r.b.t, mount_make_send(&r.b.t, ROOT, "disk", 0060600)), 0);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_program_is_not_made_in_the_name_of_a_foreign_group);
ATF_TC_BODY(a_program_is_not_made_in_the_name_of_a_foreign_group, tc)
{
    struct rig r;
    rig_init(&r);
    be(&r, "root");
    (void)mount_chmod_send(&r.nobody, r.common, 02777);
    be(&r, "eve");
    uint64_t ino = mount_make(&r.eve, r.common, "x", 0102755);
    Hdw__GetAttrResponse *a = ASK(&r.eve, "getAttr", GetAttr, get_attr, .ino = ino);
    ATF_CHECK_EQ(a->attr->mode, 0100755);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(what_is_held_without_any_session_goes);
ATF_TC_BODY(what_is_held_without_any_session_goes, tc)
{
    struct world w;
    world_init(&w);
    struct mount nobody = {.w = &w, .name = "nobody", .calls_conn = 1, .polls_conn = 1};
    uint64_t ino = mount_make(&nobody, ROOT, "f", 0100644);
    ATF_CHECK_EQ(error_of(&nobody, mount_unlink_send(&nobody, ROOT, "f", true)), 0);
    world_pass(&w, 1000);
    ATF_CHECK(hd_ns_inode(&w.m->ns, ino) == NULL);
    world_check(&w);
    world_done(&w);
}

/* ---- numbers that nobody means ---- */

static void every_call_with(struct rig *r, uint64_t ino, uint64_t n)
{
    struct mount *t = &r->b.t;
    Hdw__LockRange lock = HDW__LOCK_RANGE__INIT;
    Hdw__LockRange *locks[] = {&lock};
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__ExtendedBlock *blocks[] = {&block};
    Hdw__PosixAttrChange change = HDW__POSIX_ATTR_CHANGE__INIT;
    uint64_t s = t->number;
    change.has_mtime_ns = change.has_atime_ns = true;
    change.mtime_ns = change.atime_ns = (int64_t)n;
    lock.ino = ino;
    lock.start = n;
    lock.end = UINT64_MAX;
    lock.type = (uint32_t)n;
    block.pool_id = S(r->b.w.options.block_pool_id);
    block.block_id = n;
    block.generation_stamp = n;
    block.has_num_bytes = true;
    block.num_bytes = n;
    (void)mount_acquire(t, ino, (Hdw__CapKind)(n & 3));
    (void)SEND(t, "openBlocks", OpenBlocks, open_blocks, .session = s, .ino = ino);
    (void)SEND(t, "openBlock", OpenBlock, open_block, .session = s, .ino = ino, .offset = n);
    (void)SEND(t, "closeBlock", CloseBlock, close_block, .session = s, .ino = ino, .block = &block);
    block.block_id = 0;
    (void)SEND(t, "closeBlock", CloseBlock, close_block, .session = s, .ino = ino, .block = &block);
    (void)SEND(t, "closeBlocks", CloseBlocks, close_blocks, .session = s, .ino = ino,
               .closing = blocks, .n_closing = 1);
    (void)SEND(t, "resize", Resize, resize, .session = s, .ino = ino, .size = n);
    (void)SEND(t, "punch", Punch, punch, .session = s, .ino = ino, .offset = n, .length = n);
    (void)SEND(t, "openBlock", OpenBlock, open_block, .session = s, .ino = ino, .offset = n / 2);
    (void)SEND(t, "resize", Resize, resize, .session = s, .ino = ino, .size = n / 3);
    (void)SEND(t, "openBlock", OpenBlock, open_block, .session = s, .ino = ino, .offset = n / 4);
    (void)SEND(t, "closeBlocks", CloseBlocks, close_blocks, .session = s, .ino = ino,
               .change = &change);
    (void)SEND(t, "setAttr", SetAttr, set_attr, .ino = ino, .change = &change);
    (void)SEND(t, "setLock", SetLock, set_lock, .session = s, .lock = &lock);
    (void)SEND(t, "getLock", GetLock, get_lock, .session = s, .lock = &lock);
    (void)SEND(t, "reclaim", Reclaim, reclaim, .client_name = S(t->name), .session = s,
               .orphans = &ino, .n_orphans = 1, .writing = &ino, .n_writing = 1, .locks = locks,
               .n_locks = 1);
    (void)SEND(t, "forgetOrphans", ForgetOrphans, forget_orphans, .session = s, .inos = &ino,
               .n_inos = 1);
    (void)SEND(t, "readContent", ReadContent, read_content, .ino = ino);
    (void)SEND(t, "readDir", ReadDir, read_dir, .ino = ino, .max = (uint32_t)n);
    (void)SEND(t, "getPosixXattrs", GetPosixXattrs, get_posix_xattrs, .ino = ino);
    (void)SEND(t, "release", Release, release, .session = s, .ino = ino,
               .keep = (Hdw__CapKind)(n & 3), .has_serial = true, .serial = n);
    (void)AS(t, "fsync", Fsync, fsync, .src = S("/secret"), .client = S(t->name),
             .has_last_block_length = true, .last_block_length = (int64_t)n, .has_file_id = true,
             .file_id = ino, .has_block_id = true, .block_id = n);
    (void)mount_acquire(t, ino, HDW__CAP_KIND__CAP_WRITE);
    (void)write_content_send(t, ino, "again", 5);
    world_check(&r->b.w);
}

ATF_TC_WITHOUT_HEAD(no_number_breaks_an_invariant);
ATF_TC_BODY(no_number_breaks_an_invariant, tc)
{
    struct rig r;
    rig_init(&r);
    be(&r, "root");
    mount_poll(&r.b.t, 3000);
    struct mount *t = &r.b.t;
    uint64_t link_ino = r.b.w.m->ns.next_ino;
    (void)SEND(t, "link", Link, link, .ino = r.secret, .parent = r.directory,
               .name = bytes_named("name"));
    uint64_t pipe = mount_make(t, r.directory, "pipe", 0010666);
    (void)mount_unlink_send(t, r.directory, "hidden", true);
    const uint64_t inos[] = {0,    ROOT,        r.secret, link_ino, r.hidden,
                             pipe, r.directory, r.notice, 1,        UINT64_MAX};
    const uint64_t numbers[] = {0,
                                1,
                                4096,
                                MIB,
                                3 * MIB + 5,
                                INT64_MAX,
                                HD_FILE_MAX_BYTES,
                                HD_FILE_MAX_BYTES + 1,
                                UINT64_MAX / 2 + 1,
                                UINT64_MAX - 1,
                                UINT64_MAX};
    for (size_t i = 0; i < HD_ARRAY_COUNT(inos); i++) {
        for (size_t n = 0; n < HD_ARRAY_COUNT(numbers); n++) {
            every_call_with(&r, inos[i], numbers[n]);
        }
    }
    world_restart(&r.b.w);
    rig_done(&r);
}

/* ---- what no record has room for ---- */

static char *long_text(size_t size)
{
    char *text = malloc(size + 1);
    ATF_REQUIRE(text != NULL);
    memset(text, 'x', size);
    text[size] = '\0';
    return text;
}

ATF_TC_WITHOUT_HEAD(a_request_is_no_longer_than_a_record);
ATF_TC_BODY(a_request_is_no_longer_than_a_record, tc)
{
    struct world w;
    world_init(&w);
    char *holder = long_text(70 << 20);
    struct mount t = {.w = &w, .name = "nobody", .calls_conn = 1, .polls_conn = 1};
    ProtobufCBinaryData target = {70 << 20, (uint8_t *)holder};
    uint64_t token = SEND(&t, "writeContent", WriteContent, write_content, .content = target);
    ATF_CHECK_EQ(error_of(&t, token), -HD_E_ILLEGAL_ARGUMENT);
    w.user = holder;
    ATF_CHECK_EQ(error_of(&t, mount_make_send(&t, ROOT, "f", 0100644)), -HD_E_ILLEGAL_ARGUMENT);
    w.user = "root";
    uint64_t ino = mount_make(&t, ROOT, "g", 0100644);
    Hdw__PosixAclEntry lines[5];
    Hdw__PosixAclEntry *list[5];
    for (int n = 0; n < 5; n++) { /* owner, group, mask, others; and somebody */
        hdw__posix_acl_entry__init(&lines[n]);
        lines[n].kind = (Hdw__AclEntryKind)(n & 3);
        list[n] = &lines[n];
    }
    lines[4].name = holder;
    for (int extra = 1; extra >= 0; extra--) {
        holder[255 + extra] = '\0';
        token = SEND(&t, "setPosixAcl", SetPosixAcl, set_posix_acl, .ino = ino, .entries = list,
                     .n_entries = 5);
        ATF_CHECK_EQ(error_of(&t, token), extra > 0 ? -EINVAL : 0);
    }
    free(holder);
    world_check(&w);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_content_of_a_file_is_given_as_its_mode_says);
    ATF_TP_ADD_TC(tp, an_owner_goes_on_with_what_is_open_whatever_its_mode);
    ATF_TP_ADD_TC(tp, who_may_not_open_a_file_may_not_lock_it);
    ATF_TP_ADD_TC(tp, a_file_without_a_name_is_no_more_open_than_it_was);
    ATF_TP_ADD_TC(tp, a_session_that_comes_back_gets_no_more_than_its_user_may);
    ATF_TP_ADD_TC(tp, devices_are_made_by_the_superuser);
    ATF_TP_ADD_TC(tp, a_program_is_not_made_in_the_name_of_a_foreign_group);
    ATF_TP_ADD_TC(tp, what_is_held_without_any_session_goes);
    ATF_TP_ADD_TC(tp, no_number_breaks_an_invariant);
    ATF_TP_ADD_TC(tp, a_request_is_no_longer_than_a_record);
    return atf_no_error();
}
