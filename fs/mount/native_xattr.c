/*
 * Extended attributes and ACLs of a mount with a session. Everything an inode has is fetched at
 * once and kept (xattr_cache.h); of an inode whose attributes say that it has none, nothing is
 * asked: the kernel wants security.capability before every write, and the ACL before every access.
 *
 * Who may read and change what, the kernel has checked (xattr(7)); meta checks names, sizes and
 * what is there.
 */
#include "fs/mount/acl_xattr.h"
#include "fs/mount/native.h"
#include "fs/mount/xattr_cache.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"

#include <errno.h>

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

enum { STATFS_BLOCK_BYTES = 4096 };

static bool is_acl(const char *name)
{
    return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static bool is_plain(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
           strncmp(name, "security.", 9) == 0;
}

/* As getxattr(2) and listxattr(2) want it: the size alone, or the bytes if they fit. */
static void reply_value(fuse_req_t req, const void *value, size_t value_size, size_t room)
{
    if (room == 0) {
        fuse_reply_xattr(req, value_size);
    } else if (value_size > room) {
        fuse_reply_err(req, ERANGE);
    } else {
        fuse_reply_buf(req, value, value_size);
    }
}

/* ---- what there is ---- */

/* Is it known that the inode has none of these (HD_KNOWN_XATTRS, HD_KNOWN_ACL)? */
static bool has_none(struct hd_mount *m, uint64_t ino, uint32_t flags)
{
    struct stat st;
    uint32_t there;
    return hd_native_known(m, ino, &st, &there) && (there & flags) == 0;
}

static int fetch(struct hd_mount *m, uint64_t ino, struct hd_arena *arena,
                 Hdw__GetPosixXattrsResponse **ret)
{
    uint64_t id = hd_inode_id(&m->inodes, ino);
    struct hd_xattr_cache *cache = m->native->xattrs;
    *ret = hd_xattr_cache_get(cache, id, arena);
    if (*ret != NULL) {
        return 0;
    }
    uint64_t stamp = hd_xattr_cache_stamp(cache, id);
    int rc = hd_posix_get_xattrs(m->posix, id, arena, ret, NULL);
    if (rc == 0 && (*ret)->has_cached && (*ret)->cached) {
        hd_xattr_cache_put(cache, id, stamp, *ret);
    }
    return rc;
}

/* ---- ACLs: names to numbers, and back ---- */

/* The number of a name; false: this machine has none, and what is of that name concerns nobody
 * here.
 */
static bool number_of(struct hd_mount *m, const Hdw__PosixAclEntry *e, uint32_t *ret)
{
    char back[HD_STAT_USER_BYTES];
    if (e->kind == HDW__ACL_ENTRY_KIND__ACL_KIND_USER) {
        *ret = hd_users_uid(m->users, e->name);
        hd_users_user_name(m->users, *ret, back);
    } else {
        *ret = hd_users_gid(m->users, e->name);
        hd_users_group_name(m->users, *ret, back);
    }
    return strcmp(back, e->name) == 0;
}

static uint16_t tag_of(const Hdw__PosixAclEntry *e)
{
    switch (e->kind) {
    case HDW__ACL_ENTRY_KIND__ACL_KIND_USER:
        return e->name != NULL ? HD_ACL_NAMED_USER : HD_ACL_USER_OBJ;
    case HDW__ACL_ENTRY_KIND__ACL_KIND_GROUP:
        return e->name != NULL ? HD_ACL_NAMED_GROUP : HD_ACL_GROUP_OBJ;
    case HDW__ACL_ENTRY_KIND__ACL_KIND_MASK:
        return HD_ACL_MASK_OBJ;
    case HDW__ACL_ENTRY_KIND__ACL_KIND_OTHER:
    case _HDW__ACL_ENTRY_KIND_IS_INT_SIZE:
        break;
    }
    return HD_ACL_OTHER_OBJ;
}

static int add_acl(struct hd_mount *m, Hdw__PosixAclEntry *const *entries, size_t count,
                   struct hd_buf *out)
{
    struct hd_acl_item items[HD_ACL_ITEMS_MAX];
    size_t used = 0;
    for (size_t n = 0; n < count && used < HD_ACL_ITEMS_MAX; n++) {
        struct hd_acl_item item = {.tag = tag_of(entries[n]), .perm = entries[n]->perm & 7u};
        if (!hd_acl_is_named(&item) || number_of(m, entries[n], &item.id)) {
            items[used++] = item;
        }
    }
    size_t size = hd_acl_xattr_size(used);
    int rc = hd_buf_reserve(out, size);
    if (rc == 0) {
        hd_acl_xattr_encode(items, used, out->data + out->size);
        out->size += size;
    }
    return rc;
}

/* A list of entries that grows to a known end. */
struct entries {
    Hdw__PosixAclEntry **v;
    size_t count;
};

static int add_item(struct hd_mount *m, const struct hd_acl_item *item, struct hd_arena *arena,
                    struct entries *to)
{
    Hdw__PosixAclEntry *e = HD_ARENA_NEW(arena, Hdw__PosixAclEntry);
    char name[HD_STAT_USER_BYTES];
    if (e == NULL) {
        return -ENOMEM;
    }
    hdw__posix_acl_entry__init(e);
    e->perm = item->perm;
    switch (item->tag) {
    case HD_ACL_NAMED_USER:
        hd_users_user_name(m->users, item->id, name);
        e->name = hd_arena_str(arena, name);
        break;
    case HD_ACL_USER_OBJ:
        e->kind = HDW__ACL_ENTRY_KIND__ACL_KIND_USER;
        break;
    case HD_ACL_NAMED_GROUP:
        hd_users_group_name(m->users, item->id, name);
        e->name = hd_arena_str(arena, name);
        e->kind = HDW__ACL_ENTRY_KIND__ACL_KIND_GROUP;
        break;
    case HD_ACL_GROUP_OBJ:
        e->kind = HDW__ACL_ENTRY_KIND__ACL_KIND_GROUP;
        break;
    case HD_ACL_MASK_OBJ:
        e->kind = HDW__ACL_ENTRY_KIND__ACL_KIND_MASK;
        break;
    default:
        e->kind = HDW__ACL_ENTRY_KIND__ACL_KIND_OTHER;
        break;
    }
    to->v[to->count++] = e;
    return hd_acl_is_named(item) && e->name == NULL ? -ENOMEM : 0;
}

/* Entries of names this machine does not know were not shown, and stay as they are. */
static void add_unseen(struct hd_mount *m, Hdw__PosixAclEntry *const *old, size_t count,
                       struct entries *to)
{
    for (size_t n = 0; n < count; n++) {
        uint32_t id;
        bool named = old[n]->name != NULL;
        if (named && !number_of(m, old[n], &id) && to->count < HD_ACL_ITEMS_MAX) {
            to->v[to->count++] = old[n];
        }
    }
}

static int set_acl(struct hd_mount *m, fuse_req_t req, uint64_t ino, bool is_default,
                   const struct hd_acl_item *items, size_t count, bool clear_setgid)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena = {0};
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr attr = {0};
    struct hd_posix_cred cred;
    hd_arena_init(&arena, 0);
    struct entries to = {.v = HD_ARENA_ARRAY(&arena, Hdw__PosixAclEntry *, HD_ACL_ITEMS_MAX)};
    bool masked = false;
    int rc = to.v == NULL ? -ENOMEM : 0;
    for (size_t n = 0; rc == 0 && n < count; n++) {
        rc = add_item(m, &items[n], &arena, &to);
        masked = masked || items[n].tag == HD_ACL_MASK_OBJ;
    }
    if (rc == 0 && masked && !has_none(m, ino, HD_KNOWN_ACL)) {
        Hdw__GetPosixXattrsResponse *old;
        rc = fetch(m, ino, &arena, &old);
        if (rc == 0) {
            add_unseen(m, is_default ? old->default_acl : old->acl,
                       is_default ? old->n_default_acl : old->n_acl, &to);
        }
    }
    if (rc < 0) {
        return rc;
    }
    hd_native_cred(req, &cred);
    uint64_t id = hd_inode_id(&m->inodes, ino);
    rc = hd_posix_set_acl(m->posix, &cred, id, is_default, to.v, to.count, clear_setgid, &attr);
    hd_xattr_cache_forget(m->native->xattrs, id);
    if (rc == 0) {
        hd_native_learned(m, &attr);
    }
    return rc;
}

