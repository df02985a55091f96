/*
 * POSIX ACLs, as HDFS has them too: kept once, with the inode.
 *
 * What is stored of an access ACL is its named users and groups and the owning group's entry; the
 * owner's and the others' permissions are the mode's, and the mode's group bits are the mask. An
 * inode without named entries has no access ACL: the mode says all. A default ACL (of a directory)
 * is stored whole: user::, group::, other::, named ones and, with these, a mask.
 *
 * Names of users and groups are numbers of ns->names.
 */
#ifndef HD_META_CORE_ACL_H
#define HD_META_CORE_ACL_H

#include "meta/core/ns.h"
#include "client_namenode.pb-c.h"

struct hd_call;

enum hd_acl_kind { /* the numbers of AclEntryKind */
                   HD_ACL_USER = 0,
                   HD_ACL_GROUP = 1,
                   HD_ACL_MASK = 2,
                   HD_ACL_OTHER = 3,
};

enum {
    HD_ACL_OWN = -1,         /* hd_acl_entry.name: the owner's, the owning group's */
    HD_ACL_ENTRIES_MAX = 32, /* of either ACL, as in HDFS */
};

struct hd_acl_entry {
    int64_t name; /* number in ns->names, or HD_ACL_OWN */
    uint8_t kind; /* enum hd_acl_kind */
    uint8_t perm; /* 4 r, 2 w, 1 x */
};

struct hd_acl {
    struct hd_acl_entry *items; /* heap, owned; sorted by kind, own before named, then by name */
    uint32_t count;
};

/* Both ACLs of one inode: the value of ns->acls. */
struct hd_acls {
    struct hd_acl access;
    struct hd_acl standard; /* the default ACL */
};

const struct hd_acls *hd_ns_acls(const struct hd_ns *ns, const struct hd_inode *i); /* or NULL */

/* Replaces one of them (apply; the view's loading); count 0: it goes. */
void hd_acl_put(struct hd_ns *ns, struct hd_inode *i, bool is_default,
                Hdm__StoredAclEntry **entries, size_t count);
void hd_acl_drop(struct hd_ns *ns, struct hd_inode *i); /* both */
void hd_acls_free(struct hd_acls *a);

/* Entries for a record or the view, in the arena; they name ns->names' own texts. */
Hdm__StoredAclEntry **hd_acl_store(const struct hd_ns *ns, const struct hd_acl *acl,
                                   struct hd_arena *arena, size_t *ret_count);

/*
 * What a new inode gets of its parent's default ACL, when it has one: fills n's ACLs, n->mode with
 * it, and *mode; else takes the umask off. *mode is what was asked for, S_IFMT included (a
 * directory's default ACL goes on to directories; a symlink gets nothing). n's entries are in the
 * effects' arena.
 */
void hd_acl_inherit(struct hd_call *c, const struct hd_inode *parent, uint32_t umask,
                    uint32_t *mode, Hdm__NewInode *n);

/* The same for ClientProtocol, whose clients say both: `masked` is the mode with their umask taken
 * off; `unmasked`, when it is not NULL, counts where a default ACL stands for the umask. */
void hd_acl_inherit_hdfs(struct hd_call *c, const struct hd_inode *parent, bool directory,
                         const Hdw__FsPermission *masked, const Hdw__FsPermission *unmasked,
                         Hdm__NewInode *n);

/* May the user of the call do all of `access` (rwx) with it? By the algorithm of acl(5). */
bool hd_acl_allows(const struct hd_call *c, const struct hd_inode *i, unsigned access);

#endif
