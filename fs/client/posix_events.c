/*
 * Pushes: what meta tells the session, carried out, and answered. A push that comes again before it
 * was answered is the same push.
 */
#include "fs/client/posix_impl.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { ANSWER_TIMEOUT_MS = 5000, ANSWERS_AT_ONCE = 4096, SERIAL_BITS = 40 };

#define SERIAL_MASK (((uint64_t)1 << SERIAL_BITS) - 1)

struct hd_posix_job {
    struct hd_list link; /* in jobs or in done */
    uint64_t ticket;     /* key in the map */
    uint64_t serial;
    Hdw__PushKind kind;
    uint64_t ino;
    uint64_t txid;
    Hdw__CapKind keep;
    bool works;    /* a worker has it in its hands */
    bool left;     /* and is to free it, nobody waits for it any more */
    bool finished; /* waits to be answered */
    bool held;
};

/* ---- answers ---- */

/* (lock) The job waits to be answered. */
static void finish(struct hd_posix *p, struct hd_posix_job *j)
{
    hd_list_remove(&j->link);
    hd_list_push_back(&p->done, &j->link);
    p->done_count++;
}

/* What the mount knows a push by: serials of one session may come again in the next. */
static uint64_t ticket_of(struct hd_posix *p, uint64_t serial)
{
    return (serial & SERIAL_MASK) | (uint64_t)atomic_load(&p->era) << SERIAL_BITS;
}

static void end_push(struct hd_posix *p, uint64_t ticket, bool wake)
{
    pthread_mutex_lock(&p->lock);
    struct hd_posix_job *j = hd_map_get(&p->pushes, ticket);
    if (j != NULL && !j->finished) {
        j->finished = true;
        finish(p, j);
        if (wake) {
            pthread_cond_signal(&p->answer_wake);
        }
    }
    pthread_mutex_unlock(&p->lock);
}

void hd_posix_answer(struct hd_posix *p, uint64_t ticket)
{
    end_push(p, ticket, true);
}

size_t hd_posix_take_answers(struct hd_posix *p, struct hd_arena *arena, size_t max,
                             Hdw__PushAnswer ***ret)
{
    size_t count = 0;
    pthread_mutex_lock(&p->lock);
    max = HD_MIN(max, p->done_count);
    Hdw__PushAnswer **answers = max > 0 ? HD_ARENA_ARRAY(arena, Hdw__PushAnswer *, max) : NULL;
    while (answers != NULL && count < max) {
        Hdw__PushAnswer *a = HD_ARENA_NEW(arena, Hdw__PushAnswer);
        if (a == NULL) {
            break;
        }
        struct hd_posix_job *j =
            HD_LIST_ENTRY(hd_list_pop_front(&p->done), struct hd_posix_job, link);
        hdw__push_answer__init(a);
        a->serial = j->serial;
        a->has_held = a->held = j->held;
        answers[count++] = a;
        p->done_count--;
        (void)hd_map_remove(&p->pushes, j->ticket);
        free(j);
    }
    pthread_mutex_unlock(&p->lock);
    *ret = answers;
    return count;
}

void hd_posix_answers_back(struct hd_posix *p, uint32_t era, Hdw__PushAnswer **answers,
                           size_t count)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < count && era == atomic_load(&p->era); i++) {
        struct hd_posix_job *j = calloc(1, sizeof(*j));
        uint64_t ticket = ticket_of(p, answers[i]->serial);
        if (j == NULL || hd_map_get(&p->pushes, ticket) != NULL ||
            hd_map_put(&p->pushes, ticket, j) < 0) {
            free(j); /* it will be pushed again */
            continue;
        }
        j->ticket = ticket;
        j->serial = answers[i]->serial;
        j->held = answers[i]->held;
        j->finished = true;
        hd_list_push_back(&p->done, &j->link);
        p->done_count++;
    }
    pthread_mutex_unlock(&p->lock);
}

