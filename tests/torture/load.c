/*
 * torture-load: writers that know what they were promised, and a check of the promises.
 *
 *   torture-load run    --uri URI --ledger FILE --seconds N --seed S [--writers K]
 *   torture-load verify --uri URI --ledger FILE [--power-cut [--patient]]
 *
 * Every file has a number; its bytes are a function of number and offset, so what is read can be
 * judged without the writer. Writers create, write, flush, sync, append, rename and delete files of
 * their own, tell the ledger what they are about to do and what was acknowledged, and never touch a
 * file again that answered an error. A ledger may have many runs.
 *
 * verify: every acknowledged file is there under its name, deleted ones are not; all bytes up to
 * the acknowledged length are readable and right (with --power-cut: up to the synced length; later
 * ones may be unreadable, never wrong; files whose end was flushed and not synced are looked at
 * with --patient only: meta takes a minute to give such an end up). Prints a line for each broken
 * promise; exit code 1 if any.
 *
 * A line of the ledger: a letter and a file number, then
 *   C path  is about to be created   c  was        R path  is about to be renamed   r  was
 *   W size  may have that many bytes               S size  so many are synced
 *   L size  so many are flushed or closed          D  is about to be deleted        d  was
 */
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/base/prng.h"
#include "fs/client/howdah.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILES_MAX = 64, /* that a writer plays with at once */
    OPEN_MAX = 4,
    PATH_BYTES = 200,
    CHUNK_BYTES = 1 << 20,
    WRITERS_MAX = 64,
    CHECKERS = 8,
    RETRY_MS = 60000,
    VERIFY_RETRY_MS = 20000,
    LEASE_WAIT_MS = 90000,
};

static const char *uri;
static int ledger_fd = -1;
static atomic_ulong acked;
static atomic_ulong failed;
static atomic_bool stop;

/* --- bytes --- */

static void fill_pattern(uint64_t file, uint64_t offset, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size;) {
        struct hd_prng p = {file * 0x9e3779b97f4a7c15u + (offset + i) / 8};
        uint64_t word = hd_prng_next(&p);
        size_t into = (size_t)((offset + i) % 8);
        size_t n = HD_MIN(8 - into, size - i);
        memcpy(out + i, (uint8_t *)&word + into, n);
        i += n;
    }
}

static void note(char what, uint64_t file, const char *fmt, ...) HD_PRINTF(3, 4);

