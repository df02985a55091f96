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

/* budget_ms < 0: never again. */
void hd_retry_init(struct hd_retry *r, int64_t now_ms, int64_t budget_ms, uint64_t seed);

/*
 * The pause before the next try, 10 ms doubling to 250 ms with jitter: who was away is found within
 * that time of coming back. -1: the budget is used up.
 */
int64_t hd_retry_next(struct hd_retry *r, int64_t now_ms);

#endif
