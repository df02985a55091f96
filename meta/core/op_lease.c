/*
 * Leases at work: append, truncate, recoverLease, renewLease, and the recovery of last blocks.
 *
 * A file whose writer is gone is closed at once when its last block is complete; otherwise the
 * block gets a new stamp and one of its nodes is told to bring the replicas to one length and to
 * say which (commitBlockSynchronization). Meanwhile meta itself holds the lease.
 */
#include "meta/core/op.h"
#include "meta/core/caps.h"
#include "meta/core/layout.h"
#include "meta/core/mem.h"
#include "meta/core/open_file.h"
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

void hd_send_recovery(struct hd_meta *m, struct hd_open_block *o)
{
    struct hd_node *primary = choose_primary(m, o->block, o->recovery_tries);
    o->recovery_sent = m->now;
    o->recovery_after = m->ns.txid;
    o->grown = false;
    if (primary == NULL) {
        return; /* tried again when its nodes are back */
    }
    o->recovery_tries++;
    o->recovery_node = primary->index;
    HD_MEM_GROW(primary->recoveries, primary->recovery_count, primary->recovery_capacity);
    primary->recoveries[primary->recovery_count++] = o->block->id;
}

static void start_recovery(struct hd_meta *m, struct hd_blk *b, const char *holder)
{
    Hdm__RecoverBlock op = HDM__RECOVER_BLOCK__INIT;
    op.ino = b->file->ino.v;
    op.gs = m->ns.next_gs;
    op.holder = hd_unconst(holder);
    op.has_block = true;
    op.block = b->id.v;
    HD_COMMIT(m, recover_block, RECOVER_BLOCK, &op);
    hd_send_recovery(m, hd_open_block_of(&m->ns, b));
}

/*
 * May somebody bring more of the open block than those that are here? Not when each node that it
 * was given to has told what it has since it registered.
 */
static bool chain_may_return(const struct hd_meta *m, const struct hd_open_block *o)
{
    bool all_told = o->chain_count > 0;
    for (uint32_t i = 0; i < o->chain_count; i++) {
        const struct hd_node *node = hd_nodes_find(&m->nodes, o->chain[i]);
        all_told = all_told && node != NULL && !hd_node_may_hold_more(m, node);
    }
    return !all_told && hd_nodes_may_return(m);
}

/* May somebody have more of the block than those that the recovery under way has asked? */
static bool may_be_more(const struct hd_meta *m, const struct hd_open_block *o)
{
    return o->grown || chain_may_return(m, o);
}

/*
 * All that is known of the block was stopped, and fewer nodes have it than wrote it: a node without
 * power may have lost what was flushed, and one that is away may have it.
 */
static bool may_be_longer_elsewhere(struct hd_meta *m, const struct hd_open_block *o,
                                    struct hd_blk *b)
{
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (r[i].state != HD_REPLICA_STOPPED) {
            return false;
        }
    }
    return b->replica_count > 0 && b->replica_count < hd_blk_expected(b) && chain_may_return(m, o);
}

static void abandon(struct hd_meta *m, struct hd_blk *b)
{
    Hdm__AbandonBlock op = HDM__ABANDON_BLOCK__INIT;
    op.ino = b->file->ino.v;
    op.block = b->id.v;
    HD_COMMIT(m, abandon_block, ABANDON_BLOCK, &op);
}

/* Brings an open block to an end: its recovery is under way, or waits, or there is no block. */
static void recover(struct hd_meta *m, struct hd_blk *b, const char *holder)
{
    struct hd_open_block *o = hd_open_block_of(&m->ns, b);
    bool nothing_told = b->size_bytes == 0 || o->fresh;
    if (b->replica_count == 0 && nothing_told && !o->truncating) {
        if (!hd_nodes_may_return(
                m)) {      /* else who has it may be on the way: it may be acknowledged */
            abandon(m, b); /* no node has it: there is nothing to recover */
        }
        return;
    }
    if (!o->truncating && may_be_longer_elsewhere(m, o, b)) {
        return;
    }
    bool under_way = o->recovery_gs.v != 0 && o->recovery_sent.v != 0 &&
                     !hd_meta_past(m, o->recovery_sent, RECOVERY_RETRY_MS);
    if (!under_way) {
        start_recovery(m, b, holder);
    }
}

/* The open blocks of a file in its order; in the effects' arena. */
static size_t open_blocks_of(struct hd_meta *m, const struct hd_open_file *f, struct hd_blk ***ret)
{
    struct hd_blk **all = HD_TURN_ARRAY(m, struct hd_blk *, f->block_count);
    size_t count = 0;
    for (uint32_t i = 0; i < f->file->u.file.block_count && count < f->block_count; i++) {
        struct hd_blk *b = hd_file_block(f->file, i);
        if (b->state == HD_BLOCK_OPEN) {
            all[count++] = b;
        }
    }
    *ret = all;
    return count;
}

