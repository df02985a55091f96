/*
 * A session's way to the meta that serves (core/metas.h decides; this asks, waits and switches).
 * Inside the room.
 *
 * Every new connection begins with a hello: openSession where the session is relaxed, getCluster
 * else. Who answers as a standby, with an epoch lower than one seen, or for another cluster, is not
 * talked to. A call
 * that is refused, cut off or told "standby" asks all metas at once who is primary; a watching
 * thread does the same for calls that are not answered for a second. When another is found all
 * connections go there, and calls that were under way are repeated under their ids.
 */
#ifndef HD_CLIENT_FAILOVER_H
#define HD_CLIENT_FAILOVER_H

#include "fs/base/list.h"
#include "fs/client/core/metas.h"
#include "fs/client/core/retry.h"
#include "fs/client/howdah.h"
#include "fs/net/rpc_client.h"

#include <pthread.h>
#include <stdatomic.h>

struct hd_session;
struct hd_fs;

enum { HD_CLUSTER_ID_BYTES = 128 };

struct hd_failover {
    pthread_mutex_t lock;   /* everything below that is not atomic; taken last */
    pthread_cond_t changed; /* asking ended, watching is wanted, or it stops */
    struct hd_metas metas;
    char cluster[HD_CLUSTER_ID_BYTES];  /* whose metas they are; "": not told yet */
    char superuser[HD_STAT_USER_BYTES]; /* of the cluster; "": not told */
    bool trusted;                       /* the last hello was a superuser's */
    struct hd_life life;                /* what was seen of the life that answers */
    uint64_t life_number;               /* counts lives, from 1 on; the tag of a connection */
    uint64_t life_first;                /* the first txid of this life; 0: not told */
    uint32_t losses;                    /* how often something that was answered got lost */
    uint32_t losses_told;               /* of which somebody was told */
    uint64_t switches;                  /* of the current meta */
    bool asking;                        /* somebody asks all metas */
    uint64_t asked;                     /* how often that ended */
    struct hd_away away;                /* of whoever should serve */
    struct hd_list calls;               /* of hd_call_mark.link: under way */
    bool watching;                      /* the watcher runs */
    bool watcher_idle;                  /* and waits for a call to begin */
    bool stopping;
    pthread_t watcher;
    atomic_bool several;    /* more than one meta is known */
    atomic_ullong life_tag; /* copies of the above, to look at without the lock */
    atomic_llong state_id;
    atomic_llong synced_id;
    atomic_bool is_away;
};

/* A call under way; lives on its caller's stack. */
struct hd_call_mark {
    struct hd_list link;
    int64_t since_ms; /* of this try */
};

void hd_failover_init(struct hd_failover *f);
void hd_failover_done(struct hd_failover *f); /* stops the watcher */

/* Adds a meta's address. -EINVAL for what is none, -ENOSPC beyond the ceiling. */
int hd_failover_add(struct hd_failover *f, const char *address);

/* The address of the meta that is talked to. */
void hd_failover_address(struct hd_failover *f, char out[HD_META_ADDRESS_BYTES]);

/* The hooks of a connection's hello (fs/net/rpc_client.h); ctx is a struct hd_fs. */
const struct hd_rpc_hello *hd_failover_hello(void *fs);
int hd_failover_welcome(void *fs, int err, const ProtobufCMessage *response, uint64_t *ret_tag);

/*
 * Asks all metas who is primary, and goes there. refused: the current one does not serve. True when
 * the session talks to another meta than `switches` ago. At most about a second; many callers ask
 * once.
 */
bool hd_failover_ask(struct hd_session *s, bool refused, uint64_t switches);
uint64_t hd_failover_switches(struct hd_failover *f);

/* A try of a call begins and ends, so that the watcher sees how long it takes. */
void hd_failover_begin(struct hd_session *s, struct hd_call_mark *m);
void hd_failover_end(struct hd_session *s, struct hd_call_mark *m);

/* A try got an answer from who serves, or not; and what that leaves for a call that begins now. */
void hd_failover_note_answer(struct hd_failover *f, bool answered);
int64_t hd_failover_budget_ms(struct hd_failover *f, int64_t budget_ms);

/* Notes the txid of an answer that came on a connection with this tag. */
void hd_failover_note(struct hd_failover *f, uint64_t tag, int64_t state_id);

/* Everything up to this txid is durable. */
void hd_failover_note_synced(struct hd_failover *f, int64_t synced_id);

#endif
