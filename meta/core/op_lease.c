/*
 * Leases at work: append, truncate, recoverLease, renewLease, and the recovery of last blocks.
 *
 * A file whose writer is gone is closed at once when its last block is complete; otherwise the
 * block gets a new stamp and one of its nodes is told to bring the replicas to one length and to
 * say which (commitBlockSynchronization). Meanwhile meta itself holds the lease.
 */
#include "meta/core/op.h"
#include "meta/core/mem.h"
#include "meta/core/record_make.h"

enum {
    RECOVERY_RETRY_MS = 6000, /* then another node is told, with a newer stamp */
    LEASE_CHECK_MS = 2000,
};

/* ---- recovery ---- */

static struct hd_node *choose_primary(struct hd_meta *m, struct hd_blk *b, uint32_t tries)
{
    struct hd_node *nodes[16];
    uint32_t count = 0;
    for (uint16_t i = 0; i < b->replica_count && count < HD_ARRAY_COUNT(nodes); i++) {
        struct hd_node *node = hd_nodes_of_storage(&m->nodes, hd_blk_replicas(b)[i].storage);
        if (node->state == HD_NODE_DEAD || !node->registered) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && nodes[at - 1]->heard.v < node->heard.v; at--) {
            nodes[at] = nodes[at - 1]; /* heard last comes first */
        }
        nodes[at] = node;
    }
    return count > 0 ? nodes[tries % count] : NULL;
}

void hd_send_recovery(struct hd_meta *m, struct hd_open_file *f)
{
    struct hd_blk *b = hd_file_last_block(f->file);
    struct hd_node *primary = b != NULL ? choose_primary(m, b, f->recovery_tries) : NULL;
    f->recovery_sent = m->now;
    f->recovery_after = m->ns.txid;
    f->grown = false;
    if (primary == NULL) {
        return; /* tried again when its nodes are back */
    }
    f->recovery_tries++;
    f->recovery_node = primary->index;
    HD_MEM_GROW(primary->recoveries, primary->recovery_count, primary->recovery_capacity);
    primary->recoveries[primary->recovery_count++] = f->file->ino;
}

static void start_recovery(struct hd_meta *m, struct hd_inode *file)
{
    Hdm__RecoverBlock op = HDM__RECOVER_BLOCK__INIT;
    op.ino = file->ino.v;
    op.gs = m->ns.next_gs;
    op.holder = hd_unconst(HD_META_HOLDER);
    HD_COMMIT(m, recover_block, RECOVER_BLOCK, &op);
    hd_send_recovery(m, hd_ns_open_file(&m->ns, file));
}

/*
 * May somebody bring more of the open block than those that are here? Not when each node that it
 * was given to has told what it has since it registered.
 */
static bool chain_may_return(const struct hd_meta *m, const struct hd_open_file *f)
{
    bool all_told = f->chain_count > 0;
    for (uint32_t i = 0; i < f->chain_count; i++) {
        const struct hd_node *node = hd_nodes_find(&m->nodes, f->chain[i]);
        all_told = all_told && node != NULL && !hd_node_may_hold_more(m, node);
    }
    return !all_told && hd_nodes_may_return(m);
}

/* May somebody have more of the block than those that the recovery under way has asked? */
static bool may_be_more(const struct hd_meta *m, const struct hd_open_file *f)
{
    return f->grown || chain_may_return(m, f);
}

/*
 * All that is known of the block was stopped, and fewer nodes have it than wrote it: a node without
 * power may have lost what was flushed, and one that is away may have it.
 */
static bool may_be_longer_elsewhere(struct hd_meta *m, const struct hd_open_file *f,
                                    struct hd_blk *b)
{
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (r[i].state != HD_REPLICA_STOPPED) {
            return false;
        }
    }
    return b->replica_count > 0 && b->replica_count < hd_blk_expected(b) && chain_may_return(m, f);
}

