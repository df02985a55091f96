/*
 * The fault table: what a drill asks this process to suffer. Empty at start and never stored; each
 * entry ends by itself after its time, and all end with the process.
 *
 * Points where a daemon touches disks, the network or the wall clock ask the table first. With no
 * entry for the kind of point that is one relaxed load and a branch. All functions are thread safe.
 *
 *   disk.delay  value ms before each operation on files below the target
 *   disk.error  each such operation fails with errno `value` (0: EIO)
 *   disk.full   `value` bytes are left below the target: writes use them up, then ENOSPC
 *   net.cut     nothing passes on TCP connections of the target, new ones and old ones, as if the
 *               packets were lost; what the kernel took meanwhile arrives when the fault is over
 *   net.delay   what arrives after a pause arrives `value` (at most 500) ms later
 *   clock.jump  the wall clock is off by `value` ms; monotonic time is not touched
 *
 * A target of disk.* is a directory or file; of net.* a port or host:port that either end of the
 * connection has; "" is everything. UNIX sockets are never cut.
 */
#ifndef HD_OS_FAULT_H
#define HD_OS_FAULT_H

#include <stdatomic.h>
#include <sys/socket.h>

enum {
    HD_FAULTS_MAX = 64,
    HD_FAULT_TARGET_BYTES = 1024,
    HD_FAULT_MS_MAX = 24 * 3600 * 1000,
    HD_FAULT_DELAY_MS_MAX = 500, /* of net.delay */
};

enum hd_fault_point {
    HD_FAULT_DISK_DELAY,
    HD_FAULT_DISK_ERROR,
    HD_FAULT_DISK_FULL,
    HD_FAULT_NET_CUT,
    HD_FAULT_NET_DELAY,
    HD_FAULT_CLOCK_JUMP,
};

struct hd_fault {
    enum hd_fault_point point;
    const char *target; /* NULL or "": everything */
    int64_t value;      /* ms, an errno, bytes: see above */
    uint64_t for_ms;    /* 1 to HD_FAULT_MS_MAX */
};

/* "disk.delay" and so on; -EINVAL with a sentence for anything else. */
int hd_fault_point_parse(const char *text, enum hd_fault_point *ret);
const char *hd_fault_point_name(enum hd_fault_point point);

/*
 * Replaces the whole table; count 0 heals. -EINVAL with a sentence when one entry is not good: the
 * table is then as it was. A host name is resolved here, which may block.
 */
int hd_fault_set(const struct hd_fault *faults, size_t count);

/* Entries that have not ended yet. */
size_t hd_fault_count(void);

/* One bit for each point that has entries; may be stale by moments. */
extern atomic_uint hd_fault_bits;

enum {
    HD_FAULT_BITS_DISK =
        1 << HD_FAULT_DISK_DELAY | 1 << HD_FAULT_DISK_ERROR | 1 << HD_FAULT_DISK_FULL,
    HD_FAULT_BITS_NET = 1 << HD_FAULT_NET_CUT | 1 << HD_FAULT_NET_DELAY,
    HD_FAULT_BITS_CLOCK = 1 << HD_FAULT_CLOCK_JUMP,
};

static inline bool hd_fault_any(unsigned bits)
{
    return (atomic_load_explicit(&hd_fault_bits, memory_order_relaxed) & bits) != 0;
}

/* --- disks (fs/os/io.h has the calls with these in front) --- */

enum hd_fault_op {
    HD_FAULT_OP_OTHER, /* reads, opens, syncs, renames: they need no room */
    HD_FAULT_OP_GROW,  /* bytes are needed, at least one */
};

/* 0, or -1 with errno set, as a system call; sleeps when it has to. */
int hd_fault_path_slow(enum hd_fault_op op, const char *path, size_t bytes);
int hd_fault_fd_slow(enum hd_fault_op op, int fd, size_t bytes);

static inline int hd_fault_path(enum hd_fault_op op, const char *path, size_t bytes)
{
    return hd_fault_any(HD_FAULT_BITS_DISK) ? hd_fault_path_slow(op, path, bytes) : 0;
}

static inline int hd_fault_fd(enum hd_fault_op op, int fd, size_t bytes)
{
    return hd_fault_any(HD_FAULT_BITS_DISK) ? hd_fault_fd_slow(op, fd, bytes) : 0;
}

/* Free space of the file system below path: what is real, or less. */
uint64_t hd_fault_free_bytes(const char *path, uint64_t real);

/* --- the network --- */

static inline bool hd_fault_net_any(void)
{
    return hd_fault_any(HD_FAULT_BITS_NET);
}

/* Does nothing pass on this socket now? By how much is what comes late? Neither waits. */
bool hd_fault_net_is_cut(int fd);
int64_t hd_fault_net_delay_ms(int fd);

/*
 * For blocking sockets, before each transfer: waits while the connection is cut, and its delay if
 * `arrived` (the bytes came after a wait). -ETIMEDOUT at deadline_ms of the monotonic clock. A
 * socket that was shut down passes: its transfer fails by itself.
 */
int hd_fault_net_pass(int fd, bool arrived, int64_t deadline_ms);

/* The same for a connection that is about to be made. */
int hd_fault_net_connect(const struct sockaddr *to, int64_t deadline_ms);

/*
 * Closes a socket. One that is cut is kept and closed when the cut is over, since its peer would
 * see the end.
 */
void hd_fault_net_close(int fd);

/* --- the clock --- */

/* What to add to the wall clock. */
int64_t hd_fault_clock_ms(void);

#endif
