/*
 * Runs: sorted records on disk and on their way to a reduce (docs/formats.md, "Runs").
 *
 * A data file is the blocks of partition 0, then those of partition 1, and so on; an index says
 * where each partition lies and what is in it. A block is
 *
 *     u32 stored bytes | u32 raw bytes | u32 codec (0 plain, 1 lz4) | u32 CRC-32C     little-endian
 *     stored bytes
 *
 * where the checksum covers the twelve bytes before it and the stored bytes. Raw bytes are records,
 *
 *     varint shared | varint rest | varint value size | varint repeat | rest of the key | value
 *
 * the key being the first `shared` bytes of the key before and `rest` more (shared is 0 at the
 * start of a block). Equal records become one with a higher repeat as they are written.
 */
#ifndef HD_RUNNER_OPS_RUN_H
#define HD_RUNNER_OPS_RUN_H

#include "fs/base/buf.h"
#include "runner/ops/record.h"

enum {
    HD_RUN_BLOCK_HEADER_BYTES = 16,
    HD_RUN_BLOCK_BYTES =
        64 * 1024, /* raw size at which a block is closed; one record may exceed it */
    HD_RUN_PARTITIONS_MAX = 100000,
};

/* What an index holds of one partition. Two runs with equal records and hash hold equal records. */
struct hd_run_part {
    uint64_t offset;     /* in the data file */
    uint64_t size_bytes; /* blocks with their headers */
    uint64_t raw_bytes;  /* keys and values as often as they occur */
    uint64_t records;    /* repeats counted */
    uint64_t hash;       /* sum of hd_record_hash times repeat */
};

struct hd_run_index {
    uint32_t count;
    struct hd_run_part *parts; /* heap, owned */
};

int hd_run_index_init(struct hd_run_index *x, uint32_t count);
void hd_run_index_done(struct hd_run_index *x);
uint64_t hd_run_index_size_bytes(const struct hd_run_index *x); /* all partitions */

/* The index as a file: magic, version, count, parts, CRC-32C. decode: -HD_E_CORRUPT. */
int hd_run_index_encode(const struct hd_run_index *x, struct hd_buf *out);
int hd_run_index_decode(const uint8_t *data, size_t size, struct hd_run_index *ret);

/* ---- writing ---- */

struct hd_run_writer;

/* Creates the data file (truncating). Its partitions are written in order. */
int hd_run_writer_new(const char *path, uint32_t partitions, struct hd_run_writer **ret);

/* Adds a record; partitions and, within one, records in order. */
int hd_run_writer_add(struct hd_run_writer *w, uint32_t partition, const struct hd_record *r);

/* Writes what is buffered, fills the index (the caller's, to be freed by it), frees the writer. */
int hd_run_writer_finish(struct hd_run_writer *w, struct hd_run_index *ret);
void hd_run_writer_abort(struct hd_run_writer *w); /* takes NULL; removes the file */

/* ---- reading ---- */

/*
 * The records of one partition, from fd (borrowed; pread at part->offset). At the end the counts
 * and the hash are compared with the index: -HD_E_CORRUPT when they differ, as for a bad block.
 */
int hd_run_reader_new(int fd, const struct hd_run_part *part, struct hd_source **ret);

/* The same; closes fd at the end of its life, also when it fails. */
int hd_run_reader_new_owned(int fd, const struct hd_run_part *part, struct hd_source **ret);

#endif
