/* ClientProtocol: blocks of files being written. */
#include "meta/core/op.h"
#include "meta/core/layout.h"
#include "meta/core/open_file.h"
#include "meta/core/placement.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

/* ---- the file a writer means ---- */

/* "/f (inode 5) [Lease.  Holder: h, pending creates: 1]" */
static const char *lease_text(struct hd_call *c, const char *path, uint64_t ino, const char *holder)
{
    const struct hd_lease *lease = hd_leases_find(&c->ns->leases, holder);
    if (lease == NULL) {
        return hd_call_printf(c, "%s (inode %llu) Holder %s does not have any open files.", path,
                              (unsigned long long)ino, holder);
    }
    return hd_call_printf(c, "%s (inode %llu) [Lease.  Holder: %s, pending creates: %zu]", path,
                          (unsigned long long)ino, holder, lease->file_count);
}

/* By id when the client knows it: the file may have been renamed. */
static int find_written(struct hd_call *c, const char *path, uint64_t ino, struct hd_inode **ret)
{
    struct hd_where w;
    if (ino != 0) {
        *ret = hd_ns_inode(c->ns, ino);
        return 0;
    }
    int err = hd_resolve(c, path, HD_FOLLOW, &w);
    *ret = err == 0 ? w.inode : NULL;
    return err;
}

int hd_open_file_of(struct hd_call *c, const char *path, uint64_t ino, const char *holder,
                    struct hd_inode **ret)
{
    struct hd_inode *i;
    int err = find_written(c, path, ino, &i);
    if (err < 0) {
        return err;
    }
    if (i == NULL) {
        return hd_call_fail(c, -ENOENT, "File does not exist: %s",
                            lease_text(c, path, ino, holder));
    }
    if (!hd_inode_is_file(i)) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED, "INode is not a regular file: %s",
                            lease_text(c, path, ino, holder));
    }
    const struct hd_open_file *f = hd_ns_open_file(c->ns, i);
    if (f == NULL) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED, "File is not open for writing: %s",
                            lease_text(c, path, ino, holder));
    }
    if (strcmp(f->lease->holder, holder) != 0) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED, "Client (=%s) is not the lease owner (=%s: %s",
                            holder, f->lease->holder, lease_text(c, path, i->ino.v, holder));
    }
    *ret = i;
    return 0;
}

static int check_pool(struct hd_call *c, const Hdw__ExtendedBlock *b)
{
    if (b != NULL && strcmp(b->pool_id, c->m->o.block_pool_id) != 0) {
        return hd_call_fail(c, -HD_E_IO, "Unexpected BlockPoolId %s - expected %s", b->pool_id,
                            c->m->o.block_pool_id);
    }
    return 0;
}

/* ---- sizes ---- */

/* The nodes of these storages, for a record; their strings live as long as the nodes. */
char **hd_chain_uuids(struct hd_call *c, const uint16_t *storages, size_t count)
{
    char **uuids = HD_TURN_ARRAY(c->m, char *, count);
    for (size_t i = 0; i < count; i++) {
        uuids[i] = hd_nodes_of_storage(&c->m->nodes, storages[i])->uuid;
    }
    return uuids;
}

static void update_block(struct hd_meta *m, struct hd_blk *b, uint64_t size_bytes, bool commit)
{
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__UpdateBlock op = HDM__UPDATE_BLOCK__INIT;
    stored.id = b->id.v;
    stored.gs = b->gs.v;
    stored.size = size_bytes;
    op.ino = b->file->ino.v;
    op.block = &stored;
    op.commit = commit;
    HD_COMMIT(m, update_block, UPDATE_BLOCK, &op);
}

/* What an open block may be told to be long: [*ret_least, *ret_most]. */
static void length_range(struct hd_call *c, const struct hd_blk *b, uint64_t *ret_least,
                         uint64_t *ret_most)
{
    const struct hd_inode *file = b->file;
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    const struct hd_open_block *o = hd_open_file_find(f, b);
    bool pending = f->content_block.v == b->id.v;
    uint32_t index = hd_file_index_of(file, b);
    uint64_t has = pending ? file->u.file.content_size : b->size_bytes;
    *ret_least = pending ? 0 : has;
    *ret_most = HD_MIN(file->u.file.block_size_bytes, has + hd_file_room_behind(file, index));
    *ret_most = HD_MAX(*ret_most, has);
    if (o->truncating) { /* first its replicas are cut */
        *ret_most = o->truncate_size_bytes;
    }
}

