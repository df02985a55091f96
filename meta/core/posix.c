/* What PosixProtocol's handlers share. See posix.h. */
#include "meta/core/posix.h"
#include "meta/core/caps.h"
#include "meta/core/links.h"
#include "meta/core/quota.h"

#include <sys/stat.h>

enum {
    NS_PER_MS = 1000000,
    DIRECTORY_BYTES = 4096, /* what programs have always seen */
};

/* ---- inodes by number ---- */

int hd_posix_inode(struct hd_call *c, uint64_t ino, struct hd_inode **ret)
{
    *ret = hd_inode_of_entry(hd_ns_inode(c->ns, ino));
    if (*ret == NULL) {
        return hd_call_fail(c, -ESTALE, "There is no inode %llu (any more)",
                            (unsigned long long)ino);
    }
    return 0;
}

int hd_posix_directory(struct hd_call *c, uint64_t ino, struct hd_inode **ret)
{
    int err = hd_posix_inode(c, ino, ret);
    if (err == 0 && !hd_inode_is_dir(*ret)) {
        return hd_call_fail(c, -ENOTDIR, "Inode %llu is no directory", (unsigned long long)ino);
    }
    return err;
}

int hd_posix_file(struct hd_call *c, uint64_t ino, struct hd_inode **ret)
{
    int err = hd_posix_inode(c, ino, ret);
    if (err == 0 && hd_inode_is_dir(*ret)) {
        return hd_call_fail(c, -EISDIR, "Inode %llu is a directory", (unsigned long long)ino);
    }
    if (err == 0 && !hd_inode_is_file(*ret)) {
        return hd_call_fail(c, -EINVAL, "Inode %llu is no regular file", (unsigned long long)ino);
    }
    return err;
}

/* ---- who ---- */

const char *hd_posix_user(const struct hd_call *c, const Hdw__PosixCred *cred)
{
    return cred != NULL && c->superuser && cred->user[0] != '\0' ? cred->user : c->event->user;
}

const char *hd_posix_group(const struct hd_call *c, const Hdw__PosixCred *cred)
{
    if (cred != NULL && c->superuser && cred->group[0] != '\0') {
        return cred->group;
    }
    const char *const *groups = c->event->groups;
    return groups != NULL && groups[0] != NULL ? groups[0] : c->event->user;
}

/* No directory guards it any more: who knew it before, or owns it, may go on. */
static int check_orphan(struct hd_call *c, const struct hd_inode *i)
{
    return hd_caps_knows(c, i) ? 0 : hd_check_owner(c, i);
}

int hd_posix_access(struct hd_call *c, const struct hd_inode *i, unsigned access)
{
    if (c->superuser) {
        return 0;
    }
    int err = hd_inode_is_orphan(i) ? check_orphan(c, i) : hd_check_traverse(c, i);
    return err < 0 || access == 0 ? err : hd_check_access(c, i, access);
}

int hd_posix_may_open(struct hd_call *c, const struct hd_inode *i, unsigned access)
{
    int err = hd_posix_access(c, i, 0);
    if (err < 0 || hd_check_owner(c, i) == 0) {
        return err;
    }
    if (access != 0) {
        return hd_check_access(c, i, access);
    }
    return hd_check_access(c, i, HD_R) == 0 ? 0 : hd_check_access(c, i, HD_W);
}

/* ---- attributes ---- */

uint32_t hd_posix_mode(const struct hd_inode *i)
{
    static const uint32_t types[] = {
        [HD_INODE_DIR] = S_IFDIR,   [HD_INODE_FILE] = S_IFREG,    [HD_INODE_SYMLINK] = S_IFLNK,
        [HD_INODE_FIFO] = S_IFIFO,  [HD_INODE_SOCKET] = S_IFSOCK, [HD_INODE_CHAR] = S_IFCHR,
        [HD_INODE_BLOCK] = S_IFBLK, [HD_INODE_LINK] = 0,
    };
    return types[i->type] | i->mode;
}

static int64_t whole_ns(int64_t ms, uint32_t part_ns)
{
    int64_t ns;
    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns) || __builtin_add_overflow(ns, part_ns, &ns)) {
        return ms < 0 ? INT64_MIN : INT64_MAX; /* HDFS's times go farther */
    }
    return ns;
}

