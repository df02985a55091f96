/*
 * Capabilities of files: who has what, recalls, waiting in order, orphans, and every order in which
 * the messages of two mounts can cross.
 */
#include "mounts.h"

enum { ROOT = HD_ROOT_INO, FILE_MODE = 0100644, NONE = 0, READ = 1, WRITE = 2, PARKED = -1 };

#define CAP(n) ((Hdw__CapKind)(n))

struct rig {
    struct world w;
    struct mount a, b, c;
    uint64_t f;
};

/* Three mounts that poll; the file was made by a client of HDFS, nobody knows it. */
static void rig_init(struct rig *r)
{
    world_init(&r->w);
    r->a = mount_start(&r->w, 0);
    r->b = mount_start(&r->w, 1);
    r->c = mount_start(&r->w, 2);
    do_create(&r->w, "/f", "client");
    ATF_REQUIRE(do_complete(&r->w, "/f", "client", NULL));
    r->f = do_stat(&r->w, "/f")->file_id;
    mount_poll(&r->a, 3000);
    mount_poll(&r->b, 3000);
    mount_poll(&r->c, 3000);
}

static void rig_done(struct rig *r)
{
    world_check(&r->w);
    world_done(&r->w);
}

/* The recall that a mount got, and is still to answer. */
static Hdw__Push *recall_of(struct mount *t, uint64_t ino, int keep)
{
    Hdw__Push *p = mount_push_of(t, HDW__PUSH_KIND__PUSH_RECALL, ino);
    ATF_REQUIRE_MSG(p != NULL, "%s was not asked", t->name);
    ATF_CHECK_EQ((int)p->keep, keep);
    return p;
}

/* ---- who may have what ---- */

ATF_TC_WITHOUT_HEAD(many_may_read);
ATF_TC_BODY(many_may_read, tc)
{
    struct rig r;
    rig_init(&r);
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, r.f, CAP(READ))), READ);
    ATF_CHECK_EQ(mount_granted(&r.b, mount_acquire(&r.b, r.f, CAP(READ))), READ);
    ATF_CHECK_EQ(mount_granted(&r.b, mount_acquire(&r.b, r.f, CAP(READ))), READ);
    ATF_CHECK(mount_pushes(&r.a) == NULL);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_writer_is_alone);
ATF_TC_BODY(a_writer_is_alone, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(READ));
    (void)mount_acquire(&r.b, r.f, CAP(READ));
    uint64_t write = mount_acquire(&r.c, r.f, CAP(WRITE));
    ATF_CHECK_EQ(mount_granted(&r.c, write), PARKED);
    (void)recall_of(&r.a, r.f, NONE);
    (void)recall_of(&r.b, r.f, NONE);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.c, write), PARKED);
    mount_release(&r.b, r.f, CAP(NONE), recall_of(&r.b, r.f, NONE)->serial);
    /* What a and b know of its size may be old soon, and they are told before it can be. */
    ATF_CHECK_EQ(mount_granted(&r.c, write), PARKED);
    Hdw__Push *p = mount_push_of(&r.a, HDW__PUSH_KIND__PUSH_ATTR, r.f);
    ATF_REQUIRE(p != NULL);
    ATF_CHECK(p->txid > r.w.record_count); /* an answer that is under way is not to be kept */
    mount_answer_all(&r.a, false);
    mount_poll(&r.b, 3000);
    mount_answer_all(&r.b, false);
    ATF_CHECK_EQ(mount_granted(&r.c, write), WRITE);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_reader_lets_the_writer_keep_reading);
