/* Who may acknowledge what. See quorum.h. */
#include "meta/core/quorum.h"
#include "fs/base/prelude.h"

enum {
    RETRY_MS = 200,    /* between two rounds without a majority */
    CONFIRM_MS = 1000, /* between two looks of one that acknowledges alone */
    JOIN_TXIDS = 4096  /* a secondary that is at most so far behind is waited for again */
};

/* --- rounds --- */

static bool majority(uint32_t accepted, uint32_t of)
{
    return of == 0 || accepted > of / 2;
}

static void recommit(struct hd_quorum *q)
{
    uint64_t to = q->committed.v;
    switch (q->state) {
    case HD_QUORUM_ALONE:
    case HD_QUORUM_EXPOSED:
        to = q->own.v;
        break;
    case HD_QUORUM_BOTH:
        to = q->connected ? HD_MIN(q->own.v, q->secondary.v) : 0;
        break;
    case HD_QUORUM_FENCED:
        break;
    }
    q->committed.v = HD_MAX(q->committed.v, to);
}

static void end_round(struct hd_quorum *q)
{
    enum hd_quorum_round done = q->round;
    q->round = HD_QUORUM_NO_ROUND;
    q->doubt = false;
    switch (done) {
    case HD_QUORUM_EXPOSE:
        q->state = HD_QUORUM_EXPOSED;
        q->in_step = false;
        recommit(q);
        break;
    case HD_QUORUM_COVER:
        q->covered = true;
        break;
    case HD_QUORUM_CONFIRM:
    case HD_QUORUM_NO_ROUND:
        break;
    }
}

static void begin_round(struct hd_quorum *q, enum hd_quorum_round round, int64_t now_ms)
{
    q->round = round;
    q->serial++;
    q->asked = q->witnesses;
    q->accepted = q->answered = 0;
    q->retry_ms = now_ms + RETRY_MS;
    q->confirm_ms = now_ms + CONFIRM_MS;
    if (round == HD_QUORUM_EXPOSE) {
        q->covered = false; /* some may have it from now on */
    }
    if (q->asked == 0) {
        end_round(q);
    }
}

/* The round that the state calls for. */
static enum hd_quorum_round wanted(const struct hd_quorum *q, int64_t now_ms)
{
    bool late = now_ms - q->waiting_ms >= q->o.timeout_ms;
    bool behind = !q->connected || (q->own.v > q->committed.v && q->secondary.v < q->own.v);
    switch (q->state) {
    case HD_QUORUM_BOTH:
        if (behind && late) {
            return HD_QUORUM_EXPOSE;
        }
        if (q->in_step && !q->covered) {
            return HD_QUORUM_COVER;
        }
        break;
    case HD_QUORUM_ALONE:
    case HD_QUORUM_EXPOSED:
        if (now_ms >= q->confirm_ms) {
            return HD_QUORUM_CONFIRM;
        }
        break;
    case HD_QUORUM_FENCED:
        return HD_QUORUM_NO_ROUND;
    }
    return q->doubt ? HD_QUORUM_CONFIRM : HD_QUORUM_NO_ROUND;
}

static void look(struct hd_quorum *q, int64_t now_ms)
{
    enum hd_quorum_round round = wanted(q, now_ms);
    if (round == HD_QUORUM_NO_ROUND) {
        if (q->round == HD_QUORUM_COVER) {
            q->round = HD_QUORUM_NO_ROUND; /* the secondary is gone again */
        }
        return;
    }
    if (round != q->round || (q->answered == q->asked && now_ms >= q->retry_ms)) {
        begin_round(q, round, now_ms);
    }
}

/* --- the primary --- */

void hd_quorum_init(struct hd_quorum *q, const struct hd_quorum_options *o, struct hd_txid own,
                    struct hd_mono_ms now)
{
    *q = (struct hd_quorum){.o = *o,
                            .state = o->both ? HD_QUORUM_BOTH : HD_QUORUM_ALONE,
                            .own = own,
                            .serial = o->serial,
                            .waiting_ms = now.v};
    recommit(q);
}

void hd_quorum_durable(struct hd_quorum *q, struct hd_txid own, struct hd_mono_ms now)
{
    if (q->connected && q->own.v <= q->secondary.v) {
        q->waiting_ms = now.v; /* from here on something waits */
    }
    q->own = own;
    recommit(q);
}

static void check_step(struct hd_quorum *q, int64_t now_ms)
{
    bool free = q->round == HD_QUORUM_NO_ROUND || q->round == HD_QUORUM_CONFIRM;
    if (q->state == HD_QUORUM_EXPOSED && q->o.both && free &&
        q->own.v - HD_MIN(q->own.v, q->secondary.v) <= JOIN_TXIDS) {
        q->state = HD_QUORUM_BOTH; /* nothing is acknowledged alone any more */
        q->join = q->committed;
        q->waiting_ms = now_ms;
    }
    if (q->state == HD_QUORUM_BOTH && !q->in_step && q->secondary.v >= q->join.v) {
        q->in_step = true;
    }
}

