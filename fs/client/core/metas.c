/* The choice of metas.h. */
#include "fs/client/core/metas.h"

bool hd_metas_add(struct hd_metas *m, const char *address)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->address[i], address) == 0) {
            return true;
        }
    }
    if (m->count == HD_METAS_MAX || strlen(address) >= HD_META_ADDRESS_BYTES) {
        return false;
    }
    snprintf(m->address[m->count++], HD_META_ADDRESS_BYTES, "%s", address);
    return true;
}

enum hd_meta_role hd_meta_role_of(const char *role)
{
    if (role == NULL) {
        return HD_META_SILENT;
    }
    return strcmp(role, "primary") == 0 ? HD_META_PRIMARY : HD_META_STANDBY;
}

/* The primary of the highest epoch at or above `floor`; the current one before others; or count. */
static size_t best_primary(const struct hd_metas *m, const struct hd_meta_answer *a, uint64_t floor)
{
    size_t best = m->count;
    for (size_t n = 0; n < m->count; n++) {
        size_t i = (m->current + n) % m->count;
        if (a[i].role == HD_META_PRIMARY && a[i].epoch >= floor &&
            (best == m->count || a[i].epoch > a[best].epoch)) {
            best = i;
        }
    }
    return best;
}

/* The next in turn that is foreign; the current one when there is no other. */
static size_t next_foreign(const struct hd_metas *m, const struct hd_meta_answer *a)
{
    for (size_t n = 1; n < m->count; n++) {
        size_t i = (m->current + n) % m->count;
        if (a[i].role == HD_META_FOREIGN) {
            return i;
        }
    }
    return m->current;
}

size_t hd_metas_choose(const struct hd_metas *m, const struct hd_meta_answer *answers, bool refused)
{
    if (m->count == 0) {
        return 0;
    }
    size_t best = best_primary(m, answers, refused ? m->epoch : m->epoch + 1);
    if (best < m->count) {
        return best;
    }
    return refused && m->epoch == 0 ? next_foreign(m, answers) : m->current;
}

bool hd_metas_is_settled(const struct hd_metas *m, const struct hd_meta_answer *answers,
                         const bool *heard)
{
    bool all = true;
    bool higher = false;
    for (size_t i = 0; i < m->count; i++) {
        all = all && heard[i];
        higher = higher || (heard[i] && m->epoch != 0 && answers[i].role == HD_META_PRIMARY &&
                            answers[i].epoch > m->epoch);
    }
    return all || higher;
}

bool hd_metas_admit(struct hd_metas *m, uint64_t epoch)
{
    if (epoch == 0) {
        return m->epoch == 0;
    }
    if (epoch < m->epoch) {
        return false;
    }
    m->epoch = epoch;
    return true;
}

bool hd_life_lost(const struct hd_life *seen, const struct hd_life_news *now)
{
    int64_t id = seen->state_id;
    if (id == 0 || id <= seen->synced_id) {
        return false;
    }
    if (seen->incarnation != 0 && now->incarnation != 0) {
        return seen->incarnation != now->incarnation && (uint64_t)id >= now->first_txid;
    }
    return now->txid < (uint64_t)id || (seen->epoch != 0 && now->epoch > seen->epoch);
}
