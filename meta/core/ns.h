/*
 * The namespace: inodes, blocks of files, leases, extended attributes, quotas and the counters.
 *
 * hd_ns_apply() is the only function that changes it, live and at replay. It cannot fail: whoever
 * builds a record has validated it, and a record of the log was built by that same code; a record
 * that does not fit ends the process. Everything here is a function of the records alone, but for
 * the replicas of blocks and the times in leases.
 */
#ifndef HD_META_CORE_NS_H
#define HD_META_CORE_NS_H

#include "fs/base/arena.h"
#include "fs/base/map.h"
#include "meta/core/inode.h"
#include "meta/core/lease.h"
#include "meta/core/names.h"
#include "meta/core/node_admin.h"
#include "meta/core/session_record.h"
#include "record.pb-c.h"

struct hd_meta_effects;

struct hd_xattr {
    uint8_t space; /* XAttrNamespace */
    char *name;    /* heap, owned, as value */
    uint8_t *value;
    size_t value_size;
};

struct hd_xattrs {
    struct hd_xattr *items;
    uint32_t count;
    uint32_t capacity;
};

/* -1: none. */
struct hd_quota_limits {
    int64_t names;
    int64_t space_bytes; /* times the replication, as HDFS counts */
    int64_t data_bytes;  /* one copy, without holes */
};

struct hd_quota {
    int64_t names; /* -1: none; as in hd_quota_limits */
    int64_t space_bytes;
    int64_t data_bytes;
    /* Kept up to date by apply: the directory itself and all below (quota.h says what counts). */
    int64_t used_names;
    int64_t used_bytes; /* of space */
    int64_t used_data_bytes;
};

/* A change of a directory entry that the view has not been told yet. */
struct hd_dentry_change {
    struct hd_ino parent;
    struct hd_ino child; /* 0: deleted */
    struct hd_ino was;   /* what the name led to before, for whoever knows it; 0: nothing */
    const char *name;    /* in view.arena */
    size_t name_size;
};

/* What the view is to be told at the end of the step. */
struct hd_view_changes {
    bool on; /* off while loading */
    bool counters;
    struct hd_arena arena;
    struct hd_dentry_change *dentries;
    size_t dentry_count, dentry_capacity;
    struct hd_ino *changed; /* written if they still exist */
    size_t changed_count, changed_capacity;
    struct hd_ino *gone;
    size_t gone_count, gone_capacity;
    const char **admins; /* uuids, in view.arena: written, or deleted when there is no entry */
    size_t admin_count, admin_capacity;
    const char **sessions; /* client names, in view.arena: likewise */
    size_t session_count, session_capacity;
};

/* Every inode but the root by its parent and name: one look for a name in a directory of any size.
 */
struct hd_dentries {
    struct hd_inode **buckets; /* chained by hash_next */
    size_t bucket_count;       /* a power of two, or 0 */
    size_t count;
};

struct hd_ns {
    struct hd_inode *root;
    struct hd_dentries dentries;
    struct hd_map inodes;  /* ino -> hd_inode */
    struct hd_map blocks;  /* block id -> hd_blk */
    struct hd_map open;    /* ino -> hd_open_file */
    struct hd_map xattrs;  /* ino -> hd_xattrs */
    struct hd_map quotas;  /* ino -> hd_quota */
    struct hd_map acls;    /* ino -> hd_acls */
    struct hd_map links;   /* ino -> hd_links: the other names of a file (links.h) */
    struct hd_map orphans; /* ino -> hd_inode: files without a name */
    struct hd_leases leases;
    struct hd_names names;
    struct hd_node_admins node_admins;
    struct hd_session_records session_records;
    struct hd_txid txid; /* of the newest record applied */
    uint64_t next_ino;
    uint64_t next_block;
    uint64_t next_gs;
    uint64_t file_count; /* all that are not directories, also further names */
    uint64_t directory_count;
    struct hd_mono_ms now; /* set by the step: when new leases were heard */
    struct hd_view_changes view;
    /* Tells the block map that a block has left the namespace; it is freed afterwards. */
    void (*on_block_gone)(void *ctx, struct hd_blk *block);
    void *ctx;
};

void hd_ns_init(struct hd_ns *ns);
void hd_ns_done(struct hd_ns *ns);

/* Makes the root of an empty namespace. */
void hd_ns_format(struct hd_ns *ns, const char *user, const char *group, int64_t wall_ms);

void hd_ns_apply(struct hd_ns *ns, const Hdm__EditRecord *record);

/* The child of a directory by its name; NULL: none. */
struct hd_inode *hd_ns_child(const struct hd_ns *ns, const struct hd_inode *parent,
                             const char *name, size_t name_size);

struct hd_inode *hd_ns_inode(const struct hd_ns *ns, uint64_t ino);        /* NULL: none */
struct hd_blk *hd_ns_block(const struct hd_ns *ns, struct hd_block_id id); /* NULL: none */
struct hd_open_file *hd_ns_open_file(const struct hd_ns *ns, const struct hd_inode *file);
struct hd_xattrs *hd_ns_xattrs(const struct hd_ns *ns, const struct hd_inode *i); /* NULL: none */
struct hd_quota *hd_ns_quota(const struct hd_ns *ns, const struct hd_inode *i);   /* NULL: none */
const char *hd_ns_user(const struct hd_ns *ns, const struct hd_inode *i);
const char *hd_ns_group(const struct hd_ns *ns, const struct hd_inode *i);

/* Names and space of a whole subtree, itself included. */
struct hd_usage_sum {
    uint64_t files, directories, size_bytes, space_bytes, data_bytes;
};
struct hd_usage_sum hd_ns_usage(struct hd_inode *top);

/* Walks a subtree, parents first, in the order of names: start with top; NULL at the end. It comes
 * by entries: to further names of files as LINKs, and not to orphans. */
struct hd_inode *hd_ns_walk(const struct hd_inode *top, struct hd_inode *at);

/* The number of an inode's storage policy that is in effect, ancestors included; 0: none. */
uint8_t hd_ns_policy(const struct hd_inode *i);

/* ---- pieces shared by apply.c and keys.c ---- */

void hd_ns_link(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *child);
/* The same for a child whose name comes behind all others; false: it does not. */
bool hd_ns_link_last(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *child);
void hd_ns_reserve(struct hd_ns *ns, uint64_t inodes);       /* so many are about to be linked */
void hd_ns_reserve_load(struct hd_ns *ns, size_t inodes);    /* so many are about to be made */
void hd_ns_unlink(struct hd_ns *ns, struct hd_inode *child); /* its parent pointer stays */
void hd_ns_register(struct hd_ns *ns, struct hd_inode *i);
struct hd_blk *hd_ns_new_block(struct hd_ns *ns, struct hd_inode *file, const Hdm__StoredBlock *b);
void hd_ns_open(struct hd_ns *ns, struct hd_inode *file, const char *holder, const char *machine);
void hd_ns_set_xattr(struct hd_ns *ns, struct hd_inode *i, const Hdm__StoredXAttr *x);
void hd_ns_set_quotas(struct hd_ns *ns, struct hd_inode *i, struct hd_quota_limits limits);
void hd_blk_free(struct hd_blk *b);

/* Recounts the usage of every quota (after loading). */
void hd_ns_count_quotas(struct hd_ns *ns);

#endif
