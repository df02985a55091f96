/* Placement of replicas. See placement.h. */
#include "meta/core/placement.h"
#include "meta/core/state.h"

struct search {
    struct hd_meta *m;
    const struct hd_placement *want;
    bool *taken; /* by node index */
    enum hd_node_state worst;
    bool slow; /* one whose disks are slow will do */
};

/* Which nodes one replica may go to. NULL fields do not matter. */
struct filter {
    bool local;
    const char *rack;
    const char *not_rack;
    const char *address; /* "host:port" or "ip:port" */
};

bool hd_placement_is_local(const struct hd_node *node, const char *ip, const char *host)
{
    return (ip != NULL && strcmp(node->ip, ip) == 0) ||
           (host != NULL && strcmp(node->host, host) == 0);
}

/* A storage of the node with room, by chance; NULL: none. */
static struct hd_storage *choose_storage(const struct search *s, const struct hd_node *node)
{
    struct hd_storage *chosen = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < node->storage_count; i++) {
        struct hd_storage *storage = hd_nodes_storage(&s->m->nodes, node->storages[i]);
        if (storage->failed || storage->remaining_bytes < s->want->size_bytes ||
            (s->want->reported_only && !storage->reported)) {
            continue;
        }
        if (hd_prng_below(&s->m->prng, ++seen) == 0) {
            chosen = storage;
        }
    }
    return chosen;
}

static bool has_address(const struct hd_node *node, const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon != NULL ? (size_t)(colon - address) : strlen(address);
    char port[16];
    snprintf(port, sizeof(port), "%u", node->xfer_port);
    bool same_host = (strlen(node->ip) == size && strncmp(node->ip, address, size) == 0) ||
                     (strlen(node->host) == size && strncmp(node->host, address, size) == 0);
    return same_host && (colon == NULL || strcmp(colon + 1, port) == 0);
}

static bool fits(const struct search *s, const struct hd_node *node, const struct filter *f)
{
    if (s->taken[node->index] || !node->registered || node->state > s->worst ||
        node->duty != HD_DUTY_IN_SERVICE || (node->slow && !s->slow) ||
        (s->want->excluded != NULL && s->want->excluded[node->index])) {
        return false;
    }
    return (!f->local || hd_placement_is_local(node, s->want->writer_ip, s->want->writer_host)) &&
           (f->rack == NULL || strcmp(node->rack, f->rack) == 0) &&
           (f->not_rack == NULL || strcmp(node->rack, f->not_rack) != 0) &&
           (f->address == NULL || has_address(node, f->address));
}

/* One of the nodes that fit, by chance. False: none. */
static bool pick_any(struct search *s, const struct filter *f, uint16_t *ret_storage)
{
    struct hd_storage *chosen = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < s->m->nodes.count; i++) {
        struct hd_node *node = s->m->nodes.all[i];
        struct hd_storage *storage = fits(s, node, f) ? choose_storage(s, node) : NULL;
        if (storage != NULL && hd_prng_below(&s->m->prng, ++seen) == 0) {
            chosen = storage;
        }
    }
    if (chosen == NULL) {
        return false;
    }
    s->taken[chosen->node] = true;
    *ret_storage = chosen->index;
    return true;
}

/* A slow node only when no other fits; the writer's own only when it is not. */
static bool pick(struct search *s, const struct filter *f, uint16_t *ret_storage)
{
    s->slow = f->address != NULL;
    bool found = pick_any(s, f, ret_storage);
    if (!found && !f->local && f->address == NULL) {
        s->slow = true;
        found = pick_any(s, f, ret_storage);
    }
    return found;
}

static const char *rack_of(const struct search *s, uint16_t storage)
{
    return hd_nodes_of_storage(&s->m->nodes, storage)->rack;
}

/* The next replica behind `found` others: the rack it should be on, else any node. */
static bool pick_next(struct search *s, uint32_t found, uint16_t *out)
{
    static const struct filter anywhere = {0};
    if (found == 0) {
        return (s->want->writer_ip != NULL && pick(s, &(struct filter){.local = true}, out)) ||
               (s->want->other_than_rack != NULL &&
                pick(s, &(struct filter){.not_rack = s->want->other_than_rack}, out)) ||
               (!s->want->other_rack_only && pick(s, &anywhere, out));
    }
    if (found == 1) {
        return pick(s, &(struct filter){.not_rack = rack_of(s, out[-1])}, out) ||
               pick(s, &anywhere, out);
    }
    if (found == 2) {
        const char *second = rack_of(s, out[-1]);
        bool two_racks = strcmp(second, rack_of(s, out[-2])) != 0;
        struct filter f = {.rack = two_racks ? second : NULL,
                           .not_rack = two_racks ? NULL : second};
        return pick(s, &f, out) || pick(s, &anywhere, out);
    }
    return pick(s, &anywhere, out);
}

uint32_t hd_placement_choose(struct hd_meta *m, const struct hd_placement *want,
                             uint16_t *ret_storages)
{
    struct search s = {m, want, HD_TURN_ARRAY(m, bool, m->nodes.count), HD_NODE_LIVE, false};
    uint32_t found = 0;
    for (size_t i = 0; i < want->favored_count && found < want->count; i++) {
        if (pick(&s, &(struct filter){.address = want->favored[i]}, &ret_storages[found])) {
            found++;
        }
    }
    while (found < want->count && pick_next(&s, found, &ret_storages[found])) {
        found++;
    }
    if (found == 0 && want->count > 0) {
        s.worst = HD_NODE_STALE; /* better than none: it may only be slow */
        while (found < want->count && pick_next(&s, found, &ret_storages[found])) {
            found++;
        }
    }
    return found;
}
