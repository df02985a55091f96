/* The scanner's lists and its small threads. See scanner.h; a directory's thread is scan_volume.c.
 */
#include "fs/data/shell/scanner.h"
#include "fs/base/error.h"
#include "fs/data/shell/bad_blocks.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/scanner_internal.h"
#include "fs/data/shell/workers.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    SUSPECT_THREADS = 2,
    SUSPECTS_WAITING_MAX = 1000,
    SUSPECT_REST_MS = 5000, /* the same replica is not checked more often */
    TELL_RETRY_MS = 500,
    TELL_AGAIN_MS = 20000, /* meta forgets with a restart */
};

bool hd_scanner_wait(struct hd_scanner *s, int64_t wait_ms)
{
    int64_t until_ms = hd_clock_mono_ms().v + wait_ms;
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&s->lock);
    uint64_t request = s->request;
    int err = 0;
    while (!s->stopping && s->request == request && err == 0) {
        err = pthread_cond_timedwait(&s->changed, &s->lock, &at);
    }
    bool on = !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return on;
}

/* --- findings --- */

void hd_scanner_note_lost(struct hd_scanner *s, const struct hd_block *b, const char *storage_id)
{
    hd_log_error("replica is gone from its directory; it will be copied from elsewhere",
                 "block=%" PRIu64 " stamp=%" PRIu64 " bytes=%" PRIu64 " storage=%s", b->id.v,
                 b->gs.v, b->size_bytes, storage_id);
    hd_reporter_deleted(s->data->reporter, b->id, b->gs, storage_id);
    pthread_mutex_lock(&s->lock);
    s->lost++;
    pthread_mutex_unlock(&s->lock);
}

void hd_scanner_note(struct hd_scanner *s, const struct hd_check *c, const char *why)
{
    if (c->finding == HD_CHECK_LOST) {
        hd_scanner_note_lost(s, &c->block, c->storage_id);
    }
    if (c->finding != HD_CHECK_BAD || !c->news) {
        return;
    }
    hd_log_error("replica is bad; it is reported, and will be made anew from a good one",
                 "block=%" PRIu64 " stamp=%" PRIu64 " storage=%s found_by=%s error=\"%s\"",
                 c->block.id.v, c->block.gs.v, c->storage_id, why, c->why);
    pthread_mutex_lock(&s->lock);
    s->bad++;
    s->news = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* --- suspects --- */

bool hd_scanner_is_suspicious(int err)
{
    return err == -HD_E_CORRUPT || err == -HD_E_TRUNCATED || err == -HD_E_CHECKSUM ||
           err == -ENOENT || err == -EIO;
}

struct suspicion {
    struct hd_scanner *scanner;
    struct hd_block_id id;
    char why[64];
};

static int go_on(void *ctx, uint64_t bytes, uint64_t elapsed_ns)
{
    struct hd_scanner *s = ctx;
    (void)bytes;
    (void)elapsed_ns;
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return stopping ? -ECANCELED : 0;
}

static void check_suspect(void *ctx)
{
    struct suspicion *q = ctx;
    struct hd_scanner *s = q->scanner;
    struct hd_check_options o = {.pace = go_on, .ctx = s};
    struct hd_check c;
    int err = hd_store_check_replica(s->data->store, q->id, &o, &c);
    if (err == 0) {
        hd_scanner_note(s, &c, q->why);
    }
    free(q);
}

/* Under the lock: false when it was asked a moment ago. */
static bool remember(struct hd_scanner *s, struct hd_block_id id)
{
    int64_t now_ms = hd_clock_mono_ms().v;
    for (int i = 0; i < HD_SUSPECTS_MAX; i++) {
        struct hd_suspect *r = &s->recent[i];
        if (r->id.v == id.v && r->asked_ms != 0 && now_ms - r->asked_ms < SUSPECT_REST_MS) {
            return false;
        }
    }
    s->recent[s->recent_at++ % HD_SUSPECTS_MAX] = (struct hd_suspect){id, now_ms};
    return true;
}

void hd_scanner_suspect(struct hd_scanner *s, struct hd_block_id id, const char *why)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    bool fresh = !s->stopping && remember(s, id);
    pthread_mutex_unlock(&s->lock);
    struct suspicion *q = fresh ? calloc(1, sizeof(*q)) : NULL;
    if (q == NULL) {
        return;
    }
    *q = (struct suspicion){.scanner = s, .id = id};
    snprintf(q->why, sizeof(q->why), "%s", why);
    if (hd_workers_run(s->workers, check_suspect, q) < 0) {
        free(q); /* the next reader, or the next pass, finds it */
    }
}

