/*
 * Exercises libhowdah from the command line: random writes, appends, flushes and reads compared
 * with a local shadow, and plain copies with figures.
 *
 *   fsx_client [-u USER] [-S SOCKET] [-b BLOCK_BYTES] [-r REPLICATION] [-s] [-x] URI COMMAND ARGS
 *     fsx PATH OPERATIONS SEED    random operations; exit 1 at the first difference
 *     put LOCAL PATH              "-": standard input; -s: fsync on close
 *     get PATH LOCAL              "-": standard output
 *     cat PATH                    reads and throws away
 *     append LOCAL PATH | flush PATH SECONDS | ls PATH | stat PATH | mkdir PATH | rm PATH | mv A B
 *     checksum PATH | locate PATH | df | sync PATH | fill PATH BYTES | smalls DIR COUNT
 *     threads PATH COUNT          reads with several threads taking turns
 *     idle PATH SECONDS           writes, flushes, waits, writes
 *     tail PATH SECONDS           reads a growing file and checks that it only grows
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/client/howdah.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20, FSX_MAX_BYTES = 24 << 20, FSX_THREADS = 3 };

static struct hd_fs *fs;
static struct hd_create_options create_options = {.mode = 0644, .overwrite = true, .parents = true};

static void die(int err, const char *what)
{
    fprintf(stderr, "fsx_client: %s: %s (%s)\n", what, hd_fail_describe(err), hd_error_name(err));
    exit(1);
}

static int check(int err, const char *what)
{
    if (err < 0) {
        die(err, what);
    }
    return err;
}

/* ---- figures ---- */

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void figures(const char *what, uint64_t bytes, int64_t start_ms)
{
    double seconds = (double)(hd_clock_mono_ms().v - start_ms) / 1000;
    fprintf(stderr, "%s: %" PRIu64 " bytes in %.3f s, %.1f MB/s, %.2f CPU s here\n", what, bytes,
            seconds, (double)bytes / 1e6 / (seconds > 0 ? seconds : 1e-3), cpu_seconds());
}

/* ---- copies ---- */

static void write_from(struct hd_file *f, int fd, const char *what)
{
    static uint8_t buffer[COPY_BYTES];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        check(hd_file_write(f, buffer, (size_t)n), what);
    }
}

static int open_local(const char *path, int flags)
{
    if (strcmp(path, "-") == 0) {
        return flags == O_RDONLY ? 0 : 1;
    }
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0) {
        die(-errno, path);
    }
    return fd;
}

static void cmd_put(char **a)
{
    int64_t start = hd_clock_mono_ms().v;
    struct hd_file *f;
    check(hd_file_create(fs, a[1], &create_options, &f), a[1]);
    write_from(f, open_local(a[0], O_RDONLY), a[1]);
    uint64_t size = hd_file_written(f);
    check(hd_file_close(f), "close");
    figures("put", size, start);
}

static void cmd_append(char **a)
{
    struct hd_file *f;
    check(hd_file_append(fs, a[1], &f), a[1]);
    write_from(f, open_local(a[0], O_RDONLY), a[1]);
    check(hd_file_close(f), "close");
}

static void read_to(const char *path, int fd, const char *what)
{
    static uint8_t buffer[COPY_BYTES];
    int64_t start = hd_clock_mono_ms().v;
    struct hd_file *f;
    check(hd_file_open(fs, path, &f), path);
    uint64_t at = 0;
    int64_t n;
    while ((n = hd_file_pread(f, buffer, sizeof(buffer), at)) > 0) {
        if (fd >= 0 && write(fd, buffer, (size_t)n) != n) {
            die(-errno, "write");
        }
        at += (uint64_t)n;
    }
    check((int)n, path);
    struct hd_read_stats st;
    hd_file_read_stats(f, &st);
    check(hd_file_close(f), "close");
    figures(what, at, start);
    fprintf(stderr, "local %" PRIu64 " remote %" PRIu64 " retries %" PRIu64 "\n", st.local_bytes,
            st.remote_bytes, st.retries);
}