int hd_check_length(struct hd_call *c, const struct hd_blk *b, uint64_t size_bytes)
{
    uint64_t least;
    uint64_t most;
    length_range(c, b, &least, &most);
    if (size_bytes < least || size_bytes > most) {
        return hd_call_fail(c, -HD_E_IO,
                            "Commit of %s with %llu bytes: %llu were told before, and "
                            "a block holds %llu",
                            hd_block_name(c, b->id, b->gs), (unsigned long long)size_bytes,
                            (unsigned long long)least, (unsigned long long)most);
    }
    return 0;
}

int hd_check_stamp(struct hd_call *c, const struct hd_blk *b, const Hdw__ExtendedBlock *named)
{
    if (named->generation_stamp == b->gs.v) {
        return 0;
    }
    return hd_call_fail(c, -HD_E_IO,
                        "Commit block with mismatching GS. NN has %s, client submits blk_%llu_%llu",
                        hd_block_name(c, b->id, b->gs), (unsigned long long)named->block_id,
                        (unsigned long long)named->generation_stamp);
}

int hd_commit_last(struct hd_call *c, struct hd_inode *file, const Hdw__ExtendedBlock *last)
{
    struct hd_blk *b = hd_file_last_block(file);
    if (last == NULL || b == NULL || b->state != HD_BLOCK_OPEN) {
        return 0;
    }
    if (last->block_id != b->id.v) {
        return hd_call_fail(c, -HD_E_IO,
                            "Trying to commit inconsistent block: id = %llu, expected id = %llu",
                            (unsigned long long)last->block_id, (unsigned long long)b->id.v);
    }
    int err = hd_check_stamp(c, b, last);
    if (err == 0) {
        err = hd_check_length(c, b, last->num_bytes);
    }
    if (err < 0) {
        return err;
    }
    struct hd_charge more = {.data_bytes = (int64_t)(last->num_bytes - b->size_bytes)};
    err = hd_check_charge(c, file, more, NULL);
    if (err < 0) {
        return err;
    }
    struct hd_early_reports early = hd_block_map_early(c->m, b);
    update_block(c->m, b, last->num_bytes, true);
    hd_block_map_committed(c->m, b, &early);
    return 0;
}

struct hd_blk *hd_first_incomplete(struct hd_inode *file, bool penultimate_only)
{
    uint32_t count = file->u.file.block_count;
    uint32_t end = penultimate_only && count > 0 ? count - 1 : count;
    uint32_t start = penultimate_only && count > 1 ? count - 2 : 0;
    for (uint32_t i = start; i < end; i++) {
        struct hd_blk *b = hd_file_block(file, i);
        if (b->state != HD_BLOCK_COMPLETE) {
            return b;
        }
    }
    return NULL;
}

/* Waits for the block, unless that was done already or nothing is to come. */
bool hd_park_for(struct hd_call *c, const struct hd_blk *b)
{
    if (c->time_is_up || b->state != HD_BLOCK_COMMITTED || c->m->o.complete_wait_ms <= 0) {
        return false;
    }
    c->wait_block = b->id;
    return true;
}

/* ---- addBlock ---- */

static bool names_block(const Hdw__ExtendedBlock *named, const struct hd_blk *b)
{
    if (named == NULL || b == NULL) {
        return named == NULL && b == NULL;
    }
    return named->block_id == b->id.v && named->generation_stamp == b->gs.v;
}

