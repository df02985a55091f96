/* The decisions of chain.h. */
#include "fs/client/core/chain.h"

uint32_t hd_ack_status(const struct hd_ack *a, size_t i)
{
    if (a->flag_count == a->reply_count && i < a->flag_count) {
        return a->flags[i] & 0xfu;
    }
    return i < a->reply_count ? (uint32_t)a->replies[i] : HD_ACK_SUCCESS;
}

int hd_ack_bad_node(const struct hd_ack *a, size_t node_count)
{
    for (size_t i = 0; i < HD_MIN(a->reply_count, node_count); i++) {
        if (hd_ack_status(a, i) != HD_ACK_SUCCESS) {
            return (int)i;
        }
    }
    return -1;
}

enum hd_chain_plan hd_chain_plan_of(const struct hd_chain_state *s)
{
    if (s->fresh && !s->flushed) {
        return HD_CHAIN_RESTART; /* bounded by the nodes meta can still offer */
    }
    if (s->node_count == 0 || s->recoveries >= HD_CHAIN_RECOVERIES_MAX) {
        return HD_CHAIN_GIVE_UP;
    }
    return s->stage == HD_CHAIN_CLOSE ? HD_CHAIN_FINISH : HD_CHAIN_RECOVER;
}

int hd_chain_silence_next_ms(int silence_ms)
{
    return HD_MIN(silence_ms * 2, (int)HD_CHAIN_SILENCE_MAX_MS);
}

bool hd_chain_wants_node(const struct hd_chain_state *s)
{
    if (s->replication < 3 || s->node_count == 0 || s->stage == HD_CHAIN_CLOSE) {
        return false;
    }
    if (s->node_count <= s->replication / 2) {
        return true;
    }
    return (s->appended || s->flushed) && s->replication > s->node_count;
}
