/* ClientProtocol: the server and the cluster; and the small protocols beside it. */
#include "meta/core/op.h"
#include "fs/wire/reserved.h"
#include "ha.pb-c.h"
#include "howdah.pb-c.h"

enum { HD_POLICY_OF_DEFAULTS = 7 };

int hd_op_nothing(struct hd_call *c)
{
    ProtobufCMessage *r = hd_meta_alloc(c->m, c->method->response->sizeof_message);
    protobuf_c_message_init(c->method->response, r);
    return hd_call_done(c, r);
}

int hd_op_unsupported(struct hd_call *c)
{
    return hd_call_fail(c, -HD_E_UNSUPPORTED, "%s is not supported by this server",
                        c->method->name);
}

int hd_op_service_acl_off(struct hd_call *c)
{
    return hd_call_fail(c, -HD_E_UNAUTHORIZED, "Service Level Authorization not enabled!");
}

int hd_op_ha_disabled(struct hd_call *c)
{
    return hd_call_fail(c, -HD_E_HA_DISABLED, "HA for namenode is not enabled");
}

int hd_op_get_server_defaults(struct hd_call *c)
{
    const struct hd_meta_options *o = &c->m->o;
    Hdw__GetServerDefaultsResponse *r =
        HD_MSG(c->m, Hdw__GetServerDefaultsResponse, hdw__get_server_defaults_response);
    Hdw__FsServerDefaults *d = HD_MSG(c->m, Hdw__FsServerDefaults, hdw__fs_server_defaults);
    r->server_defaults = d;
    d->block_size = o->block_size_bytes;
    d->bytes_per_checksum = HD_BYTES_PER_CHECKSUM;
    d->write_packet_size = HD_DEFAULT_PACKET_BYTES;
    d->replication = o->replication;
    d->file_buffer_size = 4096;
    d->has_encrypt_data_transfer = d->has_trash_interval = d->has_checksum_type = true;
    d->has_policy_id = d->has_snapshot_trash_root_enabled = true;
    d->trash_interval = o->trash_minutes;
    d->checksum_type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    d->key_provider_uri = hd_unconst("");
    d->policy_id = HD_POLICY_OF_DEFAULTS;
    return hd_call_done(c, &r->base);
}

static uint64_t count_corrupt(struct hd_meta *m)
{
    uint64_t count = 0;
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (hd_map_next(&m->bad, &cursor, &id, &value)) {
        const struct hd_blk *b = hd_ns_block(&m->ns, (struct hd_block_id){id});
        count += b != NULL && b->state == HD_BLOCK_COMPLETE;
    }
    return count;
}

/* Live blocks but one replica left of a file that asks for one: only counted on request. */
static uint64_t pending_deletions(const struct hd_meta *m)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        count += m->nodes.all[i]->invalidate_count - m->nodes.all[i]->invalidate_head;
    }
    return count;
}

int hd_op_get_fs_stats(struct hd_call *c)
{
    Hdw__GetFsStatsResponse *r = HD_MSG(c->m, Hdw__GetFsStatsResponse, hdw__get_fs_stats_response);
    for (uint32_t i = 0; i < c->m->nodes.storage_count; i++) {
        const struct hd_storage *s = c->m->nodes.storages[i];
        const struct hd_node *node = c->m->nodes.all[s->node];
        if (node->state != HD_NODE_DEAD && node->registered && node->duty == HD_DUTY_IN_SERVICE) {
            r->capacity += s->capacity_bytes;
            r->used += s->used_bytes;
            r->remaining += s->remaining_bytes;
        }
    }
    r->under_replicated = c->m->repairs.low;
    r->corrupt_blocks = count_corrupt(c->m);
    r->missing_blocks = c->m->repairs.counts[HD_REPAIR_MISSING];
    r->has_missing_repl_one_blocks = r->has_blocks_in_future = r->has_pending_deletion_blocks =
        true;
    r->blocks_in_future = c->m->blocks_in_future;
    r->pending_deletion_blocks = pending_deletions(c->m);
    return hd_call_done(c, &r->base);
}

