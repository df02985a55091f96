/* The replica map, binding to a cluster, ownership, and facts for reports. See store.h. */
#include "fs/data/store/store.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/data/core/report.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

enum { BOOT_ID_TEXT_MAX = 256 };

struct hd_layout hd_store_layout(const struct hd_store *s, struct hd_volume *v)
{
    return (struct hd_layout){.dir = v->dir, .pool_id = s->pool_id, .folders = &v->folders};
}

enum hd_place hd_store_place(const struct hd_replica *r)
{
    enum hd_replica_state state = r->state == HD_REPLICA_RUR ? r->before_recovery : r->state;
    return state == HD_REPLICA_FINALIZED   ? HD_PLACE_FINALIZED
           : state == HD_REPLICA_TEMPORARY ? HD_PLACE_TMP
                                           : HD_PLACE_RBW;
}

/* The exact size of the sums depends on their format; for accounting 512-byte chunks will do. */
uint64_t hd_store_replica_disk_bytes(uint64_t size_bytes)
{
    struct hd_sum_format usual = {HD_CHECKSUM_CRC32C, HD_BYTES_PER_CHECKSUM};
    return size_bytes + hd_meta_file_size(usual, size_bytes);
}

int hd_store_insert(struct hd_store *s, struct hd_store_replica *r)
{
    int err = hd_map_put(&s->replicas, r->r.id.v, r);
    if (err == 0) {
        r->volume->used_bytes += hd_store_replica_disk_bytes(r->r.size_bytes);
        r->volume->replica_count++;
    }
    return err;
}

void hd_store_remove(struct hd_store *s, struct hd_store_replica *r)
{
    hd_map_remove(&s->replicas, r->r.id.v);
    s->bad_count -= r->bad;
    uint64_t bytes = hd_store_replica_disk_bytes(r->r.size_bytes);
    r->volume->used_bytes -= HD_MIN(bytes, r->volume->used_bytes);
    r->volume->replica_count--;
    hd_store_drop_log(r);
    free(r);
    pthread_cond_broadcast(&s->changed);
}

void hd_store_set_log(struct hd_store *s, struct hd_store_replica *r, struct hd_dirty_log *log)
{
    hd_assert(r->log == NULL);
    r->log = log;
    hd_list_push_back(&s->dirty, &r->dirty_link);
}

void hd_store_drop_log(struct hd_store_replica *r)
{
    if (r->log != NULL) {
        hd_list_remove(&r->dirty_link);
        hd_dirty_log_free(r->log);
        r->log = NULL;
    }
}

bool hd_store_wait_until(struct hd_store *s, int64_t deadline_ms)
{
    struct timespec at = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait(&s->changed, &s->lock, &at) != ETIMEDOUT;
}

int hd_store_own(struct hd_store *s, struct hd_block_id id, bool interrupt,
                 struct hd_store_replica **ret)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + HD_STORE_OWNER_WAIT_MS;
    const struct hd_block_writer *told = NULL;
    for (;;) {
        struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
        *ret = r;
        if (r == NULL) {
            return 0;
        }
        if (!r->owned) {
            r->owned = true;
            return 0;
        }
        if (r->writer != NULL && !interrupt) {
            return hd_fail(-EBUSY, "blk_%" PRIu64 " is being written", id.v);
        }
        if (r->writer != NULL && told != r->writer) {
            told = r->writer;
            hd_block_writer_interrupt(r->writer);
        }
        if (!hd_store_wait_until(s, deadline_ms)) {
            return hd_fail(-EBUSY, "blk_%" PRIu64 ": its writer does not stop", id.v);
        }
    }
}

void hd_store_disown(struct hd_store *s, struct hd_store_replica *r)
{
    r->owned = false;
    r->writer = NULL;
    if (r->volume->failed) {
        hd_store_remove(s, r);
    }
    pthread_cond_broadcast(&s->changed);
}

/* --- opening and binding --- */

static int open_dirs(struct hd_store *s, const char *dirs)
{
    char *copy = strdup(dirs);
    char *rest = copy;
    int err = copy == NULL ? -ENOMEM : 0;
    for (char *dir = strsep(&rest, ","); err == 0 && dir != NULL; dir = strsep(&rest, ",")) {
        dir += strspn(dir, " \t");
        size_t n = strlen(dir);
        while (n > 0 && (dir[n - 1] == ' ' || dir[n - 1] == '\t' || dir[n - 1] == '/')) {
            dir[--n] = '\0';
        }
        if (n == 0) {
            continue;
        }
        if (s->volume_count == HD_STORE_VOLUMES_MAX) {
            err = hd_fail(-HD_E_CONFIG, "more than %d data directories", HD_STORE_VOLUMES_MAX);
            break;
        }
        struct hd_volume *v = &s->volumes[s->volume_count++];
        int bad = hd_volume_open(v, dir);
        if (bad == -EBUSY || bad == -ENOMEM) {
            err = bad;
        } else if (bad < 0) {
            hd_volume_fail(s, v, bad);
        }
    }
    free(copy);
    return err;
}

