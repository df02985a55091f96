/*
 * One connection of the RPC client: requests go out one after the other, answers come in for
 * whoever waits. Private to rpc_client.c and rpc_link.c.
 *
 * The client's lock guards everything that does not say otherwise; a second one lines up the
 * senders. Of the callers that wait for answers one is the leader: it reads, hands every frame to
 * the caller it belongs to, and passes the lead on when its own has come. A link that failed is
 * shut down, not closed, until the last caller has let go of it.
 */
#ifndef HD_NET_RPC_LINK_H
#define HD_NET_RPC_LINK_H

#include "fs/base/buf.h"
#include "fs/base/list.h"

#include <pthread.h>

struct hd_rpc_link {
    int fd;
    int refs;               /* the client and every call that uses it */
    int err;                /* what ended it; 0 while it is good */
    bool has_lead;          /* somebody reads */
    struct hd_list waiters; /* calls under way */
    uint64_t frames_seen;   /* since the beginning */
    uint64_t tag;           /* what the client's owner calls the connection */
    pthread_mutex_t *lock;  /* the client's */
    size_t max_frame_bytes;
    struct hd_buf in;          /* the leader's */
    pthread_mutex_t send_lock; /* guards out and greeted */
    struct hd_buf out;
    bool greeted; /* something was sent */
};

/* A call under way; lives on its caller's stack. frame is the answer: the frame's body as it came.
 */
struct hd_rpc_waiter {
    struct hd_list link;
    int32_t call_id;
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    bool done;
    int err; /* of the connection */
    struct hd_buf frame;
    pthread_cond_t wake;  /* of the monotonic clock */
    uint64_t frames_seen; /* of the link, when the call began */
};

/* Takes fd (closed on failure). One reference is the caller's. */
int hd_rpc_link_new(int fd, pthread_mutex_t *lock, size_t max_frame_bytes,
                    struct hd_rpc_link **ret);
void hd_rpc_link_unref(struct hd_rpc_link *k);

/* Ends it: whoever waits gets err, whoever is in a system call on it comes out. */
void hd_rpc_link_fail(struct hd_rpc_link *k, int err);

/* True when the server closed it while no call was under way. */
bool hd_rpc_link_is_stale(const struct hd_rpc_link *k);

/* Appends a request to out; first: the first one of the link. 0 or an error, then it is not sent.
 */
typedef int (*hd_rpc_link_add_fn)(void *ctx, struct hd_buf *out, bool first);

/*
 * Sends what add appends and waits for the answer or the deadline. Called with the lock, which it
 * lets go meanwhile. 0 with w->frame, or -HD_E_CLOSED, -ETIMEDOUT, or the error of add.
 */
int hd_rpc_link_exchange(struct hd_rpc_link *k, struct hd_rpc_waiter *w, hd_rpc_link_add_fn add,
                         void *ctx);

#endif
