/*
 * The core of howdah-meta: a pure state machine. Namespace, leases, block map, placement, repair
 * queue and data nodes; no clock, socket, file, thread or randomness of its own.
 *
 *   hd_meta_step(meta, event, effects)
 *
 * The shell turns packets into events and carries the effects out: records go to the edit log, view
 * changes to leveldb, replies to the connections, once the record they depend on is durable.
 * hd_ns_apply() is the only code that changes the namespace, live and at replay.
 *
 * One thread.
 */
#ifndef HD_META_CORE_META_H
#define HD_META_CORE_META_H

#include "fs/base/arena.h"
#include "fs/base/buf.h"
#include "fs/base/types.h"

struct hd_meta;

enum { HD_XATTRS_MAX_BYTES = 256 << 10 };

/* What does not change while the process runs. Strings are copied. */
struct hd_meta_options {
    const char *cluster_id;    /* "CID-<uuid>" */
    const char *block_pool_id; /* "BP-<int>-<ip>-<ms>" */
    uint32_t namespace_id;
    uint64_t creation_ms;
    const char *superuser;         /* name of the user that runs the process */
    const char *supergroup;        /* "supergroup" */
    const char *host_name;         /* of meta, for safe mode texts */
    uint64_t block_size_bytes;     /* default of new files */
    uint64_t min_block_size_bytes; /* create refuses smaller ones */
    uint32_t replication;
    uint32_t replication_max;
    uint32_t list_limit; /* entries of one getListing answer */
    uint64_t trash_minutes;
    double safe_mode_threshold; /* share of blocks with one replica, 0.999 */
    int64_t safe_mode_extension_ms;
    int64_t safe_mode_patience_ms; /* without news safe mode ends below the threshold; 0: never */
    int64_t heartbeat_ms, stale_ms, dead_ms, closed_grace_ms;
    int64_t lease_soft_ms, lease_hard_ms;
    int64_t retry_cache_ms;
    int64_t atime_precision_ms; /* 0: never */
    int64_t complete_wait_ms;   /* how long `complete` is held for the last report */
    int64_t repair_grace_ms;    /* before blocks that still have two replicas are copied */
    uint32_t repair_streams_per_node;
    int64_t session_lease_ms;          /* without a poll a session lasts so long; 0: 10000 */
    uint64_t xattrs_max_bytes;         /* names and values of one inode; 0: HD_XATTRS_MAX_BYTES */
    uint32_t inline_bytes;             /* files up to this are kept in the metadata; 0: none */
    uint32_t maintenance_replicas_min; /* elsewhere, of what a node in maintenance has; 0: 1 */
    uint64_t seed;                     /* of the placement's generator */
};

enum hd_meta_event_type {
    HD_META_REQUEST,     /* a call arrived */
    HD_META_CONN_CLOSED, /* a connection ended; if a data node registered on it, that is news */
    HD_META_TICK,        /* the deadline asked for has come (or time has passed) */
    HD_META_RACKS,       /* the rack map, or more of it */
};

/* Where the machine of an address is. */
struct hd_meta_rack {
    const char *address; /* "ip", "host", either with ":transfer port", or a node's name */
    const char *rack;    /* "/r1" */
};

struct hd_meta_event {
    enum hd_meta_event_type type;
    struct hd_mono_ms now;
    struct hd_wall_ms wall;
    struct hd_txid durable; /* newest record that is on disk: no replica is deleted before the
                               record that made it garbage is */
    uint64_t conn_id;       /* REQUEST and CONN_CLOSED */
    /* RACKS only; borrowed for the step. */
    const struct hd_meta_rack *racks;
    size_t rack_count;
    bool racks_replace; /* what was told before holds no more */
    /* REQUEST only; borrowed for the step. */
    uint64_t token; /* comes back in the reply */
    const char *protocol;
    const char *method;
    const uint8_t *body;
    size_t body_size;
    const char *user;
    const char *const *groups; /* of the user, NULL-terminated, the primary one first */
    bool posix; /* a POSIX session: what it makes gets the user's primary group, not the parent's */
    uint64_t session; /* number of the connection's session, from OpenSessionResponse; 0: none */
    const char *peer_ip;
    const char *peer_host; /* name of peer_ip as far as known; else the ip */
    const uint8_t *client_id;
    size_t client_id_size;
    int32_t call_id;
};

