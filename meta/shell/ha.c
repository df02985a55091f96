/* The primary's side of high availability. See ha.h. */
#include "meta/shell/ha.h"
#include "meta/shell/executor.h"
#include "meta/shell/service.h"
#include "meta/shell/threads.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "fs/wire/methods.h"

#include "datanode.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { DOUBT_MS = 600 }; /* the loop turns every 200 ms at least */

struct hd_ha {
    struct hd_executor *x;
    struct hd_quorum q;
    bool peer; /* there is another meta: without one nothing below matters */
    struct hd_list rounds;
    uint64_t asked; /* serial of the newest round */

    struct hd_witness_list known;  /* registered with this process */
    struct hd_witness_list agreed; /* on the secondary's disk, and on ours */
    struct hd_witness_list next;   /* given to the secondary, not known to be on its disk; or {0} */

    /* what the secondary was told */
    bool told;
    bool told_exposed;
    uint64_t peer_version; /* of the list that it has */
    uint32_t answers_since_doubt;

    int64_t seen_ms; /* of the last turn; 0: none */
    enum hd_quorum_state logged_state;
    bool logged_step;
    bool fenced; /* done with */
};

struct round {
    struct hd_list node;
    struct hd_ha *ha;
    pthread_t thread;
    bool joined;
    struct hd_witness_list list;
    Hdw__WitnessRequest request;
};

struct answer {
    struct hd_ha *ha;
    struct hd_quorum_answer a;
};

static void settle(struct hd_ha *h);

static struct hd_mono_ms now_of(const struct hd_ha *h)
{
    return hd_loop_now(h->x->loop);
}

/* --- rounds --- */

static void take_answer(void *ctx)
{
    struct answer *a = ctx;
    struct hd_ha *h = a->ha;
    if (!h->fenced) {
        hd_quorum_answer(&h->q, &a->a, now_of(h));
        settle(h);
    }
    free(a);
}

static void on_answer(void *ctx, int err, const Hdw__WitnessResponse *r)
{
    struct round *round = ctx;
    struct answer *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return;
    }
    *a = (struct answer){.ha = round->ha,
                         .a = {.serial = round->request.serial, .answered = err == 0}};
    if (err == 0) {
        a->a.accepted = r->accepted;
        a->a.epoch = r->epoch;
        a->a.owner = r->owner;
        a->a.stored_serial = r->serial;
    } else {
        hd_log_debug("witness does not answer", "reason=\"%s\"", hd_fail_describe(err));
    }
    if (hd_loop_post(round->ha->x->loop, take_answer, a) < 0) {
        free(a);
    }
}

static void round_over(void *ctx)
{
    struct round *r = ctx;
    if (!r->joined) {
        pthread_join(r->thread, NULL);
    }
    hd_list_remove(&r->node);
    hd_witness_list_done(&r->list);
    free(r);
}

static void *run_round(void *ctx)
{
    struct round *r = ctx;
    hd_witnesses_ask(&r->list, &r->request, r->ha->x->conf->superuser, on_answer, r);
    (void)hd_loop_post(r->ha->x->loop, round_over, r);
    return NULL;
}

/* The list that counts. The first one counts from the moment it is given away. */
static const struct hd_witness_list *in_force(const struct hd_ha *h)
{
    return h->agreed.count == 0 ? &h->next : &h->agreed;
}

static int start_round(struct hd_ha *h)
{
    struct round *r = calloc(1, sizeof(*r));
    if (r == NULL || hd_witness_list_copy(in_force(h), &r->list) < 0) {
        free(r);
        return -ENOMEM;
    }
    r->ha = h;
    Hdw__WitnessRequest *q = &r->request;
    hdw__witness_request__init(q);
    q->epoch = h->q.o.epoch;
    q->has_owner = q->has_serial = q->has_exposed = q->has_ask_only = q->has_txid = true;
    q->owner = h->x->store->version.primary_id;
    q->serial = h->q.serial;
    q->exposed = h->q.round == HD_QUORUM_EXPOSE;
    q->ask_only = h->q.round == HD_QUORUM_CONFIRM;
    q->txid = h->x->durable.v;
    q->address = (char *)(uintptr_t)h->x->conf->own_address;
    hd_list_push_back(&h->rounds, &r->node);
    int err = hd_meta_thread_start(&r->thread, "witnesses", run_round, r);
    if (err < 0) {
        hd_list_remove(&r->node);
        hd_witness_list_done(&r->list);
        free(r);
    }
    return err;
}

