/*
 * A file being written: packets, the chain of nodes they go through, and the file around them.
 * Inside the room.
 *
 *   hd_file_write ─▶ packet being filled ─▶ queue ─▶ socket        (write.c, write_packet.c)
 *                                             ▲         │ acks
 *                                             └─ resend ┘          (write_chain.c, write_setup.c,
 *                                                                   write_recover.c, write_nodes.c)
 *
 * There is no thread: who calls sends, and takes the acks that have come; it waits only when
 * WINDOW bytes are not acknowledged, or for a flush. The lease thread keeps an idle chain awake.
 *
 * A content (content.h) has a writer for each block it has open, which writes that one block and in
 * any order (`overwrite`). Several threads use it: whoever waits lets go of the lock meanwhile.
 */
#ifndef HD_CLIENT_WRITER_H
#define HD_CLIENT_WRITER_H

#include "fs/base/crc.h"
#include "fs/client/core/chain.h"
#include "fs/client/session.h"
#include "fs/wire/packet.h"

enum {
    HD_WRITER_PACKET_BYTES = 524288,
    HD_WRITER_WINDOW_BYTES = 8 << 20,
    HD_WRITER_RETAIN_BYTES = 1 << 20,  /* a block up to this size can begin anew elsewhere */
    HD_WRITER_ONE_GO_BYTES = 32 << 10, /* a block up to this size goes with its request */
    HD_WRITER_EXCLUDED_MAX = 64,
};

/* A packet: filled, then queued until its ack. data and sums are heap, owned. */
struct hd_wpacket {
    struct hd_list link;
    uint64_t offset; /* in the block */
    size_t size;     /* of data */
    size_t kept;     /* of it, bytes that an earlier packet carried already */
    size_t summed;   /* of data, whole chunks whose sums are there */
    size_t capacity; /* of data */
    uint8_t *data;
    uint8_t *sums;
    bool last;
    bool sync;
    int64_t seqno;
    uint8_t header[HD_PACKET_HEADER_MAX_BYTES];
    size_t header_size;
    size_t sent;     /* bytes of header, sums and data together */
    uint64_t serial; /* counts packets; unlike seqno it stays when the packet is sent again */
};

/* One node of the chain. Strings live in the chain's arena. */
struct hd_wnode {
    Hdw__DatanodeInfo *info;
    char *storage_id;
    Hdw__StorageType storage_type;
    char address[HD_ADDR_TEXT_BYTES];
};

/* The block being written. */
struct hd_wchain {
    bool open; /* meta gave a block */
    struct hd_arena arena;
    Hdw__ExtendedBlock block; /* num_bytes unused */
    Hdw__Token *token;
    struct hd_wnode *nodes; /* in the arena */
    size_t node_count;
    size_t node_capacity;
    struct hd_conn *conn; /* NULL: broken or not set up yet */
    struct hd_chain_state state;
    struct hd_list queue;   /* of packets sent and to be sent, in order */
    struct hd_list held;    /* acknowledged, kept while the block may begin anew */
    struct hd_list *unsent; /* of the queue: the first that is not all sent, or its head */
    size_t queue_bytes;
    size_t unsent_bytes; /* of the packets from `unsent` on */
    size_t held_bytes;
    int64_t next_seqno;
    uint64_t queued_serial;  /* of the last packet queued */
    uint64_t acked_serial;   /* of the last one acknowledged */
    uint64_t sure_bytes;     /* overwriting: every node has the block so long at least */
    uint64_t end;            /* of the bytes queued so far */
    int64_t heard_ms;        /* the last sign of progress */
    int64_t silent_since_ms; /* since when only probes answer; 0: not */
    int silence_ms;          /* without an ack until the nodes are asked whether they live */
    int64_t spoke_ms;        /* the last time something was sent */
};

struct hd_writer;

/* Where the block of a content's writer comes from. NULL: addBlock and abandonBlock of the file. */
struct hd_wsource {
    /* A fresh block from meta, in the chain's arena; nodes of w->excluded are not wanted. */
    int (*ask)(struct hd_writer *w, Hdw__LocatedBlock **ret);
    void (*acked)(struct hd_writer *w); /* acked_serial has grown */
    /* No node of the chain is left: what meta knows of the block is set up, when it can be. */
    int (*reopen)(struct hd_writer *w);
};

struct hd_writer {
    struct hd_fs *fs;
    char *path;
    uint64_t ino;
    int64_t mtime_ms; /* when it was opened */
    uint64_t block_bytes;
    uint32_t chunk_bytes;
    enum hd_checksum_type type;
    uint32_t replication;
    bool sync_on_close;
    bool overwrite; /* packets of any offset; the block begins with base_bytes of zeros */
    uint64_t base_bytes;
    const struct hd_wsource *source; /* NULL: the file's */

    struct hd_list link;  /* in the session */
    pthread_mutex_t lock; /* everything below; the lease thread only tries */
    pthread_cond_t quiet; /* overwrite: nobody polls the connection, or it is repaired */
    unsigned pollers;     /* threads that wait at the connection without the lock */
    bool repairing;
    int failed; /* final */
    char failure[512];
    uint64_t file_bytes;        /* accepted by hd_file_write */
    struct hd_wpacket *filling; /* NULL: none */
    struct hd_list spare;       /* packets to use again */
    size_t spare_count;
    bool full_packets; /* the file is not small */
    struct hd_wchain chain;
    bool has_previous; /* the last finished block, or the one to append to */
    Hdw__ExtendedBlock previous;
    char pool[256];
    uint64_t told_bytes;   /* of the current block, told to meta by fsync */
    bool unsynced_blocks;  /* finished without fsync, as far as known */
    size_t excluded_count; /* nodes not to be offered again */
    Hdw__DatanodeInfo *excluded[HD_WRITER_EXCLUDED_MAX]; /* heap, owned */
};

