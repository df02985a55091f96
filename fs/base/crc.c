/* CRCs of crc.h: isa-l for the bytes, carry-less arithmetic for combining. */
#include "fs/base/crc.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"

#include <isa-l/crc.h>

uint32_t hd_crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0) { /* isa-l takes an int */
        size_t n = HD_MIN(size, (size_t)1 << 30);
        crc = ~crc32_iscsi((unsigned char *)(uintptr_t)p, (int)n, ~crc);
        p += n;
        size -= n;
    }
    return crc;
}

uint32_t hd_crc32(uint32_t crc, const void *data, size_t size)
{
    return crc32_gzip_refl(crc, data, size);
}

uint32_t hd_checksum(enum hd_checksum_type type, const void *data, size_t size)
{
    switch (type) {
    case HD_CHECKSUM_NULL:
        return 0;
    case HD_CHECKSUM_CRC32:
        return hd_crc32(0, data, size);
    case HD_CHECKSUM_CRC32C:
        return hd_crc32c(0, data, size);
    }
    hd_unreachable();
}

/* a * b modulo the polynomial, in the reflected domain (bit 31 is x^0). */
static uint32_t multiply_mod(uint32_t poly, uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = (uint32_t)1 << 31; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) {
            product ^= b;
        }
        b = (b & 1) != 0 ? (b >> 1) ^ poly : b >> 1;
    }
    return product;
}

uint32_t hd_checksum_combine(enum hd_checksum_type type, uint32_t crc_a, uint32_t crc_b,
                             uint64_t size_b)
{
    uint32_t poly = type == HD_CHECKSUM_CRC32 ? 0xEDB88320u : 0x82F63B78u;
    uint32_t power = (uint32_t)1 << 31;  /* x^0 */
    uint32_t square = (uint32_t)1 << 23; /* x^8: one byte */
    for (uint64_t n = size_b; n != 0; n >>= 1) {
        if ((n & 1) != 0) {
            power = multiply_mod(poly, power, square);
        }
        square = multiply_mod(poly, square, square);
    }
    return multiply_mod(poly, power, crc_a) ^ crc_b;
}

void hd_checksum_chunks(enum hd_checksum_type type, uint32_t bytes_per_checksum, const void *data,
                        size_t size, uint8_t *sums)
{
    const uint8_t *p = data;
    for (size_t at = 0; at < size; at += bytes_per_checksum, sums += 4) {
        size_t n = HD_MIN((size_t)bytes_per_checksum, size - at);
        hd_put_be32(sums, hd_checksum(type, p + at, n));
    }
}

int64_t hd_checksum_verify(enum hd_checksum_type type, uint32_t bytes_per_checksum,
                           const void *data, size_t size, const uint8_t *sums)
{
    const uint8_t *p = data;
    int64_t index = 0;
    for (size_t at = 0; at < size; at += bytes_per_checksum, sums += 4, index++) {
        size_t n = HD_MIN((size_t)bytes_per_checksum, size - at);
        if (hd_get_be32(sums) != hd_checksum(type, p + at, n)) {
            return index;
        }
    }
    return -1;
}
