/* Answers that many calls share: the status of an inode, and where blocks are. */
#include "meta/core/op.h"
#include "meta/core/layout.h"
#include "meta/core/open_file.h"
#include "meta/core/placement.h"

enum { PERM_HAS_ACL = 1 << 12 }; /* FsPermissionExtension.ACL_BIT */

Hdw__ExtendedBlock *hd_extended_block(struct hd_meta *m, struct hd_block_id id,
                                      struct hd_genstamp gs, uint64_t size_bytes)
{
    Hdw__ExtendedBlock *b = HD_MSG(m, Hdw__ExtendedBlock, hdw__extended_block);
    b->pool_id = hd_unconst(m->o.block_pool_id);
    b->block_id = id.v;
    b->generation_stamp = gs.v;
    b->has_num_bytes = true; /* also 0: a client unwraps it */
    b->num_bytes = size_bytes;
    return b;
}

Hdw__Token *hd_empty_token(struct hd_meta *m)
{
    Hdw__Token *t = HD_MSG(m, Hdw__Token, hdw__token);
    t->kind = t->service = hd_unconst("");
    return t;
}

const char *hd_block_name(struct hd_call *c, struct hd_block_id id, struct hd_genstamp gs)
{
    return hd_call_printf(c, "blk_%llu_%llu", (unsigned long long)id.v, (unsigned long long)gs.v);
}

Hdw__LocatedBlock *hd_located_block(struct hd_meta *m, const struct hd_blk *b, uint64_t offset,
                                    const uint16_t *storages, size_t count, bool with_storages)
{
    Hdw__LocatedBlock *l = HD_MSG(m, Hdw__LocatedBlock, hdw__located_block);
    l->b = hd_extended_block(m, b->id, b->gs, b->size_bytes);
    l->offset = offset;
    l->block_token = hd_empty_token(m);
    l->n_locs = l->n_is_cached = count;
    l->locs = HD_TURN_ARRAY(m, Hdw__DatanodeInfo *, count);
    l->is_cached = HD_TURN_ARRAY(m, protobuf_c_boolean, count);
    if (with_storages) {
        l->n_storage_types = l->n_storage_i_ds = count;
        l->storage_types = HD_TURN_ARRAY(m, Hdw__StorageType, count);
        l->storage_i_ds = HD_TURN_ARRAY(m, char *, count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct hd_storage *s = hd_nodes_storage(&m->nodes, storages[i]);
        l->locs[i] = hd_node_info(m, m->nodes.all[s->node]);
        if (with_storages) {
            l->storage_types[i] = s->type;
            l->storage_i_ds[i] = s->uuid;
        }
    }
    return l;
}

struct candidate {
    uint16_t storage;
    uint64_t rank; /* distance above, chance below */
};

static int compare_candidates(const void *a, const void *b)
{
    uint64_t x = ((const struct candidate *)a)->rank;
    uint64_t y = ((const struct candidate *)b)->rank;
    return x < y ? -1 : x > y;
}

static uint64_t rank_of(struct hd_call *c, const struct hd_node *node, const char *writer_rack)
{
    uint64_t distance = 2;
    if (hd_placement_is_local(node, c->event->peer_ip, c->event->peer_host)) {
        distance = 0;
    } else if (writer_rack != NULL && strcmp(node->rack, writer_rack) == 0) {
        distance = 1;
    }
    if (node->duty != HD_DUTY_IN_SERVICE) {
        distance += node->duty == HD_DUTY_IN_MAINTENANCE ? 8 : 4;
    }
    if (node->slow) {
        distance += 3;
    }
    if (node->state != HD_NODE_LIVE) {
        distance += 16;
    }
    return distance << 32 | (uint32_t)hd_prng_next(&c->m->prng);
}

/* The rack of the caller's machine, when a data node runs there. */
static const char *rack_of_caller(struct hd_call *c)
{
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        const struct hd_node *node = c->m->nodes.all[i];
        if (hd_placement_is_local(node, c->event->peer_ip, c->event->peer_host)) {
            return node->rack;
        }
    }
    return NULL;
}