static void fill_body(struct hd_inode *i, Hdw__PosixAttr *a)
{
    switch ((enum hd_inode_type)i->type) {
    case HD_INODE_FILE:
        a->size = hd_file_size(i);
        a->allocated = hd_file_data(i);
        a->has_block_size = a->has_replication = true;
        a->block_size = i->u.file.block_size_bytes;
        a->replication = i->replication;
        break;
    case HD_INODE_SYMLINK:
        a->has_target = true;
        a->target.data = (uint8_t *)i->u.target;
        a->target.len = a->size = strlen(i->u.target);
        break;
    case HD_INODE_CHAR:
    case HD_INODE_BLOCK:
        a->has_rdev = true;
        a->rdev = i->u.rdev;
        break;
    case HD_INODE_DIR:
        a->has_parent = true;
        a->parent = i->parent != NULL ? i->parent->ino.v : i->ino.v;
        a->size = a->allocated = DIRECTORY_BYTES;
        break;
    case HD_INODE_FIFO:
    case HD_INODE_SOCKET:
    case HD_INODE_LINK:
        break;
    }
}

Hdw__PosixAttr *hd_posix_attr(struct hd_call *c, struct hd_inode *entry)
{
    struct hd_inode *i = hd_inode_of_entry(entry);
    Hdw__PosixAttr *a = HD_MSG(c->m, Hdw__PosixAttr, hdw__posix_attr);
    a->ino = i->ino.v;
    a->mode = hd_posix_mode(i);
    a->nlink = hd_ns_nlink(c->ns, i);
    a->user = hd_unconst(hd_ns_user(c->ns, i));
    a->group = hd_unconst(hd_ns_group(c->ns, i));
    a->mtime_ns = whole_ns(i->mtime_ms, i->mtime_part_ns);
    a->atime_ns = whole_ns(i->atime_ms, i->atime_part_ns);
    a->ctime_ns = i->ctime_ns;
    fill_body(i, a);
    a->has_has_xattrs = a->has_xattrs = (i->flags & HD_INODE_XATTRS) != 0;
    a->has_has_acl = a->has_acl = (i->flags & HD_INODE_ACL) != 0;
    a->has_has_quota = a->has_quota =
        c->ns->quotas.count > 0 && hd_quota_data_above(c->ns, i) != NULL;
    a->has_busy = a->busy = hd_inode_is_file(i) && hd_caps_busy(c, i);
    a->has_cached = a->cached = hd_caps_know(c, i);
    return a;
}

Hdw__PosixAttr *hd_posix_before(struct hd_call *c, struct hd_inode *i)
{
    Hdw__PosixAttr *a = hd_posix_attr(c, i);
    if (a->has_target) { /* the inode's own, which may be freed */
        a->target.data = (uint8_t *)hd_call_printf(c, "%s", i->u.target);
    }
    return a;
}

Hdw__PosixAttr *hd_posix_left(struct hd_call *c, Hdw__PosixAttr *before)
{
    struct hd_inode *i = hd_ns_inode(c->ns, before->ino);
    if (i != NULL) {
        return hd_posix_attr(c, i);
    }
    before->nlink = 0;
    before->cached = before->busy = false;
    return before;
}

/* ---- changing them ---- */

static bool sets_times(const Hdw__PosixAttrChange *change)
{
    return change->has_mtime_ns || change->has_atime_ns;
}

static bool is_now(bool has, bool now)
{
    return has && now;
}

int hd_posix_check_change(struct hd_call *c, const struct hd_inode *i,
                          const Hdw__PosixAttrChange *change)
{
    const char *user = change->user;
    const char *group = change->group;
    if ((user != NULL && user[0] == '\0') || (group != NULL && group[0] == '\0') ||
        (change->has_mode && (change->mode & ~HD_MODE_BITS) != 0)) {
        return hd_call_fail(c, -EINVAL, "Not an owner, group or mode");
    }
    if (c->superuser) {
        return 0;
    }
    int err = hd_check_traverse(c, i);
    if (err < 0) {
        return err;
    }
    bool owner = strcmp(c->event->user, hd_ns_user(c->ns, i)) == 0;
    bool new_user = user != NULL && strcmp(user, hd_ns_user(c->ns, i)) != 0;
    bool foreign_group =
        group != NULL && strcmp(group, hd_ns_group(c->ns, i)) != 0 && !hd_user_in_group(c, group);
    bool owners_only = change->has_mode || user != NULL || group != NULL || sets_times(change);
    if (new_user || foreign_group || (owners_only && !owner)) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED, "User %s is not the owner of inode %llu",
                            c->event->user, (unsigned long long)i->ino.v);
    }
    bool now = is_now(change->has_mtime_now, change->mtime_now) ||
               is_now(change->has_atime_now, change->atime_now);
    return now && !owner ? hd_check_access(c, i, HD_W) : 0;
}

