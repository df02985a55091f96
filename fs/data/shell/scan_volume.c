/* Reading one directory through. See scanner.h. */
#include "fs/base/error.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/scanner_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    FIRST_RECONCILE_MS = 5000, /* with lengths: a power cut may have left its marks */
    FIRST_PASS_MS = 60000,     /* a start has better to do */
    RECONCILE_MS = 3600 * 1000,
    SAVE_MS = 30000,
    IDLE_MS = 60000,
    UNBOUND_MS = 1000,
    NICE = 15,
    IOPRIO_IDLE = 3 << 13, /* linux/ioprio.h: class idle */
    IOPRIO_LOW = 2 << 13 | 7,
    IOPRIO_THREAD = 1,
};

/* Everybody else's reads go first; when somebody waits for the scan, nearly everybody's. */
static void be_polite(bool hurry)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    setpriority(PRIO_PROCESS, (id_t)self, NICE);
    syscall(SYS_ioprio_set, IOPRIO_THREAD, self, hurry ? IOPRIO_LOW : IOPRIO_IDLE);
}

static bool pool_dir(const struct hd_scan_volume *v, char out[HD_LAYOUT_PATH_BYTES])
{
    const char *dir;
    const char *storage_id;
    struct hd_store *store = v->scanner->data->store;
    if (!hd_store_volume_at(store, v->index, &dir, &storage_id)) {
        return false;
    }
    return snprintf(out, HD_LAYOUT_PATH_BYTES, "%s/current/%s/current", dir,
                    hd_store_pool_id(store)) < HD_LAYOUT_PATH_BYTES;
}

static void save(struct hd_scan_volume *v)
{
    char dir[HD_LAYOUT_PATH_BYTES];
    pthread_mutex_lock(&v->scanner->lock);
    struct hd_scan_cursor cursor = v->cursor;
    pthread_mutex_unlock(&v->scanner->lock);
    if (pool_dir(v, dir) && hd_scan_cursor_write(dir, &cursor) < 0) {
        hd_log_warn("the scanner's bookmark cannot be kept", "dir=%s error=\"%s\"", dir,
                    hd_fail_text());
    }
    v->save_ms = hd_clock_mono_ms().v + SAVE_MS;
}

static void load(struct hd_scan_volume *v)
{
    char dir[HD_LAYOUT_PATH_BYTES];
    struct hd_scan_cursor cursor = {0};
    if (pool_dir(v, dir)) {
        hd_scan_cursor_read(dir, &cursor);
    }
    pthread_mutex_lock(&v->scanner->lock);
    v->cursor = cursor;
    v->total = cursor.full_checked;
    pthread_mutex_unlock(&v->scanner->lock);
    v->loaded = true;
}

static bool is_stopping(struct hd_scanner *s)
{
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return stopping;
}

/* Somebody asked for a scan that this directory has not begun. */
static bool is_asked(struct hd_scan_volume *v, uint64_t *ret_request)
{
    pthread_mutex_lock(&v->scanner->lock);
    *ret_request = v->scanner->request;
    bool asked = v->scanner->request > HD_MAX(v->served, v->hurry ? v->serving : 0);
    pthread_mutex_unlock(&v->scanner->lock);
    return asked;
}

/* After each piece: rests, and stops for a stop or for somebody who wants it faster. */
static int pace(void *ctx, uint64_t bytes, uint64_t elapsed_ns)
{
    struct hd_scan_volume *v = ctx;
    uint64_t request;
    uint64_t wait_ns = hd_scan_wait_ns(&v->scanner->limits, bytes, elapsed_ns, v->hurry);
    bool on = wait_ns < 1000000 ? !is_stopping(v->scanner)
                                : hd_scanner_wait(v->scanner, (int64_t)(wait_ns / 1000000));
    return !on || is_asked(v, &request) ? -ECANCELED : 0;
}

/* --- comparing names --- */

static int go_on(void *ctx, uint64_t bytes, uint64_t elapsed_ns)
{
    const struct hd_scan_volume *v = ctx;
    (void)bytes;
    (void)elapsed_ns;
    return is_stopping(v->scanner) ? -ECANCELED : 0;
}

