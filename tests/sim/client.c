/* A client's life: random work, and what its former life left. See client.h. */
#include "tests/sim/client.h"
#include "client_namenode.pb-c.h"
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "tests/sim/node.h"

#include <errno.h>
#include <stdlib.h>

enum { POLL_US = 250000, RENEW_US = 2000000, FOR_EVER_MS = 1 << 30 };

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- calls ---- */

int client_call(struct sim_client *c, const char *method, const ProtobufCMessage *q,
                const ProtobufCMessageDescriptor *type, const void **ret)
{
    return client_call_on(c, SIM_CLIENT_PROTOCOL, method, q, type, ret);
}

int client_call_on(struct sim_client *c, const char *protocol, const char *method,
                   const ProtobufCMessage *q, const ProtobufCMessageDescriptor *type,
                   const void **ret)
{
    struct sim *s = c->sim;
    struct sim_call call = {protocol, method, q, type, ++c->call_id, false};
    struct hd_retry retry;
    hd_retry_init(&retry, sim_now_ms(s), FOR_EVER_MS, hd_prng_next(&s->prng));
    for (;;) {
        const char *text;
        bool lost;
        int err = sim_call_meta(s, &call, ret, &text, &lost);
        sim_trace(s, "%s: %s: %s %s", c->name, method, err < 0 ? hd_error_name(err) : "done",
                  err < 0 ? text : "");
        switch (hd_retry_kind_of(err, lost, true)) {
        case HD_RETRY_NO:
            hd_fail(err, "%s", err < 0 ? text : "");
            s->operations += err == 0;
            return err;
        case HD_RETRY_SAME:
            call.again = true;
            break;
        case HD_RETRY_NEW:
            call.call_id = ++c->call_id;
            call.again = false;
            break;
        }
        sim_sleep(s, hd_retry_next(&retry, sim_now_ms(s)) * 1000);
    }
}

Hdw__HdfsFileStatus *client_stat(struct sim_client *c, const char *path)
{
    Hdw__GetFileLinkInfoRequest q = HDW__GET_FILE_LINK_INFO_REQUEST__INIT;
    const Hdw__GetFileLinkInfoResponse *r;
    q.src = text_of(path);
    int err = CLIENT_CALL(c, "getFileLinkInfo", get_file_link_info, &q, &r);
    if (err < 0) {
        return NULL; /* below a file */
    }
    return r->fs;
}

/* ---- reading ---- */

static void report_bad(struct sim_client *c, const Hdw__LocatedBlock *l, size_t which)
{
    Hdw__LocatedBlock one = *l;
    Hdw__LocatedBlock *all[] = {&one};
    Hdw__ReportBadBlocksRequest q = HDW__REPORT_BAD_BLOCKS_REQUEST__INIT;
    const Hdw__ReportBadBlocksResponse *r;
    one.n_locs = 1;
    one.locs = &l->locs[which];
    one.n_storage_types = one.n_storage_i_ds = one.n_is_cached = 0;
    q.n_blocks = 1;
    q.blocks = all;
    CLIENT_CALL(c, "reportBadBlocks", report_bad_blocks, &q, &r);
}

static bool read_block(struct sim_client *c, const Hdw__LocatedBlock *l, uint8_t *out)
{
    struct sim *s = c->sim;
    size_t first = l->n_locs > 0 ? (size_t)sim_draw(s, l->n_locs) : 0;
    for (size_t i = 0; i < l->n_locs; i++) {
        size_t at = (first + i) % l->n_locs;
        int n = atoi(l->locs[at]->id->datanode_uuid + 5);
        int err = sim_reach(s, c->actor, SIM_NODE + n);
        if (err == 0) {
            err = sim_node_read(s, n, l->b->block_id, l->b->generation_stamp, l->b->num_bytes, out);
        }
        if (sim_reach(s, SIM_NODE + n, c->actor) < 0) {
            continue;
        }
        if (err == -HD_E_CHECKSUM) {
            report_bad(c, l, at);
        }
        if (err == 0) {
            return true;
        }
    }
    return false;
}