static void split_ns(int64_t ns, int64_t *ret_ms, uint32_t *ret_part_ns)
{
    int64_t part = ns % NS_PER_MS;
    *ret_ms = ns / NS_PER_MS - (part < 0);
    *ret_part_ns = (uint32_t)(part < 0 ? part + NS_PER_MS : part);
}

uint32_t hd_posix_mode_without_set_id(const struct hd_inode *i, uint32_t mode)
{
    if (hd_inode_is_dir(i)) {
        return mode;
    }
    mode &= ~(uint32_t)S_ISUID;
    return (mode & S_IXGRP) != 0 ? mode & ~(uint32_t)S_ISGID : mode;
}

static void change_mode(struct hd_call *c, const struct hd_inode *i,
                        const Hdw__PosixAttrChange *change, Hdm__SetAttributes *op)
{
    uint32_t mode = change->has_mode ? change->mode & HD_MODE_BITS : i->mode;
    if (change->has_mode && !c->superuser && !hd_inode_is_dir(i) &&
        !hd_user_in_group(c, hd_ns_group(c->ns, i))) {
        mode &= ~(uint32_t)S_ISGID; /* chmod(2): of a group that is not the caller's */
    }
    if (!change->has_mode && (op->user != NULL || op->group != NULL)) {
        mode = hd_posix_mode_without_set_id(i, mode);
    }
    op->has_mode = change->has_mode || mode != i->mode;
    op->mode = mode;
}

bool hd_posix_change(struct hd_call *c, const struct hd_inode *i,
                     const Hdw__PosixAttrChange *change, Hdm__SetAttributes *ret)
{
    hdm__set_attributes__init(ret);
    ret->ino = i->ino.v;
    ret->user = change->user;
    ret->group = change->group;
    change_mode(c, i, change, ret);
    uint32_t part_ns = 0;
    if (is_now(change->has_mtime_now, change->mtime_now)) {
        ret->has_mtime_ms = true;
        ret->mtime_ms = c->m->wall.v;
    } else if (change->has_mtime_ns) {
        ret->has_mtime_ms = true;
        split_ns(change->mtime_ns, &ret->mtime_ms, &part_ns);
        ret->has_mtime_part_ns = part_ns != 0;
        ret->mtime_part_ns = part_ns;
    }
    if (is_now(change->has_atime_now, change->atime_now)) {
        ret->has_atime_ms = true;
        ret->atime_ms = c->m->wall.v;
    } else if (change->has_atime_ns) {
        ret->has_atime_ms = true;
        split_ns(change->atime_ns, &ret->atime_ms, &part_ns);
        ret->has_atime_part_ns = part_ns != 0;
        ret->atime_part_ns = part_ns;
    }
    return ret->has_mode || ret->user != NULL || ret->group != NULL || ret->has_mtime_ms ||
           ret->has_atime_ms;
}

/* ---- files that stay without a name ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool may_be_open(const struct hd_inode *i)
{
    return !hd_inode_is_dir(i) && i->type != HD_INODE_SYMLINK && i->type != HD_INODE_LINK;
}

size_t hd_posix_orphans(struct hd_call *c, struct hd_inode *top, bool held, uint64_t **ret)
{
    size_t count = 0;
    size_t room = 0;
    *ret = NULL;
    for (struct hd_inode *i = top; i != NULL; i = hd_ns_walk(top, i)) {
        if (!may_be_open(i) || !((held && i == top) || hd_caps_elsewhere(c, i))) {
            continue;
        }
        if (count == room) {
            room = room == 0 ? 8 : room * 2;
            uint64_t *more = HD_TURN_ARRAY(c->m, uint64_t, room);
            if (count > 0) {
                memcpy(more, *ret, sizeof(*more) * count);
            }
            *ret = more;
        }
        (*ret)[count++] = i->ino.v;
    }
    if (count > 1) {
        qsort(*ret, count, sizeof(**ret), compare_numbers);
    }
    return count;
}

void hd_posix_orphaned(struct hd_call *c, const uint64_t *orphans, size_t count, bool held)
{
    for (size_t n = 0; n < count; n++) {
        struct hd_inode *i = hd_ns_inode(c->ns, orphans[n]);
        if (i != NULL && hd_inode_is_orphan(i)) { /* else it has another name */
            hd_caps_orphaned(c->m, i, held ? c->event->session : 0);
        }
    }
}

