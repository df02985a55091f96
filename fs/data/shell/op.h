/*
 * One transfer connection: requests (version 28, op code, message) and their handlers.
 *
 * A handler runs on the connection's thread and returns whether the connection may serve another
 * request. Replies go out in one send each.
 */
#ifndef HD_DATA_SHELL_OP_H
#define HD_DATA_SHELL_OP_H

#include "fs/base/buf.h"
#include "fs/data/shell/data.h"
#include "fs/net/stream.h"

#include "data_transfer.pb-c.h"

struct hd_receive;

/* Clients of ours keep connections and send a small block in one go. */
#define HD_OWN_CLIENT_PREFIX "howdah"

struct hd_conn {
    struct hd_data *data;
    struct hd_list link;        /* data->conns.list; conns.lock */
    struct hd_stream stream;    /* stream.fd may be shut down by others while the conn is listed */
    struct hd_arena arena;      /* of the request under way */
    struct hd_receive *receive; /* of a write under way, so that stopping can cut it; conns.lock */
    bool is_unix;
    bool own_client;                 /* the last request came from a client of ours */
    char peer[HD_IP_TEXT_BYTES + 8]; /* for logs */
};

enum hd_op_result { HD_OP_CLOSE, HD_OP_KEEP };

/* Takes the socket; serves it on a thread of its own, or closes it when there are too many. */
void hd_conn_start(struct hd_data *d, int fd, bool is_unix);
void hd_conn_set_receive(struct hd_conn *c, struct hd_receive *receive);
void hd_conns_stop(struct hd_data *d); /* shuts all down and waits for them */

/* A BlockOpResponse; first_bad_link and message may be NULL (left out). */
int hd_op_reply(struct hd_conn *c, Hdw__Status status, const char *first_bad_link,
                const char *message);

/* The same, put behind what `out` holds. */
int hd_op_reply_add(struct hd_buf *out, Hdw__Status status, const char *first_bad_link);

/* "BP-...:blk_1_1001" in the connection's arena. */
const char *hd_op_block_text(struct hd_conn *c, const Hdw__ExtendedBlock *b);

/* The class and the text of an error as Hadoop's nodes word it: "opReadBlock B received exception
 * C: T". */
const char *hd_op_exception_text(struct hd_conn *c, const char *op, const Hdw__ExtendedBlock *b,
                                 int err, const char *text);

/* --- handlers: message decoded, pool known to be ours --- */
enum hd_op_result hd_op_write(struct hd_conn *c, const Hdw__OpWriteBlock *op);
enum hd_op_result hd_op_read(struct hd_conn *c, const Hdw__OpReadBlock *op);
enum hd_op_result hd_op_checksum(struct hd_conn *c, const Hdw__OpBlockChecksum *op);
enum hd_op_result hd_op_copy(struct hd_conn *c, const Hdw__OpCopyBlock *op);
enum hd_op_result hd_op_replace(struct hd_conn *c, const Hdw__OpReplaceBlock *op);
enum hd_op_result hd_op_transfer(struct hd_conn *c, const Hdw__OpTransferBlock *op);
enum hd_op_result hd_op_short_circuit_fds(struct hd_conn *c,
                                          const Hdw__OpRequestShortCircuitAccess *op);
enum hd_op_result hd_op_short_circuit_release(struct hd_conn *c);
enum hd_op_result hd_op_short_circuit_shm(struct hd_conn *c);

#endif