static void note(char what, uint64_t file, const char *fmt, ...)
{
    char text[PATH_BYTES + 32] = "";
    char line[PATH_BYTES + 96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    int n = snprintf(line, sizeof(line), "%c %" PRIu64 " %s\n", what, file, text);
    if (write(ledger_fd, line, (size_t)n) != n) {
        perror("ledger");
        abort();
    }
}

/* --- writers --- */

struct own_file {
    uint64_t number; /* 0: none */
    uint64_t size;
    struct hd_file *open;
    char path[PATH_BYTES];
};

struct writer {
    pthread_t thread;
    int index;
    uint64_t run;
    uint64_t next;
    struct hd_prng prng;
    struct hd_fs *fs;
    struct own_file files[FILES_MAX];
    uint8_t *bytes;
};

static bool draw(struct writer *w, unsigned percent)
{
    return hd_prng_below(&w->prng, 100) < percent;
}

/* An error: the file is nobody's any more. */
static void give_up(struct own_file *f)
{
    if (f->open != NULL) {
        hd_file_abandon(f->open);
    }
    *f = (struct own_file){0};
    atomic_fetch_add(&failed, 1);
}

static size_t draw_size(struct writer *w)
{
    unsigned n = (unsigned)hd_prng_below(&w->prng, 100);
    size_t max = n < 40 ? 700 : n < 90 ? 100000 : CHUNK_BYTES;
    return (size_t)hd_prng_below(&w->prng, max) + 1;
}

static int write_some(struct writer *w, struct own_file *f)
{
    size_t size = draw_size(w);
    fill_pattern(f->number, f->size, w->bytes, size);
    note('W', f->number, "%" PRIu64, f->size + size);
    int err = hd_file_write(f->open, w->bytes, size);
    if (err == 0) {
        f->size += size;
    }
    if (err == 0 && draw(w, 40)) {
        err = hd_file_hsync(f->open);
        if (err == 0) {
            note('S', f->number, "%" PRIu64, f->size);
        }
    } else if (err == 0 && draw(w, 30)) {
        err = hd_file_hflush(f->open);
        if (err == 0) {
            note('L', f->number, "%" PRIu64, f->size);
        }
    }
    return err;
}

static int create(struct writer *w, struct own_file *f)
{
    struct hd_create_options o = {.mode = 0644, .parents = true};
    if (draw(w, 30)) {
        o.block_size_bytes = 1 << 20;
    }
    f->number = w->run << 40 | (uint64_t)w->index << 32 | ++w->next;
    snprintf(f->path, sizeof(f->path), "/torture/%" PRIu64 "/w%d/d%" PRIu64 "/f%" PRIu64, w->run,
             w->index, w->next / 50, f->number);
    note('C', f->number, "%s", f->path);
    int err = hd_file_create(w->fs, f->path, &o, &f->open);
    if (err == 0) {
        note('c', f->number, " ");
    }
    return err == 0 && draw(w, 85) ? write_some(w, f) : err;
}

static int finish(struct writer *w, struct own_file *f)
{
    int err = 0;
    if (draw(w, 80)) {
        err = hd_file_hsync(f->open);
        if (err == 0) {
            note('S', f->number, "%" PRIu64, f->size);
        }
    }
    if (err < 0) {
        return err;
    }
    err = hd_file_close(f->open);
    f->open = NULL;
    if (err == 0) {
        note('L', f->number, "%" PRIu64, f->size);
    }
    return err;
}

static int move(struct writer *w, struct own_file *f)
{
    char to[PATH_BYTES];
    snprintf(to, sizeof(to), "/torture/%" PRIu64 "/w%d/m%" PRIu64 "-%" PRIu64, w->run, w->index,
             f->number, ++w->next);
    note('R', f->number, "%s", to);
    int err = hd_fs_rename(w->fs, f->path, to, false);
    if (err == 0) {
        note('r', f->number, " ");
        memcpy(f->path, to, sizeof(to));
    }
    return err;
}

static int delete (struct writer *w, struct own_file *f)
{
    note('D', f->number, " ");
    int rc = hd_fs_delete(w->fs, f->path, false);
    if (rc == 1) {
        note('d', f->number, " ");
        *f = (struct own_file){0};
        return 0;
    }
    return rc == 0 ? -ENOENT : rc;
}

static int one_step(struct writer *w, struct own_file *f)
{
    if (f->number == 0) {
        return create(w, f);
    }
    if (f->open != NULL) {
        return draw(w, 60) ? write_some(w, f) : finish(w, f);
    }
    if (draw(w, 40)) {
        int err = hd_file_append(w->fs, f->path, &f->open);
        return err == 0 ? write_some(w, f) : err;
    }
    if (draw(w, 40)) {
        return move(w, f);
    }
    if (draw(w, 50)) {
        return delete (w, f);
    }
    *f = (struct own_file){0}; /* stays as it is for ever */
    return 0;
}

static void *run_writer(void *ctx)
{
    struct writer *w = ctx;
    while (!atomic_load(&stop)) {
        struct own_file *f = &w->files[hd_prng_below(&w->prng, FILES_MAX)];
        int open = 0;
        for (int i = 0; i < FILES_MAX; i++) {
            open += w->files[i].open != NULL;
        }
        if (f->open == NULL && open >= OPEN_MAX) {
            continue;
        }
        int err = one_step(w, f);
        if (err < 0 && !atomic_load(&stop)) {
            fprintf(stderr, "torture-load: %s: %s\n", f->path, hd_fail_describe(err));
        }
        if (err < 0) {
            give_up(f);
            hd_clock_sleep_ms(20);
        } else {
            atomic_fetch_add(&acked, 1);
        }
    }
    return NULL;
}

static int open_fs(int retry_ms, struct hd_fs **ret)
{
    struct hd_fs_options o = {.uri = uri, .retry_ms = retry_ms, .retry_safe_mode = retry_ms > 0};
    return hd_fs_open(&o, ret);
}

static int run(uint64_t seed, int seconds, int writers)
{
    static struct writer w[WRITERS_MAX];
    uint64_t number = (uint64_t)hd_clock_wall_ms().v & 0xfffff;
    for (int i = 0; i < writers; i++) {
        w[i] = (struct writer){.index = i, .run = number, .prng = {seed * 1000 + (uint64_t)i}};
        w[i].bytes = malloc(CHUNK_BYTES);
        int err = w[i].bytes == NULL ? -ENOMEM : open_fs(RETRY_MS, &w[i].fs);
        if (err < 0) {
            fprintf(stderr, "torture-load: %s\n", hd_fail_describe(err));
            return 1;
        }
        pthread_create(&w[i].thread, NULL, run_writer, &w[i]);
    }
    hd_clock_sleep_ms((int64_t)seconds * 1000);
    atomic_store(&stop, true);
    /* Who hangs on a cluster that was killed is not waited for: the ledger has all. */
    printf("acked=%lu failed=%lu\n", atomic_load(&acked), atomic_load(&failed));
    fflush(stdout);
    _exit(0);
}

/* --- verification --- */

struct claim {
    uint64_t number;
    char *path;      /* heap */
    char *next_path; /* heap: a rename was under way; or NULL */
    bool created;    /* acknowledged */
    bool deleting;
    bool deleted;
    uint64_t may;    /* bytes it can have */
    uint64_t synced; /* bytes it must have after a power cut */
    uint64_t kept;   /* bytes it must have */
};

struct claims {
    struct hd_map map; /* number -> struct claim, owned */
    bool power_cut;
    bool patient;
    pthread_mutex_t lock; /* cursor */
    struct claim **all;
    size_t count;
    size_t cursor;
    atomic_ulong broken;
    atomic_ulong files;
    atomic_ulong bytes;
};

static void take_line(struct claims *c, char *line)
{
    char *end;
    char what = line[0];
    uint64_t number = strtoull(line + 1, &end, 10);
    char *rest = end + strspn(end, " ");
    struct claim *f = hd_map_get(&c->map, number);
    if (f == NULL) {
        f = calloc(1, sizeof(*f));
        if (f == NULL || hd_map_put(&c->map, number, f) < 0) {
            abort();
        }
        f->number = number;
    }
    uint64_t size = strtoull(rest, NULL, 10);
    switch (what) {
    case 'C':
        f->path = strdup(rest);
        break;
    case 'c':
        f->created = true;
        break;
    case 'W':
        f->may = HD_MAX(f->may, size);
        break;
    case 'S':
        f->synced = HD_MAX(f->synced, size);
        f->kept = HD_MAX(f->kept, size);
        break;
    case 'L':
        f->kept = HD_MAX(f->kept, size);
        break;
    case 'R':
        free(f->next_path);
        f->next_path = strdup(rest);
        break;
    case 'r':
        free(f->path);
        f->path = f->next_path;
        f->next_path = NULL;
        break;
    case 'D':
        f->deleting = true;
        break;
    case 'd':
        f->deleted = true;
        break;
    default:
        break;
    }
}

static int load_ledger(struct claims *c, const char *path)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = SIZE_MAX / 2};
    int err = hd_file_read(path, SIZE_MAX / 4, &text);
    char *rest = err == 0 ? (char *)(uintptr_t)hd_buf_str(&text) : NULL;
    hd_map_init(&c->map);
    while (rest != NULL && strchr(rest, '\n') != NULL) {
        char *line = strsep(&rest, "\n");
        take_line(c, line);
    }
    c->all = calloc(c->map.count + 1, sizeof(*c->all));
    size_t cursor = 0;
    void *value;
    while (c->all != NULL && hd_map_next(&c->map, &cursor, NULL, &value)) {
        c->all[c->count++] = value;
    }
    return err;
}