ATF_TC_BODY(a_reader_lets_the_writer_keep_reading, tc)
{
    struct rig r;
    rig_init(&r);
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, r.f, CAP(WRITE))), WRITE);
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    (void)recall_of(&r.a, r.f, READ);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.b, read), READ);
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, r.f, CAP(READ))), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(who_writes_has_what_reading_needs);
ATF_TC_BODY(who_writes_has_what_reading_needs, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(WRITE));
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, r.f, CAP(READ))), WRITE);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(two_readers_that_both_want_to_write_do_it_in_turn);
ATF_TC_BODY(two_readers_that_both_want_to_write_do_it_in_turn, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(READ));
    (void)mount_acquire(&r.b, r.f, CAP(READ));
    uint64_t first = mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t second = mount_acquire(&r.b, r.f, CAP(WRITE));
    mount_answer_all(&r.b, false); /* its own READ, while it waits for WRITE */
    mount_answer_all(&r.b, false); /* and what it knew of the size */
    ATF_CHECK_EQ(mount_granted(&r.a, first), WRITE);
    ATF_CHECK_EQ(mount_granted(&r.b, second), PARKED);
    (void)recall_of(&r.a, r.f, NONE);
    mount_answer_all(&r.a, false);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.b, second), WRITE);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_reader_does_not_overtake_a_writer_that_waits);
