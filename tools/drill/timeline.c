/* What a drill saw over time. See timeline.h. */
#include "tools/drill/timeline.h"
#include "tools/drill/call.h"
#include "tools/meta_call.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    EVERY_MS = 100,
    ASK_TIMEOUT_MS = 1000,
    SECONDARY_SILENT_MS = 12000,
    SAMPLES_MAX = 100000,
    MARKS_MAX = 1000,
};

struct hd_timeline {
    const struct hd_cluster *cluster;
    int64_t begin_ms;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of the lists */
    struct hd_sample last;
    struct hd_sample *samples;
    size_t sample_count;
    struct hd_mark *marks;
    size_t mark_count;
};

bool hd_sample_whole(const struct hd_sample *s)
{
    return s->answers && !s->safe_mode && s->under == 0 && s->missing == 0 && s->corrupt == 0;
}

bool hd_sample_as_before(const struct hd_sample *s, const struct hd_sample *before)
{
    return hd_sample_whole(s) && s->live >= before->live && s->stale <= before->stale &&
           s->agents >= before->agents && (s->exposed <= before->exposed) &&
           (s->secondary_seen >= before->secondary_seen);
}

int64_t hd_samples_noticed_ms(const struct hd_sample *list, size_t count, int64_t from_ms,
                              const struct hd_sample *before)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].t_ms >= from_ms && !hd_sample_as_before(&list[i], before)) {
            return list[i].t_ms;
        }
    }
    return -1;
}

int64_t hd_samples_mended_ms(const struct hd_sample *list, size_t count, int64_t from_ms)
{
    int64_t mended_ms = from_ms;
    for (size_t i = 0; i < count; i++) {
        if (list[i].t_ms >= from_ms && i > 0 && hd_sample_whole(&list[i]) &&
            !hd_sample_whole(&list[i - 1])) {
            mended_ms = list[i].t_ms;
        }
    }
    return mended_ms;
}

/* ---- asking ---- */

static void ask_nodes(const struct hd_timeline *t, struct hd_meta_call *meta, struct hd_sample *s)
{
    Hdw__GetDatanodeReportResponse *r;
    if (hd_meta_nodes(meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &r) < 0) {
        return;
    }
    int64_t now_ms = hd_clock_wall_ms().v;
    for (size_t i = 0; i < r->n_di; i++) {
        s->stale += now_ms - (int64_t)r->di[i]->last_update > t->cluster->stale_ms;
    }
}

/* False when this meta does not answer as the primary. */
static bool ask_meta(const struct hd_timeline *t, const char *address, struct hd_sample *s)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call meta = {0};
    Hdw__GetClusterResponse *r;
    if (hd_meta_call_init(&meta, address, hd_user_name(), ASK_TIMEOUT_MS) < 0 ||
        hd_meta_get_cluster(&meta, &r) < 0 ||
        (r->role != NULL && strcmp(r->role, "primary") != 0)) {
        return false;
    }
    s->answers = true;
    s->safe_mode = r->safe_mode;
    s->exposed = r->has_exposed && r->exposed;
    s->under = r->blocks_under_replicated;
    s->missing = r->blocks_missing;
    s->corrupt = r->blocks_corrupt;
    s->live = r->nodes_live;
    s->dead = r->nodes_dead;
    s->secondary_lag =
        r->written_txid > r->secondary_txid ? r->written_txid - r->secondary_txid : 0;
    s->secondary_seen = hd_clock_wall_ms().v - (int64_t)r->secondary_seen_ms <= SECONDARY_SILENT_MS;
    ask_nodes(t, &meta, s);
    return true;
}

static struct hd_sample take_sample(const struct hd_timeline *t)
{
    struct hd_sample s = {.agents = -1};
    const struct hd_cluster *c = t->cluster;
    for (size_t i = 0; i < c->member_count && !s.answers; i++) {
        if (c->members[i].role == HD_ROLE_META || c->members[i].role == HD_ROLE_SECONDARY) {
            ask_meta(t, c->members[i].address, &s);
        }
    }
    for (size_t i = 0; i < c->member_count; i++) {
        uint32_t up;
        if (c->members[i].role == HD_ROLE_MANAGER &&
            hd_manager_agents(c->members[i].address, hd_user_name(), ASK_TIMEOUT_MS, &up) == 0) {
            s.agents = (int)up;
        }
    }
    s.t_ms = hd_timeline_now_ms(t);
    return s;
}

