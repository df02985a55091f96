/* howdah admin report: capacity, blocks and data nodes, as dfsadmin -report shows them. */
#include "tools/admin.h"
#include "tools/fs_format.h"

#include <inttypes.h>
#include <jansson.h>

struct report {
    bool safe_mode;
    Hdw__GetFsStatsResponse *stats;
    Hdw__GetFsReplicatedBlockStatsResponse *blocks;
    Hdw__GetDatanodeReportResponse *live;
    Hdw__GetDatanodeReportResponse *dead;
    Hdw__GetNodesResponse *nodes; /* what Hadoop's report has no words for */
};

static int ask_report(struct hd_admin *a, struct report *r)
{
    int rc = hd_meta_fs_stats(&a->meta, &r->stats);
    if (rc == 0) {
        rc = hd_meta_safe_mode(&a->meta, HDW__SAFE_MODE_ACTION__SAFEMODE_GET, &r->safe_mode);
    }
    if (rc == 0) {
        rc = hd_meta_block_stats(&a->meta, &r->blocks);
    }
    if (rc == 0) {
        rc = hd_meta_nodes(&a->meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &r->live);
    }
    if (rc == 0) {
        rc = hd_meta_nodes(&a->meta, HDW__DATANODE_REPORT_TYPE__REPORT_DEAD, &r->dead);
    }
    return rc == 0 ? hd_meta_get_nodes(&a->meta, &r->nodes) : rc;
}

static const Hdw__NodeReport *find_report(const struct report *r, const char *uuid)
{
    for (size_t i = 0; i < r->nodes->n_nodes; i++) {
        if (strcmp(r->nodes->nodes[i]->uuid, uuid) == 0) {
            return r->nodes->nodes[i];
        }
    }
    return NULL;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_size(const char *label, uint64_t bytes)
{
    char text[HD_SIZE_TEXT_BYTES];
    printf("%s: %" PRIu64 " (%s)\n", label, bytes, hd_format_size(bytes, "B", 2, text));
}

static const char *admin_state(const Hdw__DatanodeInfo *n)
{
    switch (n->admin_state) {
    case HDW__ADMIN_STATE__ADMIN_NORMAL:
        return "Normal";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSION_INPROGRESS:
        return "Decommission in progress";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSIONED:
        return "Decommissioned";
    case HDW__ADMIN_STATE__ADMIN_ENTERING_MAINTENANCE:
        return "Entering Maintenance";
    case HDW__ADMIN_STATE__ADMIN_IN_MAINTENANCE:
        return "In Maintenance";
    case _HDW__ADMIN_STATE_IS_INT_SIZE:
        break;
    }
    return "Unknown";
}

static void print_time(const char *label, uint64_t time_ms)
{
    char text[HD_TIME_TEXT_BYTES];
    if (time_ms == 0) {
        printf("%s: Never\n", label);
        return;
    }
    printf("%s: %s\n", label,
           hd_format_time((int64_t)time_ms, "%a %b %d %H:%M:%S %Z %Y", false, text));
}

static void print_node(const Hdw__DatanodeInfo *n, const Hdw__NodeReport *more)
{
    printf("Name: %s:%u (%s)\nHostname: %s\n", n->id->ip_addr, n->id->xfer_port, n->id->host_name,
           n->id->host_name);
    if (n->location != NULL && strcmp(n->location, "/default-rack") != 0) {
        printf("Rack: %s\n", n->location);
    }
    printf("Decommission Status : %s\n", admin_state(n));
    print_size("Configured Capacity", n->capacity);
    print_size("DFS Used", n->dfs_used);
    print_size("Non DFS Used", n->non_dfs_used);
    print_size("DFS Remaining", n->remaining);
    printf("DFS Used%%: %.2f%%\nDFS Remaining%%: %.2f%%\n", percent(n->dfs_used, n->capacity),
           percent(n->remaining, n->capacity));
    print_size("Configured Cache Capacity", n->cache_capacity);
    print_size("Cache Used", n->cache_used);
    print_size("Cache Remaining", n->cache_capacity - HD_MIN(n->cache_used, n->cache_capacity));
    printf("Cache Used%%: %.2f%%\nCache Remaining%%: %.2f%%\n",
           n->cache_capacity != 0 ? percent(n->cache_used, n->cache_capacity) : 100.0,
           n->cache_capacity != 0 ? percent(n->cache_capacity - n->cache_used, n->cache_capacity)
                                  : 0.0);
    printf("Xceivers: %u\n", n->xceiver_count);
    print_time("Last contact", n->last_update);
    print_time("Last Block Report", n->last_block_report_time);
    printf("Num of Blocks: %u\n", n->num_blocks);
    if (more != NULL && more->last_scan_ms != 0) {
        print_time("Last Block Scan", more->last_scan_ms);
    }
    if (more != NULL && more->blocks_to_move != 0) {
        printf("Blocks to Move: %" PRIu64 "\n", more->blocks_to_move);
    }
    if (more != NULL && more->has_until_ms) {
        print_time("Maintenance Until", more->until_ms);
    }
    printf("\n\n");
}

static void print_report(const struct report *r)
{
    const Hdw__GetFsStatsResponse *s = r->stats;
    uint64_t present = s->used + s->remaining;
    if (r->safe_mode) {
        printf("Safe mode is ON\n");
    }
    print_size("Configured Capacity", s->capacity);
    print_size("Present Capacity", present);
    print_size("DFS Remaining", s->remaining);
    print_size("DFS Used", s->used);
    printf("DFS Used%%: %.2f%%\n", percent(s->used, present));
    printf("Replicated Blocks:\n\tUnder replicated blocks: %" PRIu64
           "\n\tBlocks with corrupt replicas: %" PRIu64 "\n\tMissing blocks: %" PRIu64
           "\n\tMissing blocks (with replication factor 1): %" PRIu64
           "\n\tLow redundancy blocks with highest priority to recover: %" PRIu64
           "\n\tPending deletion blocks: %" PRIu64 "\n",
           r->blocks->low_redundancy, r->blocks->corrupt_blocks, r->blocks->missing_blocks,
           r->blocks->missing_repl_one_blocks, r->blocks->highest_prio_low_redundancy_blocks,
           r->blocks->pending_deletion_blocks);
    printf("\n-------------------------------------------------\n");
    if (r->live->n_di > 0) {
        printf("Live datanodes (%zu):\n\n", r->live->n_di);
    }
    for (size_t i = 0; i < r->live->n_di; i++) {
        print_node(r->live->di[i], find_report(r, r->live->di[i]->id->datanode_uuid));
    }
    if (r->dead->n_di > 0) {
        printf("Dead datanodes (%zu):\n\n", r->dead->n_di);
    }
    for (size_t i = 0; i < r->dead->n_di; i++) {
        print_node(r->dead->di[i], find_report(r, r->dead->di[i]->id->datanode_uuid));
    }
}

/* "decommissioned", "in_maintenance": the words scripts compare. */
static const char *admin_word(Hdw__NodeAdminState state)
{
    switch (state) {
    case HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE:
        return "in_service";
    case HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING:
        return "decommissioning";
    case HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED:
        return "decommissioned";
    case HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE:
        return "entering_maintenance";
    case HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE:
        return "in_maintenance";
    case _HDW__NODE_ADMIN_STATE_IS_INT_SIZE:
        break;
    }
    return "unknown";
}

const char *hd_admin_node_name(const struct hd_cluster *c, const char *address)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_DATA && strcmp(c->members[i].address, address) == 0) {
            return c->members[i].name;
        }
    }
    return address;
}

