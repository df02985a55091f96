/* Tests of nodes whose disks are slow against the others. */
#include "tests/unit/meta/core/harness.h"

enum { NODES = 5, MANY = 60 };

static void beat(struct world *w, int n, double small_write_ms)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__StorageReport s = HDW__STORAGE_REPORT__INIT;
    Hdw__StorageReport *all[] = {&s};
    s.storage_uuid = r.t.storage;
    s.has_capacity = s.has_remaining = true;
    s.capacity = s.remaining = (uint64_t)1 << 40;
    Hdw__SlowDiskReport disk = HDW__SLOW_DISK_REPORT__INIT;
    Hdw__SlowDiskReport *disks[] = {&disk};
    disk.has_mean_metadata_op_latency = true;
    disk.mean_metadata_op_latency = small_write_ms;
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    q.registration = &r.g;
    q.n_reports = 1;
    q.reports = all;
    q.n_slow_disks = 1;
    q.slow_disks = disks;
    node_send(w, n, "sendHeartbeat", &q);
}

/* A second passes, then each node tells its figure. */
static void tell(struct world *w, const double *ms)
{
    world_pass(w, 1500);
    for (int n = 1; n <= NODES; n++) {
        beat(w, n, ms[n - 1]);
    }
    world_pass(w, 1500);
    for (int n = 1; n <= NODES; n++) {
        beat(w, n, ms[n - 1]);
    }
}

static bool is_slow(struct world *w, int n)
{
    return hd_nodes_find(&w->m->nodes, node_texts(n).uuid)->slow;
}

static void some_nodes(struct world *w)
{
    world_init(w);
    for (int n = 1; n <= NODES; n++) {
        node_start(w, n);
    }
}

/* How many of many blocks get a replica on the node. */
static int placed_on(struct world *w, int n, const char *prefix)
{
    int count = 0;
    for (int i = 0; i < MANY; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/%s%d", prefix, i);
        do_create(w, path, "writer");
        Hdw__LocatedBlock *l = do_add_block(w, path, "writer", NULL);
        ATF_REQUIRE_EQ(l->n_locs, 3);
        for (size_t k = 0; k < l->n_locs; k++) {
            count += node_of(l->locs[k]) == n;
        }
    }
    return count;
}

ATF_TC_WITHOUT_HEAD(a_slow_node_gets_no_blocks_until_it_is_well);
ATF_TC_BODY(a_slow_node_gets_no_blocks_until_it_is_well, tc)
{
    struct world w;
    some_nodes(&w);
    tell(&w, (double[]){5, 4, 200, 6, 5});
    ATF_CHECK(is_slow(&w, 3) && !is_slow(&w, 1));
    ATF_CHECK_EQ(placed_on(&w, 3, "a"), 0);
    tell(&w, (double[]){15, 14, 40, 16, 15}); /* hardly */
    ATF_CHECK(is_slow(&w, 3));
    tell(&w, (double[]){5, 4, 9, 6, 5});
    ATF_CHECK(!is_slow(&w, 3));
    ATF_CHECK(placed_on(&w, 3, "b") > 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_cluster_that_is_slow_as_a_whole_has_no_slow_node);
ATF_TC_BODY(a_cluster_that_is_slow_as_a_whole_has_no_slow_node, tc)
{
    struct world w;
    some_nodes(&w);
    tell(&w, (double[]){500, 700, 900, 600, 650});
    for (int n = 1; n <= NODES; n++) {
        ATF_CHECK(!is_slow(&w, n));
    }
    /* Nor one that is quick but for a few. */
    tell(&w, (double[]){1, 25, 2, 1, 1});
    ATF_CHECK(!is_slow(&w, 2));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_slow_node_is_better_than_a_missing_replica);
ATF_TC_BODY(a_slow_node_is_better_than_a_missing_replica, tc)
{
    struct world w;
    some_nodes(&w);
    tell(&w, (double[]){5, 4, 200, 6, 5});
    world_step(&w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(1)});
    world_step(&w, &(struct hd_meta_event){
                       .type = HD_META_CONN_CLOSED,
                       .conn_id = node_conn(2)}); /* three are left, one of them slow */
    world_pass(&w, 100);
    ATF_CHECK_EQ(placed_on(&w, 3, "a"), MANY);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_slow_node_gets_no_blocks_until_it_is_well);
    ATF_TP_ADD_TC(tp, a_cluster_that_is_slow_as_a_whole_has_no_slow_node);
    ATF_TP_ADD_TC(tp, a_slow_node_is_better_than_a_missing_replica);
    return atf_no_error();
}
