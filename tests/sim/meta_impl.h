/* Between the shell of the simulated metas and their high availability. */
#ifndef HD_TESTS_SIM_META_IMPL_H
#define HD_TESTS_SIM_META_IMPL_H

#include "fs/base/error.h"
#include "meta/core/quorum.h"
#include "meta/core/state.h"
#include "meta/kv/kv.h"
#include "meta/log/record.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

enum { BATCHES_MAX = 4096, PARKED_MAX = 1024 };

struct batch { /* changes of the view that wait for their records */
    uint64_t txid;
    struct hd_kv_batch ops;
};

struct parked { /* an answer that waits for its record */
    uint64_t rpc;
    uint64_t after;
    int err;
    char *text;
    uint8_t *body;
    size_t size;
};

struct sim_meta {
    struct sim *sim;
    int index; /* SIM_META or SIM_META + 1 */
    struct hd_meta_options options;
    struct hd_meta *core; /* NULL: down, or not the primary */
    struct hd_meta_effects fx;
    struct hd_buf log;
    size_t *ends; /* ends[txid]: where its frame ends */
    size_t ends_capacity;
    uint64_t written, durable;
    uint64_t promised; /* the highest txid that was ever durable */
    bool syncing;
    uint64_t sync_target;
    struct hd_kv *view;
    uint64_t applied;
    struct batch batches[BATCHES_MAX];
    size_t batch_count;
    struct parked parked[PARKED_MAX];
    size_t parked_count;
    uint64_t life; /* of what is scheduled */
    int64_t tick_us;

    /* On its disk (VERSION): */
    uint64_t epoch, owner;
    uint64_t claim; /* the number of a promotion that has begun; 0: none */
    bool primary;
    bool incomplete; /* a secondary that may lack something acknowledged */
    bool has_view;

    /* High availability, while it is up (ha.c): */
    struct hd_quorum q;
    uint64_t asked;    /* serial of the newest round of witnesses */
    int followed;      /* answers to the secondary since the last doubt */
    uint64_t follower; /* the fiber of the secondary */
    bool tail_stopped;
    bool promoting;
};

static inline struct hd_mono_ms sim_meta_now(const struct sim_meta *m)
{
    return (struct hd_mono_ms){sim_now_ms(m->sim) + 1000000};
}

/* fn's arg names the meta and its life; it does not run in another life. */
void sim_meta_later(struct sim_meta *m, int64_t us, sim_fn *fn);
struct sim_meta *sim_meta_of(struct sim *s, const void *arg); /* NULL: another life */

void sim_meta_serve(struct sim_meta *m);
void sim_meta_stop(struct sim_meta *m);
void sim_meta_drop_waiting(struct sim_meta *m);
void sim_meta_release(struct sim_meta *m); /* answers that may leave */
void sim_meta_append(struct sim_meta *m, const uint8_t *data, size_t size);

/* ---- ha.c ---- */

void sim_ha_begin(struct sim_meta *m); /* it serves from now on */
void sim_ha_settle(
    struct sim_meta *m); /* does what its quorum asks for; it may be fenced by that */
void sim_ha_follow(struct sim_meta *m); /* as secondary */
void sim_ha_gone(struct sim_meta *m);   /* it has crashed */
void sim_ha_check_answer(struct sim_meta *m, uint64_t after);
const char *sim_ha_unwell(struct sim *s);

#endif
