/* Writing and syncing the log beside the executor. See log_thread.h. */
#include "meta/shell/log_thread.h"
#include "meta/shell/threads.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "meta/log/edit_log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { ROOM_RETRY_MS = 100, WRITE_NOW_MAX_BYTES = 64 << 10 };

struct roll {
    struct roll *next;
    hd_log_rolled_fn fn;
    void *ctx;
    struct hd_txid last;
};

struct hd_log_thread {
    struct hd_log_thread_options o;
    pthread_t writer;
    pthread_t syncer;
    pthread_mutex_t io; /* held during an fdatasync and during a roll */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t to_write;
    pthread_cond_t to_sync;
    struct hd_buf frames; /* submitted, not yet taken by the writer */
    struct hd_txid last;  /* of frames */
    struct hd_txid want;
    struct hd_txid written;
    struct hd_txid durable;
    uint64_t flush_at_ns; /* when what is written has to be durable; 0: all is */
    struct roll *rolls;   /* asked for behind `frames` */
    bool writing;         /* the writer is at work, without the lock */
    bool syncing;         /* so is the syncer */
    bool posted;          /* a progress post is on its way to the loop */
    bool stopping;
    bool writer_done;
    bool dead; /* stopped, but a progress post is under way: that frees it */
};

static HD_NORETURN void die(const char *what, int err)
{
    hd_log_error("edit log failed, ending before anything more is acknowledged",
                 "step=%s reason=\"%s\"", what, hd_fail_describe(err));
    abort();
}

static void run_progress(void *ctx)
{
    struct hd_log_thread *t = ctx;
    if (t->dead) {
        free(t);
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->posted = false;
    struct hd_txid written = t->written;
    struct hd_txid durable = t->durable;
    pthread_mutex_unlock(&t->lock);
    t->o.on_progress(t->o.ctx, written, durable);
}

/* Lock held. */
static void post_progress(struct hd_log_thread *t)
{
    if (t->posted || t->stopping) {
        return;
    }
    t->posted = hd_loop_post(t->o.loop, run_progress, t) == 0;
}

static void run_rolled(void *ctx)
{
    struct roll *r = ctx;
    r->fn(r->ctx, r->last);
    free(r);
}

/*
 * The disks are full, and nothing of what was to be written is: waits until it is worth another
 * try. False: there is no time left, the process is to stop.
 */
static bool wait_for_room(struct hd_log_thread *t, bool *said)
{
    if (!*said) {
        hd_log_error("no room for the edit log: answers wait until there is", "reason=\"%s\"",
                     hd_fail_text());
        *said = true;
    }
    hd_clock_sleep_ms(ROOM_RETRY_MS);
    pthread_mutex_lock(&t->lock);
    bool stopping = t->stopping;
    pthread_mutex_unlock(&t->lock);
    return !stopping;
}

/* Everything written is durable. */
static void note_durable(struct hd_log_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->durable = t->written;
    t->flush_at_ns = 0;
    post_progress(t);
    pthread_mutex_unlock(&t->lock);
}

/*
 * On the writer, with no lock held. Rolling makes everything written durable, also when there is no
 * room for the next segment: then there is none that the syncer could sync meanwhile.
 */
static void roll_now(struct hd_log_thread *t)
{
    int err;
    bool said = false;
    do {
        pthread_mutex_lock(&t->io);
        err = hd_edit_log_roll(t->o.log);
        if (err == 0 || err == -ENOSPC) {
            note_durable(t);
        }
        pthread_mutex_unlock(&t->io);
    } while (err == -ENOSPC && wait_for_room(t, &said));
    if (err < 0) {
        die("roll", err);
    }
}

/* Lock held. */
static void note_written(struct hd_log_thread *t, struct hd_txid last)
{
    t->written = last;
    bool first = t->flush_at_ns == 0;
    if (first) {
        t->flush_at_ns = hd_clock_mono_ns() + (uint64_t)t->o.flush_ms * 1000000u;
    }
    if (first || t->want.v > t->durable.v) {
        pthread_cond_signal(&t->to_sync);
    }
}

static void write_frames(struct hd_log_thread *t, struct hd_buf *mine, struct hd_txid last)
{
    if (mine->size == 0) {
        return;
    }
    if (hd_edit_log_is_full(t->o.log)) {
        roll_now(t);
    }
    int err;
    bool said = false;
    do {
        err = hd_edit_log_append(t->o.log, mine->data, mine->size, last);
    } while (err == -ENOSPC && wait_for_room(t, &said));
    if (err < 0) {
        die("write", err);
    }
    hd_buf_clear(mine);
    pthread_mutex_lock(&t->lock);
    note_written(t, last);
    if (t->want.v < last.v) { /* somebody may be content with `written` */
        post_progress(t);
    }
    pthread_mutex_unlock(&t->lock);
}

static void *run_writer(void *ctx)
{
    struct hd_log_thread *t = ctx;
    struct hd_buf mine = {0};
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (t->frames.size == 0 && t->rolls == NULL && !t->stopping) {
            pthread_cond_wait(&t->to_write, &t->lock);
        }
        if (t->frames.size == 0 && t->rolls == NULL) {
            break;
        }
        struct hd_buf swap = mine;
        mine = t->frames;
        t->frames = swap;
        struct hd_txid last = t->last;
        struct roll *rolls = t->rolls;
        t->rolls = NULL;
        t->writing = true;
        pthread_mutex_unlock(&t->lock);
        write_frames(t, &mine, last);
        if (rolls != NULL) {
            roll_now(t);
        }
        while (rolls != NULL) {
            struct roll *r = rolls;
            rolls = r->next;
            r->last = last;
            if (hd_loop_post(t->o.loop, run_rolled, r) < 0) {
                free(r);
            }
        }
        pthread_mutex_lock(&t->lock);
        t->writing = false;
    }
    t->writer_done = true;
    pthread_cond_signal(&t->to_sync);
    pthread_mutex_unlock(&t->lock);
    hd_buf_done(&mine);
    return NULL;
}

