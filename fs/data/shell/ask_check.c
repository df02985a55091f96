/* Asking another node to check a replica. See ask_check.h. */
#include "fs/data/shell/ask_check.h"
#include "fs/base/error.h"
#include "fs/data/shell/workers.h"
#include "fs/net/rpc_client.h"
#include "fs/os/log.h"

#include "howdah.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 3000, CALL_TIMEOUT_MS = 5000, ARENA_BYTES = 1 << 16 };

struct question {
    struct hd_data *data;
    struct hd_block_id id;
    char address[HD_ADDR_TEXT_BYTES];
};

static int ask(const struct question *q)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, ARENA_BYTES);
    struct hd_rpc_client_options options = {.address = q->address,
                                            .protocol = "howdah.DataProtocol",
                                            .user = q->data->options.user,
                                            .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                            .call_timeout_ms = CALL_TIMEOUT_MS};
    struct hd_rpc_client *client;
    int err = hd_rpc_client_new(&options, &client);
    if (err < 0) {
        return err;
    }
    Hdw__ScanReplicasRequest request = HDW__SCAN_REPLICAS_REQUEST__INIT;
    ProtobufCMessage *m;
    request.has_block_id = true;
    request.block_id = q->id.v;
    struct hd_rpc_args args = {.method = "scanReplicas",
                               .request = &request.base,
                               .response_type = &hdw__scan_replicas_response__descriptor,
                               .arena = &arena,
                               .call_id = -1};
    err = hd_rpc_call(client, &args, &m, NULL);
    hd_rpc_client_free(client);
    return err;
}

static void run(void *ctx)
{
    struct question *q = ctx;
    int err = ask(q);
    hd_log_warn("a copy from another node did not match its sums",
                "block=%" PRIu64 " source=%s asked_to_check=%s error=\"%s\"", q->id.v, q->address,
                err < 0 ? "no" : "yes", err < 0 ? hd_fail_describe(err) : "");
    free(q);
}

void hd_ask_check(struct hd_data *d, const Hdw__DatanodeInfo *source, struct hd_block_id id)
{
    if (source == NULL || source->id->ipc_port == 0 || source->id->ip_addr[0] == '\0') {
        return;
    }
    struct question *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return;
    }
    q->data = d;
    q->id = id;
    snprintf(q->address, sizeof(q->address),
             strchr(source->id->ip_addr, ':') != NULL ? "[%s]:%u" : "%s:%u", source->id->ip_addr,
             source->id->ipc_port);
    if (hd_workers_run(d->rpc_workers, run, q) < 0) {
        free(q); /* the next copy from there says so again */
    }
}