static void sort_by_distance(struct hd_call *c, uint16_t *storages, size_t count)
{
    const char *rack = rack_of_caller(c);
    struct candidate *all = HD_TURN_ARRAY(c->m, struct candidate, count);
    for (size_t i = 0; i < count; i++) {
        const struct hd_node *node = hd_nodes_of_storage(&c->m->nodes, storages[i]);
        all[i] = (struct candidate){storages[i], rank_of(c, node, rack)};
    }
    if (count > 1) {
        qsort(all, count, sizeof(*all), compare_candidates);
    }
    for (size_t i = 0; i < count; i++) {
        storages[i] = all[i].storage;
    }
}

/* An open block's chain counts; of a closed one only what was reported whole. */
static size_t usable_replicas(struct hd_call *c, struct hd_blk *b, uint16_t *out)
{
    size_t count = 0;
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        bool dead = hd_replica_is_losing(c->m, r) ||
                    hd_nodes_of_storage(&c->m->nodes, r->storage)->state == HD_NODE_DEAD;
        if (!dead && (b->state != HD_BLOCK_COMPLETE || r->state == HD_REPLICA_FINALIZED)) {
            out[count++] = r->storage;
        }
    }
    return count;
}

Hdw__LocatedBlock *hd_block_locations(struct hd_call *c, struct hd_blk *b, uint64_t offset)
{
    const struct hd_bad_replicas *bad = hd_blk_bad(c->m, b);
    size_t room = (size_t)b->replica_count + (bad != NULL ? bad->count : 0);
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, room);
    size_t count = usable_replicas(c, b, storages);
    bool corrupt = count == 0 && bad != NULL && b->state == HD_BLOCK_COMPLETE;
    if (corrupt) {
        for (; count < bad->count; count++) {
            storages[count] = bad->items[count].storage;
        }
    }
    sort_by_distance(c, storages, count);
    Hdw__LocatedBlock *l = hd_located_block(c->m, b, offset, storages, count, true);
    l->corrupt = corrupt;
    return l;
}

/* One more block; the last one is always told of, the others when they are wanted. */
static void add_located(Hdw__LocatedBlocks *l, Hdw__LocatedBlock *b, bool wanted)
{
    l->last_block = b;
    if (wanted) {
        l->blocks[l->n_blocks++] = b;
    }
}

/*
 * The end of a block that a writer of HDFS appends to is where its nodes say. One that a session
 * overwrites looks whole, as long as meta was told.
 */
static bool is_growing(const struct hd_call *c, const struct hd_blk *b)
{
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    return o != NULL && !o->overwritten;
}

Hdw__LocatedBlocks *hd_located_blocks(struct hd_call *c, struct hd_inode *file, uint64_t offset,
                                      uint64_t length)
{
    Hdw__LocatedBlocks *l = HD_MSG(c->m, Hdw__LocatedBlocks, hdw__located_blocks);
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    uint32_t count = file->u.file.block_count;
    uint64_t end = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
    uint64_t at = file->u.file.content_size;
    l->under_construction = f != NULL;
    l->file_length = at;
    l->blocks = HD_TURN_ARRAY(c->m, Hdw__LocatedBlock *, count + 1);
    if (at > 0) {
        add_located(l, hd_located_content(c, file), offset < at && end > 0);
        l->is_last_block_complete = true;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct hd_blk *b = hd_file_block(file, i);
        if (f != NULL && f->content_block.v == b->id.v && !hd_blk_is_hole(b)) {
            continue; /* the content counts as yet */
        }
        bool last = i + 1 == count;
        bool open = b->state == HD_BLOCK_OPEN;
        bool wanted =
            at < end && (at + b->size_bytes > offset || (open && offset <= at + b->size_bytes));
        if ((wanted || last) && hd_blk_reads_as_hole(c, b)) {
            add_located(l, hd_located_hole(c, i, at, b->size_bytes), wanted);
        } else if (wanted || last) {
            add_located(l, hd_block_locations(c, b, at), wanted);
        }
        bool growing = last && is_growing(c, b);
        l->is_last_block_complete = !growing;
        l->file_length += growing && f != NULL ? 0 : b->size_bytes;
        at += b->size_bytes;
    }
    return l;
}

