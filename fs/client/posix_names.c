/* Names and attributes: the calls of posix.h, each a message there and one back. */
#include "fs/base/error.h"
#include "fs/client/posix_impl.h"

#include <errno.h>
#include <stdlib.h>

/* A request's cred, which lives beside it. */
struct who {
    Hdw__PosixCred message;
};

static Hdw__PosixCred *who_is(struct who *w, const struct hd_posix_cred *cred)
{
    if (cred == NULL) {
        return NULL;
    }
    hd_posix_cred_fill(cred, &w->message);
    return &w->message;
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

/* NULL leaves what is there, which is zeroed. */
static int take(const Hdw__PosixAttr *m, struct hd_posix_as_of as_of, struct hd_posix_attr *ret)
{
    return m == NULL ? 0 : hd_posix_attr_take(m, as_of, ret);
}

void hd_posix_found_done(struct hd_posix_found *f)
{
    hd_posix_attr_done(&f->attr);
}

int hd_posix_lookup(struct hd_posix *p, uint64_t dir, const char *name, struct hd_posix_found *ret,
                    struct hd_posix_attr *ret_dir)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__LookupRequest q = HDW__LOOKUP_REQUEST__INIT;
    Hdw__LookupResponse *r;
    *ret = (struct hd_posix_found){0};
    if (ret_dir != NULL) {
        *ret_dir = (struct hd_posix_attr){0};
    }
    q.parent = dir;
    q.name = bytes_of(name);
    int err = HD_POSIX_CALL(p, "lookup", lookup, &q, NULL, &arena, &r, &ret->as_of);
    if (err < 0) {
        return err;
    }
    ret->cached = r->has_cached && r->cached;
    err = take(r->attr, ret->as_of, &ret->attr);
    if (err == 0 && ret_dir != NULL) {
        err = take(r->parent, ret->as_of, ret_dir);
    }
    return err < 0 ? err : r->attr != NULL;
}

int hd_posix_get_attr(struct hd_posix *p, uint64_t ino, struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetAttrRequest q = HDW__GET_ATTR_REQUEST__INIT;
    Hdw__GetAttrResponse *r;
    struct hd_posix_as_of as_of;
    *ret = (struct hd_posix_attr){0};
    q.ino = ino;
    int err = HD_POSIX_CALL(p, "getAttr", get_attr, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}

void hd_posix_page_done(struct hd_posix_page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        hd_posix_attr_done(&page->entries[i].attr);
    }
    free(page->entries);
    *page = (struct hd_posix_page){0};
}

static int take_entry(const Hdw__PosixEntry *e, struct hd_posix_as_of as_of,
                      struct hd_posix_entry *ret)
{
    if (e->name.len == 0 || e->name.len > HD_POSIX_NAME_MAX_BYTES ||
        memchr(e->name.data, '\0', e->name.len) != NULL) {
        return hd_fail(-HD_E_BAD_MESSAGE, "a name of %zu bytes", e->name.len);
    }
    memcpy(ret->name, e->name.data, e->name.len);
    ret->name[e->name.len] = '\0';
    return hd_posix_attr_take(e->attr, as_of, &ret->attr);
}

int hd_posix_read_dir(struct hd_posix *p, uint64_t dir, const char *start_after, uint32_t max,
                      struct hd_posix_page *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ReadDirRequest q = HDW__READ_DIR_REQUEST__INIT;
    Hdw__ReadDirResponse *r;
    *ret = (struct hd_posix_page){0};
    q.ino = dir;
    q.start_after = bytes_of(start_after);
    q.max = max;
    int err = HD_POSIX_CALL(p, "readDir", read_dir, &q, NULL, &arena, &r, &ret->as_of);
    if (err < 0) {
        return err;
    }
    ret->more = r->more;
    ret->cached = r->has_cached && r->cached;
    if (r->n_entries == 0) {
        return 0;
    }
    ret->entries = calloc(r->n_entries, sizeof(*ret->entries));
    if (ret->entries == NULL) {
        return -ENOMEM;
    }
    for (; ret->count < r->n_entries && err == 0; ret->count++) {
        err = take_entry(r->entries[ret->count], ret->as_of, &ret->entries[ret->count]);
    }
    return err;
}

void hd_posix_made_done(struct hd_posix_made *m)
{
    hd_posix_attr_done(&m->attr);
    hd_posix_attr_done(&m->dir);
}

static int take_made(const Hdw__PosixAttr *attr, const Hdw__PosixAttr *dir,
                     struct hd_posix_as_of as_of, struct hd_posix_made *ret)
{
    int err = take(attr, as_of, &ret->attr);
    return err < 0 ? err : take(dir, as_of, &ret->dir);
}