void hd_quorum_secondary(struct hd_quorum *q, struct hd_txid txid, struct hd_mono_ms now)
{
    if (!q->connected || txid.v < q->secondary.v) {
        q->connected = true;
        q->secondary.v = 0;
        q->in_step = false;
        q->join = q->own; /* a life before this one may have acknowledged all of it */
        q->waiting_ms = now.v;
    }
    if (txid.v > q->secondary.v) {
        q->secondary = txid;
        if (q->own.v - HD_MIN(q->own.v, txid.v) <= JOIN_TXIDS) {
            q->waiting_ms = now.v; /* else it comes, but too slowly to wait for it */
        }
    }
    check_step(q, now.v);
    recommit(q);
    look(q, now.v);
}

void hd_quorum_secondary_gone(struct hd_quorum *q, struct hd_mono_ms now)
{
    if (q->connected) {
        q->connected = false;
        q->in_step = false;
        q->waiting_ms = now.v - q->o.timeout_ms; /* that is no silence: it is gone */
    }
    look(q, now.v);
}

void hd_quorum_witnesses(struct hd_quorum *q, uint32_t count)
{
    q->witnesses = count;
    q->covered = false; /* a new one knows nothing yet, and counts only when it does */
    if (q->round == HD_QUORUM_COVER) {
        q->round = HD_QUORUM_NO_ROUND;
    }
}

static void fence(struct hd_quorum *q, uint64_t epoch)
{
    if (q->state != HD_QUORUM_FENCED) {
        q->state = HD_QUORUM_FENCED;
        q->fenced_by = epoch;
        q->round = HD_QUORUM_NO_ROUND;
        q->in_step = false;
    }
}

void hd_quorum_epoch_seen(struct hd_quorum *q, uint64_t epoch)
{
    if (epoch > q->o.epoch && epoch <= HD_EPOCH_MAX) {
        fence(q, epoch);
    }
}

void hd_quorum_older(struct hd_quorum *q)
{
    fence(q, q->o.epoch);
}

void hd_quorum_answer(struct hd_quorum *q, const struct hd_quorum_answer *a, struct hd_mono_ms now)
{
    if (a->answered) {
        hd_quorum_epoch_seen(q, a->epoch);
    }
    if (q->round == HD_QUORUM_NO_ROUND || a->serial != q->serial) {
        return;
    }
    q->answered++;
    if (a->answered && !a->accepted && a->epoch == q->o.epoch && a->owner == q->o.owner &&
        a->stored_serial >= q->serial) {
        q->serial = a->stored_serial; /* our clock went back between two lives */
        begin_round(q, q->round, now.v);
        return;
    }
    q->accepted += a->answered && a->accepted;
    if (majority(q->accepted, q->asked)) {
        end_round(q);
        look(q, now.v);
    }
}

void hd_quorum_doubt(struct hd_quorum *q, struct hd_mono_ms now)
{
    if (q->state == HD_QUORUM_FENCED) {
        return;
    }
    q->doubt = true;
    q->waiting_ms = HD_MAX(q->waiting_ms, now.v); /* the others were silent while we slept */
    enum hd_quorum_round round = q->round;
    begin_round(q, round != HD_QUORUM_NO_ROUND ? round : HD_QUORUM_CONFIRM, now.v);
}

void hd_quorum_confirmed(struct hd_quorum *q)
{
    q->doubt = false;
    if (q->round == HD_QUORUM_CONFIRM) {
        q->round = HD_QUORUM_NO_ROUND;
    }
}

void hd_quorum_tick(struct hd_quorum *q, struct hd_mono_ms now)
{
    look(q, now.v);
}

/* --- the promotion --- */

void hd_promotion_init(struct hd_promotion *p, uint64_t epoch, uint64_t owner, uint32_t witnesses)
{
    *p = (struct hd_promotion){
        .epoch = epoch, .owner = owner, .claim = epoch + 1, .witnesses = witnesses};
}

void hd_promotion_answer(struct hd_promotion *p, const struct hd_witness *w)
{
    if (w->epoch == 0) {
        return; /* its disks may have been lost, and with them what it accepted */
    }
    p->answered++;
    p->claim = HD_MAX(p->claim, w->epoch + 1);
    if (w->epoch > p->epoch && w->owner != p->owner) {
        p->superseded = true;
    } else if (w->epoch == p->epoch && w->serial >= p->serial) {
        p->serial = w->serial;
        p->exposed = w->exposed; /* as the newest word that got about has it */
    }
}

void hd_promotion_claimed(struct hd_promotion *p, bool accepted)
{
    p->accepted += accepted;
}

enum hd_promotion_verdict hd_promotion_verdict(const struct hd_promotion *p)
{
    if (p->superseded) {
        return HD_PROMOTION_SUPERSEDED;
    }
    if (p->exposed) {
        return HD_PROMOTION_EXPOSED;
    }
    return majority(p->answered, p->witnesses) ? HD_PROMOTION_POSSIBLE : HD_PROMOTION_NO_MAJORITY;
}

bool hd_promotion_done(const struct hd_promotion *p)
{
    return majority(p->accepted, p->witnesses);
}
