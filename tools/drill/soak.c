/*
 * howdah drill soak: drills drawn at random, under load, one after the other, until the time is
 * over or the first that does not hold. The seed decides the order and each drill's own seed, so
 * `soak --seed S` draws the same again.
 */
#include "tools/drill/drill.h"
#include "tools/drill/verbs.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LEAST_FOR_MS = 2000, MOST_FOR_MS = 20000, REFUSALS_MAX = 5 };

struct soak {
    uint64_t drills, refused, acked, lost, wrong;
    double longest_s[HD_CLASSES];
};

static void add(struct soak *s, const struct hd_drill_result *r)
{
    s->drills++;
    s->acked += r->load.acked;
    s->lost += r->verdict.lost;
    s->wrong += r->verdict.wrong + r->load.wrong;
    for (int k = 0; k < HD_CLASSES; k++) {
        s->longest_s[k] = HD_MAX(s->longest_s[k], r->load.longest_stall_s[k]);
    }
}

static int run_one(const struct hd_drill_args *a, struct hd_prng *prng, struct soak *s,
                   char last[64])
{
    struct hd_drill_result result = {0};
    const struct hd_drill *d = &hd_drills[hd_prng_below(prng, hd_drill_count)];
    int64_t for_ms = LEAST_FOR_MS + (int64_t)hd_prng_below(prng, MOST_FOR_MS - LEAST_FOR_MS);
    uint64_t seed = (hd_prng_next(prng) & INT32_MAX) | 1;
    struct hd_drill_options o = {.dir = a->dir,
                                 .name = d->name,
                                 .load = a->load,
                                 .for_ms = a->for_given ? a->for_ms : for_ms,
                                 .seed = seed,
                                 .yes = true,
                                 .json = true}; /* progress to stderr */
    fprintf(stderr, "\n== %" PRIu64 ": %s, seed %" PRIu64 "\n", s->drills + 1, d->name, seed);
    int code = hd_drill_run(&o, &result);
    if (code == HD_DRILL_REFUSED) {
        s->refused++;
    } else {
        add(s, &result);
        if (!a->json) {
            hd_drill_show_result(&result, false);
        }
    }
    snprintf(last, 64, "%s", result.id[0] != '\0' ? result.id : d->name);
    hd_drill_result_done(&result);
    return code;
}

static void print_soak(const struct hd_drill_args *a, const struct soak *s, uint64_t seed,
                       const char *last, int code)
{
    if (a->json) {
        hd_drill_print_json(json_pack(
            "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:{s:f, s:f, s:f}}", "drill", "soak",
            "held", code == HD_DRILL_HELD, "seed", (json_int_t)seed, "drills",
            (json_int_t)s->drills, "refused", (json_int_t)s->refused, "acked", (json_int_t)s->acked,
            "lost", (json_int_t)s->lost, "wrong", (json_int_t)s->wrong, "last", last,
            "longest_stall_s", "read", s->longest_s[HD_CLASS_READ], "write",
            s->longest_s[HD_CLASS_WRITE], "metadata", s->longest_s[HD_CLASS_METADATA]));
        return;
    }
    printf("\nSoak  %s: %" PRIu64 " drills (%" PRIu64 " refused), %" PRIu64
           " acknowledged operations, %" PRIu64 " lost, %" PRIu64 " wrong; seed %" PRIu64 "\n",
           code == HD_DRILL_HELD ? "HELD" : "ENDED", s->drills, s->refused, s->acked, s->lost,
           s->wrong, seed);
    if (code != HD_DRILL_HELD) {
        printf("  last  %s\n", last);
    }
}

int hd_drill_soak(const struct hd_drill_args *a)
{
    uint64_t seed = a->seed;
    struct soak s = {0};
    char last[64] = "";
    int code = HD_DRILL_HELD;
    uint64_t refused_in_a_row = 0;
    int64_t end_ms = hd_clock_mono_ms().v + (int64_t)(a->hours * 3600e3);
    if (!a->yes) {
        return hd_cmd_usage(a->self, "soak: asks nothing on its way, so --yes is expected");
    }
    if (seed == 0) {
        hd_random_bytes(&seed, sizeof(seed));
        seed = (seed & INT32_MAX) | 1;
    }
    fprintf(stderr, "soak for %.2f h, seed %" PRIu64 "\n", a->hours, seed);
    struct hd_prng prng = {.state = seed};
    while (code == HD_DRILL_HELD && hd_clock_mono_ms().v < end_ms) {
        code = run_one(a, &prng, &s, last);
        refused_in_a_row = code == HD_DRILL_REFUSED ? refused_in_a_row + 1 : 0;
        if (code == HD_DRILL_REFUSED && refused_in_a_row < REFUSALS_MAX) {
            code = HD_DRILL_HELD; /* one that this cluster cannot do */
        }
    }
    print_soak(a, &s, seed, last, code);
    return code;
}
