/*
 * What a drill saw, over time: the cluster's own account of its health, asked for every 100 ms by
 * a thread, and marks that the drill sets. Times are milliseconds since the start.
 */
#ifndef HD_TOOLS_DRILL_TIMELINE_H
#define HD_TOOLS_DRILL_TIMELINE_H

#include "tools/cluster.h"

/* One look at the cluster. All zero but answers = false: no meta answered as primary. */
struct hd_sample {
    int64_t t_ms;
    bool answers;
    bool safe_mode;
    bool exposed; /* changes are acknowledged without the secondary that should have them too */
    uint64_t under, missing, corrupt;
    uint32_t live, stale, dead; /* data nodes; stale ones are live ones not heard of for a while */
    int agents;                 /* up; -1: no manager, or it does not answer */
    bool secondary_seen;        /* called within the last seconds, or there is none */
    uint64_t secondary_lag;     /* txids it is behind */
};

struct hd_mark {
    int64_t t_ms;
    char kind[16]; /* "fault", "heal", "noticed", ... */
    char text[200];
};

struct hd_timeline;

int hd_timeline_start(const struct hd_cluster *c, struct hd_timeline **ret);
void hd_timeline_stop(struct hd_timeline *t); /* ends the thread; the samples stay */
void hd_timeline_free(struct hd_timeline *t); /* stops; takes NULL */

int64_t hd_timeline_now_ms(const struct hd_timeline *t);
void hd_timeline_mark(struct hd_timeline *t, const char *kind, const char *text);

/* The newest sample; one without answers before the first. Any thread. */
struct hd_sample hd_timeline_last(struct hd_timeline *t);

/* Copies of all samples (only those that differ from the one before) and marks, on the heap. */
int hd_timeline_samples(struct hd_timeline *t, struct hd_sample **ret, size_t *ret_count);
int hd_timeline_marks(struct hd_timeline *t, struct hd_mark **ret, size_t *ret_count);

/* Every block has all its copies and names are served. */
bool hd_sample_whole(const struct hd_sample *s);

/* Whole, and every daemon that was there in `before` is there again. */
bool hd_sample_as_before(const struct hd_sample *s, const struct hd_sample *before);

/*
 * When the samples first showed that something is not as in `before`, from from_ms on; -1: never.
 * And when they were last not whole, that is, from when on every block had all its copies; from_ms
 * when they always had.
 */
int64_t hd_samples_noticed_ms(const struct hd_sample *list, size_t count, int64_t from_ms,
                              const struct hd_sample *before);
int64_t hd_samples_mended_ms(const struct hd_sample *list, size_t count, int64_t from_ms);

#endif
