/* PosixProtocol: lookup, readDir, makeNode, makeSymlink, link, unlink: the entries of directories.
 */
#include "meta/core/acl.h"
#include "meta/core/caps.h"
#include "meta/core/links.h"
#include "meta/core/posix.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

#include <sys/stat.h>

enum { READ_DIR_MAX = 4096 };

/* ---- names ---- */

static bool is_name(const ProtobufCBinaryData *name, const char *text)
{
    return name->len == strlen(text) && memcmp(name->data, text, name->len) == 0;
}

static bool is_dots(const ProtobufCBinaryData *name)
{
    return is_name(name, ".") || is_name(name, "..");
}

static int check_name(struct hd_call *c, const ProtobufCBinaryData *name)
{
    if (name->len > HD_NAME_MAX_BYTES) {
        return hd_call_fail(c, -HD_E_NAME_TOO_LONG, "A name has %zu bytes, more than %d", name->len,
                            HD_NAME_MAX_BYTES);
    }
    if (name->len == 0) {
        return hd_call_fail(c, -ENOENT, "A name is empty");
    }
    if (memchr(name->data, '/', name->len) != NULL || memchr(name->data, '\0', name->len) != NULL) {
        return hd_call_fail(c, -EINVAL, "A name has a slash or a zero in it");
    }
    return 0;
}

int hd_posix_entry(struct hd_call *c, uint64_t parent, const ProtobufCBinaryData *name,
                   struct hd_posix_entry *ret)
{
    *ret = (struct hd_posix_entry){.name = (const char *)name->data, .name_size = name->len};
    int err = hd_posix_directory(c, parent, &ret->parent);
    if (err == 0) {
        err = check_name(c, name);
    }
    if (err == 0) {
        err = hd_posix_access(c, ret->parent, HD_X);
    }
    if (err < 0) {
        return err;
    }
    ret->dots = is_dots(name);
    ret->entry = ret->dots ? NULL : hd_ns_child(c->ns, ret->parent, ret->name, name->len);
    ret->inode = hd_inode_of_entry(ret->entry);
    return 0;
}

int hd_posix_missing(struct hd_call *c, const struct hd_posix_entry *e)
{
    return hd_call_fail(c, -ENOENT, "There is no \"%.*s\" in directory %llu", (int)e->name_size,
                        e->name, (unsigned long long)e->parent->ino.v);
}

int hd_posix_exists(struct hd_call *c, const struct hd_posix_entry *e)
{
    return hd_call_fail(c, -EEXIST, "\"%.*s\" is in directory %llu already", (int)e->name_size,
                        e->name, (unsigned long long)e->parent->ino.v);
}

int hd_posix_check_new(struct hd_call *c, const struct hd_posix_entry *e, int64_t names)
{
    int err = hd_posix_access(c, e->parent, HD_W | HD_X);
    if (err < 0) {
        return err;
    }
    static const char reserved[] = ".reserved";
    if (e->parent == c->ns->root && e->name_size == sizeof(reserved) - 1 &&
        memcmp(e->name, reserved, e->name_size) == 0) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED, "\"%s\" is a reserved name", reserved);
    }
    if (e->parent->u.children.count >= HD_DIRECTORY_MAX_ITEMS) {
        return hd_call_fail(c, -HD_E_DIR_FULL, "Directory %llu is full: %d entries",
                            (unsigned long long)e->parent->ino.v, HD_DIRECTORY_MAX_ITEMS);
    }
    return names == 0 ? 0 : hd_check_quota(c, e->parent, names, 0, NULL);
}

/* ---- looking ---- */

int hd_op_lookup(struct hd_call *c)
{
    const Hdw__LookupRequest *q = c->request;
    Hdw__LookupResponse *r = HD_MSG(c->m, Hdw__LookupResponse, hdw__lookup_response);
    struct hd_posix_entry e;
    int err = hd_posix_entry(c, q->parent, &q->name, &e);
    if (err < 0) {
        return err;
    }
    if (e.dots) {
        e.inode = q->name.len == 1 || e.parent->parent == NULL ? e.parent : e.parent->parent;
    }
    r->attr = e.inode != NULL ? hd_posix_attr(c, e.inode) : NULL;
    r->has_cached = r->cached = hd_caps_know(c, e.parent);
    return hd_call_done(c, &r->base);
}

int hd_op_get_attr(struct hd_call *c)
{
    const Hdw__GetAttrRequest *q = c->request;
    struct hd_inode *i;
    int err = hd_posix_inode(c, q->ino, &i);
    if (err == 0) {
        err = hd_posix_access(c, i, 0);
    }
    if (err < 0) {
        return err;
    }
    Hdw__GetAttrResponse *r = HD_MSG(c->m, Hdw__GetAttrResponse, hdw__get_attr_response);
    r->attr = hd_posix_attr(c, i);
    return hd_call_done(c, &r->base);
}

