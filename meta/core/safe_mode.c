/* Safe mode. See safe_mode.h. */
#include "meta/core/safe_mode.h"
#include "meta/core/block_map.h"
#include "meta/core/state.h"

/* The threshold may be reached before every block is: the last reports get this long. */
enum { STRAGGLERS_MS = 3000 };

bool hd_safe_mode_on(const struct hd_meta *m)
{
    return m->safe.starting || m->safe.manual || m->safe.disk_full;
}

void hd_safe_mode_start(struct hd_meta *m, struct hd_mono_ms now)
{
    struct hd_safe_mode *s = &m->safe;
    size_t cursor = 0;
    uint64_t id;
    void *value;
    *s = (struct hd_safe_mode){.starting = true, .disk_full = s->disk_full};
    while (hd_map_next(&m->ns.blocks, &cursor, &id, &value)) {
        struct hd_blk *b = value;
        if (b->state == HD_BLOCK_COMPLETE) {
            b->wanted_safe = true;
            s->total++;
        }
    }
    s->threshold = (uint64_t)((double)s->total * m->o.safe_mode_threshold);
    s->starting = s->total > 0;
    (void)now;
}

void hd_safe_mode_block_safe(struct hd_meta *m, struct hd_blk *b)
{
    if (m->safe.starting && b->wanted_safe && !b->counted_safe) {
        b->counted_safe = true;
        m->safe.safe++;
    }
}

void hd_safe_mode_block_unsafe(struct hd_meta *m, struct hd_blk *b)
{
    if (m->safe.starting && b->counted_safe) {
        b->counted_safe = false;
        m->safe.safe--;
    }
}

void hd_safe_mode_leave(struct hd_meta *m)
{
    bool was_on = hd_safe_mode_on(m);
    bool was_starting = m->safe.starting;
    m->safe.starting = m->safe.manual = false;
    if (was_starting) {
        hd_repair_check_all(m);
    }
    if (was_on) {
        hd_meta_trace(m, "safe mode is off; %llu blocks", (unsigned long long)m->ns.blocks.count);
    }
}

void hd_safe_mode_enter(struct hd_meta *m)
{
    m->safe.manual = true;
    hd_meta_trace(m, "safe mode is on, by hand");
}

void hd_safe_mode_check(struct hd_meta *m)
{
    struct hd_safe_mode *s = &m->safe;
    if (!s->starting) {
        return;
    }
    if (s->safe < s->threshold) {
        s->reached.v = 0;
        return;
    }
    if (s->reached.v == 0) {
        s->reached = m->now;
    }
    int64_t hold_ms = s->safe < s->total ? HD_MAX(m->o.safe_mode_extension_ms, STRAGGLERS_MS)
                                         : m->o.safe_mode_extension_ms;
    if (m->now.v >= s->reached.v + hold_ms) {
        bool manual = s->manual;
        hd_safe_mode_leave(m);
        s->manual = manual;
    }
}

void hd_safe_mode_tip(const struct hd_meta *m, char *out)
{
    const struct hd_safe_mode *s = &m->safe;
    if (s->disk_full) {
        snprintf(out, 512,
                 "The metadata disk is full: changes are refused until there is room again below "
                 "[meta] dir. Reads go on. Safe mode will be turned off automatically.");
        return;
    }
    if (!s->starting) {
        snprintf(out, 512,
                 "It was turned on manually. Use \"hdfs dfsadmin -safemode leave\" to turn "
                 "safe mode off.");
        return;
    }
    char blocks[256];
    if (s->safe < s->threshold) {
        snprintf(
            blocks, sizeof(blocks),
            "The reported blocks %llu needs additional %llu blocks to reach the threshold %.4f "
            "of total blocks %llu.\n",
            (unsigned long long)s->safe, (unsigned long long)(s->threshold - s->safe),
            m->o.safe_mode_threshold, (unsigned long long)s->total);
    } else {
        snprintf(blocks, sizeof(blocks),
                 "The reported blocks %llu has reached the threshold %.4f of total blocks %llu. ",
                 (unsigned long long)s->safe, m->o.safe_mode_threshold,
                 (unsigned long long)s->total);
    }
    int64_t left_ms = s->reached.v + m->o.safe_mode_extension_ms - m->now.v;
    if (s->reached.v != 0) {
        snprintf(out, 512,
                 "%sThe minimum number of live datanodes is not required. In safe mode extension. "
                 "Safe mode will be turned off automatically in %lld seconds.",
                 blocks, (long long)(left_ms > 0 ? (left_ms + 999) / 1000 : 0));
    } else {
        snprintf(out, 512,
                 "%sThe minimum number of live datanodes is not required. Safe mode will be turned "
                 "off automatically once the thresholds have been reached.",
                 blocks);
    }
}

void hd_meta_disk_full(struct hd_meta *m, bool full)
{
    m->safe.disk_full = full;
}