/* The whole of a closed file, as soon as it can be had. Its size; -ENOENT. */
static int64_t read_file(struct sim_client *c, const char *path, uint8_t out[SIM_FILE_BYTES])
{
    for (;; sim_sleep(c->sim, POLL_US)) {
        Hdw__GetBlockLocationsRequest q = HDW__GET_BLOCK_LOCATIONS_REQUEST__INIT;
        const Hdw__GetBlockLocationsResponse *r;
        q.src = text_of(path);
        q.length = INT64_MAX;
        int err = CLIENT_CALL(c, "getBlockLocations", get_block_locations, &q, &r);
        if (err < 0) {
            return err;
        }
        const Hdw__LocatedBlocks *all = r->locations;
        uint64_t at = 0;
        bool whole = true;
        for (size_t i = 0; whole && i < all->n_blocks; i++) {
            if (at + all->blocks[i]->b->num_bytes > SIM_FILE_BYTES ||
                at != all->blocks[i]->offset) {
                sim_fail(c->sim, "%s: block %zu at %llu with %llu bytes", path, i,
                         (unsigned long long)all->blocks[i]->offset,
                         (unsigned long long)all->blocks[i]->b->num_bytes);
            }
            whole = read_block(c, all->blocks[i], out + at);
            at += all->blocks[i]->b->num_bytes;
        }
        if (whole && at != all->file_length) {
            sim_fail(c->sim, "%s: blocks of %llu bytes in a file of %llu", path,
                     (unsigned long long)at, (unsigned long long)all->file_length);
        }
        if (whole) {
            return (int64_t)at;
        }
    }
}

static void check_same(struct sim_client *c, const char *path, const uint8_t *is, int64_t is_size,
                       const uint8_t *want, uint32_t want_size)
{
    if (is_size != want_size) {
        sim_fail(c->sim, "%s has %lld bytes, the model %u", path, (long long)is_size, want_size);
    }
    for (uint32_t i = 0; i < want_size; i++) {
        if (is[i] != want[i]) {
            sim_fail(c->sim, "%s: wrong byte at %u of %u", path, i, want_size);
        }
    }
}

static void verify_file(struct sim_client *c, const char *path)
{
    uint8_t *data = hd_arena_alloc(sim_arena(c->sim), SIM_FILE_BYTES);
    int64_t size = read_file(c, path, data);
    const struct thing *t = model_find(&c->model, path);
    check_same(c, path, data, size, t->data, t->size);
}

/* ---- the whole tree ---- */

static size_t verify_dir(struct sim_client *c, const char *dir)
{
    size_t seen = 0;
    char last[MODEL_PATH_BYTES] = "";
    for (uint32_t left = 1; left > 0;) {
        Hdw__GetListingRequest q = HDW__GET_LISTING_REQUEST__INIT;
        const Hdw__GetListingResponse *r;
        q.src = text_of(dir);
        q.start_after.data = (uint8_t *)last;
        q.start_after.len = strlen(last);
        int err = CLIENT_CALL(c, "getListing", get_listing, &q, &r);
        if (err < 0 || r->dir_list == NULL) {
            sim_fail(c->sim, "listing %s: %s", dir, hd_fail_text());
        }
        left = r->dir_list->remaining_entries;
        for (size_t i = 0; i < r->dir_list->n_partial_listing; i++) {
            const Hdw__HdfsFileStatus *f = r->dir_list->partial_listing[i];
            char path[2 * MODEL_PATH_BYTES];
            snprintf(last, sizeof(last), "%.*s", (int)f->path.len, (const char *)f->path.data);
            snprintf(path, sizeof(path), "%s/%s", dir, last);
            const struct thing *t = model_find(&c->model, path);
            bool is_dir = f->file_type == HDW__FILE_TYPE__IS_DIR;
            if (t == NULL || t->directory != is_dir || (!is_dir && f->length != t->size)) {
                sim_fail(c->sim, "%s (%s, %llu bytes) is not the model's %s", path,
                         is_dir ? "directory" : "file", (unsigned long long)f->length,
                         t == NULL      ? "nothing"
                         : t->directory ? "directory"
                                        : "file");
            }
            seen += 1 + (is_dir ? verify_dir(c, path) : 0);
        }
    }
    return seen;
}

