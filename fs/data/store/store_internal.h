/*
 * Inside of the store: shared by its own files only.
 *
 * One mutex guards the map and every replica; `changed` is broadcast whenever an owner lets go, a
 * state changes, or acknowledged bytes that somebody waits for arrive. `owner` is what keeps file
 * operations apart: whoever owns a replica may move its files without the lock, and whoever wants
 * it waits.
 */
#ifndef HD_DATA_STORE_STORE_INTERNAL_H
#define HD_DATA_STORE_STORE_INTERNAL_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/data/core/volume_pick.h"
#include "fs/data/store/block_writer.h"
#include "fs/data/store/dirty_log.h"
#include "fs/data/store/guard.h"
#include "fs/data/store/store.h"

#include <pthread.h>

enum { HD_STORE_OWNER_WAIT_MS = 10000 };

/* Times of operations, added up. */
struct hd_latency {
    uint64_t count;
    uint64_t total_ns;
};

struct hd_volume {
    char *dir; /* heap, owned */
    int lock_fd;
    struct hd_node_version version; /* storage_id "" until formatted */
    bool failed;
    struct hd_folders folders;
    uint64_t used_bytes;     /* by replicas, data and sums */
    uint64_t promised_bytes; /* to open writers, not yet written */
    uint64_t replica_count;

    /* As the last look found it (volume_health.c). */
    bool looked;
    uint64_t capacity_bytes;
    uint64_t available_bytes;
    uint64_t unseen_bytes;    /* written since, so no longer available */
    int64_t looking_since_ms; /* monotonic, of the look under way; 0: none */
    double probe_ms;          /* mean time of a small durable write */
    struct hd_latency writes; /* of packets, since the last probe; store lock */
    struct hd_latency syncs;
    double write_ms; /* means of the last period that had any */
    double sync_ms;
};

struct hd_store_replica {
    struct hd_replica r;
    struct hd_volume *volume;
    bool owned;                     /* by a writer or an exclusive operation */
    struct hd_block_writer *writer; /* the writer that owns it, if it is one */
    uint32_t version;               /* counts moves of its files */
    bool synced;     /* somebody was told that its bytes are durable: so every later move is, too */
    bool bad;        /* a check found it so; it stays until meta has it deleted */
    bool whole;      /* all of data and sums is known to be on the disk */
    bool handed_out; /* somebody may have its files open whom nobody can ask to let go */
    bool unstable;   /* its files are about to be others of the same names */
    struct hd_dirty_log *log;  /* regions that were changed in place; owner. NULL: none were */
    struct hd_list dirty_link; /* while there is a log: store->dirty */
    int64_t finished_ms;       /* monotonic, since it is finalized */
};

struct hd_store {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* CLOCK_MONOTONIC */
    int waiters;            /* for acknowledged bytes */
    struct hd_map replicas; /* block id -> struct hd_store_replica, owned */
    struct hd_volume volumes[HD_STORE_VOLUMES_MAX];
    int volume_count;
    unsigned cursor;         /* round robin */
    struct hd_list dirty;    /* replicas with a dirty log */
    struct hd_guard *guards; /* heap, owned */
    uint8_t boot_id[HD_BOOT_ID_BYTES];
    uint64_t bad_count;
    struct hd_store_options options; /* dirs is not kept */
    uint64_t reserved_bytes;
    int failed_tolerated;
    uint64_t last_failure_ms;
    uint64_t lost_capacity_bytes;
    bool bound;
    char pool_id[HD_LAYOUT_ID_BYTES];
    char node_uuid[HD_LAYOUT_ID_BYTES];
};

struct hd_layout hd_store_layout(const struct hd_store *s, struct hd_volume *v);

/* Under the lock: tells a writer to give up (block_writer.c). */
void hd_block_writer_interrupt(struct hd_block_writer *w);

/* Where the files of a replica in this state are. */
enum hd_place hd_store_place(const struct hd_replica *r);

/* A condition wait with a deadline in monotonic milliseconds; false when it has passed. */
bool hd_store_wait_until(struct hd_store *s, int64_t deadline_ms);

