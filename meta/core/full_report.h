/*
 * Full block reports: everything that a node's storages hold, against what the map says they hold.
 *
 * A small report is taken in within its step. A large one is kept and taken in some thousand
 * replicas a step, with other calls in between, and answered at the end; the node counts as heard
 * meanwhile. What the node tells of single blocks during that time is newer than the report, and
 * the report's word about them is passed over.
 */
#ifndef HD_META_CORE_FULL_REPORT_H
#define HD_META_CORE_FULL_REPORT_H

#include "fs/base/types.h"
#include "datanode.pb-c.h"

struct hd_call;
struct hd_meta;
struct hd_node;

enum { HD_FULL_REPORT_AT_ONCE_BYTES = 64 << 10 };

/*
 * Takes the report of the call in. 0: all of it; HD_LATER: it goes on in the steps to come, and the
 * call is answered then; or an error, with its text.
 */
int hd_full_report_take(struct hd_call *c, struct hd_node *node, const Hdw__BlockReportRequest *q);

/* Looks at that many replicas of kept reports. True: there are more. */
bool hd_full_report_work(struct hd_meta *m, uint32_t most);

/* The node registers anew, is dead, or reports again: what it was reporting holds no more. */
void hd_full_report_cancel(struct hd_meta *m, struct hd_node *node);

/* The node has told of this block by itself. */
void hd_full_report_touch(struct hd_node *node, struct hd_block_id id);

/* Frees what is left, without answers. */
void hd_full_reports_done(struct hd_meta *m);

#endif
