/* The sums of patience.h. */
#include "fs/client/core/patience.h"

enum { WEIGHT = 8, SAMPLE_MAX_MS = 10000 };

void hd_patience_note(struct hd_patience *p, int64_t took_ms)
{
    int64_t us = HD_MIN(HD_MAX(took_ms, (int64_t)0), (int64_t)SAMPLE_MAX_MS) * 1000;
    p->usual_us += (us - p->usual_us) / WEIGHT;
}

int hd_patience_ms(const struct hd_patience *p)
{
    int64_t ms = p->usual_us * HD_PATIENCE_TIMES / 1000;
    return (int)HD_MIN(HD_MAX(ms, (int64_t)HD_PATIENCE_MIN_MS), (int64_t)HD_PATIENCE_MAX_MS);
}

int hd_patience_stream_ms(const struct hd_patience *p)
{
    return HD_MIN(2 * hd_patience_ms(p), (int)HD_PATIENCE_MAX_MS);
}
