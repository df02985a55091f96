/*
 * One replica that is overwritten until somebody kills the process, and what it must hold then.
 * The script `overwrite` beside this drives it.
 *
 *   torture-overwriter init DIR
 *   torture-overwriter run DIR HISTORY SEED      until it is killed; appends what it does
 *   torture-overwriter check DIR HISTORY kill|power
 *
 * `check` starts the store as a node does, computes from the history which values each byte may
 * have, compares, checks all sums, and carries a recovery out when the replica waits for one. After
 * a kill every write that was done is there; after a power cut, what was synced or came later.
 */
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/data/store/block_writer.h"
#include "fs/data/store/check.h"
#include "fs/data/store/patch.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SPAN_BYTES = 3 << 20, /* the replica is never longer */
    FIRST_BYTES = 2500000,
    WRITE_BYTES_MAX = 40000,
    SIZES_MAX = 65536,
    CHANGES_MAX = 1 << 20,
    VALUES = 256,
};

static const struct hd_sum_format format = {HD_CHECKSUM_CRC32C, 512};
static const struct hd_block_id id = {1073741825};

/* What is done is said twice: before, and when it is done. */
enum event {
    EVENT_WRITE = 'w',
    EVENT_RESIZE = 'r',
    EVENT_SYNC = 's',
    EVENT_BASE = 'b', /* all bytes are known; they follow */
};

struct entry {
    uint8_t event;
    uint8_t done;
    uint8_t pad[6];
    uint64_t offset; /* RESIZE: the length before */
    uint64_t size;   /* RESIZE: the length to be */
    uint64_t seed;
};

static int history_fd;

static HD_NORETURN void die(const char *what, int err)
{
    fprintf(stderr, "%s: %s\n", what, err < 0 ? hd_fail_describe(err) : "");
    exit(1);
}

static void must(const char *what, int err)
{
    if (err < 0) {
        die(what, err);
    }
}

static void say(enum event event, bool done, uint64_t offset, uint64_t size, uint64_t seed)
{
    struct entry e = {
        .event = (uint8_t)event, .done = done, .offset = offset, .size = size, .seed = seed};
    must("history", hd_fd_write(history_fd, &e, sizeof(e)));
}

static uint8_t byte_of(uint64_t seed, uint64_t at)
{
    return (uint8_t)(seed * 167 + at * 13 + (at >> 9) * 7);
}

static struct hd_store *open_store(const char *dir)
{
    static const struct hd_store_identity identity = {
        .cluster_id = "CID-1", .pool_id = "BP-1-127.0.0.1-2", .namespace_id = 5, .ctime_ms = 9};
    struct hd_store_options o = {.dirs = dir};
    struct hd_store *s;
    must("store", hd_store_new(&o, &s));
    must("bind", hd_store_bind(s, &identity));
    return s;
}

static struct hd_block_writer *open_writer(struct hd_store *s, enum hd_write_stage stage,
                                           uint64_t gs, uint64_t new_gs, uint64_t length)
{
    struct hd_block_writer_options o = {.setup = {.stage = stage,
                                                  .id = id,
                                                  .gs = {gs},
                                                  .new_gs = {new_gs},
                                                  .max_bytes = length,
                                                  .overwrite = true},
                                        .format = format};
    struct hd_block_writer *w;
    must("open", hd_block_writer_open(s, &o, &w));
    return w;
}

static void put(struct hd_block_writer *w, uint64_t offset, uint32_t size, uint64_t seed)
{
    static uint8_t data[WRITE_BYTES_MAX];
    static uint8_t sums[WRITE_BYTES_MAX / 512 * 4 + 16];
    uint32_t first = HD_MIN(size, 512 - (uint32_t)(offset % 512));
    for (uint32_t i = 0; i < size; i++) {
        data[i] = byte_of(seed, offset + i);
    }
    hd_checksum_chunks(format.type, 512, data, first, sums);
    if (size > first) {
        hd_checksum_chunks(format.type, 512, data + first, size - first, sums + 4);
    }
    struct hd_packet p = {.offset_bytes = (int64_t)offset,
                          .data_bytes = size,
                          .sums_bytes = (uint32_t)hd_patch_sums_count(offset, size, 512) * 4};
    must("write", hd_block_writer_write(w, &p, sums, data, true));
}

