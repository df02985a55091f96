/*
 * The node's relation to meta: versionRequest, registerDatanode, heartbeats, full block reports, on
 * one connection whose end is news to meta; and the commands that come back.
 *
 * With two metas it goes to the one that answers as primary of the highest epoch it was a witness
 * of (witness.h). While none does, they are tried in turn every 200 ms, for ever.
 */
#ifndef HD_DATA_SHELL_CONTROL_H
#define HD_DATA_SHELL_CONTROL_H

#include "fs/data/shell/data.h"
#include "fs/base/arena.h"

#include "fs/data/shell/witness.h"

#include "datanode.pb-c.h"
#include "howdah.pb-c.h"

int hd_control_start(struct hd_data *d, struct hd_control **ret);

/* First half of stopping: no further turn, calls under way end. Then stop joins and frees. */
void hd_control_quit(struct hd_control *c); /* takes NULL */
void hd_control_stop(struct hd_control *c); /* takes NULL */

/* Any thread: a heartbeat now; with full_report the whole list too. */
void hd_control_wake(struct hd_control *c, bool full_report);

bool hd_control_is_registered(struct hd_control *c);

/* The registration as meta returned it, in the arena; also before the first one. NULL: no memory.
 */
Hdw__DatanodeRegistration *hd_control_registration(struct hd_control *c, struct hd_arena *arena);

/* One call of DatanodeProtocol on the control connection. Errors as hd_rpc_call. */
int hd_control_call(struct hd_control *c, const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *response_type, struct hd_arena *arena,
                    ProtobufCMessage **ret_response);

/* The same of howdah.PosixProtocol. */
int hd_control_posix_call(struct hd_control *c, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *response_type, struct hd_arena *arena,
                          ProtobufCMessage **ret_response);

/* howdah.DataProtocol.witness, as hd_witness_take; a new epoch's primary is followed at once. */
int hd_control_witness(struct hd_control *c, const Hdw__WitnessRequest *q,
                       struct hd_witness_state *ret);

/* This node in a message: DatanodeInfo with the id filled in. */
Hdw__DatanodeInfo *hd_control_self(struct hd_control *c, struct hd_arena *arena);

#endif
