/* ClientProtocol: rename, rename2, delete, concat: entries move and go. */
#include "meta/core/op.h"
#include "fs/wire/reserved.h"
#include "meta/core/caps.h"
#include "meta/core/posix.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

/* The root, or a file that is reached by its number only: nothing can be done with its name. */
static bool is_nameless(const struct hd_where *w)
{
    return w->entry != NULL && w->entry->parent == NULL;
}

/* ---- delete ---- */

enum { ORPHANS_MAX = 5 << 20 }; /* named in one record, which has 64 MiB at most */

int hd_op_delete(struct hd_call *c)
{
    const Hdw__DeleteRequest *q = c->request;
    Hdw__DeleteResponse *r = HD_MSG(c->m, Hdw__DeleteResponse, hdw__delete_response);
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot delete %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_BLOCKED_DENIED, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL || is_nameless(&w)) {
        return hd_call_done(c, &r->base);
    }
    bool full = hd_inode_is_dir(w.inode) && w.inode->u.children.count > 0;
    err = hd_check_unlink(c, w.entry);
    if (err < 0) {
        return err;
    }
    if (full && !q->recursive) {
        return hd_call_fail(c, -ENOTEMPTY, "`%s is non empty': Directory is not empty", q->src);
    }
    err = full ? hd_check_subtree(c, w.inode) : 0;
    if (err < 0) {
        return err;
    }
    Hdm__Delete op = HDM__DELETE__INIT;
    op.ino = w.entry->ino.v;
    op.n_orphans = hd_posix_orphans(c, w.entry, false, &op.orphans);
    if (op.n_orphans > ORPHANS_MAX) {
        return hd_call_fail(c, -HD_E_RETRIABLE,
                            "%s has more than %d files that mounts may have open: try again later, "
                            "or delete it piece by piece",
                            q->src, ORPHANS_MAX);
    }
    HD_COMMIT(c->m, delete_, DELETE, &op);
    hd_posix_orphaned(c, op.orphans, op.n_orphans, false);
    r->result = true;
    return hd_call_done(c, &r->base);
}

/* ---- rename ---- */

/* w on both parents, sticky bits, the new name, quotas of the new place. */
static int check_move(struct hd_call *c, struct hd_inode *i, const struct hd_where *to)
{
    int err = hd_check_unlink(c, i);
    if (err == 0 && to->entry != NULL) {
        err = hd_check_unlink(c, to->entry);
    }
    if (err == 0) {
        err = hd_check_access(c, to->parent, HD_W);
    }
    if (err == 0 && to->inode == NULL) {
        err = hd_check_new_name(c, to, to->name, to->name_size);
    }
    if (err < 0 || i->parent == to->parent || c->ns->quotas.count == 0) {
        return err;
    }
    return hd_check_charge(c, to->parent, hd_quota_of_tree(i), i->parent);
}

static void move(struct hd_call *c, struct hd_inode *i, struct hd_inode *parent, const char *name,
                 size_t name_size, struct hd_inode *replaced)
{
    Hdm__Rename op = HDM__RENAME__INIT;
    op.ino = i->ino.v;
    op.parent = parent->ino.v;
    op.name.data = (uint8_t *)hd_call_printf(c, "%.*s", (int)name_size, name);
    op.name.len = name_size;
    op.has_replaces = replaced != NULL;
    op.replaces = replaced != NULL ? replaced->ino.v : 0;
    if (replaced != NULL) {
        op.n_orphans = hd_posix_orphans(c, replaced, false, &op.orphans);
    }
    HD_COMMIT(c->m, rename, RENAME, &op);
    hd_posix_orphaned(c, op.orphans, op.n_orphans, false);
}

/* The destination of the older call: into a directory that exists, under the source's name. */
static int resolve_target(struct hd_call *c, const char *dst, const struct hd_inode *src,
                          struct hd_where *ret)
{
    int err = hd_resolve(c, dst, HD_BLOCKED, ret);
    if (err < 0 || ret->inode == NULL || !hd_inode_is_dir(ret->inode) || ret->inode == src) {
        return err;
    }
    const char *into = hd_call_printf(c, "%s/%s", dst, hd_inode_name(src));
    return hd_resolve(c, into, HD_BLOCKED, ret);
}

