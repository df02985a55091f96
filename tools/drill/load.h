/*
 * The checked workload of a drill: clients that know every byte and name the cluster acknowledged
 * to them.
 *
 *   writers    append records to a log and fsync each; write files, close and rename them
 *   readers    read acknowledged bytes again, at random, and compare
 *   metadata   make, rename and delete directories
 *   mount      writes, fsyncs and renames through the mount (only when asked for)
 *
 * Each client is a thread with a file system handle of its own, so none shares connections, caches
 * or leases with another. Every operation goes to the ledger with its outcome; one that failed may
 * have happened all the same and is "unknown".
 */
#ifndef HD_TOOLS_DRILL_LOAD_H
#define HD_TOOLS_DRILL_LOAD_H

#include "tools/cluster.h"
#include "tools/drill/ledger.h"

enum hd_op_class { HD_CLASS_READ, HD_CLASS_WRITE, HD_CLASS_METADATA, HD_CLASSES };
enum hd_phase { HD_PHASE_BEFORE, HD_PHASE_DURING, HD_PHASE_AFTER, HD_PHASES };

enum { HD_LOAD_ERRORS_MAX = 32 };

struct hd_load_options {
    const struct hd_cluster *cluster;
    const char *dir;    /* in the cluster; made by the load */
    const char *mount;  /* the same directory through the mount; NULL: no client there */
    const char *ledger; /* path of the ledger to make */
    uint64_t seed;
    int writers, readers, metadata;
    int retry_ms; /* how long libhowdah repeats a call; 0: its default */
};

/* How one kind of operation went in one phase. */
struct hd_load_stats {
    uint64_t count;
    double p50_ms, p99_ms, max_ms;
};

struct hd_load_error {
    char name[32]; /* "EIO" */
    uint64_t count;
    char text[160]; /* of the first */
};

struct hd_load_result {
    uint64_t acked; /* operations with a durable line in the ledger */
    uint64_t read;  /* reads that were compared */
    uint64_t wrong; /* reads that gave bytes nobody wrote there */
    char first_wrong[400];
    double longest_stall_s[HD_CLASSES]; /* from asking to success, repeats after errors included */
    struct hd_load_stats stats[HD_CLASSES][HD_PHASES];
    struct hd_load_error errors[HD_LOAD_ERRORS_MAX];
    size_t error_count;
    int broken; /* an error of the tool itself (the ledger); 0: none */
};

struct hd_load;

int hd_load_start(const struct hd_load_options *options, struct hd_load **ret);

/* What comes now is counted for this phase. */
void hd_load_phase(struct hd_load *l, enum hd_phase phase);

uint64_t hd_load_acked(struct hd_load *l);

/* A file that the drill itself wrote, closed and synced, counts as acknowledged too. */
int hd_load_adopt(struct hd_load *l, const char *path, const void *data, size_t size);

/* Bytes read by the drill itself that nobody had written there. */
void hd_load_blame(struct hd_load *l, const char *what);

/*
 * Asks the clients to end and waits for them, at most timeout_ms. -ETIMEDOUT with the clients
 * that still hang; then only hd_load_result may be called.
 */
int hd_load_stop(struct hd_load *l, int timeout_ms);

/* What was measured so far. */
void hd_load_result(struct hd_load *l, struct hd_load_result *ret);

/* Frees after a good hd_load_stop; takes NULL. */
void hd_load_free(struct hd_load *l);

#endif