/* One record for the edit log: an encoded EditRecord (meta/core/record.proto), in txid order. */
struct hd_meta_record {
    struct hd_txid txid;
    const uint8_t *data;
    size_t size;
};

/* One change of the view that leveldb keeps. value NULL: delete. */
struct hd_meta_put {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
};

struct hd_meta_reply {
    uint64_t token;
    /* Not before this txid is durable (for a relaxed connection: written). 0: at once. */
    struct hd_txid after;
    int err; /* 0, or an error code: then text, and no response */
    const char *text;
    struct hd_txid as_of; /* what the answer tells is as of this record */
    /* In the effects' arena, but its strings may be the core's own: encode before the next step. */
    const ProtobufCMessage *response;
    const uint8_t *body; /* without response: it, encoded */
    size_t body_size;
};

/* What a step wants done. Arrays and contents live in the arena until hd_meta_effects_reset. */
struct hd_meta_effects {
    struct hd_arena arena;
    struct hd_meta_record *records;
    size_t record_count, record_capacity;
    struct hd_meta_put *puts; /* belong to the records of the same step */
    size_t put_count, put_capacity;
    struct hd_meta_reply *replies; /* also of calls of earlier steps */
    size_t reply_count, reply_capacity;
    struct hd_mono_ms deadline; /* step(TICK) is wanted at this time at the latest */
    const char *rack_wanted;    /* NULL, or the address of a node whose rack nobody has told */
    const char *trace; /* NULL, or one line worth a log (a state change of a node, safe mode ...) */
};

void hd_meta_effects_init(struct hd_meta_effects *e);
void hd_meta_effects_reset(struct hd_meta_effects *e);
void hd_meta_effects_done(struct hd_meta_effects *e);

int hd_meta_new(const struct hd_meta_options *o, struct hd_meta **ret);
void hd_meta_free(struct hd_meta *m); /* takes NULL */

/*
 * Start-up, before the first step, in this order:
 *   format       on an empty store only: makes the root and gives the view's first puts
 *   load         every key of the view, in key order; -HD_E_CORRUPT when one does not decode
 *   load_done    checks the whole (every inode reachable, counters right) and builds the block map
 *   replay       each record of the log behind the view's applied txid, in order; effects->puts are
 *                the view changes. -HD_E_CORRUPT when the record does not decode or the txid is not
 *                the next one. A record at or before the applied txid changes nothing, it only
 * feeds the retry cache: give those of the last segment too, so that a client that repeats a call
 * after a crash gets its first answer. start        enters safe mode (unless there are no blocks)
 */
void hd_meta_format(struct hd_meta *m, struct hd_wall_ms wall, struct hd_meta_effects *e);
int hd_meta_load(struct hd_meta *m, const void *key, size_t key_size, const void *value,
                 size_t value_size);
int hd_meta_load_done(struct hd_meta *m, struct hd_txid applied);
int hd_meta_replay(struct hd_meta *m, const void *record, size_t size, struct hd_meta_effects *e);
void hd_meta_start(struct hd_meta *m, struct hd_mono_ms now);

/* The txid of the newest record that was applied. */
struct hd_txid hd_meta_txid(const struct hd_meta *m);

void hd_meta_step(struct hd_meta *m, const struct hd_meta_event *event, struct hd_meta_effects *e);

/*
 * The edit log's disk has no room but its reserve (or has again). While it is so, changes are
 * answered with SafeModeException and nothing is recorded that nobody asked for.
 */
void hd_meta_disk_full(struct hd_meta *m, bool full);

/* Figures for status pages and howdah.MetaProtocol.getCluster. */
struct hd_meta_stats {
    uint64_t files, directories, blocks, blocks_missing, blocks_under_replicated, blocks_corrupt;
    uint32_t nodes_live, nodes_stale, nodes_dead;
    bool safe_mode;
    char safe_mode_text[512];
};
void hd_meta_stats(const struct hd_meta *m, struct hd_meta_stats *ret);

#endif
