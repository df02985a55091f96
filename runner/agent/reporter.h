/*
 * A task's stderr: lines beginning with the reporter prefix count and tell, the rest is its log, of
 * which the end is kept.
 *
 *     reporter:counter:GROUP,COUNTER,AMOUNT      reporter:status:TEXT
 */
#ifndef HD_RUNNER_AGENT_REPORTER_H
#define HD_RUNNER_AGENT_REPORTER_H

#include "fs/base/buf.h"

enum {
    HD_REPORTER_TAIL_BYTES = 64 * 1024,
    HD_REPORTER_COUNTERS_MAX = 120, /* mapreduce.job.counters.limit */
    HD_REPORTER_TEXT_BYTES = 256,
};

struct hd_counter {
    char group[HD_REPORTER_TEXT_BYTES];
    char name[HD_REPORTER_TEXT_BYTES];
    int64_t value;
};

struct hd_reporter {
    char prefix[64];             /* "reporter:" */
    struct hd_counter *counters; /* heap, owned */
    size_t counter_count;
    char status[HD_REPORTER_TEXT_BYTES];
    struct hd_buf tail; /* the end of the log */
    bool tail_cut;      /* something before it was dropped */
};

void hd_reporter_init(struct hd_reporter *r, const char *prefix);
void hd_reporter_done(struct hd_reporter *r);

/* One line of stderr (an hd_line_fn with the reporter as ctx). Bad reports are kept as log lines.
 */
int hd_reporter_line(void *reporter, const uint8_t *line, size_t size);

/* Adds to a counter. False when there are too many. */
bool hd_reporter_count(struct hd_reporter *r, const char *group, const char *name, int64_t amount);

#endif