static void verify_tree(struct sim_client *c)
{
    size_t seen = 1 + verify_dir(c, c->root);
    if (seen != c->model.count) {
        sim_fail(c->sim, "%s: %zu names are there, the model has %zu", c->root, seen,
                 c->model.count);
    }
}

/* ---- files that a writer left ---- */

static void close_file(struct sim_client *c, const char *path)
{
    for (;; sim_sleep(c->sim, POLL_US)) {
        Hdw__RecoverLeaseRequest q = HDW__RECOVER_LEASE_REQUEST__INIT;
        const Hdw__RecoverLeaseResponse *r;
        q.src = text_of(path);
        q.client_name = c->name;
        int err = CLIENT_CALL(c, "recoverLease", recover_lease, &q, &r);
        if (err == -ENOENT || (err == 0 && r->result)) {
            return;
        }
        if (err < 0 && err != -HD_E_BEING_CREATED && err != -HD_E_RECOVERY) {
            sim_fail(c->sim, "recoverLease %s: %s", path, hd_fail_text());
        }
    }
}

/* What is there of a file whose writer stopped: all that was promised, and nothing it never wrote.
 */
static void settle_write(struct sim_client *c)
{
    struct pending *p = &c->pending;
    uint8_t *data = hd_arena_alloc(sim_arena(c->sim), SIM_FILE_BYTES);
    close_file(c, p->path);
    Hdw__HdfsFileStatus *f = client_stat(c, p->path);
    struct thing *t = model_find(&c->model, p->path);
    bool is_dir = f != NULL && f->file_type == HDW__FILE_TYPE__IS_DIR;
    if (f == NULL || is_dir) { /* as before: create was refused, or never ran */
        if (!p->old_may_stay || (t != NULL) != is_dir || (t != NULL && !t->directory)) {
            sim_fail(c->sim, "%s is gone", p->path);
        }
        return;
    }
    int64_t size = read_file(c, p->path, data);
    if (p->old_may_stay && t != NULL && size == t->size && memcmp(data, t->data, t->size) == 0) {
        return; /* it had not begun */
    }
    if (size < p->flushed || size > p->sent) {
        sim_fail(c->sim, "%s has %lld bytes; %u were flushed, %u sent", p->path, (long long)size,
                 p->flushed, p->sent);
    }
    check_same(c, p->path, data, size, p->data, (uint32_t)size);
    if (t == NULL) {
        t = model_add(&c->model, p->path, false);
    }
    t->size = (uint32_t)size;
    memcpy(t->data, data, (size_t)size);
}

static void settle_truncate(struct sim_client *c)
{
    struct pending *p = &c->pending;
    struct thing *t = model_find(&c->model, p->path);
    close_file(c, p->path);
    Hdw__HdfsFileStatus *f = client_stat(c, p->path);
    if (f == NULL || (f->length != t->size && f->length != p->size)) {
        sim_fail(c->sim, "%s was truncated from %u to %u, not %llu", p->path, t->size, p->size,
                 f != NULL ? (unsigned long long)f->length : 0);
    }
    t->size = (uint32_t)f->length;
}

/* The former life died in the middle of something: it happened or not, and nothing else did. */
static void settle(struct sim_client *c)
{
    struct pending *p = &c->pending;
    struct model *m = &c->model;
    switch (p->work) {
    case WORK_NONE:
        break;
    case WORK_MKDIR:
        if (model_find(m, p->path) == NULL && client_stat(c, p->path) != NULL) {
            model_add(m, p->path, true);
        }
        break;
    case WORK_DELETE:
        if (client_stat(c, p->path) == NULL) {
            model_remove(m, p->path);
        }
        break;
    case WORK_RENAME:
        if (model_find(m, p->path) != NULL && client_stat(c, p->path) == NULL) {
            model_rename(m, p->path, p->to);
        }
        break;
    case WORK_WRITE:
        settle_write(c);
        break;
    case WORK_TRUNCATE:
        settle_truncate(c);
        break;
    case WORK_RELINK:
        names_settle_relink(c);
        break;
    case WORK_EXCHANGE:
        names_settle_exchange(c);
        break;
    }
    p->work = WORK_NONE;
    verify_tree(c);
}