ATF_TC_BODY(a_reader_does_not_overtake_a_writer_that_waits, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(READ));
    uint64_t write = mount_acquire(&r.b, r.f, CAP(WRITE));
    uint64_t read = mount_acquire(&r.c, r.f, CAP(READ));
    ATF_CHECK_EQ(mount_granted(&r.c, read), PARKED);
    mount_answer_all(&r.a, false);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.b, write), WRITE);
    ATF_CHECK_EQ(mount_granted(&r.c, read), PARKED);
    (void)recall_of(&r.b, r.f, READ);
    mount_answer_all(&r.b, false);
    ATF_CHECK_EQ(mount_granted(&r.c, read), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(what_is_recalled_is_not_given_again_before_it_came_back);
ATF_TC_BODY(what_is_recalled_is_not_given_again_before_it_came_back, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(READ));
    uint64_t write = mount_acquire(&r.b, r.f, CAP(WRITE));
    uint64_t again = mount_acquire(&r.a, r.f, CAP(READ)); /* another program opens it */
    ATF_CHECK_EQ(mount_granted(&r.a, again), PARKED);
    mount_answer_all(&r.a, false);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.b, write), WRITE);
    mount_answer_all(&r.b, false);
    ATF_CHECK_EQ(mount_granted(&r.a, again), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(pages_are_written_back_before_all_that_wait);
ATF_TC_BODY(pages_are_written_back_before_all_that_wait, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_acquire(&r.a, r.f, CAP(READ));
    (void)mount_acquire(&r.b, r.f, CAP(READ));
    uint64_t write = mount_acquire(&r.c, r.f, CAP(WRITE));
    /* Both have dirty pages, and neither can drop them before it has written them. */
    uint64_t back_a = mount_acquire_writeback(&r.a, r.f);
    ATF_CHECK_EQ(mount_granted(&r.a, back_a), WRITE);
    uint64_t back_b = mount_acquire_writeback(&r.b, r.f);
    ATF_CHECK_EQ(mount_granted(&r.b, back_b), PARKED);
    mount_answer_all(&r.a, false); /* written: the recall's answer takes that WRITE too */
    ATF_CHECK_EQ(mount_granted(&r.b, back_b), WRITE);
    ATF_CHECK_EQ(mount_granted(&r.c, write), PARKED);
    mount_answer_all(&r.b, false);
    mount_answer_all(&r.a, false); /* sizes */
    mount_poll(&r.b, 3000);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_grant_that_others_are_told_of_is_not_recalled_before_it_has_left);
ATF_TC_BODY(a_grant_that_others_are_told_of_is_not_recalled_before_it_has_left, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.c, ROOT, "f");
    uint64_t write = mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t more = mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    ATF_CHECK_EQ(mount_granted(&r.a, write), PARKED); /* c is told */
    ATF_CHECK_EQ(mount_granted(&r.a, more), PARKED);
    ATF_CHECK(mount_pushes(&r.a) == NULL);
    mount_answer_all(&r.c, false);
    ATF_CHECK_EQ(mount_granted(&r.a, write), WRITE);
    ATF_CHECK_EQ(mount_granted(&r.a, more), WRITE);
    (void)recall_of(&r.a, r.f, READ);
    mount_answer_all(&r.a, false);
    ATF_CHECK_EQ(mount_granted(&r.b, read), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_late_release_does_not_take_a_newer_grant);
ATF_TC_BODY(a_late_release_does_not_take_a_newer_grant, tc)
{
    struct rig r;
    rig_init(&r);
    uint64_t token = mount_acquire(&r.a, r.f, CAP(READ));
    uint64_t serial = GOT(&r.a, token, Acquire, acquire)->serial;
    mount_release(&r.a, r.f, CAP(NONE), serial);
    token = mount_acquire(&r.a, r.f, CAP(WRITE));
    ATF_CHECK(GOT(&r.a, token, Acquire, acquire)->serial > serial);
    mount_release(&r.a, r.f, CAP(NONE), serial);
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    ATF_CHECK_EQ(mount_granted(&r.b, read), PARKED); /* a still writes */
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_dead_writer_is_waited_for_no_longer_than_its_lease);
ATF_TC_BODY(a_dead_writer_is_waited_for_no_longer_than_its_lease, tc)
{
    struct rig r;
    rig_init(&r);
    struct mount *living[] = {&r.b, &r.c};
    (void)mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    mounts_pass(living, 2, 8000);
    ATF_CHECK_EQ(mount_granted(&r.b, read), PARKED);
    mounts_pass(living, 2, 3000);
    ATF_CHECK_EQ(mount_granted(&r.b, read), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(a_writer_may_take_its_time_but_not_for_ever);
ATF_TC_BODY(a_writer_may_take_its_time_but_not_for_ever, tc)
{
    struct rig r;
    rig_init(&r);
    struct mount *all[] = {&r.a, &r.b, &r.c};
    (void)mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    mounts_pass(all, 3, 60000);
    ATF_CHECK(hd_session_is_live(r.w.m, r.a.number));
    ATF_CHECK_EQ(mount_granted(&r.b, read), PARKED);
    mounts_pass(all + 1, 2, 1000);
    for (int n = 0; n < 130 && hd_session_is_live(r.w.m, r.a.number); n++) {
        mounts_pass(all, 3, 500);
    }
    ATF_CHECK(!hd_session_is_live(r.w.m, r.a.number));
    ATF_CHECK_EQ(mount_granted(&r.b, read), READ);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(calls_of_a_session_that_ends_are_answered);
ATF_TC_BODY(calls_of_a_session_that_ends_are_answered, tc)
{
    struct rig r;
    rig_init(&r);
    struct mount *living[] = {&r.a, &r.c};
    (void)mount_acquire(&r.a, r.f, CAP(WRITE));
    uint64_t read = mount_acquire(&r.b, r.f, CAP(READ));
    mounts_pass(living, 2, 11000);
    ATF_CHECK_EQ(error_of(&r.b, read), -HD_E_NO_SESSION);
    rig_done(&r);
}

/* ---- clients of HDFS ---- */

ATF_TC_WITHOUT_HEAD(while_a_client_of_hdfs_writes_nothing_is_kept);
ATF_TC_BODY(while_a_client_of_hdfs_writes_nothing_is_kept, tc)
{
    struct rig r;
    rig_init(&r);
    do_create(&r.w, "/g", "client");
    uint64_t g = do_stat(&r.w, "/g")->file_id;
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, g, CAP(READ))), NONE);
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, g, CAP(WRITE))), NONE);
    Hdw__CompleteRequest q = HDW__COMPLETE_REQUEST__INIT;
    q.src = S("/g");
    q.client_name = S("client");
    uint64_t completed = world_send(&r.w, CLIENT_PROTOCOL, "complete", &q, 1);
    mount_answer_all(&r.a, false); /* its times changed */
    ATF_CHECK(is_answered(&r.a, completed));
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, g, CAP(READ))), READ);
    rig_done(&r);
}

/* ---- files without a name ---- */

