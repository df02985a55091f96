/*
 * The simulated world: one thread, discrete events, everything drawn from one seed.
 *
 * Actors are meta, data nodes and clients. What an actor does is written as straight code in
 * fibers, which sleep and wait; everything that crosses between actors costs time and can fail. An
 * actor that is killed loses its fibers between two events and starts another life later. A fiber
 * keeps its heap memory in its arena, since it may never come back from a wait.
 *
 * Times are microseconds of the simulation. sim_fail() ends the seed with one line that repeats it.
 */
#ifndef HD_TESTS_SIM_SIM_H
#define HD_TESTS_SIM_SIM_H

#include "fs/base/arena.h"
#include "fs/base/assert.h"
#include "fs/base/prng.h"
#include "fs/base/types.h"

#include <protobuf-c/protobuf-c.h>

enum {
    SIM_NODES_MAX = 6,
    SIM_CLIENTS_MAX = 3,
    SIM_METAS_MAX = 2,
    SIM_META = 0, /* actors: metas, then nodes, then clients, then the operator */
    SIM_NODE = SIM_META + SIM_METAS_MAX,
    SIM_ACTORS_MAX = SIM_NODE + SIM_NODES_MAX + SIM_CLIENTS_MAX + 1,
    SIM_BLOCK_BYTES = 4096,
    SIM_FILE_BYTES = 4 * SIM_BLOCK_BYTES,
    SIM_REACH_TIMEOUT_US = 3000000,
};

struct sim;
struct sim_fiber;
struct sim_meta;
struct sim_node;
struct sim_client;
struct sim_rpc;
struct hd_witness;

typedef void sim_fn(struct sim *s, void *arg);

struct sim_actor {
    int index;
    char name[16];
    char ip[32];
    bool up;
    bool paused;
    int64_t paused_us; /* since then */
    int64_t resume_us; /* when the pause ends */
    uint32_t life;     /* counts starts */
    int meta;          /* which it believes to be the primary */
    uint64_t epoch;    /* the highest it has heard of */
    uint64_t conn;     /* its connection to that meta; 0: none */
    int64_t last_sent; /* requests of one actor arrive in order */
};

struct sim {
    uint64_t seed;
    bool verbose;
    struct hd_prng prng;
    int64_t now_us;
    int64_t wall_jump_ms; /* of meta's wall clock */
    uint64_t hash;        /* of everything traced */
    uint64_t events;
    uint64_t next_id;
    uint64_t next_seq;
    uint64_t next_conn;

    int node_count;
    int client_count;
    bool pair; /* there is a secondary */
    struct sim_actor actors[SIM_ACTORS_MAX];
    bool cut[SIM_ACTORS_MAX][SIM_ACTORS_MAX]; /* nothing gets from i to j */

    bool faults_on;
    int64_t harmed_us; /* when something was done to somebody last */
    bool stopping;     /* clients end their work */
    uint32_t lose_ppm; /* of calls that lose their connection */
    uint32_t slow_ppm; /* of messages that take long */
    uint32_t kill_node_ppm, kill_meta_ppm, kill_client_ppm; /* per fault round */
    uint32_t pause_ppm, cut_ppm, rot_ppm, jump_ppm, promote_ppm, duty_ppm, volume_ppm;

    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    struct sim_fiber *fibers; /* a list */
    struct sim_fiber *running;
    struct sim_rpc *rpcs; /* in flight, a list */

    struct sim_meta *metas[SIM_METAS_MAX];
    uint64_t won_epoch, won_txid; /* of the last promotion: where its log began */
    uint64_t promotions;
    bool promotion_wanted; /* one was begun, and has to be ended */
    struct sim_kept *kept;
    struct sim_node *nodes[SIM_NODES_MAX];
    struct sim_client *clients[SIM_CLIENTS_MAX];
    struct sim_writers *writers; /* who may write which file */
    uint64_t operations;         /* of clients, acknowledged */
};

/* ---- chance ---- */

static inline uint64_t sim_draw(struct sim *s, uint64_t bound)
{
    return hd_prng_below(&s->prng, bound);
}

static inline int64_t sim_between(struct sim *s, int64_t low, int64_t high)
{
    return low + (int64_t)hd_prng_below(&s->prng, (uint64_t)(high - low + 1));
}

static inline bool sim_chance(struct sim *s, uint32_t ppm)
{
    return hd_prng_below(&s->prng, 1000000) < ppm;
}

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed, bool verbose);
void sim_free(struct sim *s);

/* Enters the line into the trace's hash; prints it when the run is verbose. */
void sim_trace(struct sim *s, const char *fmt, ...) HD_PRINTF(2, 3);

/* Ends the process: "sim: seed N at T: ...", and how to repeat it. */
void sim_fail(struct sim *s, const char *fmt, ...) HD_PRINTF(2, 3) HD_NORETURN;

/* What crashes the process says which seed it was. */
void sim_catch_crashes(void);

/* Runs events until `until_us`, or until done() says so. True: done. */
bool sim_run(struct sim *s, int64_t until_us, bool (*done)(struct sim *s));

void sim_at(struct sim *s, int64_t at_us, sim_fn *fn, void *arg);

static inline int64_t sim_now_ms(const struct sim *s)
{
    return s->now_us / 1000;
}

/* ---- fibers ---- */