/*
 * Under the lock: waits until nobody owns the replica and owns it. interrupt: a writer is told to
 * give up. *ret is NULL when there is no such replica. -EBUSY when the owner does not let go.
 */
int hd_store_own(struct hd_store *s, struct hd_block_id id, bool interrupt,
                 struct hd_store_replica **ret);
void hd_store_disown(struct hd_store *s, struct hd_store_replica *r); /* under the lock */

/* Under the lock: puts a replica into the map and the sums, and takes it out (and frees). */
int hd_store_insert(struct hd_store *s, struct hd_store_replica *r);
void hd_store_remove(struct hd_store *s, struct hd_store_replica *r);
uint64_t hd_store_replica_disk_bytes(uint64_t size_bytes);

/* Store lock: the replica has a dirty log from now on, which it owns; and none any more. */
void hd_store_set_log(struct hd_store *s, struct hd_store_replica *r, struct hd_dirty_log *log);
void hd_store_drop_log(struct hd_store_replica *r);

/* Loads what a directory holds. Called before anyone else can see the store, or at bind. */
int hd_volume_load(struct hd_store *s, struct hd_volume *v);
int hd_volume_open(struct hd_volume *v, const char *dir);
int hd_volume_space(const struct hd_volume *v, uint64_t *ret_capacity, uint64_t *ret_available);

/* An error of a disk, not of a request: the directory is given up, with all its replicas. */
bool hd_volume_error_is_fatal(int err);
void hd_volume_fail(struct hd_store *s, struct hd_volume *v, int err);

/*
 * After a sync that failed: what was not written is lost, and a second try would not tell. The
 * directory is given up, unless the sync never came to the disk, or the disk was just full; then
 * true: it is the replica that cannot be trusted any more.
 */
bool hd_volume_sync_failed(struct hd_store *s, struct hd_volume *v, int err);

/* Free bytes for new replicas, by the last look or, before the first, the file system. False: none.
 */
bool hd_volume_room(struct hd_store *s, struct hd_volume *v, uint64_t *ret_capacity,
                    uint64_t *ret_available);

/* Store lock. No answer for a while: nothing new goes there. */
bool hd_volume_is_stuck(const struct hd_volume *v);
bool hd_volume_is_slow(const struct hd_store *s, const struct hd_volume *v);

/* Fails it when its look has hung for too long. */
void hd_volume_check_hang(struct hd_store *s, struct hd_volume *v);

/* A write found no room: there is none until the next look. */
void hd_volume_note_full(struct hd_store *s, struct hd_volume *v);

/* How long an operation on it took. */
void hd_volume_note(struct hd_store *s, struct hd_latency *l, uint64_t begin_ns);

/* Is it still the directory that was opened, and can it be written? Fails it when not. */
int hd_volume_probe(struct hd_store *s, struct hd_volume *v);

/* --- files of one replica (files.c) --- */

/* fsyncs the directories that a replica's names in this place depend on. */
int hd_files_sync_names(const struct hd_layout *l, struct hd_block_id id, enum hd_place place);

/* Renames data and sums between places and stamps; crash-safe in every step. */
int hd_files_move(const struct hd_layout *l, const struct hd_replica *r, enum hd_place from,
                  enum hd_place to, struct hd_genstamp new_gs);
int hd_files_unlink(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place);

/* Cuts to keep_bytes; the sum of a chunk that becomes short is checked, then made anew. */
int hd_files_cut(int data_fd, int meta_fd, struct hd_sum_format f, uint64_t size_bytes,
                 uint64_t keep_bytes);

/*
 * The longest prefix whose sums agree. A last chunk whose sum covers less than there is counts up
 * to where it does: bytes are written before their sum.
 */
int hd_files_verified_prefix(int data_fd, int meta_fd, uint64_t data_bytes, uint64_t *ret_bytes);

/*
 * Puts copies of both files in their places: who has them open keeps them as they are. durable:
 * the copies are, before the old ones go.
 */
int hd_files_renew(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place,
                   bool durable);

int hd_files_open(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place,
                  int flags, int *ret_data_fd, int *ret_meta_fd);

#endif