ATF_TC_WITHOUT_HEAD(an_unlinked_file_stays_while_it_is_open_somewhere);
ATF_TC_BODY(an_unlinked_file_stays_while_it_is_open_somewhere, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.a, ROOT, "f");
    (void)mount_lookup(&r.b, ROOT, "f");
    uint64_t unlinked = mount_unlink_send(&r.b, ROOT, "f", false);
    ATF_REQUIRE(mount_push_of(&r.a, HDW__PUSH_KIND__PUSH_GONE, r.f) != NULL);
    mount_answer_all(&r.a, true);
    ATF_CHECK(is_answered(&r.b, unlinked));
    ATF_REQUIRE(hd_ns_inode(&r.w.m->ns, r.f) != NULL);
    world_check(&r.w);
    (void)ASK(&r.a, "forgetOrphans", ForgetOrphans, forget_orphans, .session = r.a.number,
              .n_inos = 1, .inos = &r.f);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) == NULL);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(an_unlinked_file_that_is_open_nowhere_goes_at_once);
ATF_TC_BODY(an_unlinked_file_that_is_open_nowhere_goes_at_once, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.a, ROOT, "f");
    (void)mount_unlink_send(&r.b, ROOT, "f", false);
    ATF_REQUIRE(mount_push_of(&r.a, HDW__PUSH_KIND__PUSH_GONE, r.f) != NULL);
    mount_answer_all(&r.a, false);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) == NULL);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(the_orphans_of_a_session_that_ends_go);
ATF_TC_BODY(the_orphans_of_a_session_that_ends_go, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.b, ROOT, "f");
    ATF_CHECK(is_answered(&r.b, mount_unlink_send(&r.b, ROOT, "f", true)));
    ATF_REQUIRE(hd_ns_inode(&r.w.m->ns, r.f) != NULL);
    mount_close(&r.b);
    world_pass(&r.w, 1500);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) == NULL);
    rig_done(&r);
}

static void reclaim(struct mount *t, uint64_t *orphans, size_t orphan_count, uint64_t *writing,
                    size_t writing_count, size_t lost)
{
    Hdw__ReclaimResponse *q =
        ASK(t, "reclaim", Reclaim, reclaim, .client_name = S(t->name), .session = t->number,
            .n_orphans = orphan_count, .orphans = orphans, .n_writing = writing_count,
            .writing = writing, .has_done = true, .done = true);
    ATF_CHECK_EQ(q->n_lost, lost);
}

ATF_TC_WITHOUT_HEAD(orphans_and_writing_survive_a_restart);
ATF_TC_BODY(orphans_and_writing_survive_a_restart, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.b, ROOT, "f");
    (void)mount_unlink_send(&r.b, ROOT, "f", true);
    uint64_t made = mount_make_send(&r.a, ROOT, "g", FILE_MODE);
    mount_answer_all(&r.b, false);
    uint64_t g = GOT(&r.a, made, MakeNode, make_node)->attr->ino;
    (void)mount_acquire(&r.a, g, CAP(WRITE));
    world_restart(&r.w);
    mount_hello(&r.a);
    mount_hello(&r.b);
    mount_hello(&r.c);
    reclaim(&r.a, NULL, 0, &g, 1, 0);
    reclaim(&r.c, NULL, 0, &g, 1, 1); /* that is a's */
    world_pass(&r.w, 500);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) != NULL);
    reclaim(&r.b, &r.f, 1, NULL, 0, 0);
    ATF_CHECK(!hd_caps_in_grace(r.w.m));
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) != NULL);
    uint64_t read = mount_acquire(&r.b, g, CAP(READ));
    ATF_CHECK_EQ(mount_granted(&r.b, read), PARKED);
    (void)ASK(&r.b, "forgetOrphans", ForgetOrphans, forget_orphans, .session = r.b.number,
              .n_inos = 1, .inos = &r.f);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) == NULL);
    rig_done(&r);
}

