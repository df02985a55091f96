/*
 * The inside of a session of posix.h. Inside the room.
 *
 *   posix.c          its life: states, the poll, calls
 *   posix_events.c   pushes to the mount, and their answers
 *   posix_reclaim.c  what was held, claimed again
 *   posix_attr.c     messages and structs
 *   posix_names.c, posix_content.c, posix_extra.c   the calls
 */
#ifndef HD_CLIENT_POSIX_IMPL_H
#define HD_CLIENT_POSIX_IMPL_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/client/posix.h"
#include "fs/client/session.h"

#include <pthread.h>
#include <stdatomic.h>

enum hd_posix_state { HD_POSIX_OPENING, HD_POSIX_LIVE, HD_POSIX_LOST, HD_POSIX_RECLAIMING };

enum {
    HD_POSIX_WORKERS_MAX = 64, /* threads that carry out events that block */
    HD_POSIX_WORKER_IDLE_MS = 5000,
    HD_POSIX_PUSHES_MAX = 65536, /* under way at once; a push beyond is left for the next poll */
};

struct hd_posix {
    struct hd_session *session;
    struct hd_fs *fs; /* calls */
    struct hd_fs
        *poll_fs; /* a connection of its own, so that no call's answer goes through its thread */
    struct hd_posix_events events;

    pthread_mutex_t lock;   /* everything below that is not atomic */
    pthread_cond_t changed; /* the state */
    uint64_t number;        /* of the session */
    uint32_t lease_ms;
    uint32_t content_max;
    bool trusted;
    bool unsupported; /* the server knows no sessions */
    bool stopping;
    char superuser[HD_POSIX_USER_BYTES];
    pthread_t poll_thread;
    bool poll_running;

    /* Pushes: posix_events.c */
    struct hd_map pushes; /* by serial: struct hd_posix_job, from its coming to its answer */
    struct hd_list jobs;  /* of hd_posix_job.link: wait for a worker */
    struct hd_list done;  /* of hd_posix_job.link: to be answered */
    size_t done_count;
    pthread_cond_t job_wake;
    pthread_cond_t answer_wake;
    pthread_cond_t worker_gone;
    size_t workers, idle_workers;
    pthread_t answer_thread;
    bool answer_running;

    atomic_int state; /* enum hd_posix_state; changes under the lock */
    atomic_uint era;
    atomic_ullong number_now; /* a copy of number */
    int64_t heard_ms; /* when the last poll that was answered had been sent; the poll thread's */
};

/* HD_POSIX_CALL(p, "getAttr", get_attr, &request, session, &arena, &response, &as_of) */
#define HD_POSIX_CALL(p, method, name, request, session, arena, ret, as_of)                        \
    hd_posix_call((p), (method), &(request)->base, (session), &hdw__##name##_response__descriptor, \
                  (arena), (ProtobufCMessage **)(void *)(ret), (as_of))

/* posix.c */
bool hd_posix_uses(const struct hd_posix *p, const struct hd_fs *fs);
int hd_posix_welcome(struct hd_posix *p, const struct hd_fs *fs, const Hdw__OpenSessionResponse *r);

/* One call on the poll's connection, without the gate. */
int hd_posix_call_directly(struct hd_posix *p, const char *method, const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *type, int timeout_ms,
                           struct hd_arena *arena, ProtobufCMessage **ret);

/* posix_events.c */
int hd_posix_events_start(struct hd_posix *p);
void hd_posix_events_stop(struct hd_posix *p);
/* Pushes of a poll that was sent in era (of another one they are nothing): quick ones are done, the
 * others begun. True: one of them was new. */
bool hd_posix_take_pushes(struct hd_posix *p, uint32_t era, Hdw__Push **pushes, size_t count);
/* Answers that wait, at most max of them, into arena. */
size_t hd_posix_take_answers(struct hd_posix *p, struct hd_arena *arena, size_t max,
                             Hdw__PushAnswer ***ret);
/* They did not arrive: for the next poll. era: before they were taken. */
void hd_posix_answers_back(struct hd_posix *p, uint32_t era, Hdw__PushAnswer **answers,
                           size_t count);
/* The session ended: nobody waits for answers. (lock) */
void hd_posix_forget_pushes(struct hd_posix *p);

/* posix_reclaim.c: asks the mount and claims; in the poll thread. */
int hd_posix_reclaim(struct hd_posix *p);

#endif
