/*
 * Incremental reports. See reporter.h.
 *
 * Who waits for a report sends it, with all that is queued, unless somebody is sending already;
 * then the next batch is his. The thread sends what nobody waits for, and what failed.
 */
#include "fs/data/shell/reporter.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    QUEUE_MAX = 200000,
    BATCH_MAX = 1000,
    DELETED_DELAY_MS = 300,
    RETRY_MS = 200,
    BATCH_ARENA_BYTES = 4 << 20,
};

struct item {
    struct hd_block block;
    Hdw__BlockStatus status;
    char storage_id[HD_LAYOUT_ID_BYTES];
    char *delete_hint; /* heap, owned; NULL */
};

struct hd_reporter {
    struct hd_data *data;
    pthread_t thread;
    pthread_mutex_t lock;     /* guards all below */
    pthread_cond_t changed;   /* for the thread */
    pthread_cond_t sent_some; /* for those who wait */
    struct item *queue;       /* heap ring of `capacity` */
    size_t capacity;
    uint64_t queued; /* counts for ever; item n is queue[n % capacity] */
    uint64_t sent;
    uint64_t urgent; /* everything before this number goes at once */
    int64_t oldest_ms;
    bool sending; /* a batch is under way */
    bool stopping;
};

static bool wait_until(struct hd_reporter *r, pthread_cond_t *cond, int64_t deadline_ms)
{
    struct timespec at = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait(cond, &r->lock, &at) != ETIMEDOUT;
}

static int grow(struct hd_reporter *r)
{
    if (r->queued - r->sent < r->capacity) {
        return 0;
    }
    size_t capacity = r->capacity == 0 ? 64 : r->capacity * 2;
    if (capacity > QUEUE_MAX) {
        return -HD_E_TOO_LARGE;
    }
    struct item *queue = calloc(capacity, sizeof(*queue));
    if (queue == NULL) {
        return -ENOMEM;
    }
    for (uint64_t n = r->sent; n < r->queued; n++) {
        queue[n % capacity] = r->queue[n % r->capacity];
    }
    free(r->queue);
    r->queue = queue;
    r->capacity = capacity;
    return 0;
}

/* Under the lock. When the queue is full, a full report will say it all. */
static int add(struct hd_reporter *r, const struct item *item, bool urgent)
{
    int err = grow(r);
    if (err < 0) {
        hd_control_wake(r->data->control, true);
        return err;
    }
    if (r->queued == r->sent) {
        r->oldest_ms = hd_clock_mono_ms().v;
    }
    r->queue[r->queued++ % r->capacity] = *item;
    if (urgent) {
        r->urgent = r->queued;
    }
    return 0;
}

static int send_queued(struct hd_reporter *r);

/* Sends it, and waits until meta has it; takes over its hint. */
static void say_now(struct hd_reporter *r, struct item *item, int64_t wait_ms)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + wait_ms;
    pthread_mutex_lock(&r->lock);
    int err = add(r, item, true);
    uint64_t mine = r->queued;
    /* Without meta nobody can be kept waiting for it: the report goes out when it is back. */
    int sent = 0;
    bool in_time = true;
    while (err == 0 && sent == 0 && in_time && r->sent < mine && !r->stopping &&
           hd_control_is_registered(r->data->control)) {
        if (r->sending) {
            in_time = wait_until(r, &r->sent_some, deadline_ms);
        } else {
            sent = send_queued(r);
        }
    }
    if (r->sent < mine) {
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    if (err < 0) {
        free(item->delete_hint);
    }
}

void hd_reporter_received(struct hd_reporter *r, const struct hd_replica *replica,
                          const char *storage_id, const char *delete_hint, int64_t wait_ms)
{
    struct item item = {.block = {replica->id, replica->gs, replica->size_bytes},
                        .status = HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED,
                        .delete_hint = delete_hint != NULL ? strdup(delete_hint) : NULL};
    snprintf(item.storage_id, sizeof(item.storage_id), "%s", storage_id);
    say_now(r, &item, wait_ms);
}

void hd_reporter_made(struct hd_reporter *r, const struct hd_replica *replica,
                      const char *storage_id, int64_t wait_ms)
{
    struct item item = {.block = {replica->id, replica->gs, replica->size_bytes},
                        .status = HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING};
    snprintf(item.storage_id, sizeof(item.storage_id), "%s", storage_id);
    say_now(r, &item, wait_ms);
}

