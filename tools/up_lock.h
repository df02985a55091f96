/* What `up` and `down` share. */
#ifndef HD_TOOLS_UP_LOCK_H
#define HD_TOOLS_UP_LOCK_H

#include "tools/cluster.h"

/* DIR/run/up.lock, held until the descriptor is closed. Waits for another up or down. */
int hd_up_lock(const char *dir, int *ret_fd);

#endif
