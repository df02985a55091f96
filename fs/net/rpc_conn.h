/*
 * A connection of the RPC server. Private to rpc_server.c (listening, answers, what happens at the
 * end of a turn), rpc_conn.c (the socket) and rpc_input.c (what the peer says: preamble, SASL,
 * context, calls).
 *
 *   PREAMBLE ──ok──> OPEN ──FATAL──> LINGER ──peer closed or 1 s──> CLOSED
 *      └────refused────────────────────^
 *
 * A connection is closed only by the functions below, never inside a call of the handler, and is
 * freed when it is CLOSED and its last call was answered.
 */
#ifndef HD_NET_RPC_CONN_H
#define HD_NET_RPC_CONN_H

#include "fs/base/buf.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/wire/frame.h"

enum {
    HD_RPC_SCRATCH_BYTES = 256 << 10,
    HD_RPC_OUT_HIGH_BYTES = 1 << 20,  /* above, no new calls are taken from the connection */
    HD_RPC_OUT_KEEP_BYTES = 16 << 10, /* of buffer an idle connection keeps */
    HD_RPC_CALLS_KEPT = 1024,         /* call structs in the pool */
    HD_RPC_LINGER_MS = 1000,
};

enum hd_rpc_conn_state {
    HD_RPC_CONN_PREAMBLE,
    HD_RPC_CONN_OPEN,
    HD_RPC_CONN_LINGER, /* an answer was the last word; what still comes is not read */
    HD_RPC_CONN_CLOSED, /* kept for the calls that were not answered yet */
};

struct hd_rpc_call_slot {
    struct hd_rpc_call call; /* first: hd_rpc_call_free casts back */
    struct hd_rpc_call_slot *next_free;
};

struct hd_rpc_server {
    struct hd_loop *loop;
    struct hd_rpc_server_options options; /* with the defaults filled in */
    int listen_fd;
    int port;
    struct hd_loop_fd *listen_watch;
    struct hd_loop_timer
        *accept_timer; /* accepting again after the process ran out of descriptors */
    struct hd_loop_timer *resume_timer;
    struct hd_loop_timer *idle_timer;
    struct hd_loop_timer *gate_timer; /* looks at the gated again */
    struct hd_loop_flush flush;
    struct hd_list conns;  /* not CLOSED, by link */
    struct hd_list dirty;  /* something to send or to look at, by dirty_link */
    struct hd_list resume; /* may take calls again, by resume_link */
    struct hd_list gated;  /* a fault keeps their bytes back, by gate_link */
    int open_count;        /* connections in conns */
    int refs;              /* the owner and every connection not freed */
    bool freed;            /* by the owner */
    struct hd_rpc_call_slot *free_calls;
    int free_call_count;
    uint8_t *scratch;              /* where the bytes of a readable connection go first */
    struct hd_arena arena;         /* of one out-of-band message */
    struct hd_mono_ms last_log_at; /* drops are logged once a second at most */
    uint64_t drops_unlogged;
};

struct hd_rpc_conn {
    struct hd_rpc_server *server;
    struct hd_list link;
    struct hd_list dirty_link;
    struct hd_list resume_link;
    struct hd_list gate_link;
    uint64_t id;
    int fd;
    struct hd_loop_fd *watch;
    struct hd_loop_timer *linger_timer;
    enum hd_rpc_conn_state state;
    struct hd_mono_ms heard_at; /* when its last bytes came */
    uint8_t auth;               /* HD_RPC_AUTH_* */
    bool sasl_done;
    bool has_context;
    bool stalled;          /* too many calls or bytes under way: what comes waits in `in` */
    bool doomed;           /* closed at the end of the turn */
    bool write_blocked;    /* the socket took less than there was */
    bool write_shut;       /* LINGER: our side is closed */
    bool spared;           /* carries howdah.FaultProtocol: no fault touches it */
    bool gate_passed;      /* its delay is over: the bytes that wait pass */
    int64_t gate_until_ms; /* of a delay; 0: cut */
    char *user;            /* heap; "" when the peer named none */
    char *real_user;       /* heap or NULL */
    const char *protocol;  /* the one of the last call */
    int calls;             /* handed over and not answered */
    struct hd_buf in;      /* an incomplete frame, or what waits while stalled */
    struct hd_buf out;
    size_t out_sent; /* bytes of out that went already */
    char peer_ip[HD_IP_TEXT_BYTES];
};

/*
 * rpc_gate.c: what the fault table makes of a connection (fs/os/fault.h). closed: nothing is to be
 * read from it or sent on it now; it is looked at again by itself.
 */
bool hd_rpc_gate_closed_to_input(struct hd_rpc_conn *c);
bool hd_rpc_gate_closed_to_output(struct hd_rpc_conn *c);
void hd_rpc_gate_check(struct hd_rpc_server *s); /* the timer's */

static inline bool hd_rpc_conn_is_gated(const struct hd_rpc_conn *c)
{
    return !hd_list_empty(&c->gate_link);
}

/* rpc_conn.c */
void hd_rpc_conn_update_watch(struct hd_rpc_conn *c);
int hd_rpc_conn_new(struct hd_rpc_server *s, int fd);
void hd_rpc_conn_flush(struct hd_rpc_conn *c);  /* sends; may close */
void hd_rpc_conn_resume(struct hd_rpc_conn *c); /* takes calls that waited */
void hd_rpc_conn_close(struct hd_rpc_conn *c);  /* tells on_close; may free */
void hd_rpc_conn_mark_dirty(struct hd_rpc_conn *c);
void hd_rpc_conn_release(struct hd_rpc_conn *c); /* frees when closed and without calls */

static inline size_t hd_rpc_conn_unsent(const struct hd_rpc_conn *c)
{
    return c->out.size - c->out_sent;
}

/*
 * rpc_input.c: takes what is whole off the front of the bytes, as far as the limits allow, and
 * returns how many it took. Sets stalled, doomed, state.
 */
size_t hd_rpc_conn_take(struct hd_rpc_conn *c, struct hd_slice in);

/* rpc_server.c */
struct hd_rpc_call *hd_rpc_call_new(struct hd_rpc_conn *c);
void hd_rpc_call_free(struct hd_rpc_call *call);
void hd_rpc_server_accept_more(struct hd_rpc_server *s);
void hd_rpc_server_release(struct hd_rpc_server *s);
void hd_rpc_server_log_drop(struct hd_rpc_server *s, const struct hd_rpc_conn *c, const char *why);

#endif