/* --- what the quorum's state means --- */

static void log_state(struct hd_ha *h)
{
    const struct hd_quorum *q = &h->q;
    if (q->state != h->logged_state && q->state == HD_QUORUM_EXPOSED) {
        hd_log_warn("going on without the secondary: changes are on this machine only",
                    "txid=%" PRIu64 " witnesses=%u of %u", q->committed.v, q->accepted, q->asked);
    }
    if (q->in_step && !h->logged_step) {
        hd_log_info("the secondary is in step: changes are acknowledged when both have them",
                    "txid=%" PRIu64, q->secondary.v);
    }
    h->logged_state = q->state;
    h->logged_step = q->in_step;
}

static void log_fenced(const struct hd_ha *h)
{
    if (h->q.fenced_by == h->q.o.epoch) {
        hd_log_error("the secondary has changes of this epoch that this directory lacks: it is an "
                     "older copy, or its disk lost what was durable. Answering nothing any more; "
                     "bring the right directory back, or promote the secondary",
                     "dir=%s epoch=%" PRIu64 " txid=%" PRIu64, h->x->store->dir, h->q.o.epoch,
                     h->x->stepped.v);
        return;
    }
    hd_log_error("another meta has been promoted: answering nothing any more, becoming its "
                 "secondary",
                 "epoch=%" PRIu64 " new_epoch=%" PRIu64 " txid=%" PRIu64, h->q.o.epoch,
                 h->q.fenced_by, h->x->stepped.v);
}

static void settle(struct hd_ha *h)
{
    if (h->fenced) {
        return;
    }
    if (h->q.state == HD_QUORUM_FENCED) {
        h->fenced = true;
        log_fenced(h);
        hd_executor_fence(h->x);
        return;
    }
    if (h->q.round != HD_QUORUM_NO_ROUND && h->q.serial != h->asked && start_round(h) == 0) {
        h->asked = h->q.serial;
    }
    log_state(h);
    hd_executor_committed(h->x);
}

struct hd_txid hd_ha_committed(const struct hd_ha *h)
{
    return h->q.committed;
}

const struct hd_quorum *hd_ha_quorum(const struct hd_ha *h)
{
    return &h->q;
}

void hd_ha_durable(struct hd_ha *h, struct hd_txid durable)
{
    hd_quorum_durable(&h->q, durable, now_of(h));
    settle(h);
}

void hd_ha_tick(struct hd_ha *h)
{
    hd_ha_look_at_clock(h);
    hd_quorum_tick(&h->q, now_of(h));
    settle(h);
}

void hd_ha_look_at_clock(struct hd_ha *h)
{
    int64_t now = now_of(h).v;
    int64_t before = h->seen_ms;
    h->seen_ms = now;
    if (h->peer && !h->fenced && before != 0 && now - before > DOUBT_MS) {
        hd_log_warn("did not run for a while: asking whether this is still the primary",
                    "ms=%" PRId64, now - before);
        h->answers_since_doubt = 0;
        hd_quorum_doubt(&h->q, now_of(h));
        hd_service_fetches_answer(h->x->service); /* its next call tells that it still follows */
        settle(h);
    }
}

bool hd_ha_in_doubt(const struct hd_ha *h)
{
    return h->q.doubt;
}

/* --- the list of witnesses --- */

static void use_lists(struct hd_ha *h)
{
    hd_quorum_witnesses(&h->q, in_force(h)->count);
}

/* The secondary has the list of this version on its disk. */
static void agree(struct hd_ha *h, uint64_t version)
{
    if (h->next.version == 0 || version != h->next.version) {
        return;
    }
    int err = hd_witness_list_store_all(h->x->store->log, &h->next);
    if (err < 0) {
        hd_log_error("list of witnesses not stored", "reason=\"%s\"", hd_fail_describe(err));
        return;
    }
    hd_witness_list_done(&h->agreed);
    h->agreed = h->next;
    h->next = (struct hd_witness_list){0};
    use_lists(h);
}

