/* Short forms for building records: HD_RECORD(c, CreateFile, create_file, CREATE_FILE, .ino = ...).
 */
#ifndef HD_META_CORE_RECORD_MAKE_H
#define HD_META_CORE_RECORD_MAKE_H

#include "meta/core/op.h"

/* Commits a record of one operation, a struct that is filled already. */
#define HD_COMMIT(m, field, CASE, op)                                                              \
    do {                                                                                           \
        Hdm__EditRecord record_ = HDM__EDIT_RECORD__INIT;                                          \
        record_.op_case = HDM__EDIT_RECORD__OP_##CASE;                                             \
        record_.field = (op);                                                                      \
        hd_meta_commit((m), &record_);                                                             \
    } while (0)

/*
 * The group of what the call makes: in HDFS, as on BSD, the parent's; in a POSIX session the user's
 * primary one, when it is known and the parent has no setgid bit.
 */
static inline const char *hd_new_group(const struct hd_call *c, const struct hd_inode *parent)
{
    const char *const *groups = c->event->groups;
    bool own = c->event->posix && (parent->mode & HD_SET_GROUP_ID) == 0;
    return own && groups != NULL && groups[0] != NULL ? groups[0] : hd_ns_group(c->ns, parent);
}

/* A NewInode of the caller's that is filled from where it goes. */
static inline Hdm__NewInode hd_new_inode(const struct hd_call *c, const struct hd_inode *parent,
                                         const char *name, size_t name_size, uint32_t mode)
{
    Hdm__NewInode n = HDM__NEW_INODE__INIT;
    n.ino = c->ns->next_ino;
    n.parent = parent->ino.v;
    n.name.data = (uint8_t *)(uintptr_t)name;
    n.name.len = name_size;
    n.mode = mode & HD_HDFS_MODE_BITS;
    n.user = hd_unconst(c->event->user);
    n.group = hd_unconst(hd_new_group(c, parent));
    return n;
}

#endif
