/*
 * Exercises hd_content: one file of a session, changed at random places and compared with a model
 * in memory all the while; and figures.
 *
 *   content_client [-S SOCKET] [-b BLOCK_BYTES] [-m MAX_BYTES] URI COMMAND ARGS
 *     fsx PATH OPERATIONS SEED     random changes and reads, then all of it in a new session;
 *                                  -m: how large it gets
 *     threads PATH SECONDS SEED    several threads change parts of their own at once
 *     smalls DIR COUNT             files of a few bytes: made, written, settled
 *     put PATH BYTES               a file written in order
 *     random PATH BYTES COUNT N    4 KiB at random places of a file that put made, flushed durably
 *                                  behind every N of them (0: never)
 *     check PATH BYTES             what put wrote is there
 *     crash PATH ROUNDS SEED       a process that grows a file in small steps is killed: what it
 *                                  had flushed is there, and nothing that it did not write
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/client/content.h"
#include "fs/client/posix.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20, PAGE_BYTES = 4096, SLOW_MS = 1000 };

static struct hd_fs_options fs_options = {
    .relaxed = true, .retry_safe_mode = true, .client_name_prefix = "content"};
static struct hd_fs *fs;
static struct hd_posix *posix;
static uint64_t max_bytes = 6 << 20;
static uint64_t block_bytes = 1 << 20;

static void die(int err, const char *what)
{
    fprintf(stderr, "content_client: %s: %s (%s)\n", what, hd_fail_describe(err),
            hd_error_name(err));
    exit(1);
}

static int64_t check(int64_t err, const char *what)
{
    if (err < 0) {
        die((int)err, what);
    }
    return err;
}

static atomic_ullong writing_ino; /* 0: none */

/* Another life of meta: the file is still ours. */
static void on_reclaim(void *ctx, struct hd_posix_holdings *h)
{
    (void)ctx;
    uint64_t ino = atomic_load(&writing_ino);
    if (ino != 0) {
        (void)hd_posix_hold_writing(h, ino);
    }
}

static void on_reclaimed(void *ctx, const uint64_t *lost, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "inode %" PRIu64 " was not given again\n", lost[i]);
    }
}

static void connect_all(void)
{
    static const struct hd_posix_events events = {.on_reclaim = on_reclaim,
                                                  .on_reclaimed = on_reclaimed};
    check(hd_fs_open(&fs_options, &fs), "open");
    check(hd_posix_open(fs, &events, &posix), "session");
}

static void disconnect_all(void)
{
    hd_posix_close(posix);
    hd_fs_close(fs);
}

/* ---- files ---- */

/* A file with the WRITE capability: made, or one that is there. */
struct file {
    struct hd_content *c;
    uint64_t ino;
};

static struct file open_file(const char *path, bool make)
{
    struct file f = {.c = NULL};
    if (make) {
        struct hd_create_options o = {
            .mode = 0644, .overwrite = true, .parents = true, .block_size_bytes = block_bytes};
        struct hd_file *h;
        check(hd_file_create(fs, path, &o, &h), path); /* the block size is the file's */
        check(hd_file_close(h), path);
    }
    struct hd_stat st;
    check(hd_fs_stat(fs, path, &st), path);
    f.ino = st.ino;
    hd_stat_done(&st);
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    struct hd_posix_acquire a = {.want = HDW__CAP_KIND__CAP_WRITE, .blocks = true};
    Hdw__AcquireResponse *r;
    check(hd_posix_acquire(posix, f.ino, &a, &arena, &r, NULL), "acquire");
    check(hd_content_new(posix, f.ino, r, &f.c), "content");
    hd_arena_done(&arena);
    atomic_store(&writing_ino, f.ino);
    return f;
}

static void close_file(struct file *f)
{
    check(hd_content_settle(f->c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL), "settle");
    hd_content_free(f->c);
}

/* ---- a model ---- */

struct model {
    uint8_t *bytes;
    uint64_t size;
};

static void compare(struct file *f, const struct model *m, uint64_t offset, size_t size,
                    const char *when)
{
    uint8_t *got = malloc(size + 1);
    int64_t n = check(hd_content_pread(f->c, got, size, offset), "pread");
    uint64_t want = offset < m->size ? HD_MIN((uint64_t)size, m->size - offset) : 0;
    if ((uint64_t)n != want) {
        fprintf(stderr,
                "%s: %" PRId64 " bytes at %" PRIu64 ", not %" PRIu64 " (size %" PRIu64 ")\n", when,
                n, offset, want, m->size);
        exit(1);
    }
    for (uint64_t i = 0; i < want; i++) {
        if (got[i] != m->bytes[offset + i]) {
            fprintf(stderr, "%s: byte %" PRIu64 " is %02x, not %02x\n", when, offset + i, got[i],
                    m->bytes[offset + i]);
            exit(1);
        }
    }
    free(got);
}