/* 1: go on, 0: a retry, whose block is *ret_again; or an error. */
static int check_previous(struct hd_call *c, const Hdw__AddBlockRequest *q, struct hd_inode *file,
                          struct hd_blk **ret_again)
{
    const Hdw__ExtendedBlock *previous = q->previous;
    uint32_t count = file->u.file.block_count;
    struct hd_blk *last = hd_file_last_block(file);
    struct hd_blk *penultimate = count > 1 ? hd_file_block(file, count - 2) : NULL;
    if (names_block(previous, last)) {
        return 1;
    }
    if (previous == NULL && last != NULL && last->state == HD_BLOCK_COMPLETE &&
        (hd_blk_is_hole(last) || last->size_bytes >= file->u.file.block_size_bytes)) {
        return 1; /* the first block of an append behind a full one, or behind a hole */
    }
    if (last != NULL && names_block(previous, penultimate)) {
        if (last->size_bytes != 0 || last->state != HD_BLOCK_OPEN) {
            return hd_call_fail(c, -HD_E_IO,
                                "Request looked like a retry to allocate block %s but it already "
                                "contains %llu bytes",
                                hd_block_name(c, last->id, last->gs),
                                (unsigned long long)last->size_bytes);
        }
        *ret_again = last;
        return 0;
    }
    return hd_call_fail(
        c, -HD_E_IO,
        "Cannot allocate block in %s: passed 'previous' block %s does not match actual last block "
        "in file %s",
        q->src,
        previous == NULL
            ? "null"
            : hd_call_printf(c, "%s:%s", previous->pool_id,
                             hd_block_name(c, (struct hd_block_id){previous->block_id},
                                           (struct hd_genstamp){previous->generation_stamp})),
        last == NULL ? "null" : hd_block_name(c, last->id, last->gs));
}

static uint64_t offset_of_last(struct hd_inode *file)
{
    struct hd_blk *last = hd_file_last_block(file);
    return hd_file_size(file) - (last != NULL ? last->size_bytes : 0);
}

static int answer_block(struct hd_call *c, struct hd_blk *b, const uint16_t *storages, size_t count)
{
    Hdw__AddBlockResponse *r = HD_MSG(c->m, Hdw__AddBlockResponse, hdw__add_block_response);
    r->block = hd_located_block(c->m, b, offset_of_last(b->file), storages, count, true);
    return hd_call_done(c, &r->base);
}

static int answer_again(struct hd_call *c, struct hd_blk *b)
{
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, b->replica_count);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        storages[i] = hd_blk_replicas(b)[i].storage;
    }
    return answer_block(c, b, storages, b->replica_count);
}

/* Marks the nodes of a list; returns how many of them are known. */
static size_t exclude(struct hd_call *c, Hdw__DatanodeInfo *const *nodes, size_t count,
                      bool *excluded)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        const struct hd_node *node = hd_nodes_find(&c->m->nodes, nodes[i]->id->datanode_uuid);
        if (node != NULL && !excluded[node->index]) {
            excluded[node->index] = true;
            known++;
        }
    }
    return known;
}

int hd_choose_targets(struct hd_call *c, const Hdw__AddBlockRequest *q, struct hd_inode *file,
                      uint16_t *storages, uint32_t *ret_count)
{
    bool *excluded = HD_TURN_ARRAY(c->m, bool, c->m->nodes.count);
    size_t excluded_count = exclude(c, q->exclude_nodes, q->n_exclude_nodes, excluded);
    struct hd_placement want = {
        .count = file->replication,
        .size_bytes = file->u.file.block_size_bytes,
        .excluded = excluded,
        .writer_ip = c->event->peer_ip,
        .writer_host = c->event->peer_host,
        .favored = (const char *const *)q->favored_nodes,
        .favored_count = q->n_favored_nodes,
    };
    for (size_t i = 0; i < q->n_flags; i++) {
        want.writer_ip = want.writer_host =
            NULL; /* either flag: not the writer's machine by rule */
    }
    *ret_count = hd_placement_choose(c->m, &want, storages);
    if (*ret_count > 0) {
        return 0;
    }
    char count[24] = "no";
    if (excluded_count > 0) {
        snprintf(count, sizeof(count), "%zu", excluded_count);
    }
    return hd_call_fail(c, -HD_E_NO_NODES,
                        "File %s could only be written to 0 of the 1 minReplication nodes. There "
                        "are %u datanode(s) running and %s node(s) are excluded in this operation.",
                        q->src, hd_nodes_live(&c->m->nodes), count);
}