static bool same_but_time(const struct hd_sample *a, const struct hd_sample *b)
{
    return a->answers == b->answers && a->safe_mode == b->safe_mode && a->exposed == b->exposed &&
           a->under == b->under && a->missing == b->missing && a->corrupt == b->corrupt &&
           a->live == b->live && a->stale == b->stale && a->dead == b->dead &&
           a->agents == b->agents && a->secondary_seen == b->secondary_seen;
}

static void note_sample(struct hd_timeline *t, const struct hd_sample *s)
{
    pthread_mutex_lock(&t->lock);
    bool first = t->sample_count == 0;
    t->last = *s;
    if ((first || !same_but_time(&t->samples[t->sample_count - 1], s)) &&
        t->sample_count < SAMPLES_MAX) {
        struct hd_sample *grown = realloc(t->samples, (t->sample_count + 1) * sizeof(*grown));
        if (grown != NULL) {
            t->samples = grown;
            t->samples[t->sample_count++] = *s;
        }
    }
    pthread_mutex_unlock(&t->lock);
}

static void *watch(void *ctx)
{
    struct hd_timeline *t = ctx;
    while (!atomic_load(&t->stopping)) {
        int64_t next_ms = hd_clock_mono_ms().v + EVERY_MS;
        struct hd_sample s = take_sample(t);
        note_sample(t, &s);
        hd_clock_sleep_ms(HD_MAX(next_ms - hd_clock_mono_ms().v, 1));
    }
    return NULL;
}

/* ---- the object ---- */

int hd_timeline_start(const struct hd_cluster *c, struct hd_timeline **ret)
{
    struct hd_timeline *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    t->cluster = c;
    t->begin_ms = hd_clock_mono_ms().v;
    pthread_mutex_init(&t->lock, NULL);
    struct hd_sample s = take_sample(t);
    note_sample(t, &s);
    int e = pthread_create(&t->thread, NULL, watch, t);
    t->running = e == 0;
    if (e != 0) {
        hd_timeline_free(t);
        return hd_fail_errno(e, "thread");
    }
    *ret = t;
    return 0;
}

void hd_timeline_stop(struct hd_timeline *t)
{
    if (t->running) {
        atomic_store(&t->stopping, true);
        pthread_join(t->thread, NULL);
        t->running = false;
    }
}

void hd_timeline_free(struct hd_timeline *t)
{
    if (t == NULL) {
        return;
    }
    hd_timeline_stop(t);
    pthread_mutex_destroy(&t->lock);
    free(t->samples);
    free(t->marks);
    free(t);
}

int64_t hd_timeline_now_ms(const struct hd_timeline *t)
{
    return hd_clock_mono_ms().v - t->begin_ms;
}

void hd_timeline_mark(struct hd_timeline *t, const char *kind, const char *text)
{
    struct hd_mark m = {.t_ms = hd_timeline_now_ms(t)};
    snprintf(m.kind, sizeof(m.kind), "%s", kind);
    snprintf(m.text, sizeof(m.text), "%s", text);
    pthread_mutex_lock(&t->lock);
    struct hd_mark *grown =
        t->mark_count < MARKS_MAX ? realloc(t->marks, (t->mark_count + 1) * sizeof(*grown)) : NULL;
    if (grown != NULL) {
        t->marks = grown;
        t->marks[t->mark_count++] = m;
    }
    pthread_mutex_unlock(&t->lock);
}

struct hd_sample hd_timeline_last(struct hd_timeline *t)
{
    pthread_mutex_lock(&t->lock);
    struct hd_sample s = t->last;
    pthread_mutex_unlock(&t->lock);
    return s;
}

static int copy_list(const void *list, size_t count, size_t size, void *ret)
{
    void *copy = calloc(count + 1, size);
    if (copy == NULL) {
        return -ENOMEM;
    }
    if (count > 0) {
        memcpy(copy, list, count * size);
    }
    *(void **)ret = copy;
    return 0;
}

int hd_timeline_samples(struct hd_timeline *t, struct hd_sample **ret, size_t *ret_count)
{
    pthread_mutex_lock(&t->lock);
    int rc = copy_list(t->samples, t->sample_count, sizeof(**ret), ret);
    *ret_count = t->sample_count;
    pthread_mutex_unlock(&t->lock);
    return rc;
}

int hd_timeline_marks(struct hd_timeline *t, struct hd_mark **ret, size_t *ret_count)
{
    pthread_mutex_lock(&t->lock);
    int rc = copy_list(t->marks, t->mark_count, sizeof(**ret), ret);
    *ret_count = t->mark_count;
    pthread_mutex_unlock(&t->lock);
    return rc;
}
