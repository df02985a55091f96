/*
 * When a call to meta is tried again, and after which pause. Pure: time and seed come in.
 */
#ifndef HD_CLIENT_CORE_RETRY_H
#define HD_CLIENT_CORE_RETRY_H

#include "fs/base/prng.h"

enum hd_retry_kind {
    HD_RETRY_NO,   /* the answer stands */
    HD_RETRY_SAME, /* no answer came, or the server does not serve: again, perhaps elsewhere, with
                      the same call id, since it may have run */
    HD_RETRY_NEW,  /* the server said "later": again as a new call */
};

/*
 * err is the outcome of a call; connection: it came from the connection and not from the server.
 * safe_mode: whether a refusal by safe mode is worth waiting for.
 */
enum hd_retry_kind hd_retry_kind_of(int err, bool connection, bool safe_mode);

struct hd_retry {
    int64_t deadline_ms;
    int64_t pause_ms;
    struct hd_prng prng;
};

/*
 * An absence of the server, seen by many calls: it is waited out once, not by each of them. A call
 * that begins when the server is away already waits only for what is left of its budget, yet for
 * HD_AWAY_LEAST_MS.
 */
struct hd_away {
    int64_t since_ms; /* of the first failure; 0: the server answers */
    int64_t seen_ms;  /* of the last one */
};

enum { HD_AWAY_LEAST_MS = 3000, HD_AWAY_FORGOTTEN_MS = 5000 };

/* A try ended: the server did not answer, or it did. */
void hd_away_note(struct hd_away *a, bool answered, int64_t now_ms);

/* The budget of a call that begins now, of budget_ms (< 0 stays). */
int64_t hd_away_budget_ms(const struct hd_away *a, int64_t budget_ms, int64_t now_ms);

/* budget_ms < 0: never again. */
void hd_retry_init(struct hd_retry *r, int64_t now_ms, int64_t budget_ms, uint64_t seed);

/*
 * The pause before the next try, 10 ms doubling to 250 ms with jitter: who was away is found within
 * that time of coming back. -1: the budget is used up.
 */
int64_t hd_retry_next(struct hd_retry *r, int64_t now_ms);

#endif