int hd_op_get_fs_replicated_block_stats(struct hd_call *c)
{
    Hdw__GetFsReplicatedBlockStatsResponse *r = HD_MSG(c->m, Hdw__GetFsReplicatedBlockStatsResponse,
                                                       hdw__get_fs_replicated_block_stats_response);
    r->low_redundancy = c->m->repairs.low;
    r->corrupt_blocks = count_corrupt(c->m);
    r->missing_blocks = c->m->repairs.counts[HD_REPAIR_MISSING];
    r->blocks_in_future = c->m->blocks_in_future;
    r->pending_deletion_blocks = pending_deletions(c->m);
    r->has_highest_prio_low_redundancy_blocks = true;
    r->highest_prio_low_redundancy_blocks = c->m->repairs.counts[HD_REPAIR_LAST];
    return hd_call_done(c, &r->base);
}

static bool wanted(const struct hd_node *node, Hdw__DatanodeReportType type)
{
    bool dead = node->state == HD_NODE_DEAD;
    return type == HDW__DATANODE_REPORT_TYPE__REPORT_ALL ||
           (type == HDW__DATANODE_REPORT_TYPE__REPORT_LIVE && !dead && node->registered) ||
           (type == HDW__DATANODE_REPORT_TYPE__REPORT_DEAD && dead) ||
           (type == HDW__DATANODE_REPORT_TYPE__REPORT_DECOMMISSIONING &&
            node->duty == HD_DUTY_DECOMMISSIONING) ||
           (type == HDW__DATANODE_REPORT_TYPE__REPORT_ENTERING_MAINTENANCE &&
            node->duty == HD_DUTY_ENTERING_MAINTENANCE) ||
           (type == HDW__DATANODE_REPORT_TYPE__REPORT_IN_MAINTENANCE &&
            node->duty == HD_DUTY_IN_MAINTENANCE);
}

int hd_op_get_datanode_report(struct hd_call *c)
{
    const Hdw__GetDatanodeReportRequest *q = c->request;
    Hdw__GetDatanodeReportResponse *r =
        HD_MSG(c->m, Hdw__GetDatanodeReportResponse, hdw__get_datanode_report_response);
    r->di = HD_TURN_ARRAY(c->m, Hdw__DatanodeInfo *, c->m->nodes.count);
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        if (wanted(c->m->nodes.all[i], q->type)) {
            r->di[r->n_di++] = hd_node_info(c->m, c->m->nodes.all[i]);
        }
    }
    return hd_call_done(c, &r->base);
}

static Hdw__StorageReport *storage_report(struct hd_call *c, const struct hd_storage *s)
{
    Hdw__StorageReport *r = HD_MSG(c->m, Hdw__StorageReport, hdw__storage_report);
    r->storage_uuid = s->uuid;
    r->has_failed = r->has_capacity = r->has_dfs_used = r->has_remaining = true;
    r->has_block_pool_used = r->has_non_dfs_used = true;
    r->failed = s->failed;
    r->capacity = s->capacity_bytes;
    r->dfs_used = s->used_bytes;
    r->remaining = s->remaining_bytes;
    r->block_pool_used = s->pool_used_bytes;
    r->non_dfs_used = s->non_dfs_used_bytes;
    r->storage = HD_MSG(c->m, Hdw__DatanodeStorage, hdw__datanode_storage);
    r->storage->storage_uuid = s->uuid;
    r->storage->has_state = r->storage->has_storage_type = true;
    r->storage->storage_type = s->type;
    return r;
}

