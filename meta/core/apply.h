/*
 * What the files of hd_ns_apply share: apply.c (the switch; names), apply_*.c (the families).
 *
 * Each hd_apply_* of a family makes the change of one record. None of them can fail: see ns.h.
 */
#ifndef HD_META_CORE_APPLY_H
#define HD_META_CORE_APPLY_H

#include "meta/core/ns.h"
#include "meta/core/quota.h"

/* What the view must be told at the end of the step: the inode, an entry, an inode that is no more.
 */
void hd_apply_touch(struct hd_ns *ns, struct hd_inode *i);
void hd_apply_touch_dentry(struct hd_ns *ns, const struct hd_inode *i, bool there);
void hd_apply_touch_gone(struct hd_ns *ns, struct hd_ino ino);

/* Inodes that the record's maker has seen. */
struct hd_inode *hd_apply_inode(const struct hd_ns *ns, uint64_t ino);
struct hd_inode *hd_apply_file(const struct hd_ns *ns, uint64_t ino);

struct hd_open_file *hd_apply_open_file(const struct hd_ns *ns, struct hd_inode *file);

/* The record changed the inode now: ctime; and its content: mtime too. */
void hd_apply_ctime(struct hd_ns *ns, struct hd_inode *i, const Hdm__EditRecord *r);
void hd_apply_changed(struct hd_ns *ns, struct hd_inode *i, const Hdm__EditRecord *r);

/* ---- names and attributes (apply_names.c) ---- */

void hd_apply_make_directory(struct hd_ns *ns, const Hdm__EditRecord *r,
                             const Hdm__MakeDirectory *op);
void hd_apply_create_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__CreateFile *op);
void hd_apply_make_symlink(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeSymlink *op);
void hd_apply_make_node(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeNode *op);
void hd_apply_make_link(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeLink *op);
void hd_apply_delete(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Delete *op);
void hd_apply_purge_orphan(struct hd_ns *ns, const Hdm__PurgeOrphan *op);
void hd_apply_rename(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Rename *op);
void hd_apply_set_attributes(struct hd_ns *ns, const Hdm__EditRecord *r,
                             const Hdm__SetAttributes *op);

/* Takes the inode and all below it out; `orphans`, rising, stay without a name. */
void hd_apply_drop_tree(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *top,
                        const uint64_t *orphans, size_t orphan_count);

/* ---- content (apply_blocks.c) ---- */

void hd_apply_take_stamp(struct hd_ns *ns, uint64_t gs);
void hd_apply_drop_content(struct hd_ns *ns, struct hd_inode *file); /* blocks and lease too */
void hd_apply_add_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__AddBlock *op);
void hd_apply_abandon_block(struct hd_ns *ns, const Hdm__EditRecord *r,
                            const Hdm__AbandonBlock *op);
void hd_apply_update_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__UpdateBlock *op);
void hd_apply_close_one_block(struct hd_ns *ns, const Hdm__EditRecord *r,
                              const Hdm__CloseOneBlock *op);
void hd_apply_close_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__CloseFile *op);
void hd_apply_open_for_append(struct hd_ns *ns, const Hdm__EditRecord *r,
                              const Hdm__OpenForAppend *op);
void hd_apply_open_block_again(struct hd_ns *ns, const Hdm__EditRecord *r,
                               const Hdm__OpenBlockAgain *op);
void hd_apply_recover_block(struct hd_ns *ns, const Hdm__EditRecord *r,
                            const Hdm__RecoverBlock *op);
void hd_apply_truncate(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Truncate *op);
void hd_apply_resize(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Resize *op);
void hd_apply_punch(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Punch *op);
void hd_apply_concat(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Concat *op);
void hd_apply_set_content(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetContent *op);

/* ---- attributes beside the mode (apply_attrs.c) ---- */

void hd_apply_set_xattr(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetXAttr *op);
void hd_apply_remove_xattr(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__RemoveXAttr *op);
void hd_apply_set_acl(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetAcl *op);
void hd_apply_set_quotas(struct hd_ns *ns, struct hd_inode *i, const Hdm__SetAttributes *op);

/* Frees what an inode that goes has of all these. */
void hd_apply_drop_attrs(struct hd_ns *ns, struct hd_inode *i);

#endif
