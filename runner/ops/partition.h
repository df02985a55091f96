/* Which reduce gets a key: Hadoop's functions, to the bit. */
#ifndef HD_RUNNER_OPS_PARTITION_H
#define HD_RUNNER_OPS_PARTITION_H

/* WritableComparator.hashBytes: h = 1, then h = 31 * h + byte (signed) in 32 bits. */
int32_t hd_hash_java_bytes(const uint8_t *key, size_t size);

/* HashPartitioner: (hash & 0x7fffffff) % reduces. reduces > 0. */
uint32_t hd_partition_hash(const uint8_t *key, size_t size, uint32_t reduces);

/* The same for a number as LongWritable, the key of lines without a mapper. */
uint32_t hd_partition_long(int64_t key, uint32_t reduces);

#endif
