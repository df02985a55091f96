/*
 * Records of the secondary that are durable in its log, into its core and its view: on a thread of
 * its own, so that the primary hears of their durability without waiting for it. See
 * secondary_impl.h.
 */
#include "meta/shell/secondary_impl.h"
#include "meta/shell/threads.h"
#include "fs/base/error.h"

#include <inttypes.h>

enum { PENDING_MAX_BYTES = 64 << 20 };

static int replay(struct hd_secondary *s, const struct hd_buf *frames)
{
    struct hd_meta_effects e;
    struct hd_kv_batch b = {0};
    struct hd_record r;
    size_t bytes;
    int err = 0;
    hd_meta_effects_init(&e);
    for (size_t at = 0; at < frames->size && err == 0; at += bytes) {
        (void)hd_record_decode(frames->data + at, frames->size - at, &r, &bytes);
        hd_meta_effects_reset(&e);
        err = hd_meta_replay(s->store.meta, r.data, r.size, &e);
        if (err < 0) {
            err = hd_fail(-HD_E_CORRUPT, "the record of txid %" PRIu64 " does not apply: %s",
                          r.txid.v, hd_error_name(err));
            break;
        }
        err = hd_view_batch_puts(&b, &e);
        s->store.applied = r.txid;
    }
    if (err == 0) {
        err = hd_view_batch_applied(&b, s->store.applied);
    }
    if (err == 0) {
        err = hd_kv_write(s->store.view, &b, false);
    }
    hd_kv_batch_done(&b);
    hd_meta_effects_done(&e);
    return err;
}

static void *run(void *ctx)
{
    struct hd_secondary *s = ctx;
    struct hd_secondary_replay *r = &s->replay;
    struct hd_buf mine = {0};
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (r->pending.size == 0 && !r->stopping) {
            pthread_cond_wait(&r->work, &r->lock);
        }
        if (r->pending.size == 0) {
            break;
        }
        struct hd_buf swap = mine;
        mine = r->pending;
        r->pending = swap;
        r->busy = true;
        int err = r->err;
        pthread_mutex_unlock(&r->lock);
        if (err == 0) { /* behind a failed one nothing fits */
            err = replay(s, &mine);
            hd_buf_clear(&mine);
            pthread_mutex_lock(&s->lock);
            s->applied = s->store.applied;
            pthread_mutex_unlock(&s->lock);
        }
        hd_buf_clear(&mine);
        pthread_mutex_lock(&r->lock);
        if (err < 0 && r->err == 0) {
            r->err = err;
            snprintf(r->text, sizeof(r->text), "%s", hd_fail_describe(err));
        }
        r->busy = false;
        pthread_cond_broadcast(&r->idle);
    }
    pthread_mutex_unlock(&r->lock);
    hd_buf_done(&mine);
    return NULL;
}

int hd_secondary_replay_start(struct hd_secondary *s)
{
    struct hd_secondary_replay *r = &s->replay;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->idle, NULL);
    int err = hd_meta_thread_start(&r->thread, "replay", run, s);
    r->runs = err == 0;
    return err;
}

void hd_secondary_replay_stop(struct hd_secondary *s)
{
    struct hd_secondary_replay *r = &s->replay;
    if (!r->runs) {
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    r->runs = false;
    hd_buf_done(&r->pending);
}

int hd_secondary_replay_add(struct hd_secondary *s, const struct hd_buf *frames)
{
    struct hd_secondary_replay *r = &s->replay;
    pthread_mutex_lock(&r->lock);
    while (r->pending.size > PENDING_MAX_BYTES) {
        pthread_cond_wait(&r->idle, &r->lock);
    }
    int err = r->err < 0 ? hd_fail(r->err, "%s", r->text)
                         : hd_buf_add(&r->pending, frames->data, frames->size);
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    return err;
}

int hd_secondary_replay_drain(struct hd_secondary *s)
{
    struct hd_secondary_replay *r = &s->replay;
    pthread_mutex_lock(&r->lock);
    while (r->pending.size > 0 || r->busy) {
        pthread_cond_wait(&r->idle, &r->lock);
    }
    int err = r->err < 0 ? hd_fail(r->err, "%s", r->text) : 0;
    r->err = 0;
    pthread_mutex_unlock(&r->lock);
    return err;
}
