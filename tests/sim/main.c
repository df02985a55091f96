/*
 * howdah-sim: runs seeds.
 *
 *   sim --seeds N [--first S]   N seeds, every eighth twice; one line at the end
 *   sim --hours H [--first S]   as many seeds as make up so many simulated hours
 *   sim --seed S [--verbose]    one seed, with its trace's hash
 *
 * A seed draws the size of the cluster and its faults, runs them under load, ends the faults and
 * waits until all is well again. Exit 1 at the first seed that fails, with a line that repeats it.
 */
#include "tests/sim/client.h"
#include "tests/sim/node.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

enum { HEAL_US = 240000000, TWICE_EVERY = 8, EX_USAGE = 64 };

struct outcome {
    uint64_t hash, events, operations;
    int64_t us;
};

static void name_actor(struct sim *s, int actor, const char *kind, int n)
{
    struct sim_actor *a = &s->actors[actor];
    a->index = actor;
    snprintf(a->name, sizeof(a->name), "%s%d", kind, n);
    snprintf(a->ip, sizeof(a->ip), "10.0.0.%d", actor + 1);
}

static void build(struct sim *s)
{
    s->node_count = (int)sim_between(s, 3, SIM_NODES_MAX);
    s->client_count = (int)sim_between(s, 1, SIM_CLIENTS_MAX);
    s->pair = sim_chance(s, 600000);
    for (int i = 0; i < SIM_METAS_MAX; i++) {
        name_actor(s, SIM_META + i, "meta", i);
        s->metas[i] = i == 0 || s->pair ? sim_meta_new(s, i, i == 0) : NULL;
    }
    for (int n = 0; n < s->node_count; n++) {
        name_actor(s, SIM_NODE + n, "data", n);
        s->nodes[n] = calloc(1, sizeof(*s->nodes[n]));
        hd_assert(s->nodes[n] != NULL);
        s->nodes[n]->index = n;
        s->nodes[n]->volumes = (int)sim_between(s, 1, SIM_VOLUMES_MAX);
    }
    for (int i = 0; i < s->client_count; i++) {
        struct sim_client *c = calloc(1, sizeof(*c));
        hd_assert(c != NULL);
        c->sim = s;
        c->actor = SIM_NODE + s->node_count + i;
        name_actor(s, c->actor, "client", i);
        snprintf(c->root, sizeof(c->root), "/c%d", i);
        s->clients[i] = c;
    }
    name_actor(s, sim_operator(s), "operator", 0);
    sim_start(s, sim_operator(s));
    sim_meta_start(s, 0);
    if (s->pair) {
        sim_meta_start(s, 1);
    }
    for (int n = 0; n < s->node_count; n++) {
        sim_node_start(s, n);
    }
    for (int i = 0; i < s->client_count; i++) {
        sim_client_start(s, i);
    }
}

static void tear_down(struct sim *s)
{
    for (int n = 0; n < s->node_count; n++) {
        while (s->nodes[n]->replicas != NULL) {
            struct sim_replica *next = s->nodes[n]->replicas->next;
            free(s->nodes[n]->replicas);
            s->nodes[n]->replicas = next;
        }
        sim_node_forget(s, n);
        free(s->nodes[n]);
    }
    for (int i = 0; i < s->client_count; i++) {
        free(s->clients[i]);
    }
    for (int i = 0; i < SIM_METAS_MAX; i++) {
        sim_meta_free(s->metas[i]);
    }
    sim_free(s);
}

static struct outcome run(uint64_t seed, bool verbose)
{
    struct sim *s = sim_new(seed, verbose);
    build(s);
    sim_run(s, 3000000, NULL);
    sim_faults_start(s);
    sim_run(s, s->now_us + sim_between(s, 10000000, 60000000), NULL);
    s->stopping = true;
    sim_faults_heal(s);
    int64_t healed = s->now_us;
    if (!sim_run(s, healed + HEAL_US, sim_settled)) {
        sim_fail(s, "not well %d s after the last fault: %s", HEAL_US / 1000000, sim_unsettled(s));
    }
    sim_check_end(s);
    sim_trace(s, "well after %lld us", (long long)(s->now_us - healed));
    struct outcome o = {s->hash, s->events, s->operations, s->now_us};
    tear_down(s);
    return o;
}

static int one(uint64_t seed, bool verbose)
{
    struct outcome o = run(seed, verbose);
    printf("seed %llu: trace %016llx, %llu events, %llu operations, %.1f simulated seconds\n",
           (unsigned long long)seed, (unsigned long long)o.hash, (unsigned long long)o.events,
           (unsigned long long)o.operations, (double)o.us / 1e6);
    return 0;
}

static int many(uint64_t first, uint64_t count, double hours)
{
    uint64_t operations = 0;
    int64_t us = 0;
    uint64_t seed = first;
    for (; seed - first < count || (double)us < hours * 3.6e9; seed++) {
        struct outcome o = run(seed, false);
        if (seed % TWICE_EVERY == 0 && run(seed, false).hash != o.hash) {
            printf("FAIL seed %llu: two runs have different traces; repeat: tests/sim/run --seed "
                   "%llu --verbose\n",
                   (unsigned long long)seed, (unsigned long long)seed);
            return 1;
        }
        operations += o.operations;
        us += o.us;
    }
    printf("seeds %llu to %llu: all well, %llu operations, %.1f simulated hours\n",
           (unsigned long long)first, (unsigned long long)(seed - 1),
           (unsigned long long)operations, (double)us / 3.6e9);
    return 0;
}

static int usage(void)
{
    fputs("usage: sim --seeds N | --hours H [--first S] | --seed S [--verbose]\n", stderr);
    return EX_USAGE;
}

int main(int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t count = 0;
    uint64_t seed = 0;
    double hours = 0;
    bool single = false;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (value == NULL) {
            return usage();
        } else if (strcmp(argv[i], "--seeds") == 0) {
            count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--hours") == 0) {
            hours = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[++i], NULL, 10);
            single = true;
        } else {
            return usage();
        }
    }
    sim_catch_crashes();
    if (single) {
        return one(seed, verbose);
    }
    return count > 0 || hours > 0 ? many(first, count, hours) : usage();
}
