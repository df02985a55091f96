/* Tests of a node's uuid that turns up at another address. */
#include "tests/unit/meta/core/harness.h"

/* Node n's uuid, from another machine on a connection of its own. */
static struct answer *register_elsewhere(struct world *w, int n, const char *ip, uint64_t conn_id)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
    q.registration = &r.g;
    const char *peer = w->peer_ip;
    w->peer_ip = ip;
    struct answer *a =
        world_answer(w, world_send(w, DATANODE_PROTOCOL, "registerDatanode", &q, conn_id));
    w->peer_ip = peer;
    return a;
}

static const char *ip_of(struct world *w, int n)
{
    return hd_nodes_find(&w->m->nodes, node_texts(n).uuid)->ip;
}

ATF_TC_WITHOUT_HEAD(a_copy_of_a_node_that_is_here_is_refused);
ATF_TC_BODY(a_copy_of_a_node_that_is_here_is_refused, tc)
{
    struct world w;
    world_init(&w);
    node_start(&w, 1);
    struct answer *a = register_elsewhere(&w, 1, "10.0.0.9", 500);
    ATF_REQUIRE(a != NULL);
    ATF_CHECK_EQ(a->err, -HD_E_DISALLOWED_NODE);
    ATF_CHECK(strstr(a->text, "10.0.0.1") != NULL && strstr(a->text, "10.0.0.9") != NULL);
    ATF_CHECK_STREQ(ip_of(&w, 1), "10.0.0.1");
    node_beat(&w, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_moved_is_welcome);
ATF_TC_BODY(a_node_that_moved_is_welcome, tc)
{
    struct world w;
    world_init(&w);
    node_start(&w, 1);
    world_step(&w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(1)});
    ATF_CHECK_EQ(register_elsewhere(&w, 1, "10.0.0.9", 500)->err, 0);
    ATF_CHECK_STREQ(ip_of(&w, 1), "10.0.0.9");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_fell_silent_does_not_hold_its_place);
ATF_TC_BODY(a_node_that_fell_silent_does_not_hold_its_place, tc)
{
    struct world w;
    world_init(&w);
    node_start(&w, 1);
    world_pass(&w, 6000);
    ATF_CHECK_EQ(register_elsewhere(&w, 1, "10.0.0.9", 500)->err, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_may_register_again);
ATF_TC_BODY(a_node_may_register_again, tc)
{
    struct world w;
    world_init(&w);
    node_start(&w, 1);
    ATF_CHECK_EQ(register_elsewhere(&w, 1, "10.0.0.1", 500)->err, 0); /* a new connection */
    ATF_CHECK_EQ(register_elsewhere(&w, 1, "10.0.0.7", 500)->err, 0); /* the same one */
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_copy_of_a_node_that_is_here_is_refused);
    ATF_TP_ADD_TC(tp, a_node_that_moved_is_welcome);
    ATF_TP_ADD_TC(tp, a_node_that_fell_silent_does_not_hold_its_place);
    ATF_TP_ADD_TC(tp, a_node_may_register_again);
    return atf_no_error();
}
