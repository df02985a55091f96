/*
 * Where the replicas of a new block go: the first on the writer's machine, the second on another
 * rack, the third on the rack of the second, the rest anywhere. Never two on a node, none on nodes
 * that are stale, full, excluded or not in service. Several nodes on the writer's machine share its
 * blocks by chance.
 */
#ifndef HD_META_CORE_PLACEMENT_H
#define HD_META_CORE_PLACEMENT_H

struct hd_meta;
struct hd_node;

struct hd_placement {
    uint32_t count;
    uint64_t size_bytes;   /* room a storage must have */
    const bool *excluded;  /* by node index; NULL: none */
    const char *writer_ip; /* NULL: nowhere */
    const char *writer_host;
    const char *const *favored; /* "host:port", favored_count of them */
    size_t favored_count;
    bool reported_only;          /* storages whose full report is in: what they hold is known */
    const char *other_than_rack; /* of a copy: prefer another rack; NULL: does not matter */
    bool other_rack_only;        /* and take no other */
};

/* Fills storages[0..count) in the order of the chain; returns how many were found. */
uint32_t hd_placement_choose(struct hd_meta *m, const struct hd_placement *want,
                             uint16_t *ret_storages);

/* Is the node on the machine of that address or name? */
bool hd_placement_is_local(const struct hd_node *node, const char *ip, const char *host);

#endif
