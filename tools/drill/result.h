/* What a drill found out: as JSON (its history, --json) and as text. */
#ifndef HD_TOOLS_DRILL_RESULT_H
#define HD_TOOLS_DRILL_RESULT_H

#include "tools/drill/load.h"
#include "tools/drill/timeline.h"
#include "tools/drill/verdict.h"

#include <jansson.h>

struct hd_drill_result {
    char drill[32];
    char id[64];
    char target[80];  /* "data-2", "data-1, data-3", "the cluster" */
    char outcome[16]; /* "held", "not held", "refused", "aborted", "failed" */
    char reason[600]; /* a sentence, unless it held */
    uint64_t seed;
    int64_t began_ms; /* wall time */
    double for_s;
    double noticed_s;  /* from the fault until the cluster's status showed it; < 0: never did */
    double mended_s;   /* from the fault until every block had all its copies; < 0: never */
    double healthy_s;  /* from the fault until everything was as before; < 0: never */
    double fault_at_s; /* on the time line */
    double heal_at_s;
    bool judged; /* the verdict was found */
    struct hd_verdict verdict;
    struct hd_load_result load;
    char note[400];            /* what a reader should know ("the job was run again") */
    char goals[400];           /* those that were missed; "" */
    struct hd_sample *samples; /* heap, owned */
    size_t sample_count;
    struct hd_mark *marks; /* heap, owned */
    size_t mark_count;
};

void hd_drill_result_done(struct hd_drill_result *r);

bool hd_drill_result_held(const struct hd_drill_result *r);

/* The summary --json ends with; whole adds everything the history keeps. A new reference. */
json_t *hd_drill_result_json(const struct hd_drill_result *r, bool whole);

/* The lines under "Verdict". */
void hd_drill_result_print(const struct hd_drill_result *r, FILE *out);

#endif