int hd_release_lease(struct hd_meta *m, struct hd_inode *file, const char **ret_text)
{
    struct hd_blk **all;
    size_t count = open_blocks_of(m, hd_ns_open_file(&m->ns, file), &all);
    *ret_text = NULL;
    for (size_t i = 0; i < count; i++) {
        recover(m, all[i], HD_META_HOLDER);
    }
    if (hd_first_incomplete(file, false) == NULL) {
        hd_close_file(m, file);
        return 1;
    }
    if (count == 0) {
        *ret_text = "Committed blocks are waiting to be minimally replicated. Try again later.";
        return -HD_E_BEING_CREATED;
    }
    return 0;
}

void hd_leases_holder_gone(struct hd_meta *m, const char *holder)
{
    const struct hd_lease *lease = hd_leases_find(&m->ns.leases, holder);
    if (lease == NULL) {
        return;
    }
    HD_LIST_FOR(it, &lease->files)
    {
        HD_LIST_ENTRY(it, struct hd_open_file, in_lease)->abandoned = true;
    }
    m->next_lease_check = m->now;
    hd_leases_check(m);
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- closed blocks of which nobody has a whole replica ---- */

/*
 * Every replica that is known lost writes when its machine went down. When all are here that are to
 * be expected they are compared, and become the same bytes under a new stamp.
 */
static bool may_recover_dirty(struct hd_meta *m, struct hd_blk *b)
{
    return b->replica_count >= hd_blk_expected(b) || !hd_nodes_may_return(m);
}

/* Is the block still one that needs it? */
static bool is_dirty(struct hd_meta *m, struct hd_blk *b)
{
    if (b == NULL || b->state == HD_BLOCK_OPEN || hd_blk_live(m, b, false) > 0) {
        return false;
    }
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (r[i].state == HD_REPLICA_STOPPED) {
            return true;
        }
    }
    return false;
}

static void recover_dirty(struct hd_meta *m)
{
    uint64_t *ids = HD_TURN_ARRAY(m, uint64_t, m->dirty.count);
    size_t count = 0;
    size_t cursor = 0;
    void *value;
    while (m->dirty.count > 0 && hd_map_next(&m->dirty, &cursor, &ids[count], &value)) {
        count++;
    }
    if (count > 1) { /* no order of the map gets out */
        qsort(ids, count, sizeof(*ids), compare_inos);
    }
    for (size_t i = 0; i < count; i++) {
        struct hd_blk *b = hd_ns_block(&m->ns, (struct hd_block_id){ids[i]});
        if (!is_dirty(m, b)) {
            hd_map_remove(&m->dirty, ids[i]);
        } else if (may_recover_dirty(m, b)) {
            const struct hd_open_file *f = hd_ns_open_file(&m->ns, b->file);
            hd_map_remove(&m->dirty, ids[i]);
            hd_repair_forget(m, b);
            start_recovery(m, b, f != NULL ? f->lease->holder : HD_META_HOLDER);
        }
    }
}

/* Recoveries of a file whose writer is there: of a truncate, and of what its nodes lost. */
static void retry_recoveries(struct hd_meta *m, struct hd_open_file *f)
{
    struct hd_blk **all;
    size_t count = open_blocks_of(m, f, &all);
    for (size_t i = 0; i < count; i++) {
        if (hd_open_file_find(f, all[i])->recovery_gs.v != 0) {
            recover(m, all[i], f->lease->holder);
        }
    }
}

