/* The life of a session of posix.h: its states, the poll, and what a call waits for. */
#include "fs/client/posix.h"
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/posix_impl.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    LEASE_MS = 10000,     /* until the server says another */
    POLL_SLACK_MS = 1500, /* a parked poll's answer may be so late */
    HELLO_TIMEOUT_MS = 2000,
    ONE_TRY_WAIT_MS = 3000, /* of a call that is not repeated, for the session to be there again */
    PAUSE_MS = 10,
    PAUSE_MAX_MS = 250,
    ANSWERS_AT_ONCE = 4096,
};

bool hd_posix_uses(const struct hd_posix *p, const struct hd_fs *fs)
{
    return fs == p->fs || fs == p->poll_fs;
}

static int wait_changed(struct hd_posix *p, int64_t until_ms)
{
    struct timespec t = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    return pthread_cond_timedwait(&p->changed, &p->lock, &t);
}

/* (lock) */
static void set_state(struct hd_posix *p, enum hd_posix_state state)
{
    atomic_store(&p->state, state);
    pthread_cond_broadcast(&p->changed);
}

/* ---- hello ---- */

/* (lock) */
static void note_session(struct hd_posix *p, const Hdw__OpenSessionResponse *r)
{
    p->number = r->session;
    atomic_store(&p->number_now, r->session);
    p->lease_ms = r->has_lease_ms && r->lease_ms > 0 ? r->lease_ms : (uint32_t)LEASE_MS;
    p->content_max = r->has_content_max ? r->content_max : 0;
    p->trusted = r->has_trusted && r->trusted;
    snprintf(p->superuser, sizeof(p->superuser), "%s", r->superuser != NULL ? r->superuser : "");
}

/*
 * Every connection of ours begins here. One that finds another session than the one we have is
 * dropped, unless it is the polling thread's, which has told the mount already that all is lost.
 */
int hd_posix_welcome(struct hd_posix *p, const struct hd_fs *fs, const Hdw__OpenSessionResponse *r)
{
    pthread_mutex_lock(&p->lock);
    int state = atomic_load(&p->state);
    int err = 0;
    if (!r->has_session || r->session == 0) {
        p->unsupported = true;
        err = state == HD_POSIX_OPENING ? 0 : hd_fail(-HD_E_STANDBY, "it knows no sessions");
    } else if (state == HD_POSIX_OPENING || (state == HD_POSIX_RECLAIMING && fs == p->poll_fs)) {
        note_session(p, r);
    } else if (state != HD_POSIX_LIVE) {
        err = hd_fail(-HD_E_CLOSED, "the session is opened anew");
    } else if (r->session != p->number) {
        set_state(p, HD_POSIX_LOST);
        err = hd_fail(-HD_E_CLOSED, "the session has ended");
    }
    pthread_mutex_unlock(&p->lock);
    if (err < 0 && fs != p->poll_fs) {
        hd_rpc_client_disconnect(p->poll_fs->rpc); /* its thread is to see to it */
    }
    return err;
}

/* ---- calls ---- */

struct gated {
    struct hd_posix *p;
    uint64_t *session;
    uint64_t number; /* as it was when the try began */
    uint32_t era;
};

/* Waits until the session is there, and notes which one the try is made in. */
static int before_try(void *ctx, int64_t until_ms)
{
    struct gated *g = ctx;
    struct hd_posix *p = g->p;
    if (atomic_load(&p->state) != HD_POSIX_LIVE) {
        until_ms = HD_MAX(until_ms, hd_clock_mono_ms().v + ONE_TRY_WAIT_MS);
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->state) != HD_POSIX_LIVE && !p->stopping) {
            if (hd_leave_given_up(&p->session->leave) || wait_changed(p, until_ms) == ETIMEDOUT) {
                break;
            }
        }
        bool live = atomic_load(&p->state) == HD_POSIX_LIVE;
        pthread_mutex_unlock(&p->lock);
        if (!live) {
            return hd_fail(-ETIMEDOUT, "no meta answers, the session could not be opened anew");
        }
    }
    g->era = atomic_load(&p->era);
    g->number = atomic_load(&p->number_now);
    if (g->session != NULL) {
        *g->session = g->number;
    }
    return 0;
}

