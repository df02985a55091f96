/* What was asked of data nodes. See node_admin.h. */
#include "meta/core/node_admin.h"
#include "fs/base/assert.h"
#include "meta/core/mem.h"

static void entry_free(struct hd_node_admin *n)
{
    free(n->uuid);
    free(n->name);
    free(n->host);
    free(n->address);
}

void hd_node_admins_done(struct hd_node_admins *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        entry_free(&a->items[i]);
    }
    free(a->items);
    *a = (struct hd_node_admins){0};
}

/* Where the uuid is, or would be. */
static uint32_t place_of(const struct hd_node_admins *a, const char *uuid)
{
    uint32_t low = 0;
    uint32_t high = a->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(a->items[middle].uuid, uuid) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct hd_node_admins *a, uint32_t at, const char *uuid)
{
    return at < a->count && strcmp(a->items[at].uuid, uuid) == 0;
}

const struct hd_node_admin *hd_node_admins_find(const struct hd_node_admins *a, const char *uuid)
{
    uint32_t at = place_of(a, uuid);
    return is_at(a, at, uuid) ? &a->items[at] : NULL;
}

static char *own(const char *text)
{
    return hd_mem_str(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

void hd_node_admins_set(struct hd_node_admins *a, const Hdm__NodeAdmin *m)
{
    uint32_t at = place_of(a, m->uuid);
    bool there = is_at(a, at, m->uuid);
    if (m->wish == HD_WISH_NONE) {
        if (there) {
            entry_free(&a->items[at]);
            a->count--;
            memmove(&a->items[at], &a->items[at + 1], sizeof(*a->items) * (a->count - at));
        }
        return;
    }
    struct hd_node_admin entry = {
        .uuid = own(m->uuid),
        .wish = (enum hd_node_wish)m->wish,
        .until_ms = m->has_until_ms ? m->until_ms : 0,
        .name = own(m->name),
        .host = own(m->host),
        .address = own(m->address),
    };
    if (there) {
        entry_free(&a->items[at]);
    } else {
        HD_MEM_GROW(a->items, a->count, a->capacity);
        memmove(&a->items[at + 1], &a->items[at], sizeof(*a->items) * (a->count - at));
        a->count++;
    }
    a->items[at] = entry;
}

void hd_node_admin_store(const struct hd_node_admin *n, Hdm__NodeAdmin *ret)
{
    hdm__node_admin__init(ret);
    ret->uuid = n->uuid;
    ret->wish = n->wish;
    ret->has_until_ms = n->until_ms != 0;
    ret->until_ms = n->until_ms;
    ret->name = n->name;
    ret->host = n->host;
    ret->address = n->address;
}