/* ---- a call asked for again ---- */

uint64_t hd_posix_record_ino(const Hdm__EditRecord *r)
{
    switch ((int)r->op_case) {
    case HDM__EDIT_RECORD__OP_MAKE_DIRECTORY:
        return r->make_directory->inode->ino;
    case HDM__EDIT_RECORD__OP_CREATE_FILE:
        return r->create_file->inode->ino;
    case HDM__EDIT_RECORD__OP_MAKE_SYMLINK:
        return r->make_symlink->inode->ino;
    case HDM__EDIT_RECORD__OP_MAKE_NODE:
        return r->make_node->inode->ino;
    case HDM__EDIT_RECORD__OP_MAKE_LINK:
        return r->make_link->link;
    case HDM__EDIT_RECORD__OP_DELETE:
        return r->delete_->has_link_of ? r->delete_->link_of : r->delete_->ino;
    case HDM__EDIT_RECORD__OP_RENAME:
        return r->rename->has_link_of ? r->rename->link_of : r->rename->ino;
    case HDM__EDIT_RECORD__OP_OPEN_FOR_APPEND:
        return r->open_for_append->ino;
    default:
        return 0;
    }
}

/* Of an inode that is gone since: its number, and that it has no name. */
static Hdw__PosixAttr *attr_again(struct hd_call *c, uint64_t ino)
{
    struct hd_inode *i = hd_ns_inode(c->ns, ino);
    if (i != NULL) {
        return hd_posix_attr(c, i);
    }
    Hdw__PosixAttr *a = HD_MSG(c->m, Hdw__PosixAttr, hdw__posix_attr);
    a->ino = ino;
    a->user = a->group = hd_unconst("");
    return a;
}

static Hdw__PosixAttr *parent_again(struct hd_call *c, uint64_t ino)
{
    struct hd_inode *i = hd_ns_inode(c->ns, ino);
    return i != NULL ? hd_posix_attr(c, i) : NULL;
}

bool hd_posix_answer_again(struct hd_call *c, uint64_t ino)
{
    const char *name = c->method->name;
    if (strcmp(name, "makeNode") == 0) {
        Hdw__MakeNodeResponse *r = HD_MSG(c->m, Hdw__MakeNodeResponse, hdw__make_node_response);
        r->attr = attr_again(c, ino);
        r->parent = parent_again(c, ((const Hdw__MakeNodeRequest *)c->request)->parent);
        c->response = &r->base;
    } else if (strcmp(name, "makeSymlink") == 0) {
        Hdw__MakeSymlinkResponse *r =
            HD_MSG(c->m, Hdw__MakeSymlinkResponse, hdw__make_symlink_response);
        r->attr = attr_again(c, ino);
        r->parent = parent_again(c, ((const Hdw__MakeSymlinkRequest *)c->request)->parent);
        c->response = &r->base;
    } else if (strcmp(name, "link") == 0) {
        Hdw__LinkResponse *r = HD_MSG(c->m, Hdw__LinkResponse, hdw__link_response);
        r->attr = attr_again(c, ino);
        r->parent = parent_again(c, ((const Hdw__LinkRequest *)c->request)->parent);
        c->response = &r->base;
    } else if (strcmp(name, "unlink") == 0) {
        Hdw__UnlinkResponse *r = HD_MSG(c->m, Hdw__UnlinkResponse, hdw__unlink_response);
        r->attr = attr_again(c, ino);
        r->parent = parent_again(c, ((const Hdw__UnlinkRequest *)c->request)->parent);
        c->response = &r->base;
    } else if (strcmp(name, "move") == 0) {
        const Hdw__MoveRequest *q = c->request;
        Hdw__MoveResponse *r = HD_MSG(c->m, Hdw__MoveResponse, hdw__move_response);
        r->attr = attr_again(c, ino);
        r->from_parent = parent_again(c, q->from_parent);
        r->to_parent = parent_again(c, q->to_parent);
        c->response = &r->base;
    } else {
        return false;
    }
    return true;
}
