/*
 * What the shell answers itself, without the core: howdah.PosixProtocol, howdah.MetaProtocol (but
 * blockHealth), and the calls of ClientProtocol that are about the log and its checkpoints.
 *
 * MetaProtocol and the administrative calls are for the superuser and the supergroup; getCluster is
 * for everybody. All functions on the loop's thread; nothing blocks.
 */
#ifndef HD_META_SHELL_SERVICE_H
#define HD_META_SHELL_SERVICE_H

#include "fs/base/types.h"
#include "fs/net/rpc_server.h"

struct hd_exec_conn;
struct hd_executor;
struct hd_meta_service;

int hd_service_new(struct hd_executor *x, struct hd_meta_service **ret);
/*
 * At the end, when the apply thread has ended: stop() ends the workers; after their last posts ran
 * on the loop, free() answers what is still waiting. Both take NULL.
 */
void hd_service_stop(struct hd_meta_service *s);
void hd_service_free(struct hd_meta_service *s);

/* True: the call is the shell's and has been taken. */
bool hd_service_call(struct hd_meta_service *s, struct hd_rpc_call *call);
/*
 * openSession: the core has answered; what the shell knows of the process and its store is added to
 * the OpenSessionResponse. conn NULL: it has closed meanwhile.
 */
void hd_service_session_opened(struct hd_meta_service *s, struct hd_exec_conn *conn,
                               ProtobufCMessage *response);
void hd_service_conn_closed(struct hd_meta_service *s, uint64_t conn_id);
void hd_service_durable(struct hd_meta_service *s); /* the durable txid went up */

/* fetchEdits: there may be an answer for some that wait; answer all, though there is nothing. */
void hd_service_fetches_wake(struct hd_meta_service *s);
void hd_service_fetches_answer(struct hd_meta_service *s);
/* Framed records first..last went to the log: kept for a while, so that they are not read back. */
void hd_service_recent_add(struct hd_meta_service *s, struct hd_txid first, struct hd_txid last,
                           const void *frames, size_t size);

#endif
