/* Looks how much room the edit log has. See space.h. */
#include "meta/shell/space.h"
#include "meta/shell/worker.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/os/io.h"
#include "fs/os/log.h"
#include "meta/core/meta.h"
#include "meta/log/edit_log.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LOOK_MS = 1000 };

struct hd_space {
    struct hd_space_options o;
    struct hd_worker *worker;
    struct hd_loop_timer *timer;
    struct hd_job job;
    bool under_way; /* the job, until done() */
    bool dead;      /* stopped while done() was on its way: that frees it */
    bool full;      /* as the core knows */
    uint64_t free;  /* the job's: of the directory with the most room */
};

/* UINT64_MAX: cannot be told. A disk that does not answer is the log's to find out. */
static uint64_t most_room(struct hd_edit_log *log)
{
    struct hd_edit_log_dir dirs[HD_DIRS_MAX];
    size_t count = hd_edit_log_dirs(log, dirs);
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        struct statvfs st;
        if (dirs[i].failed != NULL) {
            continue;
        }
        if (hd_io_statvfs(dirs[i].dir, &st) < 0) {
            return UINT64_MAX;
        }
        most = HD_MAX(most, (uint64_t)st.f_bavail * st.f_frsize);
    }
    return most;
}

static void decide(struct hd_space *s)
{
    /* A little more to leave than to enter, so that it does not flap. */
    uint64_t limit = s->o.reserved_bytes + (s->full ? s->o.reserved_bytes / 8 : 0);
    bool full = s->free < limit;
    if (full == s->full) {
        return;
    }
    s->full = full;
    hd_meta_disk_full(s->o.meta, full);
    if (full) {
        hd_log_error("metadata disk is full: changes are refused until there is room again",
                     "dir=%s free=%" PRIu64 " reserved=%" PRIu64, hd_edit_log_dir(s->o.log),
                     s->free, s->o.reserved_bytes);
    } else {
        hd_log_info("metadata disk has room again", "free=%" PRIu64, s->free);
    }
}

static void run(struct hd_job *job)
{
    struct hd_space *s = HD_CONTAINER(job, struct hd_space, job);
    s->free = most_room(s->o.log);
}

static void done(struct hd_job *job)
{
    struct hd_space *s = HD_CONTAINER(job, struct hd_space, job);
    s->under_way = false;
    if (s->dead) {
        free(s);
    } else if (!job->cancelled) {
        decide(s);
        hd_loop_timer_set(s->timer, LOOK_MS);
    }
}

static void on_timer(void *ctx)
{
    struct hd_space *s = ctx;
    s->job = (struct hd_job){.run = run, .done = done};
    s->under_way = true;
    hd_worker_add(s->worker, &s->job);
}

int hd_space_start(const struct hd_space_options *o, struct hd_space **ret)
{
    struct hd_space *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->o = *o;
    int err = hd_loop_timer_add(o->loop, LOOK_MS, on_timer, s, &s->timer);
    if (err == 0) {
        err = hd_worker_start("space", o->loop, &s->worker);
    }
    if (err < 0) {
        hd_space_stop(s);
        return err;
    }
    s->free = most_room(o->log);
    decide(s);
    *ret = s;
    return 0;
}

void hd_space_stop(struct hd_space *s)
{
    if (s == NULL) {
        return;
    }
    hd_worker_stop(s->worker);
    hd_loop_timer_remove(s->timer);
    if (s->under_way) {
        s->dead = true;
    } else {
        free(s);
    }
}