ATF_TC_WITHOUT_HEAD(orphans_that_nobody_reclaims_go_when_grace_ends);
ATF_TC_BODY(orphans_that_nobody_reclaims_go_when_grace_ends, tc)
{
    struct rig r;
    rig_init(&r);
    (void)mount_lookup(&r.b, ROOT, "f");
    (void)mount_unlink_send(&r.b, ROOT, "f", true);
    world_restart(&r.w);
    mount_hello(&r.a);
    reclaim(&r.a, NULL, 0, NULL, 0, 0);
    world_pass(&r.w, 9000);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) != NULL);
    world_pass(&r.w, 2000);
    ATF_CHECK(hd_ns_inode(&r.w.m->ns, r.f) == NULL);
    rig_done(&r);
}

/* ---- every order ----
 *
 * Two mounts run a script each, on one file. Calls and polls are on connections of their own, so
 * an answer and a push may come in either order. A schedule is a list of choices; all are tried,
 * each from a new world, until there is none left.
 */

enum { STEPS_MAX = 96, QUEUE_MAX = 16, MOUNTS_MAX = 3, KINDS = 5 };

enum kind { CALL_UP, CALL_DOWN, POLL_DOWN, POLL_UP, DIE };

struct model {
    struct mount t;
    const int *script; /* capabilities to ask for, PARKED at the end */
    int at;
    uint64_t call;               /* under way; 0: none */
    int believes;                /* what it acts on */
    uint64_t given_back;         /* serial of the newest recall that it has dealt with */
    uint64_t answers[QUEUE_MAX]; /* on their way to meta */
    size_t answer_count;
    bool polling; /* a poll is parked at meta, or its answer is under way */
    bool may_die;
    bool dead;
};

struct schedule {
    uint8_t choice[STEPS_MAX];
    uint8_t options[STEPS_MAX];
    size_t length;
};

static bool is_possible(struct model *m, enum kind kind)
{
    if (m->dead) {
        return false;
    }
    switch (kind) {
    case DIE:
        return m->may_die;
    case CALL_UP:
        return m->call == 0 && m->script[m->at] != PARKED;
    case CALL_DOWN:
        return m->call != 0 && is_answered(&m->t, m->call);
    case POLL_DOWN:
        return m->polling && is_answered(&m->t, m->t.poll);
    case POLL_UP:
        return !m->polling;
    }
    return false;
}

static void take(struct model *m, uint64_t f, enum kind kind)
{
    switch (kind) {
    case DIE:
        m->dead = true;
        m->believes = NONE;
        mount_close(&m->t);
        world_pass(m->t.w, HD_SESSION_CLOSED_MS + 300);
        break;
    case CALL_UP:
        m->call = mount_acquire(&m->t, f, CAP(m->script[m->at++]));
        break;
    case CALL_DOWN: {
        Hdw__AcquireResponse *a = GOT(&m->t, m->call, Acquire, acquire);
        m->call = 0;
        if (a->serial > m->given_back) { /* else it has gone back already */
            m->believes = (int)a->granted;
        }
        break;
    }
    case POLL_DOWN: {
        Hdw__PollResponse *p = mount_pushes(&m->t);
        m->polling = false;
        for (size_t n = 0; n < p->n_pushes; n++) {
            const Hdw__Push *push = p->pushes[n];
            if (push->kind == HDW__PUSH_KIND__PUSH_RECALL) {
                m->believes = HD_MIN(m->believes, (int)push->keep);
                m->given_back = HD_MAX(m->given_back, push->serial);
            }
            ATF_REQUIRE(m->answer_count < QUEUE_MAX);
            m->answers[m->answer_count++] = push->serial;
        }
        break;
    }
    case POLL_UP:
        mount_poll_with(&m->t, 60000, m->answers, m->answer_count, false);
        m->answer_count = 0;
        m->polling = true;
        break;
    }
}

/* At most one writes, and then nobody else has anything. */
static bool is_consistent(const struct model *models, int mounts)
{
    int writers = 0;
    int others = 0;
    for (int n = 0; n < mounts; n++) {
        writers += models[n].believes == WRITE;
        others += models[n].believes == READ;
    }
    return writers == 0 || (writers == 1 && others == 0);
}

