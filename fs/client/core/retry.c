/* The schedule of retry.h. */
#include "fs/client/core/retry.h"
#include "fs/base/error.h"

enum { FIRST_PAUSE_MS = 10, MAX_PAUSE_MS = 250 };

enum hd_retry_kind hd_retry_kind_of(int err, bool connection, bool safe_mode)
{
    if (err >= 0) {
        return HD_RETRY_NO;
    }
    if (connection) {
        return HD_RETRY_SAME;
    }
    switch (-err) {
    case HD_E_RETRIABLE:
    case HD_E_BUSY_RETRY:
        return HD_RETRY_NEW;
    case HD_E_STANDBY:
    case HD_E_FENCED:
        return HD_RETRY_SAME;
    case HD_E_SAFE_MODE:
        return safe_mode ? HD_RETRY_NEW : HD_RETRY_NO;
    default:
        return HD_RETRY_NO;
    }
}

static bool is_over(const struct hd_away *a, int64_t now_ms)
{
    return a->since_ms == 0 || now_ms - a->seen_ms > HD_AWAY_FORGOTTEN_MS;
}

void hd_away_note(struct hd_away *a, bool answered, int64_t now_ms)
{
    if (answered) {
        a->since_ms = 0;
        return;
    }
    if (is_over(a, now_ms)) {
        a->since_ms = now_ms;
    }
    a->seen_ms = now_ms;
}

int64_t hd_away_budget_ms(const struct hd_away *a, int64_t budget_ms, int64_t now_ms)
{
    if (is_over(a, now_ms) || budget_ms <= HD_AWAY_LEAST_MS) {
        return budget_ms;
    }
    return HD_MAX(a->since_ms + budget_ms - now_ms, (int64_t)HD_AWAY_LEAST_MS);
}

void hd_retry_init(struct hd_retry *r, int64_t now_ms, int64_t budget_ms, uint64_t seed)
{
    *r = (struct hd_retry){
        .deadline_ms = budget_ms < 0 ? INT64_MIN : now_ms + budget_ms,
        .pause_ms = FIRST_PAUSE_MS,
        .prng = {seed},
    };
}

int64_t hd_retry_next(struct hd_retry *r, int64_t now_ms)
{
    if (now_ms >= r->deadline_ms) {
        return -1;
    }
    int64_t pause = r->pause_ms;
    r->pause_ms = HD_MIN(pause * 2, (int64_t)MAX_PAUSE_MS);
    pause -= (int64_t)hd_prng_below(&r->prng, (uint64_t)(pause / 4 + 1)); /* callers spread out */
    return HD_MIN(pause, r->deadline_ms - now_ms);
}
