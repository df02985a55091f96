/* What every daemon does alike: the service manager's notifications and the stop signals. */
#ifndef HD_OS_DAEMON_H
#define HD_OS_DAEMON_H

#include <stdint.h>

/*
 * Sends a state ("READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...") to the socket named by
 * NOTIFY_SOCKET, as sd_notify(3) describes. Without the variable nothing happens.
 */
void hd_daemon_notify(const char *state);

/* Half of WATCHDOG_USEC in milliseconds: how often to send WATCHDOG=1. 0 without a watchdog. */
int64_t hd_daemon_watchdog_ms(void);

/*
 * Blocks SIGTERM, SIGINT and SIGHUP in the calling thread (call it before starting threads) and
 * ignores SIGPIPE; ret_fd is a signalfd on which they arrive.
 */
int hd_daemon_signals(int *ret_fd);

#endif
