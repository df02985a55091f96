/*
 * A metadata store on real files, driven without a process: calls step the core, their records go
 * to the edit log and the view as the executor does it, and after every record the rig notes what
 * the namespace then looks like. Whatever a store makes of its files later, rig_open compares:
 * what was acknowledged is there, and what is there is a state that there was.
 */
#ifndef HD_TESTS_META_STORE_RIG_H
#define HD_TESTS_META_STORE_RIG_H

#include "tests/unit/meta/core/harness.h"

#include "fs/base/crc.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "meta/shell/image_make.h"
#include "meta/shell/store.h"

enum { RIG_TXIDS_MAX = 20000 };

struct rig {
    const char *dirs;
    struct hd_meta_options core;
    struct hd_store s;
    bool open;
    bool gone_astray; /* rig_open found a namespace that never was */
    struct hd_meta_effects fx;
    struct hd_buf frames;
    struct hd_kv_batch puts;
    uint64_t calls;
    uint64_t acked; /* durable in every directory */
    uint64_t sums[RIG_TXIDS_MAX];
    struct bytes records[RIG_TXIDS_MAX];
    struct hd_meta *shadow; /* the records so far, one by one */
};

/* The namespace as one number, in whatever order it comes. */
static inline uint64_t rig_sum(struct hd_meta *m)
{
    struct hd_meta_effects e;
    uint64_t sum = 0;
    hd_meta_effects_init(&e);
    hd_view_emit_all(&m->ns, &e);
    for (size_t i = 0; i < e.put_count; i++) {
        const struct hd_meta_put *p = &e.puts[i];
        uint64_t crc = hd_crc32c(0, p->key, p->key_size);
        crc = crc << 32 | hd_crc32c((uint32_t)crc, p->value, p->value_size);
        sum += crc * 0x9e3779b97f4a7c15u;
    }
    hd_meta_effects_done(&e);
    return sum;
}

static inline void rig_init(struct rig *r, const char *dirs)
{
    *r = (struct rig){.dirs = dirs, .core = world_options(), .s.lock_fd = -1};
    hd_log_init("rig", HD_LOG_ERROR);
    hd_meta_effects_init(&r->fx);
}

/* Replays the rig's own records into the shadow up to txid. */
static inline void rig_shadow_to(struct rig *r, uint64_t txid)
{
    hd_meta_free(r->shadow);
    ATF_REQUIRE_EQ(hd_store_core_new(&r->core, &r->s.version, &r->shadow), 0);
    hd_meta_format(r->shadow, (struct hd_wall_ms){(int64_t)r->s.version.creation_ms}, &r->fx);
    r->sums[hd_meta_txid(r->shadow).v] = rig_sum(r->shadow);
    for (uint64_t t = 1; t <= txid; t++) {
        hd_meta_effects_reset(&r->fx);
        ATF_REQUIRE_EQ(hd_meta_replay(r->shadow, r->records[t].data, r->records[t].size, &r->fx),
                       0);
    }
    hd_meta_effects_reset(&r->fx);
}

/* Opens what is in the directories. An error is the store's; a wrong state is a failure. */
static inline int rig_open(struct rig *r)
{
    const struct hd_store_options o = {.dir = r->dirs, .core = &r->core, .ip = "127.0.0.1"};
    int err = hd_store_open(&o, &r->s);
    if (err < 0) {
        return err;
    }
    uint64_t txid = hd_meta_txid(r->s.meta).v;
    r->open = true;
    if (r->shadow == NULL) {
        rig_shadow_to(r, txid);
    }
    r->gone_astray = txid < r->acked || txid >= RIG_TXIDS_MAX || r->sums[txid] == 0 ||
                     rig_sum(r->s.meta) != r->sums[txid];
    return 0;
}

/* Ends it as a kill does: nothing is finished, what was written is in the files. */
static inline void rig_kill(struct rig *r)
{
    if (r->open) {
        hd_store_close(&r->s);
        r->open = false;
    }
    hd_buf_clear(&r->frames);
    hd_kv_batch_clear(&r->puts);
}

/* Opens, and goes on behind what is there. */
static inline void rig_begin(struct rig *r)
{
    int err = rig_open(r);
    ATF_REQUIRE_MSG(err == 0, "does not open: %s", hd_fail_describe(err));
    uint64_t txid = hd_meta_txid(r->s.meta).v;
    ATF_REQUIRE_MSG(!r->gone_astray, "txid %llu of %llu acknowledged is not what it was",
                    (unsigned long long)txid, (unsigned long long)r->acked);
    rig_shadow_to(r, txid);
    ATF_REQUIRE_EQ(hd_edit_log_start(r->s.log, (struct hd_txid){txid + 1}), 0);
    hd_meta_start(r->s.meta, (struct hd_mono_ms){1000});
}