static void cmd_get(char **a)
{
    read_to(a[0], open_local(a[1], O_WRONLY | O_CREAT | O_TRUNC), "get");
}

static void cmd_cat(char **a)
{
    read_to(a[0], -1, "cat");
}

static void cmd_fill(char **a)
{
    static uint8_t buffer[COPY_BYTES];
    struct hd_prng prng = {1};
    for (size_t i = 0; i < sizeof(buffer); i += 8) {
        uint64_t v = hd_prng_next(&prng);
        memcpy(buffer + i, &v, 8);
    }
    uint64_t left = strtoull(a[1], NULL, 0);
    uint64_t size = left;
    int64_t start = hd_clock_mono_ms().v;
    struct hd_file *f;
    check(hd_file_create(fs, a[0], &create_options, &f), a[0]);
    while (left > 0) {
        size_t n = (size_t)HD_MIN(left, (uint64_t)sizeof(buffer));
        check(hd_file_write(f, buffer, n), a[0]);
        left -= n;
    }
    check(hd_file_close(f), "close");
    figures("fill", size, start);
}

static void cmd_smalls(char **a)
{
    int count = atoi(a[1]);
    int64_t start = hd_clock_mono_ms().v;
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%d", a[0], i);
        struct hd_file *f;
        check(hd_file_create(fs, path, &create_options, &f), path);
        check(hd_file_write(f, path, strlen(path)), path);
        check(hd_file_close(f), path);
    }
    double seconds = (double)(hd_clock_mono_ms().v - start) / 1000;
    fprintf(stderr, "smalls: %d files in %.3f s, %.2f ms each, %.2f CPU s here\n", count, seconds,
            seconds * 1000 / count, cpu_seconds());
}

/* ---- names ---- */

static void print_stat(const struct hd_stat *st, const char *name)
{
    char type = st->type == HD_TYPE_DIR ? 'd' : st->type == HD_TYPE_FILE ? '-' : 'l';
    printf("%c%04o %" PRIu32 " %s %s %" PRIu64 " %" PRId64 " %" PRIu64 " %s%s%s\n", type, st->mode,
           st->replication, st->owner, st->group, st->size_bytes, st->mtime_ms, st->ino, name,
           st->link != NULL ? " -> " : "", st->link != NULL ? st->link : "");
}

static void cmd_ls(char **a)
{
    struct hd_dir *d;
    struct hd_stat st;
    check(hd_dir_open(fs, a[0], "", &d), a[0]);
    while (check(hd_dir_next(d, &st), a[0]) > 0) {
        print_stat(&st, st.name);
        hd_stat_done(&st);
    }
    hd_dir_close(d);
}

static void cmd_stat(char **a)
{
    struct hd_stat st;
    check(hd_fs_stat(fs, a[0], &st), a[0]);
    print_stat(&st, a[0]);
    hd_stat_done(&st);
}

static void cmd_mkdir(char **a)
{
    check(hd_fs_mkdir(fs, a[0], 0755, true), a[0]);
}

static void cmd_rm(char **a)
{
    printf("%d\n", check(hd_fs_delete(fs, a[0], true), a[0]));
}

static void cmd_mv(char **a)
{
    check(hd_fs_rename(fs, a[0], a[1], true), a[0]);
}

static void cmd_sync(char **a)
{
    check(hd_fs_sync_file(fs, a[0]), a[0]);
}

static void cmd_checksum(char **a)
{
    struct hd_file_checksum sum;
    check(hd_fs_checksum(fs, a[0], &sum), a[0]);
    printf("%s\t%s\t", a[0], sum.algorithm);
    for (size_t i = 0; i < sum.size; i++) {
        printf("%02x", sum.bytes[i]);
    }
    printf("\n");
}

