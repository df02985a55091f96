/*
 * bench-files-bench: small files by plain system calls, on any file system.
 *
 *   bench-files-bench DIR THREADS FILES       create + write 1 KiB + close, stat, read, rename,
 * unlink bench-files-bench --fdatasync FILE        microseconds of an append of 4 KiB with
 * fdatasync
 *
 * Prints "what rate" a line, in operations a second over all threads. The files lie in twenty
 * directories. Exit code 1 when anything went wrong.
 */
#include "fs/os/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRS = 20, FILE_BYTES = 1024, THREADS_MAX = 256, SYNCS = 200, SYNC_BYTES = 4096 };

enum operation { CREATE, STAT, READ, RENAME, UNLINK, OPERATIONS };

static const char *const names[OPERATIONS] = {"create", "stat", "read", "rename", "unlink"};

struct bench {
    const char *dir;
    int threads;
    int files;
    enum operation op;
    atomic_int next;
    atomic_int errors;
};

static void path_of(const struct bench *b, int i, const char *suffix, char out[4096])
{
    snprintf(out, 4096, "%s/d%02d/file-%06d%s", b->dir, i % DIRS, i, suffix);
}

static bool create(const char *path)
{
    char data[FILE_BYTES];
    memset(data, 'x', sizeof(data));
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    bool ok = write(fd, data, sizeof(data)) == (ssize_t)sizeof(data);
    return close(fd) == 0 && ok;
}

static bool read_back(const char *path)
{
    char data[FILE_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool ok = read(fd, data, sizeof(data)) == FILE_BYTES && data[FILE_BYTES - 1] == 'x';
    close(fd);
    return ok;
}

static bool one(const struct bench *b, int i)
{
    char path[4096];
    char moved[4096];
    struct stat st;
    path_of(b, i, "", path);
    path_of(b, i, ".moved", moved);
    switch (b->op) {
    case CREATE:
        return create(path);
    case STAT:
        return stat(path, &st) == 0 && st.st_size == FILE_BYTES;
    case READ:
        return read_back(path);
    case RENAME:
        return rename(path, moved) == 0;
    case UNLINK:
        return unlink(moved) == 0;
    case OPERATIONS:
        break;
    }
    return false;
}

static void *work(void *arg)
{
    struct bench *b = arg;
    for (int i = atomic_fetch_add(&b->next, 1); i < b->files; i = atomic_fetch_add(&b->next, 1)) {
        if (!one(b, i) && atomic_fetch_add(&b->errors, 1) == 0) {
            perror(names[b->op]);
        }
    }
    return NULL;
}

static void run_phase(struct bench *b, enum operation op)
{
    pthread_t threads[THREADS_MAX];
    int count = 0;
    b->op = op;
    atomic_store(&b->next, 0);
    uint64_t begin = hd_clock_mono_ns();
    while (count < b->threads && pthread_create(&threads[count], NULL, work, b) == 0) {
        count++;
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    double seconds = (double)(hd_clock_mono_ns() - begin) / 1e9;
    printf("%s %.0f\n", names[op], b->files / seconds);
    fflush(stdout);
}

static int run(struct bench *b)
{
    char path[4096];
    mkdir(b->dir, 0755);
    for (int i = 0; i < DIRS; i++) {
        snprintf(path, sizeof(path), "%s/d%02d", b->dir, i);
        if (mkdir(path, 0755) < 0) {
            perror(path);
            return 1;
        }
    }
    for (int op = 0; op < OPERATIONS; op++) {
        run_phase(b, (enum operation)op);
    }
    return atomic_load(&b->errors) > 0;
}

static int probe_fdatasync(const char *path)
{
    static const char data[SYNC_BYTES];
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    for (int i = 0; i < SYNCS; i++) { /* so that only data has to reach the disk */
        if (write(fd, data, sizeof(data)) != (ssize_t)sizeof(data)) {
            perror(path);
            return 1;
        }
    }
    fdatasync(fd);
    uint64_t begin = hd_clock_mono_ns();
    for (int i = 0; i < SYNCS; i++) {
        if (pwrite(fd, data, sizeof(data), (off_t)i * SYNC_BYTES) != (ssize_t)sizeof(data) ||
            fdatasync(fd) < 0) {
            perror(path);
            return 1;
        }
    }
    printf("%.0f\n", (double)(hd_clock_mono_ns() - begin) / 1e3 / SYNCS);
    close(fd);
    return unlink(path) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--fdatasync") == 0) {
        return probe_fdatasync(argv[2]);
    }
    struct bench b = {.dir = argc == 4 ? argv[1] : NULL};
    if (b.dir != NULL) {
        b.threads = atoi(argv[2]);
        b.files = atoi(argv[3]);
    }
    if (b.threads < 1 || b.threads > THREADS_MAX || b.files < 1) {
        fprintf(stderr, "usage: bench-files-bench DIR THREADS FILES\n"
                        "       bench-files-bench --fdatasync FILE\n");
        return 64;
    }
    return run(&b);
}
