/* See call.h. */
#include "runner/lib/call.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

int hd_runner_call(struct hd_rpc_client *c, const char *method, const void *request,
                   const ProtobufCMessageDescriptor *response_type, int timeout_ms,
                   struct hd_arena *arena, void *ret_response)
{
    struct hd_rpc_args args = {.method = method,
                               .request = request,
                               .response_type = response_type,
                               .arena = arena,
                               .timeout_ms = timeout_ms,
                               .call_id = -1};
    return hd_rpc_call(c, &args, ret_response, NULL);
}

void *hd_message_copy(const ProtobufCMessage *m, struct hd_arena *arena)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = hd_arena_alloc(arena, size + 1);
    ProtobufCAllocator allocator = hd_arena_allocator(arena);
    if (bytes == NULL) {
        return NULL;
    }
    protobuf_c_message_pack(m, bytes);
    return protobuf_c_message_unpack(m->descriptor, &allocator, size, bytes);
}

const char *hd_runner_user(void)
{
    const char *user = getenv("HADOOP_USER_NAME");
    if (user != NULL && user[0] != '\0') {
        return user;
    }
    const struct passwd *pw = getpwuid(geteuid());
    return pw != NULL ? pw->pw_name : "nobody";
}

void hd_shuffle_mac(const uint8_t *key, size_t key_size, const char *job, uint32_t map_index,
                    uint32_t map_number, uint32_t partition, uint8_t out[HD_MAC_BYTES])
{
    char text[128];
    unsigned size = HD_MAC_BYTES;
    int n = snprintf(text, sizeof(text), "%.60s/%u/%u/%u", job, map_index, map_number, partition);
    HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, (size_t)n, out, &size);
}