/* --- run --- */

static uint64_t finish(struct hd_block_writer *w, uint64_t size, uint64_t to)
{
    struct hd_packet p = {.offset_bytes = (int64_t)to, .last = true};
    say(EVENT_RESIZE, false, size, to, 0);
    must("last packet", hd_block_writer_write(w, &p, NULL, NULL, true));
    must("finish", hd_block_writer_finish(w));
    say(EVENT_RESIZE, true, size, to, 0);
    hd_block_writer_close(w);
    return to;
}

/* Half a second's worth of changes under one stamp. Returns the length. */
static uint64_t change(struct hd_store *s, struct hd_prng *r, uint64_t gs, uint64_t size)
{
    uint64_t to = hd_prng_below(r, 5) == 0 ? hd_prng_below(r, SPAN_BYTES) + 1 : size;
    say(EVENT_RESIZE, false, size, to, 0);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_APPEND, gs, gs + 1, to);
    say(EVENT_RESIZE, true, size, to, 0);
    size = to;
    int changes = 1 + (int)hd_prng_below(r, 60);
    for (int i = 0; i < changes; i++) {
        uint32_t n =
            1 + (uint32_t)hd_prng_below(r, hd_prng_below(r, 4) == 0 ? WRITE_BYTES_MAX : 900);
        uint64_t at = hd_prng_below(r, size + 1);
        at = HD_MIN(at, (uint64_t)SPAN_BYTES - n);
        uint64_t seed = hd_prng_next(r);
        say(EVENT_WRITE, false, at, n, seed);
        put(w, at, n, seed);
        say(EVENT_WRITE, true, at, n, seed);
        size = HD_MAX(size, at + n);
        if (hd_prng_below(r, 6) == 0) {
            must("sync", hd_block_writer_sync(w));
            say(EVENT_SYNC, true, 0, 0, 0);
        }
    }
    if (hd_prng_below(r, 3) == 0) { /* the chain breaks */
        hd_block_writer_close(w);
        return size;
    }
    return finish(w, size, hd_prng_below(r, 8) == 0 ? hd_prng_below(r, size) + 1 : size);
}

static HD_NORETURN void run(const char *dir, uint64_t seed)
{
    struct hd_store *s = open_store(dir);
    struct hd_prng r = {seed};
    struct hd_replica replica;
    must("replica", hd_store_get(s, id, &replica));
    uint64_t size = replica.size_bytes;
    for (uint64_t gs = replica.gs.v;; gs++) {
        size = change(s, &r, gs, size);
        if (hd_prng_below(&r, 3) == 0 && hd_store_clean(s, 0) > 0) {
            say(EVENT_SYNC, true, 0, 0, 0);
        }
    }
}

/* --- check --- */

/* One bit for each value that a byte may have. */
static uint64_t (*now)[VALUES / 64]; /* as all see it */
static uint64_t (*cut)[VALUES / 64]; /* on a disk without power */
static uint64_t sizes_now[SIZES_MAX];
static uint64_t sizes_cut[SIZES_MAX];
static size_t sizes_now_count;
static size_t sizes_cut_count;

static void set(uint64_t (*of)[VALUES / 64], uint64_t at, uint8_t value, bool only)
{
    if (only) {
        memset(of[at], 0, sizeof(of[at]));
    }
    of[at][value / 64] |= (uint64_t)1 << value % 64;
}

static void add_size(uint64_t *sizes, size_t *count, uint64_t size)
{
    for (size_t i = 0; i < *count; i++) {
        if (sizes[i] == size) {
            return;
        }
    }
    if (*count == SIZES_MAX) {
        die("more lengths than are kept", 0);
    }
    sizes[(*count)++] = size;
}