/* chmod(2)'s rule for setgid holds for ACLs too: it goes unless the caller is in the group. */
static bool loses_setgid(struct hd_mount *m, fuse_req_t req, uint64_t ino)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    struct stat st;
    double timeout_s;
    if (ctx->uid == 0 || hd_native_stat(m, ino, &st, &timeout_s) < 0 ||
        (st.st_mode & S_ISGID) == 0 || ctx->gid == st.st_gid) {
        return false;
    }
    gid_t groups[256];
    int count = fuse_req_getgroups(req, HD_ARRAY_COUNT(groups), groups);
    for (int n = 0; n < count && n < (int)HD_ARRAY_COUNT(groups); n++) {
        if (groups[n] == st.st_gid) {
            return false;
        }
    }
    return true;
}

/* ---- reading ---- */

static int find_plain(const Hdw__GetPosixXattrsResponse *all, const char *name, struct hd_buf *out)
{
    for (size_t n = 0; n < all->n_xattrs; n++) {
        if (strcmp(all->xattrs[n]->name, name) == 0) {
            return hd_buf_add(out, all->xattrs[n]->value.data, all->xattrs[n]->value.len);
        }
    }
    return -ENODATA;
}

static int get_value(struct hd_mount *m, uint64_t ino, const char *name, struct hd_buf *out)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena = {0};
    Hdw__GetPosixXattrsResponse *all;
    bool acl = is_acl(name);
    if (!acl && !is_plain(name)) {
        return -EOPNOTSUPP;
    }
    if (has_none(m, ino, acl ? HD_KNOWN_ACL : HD_KNOWN_XATTRS)) {
        return -ENODATA;
    }
    hd_arena_init(&arena, 0);
    int rc = fetch(m, ino, &arena, &all);
    if (rc < 0) {
        return rc;
    }
    if (!acl) {
        return find_plain(all, name, out);
    }
    bool is_default = strcmp(name, ACL_DEFAULT) == 0;
    size_t count = is_default ? all->n_default_acl : all->n_acl;
    return count == 0 ? -ENODATA : add_acl(m, is_default ? all->default_acl : all->acl, count, out);
}

