/*
 * The lease: one thread for all writers of a session, alive from the first writer on. It renews the
 * lease and sends a heartbeat down chains that are quiet.
 */
#include "fs/base/error.h"
#include "fs/client/session.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <time.h>

enum {
    RENEW_MS = 20000,
    RENEW_AGAIN_MS = 2000, /* after a failure; the lease holds 60 s */
    RENEW_BUDGET_MS = 3000,
};

static int renew(struct hd_session *s)
{
    struct hd_fs *fs =
        HD_LIST_ENTRY(s->users.next, struct hd_fs, link); /* the first never leaves */
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__RenewLeaseRequest request = HDW__RENEW_LEASE_REQUEST__INIT;
    request.client_name = s->client_name;
    ProtobufCMessage *response;
    return hd_call_within(fs, NULL, "renewLease", &request.base,
                          &hdw__renew_lease_response__descriptor, RENEW_BUDGET_MS, &arena,
                          &response);
}

static void keep_chains_awake(struct hd_session *s)
{
    int64_t now = hd_clock_mono_ms().v;
    HD_LIST_FOR(it, &s->writers)
    {
        struct hd_writer *w = HD_LIST_ENTRY(it, struct hd_writer, link);
        if (pthread_mutex_trylock(&w->lock) == 0) { /* else it is not quiet */
            hd_wchain_keep_awake(w, now);
            pthread_mutex_unlock(&w->lock);
        }
    }
}

static void wait_ms(struct hd_session *s, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&s->lease_wake, &s->lock, &until);
}

static void *lease_main(void *ctx)
{
    struct hd_session *s = ctx;
    int64_t next_ms = hd_clock_mono_ms().v + RENEW_MS;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        if (hd_list_empty(&s->writers)) {
            pthread_cond_wait(&s->lease_wake, &s->lock);
            next_ms = hd_clock_mono_ms().v + RENEW_MS;
            continue;
        }
        int64_t left = next_ms - hd_clock_mono_ms().v;
        if (left > 0) {
            wait_ms(s, left);
            continue;
        }
        keep_chains_awake(s);
        pthread_mutex_unlock(&s->lock);
        int err = renew(s);
        pthread_mutex_lock(&s->lock);
        next_ms = hd_clock_mono_ms().v + (err == 0 ? RENEW_MS : RENEW_AGAIN_MS);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int hd_lease_add(struct hd_session *s, struct hd_list *writer_link)
{
    int err = 0;
    pthread_mutex_lock(&s->lock);
    if (!s->lease_running) {
        int e = pthread_create(&s->lease_thread, NULL, lease_main, s);
        if (e != 0) {
            err = hd_fail_errno(e, "no thread for the lease");
        }
        s->lease_running = e == 0;
    }
    if (err == 0) {
        bool first = hd_list_empty(&s->writers);
        hd_list_push_back(&s->writers, writer_link);
        if (first) {
            pthread_cond_signal(&s->lease_wake);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

void hd_lease_remove(struct hd_session *s, struct hd_list *writer_link)
{
    pthread_mutex_lock(&s->lock);
    hd_list_remove(writer_link);
    pthread_mutex_unlock(&s->lock);
}

void hd_lease_stop(struct hd_session *s)
{
    pthread_mutex_lock(&s->lock);
    bool running = s->lease_running;
    s->stopping = true;
    pthread_cond_signal(&s->lease_wake);
    pthread_mutex_unlock(&s->lock);
    if (running) {
        pthread_join(s->lease_thread, NULL);
    }
}