/* ---- work ---- */

/* A path of one to three components out of few names, so that they meet. */
void client_random_path(struct sim_client *c, char *out)
{
    struct sim *s = c->sim;
    size_t at = (size_t)snprintf(out, MODEL_PATH_BYTES, "%s", c->root);
    for (size_t depth = 1 + (size_t)sim_draw(s, 3); depth > 0; depth--) {
        at +=
            (size_t)snprintf(out + at, MODEL_PATH_BYTES - at, "/%c", (char)('a' + sim_draw(s, 3)));
    }
}

void client_begin(struct sim_client *c, enum work work, const char *path)
{
    c->pending.work = work;
    c->pending.ino = 0;
    snprintf(c->pending.path, sizeof(c->pending.path), "%s", path);
}

void client_expect(struct sim_client *c, const char *what, const char *path, int err, bool works)
{
    if ((err == 0) != works) {
        sim_fail(c->sim, "%s %s: the model says it %s; answer: %s %s", what, path,
                 works ? "works" : "fails", err < 0 ? hd_error_name(err) : "done",
                 err < 0 ? hd_fail_text() : "");
    }
}

static void do_mkdir(struct sim_client *c, const char *path)
{
    char parent[MODEL_PATH_BYTES];
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    Hdw__MkdirsRequest q = HDW__MKDIRS_REQUEST__INIT;
    const Hdw__MkdirsResponse *r;
    perm.perm = 0755;
    q.src = text_of(path);
    q.masked = &perm;
    model_parent(path, parent);
    client_begin(c, WORK_MKDIR, path);
    int err = CLIENT_CALL(c, "mkdirs", mkdirs, &q, &r);
    const struct thing *t = model_find(&c->model, path);
    client_expect(c, "mkdir", path, err,
                  t != NULL ? t->directory : parent[0] == '\0' || model_is_dir(&c->model, parent));
    if (err == 0 && t == NULL) {
        model_add(&c->model, path, true);
    }
}

static void do_delete(struct sim_client *c, const char *path)
{
    Hdw__DeleteRequest q = HDW__DELETE_REQUEST__INIT;
    const Hdw__DeleteResponse *r;
    q.src = text_of(path);
    q.recursive = sim_chance(c->sim, 500000);
    client_begin(c, WORK_DELETE, path);
    int err = CLIENT_CALL(c, "delete", delete, &q, &r);
    const struct thing *t = model_find(&c->model, path);
    if (t == NULL) {
        if (err == 0 && r->result) {
            sim_fail(c->sim, "delete %s: there was none", path);
        }
        return;
    }
    client_expect(c, "delete", path, err,
                  q.recursive || !t->directory || model_children(&c->model, path) == 0);
    if (err == 0) {
        if (!r->result) {
            sim_fail(c->sim, "delete %s: nothing was there, it says", path);
        }
        model_remove(&c->model, path);
    }
}

static void do_rename(struct sim_client *c, const char *path)
{
    Hdw__Rename2Request q = HDW__RENAME2_REQUEST__INIT;
    const Hdw__Rename2Response *r;
    client_begin(c, WORK_RENAME, path);
    client_random_path(c, c->pending.to);
    q.src = text_of(path);
    q.dst = c->pending.to;
    q.overwrite_dest = sim_chance(c->sim, 500000);
    const struct thing *t = model_find(&c->model, path);
    if (t != NULL && t->directory && strlen(q.dst) + 12 >= MODEL_PATH_BYTES) {
        return;
    }
    int err = CLIENT_CALL(c, "rename2", rename2, &q, &r);
    client_expect(c, "rename", path, err,
                  model_rename_works(&c->model, path, q.dst, q.overwrite_dest));
    if (err == 0) {
        model_rename(&c->model, path, q.dst);
    }
}

static void random_bytes(struct sim *s, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)hd_prng_next(&s->prng);
    }
}

