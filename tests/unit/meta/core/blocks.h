/*
 * Files that a session writes (mounts.h), for tests of meta's core: short calls, and data nodes
 * that do what a writer makes them do.
 */
#ifndef HD_TESTS_META_CORE_BLOCKS_H
#define HD_TESTS_META_CORE_BLOCKS_H

#include "fs/wire/reserved.h"
#include "tests/unit/meta/core/mounts.h"

enum { MIB = 1 << 20, NODES = 3 };

#define META_PROTOCOL "howdah.MetaProtocol"

struct bench {
    struct world w;
    struct mount t;
};

/* A world with three nodes and a mount. */
static inline void bench_init(struct bench *b)
{
    world_init(&b->w);
    b->w.m->o.inline_bytes = b->w.options.inline_bytes = 4096;
    for (int n = 1; n <= NODES; n++) {
        node_start(&b->w, n);
    }
    b->t = mount_start(&b->w, 0);
    mount_poll(&b->t, 3000);
}

static inline void bench_done(struct bench *b)
{
    world_check(&b->w);
    world_done(&b->w);
}

/* Time passes; nodes and the mount are well. */
static inline void bench_pass(struct bench *b, int64_t ms)
{
    for (; ms > 0; ms -= 500) {
        mount_poll(&b->t, 1000);
        world_pass(&b->w, 500);
        for (int n = 1; n <= NODES; n++) {
            node_beat(&b->w, n);
        }
    }
}

/* A new file "/name", whose WRITE capability the mount has. */
static inline uint64_t make_file(struct mount *t, const char *name)
{
    Hdw__MakeNodeResponse *r = ASK(
        t, "makeNode", MakeNode, make_node, .parent = HD_ROOT_INO, .name = bytes_named(name),
        .mode = 0100644, .has_exclusive = true, .exclusive = true, .has_open = true, .open = true);
    ATF_REQUIRE_EQ(HDW__CAP_KIND__CAP_WRITE, r->granted);
    return r->attr->ino;
}

static inline void take_write(struct mount *t, uint64_t ino)
{
    ATF_REQUIRE_EQ(HDW__CAP_KIND__CAP_WRITE,
                   mount_granted(t, mount_acquire(t, ino, HDW__CAP_KIND__CAP_WRITE)));
}

static inline uint64_t write_content_send(struct mount *t, uint64_t ino, const void *data,
                                          size_t size)
{
    ProtobufCBinaryData content = {size, (uint8_t *)(uintptr_t)data};
    return SEND(t, "writeContent", WriteContent, write_content, .session = t->number, .ino = ino,
                .content = content);
}

static inline Hdw__PosixAttr *write_content(struct mount *t, uint64_t ino, const char *text)
{
    uint64_t token = write_content_send(t, ino, text, strlen(text));
    return GOT(t, token, WriteContent, write_content)->attr;
}

static inline Hdw__OpenBlocksResponse *open_blocks(struct mount *t, uint64_t ino)
{
    return ASK(t, "openBlocks", OpenBlocks, open_blocks, .session = t->number, .ino = ino);
}

static inline uint64_t open_block_send(struct mount *t, uint64_t ino, uint64_t offset)
{
    return SEND(t, "openBlock", OpenBlock, open_block, .session = t->number, .ino = ino,
                .offset = offset);
}

static inline Hdw__OpenBlockResponse *open_block(struct mount *t, uint64_t ino, uint64_t offset)
{
    uint64_t token = open_block_send(t, ino, offset);
    return GOT(t, token, OpenBlock, open_block);
}

/* A call of ClientProtocol on the mount's connection. */
#define AS(t, name, Type, lower, ...)                                                              \
    ({                                                                                             \
        (t)->w->session = (t)->number;                                                             \
        (t)->w->posix = true;                                                                      \
        struct answer *as_ = CALL_ANSWER((t)->w, name, Type, lower, __VA_ARGS__);                  \
        (t)->w->session = 0;                                                                       \
        (t)->w->posix = false;                                                                     \
        as_;                                                                                       \
    })