static void compare_all(struct file *f, const struct model *m, const char *when)
{
    if (hd_content_size(f->c) != m->size) {
        fprintf(stderr, "%s: size %" PRIu64 ", not %" PRIu64 "\n", when, hd_content_size(f->c),
                m->size);
        exit(1);
    }
    for (uint64_t at = 0; at < m->size; at += COPY_BYTES) {
        compare(f, m, at, COPY_BYTES, when);
    }
}

static void grow(struct model *m, uint64_t size)
{
    if (size > m->size) {
        memset(m->bytes + m->size, 0, size - m->size);
        m->size = size;
    }
}

/* Mostly near what is there; sometimes aligned, sometimes far behind the end. */
static uint64_t pick_offset(struct hd_prng *r, const struct model *m)
{
    uint64_t bound = hd_prng_below(r, 8) == 0 ? max_bytes : HD_MIN(m->size + 1, max_bytes);
    uint64_t offset = hd_prng_below(r, bound);
    return hd_prng_below(r, 3) == 0 ? offset - offset % PAGE_BYTES : offset;
}

static uint64_t pick_size(struct hd_prng *r, uint64_t offset)
{
    static const uint64_t scales[] = {16, 600, 5000, 5000, 40000, 300000, 2000000};
    uint64_t size = 1 + hd_prng_below(r, scales[hd_prng_below(r, 7)]);
    return HD_MIN(size, max_bytes - offset);
}

static void op_write(struct file *f, struct model *m, struct hd_prng *r)
{
    uint64_t offset = pick_offset(r, m);
    uint64_t size = pick_size(r, offset);
    grow(m, offset + size);
    uint64_t seed = hd_prng_next(r);
    for (uint64_t i = 0; i < size; i++) {
        m->bytes[offset + i] = (uint8_t)((i * 31 + (i >> 9) + seed) | 1);
    }
    check(hd_content_pwrite(f->c, m->bytes + offset, size, offset), "pwrite");
}

static void op_resize(struct file *f, struct model *m, struct hd_prng *r)
{
    uint64_t size = hd_prng_below(r, 12) == 0 ? 0 : pick_offset(r, m);
    grow(m, size);
    m->size = size;
    check(hd_content_resize(f->c, size), "resize");
}

static void op_zero(struct file *f, struct model *m, struct hd_prng *r)
{
    uint64_t offset = pick_offset(r, m);
    uint64_t size = pick_size(r, offset);
    bool punch = hd_prng_below(r, 2) == 0;
    if (!punch) {
        grow(m, offset + size);
    }
    if (offset < m->size) {
        memset(m->bytes + offset, 0, HD_MIN(size, m->size - offset));
    }
    check(hd_content_zero(f->c, offset, size, punch), punch ? "punch" : "zero");
}

/* A hole that is claimed has to be zeros. */
static void op_seek(struct file *f, struct model *m, struct hd_prng *r)
{
    uint64_t hole;
    uint64_t data;
    uint64_t at = pick_offset(r, m);
    int err = hd_content_next(f->c, at, false, &hole);
    if ((err == 0) != (at < m->size)) {
        die(err, "SEEK_HOLE");
    }
    if (err < 0 || hole >= m->size) {
        return;
    }
    err = hd_content_next(f->c, hole, true, &data);
    uint64_t end = err == 0 ? data : m->size;
    for (uint64_t i = hole; i < end; i++) {
        if (m->bytes[i] != 0) {
            fprintf(stderr, "a hole at %" PRIu64 " where data is\n", i);
            exit(1);
        }
    }
}

/* Forgets all and begins anew, as who opens the file later. */
static void op_reopen(const char *path, struct file *f, struct model *m)
{
    close_file(f);
    *f = open_file(path, false);
    compare_all(f, m, "opened again");
}

