/*
 * The block scanner: reads finalized replicas before anybody needs them, and tells meta of those
 * that are not what their sums say, so that they are made anew from good copies.
 *
 *   a thread each   directory: compares its files with the map at start and hourly, and reads its
 *                   replicas through, politely, once a period (fs/data/core/scan_pace.h)
 *   suspects        replicas somebody had trouble with: checked at once, by two workers
 *   the teller      reports bad replicas to meta, and again until they are gone
 *
 * How far each directory is read is kept on it (fs/data/store/scan_cursor.h).
 */
#ifndef HD_DATA_SHELL_SCANNER_H
#define HD_DATA_SHELL_SCANNER_H

#include "fs/data/shell/data.h"

struct hd_scanner;

/* In two steps: control asks it for its times, and its threads report through control. */
int hd_scanner_new(struct hd_data *d, struct hd_scanner **ret);
int hd_scanner_start(struct hd_scanner *s);

/* First half of stopping: nothing new begins. Then stop joins, keeps the cursors, and frees. */
void hd_scanner_quit(struct hd_scanner *s); /* takes NULL */
void hd_scanner_stop(struct hd_scanner *s); /* takes NULL */

/*
 * Any thread; takes NULL. Somebody had trouble with the replica: it is checked now, unless it was a
 * moment ago. `why` is for the log.
 */
void hd_scanner_suspect(struct hd_scanner *s, struct hd_block_id id, const char *why);

/* True for errors that may mean that the replica, not the peer or the request, is at fault. */
bool hd_scanner_is_suspicious(int err);

/* Any thread: a whole pass over every directory, now and as fast as the disks give it. */
void hd_scanner_scan_all(struct hd_scanner *s);

/* Times are wall times, 0: never. */
struct hd_scan_status {
    bool scanning; /* asked for, and not ended yet */
    uint64_t total, done;
    uint64_t bad, lost;
    uint64_t last_scan_ms;    /* when every directory had been read through since */
    uint64_t oldest_check_ms; /* no replica's last check is older */
};
void hd_scanner_status(struct hd_scanner *s, struct hd_scan_status *ret);

/* The same for heartbeats. Takes NULL. */
uint64_t hd_scanner_last_scan_ms(struct hd_scanner *s);

#endif
