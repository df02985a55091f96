/*
 * The methods of all protocols: which messages they carry and whether a call may be repeated.
 * One table (methods.def) for servers, clients, tools and tests. Pure.
 */
#ifndef HD_WIRE_METHODS_H
#define HD_WIRE_METHODS_H

#include <protobuf-c/protobuf-c.h>

#define HD_PROTOCOL_CLIENT          "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define HD_PROTOCOL_CLIENT_DATANODE "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
#define HD_PROTOCOL_DATANODE        "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol"
#define HD_PROTOCOL_LIFELINE        "org.apache.hadoop.hdfs.server.protocol.DatanodeLifelineProtocol"
#define HD_PROTOCOL_INTER_DATANODE  "org.apache.hadoop.hdfs.server.protocol.InterDatanodeProtocol"
#define HD_PROTOCOL_NAMENODE        "org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol"
#define HD_PROTOCOL_RECONFIGURATION "org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol"
#define HD_PROTOCOL_HA_SERVICE      "org.apache.hadoop.ha.HAServiceProtocol"
#define HD_PROTOCOL_ZKFC            "org.apache.hadoop.ha.ZKFCProtocol"
#define HD_PROTOCOL_USER_MAPPINGS   "org.apache.hadoop.tools.GetUserMappingsProtocol"
#define HD_PROTOCOL_REFRESH_USERS   "org.apache.hadoop.security.RefreshUserMappingsProtocol"
#define HD_PROTOCOL_REFRESH_POLICY                                                                 \
    "org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol"
#define HD_PROTOCOL_REFRESH_QUEUE   "org.apache.hadoop.ipc.RefreshCallQueueProtocol"
#define HD_PROTOCOL_GENERIC_REFRESH "org.apache.hadoop.ipc.GenericRefreshProtocol"
#define HD_PROTOCOL_POSIX           "howdah.PosixProtocol"
#define HD_PROTOCOL_DATA            "howdah.DataProtocol"
#define HD_PROTOCOL_META            "howdah.MetaProtocol"
#define HD_PROTOCOL_FAULT           "howdah.FaultProtocol"

/* Whether a call whose answer was lost may be sent again. */
enum hd_repeat {
    HD_REPEAT_NOT,          /* no */
    HD_REPEAT_IDEMPOTENT,   /* yes: twice is as good as once */
    HD_REPEAT_AT_MOST_ONCE, /* yes, with the same call id: the server's retry cache answers */
};

struct hd_method {
    const char *name;     /* "getFileInfo" */
    const char *protocol; /* HD_PROTOCOL_* */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    enum hd_repeat repeat;
    bool only_reads;
};

/* The method, or NULL. */
const struct hd_method *hd_method_find(const char *protocol, const char *name);

/* The table as a whole, sorted by name and then by protocol. */
const struct hd_method *hd_method_table(size_t *ret_count);

#endif