int hd_release_lease(struct hd_meta *m, struct hd_inode *file, const char **ret_text)
{
    struct hd_open_file *f = hd_ns_open_file(&m->ns, file);
    struct hd_blk *last = hd_file_last_block(file);
    struct hd_blk *late = hd_first_incomplete(file, false);
    *ret_text = NULL;
    if (late == NULL) {
        hd_close_file(m, file);
        return 1;
    }
    if (late != last || last->state == HD_BLOCK_COMMITTED) {
        *ret_text = "Committed blocks are waiting to be minimally replicated. Try again later.";
        return -HD_E_BEING_CREATED;
    }
    if (last->replica_count == 0 && last->size_bytes == 0 && !f->truncating) {
        if (hd_nodes_may_return(m)) {
            return 0; /* who has it may be on the way: what it holds may be acknowledged */
        }
        /* No node has it: there is nothing to recover. */
        Hdm__AbandonBlock op = HDM__ABANDON_BLOCK__INIT;
        op.ino = file->ino.v;
        op.block = last->id.v;
        HD_COMMIT(m, abandon_block, ABANDON_BLOCK, &op);
        hd_close_file(m, file);
        return 1;
    }
    if (!f->truncating && may_be_longer_elsewhere(m, f, last)) {
        return 0;
    }
    bool under_way = f->recovery_gs.v != 0 && f->recovery_sent.v != 0 &&
                     !hd_meta_past(m, f->recovery_sent, RECOVERY_RETRY_MS);
    if (!under_way) {
        start_recovery(m, file);
    }
    return 0;
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Files whose lease has expired for good, and recoveries that nobody answered. */
void hd_leases_check(struct hd_meta *m)
{
    uint64_t *inos = NULL;
    size_t count = 0;
    size_t capacity = 0;
    if (hd_safe_mode_on(m) || m->now.v < m->next_lease_check.v) {
        return;
    }
    m->next_lease_check.v = m->now.v + LEASE_CHECK_MS;
    HD_LIST_FOR(it, &m->ns.leases.all)
    {
        struct hd_lease *lease = HD_LIST_ENTRY(it, struct hd_lease, in_leases);
        bool expired = hd_meta_past(m, lease->renewed, m->o.lease_hard_ms) ||
                       strcmp(lease->holder, HD_META_HOLDER) == 0;
        HD_LIST_FOR(file_it, &lease->files)
        {
            struct hd_open_file *f = HD_LIST_ENTRY(file_it, struct hd_open_file, in_lease);
            if (expired || f->recovery_gs.v != 0) {
                HD_MEM_GROW(inos, count, capacity);
                inos[count++] = f->file->ino.v;
            }
        }
    }
    if (count > 0) {
        qsort(inos, count, sizeof(*inos), compare_inos);
    }
    for (size_t i = 0; i < count; i++) {
        const char *text;
        hd_release_lease(m, hd_ns_inode(&m->ns, inos[i]), &text);
    }
    free(inos);
}

/* ---- the lease in the way ---- */

static const char *refusal(struct hd_call *c, const struct hd_where *w, const char *holder,
                           const char *what, const char *why)
{
    return hd_call_printf(c, "Failed to %s %s for %s on %s because %s", what, w->path, holder,
                          c->event->peer_ip, why);
}

int hd_check_lease(struct hd_call *c, const struct hd_where *w, const char *holder,
                   const char *what)
{
    struct hd_open_file *f = hd_ns_open_file(c->ns, w->inode);
    if (f == NULL) {
        return 0;
    }
    const char *owner = f->lease->holder;
    if (f->truncating) {
        return hd_call_fail(
            c, -HD_E_BEING_CREATED, "%s",
            refusal(c, w, holder, what, hd_call_printf(c, "%s is being truncated.", w->path)));
    }
    if (strcmp(owner, holder) == 0) {
        return hd_call_fail(
            c, -HD_E_BEING_CREATED, "%s",
            refusal(c, w, holder, what,
                    hd_call_printf(c, "%s is already the current lease holder.", holder)));
    }
    bool ours = strcmp(owner, HD_META_HOLDER) == 0;
    if (ours || hd_meta_past(c->m, f->lease->renewed, c->m->o.lease_soft_ms)) {
        const char *text;
        int closed = hd_release_lease(c->m, w->inode, &text);
        if (closed < 0) {
            return hd_call_fail(c, closed, "%s", refusal(c, w, holder, what, text));
        }
        return closed == 1 ? 0
                           : hd_call_fail(c, -HD_E_RECOVERY, "%s",
                                          refusal(c, w, holder, what,
                                                  "lease recovery is in progress. Try again "
                                                  "later."));
    }
    if (f->recovery_gs.v != 0) {
        return hd_call_fail(
            c, -HD_E_RECOVERY, "%s",
            refusal(c, w, holder, what, "another recovery is in progress. Try again later."));
    }
    return hd_call_fail(c, -HD_E_BEING_CREATED, "%s",
                        refusal(c, w, holder, what,
                                hd_call_printf(c, "this file lease is currently owned by %s on %s",
                                               owner, f->machine)));
}

int hd_op_renew_lease(struct hd_call *c)
{
    const Hdw__RenewLeaseRequest *q = c->request;
    int err = hd_call_check_safe_mode(c, "Cannot renew lease for %s", q->client_name);
    if (err < 0) {
        return err;
    }
    if (q->n_namespaces > 0) {
        return hd_call_fail(c, -HD_E_IO, "namespaces([%s]) should be null or empty",
                            q->namespaces[0]);
    }
    struct hd_lease *lease = hd_leases_find(&c->ns->leases, q->client_name);
    if (lease != NULL) {
        lease->renewed = c->m->now;
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__RenewLeaseResponse, hdw__renew_lease_response)->base);
}