static Hdw__PosixEntry *entry_message(struct hd_call *c, struct hd_inode *entry)
{
    Hdw__PosixEntry *m = HD_MSG(c->m, Hdw__PosixEntry, hdw__posix_entry);
    m->name.data = (uint8_t *)(uintptr_t)hd_inode_name(entry);
    m->name.len = entry->name_size;
    m->attr = hd_posix_attr(c, entry);
    return m;
}

int hd_op_read_dir(struct hd_call *c)
{
    const Hdw__ReadDirRequest *q = c->request;
    Hdw__ReadDirResponse *r = HD_MSG(c->m, Hdw__ReadDirResponse, hdw__read_dir_response);
    struct hd_inode *dir;
    int err = hd_posix_directory(c, q->ino, &dir);
    if (err == 0) {
        err = hd_posix_access(c, dir, HD_R);
    }
    if (err < 0) {
        return err;
    }
    const struct hd_children *children = &dir->u.children;
    struct hd_children_at at =
        hd_children_after(children, (const char *)q->start_after.data, q->start_after.len);
    uint32_t left = hd_children_remaining(children, at);
    uint32_t room = HD_MIN(HD_MIN(q->max, (uint32_t)READ_DIR_MAX), left);
    r->entries = HD_TURN_ARRAY(c->m, Hdw__PosixEntry *, room);
    while (r->n_entries < room) {
        r->entries[r->n_entries++] = entry_message(c, hd_children_next(children, &at));
    }
    r->more = left > room;
    r->has_cached = r->cached = hd_caps_know(c, dir);
    return hd_call_done(c, &r->base);
}

/* ---- making ---- */

static int type_of_mode(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return HD_INODE_DIR;
    case S_IFIFO:
        return HD_INODE_FIFO;
    case S_IFSOCK:
        return HD_INODE_SOCKET;
    case S_IFCHR:
        return HD_INODE_CHAR;
    case S_IFBLK:
        return HD_INODE_BLOCK;
    case S_IFREG:
    case 0:
        return HD_INODE_FILE;
    default: /* a symlink has a call of its own */
        return -EINVAL;
    }
}

/* A NewInode of the caller's, its group as a setgid directory wants it. */
static Hdm__NewInode new_inode(struct hd_call *c, const struct hd_posix_entry *e,
                               const Hdw__PosixCred *cred)
{
    Hdm__NewInode n = HDM__NEW_INODE__INIT;
    n.ino = c->ns->next_ino;
    n.parent = e->parent->ino.v;
    n.name.data = (uint8_t *)(uintptr_t)e->name;
    n.name.len = e->name_size;
    n.user = hd_unconst(hd_posix_user(c, cred));
    n.group = hd_unconst((e->parent->mode & S_ISGID) != 0 ? hd_ns_group(c->ns, e->parent)
                                                          : hd_posix_group(c, cred));
    return n;
}

static void commit_node(struct hd_call *c, const Hdw__MakeNodeRequest *q, int type,
                        Hdm__NewInode *n)
{
    if (type == HD_INODE_DIR) {
        Hdm__MakeDirectory op = HDM__MAKE_DIRECTORY__INIT;
        op.inode = n;
        HD_COMMIT(c->m, make_directory, MAKE_DIRECTORY, &op);
        return;
    }
    if (type == HD_INODE_FILE) {
        Hdm__CreateFile op = HDM__CREATE_FILE__INIT;
        op.inode = n;
        op.replication = c->m->o.replication;
        op.block_size = c->m->o.block_size_bytes;
        op.holder = op.machine = hd_unconst(""); /* it is written under a capability, not a lease */
        HD_COMMIT(c->m, create_file, CREATE_FILE, &op);
        return;
    }
    Hdm__MakeNode op = HDM__MAKE_NODE__INIT;
    op.inode = n;
    op.type = (Hdm__InodeType)type;
    op.has_rdev = type == HD_INODE_CHAR || type == HD_INODE_BLOCK;
    op.rdev = q->rdev;
    HD_COMMIT(c->m, make_node, MAKE_NODE, &op);
}

/* mknod(2): devices are the superuser's; a program is not made for a group that is not its maker's.
 */
static int check_node(struct hd_call *c, int type)
{
    bool device = type == HD_INODE_CHAR || type == HD_INODE_BLOCK;
    return device && !c->superuser
               ? hd_call_fail(c, -HD_E_NOT_PERMITTED, "Only the superuser makes devices")
               : 0;
}