static int cmd_fsx(const char *path, int operations, uint64_t seed)
{
    struct hd_prng r = {seed};
    struct model m = {.bytes = calloc(1, max_bytes)};
    struct file f = open_file(path, true);
    int64_t slowest_ms = 0;
    for (int i = 0; i < operations; i++) {
        int64_t began_ms = hd_clock_mono_ms().v;
        uint64_t what = hd_prng_below(&r, 100);
        uint64_t at = pick_offset(&r, &m);
        if (what < 45) {
            op_write(&f, &m, &r);
        } else if (what < 80) {
            compare(&f, &m, at, pick_size(&r, at), "pread");
        } else if (what < 85) {
            op_resize(&f, &m, &r);
        } else if (what < 88) {
            op_zero(&f, &m, &r);
        } else if (what < 91) {
            op_seek(&f, &m, &r);
        } else if (what < 97) {
            check(hd_content_flush(f.c, hd_prng_below(&r, 2) == 0), "flush");
        } else if (what < 99) {
            check(hd_content_settle(f.c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL), "settle");
        } else {
            op_reopen(path, &f, &m);
        }
        int64_t took_ms = hd_clock_mono_ms().v - began_ms;
        slowest_ms = HD_MAX(slowest_ms, took_ms);
        if (took_ms > SLOW_MS) {
            fprintf(stderr, "operation %d (%" PRIu64 ") took %" PRId64 " ms\n", i, what, took_ms);
        }
    }
    compare_all(&f, &m, "at the end");
    close_file(&f);
    disconnect_all();
    connect_all();
    f = open_file(path, false);
    compare_all(&f, &m, "in a new session");
    hd_content_free(f.c);
    fprintf(stderr, "%d operations agree, the slowest took %" PRId64 " ms\n", operations,
            slowest_ms);
    free(m.bytes);
    return 0;
}

/* ---- threads: each has its own pages, all in the same blocks ---- */

enum { THREADS = 4 };

struct worker {
    struct file *f;
    struct model *m;
    int index;
    int64_t until_ms;
    uint64_t seed;
    uint64_t changes;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct hd_prng r = {w->seed};
    uint64_t pages = max_bytes / PAGE_BYTES / THREADS;
    while (hd_clock_mono_ms().v < w->until_ms) {
        uint64_t page = hd_prng_below(&r, pages) * THREADS + (uint64_t)w->index;
        uint8_t *at = w->m->bytes + page * PAGE_BYTES;
        if (hd_prng_below(&r, 3) == 0) {
            compare(w->f, w->m, page * PAGE_BYTES, PAGE_BYTES, "pread by a thread");
        } else {
            memset(at, (int)hd_prng_below(&r, 256), PAGE_BYTES);
            check(hd_content_pwrite(w->f->c, at, PAGE_BYTES, page * PAGE_BYTES), "pwrite");
            w->changes++;
        }
        if (hd_prng_below(&r, 100) == 0) {
            check(hd_content_flush(w->f->c, hd_prng_below(&r, 2) == 0), "flush");
        }
    }
    return NULL;
}

static int cmd_threads(const char *path, int seconds, uint64_t seed)
{
    struct model m = {.bytes = calloc(1, max_bytes), .size = max_bytes};
    struct file f = open_file(path, true);
    check(hd_content_pwrite(f.c, m.bytes, max_bytes, 0), "pwrite");
    struct worker w[THREADS];
    pthread_t threads[THREADS];
    int64_t until_ms = hd_clock_mono_ms().v + seconds * 1000;
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){&f, &m, i, until_ms, seed * THREADS + (uint64_t)i, 0};
        pthread_create(&threads[i], NULL, work, &w[i]);
    }
    uint64_t changes = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        changes += w[i].changes;
    }
    compare_all(&f, &m, "after the threads");
    op_reopen(path, &f, &m);
    hd_content_free(f.c);
    fprintf(stderr, "%" PRIu64 " changes by %d threads agree\n", changes, THREADS);
    free(m.bytes);
    return 0;
}

/* ---- figures ---- */

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void figures(const char *what, uint64_t count, uint64_t bytes, int64_t start_ms)
{
    double seconds = (double)(hd_clock_mono_ms().v - start_ms) / 1000;
    seconds = seconds > 0 ? seconds : 1e-3;
    fprintf(stderr, "%s: %" PRIu64 " in %.3f s, %.0f/s, %.1f MB/s, %.2f CPU s here\n", what, count,
            seconds, (double)count / seconds, (double)bytes / 1e6 / seconds, cpu_seconds());
}

static void fill(uint8_t *out, size_t size, uint64_t offset)
{
    for (size_t i = 0; i < size; i += 8) {
        hd_put_le64(out + i, (offset + i) * 0x9e3779b97f4a7c15u);
    }
}