/* Starts fn in the current life of the actor, soon. Its id. */
uint64_t sim_spawn(struct sim *s, int actor, sim_fn *fn, void *arg);

void sim_sleep(struct sim *s, int64_t us);

/* Waits until sim_wake or the time has passed: true: woken. */
bool sim_wait(struct sim *s, int64_t timeout_us);
void sim_wake(struct sim *s, uint64_t fiber);

/* Memory of the running fiber: goes with it, or at sim_forget. */
struct hd_arena *sim_arena(struct sim *s);
int sim_self(const struct sim *s); /* the actor that runs */
uint64_t sim_fiber_id(const struct sim *s);

/* ---- life and death ---- */

void sim_start(struct sim *s, int actor);
void sim_kill(struct sim *s, int actor); /* its fibers are gone at once */

/* ---- the network ---- */

int64_t sim_delay(struct sim *s);

/* A message from one actor to another: returns when it has arrived, or -HD_E_CLOSED. */
int sim_reach(struct sim *s, int from, int to);
int sim_reach_within(struct sim *s, int from, int to, int64_t us);

/*
 * One call to meta, once. 0 and *ret (in the fiber's arena), or the error with *ret_text. *ret_lost
 * says that there was no answer: it may have run or not.
 */
struct sim_call {
    const char *protocol;
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response;
    int32_t call_id; /* < 0: none */
    bool again;      /* the earlier try may still arrive behind it */
};
int sim_call_meta(struct sim *s, const struct sim_call *c, const void **ret, const char **ret_text,
                  bool *ret_lost);

#define SIM_CLIENT_PROTOCOL   "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define SIM_DATANODE_PROTOCOL "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol"

/* A call on its way, as meta's shell sees it. */
struct sim_rpc {
    struct sim_rpc *next;
    uint64_t id;
    int from, to;
    uint64_t epoch;        /* of the caller */
    uint64_t answer_epoch; /* of who answered */
    uint64_t conn;
    uint64_t fiber; /* 0: nobody waits for the answer */
    const char *protocol;
    const char *method;
    uint8_t *body;
    size_t body_size;
    int32_t call_id;
    uint8_t client_id[16];
    bool answered;
    bool lost;
    int err;
    char *text;
    uint8_t *answer;
    size_t answer_size;
};

/* meta's answer leaves: err and text, or the encoded response (copied). */
void sim_answer(struct sim *s, uint64_t rpc, int err, const char *text, const uint8_t *body,
                size_t size);

/* All connections to that meta break. */
void sim_break_all(struct sim *s, int meta);

static inline int sim_operator(const struct sim *s)
{
    return SIM_NODE + s->node_count + s->client_count;
}

static inline bool sim_is_node(const struct sim *s, int actor)
{
    return actor >= SIM_NODE && actor < SIM_NODE + s->node_count;
}

/* Zeroed memory that lives as long as the world. */
void *sim_keep(struct sim *s, size_t size);

/* ---- meta (meta.c, ha.c) ---- */

struct sim_meta *sim_meta_new(struct sim *s, int index, bool primary);
void sim_meta_free(struct sim_meta *m);
void sim_meta_start(struct sim *s, int index); /* loads, replays, serves; or follows */
void sim_meta_crash(struct sim *s, int index); /* loose writes are kept, dropped or torn */
void sim_meta_request(struct sim *s, struct sim_rpc *r);
void sim_meta_closed(struct sim *s, int meta, uint64_t conn);
uint64_t sim_meta_epoch(const struct sim_meta *m);
bool sim_meta_serves(const struct sim_meta *m);

struct sim_meta *sim_active(struct sim *s); /* the primary of the highest epoch */
void sim_ha_resumed(struct sim *s, int index, int64_t paused_us);

/* What the data node has on its disk about who is primary. */
struct hd_witness *sim_node_witness(struct sim *s, int n);

/* The operator says that the secondary is to become the primary. */
void sim_promote(struct sim *s, bool force);

/* The view, the log and the memory say the same; fails otherwise. */
void sim_meta_check(struct sim *s);

/* What meta knows of a block; false: no more. Walks in the order of ids; start with 0. */
struct sim_block {
    uint64_t id, gs, size_bytes;
    uint32_t replication;
    bool complete;
};
bool sim_meta_next_block(struct sim *s, uint64_t after, struct sim_block *ret);

/* Where meta believes its replicas to be: "DS-1-0-0:2 ..." (enum hd_replica_state). */
const char *sim_meta_replicas(struct sim *s, uint64_t id);

/* How many finished replicas meta counts on other nodes than n, and how many there should be. */
uint32_t sim_meta_elsewhere(struct sim *s, uint64_t id, int n, uint32_t *ret_wanted);

/* The i-th block of a file; false: no such file or block. */
bool sim_meta_file_block(struct sim *s, const char *path, uint32_t i, struct sim_block *ret);

/* Why the cluster is not well yet; NULL: it is. */
const char *sim_meta_unwell(struct sim *s);

/* ---- faults and checks ---- */

void sim_faults_start(struct sim *s);
void sim_faults_heal(struct sim *s);
void sim_operator_start(struct sim *s);
bool sim_settled(struct sim *s);
const char *sim_unsettled(struct sim *s); /* what sim_settled waits for */
void sim_check_end(struct sim *s);

#endif
