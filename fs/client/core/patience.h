/*
 * How long a reader waits for the first byte of one replica before it asks another one as well: a
 * few times what answers took lately, so that a cluster that is slow as a whole is not asked twice
 * for everything, and one node that hangs costs a fraction of a second. Pure, not thread safe.
 */
#ifndef HD_CLIENT_CORE_PATIENCE_H
#define HD_CLIENT_CORE_PATIENCE_H

enum {
    HD_PATIENCE_MIN_MS = 200,
    HD_PATIENCE_MAX_MS = 800,
    HD_PATIENCE_TIMES = 4,
};

struct hd_patience {
    int64_t usual_us; /* of an answer, smoothed */
};

/* An answer took so long. */
void hd_patience_note(struct hd_patience *p, int64_t took_ms);

/* Until another replica is asked for its first byte. */
int hd_patience_ms(const struct hd_patience *p);

/* Until a stream that ran is left for another one: it has proven itself, and costs more to leave.
 */
int hd_patience_stream_ms(const struct hd_patience *p);

#endif
