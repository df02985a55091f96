/* Node memory and replica choice of health.h. */
#include "fs/client/core/health.h"

enum { FIRST_PENALTY_MS = 2000, MAX_PENALTY_MS = 30000 };

static struct hd_health_node *find(const struct hd_health *h, const char *key)
{
    for (size_t i = 0; i < HD_HEALTH_NODES_MAX; i++) {
        if (strncmp(h->nodes[i].key, key, HD_HEALTH_KEY_BYTES - 1) == 0 && key[0] != '\0') {
            return (struct hd_health_node *)(uintptr_t)&h->nodes[i];
        }
    }
    return NULL;
}

/* A free place, else the one whose time is up first. */
static struct hd_health_node *place(struct hd_health *h)
{
    struct hd_health_node *best = &h->nodes[0];
    for (size_t i = 0; i < HD_HEALTH_NODES_MAX; i++) {
        if (h->nodes[i].key[0] == '\0') {
            return &h->nodes[i];
        }
        if (h->nodes[i].until_ms < best->until_ms) {
            best = &h->nodes[i];
        }
    }
    return best;
}

void hd_health_failed(struct hd_health *h, const char *key, int64_t now_ms)
{
    if (key[0] == '\0') {
        return;
    }
    struct hd_health_node *n = find(h, key);
    if (n == NULL) {
        n = place(h);
        *n = (struct hd_health_node){.penalty_ms = FIRST_PENALTY_MS};
        snprintf(n->key, sizeof(n->key), "%s", key);
    } else if (now_ms < n->until_ms) {
        return; /* one failure seen by several readers is one */
    } else {
        bool soon = now_ms - n->until_ms < n->penalty_ms;
        n->penalty_ms =
            soon ? HD_MIN(n->penalty_ms * 2, (int64_t)MAX_PENALTY_MS) : (int64_t)FIRST_PENALTY_MS;
    }
    n->until_ms = now_ms + n->penalty_ms;
}

void hd_health_served(struct hd_health *h, const char *key)
{
    struct hd_health_node *n = find(h, key);
    if (n != NULL) {
        *n = (struct hd_health_node){.until_ms = 0};
    }
}

bool hd_health_suspect(const struct hd_health *h, const char *key, int64_t now_ms)
{
    const struct hd_health_node *n = find(h, key);
    return n != NULL && now_ms < n->until_ms;
}

static int rank(const struct hd_candidate *c)
{
    return (c->suspect ? 2 : 0) + (c->local ? 0 : 1);
}

int hd_candidate_choose(const struct hd_candidate *c, size_t count)
{
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        if (!c[i].failed && (best < 0 || rank(&c[i]) < rank(&c[best]))) {
            best = (int)i;
        }
    }
    return best;
}