static uint8_t possible_ones(struct model *models, int mounts, uint8_t *ret)
{
    uint8_t count = 0;
    for (int n = 0; n < mounts * KINDS; n++) {
        if (is_possible(&models[n / KINDS], (enum kind)(n % KINDS))) {
            ret[count++] = (uint8_t)n;
        }
    }
    return count;
}

/* Nobody waits for anything, and meta neither. */
static void check_end(const struct world *w, const struct model *models, int mounts)
{
    for (int n = 0; n < mounts; n++) {
        ATF_REQUIRE_MSG(models[n].dead || models[n].call == 0, "mount %d waits for ever", n);
        ATF_REQUIRE(models[n].dead || models[n].script[models[n].at] == PARKED);
    }
    ATF_REQUIRE(w->m->sessions->wait_count == 0 && w->m->sessions->queues.count == 0);
    ATF_REQUIRE(hd_list_empty(&w->m->sessions->holds));
}

/* One schedule. Choices beyond its length are the first possible ones, and are added to it. */
static void run_schedule(const int *const *scripts, int mounts, bool deaths, struct schedule *s)
{
    struct world w;
    struct model models[MOUNTS_MAX];
    world_init(&w);
    for (int n = 0; n < mounts; n++) {
        models[n] = (struct model){.t = mount_start(&w, n), .script = scripts[n]};
        models[n].may_die = deaths && n == 0;
    }
    do_create(&w, "/f", "client");
    ATF_REQUIRE(do_complete(&w, "/f", "client", NULL));
    uint64_t f = do_stat(&w, "/f")->file_id;
    for (int n = 0; n < mounts; n++) {
        take(&models[n], f, POLL_UP);
    }
    uint8_t possible[MOUNTS_MAX * KINDS];
    uint8_t count;
    for (size_t step = 0; (count = possible_ones(models, mounts, possible)) > 0; step++) {
        ATF_REQUIRE_MSG(step < STEPS_MAX, "it does not come to an end");
        if (step >= s->length) {
            s->choice[step] = 0;
            s->length = step + 1;
        }
        s->options[step] = count;
        uint8_t chosen = possible[s->choice[step]];
        take(&models[chosen / KINDS], f, (enum kind)(chosen % KINDS));
        ATF_REQUIRE_MSG(is_consistent(models, mounts), "step %zu: one writes, not alone", step);
    }
    check_end(&w, models, mounts);
    world_done(&w);
}

/* The next schedule in the order of choices; false: that was the last. */
static bool next_schedule(struct schedule *s)
{
    while (s->length > 0 && s->choice[s->length - 1] + 1 == s->options[s->length - 1]) {
        s->length--;
    }
    if (s->length == 0) {
        return false;
    }
    s->choice[s->length - 1]++;
    return true;
}

static const int w_[] = {WRITE, PARKED};
static const int r_[] = {READ, PARKED};
static const int rw[] = {READ, WRITE, PARKED};
static const int wr[] = {WRITE, READ, PARKED};

static void run_all(const int *const *scripts, int mounts, bool deaths, size_t at_most)
{
    struct schedule s = {.length = 0};
    size_t count = 0;
    do {
        run_schedule(scripts, mounts, deaths, &s);
        count++;
    } while (next_schedule(&s) && count < at_most);
    printf("%zu schedules%s\n", count, s.length == 0 ? ", all" : "");
}

ATF_TC_WITHOUT_HEAD(every_order_of_messages_keeps_a_writer_alone_and_nobody_waiting);
ATF_TC_BODY(every_order_of_messages_keeps_a_writer_alone_and_nobody_waiting, tc)
{
    static const int *const pairs[][2] = {{w_, w_}, {w_, r_}, {rw, r_}, {rw, w_}, {rw, rw},
                                          {wr, w_}, {wr, r_}, {wr, rw}, {wr, wr}};
    for (size_t n = 0; n < HD_ARRAY_COUNT(pairs); n++) {
        run_all(pairs[n], 2, false, 60000);
    }
}

