/* Addresses: "host:port" text, blocking connect with a deadline, listening sockets. */
#ifndef HD_NET_ADDR_H
#define HD_NET_ADDR_H

#include <sys/socket.h>

enum { HD_ADDR_TEXT_BYTES = 300, HD_IP_TEXT_BYTES = 46 };

/* Splits "host:port" (or "[v6]:port"). -EINVAL with a failure text. fallback_port 0: port required.
 */
int hd_addr_split(const char *text, int fallback_port, char *host, size_t host_size, int *ret_port);

/*
 * Connects over TCP (TCP_NODELAY, close-on-exec, blocking descriptor) to the first address that
 * answers within timeout_ms in all. Errors: -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, ...
 */
int hd_addr_connect(const char *host, int port, int timeout_ms, int *ret_fd);
int hd_addr_connect_text(const char *address, int timeout_ms, int *ret_fd);

/*
 * The same from an address of this machine, so that the peer sees that one. source_ip is numeric;
 * NULL or "", or one from where the peer cannot be reached: as above.
 */
int hd_addr_connect_text_from(const char *source_ip, const char *address, int timeout_ms,
                              int *ret_fd);
int hd_addr_connect_unix(const char *path, int *ret_fd);

/*
 * Listens on "host:port" (port 0: any free one), non-blocking, SO_REUSEADDR. ret_port is the port
 * it got. -EADDRINUSE names the address in the failure text.
 */
int hd_addr_listen(const char *address, int *ret_fd, int *ret_port);
int hd_addr_listen_unix(const char *path, int *ret_fd); /* removes a stale socket file first */

/* The peer's (or own) numeric IP and port. */
int hd_addr_peer(int fd, char ip[HD_IP_TEXT_BYTES], int *ret_port);
int hd_addr_local(int fd, char ip[HD_IP_TEXT_BYTES], int *ret_port);

#endif