static bool lacks(const struct hd_witness_list *l, const struct hd_witness_entry *e)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (strcmp(l->entries[i].uuid, e->uuid) == 0) {
            return strcmp(l->entries[i].address, e->address) != 0;
        }
    }
    return true;
}

/* Makes the next list: one node more than the agreed one; the first list takes all there are. */
static void propose(struct hd_ha *h)
{
    if (h->next.version != 0 || h->peer_version != h->agreed.version) {
        return;
    }
    bool first = h->agreed.count == 0;
    struct hd_witness_list next = {0};
    for (uint32_t i = 0; i < h->known.count; i++) {
        const struct hd_witness_entry *e = &h->known.entries[i];
        if (!lacks(next.version == 0 ? &h->agreed : &next, e)) {
            continue;
        }
        if (next.version == 0 && hd_witness_list_copy(&h->agreed, &next) < 0) {
            return;
        }
        (void)hd_witness_list_note(&next, e->uuid, e->address);
        if (!first) {
            break;
        }
    }
    if (next.version == 0) {
        return;
    }
    /* The first list counts at once, so it has to survive us. */
    int err = first ? hd_witness_list_store_all(h->x->store->log, &next) : 0;
    if (err < 0) {
        hd_log_error("list of witnesses not stored", "reason=\"%s\"", hd_fail_describe(err));
        hd_witness_list_done(&next);
        return;
    }
    h->next = next;
    use_lists(h);
}

/* --- data nodes --- */

static void note_node(struct hd_ha *h, const Hdw__DatanodeID *id, const char *ip)
{
    char address[HD_WITNESS_TEXT_BYTES];
    bool v6 = strchr(ip, ':') != NULL;
    snprintf(address, sizeof(address), v6 ? "[%s]:%u" : "%s:%u", ip, id->ipc_port);
    if (id->ipc_port != 0 && hd_witness_list_note(&h->known, id->datanode_uuid, address)) {
        propose(h);
        hd_service_fetches_wake(h->x->service);
    }
}

/* Decodes beside the core: registrations are rare, heartbeats come once a second. */
bool hd_ha_node_call(struct hd_ha *h, struct hd_rpc_call *call)
{
    bool registers = strcmp(call->method, "registerDatanode") == 0;
    if (!h->peer || (!registers && strcmp(call->method, "sendHeartbeat") != 0)) {
        return true;
    }
    uint64_t epoch = 0;
    if (registers) {
        const Hdw__RegisterDatanodeRequest *q =
            (const void *)hd_rpc_call_decode(call, &hdw__register_datanode_request__descriptor);
        if (q == NULL) {
            return false;
        }
        epoch = q->has_epoch ? q->epoch : 0;
        note_node(h, q->registration->datanode_id, call->peer_ip);
    } else {
        const Hdw__SendHeartbeatRequest *q =
            (const void *)hd_rpc_call_decode(call, &hdw__send_heartbeat_request__descriptor);
        if (q == NULL) {
            return false;
        }
        epoch = q->has_epoch ? q->epoch : 0;
    }
    hd_quorum_epoch_seen(&h->q, epoch);
    settle(h);
    return true;
}

void hd_ha_node_answer(struct hd_ha *h, const ProtobufCMessage *response)
{
    if (response == NULL) {
        return;
    }
    if (response->descriptor == &hdw__register_datanode_response__descriptor) {
        Hdw__RegisterDatanodeResponse *r = (void *)(uintptr_t)response;
        r->has_epoch = true;
        r->epoch = h->q.o.epoch;
    } else if (response->descriptor == &hdw__send_heartbeat_response__descriptor) {
        Hdw__SendHeartbeatResponse *r = (void *)(uintptr_t)response;
        r->has_epoch = true;
        r->epoch = h->q.o.epoch;
    }
}

/* --- the secondary --- */

static bool exposed_to_secondary(const struct hd_ha *h)
{
    return !h->q.in_step;
}

static uint64_t offered_version(const struct hd_ha *h)
{
    return h->next.version != 0 ? h->next.version : h->agreed.version;
}

bool hd_ha_follows(struct hd_ha *h, const Hdw__FetchEditsRequest *q)
{
    if (!h->peer || !q->has_epoch || q->epoch > h->q.o.epoch) {
        return true;
    }
    if (q->epoch < h->q.o.epoch) {
        return false;
    }
    if (q->has_applied_txid && q->applied_txid > h->x->stepped.v) {
        hd_quorum_older(&h->q);
        settle(h);
        return false;
    }
    return true;
}

