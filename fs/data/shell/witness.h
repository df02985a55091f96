/*
 * This node as a witness of who is primary (fs/wire/witness.h): the state, in a file `witness` in
 * every healthy directory, durable before an answer says so. Any thread.
 */
#ifndef HD_DATA_SHELL_WITNESS_H
#define HD_DATA_SHELL_WITNESS_H

#include "fs/data/store/store.h"
#include "fs/net/addr.h"
#include "fs/wire/witness.h"

struct hd_witness_file;

struct hd_witness_state {
    struct hd_witness w;
    uint64_t txid;                    /* as the last accepted request gave it */
    char address[HD_ADDR_TEXT_BYTES]; /* of the primary of w.epoch; "" when unknown */
};

/* Reads what the directories have; the highest epoch and serial count. store is borrowed. */
int hd_witness_open(struct hd_store *store, struct hd_witness_file **ret);
void hd_witness_close(struct hd_witness_file *f); /* takes NULL */

void hd_witness_get(struct hd_witness_file *f, struct hd_witness_state *ret);

/*
 * One request; *ret is what the node has afterwards. 1: accepted and durable, 0: refused, or the
 * error of a disk (then nothing was promised). Blocks on the disks.
 */
int hd_witness_take(struct hd_witness_file *f, const struct hd_witness_request *r,
                    const char *address, uint64_t txid, struct hd_witness_state *ret);

#endif
