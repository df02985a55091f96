/* Changes into leveldb, beside the executor. See apply_thread.h. */
#include "meta/shell/apply_thread.h"
#include "meta/shell/threads.h"
#include "meta/shell/view.h"
#include "fs/base/error.h"
#include "fs/base/list.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { WRITE_BYTES = 1 << 20 };

/* A batch for the view; or, with fn, a snapshot wanted at this place of the queue. */
struct item {
    struct hd_list node;
    struct hd_kv_batch batch;
    struct hd_txid last;
    hd_apply_snapshot_fn fn;
    void *ctx;
};

struct hd_apply_thread {
    struct hd_kv *view;
    pthread_t thread;
    int failed; /* the apply thread's: why the view is not written any more */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t more;
    struct hd_list items;
    size_t backlog;
    struct hd_txid applied;
    bool stopping;
};

static void apply(struct hd_apply_thread *t, struct hd_kv_batch *b, struct hd_txid last)
{
    size_t size = b->ops.size;
    if (t->failed == 0) {
        int err = hd_view_batch_applied(b, last);
        if (err == 0) {
            err = hd_kv_write(t->view, b, false);
        }
        if (err < 0) {
            hd_log_error("view cannot be written; going on without it, the log has everything",
                         "txid=%" PRIu64 " reason=\"%s\"", last.v, hd_fail_describe(err));
            t->failed = err;
        }
    }
    hd_kv_batch_clear(b);
    pthread_mutex_lock(&t->lock);
    t->backlog -= size;
    if (t->failed == 0) {
        t->applied = last;
    }
    pthread_mutex_unlock(&t->lock);
}

static void give_snapshot(struct hd_apply_thread *t, const struct item *i)
{
    struct hd_kv_snapshot *s = NULL;
    int err = t->failed != 0 ? hd_fail(t->failed, "the view cannot be written; restart howdah-meta")
                             : hd_kv_snapshot_new(t->view, &s);
    i->fn(i->ctx, err, s, hd_apply_thread_applied(t));
}

/* The next items as one batch, up to WRITE_BYTES. Lock held. */
static struct hd_txid collect(struct hd_apply_thread *t, struct hd_kv_batch *out)
{
    struct hd_txid last = {0};
    while (!hd_list_empty(&t->items) && out->ops.size < WRITE_BYTES) {
        struct item *i = HD_LIST_ENTRY(t->items.next, struct item, node);
        if (i->fn != NULL) {
            break;
        }
        if (out->count == 0) {
            struct hd_kv_batch swap = *out;
            *out = i->batch;
            i->batch = swap;
        } else if (hd_buf_add(&out->ops, i->batch.ops.data, i->batch.ops.size) < 0) {
            break;
        } else {
            out->count += i->batch.count;
        }
        last = i->last;
        hd_list_remove(&i->node);
        hd_kv_batch_done(&i->batch);
        free(i);
    }
    return last;
}

static void *run(void *ctx)
{
    struct hd_apply_thread *t = ctx;
    struct hd_kv_batch batch = {0};
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (hd_list_empty(&t->items) && !t->stopping) {
            pthread_cond_wait(&t->more, &t->lock);
        }
        if (hd_list_empty(&t->items)) {
            break;
        }
        struct hd_txid last = collect(t, &batch);
        struct item *asks = NULL;
        if (last.v == 0) {
            asks = HD_LIST_ENTRY(hd_list_pop_front(&t->items), struct item, node);
        }
        pthread_mutex_unlock(&t->lock);
        if (asks != NULL) {
            give_snapshot(t, asks);
            free(asks);
        } else {
            apply(t, &batch, last);
        }
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    hd_kv_batch_done(&batch);
    return NULL;
}

int hd_apply_thread_start(struct hd_kv *view, struct hd_txid applied, struct hd_apply_thread **ret)
{
    struct hd_apply_thread *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    t->view = view;
    t->applied = applied;
    hd_list_init(&t->items);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->more, NULL);
    int err = hd_meta_thread_start(&t->thread, "apply", run, t);
    if (err < 0) {
        free(t);
        return err;
    }
    *ret = t;
    return 0;
}

static int add(struct hd_apply_thread *t, struct item item)
{
    struct item *i = malloc(sizeof(*i));
    if (i == NULL) {
        return -ENOMEM;
    }
    *i = item;
    pthread_mutex_lock(&t->lock);
    bool idle = hd_list_empty(&t->items);
    hd_list_push_back(&t->items, &i->node);
    t->backlog += i->batch.ops.size;
    if (idle) {
        pthread_cond_signal(&t->more);
    }
    pthread_mutex_unlock(&t->lock);
    return 0;
}

int hd_apply_thread_submit(struct hd_apply_thread *t, struct hd_kv_batch *b, struct hd_txid last)
{
    int err = add(t, (struct item){.batch = *b, .last = last});
    if (err == 0) {
        *b = (struct hd_kv_batch){0};
    }
    return err;
}

int hd_apply_thread_snapshot(struct hd_apply_thread *t, hd_apply_snapshot_fn fn, void *ctx)
{
    return add(t, (struct item){.fn = fn, .ctx = ctx});
}

size_t hd_apply_thread_backlog(struct hd_apply_thread *t)
{
    pthread_mutex_lock(&t->lock);
    size_t v = t->backlog;
    pthread_mutex_unlock(&t->lock);
    return v;
}

struct hd_txid hd_apply_thread_applied(struct hd_apply_thread *t)
{
    pthread_mutex_lock(&t->lock);
    struct hd_txid v = t->applied;
    pthread_mutex_unlock(&t->lock);
    return v;
}

void hd_apply_thread_stop(struct hd_apply_thread *t)
{
    if (t == NULL) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->more);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->more);
    free(t);
}
