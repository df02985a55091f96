/* Moving replicas. See balancer_move.h. */
#include "tools/balancer_move.h"
#include "fs/base/error.h"
#include "fs/client/transfer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS_MAX = 64, CONNECT_TIMEOUT_MS = 10000, MOVE_TIMEOUT_MS = 1200000 };

int hd_moves_add(struct hd_moves *m, const struct hd_move *move)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity != 0 ? m->capacity * 2 : 64;
        struct hd_move *items = realloc(m->items, capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        m->items = items;
        m->capacity = capacity;
    }
    m->items[m->count++] = *move;
    return 0;
}

void hd_moves_done(struct hd_moves *m)
{
    free(m->items);
    *m = (struct hd_moves){0};
}

/* ---- one move ---- */

/* Keep-alives come until the block is there: the last answer tells. */
static int wait_answer(struct hd_conn *conn, struct hd_arena *arena)
{
    Hdw__BlockOpResponse *r;
    int err;
    do {
        err = hd_transfer_response(&conn->stream, arena, &r);
    } while (err == 0 && r->status == HDW__STATUS__STATUS_IN_PROGRESS);
    if (err == 0 && r->status != HDW__STATUS__STATUS_SUCCESS) {
        err = hd_transfer_error(r, conn->address, "moving a block");
    }
    return err;
}

static int move_block(const struct hd_moves_options *o, const struct hd_move *move)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__DatanodeInfo *source = o->infos[move->source];
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__Token token = HDW__TOKEN__INIT;
    Hdw__BaseHeader header = HDW__BASE_HEADER__INIT;
    Hdw__OpReplaceBlock q = HDW__OP_REPLACE_BLOCK__INIT;
    struct hd_conn *conn;
    block.pool_id = (char *)(uintptr_t)o->pool_id;
    block.block_id = move->block_id;
    block.generation_stamp = move->gs;
    block.has_num_bytes = true;
    block.num_bytes = move->size_bytes;
    token.kind = token.service = (char *)(uintptr_t) "";
    header.block = &block;
    header.token = &token;
    q.header = &header;
    q.del_hint = source->id->datanode_uuid;
    q.source = source;
    int err = hd_conn_open(NULL, o->infos[move->target], CONNECT_TIMEOUT_MS, &conn);
    if (err < 0) {
        return err;
    }
    conn->stream.timeout_ms = MOVE_TIMEOUT_MS; /* it is silent while it fetches */
    err = hd_transfer_request(&conn->stream, HD_OP_REPLACE_BLOCK, &q.base);
    if (err == 0) {
        err = wait_answer(conn, &arena);
    }
    hd_conn_close(conn);
    return err;
}

/* ---- many ---- */

struct run {
    struct hd_moves *moves;
    const struct hd_moves_options *o;
    pthread_mutex_t lock;
    pthread_cond_t freed; /* a node has a stream less */
    int *streams;         /* of each node */
    size_t first;         /* moves before it are taken */
    size_t left;
};

/* The next move whose nodes have room; NULL: none has. */
static struct hd_move *take(struct run *r)
{
    while (r->first < r->moves->count && r->moves->items[r->first].taken) {
        r->first++;
    }
    for (size_t i = r->first; i < r->moves->count; i++) {
        struct hd_move *move = &r->moves->items[i];
        if (!move->taken && r->streams[move->source] < r->o->streams &&
            r->streams[move->target] < r->o->streams) {
            move->taken = true;
            r->left--;
            r->streams[move->source]++;
            r->streams[move->target]++;
            return move;
        }
    }
    return NULL;
}

static void finish(struct run *r, struct hd_move *move)
{
    struct hd_moves *m = r->moves;
    move->done = true;
    r->streams[move->source]--;
    r->streams[move->target]--;
    m->moved += move->err == 0;
    m->moved_bytes += move->err == 0 ? move->size_bytes : 0;
    m->failed += move->err != 0;
    pthread_cond_broadcast(&r->freed);
}

static void *work(void *ctx)
{
    struct run *r = ctx;
    pthread_mutex_lock(&r->lock);
    while (r->left > 0 && (r->o->stop == NULL || !*r->o->stop)) {
        struct hd_move *move = take(r);
        if (move == NULL) {
            pthread_cond_wait(&r->freed, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        int err = move_block(r->o, move);
        char text[512] = "";
        if (err < 0) {
            snprintf(text, sizeof(text), "%s", hd_fail_describe(err));
        }
        pthread_mutex_lock(&r->lock);
        move->err = err;
        finish(r, move);
        if (r->o->on_move != NULL) {
            r->o->on_move(r->o->ctx, r->moves, move, err < 0 ? text : NULL);
        }
    }
    pthread_cond_broadcast(&r->freed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int hd_moves_run(struct hd_moves *m, const struct hd_moves_options *o)
{
    struct run r = {.moves = m, .o = o, .left = m->count};
    pthread_t threads[THREADS_MAX];
    size_t wanted = HD_MIN(HD_MIN(m->count, (size_t)THREADS_MAX),
                           (size_t)o->streams * HD_MAX(o->info_count / 2, (size_t)1));
    size_t started = 0;
    r.streams = calloc(o->info_count + 1, sizeof(*r.streams));
    if (r.streams == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.freed, NULL);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, work, &r) == 0) {
        started++;
    }
    work(&r);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_cond_destroy(&r.freed);
    pthread_mutex_destroy(&r.lock);
    free(r.streams);
    return 0;
}