int hd_op_rename(struct hd_call *c)
{
    const Hdw__RenameRequest *q = c->request;
    Hdw__RenameResponse *r = HD_MSG(c->m, Hdw__RenameResponse, hdw__rename_response);
    struct hd_where from;
    struct hd_where to;
    int err = hd_call_check_safe_mode(c, "Cannot rename %s", q->src);
    if (err < 0) {
        return err;
    }
    if (!hd_path_is_valid(q->dst)) {
        return hd_call_fail(c, -HD_E_IO, "Invalid name: %s", q->dst);
    }
    err = hd_resolve(c, q->src, HD_BLOCKED, &from);
    if (err < 0) {
        return err;
    }
    if (from.inode == NULL || is_nameless(&from)) {
        return hd_call_done(c, &r->base);
    }
    err = resolve_target(c, q->dst, from.entry, &to);
    if (err < 0) {
        return err;
    }
    if (to.inode == from.inode) {
        r->result =
            !hd_inode_is_dir(from.inode); /* a file onto itself; a directory is inside itself */
        return hd_call_done(c, &r->base);
    }
    if (to.inode != NULL || to.parent == NULL || to.missing != 1 ||
        hd_inode_is_within(to.parent, from.inode)) {
        return hd_call_done(c, &r->base);
    }
    err = check_move(c, from.entry, &to);
    if (err < 0) {
        return err;
    }
    move(c, from.entry, to.parent, to.name, to.name_size, NULL);
    r->result = true;
    return hd_call_done(c, &r->base);
}

static int check_rename2(struct hd_call *c, const Hdw__Rename2Request *q,
                         const struct hd_where *from, const struct hd_where *to)
{
    if (from->inode == NULL) {
        return hd_call_fail(c, -ENOENT, "rename source %s is not found.", q->src);
    }
    if (is_nameless(from)) {
        return hd_call_fail(c, -HD_E_IO, "rename source cannot be the root");
    }
    if (to->inode == from->inode) {
        return hd_call_fail(c, -EEXIST, "The source %s and destination %s are the same", q->src,
                            q->dst);
    }
    if (is_nameless(to)) {
        return hd_call_fail(c, -HD_E_IO, "rename destination cannot be the root");
    }
    if (to->parent != NULL && hd_inode_is_within(to->parent, from->inode)) {
        return hd_call_fail(c, -HD_E_IO,
                            "Rename destination %s is a directory or file under source %s", q->dst,
                            q->src);
    }
    if (to->inode == NULL) {
        return to->parent != NULL && to->missing == 1
                   ? 0
                   : hd_call_fail(c, -ENOENT, "rename destination parent %s not found.", q->dst);
    }
    if (hd_inode_is_dir(from->inode) != hd_inode_is_dir(to->inode)) {
        return hd_call_fail(c, -HD_E_IO, "Source %s and destination %s must both be directories",
                            q->src, q->dst);
    }
    if (!q->overwrite_dest) {
        return hd_call_fail(c, -EEXIST, "rename destination %s already exists", q->dst);
    }
    if (hd_inode_is_dir(to->inode) && to->inode->u.children.count > 0) {
        return hd_call_fail(c, -HD_E_IO, "rename destination directory is not empty: %s", q->dst);
    }
    return 0;
}

int hd_op_rename2(struct hd_call *c)
{
    const Hdw__Rename2Request *q = c->request;
    struct hd_where from;
    struct hd_where to;
    int err = hd_call_check_safe_mode(c, "Cannot rename %s", q->src);
    if (err < 0) {
        return err;
    }
    if (!hd_path_is_valid(q->dst)) {
        return hd_call_fail(c, -HD_E_INVALID_PATH, "Invalid path name Invalid file name: %s",
                            q->dst);
    }
    err = hd_resolve(c, q->src, HD_BLOCKED, &from);
    if (err == 0) {
        err = hd_resolve(c, q->dst, HD_BLOCKED, &to);
    }
    if (err == 0) {
        err = check_rename2(c, q, &from, &to);
    }
    if (err == 0) {
        err = check_move(c, from.entry, &to);
    }
    if (err < 0) {
        return err;
    }
    const char *name = to.entry != NULL ? hd_inode_name(to.entry) : to.name;
    size_t name_size = to.entry != NULL ? to.entry->name_size : to.name_size;
    move(c, from.entry, to.parent, name, name_size, to.entry);
    return hd_call_done(c, &HD_MSG(c->m, Hdw__Rename2Response, hdw__rename2_response)->base);
}

/* ---- concat ---- */

