/* Comparing and hashing records. See record.h. */
#include "runner/ops/record.h"
#include "fs/base/bytes.h"
#include "fs/base/map.h"

static int compare_bytes(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
    int c = memcmp(a, b, HD_MIN(a_size, b_size));
    if (c != 0) {
        return c;
    }
    return (a_size > b_size) - (a_size < b_size);
}

int hd_record_compare(const struct hd_record *a, const struct hd_record *b)
{
    int c = compare_bytes(a->key, a->key_size, b->key, b->key_size);
    return c != 0 ? c : compare_bytes(a->value, a->value_size, b->value, b->value_size);
}

uint64_t hd_record_hash(const struct hd_record *r)
{
    return hd_hash_u64(hd_hash_bytes(r->key, r->key_size) * 31 +
                       hd_hash_bytes(r->value, r->value_size));
}

uint64_t hd_key_prefix(const uint8_t *key, size_t size)
{
    uint64_t v = 0;
    if (size >= sizeof(v)) {
        return hd_get_be64(key);
    }
    for (size_t i = 0; i < size; i++) {
        v |= (uint64_t)key[i] << (56 - 8 * i);
    }
    return v;
}