static int make_node(struct hd_call *c, const Hdw__MakeNodeRequest *q,
                     const struct hd_posix_entry *e, int type, Hdw__MakeNodeResponse *r)
{
    int err = check_node(c, type);
    if (err == 0) {
        err = hd_posix_check_new(c, e, 1);
    }
    if (err < 0) {
        return err;
    }
    Hdm__NewInode n = new_inode(c, e, q->cred);
    uint32_t mode = q->mode | ((q->mode & S_IFMT) == 0 ? S_IFREG : 0);
    hd_acl_inherit(c, e->parent, q->has_umask ? q->umask & 0777u : 0, &mode, &n);
    n.mode = mode & HD_MODE_BITS;
    if (type == HD_INODE_DIR) {
        n.mode |= e->parent->mode & S_ISGID;
    } else if (!c->superuser && !hd_user_in_group(c, n.group)) {
        n.mode &= ~(uint32_t)S_ISGID;
    }
    uint64_t ino = n.ino;
    commit_node(c, q, type, &n);
    struct hd_inode *i = hd_ns_inode(c->ns, ino);
    if (type == HD_INODE_FILE && q->has_open && q->open) {
        r->has_granted = r->has_serial = hd_caps_grant(c, i, HD_CAP_WRITE, &r->serial);
        r->granted = HDW__CAP_KIND__CAP_WRITE;
    }
    r->attr = hd_posix_attr(c, i);
    r->parent = hd_posix_attr(c, e->parent);
    return hd_call_done(c, &r->base);
}

int hd_op_make_node(struct hd_call *c)
{
    const Hdw__MakeNodeRequest *q = c->request;
    Hdw__MakeNodeResponse *r = HD_MSG(c->m, Hdw__MakeNodeResponse, hdw__make_node_response);
    struct hd_posix_entry e;
    int type = type_of_mode(q->mode);
    int err = hd_call_check_safe_mode(c, "Cannot make an inode");
    if (err == 0) {
        err = type < 0 ? hd_call_fail(c, type, "Mode %#o is of no type", q->mode) : 0;
    }
    if (err == 0) {
        err = hd_posix_entry(c, q->parent, &q->name, &e);
    }
    if (err < 0) {
        return err;
    }
    if (e.inode == NULL && !e.dots) {
        return make_node(c, q, &e, type, r);
    }
    bool exclusive = type != HD_INODE_FILE || (q->has_exclusive && q->exclusive);
    if (e.dots || exclusive) {
        return hd_posix_exists(c, &e);
    }
    r->has_existed = r->existed = true;
    r->attr = hd_posix_attr(c, e.inode);
    r->parent = hd_posix_attr(c, e.parent);
    return hd_call_done(c, &r->base);
}

/* The name may be made: nothing has it. */
static int new_entry(struct hd_call *c, uint64_t parent, const ProtobufCBinaryData *name,
                     struct hd_posix_entry *ret)
{
    int err = hd_posix_entry(c, parent, name, ret);
    if (err < 0) {
        return err;
    }
    return ret->dots || ret->inode != NULL ? hd_posix_exists(c, ret)
                                           : hd_posix_check_new(c, ret, 1);
}

int hd_op_make_symlink(struct hd_call *c)
{
    const Hdw__MakeSymlinkRequest *q = c->request;
    struct hd_posix_entry e;
    int err = hd_call_check_safe_mode(c, "Cannot make a symlink");
    if (err < 0) {
        return err;
    }
    if (q->target.len == 0) {
        return hd_call_fail(c, -ENOENT, "A symlink's target is empty");
    }
    if (q->target.len >= HD_SYMLINK_MAX_BYTES) {
        return hd_call_fail(c, -HD_E_NAME_TOO_LONG, "A symlink's target has %zu bytes",
                            q->target.len);
    }
    if (memchr(q->target.data, '\0', q->target.len) != NULL) {
        return hd_call_fail(c, -EINVAL, "A symlink's target has a zero in it");
    }
    err = new_entry(c, q->parent, &q->name, &e);
    if (err < 0) {
        return err;
    }
    Hdm__NewInode n = new_inode(c, &e, q->cred);
    Hdm__MakeSymlink op = HDM__MAKE_SYMLINK__INIT;
    n.mode = 0777;
    op.inode = &n;
    op.target = hd_call_printf(c, "%.*s", (int)q->target.len, (const char *)q->target.data);
    uint64_t ino = n.ino;
    HD_COMMIT(c->m, make_symlink, MAKE_SYMLINK, &op);
    Hdw__MakeSymlinkResponse *r =
        HD_MSG(c->m, Hdw__MakeSymlinkResponse, hdw__make_symlink_response);
    r->attr = hd_posix_attr(c, hd_ns_inode(c->ns, ino));
    r->parent = hd_posix_attr(c, e.parent);
    return hd_call_done(c, &r->base);
}

