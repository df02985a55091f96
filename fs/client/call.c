/*
 * Calls to meta: retries, call ids, the highest txid seen, and the greeting that makes a connection
 * relaxed. Howdah's own services are tried once and forgotten when the server has none.
 */
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"

#include "howdah.pb-c.h"

#include <errno.h>

static void note_state(atomic_llong *highest, long long id)
{
    long long seen = atomic_load(highest);
    while (id > seen && !atomic_compare_exchange_weak(highest, &seen, id)) {
    }
}

/* Tells the connection that it is a mount's. Failing is harmless: answers just wait for the disk.
 */
static void greet(struct hd_fs *fs)
{
    struct hd_session *s = fs->session;
    uint64_t connection = hd_rpc_client_connections(fs->rpc);
    if (!s->relaxed || atomic_load(&s->server_kind) == HD_SERVER_FOREIGN ||
        (connection != 0 && atomic_load(&fs->greeted) == connection)) {
        return;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__OpenSessionRequest request = HDW__OPEN_SESSION_REQUEST__INIT;
    request.client_name = s->client_name;
    struct hd_rpc_args args = {
        .method = "openSession",
        .protocol = HD_POSIX_PROTOCOL,
        .request = &request.base,
        .response_type = &hdw__open_session_response__descriptor,
        .arena = &arena,
        .call_id = -1,
    };
    Hdw__OpenSessionResponse *response;
    int64_t state_id = 0;
    long long seen = atomic_load(&s->state_id);
    int err = hd_rpc_call(fs->rpc, &args, (ProtobufCMessage **)(void *)&response, &state_id);
    if (err == 0) {
        atomic_store(&s->server_kind, HD_SERVER_HOWDAH);
        if ((long long)response->txid < seen) { /* it restarted and its log ends earlier */
            atomic_store(&s->lost, true);
            atomic_store(&s->state_id, (long long)response->txid);
        }
        atomic_store(&fs->greeted, hd_rpc_client_connections(fs->rpc));
        note_state(&s->state_id, state_id);
    } else if (!hd_rpc_is_connection_error(err)) {
        atomic_store(&s->server_kind, HD_SERVER_FOREIGN);
    }
    hd_fail_clear();
}

int hd_call_once(struct hd_fs *fs, const char *protocol, const char *method,
                 const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                 struct hd_arena *arena, ProtobufCMessage **ret)
{
    struct hd_rpc_args args = {
        .method = method,
        .protocol = protocol,
        .request = request,
        .response_type = type,
        .arena = arena,
        .call_id = -1,
    };
    int64_t state_id = 0;
    int err = hd_rpc_call(fs->rpc, &args, ret, &state_id);
    note_state(&fs->session->state_id, state_id);
    return err;
}

int hd_call(struct hd_fs *fs, const char *method, const ProtobufCMessage *request,
            const ProtobufCMessageDescriptor *type, struct hd_arena *arena, ProtobufCMessage **ret)
{
    struct hd_session *s = fs->session;
    struct hd_rpc_args args = {
        .method = method,
        .request = request,
        .response_type = type,
        .arena = arena,
        .call_id = hd_rpc_call_id_new(fs->rpc),
    };
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, s->retry_ms, (uint64_t)now ^ (uintptr_t)&args);
    for (;;) {
        greet(fs);
        int64_t state_id = 0;
        int err = hd_rpc_call(fs->rpc, &args, ret, &state_id);
        note_state(&s->state_id, state_id);
        enum hd_retry_kind kind =
            hd_retry_kind_of(err, hd_rpc_is_connection_error(err), s->retry_safe_mode);
        if (kind == HD_RETRY_NO) {
            return err;
        }
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        hd_clock_sleep_ms(pause);
        if (kind == HD_RETRY_NEW) {
            args.call_id = hd_rpc_call_id_new(fs->rpc);
            args.retry_count = 0;
        } else {
            args.retry_count++;
        }
    }
}

int hd_call_node(const struct hd_fs *fs, const char *ip, int port, const char *protocol,
                 const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, struct hd_arena *arena, int timeout_ms,
                 ProtobufCMessage **ret)
{
    char address[HD_ADDR_TEXT_BYTES];
    snprintf(address, sizeof(address), strchr(ip, ':') != NULL ? "[%s]:%d" : "%s:%d", ip, port);
    struct hd_rpc_client_options o = {
        .address = address,
        .protocol = protocol,
        .user = fs->user,
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

/* Every change answered so far: nothing to do where answers are durable already. */
int hd_fs_sync(struct hd_fs *fs)
{
    struct hd_session *s = fs->session;
    if (atomic_exchange(&s->lost, false)) {
        return hd_fail(-EIO, "%s restarted and lost changes that were not synced", s->address);
    }
    long long id = atomic_load(&s->state_id);
    if (!s->relaxed || atomic_load(&s->server_kind) != HD_SERVER_HOWDAH || id == 0 ||
        atomic_load(&s->synced_id) >= id) {
        return 0;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SyncTxidRequest request = HDW__SYNC_TXID_REQUEST__INIT;
    request.txid = (uint64_t)id;
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, s->retry_ms, (uint64_t)now);
    for (;;) {
        ProtobufCMessage *response;
        int err = hd_call_once(fs, HD_POSIX_PROTOCOL, "syncTxid", &request.base,
                               &hdw__sync_txid_response__descriptor, &arena, &response);
        if (err == 0) {
            uint64_t durable = ((Hdw__SyncTxidResponse *)(void *)response)->durable_txid;
            note_state(&s->synced_id, HD_MAX((long long)durable, id));
            return 0;
        }
        if (hd_retry_kind_of(err, hd_rpc_is_connection_error(err), true) == HD_RETRY_NO) {
            return err;
        }
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        hd_clock_sleep_ms(pause);
    }
}