static void broken(struct claims *c, const struct claim *f, const char *fmt, ...) HD_PRINTF(3, 4);

static void broken(struct claims *c, const struct claim *f, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printf("BROKEN %s: %s (file %" PRIu64 ", may %" PRIu64 ", kept %" PRIu64 ", synced %" PRIu64
           ")\n",
           f->path, text, f->number, f->may, f->kept, f->synced);
    atomic_fetch_add(&c->broken, 1);
}

/* A file that its writer left open is closed by recovery. */
static int wait_closed(struct hd_fs *fs, const char *path)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + LEASE_WAIT_MS;
    for (;;) {
        int rc = hd_fs_is_closed(fs, path);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
        rc = hd_fs_recover_lease(fs, path);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
        if (hd_clock_mono_ms().v > deadline_ms) {
            return hd_fail(-ETIMEDOUT, "still open after %d ms of lease recovery", LEASE_WAIT_MS);
        }
        hd_clock_sleep_ms(200);
    }
}

/*
 * With --power-cut a file that has bytes nobody synced may miss blocks for ever; it goes, so that
 * the cluster gets well again.
 */
static void tidy(struct claims *c, struct hd_fs *fs, const struct claim *f, const char *path)
{
    if (c->power_cut && f->may > f->synced && atomic_load(&c->broken) == 0) {
        hd_fs_delete(fs, path, false);
        note('D', f->number, " ");
    }
}