static void fill_file(struct hd_call *c, struct hd_inode *i, Hdw__HdfsFileStatus *s,
                      bool with_blocks)
{
    s->length = hd_file_size(i);
    s->block_replication = i->replication;
    s->blocksize = i->u.file.block_size_bytes;
    s->children_num = 0;
    if (with_blocks) {
        s->locations = hd_located_blocks(c, i, 0, UINT64_MAX);
    }
}

/* HDFS has no such thing: an empty file. */
static void fill_special(struct hd_call *c, struct hd_inode *i, Hdw__HdfsFileStatus *s,
                         bool with_blocks)
{
    s->block_replication = c->m->o.replication;
    s->blocksize = c->m->o.block_size_bytes;
    s->children_num = 0;
    if (with_blocks) {
        s->locations = hd_located_blocks(c, i, 0, UINT64_MAX);
    }
}

static Hdw__FileType file_type(const struct hd_inode *i)
{
    return i->type == HD_INODE_DIR       ? HDW__FILE_TYPE__IS_DIR
           : i->type == HD_INODE_SYMLINK ? HDW__FILE_TYPE__IS_SYMLINK
                                         : HDW__FILE_TYPE__IS_FILE;
}

Hdw__HdfsFileStatus *hd_status(struct hd_call *c, struct hd_inode *entry, bool with_name,
                               bool with_blocks)
{
    struct hd_inode *i = hd_inode_of_entry(entry);
    Hdw__HdfsFileStatus *s = HD_MSG(c->m, Hdw__HdfsFileStatus, hdw__hdfs_file_status);
    s->file_type = file_type(i);
    if (with_name) {
        s->path.data = (uint8_t *)(uintptr_t)hd_inode_name(entry);
        s->path.len = entry->name_size;
    }
    s->permission = HD_MSG(c->m, Hdw__FsPermission, hdw__fs_permission);
    s->permission->perm = i->mode & HD_HDFS_MODE_BITS;
    if ((i->flags & HD_INODE_ACL) != 0) { /* new clients look at the flag, old ones at the bit */
        s->flags = HDW__FLAGS__STATUS_FLAG_HAS_ACL;
        s->permission->perm |= PERM_HAS_ACL;
    }
    s->owner = hd_unconst(hd_ns_user(c->ns, i));
    s->group = hd_unconst(hd_ns_group(c->ns, i));
    s->modification_time = (uint64_t)i->mtime_ms;
    s->access_time = hd_inode_is_dir(i) ? 0 : (uint64_t)i->atime_ms;
    s->has_block_replication = s->has_blocksize = s->has_file_id = true;
    s->has_children_num = s->has_storage_policy = s->has_flags = true;
    s->file_id = i->ino.v;
    s->storage_policy = hd_ns_policy(i);
    switch ((enum hd_inode_type)i->type) {
    case HD_INODE_DIR:
        s->children_num = (int32_t)i->u.children.count;
        break;
    case HD_INODE_FILE:
        fill_file(c, i, s, with_blocks);
        break;
    case HD_INODE_SYMLINK:
        s->has_symlink = true;
        s->symlink.data = (uint8_t *)i->u.target;
        s->symlink.len = strlen(i->u.target);
        s->children_num = 0;
        break;
    case HD_INODE_FIFO:
    case HD_INODE_SOCKET:
    case HD_INODE_CHAR:
    case HD_INODE_BLOCK:
        fill_special(c, i, s, with_blocks);
        break;
    case HD_INODE_LINK:
        hd_unreachable(); /* paths and listings lead to its file */
    }
    return s;
}
