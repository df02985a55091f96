/* See view_read.h. */
#include "meta/shell/view_read.h"
#include "meta/shell/threads.h"
#include "fs/base/error.h"

#include <pthread.h>

enum { PIECE_BYTES = 1 << 20, PIECES = 4 };

struct reading {
    struct hd_kv_iter *it;
    struct hd_kv_batch
        pieces[PIECES]; /* a ring; the reader's from `made` on, the caller's before */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t turn;
    size_t made;
    size_t taken;
    bool ended; /* nothing comes after `made` */
    bool given_up;
    int err; /* of the reading, behind what was made */
    char text[HD_FAIL_TEXT_BYTES];
};

/* Fills a piece. 1: there may be more; 0: that was all; or an error. */
static int fill(struct reading *r, struct hd_kv_batch *piece)
{
    struct hd_kv_op op;
    int err = 1;
    while (err > 0 && piece->ops.size < PIECE_BYTES && (err = hd_kv_iter_next(r->it, &op)) > 0) {
        err = hd_kv_batch_put(piece, op.key, op.key_size, op.value, op.value_size);
        err = err < 0 ? err : 1;
    }
    return err;
}

static void *run(void *ctx)
{
    struct reading *r = ctx;
    pthread_mutex_lock(&r->lock);
    while (!r->ended && !r->given_up) {
        if (r->made - r->taken == PIECES) {
            pthread_cond_wait(&r->turn, &r->lock);
            continue;
        }
        struct hd_kv_batch *piece = &r->pieces[r->made % PIECES];
        pthread_mutex_unlock(&r->lock);
        hd_kv_batch_clear(piece);
        int err = fill(r, piece);
        pthread_mutex_lock(&r->lock);
        if (err < 0) {
            r->err = err;
            snprintf(r->text, sizeof(r->text), "%s", hd_fail_describe(err));
        }
        r->ended = err <= 0;
        r->made++;
        pthread_cond_signal(&r->turn);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int give(const struct hd_kv_batch *piece, hd_view_read_fn fn, void *ctx)
{
    struct hd_kv_op op;
    int err = 0;
    for (size_t at = 0; err == 0 && hd_kv_batch_next(piece, &at, &op);) {
        err = fn(ctx, &op);
    }
    return err;
}

static int take_all(struct reading *r, hd_view_read_fn fn, void *ctx)
{
    int err = 0;
    pthread_mutex_lock(&r->lock);
    while (err == 0 && (r->taken < r->made || !r->ended)) {
        if (r->taken == r->made) {
            pthread_cond_wait(&r->turn, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        err = give(&r->pieces[r->taken % PIECES], fn, ctx);
        pthread_mutex_lock(&r->lock);
        r->taken++;
        pthread_cond_signal(&r->turn);
    }
    r->given_up = true;
    pthread_cond_signal(&r->turn);
    pthread_mutex_unlock(&r->lock);
    return err;
}

int hd_view_read(struct hd_kv *view, hd_view_read_fn fn, void *ctx)
{
    struct reading r = {.it = NULL};
    pthread_t thread;
    int err = hd_kv_iter_new(view, NULL, &r.it);
    if (err < 0) {
        return err;
    }
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.turn, NULL);
    err = hd_meta_thread_start(&thread, "view-read", run, &r);
    if (err == 0) {
        err = take_all(&r, fn, ctx);
        pthread_join(thread, NULL);
    }
    if (err == 0 && r.err < 0) {
        err = hd_fail(r.err, "%s", r.text);
    }
    for (size_t i = 0; i < PIECES; i++) {
        hd_kv_batch_done(&r.pieces[i]);
    }
    pthread_mutex_destroy(&r.lock);
    pthread_cond_destroy(&r.turn);
    hd_kv_iter_free(r.it);
    return err;
}