static void check_bytes(struct claims *c, struct hd_fs *fs, struct hd_fs *impatient,
                        const struct claim *f, const char *path, uint64_t must)
{
    struct hd_file *file = NULL;
    static _Thread_local uint8_t got[CHUNK_BYTES];
    static _Thread_local uint8_t want[CHUNK_BYTES];
    int err = hd_file_open(fs, path, &file);
    if (err < 0) {
        if (must > 0 || !c->power_cut) {
            broken(c, f, "open: %s", hd_fail_describe(err));
        }
        tidy(c, fs, f, path);
        return;
    }
    bool loose = false;
    uint64_t size = hd_file_size(file);
    if (size < must || size > f->may) {
        broken(c, f, "has %" PRIu64 " bytes", size);
    }
    for (uint64_t at = 0; at < size;) {
        uint64_t want_bytes = at < must ? HD_MIN(must, size) - at : size - at;
        size_t n = (size_t)HD_MIN(want_bytes, (uint64_t)CHUNK_BYTES);
        if (at >= must && !loose) { /* what was not promised is not waited for */
            loose = true;
            hd_file_close(file);
            if (hd_file_open(impatient, path, &file) < 0) {
                return;
            }
        }
        int64_t rc = hd_file_pread(file, got, n, at);
        if (rc <= 0) {
            if (at < must) {
                broken(c, f, "read at %" PRIu64 " of %" PRIu64 ": %s", at, size,
                       rc == 0 ? "end" : hd_fail_describe((int)rc));
            }
            break; /* behind what was promised: gone, but not wrong */
        }
        fill_pattern(f->number, at, want, (size_t)rc);
        if (memcmp(got, want, (size_t)rc) != 0) {
            size_t i = 0;
            while (got[i] == want[i]) {
                i++;
            }
            broken(c, f, "WRONG BYTE at %" PRIu64 " of %" PRIu64 ": %02x instead of %02x", at + i,
                   size, got[i], want[i]);
            break;
        }
        at += (uint64_t)rc;
        atomic_fetch_add(&c->bytes, (unsigned long)rc);
    }
    hd_file_close(file);
    tidy(c, fs, f, path);
}

static void tell_slow(const struct claim *f, const char *what, int64_t start_ms)
{
    int64_t ms = hd_clock_mono_ms().v - start_ms;
    if (ms > 2000) {
        printf("slow %s: %s took %" PRId64 " ms\n", f->path, what, ms);
    }
}

