/* The hash maps of map.h. */
#include "fs/base/map.h"
#include "fs/base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

uint64_t hd_hash_u64(uint64_t v) /* the finaliser of splitmix64 */
{
    v ^= v >> 30;
    v *= 0xbf58476d1ce4e5b9u;
    v ^= v >> 27;
    v *= 0x94d049bb133111ebu;
    v ^= v >> 31;
    return v;
}

uint64_t hd_hash_bytes(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t h = 0x9e3779b97f4a7c15u ^ size;
    while (size >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        h = hd_hash_u64(h ^ v);
        p += 8;
        size -= 8;
    }
    uint64_t tail = 0;
    if (size > 0) {
        memcpy(&tail, p, size);
    }
    return hd_hash_u64(h ^ tail);
}

static bool needs_room(size_t count, size_t capacity)
{
    return (count + 1) * 4 > capacity * 3;
}

void hd_map_init(struct hd_map *m)
{
    *m = (struct hd_map){0};
}

void hd_map_done(struct hd_map *m)
{
    free(m->slots);
    *m = (struct hd_map){0};
}

static size_t map_find(const struct hd_map *m, uint64_t key)
{
    size_t mask = m->capacity - 1;
    size_t i = hd_hash_u64(key) & mask;
    while (m->slots[i].value != NULL && m->slots[i].key != key) {
        i = (i + 1) & mask;
    }
    return i;
}

void *hd_map_get(const struct hd_map *m, uint64_t key)
{
    return m->capacity != 0 ? m->slots[map_find(m, key)].value : NULL;
}

static int map_grow_to(struct hd_map *m, size_t capacity)
{
    struct hd_map bigger = {.capacity = capacity, .count = m->count};
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].value != NULL) {
            bigger.slots[map_find(&bigger, m->slots[i].key)] = m->slots[i];
        }
    }
    free(m->slots);
    *m = bigger;
    return 0;
}

int hd_map_reserve(struct hd_map *m, size_t count)
{
    size_t capacity = HD_MAX(m->capacity, (size_t)FIRST_CAPACITY);
    while (needs_room(count, capacity)) {
        capacity *= 2;
    }
    return capacity > m->capacity ? map_grow_to(m, capacity) : 0;
}

int hd_map_put(struct hd_map *m, uint64_t key, void *value)
{
    hd_assert(value != NULL);
    if (needs_room(m->count, m->capacity)) {
        int err = map_grow_to(m, m->capacity != 0 ? m->capacity * 2 : FIRST_CAPACITY);
        if (err < 0) {
            return err;
        }
    }
    struct hd_map_slot *slot = &m->slots[map_find(m, key)];
    if (slot->value == NULL) {
        m->count++;
    }
    *slot = (struct hd_map_slot){.key = key, .value = value};
    return 0;
}

void *hd_map_remove(struct hd_map *m, uint64_t key)
{
    if (m->capacity == 0) {
        return NULL;
    }
    size_t mask = m->capacity - 1;
    size_t hole = map_find(m, key);
    void *old = m->slots[hole].value;
    if (old == NULL) {
        return NULL;
    }
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = hd_hash_u64(m->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct hd_map_slot){0};
    m->count--;
    return old;
}

bool hd_map_next(const struct hd_map *m, size_t *cursor, uint64_t *ret_key, void **ret_value)
{
    while (*cursor < m->capacity) {
        const struct hd_map_slot *slot = &m->slots[(*cursor)++];
        if (slot->value != NULL) {
            if (ret_key != NULL) {
                *ret_key = slot->key;
            }
            *ret_value = slot->value;
            return true;
        }
    }
    return false;
}

void hd_strmap_init(struct hd_strmap *m)
{
    *m = (struct hd_strmap){0};
}

void hd_strmap_done(struct hd_strmap *m)
{
    for (size_t i = 0; i < m->capacity; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct hd_strmap){0};
}

static size_t strmap_find(const struct hd_strmap *m, uint64_t hash, const char *key, size_t size)
{
    size_t mask = m->capacity - 1;
    size_t i = hash & mask;
    while (m->slots[i].value != NULL && (m->slots[i].hash != hash || m->slots[i].key_size != size ||
                                         memcmp(m->slots[i].key, key, size) != 0)) {
        i = (i + 1) & mask;
    }
    return i;
}

void *hd_strmap_get(const struct hd_strmap *m, const char *key, size_t key_size)
{
    if (m->capacity == 0) {
        return NULL;
    }
    return m->slots[strmap_find(m, hd_hash_bytes(key, key_size), key, key_size)].value;
}

static int strmap_grow(struct hd_strmap *m)
{
    struct hd_strmap bigger = {.capacity = m->capacity != 0 ? m->capacity * 2 : FIRST_CAPACITY,
                               .count = m->count};
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < m->capacity; i++) {
        const struct hd_strmap_slot *s = &m->slots[i];
        if (s->value != NULL) {
            bigger.slots[strmap_find(&bigger, s->hash, s->key, s->key_size)] = *s;
        }
    }
    free(m->slots);
    *m = bigger;
    return 0;
}

int hd_strmap_put(struct hd_strmap *m, const char *key, size_t key_size, void *value)
{
    hd_assert(value != NULL);
    if (needs_room(m->count, m->capacity)) {
        int err = strmap_grow(m);
        if (err < 0) {
            return err;
        }
    }
    uint64_t hash = hd_hash_bytes(key, key_size);
    struct hd_strmap_slot *slot = &m->slots[strmap_find(m, hash, key, key_size)];
    if (slot->value == NULL) {
        char *copy = malloc(key_size + 1);
        if (copy == NULL) {
            return -ENOMEM;
        }
        memcpy(copy, key, key_size);
        copy[key_size] = '\0';
        *slot = (struct hd_strmap_slot){.hash = hash, .key = copy, .key_size = key_size};
        m->count++;
    }
    slot->value = value;
    return 0;
}

void *hd_strmap_remove(struct hd_strmap *m, const char *key, size_t key_size)
{
    if (m->capacity == 0) {
        return NULL;
    }
    size_t mask = m->capacity - 1;
    size_t hole = strmap_find(m, hd_hash_bytes(key, key_size), key, key_size);
    void *old = m->slots[hole].value;
    if (old == NULL) {
        return NULL;
    }
    free(m->slots[hole].key);
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct hd_strmap_slot){0};
    m->count--;
    return old;
}

bool hd_strmap_next(const struct hd_strmap *m, size_t *cursor, const char **ret_key,
                    void **ret_value)
{
    while (*cursor < m->capacity) {
        const struct hd_strmap_slot *slot = &m->slots[(*cursor)++];
        if (slot->value != NULL) {
            if (ret_key != NULL) {
                *ret_key = slot->key;
            }
            *ret_value = slot->value;
            return true;
        }
    }
    return false;
}