static int check_source(struct hd_call *c, const char *path, const struct hd_where *at,
                        const char *target_path, const struct hd_where *w)
{
    const struct hd_inode *i = w->inode;
    const struct hd_inode *target = at->inode;
    if (i == NULL) {
        return hd_call_fail(c, -ENOENT, "File does not exist: %s", path);
    }
    if (i == target) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: the src file %s is the same with the target file %s", path,
                            target_path);
    }
    if (!hd_inode_is_file(i) || hd_inode_is_open(i) ||
        i->u.file.block_count + i->u.file.content_size == 0) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: source file %s is invalid or empty or underConstruction",
                            path);
    }
    if (i->u.file.content_size > 0) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: source file %s is kept in the metadata, without blocks", path);
    }
    if ((i->flags & (HD_INODE_LINKED | HD_INODE_ORPHAN)) != 0) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: source file %s has more names than this", path);
    }
    if (i->parent != at->parent) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "Source file %s is not in the same directory with the target %s", path,
                            target_path);
    }
    if (i->u.file.block_size_bytes > target->u.file.block_size_bytes) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: source file %s has preferred block size %llu which is greater "
                            "than the target file's preferred block size %llu",
                            path, (unsigned long long)i->u.file.block_size_bytes,
                            (unsigned long long)target->u.file.block_size_bytes);
    }
    return 0;
}

static int check_concat_target(struct hd_call *c, const char *path, struct hd_where *w)
{
    int err = hd_resolve(c, path, HD_FOLLOW, w);
    if (err < 0) {
        return err;
    }
    if (w->inode == NULL || !hd_inode_is_file(w->inode)) {
        return hd_call_fail(c, -ENOENT,
                            w->inode == NULL ? "File does not exist: %s" : "Path is not a file: %s",
                            path);
    }
    err = hd_caps_want(c, w->inode, HD_CAP_WRITE);
    if (err != 0) {
        return err;
    }
    if (hd_inode_is_open(w->inode)) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: target file %s is under construction", path);
    }
    return hd_check_access(c, w->inode, HD_W);
}

int hd_op_concat(struct hd_call *c)
{
    const Hdw__ConcatRequest *q = c->request;
    struct hd_where target;
    int err = hd_call_check_safe_mode(c, "Cannot concat %s", q->trg);
    if (err < 0) {
        return err;
    }
    if (q->n_srcs == 0) {
        return hd_call_fail(c, -HD_E_JAVA_ILLEGAL_ARGUMENT, "No sources given");
    }
    err = check_concat_target(c, q->trg, &target);
    if (err != 0) {
        return err;
    }
    uint64_t *sources = HD_TURN_ARRAY(c->m, uint64_t, q->n_srcs);
    uint64_t blocks = target.inode->u.file.block_count;
    uint64_t bytes = hd_file_size(target.inode);
    for (size_t n = 0; n < q->n_srcs; n++) {
        struct hd_where w;
        err = hd_resolve(c, q->srcs[n], HD_FOLLOW, &w);
        if (err == 0 && w.inode != NULL) {
            err = hd_caps_want(c, w.inode, HD_CAP_WRITE);
        }
        if (err == 0) {
            err = check_source(c, q->srcs[n], &target, q->trg, &w);
        }
        if (err == 0) {
            err = hd_check_access(c, w.inode, HD_R) < 0 ? hd_check_access(c, w.inode, HD_R)
                                                        : hd_check_unlink(c, w.inode);
        }
        if (err != 0) {
            return err;
        }
        for (size_t k = 0; k < n; k++) {
            if (sources[k] == w.inode->ino.v) {
                return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                                    "concat: at least two of the source files are the same");
            }
        }
        sources[n] = w.inode->ino.v;
        blocks += w.inode->u.file.block_count;
        bytes += hd_file_size(w.inode);
        if (bytes > HD_FILE_MAX_BYTES) {
            return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                                "concat: %s would have more than %llu bytes", q->trg,
                                (unsigned long long)HD_FILE_MAX_BYTES);
        }
    }
    if (blocks > HD_FILE_MAX_BLOCKS) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "concat: %s would have %llu blocks, more than %d", q->trg,
                            (unsigned long long)blocks, HD_FILE_MAX_BLOCKS);
    }
    Hdm__Concat op = HDM__CONCAT__INIT;
    op.ino = target.inode->ino.v;
    op.n_sources = q->n_srcs;
    op.sources = sources;
    HD_COMMIT(c->m, concat, CONCAT, &op);
    for (uint32_t i = 0; i < target.inode->u.file.block_count; i++) {
        hd_repair_check(c->m, hd_file_block(target.inode, i)); /* the replication may differ */
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__ConcatResponse, hdw__concat_response)->base);
}
