/* The verdict of durable.h. */
#include "fs/client/core/durable.h"

enum hd_sync_verdict hd_sync_judge(const enum hd_replica_sync *replicas, size_t count,
                                   int64_t waited_ms)
{
    size_t done = 0;
    size_t pending = 0;
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        done += replicas[i] == HD_SYNC_DONE;
        pending += replicas[i] == HD_SYNC_PENDING;
        failed += replicas[i] == HD_SYNC_FAILED;
    }
    if (count > 0 && done == count) {
        return HD_SYNC_DURABLE;
    }
    bool enough = done >= HD_SYNC_COPIES_MIN;
    if (pending > 0 && (!enough || waited_ms < HD_SYNC_SILENCE_MS)) {
        return HD_SYNC_WAIT;
    }
    return enough && failed == 0 ? HD_SYNC_DURABLE : HD_SYNC_AGAIN;
}
