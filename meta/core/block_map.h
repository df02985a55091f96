/*
 * The block map: which storages hold which blocks, from what data nodes report, against what the
 * namespace says. It decides which replicas count, which are bad, and which are garbage.
 */
#ifndef HD_META_CORE_BLOCK_MAP_H
#define HD_META_CORE_BLOCK_MAP_H

#include "fs/base/types.h"
#include "namenode.pb-c.h"
#include "datanode.pb-c.h"

struct hd_meta;
struct hd_blk;
struct hd_node;
struct hd_storage;
struct hd_replica;
struct hd_bad_replicas;

struct hd_reported {
    struct hd_block_id id;
    struct hd_genstamp gs;
    uint64_t size_bytes;
    uint32_t state; /* ReplicaState */
};

struct hd_replica *hd_blk_replicas(struct hd_blk *b);
struct hd_replica *hd_blk_find_replica(struct hd_blk *b, uint16_t storage); /* NULL: none */

/* Puts a replica there, or changes the state of the one that is. A node has one at most. */
void hd_blk_set_replica(struct hd_meta *m, struct hd_blk *b, uint16_t storage, uint8_t state);
void hd_blk_drop_replica(struct hd_meta *m, struct hd_blk *b, uint16_t storage);

/*
 * Finalized replicas, by what they are worth. Only the live ones count; the others are kept and
 * used for as long as they are there.
 */
struct hd_blk_count {
    uint32_t live;        /* on nodes in service */
    uint32_t fresh;       /* of these: their node is not stale, and has reported all it has */
    uint32_t leaving;     /* on nodes that are being, or are, decommissioned */
    uint32_t maintenance; /* on nodes in maintenance, also while these are dead */
    uint32_t readable;    /* all that can be read now */
};
struct hd_blk_count hd_blk_count(const struct hd_meta *m, struct hd_blk *b);

/* How many live ones it has to have: fewer while some are in maintenance. */
uint32_t hd_blk_needed(const struct hd_meta *m, const struct hd_blk *b,
                       const struct hd_blk_count *count);

/* Does the replica count no more, and is it about to leave the map? */
bool hd_replica_is_losing(const struct hd_meta *m, const struct hd_replica *r);

/* Finalized replicas that can be read; on nodes that are not stale, when fresh_only. */
uint32_t hd_blk_live(const struct hd_meta *m, struct hd_blk *b, bool fresh_only);
uint32_t hd_blk_expected(const struct hd_blk *b); /* how many are wanted */

struct hd_bad_replicas *hd_blk_bad(const struct hd_meta *m, const struct hd_blk *b); /* or NULL */
void hd_blk_add_bad(struct hd_meta *m, struct hd_blk *b, uint16_t storage, struct hd_genstamp gs,
                    uint64_t size_bytes);
void hd_blk_drop_bad(struct hd_meta *m, struct hd_blk *b, uint16_t storage);

/* One replica as a node reports it. */
void hd_block_map_report(struct hd_meta *m, struct hd_storage *s, struct hd_reported r);

/* A node says that it has deleted a replica. */
void hd_block_map_deleted(struct hd_meta *m, struct hd_storage *s, struct hd_block_id id);

/*
 * A full report of a storage begins, and ends: full_report.c has dropped what it did not name, but
 * for bad replicas, which are few.
 */
void hd_block_map_report_begin(struct hd_storage *s);
void hd_block_map_report_end(struct hd_meta *m, struct hd_storage *s);

/* ---- sweep.c ---- */

/*
 * All replicas of a dead node, or of a storage that failed, leave the map: they count no more at
 * once, and are swept out over the next steps, so that a node with a million of them holds up
 * nobody.
 */
void hd_block_map_drop_node(struct hd_meta *m, struct hd_node *node);
void hd_block_map_drop_storage(struct hd_meta *m, struct hd_storage *s);

/* Looks at that many replicas, when there is something to sweep. */
void hd_block_map_sweep(struct hd_meta *m, size_t most);

/* What was reported of an open block before its size was known; taken before the record that makes
 * it final, for the calls behind that. In the effects' arena. */
struct hd_early_reports {
    const struct hd_early_report *items;
    uint32_t count;
};
struct hd_early_reports hd_block_map_early(struct hd_meta *m, const struct hd_blk *b);

/* The namespace changed a block: its size was committed, or its chain is another one. */
void hd_block_map_committed(struct hd_meta *m, struct hd_blk *b,
                            const struct hd_early_reports *early);
void hd_block_map_chain(struct hd_meta *m, struct hd_blk *b, struct hd_genstamp old_gs,
                        const uint16_t *storages, size_t count);

/* A closed block is opened again. Its replicas have size_bytes, which is not what it has when it
 * was cut. */
void hd_block_map_reopened(struct hd_meta *m, struct hd_blk *b, uint64_t size_bytes);

/*
 * Block recovery has ended: exactly these replicas have the block's stamp and size. The others have
 * old_gs and are bad; unless they were reported already with the new stamp and size.
 */
struct hd_recovered {
    struct hd_genstamp old_gs;
    const uint16_t *storages;
    size_t count;
    struct hd_early_reports early; /* as they were before the record */
};
void hd_block_map_recovered(struct hd_meta *m, struct hd_blk *b, const struct hd_recovered *r);

/* The namespace lets go of the block. */
void hd_block_map_gone(void *meta, struct hd_blk *b);

/* Tells the replica's node to delete it, once what was committed so far is durable. */
void hd_block_map_invalidate(struct hd_meta *m, uint16_t storage, struct hd_block_id id,
                             struct hd_genstamp gs, uint64_t size_bytes);

#endif