/* Waits until an fdatasync is due. False: everything is durable and the writer has ended. */
static bool wait_for_work(struct hd_log_thread *t)
{
    for (;;) {
        if (t->written.v > t->durable.v) {
            if (t->want.v > t->durable.v || t->writer_done || t->stopping ||
                hd_clock_mono_ns() >= t->flush_at_ns) {
                return true;
            }
            struct timespec ts = {.tv_sec = (time_t)(t->flush_at_ns / 1000000000u),
                                  .tv_nsec = (long)(t->flush_at_ns % 1000000000u)};
            pthread_cond_timedwait(&t->to_sync, &t->lock, &ts);
        } else if (t->writer_done) {
            return false;
        } else {
            pthread_cond_wait(&t->to_sync, &t->lock);
        }
    }
}

static void *run_syncer(void *ctx)
{
    struct hd_log_thread *t = ctx;
    pthread_mutex_lock(&t->lock);
    while (wait_for_work(t)) {
        t->flush_at_ns = 0;
        t->syncing = true;
        pthread_mutex_unlock(&t->lock);
        pthread_mutex_lock(&t->io);
        pthread_mutex_lock(&t->lock);
        /* As of now: all of it is in this segment, or synced. */
        struct hd_txid covered = t->written;
        if (covered.v <= t->durable.v) { /* a roll was faster, and may have left no segment */
            t->syncing = false;
            pthread_mutex_unlock(&t->io);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        int err = hd_edit_log_sync(t->o.log);
        pthread_mutex_unlock(&t->io);
        if (err < 0) {
            die("fdatasync", err);
        }
        pthread_mutex_lock(&t->lock);
        t->syncing = false;
        t->durable.v = HD_MAX(t->durable.v, covered.v);
        if (t->written.v > t->durable.v && t->flush_at_ns == 0) {
            t->flush_at_ns = hd_clock_mono_ns() + (uint64_t)t->o.flush_ms * 1000000u;
        }
        post_progress(t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int hd_log_thread_start(const struct hd_log_thread_options *options, struct hd_log_thread **ret)
{
    struct hd_log_thread *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    t->o = *options;
    t->written = t->durable = t->last = hd_edit_log_last(options->log);
    pthread_mutex_init(&t->io, NULL);
    pthread_mutex_init(&t->lock, NULL);
    hd_clock_cond_init(&t->to_write);
    hd_clock_cond_init(&t->to_sync);
    int err = hd_meta_thread_start(&t->writer, "log-write", run_writer, t);
    if (err < 0) {
        free(t);
        return err;
    }
    err = hd_meta_thread_start(&t->syncer, "log-sync", run_syncer, t);
    if (err < 0) {
        die("start", err);
    }
    *ret = t;
    return 0;
}

void hd_log_thread_submit(struct hd_log_thread *t, struct hd_buf *frames, struct hd_txid last,
                          struct hd_txid want)
{
    pthread_mutex_lock(&t->lock);
    if (frames->size > 0) {
        hd_assert(last.v > t->last.v);
        t->last = last;
        if (t->frames.size == 0) {
            struct hd_buf swap = t->frames;
            t->frames = *frames;
            *frames = swap;
        } else if (hd_buf_add(&t->frames, frames->data, frames->size) < 0) {
            die("queue", -ENOMEM);
        }
        hd_buf_clear(frames);
        pthread_cond_signal(&t->to_write);
    }
    if (want.v > t->want.v) {
        t->want = want;
        if (t->written.v > t->durable.v) {
            pthread_cond_signal(&t->to_sync);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

bool hd_log_thread_write_now(struct hd_log_thread *t, struct hd_buf *frames, struct hd_txid last,
                             struct hd_txid want)
{
    if (frames->size > WRITE_NOW_MAX_BYTES) {
        return false;
    }
    pthread_mutex_lock(&t->lock);
    bool busy = t->writing || t->syncing || t->frames.size > 0 || t->rolls != NULL;
    pthread_mutex_unlock(&t->lock);
    /* Only this thread gives the writer something to do: while it has nothing, the log is ours. */
    if (busy || hd_edit_log_is_full(t->o.log)) {
        return false;
    }
    int err = hd_edit_log_append(t->o.log, frames->data, frames->size, last);
    if (err == -ENOSPC) {
        return false; /* nothing was written: the writer waits for room */
    }
    if (err < 0) {
        die("write", err);
    }
    hd_buf_clear(frames);
    pthread_mutex_lock(&t->lock);
    hd_assert(last.v > t->last.v);
    t->last = last;
    t->want.v = HD_MAX(t->want.v, want.v);
    note_written(t, last);
    pthread_mutex_unlock(&t->lock);
    return true;
}

int hd_log_thread_roll(struct hd_log_thread *t, hd_log_rolled_fn fn, void *ctx)
{
    struct roll *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    *r = (struct roll){.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&t->lock);
    r->next = t->rolls;
    t->rolls = r;
    pthread_cond_signal(&t->to_write);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

void hd_log_thread_stop(struct hd_log_thread *t)
{
    if (t == NULL) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->to_write);
    pthread_cond_signal(&t->to_sync);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->writer, NULL);
    pthread_join(t->syncer, NULL);
    hd_buf_done(&t->frames);
    pthread_mutex_destroy(&t->io);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->to_write);
    pthread_cond_destroy(&t->to_sync);
    if (t->posted) {
        t->dead = true;
    } else {
        free(t);
    }
}
