/*
 * What one hd_fs_open holds: options, users with their RPC connections, the lease, and what readers
 * and writers share (node memory, idle data connections, local descriptors). Inside the room.
 */
#ifndef HD_CLIENT_SESSION_H
#define HD_CLIENT_SESSION_H

#include "fs/base/arena.h"
#include "fs/base/list.h"
#include "fs/base/types.h"
#include "fs/client/content_tender.h"
#include "fs/client/core/health.h"
#include "fs/client/core/patience.h"
#include "fs/client/failover.h"
#include "fs/client/howdah.h"
#include "fs/client/leave.h"
#include "fs/client/local_cache.h"
#include "fs/client/transfer.h"
#include "fs/net/rpc_client.h"

#include "howdah.pb-c.h"

#include <pthread.h>
#include <stdatomic.h>

#define HD_CLIENT_PROTOCOL          "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define HD_CLIENT_DATANODE_PROTOCOL "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
#define HD_POSIX_PROTOCOL           "howdah.PosixProtocol"
#define HD_META_PROTOCOL            "howdah.MetaProtocol"
#define HD_DATA_PROTOCOL            "howdah.DataProtocol"

enum hd_server_kind { HD_SERVER_UNKNOWN, HD_SERVER_HOWDAH, HD_SERVER_FOREIGN };

struct hd_session {
    char *uri;         /* "hdfs://host:port", several with commas */
    char *client_name; /* holder of the lease */
    char *host_name;
    char *socket_path; /* NULL: no short circuit */
    int retry_ms;
    bool retry_safe_mode;
    bool relaxed;

    atomic_int server_kind;      /* enum hd_server_kind */
    struct hd_failover failover; /* own lock */
    struct hd_leave leave;       /* no lock */
    Hdw__OpenSessionRequest open_session;
    Hdw__OpenSessionRequest open_posix; /* of posix's connections */
    Hdw__GetClusterRequest get_cluster;
    struct hd_rpc_hello hello; /* open_session or get_cluster */
    struct hd_rpc_hello hello_posix;
    _Atomic(struct hd_posix *) posix; /* NULL: none; set before its connections are made */

    pthread_mutex_t lock; /* everything below, up to the caches */
    struct hd_list users; /* of hd_fs.link */
    struct hd_defaults defaults;
    uint32_t checksum_type;
    int64_t defaults_until_ms; /* 0: not asked yet */
    struct hd_health health;
    struct hd_patience patience;

    struct hd_list writers; /* of hd_writer.link */
    pthread_cond_t lease_wake;
    pthread_t lease_thread;
    bool lease_running;
    bool stopping;

    struct hd_conn_cache conns;        /* own lock */
    struct hd_local_cache locals;      /* own lock */
    struct hd_content_tender contents; /* own lock */
};

/* A session as one user. */
struct hd_fs {
    struct hd_session *session;
    struct hd_list link;
    char *user;
    struct hd_rpc_client *rpc;
    atomic_uint losses_seen; /* told by hd_fs_sync */
};

/*
 * Calls a ClientProtocol method, again and again as howdah.h says. The response lives in arena.
 * Errors: the server's, with its text, or the connection's when retry_ms is used up.
 */
int hd_call(struct hd_fs *fs, const char *method, const ProtobufCMessage *request,
            const ProtobufCMessageDescriptor *type, struct hd_arena *arena, ProtobufCMessage **ret);

/* HD_CALL(fs, "getFileInfo", get_file_info, &request, &arena, &response): types by naming rule. */
#define HD_CALL(fs, method, name, request, arena, ret)                                             \
    hd_call((fs), (method), &(request)->base, &hdw__##name##_response__descriptor, (arena),        \
            (ProtobufCMessage **)(void *)(ret))

/* The same for any protocol (NULL: ClientProtocol), for budget_ms at most (< 0: one try). */
int hd_call_within(struct hd_fs *fs, const char *protocol, const char *method,
                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                   int budget_ms, struct hd_arena *arena, ProtobufCMessage **ret);

/* The same once, for timeout_ms at most: what may as well be left undone. */
int hd_call_briefly(struct hd_fs *fs, const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *type, int timeout_ms, struct hd_arena *arena,
                    ProtobufCMessage **ret);

/* The same once, without waiting for a better time. */
int hd_call_once(struct hd_fs *fs, const char *protocol, const char *method,
                 const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                 struct hd_arena *arena, ProtobufCMessage **ret);

/*
 * What a caller wants to do around each try: before may wait, but not beyond until_ms, and its
 * error is the outcome of the try; again says whether the server's error is worth another one.
 */
struct hd_call_hooks {
    int (*before)(void *ctx, int64_t until_ms);
    bool (*again)(void *ctx, int err);
    void *ctx;
    int64_t state_id; /* of the answer */
};

/* hd_call_within with hooks (NULL: none). */
int hd_call_hooked(struct hd_fs *fs, const char *protocol, const char *method,
                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                   int budget_ms, struct hd_call_hooks *hooks, struct hd_arena *arena,
                   ProtobufCMessage **ret);

/*
 * One more connection of the same user, which hd_fs_as does not find. It lives as long as s.
 * call_timeout_ms: of its hello, and of calls that do not say theirs.
 */
int hd_session_connect(struct hd_session *s, const char *user, int call_timeout_ms,
                       struct hd_fs **ret);

/* A call on a data node's RPC port: one connection for the one call. */
int hd_call_node(const struct hd_fs *fs, const char *ip, int port, const char *protocol,
                 const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, struct hd_arena *arena, int timeout_ms,
                 ProtobufCMessage **ret);

/* The same for who may outlive the session. */
int hd_call_node_as(const char *user, const char *ip, int port, const char *protocol,
                    const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *type, struct hd_arena *arena, int timeout_ms,
                    ProtobufCMessage **ret);

/* Server defaults with the checksum type that they carry. */
int hd_session_defaults(struct hd_fs *fs, struct hd_defaults *ret, uint32_t *ret_checksum_type);

/* Node memory, under the session's lock. key: datanodeUuid. */
void hd_session_node_failed(struct hd_session *s, const char *key);
void hd_session_node_served(struct hd_session *s, const char *key);
bool hd_session_node_suspect(struct hd_session *s, const char *key);

/* Reader's patience (core/patience.h), under the session's lock. */
void hd_session_note_answer(struct hd_session *s, int64_t took_ms);
int hd_session_patience_ms(struct hd_session *s);
int hd_session_stream_patience_ms(struct hd_session *s);

/* Whether a data node runs on this machine. */
bool hd_session_is_local(const struct hd_session *s, const char *ip, const char *host);

/* lease.c: while a writer is listed its lease is renewed and its chain kept awake. */
struct hd_writer;
int hd_lease_add(struct hd_session *s, struct hd_list *writer_link);
void hd_lease_remove(struct hd_session *s, struct hd_list *writer_link);
void hd_lease_stop(struct hd_session *s);

#endif
