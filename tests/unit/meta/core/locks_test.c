/* setLock and getLock: sessions, pushes, and the grace period. Who waits for whom: lock_table_test.
 */
#include "tests/unit/meta/core/mounts.h"

#include <fcntl.h>

enum { ROOT = HD_ROOT_INO };

struct pair {
    struct world w;
    struct mount a, b;
    uint64_t file;
};

static void pair_init(struct pair *p)
{
    world_init(&p->w);
    p->a = mount_start(&p->w, 0);
    p->b = mount_start(&p->w, 1);
    Hdw__MakeNodeResponse *r =
        ASK(&p->a, "makeNode", MakeNode, make_node, .parent = ROOT, .name = bytes_named("f"),
            .mode = 0100644, .has_exclusive = true, .exclusive = true);
    p->file = r->attr->ino;
    mount_poll(&p->a, 3000);
    mount_poll(&p->b, 3000);
}

static uint64_t lock_send(struct mount *t, uint64_t ino, uint64_t owner, uint32_t type,
                          uint64_t wait_id, bool flock)
{
    Hdw__LockRange l = HDW__LOCK_RANGE__INIT;
    l.ino = ino;
    l.owner = owner;
    l.end = UINT64_MAX;
    l.type = type;
    l.has_flock = l.flock = flock;
    return SEND(t, "setLock", SetLock, set_lock, .session = t->number, .lock = &l,
                .has_wait = wait_id != 0, .wait = wait_id != 0, .has_wait_id = wait_id != 0,
                .wait_id = wait_id);
}

static bool lock(struct mount *t, uint64_t ino, uint64_t owner, uint32_t type, uint64_t wait_id)
{
    uint64_t token = lock_send(t, ino, owner, type, wait_id, false);
    return GOT(t, token, SetLock, set_lock)->granted;
}

static bool unlock_all(struct mount *t, uint64_t ino, uint64_t owner)
{
    Hdw__LockRange l = HDW__LOCK_RANGE__INIT;
    l.ino = ino;
    l.owner = owner;
    l.type = F_UNLCK;
    return ASK(t, "setLock", SetLock, set_lock, .session = t->number, .lock = &l, .has_all = true,
               .all = true)
        ->granted;
}

static Hdw__LockRange *conflict(struct mount *t, uint64_t ino, uint64_t owner)
{
    Hdw__LockRange l = HDW__LOCK_RANGE__INIT;
    l.ino = ino;
    l.owner = owner;
    l.end = UINT64_MAX;
    l.type = F_WRLCK;
    return ASK(t, "getLock", GetLock, get_lock, .session = t->number, .lock = &l)->conflict;
}

ATF_TC_WITHOUT_HEAD(who_waits_is_told);
ATF_TC_BODY(who_waits_is_told, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK(lock(&p.a, p.file, 1, F_WRLCK, 0));
    ATF_CHECK(!lock(&p.b, p.file, 1, F_RDLCK, 0));
    ATF_CHECK_EQ(conflict(&p.b, p.file, 1)->type, F_WRLCK);
    ATF_CHECK(conflict(&p.a, p.file, 1) == NULL);
    ATF_CHECK(!lock(&p.b, p.file, 1, F_RDLCK, 77));
    ATF_CHECK(mount_pushes(&p.b) == NULL);
    ATF_CHECK(unlock_all(&p.a, p.file, 1));
    Hdw__Push *push = mount_push(&p.b);
    ATF_CHECK_EQ(push->kind, HDW__PUSH_KIND__PUSH_LOCK);
    ATF_CHECK_EQ(push->wait_id, 77);
    ATF_CHECK_EQ(push->error, 0);
    ATF_CHECK(lock(&p.a, p.file, 1, F_RDLCK, 0));
    world_done(&p.w);
}

ATF_TC_WITHOUT_HEAD(waiting_in_a_circle_is_refused);
ATF_TC_BODY(waiting_in_a_circle_is_refused, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK(lock(&p.a, p.file, 1, F_WRLCK, 0));
    ATF_CHECK(lock(&p.b, ROOT, 1, F_WRLCK, 0));
    ATF_CHECK(!lock(&p.a, ROOT, 1, F_WRLCK, 1));
    ATF_CHECK_EQ(error_of(&p.b, lock_send(&p.b, p.file, 1, F_WRLCK, 1, false)), -EDEADLK);
    world_done(&p.w);
}

ATF_TC_WITHOUT_HEAD(a_session_s_end_lets_go);
ATF_TC_BODY(a_session_s_end_lets_go, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK(lock(&p.a, p.file, 1, F_WRLCK, 0));
    ATF_CHECK(GOT(&p.a, lock_send(&p.a, p.file, 9, F_WRLCK, 0, true), SetLock, set_lock)->granted);
    ATF_CHECK(!lock(&p.b, p.file, 1, F_WRLCK, 5));
    ATF_CHECK(!GOT(&p.b, lock_send(&p.b, p.file, 9, F_RDLCK, 6, true), SetLock, set_lock)->granted);
    for (int n = 0; n < 30 && mount_pushes(&p.b) == NULL; n++) { /* a does not poll any more */
        world_pass(&p.w, 500);
        if (mount_pushes(&p.b) != NULL && mount_pushes(&p.b)->n_pushes == 0) {
            mount_poll(&p.b, 3000);
        }
    }
    ATF_CHECK_EQ(mount_pushes(&p.b)->n_pushes, 2);
    ATF_CHECK_EQ(error_of(&p.a, lock_send(&p.a, p.file, 1, F_WRLCK, 0, false)), -HD_E_NO_SESSION);
    world_done(&p.w);
}

