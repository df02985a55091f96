/*
 * ACLs as they are written: whole lists of entries, both kinds in one, owner, mask and others
 * included; and HDFS's ways to change one by another (those of its AclTransformation, sentences
 * too).
 *
 * Pure; lists live in the caller's arena, names are borrowed.
 */
#ifndef HD_META_CORE_ACL_SPEC_H
#define HD_META_CORE_ACL_SPEC_H

#include "fs/base/arena.h"
#include "meta/core/acl.h"

struct hd_acl_line {
    bool is_default;
    uint8_t kind;     /* enum hd_acl_kind */
    uint8_t perm;     /* rwx */
    const char *name; /* NULL: the owner's, the owning group's, the mask, the others' */
};

struct hd_acl_spec {
    struct hd_acl_line *lines;
    size_t count;
    size_t capacity; /* fixed: a list is made with room for what it may become */
};

/* An empty list for up to `capacity` lines. */
void hd_acl_spec_init(struct hd_acl_spec *s, size_t capacity, struct hd_arena *arena);
void hd_acl_spec_add(struct hd_acl_spec *s, struct hd_acl_line line);

/*
 * HDFS's changes of `old` (which is valid, and sorted) by `by`, into `ret`, which is sorted and has
 * masks where they are needed. -HD_E_ACL with *ret_text: what comes out is none.
 *   merge    modifyAclEntries: lines of `by` replace those of the same key, or are added
 *   remove   removeAclEntries: lines of the keys of `by` go
 *   replace  setAcl: `by` is the access ACL, the default ACL, or both
 */
enum hd_acl_change { HD_ACL_MERGE, HD_ACL_REMOVE, HD_ACL_REPLACE };
int hd_acl_spec_change(const struct hd_acl_spec *old, const struct hd_acl_spec *by,
                       enum hd_acl_change how, size_t max, struct hd_arena *arena,
                       struct hd_acl_spec *ret, const char **ret_text);

void hd_acl_spec_sort(struct hd_acl_spec *s);

/*
 * Is one kind's list, sorted, an ACL? Owner, group and others once each, a mask when names are in
 * it, at most once, nothing twice. NULL, or what is wrong with it.
 */
const char *hd_acl_spec_fault(const struct hd_acl_spec *s, bool is_default, size_t max,
                              struct hd_arena *arena);

/* The line of a key; NULL: there is none. */
const struct hd_acl_line *hd_acl_spec_find(const struct hd_acl_spec *s, bool is_default,
                                           enum hd_acl_kind kind, const char *name);

#endif
