/* Who may acknowledge what: cases by hand, and every order of events of a small world. */
#include "meta/core/quorum.h"
#include "fs/base/map.h"

#include <atf-c.h>
#include <stdlib.h>

static struct hd_mono_ms at(int64_t ms)
{
    return (struct hd_mono_ms){ms};
}

static struct hd_txid tx(uint64_t v)
{
    return (struct hd_txid){v};
}

enum { TIMEOUT_MS = 2000, OWNER = 7 };

static void begin(struct hd_quorum *q, bool both, uint64_t own, uint32_t witnesses)
{
    const struct hd_quorum_options o = {
        .both = both, .timeout_ms = TIMEOUT_MS, .epoch = 1, .owner = OWNER, .serial = 100};
    hd_quorum_init(q, &o, tx(own), at(0));
    hd_quorum_witnesses(q, witnesses);
}

static void accept_by(struct hd_quorum *q, int count, int64_t now)
{
    for (int i = 0; i < count; i++) {
        const struct hd_quorum_answer a = {.serial = q->serial,
                                           .answered = true,
                                           .accepted = true,
                                           .epoch = 1,
                                           .owner = OWNER,
                                           .stored_serial = q->serial};
        hd_quorum_answer(q, &a, at(now));
    }
}

ATF_TC_WITHOUT_HEAD(without_sync_both_the_own_disk_is_enough);
ATF_TC_BODY(without_sync_both_the_own_disk_is_enough, tc)
{
    struct hd_quorum q;
    begin(&q, false, 5, 3);
    ATF_CHECK_EQ(q.committed.v, 5);
    hd_quorum_durable(&q, tx(9), at(1));
    ATF_CHECK_EQ(q.committed.v, 9);
}

ATF_TC_WITHOUT_HEAD(one_that_acknowledges_alone_asks_whether_it_may);
ATF_TC_BODY(one_that_acknowledges_alone_asks_whether_it_may, tc)
{
    struct hd_quorum q;
    begin(&q, false, 5, 3);
    hd_quorum_tick(&q, at(0));
    ATF_CHECK_EQ(q.round, HD_QUORUM_CONFIRM);
    hd_quorum_durable(&q, tx(6), at(1));
    ATF_CHECK_EQ_MSG(q.committed.v, 6, "it does not wait for the answers");
    accept_by(&q, 2, 10);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
    hd_quorum_tick(&q, at(999));
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
    hd_quorum_tick(&q, at(1000));
    ATF_CHECK_EQ(q.round, HD_QUORUM_CONFIRM);
    hd_quorum_answer(&q,
                     &(struct hd_quorum_answer){
                         .serial = q.serial, .answered = true, .epoch = 2, .owner = OWNER + 1},
                     at(1001));
    ATF_CHECK_EQ_MSG(q.state, HD_QUORUM_FENCED, "the other one was promoted by force");
}

ATF_TC_WITHOUT_HEAD(both_have_to_have_it);
ATF_TC_BODY(both_have_to_have_it, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    ATF_CHECK_EQ_MSG(q.committed.v, 0, "what the log had at start is not known to be at both");
    hd_quorum_secondary(&q, tx(5), at(1));
    ATF_CHECK_EQ(q.committed.v, 5);
    ATF_CHECK(q.in_step);
    hd_quorum_durable(&q, tx(8), at(2));
    ATF_CHECK_EQ(q.committed.v, 5);
    hd_quorum_secondary(&q, tx(7), at(3));
    ATF_CHECK_EQ(q.committed.v, 7);
    hd_quorum_secondary(&q, tx(8), at(4));
    ATF_CHECK_EQ(q.committed.v, 8);
}