static void check_now(struct hd_scan_volume *v, struct hd_block_id id)
{
    struct hd_check_options o = {.pace = go_on, .ctx = v};
    struct hd_check c;
    if (hd_store_check_replica(v->scanner->data->store, id, &o, &c) == 0) {
        hd_scanner_note(v->scanner, &c, "lengths");
    }
}

static int note_stray(void *ctx, const struct hd_stray_found *f)
{
    struct hd_scan_volume *v = ctx;
    struct hd_scanner *s = v->scanner;
    struct hd_replica r = {.id = f->block.id, .gs = f->block.gs, .size_bytes = f->block.size_bytes};
    switch (f->kind) {
    case HD_STRAY_LOST:
        hd_scanner_note_lost(s, &f->block, f->storage_id);
        break;
    case HD_STRAY_ADOPTED:
        hd_log_warn("replica found that was not known; it is offered to meta",
                    "block=%" PRIu64 " stamp=%" PRIu64 " bytes=%" PRIu64 " storage=%s", r.id.v,
                    r.gs.v, r.size_bytes, f->storage_id);
        hd_reporter_received(s->data->reporter, &r, f->storage_id, NULL, 0);
        break;
    case HD_STRAY_LENGTH:
        check_now(v, f->block.id);
        break;
    case HD_STRAY_REMOVED:
        hd_log_info("file without use deleted", "block=%" PRIu64 " stamp=%" PRIu64 " storage=%s",
                    r.id.v, r.gs.v, f->storage_id);
        break;
    case HD_STRAY_LEFT:
        if (!v->left_told) {
            hd_log_warn("block file without sums is left alone, perhaps with others",
                        "block=%" PRIu64 " storage=%s", r.id.v, f->storage_id);
            v->left_told = true;
        }
        break;
    }
    return is_stopping(s) ? -ECANCELED : 0;
}

static void reconcile(struct hd_scan_volume *v)
{
    int err =
        hd_store_reconcile(v->scanner->data->store, v->index, !v->lengths_seen, note_stray, v);
    v->lengths_seen = v->lengths_seen || err == 0;
    if (err < 0 && err != -ECANCELED) {
        hd_log_warn("comparing a directory with the map ended early", "error=\"%s\"",
                    hd_fail_describe(err));
    }
    v->reconcile_ms = hd_clock_mono_ms().v + RECONCILE_MS;
}

/* --- a pass --- */

static void begin(struct hd_scan_volume *v, bool anew, const struct hd_inventory *all)
{
    pthread_mutex_lock(&v->scanner->lock);
    if (anew || v->cursor.pass_begin_ms == 0) {
        v->cursor.pass_begin_ms = (uint64_t)hd_clock_wall_ms().v;
        v->cursor.pass_checked = 0;
        v->cursor.last.v = 0;
    }
    v->total = all->count;
    pthread_mutex_unlock(&v->scanner->lock);
}

static void advance(struct hd_scan_volume *v, struct hd_block_id id, uint64_t checked)
{
    pthread_mutex_lock(&v->scanner->lock);
    v->cursor.last = id;
    v->cursor.pass_checked = checked;
    pthread_mutex_unlock(&v->scanner->lock);
    if (hd_clock_mono_ms().v >= v->save_ms) {
        save(v);
    }
}

static void end(struct hd_scan_volume *v)
{
    pthread_mutex_lock(&v->scanner->lock);
    struct hd_scan_cursor *c = &v->cursor;
    *c = (struct hd_scan_cursor){.full_begin_ms = c->pass_begin_ms,
                                 .full_end_ms = (uint64_t)hd_clock_wall_ms().v,
                                 .full_checked = c->pass_checked};
    if (v->hurry) {
        v->served = v->serving;
    }
    struct hd_scan_cursor done = *c;
    pthread_mutex_unlock(&v->scanner->lock);
    save(v);
    hd_log(v->hurry ? HD_LOG_INFO : HD_LOG_DEBUG, "directory read through",
           "volume=%d replicas=%" PRIu64 " ms=%" PRIu64, v->index, done.full_checked,
           done.full_end_ms - done.full_begin_ms);
}

