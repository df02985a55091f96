/*
 * CRC-32 (polynomial 0x04C11DB7, reflected) and CRC-32C (0x1EDC6F41, reflected), initial value and
 * final xor 0xFFFFFFFF: checksum types 1 and 2 of the data transfer protocol. Hardware paths by
 * isa-l.
 */
#ifndef HD_BASE_CRC_H
#define HD_BASE_CRC_H

enum hd_checksum_type { HD_CHECKSUM_NULL = 0, HD_CHECKSUM_CRC32 = 1, HD_CHECKSUM_CRC32C = 2 };

/* Whole-buffer checksums. crc is 0 at the start, or the value so far to go on. */
uint32_t hd_crc32c(uint32_t crc, const void *data, size_t size);
uint32_t hd_crc32(uint32_t crc, const void *data, size_t size);

/* By type; 0 for HD_CHECKSUM_NULL. */
uint32_t hd_checksum(enum hd_checksum_type type, const void *data, size_t size);

/* crc(A followed by B) from crc(A), crc(B) and the size of B. */
uint32_t hd_checksum_combine(enum hd_checksum_type type, uint32_t crc_a, uint32_t crc_b,
                             uint64_t size_b);

/*
 * Chunk sums of a run: ceil(size / bytes_per_checksum) values of 4 bytes big-endian each, into
 * `sums` or compared with it. verify returns the index of the first bad chunk or -1 if all agree.
 */
void hd_checksum_chunks(enum hd_checksum_type type, uint32_t bytes_per_checksum, const void *data,
                        size_t size, uint8_t *sums);
int64_t hd_checksum_verify(enum hd_checksum_type type, uint32_t bytes_per_checksum,
                           const void *data, size_t size, const uint8_t *sums);

#endif