static inline void rig_take_records(struct rig *r)
{
    for (size_t i = 0; i < r->fx.record_count; i++) {
        const struct hd_meta_record *rec = &r->fx.records[i];
        const struct hd_record frame = {rec->txid, {r->acked}, rec->data, rec->size};
        ATF_REQUIRE_EQ(hd_record_encode(&r->frames, &frame), 0);
        free(r->records[rec->txid.v].data);
        r->records[rec->txid.v] = bytes_of(rec->data, rec->size);
        struct hd_meta_effects e;
        hd_meta_effects_init(&e);
        ATF_REQUIRE_EQ(hd_meta_replay(r->shadow, rec->data, rec->size, &e), 0);
        hd_meta_effects_done(&e);
        r->sums[rec->txid.v] = rig_sum(r->shadow);
    }
    ATF_REQUIRE_EQ(hd_view_batch_puts(&r->puts, &r->fx), 0);
}

/* One call that changes names; the record waits for rig_sync. */
static inline void rig_mkdir(struct rig *r)
{
    char path[64];
    uint8_t body[128];
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    Hdw__MkdirsRequest q = HDW__MKDIRS_REQUEST__INIT;
    snprintf(path, sizeof(path), "/d%llu/e%llu", (unsigned long long)(r->calls / 10),
             (unsigned long long)r->calls);
    r->calls++;
    p.perm = 0755;
    q.src = path;
    q.masked = &p;
    q.create_parent = true;
    struct hd_meta_event ev = {.type = HD_META_REQUEST,
                               .now = {1000},
                               .wall = {1700000000000},
                               .durable = {r->acked},
                               .token = r->calls,
                               .protocol = CLIENT_PROTOCOL,
                               .method = "mkdirs",
                               .body = body,
                               .body_size = protobuf_c_message_pack(&q.base, body),
                               .user = "root",
                               .groups = no_groups,
                               .peer_ip = "127.0.0.1",
                               .peer_host = "localhost",
                               .call_id = -1};
    hd_meta_effects_reset(&r->fx);
    hd_meta_step(r->s.meta, &ev, &r->fx);
    ATF_REQUIRE_EQ(r->fx.reply_count, 1);
    ATF_REQUIRE_EQ_MSG(r->fx.replies[0].err, 0, "%s", r->fx.replies[0].text);
    rig_take_records(r);
}

/* Writes what the calls made; with `sync`, acknowledges it and puts it into the view. */
static inline int rig_write(struct rig *r, bool sync)
{
    struct hd_txid last = hd_meta_txid(r->s.meta);
    int err = 0;
    if (r->frames.size > 0) {
        err = hd_edit_log_append(r->s.log, r->frames.data, r->frames.size, last);
    }
    if (err < 0) {
        return err;
    }
    hd_buf_clear(&r->frames);
    if (sync) {
        err = hd_edit_log_sync(r->s.log);
    }
    if (err < 0 || !sync) {
        return err;
    }
    r->acked = last.v;
    err = hd_view_batch_applied(&r->puts, last);
    if (err == 0) {
        err = hd_kv_write(r->s.view, &r->puts, false);
    }
    hd_kv_batch_clear(&r->puts);
    return err;
}

/* n acknowledged calls, in batches. */
static inline void rig_work(struct rig *r, int n)
{
    for (int i = 0; i < n; i++) {
        rig_mkdir(r);
        if (i % 3 == 2 || i == n - 1) {
            int err = rig_write(r, true);
            ATF_REQUIRE_MSG(err == 0, "write: %s", hd_fail_describe(err));
        }
    }
}

/* A checkpoint, as the images thread makes it. */
static inline void rig_checkpoint(struct rig *r, size_t kept)
{
    struct hd_kv_snapshot *snapshot;
    struct hd_image_info info;
    ATF_REQUIRE_EQ(hd_edit_log_roll(r->s.log), 0);
    ATF_REQUIRE_EQ(hd_kv_snapshot_new(r->s.view, &snapshot), 0);
    int err = hd_image_make(hd_edit_log_dir(r->s.log), r->s.view, snapshot,
                            (struct hd_txid){r->acked}, &r->core, &r->s.version, &info);
    hd_kv_snapshot_free(r->s.view, snapshot);
    ATF_REQUIRE_MSG(err == 0, "image: %s", hd_fail_describe(err));
    ATF_REQUIRE_EQ(hd_image_retain(hd_edit_log_dir(r->s.log), r->s.log, kept), 0);
}

static inline void rig_done(struct rig *r)
{
    rig_kill(r);
    hd_meta_free(r->shadow);
    for (size_t i = 0; i < RIG_TXIDS_MAX; i++) {
        free(r->records[i].data);
    }
    hd_meta_effects_done(&r->fx);
    hd_buf_done(&r->frames);
    hd_kv_batch_done(&r->puts);
}

#endif
