/*
 * Incremental reports to meta: what this node received and deleted.
 *
 * RECEIVED is sent at once, together with whatever else waits; DELETED waits for company or for a
 * moment. What cannot be sent is kept and tried again when the node is registered.
 */
#ifndef HD_DATA_SHELL_REPORTER_H
#define HD_DATA_SHELL_REPORTER_H

#include "fs/data/shell/data.h"

int hd_reporter_start(struct hd_data *d, struct hd_reporter **ret);
void hd_reporter_stop(struct hd_reporter *r); /* takes NULL */

/* A replica is being written here: meta shall know where, should its writer die. Does not wait. */
void hd_reporter_receiving(struct hd_reporter *r, const struct hd_replica *replica,
                           const char *storage_id);

/* The same of one that takes the place of a hole: until meta knows, readers are shown the hole.
 * Waits as the next. */
void hd_reporter_made(struct hd_reporter *r, const struct hd_replica *replica,
                      const char *storage_id, int64_t wait_ms);

/* Any thread. Waits up to wait_ms until meta has it; after that it is merely queued. */
void hd_reporter_received(struct hd_reporter *r, const struct hd_replica *replica,
                          const char *storage_id, const char *delete_hint, int64_t wait_ms);
void hd_reporter_deleted(struct hd_reporter *r, struct hd_block_id id, struct hd_genstamp gs,
                         const char *storage_id);

/* The connection to meta is registered (again): what waits can be sent. */
void hd_reporter_wake(struct hd_reporter *r);

#endif
