/*
 * The node's own RPC server: ClientDatanodeProtocol, InterDatanodeProtocol, howdah.DataProtocol.
 *
 *   getReplicaVisibleLength      length, or ReplicaNotFoundException
 *   getDatanodeInfo              versions and uptime
 *   getVolumeReport              one entry a directory
 *   triggerBlockReport           empty; the report follows
 *   getBalancerBandwidth         a fixed number; it is not throttled here
 *   initReplicaRecovery          what is here, RecoveryInProgressException, IOException
 *   updateReplicaUnderRecovery   storage id, IOException
 *   syncReplica                  empty, ReplicaNotFoundException, IOException of the disk
 *   scanReplicas                 empty; the scan has begun
 *   getScanStatus                how far it is
 *   witness                      whether it is accepted, and what is known; the disks' IOException
 *   anything else                RpcNoSuchMethodException
 *
 * Calls that touch disks or wait for a writer run on workers; the loop never blocks.
 */
#ifndef HD_DATA_SHELL_RPC_H
#define HD_DATA_SHELL_RPC_H

#include "fs/data/shell/data.h"

int hd_data_rpc_start(struct hd_data *d);

#endif
