/*
 * bench-stall-bench: the longest call of a reader or writer while something is done to the cluster.
 *
 *   bench-stall-bench read  FILE SECONDS          pread of 64 KiB at random places, system calls
 *   bench-stall-bench write FILE SECONDS          write of 256 KiB, fsync every fourth
 *   bench-stall-bench names DIR SECONDS           create, rename, unlink
 *   bench-stall-bench -u URI read|write FILE SECONDS    the same through libhowdah, always remote
 *
 * Prints "calls N errors N longest_ms N late N", late being the calls of 100 ms and more. Exit code
 * 1 when a call failed.
 */
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/client/howdah.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 65536, WRITE_BYTES = 262144, WRITES_PER_SYNC = 4, PAUSE_MS = 2, LATE_MS = 100 };

struct figures {
    unsigned calls;
    unsigned errors;
    unsigned late;
    int64_t longest_ms;
    int64_t began_ms; /* of the call at hand */
};

static void begin(struct figures *f)
{
    f->began_ms = hd_clock_mono_ms().v;
}

static void end(struct figures *f, bool good, const char *what, const char *why)
{
    int64_t now = hd_clock_mono_ms().v;
    int64_t took = now - f->began_ms;
    f->calls++;
    f->late += took >= LATE_MS;
    f->longest_ms = HD_MAX(f->longest_ms, took);
    if (!good && f->errors++ < 3) {
        fprintf(stderr, "%s after %lld ms: %s\n", what, (long long)took, why);
    }
    hd_clock_sleep_ms(good ? PAUSE_MS : LATE_MS);
}

/* ---- through the kernel ---- */

static void read_file(struct figures *f, const char *path, int64_t until_ms)
{
    static char data[READ_BYTES];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < READ_BYTES) {
        perror(path);
        exit(1);
    }
    struct hd_prng prng = {(uint64_t)getpid()};
    while (hd_clock_mono_ms().v < until_ms) {
        uint64_t at = hd_prng_below(&prng, (uint64_t)(st.st_size - READ_BYTES));
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        begin(f);
        ssize_t n = pread(fd, data, sizeof(data), (off_t)at);
        end(f, n == (ssize_t)sizeof(data), "pread", strerror(errno));
    }
    close(fd);
}

static void write_file(struct figures *f, const char *path, int64_t until_ms)
{
    static char data[WRITE_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    for (int n = 1; hd_clock_mono_ms().v < until_ms; n++) {
        begin(f);
        bool good = write(fd, data, sizeof(data)) == (ssize_t)sizeof(data);
        end(f, good, "write", strerror(errno));
        if (n % WRITES_PER_SYNC == 0) {
            begin(f);
            end(f, fsync(fd) == 0, "fsync", strerror(errno));
        }
    }
    begin(f);
    end(f, close(fd) == 0, "close", strerror(errno));
}

static void change_names(struct figures *f, const char *dir, int64_t until_ms)
{
    char path[4096];
    char moved[4096];
    snprintf(path, sizeof(path), "%s/stall-%d", dir, getpid());
    snprintf(moved, sizeof(moved), "%s/stall-%d.moved", dir, getpid());
    while (hd_clock_mono_ms().v < until_ms) {
        begin(f);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        bool good = fd >= 0 && close(fd) == 0;
        end(f, good, "create", strerror(errno));
        begin(f);
        end(f, rename(path, moved) == 0, "rename", strerror(errno));
        begin(f);
        end(f, unlink(moved) == 0, "unlink", strerror(errno));
    }
}

/* ---- through libhowdah ---- */

static void need(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, hd_fail_describe(err));
        exit(1);
    }
}

static void lib_read(struct figures *f, struct hd_fs *fs, const char *path, int64_t until_ms)
{
    static char data[READ_BYTES];
    struct hd_file *file;
    need(hd_file_open(fs, path, &file), path);
    struct hd_prng prng = {(uint64_t)getpid()};
    while (hd_clock_mono_ms().v < until_ms) {
        uint64_t at = hd_prng_below(&prng, hd_file_size(file) - READ_BYTES);
        begin(f);
        int64_t n = hd_file_pread(file, data, sizeof(data), at);
        end(f, n == READ_BYTES, "pread", hd_fail_text());
    }
    need(hd_file_close(file), "close");
}

static void lib_write(struct figures *f, struct hd_fs *fs, const char *path, int64_t until_ms)
{
    static char data[WRITE_BYTES];
    struct hd_create_options o = {.mode = 0644, .overwrite = true};
    struct hd_file *file;
    need(hd_file_create(fs, path, &o, &file), path);
    for (int n = 1; hd_clock_mono_ms().v < until_ms; n++) {
        begin(f);
        end(f, hd_file_write(file, data, sizeof(data)) == 0, "write", hd_fail_text());
        if (n % WRITES_PER_SYNC == 0) {
            begin(f);
            end(f, hd_file_hsync(file) == 0, "hsync", hd_fail_text());
        }
    }
    begin(f);
    end(f, hd_file_close(file) == 0, "close", hd_fail_text());
}

static int usage(void)
{
    fputs("usage: bench-stall-bench [-u URI] read|write|names PATH SECONDS\n", stderr);
    return 64;
}

int main(int argc, char **argv)
{
    const char *uri = NULL;
    if (argc > 2 && strcmp(argv[1], "-u") == 0) {
        uri = argv[2];
        argv += 2;
        argc -= 2;
    }
    if (argc != 4) {
        return usage();
    }
    struct figures f = {0};
    const char *path = argv[2];
    int64_t until_ms = hd_clock_mono_ms().v + (int64_t)(strtod(argv[3], NULL) * 1000);
    struct hd_fs *fs = NULL;
    if (uri != NULL) {
        const struct hd_fs_options o = {.uri = uri, .client_name_prefix = "bench-stall"};
        need(hd_fs_open(&o, &fs), uri);
    }
    if (strcmp(argv[1], "read") == 0) {
        fs != NULL ? lib_read(&f, fs, path, until_ms) : read_file(&f, path, until_ms);
    } else if (strcmp(argv[1], "write") == 0) {
        fs != NULL ? lib_write(&f, fs, path, until_ms) : write_file(&f, path, until_ms);
    } else if (strcmp(argv[1], "names") == 0 && fs == NULL) {
        change_names(&f, path, until_ms);
    } else {
        return usage();
    }
    hd_fs_close(fs);
    printf("calls %u errors %u longest_ms %lld late %u\n", f.calls, f.errors,
           (long long)f.longest_ms, f.late);
    return f.errors > 0;
}