ATF_TC_WITHOUT_HEAD(a_lost_secondary_is_left_when_a_majority_knows);
ATF_TC_BODY(a_lost_secondary_is_left_when_a_majority_knows, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_secondary(&q, tx(5), at(1));
    ATF_CHECK_EQ(q.round, HD_QUORUM_COVER);
    accept_by(&q, 2, 2);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
    hd_quorum_durable(&q, tx(6), at(3));
    hd_quorum_secondary_gone(&q, at(4));
    ATF_CHECK_EQ_MSG(q.round, HD_QUORUM_EXPOSE, "at once: a closed connection is no silence");
    accept_by(&q, 1, 5);
    ATF_CHECK_EQ(q.committed.v, 5);
    accept_by(&q, 1, 6);
    ATF_CHECK_EQ(q.state, HD_QUORUM_EXPOSED);
    ATF_CHECK_EQ(q.committed.v, 6);
    hd_quorum_durable(&q, tx(9), at(7));
    ATF_CHECK_EQ(q.committed.v, 9);
}

ATF_TC_WITHOUT_HEAD(a_silent_secondary_is_left_after_the_timeout);
ATF_TC_BODY(a_silent_secondary_is_left_after_the_timeout, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 1);
    hd_quorum_secondary(&q, tx(5), at(0));
    accept_by(&q, 1, 0);
    hd_quorum_tick(&q, at(50000));
    ATF_CHECK_EQ_MSG(q.round, HD_QUORUM_NO_ROUND, "nothing waits for it");
    hd_quorum_durable(&q, tx(6), at(60000));
    hd_quorum_tick(&q, at(60000 + TIMEOUT_MS - 1));
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
    hd_quorum_tick(&q, at(60000 + TIMEOUT_MS));
    ATF_CHECK_EQ(q.round, HD_QUORUM_EXPOSE);
}

ATF_TC_WITHOUT_HEAD(it_comes_back_before_the_witnesses_hear_of_it);
ATF_TC_BODY(it_comes_back_before_the_witnesses_hear_of_it, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 0);
    hd_quorum_tick(&q, at(TIMEOUT_MS));
    ATF_CHECK_EQ(q.state, HD_QUORUM_EXPOSED);
    hd_quorum_witnesses(&q, 3);
    hd_quorum_durable(&q, tx(10), at(3000));
    hd_quorum_secondary(&q, tx(8), at(3001));
    ATF_CHECK_EQ_MSG(q.state, HD_QUORUM_BOTH, "first it stops to acknowledge alone");
    ATF_CHECK(!q.in_step);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
    hd_quorum_durable(&q, tx(12), at(3002));
    ATF_CHECK_EQ(q.committed.v, 10);
    hd_quorum_secondary(&q, tx(10), at(3003));
    ATF_CHECK(q.in_step);
    ATF_CHECK_EQ(q.round, HD_QUORUM_COVER);
    ATF_CHECK(!q.covered);
    accept_by(&q, 2, 3004);
    ATF_CHECK(q.covered);
}

ATF_TC_WITHOUT_HEAD(one_that_is_far_behind_is_not_waited_for);
ATF_TC_BODY(one_that_is_far_behind_is_not_waited_for, tc)
{
    struct hd_quorum q;
    begin(&q, true, 100000, 0);
    for (int64_t ms = 0; ms <= TIMEOUT_MS; ms += 100) { /* it comes, but slowly */
        hd_quorum_secondary(&q, tx((uint64_t)ms), at(ms));
    }
    ATF_CHECK_EQ(q.state, HD_QUORUM_EXPOSED);
    ATF_CHECK_EQ(q.committed.v, 100000);
}

ATF_TC_WITHOUT_HEAD(a_secondary_that_started_over_has_nothing);
ATF_TC_BODY(a_secondary_that_started_over_has_nothing, tc)
{
    struct hd_quorum q;
    begin(&q, true, 100, 3);
    hd_quorum_secondary(&q, tx(100), at(1));
    accept_by(&q, 2, 2);
    ATF_CHECK(q.in_step && q.covered);
    hd_quorum_secondary(&q, tx(0), at(3)); /* on the same connection, with an empty directory */
    ATF_CHECK_MSG(!q.in_step, "it must not be told that it has everything");
    hd_quorum_durable(&q, tx(103), at(4));
    hd_quorum_secondary(&q, tx(50), at(5));
    ATF_CHECK(!q.in_step);
    ATF_CHECK_EQ(q.committed.v, 100);
    hd_quorum_secondary(&q, tx(100), at(6));
    ATF_CHECK(q.in_step);
    hd_quorum_secondary(&q, tx(103), at(7));
    ATF_CHECK_EQ(q.committed.v, 103);
}

