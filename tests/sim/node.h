/*
 * Data nodes: a store of replicas in memory on the rules of fs/data/core, and the control of
 * fs/data/shell in small: registration, heartbeats and their commands, reports.
 *
 * A replica's bytes survive a kill; a power cut takes what was not synced. Calls that touch a
 * replica happen when a message has arrived (sim_reach) and cost no time by themselves.
 */
#ifndef HD_TESTS_SIM_NODE_H
#define HD_TESTS_SIM_NODE_H

#include "fs/data/core/recovery.h"
#include "fs/data/core/replica.h"
#include "fs/wire/witness.h"
#include "tests/sim/sim.h"

enum { SIM_VOLUMES_MAX = 3, SIM_STORAGE_BYTES = 24 };

struct sim_replica {
    struct sim_replica *next;
    struct hd_replica r;
    int volume;
    uint8_t data[SIM_BLOCK_BYTES];
    uint64_t synced_bytes;
    uint64_t writer; /* whose packets are taken */
    bool named;      /* somebody was told that it is durable: so is each later change */
    bool rotten;     /* its checksums do not fit */
    uint64_t rot_at;
    int64_t finalized_us;
    int64_t harmed_us;
};

struct sim_node {
    int index;                    /* of the node, from 0 */
    struct sim_replica *replicas; /* in the order of ids */
    struct sim_said *said;        /* incremental reports to send, oldest first */
    uint64_t control;             /* the fiber that talks to meta */
    int volumes;
    bool failed[SIM_VOLUMES_MAX];       /* a disk that died, until the node starts again
                                         */
    uint32_t replaced[SIM_VOLUMES_MAX]; /* how often: a new disk is another storage */
    int64_t full_until_us;
    bool registered;
    bool missing;              /* a replica was lost: the next scan will see it */
    struct hd_witness witness; /* on its disk */
};

void sim_node_start(struct sim *s, int n);
void sim_node_kill(struct sim *s, int n, bool power);
void sim_node_forget(struct sim *s, int n); /* what was to be reported */

struct sim_replica *sim_replica_find(struct sim *s, int n, uint64_t id);

/* The name of the directory that has it, or would take it. */
void sim_storage_name(struct sim *s, int n, int volume, char out[SIM_STORAGE_BYTES]);

/* All replicas of a disk are gone, and it takes no more. */
void sim_volume_fail(struct sim *s, int n, int volume);

/* The node comes back with new, empty disks. Its process must be down. */
void sim_node_empty(struct sim *s, int n);

/* Destroys the replica as a dying disk does: nobody is told. */
void sim_replica_lose(struct sim *s, int n, struct sim_replica *r);

/* How many other running nodes hold a finished, sound replica of this stamp and length. */
int sim_replica_peers(struct sim *s, int n, const struct sim_replica *r);

/* A set-up of WRITE_BLOCK has arrived: 0 or an error of hd_write_plan. */
int sim_node_setup(struct sim *s, int n, const struct hd_write_setup *setup, uint64_t writer);

/* A packet. -HD_E_CLOSED: the writer was stopped. */
int sim_node_write(struct sim *s, int n, uint64_t id, uint64_t writer, uint64_t offset,
                   const uint8_t *data, size_t size);
int sim_node_ack(struct sim *s, int n, uint64_t id, uint64_t writer, uint64_t end, bool sync);

/* The last packet: finalized, and reported. */
int sim_node_finish(struct sim *s, int n, uint64_t id, uint64_t writer);

/* A client's read. -HD_E_REPLICA_NOT_FOUND, -HD_E_CHECKSUM, or 0. */
int sim_node_read(struct sim *s, int n, uint64_t id, uint64_t gs, uint64_t size, uint8_t *out);

/* Copies a block that is being written from node `from` to node `to`; runs in the client's fiber.
 */
int sim_node_transfer_rbw(struct sim *s, int from, int to, uint64_t id, uint64_t gs,
                          uint64_t acked);

/* Verifies all replicas and reports the rotten ones. */
void sim_node_scan(struct sim *s, int n);

#endif
