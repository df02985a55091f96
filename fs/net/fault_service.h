/*
 * howdah.FaultProtocol: lets a drill fill the fault table of fs/os/fault.h. Every RPC server of a
 * process answers it, whatever else it serves; only when `[cluster] drills = on`, and only to the
 * user who runs the process, root, and members of the supergroup. Each change is an audit line.
 */
#ifndef HD_NET_FAULT_SERVICE_H
#define HD_NET_FAULT_SERVICE_H

#include "fs/net/rpc_server.h"
#include "fs/os/config.h"

extern const char hd_fault_protocol[]; /* "howdah.FaultProtocol" */

/* Once, before the first server. Without it drills are off. -HD_E_CONFIG. */
int hd_fault_service_init(const struct hd_config *config);

/*
 * Answers setFaults: SetFaultsResponse, AccessControlException, or IOException and
 * HadoopIllegalArgumentException with a sentence. On the loop's thread; a host name in a target is
 * resolved there.
 */
void hd_fault_service_call(struct hd_rpc_call *call);

#endif
