/*
 * The ledger of a drill: one line for each operation a client of the workload did, in a file that
 * does not lie in the cluster. An operation counts as acknowledged only once its line is durable,
 * so a line that is there is a promise the cluster made.
 *
 *   t_invoke t_ack client op path off len sha256 ack result
 *
 * Times are microseconds since the ledger was opened. op: append, put, mkdir, rename (path is
 * "from>to"), delete. ack: synced, written, none. result: ok, fail, unknown. A line without its
 * newline was torn by a crash and promises nothing.
 */
#ifndef HD_TOOLS_DRILL_LEDGER_H
#define HD_TOOLS_DRILL_LEDGER_H

#include "fs/base/prng.h"

enum hd_ledger_op { HD_DID_APPEND, HD_DID_PUT, HD_DID_MKDIR, HD_DID_RENAME, HD_DID_DELETE };
enum hd_ledger_ack { HD_ACK_NONE, HD_ACK_WRITTEN, HD_ACK_SYNCED };
enum hd_ledger_result { HD_RESULT_OK, HD_RESULT_FAIL, HD_RESULT_UNKNOWN };

enum { HD_LEDGER_PATH_BYTES = 320, HD_SHA256_BYTES = 32, HD_LEDGER_MAX = 1000000 };

struct hd_ledger_record {
    uint64_t invoke_us, ack_us;
    uint32_t client;
    enum hd_ledger_op op;
    enum hd_ledger_ack ack;
    enum hd_ledger_result result;
    uint64_t offset;
    uint32_t size_bytes;
    uint8_t sha256[HD_SHA256_BYTES]; /* of the bytes; zeros where an operation has none */
    char path[HD_LEDGER_PATH_BYTES]; /* without blanks */
};

struct hd_ledger;

/* Makes the file; -EEXIST when it is there. */
int hd_ledger_open(const char *path, struct hd_ledger **ret);
void hd_ledger_close(struct hd_ledger *l); /* takes NULL */

uint64_t hd_ledger_now_us(const struct hd_ledger *l);

/*
 * Adds a record and returns when it is durable: threads that come together share one fdatasync.
 * After a failed write every call fails. Any thread.
 */
int hd_ledger_add(struct hd_ledger *l, const struct hd_ledger_record *r);

/* A random acknowledged record with bytes to read again; false while there is none. Any thread. */
bool hd_ledger_pick(struct hd_ledger *l, struct hd_prng *prng, struct hd_ledger_record *ret);

/* Operations acknowledged so far. Any thread. */
uint64_t hd_ledger_acked(struct hd_ledger *l);

/* One line with its newline; and back. decode: -HD_E_BAD_MESSAGE. */
int hd_ledger_encode(const struct hd_ledger_record *r, char *out, size_t size);
int hd_ledger_decode(const char *line, struct hd_ledger_record *ret);

/* Every whole line of a ledger, in the order of the file, on the heap. */
int hd_ledger_load(const char *path, struct hd_ledger_record **ret, size_t *ret_count);

/* SHA-256 of some bytes; zeros when it cannot be computed. */
void hd_sha256(const void *data, size_t size, uint8_t out[HD_SHA256_BYTES]);

#endif
