/*
 * howdah-data as a whole: what its parts share.
 *
 *   main thread     event loop: accepts transfer connections, RPC server, signals, watchdog
 *   a thread each   transfer connection (op.c); a writing one in the middle of a pipeline has a
 *                   second thread for acknowledgements (receive.c)
 *   control         registration, heartbeats, full reports, commands (control.c)
 *   reporter        incremental reports (reporter.c)
 *   scanner         a thread each directory, and one that reports (scanner.c)
 *   disk watch      a thread each directory, and one that cleans (disk_watch.c)
 *   workers         deletes, copies, recoveries, RPC calls that touch disks (workers.c)
 *
 * Shared state: the store (own lock), the reporter's queue (own lock), the list of connections
 * (conns.lock), the counters (atomic).
 */
#ifndef HD_DATA_SHELL_DATA_H
#define HD_DATA_SHELL_DATA_H

#include "fs/base/list.h"
#include "fs/data/shell/peer.h"
#include "fs/data/shell/throttle.h"
#include "fs/data/store/store.h"
#include "fs/net/addr.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    HD_DATA_STACK_BYTES = 256 * 1024,
    HD_DATA_CONNECT_TIMEOUT_MS = 5000,
    HD_DATA_SETUP_TIMEOUT_MS = 15000, /* a set-up reply of the next node; + per node below */
    HD_DATA_PER_NODE_MS = 2000,
    HD_DATA_STREAM_TIMEOUT_MS = 75000, /* silence on a transfer; writers beat each 30 s */
    HD_DATA_MESSAGE_BYTES_MAX = 1 << 20,
};

struct hd_config;
struct hd_loop;
struct hd_loop_fd;
struct hd_loop_timer;
struct hd_rpc_server;
struct hd_control;
struct hd_disk_watch;
struct hd_reporter;
struct hd_scanner;
struct hd_workers;

struct hd_data_options {
    char address[HD_ADDR_TEXT_BYTES];     /* transfer */
    char ipc_address[HD_ADDR_TEXT_BYTES]; /* RPC */
    char http_address[HD_ADDR_TEXT_BYTES];
    char meta_address[HD_ADDR_TEXT_BYTES];
    char secondary_address[HD_ADDR_TEXT_BYTES]; /* the other meta's; "" when there is none */
    char host_name[256];
    char name[64];  /* "data-1" */
    char rack[256]; /* "": meta's rack map, or none */
    char user[64];
    char socket_path[108]; /* "" : no UNIX socket; "_PORT" becomes "_<port>" */
    char *dirs;            /* heap, owned */
    uint64_t reserved_bytes;
    uint64_t balance_bandwidth_bytes; /* a second, for moves of a balancer */
    int64_t heartbeat_ms;
    int64_t max_transfer_threads;
    int64_t failed_volumes_tolerated;
    uint64_t scan_rate_bytes; /* a second and directory; 0: only on request */
    int64_t scan_period_ms;
    int64_t slow_disk_ms;    /* a small durable write that takes longer shows a slow disk */
    int64_t disk_timeout_ms; /* a directory silent for longer has failed */
};

/* Reads [name] / [data] and what it needs of [cluster] and [meta]. -HD_E_CONFIG. */
int hd_data_options_load(const struct hd_config *config, const char *name,
                         struct hd_data_options *ret);
void hd_data_options_done(struct hd_data_options *o);

/* Transfer connections under way. */
struct hd_conns {
    pthread_mutex_t lock;
    pthread_cond_t empty;
    struct hd_list list;
    int count;
    bool stopping;
};

struct hd_data {
    struct hd_data_options options;
    struct hd_store *store;
    struct hd_loop *loop; /* borrowed */
    int listen_fd;
    int unix_fd;
    struct hd_loop_fd *listen_watch;
    struct hd_loop_fd *unix_watch;
    struct hd_rpc_server *rpc;
    struct hd_control *control;
    struct hd_reporter *reporter;
    struct hd_scanner *scanner;
    struct hd_disk_watch *disk_watch;
    struct hd_workers *disk_workers;     /* deletes */
    struct hd_workers *copy_workers;     /* copies ordered by meta */
    struct hd_workers *recovery_workers; /* block recovery as primary */
    struct hd_workers *rpc_workers;      /* RPC calls that block */
    struct hd_conns conns;
    struct hd_peers peers;
    int transfer_port;
    int ipc_port;
    int http_port;
    int64_t start_ms;                 /* monotonic */
    atomic_int transfers_out;         /* copies to other nodes under way */
    atomic_int orders_waiting;        /* copies ordered by meta and not ended */
    atomic_int moves;                 /* COPY_BLOCK under way */
    struct hd_throttle move_throttle; /* of these */
    atomic_bool started;              /* all of the above is there */
    atomic_bool stopping;
    void (*on_fatal)(void *ctx); /* any thread: the daemon cannot go on */
    void *on_fatal_ctx;
};

/*
 * Starts everything on the loop (not yet running). options are taken over. The caller runs the
 * loop and then stops.
 */
int hd_data_start(struct hd_data *d, struct hd_loop *loop, struct hd_data_options *options);

/* Orderly stop, after the loop has ended: connections are cut, threads joined, files closed. */
void hd_data_stop(struct hd_data *d);

/* Starts a thread with HD_DATA_STACK_BYTES. 0 or a negative errno. */
int hd_data_thread(pthread_t *ret, bool detached, void *(*fn)(void *), void *ctx);

#endif