/* ---- write.c ---- */

/* A writer without a block, of the server's defaults. After an error there is nothing to be done.
 */
int hd_writer_init(struct hd_writer *w, struct hd_fs *fs, const char *path);

/* Frees what it holds; the block is left as it is. */
void hd_writer_done(struct hd_writer *w);

/* Who flushes is not in a hurry: most of the memory of the window is given back. */
void hd_writer_trim(struct hd_writer *w);

/* ---- write_packet.c ---- */

/* A packet that begins at offset; from the spare ones or new. NULL: no memory. */
struct hd_wpacket *hd_wpacket_get(struct hd_writer *w, uint64_t offset);
void hd_wpacket_put(struct hd_writer *w, struct hd_wpacket *p);
void hd_wpacket_free(struct hd_wpacket *p); /* takes NULL */

/* Copies up to size bytes in, at most to `room` of data in all; returns the count or -ENOMEM. */
int64_t hd_wpacket_fill(struct hd_writer *w, struct hd_wpacket *p, const void *data, size_t size,
                        size_t room);

/* Sums the last chunk and makes the header. */
void hd_wpacket_seal(struct hd_writer *w, struct hd_wpacket *p, int64_t seqno);

/* ---- write_nodes.c ---- */

int hd_wchain_add_node(struct hd_writer *w, const Hdw__LocatedBlock *from, size_t index);
void hd_wchain_drop_node(struct hd_writer *w, int index); /* and excludes it */
void hd_writer_exclude(struct hd_writer *w, const Hdw__DatanodeInfo *info);
void hd_writer_forgive(struct hd_writer *w); /* no node is excluded any more */

/*
 * Asks every node on its RPC port, for a second at most. The first that does not answer, or -1;
 * others that do not are dropped at once, unless none answers.
 */
int hd_wchain_probe(struct hd_writer *w);
bool hd_wchain_all_live(struct hd_writer *w);

/* Asks them when one of them failed somebody else just now, and drops those that do not answer. */
void hd_wchain_drop_silent(struct hd_writer *w);

/* ---- write_setup.c ---- */

/* Opens the connection of a chain: op 80 with its answer. *ret_bad: the node to blame, or -1. */
int hd_wchain_connect(struct hd_writer *w, Hdw__BlockConstructionStage stage, uint64_t new_genstamp,
                      int *ret_bad);

/* Everything in the queue is to be sent (again), under new numbers. */
void hd_wchain_rewind(struct hd_writer *w);

/* Takes over block and nodes of meta's answer, which lives in the chain's arena. */
int hd_wchain_set_block(struct hd_writer *w, const Hdw__LocatedBlock *from);
int hd_wchain_abandon(struct hd_writer *w); /* tells meta that the block is not wanted */

/*
 * addBlock and set-up, with other nodes as long as meta has any. What the queue holds is sent along
 * with the set-up, on every try from its beginning.
 */
int hd_wchain_begin(struct hd_writer *w);

/* ---- write_recover.c ---- */

/* Set-up on the last block of the file, which is `block` with its length. */
int hd_wchain_append(struct hd_writer *w, const Hdw__LocatedBlock *block);

/*
 * Set-up on a finished block, or on one whose chain was lost, with the stamp that meta gave for it;
 * all its replicas become num_bytes long. What the queue holds is to be sent (again).
 */
int hd_wchain_open(struct hd_writer *w, const Hdw__LocatedBlock *block, uint64_t new_stamp);

/* After a failure: begins anew or recovers. bad: index of the node to blame or -1. */
int hd_wchain_recover(struct hd_writer *w, int bad);

/* ---- write_chain.c ---- */

enum hd_wait {
    HD_WAIT_NOTHING, /* send what the socket takes */
    HD_WAIT_WINDOW,
    HD_WAIT_ALL, /* until everything is acknowledged */
};

void hd_wchain_init(struct hd_wchain *c);
void hd_wchain_done(struct hd_writer *w); /* closes and frees; packets become spare */

void hd_wchain_queue(struct hd_writer *w, struct hd_wpacket *p); /* takes it */

/* Sends `head` and behind it the queue (of a small block): data and the last packet. */
int hd_wchain_send_all(struct hd_writer *w, const struct hd_buf *head);

/* Every packet is acknowledged: a node of ours may serve another block on the connection. */
void hd_wchain_keep_conn(struct hd_writer *w);

/* Sends, takes acks, repairs. 0 or a final error. */
int hd_wchain_pump(struct hd_writer *w, enum hd_wait wait);

/* The same until the packet with that serial is acknowledged. */
int hd_wchain_await(struct hd_writer *w, uint64_t serial);

/* Closes the connection, when nobody waits at it any more. */
void hd_wchain_hang_up(struct hd_writer *w);

/* A heartbeat when the chain has been quiet; never waits. Called with the lock held. */
void hd_wchain_keep_awake(struct hd_writer *w, int64_t now_ms);

#endif
