/* Following the primary's log. See secondary_impl.h. */
#include "meta/shell/secondary_impl.h"
#include "fs/base/error.h"
#include "fs/net/rpc_client.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "meta/log/image.h"
#include "meta/shell/fenced.h"
#include "meta/shell/roles.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 400, /* acknowledgements wait for us */
    FETCH_BYTES = 4 << 20,
    FETCH_WAIT_MS = 5000,
    CALL_TIMEOUT_MS = 20000,
};

static const char meta_protocol[] = "howdah.MetaProtocol";

int hd_primary_link_open(struct hd_primary_link *l, const struct hd_meta_conf *conf)
{
    const struct hd_rpc_client_options o = {.address = conf->peer_address,
                                            .protocol = meta_protocol,
                                            .user = conf->superuser,
                                            .connect_timeout_ms = 3000,
                                            .call_timeout_ms = CALL_TIMEOUT_MS};
    hd_arena_init(&l->arena, 0);
    return hd_rpc_client_new(&o, &l->client);
}

void hd_primary_link_close(struct hd_primary_link *l)
{
    hd_rpc_client_free(l->client);
    hd_arena_done(&l->arena);
    *l = (struct hd_primary_link){0};
}

int hd_primary_link_call(struct hd_primary_link *l, const char *method,
                         const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                         int timeout_ms, void *ret_response)
{
    hd_arena_reset(&l->arena);
    const struct hd_rpc_args args = {.method = method,
                                     .request = request,
                                     .response_type = type,
                                     .arena = &l->arena,
                                     .timeout_ms = timeout_ms,
                                     .call_id = -1};
    ProtobufCMessage *response;
    int err = hd_rpc_call(l->client, &args, &response, NULL);
    if (err == 0) {
        *(ProtobufCMessage **)ret_response = response;
    }
    return err;
}

/* Sleeps, but not into a stop. */
static void pause_ms(struct hd_secondary *s, int64_t ms)
{
    uint64_t at = hd_clock_mono_ns() + (uint64_t)ms * 1000000u;
    struct timespec ts = {.tv_sec = (time_t)(at / 1000000000u),
                          .tv_nsec = (long)(at % 1000000000u)};
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stopping) &&
           pthread_cond_timedwait(&s->stop_cond, &s->lock, &ts) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&s->lock);
}

static void publish(struct hd_secondary *s)
{
    pthread_mutex_lock(&s->lock);
    s->version = s->store.version;
    s->applied = s->store.applied;
    pthread_mutex_unlock(&s->lock);
}

/* --- the store --- */

/* Who the primary is. */
static int get_version(struct hd_secondary *s, struct hd_version *ret)
{
    const Hdw__GetClusterRequest q = HDW__GET_CLUSTER_REQUEST__INIT;
    Hdw__GetClusterResponse *r;
    int err = hd_primary_link_call(&s->link, "getCluster", &q.base,
                                   &hdw__get_cluster_response__descriptor, 0, &r);
    if (err < 0) {
        return err;
    }
    if (r->role != NULL && strcmp(r->role, "primary") != 0) {
        return hd_fail(-HD_E_STANDBY, "it is not the primary, but says that it is: %s", r->role);
    }
    *ret = (struct hd_version){.namespace_id = r->namespace_id,
                               .creation_ms = r->creation_ms,
                               .epoch = r->has_epoch ? r->epoch : 1,
                               .primary_id = r->primary_id,
                               .incomplete = true, /* until it says that we are in step */
                               .was_secondary = true,
                               .role_known = true};
    if (strlen(r->cluster_id) >= sizeof(ret->cluster_id) ||
        strlen(r->block_pool_id) >= sizeof(ret->block_pool_id)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "the primary's ids are too long");
    }
    snprintf(ret->cluster_id, sizeof(ret->cluster_id), "%s", r->cluster_id);
    snprintf(ret->block_pool_id, sizeof(ret->block_pool_id), "%s", r->block_pool_id);
    return 0;
}

/*
 * What the directory has must be a beginning of the primary's log. It is when both are of the same
 * epoch. If not, it was ours as a primary that has been replaced: kept aside, in case somebody
 * misses something that was never acknowledged, and everything fetched anew.
 */
