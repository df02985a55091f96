/* What the clients of the workload share, and what each of them does. Inside load*.c. */
#ifndef HD_TOOLS_DRILL_LOAD_CLIENTS_H
#define HD_TOOLS_DRILL_LOAD_CLIENTS_H

#include "tools/drill/load_stats.h"
#include "fs/base/map.h"

#include <stdatomic.h>

struct hd_load_shared {
    char *dir;                     /* heap, owned */
    char *mount;                   /* heap, owned; NULL without one */
    struct hd_ledger *ledger;      /* owned */
    struct hd_load_counts *counts; /* heap, owned */
    atomic_bool stopping;
    atomic_size_t ended; /* clients */
    atomic_int broken;   /* the ledger cannot be written: nothing counts any more */
};

struct hd_load_client {
    struct hd_load_shared *shared;
    void (*run)(struct hd_load_client *c);
    uint32_t id;
    struct hd_fs *fs; /* its own */
    struct hd_prng prng;
    struct hd_load_waiting waiting;
    uint64_t serial; /* of its operations */
    uint8_t *data;   /* HD_LOAD_DATA_BYTES, heap, owned by run */
};

enum { HD_LOAD_DATA_BYTES = 256 * 1024 };

void hd_load_run_writer(struct hd_load_client *c);
void hd_load_run_reader(struct hd_load_client *c);
void hd_load_run_metadata(struct hd_load_client *c);
void hd_load_run_mount(struct hd_load_client *c);

/* True when the client is to end. */
bool hd_load_stopping(const struct hd_load_client *c);

/* Fills c->data with bytes of its own and returns how many: small ones more often than big ones. */
uint32_t hd_load_fill(struct hd_load_client *c);

/*
 * Notes how an operation ended. rc < 0: unknown, for nobody can say whether it happened. invoke_us
 * by hd_ledger_now_us.
 */
void hd_load_note(struct hd_load_client *c, struct hd_ledger_record *r, int rc);

#endif