void hd_native_getxattr(fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
    HD_AUTO(hd_buf_done) struct hd_buf value = {0};
    int rc = get_value(hd_mount_of(req), ino, name, &value);
    if (rc < 0) {
        hd_mount_fail_object(req, "getxattr", ino, rc);
        return;
    }
    reply_value(req, value.data, value.size, size);
}

static int add_name(struct hd_buf *names, const char *name)
{
    return hd_buf_add(names, name, strlen(name) + 1);
}

/* trusted.* is for the superuser's eyes, and the kernel does not look here. */
static int list_names(struct hd_mount *m, uint64_t ino, bool root, struct hd_buf *names)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena = {0};
    Hdw__GetPosixXattrsResponse *all;
    if (has_none(m, ino, HD_KNOWN_XATTRS | HD_KNOWN_ACL)) {
        return 0;
    }
    hd_arena_init(&arena, 0);
    int rc = fetch(m, ino, &arena, &all);
    if (rc < 0) {
        return rc;
    }
    rc = all->n_acl > 0 ? add_name(names, ACL_ACCESS) : 0;
    if (rc == 0 && all->n_default_acl > 0) {
        rc = add_name(names, ACL_DEFAULT);
    }
    for (size_t n = 0; rc == 0 && n < all->n_xattrs; n++) {
        const char *name = all->xattrs[n]->name;
        if (root || strncmp(name, "trusted.", 8) != 0) {
            rc = add_name(names, name);
        }
    }
    return rc;
}