static int failed_count(const struct hd_store *s)
{
    int n = 0;
    for (int i = 0; i < s->volume_count; i++) {
        n += s->volumes[i].failed;
    }
    return n;
}

static int check_failures(const struct hd_store *s)
{
    int failed = failed_count(s);
    if (s->volume_count == 0) {
        return hd_fail(-HD_E_CONFIG, "no data directory is configured (dir = ... in [data])");
    }
    if (failed > s->failed_tolerated || failed == s->volume_count) {
        return hd_fail(-HD_E_IO,
                       "%d of %d data directories failed; %d may (failed_volumes_tolerated)",
                       failed, s->volume_count, s->failed_tolerated);
    }
    return 0;
}

/* The pool and the uuid that all formatted directories agree on. */
static int read_identity(struct hd_store *s)
{
    for (int i = 0; i < s->volume_count; i++) {
        struct hd_volume *v = &s->volumes[i];
        if (v->failed || v->version.node_uuid[0] == '\0') {
            continue;
        }
        char pool_id[HD_LAYOUT_ID_BYTES];
        int err = hd_layout_find_pool(v->dir, pool_id);
        if (err < 0 && err != -ENOENT) {
            return err;
        }
        if ((err == 0 && s->pool_id[0] != '\0' && strcmp(s->pool_id, pool_id) != 0) ||
            (s->node_uuid[0] != '\0' && strcmp(s->node_uuid, v->version.node_uuid) != 0)) {
            return hd_fail(-HD_E_INCORRECT_VERSION,
                           "%s belongs to another cluster or node than the directory before it; "
                           "take it out of `dir`",
                           v->dir);
        }
        snprintf(s->node_uuid, sizeof(s->node_uuid), "%s", v->version.node_uuid);
        if (err == 0) {
            snprintf(s->pool_id, sizeof(s->pool_id), "%s", pool_id);
        }
    }
    return 0;
}

static int load_all(struct hd_store *s)
{
    for (int i = 0; i < s->volume_count; i++) {
        struct hd_volume *v = &s->volumes[i];
        int err = v->failed ? 0 : hd_volume_load(s, v);
        if (err == -ENOMEM) {
            return err;
        }
        if (err < 0) {
            hd_volume_fail(s, v, err);
        }
    }
    return check_failures(s);
}

static int make_guards(struct hd_store *s)
{
    s->guards = aligned_alloc(_Alignof(struct hd_guard), HD_GUARDS * sizeof(*s->guards));
    if (s->guards == NULL) {
        return -ENOMEM;
    }
    for (int i = 0; i < HD_GUARDS; i++) {
        pthread_mutex_init(&s->guards[i].lock, NULL);
        atomic_init(&s->guards[i].plain, 0);
        atomic_init(&s->guards[i].changers, 0);
    }
    return 0;
}

/* Unreadable: a number of our own, which no dirty log will ever have. */
static void read_boot_id(struct hd_store *s, const uint8_t *given)
{
    struct hd_buf text = {0};
    size_t digits = 0;
    if (given != NULL) {
        memcpy(s->boot_id, given, HD_BOOT_ID_BYTES);
        return;
    }
    if (hd_file_read(BOOT_ID_PATH, BOOT_ID_TEXT_MAX, &text) == 0) {
        for (size_t i = 0; i < text.size && digits < sizeof(s->boot_id) * 2; i++) {
            uint8_t c = text.data[i];
            int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
            if (v >= 0) {
                s->boot_id[digits / 2] = (uint8_t)(s->boot_id[digits / 2] << 4 | v);
                digits++;
            }
        }
    }
    if (digits < sizeof(s->boot_id) * 2) {
        hd_random_bytes(s->boot_id, sizeof(s->boot_id));
    }
    hd_buf_done(&text);
}

