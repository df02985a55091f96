/*
 * Calls to meta: retries, call ids, and making durable what was answered. Which meta they go to is
 * failover.c's.
 */
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"

#include "howdah.pb-c.h"

#include <errno.h>

int hd_call_once(struct hd_fs *fs, const char *protocol, const char *method,
                 const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                 struct hd_arena *arena, ProtobufCMessage **ret)
{
    return hd_call_within(fs, protocol, method, request, type, -1, arena, ret);
}

/* One try, as long as the connection allows. */
static int try_call(struct hd_fs *fs, struct hd_rpc_args *args, ProtobufCMessage **ret,
                    int64_t *ret_state_id)
{
    struct hd_session *s = fs->session;
    struct hd_call_mark mark;
    uint64_t tag = 0;
    int64_t state_id = 0;
    int64_t began_ms = hd_clock_mono_ms().v;
    if (hd_leave_given_up(&s->leave)) {
        return hd_fail(-HD_E_CLOSED, "%s: not asked, no meta answers any more", args->method);
    }
    args->ret_tag = &tag;
    args->timeout_ms = hd_leave_timeout_ms(&s->leave, args->timeout_ms);
    hd_failover_begin(s, &mark);
    int err = hd_rpc_call(fs->rpc, args, ret, &state_id);
    hd_failover_end(s, &mark);
    bool silent = hd_rpc_is_connection_error(err) || err == -HD_E_STANDBY || err == -HD_E_FENCED;
    hd_failover_note_answer(&s->failover, !silent);
    hd_leave_note(&s->leave, !silent, began_ms);
    if (state_id > 0) {
        hd_failover_note(&s->failover, tag, state_id);
    }
    *ret_state_id = state_id;
    return err;
}

int hd_call_briefly(struct hd_fs *fs, const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *type, int timeout_ms, struct hd_arena *arena,
                    ProtobufCMessage **ret)
{
    struct hd_rpc_args args = {
        .method = method,
        .request = request,
        .response_type = type,
        .arena = arena,
        .timeout_ms = timeout_ms,
        .call_id = -1,
    };
    int64_t state_id;
    return try_call(fs, &args, ret, &state_id);
}

/* Whether a try that failed is worth another, of the same call or of a new one. */
static enum hd_retry_kind kind_of(const struct hd_session *s, const struct hd_call_hooks *hooks,
                                  int err)
{
    if (hooks->again != NULL && err < 0 && hooks->again(hooks->ctx, err)) {
        return HD_RETRY_NEW;
    }
    return hd_retry_kind_of(err, hd_rpc_is_connection_error(err), s->retry_safe_mode);
}

int hd_call_within(struct hd_fs *fs, const char *protocol, const char *method,
                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                   int budget_ms, struct hd_arena *arena, ProtobufCMessage **ret)
{
    struct hd_call_hooks hooks = {0};
    return hd_call_hooked(fs, protocol, method, request, type, budget_ms, &hooks, arena, ret);
}

int hd_call_hooked(struct hd_fs *fs, const char *protocol, const char *method,
                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                   int budget_ms, struct hd_call_hooks *hooks, struct hd_arena *arena,
                   ProtobufCMessage **ret)
{
    struct hd_session *s = fs->session;
    struct hd_rpc_args args = {
        .method = method,
        .protocol = protocol,
        .request = request,
        .response_type = type,
        .arena = arena,
        .call_id = hd_rpc_call_id_new(fs->rpc),
    };
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, hd_failover_budget_ms(&s->failover, budget_ms),
                  (uint64_t)now ^ (uintptr_t)&args);
    for (;;) {
        uint64_t switches = hd_failover_switches(&s->failover);
        int err = hooks->before != NULL ? hooks->before(hooks->ctx, retry.deadline_ms) : 0;
        err = err < 0 ? err : try_call(fs, &args, ret, &hooks->state_id);
        enum hd_retry_kind kind = kind_of(s, hooks, err);
        if (kind == HD_RETRY_NO || budget_ms < 0 || hd_leave_given_up(&s->leave)) {
            return err;
        }
        bool elsewhere = kind == HD_RETRY_SAME && hd_failover_ask(s, true, switches);
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        if (!elsewhere) {
            hd_clock_sleep_ms(pause);
        }
        if (kind == HD_RETRY_NEW) {
            args.call_id = hd_rpc_call_id_new(fs->rpc);
            args.retry_count = 0;
        } else {
            args.retry_count++;
        }
    }
}