static void warn_of_rate(const struct hd_scan_volume *v, uint64_t bytes)
{
    const struct hd_scan_limits *l = &v->scanner->limits;
    uint64_t needs_ms = hd_scan_pass_ms(l, bytes);
    if (!v->hurry && needs_ms > l->period_ms) {
        hd_log_warn("scan_rate is too low to check the directory once a scan_period",
                    "volume=%d bytes=%" PRIu64 " rate=%" PRIu64 " needs_s=%" PRIu64
                    " period_s=%" PRIu64,
                    v->index, bytes, l->rate_bytes, needs_ms / 1000, l->period_ms / 1000);
    }
}

static void run_pass(struct hd_scan_volume *v, bool anew)
{
    struct hd_store *store = v->scanner->data->store;
    struct hd_inventory all;
    struct hd_check_options o = {.pace = pace, .ctx = v};
    be_polite(v->hurry);
    int err = hd_store_inventory(store, v->index, &all);
    if (err < 0) {
        hd_scanner_wait(v->scanner, IDLE_MS);
        return;
    }
    begin(v, anew, &all);
    warn_of_rate(v, all.bytes);
    size_t at = v->cursor.last.v != 0 ? hd_inventory_after(&all, v->cursor.last) : 0;
    for (; at < all.count && err == 0; at++) {
        struct hd_check c;
        err = hd_store_check_replica(store, all.ids[at], &o, &c);
        if (err == 0) {
            hd_scanner_note(v->scanner, &c, "scan");
            advance(v, all.ids[at], at + 1);
            err = is_stopping(v->scanner) ? -ECANCELED : 0;
        } else if (err != -ECANCELED) {
            hd_scanner_wait(v->scanner, UNBOUND_MS); /* out of memory or descriptors */
            err = 0;
        }
    }
    if (err == 0) {
        end(v);
    }
    hd_inventory_done(&all);
}

/* Monotonic ms until the next pass is due; 0: now. */
static int64_t pass_due_in(const struct hd_scan_volume *v)
{
    const struct hd_scan_limits *l = &v->scanner->limits;
    if (l->rate_bytes == 0) {
        return IDLE_MS;
    }
    int64_t settling_ms = v->scanner->data->start_ms + FIRST_PASS_MS - hd_clock_mono_ms().v;
    if (settling_ms > 0 || v->cursor.pass_begin_ms != 0) {
        return HD_MAX(settling_ms, (int64_t)0);
    }
    uint64_t now_ms = (uint64_t)hd_clock_wall_ms().v;
    uint64_t next_ms = hd_scan_next_pass_ms(l, v->cursor.full_begin_ms, now_ms);
    return next_ms > now_ms ? (int64_t)(next_ms - now_ms) : 0;
}

static void one_turn(struct hd_scan_volume *v)
{
    uint64_t request;
    if (is_asked(v, &request)) {
        v->hurry = true;
        v->serving = request;
        be_polite(true);
        reconcile(v);
        run_pass(v, true);
        v->hurry = false;
        return;
    }
    int64_t now_ms = hd_clock_mono_ms().v;
    if (now_ms >= v->reconcile_ms) {
        be_polite(false);
        reconcile(v);
    }
    int64_t due_ms = pass_due_in(v);
    if (due_ms == 0) {
        run_pass(v, false);
    } else {
        hd_scanner_wait(v->scanner, HD_MIN(due_ms, (int64_t)IDLE_MS));
    }
}

/* A failed directory has no replicas, so its requests count as carried out (status leaves it out).
 */
void *hd_scan_volume_main(void *arg)
{
    struct hd_scan_volume *v = arg;
    char dir[HD_LAYOUT_PATH_BYTES];
    v->reconcile_ms = hd_clock_mono_ms().v + FIRST_RECONCILE_MS;
    while (!is_stopping(v->scanner)) {
        if (!pool_dir(v, dir)) {
            hd_scanner_wait(v->scanner, UNBOUND_MS);
            continue;
        }
        if (!v->loaded) {
            load(v);
        }
        one_turn(v);
    }
    if (v->loaded) {
        save(v);
    }
    return NULL;
}
