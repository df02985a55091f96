/* Full block reports: replicas as the byte strings of StorageBlockReport.blocksBuffers. Pure. */
#ifndef HD_DATA_CORE_REPORT_H
#define HD_DATA_CORE_REPORT_H

#include "fs/base/buf.h"
#include "fs/data/core/replica.h"

/* The largest byte string; a report is cut into pieces of this, anywhere. */
enum { HD_REPORT_PIECE_BYTES = 65536 };

/* The state of a replica whose machine lost power after it was changed in place. */
enum { HD_REPORT_DIRTY = 5 };

/* Appends one replica: zig-zag id, length, generation stamp, state. 0 or the errors of hd_buf. */
int hd_report_add(struct hd_buf *out, const struct hd_replica *r);

#endif
