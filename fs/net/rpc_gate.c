/*
 * What the fault table does to connections of the RPC server: net.cut and net.delay of
 * fs/os/fault.h on a loop that must not wait. A gated connection is not watched; a timer looks at
 * it again.
 *
 * A connection that carries howdah.FaultProtocol is spared, also a new one, so that every cut can
 * be healed: its first bytes are looked at while they are still the kernel's.
 */
#include "fs/net/fault_service.h"
#include "fs/net/rpc_conn.h"
#include "fs/os/fault.h"

#include <sys/socket.h>

enum { LOOK_AGAIN_MS = 20, PEEK_BYTES = 2048 };

static bool asks_for_faults(struct hd_rpc_conn *c)
{
    char bytes[PEEK_BYTES];
    if (c->state != HD_RPC_CONN_PREAMBLE) {
        return false;
    }
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    return n > 0 && memmem(bytes, (size_t)n, hd_fault_protocol, strlen(hd_fault_protocol)) != NULL;
}

static bool is_cut(struct hd_rpc_conn *c)
{
    if (!hd_fault_net_is_cut(c->fd)) {
        return false;
    }
    c->spared = asks_for_faults(c);
    return !c->spared;
}

static void gate(struct hd_rpc_conn *c, int64_t until_ms)
{
    struct hd_rpc_server *s = c->server;
    c->gate_until_ms = until_ms;
    if (hd_rpc_conn_is_gated(c)) {
        return;
    }
    if (hd_list_empty(&s->gated)) {
        hd_loop_timer_set(s->gate_timer, LOOK_AGAIN_MS);
    }
    hd_list_push_back(&s->gated, &c->gate_link);
    hd_rpc_conn_update_watch(c);
}

bool hd_rpc_gate_closed_to_input(struct hd_rpc_conn *c)
{
    if (c->gate_passed) {
        c->gate_passed = false;
        return false;
    }
    if (!hd_fault_net_any() || c->spared) {
        return false;
    }
    bool cut = is_cut(c);
    int64_t delay_ms = cut || c->spared ? 0 : hd_fault_net_delay_ms(c->fd);
    if (cut || delay_ms > 0) {
        gate(c, cut ? 0 : hd_loop_now(c->server->loop).v + delay_ms);
        return true;
    }
    return false;
}

bool hd_rpc_gate_closed_to_output(struct hd_rpc_conn *c)
{
    if (!hd_fault_net_any() || c->spared || !is_cut(c)) {
        return false;
    }
    gate(c, 0);
    return true;
}

void hd_rpc_gate_check(struct hd_rpc_server *s)
{
    int64_t now_ms = hd_loop_now(s->loop).v;
    HD_LIST_FOR_SAFE(it, &s->gated)
    {
        struct hd_rpc_conn *c = HD_LIST_ENTRY(it, struct hd_rpc_conn, gate_link);
        bool delayed = c->gate_until_ms > now_ms && hd_fault_net_any();
        if (delayed || is_cut(c)) {
            continue;
        }
        c->gate_passed = c->gate_until_ms != 0;
        hd_list_remove(&c->gate_link);
        hd_rpc_conn_update_watch(c);
        hd_rpc_conn_mark_dirty(c);
    }
    if (!hd_list_empty(&s->gated)) {
        hd_loop_timer_set(s->gate_timer, LOOK_AGAIN_MS);
    }
}