ATF_TC_WITHOUT_HEAD(an_older_directory_acknowledges_nothing);
ATF_TC_BODY(an_older_directory_acknowledges_nothing, tc)
{
    struct hd_quorum q;
    begin(&q, true, 50, 3);
    hd_quorum_older(&q);
    ATF_CHECK_EQ(q.state, HD_QUORUM_FENCED);
    ATF_CHECK_EQ(q.fenced_by, 1);
    hd_quorum_durable(&q, tx(60), at(1));
    hd_quorum_secondary(&q, tx(100), at(2));
    hd_quorum_tick(&q, at(TIMEOUT_MS * 2));
    ATF_CHECK_EQ(q.committed.v, 0);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
}

ATF_TC_WITHOUT_HEAD(a_higher_epoch_ends_it);
ATF_TC_BODY(a_higher_epoch_ends_it, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_secondary(&q, tx(5), at(0));
    const struct hd_quorum_answer a = {.serial = q.serial, .answered = true, .epoch = 2};
    hd_quorum_answer(&q, &a, at(1));
    ATF_CHECK_EQ(q.state, HD_QUORUM_FENCED);
    ATF_CHECK_EQ(q.fenced_by, 2);
    hd_quorum_durable(&q, tx(6), at(2));
    hd_quorum_secondary(&q, tx(6), at(2));
    hd_quorum_tick(&q, at(99999));
    ATF_CHECK_EQ(q.committed.v, 5);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
}

ATF_TC_WITHOUT_HEAD(an_epoch_that_cannot_be_ends_nothing);
ATF_TC_BODY(an_epoch_that_cannot_be_ends_nothing, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_epoch_seen(&q, HD_EPOCH_MAX + 1);
    hd_quorum_epoch_seen(&q, UINT64_MAX);
    ATF_CHECK(q.state != HD_QUORUM_FENCED);
    hd_quorum_epoch_seen(&q, HD_EPOCH_MAX);
    ATF_CHECK_EQ(q.state, HD_QUORUM_FENCED);
}

ATF_TC_WITHOUT_HEAD(a_round_without_a_majority_is_tried_again);
ATF_TC_BODY(a_round_without_a_majority_is_tried_again, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_secondary(&q, tx(5), at(0));
    accept_by(&q, 3, 0);
    hd_quorum_secondary_gone(&q, at(1));
    uint64_t first = q.serial;
    for (int i = 0; i < 3; i++) {
        const struct hd_quorum_answer silent = {.serial = first};
        hd_quorum_answer(&q, &silent, at(2));
    }
    hd_quorum_tick(&q, at(3));
    ATF_CHECK_EQ(q.serial, first);
    hd_quorum_tick(&q, at(500));
    ATF_CHECK_EQ(q.serial, first + 1);
    accept_by(&q, 2, 501);
    ATF_CHECK_EQ(q.state, HD_QUORUM_EXPOSED);
}

ATF_TC_WITHOUT_HEAD(a_clock_that_went_back_costs_one_more_round);
ATF_TC_BODY(a_clock_that_went_back_costs_one_more_round, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 1);
    hd_quorum_secondary_gone(&q, at(0));
    hd_quorum_tick(&q, at(TIMEOUT_MS));
    const struct hd_quorum_answer older = {
        .serial = q.serial, .answered = true, .epoch = 1, .owner = OWNER, .stored_serial = 900};
    hd_quorum_answer(&q, &older, at(TIMEOUT_MS));
    ATF_CHECK_EQ(q.serial, 901);
    ATF_CHECK_EQ(q.round, HD_QUORUM_EXPOSE);
}