int hd_op_recover_lease(struct hd_call *c)
{
    const Hdw__RecoverLeaseRequest *q = c->request;
    Hdw__RecoverLeaseResponse *r =
        HD_MSG(c->m, Hdw__RecoverLeaseResponse, hdw__recover_lease_response);
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot recover the lease of %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL || !hd_inode_is_file(w.inode)) {
        return hd_call_fail(c, -ENOENT,
                            w.inode == NULL ? "File does not exist: %s" : "Path is not a file: %s",
                            q->src);
    }
    if (!hd_inode_is_open(w.inode)) {
        r->result = true;
        return hd_call_done(c, &r->base);
    }
    err = hd_check_access(c, w.inode, HD_W);
    if (err < 0) {
        return err;
    }
    const char *text;
    int closed = hd_release_lease(c->m, w.inode, &text);
    if (closed < 0) {
        return hd_call_fail(c, closed, "%s", refusal(c, &w, q->client_name, "RECOVER_LEASE", text));
    }
    r->result = closed == 1;
    return hd_call_done(c, &r->base);
}

/* ---- append ---- */

static int check_append(struct hd_call *c, const Hdw__AppendRequest *q, struct hd_where *w)
{
    int err = hd_call_check_safe_mode(c, "Cannot append to file%s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, w);
    }
    if (err < 0) {
        return err;
    }
    if (w->inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Failed to append to non-existent file %s for client %s",
                            q->src, c->event->peer_ip);
    }
    if (!hd_inode_is_file(w->inode)) {
        return hd_call_fail(
            c, -EEXIST, "Cannot append to directory %s; already exists as a directory.", q->src);
    }
    err = hd_check_access(c, w->inode, HD_W);
    if (err == 0) {
        err = hd_check_lease(c, w, q->client_name, "APPEND_FILE");
    }
    if (err < 0) {
        return err;
    }
    struct hd_blk *last = hd_file_last_block(w->inode);
    if (last != NULL && hd_blk_live(c->m, last, false) == 0) {
        return hd_call_fail(c, -HD_E_IO,
                            "append: lastBlock=%s of src=%s is not sufficiently replicated yet.",
                            hd_block_name(c, last->id, last->gs), q->src);
    }
    return 0;
}

/* What append answers about the last block; NULL: the client starts with addBlock. */
static Hdw__LocatedBlock *append_block(struct hd_call *c, struct hd_inode *file, bool new_block)
{
    struct hd_blk *last = hd_file_last_block(file);
    if (last == NULL || last->size_bytes >= file->u.file.block_size_bytes) {
        return NULL;
    }
    if (new_block) {
        return hd_located_block(c->m, last, UINT64_MAX, NULL, 0, true);
    }
    return hd_block_locations(c, last, hd_file_size(file) - last->size_bytes);
}

int hd_op_append(struct hd_call *c)
{
    const Hdw__AppendRequest *q = c->request;
    struct hd_where w;
    int err = check_append(c, q, &w);
    if (err < 0) {
        return err;
    }
    bool new_block = q->has_flag && (q->flag & HDW__CREATE_FLAG__CREATE_FLAG_NEW_BLOCK) != 0;
    struct hd_blk *last = hd_file_last_block(w.inode);
    Hdm__OpenForAppend op = HDM__OPEN_FOR_APPEND__INIT;
    op.ino = w.inode->ino.v;
    op.holder = q->client_name;
    op.machine = hd_unconst(c->event->peer_ip);
    op.reopen_last =
        last != NULL && !new_block && last->size_bytes < w.inode->u.file.block_size_bytes;
    if (op.reopen_last) {
        err = hd_check_quota(
            c, w.inode->parent, 0,
            (int64_t)((w.inode->u.file.block_size_bytes - last->size_bytes) * w.inode->replication),
            NULL);
        if (err < 0) {
            return err;
        }
    }
    HD_COMMIT(c->m, open_for_append, OPEN_FOR_APPEND, &op);
    if (op.reopen_last) {
        hd_block_map_reopened(c->m, last);
    }
    Hdw__AppendResponse *r = HD_MSG(c->m, Hdw__AppendResponse, hdw__append_response);
    r->stat = hd_status(c, w.inode, false, false);
    r->block = append_block(c, w.inode, new_block);
    return hd_call_done(c, &r->base);
}