/* A session that has ended is opened anew, and the call made again in that one. */
static bool again(void *ctx, int err)
{
    struct gated *g = ctx;
    if (err != -HD_E_NO_SESSION) {
        return false;
    }
    pthread_mutex_lock(&g->p->lock);
    if (atomic_load(&g->p->state) == HD_POSIX_LIVE && g->number == g->p->number) {
        set_state(g->p, HD_POSIX_LOST); /* we are the first to hear of it */
    }
    pthread_mutex_unlock(&g->p->lock);
    hd_rpc_client_disconnect(g->p->poll_fs->rpc);
    return true;
}

int hd_posix_call(struct hd_posix *p, const char *method, const ProtobufCMessage *request,
                  uint64_t *session, const ProtobufCMessageDescriptor *type, struct hd_arena *arena,
                  ProtobufCMessage **ret, struct hd_posix_as_of *ret_as_of)
{
    struct gated g = {.p = p, .session = session};
    struct hd_call_hooks hooks = {.before = before_try, .again = again, .ctx = &g};
    int err = hd_call_hooked(p->fs, HD_POSIX_PROTOCOL, method, request, type, p->session->retry_ms,
                             &hooks, arena, ret);
    if (ret_as_of != NULL) {
        *ret_as_of = (struct hd_posix_as_of){.txid = (uint64_t)hooks.state_id, .era = g.era};
    }
    return err;
}

int hd_posix_call_directly(struct hd_posix *p, const char *method, const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *type, int timeout_ms,
                           struct hd_arena *arena, ProtobufCMessage **ret)
{
    struct hd_rpc_args args = {
        .method = method,
        .protocol = HD_POSIX_PROTOCOL,
        .request = request,
        .response_type = type,
        .arena = arena,
        .timeout_ms = timeout_ms,
        .call_id = -1,
    };
    return hd_rpc_call(p->poll_fs->rpc, &args, ret, NULL);
}

/* ---- the poll ---- */

static bool is_stopping(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

/* When what is kept must be forgotten: a good while before meta may give it to others. */
static int64_t expires_ms(const struct hd_posix *p)
{
    return p->heard_ms + (int64_t)p->lease_ms * 2 / 3;
}

/* Forgets everything; calls wait from now on, and those under way come back to be repeated. */
static void lose(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    set_state(p, HD_POSIX_LOST);
    atomic_fetch_add(&p->era, 1);
    hd_posix_forget_pushes(p); /* serials come again in the next session */
    pthread_mutex_unlock(&p->lock);
    hd_rpc_client_disconnect(p->fs->rpc);
    if (p->events.on_lost != NULL) {
        p->events.on_lost(p->events.ctx);
    }
    pthread_mutex_lock(&p->lock);
    set_state(p, HD_POSIX_RECLAIMING);
    pthread_mutex_unlock(&p->lock);
}

/* One attempt to open the session anew and to get back what was held. */
static int reopen(struct hd_posix *p)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SyncTxidRequest request = HDW__SYNC_TXID_REQUEST__INIT; /* for the hello before it */
    ProtobufCMessage *response;
    hd_rpc_client_disconnect(p->poll_fs->rpc);
    int64_t began_ms = hd_clock_mono_ms().v;
    int err =
        hd_posix_call_directly(p, "syncTxid", &request.base, &hdw__sync_txid_response__descriptor,
                               HELLO_TIMEOUT_MS, &arena, &response);
    err = err < 0 ? err : hd_posix_reclaim(p);
    if (err < 0) {
        return err;
    }
    p->heard_ms = began_ms;
    pthread_mutex_lock(&p->lock);
    set_state(p, HD_POSIX_LIVE);
    pthread_mutex_unlock(&p->lock);
    return 0;
}

