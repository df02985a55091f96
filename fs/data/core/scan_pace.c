/* The pace of scanning. See scan_pace.h. */
#include "fs/data/core/scan_pace.h"

enum { NS_PER_S = 1000000000, REST_FACTOR = 3 };

uint64_t hd_scan_wait_ns(const struct hd_scan_limits *l, uint64_t bytes, uint64_t elapsed_ns,
                         bool hurry)
{
    if (hurry || l->rate_bytes == 0) {
        return 0;
    }
    double due_ns = (double)bytes * NS_PER_S / (double)l->rate_bytes;
    uint64_t by_rate = due_ns > (double)elapsed_ns ? (uint64_t)(due_ns - (double)elapsed_ns) : 0;
    uint64_t by_load = elapsed_ns * REST_FACTOR;
    return HD_MAX(by_rate, by_load);
}

uint64_t hd_scan_next_pass_ms(const struct hd_scan_limits *l, uint64_t begin_ms, uint64_t now_ms)
{
    if (begin_ms == 0 || begin_ms > now_ms) { /* the clock was set back: better too early */
        return now_ms;
    }
    return begin_ms + l->period_ms - l->period_ms / 10;
}

uint64_t hd_scan_pass_ms(const struct hd_scan_limits *l, uint64_t bytes)
{
    if (l->rate_bytes == 0) {
        return UINT64_MAX;
    }
    return (uint64_t)((double)bytes * 1000 / (double)l->rate_bytes);
}
