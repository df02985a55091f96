/* Leaving while meta is away. See leave.h. */
#include "fs/client/leave.h"
#include "fs/base/types.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"

bool hd_leave_given_up(struct hd_leave *l)
{
    return atomic_load(&l->given_up);
}

int hd_leave_timeout_ms(const struct hd_leave *l, int timeout_ms)
{
    if (atomic_load(&l->since_ms) == 0) {
        return timeout_ms;
    }
    int patience = atomic_load(&l->patience_ms);
    return timeout_ms > 0 ? HD_MIN(timeout_ms, patience) : patience;
}

/* For how long nobody has answered, of the time from begin_ms on. */
static int64_t silence_ms(const struct hd_leave *l, int64_t begin_ms)
{
    int64_t from = HD_MAX(atomic_load(&l->since_ms), atomic_load(&l->answered_ms));
    return hd_clock_mono_ms().v - HD_MAX(from, begin_ms);
}

void hd_leave_note(struct hd_leave *l, bool answered, int64_t began_ms)
{
    long long failing_ms = 0;
    if (atomic_load(&l->since_ms) == 0) {
        return;
    }
    if (answered) {
        atomic_store(&l->answered_ms, hd_clock_mono_ms().v);
        atomic_store(&l->failing_ms, 0);
        return;
    }
    if (atomic_compare_exchange_strong(&l->failing_ms, &failing_ms, began_ms)) {
        failing_ms = began_ms;
    }
    if (silence_ms(l, failing_ms) >= atomic_load(&l->patience_ms)) {
        atomic_store(&l->given_up, true);
    }
}

void hd_leave_cut(struct hd_session *s)
{
    char address[HD_META_ADDRESS_BYTES];
    hd_failover_address(&s->failover, address);
    pthread_mutex_lock(&s->lock);
    HD_LIST_FOR(it, &s->users)
    {
        (void)hd_rpc_client_redirect(HD_LIST_ENTRY(it, struct hd_fs, link)->rpc, address);
    }
    pthread_mutex_unlock(&s->lock);
}

void hd_fs_leave(struct hd_fs *fs, int patience_ms)
{
    struct hd_session *s = fs->session;
    struct hd_leave *l = &s->leave;
    long long never = 0;
    atomic_store(&l->patience_ms, patience_ms);
    if (!atomic_compare_exchange_strong(&l->since_ms, &never, hd_clock_mono_ms().v) &&
        silence_ms(l, 0) >= patience_ms) {
        hd_leave_cut(s);
    }
}