int hd_store_new(const struct hd_store_options *options, struct hd_store **ret)
{
    struct hd_store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&s->lock, NULL);
    hd_clock_cond_init(&s->changed);
    hd_map_init(&s->replicas);
    hd_list_init(&s->dirty);
    s->options = *options;
    s->options.dirs = NULL;
    s->options.boot_id = NULL;
    s->reserved_bytes = options->reserved_bytes;
    s->failed_tolerated = options->failed_volumes_tolerated;
    int err = make_guards(s);
    if (err == 0) {
        read_boot_id(s, options->boot_id);
        err = open_dirs(s, options->dirs);
    }
    if (err == 0) {
        err = check_failures(s);
    }
    if (err == 0) {
        err = read_identity(s);
    }
    if (err == 0 && s->pool_id[0] != '\0') {
        s->bound = true; /* known from the last run: reads can be served before meta is there */
        err = load_all(s);
    }
    if (err == 0 && s->node_uuid[0] == '\0') {
        hd_random_uuid(s->node_uuid);
    }
    if (err < 0) {
        hd_store_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void hd_store_free(struct hd_store *s)
{
    if (s == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&s->replicas, &cursor, NULL, &value)) {
        hd_assert(((struct hd_store_replica *)value)->writer == NULL);
        hd_store_drop_log(value);
        free(value);
    }
    hd_map_done(&s->replicas);
    for (int i = 0; i < s->volume_count; i++) {
        hd_fd_done(&s->volumes[i].lock_fd);
        free(s->volumes[i].dir);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    for (int i = 0; s->guards != NULL && i < HD_GUARDS; i++) {
        pthread_mutex_destroy(&s->guards[i].lock);
    }
    free(s->guards);
    free(s);
}

static int check_volume(const struct hd_store *s, const struct hd_volume *v,
                        const struct hd_store_identity *id)
{
    if (v->version.cluster_id[0] != '\0' && strcmp(v->version.cluster_id, id->cluster_id) != 0) {
        return hd_fail(-HD_E_INCORRECT_VERSION,
                       "%s belongs to cluster %s, meta is %s; give this node an empty directory or "
                       "the right meta",
                       v->dir, v->version.cluster_id, id->cluster_id);
    }
    struct hd_layout l = {.dir = v->dir, .pool_id = id->pool_id};
    struct hd_pool_version pool;
    int err = hd_pool_version_read(&l, &pool);
    if (err == -ENOENT) {
        if (s->bound && v->version.cluster_id[0] != '\0') {
            return hd_fail(-HD_E_INCORRECT_VERSION, "%s holds pool %s, meta has %s", v->dir,
                           s->pool_id, id->pool_id);
        }
        return 0;
    }
    if (err == -HD_E_CORRUPT && strcmp(v->version.cluster_id, id->cluster_id) == 0) {
        hd_log_warn("damaged VERSION of the pool is written anew", "dir=%s error=\"%s\"", v->dir,
                    hd_fail_describe(err));
        return 0; /* it says nothing that meta and the directory's own do not */
    }
    if (err == 0 && (pool.namespace_id != id->namespace_id || pool.ctime_ms != id->ctime_ms ||
                     strcmp(pool.pool_id, id->pool_id) != 0)) {
        return hd_fail(-HD_E_INCORRECT_VERSION,
                       "%s: pool %s is of namespace %" PRIu32 ", meta has %" PRIu32, v->dir,
                       pool.pool_id, pool.namespace_id, id->namespace_id);
    }
    return err;
}

static int format_volume(struct hd_store *s, struct hd_volume *v,
                         const struct hd_store_identity *id)
{
    struct hd_layout l = {.dir = v->dir, .pool_id = id->pool_id};
    struct hd_pool_version pool = {.namespace_id = id->namespace_id, .ctime_ms = id->ctime_ms};
    snprintf(pool.pool_id, sizeof(pool.pool_id), "%s", id->pool_id);
    int err = hd_pool_version_write(&l, &pool);
    if (err < 0 || v->version.storage_id[0] != '\0') {
        return err;
    }
    struct hd_node_version version = {0};
    char uuid[HD_UUID_TEXT_BYTES];
    hd_random_uuid(uuid);
    snprintf(version.storage_id, sizeof(version.storage_id), "DS-%s", uuid);
    snprintf(version.cluster_id, sizeof(version.cluster_id), "%s", id->cluster_id);
    snprintf(version.node_uuid, sizeof(version.node_uuid), "%s", s->node_uuid);
    err = hd_node_version_write(v->dir, &version);
    if (err == 0) {
        pthread_mutex_lock(&s->lock); /* others see it whole, or not at all */
        v->version = version;
        pthread_mutex_unlock(&s->lock);
    }
    return err;
}

int hd_store_bind(struct hd_store *s, const struct hd_store_identity *id)
{
    if (!hd_layout_pool_id_ok(id->pool_id)) {
        return hd_fail(-HD_E_INCORRECT_VERSION, "pool id '%s' cannot be a directory", id->pool_id);
    }
    for (int i = 0; i < s->volume_count; i++) {
        struct hd_volume *v = &s->volumes[i];
        int err = v->failed ? 0 : check_volume(s, v, id);
        if (err < 0) {
            return err;
        }
    }
    for (int i = 0; i < s->volume_count; i++) {
        struct hd_volume *v = &s->volumes[i];
        int err = v->failed ? 0 : format_volume(s, v, id);
        if (err < 0) {
            hd_volume_fail(s, v, err);
        }
    }
    if (hd_store_is_bound(s)) {
        return check_failures(s);
    }
    snprintf(s->pool_id, sizeof(s->pool_id), "%s", id->pool_id); /* nobody looks before bound */
    int err = load_all(s);
    pthread_mutex_lock(&s->lock);
    s->bound = err == 0;
    pthread_mutex_unlock(&s->lock);
    return err;
}

bool hd_store_is_bound(struct hd_store *s)
{
    pthread_mutex_lock(&s->lock);
    bool bound = s->bound;
    pthread_mutex_unlock(&s->lock);
    return bound;
}

bool hd_store_serves_pool(struct hd_store *s, const char *pool_id)
{
    return hd_store_is_bound(s) && strcmp(s->pool_id, pool_id) == 0;
}

const char *hd_store_pool_id(struct hd_store *s)
{
    return hd_store_is_bound(s) ? s->pool_id : "";
}

const char *hd_store_node_uuid(struct hd_store *s)
{
    return s->node_uuid;
}

/* --- facts --- */

int hd_store_get(struct hd_store *s, struct hd_block_id id, struct hd_replica *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
    if (r != NULL) {
        *ret = r->r;
    }
    pthread_mutex_unlock(&s->lock);
    return r != NULL ? 0 : hd_fail(-HD_E_REPLICA_NOT_FOUND, "no replica of blk_%" PRIu64, id.v);
}

int hd_store_volumes(struct hd_store *s, struct hd_volume_info *out, int max)
{
    int n = 0;
    for (int i = 0; i < s->volume_count && n < max; i++) {
        struct hd_volume *v = &s->volumes[i];
        struct hd_volume_info *o = &out[n];
        uint64_t available;
        if (v->failed) {
            continue;
        }
        hd_volume_room(s, v, &o->capacity_bytes, &available); /* none: nothing goes there */
        snprintf(o->dir, sizeof(o->dir), "%s", v->dir);
        snprintf(o->storage_id, sizeof(o->storage_id), "%s", v->version.storage_id);
        pthread_mutex_lock(&s->lock);
        uint64_t kept = s->reserved_bytes + v->promised_bytes;
        o->used_bytes = v->used_bytes;
        o->replica_count = v->replica_count;
        pthread_mutex_unlock(&s->lock);
        o->reserved_bytes = s->reserved_bytes;
        o->capacity_bytes -= HD_MIN(s->reserved_bytes, o->capacity_bytes);
        o->free_bytes = available - HD_MIN(kept, available);
        n++;
    }
    return n;
}

int64_t hd_store_report(struct hd_store *s, const char *storage_id, struct hd_buf *out)
{
    int64_t count = 0;
    int err = 0;
    size_t cursor = 0;
    void *value;
    pthread_mutex_lock(&s->lock);
    while (err == 0 && hd_map_next(&s->replicas, &cursor, NULL, &value)) {
        const struct hd_store_replica *r = value;
        if (r->r.state == HD_REPLICA_TEMPORARY || r->volume->failed ||
            strcmp(r->volume->version.storage_id, storage_id) != 0) {
            continue;
        }
        err = hd_report_add(out, &r->r);
        count++;
    }
    pthread_mutex_unlock(&s->lock);
    return err < 0 ? err : count;
}

void hd_store_failures(struct hd_store *s, struct hd_store_failures *ret)
{
    pthread_mutex_lock(&s->lock);
    ret->count = 0;
    ret->last_ms = s->last_failure_ms;
    ret->lost_capacity_bytes = s->lost_capacity_bytes;
    for (int i = 0; i < s->volume_count; i++) {
        if (s->volumes[i].failed) {
            ret->dirs[ret->count++] = s->volumes[i].dir;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

int hd_store_check(struct hd_store *s)
{
    for (int i = 0; i < s->volume_count; i++) {
        struct hd_volume *v = &s->volumes[i];
        if (!v->failed && v->looked) {
            hd_volume_check_hang(s, v);
        } else if (!v->failed && v->version.storage_id[0] != '\0') {
            hd_volume_probe(s, v); /* a failure is counted below */
        }
    }
    return check_failures(s);
}