static void cmd_locate(char **a)
{
    struct hd_located_file f;
    check(hd_fs_locate(fs, a[0], 0, INT64_MAX, &f), a[0]);
    printf("%" PRIu64 " bytes%s\n", f.size_bytes, f.open_for_write ? ", open" : "");
    for (uint32_t i = 0; i < f.block_count; i++) {
        const struct hd_located_block *b = &f.blocks[i];
        printf("blk_%" PRIu64 "_%" PRIu64 " %" PRIu64 "+%" PRIu64, b->id, b->genstamp,
               b->offset_bytes, b->size_bytes);
        for (uint32_t k = 0; k < b->location_count; k++) {
            printf(" %s:%d", b->locations[k].ip, b->locations[k].data_port);
        }
        printf("\n");
    }
    hd_located_file_done(&f);
}

static void cmd_df(char **a)
{
    (void)a;
    struct hd_usage u;
    check(hd_fs_usage(fs, &u), "df");
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", u.capacity_bytes, u.used_bytes,
           u.remaining_bytes);
}

/* ---- growing files ---- */

/* Writes numbered lines, flushing each; prints the highest that was flushed. */
static void cmd_flush(char **a)
{
    int64_t until = hd_clock_mono_ms().v + atoi(a[1]) * 1000;
    struct hd_file *f;
    check(hd_file_create(fs, a[0], &create_options, &f), a[0]);
    uint64_t i = 0;
    int64_t worst = 0;
    while (hd_clock_mono_ms().v < until) {
        char line[32];
        int64_t start = hd_clock_mono_ms().v;
        int n = snprintf(line, sizeof(line), "%019" PRIu64 "\n", i++);
        check(hd_file_write(f, line, (size_t)n), "write");
        check(i % 4 == 0 ? hd_file_hsync(f) : hd_file_hflush(f), "flush");
        worst = HD_MAX(worst, hd_clock_mono_ms().v - start);
        if (i % 10 == 0) { /* what is flushed is readable at once */
            struct hd_file *r;
            check(hd_file_open(fs, a[0], &r), "open while writing");
            if (hd_file_size(r) < i * 20) {
                fprintf(stderr, "a reader sees %" PRIu64 " of %" PRIu64 " flushed bytes\n",
                        hd_file_size(r), i * 20);
                exit(1);
            }
            char got[20];
            int64_t m = hd_file_pread(r, got, 20, (i - 1) * 20);
            if (m != 20 || memcmp(got, line, 20) != 0) {
                fprintf(stderr, "a reader misses line %" PRIu64 " (%" PRId64 ": %s)\n", i - 1, m,
                        hd_fail_text());
                exit(1);
            }
            hd_file_close(r);
        }
    }
    check(hd_file_close(f), "close");
    printf("%" PRIu64 " lines, slowest %" PRId64 " ms\n", i, worst);
}

static void cmd_tail(char **a)
{
    int64_t until = hd_clock_mono_ms().v + atoi(a[1]) * 1000;
    uint64_t seen = 0;
    while (hd_clock_mono_ms().v < until) {
        struct hd_file *f;
        if (hd_file_open(fs, a[0], &f) == 0) {
            uint64_t size = hd_file_size(f);
            if (size < seen) {
                fprintf(stderr, "%s shrank from %" PRIu64 " to %" PRIu64 "\n", a[0], seen, size);
                exit(1);
            }
            seen = size;
            hd_file_close(f);
        }
        hd_clock_sleep_ms(50);
    }
    printf("%" PRIu64 "\n", seen);
}

static void cmd_idle(char **a)
{
    struct hd_file *f;
    check(hd_file_create(fs, a[0], &create_options, &f), a[0]);
    check(hd_file_write(f, "first", 5), "write");
    check(hd_file_hflush(f), "flush");
    hd_clock_sleep_ms(atoi(a[1]) * 1000);
    check(hd_file_write(f, "second", 6), "write");
    check(hd_file_close(f), "close");
}

/* ---- threads that take turns, as a mount's do ---- */

