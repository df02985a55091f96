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
    /* Between two answers with records while nobody waits for the secondary: they come in batches.
     */
    FETCH_GAP_MS = 10,
    RECENT_MAX_BYTES = 8 << 20,
};

/* Records as they were handed to the log, first..last. */
struct recent {
    struct hd_list node;
    struct hd_txid first, last;
    size_t size;
    uint8_t frames[];
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
    hd_ha_fetch_answer(s->x->ha, &r);
    hd_rpc_reply(f->call, &r.base, (int64_t)s->x->written.v);
    free(r.witnesses);
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

/* What is still in memory and durable; false: none of it begins with f->from. */
static bool take_recent(struct fetch *f)
{
    struct hd_list *head = &f->s->recent;
    struct hd_list *it = head->prev;
    while (it != head && HD_LIST_ENTRY(it, struct recent, node)->first.v > f->from.v) {
        it = it->prev;
    }
    for (; it != head; it = it->next) {
        const struct recent *r = HD_LIST_ENTRY(it, struct recent, node);
        if (r->first.v != f->from.v || r->last.v > f->s->x->durable.v ||
            (f->records.size > 0 && f->records.size + r->size > f->max_bytes) ||
            hd_buf_add(&f->records, r->frames, r->size) < 0) {
            break;
        }
        f->from.v = r->last.v + 1;
    }
    return f->records.size > 0;
}

void hd_service_recent_add(struct hd_meta_service *s, struct hd_txid first, struct hd_txid last,
                           const void *frames, size_t size)
{
    struct recent *r = size < RECENT_MAX_BYTES ? malloc(sizeof(*r) + size) : NULL;
    if (r != NULL) {
        *r = (struct recent){.first = first, .last = last, .size = size};
        memcpy(r->frames, frames, size);
        hd_list_push_back(&s->recent, &r->node);
        s->recent_bytes += size;
    }
    while (s->recent_bytes > RECENT_MAX_BYTES) {
        struct recent *old = HD_LIST_ENTRY(hd_list_pop_front(&s->recent), struct recent, node);
        s->recent_bytes -= old->size;
        free(old);
    }
}

static void start_read(struct fetch *f)
{
    f->s->fetch_at = hd_loop_now(f->s->x->loop);
    if (take_recent(f)) {
        answer(f, false);
        return;
    }
    f->limit = f->s->x->durable;
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
    if (f != NULL && !hd_ha_follows(s->x->ha, q)) {
        *f = (struct fetch){.s = s, .call = call};
        if (s->x->fenced) { /* nothing of what we say counts any more */
            hd_rpc_reply_error(call, -HD_E_STANDBY, "this meta is not the primary any more");
            free(f);
        } else {
            answer(f, false); /* it learns our epoch */
        }
        return;
    }
    if (f == NULL || q->from_txid == 0 || q->from_txid > s->x->stepped.v + 1) {
        char text[128];
        snprintf(text, sizeof(text), "no edits from txid %" PRIu64 ": the log ends with %" PRIu64,
                 q->from_txid, s->x->stepped.v);
        hd_rpc_reply_error(call, -EINVAL, text);
        free(f);
        return;
    }
    note_secondary(s, call, q);
    hd_ha_fetch(s->x->ha, q);
    *f = (struct fetch){.s = s,
                        .call = call,
                        .from = {q->from_txid},
                        .max_bytes = HD_MIN(q->max_bytes, (uint32_t)FETCH_MAX_BYTES),
                        .deadline_ms = hd_loop_now(s->x->loop).v +
                                       HD_MIN(q->wait_ms, (uint32_t)FETCH_WAIT_MAX_MS)};
    hd_list_init(&f->node);
    if (f->from.v > s->x->durable.v &&
        (q->wait_ms == 0 || s->ask_secondary || hd_ha_has_news(s->x->ha))) {
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
    bool waited_for = hd_ha_quorum(s->x->ha)->state == HD_QUORUM_BOTH;
    if (since_ms < FETCH_GAP_MS && !waited_for) {
        hd_loop_timer_set(s->fetch_timer, FETCH_GAP_MS - since_ms);
        return;
    }
    HD_LIST_FOR_SAFE(it, &s->fetches)
    {
        struct fetch *f = HD_LIST_ENTRY(it, struct fetch, node);
        if (f->from.v <= s->x->durable.v) {
            hd_list_remove(&f->node);
            start_read(f);
        } else if (s->ask_secondary || hd_ha_has_news(s->x->ha)) {
            hd_list_remove(&f->node);
            answer(f, false);
        }
    }
}

void hd_service_fetches_answer(struct hd_meta_service *s)
{
    for (struct hd_list *node; (node = hd_list_pop_front(&s->fetches)) != NULL;) {
        answer(HD_LIST_ENTRY(node, struct fetch, node), false);
    }
}

void hd_service_fetches_end(struct hd_meta_service *s)
{
    for (struct hd_list *node; (node = hd_list_pop_front(&s->recent)) != NULL;) {
        free(HD_LIST_ENTRY(node, struct recent, node));
    }
    hd_service_fetches_answer(s);
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
