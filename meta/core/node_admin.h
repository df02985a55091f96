/*
 * What an administrator asked of data nodes: durable, by the node's uuid, so that it holds while
 * the node is away and over restarts of meta. How far a node has got is not kept: drain.h finds
 * out.
 */
#ifndef HD_META_CORE_NODE_ADMIN_H
#define HD_META_CORE_NODE_ADMIN_H

#include "record.pb-c.h"

enum { HD_NODE_ADMINS_MAX = 10000 };

enum hd_node_wish {
    HD_WISH_NONE,         /* in service: such a node has no entry */
    HD_WISH_DECOMMISSION, /* its replicas are to be elsewhere */
    HD_WISH_MAINTENANCE,  /* it may be away until until_ms */
};

struct hd_node_admin {
    char *uuid; /* heap, owned, as all strings here */
    enum hd_node_wish wish;
    int64_t until_ms; /* wall; 0: without end */
    char *name;       /* "data-1", or "" */
    char *host;
    char *address; /* "ip:port" of transfers, when it was asked for */
};

struct hd_node_admins {
    struct hd_node_admin *items; /* heap, owned; in the order of their uuids */
    uint32_t count, capacity;
};

void hd_node_admins_done(struct hd_node_admins *a);
const struct hd_node_admin *hd_node_admins_find(const struct hd_node_admins *a,
                                                const char *uuid); /* NULL: in service */

/* Puts, replaces or (HD_WISH_NONE) removes the entry. */
void hd_node_admins_set(struct hd_node_admins *a, const Hdm__NodeAdmin *m);

/* A message whose strings are the entry's. */
void hd_node_admin_store(const struct hd_node_admin *n, Hdm__NodeAdmin *ret);

#endif