ATF_TC_WITHOUT_HEAD(another_list_of_witnesses_is_told_anew);
ATF_TC_BODY(another_list_of_witnesses_is_told_anew, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_secondary(&q, tx(5), at(0));
    uint64_t first = q.serial;
    hd_quorum_witnesses(&q, 4); /* with a round under way */
    hd_quorum_tick(&q, at(1));
    ATF_CHECK_EQ(q.round, HD_QUORUM_COVER);
    ATF_CHECK(q.serial > first);
    ATF_CHECK_EQ(q.asked, 4);
    accept_by(&q, 3, 2);
    ATF_CHECK(q.covered);
    hd_quorum_witnesses(&q, 4); /* one of them is another */
    hd_quorum_tick(&q, at(3));
    ATF_CHECK_EQ(q.round, HD_QUORUM_COVER);
    ATF_CHECK_EQ_MSG(q.committed.v, 5, "meanwhile it goes on");
}

ATF_TC_WITHOUT_HEAD(who_knows_nothing_does_not_count);
ATF_TC_BODY(who_knows_nothing_does_not_count, tc)
{
    struct hd_promotion p;
    struct hd_witness fresh = {0};
    const struct hd_witness knows = {.epoch = 1, .owner = OWNER, .serial = 5};
    const struct hd_witness_request claim = {.epoch = 2, .owner = 9};
    const struct hd_witness_request by_force = {.epoch = 2, .owner = 9, .force = true};
    hd_promotion_init(&p, 1, 9, 3);
    hd_promotion_answer(&p, &knows);
    hd_promotion_answer(&p, &fresh);
    ATF_CHECK_EQ(hd_promotion_verdict(&p), HD_PROMOTION_NO_MAJORITY);
    hd_promotion_answer(&p, &knows);
    ATF_CHECK_EQ(hd_promotion_verdict(&p), HD_PROMOTION_POSSIBLE);
    ATF_CHECK(!hd_witness_ask(&fresh, &claim));
    ATF_CHECK(hd_witness_ask(&fresh, &by_force));
}

ATF_TC_WITHOUT_HEAD(doubt_ends_with_a_majority_or_the_secondary);
ATF_TC_BODY(doubt_ends_with_a_majority_or_the_secondary, tc)
{
    struct hd_quorum q;
    begin(&q, true, 5, 3);
    hd_quorum_secondary(&q, tx(5), at(0));
    accept_by(&q, 3, 0);
    hd_quorum_doubt(&q, at(9000));
    ATF_CHECK_EQ(q.round, HD_QUORUM_CONFIRM);
    ATF_CHECK(q.doubt);
    accept_by(&q, 2, 9001);
    ATF_CHECK(!q.doubt);
    hd_quorum_doubt(&q, at(19000));
    hd_quorum_confirmed(&q);
    ATF_CHECK(!q.doubt);
    ATF_CHECK_EQ(q.round, HD_QUORUM_NO_ROUND);
}

/* --- the whole: two metas, three witnesses, every order of what can happen --- */

enum { WITNESSES = 3, WORLD_DEPTH = 9, OWNER_B = 9 };

/*
 * A is primary of epoch 1, B its secondary. Messages between A and the witnesses may be delayed for
 * ever, or arrive late: each witness has at most one request of A under way, the newest, and an old
 * one that was overtaken.
 */
struct world {
    struct hd_quorum a;
    bool a_alive;
    uint64_t a_log;   /* what A has written and made durable */
    uint64_t a_acked; /* the highest that A ever acknowledged */
    uint64_t a_acked_at_promotion;
    uint64_t b_log;
    bool b_connected;
    bool b_incomplete; /* told "exposed" last; durable */
    struct hd_witness w[WITNESSES];
    struct {
        bool there;
        struct hd_witness_request r;
    } sent[WITNESSES][2]; /* of A, on their way: the newest, and an older one */
    uint64_t sent_serial;
    bool promoting; /* B has asked, and claims */
    bool claimed[WITNESSES];
    struct hd_promotion p;
    bool promoted;
    bool wiped;       /* a witness has lost its disks */
    uint64_t b_begin; /* B's log when it was promoted */
};

