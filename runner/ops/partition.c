/* See partition.h. */
#include "runner/ops/partition.h"

int32_t hd_hash_java_bytes(const uint8_t *key, size_t size)
{
    uint32_t h = 1;
    for (size_t i = 0; i < size; i++) {
        h = 31 * h + (uint32_t)(int32_t)(int8_t)key[i];
    }
    return (int32_t)h;
}

uint32_t hd_partition_hash(const uint8_t *key, size_t size, uint32_t reduces)
{
    return ((uint32_t)hd_hash_java_bytes(key, size) & 0x7fffffffu) % reduces;
}

uint32_t hd_partition_long(int64_t key, uint32_t reduces)
{
    return ((uint32_t)(uint64_t)key & 0x7fffffffu) % reduces;
}