static int check_history(struct hd_secondary *s, const struct hd_version *primary)
{
    struct hd_version own;
    int err = hd_role_peek(s->conf->dir, &own);
    if (err < 0 || strcmp(own.cluster_id, primary->cluster_id) != 0) {
        return 0; /* new, or for hd_store_open to judge */
    }
    if (own.epoch > primary->epoch) {
        return hd_fail(-HD_E_STANDBY,
                       "%s is of epoch %" PRIu64 ", the primary at %s of epoch %" PRIu64
                       ": it has been replaced and does not know it yet",
                       s->conf->dir, own.epoch, s->conf->peer_address, primary->epoch);
    }
    bool same = own.epoch == primary->epoch &&
                (own.primary_id == primary->primary_id || own.primary_id == 0 ||
                 (own.role_known && own.was_secondary));
    if (same) {
        return 0;
    }
    char suffix[80];
    snprintf(suffix, sizeof(suffix), ".fenced-%" PRIu64 "-%" PRId64, own.epoch,
             hd_clock_wall_ms().v);
    hd_log_warn("the directory's log ended with another epoch, fetching the primary's",
                "kept_as=%s%s epoch=%" PRIu64 " new_epoch=%" PRIu64, s->conf->dir, suffix,
                own.epoch, primary->epoch);
    err = hd_store_put_aside(s->conf->dir, suffix);
    if (err == 0) {
        hd_fenced_remove_old(s->conf->dir);
    }
    return err;
}

/* The VERSION file says who is followed now. */
static int adopt(struct hd_secondary *s, const struct hd_version *primary)
{
    struct hd_version *v = &s->store.version;
    if (v->epoch == primary->epoch && v->primary_id == primary->primary_id && v->role_known &&
        v->was_secondary) {
        return 0;
    }
    v->epoch = primary->epoch;
    v->primary_id = primary->primary_id;
    v->role_known = v->was_secondary = true;
    return hd_store_write_version(&s->store);
}

/*
 * Opens the own directory. Damage there is no loss as long as there is a primary: it is put aside
 * whole, and everything fetched again.
 */
static int open_store(struct hd_secondary *s)
{
    struct hd_version primary;
    int err = get_version(s, &primary);
    if (err == 0) {
        err = check_history(s, &primary);
    }
    if (err < 0) {
        return err;
    }
    const struct hd_store_options o = {
        .dir = s->conf->dir, .core = &s->conf->core, .version = &primary, .ip = ""};
    err = hd_store_open(&o, &s->store);
    if (err == -HD_E_CORRUPT) {
        char suffix[64];
        snprintf(suffix, sizeof(suffix), ".bad-%" PRId64, hd_clock_wall_ms().v);
        hd_log_warn("directory is damaged, starting over with an empty one",
                    "moved_to=%s%s reason=\"%s\"", s->conf->dir, suffix, hd_fail_describe(err));
        err = hd_store_put_aside(s->conf->dir, suffix);
        if (err == 0) {
            err = hd_store_open(&o, &s->store);
        }
    }
    if (err == 0 && strcmp(primary.cluster_id, s->store.version.cluster_id) != 0) {
        err = hd_fail(-HD_E_INCORRECT_VERSION, "%s: belongs to cluster %s, the primary at %s to %s",
                      s->conf->dir, s->store.version.cluster_id, s->conf->peer_address,
                      primary.cluster_id);
        hd_store_close(&s->store);
    }
    if (err == 0) {
        err = adopt(s, &primary);
    }
    if (err == 0) {
        err = hd_witness_list_load_any(s->conf->dir, &s->witnesses);
        if (err == -HD_E_CORRUPT) {
            hd_log_warn("list of witnesses is damaged, asking for it again", "reason=\"%s\"",
                        hd_fail_describe(err));
            err = 0;
        }
    }
    if (err == 0) {
        err = hd_edit_log_start(s->store.log, (struct hd_txid){s->store.applied.v + 1});
    }
    if (err < 0) {
        hd_store_close(&s->store);
        return err;
    }
    size_t count;
    struct hd_txid newest = {0};
    (void)hd_image_list(s->store.dir, &newest, 1, &count);
    s->checkpoint_txid = newest;
    s->checkpoint_at_ms = hd_clock_mono_ms().v;
    s->store_open = true;
    pthread_mutex_lock(&s->lock);
    s->image_txid = newest;
    pthread_mutex_unlock(&s->lock);
    publish(s);
    return 0;
}

/* What follows our txid is gone from the primary: start over from its newest image. */
static int start_over(struct hd_secondary *s)
{
    struct hd_txid txid;
    hd_secondary_checkpoint_finish(s);
    int err = hd_secondary_replay_drain(s);
    if (err == 0) {
        err = hd_secondary_fetch_image(s, &txid);
    }
    if (err == 0 && txid.v <= s->store.applied.v) {
        err = hd_fail(-HD_E_CORRUPT, "the primary has purged edits that its newest image lacks");
    }
    if (err < 0) {
        return err;
    }
    hd_log_info("starting over from the primary's image", "txid=%" PRIu64, txid.v);
    err = hd_store_restart_from_image(&s->store, &s->conf->core, txid);
    if (err < 0) {
        hd_store_close(&s->store); /* half done: opening again sorts it out */
        s->store_open = false;
        return err;
    }
    publish(s);
    return 0;
}

