/* Which meta a data node talks to, and what it knows as a witness. See control_impl.h. */
#include "fs/data/shell/control_impl.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <inttypes.h>

/* How long a meta that is said to be primary is waited for when it is not ready yet. */
enum { PATIENCE_MS = 3000 };

const char *hd_control_meta(struct hd_control *c)
{
    pthread_mutex_lock(&c->lock);
    const char *address = c->addresses[c->at]; /* never changes once it is there */
    pthread_mutex_unlock(&c->lock);
    return address;
}

static void go_to(struct hd_control *c, int at, int64_t stick_ms)
{
    pthread_mutex_lock(&c->lock);
    bool other = at != c->at;
    c->at = at;
    c->stick_ms = stick_ms;
    if (other) {
        c->registered = false;
        c->woken = true;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    if (other && hd_rpc_client_redirect(c->client, c->addresses[at]) < 0) {
        hd_log_error("no memory to change to the other meta", "meta=%s", c->addresses[at]);
    }
}

/* Meta does not answer, or not as the primary: the other one may. */
void hd_control_try_other(struct hd_control *c)
{
    pthread_mutex_lock(&c->lock);
    bool patient = hd_clock_mono_ms().v < c->stick_ms;
    int other = (c->at + 1) % c->address_count;
    pthread_mutex_unlock(&c->lock);
    if (!patient && c->address_count > 1) {
        go_to(c, other, 0);
    }
}

/* The primary of a new epoch is at this address. */
static void follow(struct hd_control *c, const char *address)
{
    for (int i = 0; i < c->address_count; i++) {
        if (strcmp(c->addresses[i], address) == 0) {
            go_to(c, i, hd_clock_mono_ms().v + PATIENCE_MS);
            return;
        }
    }
    hd_log_warn("the primary is at an address that the configuration does not have", "address=%s",
                address);
}

int hd_control_witness(struct hd_control *c, const Hdw__WitnessRequest *q,
                       struct hd_witness_state *ret)
{
    const struct hd_witness_request r = {.epoch = q->epoch,
                                         .owner = q->has_owner ? q->owner : 0,
                                         .serial = q->has_serial ? q->serial : 0,
                                         .exposed = q->has_exposed && q->exposed,
                                         .ask_only = q->has_ask_only && q->ask_only,
                                         .force = q->has_force && q->force};
    struct hd_witness_state before;
    hd_witness_get(c->witness, &before);
    int rc = hd_witness_take(c->witness, &r, q->address != NULL ? q->address : "", q->txid, ret);
    if (rc > 0 && !r.ask_only) {
        hd_log_info("witness", "epoch=%" PRIu64 " exposed=%d primary=%s", ret->w.epoch,
                    ret->w.exposed, ret->address);
        if (ret->w.epoch > before.w.epoch) {
            follow(c, ret->address);
        }
    }
    return rc;
}

uint64_t hd_control_epoch(struct hd_control *c)
{
    struct hd_witness_state s;
    hd_witness_get(c->witness, &s);
    return s.w.epoch;
}

/* A meta of an epoch that is over must not be obeyed. */
int hd_control_check_epoch(struct hd_control *c, bool has_epoch, uint64_t epoch)
{
    uint64_t known = hd_control_epoch(c);
    return !has_epoch || epoch >= known
               ? 0
               : hd_fail(-HD_E_STANDBY, "it is of epoch %" PRIu64 ", and there is %" PRIu64, epoch,
                         known);
}
