/*
 * Bytes from any replica of a block: by descriptor where one is on this machine, else by a race.
 *
 *   ask the best one ──patience──▶ ask the next one as well ──patience──▶ ...
 *        │                              │
 *        └── whoever answers first is read, the others are let go
 *
 * Who fails, or has not answered when another one has, is suspect for some seconds. A replica whose
 * sums do not fit is reported to meta once another one of the same block has proven good: where
 * none does, the fault may be this machine's.
 */
#include "fs/base/error.h"
#include "fs/client/reader.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <poll.h>

enum {
    CANDIDATES_MAX = 32,
    RUNNERS_MAX = 4,
    MAX_TIMEOUT_MS = 20000,
    REPORT_TIMEOUT_MS = 1000,
};

/* A replica that was asked and has not answered yet. */
struct runner {
    struct hd_block_stream in;
    size_t index; /* of the candidate */
    int64_t began_ms;
};

struct race {
    struct hd_reader *r;
    struct hd_part *p;
    struct hd_attempts *a;
    struct hd_candidate candidates[CANDIDATES_MAX];
    size_t count;
    struct runner runners[RUNNERS_MAX];
    size_t running;
    struct hd_kept_stream *place; /* where the winner's stream goes */
    uint64_t ask_bytes;
    int patience_ms;
};

static const char *uuid_of(const struct hd_part *p, size_t index)
{
    return p->block->locs[index]->id->datanode_uuid;
}

/* ---- bad replicas ---- */

void hd_attempts_note_bad(struct hd_attempts *a, const struct hd_part *p, const char *node)
{
    uint64_t id = p->block->b->block_id;
    for (size_t i = 0; i < HD_READER_BAD_MAX; i++) {
        if (a->bad[i].block_id == id && strcmp(a->bad[i].node, node) == 0) {
            return;
        }
    }
    size_t at = a->bad_next++ % HD_READER_BAD_MAX;
    a->bad[at].block_id = id;
    snprintf(a->bad[at].node, sizeof(a->bad[at].node), "%s", node);
}

static void report_bad(struct hd_reader *r, const struct hd_part *p, size_t index)
{
    Hdw__LocatedBlock bad = *p->block;
    bad.n_locs = 1;
    bad.locs = &p->block->locs[index];
    bool typed = p->block->n_storage_types == p->block->n_locs;
    bad.n_storage_types = typed ? 1 : 0;
    bad.storage_types = typed ? &p->block->storage_types[index] : NULL;
    bool named = p->block->n_storage_i_ds == p->block->n_locs;
    bad.n_storage_i_ds = named ? 1 : 0;
    bad.storage_i_ds = named ? &p->block->storage_i_ds[index] : NULL;
    bad.n_is_cached = 0;
    bad.corrupt = true;
    Hdw__LocatedBlock *list[] = {&bad};
    Hdw__ReportBadBlocksRequest request = HDW__REPORT_BAD_BLOCKS_REQUEST__INIT;
    request.n_blocks = 1;
    request.blocks = list;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    ProtobufCMessage *response;
    (void)hd_call_briefly(r->fs, "reportBadBlocks", &request.base,
                          &hdw__report_bad_blocks_response__descriptor, REPORT_TIMEOUT_MS, &arena,
                          &response);
}

/* The node has good bytes of the block: those whose sums did not fit are bad. */
static void report_beside(struct race *x, const char *good)
{
    for (size_t n = 0; n < HD_READER_BAD_MAX; n++) {
        if (x->a->bad[n].block_id != x->p->block->b->block_id ||
            strcmp(x->a->bad[n].node, good) == 0) {
            continue;
        }
        x->a->bad[n].block_id = 0;
        for (size_t i = 0; i < x->p->block->n_locs; i++) {
            if (strcmp(uuid_of(x->p, i), x->a->bad[n].node) == 0) {
                report_bad(x->r, x->p, i);
            }
        }
    }
}

/* ---- by descriptor ---- */