static void apply_size(uint64_t size, bool only)
{
    sizes_now_count = only ? 0 : sizes_now_count;
    add_size(sizes_now, &sizes_now_count, size);
    add_size(sizes_cut, &sizes_cut_count, size);
}

/* Since the last sync. */
static struct entry changed[CHANGES_MAX];
static size_t changed_count;

static void note_changed(uint64_t from, uint64_t to)
{
    if (changed_count == CHANGES_MAX) {
        die("more changes without a sync than are kept", 0);
    }
    changed[changed_count++] = (struct entry){.offset = from, .size = to - from};
}

static uint64_t apply_write(const struct entry *e, uint64_t size)
{
    note_changed(e->offset, e->offset + e->size);
    for (uint64_t at = e->offset; at < e->offset + e->size; at++) {
        set(now, at, byte_of(e->seed, at), e->done);
        set(cut, at, byte_of(e->seed, at), false);
        if (at >= size) { /* a disk may have the new length and not the bytes */
            set(cut, at, 0, false);
        }
    }
    if (e->offset + e->size > size) {
        apply_size(e->offset + e->size, e->done);
        /* It may be torn: any length in between, which the check takes as such. */
        return e->offset + e->size;
    }
    return size;
}

static void apply_resize(const struct entry *e)
{
    if (e->size > e->offset) {
        note_changed(e->offset, e->size);
    }
    for (uint64_t at = e->offset; at < e->size; at++) {
        set(now, at, 0, e->done);
        set(cut, at, 0, false);
    }
    apply_size(e->size, e->done);
}

static void apply_sync(void)
{
    for (size_t i = 0; i < changed_count; i++) {
        const struct entry *e = &changed[i];
        memcpy(cut[e->offset], now[e->offset], e->size * sizeof(*cut));
    }
    changed_count = 0;
    memcpy(sizes_cut, sizes_now, sizeof(sizes_cut));
    sizes_cut_count = sizes_now_count;
}

static void apply_base(const uint8_t *bytes, uint64_t size)
{
    memset(now, 0, SPAN_BYTES * sizeof(*now));
    for (uint64_t at = 0; at < size; at++) {
        set(now, at, bytes[at], true);
    }
    sizes_now_count = 0;
    add_size(sizes_now, &sizes_now_count, size);
    note_changed(0, SPAN_BYTES);
    apply_sync();
}

static void replay(const char *path)
{
    struct hd_buf b = {0};
    uint64_t size = 0;
    must("history", hd_file_read(path, HD_BUF_MAX_BYTES - 1, &b));
    for (size_t at = 0; at + sizeof(struct entry) <= b.size;) {
        struct entry e;
        memcpy(&e, b.data + at, sizeof(e));
        at += sizeof(e);
        if (e.event == EVENT_WRITE) {
            size = apply_write(&e, size);
        } else if (e.event == EVENT_RESIZE) {
            apply_resize(&e);
            size = e.size;
        } else if (e.event == EVENT_SYNC) {
            apply_sync();
        } else {
            apply_base(b.data + at, e.size);
            at += e.size;
            size = e.size;
        }
    }
    hd_buf_done(&b);
}

static bool size_fits(const uint64_t *sizes, size_t count, uint64_t size)
{
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    for (size_t i = 0; i < count; i++) {
        low = HD_MIN(low, sizes[i]);
        high = HD_MAX(high, sizes[i]);
    }
    return size >= low && size <= high; /* a change of the length may be torn */
}