static int cmd_put(const char *path, uint64_t bytes)
{
    uint8_t *data = malloc(COPY_BYTES);
    struct file f = open_file(path, true);
    int64_t start_ms = hd_clock_mono_ms().v;
    for (uint64_t at = 0; at < bytes; at += COPY_BYTES) {
        size_t n = (size_t)HD_MIN((uint64_t)COPY_BYTES, bytes - at);
        fill(data, COPY_BYTES, at);
        check(hd_content_pwrite(f.c, data, n, at), "pwrite");
    }
    close_file(&f);
    figures("put", bytes / COPY_BYTES, bytes, start_ms);
    free(data);
    return 0;
}

static int cmd_check(const char *path, uint64_t bytes)
{
    uint8_t *want = malloc(COPY_BYTES);
    uint8_t *got = malloc(COPY_BYTES);
    struct file f = open_file(path, false);
    int64_t start_ms = hd_clock_mono_ms().v;
    for (uint64_t at = 0; at < bytes; at += COPY_BYTES) {
        size_t n = (size_t)HD_MIN((uint64_t)COPY_BYTES, bytes - at);
        fill(want, COPY_BYTES, at);
        if ((size_t)check(hd_content_pread(f.c, got, n, at), "pread") != n ||
            memcmp(got, want, n) != 0) {
            fprintf(stderr, "%s differs at %" PRIu64 "\n", path, at);
            exit(1);
        }
    }
    figures("check", bytes / COPY_BYTES, bytes, start_ms);
    hd_content_free(f.c);
    free(want);
    free(got);
    return 0;
}

static int cmd_random(const char *path, uint64_t bytes, uint64_t count, uint64_t each)
{
    uint8_t page[PAGE_BYTES];
    struct hd_prng r = {bytes + count};
    struct file f = open_file(path, false);
    int64_t start_ms = hd_clock_mono_ms().v;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = hd_prng_below(&r, bytes / PAGE_BYTES) * PAGE_BYTES;
        fill(page, PAGE_BYTES, at);
        check(hd_content_pwrite(f.c, page, PAGE_BYTES, at), "pwrite");
        if (each > 0 && i % each == each - 1) {
            check(hd_content_flush(f.c, true), "flush");
        }
    }
    check(hd_content_flush(f.c, false), "flush");
    figures("random", count, count * PAGE_BYTES, start_ms);
    close_file(&f);
    return 0;
}

static int cmd_smalls(const char *dir, int count)
{
    check(hd_fs_mkdir(fs, dir, 0755, true), dir);
    struct hd_stat st;
    check(hd_fs_stat(fs, dir, &st), dir);
    int64_t start_ms = hd_clock_mono_ms().v;
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "s%d", i);
        struct hd_posix_make make = {
            .name = name, .mode = S_IFREG | 0644, .exclusive = true, .open = true};
        struct hd_posix_made made;
        check(hd_posix_make_node(posix, NULL, st.ino, &make, &made), "make");
        Hdw__PosixAttr attr = HDW__POSIX_ATTR__INIT;
        Hdw__AcquireResponse a = HDW__ACQUIRE_RESPONSE__INIT;
        attr.ino = made.attr.ino;
        a.attr = &attr;
        a.granted = HDW__CAP_KIND__CAP_WRITE;
        struct hd_content *c;
        check(hd_content_new(posix, made.attr.ino, &a, &c), "content");
        check(hd_content_pwrite(c, name, strlen(name), 0), "pwrite");
        check(hd_content_settle(c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL), "settle");
        hd_content_free(c);
        hd_posix_made_done(&made);
    }
    figures("smalls", (uint64_t)count, 0, start_ms);
    hd_stat_done(&st);
    return 0;
}

/* ---- a writer that dies ---- */

enum { CRASH_START_BYTES = 3000, CRASH_STEP_BYTES = 700, CRASH_MAX_BYTES = 40000 };

static uint8_t crash_byte(uint64_t at, uint64_t seed)
{
    return (uint8_t)((at * 7 + at / 251 + seed) | 1);
}

/* Grows the file for ever, a step at a time, and tells how much is flushed. */
static void crash_write(const char *path, uint64_t seed, int told)
{
    struct hd_prng r = {seed};
    uint8_t bytes[CRASH_MAX_BYTES];
    for (uint64_t i = 0; i < CRASH_MAX_BYTES; i++) {
        bytes[i] = crash_byte(i, seed);
    }
    connect_all();
    struct file f = open_file(path, true);
    uint64_t size = CRASH_START_BYTES;
    check(hd_content_pwrite(f.c, bytes, size, 0), "pwrite");
    for (;;) {
        if (size == CRASH_START_BYTES || hd_prng_below(&r, 3) == 0) {
            check(hd_content_flush(f.c, hd_prng_below(&r, 2) == 0), "flush");
            (void)!write(told, &size, sizeof(size));
        }
        uint64_t n = HD_MIN((uint64_t)CRASH_STEP_BYTES, CRASH_MAX_BYTES - size);
        if (n == 0) {
            pause();
        }
        check(hd_content_pwrite(f.c, bytes + size, n, size), "pwrite");
        size += n;
    }
}

