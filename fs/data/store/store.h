/*
 * The replicas of one data node: directories (volumes), the map from block to replica, and every
 * operation that moves files. All functions may be called by any thread and may block on disks; no
 * lock is held across disk I/O.
 *
 * A replica has at most one owner at a time: a block writer (block_writer.h) or a short exclusive
 * operation (delete, recovery). Readers own nothing: they hold descriptors.
 */
#ifndef HD_DATA_STORE_STORE_H
#define HD_DATA_STORE_STORE_H

#include "fs/base/buf.h"
#include "fs/data/core/recovery.h"
#include "fs/data/core/replica.h"
#include "fs/data/store/layout.h"
#include "fs/data/store/meta_file.h"

enum { HD_STORE_VOLUMES_MAX = 64 };

struct hd_store;
struct hd_guard;
struct hd_volume;

struct hd_store_options {
    const char *dirs;        /* comma list; made when missing */
    uint64_t reserved_bytes; /* of each directory's file system, kept free */
    int failed_volumes_tolerated;

    /* For hd_store_look; 0: the defaults of volume_health.c. */
    int64_t slow_ms; /* a small durable write that takes longer shows a slow disk */
    int64_t hang_ms; /* a look that takes longer fails the directory */

    /* A directory has just failed. Any thread, no lock held; must not block. May be NULL. */
    void (*on_failure)(void *ctx);
    void *on_failure_ctx;

    const uint8_t *boot_id; /* HD_BOOT_ID_BYTES, for tests; NULL: the machine's own */
};

/*
 * Locks the directories and loads what is there. A directory that cannot be used counts as failed;
 * more of those than tolerated, or none left, is an error with a failure text.
 */
int hd_store_new(const struct hd_store_options *options, struct hd_store **ret);
void hd_store_free(struct hd_store *s); /* takes NULL; no writer may be left */

/* Who meta says we are. */
struct hd_store_identity {
    char cluster_id[HD_LAYOUT_ID_BYTES];
    char pool_id[HD_LAYOUT_ID_BYTES];
    uint32_t namespace_id;
    uint64_t ctime_ms;
};

/*
 * Binds the directories to a cluster: fresh ones are formatted, others checked
 * (-HD_E_INCORRECT_VERSION with a sentence when they belong to another cluster).
 */
int hd_store_bind(struct hd_store *s, const struct hd_store_identity *identity);

bool hd_store_is_bound(struct hd_store *s);
bool hd_store_serves_pool(struct hd_store *s, const char *pool_id);
const char *hd_store_pool_id(struct hd_store *s);   /* "" until bound; stable afterwards */
const char *hd_store_node_uuid(struct hd_store *s); /* the same */

/* --- reading --- */

/* Descriptors and facts of a replica at one moment. */
struct hd_block_view {
    int data_fd;
    int meta_fd;
    struct hd_sum_format format;
    struct hd_replica replica; /* a copy */
    uint64_t visible_bytes;
    bool synced;       /* its bytes were promised to be durable */
    bool has_last_sum; /* the stored sum of a short last chunk (finalized replicas) */
    uint8_t last_sum[HD_SUM_BYTES];
    char data_path[HD_LAYOUT_PATH_BYTES];
    struct hd_guard *guard; /* guard.h; NULL: no files, the bytes are those of `memory` */
    const uint8_t *memory;  /* borrowed; NULL then means zeros */
    bool plain;             /* nobody changes these files; else read by hd_block_view_read */
};

/* A copy of the replica's facts. -HD_E_REPLICA_NOT_FOUND. */
int hd_store_get(struct hd_store *s, struct hd_block_id id, struct hd_replica *ret);

/* Waits up to wait_ms until at least visible_bytes can be read of a replica being written. */
void hd_store_wait_visible(struct hd_store *s, struct hd_block_id id, uint64_t visible_bytes,
                           int64_t wait_ms);

/* Opens. The caller calls hd_block_view_done. -HD_E_REPLICA_NOT_FOUND or an I/O error. */
int hd_store_view(struct hd_store *s, struct hd_block_id id, struct hd_block_view *ret);
void hd_block_view_done(struct hd_block_view *v);

/* For views that look twice anyway: nobody waits for this one. */
void hd_block_view_unguard(struct hd_block_view *v);

