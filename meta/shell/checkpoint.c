/*
 * Checkpoints on request: by the secondary when one is connected, else made here.
 *
 * Here: roll the log, wait until the view has what was acknowledged when the call came, take a
 * snapshot of it on the apply thread, write and verify the image on the images thread, purge.
 */
#include "meta/shell/image_make.h"
#include "meta/shell/service_impl.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* A caller; in the call's arena. */
struct waiter {
    struct hd_list node;
    struct hd_rpc_call *call;
    struct hd_txid target; /* the image has to cover this */
};

/* A checkpoint that is being made here. */
struct making {
    struct hd_job job;
    struct hd_meta_service *s;
    struct hd_kv_snapshot *snapshot;
    struct hd_txid applied;
    struct hd_image_info info;
    int err;
    char text[HD_FAIL_TEXT_BYTES];
};

static void answer(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    if (strcmp(call->method, "saveNamespace") == 0) {
        Hdw__SaveNamespaceResponse r = HDW__SAVE_NAMESPACE_RESPONSE__INIT;
        r.has_saved = true;
        r.saved = true;
        hd_rpc_reply(call, &r.base, (int64_t)s->x->written.v);
        return;
    }
    char path[HD_IMAGE_PATH_BYTES];
    Hdw__CheckpointResponse r = HDW__CHECKPOINT_RESPONSE__INIT;
    hd_image_path(hd_edit_log_dir(s->x->store->log), s->image_txid, path);
    r.txid = s->image_txid.v;
    r.path = path;
    hd_rpc_reply(call, &r.base, (int64_t)s->x->written.v);
}

static void answer_all(struct hd_meta_service *s)
{
    HD_LIST_FOR_SAFE(it, &s->checkpoints)
    {
        struct waiter *w = HD_LIST_ENTRY(it, struct waiter, node);
        if (w->target.v <= s->image_txid.v) {
            hd_list_remove(&w->node);
            answer(s, w->call);
        }
    }
    if (hd_list_empty(&s->checkpoints)) {
        s->asked_at.v = 0;
        s->ask_secondary = false;
    }
}

static void fail_all(struct hd_meta_service *s, int err, const char *text)
{
    HD_LIST_FOR_SAFE(it, &s->checkpoints)
    {
        struct waiter *w = HD_LIST_ENTRY(it, struct waiter, node);
        hd_list_remove(&w->node);
        hd_rpc_reply_error(w->call, err, text);
    }
    s->asked_at.v = 0;
    s->ask_secondary = false;
}

void hd_service_image_kept(struct hd_meta_service *s, struct hd_txid txid)
{
    hd_log_info("checkpoint kept", "txid=%" PRIu64, txid.v);
    s->image_txid.v = HD_MAX(s->image_txid.v, txid.v);
    s->image_at = hd_loop_now(s->x->loop);
    answer_all(s);
}

/* --- made here --- */

static void run_make(struct hd_job *job)
{
    struct making *m = HD_CONTAINER(job, struct making, job);
    const struct hd_executor *x = m->s->x;
    if (m->err == 0) {
        m->err = hd_image_make(hd_edit_log_dir(x->store->log), x->store->view, m->snapshot,
                               m->applied, &x->conf->core, &x->store->version, &m->info);
        hd_kv_snapshot_free(x->store->view, m->snapshot);
        m->snapshot = NULL;
        if (m->err == 0) {
            m->err = hd_image_retain(hd_edit_log_dir(x->store->log), x->store->log,
                                     (size_t)x->conf->checkpoints_kept);
        }
        snprintf(m->text, sizeof(m->text), "%s", m->err < 0 ? hd_fail_describe(m->err) : "");
    }
}

static void start_making(struct hd_meta_service *s);

