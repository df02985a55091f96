/*
 * The rack map: which rack an address is on, as the shell's table and script say. A node that they
 * do not know is where its own configuration says; else in HD_DEFAULT_RACK.
 *
 * Not durable. A map that changes has the blocks of the nodes that moved looked at again (drain.h).
 */
#ifndef HD_META_CORE_RACKS_H
#define HD_META_CORE_RACKS_H

#include "fs/base/map.h"

struct hd_meta;
struct hd_meta_event;
struct hd_node;

enum { HD_RACKS_MAX = 100000, HD_RACK_MAX_BYTES = 255 };

struct hd_racks {
    struct hd_strmap by_address; /* "ip", "host", either with ":port", or a node's name -> rack */
};

void hd_racks_init(struct hd_racks *r);
void hd_racks_done(struct hd_racks *r);

/* HD_META_RACKS: takes the entries in, and moves the nodes they concern. */
void hd_racks_take(struct hd_meta *m, const struct hd_meta_event *event);

/* Finds the rack of a node that registers; asks the shell for it when nobody has said. */
void hd_racks_place(struct hd_meta *m, struct hd_node *node);

#endif