void hd_native_listxattr(fuse_req_t req, uint64_t ino, size_t size)
{
    HD_AUTO(hd_buf_done) struct hd_buf names = {0};
    int rc = list_names(hd_mount_of(req), ino, fuse_req_ctx(req)->uid == 0, &names);
    if (rc < 0) {
        hd_mount_fail_object(req, "listxattr", ino, rc);
        return;
    }
    reply_value(req, names.data, names.size, size);
}

/* ---- changing ---- */

/* value NULL: removes it. */
static int change_plain(struct hd_mount *m, fuse_req_t req, uint64_t ino, const char *name,
                        const void *value, size_t size, int flags)
{
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr attr = {0};
    struct hd_posix_cred cred;
    uint64_t id = hd_inode_id(&m->inodes, ino);
    if (!is_plain(name)) {
        return -EOPNOTSUPP;
    }
    hd_native_cred(req, &cred);
    int rc = hd_posix_set_xattr(m->posix, &cred, id, name, value, size, flags, &attr);
    hd_xattr_cache_forget(m->native->xattrs, id);
    if (rc == 0 && attr.ino != 0) {
        hd_native_learned(m, &attr);
    } else if (rc == 0) { /* an answer that was given once already: it tells nothing */
        hd_native_unlearn(m, ino, &(struct hd_posix_as_of){0});
    }
    return rc;
}

static int set_value(struct hd_mount *m, fuse_req_t req, uint64_t ino, const char *name,
                     const void *value, size_t size, int flags)
{
    struct hd_acl_item items[HD_ACL_ITEMS_MAX];
    if (!is_acl(name)) {
        return change_plain(m, req, ino, name, value, size, flags);
    }
    int count = hd_acl_xattr_decode(value, size, items);
    if (count < 0) {
        return count;
    }
    bool is_default = strcmp(name, ACL_DEFAULT) == 0;
    bool clear_setgid = !is_default && loses_setgid(m, req, ino);
    return set_acl(m, req, ino, is_default, items, (size_t)count, clear_setgid);
}

void hd_native_setxattr(fuse_req_t req, uint64_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    struct hd_mount *m = hd_mount_of(req);
    hd_native_change_begin(m, ino);
    int rc = set_value(m, req, ino, name, value, size, flags);
    hd_native_change_end(m, ino);
    if (rc < 0) {
        hd_mount_fail_object(req, "setxattr", ino, rc);
    } else {
        fuse_reply_err(req, 0);
    }
}

void hd_native_removexattr(fuse_req_t req, uint64_t ino, const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    hd_native_change_begin(m, ino);
    int rc = is_acl(name) ? set_acl(m, req, ino, strcmp(name, ACL_DEFAULT) == 0, NULL, 0, false)
                          : change_plain(m, req, ino, name, NULL, 0, 0);
    hd_native_change_end(m, ino);
    if (rc < 0) {
        hd_mount_fail_object(req, "removexattr", ino, rc);
    } else {
        fuse_reply_err(req, 0);
    }
}

/* ---- statfs: of the cluster, or of the nearest quota above ---- */

void hd_native_statfs(fuse_req_t req, uint64_t ino)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_space space;
    int rc = hd_posix_statfs(m->posix, hd_inode_id(&m->inodes, ino), &space);
    if (rc < 0) {
        hd_mount_fail_object(req, "statfs", ino, rc);
        return;
    }
    struct statvfs st = {
        .f_bsize = STATFS_BLOCK_BYTES,
        .f_frsize = STATFS_BLOCK_BYTES,
        .f_blocks = space.total_bytes / STATFS_BLOCK_BYTES,
        .f_bfree = space.free_bytes / STATFS_BLOCK_BYTES,
        .f_bavail = space.free_bytes / STATFS_BLOCK_BYTES,
        .f_files = space.total_names,
        .f_ffree = space.free_names,
        .f_favail = space.free_names,
        .f_namemax = 255,
    };
    fuse_reply_statfs(req, &st);
}