const char *hd_admin_report_name(const struct hd_cluster *c, const Hdw__NodeReport *n)
{
    const char *name = hd_admin_node_name(c, n->address);
    return name == n->address && n->name != NULL ? n->name : name;
}

static const Hdw__DatanodeInfo *find_info(const struct report *r, const char *uuid)
{
    const Hdw__GetDatanodeReportResponse *lists[] = {r->live, r->dead};
    for (size_t l = 0; l < HD_ARRAY_COUNT(lists); l++) {
        for (size_t i = 0; i < lists[l]->n_di; i++) {
            if (strcmp(lists[l]->di[i]->id->datanode_uuid, uuid) == 0) {
                return lists[l]->di[i];
            }
        }
    }
    return NULL;
}

static json_t *node_json(const struct hd_cluster *c, const Hdw__NodeReport *n,
                         const Hdw__DatanodeInfo *info)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", hd_admin_report_name(c, n),
                          "address", n->address, "host", n->host, "uuid", n->uuid, "rack", n->rack,
                          "state", n->state, "admin_state", admin_word(n->admin_state));
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"capacity", n->capacity_bytes},
        {"used", n->used_bytes},
        {"non_dfs_used", info != NULL ? info->non_dfs_used : 0},
        {"remaining", n->remaining_bytes},
        {"blocks", n->blocks},
        {"blocks_to_move", n->blocks_to_move},
        {"transfers", info != NULL ? info->xceiver_count : 0},
        {"failed_volumes", n->failed_volumes},
        {"last_contact_ms", n->last_contact_ms},
        {"last_scan_ms", n->last_scan_ms},
    };
    for (size_t i = 0; o != NULL && i < HD_ARRAY_COUNT(numbers); i++) {
        json_object_set_new(o, numbers[i].key, json_integer((json_int_t)numbers[i].value));
    }
    if (o != NULL && n->has_until_ms) {
        json_object_set_new(o, "until_ms", json_integer((json_int_t)n->until_ms));
    }
    return o;
}

static json_t *report_json(const struct hd_cluster *c, const struct report *r)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < r->nodes->n_nodes; i++) {
        const Hdw__NodeReport *n = r->nodes->nodes[i];
        json_array_append_new(nodes, node_json(c, n, find_info(r, n->uuid)));
    }
    return json_pack("{s:b, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o}", "safemode", r->safe_mode,
                     "capacity", (json_int_t)r->stats->capacity, "used", (json_int_t)r->stats->used,
                     "remaining", (json_int_t)r->stats->remaining, "blocks", "under_replicated",
                     (json_int_t)r->blocks->low_redundancy, "corrupt",
                     (json_int_t)r->blocks->corrupt_blocks, "missing",
                     (json_int_t)r->blocks->missing_blocks, "pending_deletion",
                     (json_int_t)r->blocks->pending_deletion_blocks, "nodes", nodes);
}

int hd_admin_report(struct hd_admin *a, int argc, char **argv)
{
    struct report r;
    (void)argc;
    (void)argv;
    int rc = ask_report(a, &r);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (!a->json) {
        print_report(&r);
        return HD_EXIT_OK;
    }
    json_t *o = report_json(&a->cluster, &r);
    rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}