static int check_progress(struct hd_call *c, const char *path, struct hd_inode *file)
{
    struct hd_blk *late = hd_first_incomplete(file, true);
    if (late == NULL) {
        return 0;
    }
    return hd_park_for(c, late)
               ? HD_PARK
               : hd_call_fail(c, -HD_E_NOT_REPLICATED_YET, "Not replicated yet: %s", path);
}

static int check_add_block(struct hd_call *c, const Hdw__AddBlockRequest *q, struct hd_inode *file)
{
    if (file->u.file.block_count >= HD_FILE_MAX_BLOCKS) {
        return hd_call_fail(c, -HD_E_IO,
                            "File has reached the limit on maximum number of blocks "
                            "(dfs.namenode.fs-limits.max-blocks-per-file): %u >= %d",
                            file->u.file.block_count, HD_FILE_MAX_BLOCKS);
    }
    int err = check_progress(c, q->src, file);
    if (err != 0) {
        return err;
    }
    err = hd_check_data_room(c, file);
    return err < 0
               ? err
               : hd_check_quota(c, file->parent, 0,
                                (int64_t)(file->u.file.block_size_bytes * file->replication), NULL);
}

int hd_op_add_block(struct hd_call *c)
{
    const Hdw__AddBlockRequest *q = c->request;
    struct hd_inode *file;
    struct hd_blk *again = NULL;
    uint32_t count;
    int err = hd_call_check_safe_mode(c, "Cannot add block to %s", q->src);
    if (err == 0) {
        err = hd_open_file_of(c, q->src, q->has_file_id ? q->file_id : 0, q->client_name, &file);
    }
    if (err == 0) {
        err = check_pool(c, q->previous);
    }
    if (err == 0) {
        err = check_previous(c, q, file, &again);
    }
    if (err < 0) {
        return err;
    }
    if (again != NULL) {
        return answer_again(c, again);
    }
    err = check_add_block(c, q, file);
    if (err != 0) {
        return err;
    }
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, file->replication);
    err = hd_choose_targets(c, q, file, storages, &count);
    if (err == 0) {
        err = hd_commit_last(c, file, q->previous);
    }
    if (err < 0) {
        return err;
    }
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__AddBlock op = HDM__ADD_BLOCK__INIT;
    stored.id = c->ns->next_block;
    stored.gs = c->ns->next_gs;
    op.ino = file->ino.v;
    op.block = &stored;
    op.n_chain = count;
    op.chain = hd_chain_uuids(c, storages, count);
    HD_COMMIT(c->m, add_block, ADD_BLOCK, &op);
    struct hd_blk *b = hd_file_last_block(file);
    hd_block_map_chain(c->m, b, (struct hd_genstamp){0}, storages, count);
    return answer_block(c, b, storages, count);
}

/* The last block; or one that a session has opened and that had nothing before. */
static bool may_be_abandoned(struct hd_call *c, const struct hd_inode *file, const struct hd_blk *b)
{
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    if (b->file != file) {
        return false;
    }
    return o != NULL && o->overwritten
               ? o->fresh
               : hd_file_last_block(file) == b && b->state != HD_BLOCK_COMPLETE;
}

int hd_op_abandon_block(struct hd_call *c)
{
    const Hdw__AbandonBlockRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_call_check_safe_mode(c, "Cannot abandon block blk_%llu_%llu for %s",
                                      (unsigned long long)q->b->block_id,
                                      (unsigned long long)q->b->generation_stamp, q->src);
    if (err == 0) {
        err = hd_open_file_of(c, q->src, q->has_file_id ? q->file_id : 0, q->holder, &file);
    }
    if (err < 0) {
        return err;
    }
    const struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){q->b->block_id});
    if (b != NULL && may_be_abandoned(c, file, b)) {
        Hdm__AbandonBlock op = HDM__ABANDON_BLOCK__INIT;
        op.ino = file->ino.v;
        op.block = b->id.v;
        HD_COMMIT(c->m, abandon_block, ABANDON_BLOCK, &op);
    }
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__AbandonBlockResponse, hdw__abandon_block_response)->base);
}