static void check_file(struct hd_meta *m, struct hd_inode *file)
{
    struct hd_open_file *f = hd_ns_open_file(&m->ns, file);
    const char *text;
    if (f->abandoned || strcmp(f->lease->holder, HD_META_HOLDER) == 0 ||
        hd_meta_past(m, f->lease->renewed, m->o.lease_hard_ms)) {
        hd_release_lease(m, file, &text);
    } else {
        retry_recoveries(m, f);
    }
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
            if (expired || f->abandoned || hd_open_file_recovers(f)) {
                HD_MEM_GROW(inos, count, capacity);
                inos[count++] = f->file->ino.v;
            }
        }
    }
    if (count > 0) {
        qsort(inos, count, sizeof(*inos), compare_inos);
    }
    for (size_t i = 0; i < count; i++) {
        check_file(m, hd_ns_inode(&m->ns, inos[i]));
    }
    free(inos);
    recover_dirty(m);
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
    if (hd_open_file_truncates(f)) {
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
    bool ours = f->abandoned || strcmp(owner, HD_META_HOLDER) == 0;
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
    if (hd_open_file_recovers(f)) {
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
        err = hd_caps_want(c, w->inode, HD_CAP_WRITE);
    }
    if (err == 0) {
        err = hd_check_lease(c, w, q->client_name, "APPEND_FILE");
    }
    if (err != 0) {
        return err;
    }
    struct hd_blk *last = hd_file_last_block(w->inode);
    if (last != NULL && !hd_blk_is_hole(last) && hd_blk_live(c->m, last, false) == 0) {
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
    if (last == NULL || hd_blk_is_hole(last) || last->size_bytes >= file->u.file.block_size_bytes) {
        return NULL; /* behind content or a hole, which stay as they are, as behind a full block */
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
    if (err != 0) {
        return err;
    }
    bool new_block = q->has_flag && (q->flag & HDW__CREATE_FLAG__CREATE_FLAG_NEW_BLOCK) != 0;
    struct hd_blk *last = hd_file_last_block(w.inode);
    Hdm__OpenForAppend op = HDM__OPEN_FOR_APPEND__INIT;
    op.ino = w.inode->ino.v;
    op.holder = q->client_name;
    op.machine = hd_unconst(c->event->peer_ip);
    op.reopen_last = last != NULL && !hd_blk_is_hole(last) && !new_block &&
                     last->size_bytes < w.inode->u.file.block_size_bytes;
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
        hd_block_map_reopened(c->m, last, last->size_bytes);
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
static bool is_repeated(const struct hd_call *c, const struct hd_inode *file, uint64_t new_length)
{
    const struct hd_blk *last = hd_file_last_block(file);
    const struct hd_open_block *o = hd_open_block_of(c->ns, last);
    return o != NULL && o->truncating &&
           hd_file_size(file) - last->size_bytes + o->truncate_size_bytes == new_length;
}

/* A hole or what is kept in the metadata is cut by the record alone. */
static void cut_at_once(struct hd_call *c, struct hd_inode *file, uint64_t size)
{
    Hdm__Resize op = HDM__RESIZE__INIT;
    op.ino = file->ino.v;
    op.size = size;
    HD_COMMIT(c->m, resize, RESIZE, &op);
}

static bool cut_by_recovery(struct hd_call *c, const Hdw__TruncateRequest *q, struct hd_inode *file,
                            struct hd_blk *cut)
{
    Hdm__Truncate op = HDM__TRUNCATE__INIT;
    op.ino = file->ino.v;
    op.size = q->new_length;
    if (cut != NULL) {
        op.has_recovery_gs = true;
        op.recovery_gs = c->ns->next_gs;
        op.holder = q->client_name;
        op.machine = hd_unconst(c->event->peer_ip);
    }
    HD_COMMIT(c->m, truncate, TRUNCATE, &op);
    if (cut != NULL) {
        hd_block_map_reopened(c->m, cut, cut->size_bytes);
        hd_send_recovery(c->m, hd_open_block_of(c->ns, cut));
    }
    return cut == NULL;
}

/* The answer: is it done? */
static bool cut_file(struct hd_call *c, const Hdw__TruncateRequest *q, struct hd_inode *file)
{
    uint32_t index;
    uint64_t start;
    bool in_block = hd_file_find(file, q->new_length, &index, &start);
    struct hd_blk *b = in_block && start < q->new_length ? hd_file_block(file, index) : NULL;
    if ((b != NULL && hd_blk_is_hole(b)) || q->new_length < file->u.file.content_size) {
        cut_at_once(c, file, q->new_length);
        return true;
    }
    return cut_by_recovery(c, q, file, b);
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
    if (is_repeated(c, w.inode, q->new_length)) {
        return hd_call_done(c, &r->base);
    }
    err = hd_caps_want(c, w.inode, HD_CAP_WRITE);
    if (err == 0) {
        err = hd_check_lease(c, &w, q->client_name, "TRUNCATE_FILE");
    }
    if (err != 0) {
        return err;
    }
    uint64_t size = hd_file_size(w.inode);
    if (q->new_length > size) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "Cannot truncate to a larger file size. Current size: %llu, truncate "
                            "size: %llu.",
                            (unsigned long long)size, (unsigned long long)q->new_length);
    }
    r->result = q->new_length == size || cut_file(c, q, w.inode);
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

static int check_length(struct hd_call *c, const Hdw__CommitBlockSynchronizationRequest *q,
                        const struct hd_open_block *o)
{
    const struct hd_blk *b = o->block;
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    const char *name = hd_block_name(c, b->id, b->gs);
    uint64_t exact = hd_open_block_length(f, o);
    if (q->delete_block && b->size_bytes > 0 && may_be_more(c->m, o)) {
        return hd_call_fail(c, -HD_E_IO,
                            "Block %s had %llu bytes: it is not deleted while nodes are away", name,
                            (unsigned long long)b->size_bytes);
    }
    if (q->delete_block || f->content_block.v == b->id.v) {
        return 0;
    }
    if (!o->truncating && q->new_length < b->size_bytes && may_be_more(c->m, o)) {
        return hd_call_fail(c, -HD_E_IO,
                            "Block recovery of %s to %llu bytes: %llu were told before, and nodes "
                            "are away that may have them",
                            name, (unsigned long long)q->new_length,
                            (unsigned long long)b->size_bytes);
    }
    if (o->overwritten && exact != UINT64_MAX && q->new_length != exact) {
        return hd_call_fail(c, -HD_E_IO, "Block recovery of %s to %llu bytes: it has %llu", name,
                            (unsigned long long)q->new_length, (unsigned long long)exact);
    }
    if (q->new_length > b->file->u.file.block_size_bytes) {
        return hd_call_fail(c, -HD_E_IO, "Block recovery to %llu bytes: the block holds %llu",
                            (unsigned long long)q->new_length,
                            (unsigned long long)b->file->u.file.block_size_bytes);
    }
    return 0;
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
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    if (o == NULL) {
        return 0; /* it was done before */
    }
    if (o->recovery_gs.v != q->new_gen_stamp) {
        return hd_call_fail(
            c, -HD_E_IO,
            "The recovery id %llu does not match current recovery id %llu for block "
            "%s",
            (unsigned long long)q->new_gen_stamp, (unsigned long long)o->recovery_gs.v,
            hd_block_name(c, b->id, b->gs));
    }
    int err = check_length(c, q, o);
    *ret = err == 0 ? b : NULL;
    return err;
}

/* Is every block but this one complete? */
static bool waits_for_only(const struct hd_inode *file, const struct hd_blk *b)
{
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        const struct hd_blk *other = hd_file_block(file, i);
        if (other != b && other->state != HD_BLOCK_COMPLETE) {
            return false;
        }
    }
    return true;
}

/* The file is closed when its writer is gone, or had it cut and nothing else. */
static bool closes(const struct hd_call *c, const struct hd_blk *b)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    const struct hd_open_block *o = hd_open_file_find(f, b);
    return f->abandoned || o->truncating || !o->overwritten ||
           strcmp(f->lease->holder, HD_META_HOLDER) == 0;
}

