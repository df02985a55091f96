/* fetchEdits: the stream of durable records that the secondary follows. See service.h. */
#include "meta/shell/service_impl.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    FETCH_MAX_BYTES = 4 << 20,
    FETCH_WAIT_MAX_MS = 60000,
    FETCH_GAP_MS = 10, /* between two answers with records: under load they come in batches */
};

/* One fetchEdits: parked while there is nothing for it, then a job that reads the segments. */
struct fetch {
    struct hd_list node; /* while parked */
    struct hd_job job;
    struct hd_meta_service *s;
    struct hd_rpc_call *call;
    struct hd_txid from;
    struct hd_txid limit;
    uint32_t max_bytes;
    int64_t deadline_ms;
    /* from the job */
    int err;
    char text[HD_FAIL_TEXT_BYTES];
    struct hd_buf records;
};

static void answer(struct fetch *f, bool purged)
{
    struct hd_meta_service *s = f->s;
    Hdw__FetchEditsResponse r = HDW__FETCH_EDITS_RESPONSE__INIT;
    r.records.data = f->records.data;
    r.records.len = f->records.size;
    r.durable_txid = s->x->durable.v;
    r.has_purged = purged;
    r.purged = purged;
    r.has_checkpoint_wanted = s->ask_secondary;
    r.checkpoint_wanted = s->ask_secondary;
    s->ask_secondary = false; /* told */
    hd_rpc_reply(f->call, &r.base, (int64_t)s->x->written.v);
    hd_buf_done(&f->records);
    free(f);
}

static void run_read(struct hd_job *job)
{
    struct fetch *f = HD_CONTAINER(job, struct fetch, job);
    struct hd_txid next;
    f->err =
        hd_edit_log_read(f->s->x->store->log, f->from, f->limit, f->max_bytes, &f->records, &next);
    snprintf(f->text, sizeof(f->text), "%s", f->err < 0 ? hd_fail_describe(f->err) : "");
}

static void read_done(struct hd_job *job)
{
    struct fetch *f = HD_CONTAINER(job, struct fetch, job);
    if (job->cancelled) {
        answer(f, false); /* nothing yet */
        return;
    }
    if (f->err == 0 || f->err == -ENOENT) {
        answer(f, f->err == -ENOENT);
        return;
    }
    hd_log_error("edits do not read back", "from=%" PRIu64 " reason=\"%s\"", f->from.v, f->text);
    hd_rpc_reply_error(f->call, f->err, f->text);
    hd_buf_done(&f->records);
    free(f);
}

static void start_read(struct fetch *f)
{
    f->limit = f->s->x->durable;
    f->s->fetch_at = hd_loop_now(f->s->x->loop);
    f->job = (struct hd_job){.run = run_read, .done = read_done};
    hd_worker_add(f->s->files, &f->job);
}

static void note_secondary(struct hd_meta_service *s, const struct hd_rpc_call *call,
                           const Hdw__FetchEditsRequest *q)
{
    if (s->secondary_conn != call->conn_id) {
        hd_log_info("secondary connected", "peer=%s from=%" PRIu64, call->peer_ip, q->from_txid);
    }
    s->secondary_conn = call->conn_id;
    s->secondary_txid.v = q->has_applied_txid ? q->applied_txid : q->from_txid - 1;
    s->secondary_seen = hd_loop_now(s->x->loop);
    s->secondary_seen_wall = hd_clock_wall_ms();
}

void hd_service_fetch_edits(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    const Hdw__FetchEditsRequest *q =
        hd_service_decode(call, &hdw__fetch_edits_request__descriptor);
    if (q == NULL) {
        return;
    }
    struct fetch *f = calloc(1, sizeof(*f));
    if (f == NULL || q->from_txid == 0 || q->from_txid > s->x->stepped.v + 1) {
        char text[128];
        snprintf(text, sizeof(text), "no edits from txid %" PRIu64 ": the log ends with %" PRIu64,
                 q->from_txid, s->x->stepped.v);
        hd_rpc_reply_error(call, -EINVAL, text);
        free(f);
        return;
    }
    note_secondary(s, call, q);
    *f = (struct fetch){.s = s,
                        .call = call,
                        .from = {q->from_txid},
                        .max_bytes = HD_MIN(q->max_bytes, (uint32_t)FETCH_MAX_BYTES),
                        .deadline_ms = hd_loop_now(s->x->loop).v +
                                       HD_MIN(q->wait_ms, (uint32_t)FETCH_WAIT_MAX_MS)};
    hd_list_init(&f->node);
    if (f->from.v > s->x->durable.v && (q->wait_ms == 0 || s->ask_secondary)) {
        answer(f, false);
        return;
    }
    hd_list_push_back(&s->fetches, &f->node);
    hd_service_fetches_wake(s);
}

void hd_service_fetches_timer(void *service)
{
    hd_service_fetches_wake(service);
}

void hd_service_fetches_wake(struct hd_meta_service *s)
{
    if (hd_list_empty(&s->fetches) || s->x->stopping) {
        return;
    }
    int64_t since_ms = hd_loop_now(s->x->loop).v - s->fetch_at.v;
    if (since_ms < FETCH_GAP_MS) {
        hd_loop_timer_set(s->fetch_timer, FETCH_GAP_MS - since_ms);
        return;
    }
    HD_LIST_FOR_SAFE(it, &s->fetches)
    {
        struct fetch *f = HD_LIST_ENTRY(it, struct fetch, node);
        if (f->from.v <= s->x->durable.v) {
            hd_list_remove(&f->node);
            start_read(f);
        } else if (s->ask_secondary) {
            hd_list_remove(&f->node);
            answer(f, false);
        }
    }
}

void hd_service_fetches_end(struct hd_meta_service *s)
{
    for (struct hd_list *node; (node = hd_list_pop_front(&s->fetches)) != NULL;) {
        answer(HD_LIST_ENTRY(node, struct fetch, node), false);
    }
}

void hd_service_fetches_tick(struct hd_meta_service *s, struct hd_mono_ms now)
{
    HD_LIST_FOR_SAFE(it, &s->fetches)
    {
        struct fetch *f = HD_LIST_ENTRY(it, struct fetch, node);
        if (now.v >= f->deadline_ms) {
            hd_list_remove(&f->node);
            answer(f, false);
        }
    }
}
