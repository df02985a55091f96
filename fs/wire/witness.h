/*
 * What a witness (a data node) keeps of who is primary, and which requests it accepts: the rule of
 * howdah.DataProtocol.witness (docs/protocol.md). meta/core/quorum.h builds on it. Pure.
 */
#ifndef HD_WIRE_WITNESS_H
#define HD_WIRE_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/* No cluster is promoted so often: what says more is nonsense, and believed by nobody. */
#define HD_EPOCH_MAX ((uint64_t)1 << 40)

struct hd_witness {
    uint64_t epoch;  /* 0: it was never asked, or has lost its disks: it vouches for nothing */
    uint64_t owner;  /* the primary of that epoch: a number it drew when it claimed it */
    uint64_t serial; /* of the last request */
    bool exposed;
};

struct hd_witness_request {
    uint64_t epoch;
    uint64_t owner;
    uint64_t serial; /* 0: the claim of a new epoch */
    bool exposed;
    bool ask_only;
    bool force; /* claim it although the primary acknowledges alone */
};

/* Whether a witness accepts; then *w is what it has to have on disk before it says so. */
bool hd_witness_ask(struct hd_witness *w, const struct hd_witness_request *r);

#endif