/* Waits a moment, or looks for another meta. */
static void look_elsewhere(struct hd_posix *p, int err, int64_t *pause_ms)
{
    struct hd_session *s = p->session;
    uint64_t switches = hd_failover_switches(&s->failover);
    bool silent = hd_rpc_is_connection_error(err) || err == -HD_E_STANDBY || err == -HD_E_FENCED;
    hd_failover_note_answer(&s->failover, !silent);
    if (silent && hd_failover_ask(s, true, switches)) {
        *pause_ms = PAUSE_MS;
        return;
    }
    hd_clock_sleep_ms(*pause_ms);
    *pause_ms = HD_MIN(*pause_ms * 2, (int64_t)PAUSE_MAX_MS);
}

/* One poll. */
static int poll_once(struct hd_posix *p, struct hd_arena *arena)
{
    Hdw__PollRequest request = HDW__POLL_REQUEST__INIT;
    Hdw__PollResponse *response;
    int64_t now = hd_clock_mono_ms().v;
    int64_t left = expires_ms(p) - now;
    if (left <= 0) {
        return -HD_E_NO_SESSION;
    }
    uint32_t era = atomic_load(&p->era);
    int64_t wait_ms = p->lease_ms / 4;
    request.client_name = p->session->client_name;
    request.session = p->number;
    request.wait_ms = (uint32_t)HD_MIN(wait_ms, left);
    request.n_answers = hd_posix_take_answers(p, arena, ANSWERS_AT_ONCE, &request.answers);
    int err = hd_posix_call_directly(p, "poll", &request.base, &hdw__poll_response__descriptor,
                                     (int)HD_MIN(wait_ms + POLL_SLACK_MS, left), arena,
                                     (ProtobufCMessage **)(void *)&response);
    if (err < 0) {
        hd_posix_answers_back(p, era, request.answers, request.n_answers);
        return err;
    }
    p->heard_ms = now;
    if (response->lease_ms > 0) {
        p->lease_ms = response->lease_ms;
    }
    if (response->n_pushes > 0 &&
        !hd_posix_take_pushes(p, era, response->pushes, response->n_pushes)) {
        hd_clock_sleep_ms(1); /* all of them are under way: no use in being told again at once */
    }
    return 0;
}

static void *poll_main(void *arg)
{
    struct hd_posix *p = arg;
    int64_t pause_ms = PAUSE_MS;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    while (!is_stopping(p)) {
        hd_arena_reset(&arena);
        int state = atomic_load(&p->state);
        if (state == HD_POSIX_LOST) {
            lose(p);
            continue;
        }
        int err = state == HD_POSIX_RECLAIMING ? reopen(p) : poll_once(p, &arena);
        if (err == 0) {
            pause_ms = PAUSE_MS;
        } else if (state == HD_POSIX_LIVE &&
                   (err == -HD_E_NO_SESSION || hd_clock_mono_ms().v >= expires_ms(p))) {
            pthread_mutex_lock(&p->lock);
            set_state(p, HD_POSIX_LOST);
            pthread_mutex_unlock(&p->lock);
        } else if (atomic_load(&p->state) != HD_POSIX_LOST && !is_stopping(p)) {
            look_elsewhere(p, err, &pause_ms);
        }
    }
    return NULL;
}

/* ---- opening ---- */