int hd_op_get_datanode_storage_report(struct hd_call *c)
{
    const Hdw__GetDatanodeStorageReportRequest *q = c->request;
    Hdw__GetDatanodeStorageReportResponse *r = HD_MSG(c->m, Hdw__GetDatanodeStorageReportResponse,
                                                      hdw__get_datanode_storage_report_response);
    r->datanode_storage_reports =
        HD_TURN_ARRAY(c->m, Hdw__DatanodeStorageReport *, c->m->nodes.count);
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        struct hd_node *node = c->m->nodes.all[i];
        if (!wanted(node, q->type)) {
            continue;
        }
        Hdw__DatanodeStorageReport *d =
            HD_MSG(c->m, Hdw__DatanodeStorageReport, hdw__datanode_storage_report);
        d->datanode_info = hd_node_info(c->m, node);
        d->storage_reports = HD_TURN_ARRAY(c->m, Hdw__StorageReport *, node->storage_count);
        for (uint32_t s = 0; s < node->storage_count; s++) {
            d->storage_reports[d->n_storage_reports++] =
                storage_report(c, hd_nodes_storage(&c->m->nodes, node->storages[s]));
        }
        r->datanode_storage_reports[r->n_datanode_storage_reports++] = d;
    }
    return hd_call_done(c, &r->base);
}

int hd_op_set_safe_mode(struct hd_call *c)
{
    const Hdw__SetSafeModeRequest *q = c->request;
    static const char *const names[] = {"", "safemode_leave", "safemode_enter", "safemode_get",
                                        "safemode_force_exit"};
    Hdw__SetSafeModeResponse *r =
        HD_MSG(c->m, Hdw__SetSafeModeResponse, hdw__set_safe_mode_response);
    if (q->action != HDW__SAFE_MODE_ACTION__SAFEMODE_GET) {
        int err = hd_check_superuser(
            c, (unsigned)q->action < HD_ARRAY_COUNT(names) ? names[q->action] : "safemode");
        if (err < 0) {
            return err;
        }
    }
    if (q->action == HDW__SAFE_MODE_ACTION__SAFEMODE_ENTER) {
        hd_safe_mode_enter(c->m);
    } else if (q->action == HDW__SAFE_MODE_ACTION__SAFEMODE_LEAVE ||
               q->action == HDW__SAFE_MODE_ACTION__SAFEMODE_FORCE_EXIT) {
        hd_safe_mode_leave(c->m);
    }
    r->result = hd_safe_mode_on(c->m);
    return hd_call_done(c, &r->base);
}

int hd_op_upgrade_status(struct hd_call *c)
{
    Hdw__UpgradeStatusResponse *r =
        HD_MSG(c->m, Hdw__UpgradeStatusResponse, hdw__upgrade_status_response);
    r->upgrade_finalized = true;
    return hd_call_done(c, &r->base);
}

int hd_op_is_upgrade_finalized(struct hd_call *c)
{
    Hdw__IsUpgradeFinalizedResponse *r =
        HD_MSG(c->m, Hdw__IsUpgradeFinalizedResponse, hdw__is_upgrade_finalized_response);
    r->is_upgrade_finalized = true;
    return hd_call_done(c, &r->base);
}

int hd_op_rolling_upgrade(struct hd_call *c)
{
    const Hdw__RollingUpgradeRequest *q = c->request;
    return q->action == HDW__ROLLING_UPGRADE_ACTION__ROLLING_QUERY ? hd_op_nothing(c)
                                                                   : hd_op_unsupported(c);
}

int hd_op_set_balancer_bandwidth(struct hd_call *c)
{
    const Hdw__SetBalancerBandwidthRequest *q = c->request;
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        c->m->nodes.all[i]->bandwidth = q->bandwidth > 0 ? (uint64_t)q->bandwidth : 0;
    }
    return hd_op_nothing(c);
}

int hd_op_get_current_edit_log_txid(struct hd_call *c)
{
    Hdw__GetCurrentEditLogTxidResponse *r =
        HD_MSG(c->m, Hdw__GetCurrentEditLogTxidResponse, hdw__get_current_edit_log_txid_response);
    r->txid = (int64_t)c->ns->txid.v;
    return hd_call_done(c, &r->base);
}