static uint32_t random_size(struct sim *s)
{
    return sim_chance(s, 100000) ? 0 : (uint32_t)sim_draw(s, 3 * SIM_BLOCK_BYTES - 200);
}

/* Runs the job of pending; what came of it goes into the model. */
static void run_write(struct sim_client *c, const struct write_job *job, bool works)
{
    struct pending *p = &c->pending;
    int outcome = client_write(c, job);
    if (outcome == 1) {
        settle_write(c);
        return;
    }
    client_expect(c, job->append ? "append" : "create", job->path, outcome, works);
    if (outcome < 0) {
        return;
    }
    struct thing *t = model_find(&c->model, job->path);
    if (t == NULL) {
        t = model_add(&c->model, job->path, false);
    }
    t->size = job->size;
    memcpy(t->data, p->data, job->size);
}

static void do_create(struct sim_client *c, const char *path)
{
    struct sim *s = c->sim;
    struct pending *p = &c->pending;
    char parent[MODEL_PATH_BYTES];
    const struct thing *t = model_find(&c->model, path);
    bool overwrite = sim_chance(s, 500000);
    struct write_job job = {.path = path,
                            .size = random_size(s),
                            .flag = overwrite ? 3 : 1,
                            .replication = sim_chance(s, 800000) ? 3 : 2};
    model_parent(path, parent);
    random_bytes(s, p->data, job.size);
    p->flushed = 0;
    p->sent = job.size;
    p->old_may_stay = true;
    client_begin(c, WORK_WRITE, path);
    run_write(c, &job,
              model_is_dir(&c->model, parent) && (t == NULL || (!t->directory && overwrite)));
}

static void do_append(struct sim_client *c, const char *path)
{
    struct pending *p = &c->pending;
    const struct thing *t = model_find(&c->model, path);
    if (t == NULL || t->directory || t->size + 100 > SIM_FILE_BYTES) {
        return;
    }
    uint32_t more = (uint32_t)sim_draw(c->sim, HD_MIN(SIM_FILE_BYTES - t->size, 3000u));
    struct write_job job = {
        .path = path, .append = true, .from = t->size, .size = t->size + more, .replication = 3};
    memcpy(p->data, t->data, t->size);
    random_bytes(c->sim, p->data + t->size, more);
    p->flushed = t->size;
    p->sent = job.size;
    p->old_may_stay = true;
    client_begin(c, WORK_WRITE, path);
    run_write(c, &job, true);
}

static void wait_closed(struct sim_client *c, const char *path)
{
    for (;; sim_sleep(c->sim, POLL_US)) {
        Hdw__IsFileClosedRequest q = HDW__IS_FILE_CLOSED_REQUEST__INIT;
        const Hdw__IsFileClosedResponse *r;
        q.src = text_of(path);
        int err = CLIENT_CALL(c, "isFileClosed", is_file_closed, &q, &r);
        client_expect(c, "isFileClosed", path, err, true);
        if (r->result) {
            return;
        }
    }
}

static void do_truncate(struct sim_client *c, const char *path)
{
    struct thing *t = model_find(&c->model, path);
    Hdw__TruncateRequest q = HDW__TRUNCATE_REQUEST__INIT;
    const Hdw__TruncateResponse *r;
    if (t == NULL || t->directory) {
        return;
    }
    q.src = text_of(path);
    q.client_name = c->name;
    q.new_length = sim_draw(c->sim, t->size + 1);
    c->pending.size = (uint32_t)q.new_length;
    client_begin(c, WORK_TRUNCATE, path);
    int err = CLIENT_CALL(c, "truncate", truncate, &q, &r);
    client_expect(c, "truncate", path, err, true);
    if (!r->result) {
        wait_closed(c, path);
    }
    t->size = c->pending.size;
}

static void do_read(struct sim_client *c, const char *path)
{
    const struct thing *t = model_find(&c->model, path);
    Hdw__HdfsFileStatus *f = client_stat(c, path);
    bool same = t == NULL ? f == NULL
                          : f != NULL && t->directory == (f->file_type == HDW__FILE_TYPE__IS_DIR);
    if (!same) {
        sim_fail(c->sim, "%s: the model and meta see different things", path);
    }
    if (t != NULL && !t->directory) {
        verify_file(c, path);
    }
}

