/*
 * Receiving a block: packets come down, are written and passed on; acknowledgements come up.
 *
 *   upstream ──packets──▶ receiving thread ──same bytes──▶ mirror (the next node)
 *                              │ written
 *   upstream ◀──acks──── responder thread ◀────acks────── mirror
 *
 * Without a mirror the receiving thread acknowledges itself. In copies between nodes there are no
 * acknowledgements at all. A small block that came in one go needs no second thread.
 */
#ifndef HD_DATA_SHELL_RECEIVE_H
#define HD_DATA_SHELL_RECEIVE_H

#include "fs/base/buf.h"
#include "fs/data/shell/data.h"
#include "fs/data/store/block_writer.h"
#include "fs/net/stream.h"

struct hd_receive;

struct hd_receive_options {
    struct hd_data *data;
    struct hd_stream *up;     /* packets come from here; borrowed */
    struct hd_stream *mirror; /* NULL: this node is the tail; borrowed */
    int nodes_below;          /* of the pipeline, for timeouts */
    bool acks;                /* a client's pipeline: acknowledge */
    const char *delete_hint;  /* for the report of the finished replica; NULL: none */

    /*
     * The whole block came with its request and has been sent down: one thread does all, and the
     * set-up reply and the acknowledgements go up in one send. `settle` puts the reply into `out`
     * once the next node's has come; its error ends the block with nothing sent.
     */
    bool whole;
    int (*settle)(void *ctx, struct hd_buf *out);
    void *settle_ctx;
};

/*
 * The two steps around opening the block writer: new gives what the writer's interrupt needs (it
 * shuts the sockets down), run takes the writer (borrowed) and moves the block.
 *
 * run returns 0 when the last packet was written and acknowledged; else the error that ended it.
 * The finished replica has been reported to meta.
 */
int hd_receive_new(const struct hd_receive_options *options, struct hd_receive **ret);
void hd_receive_free(struct hd_receive *r); /* takes NULL; after the writer was closed */
void hd_receive_interrupt(void *receive);
void hd_receive_set_mirror(struct hd_receive *r, struct hd_stream *mirror);
int hd_receive_run(struct hd_receive *r, struct hd_block_writer *writer);

/* Reports a replica that takes the place of a hole, before anybody writes to it; waits likewise. */
void hd_receive_report_made(struct hd_data *d, struct hd_block_writer *w);

/* Reports a finished replica and waits a bounded time for meta to know; one being written: no wait.
 */
void hd_receive_report(struct hd_data *d, struct hd_block_writer *w, const char *delete_hint);

#endif