static void note_acked(struct world *w)
{
    if (w->a_alive && w->a.state != HD_QUORUM_FENCED) {
        uint64_t acked = w->a.committed.v;
        ATF_REQUIRE_MSG(!w->promoted || acked <= w->b_begin,
                        "A acknowledges %lu, B was promoted with %lu", (unsigned long)acked,
                        (unsigned long)w->b_begin);
        w->a_acked = acked > w->a_acked ? acked : w->a_acked;
    }
}

/* A's newest requests go out. */
static void send_requests(struct world *w)
{
    if (!w->a_alive || w->a.round == HD_QUORUM_NO_ROUND || w->a.serial == w->sent_serial) {
        return;
    }
    w->sent_serial = w->a.serial;
    for (int i = 0; i < WITNESSES; i++) {
        if (w->sent[i][0].there) {
            w->sent[i][1] = w->sent[i][0];
        }
        w->sent[i][0].there = true;
        w->sent[i][0].r = (struct hd_witness_request){.epoch = 1,
                                                      .owner = OWNER,
                                                      .serial = w->a.serial,
                                                      .exposed = w->a.round == HD_QUORUM_EXPOSE,
                                                      .ask_only = w->a.round == HD_QUORUM_CONFIRM};
    }
}

static bool deliver(struct world *w, int witness, int which, bool answer_lost)
{
    if (!w->sent[witness][which].there) {
        return false;
    }
    const struct hd_witness_request r = w->sent[witness][which].r;
    w->sent[witness][which].there = false;
    bool accepted = hd_witness_ask(&w->w[witness], &r);
    if (w->a_alive) {
        const struct hd_quorum_answer a = {.serial = r.serial,
                                           .answered = !answer_lost,
                                           .accepted = accepted,
                                           .epoch = w->w[witness].epoch,
                                           .owner = w->w[witness].owner,
                                           .stored_serial = w->w[witness].serial};
        hd_quorum_answer(&w->a, &a, at(0));
    }
    return true;
}

static bool b_fetches(struct world *w)
{
    if (!w->a_alive || w->promoted || w->a.state == HD_QUORUM_FENCED) {
        return false;
    }
    w->b_connected = true;
    hd_quorum_secondary(&w->a, tx(w->b_log), at(0));
    if (w->a.state != HD_QUORUM_FENCED) {
        w->b_incomplete = !w->a.in_step;
    }
    return true;
}

/* The records of the last answer, behind its news. */
static bool b_writes(struct world *w)
{
    if (!w->b_connected || w->promoted || w->b_log == w->a_log) {
        return false;
    }
    w->b_log = w->a_log;
    return true;
}

static bool b_begins_promotion(struct world *w, unsigned mask)
{
    if (w->promoting || w->promoted || w->b_incomplete) {
        return false;
    }
    hd_promotion_init(&w->p, 1, OWNER_B, WITNESSES);
    for (int i = 0; i < WITNESSES; i++) {
        if ((mask & 1u << i) != 0) {
            hd_promotion_answer(&w->p, &w->w[i]);
        }
    }
    if (hd_promotion_verdict(&w->p) != HD_PROMOTION_POSSIBLE) {
        return false;
    }
    w->promoting = true;
    return true;
}

static bool b_claims(struct world *w, int i)
{
    if (!w->promoting || w->promoted || w->claimed[i]) {
        return false;
    }
    const struct hd_witness_request r = {.epoch = w->p.claim, .owner = OWNER_B};
    w->claimed[i] = true;
    hd_promotion_claimed(&w->p, hd_witness_ask(&w->w[i], &r));
    return true;
}

static bool b_takes_over(struct world *w)
{
    if (!w->promoting || w->promoted || !hd_promotion_done(&w->p)) {
        return false;
    }
    w->promoted = true;
    w->b_connected = false;
    w->b_begin = w->b_log;
    ATF_REQUIRE_MSG(w->a_acked <= w->b_begin, "acknowledged up to %lu, promoted with %lu",
                    (unsigned long)w->a_acked, (unsigned long)w->b_begin);
    return true;
}