/* One record: a crash leaves the file open with a block under recovery, or closed. */
static void commit_recovered(struct hd_call *c, struct hd_blk *b, uint64_t size, bool close,
                             uint16_t *storages, size_t count)
{
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    struct hd_recovered outcome = {.old_gs = b->gs,
                                   .storages = storages,
                                   .count = count,
                                   .early = hd_block_map_early(c->m, b)};
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__UpdateBlock op = HDM__UPDATE_BLOCK__INIT;
    stored.id = b->id.v;
    stored.gs = o->recovery_gs.v;
    stored.size = size;
    op.ino = b->file->ino.v;
    op.block = &stored;
    op.commit = true;
    op.has_close = op.close = close && waits_for_only(b->file, b);
    HD_COMMIT(c->m, update_block, UPDATE_BLOCK, &op);
    hd_block_map_recovered(c->m, b, &outcome);
}

/* The block is less than what was to be kept of it: content that is still there, or nothing at all.
 */
static bool is_nothing(const struct hd_call *c, const struct hd_blk *b,
                       const Hdw__CommitBlockSynchronizationRequest *q)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, b->file);
    const struct hd_open_block *o = hd_open_file_find(f, b);
    if (f->content_block.v != b->id.v) {
        return q->delete_block && (!o->overwritten || o->fresh || b->size_bytes == 0);
    }
    uint64_t least = b->file->u.file.content_size;
    uint64_t most = least + hd_file_room_behind(b->file, hd_file_index_of(b->file, b));
    return q->delete_block || q->new_length < least || q->new_length > most;
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
    bool close = b != NULL && q->close_file && closes(c, b);
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, q->n_new_target_storages);
    size_t count = target_storages(c, q, storages);
    if (b != NULL && is_nothing(c, b, q)) {
        abandon(c->m, b);
    } else if (b != NULL &&
               q->delete_block) { /* nobody has what it had: it is missing, and known */
        commit_recovered(c, b, b->size_bytes, close, storages, 0);
    } else if (b != NULL && count == 0) {
        return hd_call_fail(c, -HD_E_IO, "Block recovery of %s names no storage that is known",
                            hd_block_name(c, b->id, b->gs));
    } else if (b != NULL) {
        commit_recovered(c, b, q->new_length, close, storages, count);
    }
    if (close && hd_inode_is_open(file) && hd_first_incomplete(file, false) == NULL) {
        hd_close_file(c->m, file);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__CommitBlockSynchronizationResponse,
                                   hdw__commit_block_synchronization_response)
                                ->base);
}
