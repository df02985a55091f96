/*
 * support-set-faults HOST:PORT USER [POINT TARGET VALUE FOR_MS]...: fills the fault table of the
 * daemon that serves this address; without faults it heals. TARGET "" is everything.
 */
#include "fs/base/error.h"
#include "fs/net/rpc_client.h"

#include "howdah.pb-c.h"

#include <stdlib.h>

enum { FAULTS_MAX = 64, ARGS_PER_FAULT = 4, TIMEOUT_MS = 10000 };

int main(int argc, char **argv)
{
    Hdw__Fault faults[FAULTS_MAX];
    Hdw__Fault *list[FAULTS_MAX];
    Hdw__SetFaultsRequest request = HDW__SET_FAULTS_REQUEST__INIT;
    if (argc < 3 || (argc - 3) % ARGS_PER_FAULT != 0 || argc > 3 + ARGS_PER_FAULT * FAULTS_MAX) {
        fprintf(stderr, "usage: %s HOST:PORT USER [POINT TARGET VALUE FOR_MS]...\n", argv[0]);
        return 64;
    }
    for (char **a = argv + 3; *a != NULL; a += ARGS_PER_FAULT) {
        Hdw__Fault *f = &faults[request.n_faults];
        *f = (Hdw__Fault)HDW__FAULT__INIT;
        f->point = a[0];
        f->target = a[1][0] != '\0' ? a[1] : NULL;
        f->has_value = true;
        f->value = strtoll(a[2], NULL, 10);
        f->for_ms = strtoull(a[3], NULL, 10);
        list[request.n_faults++] = f;
    }
    request.faults = list;
    struct hd_rpc_client_options options = {.address = argv[1],
                                            .protocol = "howdah.FaultProtocol",
                                            .user = argv[2],
                                            .connect_timeout_ms = TIMEOUT_MS,
                                            .call_timeout_ms = TIMEOUT_MS};
    struct hd_rpc_client *client = NULL;
    struct hd_arena arena;
    ProtobufCMessage *response;
    hd_arena_init(&arena, 0);
    struct hd_rpc_args args = {.method = "setFaults",
                               .request = &request.base,
                               .response_type = &hdw__set_faults_response__descriptor,
                               .arena = &arena,
                               .call_id = -1};
    int err = hd_rpc_client_new(&options, &client);
    if (err == 0) {
        err = hd_rpc_call(client, &args, &response, NULL);
    }
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], hd_fail_describe(err));
    } else {
        printf("active=%u\n", ((Hdw__SetFaultsResponse *)response)->active);
    }
    hd_rpc_client_free(client);
    hd_arena_done(&arena);
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