int hd_call(struct hd_fs *fs, const char *method, const ProtobufCMessage *request,
            const ProtobufCMessageDescriptor *type, struct hd_arena *arena, ProtobufCMessage **ret)
{
    return hd_call_within(fs, NULL, method, request, type, fs->session->retry_ms, arena, ret);
}

int hd_call_node(const struct hd_fs *fs, const char *ip, int port, const char *protocol,
                 const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, struct hd_arena *arena, int timeout_ms,
                 ProtobufCMessage **ret)
{
    return hd_call_node_as(fs->user, ip, port, protocol, method, request, type, arena, timeout_ms,
                           ret);
}

int hd_call_node_as(const char *user, const char *ip, int port, const char *protocol,
                    const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *type, struct hd_arena *arena, int timeout_ms,
                    ProtobufCMessage **ret)
{
    char address[HD_ADDR_TEXT_BYTES];
    snprintf(address, sizeof(address), strchr(ip, ':') != NULL ? "[%s]:%d" : "%s:%d", ip, port);
    struct hd_rpc_client_options o = {
        .address = address,
        .protocol = protocol,
        .user = user,
        .connect_timeout_ms = timeout_ms,
        .call_timeout_ms = timeout_ms,
    };
    struct hd_rpc_client *client;
    int err = hd_rpc_client_new(&o, &client);
    if (err < 0) {
        return err;
    }
    struct hd_rpc_args args = {
        .method = method,
        .request = request,
        .response_type = type,
        .arena = arena,
        .timeout_ms = timeout_ms,
        .call_id = -1,
    };
    err = hd_rpc_call(client, &args, ret, NULL);
    hd_rpc_client_free(client);
    return err;
}

/* ---- durability of what was answered ---- */

uint32_t hd_fs_losses(struct hd_fs *fs)
{
    struct hd_failover *f = &fs->session->failover;
    pthread_mutex_lock(&f->lock);
    uint32_t told = f->losses_told;
    pthread_mutex_unlock(&f->lock);
    return told;
}

/* -EIO when something got lost since. */
static int tell_losses(struct hd_failover *f, uint32_t *since)
{
    pthread_mutex_lock(&f->lock);
    bool lost = f->losses != *since;
    *since = f->losses;
    f->losses_told = lost ? f->losses : f->losses_told;
    pthread_mutex_unlock(&f->lock);
    return lost ? hd_fail(-EIO, "changes that were not synced got lost with their meta") : 0;
}

static int sync_txid(struct hd_fs *fs, long long id)
{
    struct hd_failover *f = &fs->session->failover;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SyncTxidRequest request = HDW__SYNC_TXID_REQUEST__INIT;
    request.txid = (uint64_t)id;
    Hdw__SyncTxidResponse *response;
    int err = hd_call_within(fs, HD_POSIX_PROTOCOL, "syncTxid", &request.base,
                             &hdw__sync_txid_response__descriptor, fs->session->retry_ms, &arena,
                             (ProtobufCMessage **)(void *)&response);
    if (err == 0) {
        hd_failover_note_synced(f, HD_MAX((int64_t)response->durable_txid, (int64_t)id));
    }
    return err;
}

/* Every change answered so far: nothing to do where answers are durable already. */
int hd_fs_sync_since(struct hd_fs *fs, uint32_t *since)
{
    struct hd_session *s = fs->session;
    struct hd_failover *f = &s->failover;
    long long id = atomic_load(&f->state_id);
    int err = 0;
    if (s->relaxed && atomic_load(&s->server_kind) == HD_SERVER_HOWDAH &&
        atomic_load(&f->synced_id) < id) {
        err = sync_txid(fs, id);
    }
    int lost = tell_losses(f, since);
    return lost < 0 ? lost : err;
}

int hd_fs_sync(struct hd_fs *fs)
{
    uint32_t since = atomic_load(&fs->losses_seen);
    int err = hd_fs_sync_since(fs, &since);
    atomic_store(&fs->losses_seen, since);
    return err;
}
