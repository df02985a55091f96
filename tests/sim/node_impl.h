/* Between the store and the control of a simulated data node. */
#ifndef HD_TESTS_SIM_NODE_IMPL_H
#define HD_TESTS_SIM_NODE_IMPL_H

#include "tests/sim/node.h"

enum sim_news { SIM_RECEIVING, SIM_RECEIVED, SIM_DELETED };

/* An incremental report is due. */
void sim_node_says(struct sim *s, int n, const struct sim_replica *r, enum sim_news news);

void sim_replica_remove(struct sim *s, int n, struct sim_replica *r);
bool sim_node_spared(struct sim *s, int n, const struct sim_replica *r);

/* Copies `bytes` of the replica setup->id, in the running fiber; reaches from node to node. */
int sim_node_copy(struct sim *s, int from, int to, struct hd_write_setup *setup, uint64_t bytes);

int sim_node_recovery_init(struct sim *s, int n, uint64_t id, uint64_t gs, uint64_t recovery_id,
                           struct hd_recovery_answer *ret);
int sim_node_recovery_update(struct sim *s, int n, uint64_t id, uint64_t recovery_id,
                             uint64_t size);

#endif
