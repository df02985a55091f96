/*
 * What the parts of the secondary share.
 *
 *   main thread        loop: RPC server (getCluster), signals, watchdog        secondary.c
 *   tail thread        fetchEdits -> own log (fdatasync)                       secondary_tail.c
 *   replay thread      -> core -> own view                                   secondary_replay.c
 *   checkpoint thread  image from a snapshot of the view, verified, uploaded secondary_checkpoint.c
 *
 * The store is the tail thread's, but for core, view and store.applied while the replay thread has
 * something to do; after hd_secondary_replay_drain they are the tail thread's too. The checkpoint
 * thread has a snapshot, and the tail thread waits for it before it replaces the store.
 */
#ifndef HD_META_SHELL_SECONDARY_IMPL_H
#define HD_META_SHELL_SECONDARY_IMPL_H

#include "fs/base/arena.h"
#include "fs/base/error.h"
#include "fs/net/rpc_client.h"
#include "meta/shell/conf.h"
#include "meta/shell/store.h"
#include "meta/shell/witnesses.h"

#include <pthread.h>
#include <stdatomic.h>

/* A connection to the primary, of one thread; stop() breaks it from another. */
struct hd_primary_link {
    struct hd_rpc_client *client;
    struct hd_arena arena; /* of the last answer */
};

struct hd_secondary_checkpoint {
    pthread_t thread;
    bool started; /* the thread has to be joined */
    atomic_bool running;
    struct hd_kv_snapshot *snapshot;
    struct hd_txid txid;
    struct hd_primary_link link;
};

struct hd_secondary_replay {
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    pthread_cond_t idle;
    struct hd_buf pending; /* framed records, in order */
    bool busy;
    bool stopping;
    int err; /* of the first batch that failed */
    char text[HD_FAIL_TEXT_BYTES];
};

struct hd_secondary {
    const struct hd_meta_conf *conf;
    atomic_bool stopping;
    atomic_bool keep_store; /* promotion under way: it is left open when the tail ends */
    pthread_t tail;
    bool tail_runs;

    /* the tail thread's */
    struct hd_store store;
    bool store_open;
    struct hd_primary_link link;
    struct hd_secondary_checkpoint checkpoint;
    struct hd_secondary_replay replay;
    bool wanted;              /* a checkpoint, by the primary */
    int64_t checkpoint_at_ms; /* when the last one was made or tried */
    struct hd_txid checkpoint_txid;
    bool connected; /* for the log: said so */
    bool reopen;    /* the primary's epoch is another one: what is open does not fit */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t stop_cond;
    struct hd_witness_list witnesses;
    struct hd_version version; /* known when cluster_id is not empty */
    struct hd_txid applied;
    struct hd_txid image_txid;
};

int hd_primary_link_open(struct hd_primary_link *l, const struct hd_meta_conf *conf);
void hd_primary_link_close(struct hd_primary_link *l);
/* One call of howdah.MetaProtocol; the answer lives until the next call. */
int hd_primary_link_call(struct hd_primary_link *l, const char *method,
                         const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                         int timeout_ms, void *ret_response);

void *hd_secondary_tail(void *secondary); /* the thread */

/*
 * secondary_replay.c: frames that are durable in the log, to be applied. add() tells of the first
 * failure so far, drain() waits until all is done, tells of a failure and forgets it: then the
 * store has to be opened again. stop() lets it finish.
 */
int hd_secondary_replay_start(struct hd_secondary *s);
void hd_secondary_replay_stop(struct hd_secondary *s);
int hd_secondary_replay_add(struct hd_secondary *s, const struct hd_buf *frames);
int hd_secondary_replay_drain(struct hd_secondary *s);

/*
 * Starts the checkpoint thread on a snapshot of the view as it is. From the tail thread; nothing
 * happens while one is running. finish() waits for it.
 */
int hd_secondary_checkpoint_start(struct hd_secondary *s);
void hd_secondary_checkpoint_finish(struct hd_secondary *s);

/* Gets the newest image of the primary into the store's directory: verified and installed. */
int hd_secondary_fetch_image(struct hd_secondary *s, struct hd_txid *ret);

#endif