static void make_done(struct hd_job *job)
{
    struct making *m = HD_CONTAINER(job, struct making, job);
    struct hd_meta_service *s = m->s;
    s->making = false;
    if (job->cancelled) {
        hd_kv_snapshot_free(s->x->store->view, m->snapshot);
        m->err = -HD_E_RETRIABLE;
        snprintf(m->text, sizeof(m->text), "%s", hd_service_stopping);
    }
    if (m->err < 0) {
        hd_log_error("checkpoint failed", "reason=\"%s\"", m->text);
        s->image_at = hd_loop_now(s->x->loop); /* the next try by itself is an interval away */
        fail_all(s, m->err, m->text);
    } else {
        hd_service_image_kept(s, m->applied);
        if (!hd_list_empty(&s->checkpoints) && s->asked_at.v == 0 && !s->x->stopping) {
            start_making(s); /* for those that came meanwhile */
        }
    }
    free(m);
}

/* On the apply thread. */
static void on_snapshot(void *ctx, int err, struct hd_kv_snapshot *snapshot, struct hd_txid applied)
{
    struct making *m = ctx;
    m->err = err;
    m->snapshot = snapshot;
    m->applied = applied;
    snprintf(m->text, sizeof(m->text), "%s", err < 0 ? hd_fail_describe(err) : "");
    m->job = (struct hd_job){.run = run_make, .done = make_done};
    hd_worker_add(m->s->images, &m->job);
}

/* The log is rolled, and what it holds is on its way into the view. */
static void on_rolled(void *ctx, struct hd_txid last)
{
    struct making *m = ctx;
    (void)last;
    if (m->s->x->stopping) {
        m->job.cancelled = true;
        make_done(&m->job);
        return;
    }
    if (hd_apply_thread_snapshot(m->s->x->apply, on_snapshot, m) < 0) {
        m->err = -ENOMEM;
        make_done(&m->job);
    }
}

static void start_making(struct hd_meta_service *s)
{
    if (s->making) {
        return;
    }
    struct making *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        fail_all(s, -HD_E_RETRIABLE, "meta is out of memory for a checkpoint");
        return;
    }
    m->s = s;
    s->making = true;
    s->asked_at.v = 0;
    s->ask_secondary = false;
    hd_executor_flush(s->x);
    if (hd_log_thread_roll(s->x->log, on_rolled, m) < 0) {
        m->err = -ENOMEM;
        make_done(&m->job);
    }
}

void hd_service_checkpoint(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    struct hd_txid target = s->x->stepped;
    if (target.v == s->image_txid.v && target.v > 0) {
        answer(s, call);
        return;
    }
    struct waiter *w = HD_ARENA_NEW(&call->arena, struct waiter);
    if (w == NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return;
    }
    *w = (struct waiter){.call = call, .target = target};
    hd_list_push_back(&s->checkpoints, &w->node);
    if (s->secondary_conn == 0) {
        start_making(s);
    } else if (!s->making) {
        s->asked_at = hd_loop_now(s->x->loop);
        s->ask_secondary = true;
        hd_service_fetches_wake(s);
    }
}

void hd_service_checkpoints_end(struct hd_meta_service *s)
{
    fail_all(s, -HD_E_RETRIABLE, hd_service_stopping);
}

void hd_service_secondary_lost(struct hd_meta_service *s)
{
    if (s->asked_at.v != 0) {
        start_making(s);
    }
}

/* Nobody else makes checkpoints while there is no secondary: the log must not grow for ever. */
static bool is_due(const struct hd_meta_service *s, struct hd_mono_ms now)
{
    uint64_t behind = s->x->durable.v - HD_MIN(s->image_txid.v, s->x->durable.v);
    bool alone = s->secondary_conn == 0 && now.v - s->secondary_seen.v > HD_SECONDARY_GONE_MS;
    return alone && behind > 0 &&
           (behind >= (uint64_t)s->x->conf->checkpoint_txns ||
            now.v - s->image_at.v >= s->x->conf->checkpoint_interval_s * 1000);
}

void hd_service_checkpoint_tick(struct hd_meta_service *s, struct hd_mono_ms now)
{
    bool tired = s->asked_at.v != 0 && now.v - s->asked_at.v > HD_CHECKPOINT_WAIT_MS;
    if (tired) {
        hd_log_warn("secondary did not make the checkpoint it was asked for", "txid=%" PRIu64,
                    s->secondary_txid.v);
    }
    if (!s->making && (tired || is_due(s, now))) {
        start_making(s);
    }
}