static void check_claim(struct claims *c, struct hd_fs *fs, struct hd_fs *impatient,
                        const struct claim *f)
{
    struct hd_stat st = {0};
    const char *path = f->path;
    int err = hd_fs_stat(fs, path, &st);
    hd_stat_done(&st);
    if (err == -ENOENT && f->next_path != NULL) {
        path = f->next_path;
        err = hd_fs_stat(fs, path, &st);
        hd_stat_done(&st);
    }
    atomic_fetch_add(&c->files, 1);
    if (err == -ENOENT) {
        if (f->created && !f->deleting) {
            broken(c, f, "is gone");
        }
        return;
    }
    if (err < 0) {
        broken(c, f, "stat: %s", hd_fail_describe(err));
        return;
    }
    if (f->deleted) {
        broken(c, f, "was deleted and is there");
        return;
    }
    uint64_t must = c->power_cut ? f->synced : f->kept;
    int64_t start_ms = hd_clock_mono_ms().v;
    if (c->power_cut && must == 0) { /* nothing was promised: what is there is right, no more */
        check_bytes(c, impatient, impatient, f, path, 0);
        tell_slow(f, "reading what was not promised", start_ms);
        return;
    }
    /* With bytes that were flushed and not synced it takes meta a minute to give them up. */
    if (c->power_cut && f->kept > f->synced && !c->patient) {
        hd_fs_recover_lease(fs, path);
        return;
    }
    err = wait_closed(fs, path);
    tell_slow(f, "closing", start_ms);
    if (err < 0) {
        broken(c, f, "cannot be closed: %s", hd_fail_describe(err));
        return;
    }
    start_ms = hd_clock_mono_ms().v;
    check_bytes(c, fs, impatient, f, path, must);
    tell_slow(f, "reading", start_ms);
}

static void *check_some(void *ctx)
{
    struct claims *c = ctx;
    struct hd_fs *fs = NULL;
    struct hd_fs *impatient = NULL;
    int err = open_fs(VERIFY_RETRY_MS, &fs);
    if (err == 0) {
        err = open_fs(-1, &impatient);
    }
    if (err < 0) {
        fprintf(stderr, "torture-load: %s\n", hd_fail_describe(err));
        exit(2);
    }
    for (;;) {
        pthread_mutex_lock(&c->lock);
        struct claim *f = c->cursor < c->count ? c->all[c->cursor++] : NULL;
        pthread_mutex_unlock(&c->lock);
        if (f == NULL) {
            break;
        }
        if (f->path != NULL) {
            check_claim(c, fs, impatient, f);
        }
    }
    hd_fs_close(fs);
    hd_fs_close(impatient);
    return NULL;
}

static int verify(const char *ledger, bool power_cut, bool patient)
{
    static struct claims c;
    pthread_t threads[CHECKERS];
    c.power_cut = power_cut;
    c.patient = patient;
    pthread_mutex_init(&c.lock, NULL);
    if (load_ledger(&c, ledger) < 0) {
        fprintf(stderr, "torture-load: %s\n", hd_fail_text());
        return 2;
    }
    for (int i = 0; i < CHECKERS; i++) {
        pthread_create(&threads[i], NULL, check_some, &c);
    }
    for (int i = 0; i < CHECKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("files=%lu bytes=%lu broken=%lu\n", atomic_load(&c.files), atomic_load(&c.bytes),
           atomic_load(&c.broken));
    return atomic_load(&c.broken) != 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"uri", required_argument, NULL, 'u'},     {"ledger", required_argument, NULL, 'l'},
        {"seconds", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
        {"writers", required_argument, NULL, 'w'}, {"power-cut", no_argument, NULL, 'p'},
        {"patient", no_argument, NULL, 'P'},       {NULL, 0, NULL, 0}};
    const char *ledger = NULL;
    uint64_t seed = 1;
    int seconds = 5;
    int writers = 4;
    bool power_cut = false;
    bool patient = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'u':
            uri = optarg;
            break;
        case 'l':
            ledger = optarg;
            break;
        case 't':
            seconds = atoi(optarg);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            writers = HD_MIN(atoi(optarg), (int)WRITERS_MAX);
            break;
        case 'P':
            patient = true;
            break;
        case 'p':
            power_cut = true;
            break;
        default:
            return 64;
        }
    }
    if (uri == NULL || ledger == NULL || optind + 1 != argc) {
        fprintf(stderr, "usage: torture-load run|verify --uri URI --ledger FILE ...\n");
        return 64;
    }
    ledger_fd = open(ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return strcmp(argv[optind], "run") == 0 ? run(seed, seconds, writers)
                                            : verify(ledger, power_cut, patient);
}