/* updatePipeline with the block's nodes but the first `without` of them. */
static inline struct answer *update_pipeline(struct mount *t, Hdw__LocatedBlock *l, uint64_t gs,
                                             uint64_t size, size_t without)
{
    Hdw__ExtendedBlock old = *l->b;
    Hdw__ExtendedBlock fresh = *l->b;
    Hdw__DatanodeID *ids[NODES];
    fresh.generation_stamp = gs;
    fresh.num_bytes = size;
    for (size_t n = without; n < l->n_locs; n++) {
        ids[n - without] = l->locs[n]->id;
    }
    return AS(t, "updatePipeline", UpdatePipeline, update_pipeline, .client_name = S(t->name),
              .old_block = &old, .new_block = &fresh, .n_new_nodes = l->n_locs - without,
              .new_nodes = ids, .n_storage_i_ds = l->n_locs - without,
              .storage_i_ds = l->storage_i_ds + without);
}

/* The nodes have set the block up, as long as they were told to; its stamp then. */
static inline void set_up(struct mount *t, Hdw__OpenBlockResponse *r)
{
    Hdw__LocatedBlock *l = r->block;
    uint64_t gs = r->fresh ? l->b->generation_stamp : r->new_stamp;
    for (size_t n = 0; n < l->n_locs; n++) {
        node_says(t->w, node_of(l->locs[n]), HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING,
                  l->b->block_id, gs, l->b->num_bytes);
    }
    if (!r->fresh) {
        struct answer *a = update_pipeline(t, l, gs, l->b->num_bytes, 0);
        ATF_REQUIRE_MSG(a->err == 0, "updatePipeline: %s", a->text);
    }
    l->b->generation_stamp = gs;
}

static inline int abandon_block(struct mount *t, Hdw__ExtendedBlock *k, const char *path)
{
    return AS(t, "abandonBlock", AbandonBlock, abandon_block, .b = k, .src = S(path),
              .holder = S(t->name))
        ->err;
}

/* block_id 0: of the last one. */
static inline int tell_length(struct mount *t, uint64_t ino, uint64_t block_id, int64_t length)
{
    return AS(t, "fsync", Fsync, fsync, .src = S("/f"), .client = S(t->name),
              .has_last_block_length = true, .last_block_length = length, .has_file_id = true,
              .file_id = ino, .has_block_id = block_id != 0, .block_id = block_id)
        ->err;
}

static inline uint64_t close_block_send(struct mount *t, uint64_t ino, const Hdw__ExtendedBlock *b,
                                        uint64_t size)
{
    Hdw__ExtendedBlock block = *b;
    block.num_bytes = size;
    block.has_num_bytes = true;
    return SEND(t, "closeBlock", CloseBlock, close_block, .session = t->number, .ino = ino,
                .block = &block);
}

/* The nodes have the block whole, and meta is told. */
static inline void finish(struct mount *t, uint64_t ino, Hdw__OpenBlockResponse *r, uint64_t size)
{
    Hdw__LocatedBlock *l = r->block;
    for (size_t n = 0; n < l->n_locs; n++) {
        node_received(t->w, node_of(l->locs[n]), l->b->block_id, l->b->generation_stamp, size);
    }
    uint64_t token = close_block_send(t, ino, l->b, size);
    (void)GOT(t, token, CloseBlock, close_block);
}

/* Opens the block at an offset, sets it up and closes it `size` bytes long. */
static inline Hdw__ExtendedBlock *write_block(struct mount *t, uint64_t ino, uint64_t offset,
                                              uint64_t size)
{
    Hdw__OpenBlockResponse *r = open_block(t, ino, offset);
    set_up(t, r);
    finish(t, ino, r, size);
    return r->block->b;
}

static inline uint64_t close_blocks_send(struct mount *t, uint64_t ino)
{
    return SEND(t, "closeBlocks", CloseBlocks, close_blocks, .session = t->number, .ino = ino);
}

static inline Hdw__PosixAttr *close_blocks(struct mount *t, uint64_t ino)
{
    uint64_t token = close_blocks_send(t, ino);
    return GOT(t, token, CloseBlocks, close_blocks)->attr;
}

static inline Hdw__ResizeResponse *resize(struct mount *t, uint64_t ino, uint64_t size)
{
    return ASK(t, "resize", Resize, resize, .session = t->number, .ino = ino, .size = size);
}