/* ---- truncate ---- */

static int check_truncate(struct hd_call *c, const Hdw__TruncateRequest *q, struct hd_where *w)
{
    int err = hd_call_check_safe_mode(c, "Cannot truncate for %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, w);
    }
    if (err < 0) {
        return err;
    }
    if (w->inode == NULL || !hd_inode_is_file(w->inode)) {
        return hd_call_fail(c, -ENOENT,
                            w->inode == NULL ? "File does not exist: %s" : "Path is not a file: %s",
                            q->src);
    }
    return hd_check_access(c, w->inode, HD_W);
}

/* The same truncation is under way already. */
static bool is_repeated(const struct hd_open_file *f, const Hdw__TruncateRequest *q)
{
    if (f == NULL || !f->truncating) {
        return false;
    }
    const struct hd_blk *last = hd_file_last_block(f->file);
    return hd_file_size(f->file) - last->size_bytes + f->truncate_size_bytes == q->new_length;
}

int hd_op_truncate(struct hd_call *c)
{
    const Hdw__TruncateRequest *q = c->request;
    Hdw__TruncateResponse *r = HD_MSG(c->m, Hdw__TruncateResponse, hdw__truncate_response);
    struct hd_where w;
    int err = check_truncate(c, q, &w);
    if (err < 0) {
        return err;
    }
    if (is_repeated(hd_ns_open_file(c->ns, w.inode), q)) {
        return hd_call_done(c, &r->base);
    }
    err = hd_check_lease(c, &w, q->client_name, "TRUNCATE_FILE");
    if (err < 0) {
        return err;
    }
    uint64_t size = hd_file_size(w.inode);
    if (q->new_length > size) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "Cannot truncate to a larger file size. Current size: %llu, truncate "
                            "size: %llu.",
                            (unsigned long long)size, (unsigned long long)q->new_length);
    }
    r->result = true;
    if (q->new_length == size) {
        return hd_call_done(c, &r->base);
    }
    uint64_t start = 0; /* of the block that the new end is in */
    struct hd_blk *cut = NULL;
    for (uint32_t i = 0; start < q->new_length; i++) {
        cut = hd_file_block(w.inode, i);
        if (start + cut->size_bytes > q->new_length) {
            break;
        }
        start += cut->size_bytes;
        cut = NULL;
    }
    Hdm__Truncate op = HDM__TRUNCATE__INIT;
    op.ino = w.inode->ino.v;
    op.size = q->new_length;
    if (cut != NULL) {
        op.has_recovery_gs = true;
        op.recovery_gs = c->ns->next_gs;
        op.holder = q->client_name;
        op.machine = hd_unconst(c->event->peer_ip);
    }
    HD_COMMIT(c->m, truncate, TRUNCATE, &op);
    if (cut != NULL) {
        hd_block_map_reopened(c->m, cut);
        hd_send_recovery(c->m, hd_ns_open_file(c->ns, w.inode));
        r->result = false;
    }
    return hd_call_done(c, &r->base);
}

/* ---- the outcome of a recovery ---- */

static size_t target_storages(struct hd_call *c, const Hdw__CommitBlockSynchronizationRequest *q,
                              uint16_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < q->n_new_target_storages; i++) {
        const struct hd_storage *s = hd_nodes_find_storage(&c->m->nodes, q->new_target_storages[i]);
        if (s != NULL) {
            out[count++] = s->index;
        }
    }
    return count;
}