enum event {
    A_WRITES,
    A_TICKS, /* long after: every timeout has passed */
    A_DIES,
    A_RESTARTS,
    A_DOUBTS,
    B_FETCHES,
    B_WRITES,
    B_LOST, /* A sees the connection end */
    B_ASKS_FIRST_TWO,
    B_ASKS_LAST_TWO,
    B_CLAIMS,
    B_TAKES_OVER = B_CLAIMS + WITNESSES,
    DELIVER,
    LOSE_ANSWER = DELIVER + WITNESSES * 2,
    WIPE,
    EVENTS = WIPE + WITNESSES,
};

static bool a_step(struct world *w, enum event e, uint64_t *serial)
{
    const struct hd_quorum_options o = {
        .both = true, .timeout_ms = TIMEOUT_MS, .epoch = 1, .owner = OWNER, .serial = *serial};
    if (e == A_RESTARTS ? w->a_alive : !w->a_alive || w->a.state == HD_QUORUM_FENCED) {
        return false;
    }
    if (e == A_WRITES) {
        hd_quorum_durable(&w->a, tx(++w->a_log), at(0));
    } else if (e == A_TICKS) {
        w->a.waiting_ms -= 10 * TIMEOUT_MS;
        w->a.retry_ms -= 10 * TIMEOUT_MS;
        w->a.confirm_ms -= 10 * TIMEOUT_MS;
        hd_quorum_tick(&w->a, at(0));
    } else if (e == A_DIES) {
        w->a_alive = w->b_connected = false;
    } else if (e == A_DOUBTS) {
        hd_quorum_doubt(&w->a, at(0));
    } else {
        w->a_alive = true;
        hd_quorum_init(&w->a, &o, tx(w->a_log), at(0));
        hd_quorum_witnesses(&w->a, WITNESSES);
    }
    return true;
}

/*
 * One of them comes back with empty disks: it knows nothing, and what was sent to it is lost. Not
 * with a promotion under way: what it accepted of that would be forgotten, and an old primary that
 * hears only of this one and of those that were not asked could go on (docs/adr/0007, Price).
 */
static bool wipe(struct world *w, int i)
{
    if (w->wiped || w->promoting || w->w[i].epoch == 0) {
        return false;
    }
    w->wiped = true;
    w->w[i] = (struct hd_witness){0};
    w->sent[i][0].there = w->sent[i][1].there = false;
    return true;
}

/* False: the event cannot happen (or changes nothing). */
static bool step(struct world *w, int e)
{
    uint64_t serial = w->sent_serial + 10;
    bool happened = false;
    if (e <= A_DOUBTS) {
        happened = a_step(w, (enum event)e, &serial);
    } else if (e == B_FETCHES) {
        happened = b_fetches(w);
    } else if (e == B_WRITES) {
        happened = b_writes(w);
    } else if (e == B_LOST && w->a_alive && w->b_connected) {
        w->b_connected = false;
        hd_quorum_secondary_gone(&w->a, at(0));
        happened = true;
    } else if (e == B_ASKS_FIRST_TWO || e == B_ASKS_LAST_TWO) {
        happened = b_begins_promotion(w, e == B_ASKS_FIRST_TWO ? 3 : 6);
    } else if (e >= B_CLAIMS && e < B_TAKES_OVER) {
        happened = b_claims(w, e - B_CLAIMS);
    } else if (e == B_TAKES_OVER) {
        happened = b_takes_over(w);
    } else if (e >= DELIVER && e < LOSE_ANSWER) {
        happened = deliver(w, (e - DELIVER) / 2, (e - DELIVER) % 2, false);
    } else if (e == LOSE_ANSWER) {
        happened = deliver(w, 0, 0, true);
    } else if (e >= WIPE) {
        happened = wipe(w, e - WIPE);
    }
    note_acked(w);
    send_requests(w);
    return happened;
}

/* Worlds seen at a depth at least as good are not walked again. */
static struct hd_map seen;
static uint64_t walked;