/* A closed file "/name" of blocks of these sizes. */
static inline uint64_t make_of_blocks(struct mount *t, const char *name, const uint64_t *sizes,
                                      size_t count)
{
    uint64_t ino = make_file(t, name);
    uint64_t at = 0;
    (void)open_blocks(t, ino);
    for (size_t n = 0; n < count; n++) {
        (void)write_block(t, ino, at, sizes[n]);
        at += sizes[n];
    }
    (void)close_blocks(t, ino);
    return ino;
}

static inline struct hd_inode *inode_of(struct bench *b, uint64_t ino)
{
    struct hd_inode *i = hd_ns_inode(&b->w.m->ns, ino);
    ATF_REQUIRE(i != NULL);
    return i;
}

/* "c4 b1048576 h10 o512 ...": content, blocks, holes, open blocks; the state of the core. */
static inline const char *layout_of(struct bench *b, uint64_t ino)
{
    static char text[512];
    const struct hd_inode *i = inode_of(b, ino);
    size_t at = 0;
    text[0] = '\0';
    if (i->u.file.content_size > 0) {
        at += (size_t)snprintf(text, sizeof(text), " c%u", i->u.file.content_size);
    }
    for (uint32_t n = 0; n < i->u.file.block_count && at < sizeof(text); n++) {
        const struct hd_blk *k = hd_file_block(i, n);
        char kind = k->id.v == 0 ? 'h' : k->state == HD_BLOCK_OPEN ? 'o' : 'b';
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %c%llu", kind,
                               (unsigned long long)k->size_bytes);
    }
    return text[0] != '\0' ? text + 1 : text;
}

/* The recovery of a block that a node was told to do; NULL: there is none in this heartbeat. */
static inline Hdw__RecoveringBlock *recovery_of(Hdw__SendHeartbeatResponse *r, uint64_t block_id)
{
    for (size_t n = 0; n < r->n_cmds; n++) {
        Hdw__BlockRecoveryCommand *c = r->cmds[n]->recovery_cmd;
        for (size_t k = 0; c != NULL && k < c->n_blocks; k++) {
            if (c->blocks[k]->block->b->block_id == block_id) {
                return c->blocks[k];
            }
        }
    }
    return NULL;
}

/* Beats of all nodes until one was told to recover the block. */
static inline Hdw__RecoveringBlock *await_recovery(struct bench *b, uint64_t block_id)
{
    for (int tries = 0; tries < 40; tries++) {
        for (int n = 1; n <= NODES; n++) {
            Hdw__RecoveringBlock *r = recovery_of(node_beat(&b->w, n), block_id);
            if (r != NULL) {
                return r;
            }
        }
        world_pass(&b->w, 500);
    }
    return NULL;
}

static inline struct answer *synchronized(struct bench *b, Hdw__RecoveringBlock *r, uint64_t size,
                                          bool delete_block)
{
    Hdw__LocatedBlock *l = r->block;
    Hdw__DatanodeID *ids[NODES];
    char *storages[NODES];
    static struct node_texts texts[NODES];
    for (size_t n = 0; n < l->n_locs; n++) {
        ids[n] = l->locs[n]->id;
        texts[n] = node_texts(node_of(l->locs[n]));
        storages[n] = texts[n].storage;
    }
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    q.block = l->b;
    q.new_gen_stamp = r->new_gen_stamp;
    q.new_length = size;
    q.close_file = true;
    q.delete_block = delete_block;
    q.n_new_taragets = delete_block ? 0 : l->n_locs;
    q.new_taragets = ids;
    q.n_new_target_storages = delete_block ? 0 : l->n_locs;
    q.new_target_storages = storages;
    struct answer *a =
        world_answer(&b->w, world_send(&b->w, DATANODE_PROTOCOL, "commitBlockSynchronization", &q,
                                       node_conn(node_of(l->locs[0]))));
    ATF_REQUIRE(a != NULL);
    return a;
}

/* The mount dies: its polls end. */
static inline void kill_mount(struct bench *b)
{
    mount_close(&b->t);
    for (int n = 0; n < 4; n++) {
        world_pass(&b->w, 500);
    }
}

#endif