/* --- records --- */

/* The received frames into the own log: durable before anything is made of them. */
static int log_records(struct hd_secondary *s, const uint8_t *p, size_t n, struct hd_buf *frames)
{
    const struct hd_txid durable = hd_edit_log_last(s->store.log);
    struct hd_txid last = durable;
    struct hd_record r;
    size_t bytes;
    for (size_t at = 0; at < n; at += bytes) {
        if (hd_record_decode(p + at, n - at, &r, &bytes) != HD_RECORD_GOOD ||
            r.txid.v != last.v + 1) {
            return hd_fail(-HD_E_BAD_MESSAGE,
                           "the primary's records do not decode behind txid %" PRIu64, last.v);
        }
        last = r.txid;
        r.durable = durable;
        int err = hd_record_encode(frames, &r);
        if (err < 0) {
            return err;
        }
    }
    int err = hd_edit_log_is_full(s->store.log) ? hd_edit_log_roll(s->store.log) : 0;
    if (err == 0) {
        err = hd_edit_log_append(s->store.log, frames->data, frames->size, last);
    }
    if (err == 0) {
        err = hd_edit_log_sync(s->store.log);
    }
    if (err < 0) {
        hd_log_error("own edit log failed, ending", "reason=\"%s\"", hd_fail_describe(err));
        abort(); /* what reached the disk is not known: the next start finds out */
    }
    return 0;
}

static int take_records(struct hd_secondary *s, const uint8_t *p, size_t n)
{
    HD_AUTO(hd_buf_done) struct hd_buf frames = {0};
    int err = log_records(s, p, n, &frames);
    if (err == 0) {
        err = hd_secondary_replay_add(s, &frames);
        s->reopen = err < 0; /* log and memory differ now: load both again */
    }
    return err;
}

/* --- what the primary says beside records --- */

/*
 * Told "exposed", this copy is not to be promoted, and that comes before a newer list of
 * witnesses: they may not know it. The other way round for "in step".
 */
static int take_exposed(struct hd_secondary *s, bool exposed)
{
    if (s->store.version.incomplete == exposed) {
        return 0;
    }
    s->store.version.incomplete = exposed;
    int err = hd_store_write_version(&s->store);
    if (err == 0) {
        hd_log_info(exposed ? "the primary acknowledges without this copy"
                            : "in step: what the primary acknowledges is here",
                    "txid=%" PRIu64, hd_edit_log_last(s->store.log).v);
    }
    return err;
}

