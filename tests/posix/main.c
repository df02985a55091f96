/* Runs the groups of suite.h. */
#include "suite.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <stdarg.h>
#include <time.h>

static unsigned failures;
static const char *running;

void suite_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    const char *slash = strrchr(file, '/');
    failures++;
    printf("%s: %s:%d: ", running, slash != NULL ? slash + 1 : file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void must(int rc, const char *what)
{
    if (rc < 0) {
        perror(what);
        exit(2);
    }
}

struct as as_begin(uid_t uid, gid_t gid, int more, const gid_t *groups)
{
    fflush(stdout);
    must(setgroups((size_t)more, groups), "setgroups");
    must(setegid(gid), "setegid");
    must(seteuid(uid), "seteuid");
    return (struct as){0};
}

void as_end(struct as *as)
{
    int kept = errno;
    must(seteuid(0), "seteuid");
    must(setegid(0), "setegid");
    must(setgroups(0, NULL), "setgroups");
    errno = kept;
    as->done = 1;
}

void put(const char *path, const char *content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content) ||
        fchmod(fd, mode) < 0 || close(fd) < 0) {
        suite_fail(__FILE__, __LINE__, "put %s: %s", path, strerror(errno));
    }
}

void dir(const char *path, mode_t mode)
{
    if (mkdir(path, 0700) < 0 || chmod(path, mode) < 0) {
        suite_fail(__FILE__, __LINE__, "mkdir %s: %s", path, strerror(errno));
    }
}

bool holds(const char *path, const char *content)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    if (fd >= 0) {
        close(fd);
    }
    return size == (ssize_t)strlen(content) && memcmp(bytes, content, (size_t)size) == 0;
}

struct stat st_of(const char *path)
{
    struct stat st = {0};
    if (lstat(path, &st) < 0) {
        suite_fail(__FILE__, __LINE__, "lstat %s: %s", path, strerror(errno));
    }
    return st;
}

bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

const char *long_name(size_t size)
{
    static char name[8192];
    memset(name, 'x', size);
    name[size] = '\0';
    return name;
}

struct times_before times_of(const char *path)
{
    struct times_before b = {.st = st_of(path), .path = path};
    nanosleep(&(struct timespec){.tv_nsec = 15000000}, NULL); /* a tick of the kernel's clock */
    return b;
}

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

static bool has_moved(const struct times_before *b, char which)
{
    struct stat now = st_of(b->path);
    switch (which) {
    case 'a':
        return later(now.st_atim, b->st.st_atim);
    case 'm':
        return later(now.st_mtim, b->st.st_mtim);
    default:
        return later(now.st_ctim, b->st.st_ctim);
    }
}

bool moved_at_least(const struct times_before *b, const char *which)
{
    for (const char *p = which; *p != '\0'; p++) {
        if (!has_moved(b, *p)) {
            return false;
        }
    }
    return true;
}

bool moved(const struct times_before *b, const char *which)
{
    for (const char *p = "amc"; *p != '\0'; p++) {
        if (has_moved(b, *p) != (strchr(which, *p) != NULL)) {
            return false;
        }
    }
    return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    int rc = type == FTW_DP ? rmdir(path) : unlink(path);
    if (rc < 0) {
        suite_fail(__FILE__, __LINE__, "left over %s: %s", path, strerror(errno));
    }
    return 0;
}

static void run(const char *base, const struct suite_group *g)
{
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/posix-%s-%d", base, g->name, getpid());
    running = g->name;
    must(mkdir(folder, 0755), folder);
    must(chdir(folder), folder);
    umask(0);
    g->run();
    must(chdir(base), base);
    umask(022);
    nftw(folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: posix-suite DIR [GROUP...] | posix-suite --list\n");
        return 64;
    }
    bool list = strcmp(argv[1], "--list") == 0;
    unsigned ran = 0;
    for (const struct suite_group *g = suite_groups; g->name != NULL; g++) {
        bool wanted = argc == 2;
        for (int i = 2; i < argc; i++) {
            wanted = wanted || strcmp(argv[i], g->name) == 0;
        }
        if (list) {
            puts(g->name);
        } else if (wanted) {
            run(argv[1], g);
            ran++;
        }
    }
    if (!list && ran == 0) {
        fprintf(stderr, "posix-suite: no such group\n");
        return 64;
    }
    return failures == 0 ? 0 : 1;
}
