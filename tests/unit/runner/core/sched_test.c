/* The scheduler: local first, fair, elsewhere after a failure, and whole jobs under random deaths.
 */
#include "runner/core/sched.h"
#include "fs/base/prng.h"

#include <atf-c.h>

static struct hd_sched_job *add_job(struct hd_sched *s, uint64_t id, uint32_t maps,
                                    uint32_t reduces, uint32_t nodes)
{
    struct hd_sched_job *job = hd_sched_job_add(s, id, maps, reduces, 4, 4);
    ATF_REQUIRE(job != NULL);
    for (uint32_t i = 0; i < maps && nodes > 0; i++) {
        job->tasks[HD_TASK_MAP][i].nodes[0] = i % nodes;
        job->tasks[HD_TASK_MAP][i].node_count = 1;
    }
    return job;
}

static enum hd_verdict end(struct hd_sched *s, const struct hd_placement *p, enum hd_outcome o,
                           int64_t now)
{
    return hd_sched_ended(s, p->job, p->kind, p->index, p->number, p->agent->id, o, now);
}

ATF_TC_WITHOUT_HEAD(maps_go_where_their_bytes_are);
ATF_TC_BODY(maps_go_where_their_bytes_are, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p;
    for (uint32_t i = 0; i < 3; i++) {
        hd_sched_agent_add(s, 100 + i, i, 2);
    }
    struct hd_sched_job *job = add_job(s, 1, 6, 0, 3);
    int placed = 0;
    while (hd_sched_place(s, 0, &p)) {
        ATF_CHECK_EQ(p.locality, HD_LOCALITY_LOCAL);
        ATF_CHECK_EQ(p.agent->node, p.index % 3);
        placed++;
    }
    ATF_CHECK_EQ(placed, 6);
    ATF_CHECK_EQ(job->locality[HD_LOCALITY_LOCAL], 6);
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(a_map_waits_for_its_node_a_little_and_then_goes_anywhere);
ATF_TC_BODY(a_map_waits_for_its_node_a_little_and_then_goes_anywhere, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p, q;
    hd_sched_agent_add(s, 100, 0, 1);
    hd_sched_agent_add(s, 101, 1, 1);
    add_job(s, 1, 3, 0, 1); /* all on node 0 */
    ATF_REQUIRE(hd_sched_place(s, 0, &p));
    ATF_CHECK_EQ(p.agent->id, 100);
    ATF_REQUIRE(hd_sched_place(s, 0, &q)); /* nothing is known of map times: no wait */
    ATF_CHECK_EQ(q.agent->id, 101);
    ATF_CHECK_EQ(q.locality, HD_LOCALITY_ANY);
    ATF_CHECK_EQ(end(s, &q, HD_OUTCOME_DONE, 1000), HD_VERDICT_GO_ON);
    ATF_CHECK(!hd_sched_place(s, 1000, &q)); /* maps take 1000 ms: up to 100 ms for a local slot */
    int64_t wait = hd_sched_wait_ms(s, 1000);
    ATF_CHECK(wait > 0 && wait <= 100);
    ATF_CHECK(hd_sched_place(s, 1000 + wait, &q));
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(racks_come_before_anywhere);
ATF_TC_BODY(racks_come_before_anywhere, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p;
    hd_sched_set_rack(s, 0, 7);
    hd_sched_set_rack(s, 1, 8);
    hd_sched_set_rack(s, 2, 7);
    hd_sched_agent_add(s, 102, 2, 1);
    struct hd_sched_job *job = add_job(s, 1, 2, 0, 0);
    job->tasks[HD_TASK_MAP][0].nodes[0] = 1;
    job->tasks[HD_TASK_MAP][0].node_count = 1;
    job->tasks[HD_TASK_MAP][1].nodes[0] = 0;
    job->tasks[HD_TASK_MAP][1].node_count = 1;
    ATF_REQUIRE(hd_sched_place(s, 0, &p));
    ATF_CHECK_EQ(p.index, 1);
    ATF_CHECK_EQ(p.locality, HD_LOCALITY_RACK);
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(a_failed_attempt_is_repeated_elsewhere_and_four_end_the_job);
ATF_TC_BODY(a_failed_attempt_is_repeated_elsewhere_and_four_end_the_job, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p;
    uint64_t seen[4];
    for (uint32_t i = 0; i < 3; i++) {
        hd_sched_agent_add(s, 100 + i, i, 1);
    }
    add_job(s, 1, 1, 0, 1);
    for (int i = 0; i < 4; i++) {
        ATF_REQUIRE(hd_sched_place(s, i, &p));
        ATF_CHECK_EQ(p.number, (uint32_t)i + 1);
        seen[i] = p.agent->id;
        enum hd_verdict want = i == 3 ? HD_VERDICT_JOB_FAILED : HD_VERDICT_GO_ON;
        ATF_CHECK_EQ(end(s, &p, HD_OUTCOME_FAILED, i), want);
    }
    ATF_CHECK(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(a_killed_attempt_does_not_count);
ATF_TC_BODY(a_killed_attempt_does_not_count, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p;
    hd_sched_agent_add(s, 100, 0, 1);
    add_job(s, 1, 1, 0, 1);
    for (int i = 0; i < 20; i++) {
        ATF_REQUIRE(hd_sched_place(s, i, &p));
        ATF_CHECK_EQ(end(s, &p, HD_OUTCOME_KILLED, i), HD_VERDICT_GO_ON);
    }
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(reduces_start_after_the_maps_and_lost_outputs_are_made_again);
ATF_TC_BODY(reduces_start_after_the_maps_and_lost_outputs_are_made_again, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement a, b, r;
    hd_sched_agent_add(s, 100, 0, 1);
    hd_sched_agent_add(s, 101, 1, 1);
    struct hd_sched_job *job = add_job(s, 1, 2, 1, 2);
    ATF_REQUIRE(hd_sched_place(s, 0, &a));
    ATF_REQUIRE(hd_sched_place(s, 0, &b));
    ATF_CHECK_EQ(end(s, &a, HD_OUTCOME_DONE, 5), HD_VERDICT_GO_ON);
    ATF_CHECK(!hd_sched_place(s, 5, &r));
    ATF_CHECK_EQ(end(s, &b, HD_OUTCOME_DONE, 5), HD_VERDICT_GO_ON);
    ATF_REQUIRE(hd_sched_place(s, 5, &r));
    ATF_CHECK_EQ(r.kind, HD_TASK_REDUCE);
    uint64_t holder = r.agent->id == 100 ? 101 : 100;
    hd_sched_agent_remove(s, holder, NULL, NULL); /* with it one map's output */
    ATF_CHECK_EQ(job->done[HD_TASK_MAP], 1);
    ATF_CHECK_EQ(end(s, &r, HD_OUTCOME_KILLED, 6), HD_VERDICT_GO_ON); /* could not fetch */
    ATF_REQUIRE(hd_sched_place(s, 6, &a));
    ATF_CHECK_EQ(a.kind, HD_TASK_MAP);
    ATF_CHECK_EQ(a.number, 2);
    ATF_CHECK_EQ(end(s, &a, HD_OUTCOME_DONE, 7), HD_VERDICT_GO_ON);
    ATF_REQUIRE(hd_sched_place(s, 7, &r));
    ATF_CHECK_EQ(end(s, &r, HD_OUTCOME_DONE, 8), HD_VERDICT_JOB_DONE);
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(only_the_newest_attempt_may_commit_or_end);
ATF_TC_BODY(only_the_newest_attempt_may_commit_or_end, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p, q;
    hd_sched_agent_add(s, 100, 0, 1);
    hd_sched_agent_add(s, 101, 1, 1);
    struct hd_sched_job *job = add_job(s, 1, 1, 0, 0);
    ATF_REQUIRE(hd_sched_place(s, 0, &p));
    uint64_t first = p.agent->id;
    ATF_CHECK(hd_sched_grant(job, HD_TASK_MAP, 0, 1, first));
    hd_sched_agent_remove(s, first, NULL, NULL);
    ATF_REQUIRE(hd_sched_place(s, 0, &q));
    ATF_CHECK(!hd_sched_grant(job, HD_TASK_MAP, 0, 1, first));
    ATF_CHECK(hd_sched_grant(job, HD_TASK_MAP, 0, 2, q.agent->id));
    ATF_CHECK_EQ(hd_sched_ended(s, job, HD_TASK_MAP, 0, 1, first, HD_OUTCOME_DONE, 1),
                 HD_VERDICT_STALE);
    ATF_CHECK_EQ(end(s, &q, HD_OUTCOME_DONE, 1), HD_VERDICT_JOB_DONE);
    hd_sched_free(s);
}

ATF_TC_WITHOUT_HEAD(jobs_share_the_slots);
ATF_TC_BODY(jobs_share_the_slots, tc)
{
    struct hd_sched *s = hd_sched_new();
    struct hd_placement p;
    hd_sched_agent_add(s, 100, 0, 8);
    struct hd_sched_job *a = add_job(s, 1, 100, 0, 1);
    struct hd_sched_job *b = add_job(s, 2, 100, 0, 1);
    while (hd_sched_place(s, 0, &p)) {
    }
    ATF_CHECK_EQ(a->running[HD_TASK_MAP], 4);
    ATF_CHECK_EQ(b->running[HD_TASK_MAP], 4);
    hd_sched_job_close(a);
    hd_sched_job_remove(s, a);
    while (hd_sched_place(s, 0, &p)) {
    }
    ATF_CHECK_EQ(b->running[HD_TASK_MAP], 8);
    hd_sched_free(s);
}

/* Agents die and come, attempts fail: no slot is lost, nothing runs twice, the job ends. */
ATF_TC_WITHOUT_HEAD(a_job_ends_whatever_dies);
ATF_TC_BODY(a_job_ends_whatever_dies, tc)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct hd_prng prng = {seed};
        struct hd_sched *s = hd_sched_new();
        struct hd_placement running[64];
        uint64_t agents[64];
        size_t running_count = 0;
        uint64_t next_agent = 100;
        for (uint32_t i = 0; i < 3; i++) {
            hd_sched_agent_add(s, ++next_agent, i, 2);
        }
        struct hd_sched_job *job = add_job(s, 1, 12, 3, 3);
        enum hd_verdict v = HD_VERDICT_GO_ON;
        int64_t now = 0;
        for (int step = 0; v == HD_VERDICT_GO_ON && step < 20000; step++) {
            struct hd_placement p;
            now += 10;
            while (hd_sched_place(s, now, &p)) {
                for (size_t i = 0; i < running_count; i++) {
                    ATF_REQUIRE(running[i].kind != p.kind || running[i].index != p.index);
                }
                ATF_REQUIRE(p.agent->used <= p.agent->slots);
                ATF_REQUIRE(running_count < 64);
                agents[running_count] = p.agent->id;
                running[running_count++] = p;
            }
            uint64_t what = hd_prng_below(&prng, 20);
            if (what == 0) { /* an agent dies, another comes */
                uint64_t dead = next_agent - hd_prng_below(&prng, 3);
                hd_sched_agent_remove(s, dead, NULL, NULL);
                for (size_t i = 0; i < running_count;) {
                    if (agents[i] == dead) {
                        running[i] = running[--running_count];
                        agents[i] = agents[running_count];
                    } else {
                        i++;
                    }
                }
                hd_sched_agent_add(s, ++next_agent, (uint32_t)hd_prng_below(&prng, 3), 2);
            } else if (running_count > 0) {
                size_t i = hd_prng_below(&prng, running_count);
                struct hd_placement done = running[i];
                uint64_t agent = agents[i];
                running[i] = running[--running_count];
                agents[i] = agents[running_count];
                enum hd_outcome o = what == 1 ? HD_OUTCOME_KILLED : HD_OUTCOME_DONE;
                v = hd_sched_ended(s, job, done.kind, done.index, done.number, agent, o, now);
                ATF_REQUIRE(v != HD_VERDICT_STALE);
            }
        }
        ATF_REQUIRE_EQ_MSG(v, HD_VERDICT_JOB_DONE, "seed %llu", (unsigned long long)seed);
        hd_sched_job_remove(s, job);
        HD_LIST_FOR(it, &s->agents)
        {
            ATF_REQUIRE_EQ(HD_LIST_ENTRY(it, struct hd_sched_agent, link)->used, 0);
        }
        hd_sched_free(s);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, maps_go_where_their_bytes_are);
    ATF_TP_ADD_TC(tp, a_map_waits_for_its_node_a_little_and_then_goes_anywhere);
    ATF_TP_ADD_TC(tp, racks_come_before_anywhere);
    ATF_TP_ADD_TC(tp, a_failed_attempt_is_repeated_elsewhere_and_four_end_the_job);
    ATF_TP_ADD_TC(tp, a_killed_attempt_does_not_count);
    ATF_TP_ADD_TC(tp, reduces_start_after_the_maps_and_lost_outputs_are_made_again);
    ATF_TP_ADD_TC(tp, only_the_newest_attempt_may_commit_or_end);
    ATF_TP_ADD_TC(tp, jobs_share_the_slots);
    ATF_TP_ADD_TC(tp, a_job_ends_whatever_dies);
    return atf_no_error();
}