ATF_TC_WITHOUT_HEAD(what_makes_no_sense_is_refused);
ATF_TC_BODY(what_makes_no_sense_is_refused, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK_EQ(error_of(&p.a, lock_send(&p.a, p.file, 1, 3, 0, false)), -EINVAL);
    ATF_CHECK_EQ(error_of(&p.a, lock_send(&p.a, 99999, 1, F_WRLCK, 0, false)), -ESTALE);
    Hdw__LockRange l = HDW__LOCK_RANGE__INIT;
    l.ino = p.file;
    l.start = 5;
    l.end = 4;
    ATF_CHECK_EQ(
        error_of(&p.a, SEND(&p.a, "setLock", SetLock, set_lock, .session = p.a.number, .lock = &l)),
        -EINVAL);
    ATF_CHECK_EQ(
        error_of(&p.a, SEND(&p.a, "setLock", SetLock, set_lock, .session = p.b.number, .lock = &l)),
        -HD_E_NO_SESSION);
    world_done(&p.w);
}

static void reclaim(struct mount *t, uint64_t ino, uint32_t type, size_t want_lost)
{
    Hdw__LockRange l = HDW__LOCK_RANGE__INIT;
    Hdw__LockRange *all[] = {&l};
    l.ino = ino;
    l.owner = 1;
    l.end = UINT64_MAX;
    l.type = type;
    Hdw__ReclaimResponse *r =
        ASK(t, "reclaim", Reclaim, reclaim, .client_name = S(t->name), .session = t->number,
            .n_locks = type == F_UNLCK ? 0 : 1, .locks = all, .has_done = true, .done = true);
    ATF_CHECK_EQ(r->n_lost, want_lost);
}

ATF_TC_WITHOUT_HEAD(after_a_restart_nobody_gets_what_another_may_claim);
ATF_TC_BODY(after_a_restart_nobody_gets_what_another_may_claim, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK(lock(&p.a, p.file, 1, F_WRLCK, 0));
    world_restart(&p.w);
    (void)mount_hello(&p.b);
    mount_poll(&p.b, 60000);
    uint64_t tried = lock_send(&p.b, p.file, 1, F_RDLCK, 0, false);
    uint64_t other = lock_send(&p.b, ROOT, 1, F_WRLCK, 0, false);
    ATF_CHECK(!lock(&p.b, ROOT, 2, F_WRLCK, 8));
    ATF_CHECK(!is_answered(&p.b, tried) && !is_answered(&p.b, other));
    reclaim(&p.b, 0, F_UNLCK, 0);
    ATF_CHECK(!is_answered(&p.b, tried));
    (void)mount_hello(&p.a);
    reclaim(&p.a, p.file, F_WRLCK, 0);
    ATF_CHECK(!GOT(&p.b, tried, SetLock, set_lock)->granted);
    /* The one that waited comes first; who only tried gets what is left. */
    ATF_CHECK(!GOT(&p.b, other, SetLock, set_lock)->granted);
    ATF_CHECK_EQ(mount_push(&p.b)->wait_id, 8);
    ATF_CHECK(conflict(&p.b, p.file, 1) != NULL);
    world_done(&p.w);
}

ATF_TC_WITHOUT_HEAD(who_does_not_come_back_loses_his_locks);
ATF_TC_BODY(who_does_not_come_back_loses_his_locks, tc)
{
    struct pair p;
    pair_init(&p);
    ATF_CHECK(lock(&p.a, p.file, 1, F_WRLCK, 0));
    world_restart(&p.w);
    (void)mount_hello(&p.b);
    reclaim(&p.b, 0, F_UNLCK, 0);
    uint64_t tried = lock_send(&p.b, p.file, 1, F_WRLCK, 0, false);
    for (int n = 0; n < 60 && !is_answered(&p.b, tried); n++) {
        mount_poll(&p.b, 400);
        world_pass(&p.w, 500);
    }
    ATF_CHECK(GOT(&p.b, tried, SetLock, set_lock)->granted);
    (void)mount_hello(&p.a);
    reclaim(&p.a, p.file, F_WRLCK, 1); /* too late */
    world_done(&p.w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, who_waits_is_told);
    ATF_TP_ADD_TC(tp, waiting_in_a_circle_is_refused);
    ATF_TP_ADD_TC(tp, a_session_s_end_lets_go);
    ATF_TP_ADD_TC(tp, what_makes_no_sense_is_refused);
    ATF_TP_ADD_TC(tp, after_a_restart_nobody_gets_what_another_may_claim);
    ATF_TP_ADD_TC(tp, who_does_not_come_back_loses_his_locks);
    return atf_no_error();
}