/*
 * Of a view that is not plain: data from `from` to `to` (on chunks, or the visible end) and the
 * sums that belong to just these bytes (NULL: none wanted). -HD_E_TRUNCATED when the replica was
 * cut meanwhile.
 */
int hd_block_view_read(const struct hd_block_view *v, uint64_t from, uint64_t to, uint8_t *data,
                       uint8_t *sums);

/*
 * The descriptors of the view went to somebody else: whoever changes the replica in place leaves
 * him the files. False: somebody is at it already, and nothing may be handed out.
 */
bool hd_store_hand_out(struct hd_store *s, const struct hd_block_view *v);

/* --- changing --- */

/*
 * Deletes both files of the replica with exactly this stamp; an unfinished writer is stopped first.
 * ret_storage_id is the directory it was in.
 */
int hd_store_delete(struct hd_store *s, struct hd_block_id id, struct hd_genstamp gs,
                    char ret_storage_id[HD_LAYOUT_ID_BYTES]);

/* fsync of data, sums and directory. -HD_E_REPLICA_NOT_FOUND also when the stamp is older. */
int hd_store_sync(struct hd_store *s, struct hd_block_id id, struct hd_genstamp gs);

/*
 * The two halves of block recovery at a location. init stops the writer and answers what is here;
 * update cuts to new_bytes, sets the stamp to recovery_id and finalizes.
 */
int hd_store_recovery_init(struct hd_store *s, struct hd_block_id id, struct hd_genstamp block_gs,
                           uint64_t recovery_id, struct hd_recovery_answer *ret);
int hd_store_recovery_update(struct hd_store *s, struct hd_block_id id, uint64_t recovery_id,
                             uint64_t new_bytes, char ret_storage_id[HD_LAYOUT_ID_BYTES]);

/*
 * Replicas that were changed in place, and then finished at least age_ms ago: makes data and sums
 * durable and drops the dirty logs. Returns how many. Blocks; one thread at a time.
 */
int hd_store_clean(struct hd_store *s, int64_t age_ms);

/* --- reports --- */

struct hd_volume_info {
    char dir[HD_LAYOUT_PATH_BYTES];
    char storage_id[HD_LAYOUT_ID_BYTES];
    uint64_t capacity_bytes;
    uint64_t used_bytes; /* by replicas */
    uint64_t free_bytes; /* for replicas */
    uint64_t reserved_bytes;
    uint64_t replica_count;
};

/* The healthy directories, up to max; returns how many. Asks the file systems. */
int hd_store_volumes(struct hd_store *s, struct hd_volume_info *out, int max);

/* Appends all replicas of a directory in report encoding; returns their number or an error. */
int64_t hd_store_report(struct hd_store *s, const char *storage_id, struct hd_buf *out);

struct hd_store_failures {
    int count;
    uint64_t last_ms; /* wall time */
    uint64_t lost_capacity_bytes;
    const char *dirs[HD_STORE_VOLUMES_MAX];
};
void hd_store_failures(struct hd_store *s, struct hd_store_failures *ret);

/*
 * -HD_E_IO when too many directories have failed. Before anybody looks (below) it touches every
 * directory itself; later it only fails those whose look does not come back, and does not block.
 */
int hd_store_check(struct hd_store *s);

/* --- health of the directories --- */

/*
 * One look at a directory: its space; with `probe` also whether it is still the one that was opened
 * and how long a small durable write takes. A directory that cannot do that fails. Hangs as long as
 * the disk does, so each directory is looked at by a thread of its own; nobody else waits.
 * Returns the probe's time in ms, 0 without one.
 */
double hd_store_look(struct hd_store *s, int volume, bool probe);

/* Means over the last seconds, in ms; 0: none. */
struct hd_volume_health {
    const char *dir;
    double probe_ms; /* a small durable write */
    double write_ms; /* storing a packet, mostly in memory */
    double sync_ms;  /* making a replica durable */
    bool slow;       /* so much that others should be preferred */
    bool stuck;      /* the look under way does not end */
};

/* Of the directories that have not failed; returns how many. Does not block. */
int hd_store_health(struct hd_store *s, struct hd_volume_health *out, int max);

#endif
