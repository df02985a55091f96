/* Small things around RPC and protobuf that the runner's programs share. */
#ifndef HD_RUNNER_LIB_CALL_H
#define HD_RUNNER_LIB_CALL_H

#include "fs/net/rpc_client.h"

#define HD_RUNNER_PROTOCOL "howdah.RunnerProtocol"
#define HD_AGENT_PROTOCOL  "howdah.AgentProtocol"

enum { HD_MAC_BYTES = 32 };

/* One call; timeout_ms as in hd_rpc_args. The response lives in the arena. */
int hd_runner_call(struct hd_rpc_client *c, const char *method, const void *request,
                   const ProtobufCMessageDescriptor *response_type, int timeout_ms,
                   struct hd_arena *arena, void *ret_response);

/* A copy of a message that lives in the arena. NULL: no memory. */
void *hd_message_copy(const ProtobufCMessage *m, struct hd_arena *arena);

/* The user a command runs for: HADOOP_USER_NAME, else the login name of the effective user. */
const char *hd_runner_user(void);

/* HMAC-SHA-256 by which an agent may fetch one partition of one map's output. */
void hd_shuffle_mac(const uint8_t *key, size_t key_size, const char *job, uint32_t map_index,
                    uint32_t map_number, uint32_t partition, uint8_t out[HD_MAC_BYTES]);

#endif