ATF_TC_WITHOUT_HEAD(so_does_every_order_of_three_mounts);
ATF_TC_BODY(so_does_every_order_of_three_mounts, tc)
{
    static const int *const threes[][3] = {{r_, r_, w_}, {w_, w_, r_}, {w_, w_, w_}};
    for (size_t n = 0; n < HD_ARRAY_COUNT(threes); n++) {
        run_all(threes[n], 3, false, 60000);
    }
}

ATF_TC_WITHOUT_HEAD(so_does_every_order_with_a_death_at_any_moment);
ATF_TC_BODY(so_does_every_order_with_a_death_at_any_moment, tc)
{
    static const int *const pairs[][2] = {{w_, w_}, {w_, r_}, {r_, w_},
                                          {rw, r_}, {rw, w_}, {wr, w_}};
    for (size_t n = 0; n < HD_ARRAY_COUNT(pairs); n++) {
        run_all(pairs[n], 2, true, 20000);
    }
}

ATF_TC_WITHOUT_HEAD(a_writer_of_hdfs_that_is_silent_is_overruled);
ATF_TC_BODY(a_writer_of_hdfs_that_is_silent_is_overruled, tc)
{
    struct rig r;
    rig_init(&r);
    do_create(&r.w, "/g", "client");
    uint64_t g = do_stat(&r.w, "/g")->file_id;
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, g, CAP(WRITE))), NONE);
    for (int64_t ms = 0; ms <= r.w.m->o.lease_soft_ms; ms += 2000) {
        world_pass(&r.w, 2000);
        mount_poll(&r.a, 3000);
    }
    ATF_CHECK_EQ(mount_granted(&r.a, mount_acquire(&r.a, g, CAP(WRITE))), WRITE);
    rig_done(&r);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, many_may_read);
    ATF_TP_ADD_TC(tp, a_writer_is_alone);
    ATF_TP_ADD_TC(tp, a_reader_lets_the_writer_keep_reading);
    ATF_TP_ADD_TC(tp, who_writes_has_what_reading_needs);
    ATF_TP_ADD_TC(tp, two_readers_that_both_want_to_write_do_it_in_turn);
    ATF_TP_ADD_TC(tp, a_reader_does_not_overtake_a_writer_that_waits);
    ATF_TP_ADD_TC(tp, what_is_recalled_is_not_given_again_before_it_came_back);
    ATF_TP_ADD_TC(tp, pages_are_written_back_before_all_that_wait);
    ATF_TP_ADD_TC(tp, a_grant_that_others_are_told_of_is_not_recalled_before_it_has_left);
    ATF_TP_ADD_TC(tp, a_late_release_does_not_take_a_newer_grant);
    ATF_TP_ADD_TC(tp, a_dead_writer_is_waited_for_no_longer_than_its_lease);
    ATF_TP_ADD_TC(tp, a_writer_may_take_its_time_but_not_for_ever);
    ATF_TP_ADD_TC(tp, calls_of_a_session_that_ends_are_answered);
    ATF_TP_ADD_TC(tp, while_a_client_of_hdfs_writes_nothing_is_kept);
    ATF_TP_ADD_TC(tp, an_unlinked_file_stays_while_it_is_open_somewhere);
    ATF_TP_ADD_TC(tp, an_unlinked_file_that_is_open_nowhere_goes_at_once);
    ATF_TP_ADD_TC(tp, the_orphans_of_a_session_that_ends_go);
    ATF_TP_ADD_TC(tp, orphans_and_writing_survive_a_restart);
    ATF_TP_ADD_TC(tp, orphans_that_nobody_reclaims_go_when_grace_ends);
    ATF_TP_ADD_TC(tp, every_order_of_messages_keeps_a_writer_alone_and_nobody_waiting);
    ATF_TP_ADD_TC(tp, so_does_every_order_of_three_mounts);
    ATF_TP_ADD_TC(tp, so_does_every_order_with_a_death_at_any_moment);
    ATF_TP_ADD_TC(tp, a_writer_of_hdfs_that_is_silent_is_overruled);
    return atf_no_error();
}