void hd_scanner_scan_all(struct hd_scanner *s)
{
    pthread_mutex_lock(&s->lock);
    s->request++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* --- the teller --- */

/* Until there is news, or time has passed; false when the scanner stops. */
static bool wait_for_news(struct hd_scanner *s, bool told)
{
    int64_t until_ms = hd_clock_mono_ms().v + (told ? TELL_AGAIN_MS : TELL_RETRY_MS);
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&s->lock);
    int err = 0;
    while (!s->stopping && (!told || !s->news) && err == 0) {
        err = pthread_cond_timedwait(&s->changed, &s->lock, &at);
    }
    bool on = !s->stopping;
    pthread_mutex_unlock(&s->lock);
    return on;
}

/* True when meta knows all. */
static bool tell(struct hd_scanner *s, struct hd_bad_replica *bad)
{
    pthread_mutex_lock(&s->lock);
    s->news = false;
    pthread_mutex_unlock(&s->lock);
    int n = hd_store_bad_replicas(s->data->store, bad, HD_BAD_BLOCKS_MAX);
    int err = n > 0 ? hd_bad_blocks_report(s->data, bad, n) : 0;
    if (err < 0) {
        hd_log_warn("bad replicas cannot be reported yet", "count=%d error=\"%s\"", n,
                    hd_fail_describe(err));
    }
    return err == 0;
}

static void *teller_main(void *arg)
{
    struct hd_scanner *s = arg;
    struct hd_bad_replica *bad = calloc(HD_BAD_BLOCKS_MAX, sizeof(*bad));
    bool told = true;
    while (bad != NULL && wait_for_news(s, told)) {
        told = hd_control_is_registered(s->data->control) && tell(s, bad);
    }
    free(bad);
    return NULL;
}

/* --- status --- */

void hd_scanner_status(struct hd_scanner *s, struct hd_scan_status *ret)
{
    bool none = true;
    pthread_mutex_lock(&s->lock);
    *ret = (struct hd_scan_status){.bad = s->bad, .lost = s->lost};
    for (int i = 0; i < s->volume_count; i++) {
        const struct hd_scan_volume *v = &s->volumes[i];
        const char *dir;
        const char *storage_id;
        if (!v->started || !hd_store_volume_at(s->data->store, i, &dir, &storage_id)) {
            continue;
        }
        const struct hd_scan_cursor *c = &v->cursor;
        ret->scanning = ret->scanning || v->served < s->request;
        ret->total += v->total;
        ret->done += c->pass_begin_ms != 0 ? c->pass_checked : c->full_checked;
        ret->last_scan_ms = none ? c->full_end_ms : HD_MIN(ret->last_scan_ms, c->full_end_ms);
        ret->oldest_check_ms =
            none ? c->full_begin_ms : HD_MIN(ret->oldest_check_ms, c->full_begin_ms);
        none = false;
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t hd_scanner_last_scan_ms(struct hd_scanner *s)
{
    struct hd_scan_status status = {0};
    if (s != NULL) {
        hd_scanner_status(s, &status);
    }
    return status.last_scan_ms;
}

/* --- start and stop --- */

int hd_scanner_start(struct hd_scanner *s)
{
    int err = hd_data_thread(&s->teller, false, teller_main, s);
    s->teller_started = err == 0;
    for (int i = 0; i < s->volume_count && err == 0; i++) {
        struct hd_scan_volume *v = &s->volumes[i];
        v->scanner = s;
        v->index = i;
        err = hd_data_thread(&v->thread, false, hd_scan_volume_main, v);
        pthread_mutex_lock(&s->lock);
        v->started = err == 0;
        pthread_mutex_unlock(&s->lock);
    }
    return err;
}

int hd_scanner_new(struct hd_data *d, struct hd_scanner **ret)
{
    struct hd_scanner *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&s->lock, NULL);
    hd_clock_cond_init(&s->changed);
    s->data = d;
    s->limits = (struct hd_scan_limits){.rate_bytes = d->options.scan_rate_bytes,
                                        .period_ms = (uint64_t)d->options.scan_period_ms};
    s->volume_count = hd_store_volume_count(d->store);
    int err = hd_workers_new(SUSPECT_THREADS, SUSPECTS_WAITING_MAX, &s->workers);
    if (err < 0) {
        hd_scanner_stop(s);
        return err;
    }
    *ret = s;
    return 0;
}

void hd_scanner_quit(struct hd_scanner *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void hd_scanner_stop(struct hd_scanner *s)
{
    if (s == NULL) {
        return;
    }
    hd_scanner_quit(s);
    for (int i = 0; i < s->volume_count; i++) {
        if (s->volumes[i].started) {
            pthread_join(s->volumes[i].thread, NULL);
        }
    }
    if (s->teller_started) {
        pthread_join(s->teller, NULL);
    }
    hd_workers_free(s->workers);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