/* What another session sees when the dead one's has ended. */
static void crash_check(const char *path, uint64_t seed, uint64_t flushed)
{
    connect_all();
    struct file f = open_file(path, false);
    uint64_t size = hd_content_size(f.c);
    if (size < flushed) {
        fprintf(stderr, "%" PRIu64 " bytes are left of %" PRIu64 " that were flushed\n", size,
                flushed);
        exit(1);
    }
    uint8_t got[CRASH_MAX_BYTES];
    uint64_t n = (uint64_t)check(hd_content_pread(f.c, got, sizeof(got), 0), "pread");
    for (uint64_t i = 0; i < n; i++) {
        if (got[i] != crash_byte(i, seed)) {
            fprintf(stderr, "byte %" PRIu64 " of %" PRIu64 " (%" PRIu64 " flushed) is wrong\n", i,
                    n, flushed);
            exit(1);
        }
    }
    hd_content_free(f.c);
    disconnect_all();
}

static int cmd_crash(const char *path, int rounds, uint64_t seed)
{
    struct hd_prng r = {seed};
    disconnect_all(); /* nothing of it is to be in the child */
    for (int i = 0; i < rounds; i++) {
        int told[2];
        uint64_t round_seed = hd_prng_next(&r);
        uint64_t flushed = 0;
        check(pipe(told) < 0 ? -errno : 0, "pipe");
        pid_t child = fork();
        if (child == 0) {
            crash_write(path, round_seed, told[1]);
        }
        close(told[1]);
        (void)!read(told[0], &flushed, sizeof(flushed));
        hd_clock_sleep_ms((int64_t)hd_prng_below(&r, 25));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(told[0], &flushed, sizeof(flushed)) == (ssize_t)sizeof(flushed)) {
        }
        close(told[0]);
        crash_check(path, round_seed, flushed);
        fprintf(stderr, "%d: %" PRIu64 " flushed\n", i, flushed);
    }
    connect_all();
    return 0;
}

/* ---- commands ---- */

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static int run(int argc, char **argv)
{
    const char *command = argv[0];
    if (strcmp(command, "fsx") == 0 && argc == 4) {
        return cmd_fsx(argv[1], atoi(argv[2]), number(argv[3]));
    }
    if (strcmp(command, "threads") == 0 && argc == 4) {
        return cmd_threads(argv[1], atoi(argv[2]), number(argv[3]));
    }
    if (strcmp(command, "smalls") == 0 && argc == 3) {
        return cmd_smalls(argv[1], atoi(argv[2]));
    }
    if (strcmp(command, "put") == 0 && argc == 3) {
        return cmd_put(argv[1], number(argv[2]));
    }
    if (strcmp(command, "check") == 0 && argc == 3) {
        return cmd_check(argv[1], number(argv[2]));
    }
    if (strcmp(command, "crash") == 0 && argc == 4) {
        return cmd_crash(argv[1], atoi(argv[2]), number(argv[3]));
    }
    if (strcmp(command, "random") == 0 && argc == 5) {
        return cmd_random(argv[1], number(argv[2]), number(argv[3]), number(argv[4]));
    }
    fprintf(stderr, "content_client: what is %s with %d arguments?\n", command, argc - 1);
    return 2;
}

int main(int argc, char **argv)
{
    int opt;
    while ((opt = getopt(argc, argv, "+S:b:m:")) >= 0) {
        switch (opt) {
        case 'S':
            fs_options.short_circuit = true;
            fs_options.socket_path = optarg;
            break;
        case 'b':
            block_bytes = number(optarg);
            break;
        case 'm':
            max_bytes = number(optarg);
            break;
        default:
            return 2;
        }
    }
    if (argc - optind < 2) {
        fprintf(stderr, "usage: content_client [options] URI COMMAND ARGS\n");
        return 2;
    }
    fs_options.uri = argv[optind];
    connect_all();
    int status = run(argc - optind - 1, argv + optind + 1);
    disconnect_all();
    return status;
}