void hd_ha_fetch(struct hd_ha *h, const Hdw__FetchEditsRequest *q)
{
    struct hd_txid applied = {q->has_applied_txid ? q->applied_txid : q->from_txid - 1};
    if (!h->peer) {
        return;
    }
    hd_quorum_epoch_seen(&h->q, q->has_epoch ? q->epoch : 0);
    if (h->q.doubt && h->answers_since_doubt > 0 && h->q.state != HD_QUORUM_FENCED) {
        hd_quorum_confirmed(&h->q);
    }
    h->peer_version = q->has_witnesses_version ? q->witnesses_version : 0;
    agree(h, h->peer_version);
    propose(h);
    if (h->q.state != HD_QUORUM_FENCED) {
        hd_quorum_secondary(&h->q, applied, now_of(h));
    }
    settle(h);
}

bool hd_ha_has_news(const struct hd_ha *h)
{
    return h->peer &&
           (!h->told || h->told_exposed != exposed_to_secondary(h) ||
            h->peer_version != offered_version(h) || (h->q.doubt && h->answers_since_doubt == 0));
}

void hd_ha_fetch_answer(struct hd_ha *h, Hdw__FetchEditsResponse *r)
{
    r->has_epoch = true;
    r->epoch = h->q.o.epoch;
    r->has_exposed = h->q.state != HD_QUORUM_FENCED; /* then we do not know any more */
    r->exposed = exposed_to_secondary(h);
    if (h->peer_version != offered_version(h)) {
        const struct hd_witness_list *l = h->next.version != 0 ? &h->next : &h->agreed;
        r->has_witnesses_version = true;
        r->witnesses_version = l->version;
        r->witnesses = calloc(l->count + 1, sizeof(*r->witnesses) + sizeof(**r->witnesses));
        Hdw__WitnessAddress *w = (void *)(r->witnesses + l->count + 1);
        for (uint32_t i = 0; r->witnesses != NULL && i < l->count; i++) {
            hdw__witness_address__init(&w[i]);
            w[i].uuid = l->entries[i].uuid;
            w[i].address = l->entries[i].address;
            r->witnesses[r->n_witnesses++] = &w[i];
        }
        r->has_witnesses_version = r->witnesses != NULL;
    }
    h->told = true;
    h->told_exposed = r->exposed;
    h->answers_since_doubt++;
}

void hd_ha_secondary_gone(struct hd_ha *h)
{
    h->told = false;
    hd_quorum_secondary_gone(&h->q, now_of(h));
    settle(h);
}

/* --- life --- */

int hd_ha_new(struct hd_executor *x, struct hd_ha **ret)
{
    struct hd_ha *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        return -ENOMEM;
    }
    h->x = x;
    h->peer = x->conf->peer_address[0] != '\0';
    hd_list_init(&h->rounds);
    int err = hd_witness_list_load_any(x->conf->dir, &h->agreed);
    if (err < 0) {
        hd_ha_free(h);
        return err;
    }
    const struct hd_quorum_options o = {.both = x->conf->sync_both,
                                        .timeout_ms = x->conf->secondary_timeout_ms,
                                        .epoch = x->store->version.epoch,
                                        .owner = x->store->version.primary_id,
                                        .serial = (uint64_t)hd_clock_wall_ms().v};
    hd_quorum_init(&h->q, &o, x->durable, hd_clock_mono_ms());
    h->asked = h->q.serial;
    h->logged_state = h->q.state;
    use_lists(h);
    *ret = h;
    return 0;
}

void hd_ha_stop(struct hd_ha *h)
{
    if (h == NULL) {
        return;
    }
    h->fenced = true;
    HD_LIST_FOR_SAFE(it, &h->rounds)
    {
        struct round *r = HD_LIST_ENTRY(it, struct round, node);
        pthread_join(r->thread, NULL); /* round_over() is in the loop's mailbox */
        r->joined = true;
    }
}

void hd_ha_free(struct hd_ha *h)
{
    if (h != NULL) {
        hd_witness_list_done(&h->known);
        hd_witness_list_done(&h->agreed);
        hd_witness_list_done(&h->next);
        free(h);
    }
}
