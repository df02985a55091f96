/* Asking, switching and watching: see failover.h. */
#include "fs/client/failover.h"
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/crowd.h"
#include "fs/client/posix_impl.h"
#include "fs/client/session.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    PATIENCE_MS = 1000, /* without an answer: ask the others */
    WATCH_MS = 250,
    IDLE_MS = 2000, /* the watcher rests when no call was under way for so long */
    ASK_MS = 1000,
};

static void wait_until(struct hd_failover *f, int64_t until_ms)
{
    struct timespec t = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_cond_timedwait(&f->changed, &f->lock, &t);
}

void hd_failover_init(struct hd_failover *f)
{
    *f = (struct hd_failover){.life_number = 1};
    pthread_mutex_init(&f->lock, NULL);
    hd_clock_cond_init(&f->changed);
    hd_list_init(&f->calls);
    atomic_init(&f->life_tag, f->life_number);
}

void hd_failover_done(struct hd_failover *f)
{
    pthread_mutex_lock(&f->lock);
    bool watching = f->watching;
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (watching) {
        pthread_join(f->watcher, NULL);
    }
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

/* (lock) */
static void add(struct hd_failover *f, const char *address)
{
    char host[HD_ADDR_TEXT_BYTES];
    int port;
    if (hd_addr_split(address, 0, host, sizeof(host), &port) == 0) {
        (void)hd_metas_add(&f->metas, address);
        atomic_store(&f->several, f->metas.count > 1);
    }
}

int hd_failover_add(struct hd_failover *f, const char *address)
{
    pthread_mutex_lock(&f->lock);
    size_t before = f->metas.count;
    add(f, address);
    bool full = f->metas.count == before && before == HD_METAS_MAX;
    pthread_mutex_unlock(&f->lock);
    return full ? hd_fail(-ENOSPC, "%s: at most %d addresses of metas", address, HD_METAS_MAX) : 0;
}

void hd_failover_address(struct hd_failover *f, char out[HD_META_ADDRESS_BYTES])
{
    pthread_mutex_lock(&f->lock);
    snprintf(out, HD_META_ADDRESS_BYTES, "%s", f->metas.address[f->metas.current]);
    pthread_mutex_unlock(&f->lock);
}

uint64_t hd_failover_switches(struct hd_failover *f)
{
    pthread_mutex_lock(&f->lock);
    uint64_t n = f->switches;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- hello ---- */

const struct hd_rpc_hello *hd_failover_hello(void *ctx)
{
    struct hd_fs *fs = ctx;
    struct hd_posix *p = atomic_load(&fs->session->posix);
    if (atomic_load(&fs->session->server_kind) == HD_SERVER_FOREIGN) {
        return NULL;
    }
    return p != NULL && hd_posix_uses(p, fs) ? &fs->session->hello_posix : &fs->session->hello;
}

/* (lock) What is seen from now on is of another life. */
static void begin_life(struct hd_failover *f, const struct hd_life_news *news, bool lost)
{
    f->life_number++;
    f->life_first = news->incarnation != 0 ? news->first_txid : 0;
    if (lost) {
        f->losses++;
        f->life.state_id = (int64_t)news->txid;
    }
    f->life.synced_id = HD_MIN(f->life.synced_id, f->life.state_id);
    atomic_store(&f->life_tag, f->life_number);
    atomic_store(&f->state_id, f->life.state_id);
    atomic_store(&f->synced_id, f->life.synced_id);
}

/* (lock) */
static void take_news(struct hd_failover *f, const struct hd_life_news *news)
{
    bool lost = hd_life_lost(&f->life, news);
    bool other = news->incarnation != f->life.incarnation || news->epoch != f->life.epoch;
    if (lost || other) {
        begin_life(f, news, lost);
        f->life.incarnation = news->incarnation;
        f->life.epoch = news->epoch;
    }
}

static int refuse(const struct hd_failover *f, uint64_t epoch)
{
    return hd_fail(-HD_E_STANDBY, "%s: is of epoch %llu, and %llu is seen already",
                   f->metas.address[f->metas.current], (unsigned long long)epoch,
                   (unsigned long long)f->metas.epoch);
}

/* (lock) An address may be taken by another cluster while its meta is away. */
static int check_cluster(struct hd_failover *f, const char *cluster)
{
    if (f->cluster[0] == '\0') {
        snprintf(f->cluster, sizeof(f->cluster), "%s", cluster);
    }
    return strncmp(f->cluster, cluster, sizeof(f->cluster) - 1) == 0
               ? 0
               : hd_fail(-HD_E_STANDBY, "%s: is of cluster %s, not of %s",
                         f->metas.address[f->metas.current], cluster, f->cluster);
}

static int welcome_session(struct hd_failover *f, const Hdw__OpenSessionResponse *r)
{
    uint64_t epoch = r->has_epoch ? r->epoch : 0;
    int err = check_cluster(f, r->cluster_id);
    if (err == 0 && !hd_metas_admit(&f->metas, epoch)) {
        err = refuse(f, epoch);
    }
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < r->n_meta_addresses; i++) {
        add(f, r->meta_addresses[i]);
    }
    snprintf(f->superuser, sizeof(f->superuser), "%s", r->superuser != NULL ? r->superuser : "");
    f->trusted = r->has_trusted && r->trusted;
    struct hd_life_news news = {
        .incarnation = r->has_incarnation ? r->incarnation : 0,
        .first_txid = r->has_first_txid ? r->first_txid : 0,
        .epoch = epoch,
        .txid = r->txid,
    };
    take_news(f, &news);
    return 0;
}

static int welcome_cluster(struct hd_failover *f, const Hdw__GetClusterResponse *r)
{
    uint64_t epoch = r->has_epoch ? r->epoch : 0;
    int err = check_cluster(f, r->cluster_id);
    if (err < 0) {
        return err;
    }
    if (r->secondary_address != NULL) {
        add(f, r->secondary_address);
    }
    if (hd_meta_role_of(r->role) == HD_META_STANDBY) {
        return hd_fail(-HD_E_STANDBY, "%s: is a %s", f->metas.address[f->metas.current], r->role);
    }
    return hd_metas_admit(&f->metas, epoch) ? 0 : refuse(f, epoch);
}

int hd_failover_welcome(void *ctx, int err, const ProtobufCMessage *response, uint64_t *ret_tag)
{
    struct hd_fs *fs = ctx;
    struct hd_session *s = fs->session;
    struct hd_failover *f = &s->failover;
    struct hd_posix *p = atomic_load(&s->posix);
    if (err < 0) {
        if (hd_rpc_is_connection_error(err) || hd_retry_kind_of(err, false, false) != HD_RETRY_NO) {
            return err;
        }
        atomic_store(&s->server_kind, HD_SERVER_FOREIGN);
        hd_fail_clear();
        return 0;
    }
    atomic_store(&s->server_kind, HD_SERVER_HOWDAH);
    pthread_mutex_lock(&f->lock);
    bool session = s->relaxed || (p != NULL && hd_posix_uses(p, fs));
    err = session ? welcome_session(f, (const void *)response)
                  : welcome_cluster(f, (const void *)response);
    *ret_tag = f->life_number;
    pthread_mutex_unlock(&f->lock);
    if (err == 0 && p != NULL && hd_posix_uses(p, fs)) {
        err = hd_posix_welcome(p, fs, (const void *)response);
    }
    return err;
}

bool hd_fs_superuser(struct hd_fs *fs, char out[64], bool *ret_trusted)
{
    struct hd_failover *f = &fs->session->failover;
    pthread_mutex_lock(&f->lock);
    memcpy(out, f->superuser, sizeof(f->superuser));
    *ret_trusted = f->trusted;
    pthread_mutex_unlock(&f->lock);
    return out[0] != '\0';
}

void hd_failover_note(struct hd_failover *f, uint64_t tag, int64_t state_id)
{
    if (tag == atomic_load(&f->life_tag) && state_id <= atomic_load(&f->state_id)) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    if (tag == f->life_number || tag == 0) {
        f->life.state_id = HD_MAX(f->life.state_id, state_id);
        atomic_store(&f->state_id, f->life.state_id);
    } else if (f->life_first == 0 || (uint64_t)state_id >= f->life_first) {
        f->losses++; /* a last word of the life before */
    }
    pthread_mutex_unlock(&f->lock);
}

void hd_failover_note_answer(struct hd_failover *f, bool answered)
{
    if (answered && !atomic_load(&f->is_away)) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    hd_away_note(&f->away, answered, hd_clock_mono_ms().v);
    atomic_store(&f->is_away, !answered);
    pthread_mutex_unlock(&f->lock);
}

int64_t hd_failover_budget_ms(struct hd_failover *f, int64_t budget_ms)
{
    if (!atomic_load(&f->is_away)) {
        return budget_ms;
    }
    pthread_mutex_lock(&f->lock);
    int64_t left = hd_away_budget_ms(&f->away, budget_ms, hd_clock_mono_ms().v);
    pthread_mutex_unlock(&f->lock);
    return left;
}

void hd_failover_note_synced(struct hd_failover *f, int64_t synced_id)
{
    pthread_mutex_lock(&f->lock);
    f->life.synced_id = HD_MAX(f->life.synced_id, HD_MIN(synced_id, f->life.state_id));
    atomic_store(&f->synced_id, f->life.synced_id);
    pthread_mutex_unlock(&f->lock);
}

/* ---- asking ---- */

/* One asking of all. */
struct question {
    struct hd_meta_answer answers[HD_METAS_MAX];
    char address[HD_METAS_MAX][HD_META_ADDRESS_BYTES];
    char user[HD_STAT_USER_BYTES];
    char cluster[HD_CLUSTER_ID_BYTES];
};

/* One that answers for another cluster is as good as silent. */
static struct hd_meta_answer ask_meta(const char *address, const char *user, const char *cluster)
{
    struct hd_rpc_client_options o = {
        .address = address,
        .protocol = HD_META_PROTOCOL,
        .user = user,
        .connect_timeout_ms = ASK_MS,
        .call_timeout_ms = ASK_MS,
    };
    struct hd_meta_answer a = {.role = HD_META_SILENT};
    struct hd_rpc_client *client;
    if (hd_rpc_client_new(&o, &client) < 0) {
        return a;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetClusterRequest request = HDW__GET_CLUSTER_REQUEST__INIT;
    struct hd_rpc_args args = {
        .method = "getCluster",
        .request = &request.base,
        .response_type = &hdw__get_cluster_response__descriptor,
        .arena = &arena,
        .call_id = -1,
    };
    Hdw__GetClusterResponse *r;
    int err = hd_rpc_call(client, &args, (ProtobufCMessage **)(void *)&r, NULL);
    bool other = err == 0 && cluster[0] != '\0' && strcmp(cluster, r->cluster_id) != 0;
    if (err == 0) {
        a.role = other ? HD_META_SILENT : hd_meta_role_of(r->role);
        a.epoch = r->has_epoch ? r->epoch : 0;
    } else if (err == -HD_E_NO_SUCH_PROTOCOL || err == -HD_E_RPC_SERVER) {
        a.role = HD_META_FOREIGN;
    } else if (!hd_rpc_is_connection_error(err)) {
        a.role = HD_META_STANDBY;
    }
    hd_rpc_client_free(client);
    return a;
}

static int ask_one(void *ctx, size_t i)
{
    struct question *q = ctx;
    q->answers[i] = ask_meta(q->address[i], q->user, q->cluster);
    return 0;
}

/* What was heard so far. */
static void gather(struct hd_crowd *c, const struct question *q, size_t count,
                   struct hd_meta_answer *answers, bool *heard)
{
    for (size_t i = 0; i < count; i++) {
        int err;
        heard[i] = hd_crowd_ended(c, i, &err);
        answers[i] =
            heard[i] && err == 0 ? q->answers[i] : (struct hd_meta_answer){.role = HD_META_SILENT};
    }
}

/* The meta to talk to. */
static size_t ask_all(const struct hd_metas *m, const char *cluster, const char *user, bool refused)
{
    struct question *q = calloc(1, sizeof(*q));
    struct hd_crowd *crowd;
    if (q != NULL) {
        memcpy(q->address, m->address, sizeof(q->address));
        snprintf(q->user, sizeof(q->user), "%s", user);
        snprintf(q->cluster, sizeof(q->cluster), "%s", cluster);
    }
    if (hd_crowd_start(q, m->count, ask_one, &crowd) < 0) {
        return m->current;
    }
    struct hd_meta_answer answers[HD_METAS_MAX];
    bool heard[HD_METAS_MAX];
    int64_t until_ms = hd_clock_mono_ms().v + ASK_MS;
    do {
        gather(crowd, q, m->count, answers, heard);
    } while (!hd_metas_is_settled(m, answers, heard) && hd_crowd_wait(crowd, until_ms));
    hd_crowd_leave(crowd);
    return hd_metas_choose(m, answers, refused);
}

/* ---- switching ---- */

static void redirect_all(struct hd_session *s, const char *address)
{
    pthread_mutex_lock(&s->lock);
    HD_LIST_FOR(it, &s->users)
    {
        (void)hd_rpc_client_redirect(HD_LIST_ENTRY(it, struct hd_fs, link)->rpc, address);
    }
    pthread_mutex_unlock(&s->lock);
}

/* (lock, which it lets go meanwhile) */
static void ask_and_switch(struct hd_session *s, bool refused)
{
    struct hd_failover *f = &s->failover;
    struct hd_metas metas = f->metas;
    char cluster[HD_CLUSTER_ID_BYTES];
    memcpy(cluster, f->cluster, sizeof(cluster));
    struct hd_fs *first = HD_LIST_ENTRY(s->users.next, struct hd_fs, link); /* never leaves */
    f->asking = true;
    pthread_mutex_unlock(&f->lock);
    size_t chosen = ask_all(&metas, cluster, first->user, refused);
    pthread_mutex_lock(&f->lock);
    if (chosen != metas.current) {
        f->metas.current = chosen;
        f->switches++;
        pthread_mutex_unlock(&f->lock);
        redirect_all(s, metas.address[chosen]);
        pthread_mutex_lock(&f->lock);
    }
    f->asking = false;
    f->asked++;
    pthread_cond_broadcast(&f->changed);
}

bool hd_failover_ask(struct hd_session *s, bool refused, uint64_t switches)
{
    struct hd_failover *f = &s->failover;
    pthread_mutex_lock(&f->lock);
    if (f->switches == switches && f->metas.count > 1) {
        if (f->asking) {
            uint64_t asked = f->asked;
            while (f->asked == asked) { /* in time: asking has a deadline */
                pthread_cond_wait(&f->changed, &f->lock);
            }
        } else {
            ask_and_switch(s, refused);
        }
    }
    bool switched = f->switches != switches;
    pthread_mutex_unlock(&f->lock);
    return switched;
}

/* ---- watching ---- */

/* (lock) When the oldest try began; now_ms when none is under way. */
static int64_t oldest_ms(const struct hd_failover *f, int64_t now_ms)
{
    int64_t oldest = now_ms;
    HD_LIST_FOR(it, &f->calls)
    {
        oldest = HD_MIN(oldest, HD_LIST_ENTRY(it, struct hd_call_mark, link)->since_ms);
    }
    return oldest;
}

/* Asks while calls are not answered: at once when one is a second old, then once a second. */
static void *watch(void *ctx)
{
    struct hd_session *s = ctx;
    struct hd_failover *f = &s->failover;
    int64_t busy_ms = hd_clock_mono_ms().v;
    int64_t asked_ms = 0;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        int64_t now = hd_clock_mono_ms().v;
        busy_ms = hd_list_empty(&f->calls) ? busy_ms : now;
        if (now - busy_ms > IDLE_MS) {
            f->watcher_idle = true;
            pthread_cond_wait(&f->changed, &f->lock);
            f->watcher_idle = false;
            busy_ms = hd_clock_mono_ms().v;
            continue;
        }
        if (now - oldest_ms(f, now) >= PATIENCE_MS && now - asked_ms >= PATIENCE_MS && !f->asking) {
            ask_and_switch(s, false);
            asked_ms = hd_clock_mono_ms().v;
            continue;
        }
        wait_until(f, now + WATCH_MS);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

void hd_failover_begin(struct hd_session *s, struct hd_call_mark *m)
{
    struct hd_failover *f = &s->failover;
    hd_list_init(&m->link);
    if (!atomic_load(&f->several)) {
        return;
    }
    m->since_ms = hd_clock_mono_ms().v;
    pthread_mutex_lock(&f->lock);
    hd_list_push_back(&f->calls, &m->link);
    if (!f->watching && !f->stopping) {
        f->watching = pthread_create(&f->watcher, NULL, watch, s) == 0;
    }
    if (f->watcher_idle) {
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
}

void hd_failover_end(struct hd_session *s, struct hd_call_mark *m)
{
    if (!hd_list_empty(&m->link)) {
        pthread_mutex_lock(&s->failover.lock);
        hd_list_remove(&m->link);
        pthread_mutex_unlock(&s->failover.lock);
    }
}
