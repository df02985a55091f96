/* The checked workload of a drill: its threads. See load.h; load_clients.c has what they do. */
#include "tools/drill/call.h"
#include "tools/drill/load_clients.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum { CLIENTS_MAX = 64, JOIN_EVERY_MS = 20 };

struct hd_load {
    struct hd_load_shared shared;
    struct hd_load_client *clients; /* heap, owned */
    pthread_t threads[CLIENTS_MAX];
    size_t count;
};

static void *run_client(void *ctx)
{
    struct hd_load_client *c = ctx;
    c->run(c);
    hd_load_give_up(c->shared->counts, &c->waiting);
    atomic_fetch_add(&c->shared->ended, 1);
    return NULL;
}

static int start_client(struct hd_load *l, const struct hd_load_options *o,
                        void (*run)(struct hd_load_client *))
{
    struct hd_load_client *c = &l->clients[l->count];
    *c = (struct hd_load_client){.shared = &l->shared, .run = run, .id = (uint32_t)l->count};
    c->prng.state = hd_hash_u64(o->seed ^ (uint64_t)l->count);
    int rc = hd_drill_open_fs(o->cluster, "howdah-drill", o->retry_ms, &c->fs);
    if (rc < 0) {
        return rc;
    }
    int e = pthread_create(&l->threads[l->count], NULL, run_client, c);
    if (e != 0) {
        hd_fs_close(c->fs);
        return hd_fail_errno(e, "thread");
    }
    l->count++;
    return 0;
}

static int start_many(struct hd_load *l, const struct hd_load_options *o, int count,
                      void (*run)(struct hd_load_client *))
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        rc = l->count < CLIENTS_MAX ? start_client(l, o, run)
                                    : hd_fail(-EINVAL, "more than %d clients", CLIENTS_MAX);
    }
    return rc;
}

/* The folder of the drill, made before any client needs it. */
static int make_folder(const struct hd_load_options *o)
{
    struct hd_fs *fs;
    int rc = hd_drill_open_fs(o->cluster, "howdah-drill", o->retry_ms, &fs);
    if (rc == 0) {
        rc = hd_fs_mkdir(fs, o->dir, 0755, true);
        hd_fs_close(fs);
    }
    return rc;
}

int hd_load_start(const struct hd_load_options *o, struct hd_load **ret)
{
    struct hd_load *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    l->shared.dir = strdup(o->dir);
    l->shared.mount = o->mount != NULL ? strdup(o->mount) : NULL;
    l->shared.counts = calloc(1, sizeof(*l->shared.counts));
    l->clients = calloc(CLIENTS_MAX, sizeof(*l->clients));
    if (l->shared.dir == NULL || l->shared.counts == NULL || l->clients == NULL) {
        free(l->shared.counts);
        l->shared.counts = NULL;
        hd_load_free(l);
        return -ENOMEM;
    }
    hd_load_counts_init(l->shared.counts);
    int rc = hd_ledger_open(o->ledger, &l->shared.ledger);
    rc = rc == 0 ? make_folder(o) : rc;
    rc = rc == 0 ? start_many(l, o, o->writers, hd_load_run_writer) : rc;
    rc = rc == 0 ? start_many(l, o, o->readers, hd_load_run_reader) : rc;
    rc = rc == 0 ? start_many(l, o, o->metadata, hd_load_run_metadata) : rc;
    rc = rc == 0 && o->mount != NULL ? start_many(l, o, 1, hd_load_run_mount) : rc;
    if (rc < 0) {
        int stopped = hd_load_stop(l, 60000);
        if (stopped == 0) {
            hd_load_free(l);
        }
        return rc;
    }
    *ret = l;
    return 0;
}

void hd_load_phase(struct hd_load *l, enum hd_phase phase)
{
    pthread_mutex_lock(&l->shared.counts->lock);
    l->shared.counts->phase = phase;
    pthread_mutex_unlock(&l->shared.counts->lock);
}

uint64_t hd_load_acked(struct hd_load *l)
{
    return hd_ledger_acked(l->shared.ledger);
}

int hd_load_adopt(struct hd_load *l, const char *path, const void *data, size_t size)
{
    struct hd_ledger_record r = {.op = HD_DID_PUT,
                                 .ack = HD_ACK_SYNCED,
                                 .result = HD_RESULT_OK,
                                 .client = CLIENTS_MAX,
                                 .size_bytes = (uint32_t)size};
    snprintf(r.path, sizeof(r.path), "%s", path);
    r.invoke_us = r.ack_us = hd_ledger_now_us(l->shared.ledger);
    hd_sha256(data, size, r.sha256);
    return hd_ledger_add(l->shared.ledger, &r);
}

void hd_load_blame(struct hd_load *l, const char *what)
{
    pthread_mutex_lock(&l->shared.counts->lock);
    struct hd_load_result *result = &l->shared.counts->result;
    if (result->wrong++ == 0) {
        snprintf(result->first_wrong, sizeof(result->first_wrong), "%s", what);
    }
    pthread_mutex_unlock(&l->shared.counts->lock);
}

int hd_load_stop(struct hd_load *l, int timeout_ms)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + timeout_ms;
    atomic_store(&l->shared.stopping, true);
    while (atomic_load(&l->shared.ended) < l->count) {
        if (hd_clock_mono_ms().v >= deadline_ms) {
            return hd_fail(-ETIMEDOUT, "%zu clients of the workload hang",
                           l->count - (size_t)atomic_load(&l->shared.ended));
        }
        hd_clock_sleep_ms(JOIN_EVERY_MS);
    }
    for (size_t i = 0; i < l->count; i++) {
        pthread_join(l->threads[i], NULL);
        hd_fs_close(l->clients[i].fs);
    }
    l->count = 0;
    atomic_store(&l->shared.ended, 0);
    return 0;
}

void hd_load_result(struct hd_load *l, struct hd_load_result *ret)
{
    hd_load_counts_result(l->shared.counts, ret);
    ret->acked = hd_ledger_acked(l->shared.ledger);
    ret->broken = atomic_load(&l->shared.broken);
}

void hd_load_free(struct hd_load *l)
{
    if (l == NULL) {
        return;
    }
    hd_ledger_close(l->shared.ledger);
    if (l->shared.counts != NULL) {
        hd_load_counts_done(l->shared.counts);
    }
    free(l->shared.counts);
    free(l->shared.dir);
    free(l->shared.mount);
    free(l->clients);
    free(l);
}