/* ---- complete, fsync ---- */

void hd_close_file(struct hd_meta *m, struct hd_inode *file)
{
    Hdm__CloseFile op = HDM__CLOSE_FILE__INIT;
    op.ino = file->ino.v;
    HD_COMMIT(m, close_file, CLOSE_FILE, &op);
}

/* A repeated complete of a file that is closed already. */
static bool was_completed(struct hd_call *c, const Hdw__CompleteRequest *q)
{
    struct hd_inode *i;
    const char *text = c->text;
    int err = find_written(c, q->src, q->has_file_id ? q->file_id : 0, &i);
    c->text = text;
    return err == 0 && i != NULL && hd_inode_is_file(i) && !hd_inode_is_open(i) &&
           names_block(q->last, hd_file_last_block(i));
}

static int answer_complete(struct hd_call *c, bool result)
{
    Hdw__CompleteResponse *r = HD_MSG(c->m, Hdw__CompleteResponse, hdw__complete_response);
    r->result = result;
    return hd_call_done(c, &r->base);
}

int hd_op_complete(struct hd_call *c)
{
    const Hdw__CompleteRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_call_check_safe_mode(c, "Cannot complete file %s", q->src);
    if (err == 0) {
        err = check_pool(c, q->last);
    }
    if (err < 0) {
        return err;
    }
    err = hd_open_file_of(c, q->src, q->has_file_id ? q->file_id : 0, q->client_name, &file);
    if (err == -HD_E_LEASE_EXPIRED && was_completed(c, q)) {
        return answer_complete(c, true);
    }
    if (err == 0) {
        err = hd_commit_last(c, file, q->last);
    }
    if (err < 0) {
        return err;
    }
    struct hd_blk *late = hd_first_incomplete(file, false);
    if (late != NULL) {
        return hd_park_for(c, late) ? HD_PARK : answer_complete(c, false);
    }
    hd_close_file(c->m, file);
    return answer_complete(c, true);
}

/* The block whose length is told; NULL: none of this file. */
static struct hd_blk *told_block(struct hd_call *c, const Hdw__FsyncRequest *q,
                                 struct hd_inode *file)
{
    if (!q->has_block_id) {
        return hd_file_last_block(file);
    }
    struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){q->block_id});
    return b != NULL && b->file == file ? b : NULL;
}

int hd_op_fsync(struct hd_call *c)
{
    const Hdw__FsyncRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_call_check_safe_mode(c, "Cannot fsync file %s", q->src);
    if (err == 0) {
        err = hd_open_file_of(c, q->src, q->has_file_id ? q->file_id : 0, q->client, &file);
    }
    if (err < 0) {
        return err;
    }
    struct hd_blk *last = told_block(c, q, file);
    int64_t size = q->has_last_block_length ? q->last_block_length : -1;
    if (last != NULL && last->state == HD_BLOCK_OPEN && size > 0 &&
        (uint64_t)size > last->size_bytes && hd_check_length(c, last, (uint64_t)size) == 0) {
        update_block(c->m, last, (uint64_t)size, false);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__FsyncResponse, hdw__fsync_response)->base);
}

/* ---- the chain breaks ---- */

/* The open block that a client names, whose lease it holds. */
static int find_open_block(struct hd_call *c, const Hdw__ExtendedBlock *named, const char *holder,
                           struct hd_blk **ret)
{
    const char *name =
        hd_call_printf(c, "%s:blk_%llu_%llu", named->pool_id, (unsigned long long)named->block_id,
                       (unsigned long long)named->generation_stamp);
    struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){named->block_id});
    if (b == NULL) {
        return hd_call_fail(c, -HD_E_IO, "%s does not exist.", name);
    }
    if (b->state != HD_BLOCK_OPEN) {
        return hd_call_fail(c, -HD_E_IO,
                            "Unexpected BlockUCState: %s is %s but not UNDER_CONSTRUCTION", name,
                            b->state == HD_BLOCK_COMPLETE ? "COMPLETE" : "COMMITTED");
    }
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    if (hd_open_file_find(f, b)->recovery_gs.v != 0 || f->abandoned) {
        return hd_call_fail(c, -HD_E_IO,
                            "Unexpected BlockUCState: %s is UNDER_RECOVERY but not "
                            "UNDER_CONSTRUCTION",
                            name);
    }
    if (strcmp(f->lease->holder, holder) != 0) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED,
                            "Lease mismatch: %s is accessed by a non lease holder %s", name,
                            holder);
    }
    *ret = b;
    return 0;
}

