/*
 * The view: what leveldb keeps, made of the namespace and turned into it again.
 *
 *   'C'                          Counters
 *   'D' be64(parent) name        be64(child): the entries of a directory, in the order of names
 *   'I' be64(ino)                Inode
 *   'N' uuid                     NodeAdmin: data nodes that are not in service
 *   'S' name                     Session: of clients that have not ended
 *
 * The inode names its parent, so entries say nothing new; they are there so that a namespace that
 * is larger than memory can be asked, and they are checked when the view is loaded.
 */
#ifndef HD_META_CORE_KEYS_H
#define HD_META_CORE_KEYS_H

#include "meta/core/ns.h"

struct hd_meta_effects;

/* Appends the puts of everything that changed since the last call, and forgets it. */
void hd_view_emit(struct hd_ns *ns, struct hd_meta_effects *e);

/* Appends the puts of the whole namespace (formatting, tests). */
void hd_view_emit_all(struct hd_ns *ns, struct hd_meta_effects *e);

/* An entry of a directory, as the view has it. */
struct hd_loaded_dentry {
    uint64_t parent;
    uint64_t child;
    uint64_t name_hash;
};

struct hd_view_load {
    struct hd_loaded_dentry *dentries; /* heap, owned; in the order of their keys */
    size_t dentry_count, dentry_capacity;
    uint64_t last_ino; /* inodes come in the order of their numbers */
    struct hd_arena arena;
    bool counters;
};

void hd_view_load_init(struct hd_view_load *l);
void hd_view_load_done(struct hd_view_load *l);

/* One key. -HD_E_CORRUPT when it does not decode. */
int hd_view_load_key(struct hd_ns *ns, struct hd_view_load *l, const void *key, size_t key_size,
                     const void *value, size_t value_size);

/* All keys are there: links the tree and checks it. -HD_E_CORRUPT when it is not whole. */
int hd_view_load_link(struct hd_ns *ns, struct hd_view_load *l);

#endif