int hd_posix_make_node(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                       const struct hd_posix_make *make, struct hd_posix_made *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__MakeNodeRequest q = HDW__MAKE_NODE_REQUEST__INIT;
    Hdw__MakeNodeResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_made){0};
    q.parent = dir;
    q.name = bytes_of(make->name);
    q.mode = make->mode;
    q.has_umask = true;
    q.umask = make->umask;
    q.has_rdev = make->rdev != 0;
    q.rdev = make->rdev;
    q.has_exclusive = q.exclusive = make->exclusive;
    q.has_open = q.open = make->open;
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "makeNode", make_node, &q, NULL, &arena, &r, &as_of);
    if (err < 0) {
        return err;
    }
    ret->existed = r->has_existed && r->existed;
    ret->serial = r->has_serial ? r->serial : 0;
    ret->granted = r->has_granted ? r->granted : HDW__CAP_KIND__CAP_NONE;
    return take_made(r->attr, r->parent, as_of, ret);
}

int hd_posix_make_symlink(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                          const char *name, const char *target, struct hd_posix_made *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__MakeSymlinkRequest q = HDW__MAKE_SYMLINK_REQUEST__INIT;
    Hdw__MakeSymlinkResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_made){0};
    q.parent = dir;
    q.name = bytes_of(name);
    q.target = bytes_of(target);
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "makeSymlink", make_symlink, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take_made(r->attr, r->parent, as_of, ret);
}

int hd_posix_link(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino, uint64_t dir,
                  const char *name, struct hd_posix_made *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__LinkRequest q = HDW__LINK_REQUEST__INIT;
    Hdw__LinkResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_made){0};
    q.ino = ino;
    q.parent = dir;
    q.name = bytes_of(name);
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "link", link, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take_made(r->attr, r->parent, as_of, ret);
}

int hd_posix_unlink(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                    const struct hd_posix_unlink *what, struct hd_posix_made *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__UnlinkRequest q = HDW__UNLINK_REQUEST__INIT;
    Hdw__UnlinkResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_made){0};
    q.parent = dir;
    q.name = bytes_of(what->name);
    q.has_directory = q.directory = what->directory;
    q.has_held = q.held = what->held;
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "unlink", unlink, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take_made(r->attr, r->parent, as_of, ret);
}

void hd_posix_moved_done(struct hd_posix_moved *m)
{
    hd_posix_attr_done(&m->attr);
    hd_posix_attr_done(&m->other);
    hd_posix_attr_done(&m->from_dir);
    hd_posix_attr_done(&m->to_dir);
}

int hd_posix_move(struct hd_posix *p, const struct hd_posix_cred *cred,
                  const struct hd_posix_move *move, struct hd_posix_moved *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__MoveRequest q = HDW__MOVE_REQUEST__INIT;
    Hdw__MoveResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_moved){0};
    q.from_parent = move->from_dir;
    q.from_name = bytes_of(move->from);
    q.to_parent = move->to_dir;
    q.to_name = bytes_of(move->to);
    q.has_no_replace = q.no_replace = move->no_replace;
    q.has_exchange = q.exchange = move->exchange;
    q.has_held = q.held = move->held;
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "move", move, &q, NULL, &arena, &r, &as_of);
    err = err < 0 ? err : take(r->attr, as_of, &ret->attr);
    err = err < 0 ? err : take(r->other, as_of, &ret->other);
    err = err < 0 ? err : take(r->from_parent, as_of, &ret->from_dir);
    return err < 0 ? err : take(r->to_parent, as_of, &ret->to_dir);
}

int hd_posix_set_attr(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                      const struct hd_posix_change *change, struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SetAttrRequest q = HDW__SET_ATTR_REQUEST__INIT;
    Hdw__PosixAttrChange c;
    Hdw__SetAttrResponse *r;
    struct hd_posix_as_of as_of;
    struct who who;
    *ret = (struct hd_posix_attr){0};
    hd_posix_change_fill(change, &c);
    q.ino = ino;
    q.change = &c;
    q.cred = who_is(&who, cred);
    int err = HD_POSIX_CALL(p, "setAttr", set_attr, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}

int hd_posix_statfs(struct hd_posix *p, uint64_t ino, struct hd_posix_space *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__StatFsRequest q = HDW__STAT_FS_REQUEST__INIT;
    Hdw__StatFsResponse *r;
    q.ino = ino;
    int err = HD_POSIX_CALL(p, "statFs", stat_fs, &q, NULL, &arena, &r, NULL);
    if (err < 0) {
        return err;
    }
    *ret = (struct hd_posix_space){
        .total_bytes = r->total_bytes,
        .free_bytes = r->free_bytes,
        .total_names = r->total_names,
        .free_names = r->free_names,
    };
    return 0;
}

int hd_posix_forget_orphans(struct hd_posix *p, const uint64_t *inos, size_t count)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ForgetOrphansRequest q = HDW__FORGET_ORPHANS_REQUEST__INIT;
    Hdw__ForgetOrphansResponse *r;
    q.inos = (uint64_t *)(uintptr_t)inos;
    q.n_inos = count;
    return HD_POSIX_CALL(p, "forgetOrphans", forget_orphans, &q, &q.session, &arena, &r, NULL);
}