static int read_local(struct hd_reader *r, const struct hd_part *p, const Hdw__DatanodeInfo *node,
                      size_t *ret_done)
{
    struct hd_session *s = r->fs->session;
    struct hd_local_block *b;
    int err = hd_local_cache_get(&s->locals, s->socket_path, (int)node->id->xfer_port, p->block->b,
                                 p->block->block_token, &b);
    if (err < 0) {
        return -ENOENT; /* none to be had: over the network */
    }
    err = hd_local_block_read(b, p->out, p->size, p->offset);
    if (err == 0) {
        *ret_done = p->size;
        atomic_fetch_add(&r->local_bytes, p->size);
    } else {
        /* It may have been appended to meanwhile; the node itself tells, over the network. */
        hd_local_cache_drop(&s->locals, b);
        err = -ENOENT;
    }
    hd_local_cache_put(&s->locals, b);
    return err;
}

static bool read_any_local(struct race *x, size_t *ret_done)
{
    for (size_t i = 0; i < x->count && !x->p->incomplete; i++) {
        const struct hd_candidate *c = &x->candidates[i];
        if (c->local && !c->suspect &&
            read_local(x->r, x->p, x->p->block->locs[i], ret_done) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the race ---- */

static void list_candidates(struct race *x)
{
    struct hd_session *s = x->r->fs->session;
    x->count = HD_MIN(x->p->block->n_locs, (size_t)CANDIDATES_MAX);
    for (size_t i = 0; i < x->count; i++) {
        const Hdw__DatanodeID *id = x->p->block->locs[i]->id;
        x->candidates[i] = (struct hd_candidate){
            .local = s->socket_path != NULL && hd_session_is_local(s, id->ip_addr, id->host_name),
            .suspect = hd_session_node_suspect(s, id->datanode_uuid),
        };
    }
}

static void note_failure(struct race *x, size_t index, int err)
{
    atomic_fetch_add(&x->r->retries, 1);
    hd_session_node_failed(x->r->fs->session, uuid_of(x->p, index));
    if (err == -HD_E_CHECKSUM) {
        hd_attempts_note_bad(x->a, x->p, uuid_of(x->p, index));
    }
}

static int ask(struct race *x, size_t index, struct hd_conn_cache *cache)
{
    struct hd_session *s = x->r->fs->session;
    struct runner *w = &x->runners[x->running];
    bool others = x->running > 0 || hd_candidate_choose(x->candidates, x->count) >= 0;
    *w = (struct runner){.index = index, .began_ms = hd_clock_mono_ms().v};
    int err = hd_block_stream_ask(&w->in, cache, x->p->block, x->p->block->locs[index],
                                  s->client_name, x->p->offset, x->ask_bytes,
                                  others ? x->patience_ms : (int)HD_READER_PATIENT_MS);
    if (err == 0) {
        x->running++;
    } else {
        note_failure(x, index, err);
    }
    return err;
}

static void remove_runner(struct race *x, size_t at)
{
    x->runners[at] = x->runners[--x->running];
}

/* Whoever still runs is let go; who had time enough to answer is to blame. */
static void end_race(struct race *x)
{
    int64_t now = hd_clock_mono_ms().v;
    while (x->running > 0) {
        struct runner *w = &x->runners[--x->running];
        if (now - w->began_ms >= x->patience_ms) {
            note_failure(x, w->index, -ETIMEDOUT);
        }
        hd_block_stream_close(&w->in, NULL);
    }
}

/* The runner that has something to say; -1 when until_ms came first. */
static int await_runner(struct race *x, int64_t until_ms)
{
    struct pollfd fds[RUNNERS_MAX];
    for (size_t i = 0; i < x->running; i++) {
        fds[i] = (struct pollfd){.fd = x->runners[i].in.conn->stream.fd, .events = POLLIN};
    }
    int64_t left = HD_MAX(until_ms - hd_clock_mono_ms().v, (int64_t)0);
    if (poll(fds, x->running, (int)HD_MIN(left, (int64_t)MAX_TIMEOUT_MS)) <= 0) {
        return -1;
    }
    for (size_t i = 0; i < x->running; i++) {
        if (fds[i].revents != 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Hears a runner out: 0 when it read, else its error, and it is out of the race. */
static int hear(struct race *x, size_t at, size_t *ret_done)
{
    struct runner w = x->runners[at];
    struct hd_kept_stream *k = x->place;
    remove_runner(x, at);
    bool others = x->running > 0 || hd_candidate_choose(x->candidates, x->count) >= 0;
    x->p->timeout_ms =
        others ? hd_session_stream_patience_ms(x->r->fs->session) : (int)HD_READER_PATIENT_MS;
    w.in.conn->stream.timeout_ms = x->p->timeout_ms;
    bool reused = w.in.conn->reused;
    int err = hd_block_stream_hear(&w.in);
    if (err < 0 && reused && err != -ETIMEDOUT) { /* closed while it was idle */
        return ask(x, w.index, NULL) == 0 ? -EAGAIN : err;
    }
    if (err == 0) {
        hd_session_note_answer(x->r->fs->session, hd_clock_mono_ms().v - w.began_ms);
        k->in = w.in;
        k->open = true;
        snprintf(k->node, sizeof(k->node), "%s", uuid_of(x->p, w.index));
        err = hd_reader_read_stream(x->r, k, x->p, ret_done);
    }
    if (err < 0) {
        note_failure(x, w.index, err);
        if (k->open) {
            hd_block_stream_close(&k->in, NULL);
            k->open = false;
        }
        return err;
    }
    if (x->candidates[w.index].suspect) {
        hd_session_node_served(x->r->fs->session, uuid_of(x->p, w.index));
    }
    report_beside(x, uuid_of(x->p, w.index));
    return 0;
}

static int64_t deadline_of(const struct race *x)
{
    int64_t ms = (int64_t)HD_READER_PATIENT_MS << HD_MIN(x->a->round, 3);
    return hd_clock_mono_ms().v + HD_MIN(ms, (int64_t)MAX_TIMEOUT_MS);
}

static int run_race(struct race *x, size_t *ret_done)
{
    int err = hd_fail(-HD_E_MISSING_BLOCK, "%s: no data node has blk_%llu", x->r->path,
                      (unsigned long long)x->p->block->b->block_id);
    int64_t deadline_ms = deadline_of(x);
    int64_t next_ms = 0; /* when one more is asked */
    for (;;) {
        int64_t now = hd_clock_mono_ms().v;
        int next = x->running < RUNNERS_MAX && (x->running == 0 || now >= next_ms)
                       ? hd_candidate_choose(x->candidates, x->count)
                       : -1;
        if (next >= 0) {
            x->candidates[next].failed = true;
            int failed = ask(x, (size_t)next, &x->r->fs->session->conns);
            err = failed < 0 ? failed : err;
            next_ms = now + x->patience_ms;
            continue;
        }
        if (x->running == 0) {
            return err;
        }
        if (now >= deadline_ms) {
            return hd_fail(-ETIMEDOUT, "%s: no data node answers for blk_%llu", x->r->path,
                           (unsigned long long)x->p->block->b->block_id);
        }
        bool more = x->running < RUNNERS_MAX && hd_candidate_choose(x->candidates, x->count) >= 0;
        int at = await_runner(x, more ? HD_MIN(HD_MAX(next_ms, now), deadline_ms) : deadline_ms);
        if (at >= 0) {
            int heard = hear(x, (size_t)at, ret_done);
            if (heard == 0 || *ret_done > 0) {
                return 0; /* what came is good; the rest is another turn's */
            }
            err = heard != -EAGAIN ? heard : err;
        }
    }
}

int hd_reader_read_any(struct hd_reader *r, struct hd_part *p, struct hd_attempts *a,
                       size_t *ret_done)
{
    struct hd_kept_stream single = {.busy = true};
    struct race x = {.r = r, .p = p, .a = a};
    *ret_done = 0;
    list_candidates(&x);
    if (read_any_local(&x, ret_done)) {
        return 0;
    }
    x.patience_ms = hd_session_patience_ms(r->fs->session);
    x.place = p->alone ? NULL : hd_reader_take_place(r, p, &x.ask_bytes);
    if (x.place == NULL) {
        x.place = &single;
        x.ask_bytes = p->size;
    }
    int err = run_race(&x, ret_done);
    end_race(&x);
    hd_reader_give_back(r, x.place, x.place->open ? 0 : -EIO);
    if (x.place == &single) {
        hd_reader_drop_stream(r, &single);
    }
    return err;
}
