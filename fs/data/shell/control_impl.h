/* What control.c (the thread) and control_meta.c (which meta it talks to) share. */
#ifndef HD_DATA_SHELL_CONTROL_IMPL_H
#define HD_DATA_SHELL_CONTROL_IMPL_H

#include "fs/data/shell/control.h"
#include "fs/data/store/layout.h"
#include "fs/net/rpc_client.h"

#include <pthread.h>

struct hd_control {
    struct hd_data *data;
    struct hd_rpc_client *client;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct hd_witness_file *witness;       /* own lock */
    char addresses[2][HD_ADDR_TEXT_BYTES]; /* of the metas */
    int address_count;
    int at;           /* the one that is followed */
    int64_t stick_ms; /* no other is tried before */
    bool registered;
    uint64_t connection; /* of the client when we registered */
    char ip[HD_IP_TEXT_BYTES];
    char cluster_id[HD_LAYOUT_ID_BYTES];
    uint32_t namespace_id;
    uint64_t ctime_ms;
    bool woken;
    bool full_report;
    bool stopping;
    /* the control thread's own */
    uint64_t lease_id;
    int64_t next_check_ms;
    int64_t next_full_ms;
    int failures_told;
    bool away_told;
};

/* --- control_meta.c; any thread --- */

/* The address of the meta that is followed; stays valid. */
const char *hd_control_meta(struct hd_control *c);
/* It does not answer, or not as the primary: the other one may. */
void hd_control_try_other(struct hd_control *c);
/* The highest epoch this node was a witness of. */
uint64_t hd_control_epoch(struct hd_control *c);
/* -HD_E_STANDBY: the answer came from a meta of an epoch that is over; it must not be obeyed. */
int hd_control_check_epoch(struct hd_control *c, bool has_epoch, uint64_t epoch);

#endif
