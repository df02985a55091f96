/* Making a secondary the primary. See promote.h. */
#include "meta/shell/promote.h"
#include "meta/core/quorum.h"
#include "meta/shell/dirs.h"
#include "meta/shell/roles.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRIES = 3, TRY_AGAIN_MS = 300 };

struct promoting {
    struct hd_secondary *s;
    bool force;
    struct hd_version own; /* what the directory has */
    char dir[HD_DIR_PATH_BYTES];
    struct hd_witness_list witnesses;
    struct hd_promotion p;
};

/* --- our number: drawn once, kept until an epoch is won with it --- */

static int claim_id(const char *dir, uint64_t *ret)
{
    char path[HD_DIR_PATH_BYTES + 16];
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = 256};
    snprintf(path, sizeof(path), "%s/claim", dir);
    if (hd_file_read(path, 64, &text) == 0 && hd_buf_str(&text) != NULL) {
        *ret = strtoull((const char *)text.data, NULL, 10);
        if (*ret != 0) {
            return 0;
        }
    }
    hd_random_bytes(ret, sizeof(*ret));
    *ret |= 1;
    hd_buf_clear(&text);
    int err = hd_buf_addf(&text, "%" PRIu64 "\n", *ret);
    return err < 0 ? err : hd_file_replace(path, text.data, text.size, 0644);
}

static void forget_claim(const char *dir)
{
    char path[HD_DIR_PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s/claim", dir);
    (void)unlink(path);
}

/* --- the witnesses --- */

static void on_asked(void *ctx, int err, const Hdw__WitnessResponse *r)
{
    struct promoting *m = ctx;
    if (err == 0) {
        const struct hd_witness w = {.epoch = r->epoch,
                                     .owner = r->has_owner ? r->owner : 0,
                                     .serial = r->has_serial ? r->serial : 0,
                                     .exposed = r->exposed};
        hd_promotion_answer(&m->p, &w);
    }
}

static void on_claimed(void *ctx, int err, const Hdw__WitnessResponse *r)
{
    struct promoting *m = ctx;
    hd_promotion_claimed(&m->p, err == 0 && r->accepted);
}

static int check_verdict(const struct promoting *m)
{
    static const char how[] = "promote --force takes over all the same, and changes may be lost";
    switch (hd_promotion_verdict(&m->p)) {
    case HD_PROMOTION_POSSIBLE:
        return 0;
    case HD_PROMOTION_NO_MAJORITY:
        return hd_fail(
            -HD_E_RETRIABLE,
            "only %u of %u data nodes answer and know who is primary: whether it went on "
            "without this copy is not known; %s",
            m->p.answered, m->p.witnesses, how);
    case HD_PROMOTION_EXPOSED:
        return hd_fail(
            -HD_E_HA_DISABLED,
            "the primary has acknowledged changes without this copy (it was exposed); %s", how);
    case HD_PROMOTION_SUPERSEDED:
        return hd_fail(-HD_E_HA_DISABLED,
                       "another meta has been promoted to epoch %" PRIu64
                       " after this copy was made (epoch %" PRIu64 "); %s",
                       m->p.claim - 1, m->p.epoch, how);
    }
    return -EINVAL;
}

static int win_epoch(struct promoting *m, uint64_t owner)
{
    Hdw__WitnessRequest q = HDW__WITNESS_REQUEST__INIT;
    const char *user = m->s->conf->superuser;
    hd_promotion_init(&m->p, m->own.epoch, owner, m->witnesses.count);
    q.epoch = m->own.epoch;
    q.has_owner = q.has_ask_only = q.ask_only = true;
    q.owner = m->own.primary_id;
    hd_witnesses_ask(&m->witnesses, &q, user, on_asked, m);
    int err = check_verdict(m);
    if (err < 0 && !m->force) {
        return err;
    }
    q.epoch = m->p.claim;
    q.owner = owner;
    q.ask_only = false;
    q.has_serial = q.has_exposed = q.has_force = q.has_txid = true;
    q.force = m->force;
    q.txid = m->s->applied.v;
    q.address = (char *)(uintptr_t)m->s->conf->own_address;
    hd_witnesses_ask(&m->witnesses, &q, user, on_claimed, m);
    if (!hd_promotion_done(&m->p) && !m->force) {
        return hd_fail(-HD_E_RETRIABLE,
                       "only %u of %u data nodes accepted epoch %" PRIu64
                       ": try again; until then no meta may be able to acknowledge anything",
                       m->p.accepted, m->p.witnesses, m->p.claim);
    }
    return 0;
}

/* --- */

static int check_copy(const struct promoting *m)
{
    if (m->force) {
        return 0;
    }
    if (m->own.incomplete) {
        return hd_fail(-HD_E_HA_DISABLED,
                       "this copy does not have everything that was acknowledged (the primary is "
                       "exposed, or sync = primary); promote --force takes it all the same");
    }
    if (m->witnesses.count == 0) {
        return hd_fail(-HD_E_HA_DISABLED,
                       "no data node is known that could tell the old primary to stop; promote "
                       "--force if it is dead for certain");
    }
    return 0;
}

/* What the directory says; the tail thread may never have reached the primary. */
static int look(struct promoting *m)
{
    char list[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count = 0;
    int err = hd_role_peek(m->s->conf->dir, &m->own);
    if (err == -ENOENT) {
        return hd_fail(-HD_E_HA_DISABLED, "%s: there is no copy of the metadata here",
                       m->s->conf->dir);
    }
    if (err == 0) {
        err = hd_dirs_split(m->s->conf->dir, list, &count);
    }
    if (err == 0) {
        snprintf(m->dir, sizeof(m->dir), "%s", list[0]);
        err = hd_witness_list_load_any(m->s->conf->dir, &m->witnesses);
    }
    return err < 0 ? err : check_copy(m);
}

static int take_over(struct promoting *m, uint64_t owner)
{
    struct hd_secondary *s = m->s;
    int err = 0;
    if (!s->store_open) {
        const struct hd_store_options o = {
            .dir = s->conf->dir, .core = &s->conf->core, .version = &m->own, .ip = ""};
        err = hd_store_open(&o, &s->store);
        s->store_open = err == 0;
    }
    if (err == 0) {
        struct hd_version *v = &s->store.version;
        v->epoch = m->p.claim;
        v->primary_id = owner;
        v->incomplete = v->was_secondary = false;
        v->role_known = true;
        err = hd_store_write_version(&s->store);
    }
    return err;
}

int hd_promote(struct hd_secondary *s, bool force, void (*stop_tail)(struct hd_secondary *s),
               uint64_t *ret_epoch, bool *ret_stopped)
{
    struct promoting m = {.s = s, .force = force};
    uint64_t owner = 0;
    *ret_stopped = false;
    int err = look(&m);
    if (err == 0) {
        err = claim_id(m.dir, &owner);
    }
    for (int i = 0; i < TRIES && err == 0; i++) {
        err = win_epoch(&m, owner);
        if (err != -HD_E_RETRIABLE || i + 1 == TRIES) {
            break;
        }
        err = 0;
        hd_clock_sleep_ms(TRY_AGAIN_MS);
    }
    if (err == 0) {
        hd_log_info("epoch won", "epoch=%" PRIu64 " witnesses=%u of %u force=%d", m.p.claim,
                    m.p.accepted, m.p.witnesses, force);
        stop_tail(s);
        *ret_stopped = true;
        err = take_over(&m, owner);
    }
    if (err == 0) {
        forget_claim(m.dir);
        *ret_epoch = m.p.claim;
    }
    hd_witness_list_done(&m.witnesses);
    return err;
}
