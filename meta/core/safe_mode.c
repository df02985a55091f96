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
    s->news = now;
}

void hd_safe_mode_block_safe(struct hd_meta *m, struct hd_blk *b)
{
    if (m->safe.starting && b->wanted_safe && !b->counted_safe) {
        b->counted_safe = true;
        m->safe.safe++;
        hd_safe_mode_news(m);
    }
}

void hd_safe_mode_block_unsafe(struct hd_meta *m, struct hd_blk *b)
{
    if (m->safe.starting && b->counted_safe) {
        b->counted_safe = false;
        m->safe.safe--;
        hd_safe_mode_news(m);
    }
}

void hd_safe_mode_news(struct hd_meta *m)
{
    m->safe.news = m->now;
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

static bool has_patience(const struct hd_meta *m)
{
    return m->o.safe_mode_patience_ms > 0 && !m->safe.manual;
}

/* There are nodes, and each has told all it has. */
static bool all_is_told(const struct hd_meta *m)
{
    uint32_t here = 0;
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        const struct hd_node *node = m->nodes.all[i];
        if (node->state == HD_NODE_DEAD || !node->registered) {
            continue;
        }
        if (!hd_node_has_reported(m, node)) {
            return false;
        }
        here++;
    }
    return here > 0;
}

static int64_t hold_ms(const struct hd_meta *m)
{
    return m->safe.safe < m->safe.total ? HD_MAX(m->o.safe_mode_extension_ms, STRAGGLERS_MS)
                                        : m->o.safe_mode_extension_ms;
}

static void lose_patience(struct hd_meta *m)
{
    if (!has_patience(m) || !hd_meta_past(m, m->safe.news, m->o.safe_mode_patience_ms) ||
        !all_is_told(m)) {
        return;
    }
    hd_meta_trace(m, "safe mode is off: no news for %lld ms, %llu of %llu blocks are missing",
                  (long long)m->o.safe_mode_patience_ms,
                  (unsigned long long)(m->safe.total - m->safe.safe),
                  (unsigned long long)m->safe.total);
    hd_safe_mode_leave(m);
}

void hd_safe_mode_check(struct hd_meta *m)
{
    struct hd_safe_mode *s = &m->safe;
    if (!s->starting) {
        return;
    }
    if (s->safe < s->threshold) {
        s->reached.v = 0;
        lose_patience(m);
        return;
    }
    if (s->reached.v == 0) {
        s->reached = m->now;
    }
    if (m->now.v >= s->reached.v + hold_ms(m)) {
        bool manual = s->manual;
        hd_safe_mode_leave(m);
        s->manual = manual;
    }
}

static int64_t seconds(int64_t ms)
{
    return ms > 0 ? (ms + 999) / 1000 : 0;
}

/* How long it may last below the threshold; "": for ever. */
static void patience_text(const struct hd_meta *m, char *out, size_t size)
{
    out[0] = '\0';
    if (has_patience(m) && all_is_told(m)) {
        snprintf(out, size,
                 ", or in %lld seconds, when nothing is heard of the %llu blocks that are missing",
                 (long long)seconds(m->safe.news.v + m->o.safe_mode_patience_ms - m->now.v),
                 (unsigned long long)(m->safe.total - m->safe.safe));
    } else if (has_patience(m)) {
        snprintf(out, size,
                 ", or %lld seconds after the last news when every data node has told what it has",
                 (long long)seconds(m->o.safe_mode_patience_ms));
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
    if (s->reached.v != 0) {
        snprintf(out, 512,
                 "%sThe minimum number of live datanodes is not required. In safe mode extension. "
                 "Safe mode will be turned off automatically in %lld seconds.",
                 blocks, (long long)seconds(s->reached.v + hold_ms(m) - m->now.v));
    } else {
        char patience[112];
        patience_text(m, patience, sizeof(patience));
        snprintf(out, 512,
                 "%sThe minimum number of live datanodes is not required. Safe mode will be turned "
                 "off automatically once the thresholds have been reached%s.",
                 blocks, patience);
    }
}

void hd_meta_disk_full(struct hd_meta *m, bool full)
{
    m->safe.disk_full = full;
}