static int check_synchronization(struct hd_call *c, const Hdw__CommitBlockSynchronizationRequest *q,
                                 struct hd_blk **ret)
{
    struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){q->block->block_id});
    *ret = NULL;
    if (b == NULL) {
        return q->delete_block
                   ? 0
                   : hd_call_fail(c, -HD_E_IO, "Block (=%s:blk_%llu_%llu) not found",
                                  q->block->pool_id, (unsigned long long)q->block->block_id,
                                  (unsigned long long)q->block->generation_stamp);
    }
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    if (f == NULL || b->state != HD_BLOCK_OPEN) {
        return 0; /* it was done before */
    }
    if (f->recovery_gs.v != q->new_gen_stamp) {
        return hd_call_fail(
            c, -HD_E_IO,
            "The recovery id %llu does not match current recovery id %llu for block "
            "%s",
            (unsigned long long)q->new_gen_stamp, (unsigned long long)f->recovery_gs.v,
            hd_block_name(c, b->id, b->gs));
    }
    if (q->delete_block && b->size_bytes > 0 && may_be_more(c->m, f)) {
        return hd_call_fail(c, -HD_E_IO,
                            "Block %s had %llu bytes: it is not deleted while nodes are away",
                            hd_block_name(c, b->id, b->gs), (unsigned long long)b->size_bytes);
    }
    if (!q->delete_block && !f->truncating && q->new_length < b->size_bytes &&
        may_be_more(c->m, f)) {
        return hd_call_fail(c, -HD_E_IO,
                            "Block recovery of %s to %llu bytes: %llu were told before, and nodes "
                            "are away that may have them",
                            hd_block_name(c, b->id, b->gs), (unsigned long long)q->new_length,
                            (unsigned long long)b->size_bytes);
    }
    if (!q->delete_block && q->new_length > b->file->u.file.block_size_bytes) {
        return hd_call_fail(c, -HD_E_IO, "Block recovery to %llu bytes: the block holds %llu",
                            (unsigned long long)q->new_length,
                            (unsigned long long)b->file->u.file.block_size_bytes);
    }
    *ret = b;
    return 0;
}

/* Is every block but the last complete? */
static bool waits_for_last_only(const struct hd_inode *file)
{
    for (uint32_t i = 0; i + 1 < file->u.file.block_count; i++) {
        if (hd_file_block(file, i)->state != HD_BLOCK_COMPLETE) {
            return false;
        }
    }
    return true;
}

/* One record: a crash leaves the file open with a block under recovery, or closed. */
static void commit_recovered(struct hd_call *c, struct hd_blk *b,
                             const Hdw__CommitBlockSynchronizationRequest *q,
                             const uint16_t *storages, size_t count)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    struct hd_recovered outcome = {.old_gs = b->gs, .storages = storages, .count = count};
    struct hd_early_report *early = HD_TURN_ARRAY(c->m, struct hd_early_report, f->early_count);
    if (f->early_count > 0) {
        memcpy(early, f->early, sizeof(*early) * f->early_count);
    }
    outcome.early = early;
    outcome.early_count = f->early_count;
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__UpdateBlock op = HDM__UPDATE_BLOCK__INIT;
    stored.id = b->id.v;
    stored.gs = q->new_gen_stamp;
    stored.size = q->new_length;
    op.ino = b->file->ino.v;
    op.block = &stored;
    op.commit = true;
    op.has_close = op.close = q->close_file && waits_for_last_only(b->file);
    HD_COMMIT(c->m, update_block, UPDATE_BLOCK, &op);
    hd_block_map_recovered(c->m, b, &outcome);
}

int hd_op_commit_block_synchronization(struct hd_call *c)
{
    const Hdw__CommitBlockSynchronizationRequest *q = c->request;
    struct hd_blk *b = NULL;
    int err = hd_call_check_safe_mode(c, "Cannot commitBlockSynchronization while in safe mode");
    if (err == 0) {
        err = check_synchronization(c, q, &b);
    }
    if (err < 0) {
        return err;
    }
    struct hd_inode *file = b != NULL ? b->file : NULL;
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, q->n_new_target_storages);
    size_t count = target_storages(c, q, storages);
    if (b != NULL && q->delete_block) {
        Hdm__AbandonBlock op = HDM__ABANDON_BLOCK__INIT;
        op.ino = file->ino.v;
        op.block = b->id.v;
        HD_COMMIT(c->m, abandon_block, ABANDON_BLOCK, &op);
    } else if (b != NULL && count == 0) {
        return hd_call_fail(c, -HD_E_IO, "Block recovery of %s names no storage that is known",
                            hd_block_name(c, b->id, b->gs));
    } else if (b != NULL) {
        commit_recovered(c, b, q, storages, count);
    }
    if (file != NULL && q->close_file && hd_inode_is_open(file) &&
        hd_first_incomplete(file, false) == NULL) {
        hd_close_file(c->m, file);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__CommitBlockSynchronizationResponse,
                                   hdw__commit_block_synchronization_response)
                                ->base);
}
