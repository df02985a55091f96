/*
 * The executor: everything of howdah-meta that runs on the loop's thread.
 *
 *   call -> event -> hd_meta_step -> effects
 *     records   framed, handed to the log thread at the end of the loop's turn
 *     puts      kept until their records are durable, then handed to the apply thread
 *     replies   encoded; parked until the txid they depend on is committed (ha.h: durable
 *               here and at the secondary) or, on a connection that called openSession, written
 *
 * Does not wait for the disk: what it writes itself (log_thread.h) goes to the page cache while
 * nothing is being synced.
 */
#ifndef HD_META_SHELL_EXECUTOR_H
#define HD_META_SHELL_EXECUTOR_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "meta/shell/apply_thread.h"
#include "meta/shell/conf.h"
#include "meta/shell/groups.h"
#include "meta/shell/ha.h"
#include "meta/shell/log_thread.h"
#include "meta/shell/rack_map.h"
#include "meta/shell/store.h"

struct hd_meta_service;

/* What is known of a connection. */
struct hd_exec_conn {
    uint64_t id;
    bool relaxed;       /* called openSession */
    uint64_t session;   /* what the core gave to it; 0: none */
    char *client_name;  /* of openSession: heap, owned, or NULL */
    char *client_user;  /* who called it, likewise */
    char peer_host[48]; /* of peer_ip */
};

/* The changes of one turn of the loop, waiting for their records to be durable. */
struct hd_exec_turn {
    struct hd_list node;
    struct hd_kv_batch puts;
    struct hd_txid last;
};

struct hd_executor {
    const struct hd_meta_conf *conf;
    struct hd_store *store;
    struct hd_loop *loop;
    struct hd_rpc_server *server;
    struct hd_log_thread *log;
    struct hd_apply_thread *apply;
    struct hd_ha *ha;
    struct hd_meta_service *service; /* what the shell answers itself; service.h */
    struct hd_meta_effects effects;
    struct hd_groups groups;
    struct hd_rack_map *racks; /* NULL: neither table nor script */
    struct hd_map conns;       /* id -> struct hd_exec_conn, owned */
    struct hd_map held;        /* calls the core keeps, by token: itself */
    uint64_t stepping;         /* token of the call whose step this is; 0: it is answered */
    struct hd_list doubted;    /* struct doubted: calls that wait for hd_ha_in_doubt to end */
    bool stopping;             /* nothing is stepped any more */
    bool fenced;               /* another meta is primary: every answer is StandbyException */
    struct hd_loop_timer *tick;
    int64_t tick_at_ms; /* when it is armed for */

    struct hd_buf frames;    /* records of this turn */
    struct hd_kv_batch puts; /* of this turn */
    struct hd_list turns;    /* struct hd_exec_turn, in txid order */
    struct hd_list strict;   /* struct parked: until committed, by txid */
    struct hd_list relaxed;  /* until written */
    struct hd_txid base;     /* when this process began */
    uint64_t incarnation;    /* random: of this life */
    struct hd_txid stepped;  /* by the core */
    struct hd_txid handed;   /* to the log thread */
    struct hd_txid written;
    struct hd_txid durable;
    struct hd_txid committed;   /* may be acknowledged: durable wherever it has to be */
    struct hd_txid want;        /* the newest txid that somebody wants durable */
    struct hd_txid want_handed; /* as far as the log thread knows */
};

/* Everything but listening: threads are started, the core is started. conf and store are borrowed.
 */
int hd_executor_new(const struct hd_meta_conf *conf, struct hd_store *store, struct hd_loop *loop,
                    struct hd_executor **ret);
/* The protocols that a meta serves, whatever its role. NULL-terminated. */
extern const char *const hd_executor_protocols[];
int hd_executor_listen(struct hd_executor *x);

/* For ha.c: what may be acknowledged has changed; this is not the primary any more. */
void hd_executor_committed(struct hd_executor *x);
void hd_executor_fence(struct hd_executor *x);

/* Orderly end, with the loop stopped: what was stepped is made durable and applied. Takes NULL. */
void hd_executor_free(struct hd_executor *x);

/*
 * For service.c. Answers when `after` is durable (strict) or written, at once when it is so
 * already. The response is encoded before the call returns.
 */
void hd_executor_reply(struct hd_executor *x, struct hd_rpc_call *call, struct hd_txid after,
                       bool strict, const ProtobufCMessage *response);
void hd_executor_reply_error(struct hd_executor *x, struct hd_rpc_call *call, int err,
                             const char *text);
void hd_executor_flush(struct hd_executor *x); /* hands what was stepped to the log thread now */
struct hd_exec_conn *hd_executor_conn(struct hd_executor *x, const struct hd_rpc_call *call);
/* Every connection of the client is this session's from now on; others may give its name, too, but
 * not as that user. */
void hd_executor_set_session(struct hd_executor *x, const char *client_name, const char *user,
                             uint64_t session);
bool hd_executor_is_superuser(struct hd_executor *x, const struct hd_rpc_call *call);

#endif
