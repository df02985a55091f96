/* Short forms for building records: HD_RECORD(c, CreateFile, create_file, CREATE_FILE, .ino = ...).
 */
#ifndef HD_META_CORE_RECORD_MAKE_H
#define HD_META_CORE_RECORD_MAKE_H

#include "meta/core/state.h"

/* Commits a record of one operation, a struct that is filled already. */
#define HD_COMMIT(m, field, CASE, op)                                                              \
    do {                                                                                           \
        Hdm__EditRecord record_ = HDM__EDIT_RECORD__INIT;                                          \
        record_.op_case = HDM__EDIT_RECORD__OP_##CASE;                                             \
        record_.field = (op);                                                                      \
        hd_meta_commit((m), &record_);                                                             \
    } while (0)

/* A NewInode that is filled from where it goes. */
static inline Hdm__NewInode hd_new_inode(const struct hd_ns *ns, const struct hd_inode *parent,
                                         const char *name, size_t name_size, uint32_t mode,
                                         const char *user)
{
    Hdm__NewInode n = HDM__NEW_INODE__INIT;
    n.ino = ns->next_ino;
    n.parent = parent->ino.v;
    n.name.data = (uint8_t *)(uintptr_t)name;
    n.name.len = name_size;
    n.mode = mode & 01777;
    n.user = hd_unconst(user);
    n.group = hd_unconst(hd_ns_group(ns, parent)); /* as on BSD and in HDFS: the parent's group */
    return n;
}

#endif
