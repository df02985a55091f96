/*
 * PosixProtocol: files that are kept in the metadata, as a whole. And how they and holes look to
 * clients of HDFS: as blocks with reserved ids (fs/wire/reserved.h), on any nodes that are alive.
 */
#include "fs/wire/reserved.h"
#include "meta/core/caps.h"
#include "meta/core/layout.h"
#include "meta/core/op_blocks.h"
#include "meta/core/open_file.h"
#include "meta/core/posix.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

ProtobufCBinaryData hd_content_of(struct hd_meta *m, const struct hd_inode *file)
{
    ProtobufCBinaryData copy = {.len = file->u.file.content_size};
    copy.data = hd_meta_alloc(m, copy.len);
    if (copy.len > 0) {
        memcpy(copy.data, file->u.file.content, copy.len);
    }
    return copy;
}

/* ---- writeContent ---- */

static int check_room(struct hd_call *c, const struct hd_inode *file, uint64_t size)
{
    uint64_t has = hd_file_data(file);
    if (size > c->m->o.inline_bytes) {
        return hd_call_fail(c, -EFBIG, "%llu bytes are more than are kept in the metadata (%u)",
                            (unsigned long long)size, c->m->o.inline_bytes);
    }
    struct hd_charge more = {.data_bytes = (int64_t)size - (int64_t)has,
                             .space_bytes = (int64_t)(size * file->replication) -
                                            (int64_t)hd_file_space(file)};
    return hd_check_charge(c, file, more, NULL);
}

int hd_op_write_content(struct hd_call *c)
{
    const Hdw__WriteContentRequest *q = c->request;
    struct hd_inode *file;
    const char *holder;
    bool open;
    int err = hd_written_file(c, q->session, q->ino, &file, &holder);
    if (err == 0) {
        err = check_room(c, file, q->content.len);
    }
    if (err == 0 && q->change != NULL) {
        err = hd_posix_check_change(c, file, q->change);
    }
    if (err == 0) {
        err = hd_lease_way(c, file, holder, &open);
    }
    if (err != 0) {
        return err;
    }
    Hdm__SetAttributes change = HDM__SET_ATTRIBUTES__INIT;
    Hdm__SetContent op = HDM__SET_CONTENT__INIT;
    op.ino = change.ino = file->ino.v;
    op.content = q->content;
    if (q->change != NULL && hd_posix_change(c, file, q->change, &change)) {
        op.attributes = &change;
    }
    HD_COMMIT(c->m, set_content, SET_CONTENT, &op);
    Hdw__WriteContentResponse *r =
        HD_MSG(c->m, Hdw__WriteContentResponse, hdw__write_content_response);
    r->attr = hd_posix_attr(c, file);
    if (q->has_keep) {
        hd_caps_keep(c, file, (enum hd_cap)q->keep);
    }
    return hd_call_done(c, &r->base);
}

/* ---- readContent ---- */

/* Does the call come from a machine with a data node, which gives replicas to whom it pleases? */
static bool is_from_node(const struct hd_call *c)
{
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        const struct hd_node *node = c->m->nodes.all[i];
        if (node->state != HD_NODE_DEAD && strcmp(node->ip, c->event->peer_ip) == 0) {
            return true;
        }
    }
    return false;
}

int hd_op_read_content(struct hd_call *c)
{
    const Hdw__ReadContentRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_posix_file(c, q->ino, &file);
    if (err == 0 && !is_from_node(c)) {
        err = hd_posix_access(c, file, HD_R);
    }
    if (err < 0) {
        return err;
    }
    Hdw__ReadContentResponse *r =
        HD_MSG(c->m, Hdw__ReadContentResponse, hdw__read_content_response);
    r->content = hd_content_of(c->m, file);
    return hd_call_done(c, &r->base);
}

/* ---- what clients of HDFS see ---- */

enum { SOME_NODES = 3 };

/* Some live nodes, others each time. */
static size_t any_storages(struct hd_call *c, uint16_t *out)
{
    const struct hd_nodes *nodes = &c->m->nodes;
    size_t count = 0;
    uint32_t first = nodes->count > 0 ? (uint32_t)(hd_prng_next(&c->m->prng) % nodes->count) : 0;
    for (uint32_t i = 0; i < nodes->count && count < SOME_NODES; i++) {
        const struct hd_node *node = nodes->all[(first + i) % nodes->count];
        if (node->state == HD_NODE_LIVE && node->registered && node->storage_count > 0) {
            out[count++] = node->storages[0];
        }
    }
    return count;
}

static Hdw__LocatedBlock *locate_anywhere(struct hd_call *c, uint64_t id, uint64_t offset,
                                          uint64_t size_bytes)
{
    uint16_t storages[SOME_NODES];
    const struct hd_blk b = {.id = {id}, .gs = {HD_RESERVED_GENSTAMP}, .size_bytes = size_bytes};
    size_t count = any_storages(c, storages);
    return hd_located_block(c->m, &b, offset, storages, count, true);
}

Hdw__LocatedBlock *hd_located_content(struct hd_call *c, const struct hd_inode *file)
{
    return locate_anywhere(c, hd_reserved_content(file->ino), 0, file->u.file.content_size);
}

Hdw__LocatedBlock *hd_located_hole(struct hd_call *c, uint32_t index, uint64_t offset,
                                   uint64_t size_bytes)
{
    return locate_anywhere(c, hd_reserved_hole(index, size_bytes), offset, size_bytes);
}

bool hd_blk_reads_as_hole(const struct hd_call *c, struct hd_blk *b)
{
    if (hd_blk_is_hole(b)) {
        return true;
    }
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    if (o == NULL || !o->fresh || b->size_bytes == 0) {
        return false;
    }
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (hd_blk_replicas(b)[i].state != HD_REPLICA_EXPECTED) {
            return false;
        }
    }
    return true;
}
