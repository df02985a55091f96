/*
 * Hash maps from a 64-bit number, and from a byte string, to a pointer. Open addressing with
 * robin-hood-free linear probing and backward-shift deletion; grows at three quarters full.
 *
 * Values are borrowed pointers, never NULL. Byte-string keys are copied. Iteration order means
 * nothing: no effect of a pure core may depend on it. Not thread safe.
 */
#ifndef HD_BASE_MAP_H
#define HD_BASE_MAP_H

struct hd_map_slot {
    uint64_t key;
    void *value; /* NULL: free */
};

struct hd_map {
    struct hd_map_slot *slots; /* heap, owned */
    size_t capacity;           /* a power of two, or 0 */
    size_t count;
};

void hd_map_init(struct hd_map *m);
void hd_map_done(struct hd_map *m);
void *hd_map_get(const struct hd_map *m, uint64_t key);      /* NULL when absent */
int hd_map_put(struct hd_map *m, uint64_t key, void *value); /* replaces; 0 or -ENOMEM */
int hd_map_reserve(struct hd_map *m, size_t count);  /* room for so many in all; or -ENOMEM */
void *hd_map_remove(struct hd_map *m, uint64_t key); /* the old value or NULL */

/* for (size_t i = 0; hd_map_next(m, &i, &key, &value);) ...; the map must not change meanwhile. */
bool hd_map_next(const struct hd_map *m, size_t *cursor, uint64_t *ret_key, void **ret_value);

struct hd_strmap_slot {
    uint64_t hash;
    char *key; /* heap, owned; NUL-terminated copy */
    size_t key_size;
    void *value; /* NULL: free */
};

struct hd_strmap {
    struct hd_strmap_slot *slots;
    size_t capacity;
    size_t count;
};

void hd_strmap_init(struct hd_strmap *m);
void hd_strmap_done(struct hd_strmap *m);
void *hd_strmap_get(const struct hd_strmap *m, const char *key, size_t key_size);
int hd_strmap_put(struct hd_strmap *m, const char *key, size_t key_size, void *value);
void *hd_strmap_remove(struct hd_strmap *m, const char *key, size_t key_size);
bool hd_strmap_next(const struct hd_strmap *m, size_t *cursor, const char **ret_key,
                    void **ret_value);

uint64_t hd_hash_u64(uint64_t v);
uint64_t hd_hash_bytes(const void *data, size_t size);

#endif