static void compare(const uint8_t *got, uint64_t size, bool power)
{
    uint64_t(*may)[VALUES / 64] = power ? cut : now;
    bool fits = power ? size_fits(sizes_cut, sizes_cut_count, size)
                      : size_fits(sizes_now, sizes_now_count, size);
    uint64_t wrong = 0;
    uint64_t first = 0;
    for (uint64_t at = 0; at < size; at++) {
        /* Bytes that a cut took away and that were not written again are zeros. */
        bool good = (may[at][got[at] / 64] >> got[at] % 64 & 1) != 0;
        first = good || wrong > 0 ? first : at;
        wrong += !good;
    }
    if (!fits || wrong > 0) {
        printf("length %" PRIu64 " %s; %" PRIu64 " bytes are wrong, the first at %" PRIu64 "\n",
               size, fits ? "fits" : "does not fit", wrong, first);
        exit(1);
    }
}

/* The only location: whatever it has counts. */
static void recover(struct hd_store *s, const struct hd_replica *r)
{
    struct hd_recovery_answer a;
    char storage[HD_LAYOUT_ID_BYTES];
    must("init of the recovery", hd_store_recovery_init(s, id, r->gs, r->gs.v + 1, &a));
    if (!a.found || a.size_bytes != r->size_bytes) {
        die("the recovery finds less than is there", 0);
    }
    must("recovery", hd_store_recovery_update(s, id, r->gs.v + 1, a.size_bytes, storage));
    hd_recovery_answer_done(&a);
}

static int check(const char *dir, const char *path, bool power)
{
    struct hd_store *s = open_store(dir);
    struct hd_replica r;
    struct hd_block_view v;
    struct hd_check finding;
    now = calloc(SPAN_BYTES, sizeof(*now));
    cut = calloc(SPAN_BYTES, sizeof(*cut));
    uint8_t *got = calloc(1, SPAN_BYTES);
    replay(path);
    must("replica", hd_store_get(s, id, &r));
    must("view", hd_store_view(s, id, &v));
    must("read", hd_fd_pread(v.data_fd, got, r.size_bytes, 0));
    hd_block_view_done(&v);
    compare(got, r.size_bytes, power);
    printf("%s%s, %" PRIu64 " bytes", hd_replica_state_name(r.state), r.doubtful ? " doubtful" : "",
           r.size_bytes);
    if (r.state != HD_REPLICA_FINALIZED) {
        recover(s, &r);
        say(EVENT_BASE, true, 0, r.size_bytes, 0);
        must("history", hd_fd_write(history_fd, got, r.size_bytes));
    }
    must("check", hd_store_check_replica(s, id, &(struct hd_check_options){0}, &finding));
    printf("%s\n", finding.finding == HD_CHECK_GOOD ? "" : finding.why);
    hd_store_free(s);
    return finding.finding == HD_CHECK_GOOD ? 0 : 1;
}

static int init(const char *dir)
{
    struct hd_store *s = open_store(dir);
    struct hd_block_writer *w = open_writer(s, HD_STAGE_CREATE, 1001, 0, 0);
    uint8_t *bytes = calloc(1, FIRST_BYTES);
    for (uint64_t at = 0; at < FIRST_BYTES; at += WRITE_BYTES_MAX) {
        put(w, at, (uint32_t)HD_MIN((uint64_t)FIRST_BYTES - at, (uint64_t)WRITE_BYTES_MAX), 1);
    }
    for (uint64_t at = 0; at < FIRST_BYTES; at++) {
        bytes[at] = byte_of(1, at);
    }
    must("sync", hd_block_writer_sync(w));
    must("finish", hd_block_writer_finish(w));
    hd_block_writer_close(w);
    say(EVENT_BASE, true, 0, FIRST_BYTES, 0);
    must("history", hd_fd_write(history_fd, bytes, FIRST_BYTES));
    hd_store_free(s);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: torture-overwriter init|run|check DIR HISTORY [SEED|kill|power]\n");
        return 64;
    }
    hd_log_init("torture-overwriter", HD_LOG_WARN);
    history_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (strcmp(argv[1], "init") == 0) {
        return init(argv[2]);
    }
    if (strcmp(argv[1], "run") == 0 && argc == 5) {
        run(argv[2], strtoull(argv[4], NULL, 10));
    }
    return check(argv[2], argv[3], argc == 5 && strcmp(argv[4], "power") == 0);
}