int hd_op_update_block_for_pipeline(struct hd_call *c)
{
    const Hdw__UpdateBlockForPipelineRequest *q = c->request;
    struct hd_blk *b;
    int err = hd_call_check_safe_mode(c, "Cannot get a new GS for block %s:blk_%llu_%llu",
                                      q->block->pool_id, (unsigned long long)q->block->block_id,
                                      (unsigned long long)q->block->generation_stamp);
    if (err == 0) {
        err = find_open_block(c, q->block, q->client_name, &b);
    }
    if (err < 0) {
        return err;
    }
    Hdm__TakeStamp op = HDM__TAKE_STAMP__INIT;
    op.gs = c->ns->next_gs;
    HD_COMMIT(c->m, take_stamp, TAKE_STAMP, &op);
    Hdw__UpdateBlockForPipelineResponse *r =
        HD_MSG(c->m, Hdw__UpdateBlockForPipelineResponse, hdw__update_block_for_pipeline_response);
    r->block = hd_located_block(c->m, b, UINT64_MAX, NULL, 0, true);
    r->block->b->generation_stamp = op.gs;
    r->block->b->num_bytes = q->block->num_bytes;
    return hd_call_done(c, &r->base);
}

/* The storages of a chain as the client names them: by storage id, else the node's first. */
static size_t chain_storages(struct hd_call *c, Hdw__DatanodeID *const *nodes, size_t count,
                             char *const *ids, size_t id_count, uint16_t *out)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct hd_node *node = hd_nodes_find(&c->m->nodes, nodes[i]->datanode_uuid);
        const struct hd_storage *s =
            i < id_count ? hd_nodes_find_storage(&c->m->nodes, ids[i]) : NULL;
        if (s != NULL) {
            out[found++] = s->index;
        } else if (node != NULL && node->storage_count > 0) {
            out[found++] = node->storages[0];
        }
    }
    return found;
}

int hd_op_update_pipeline(struct hd_call *c)
{
    const Hdw__UpdatePipelineRequest *q = c->request;
    const Hdw__ExtendedBlock *fresh = q->new_block;
    struct hd_blk *b;
    int err = hd_call_check_safe_mode(c, "Pipeline not updated");
    if (err == 0) {
        err = find_open_block(c, q->old_block, q->client_name, &b);
    }
    if (err < 0) {
        return err;
    }
    const char *old_name = hd_call_printf(c, "%s:blk_%llu_%llu", q->old_block->pool_id,
                                          (unsigned long long)q->old_block->block_id,
                                          (unsigned long long)q->old_block->generation_stamp);
    if (fresh->block_id != b->id.v || fresh->generation_stamp <= b->gs.v) {
        return hd_call_fail(c, -HD_E_IO,
                            "Update %s but the new block %s:blk_%llu_%llu does not have a larger "
                            "generation stamp than the last block %s",
                            old_name, fresh->pool_id, (unsigned long long)fresh->block_id,
                            (unsigned long long)fresh->generation_stamp,
                            hd_block_name(c, b->id, b->gs));
    }
    if (fresh->generation_stamp >= c->ns->next_gs) {
        return hd_call_fail(c, -HD_E_IO, "Update %s: stamp %llu was never given out", old_name,
                            (unsigned long long)fresh->generation_stamp);
    }
    uint64_t least;
    uint64_t most;
    length_range(c, b, &least, &most);
    if (fresh->num_bytes < least || fresh->num_bytes > most) {
        return hd_call_fail(
            c, -HD_E_IO, "Update %s (size=%llu) to a smaller size block %s (size=%llu)", old_name,
            (unsigned long long)b->size_bytes, old_name, (unsigned long long)fresh->num_bytes);
    }
    struct hd_genstamp old_gs = b->gs;
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, q->n_new_nodes);
    size_t count = chain_storages(c, q->new_nodes, q->n_new_nodes, q->storage_i_ds,
                                  q->n_storage_i_ds, storages);
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__UpdateBlock op = HDM__UPDATE_BLOCK__INIT;
    stored.id = b->id.v;
    stored.gs = fresh->generation_stamp;
    stored.size = fresh->num_bytes;
    op.ino = b->file->ino.v;
    op.block = &stored;
    if (count == q->n_new_nodes && count <= HD_REPLICATION_MAX) {
        op.n_chain = count;
        op.chain = hd_chain_uuids(c, storages, count);
    }
    HD_COMMIT(c->m, update_block, UPDATE_BLOCK, &op);
    hd_block_map_chain(c->m, b, old_gs, storages, count);
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__UpdatePipelineResponse, hdw__update_pipeline_response)->base);
}