static void walk(const struct world *w, int depth)
{
    for (int e = 0; e < EVENTS && depth > 0; e++) {
        struct world next = *w;
        if (!step(&next, e)) {
            continue;
        }
        uint64_t key = hd_hash_bytes(&next, sizeof(next));
        uintptr_t known = (uintptr_t)hd_map_get(&seen, key | 1);
        if (known >= (uintptr_t)depth) {
            continue;
        }
        ATF_REQUIRE_EQ(hd_map_put(&seen, key | 1, (void *)(uintptr_t)depth), 0);
        walked++;
        walk(&next, depth - 1);
    }
}

static struct world new_world(void)
{
    struct world w;
    memset(&w, 0, sizeof(w)); /* padding too: worlds are compared by their bytes */
    begin(&w.a, true, 0, WITNESSES);
    w.a_alive = true;
    w.sent_serial = w.a.serial;
    return w;
}

ATF_TC(no_order_of_events_loses_what_was_acknowledged);
ATF_TC_HEAD(no_order_of_events_loses_what_was_acknowledged, tc)
{
    atf_tc_set_md_var(tc, "timeout", "600");
}
ATF_TC_BODY(no_order_of_events_loses_what_was_acknowledged, tc)
{
    const char *text = getenv("HD_QUORUM_DEPTH");
    int depth = text != NULL ? atoi(text) : WORLD_DEPTH;
    /* Each is walked from: at the beginning, in step with something acknowledged and the witnesses
     * told, exposed with something acknowledged alone, and started again after that. */
    static const int opening[] = {B_FETCHES, DELIVER, DELIVER + 2, A_WRITES,   B_WRITES,
                                  B_FETCHES, -1,      B_LOST,      DELIVER,    DELIVER + 2,
                                  A_WRITES,  -1,      A_DIES,      A_RESTARTS, -1};
    struct world w = new_world();
    hd_map_init(&seen);
    walk(&w, depth - 2);
    for (size_t i = 0; i < sizeof(opening) / sizeof(*opening); i++) {
        if (opening[i] < 0) {
            walk(&w, i == 6 ? depth : depth - 1);
        } else {
            ATF_REQUIRE_MSG(step(&w, opening[i]), "event %zu of the openings", i);
        }
    }
    ATF_REQUIRE(w.a_acked == 2);
    printf("%lu worlds\n", (unsigned long)walked);
    ATF_CHECK(walked > 10000);
    hd_map_done(&seen);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, without_sync_both_the_own_disk_is_enough);
    ATF_TP_ADD_TC(tp, one_that_acknowledges_alone_asks_whether_it_may);
    ATF_TP_ADD_TC(tp, both_have_to_have_it);
    ATF_TP_ADD_TC(tp, a_lost_secondary_is_left_when_a_majority_knows);
    ATF_TP_ADD_TC(tp, a_silent_secondary_is_left_after_the_timeout);
    ATF_TP_ADD_TC(tp, it_comes_back_before_the_witnesses_hear_of_it);
    ATF_TP_ADD_TC(tp, one_that_is_far_behind_is_not_waited_for);
    ATF_TP_ADD_TC(tp, a_secondary_that_started_over_has_nothing);
    ATF_TP_ADD_TC(tp, an_older_directory_acknowledges_nothing);
    ATF_TP_ADD_TC(tp, a_higher_epoch_ends_it);
    ATF_TP_ADD_TC(tp, an_epoch_that_cannot_be_ends_nothing);
    ATF_TP_ADD_TC(tp, a_round_without_a_majority_is_tried_again);
    ATF_TP_ADD_TC(tp, a_clock_that_went_back_costs_one_more_round);
    ATF_TP_ADD_TC(tp, another_list_of_witnesses_is_told_anew);
    ATF_TP_ADD_TC(tp, who_knows_nothing_does_not_count);
    ATF_TP_ADD_TC(tp, doubt_ends_with_a_majority_or_the_secondary);
    ATF_TP_ADD_TC(tp, no_order_of_events_loses_what_was_acknowledged);
    return atf_no_error();
}