int hd_op_get_transaction_id(struct hd_call *c)
{
    Hdw__GetTransactionIdResponse *r =
        HD_MSG(c->m, Hdw__GetTransactionIdResponse, hdw__get_transaction_id_response);
    r->tx_id = c->ns->txid.v;
    return hd_call_done(c, &r->base);
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static Hdw__OpenFilesBatchResponse *open_file_entry(struct hd_call *c, const struct hd_open_file *f)
{
    Hdw__OpenFilesBatchResponse *e =
        HD_MSG(c->m, Hdw__OpenFilesBatchResponse, hdw__open_files_batch_response);
    e->id = (int64_t)f->file->ino.v;
    e->path = hd_unconst(hd_inode_path(f->file, &c->m->fx->arena));
    e->client_name = f->lease->holder;
    e->client_machine = f->machine;
    return e;
}

int hd_op_list_open_files(struct hd_call *c)
{
    const Hdw__ListOpenFilesRequest *q = c->request;
    struct hd_where top;
    int err = hd_resolve(c, q->path, 0, &top);
    if (err == 0) {
        err = hd_check_superuser(c, "listOpenFiles");
    }
    if (err < 0) {
        return err;
    }
    Hdw__ListOpenFilesResponse *r =
        HD_MSG(c->m, Hdw__ListOpenFilesResponse, hdw__list_open_files_response);
    uint64_t *inos = HD_TURN_ARRAY(c->m, uint64_t, c->ns->open.count);
    size_t count = 0;
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&c->ns->open, &cursor, &ino, &value)) {
        const struct hd_open_file *f = value;
        if ((int64_t)ino > q->id && top.inode != NULL && hd_inode_is_within(f->file, top.inode)) {
            inos[count++] = ino;
        }
    }
    if (count > 1) {
        qsort(inos, count, sizeof(*inos), compare_inos);
    }
    size_t page = HD_MIN(count, (size_t)c->m->o.list_limit);
    r->entries = HD_TURN_ARRAY(c->m, Hdw__OpenFilesBatchResponse *, page);
    for (; r->n_entries < page; r->n_entries++) {
        r->entries[r->n_entries] = open_file_entry(c, hd_map_get(&c->ns->open, inos[r->n_entries]));
    }
    r->has_more = count > page;
    r->types = q->types;
    r->n_types = q->n_types;
    return hd_call_done(c, &r->base);
}

/* Files with a block that no node has, at most 100 in the order of their inodes. */
int hd_op_list_corrupt_file_blocks(struct hd_call *c)
{
    const Hdw__ListCorruptFileBlocksRequest *q = c->request;
    enum { FILES_MAX = 100 };
    struct hd_where top;
    int err = hd_resolve(c, q->path, 0, &top);
    if (err == 0) {
        err = hd_check_superuser(c, "listCorruptFileBlocks");
    }
    if (err < 0) {
        return err;
    }
    Hdw__ListCorruptFileBlocksResponse *r =
        HD_MSG(c->m, Hdw__ListCorruptFileBlocksResponse, hdw__list_corrupt_file_blocks_response);
    Hdw__CorruptFileBlocks *l = HD_MSG(c->m, Hdw__CorruptFileBlocks, hdw__corrupt_file_blocks);
    size_t skip = 0;
    for (const char *p = q->cookie; p != NULL && *p >= '0' && *p <= '9'; p++) {
        skip = skip * 10 + (size_t)(*p - '0');
    }
    l->files = HD_TURN_ARRAY(c->m, char *, FILES_MAX);
    size_t seen = 0;
    HD_LIST_FOR(it, &c->m->repairs.queues[HD_REPAIR_MISSING])
    {
        const struct hd_repair *e = HD_LIST_ENTRY(it, struct hd_repair, link);
        if (seen++ < skip || top.inode == NULL || !hd_inode_is_within(e->block->file, top.inode)) {
            continue;
        }
        if (l->n_files == FILES_MAX) {
            seen--;
            break;
        }
        l->files[l->n_files++] = hd_unconst(hd_inode_path(e->block->file, &c->m->fx->arena));
    }
    l->cookie = hd_call_printf(c, "%zu", seen);
    r->corrupt = l;
    return hd_call_done(c, &r->base);
}

