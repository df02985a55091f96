/* The rack map. See racks.h. */
#include "meta/core/racks.h"
#include "meta/core/mem.h"
#include "meta/core/state.h"

void hd_racks_init(struct hd_racks *r)
{
    hd_strmap_init(&r->by_address);
}

static void clear(struct hd_racks *r)
{
    size_t cursor = 0;
    void *value;
    while (hd_strmap_next(&r->by_address, &cursor, NULL, &value)) {
        free(value);
    }
    hd_strmap_done(&r->by_address);
}

void hd_racks_done(struct hd_racks *r)
{
    clear(r);
}

/* "/dc/r1" of "dc/r1/"; NULL: not the name of a rack. Heap. */
static char *normal(const char *rack)
{
    size_t size = strlen(rack);
    while (size > 0 && rack[size - 1] == '/') {
        size--;
    }
    if (size == 0 || size >= HD_RACK_MAX_BYTES) {
        return NULL;
    }
    char *text = hd_mem_new(size + 2);
    text[0] = '/';
    memcpy(text + (rack[0] != '/'), rack, size);
    return text;
}

static void put(struct hd_racks *r, const char *address, const char *rack)
{
    size_t size = strlen(address);
    char *text = normal(rack);
    if (text == NULL || size == 0) {
        free(text);
        return;
    }
    free(hd_strmap_remove(&r->by_address, address, size));
    if (r->by_address.count >= HD_RACKS_MAX) {
        free(text);
        return;
    }
    int err = hd_strmap_put(&r->by_address, address, size, text);
    hd_assert(err == 0);
}

static const char *get(const struct hd_meta *m, const char *address)
{
    return hd_strmap_get(&m->racks.by_address, address, strlen(address));
}

static const char *get_port(const struct hd_meta *m, const char *host, uint32_t port)
{
    char address[300];
    snprintf(address, sizeof(address), "%s:%u", host, port);
    return get(m, address);
}

/* What the map says: the most particular entry wins. NULL: nothing. */
static const char *find(const struct hd_meta *m, const struct hd_node *node)
{
    const char *found[] = {
        node->name[0] != '\0' ? get(m, node->name) : NULL,
        get_port(m, node->ip, node->xfer_port),
        get_port(m, node->host, node->xfer_port),
        get(m, node->ip),
        get(m, node->host),
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(found); i++) {
        if (found[i] != NULL) {
            return found[i];
        }
    }
    return NULL;
}

/* True: it is on another rack now. */
static bool move(struct hd_meta *m, struct hd_node *node, const char *found)
{
    char *own = found == NULL && node->own_rack[0] != '\0' ? normal(node->own_rack) : NULL;
    const char *rack = found != NULL ? found : own != NULL ? own : HD_DEFAULT_RACK;
    bool moves = strcmp(node->rack, rack) != 0;
    if (moves) {
        hd_meta_trace(m, "node %s:%u is on rack %s", node->ip, node->xfer_port, rack);
        free(node->rack);
        node->rack = hd_mem_str(rack, strlen(rack));
        m->nodes.count_turn = 0;
    }
    free(own);
    return moves;
}

void hd_racks_place(struct hd_meta *m, struct hd_node *node)
{
    const char *found = find(m, node);
    if (found == NULL) {
        m->fx->rack_wanted = hd_arena_str(&m->fx->arena, node->ip);
    }
    if (move(m, node, found)) {
        hd_drain_start(m, node);
    }
}

void hd_racks_take(struct hd_meta *m, const struct hd_meta_event *event)
{
    if (event->racks_replace) {
        clear(&m->racks);
        hd_racks_init(&m->racks);
    }
    for (size_t i = 0; i < event->rack_count; i++) {
        put(&m->racks, event->racks[i].address, event->racks[i].rack);
    }
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        struct hd_node *node = m->nodes.all[i];
        if (move(m, node, find(m, node))) {
            hd_drain_start(m, node);
        }
    }
}
