/* Sessions: they begin, are told what changed, are waited for, and end. */
#include "mounts.h"

enum { ROOT = HD_ROOT_INO, DIR_MODE = 040755, FILE_MODE = 0100644 };

/* ---- beginning and end ---- */

ATF_TC_WITHOUT_HEAD(a_session_has_one_number_on_all_its_connections);
ATF_TC_BODY(a_session_has_one_number_on_all_its_connections, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    ATF_CHECK(a.number != 0 && b.number != 0 && a.number != b.number);
    uint64_t first = a.number;
    Hdw__OpenSessionResponse *r = mount_hello(&a);
    ATF_CHECK_EQ(r->session, first);
    ATF_CHECK_EQ(r->lease_ms, 10000);
    ATF_CHECK(r->trusted);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(without_pushes_there_is_no_session);
ATF_TC_BODY(without_pushes_there_is_no_session, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = {.w = &w, .name = "client", .calls_conn = 5};
    Hdw__OpenSessionResponse *r =
        ASK(&a, "openSession", OpenSession, open_session, .client_name = S("client"));
    ATF_CHECK(!r->has_session);
    ATF_CHECK_EQ(w.record_count, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(another_users_session_is_not_taken);
ATF_TC_BODY(another_users_session_is_not_taken, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    w.user = "eve";
    uint64_t token = SEND(&a, "openSession", OpenSession, open_session, .client_name = S(a.name));
    ATF_CHECK_EQ(error_of(&a, token), -EACCES);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(another_users_session_is_not_taken_by_its_number);
ATF_TC_BODY(another_users_session_is_not_taken_by_its_number, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    uint64_t ino = mount_make(&a, ROOT, "f", 0100644);
    ATF_REQUIRE_EQ(mount_granted(&a, mount_acquire(&a, ino, HDW__CAP_KIND__CAP_WRITE)), 2);
    w.user = "eve";
    uint64_t token = SEND(&a, "resize", Resize, resize, .session = a.number, .ino = ino);
    ATF_CHECK_EQ(error_of(&a, token), -HD_E_NO_SESSION);
    token = SEND(&a, "release", Release, release, .session = a.number, .ino = ino);
    ATF_CHECK_EQ(error_of(&a, token), -HD_E_NO_SESSION);
    mount_poll(&a, 3000);
    ATF_CHECK_EQ(error_of(&a, a.poll), -HD_E_NO_SESSION);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_session_is_not_named_as_meta_is);
ATF_TC_BODY(a_session_is_not_named_as_meta_is, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    uint64_t token = SEND(&a, "openSession", OpenSession, open_session,
                          .client_name = S(HD_META_HOLDER), .has_pushes = true, .pushes = true);
    ATF_CHECK_EQ(error_of(&a, token), -EINVAL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_session_that_does_not_poll_ends);
ATF_TC_BODY(a_session_that_does_not_poll_ends, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    mount_poll(&a, 3000);
    world_pass(&w, 3500);
    ATF_REQUIRE(mount_pushes(&a) != NULL);
    ATF_CHECK_EQ(mount_pushes(&a)->n_pushes, 0);
    ATF_CHECK(hd_session_is_live(w.m, a.number));
    world_pass(&w, 7000);
    ATF_CHECK(!hd_session_is_live(w.m, a.number));
    ATF_CHECK_EQ(error_of(&a, mount_lookup_send(&a, ROOT, "x")), -HD_E_NO_SESSION);
    mount_poll(&a, 0);
    ATF_CHECK_EQ(error_of(&a, a.poll), -HD_E_NO_SESSION);
    uint64_t old = a.number;
    mount_hello(&a);
    ATF_CHECK(a.number != old);
    (void)mount_lookup(&a, ROOT, "x");
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_closed_connection_has_a_second_to_come_back);
ATF_TC_BODY(a_closed_connection_has_a_second_to_come_back, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    mount_poll(&a, 3000);
    mount_close(&a);
    world_pass(&w, 800);
    uint64_t number = a.number;
    a.polls_conn = 77;
    mount_hello(&a);
    ATF_CHECK_EQ(a.number, number);
    mount_poll(&a, 3000);
    world_pass(&w, 2000);
    ATF_CHECK(hd_session_is_live(w.m, number));
    mount_close(&a);
    world_pass(&w, 1400);
    ATF_CHECK(!hd_session_is_live(w.m, number));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_poll_that_only_brings_answers_leaves_the_parked_one);
ATF_TC_BODY(a_poll_that_only_brings_answers_leaves_the_parked_one, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    mount_poll(&a, 3000);
    uint64_t parked = a.poll;
    mount_poll(&a, 0);
    ATF_CHECK(is_answered(&a, a.poll));
    ATF_CHECK(!is_answered(&a, parked));
    mount_poll(&a, 3000);
    ATF_CHECK(is_answered(&a, parked)); /* one is enough */
    ATF_CHECK(!is_answered(&a, a.poll));
    world_done(&w);
}

/* ---- what is told ---- */

ATF_TC_WITHOUT_HEAD(who_knows_a_directory_is_told_of_a_new_entry_before_it_is_acknowledged);
ATF_TC_BODY(who_knows_a_directory_is_told_of_a_new_entry_before_it_is_acknowledged, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    mount_poll(&a, 3000);
    ATF_CHECK(mount_lookup(&a, ROOT, "new")->cached); /* it is not there, and A may keep that */
    uint64_t made = mount_make_send(&b, ROOT, "new", FILE_MODE);
    ATF_CHECK(!is_answered(&b, made));
    Hdw__Push *p = mount_push_of(&a, HDW__PUSH_KIND__PUSH_ENTRY, ROOT);
    ATF_REQUIRE(p != NULL);
    ATF_CHECK(p->name.len == 3 && memcmp(p->name.data, "new", 3) == 0);
    ATF_CHECK_EQ(p->child, 0);
    ATF_CHECK_EQ(p->txid, w.record_count);
    mount_answer_all(&a, false);
    Hdw__MakeNodeResponse *r = GOT(&b, made, MakeNode, make_node);
    ATF_CHECK_EQ(world_answer(&w, made)->as_of, p->txid);
    ATF_CHECK_EQ(mount_lookup(&a, ROOT, "new")->attr->ino, r->attr->ino);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(who_knows_nothing_of_it_is_not_told_and_not_waited_for);
ATF_TC_BODY(who_knows_nothing_of_it_is_not_told_and_not_waited_for, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    uint64_t d = mount_make(&b, ROOT, "d", DIR_MODE);
    mount_poll(&a, 3000);
    (void)mount_lookup(&a, ROOT, "elsewhere");
    (void)mount_make(&b, d, "f", FILE_MODE);
    ATF_CHECK(mount_pushes(&a) == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(who_made_the_change_is_not_told);
ATF_TC_BODY(who_made_the_change_is_not_told, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    mount_poll(&a, 3000);
    (void)mount_lookup(&a, ROOT, "f");
    uint64_t f = mount_make(&a, ROOT, "f", FILE_MODE);
    uint64_t changed = mount_chmod_send(&a, f, 0600);
    ATF_CHECK(is_answered(&a, changed));
    ATF_CHECK(mount_pushes(&a) == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_change_waits_for_a_push_of_an_earlier_one_too);
ATF_TC_BODY(a_change_waits_for_a_push_of_an_earlier_one_too, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    struct mount c = mount_start(&w, 2);
    uint64_t f = mount_make(&b, ROOT, "f", FILE_MODE);
    (void)mount_lookup(&a, ROOT, "f");
    mount_poll(&a, 3000);
    uint64_t first = mount_chmod_send(&b, f, 0600);
    ATF_REQUIRE(mount_push_of(&a, HDW__PUSH_KIND__PUSH_ATTR, f) != NULL);
    uint64_t second = mount_chmod_send(&c, f, 0640);
    mount_poll(&b, 3000); /* it made the file, so it knows it */
    mount_answer_all(&b, false);
    ATF_CHECK(!is_answered(&b, first));
    ATF_CHECK(!is_answered(&c, second));
    mount_answer_all(&a, false);
    ATF_CHECK(mount_pushes(&a) == NULL); /* it knew no more that could have changed */
    ATF_CHECK(is_answered(&b, first));
    ATF_CHECK(is_answered(&c, second));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(after_many_entries_the_directory_is_forgotten_as_a_whole);
ATF_TC_BODY(after_many_entries_the_directory_is_forgotten_as_a_whole, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    uint64_t d = mount_make(&b, ROOT, "d", DIR_MODE);
    (void)mount_lookup(&a, d, "x");
    mount_poll(&a, 3000);
    for (int n = 0; n < 40; n++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", n);
        uint64_t made = mount_make_send(&b, d, name, FILE_MODE);
        if (n > HD_ENTRY_PUSHES_MAX) {
            ATF_CHECK(is_answered(&b, made));
            ATF_CHECK(mount_pushes(&a) == NULL);
            continue;
        }
        Hdw__PushKind kind =
            n < HD_ENTRY_PUSHES_MAX ? HDW__PUSH_KIND__PUSH_ENTRY : HDW__PUSH_KIND__PUSH_ENTRIES;
        ATF_CHECK_MSG(mount_push_of(&a, kind, d) != NULL, "%d", n);
        ATF_CHECK(!is_answered(&b, made));
        mount_answer_all(&a, false);
        ATF_CHECK(is_answered(&b, made));
    }
    (void)mount_lookup(&a, d, "y"); /* it begins again */
    uint64_t made = mount_make_send(&b, d, "y", FILE_MODE);
    ATF_CHECK(!is_answered(&b, made));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_client_of_hdfs_waits_for_mounts_too);
ATF_TC_BODY(a_client_of_hdfs_waits_for_mounts_too, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    (void)mount_lookup(&a, ROOT, "d");
    mount_poll(&a, 3000);
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    perm.perm = 0755;
    Hdw__MkdirsRequest q = HDW__MKDIRS_REQUEST__INIT;
    q.src = S("/d");
    q.masked = &perm;
    uint64_t token = world_send(&w, CLIENT_PROTOCOL, "mkdirs", &q, 1);
    ATF_CHECK(world_answer(&w, token) == NULL);
    mount_answer_all(&a, false);
    ATF_CHECK(world_answer(&w, token) != NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_failed_change_waits_for_nobody);
ATF_TC_BODY(a_failed_change_waits_for_nobody, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    (void)mount_make(&b, ROOT, "f", FILE_MODE);
    (void)mount_lookup(&a, ROOT, "f");
    mount_poll(&a, 3000);
    ATF_CHECK_EQ(error_of(&b, mount_make_send(&b, ROOT, "f", FILE_MODE)), -EEXIST);
    ATF_CHECK(mount_pushes(&a) == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_push_comes_again_on_another_connection);
ATF_TC_BODY(a_push_comes_again_on_another_connection, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    uint64_t f = mount_make(&b, ROOT, "f", FILE_MODE);
    (void)mount_lookup(&a, ROOT, "f");
    mount_poll(&a, 3000);
    uint64_t changed = mount_chmod_send(&b, f, 0600);
    uint64_t serial = mount_push_of(&a, HDW__PUSH_KIND__PUSH_ATTR, f)->serial;
    mount_poll(&a, 3000);
    ATF_CHECK(mount_pushes(&a) == NULL); /* the same connection: it has it */
    mount_close(&a);
    a.polls_conn = 78;
    mount_poll(&a, 3000);
    ATF_CHECK_EQ(mount_push(&a)->serial, serial);
    mount_answer_all(&a, false);
    ATF_CHECK(is_answered(&b, changed));
    mount_poll_with(&a, 3000, &serial, 1, false); /* once more does nothing */
    ATF_CHECK(mount_pushes(&a) == NULL);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_dead_session_is_waited_for_no_longer_than_its_lease);
ATF_TC_BODY(a_dead_session_is_waited_for_no_longer_than_its_lease, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    struct mount *living[] = {&b};
    uint64_t f = mount_make(&b, ROOT, "f", FILE_MODE);
    (void)mount_lookup(&a, ROOT, "f");
    mount_poll(&a, 3000);
    uint64_t changed = mount_chmod_send(&b, f, 0600);
    mounts_pass(living, 1, 9000);
    ATF_CHECK(!is_answered(&b, changed));
    mounts_pass(living, 1, 2000);
    ATF_CHECK(is_answered(&b, changed));
    ATF_CHECK(!hd_session_is_live(w.m, a.number));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_session_that_polls_and_does_not_answer_ends);
ATF_TC_BODY(a_session_that_polls_and_does_not_answer_ends, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    struct mount *both[] = {&a, &b};
    uint64_t f = mount_make(&b, ROOT, "f", FILE_MODE);
    (void)mount_lookup(&a, ROOT, "f");
    uint64_t changed = mount_chmod_send(&b, f, 0600);
    mounts_pass(both, 2, 9500);
    ATF_CHECK(!is_answered(&b, changed));
    ATF_CHECK(hd_session_is_live(w.m, a.number));
    world_pass(&w, 1000);
    ATF_CHECK(is_answered(&b, changed));
    ATF_CHECK(!hd_session_is_live(w.m, a.number));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_call_asked_again_waits_with_the_first_one);
ATF_TC_BODY(a_call_asked_again_waits_with_the_first_one, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    (void)mount_lookup(&a, ROOT, "f");
    mount_poll(&a, 3000);
    w.call_id = 7;
    uint64_t first = mount_make_send(&b, ROOT, "f", FILE_MODE);
    uint64_t again = mount_make_send(&b, ROOT, "f", FILE_MODE);
    w.call_id = -1;
    ATF_CHECK(!is_answered(&b, first) && !is_answered(&b, again));
    mount_answer_all(&a, false);
    ATF_CHECK_EQ(GOT(&b, first, MakeNode, make_node)->attr->ino,
                 GOT(&b, again, MakeNode, make_node)->attr->ino);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(who_knows_very_much_is_told_to_forget_what_is_old);
ATF_TC_BODY(who_knows_very_much_is_told_to_forget_what_is_old, tc)
{
    enum { FAR = 1000000000 };
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct hd_sessions *x = w.m->sessions;
    struct hd_session *s = hd_session_find(x, a.number);
    for (uint64_t n = 0; n < HD_KNOWN_MAX; n++) {
        struct hd_known *k = hd_known_get(x, FAR + n, s, HD_KNOWN_CEILING);
        k->bits |= HD_KNOWN_ATTR;
        k->grant_serial = n == 0; /* that one was open */
    }
    mount_poll(&a, 3000);
    ATF_CHECK(mount_lookup(&a, ROOT, "x")->cached);
    Hdw__Push *p = mount_push(&a);
    ATF_CHECK_EQ(p->kind, HDW__PUSH_KIND__PUSH_ATTR);
    ATF_CHECK_EQ(p->ino, FAR + 1);
    mount_answer_all(&a, false);
    ATF_CHECK(hd_known_find(x, FAR + 1, s) == NULL);
    ATF_CHECK(hd_known_find(x, FAR, s) != NULL);
    ATF_CHECK_EQ(s->known_count, HD_KNOWN_MAX);
    world_done(&w);
}

/* ---- a restart ---- */

ATF_TC_WITHOUT_HEAD(after_a_restart_there_is_grace_until_all_have_reclaimed);
ATF_TC_BODY(after_a_restart_there_is_grace_until_all_have_reclaimed, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    struct mount b = mount_start(&w, 1);
    uint64_t f = mount_make(&a, ROOT, "f", FILE_MODE);
    ATF_CHECK(!hd_caps_in_grace(w.m));
    world_restart(&w);
    ATF_CHECK(hd_caps_in_grace(w.m));
    ATF_CHECK_EQ(error_of(&a, mount_lookup_send(&a, ROOT, "f")), -HD_E_NO_SESSION);
    mount_hello(&a);
    mount_poll(&a, 3000);
    uint64_t acquired = mount_acquire(&a, f, HDW__CAP_KIND__CAP_WRITE);
    (void)ASK(&a, "reclaim", Reclaim, reclaim, .client_name = S(a.name), .session = a.number,
              .has_done = true, .done = true);
    ATF_CHECK(hd_caps_in_grace(w.m));
    ATF_CHECK_EQ(mount_granted(&a, acquired), -1);
    mount_hello(&b);
    mount_poll(&b, 3000);
    (void)ASK(&b, "reclaim", Reclaim, reclaim, .client_name = S(b.name), .session = b.number,
              .has_done = true, .done = true);
    ATF_CHECK(!hd_caps_in_grace(w.m));
    ATF_CHECK_EQ(mount_granted(&a, acquired), HDW__CAP_KIND__CAP_WRITE);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(who_does_not_come_back_is_waited_for_no_longer_than_its_lease);
ATF_TC_BODY(who_does_not_come_back_is_waited_for_no_longer_than_its_lease, tc)
{
    struct world w;
    world_init(&w);
    struct mount a = mount_start(&w, 0);
    (void)a;
    world_restart(&w);
    world_pass(&w, 9000);
    ATF_CHECK(hd_caps_in_grace(w.m));
    world_pass(&w, 1500);
    ATF_CHECK(!hd_caps_in_grace(w.m));
    world_check(&w);
    world_restart(&w);
    ATF_CHECK(!hd_caps_in_grace(w.m)); /* that it ended is durable */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(without_sessions_there_is_no_grace);
ATF_TC_BODY(without_sessions_there_is_no_grace, tc)
{
    struct world w;
    world_init(&w);
    do_mkdirs(&w, "/d", 0755);
    world_restart(&w);
    ATF_CHECK(!hd_caps_in_grace(w.m));
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_session_has_one_number_on_all_its_connections);
    ATF_TP_ADD_TC(tp, without_pushes_there_is_no_session);
    ATF_TP_ADD_TC(tp, another_users_session_is_not_taken);
    ATF_TP_ADD_TC(tp, another_users_session_is_not_taken_by_its_number);
    ATF_TP_ADD_TC(tp, a_session_is_not_named_as_meta_is);
    ATF_TP_ADD_TC(tp, a_session_that_does_not_poll_ends);
    ATF_TP_ADD_TC(tp, a_closed_connection_has_a_second_to_come_back);
    ATF_TP_ADD_TC(tp, a_poll_that_only_brings_answers_leaves_the_parked_one);
    ATF_TP_ADD_TC(tp, who_knows_a_directory_is_told_of_a_new_entry_before_it_is_acknowledged);
    ATF_TP_ADD_TC(tp, who_knows_nothing_of_it_is_not_told_and_not_waited_for);
    ATF_TP_ADD_TC(tp, who_made_the_change_is_not_told);
    ATF_TP_ADD_TC(tp, a_change_waits_for_a_push_of_an_earlier_one_too);
    ATF_TP_ADD_TC(tp, after_many_entries_the_directory_is_forgotten_as_a_whole);
    ATF_TP_ADD_TC(tp, a_client_of_hdfs_waits_for_mounts_too);
    ATF_TP_ADD_TC(tp, a_failed_change_waits_for_nobody);
    ATF_TP_ADD_TC(tp, a_push_comes_again_on_another_connection);
    ATF_TP_ADD_TC(tp, a_dead_session_is_waited_for_no_longer_than_its_lease);
    ATF_TP_ADD_TC(tp, a_session_that_polls_and_does_not_answer_ends);
    ATF_TP_ADD_TC(tp, a_call_asked_again_waits_with_the_first_one);
    ATF_TP_ADD_TC(tp, who_knows_very_much_is_told_to_forget_what_is_old);
    ATF_TP_ADD_TC(tp, after_a_restart_there_is_grace_until_all_have_reclaimed);
    ATF_TP_ADD_TC(tp, who_does_not_come_back_is_waited_for_no_longer_than_its_lease);
    ATF_TP_ADD_TC(tp, without_sessions_there_is_no_grace);
    return atf_no_error();
}