int hd_op_get_groups_for_user(struct hd_call *c)
{
    const Hdw__GetGroupsForUserRequest *q = c->request;
    Hdw__GetGroupsForUserResponse *r =
        HD_MSG(c->m, Hdw__GetGroupsForUserResponse, hdw__get_groups_for_user_response);
    size_t count = 0;
    if (strcmp(q->user, c->event->user) == 0) { /* the shell resolves the caller's groups only */
        while (c->event->groups != NULL && c->event->groups[count] != NULL) {
            count++;
        }
    }
    r->groups = HD_TURN_ARRAY(c->m, char *, count);
    for (; r->n_groups < count; r->n_groups++) {
        r->groups[r->n_groups] = hd_unconst(c->event->groups[r->n_groups]);
    }
    return hd_call_done(c, &r->base);
}

/* ---- howdah.MetaProtocol ---- */

static Hdw__BlockHealth *health_of(struct hd_call *c, struct hd_blk *b)
{
    Hdw__BlockHealth *h = HD_MSG(c->m, Hdw__BlockHealth, hdw__block_health);
    const struct hd_bad_replicas *bad = hd_blk_bad(c->m, b);
    h->block_id = b->id.v;
    h->expected = hd_blk_expected(b);
    struct hd_blk_count count = hd_blk_count(c->m, b);
    h->live = count.readable > 0 ? count.live + count.maintenance : 0;
    h->decommissioned = count.readable > 0 ? count.leaving : 0;
    h->corrupt = bad != NULL ? bad->count : 0;
    h->excess = h->live > h->expected ? h->live - h->expected : 0;
    return h;
}

/* What is not on the data nodes is as well as the metadata: it has what it is to have. */
static Hdw__BlockHealth *health_of_reserved(struct hd_call *c, const struct hd_inode *file,
                                            uint64_t id)
{
    Hdw__BlockHealth *h = HD_MSG(c->m, Hdw__BlockHealth, hdw__block_health);
    h->block_id = id;
    h->expected = h->live = file->replication;
    return h;
}

/* Of each block that getBlockLocations tells of. */
static void fill_health(struct hd_call *c, struct hd_inode *file, Hdw__BlockHealthResponse *r)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    uint32_t count = file->u.file.block_count;
    r->blocks = HD_TURN_ARRAY(c->m, Hdw__BlockHealth *, count + 1);
    if (file->u.file.content_size > 0) {
        r->blocks[r->n_blocks++] = health_of_reserved(c, file, hd_reserved_content(file->ino));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct hd_blk *b = hd_file_block(file, i);
        bool hole = hd_blk_reads_as_hole(c, b);
        if (!hole && f != NULL && f->content_block.v == b->id.v) {
            continue;
        }
        r->blocks[r->n_blocks++] =
            hole ? health_of_reserved(c, file, hd_reserved_hole(i, b->size_bytes))
                 : health_of(c, b);
    }
}

int hd_op_block_health(struct hd_call *c)
{
    const Hdw__BlockHealthRequest *q = c->request;
    struct hd_where w;
    int err = hd_resolve(c, q->path, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL || !hd_inode_is_file(w.inode)) {
        return hd_call_fail(c, -ENOENT,
                            w.inode == NULL ? "File does not exist: %s" : "Path is not a file: %s",
                            q->path);
    }
    Hdw__BlockHealthResponse *r =
        HD_MSG(c->m, Hdw__BlockHealthResponse, hdw__block_health_response);
    fill_health(c, w.inode, r);
    return hd_call_done(c, &r->base);
}