static void free_posix(struct hd_posix *p)
{
    hd_map_done(&p->pushes);
    pthread_cond_destroy(&p->changed);
    pthread_cond_destroy(&p->job_wake);
    pthread_cond_destroy(&p->answer_wake);
    pthread_cond_destroy(&p->worker_gone);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Leaves the file system as it was: connections made from now on say the plain hello. */
static void detach(struct hd_posix *p)
{
    atomic_store(&p->session->posix, NULL);
    hd_rpc_client_disconnect(p->fs->rpc);
    hd_rpc_client_disconnect(p->poll_fs->rpc);
}

/* The first call, for the hello in front of it. */
static int say_hello(struct hd_posix *p)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetServerDefaultsRequest request = HDW__GET_SERVER_DEFAULTS_REQUEST__INIT;
    Hdw__GetServerDefaultsResponse *response;
    hd_rpc_client_disconnect(p->fs->rpc);
    p->heard_ms = hd_clock_mono_ms().v;
    int err = HD_CALL(p->fs, "getServerDefaults", get_server_defaults, &request, &arena, &response);
    if (err == 0 && p->number == 0) {
        return -EOPNOTSUPP;
    }
    return err;
}

static int start(struct hd_posix *p)
{
    atomic_store(&p->state, HD_POSIX_LIVE);
    int err = hd_posix_events_start(p);
    if (err == 0) {
        err = -pthread_create(&p->poll_thread, NULL, poll_main, p);
        p->poll_running = err == 0;
    }
    return err;
}

int hd_posix_open(struct hd_fs *fs, const struct hd_posix_events *events, struct hd_posix **ret)
{
    struct hd_posix *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return -ENOMEM;
    }
    p->session = fs->session;
    p->fs = fs;
    p->events = *events;
    p->lease_ms = LEASE_MS;
    atomic_init(&p->era, 1);
    pthread_mutex_init(&p->lock, NULL);
    hd_clock_cond_init(&p->changed);
    hd_clock_cond_init(&p->job_wake);
    hd_clock_cond_init(&p->answer_wake);
    hd_clock_cond_init(&p->worker_gone);
    hd_map_init(&p->pushes);
    hd_list_init(&p->jobs);
    hd_list_init(&p->done);
    int err = hd_session_connect(fs->session, fs->user, HELLO_TIMEOUT_MS, &p->poll_fs);
    if (err < 0) {
        free_posix(p);
        return err;
    }
    atomic_store(&fs->session->posix, p);
    *ret = p;
    err = say_hello(p);
    err = err < 0 ? err : start(p);
    if (err < 0) {
        *ret = NULL;
        hd_posix_close(p);
    }
    return err;
}

void hd_posix_hush(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (p->poll_running) {
        struct timespec now;
        do { /* it may be just about to park another poll, or to say hello */
            char address[HD_META_ADDRESS_BYTES];
            hd_failover_address(&p->session->failover, address);
            (void)hd_rpc_client_redirect(p->poll_fs->rpc, address);
            clock_gettime(CLOCK_REALTIME, &now);
            now.tv_sec++;
        } while (pthread_timedjoin_np(p->poll_thread, NULL, &now) != 0);
        p->poll_running = false;
    }
    hd_posix_events_stop(p);
}

void hd_posix_close(struct hd_posix *p)
{
    if (p == NULL) {
        return;
    }
    hd_posix_hush(p);
    detach(p);
    free_posix(p);
}

struct hd_fs *hd_posix_fs(struct hd_posix *p)
{
    return p->fs;
}

uint64_t hd_posix_session(struct hd_posix *p)
{
    return atomic_load(&p->number_now);
}

const char *hd_posix_holder(struct hd_posix *p)
{
    return p->session->client_name;
}

uint32_t hd_posix_era(struct hd_posix *p)
{
    return atomic_load(&p->era);
}

uint32_t hd_posix_content_max(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    uint32_t max = p->content_max;
    pthread_mutex_unlock(&p->lock);
    return max;
}

bool hd_posix_is_trusted(struct hd_posix *p)
{
    pthread_mutex_lock(&p->lock);
    bool trusted = p->trusted;
    pthread_mutex_unlock(&p->lock);
    return trusted;
}

void hd_posix_superuser(struct hd_posix *p, char out[HD_POSIX_USER_BYTES])
{
    pthread_mutex_lock(&p->lock);
    memcpy(out, p->superuser, HD_POSIX_USER_BYTES);
    pthread_mutex_unlock(&p->lock);
}
