/*
 * The primary's side of high availability, around meta/core/quorum.h: what may be acknowledged, the
 * witnesses, and the moment at which this process must not answer any more. On the loop's thread;
 * the witnesses are asked by threads of their own.
 *
 * The list of witnesses is agreed on with the secondary, which has it on its disk: it grows by one
 * node at a time, and the next only when the secondary has the one before. So a majority of the
 * list of either always shares a node with a majority of the list of the other.
 */
#ifndef HD_META_SHELL_HA_H
#define HD_META_SHELL_HA_H

#include "fs/net/rpc_server.h"
#include "meta/core/quorum.h"
#include "meta/shell/witnesses.h"

struct hd_executor;
struct hd_ha;

/* Nothing is asked before start(). */
int hd_ha_new(struct hd_executor *x, struct hd_ha **ret);
void hd_ha_stop(struct hd_ha *h); /* waits for rounds; their posts still have to run. Takes NULL */
void hd_ha_free(struct hd_ha *h); /* takes NULL */

struct hd_txid hd_ha_committed(const struct hd_ha *h);
const struct hd_quorum *hd_ha_quorum(const struct hd_ha *h);

void hd_ha_durable(struct hd_ha *h, struct hd_txid durable);
void hd_ha_tick(struct hd_ha *h);

/* Once a turn at least: notices that the process did not run for a while. */
void hd_ha_look_at_clock(struct hd_ha *h);
/* True: no call is to be answered; hd_executor_resume() comes when that is over. */
bool hd_ha_in_doubt(const struct hd_ha *h);

/* A call of a data node: takes the epoch and the address out of it. False: it was answered. */
bool hd_ha_node_call(struct hd_ha *h, struct hd_rpc_call *call);
/* The answer to one (or any other: then nothing happens): gets our epoch, in place. */
void hd_ha_node_answer(struct hd_ha *h, const ProtobufCMessage *response);

/*
 * The secondary's fetchEdits, before anything else. False: it does not count. Its log is of an
 * earlier epoch (it learns ours from an answer, and starts over), or it has more of this epoch than
 * we have (then this is not the primary any more).
 */
bool hd_ha_follows(struct hd_ha *h, const Hdw__FetchEditsRequest *q);
/* One that counts: before it is looked at, and what its answer says. */
void hd_ha_fetch(struct hd_ha *h, const Hdw__FetchEditsRequest *q);
/* There is something to tell the secondary, though no record. */
bool hd_ha_has_news(const struct hd_ha *h);
void hd_ha_fetch_answer(struct hd_ha *h, Hdw__FetchEditsResponse *r);
void hd_ha_secondary_gone(struct hd_ha *h);

#endif