struct turns {
    struct hd_file *file;
    pthread_mutex_t lock;
    uint64_t next;
};

static void *take_turns(void *ctx)
{
    struct turns *t = ctx;
    uint8_t *buffer = malloc(131072);
    for (;;) {
        pthread_mutex_lock(&t->lock);
        uint64_t at = t->next;
        t->next += 131072;
        pthread_mutex_unlock(&t->lock);
        int64_t n = hd_file_pread(t->file, buffer, 131072, at);
        check((int)n, "read");
        if (n == 0) {
            break;
        }
    }
    free(buffer);
    return NULL;
}

static void cmd_threads(char **a)
{
    struct turns t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int count = HD_MIN(atoi(a[1]), 64);
    pthread_t threads[64];
    int64_t start = hd_clock_mono_ms().v;
    check(hd_file_open(fs, a[0], &t.file), a[0]);
    for (int i = 0; i < count; i++) {
        pthread_create(&threads[i], NULL, take_turns, &t);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    struct hd_read_stats st;
    hd_file_read_stats(t.file, &st);
    check(hd_file_close(t.file), "close");
    figures("threads", st.local_bytes + st.remote_bytes, start);
}

/* ---- fsx ---- */

struct shadow {
    uint8_t *bytes;
    size_t size;
};

struct reading {
    struct hd_file *file;
    const struct shadow *shadow;
    uint64_t seed;
    bool failed;
};

/* Reads at random and in order, and compares. */
static void *read_and_compare(void *ctx)
{
    struct reading *r = ctx;
    struct hd_prng prng = {r->seed};
    size_t size = r->shadow->size;
    uint8_t *out = malloc(1 << 20);
    size_t at = 0;
    for (int i = 0; i < 30 && !r->failed; i++) {
        size_t n = (size_t)hd_prng_below(&prng, 300000) + 1;
        if (hd_prng_below(&prng, 3) == 0) {
            at = (size_t)hd_prng_below(&prng, size + 1);
        }
        int64_t got = hd_file_pread(r->file, out, n, at);
        size_t want = at < size ? HD_MIN(n, size - at) : 0;
        if (got < 0 || (size_t)got != want || memcmp(out, r->shadow->bytes + at, want) != 0) {
            size_t k = 0;
            while (got > 0 && k < (size_t)got && k < want && out[k] == r->shadow->bytes[at + k]) {
                k++;
            }
            fprintf(stderr, "read of %zu at %zu: %" PRId64 " instead of %zu, differs at %zu (%s)\n",
                    n, at, got, want, at + k, got < 0 ? hd_fail_text() : "");
            r->failed = true;
        }
        at += want;
    }
    free(out);
    return NULL;
}

static void verify(const char *path, const struct shadow *s, uint64_t seed)
{
    struct hd_file *f;
    check(hd_file_open(fs, path, &f), "open");
    if (hd_file_size(f) != s->size) {
        fprintf(stderr, "size is %" PRIu64 " instead of %zu\n", hd_file_size(f), s->size);
        exit(1);
    }
    pthread_t threads[FSX_THREADS];
    struct reading readings[FSX_THREADS];
    for (int i = 0; i < FSX_THREADS; i++) {
        readings[i] = (struct reading){f, s, seed + (uint64_t)i, false};
        pthread_create(&threads[i], NULL, read_and_compare, &readings[i]);
    }
    for (int i = 0; i < FSX_THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (readings[i].failed) {
            exit(1);
        }
    }
    check(hd_file_close(f), "close");
}

static void grow(struct shadow *s, struct hd_prng *prng, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->bytes[s->size + i] = (uint8_t)hd_prng_next(prng);
    }
    s->size += n;
}

static size_t random_size(struct hd_prng *prng)
{
    static const size_t limits[] = {10, 600, 5000, 70000, 1500000};
    return (size_t)hd_prng_below(prng, limits[hd_prng_below(prng, HD_ARRAY_COUNT(limits))]) + 1;
}