static int take_witnesses(struct hd_secondary *s, const Hdw__FetchEditsResponse *r)
{
    struct hd_witness_list l = {0};
    if (!r->has_witnesses_version || atomic_load(&s->keep_store)) {
        return 0; /* a promotion asks those it found: two lists on, no majority of them would do */
    }
    for (size_t i = 0; i < r->n_witnesses; i++) {
        (void)hd_witness_list_note(&l, r->witnesses[i]->uuid, r->witnesses[i]->address);
    }
    l.version = r->witnesses_version;
    int err = hd_witness_list_store_all(s->store.log, &l);
    if (err < 0) {
        hd_witness_list_done(&l);
        return err;
    }
    pthread_mutex_lock(&s->lock);
    hd_witness_list_done(&s->witnesses);
    s->witnesses = l;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int take_news(struct hd_secondary *s, const Hdw__FetchEditsResponse *r)
{
    if (r->has_epoch && r->epoch != s->store.version.epoch) {
        s->reopen = true;
        return hd_fail(-HD_E_STANDBY, "the primary is of epoch %" PRIu64 ", this copy of %" PRIu64,
                       r->epoch, s->store.version.epoch);
    }
    int err = r->has_exposed ? take_exposed(s, r->exposed) : 0;
    return err < 0 ? err : take_witnesses(s, r);
}

static int fetch(struct hd_secondary *s)
{
    Hdw__FetchEditsRequest q = HDW__FETCH_EDITS_REQUEST__INIT;
    Hdw__FetchEditsResponse *r;
    const struct hd_txid logged = hd_edit_log_last(s->store.log);
    q.from_txid = logged.v + 1;
    q.max_bytes = FETCH_BYTES;
    q.wait_ms = FETCH_WAIT_MS;
    q.has_applied_txid = true;
    q.applied_txid = logged.v;
    q.has_epoch = q.has_witnesses_version = true;
    q.epoch = s->store.version.epoch;
    q.witnesses_version = s->witnesses.version;
    q.address = (char *)(uintptr_t)s->conf->own_address;
    int err = hd_primary_link_call(&s->link, "fetchEdits", &q.base,
                                   &hdw__fetch_edits_response__descriptor,
                                   FETCH_WAIT_MS + CALL_TIMEOUT_MS, &r);
    if (err < 0) {
        return err;
    }
    if (!s->connected) {
        s->connected = true;
        hd_log_info("connected", "primary=%s applied=%" PRIu64 " primary_txid=%" PRIu64,
                    s->conf->peer_address, logged.v, r->durable_txid);
    }
    err = take_news(s, r);
    if (err < 0) {
        return err;
    }
    s->wanted = s->wanted || (r->has_checkpoint_wanted && r->checkpoint_wanted);
    if (r->has_purged && r->purged) {
        return start_over(s);
    }
    return r->records.len > 0 ? take_records(s, r->records.data, r->records.len) : 0;
}

/* --- checkpoints --- */

static bool checkpoint_due(const struct hd_secondary *s)
{
    uint64_t logged = hd_edit_log_last(s->store.log).v;
    uint64_t behind = logged - HD_MIN(s->checkpoint_txid.v, logged);
    int64_t age_ms = hd_clock_mono_ms().v - s->checkpoint_at_ms;
    return s->wanted || behind >= (uint64_t)s->conf->checkpoint_txns ||
           (behind > 0 && age_ms >= s->conf->checkpoint_interval_s * 1000);
}

/* Rolls the primary's segment, follows up to there, and starts the image. */
static int checkpoint(struct hd_secondary *s)
{
    const Hdw__RollSegmentRequest q = HDW__ROLL_SEGMENT_REQUEST__INIT;
    Hdw__RollSegmentResponse *r;
    int err = hd_primary_link_call(&s->link, "rollSegment", &q.base,
                                   &hdw__roll_segment_response__descriptor, 0, &r);
    uint64_t target = err == 0 ? r->last_txid : 0;
    while (err == 0 && hd_edit_log_last(s->store.log).v < target && !atomic_load(&s->stopping)) {
        err = fetch(s);
        if (!s->store_open) {
            return err;
        }
    }
    if (err == 0) {
        err = hd_secondary_replay_drain(s);
        s->reopen = err < 0;
    }
    if (err == 0) {
        err = hd_edit_log_roll(s->store.log);
    }
    if (err == 0) {
        s->wanted = false;
        err = hd_secondary_checkpoint_start(s);
    }
    s->checkpoint_at_ms = hd_clock_mono_ms().v;
    return err;
}

static int follow(struct hd_secondary *s)
{
    int err = s->store_open ? 0 : open_store(s);
    while (err == 0 && !atomic_load(&s->stopping)) {
        err = fetch(s);
        if (err == 0 && checkpoint_due(s) && !atomic_load(&s->checkpoint.running)) {
            err = checkpoint(s);
        }
    }
    return err;
}

static void close_store(struct hd_secondary *s)
{
    hd_secondary_checkpoint_finish(s);
    (void)hd_secondary_replay_drain(s);
    if (s->store_open) {
        int err = hd_edit_log_stop(s->store.log);
        if (err < 0) {
            hd_log_error("edit log not finished", "reason=\"%s\"", hd_fail_describe(err));
        }
        hd_store_close(&s->store);
        s->store_open = false;
    }
}

void *hd_secondary_tail(void *secondary)
{
    struct hd_secondary *s = secondary;
    int64_t backoff_ms = BACKOFF_MIN_MS;
    while (!atomic_load(&s->stopping)) {
        int err = follow(s);
        if (atomic_load(&s->stopping)) {
            break;
        }
        if (s->connected || backoff_ms == BACKOFF_MIN_MS) {
            hd_log_warn("not following the primary, trying again", "primary=%s reason=\"%s\"",
                        s->conf->peer_address, hd_fail_describe(err));
        }
        if (s->connected) {
            backoff_ms = BACKOFF_MIN_MS;
        }
        s->connected = false;
        if (s->reopen) {
            s->reopen = false;
            close_store(s);
        }
        pause_ms(s, backoff_ms);
        backoff_ms = HD_MIN(backoff_ms * 2, BACKOFF_MAX_MS);
    }
    if (atomic_load(&s->keep_store) && !s->reopen && hd_secondary_replay_drain(s) == 0) {
        hd_secondary_checkpoint_finish(s);
    } else {
        close_store(s);
    }
    return NULL;
}