static void do_something(struct sim_client *c)
{
    char path[MODEL_PATH_BYTES];
    client_random_path(c, path);
    switch (sim_draw(c->sim, 14)) {
    case 0:
    case 1:
        do_mkdir(c, path);
        break;
    case 2:
        do_delete(c, path);
        break;
    case 3:
        do_rename(c, path);
        break;
    case 4:
    case 5:
    case 6:
        do_create(c, path);
        break;
    case 7:
    case 8:
        do_append(c, path);
        break;
    case 9:
        do_truncate(c, path);
        break;
    case 10:
        names_relink(c);
        break;
    case 11:
        names_exchange(c);
        break;
    default:
        do_read(c, path);
        break;
    }
    c->pending.work = WORK_NONE;
}

static void renew(struct sim *s, void *arg)
{
    struct sim_client *c = arg;
    for (;;) {
        hd_arena_reset(sim_arena(s));
        Hdw__RenewLeaseRequest q = HDW__RENEW_LEASE_REQUEST__INIT;
        struct sim_call call = {SIM_CLIENT_PROTOCOL,
                                "renewLease",
                                &q.base,
                                &hdw__renew_lease_response__descriptor,
                                -1,
                                false};
        const void *r;
        const char *text;
        bool lost;
        q.client_name = c->name;
        sim_call_meta(s, &call, &r, &text, &lost);
        sim_sleep(s, RENEW_US);
    }
}

static void verify_all(struct sim_client *c)
{
    verify_tree(c);
    for (size_t i = 0; i < c->model.count; i++) {
        if (!c->model.things[i].directory) {
            verify_file(c, c->model.things[i].path);
        }
    }
}

static void live(struct sim *s, void *arg)
{
    struct sim_client *c = arg;
    sim_spawn(s, c->actor, renew, c);
    if (model_find(&c->model, c->root) == NULL) {
        do_mkdir(c, c->root);
        c->pending.work = WORK_NONE;
    } else {
        settle(c);
    }
    while (!s->stopping) {
        hd_arena_reset(sim_arena(s));
        do_something(c);
        sim_sleep(s, sim_between(s, 1000, 400000));
    }
    hd_arena_reset(sim_arena(s));
    verify_all(c);
    sim_trace(s, "%s has ended", c->name);
    c->done = true;
}

void sim_client_start(struct sim *s, int i)
{
    struct sim_client *c = s->clients[i];
    sim_start(s, c->actor);
    snprintf(c->name, sizeof(c->name), "%s.%u", s->actors[c->actor].name, s->actors[c->actor].life);
    sim_spawn(s, c->actor, live, c);
}

/* ---- at the end ---- */

static void check_replicas(struct sim_client *c, const struct thing *t)
{
    struct sim_block b;
    uint64_t at = 0;
    for (uint32_t i = 0; sim_meta_file_block(c->sim, t->path, i, &b); i++) {
        for (int n = 0; n < c->sim->node_count; n++) {
            const struct sim_replica *r = sim_replica_find(c->sim, n, b.id);
            if (r == NULL) {
                continue;
            }
            if (r->r.gs.v != b.gs || r->r.size_bytes != b.size_bytes ||
                at + b.size_bytes > t->size || memcmp(r->data, t->data + at, b.size_bytes) != 0) {
                sim_fail(c->sim, "%s: the replica of blk_%llu on node %d differs from the model",
                         t->path, (unsigned long long)b.id, n);
            }
        }
        at += b.size_bytes;
    }
    if (at != t->size) {
        sim_fail(c->sim, "%s: blocks of %llu bytes, the model has %u", t->path,
                 (unsigned long long)at, t->size);
    }
}

void sim_client_check(struct sim *s, int i)
{
    struct sim_client *c = s->clients[i];
    for (size_t n = 0; n < c->model.count; n++) {
        if (!c->model.things[n].directory) {
            check_replicas(c, &c->model.things[n]);
        }
    }
}