int hd_op_get_additional_datanode(struct hd_call *c)
{
    const Hdw__GetAdditionalDatanodeRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_call_check_safe_mode(c, "Cannot add datanode; src=%s, blk=blk_%llu_%llu", q->src,
                                      (unsigned long long)q->blk->block_id,
                                      (unsigned long long)q->blk->generation_stamp);
    if (err == 0) {
        err = hd_open_file_of(c, q->src, q->has_file_id ? q->file_id : 0, q->client_name, &file);
    }
    if (err < 0) {
        return err;
    }
    if (q->num_additional_nodes > HD_REPLICATION_MAX) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "%u additional nodes are too many",
                            q->num_additional_nodes);
    }
    size_t room = q->n_existings + q->num_additional_nodes;
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, room);
    Hdw__DatanodeID **ids = HD_TURN_ARRAY(c->m, Hdw__DatanodeID *, q->n_existings);
    for (size_t i = 0; i < q->n_existings; i++) {
        ids[i] = q->existings[i]->id;
    }
    size_t count = chain_storages(c, ids, q->n_existings, q->existing_storage_uuids,
                                  q->n_existing_storage_uuids, storages);
    bool *excluded = HD_TURN_ARRAY(c->m, bool, c->m->nodes.count);
    exclude(c, q->existings, q->n_existings, excluded);
    exclude(c, q->excludes, q->n_excludes, excluded);
    struct hd_placement want = {
        .count = q->num_additional_nodes,
        .size_bytes = file->u.file.block_size_bytes,
        .excluded = excluded,
    };
    count += hd_placement_choose(c->m, &want, storages + count);
    struct hd_blk named = {.id = {q->blk->block_id},
                           .gs = {q->blk->generation_stamp},
                           .size_bytes = q->blk->num_bytes};
    Hdw__GetAdditionalDatanodeResponse *r =
        HD_MSG(c->m, Hdw__GetAdditionalDatanodeResponse, hdw__get_additional_datanode_response);
    r->block = hd_located_block(c->m, &named, UINT64_MAX, storages, count, true);
    return hd_call_done(c, &r->base);
}

/* ---- what readers find ---- */

int hd_op_report_bad_blocks(struct hd_call *c)
{
    const Hdw__ReportBadBlocksRequest *q = c->request;
    for (size_t i = 0; i < q->n_blocks; i++) {
        const Hdw__LocatedBlock *l = q->blocks[i];
        struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){l->b->block_id});
        for (size_t n = 0; b != NULL && b->state == HD_BLOCK_COMPLETE && n < l->n_locs; n++) {
            const struct hd_node *node = hd_nodes_find(&c->m->nodes, l->locs[n]->id->datanode_uuid);
            for (uint32_t k = 0; node != NULL && k < node->storage_count; k++) {
                if (hd_blk_find_replica(b, node->storages[k]) != NULL) {
                    hd_blk_add_bad(c->m, b, node->storages[k], b->gs, b->size_bytes);
                }
            }
        }
        if (b != NULL) {
            hd_repair_check(c->m, b);
        }
    }
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__ReportBadBlocksResponse, hdw__report_bad_blocks_response)->base);
}