void hd_posix_forget_pushes(struct hd_posix *p)
{
    size_t cursor = 0;
    uint64_t ticket;
    void *value;
    while (hd_map_next(&p->pushes, &cursor, &ticket, &value)) {
        struct hd_posix_job *j = value;
        if (j->works) {
            j->left = true;
        } else {
            hd_list_remove(&j->link);
            free(j);
        }
    }
    hd_map_done(&p->pushes);
    hd_map_init(&p->pushes);
    p->done_count = 0;
}

/* Sends answers while a poll is parked. */
static void *answer_main(void *arg)
{
    struct hd_posix *p = arg;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (p->done_count == 0 || atomic_load(&p->state) != HD_POSIX_LIVE) {
            pthread_cond_wait(p->done_count == 0 ? &p->answer_wake : &p->changed, &p->lock);
            continue;
        }
        Hdw__PollRequest request = HDW__POLL_REQUEST__INIT;
        request.client_name = p->session->client_name;
        request.session = p->number;
        uint32_t era = atomic_load(&p->era);
        pthread_mutex_unlock(&p->lock);
        hd_arena_reset(&arena);
        request.n_answers = hd_posix_take_answers(p, &arena, ANSWERS_AT_ONCE, &request.answers);
        Hdw__PollResponse *response;
        int err = request.n_answers == 0
                      ? 0
                      : hd_posix_call_directly(p, "poll", &request.base,
                                               &hdw__poll_response__descriptor, ANSWER_TIMEOUT_MS,
                                               &arena, (ProtobufCMessage **)(void *)&response);
        if (err < 0) {
            hd_posix_answers_back(p, era, request.answers, request.n_answers);
            hd_clock_sleep_ms(10);
        } else if (request.n_answers > 0 && response->n_pushes > 0) {
            (void)hd_posix_take_pushes(p, era, response->pushes, response->n_pushes);
        }
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- events that block ---- */

static void run_job(struct hd_posix *p, struct hd_posix_job *j)
{
    const struct hd_posix_events *e = &p->events;
    if (j->kind == HDW__PUSH_KIND__PUSH_RECALL) {
        if (e->on_recall != NULL) {
            e->on_recall(e->ctx, j->ino, j->keep, j->serial);
        }
    } else if (e->on_gone != NULL) {
        j->held = e->on_gone(e->ctx, j->ino, j->txid);
    }
}

static void *work(void *arg)
{
    struct hd_posix *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct hd_list *node = hd_list_pop_front(&p->jobs);
        if (node == NULL) {
            int64_t until = hd_clock_mono_ms().v + HD_POSIX_WORKER_IDLE_MS;
            struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
            p->idle_workers++;
            int rc = pthread_cond_timedwait(&p->job_wake, &p->lock, &t);
            p->idle_workers--;
            if (rc == ETIMEDOUT && hd_list_empty(&p->jobs)) {
                break;
            }
            continue;
        }
        struct hd_posix_job *j = HD_LIST_ENTRY(node, struct hd_posix_job, link);
        hd_list_init(&j->link);
        j->works = true;
        pthread_mutex_unlock(&p->lock);
        run_job(p, j);
        pthread_mutex_lock(&p->lock);
        j->works = false;
        if (j->left) {
            free(j);
            continue;
        }
        j->finished = true;
        finish(p, j);
        pthread_cond_signal(&p->answer_wake);
    }
    p->workers--;
    pthread_cond_broadcast(&p->worker_gone);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* (lock) Somebody to carry it out; if there can be no more threads one of them will. */
static void give_to_worker(struct hd_posix *p, struct hd_posix_job *j)
{
    pthread_t thread;
    hd_list_push_back(&p->jobs, &j->link);
    if (p->idle_workers > 0) {
        pthread_cond_signal(&p->job_wake);
    }
    size_t waiting = 0;
    HD_LIST_FOR(it, &p->jobs)
    {
        waiting++;
        if (waiting > p->idle_workers) {
            break;
        }
    }
    if (waiting > p->idle_workers && p->workers < HD_POSIX_WORKERS_MAX &&
        pthread_create(&thread, NULL, work, p) == 0) {
        pthread_detach(thread);
        p->workers++;
    }
}

/* ---- pushes ---- */

/* Those that do not block: true when it is done. */
static bool run_quick(struct hd_posix *p, const Hdw__Push *push, uint64_t ticket)
{
    const struct hd_posix_events *e = &p->events;
    char name[HD_POSIX_NAME_MAX_BYTES + 1];
    switch ((int)push->kind) {
    case HDW__PUSH_KIND__PUSH_ATTR:
        return e->on_attr == NULL || e->on_attr(e->ctx, push->ino, push->txid, ticket);
    case HDW__PUSH_KIND__PUSH_ENTRY:
        if (push->name.len > HD_POSIX_NAME_MAX_BYTES || push->name.len == 0) {
            return e->on_entries == NULL || e->on_entries(e->ctx, push->ino, push->txid, ticket);
        }
        memcpy(name, push->name.data, push->name.len);
        name[push->name.len] = '\0';
        return e->on_entry == NULL ||
               e->on_entry(e->ctx, push->ino, name, push->child, push->txid, ticket);
    case HDW__PUSH_KIND__PUSH_ENTRIES:
        return e->on_entries == NULL || e->on_entries(e->ctx, push->ino, push->txid, ticket);
    case HDW__PUSH_KIND__PUSH_LOCK:
        if (e->on_lock != NULL) {
            e->on_lock(e->ctx, push->wait_id, push->has_error ? push->error : 0);
        }
        return true;
    case HDW__PUSH_KIND__PUSH_RECALL:
    case HDW__PUSH_KIND__PUSH_GONE:
    default: /* one of a newer meta: acknowledged, it must know whom it talks to */
        return true;
    }
}

/* (lock) A new push; NULL: it is under way already, or there are too many. */
static struct hd_posix_job *new_job(struct hd_posix *p, const Hdw__Push *push)
{
    uint64_t ticket = ticket_of(p, push->serial);
    if (p->pushes.count >= HD_POSIX_PUSHES_MAX || hd_map_get(&p->pushes, ticket) != NULL) {
        return NULL;
    }
    struct hd_posix_job *j = calloc(1, sizeof(*j));
    if (j == NULL || hd_map_put(&p->pushes, ticket, j) < 0) {
        free(j);
        return NULL;
    }
    hd_list_init(&j->link);
    j->ticket = ticket;
    j->serial = push->serial;
    j->kind = push->kind;
    j->ino = push->ino;
    j->txid = push->txid;
    j->keep = push->has_keep ? push->keep : HDW__CAP_KIND__CAP_NONE;
    return j;
}

static bool take_push(struct hd_posix *p, uint32_t era, const Hdw__Push *push)
{
    bool blocks =
        push->kind == HDW__PUSH_KIND__PUSH_RECALL || push->kind == HDW__PUSH_KIND__PUSH_GONE;
    pthread_mutex_lock(&p->lock);
    struct hd_posix_job *j = era == atomic_load(&p->era) ? new_job(p, push) : NULL;
    uint64_t ticket = j != NULL ? j->ticket : 0;
    if (j != NULL && blocks) {
        give_to_worker(p, j);
    }
    pthread_mutex_unlock(&p->lock);
    if (j != NULL && !blocks && run_quick(p, push, ticket)) {
        end_push(p, ticket, false); /* whoever took it sends the answer with the next poll */
    }
    return j != NULL;
}

bool hd_posix_take_pushes(struct hd_posix *p, uint32_t era, Hdw__Push **pushes, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        any = take_push(p, era, pushes[i]) || any;
    }
    return any;
}

/* ---- life ---- */

int hd_posix_events_start(struct hd_posix *p)
{
    int err = -pthread_create(&p->answer_thread, NULL, answer_main, p);
    p->answer_running = err == 0;
    return err;
}

void hd_posix_events_stop(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->answer_wake);
    pthread_cond_broadcast(&p->changed);
    pthread_cond_broadcast(&p->job_wake);
    while (p->workers > 0) {
        pthread_cond_wait(&p->worker_gone, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    if (p->answer_running) {
        pthread_join(p->answer_thread, NULL);
        p->answer_running = false;
    }
    pthread_mutex_lock(&p->lock);
    hd_posix_forget_pushes(p);
    pthread_mutex_unlock(&p->lock);
}