static void cmd_fsx(char **a)
{
    const char *path = a[0];
    int operations = atoi(a[1]);
    struct hd_prng prng = {strtoull(a[2], NULL, 0)};
    struct shadow s = {malloc(FSX_MAX_BYTES + 2000000), 0};
    struct hd_file *f = NULL;
    for (int i = 0; i < operations; i++) {
        uint64_t what = hd_prng_below(&prng, 16);
        if (f == NULL) {
            if (s.size == 0 || what < 5 || s.size > FSX_MAX_BYTES) {
                s.size = 0;
                check(hd_file_create(fs, path, &create_options, &f), "create");
            } else if (what < 13) {
                int err = hd_file_append(fs, path, &f);
                check(err, "append");
            } else {
                verify(path, &s, hd_prng_next(&prng));
                char moved[600];
                snprintf(moved, sizeof(moved), "%s.moved", path);
                check(hd_fs_rename(fs, path, moved, true), "rename");
                check(hd_fs_rename(fs, moved, path, false), "rename back");
            }
        } else if (what < 9 && s.size < FSX_MAX_BYTES) {
            size_t n = random_size(&prng);
            size_t at = s.size;
            grow(&s, &prng, n);
            check(hd_file_write(f, s.bytes + at, n), "write");
        } else if (what < 12) {
            check(what == 9 ? hd_file_hsync(f) : hd_file_hflush(f), "flush");
            verify(path, &s, hd_prng_next(&prng));
        } else {
            check(hd_file_close(f), "close");
            f = NULL;
            verify(path, &s, hd_prng_next(&prng));
        }
    }
    check(hd_file_close(f), "close");
    verify(path, &s, 1);
    printf("%d operations, %zu bytes at the end\n", operations, s.size);
    free(s.bytes);
}

static const struct {
    const char *name;
    int args;
    void (*run)(char **args);
} commands[] = {
    {"put", 2, cmd_put},         {"get", 2, cmd_get},       {"cat", 1, cmd_cat},
    {"append", 2, cmd_append},   {"ls", 1, cmd_ls},         {"stat", 1, cmd_stat},
    {"mkdir", 1, cmd_mkdir},     {"rm", 1, cmd_rm},         {"mv", 2, cmd_mv},
    {"sync", 1, cmd_sync},       {"df", 0, cmd_df},         {"checksum", 1, cmd_checksum},
    {"fill", 2, cmd_fill},       {"smalls", 2, cmd_smalls}, {"locate", 1, cmd_locate},
    {"threads", 2, cmd_threads}, {"idle", 2, cmd_idle},     {"flush", 2, cmd_flush},
    {"tail", 2, cmd_tail},       {"fsx", 3, cmd_fsx},
};

int main(int argc, char **argv)
{
    struct hd_fs_options o = {.client_name_prefix = "fsx", .retry_safe_mode = true};
    int c;
    while ((c = getopt(argc, argv, "u:S:b:r:R:sx")) != -1) {
        switch (c) {
        case 'u':
            o.user = optarg;
            break;
        case 'S':
            o.socket_path = optarg;
            o.short_circuit = true;
            break;
        case 'b':
            create_options.block_size_bytes = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            create_options.replication = (uint32_t)atoi(optarg);
            break;
        case 'R':
            o.retry_ms = atoi(optarg);
            break;
        case 's':
            create_options.sync_on_close = true;
            break;
        case 'x':
            o.relaxed = true;
            break;
        default:
            return 64;
        }
    }
    argv += optind;
    argc -= optind;
    for (size_t i = 0; argc >= 2 && i < HD_ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0 && argc == 2 + commands[i].args) {
            o.uri = argv[0];
            check(hd_fs_open(&o, &fs), argv[0]);
            commands[i].run(argv + 2);
            hd_fs_close(fs);
            return 0;
        }
    }
    fprintf(stderr, "usage: fsx_client [options] hdfs://HOST:PORT COMMAND ARGS\n");
    return 64;
}