static int check_link(struct hd_call *c, uint64_t ino, struct hd_inode **ret)
{
    int err = hd_posix_inode(c, ino, ret);
    if (err == 0) {
        err = hd_posix_access(c, *ret, 0);
    }
    if (err < 0) {
        return err;
    }
    if (hd_inode_is_dir(*ret)) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED, "Inode %llu is a directory",
                            (unsigned long long)ino);
    }
    if (hd_inode_is_orphan(*ret)) {
        return hd_call_fail(c, -ENOENT, "Inode %llu has no name any more", (unsigned long long)ino);
    }
    if (hd_ns_nlink(c->ns, *ret) >= HD_LINKS_MAX) {
        return hd_call_fail(c, -EMLINK, "Inode %llu has %d names", (unsigned long long)ino,
                            HD_LINKS_MAX);
    }
    return 0;
}

int hd_op_link(struct hd_call *c)
{
    const Hdw__LinkRequest *q = c->request;
    struct hd_posix_entry e;
    struct hd_inode *file;
    int err = hd_call_check_safe_mode(c, "Cannot link");
    if (err == 0) {
        err = check_link(c, q->ino, &file);
    }
    if (err == 0) {
        err = new_entry(c, q->parent, &q->name, &e);
    }
    if (err == 0) { /* its bytes count here when the name that it has now goes */
        err = hd_check_charge(c, e.parent, hd_quota_of_content(c->ns, file), file->parent);
    }
    if (err < 0) {
        return err;
    }
    Hdm__NewInode n = new_inode(c, &e, q->cred);
    Hdm__MakeLink op = HDM__MAKE_LINK__INIT;
    op.inode = &n;
    op.link = file->ino.v;
    HD_COMMIT(c->m, make_link, MAKE_LINK, &op);
    Hdw__LinkResponse *r = HD_MSG(c->m, Hdw__LinkResponse, hdw__link_response);
    r->attr = hd_posix_attr(c, file);
    r->parent = hd_posix_attr(c, e.parent);
    return hd_call_done(c, &r->base);
}

/* ---- unlinking ---- */

static int check_unlink(struct hd_call *c, const Hdw__UnlinkRequest *q,
                        const struct hd_posix_entry *e)
{
    bool directory = q->has_directory && q->directory;
    if (e->dots) {
        return hd_call_fail(c, e->name_size == 1 ? -EINVAL : -ENOTEMPTY, "\"%.*s\" stays",
                            (int)e->name_size, e->name);
    }
    if (e->inode == NULL) {
        return hd_posix_missing(c, e);
    }
    int err = hd_check_unlink(c, e->entry);
    if (err < 0) {
        return err;
    }
    if (directory && !hd_inode_is_dir(e->inode)) {
        return hd_call_fail(c, -ENOTDIR, "\"%.*s\" is no directory", (int)e->name_size, e->name);
    }
    if (!directory && hd_inode_is_dir(e->inode)) {
        return hd_call_fail(c, -EISDIR, "\"%.*s\" is a directory", (int)e->name_size, e->name);
    }
    if (directory && e->inode->u.children.count > 0) {
        return hd_call_fail(c, -ENOTEMPTY, "\"%.*s\" is not empty", (int)e->name_size, e->name);
    }
    return 0;
}

int hd_op_unlink(struct hd_call *c)
{
    const Hdw__UnlinkRequest *q = c->request;
    struct hd_posix_entry e;
    bool held = q->has_held && q->held;
    int err = hd_call_check_safe_mode(c, "Cannot unlink");
    if (err == 0) {
        err = hd_posix_entry(c, q->parent, &q->name, &e);
    }
    if (err == 0) {
        err = check_unlink(c, q, &e);
    }
    if (err < 0) {
        return err;
    }
    Hdw__UnlinkResponse *r = HD_MSG(c->m, Hdw__UnlinkResponse, hdw__unlink_response);
    Hdm__Delete op = HDM__DELETE__INIT;
    Hdw__PosixAttr *before = hd_posix_before(c, e.inode);
    op.ino = e.entry->ino.v;
    op.has_link_of = e.entry != e.inode;
    op.link_of = e.inode->ino.v;
    op.n_orphans = hd_posix_orphans(c, e.entry, held, &op.orphans);
    HD_COMMIT(c->m, delete_, DELETE, &op);
    hd_posix_orphaned(c, op.orphans, op.n_orphans, held);
    r->attr = hd_posix_left(c, before);
    r->parent = hd_posix_attr(c, e.parent);
    return hd_call_done(c, &r->base);
}
