/* Inside of the scanner: shared by scanner.c and scan_volume.c only. */
#ifndef HD_DATA_SHELL_SCANNER_INTERNAL_H
#define HD_DATA_SHELL_SCANNER_INTERNAL_H

#include "fs/data/core/scan_pace.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/store/check.h"
#include "fs/data/store/scan_cursor.h"

enum { HD_SUSPECTS_MAX = 256 };

/* One directory and its thread. */
struct hd_scan_volume {
    struct hd_scanner *scanner;
    int index; /* of the store */
    pthread_t thread;
    bool started;
    /* guarded by the scanner's lock */
    struct hd_scan_cursor cursor;
    uint64_t total;  /* replicas in the pass that runs, or ran last */
    uint64_t served; /* the request that has been carried out */
    /* the thread's own */
    bool loaded;          /* the cursor has been read */
    bool hurry;           /* the pass that runs was asked for */
    bool lengths_seen;    /* of all files, once since the start */
    bool left_told;       /* files without sums were logged */
    uint64_t serving;     /* the request it is for */
    int64_t reconcile_ms; /* monotonic: when next */
    int64_t save_ms;      /* monotonic: when the cursor is written next */
};

struct hd_suspect {
    struct hd_block_id id;
    int64_t asked_ms; /* monotonic */
};

struct hd_scanner {
    struct hd_data *data;
    struct hd_scan_limits limits;
    struct hd_workers *workers; /* suspects */
    pthread_t teller;
    bool teller_started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    bool news;        /* a bad replica that meta was not told of */
    uint64_t request; /* counts requests for a whole scan */
    uint64_t bad, lost;
    struct hd_suspect recent[HD_SUSPECTS_MAX]; /* ring of the last ones */
    unsigned recent_at;
    int volume_count;
    struct hd_scan_volume volumes[HD_STORE_VOLUMES_MAX];
};

/* Waits, up to wait_ms; false when the scanner stops. Under no lock. */
bool hd_scanner_wait(struct hd_scanner *s, int64_t wait_ms);

/* Logs, counts and reports what a check found. */
void hd_scanner_note(struct hd_scanner *s, const struct hd_check *c, const char *why);
void hd_scanner_note_lost(struct hd_scanner *s, const struct hd_block *b, const char *storage_id);

/* The thread of a directory. */
void *hd_scan_volume_main(void *volume);

#endif