/* Goes with the next batch. */
static void say_later(struct hd_reporter *r, const struct hd_block *block, Hdw__BlockStatus status,
                      const char *storage_id)
{
    struct item item = {.block = *block, .status = status};
    snprintf(item.storage_id, sizeof(item.storage_id), "%s", storage_id);
    pthread_mutex_lock(&r->lock);
    add(r, &item, false);
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void hd_reporter_receiving(struct hd_reporter *r, const struct hd_replica *replica,
                           const char *storage_id)
{
    say_later(r, &(struct hd_block){replica->id, replica->gs, replica->size_bytes},
              HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, storage_id);
}

void hd_reporter_deleted(struct hd_reporter *r, struct hd_block_id id, struct hd_genstamp gs,
                         const char *storage_id)
{
    say_later(r, &(struct hd_block){id, gs, 0}, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED,
              storage_id);
}

void hd_reporter_wake(struct hd_reporter *r)
{
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* --- sending --- */

static Hdw__ReceivedDeletedBlockInfo *info_of(const struct item *item, struct hd_arena *arena)
{
    Hdw__ReceivedDeletedBlockInfo *info = HD_ARENA_NEW(arena, Hdw__ReceivedDeletedBlockInfo);
    Hdw__Block *b = HD_ARENA_NEW(arena, Hdw__Block);
    if (info == NULL || b == NULL) {
        return NULL;
    }
    *b = (Hdw__Block)HDW__BLOCK__INIT;
    b->block_id = item->block.id.v;
    b->gen_stamp = item->block.gs.v;
    b->has_num_bytes = true;
    b->num_bytes = item->block.size_bytes;
    *info = (Hdw__ReceivedDeletedBlockInfo)HDW__RECEIVED_DELETED_BLOCK_INFO__INIT;
    info->block = b;
    info->status = item->status;
    info->delete_hint = item->delete_hint;
    return info;
}

/* The group of a storage in the request, made when it is not there yet. */
static Hdw__StorageReceivedDeletedBlocks *group_of(Hdw__BlockReceivedAndDeletedRequest *q,
                                                   const char *storage_id, struct hd_arena *arena)
{
    for (size_t i = 0; i < q->n_blocks; i++) {
        if (strcmp(q->blocks[i]->storage_uuid, storage_id) == 0) {
            return q->blocks[i];
        }
    }
    Hdw__StorageReceivedDeletedBlocks *g = HD_ARENA_NEW(arena, Hdw__StorageReceivedDeletedBlocks);
    Hdw__DatanodeStorage *storage = HD_ARENA_NEW(arena, Hdw__DatanodeStorage);
    char *id = hd_arena_str(arena, storage_id);
    if (g == NULL || storage == NULL || id == NULL || q->n_blocks == HD_STORE_VOLUMES_MAX) {
        return NULL;
    }
    *storage = (Hdw__DatanodeStorage)HDW__DATANODE_STORAGE__INIT;
    storage->storage_uuid = id;
    storage->has_state = true;
    storage->has_storage_type = true;
    *g = (Hdw__StorageReceivedDeletedBlocks)HDW__STORAGE_RECEIVED_DELETED_BLOCKS__INIT;
    g->storage_uuid = id;
    g->storage = storage;
    g->blocks = HD_ARENA_ARRAY(arena, Hdw__ReceivedDeletedBlockInfo *, BATCH_MAX);
    if (g->blocks == NULL) {
        return NULL;
    }
    q->blocks[q->n_blocks++] = g;
    return g;
}

/* Under the lock: the next batch as a request in the arena. Returns the items in it, 0: no memory.
 */
static size_t make_request(struct hd_reporter *r, struct hd_arena *arena,
                           Hdw__BlockReceivedAndDeletedRequest *q)
{
    size_t n = (size_t)HD_MIN(r->queued - r->sent, (uint64_t)BATCH_MAX);
    q->blocks = HD_ARENA_ARRAY(arena, Hdw__StorageReceivedDeletedBlocks *, HD_STORE_VOLUMES_MAX);
    for (size_t i = 0; i < n && q->blocks != NULL; i++) {
        const struct item *item = &r->queue[(r->sent + i) % r->capacity];
        Hdw__StorageReceivedDeletedBlocks *g = group_of(q, item->storage_id, arena);
        Hdw__ReceivedDeletedBlockInfo *info = info_of(item, arena);
        if (g == NULL || info == NULL) {
            return 0;
        }
        info->delete_hint =
            item->delete_hint != NULL ? hd_arena_str(arena, item->delete_hint) : NULL;
        g->blocks[g->n_blocks++] = info;
    }
    return q->blocks != NULL ? n : 0;
}

static int send_batch(struct hd_reporter *r, struct hd_arena *arena,
                      Hdw__BlockReceivedAndDeletedRequest *q)
{
    ProtobufCMessage *answer;
    q->registration = hd_control_registration(r->data->control, arena);
    q->block_pool_id = (char *)(uintptr_t)hd_store_pool_id(r->data->store);
    if (q->registration == NULL) {
        return -ENOMEM;
    }
    int err =
        hd_control_call(r->data->control, "blockReceivedAndDeleted", &q->base,
                        &hdw__block_received_and_deleted_response__descriptor, arena, &answer);
    if (err < 0) {
        hd_log_warn("report to meta failed", "error=\"%s\"", hd_fail_describe(err));
        hd_control_wake(r->data->control, false);
    }
    return err;
}

/* Under the lock: waits until there is something that should go now. False at the end. */
static bool wait_for_work(struct hd_reporter *r)
{
    while (!r->stopping) {
        bool waiting = r->queued > r->sent;
        int64_t now_ms = hd_clock_mono_ms().v;
        int64_t due_ms = r->urgent > r->sent ? now_ms : r->oldest_ms + DELETED_DELAY_MS;
        if (!waiting || r->sending) {
            pthread_cond_wait(&r->changed, &r->lock);
        } else if (!hd_control_is_registered(r->data->control)) {
            wait_until(r, &r->changed, now_ms + RETRY_MS);
        } else if (due_ms <= now_ms) {
            return true;
        } else {
            wait_until(r, &r->changed, due_ms);
        }
    }
    return false;
}

static void drop_sent(struct hd_reporter *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(r->queue[r->sent++ % r->capacity].delete_hint);
    }
}

/* Sends a batch of the queue, which nobody else is doing. Under the lock, let go meanwhile. */
static int send_queued(struct hd_reporter *r)
{
    struct hd_arena arena;
    Hdw__BlockReceivedAndDeletedRequest q = HDW__BLOCK_RECEIVED_AND_DELETED_REQUEST__INIT;
    hd_arena_init(&arena, BATCH_ARENA_BYTES);
    r->sending = true;
    size_t n = make_request(r, &arena, &q);
    pthread_mutex_unlock(&r->lock);
    int err = n > 0 ? send_batch(r, &arena, &q) : -ENOMEM;
    hd_arena_done(&arena);
    pthread_mutex_lock(&r->lock);
    r->sending = false;
    if (err == 0) {
        drop_sent(r, n);
    }
    pthread_cond_broadcast(&r->sent_some);
    if (r->sent < r->queued || r->stopping) {
        pthread_cond_signal(&r->changed);
    }
    return err;
}

static void *reporter_main(void *arg)
{
    struct hd_reporter *r = arg;
    pthread_mutex_lock(&r->lock);
    while (wait_for_work(r)) {
        if (send_queued(r) < 0) {
            wait_until(r, &r->changed, hd_clock_mono_ms().v + RETRY_MS);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int hd_reporter_start(struct hd_data *d, struct hd_reporter **ret)
{
    struct hd_reporter *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&r->lock, NULL);
    hd_clock_cond_init(&r->changed);
    hd_clock_cond_init(&r->sent_some);
    r->data = d;
    *ret = r; /* before the thread: it finds it through d */
    int err = hd_data_thread(&r->thread, false, reporter_main, r);
    if (err < 0) {
        free(r);
        *ret = NULL;
    }
    return err;
}

void hd_reporter_stop(struct hd_reporter *r)
{
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->changed);
    pthread_cond_broadcast(&r->sent_some);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    drop_sent(r, (size_t)(r->queued - r->sent));
    pthread_cond_destroy(&r->changed);
    pthread_cond_destroy(&r->sent_some);
    pthread_mutex_destroy(&r->lock);
    free(r->queue);
    free(r);
}
