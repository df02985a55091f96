/*
 * libhowdah-powercut.so: preloaded, it writes down what a process does to files below certain
 * directories and has not fsynced, so that a kill can be turned into a power cut afterwards
 * (howdah-powercut undo; howdah-powercut(1)).
 *
 *   HOWDAH_POWERCUT_DIRS     directories, separated by ':' (or ','): what is below is watched
 *   HOWDAH_POWERCUT_JOURNAL  the journal; default: the first directory with ".powercut" behind
 *
 * It promises: the record of a change of contents is in the journal (in the page cache, by
 * write(2), which outlives a kill) before the change happens, that of a name right after it: in
 * between, a kill leaves a change that counts as durable, which a disk may do as well. A sync
 * covers only what was recorded before it began.
 *
 * It does not see: stdio's own writes (leveldb's LOG), writes through shared mappings (it warns),
 * other processes, io_uring. One process at a time writes a journal. Every call is the raw system
 * call, so nothing here calls itself.
 */
#include "tools/powercut/preload.h"
#include "tools/powercut/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DIRS_MAX = 32, CACHE_SLOTS = 4096, JOURNAL_FD_MIN = 700 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char dirs[DIRS_MAX][PATH_MAX];
static size_t dir_count;
static int journal_fd = -1;
static int kept_fd = -1; /* JOURNAL.files */
static uint64_t last_number;
static struct hd_powercut_id cache[CACHE_SLOTS]; /* of files and directories known to be watched */
static bool on;

/* --- raw calls --- */

static int raw_open(int at, const char *path, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

static int raw_fstat(int fd, struct stat *st)
{
    return (int)syscall(SYS_fstat, fd, st);
}

static int raw_lstat_at(int at, const char *path, struct stat *st)
{
    return (int)syscall(SYS_newfstatat, at, path, st, AT_SYMLINK_NOFOLLOW);
}

static void raw_close(int fd)
{
    syscall(SYS_close, fd);
}

static void complain(const char *what)
{
    static const char head[] = "libhowdah-powercut: ";
    char line[512];
    int n = snprintf(line, sizeof(line), "%s%.400s\n", head, what);
    syscall(SYS_write, STDERR_FILENO, line, (size_t)n);
}

/* A journal that misses something is worse than none. */
static _Noreturn void give_up(const char *what)
{
    complain(what);
    abort();
}

/* --- what is watched --- */

static bool is_below(const char *path)
{
    for (size_t i = 0; i < dir_count; i++) {
        size_t n = strlen(dirs[i]);
        if (strncmp(path, dirs[i], n) == 0 && (path[n] == '/' || path[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static struct hd_powercut_id id_of(const struct stat *st)
{
    return (struct hd_powercut_id){.dev = st->st_dev, .ino = st->st_ino};
}

static struct hd_powercut_id *slot_of(struct hd_powercut_id id)
{
    return &cache[(id.ino * 0x9e3779b97f4a7c15u ^ id.dev) % CACHE_SLOTS];
}

static bool path_of(int fd, char out[PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, name, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Under the lock: a regular file or directory below the directories. */
static bool is_watched(int fd, struct stat *st)
{
    char path[PATH_MAX];
    if (!on || raw_fstat(fd, st) < 0 || (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))) {
        return false;
    }
    struct hd_powercut_id id = id_of(st);
    struct hd_powercut_id *slot = slot_of(id);
    if (slot->ino == id.ino && slot->dev == id.dev) {
        return true;
    }
    if (!path_of(fd, path) || !is_below(path)) {
        return false;
    }
    *slot = id;
    return true;
}

/* A name in a directory: what the calls on names are about. */
struct place {
    int dir_fd; /* to be closed; -1: not watched */
    struct hd_powercut_id dir;
    char name[NAME_MAX + 1];
};

/* Under the lock. */
static struct place place_of(int at, const char *path)
{
    struct place p = {.dir_fd = -1};
    char dir[PATH_MAX];
    size_t n = on && path != NULL ? strlen(path) : 0;
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    if (n == 0 || n >= sizeof(dir)) {
        return p;
    }
    memcpy(dir, path, n);
    dir[n] = '\0';
    char *slash = strrchr(dir, '/');
    const char *name = slash != NULL ? slash + 1 : dir;
    if (strlen(name) == 0 || strlen(name) > NAME_MAX) {
        return p;
    }
    memcpy(p.name, name, strlen(name) + 1);
    if (slash == NULL) {
        snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    struct stat st;
    int fd = raw_open(at, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0 && is_watched(fd, &st)) {
        p.dir_fd = fd;
        p.dir = id_of(&st);
    } else if (fd >= 0) {
        raw_close(fd);
    }
    return p;
}

static void place_done(struct place *p)
{
    if (p->dir_fd >= 0) {
        raw_close(p->dir_fd);
    }
}

/* --- the journal --- */

static void put(const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        long n = syscall(SYS_write, journal_fd, p, size);
        if (n < 0 && errno != EINTR) {
            give_up("the journal cannot be written");
        }
        p += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

/* Under the lock: the record, its names and its bytes, as one write where that matters. */
static void record(struct hd_powercut_record r, const char *name, const char *name2,
                   const void *data)
{
    char small[sizeof(r) + 2 * (NAME_MAX + 1) + PATH_MAX];
    size_t n = sizeof(r);
    int e = errno;
    r.magic = HD_POWERCUT_MAGIC;
    r.name_bytes = name != NULL ? (uint32_t)strlen(name) : 0;
    r.name2_bytes = name2 != NULL ? (uint32_t)strlen(name2) : 0;
    memcpy(small, &r, sizeof(r));
    if (name != NULL) {
        memcpy(small + n, name, r.name_bytes);
        n += r.name_bytes;
    }
    if (name2 != NULL) {
        memcpy(small + n, name2, r.name2_bytes);
        n += r.name2_bytes;
    }
    put(small, n);
    if (r.data_bytes > 0) {
        put(data, r.data_bytes);
    }
    errno = e;
}

/* The old bytes of [from, to), which the caller frees. */
static void *old_bytes(int fd, uint64_t from, uint64_t to)
{
    char own[64];
    size_t size = (size_t)(to - from);
    char *p = malloc(size);
    snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    int again = raw_open(AT_FDCWD, own, O_RDONLY | O_CLOEXEC, 0); /* fd may be write-only */
    if (p == NULL || again < 0) {
        give_up("the bytes that are overwritten cannot be read");
    }
    for (size_t done = 0; done < size;) {
        long n = syscall(SYS_pread64, again, p + done, size - done, from + done);
        if (n <= 0) {
            give_up("the bytes that are overwritten cannot be read");
        }
        done += (size_t)n;
    }
    raw_close(again);
    return p;
}

/* Under the lock: a write of size bytes at offset is about to come. */
static void note_write(int fd, const struct stat *st, uint64_t offset, uint64_t size)
{
    uint64_t end = (uint64_t)st->st_size;
    uint64_t to = HD_MIN(offset + size, end);
    struct hd_powercut_record r = {.type = HD_POWERCUT_WRITE,
                                   .number = ++last_number,
                                   .id = id_of(st),
                                   .offset = offset,
                                   .size = size,
                                   .old_end = end,
                                   .data_bytes = to > offset ? to - offset : 0};
    void *old = r.data_bytes > 0 ? old_bytes(fd, offset, to) : NULL;
    record(r, NULL, NULL, old);
    free(old);
}

/* Under the lock: the file is about to end at new_end. */
static void note_resize(int fd, const struct stat *st, uint64_t new_end)
{
    uint64_t end = (uint64_t)st->st_size;
    if (new_end == end) {
        return;
    }
    struct hd_powercut_record r = {.type = HD_POWERCUT_RESIZE,
                                   .number = ++last_number,
                                   .id = id_of(st),
                                   .offset = new_end,
                                   .old_end = end,
                                   .data_bytes = end > new_end ? end - new_end : 0};
    void *old = r.data_bytes > 0 ? old_bytes(fd, new_end, end) : NULL;
    record(r, NULL, NULL, old);
    free(old);
}

/* Under the lock: keeps what is called so reachable as `number`. */
static void keep(const struct place *p, uint64_t number)
{
    char name[32];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
    if (syscall(SYS_linkat, p->dir_fd, p->name, kept_fd, name, 0) < 0) {
        give_up("a file that is removed cannot be kept beside the journal");
    }
}

/* --- start --- */

static uint64_t next_after(const char *path)
{
    struct hd_powercut_record r;
    uint64_t last = 0;
    int fd = raw_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    off_t at = 0;
    while (fd >= 0 && syscall(SYS_pread64, fd, &r, sizeof(r), at) == (long)sizeof(r) &&
           r.magic == HD_POWERCUT_MAGIC) {
        last = HD_MAX(last, r.number);
        at += (off_t)(sizeof(r) + r.name_bytes + r.name2_bytes + r.data_bytes);
    }
    if (fd >= 0) {
        raw_close(fd);
    }
    return last;
}

static void open_journal(const char *path)
{
    char files[PATH_MAX];
    if (snprintf(files, sizeof(files), "%s.files", path) >= (int)sizeof(files)) {
        give_up("the journal's name is too long");
    }
    syscall(SYS_mkdirat, AT_FDCWD, files, 0700);
    last_number = next_after(path);
    int fd = raw_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int kept = raw_open(AT_FDCWD, files, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 || kept < 0) {
        give_up("HOWDAH_POWERCUT_JOURNAL cannot be opened");
    }
    journal_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, JOURNAL_FD_MIN);
    kept_fd = (int)syscall(SYS_fcntl, kept, F_DUPFD_CLOEXEC, JOURNAL_FD_MIN);
    if (journal_fd < 0 || kept_fd < 0) {
        give_up("no descriptor for the journal");
    }
    raw_close(fd);
    raw_close(kept);
}

/* What is read in place of the machine's boot id: a power cut is a boot of its own. */
static char boot_id_path[PATH_MAX];

__attribute__((constructor)) static void start(void)
{
    const char *list = getenv("HOWDAH_POWERCUT_DIRS");
    const char *journal = getenv("HOWDAH_POWERCUT_JOURNAL");
    const char *boot_id = getenv("HOWDAH_POWERCUT_BOOT_ID");
    char name[PATH_MAX];
    snprintf(boot_id_path, sizeof(boot_id_path), "%s", boot_id != NULL ? boot_id : "");
    while (list != NULL && *list != '\0') {
        size_t n = strcspn(list, ":,");
        snprintf(name, sizeof(name), "%.*s", (int)n, list);
        list += n + (list[n] != '\0');
        if (n == 0) {
            continue;
        }
        if (dir_count == DIRS_MAX || realpath(name, dirs[dir_count]) == NULL) {
            give_up("HOWDAH_POWERCUT_DIRS names a directory that is not there, or too many");
        }
        dir_count++;
    }
    if (dir_count == 0) {
        return;
    }
    if (journal == NULL || journal[0] == '\0') {
        snprintf(name, sizeof(name), "%.*s.powercut", (int)(sizeof(name) - 16), dirs[0]);
        journal = name;
    }
    open_journal(journal);
    for (size_t i = 0; i < dir_count; i++) {
        record((struct hd_powercut_record){.type = HD_POWERCUT_DIR, .number = ++last_number},
               dirs[i], NULL, NULL);
    }
    on = true;
}

/* --- names --- */

static int open_noted(int at, const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&lock);
    struct place p = place_of(at, path);
    struct stat st;
    bool create = p.dir_fd >= 0 && (flags & O_CREAT) != 0 &&
                  raw_lstat_at(p.dir_fd, p.name, &st) < 0 && errno == ENOENT;
    if (p.dir_fd >= 0 && (flags & O_TRUNC) != 0 && !create) {
        int old = raw_open(p.dir_fd, p.name, O_RDONLY | O_CLOEXEC, 0);
        if (old >= 0 && is_watched(old, &st) && S_ISREG(st.st_mode)) {
            note_resize(old, &st, 0);
        }
        if (old >= 0) {
            raw_close(old);
        }
    }
    int fd = raw_open(at, path, flags, mode);
    int e = errno;
    if (fd >= 0 && create && raw_fstat(fd, &st) == 0) {
        *slot_of(id_of(&st)) = id_of(&st);
        record((struct hd_powercut_record){.type = HD_POWERCUT_CREATE,
                                           .number = ++last_number,
                                           .id = id_of(&st),
                                           .parent = p.dir},
               p.name, NULL, NULL);
    }
    place_done(&p);
    pthread_mutex_unlock(&lock);
    errno = e;
    return fd;
}

int hd_powercut_open(int at, const char *path, int flags, mode_t mode)
{
    if (boot_id_path[0] != '\0' && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        path = boot_id_path;
    }
    if (on && (flags & (O_CREAT | O_TRUNC)) != 0 && (flags & O_TMPFILE) != O_TMPFILE) {
        return open_noted(at, path, flags, mode);
    }
    return raw_open(at, path, flags, mode);
}

/* After a name was made: what it is. */
static void note_created(const struct place *p, enum hd_powercut_type type)
{
    struct stat st;
    int e = errno;
    if (p->dir_fd >= 0 && raw_lstat_at(p->dir_fd, p->name, &st) == 0) {
        record((struct hd_powercut_record){.type = type,
                                           .number = ++last_number,
                                           .id = id_of(&st),
                                           .parent = p->dir,
                                           .is_dir = S_ISDIR(st.st_mode)},
               p->name, NULL, NULL);
    }
    errno = e;
}

int hd_powercut_unlink(int at, const char *path, int flags)
{
    pthread_mutex_lock(&lock);
    struct place p = place_of(at, path);
    struct stat st;
    bool there = p.dir_fd >= 0 && raw_lstat_at(p.dir_fd, p.name, &st) == 0;
    uint64_t number = ++last_number;
    if (there && !S_ISDIR(st.st_mode)) {
        keep(&p, number);
    }
    int rc = (int)syscall(SYS_unlinkat, at, path, flags);
    int e = errno;
    if (rc == 0 && there) {
        record((struct hd_powercut_record){.type = HD_POWERCUT_UNLINK,
                                           .number = number,
                                           .id = id_of(&st),
                                           .parent = p.dir,
                                           .mode = st.st_mode & 07777,
                                           .is_dir = S_ISDIR(st.st_mode)},
               p.name, NULL, NULL);
    }
    place_done(&p);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int hd_powercut_rename(int at, const char *from, int at2, const char *to, unsigned flags)
{
    pthread_mutex_lock(&lock);
    struct place p = place_of(at, from);
    struct place q = place_of(at2, to);
    struct stat st = {0};
    struct stat old = {0};
    bool both = p.dir_fd >= 0 && q.dir_fd >= 0;
    if ((p.dir_fd >= 0 || q.dir_fd >= 0) && !both) {
        complain("a rename into or out of the watched directories is not followed");
    }
    if (both && (flags & RENAME_EXCHANGE) != 0) {
        give_up("RENAME_EXCHANGE is not followed");
    }
    both = both && raw_lstat_at(p.dir_fd, p.name, &st) == 0;
    bool replaces = both && raw_lstat_at(q.dir_fd, q.name, &old) == 0 &&
                    (old.st_ino != st.st_ino || old.st_dev != st.st_dev);
    uint64_t number = ++last_number;
    if (replaces && !S_ISDIR(old.st_mode)) {
        keep(&q, number);
    }
    int rc = (int)syscall(SYS_renameat2, at, from, at2, to, flags);
    int e = errno;
    if (rc == 0 && both) {
        record((struct hd_powercut_record){.type = HD_POWERCUT_RENAME,
                                           .number = number,
                                           .id = id_of(&st),
                                           .parent = p.dir,
                                           .parent2 = q.dir,
                                           .replaced =
                                               replaces ? id_of(&old) : (struct hd_powercut_id){0},
                                           .mode = old.st_mode & 07777,
                                           .is_dir = S_ISDIR(st.st_mode)},
               p.name, q.name, NULL);
    }
    place_done(&p);
    place_done(&q);
    pthread_mutex_unlock(&lock);
    errno = e;
    return rc;
}

int hd_powercut_mkdir(int at, const char *path, mode_t mode)
{
    pthread_mutex_lock(&lock);
    struct place p = place_of(at, path);
    int rc = (int)syscall(SYS_mkdirat, at, path, mode);
    if (rc == 0) {
        note_created(&p, HD_POWERCUT_CREATE);
    }
    place_done(&p);
    pthread_mutex_unlock(&lock);
    return rc;
}

int hd_powercut_link(int at, const char *from, int at2, const char *to, int flags)
{
    pthread_mutex_lock(&lock);
    struct place p = place_of(at2, to);
    int rc = (int)syscall(SYS_linkat, at, from, at2, to, flags);
    if (rc == 0) {
        note_created(&p, HD_POWERCUT_LINK);
    }
    place_done(&p);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* --- contents --- */

/* Under the lock: an intent to write size bytes at offset, or where the descriptor is (-1). */
static void note_intent(int fd, int64_t offset, uint64_t size)
{
    struct stat st;
    int e = errno;
    if (size > 0 && is_watched(fd, &st) && S_ISREG(st.st_mode)) {
        bool append = (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) != 0;
        uint64_t at = append       ? (uint64_t)st.st_size
                      : offset < 0 ? (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR)
                                   : (uint64_t)offset;
        note_write(fd, &st, at, size);
    }
    errno = e;
}

/* Is it worth taking the lock? */
static bool may_be_watched(int fd)
{
    struct stat st;
    int e = errno;
    bool yes = on && raw_fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    errno = e;
    return yes;
}

bool hd_powercut_begin_write(int fd, int64_t offset, uint64_t size)
{
    if (!may_be_watched(fd)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    note_intent(fd, offset, size);
    return true;
}

void hd_powercut_end_write(bool begun)
{
    if (begun) {
        pthread_mutex_unlock(&lock);
    }
}

int hd_powercut_resize(int fd, off_t size)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    if (is_watched(fd, &st) && S_ISREG(st.st_mode)) {
        note_resize(fd, &st, (uint64_t)size);
    }
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    return rc;
}

int hd_powercut_allocate(int fd, int mode, off_t offset, off_t size)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    if (is_watched(fd, &st) && S_ISREG(st.st_mode)) {
        if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) {
            give_up("fallocate that changes contents is not followed");
        }
        if (mode == 0 && offset + size > st.st_size) {
            note_resize(fd, &st, (uint64_t)(offset + size));
        }
    }
    int rc = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* A sync covers what was recorded before it began, and only if it succeeded. */
int hd_powercut_sync(long call, int fd)
{
    struct stat st;
    uint64_t number = 0;
    if (may_be_watched(fd)) {
        pthread_mutex_lock(&lock);
        if (is_watched(fd, &st)) {
            number = ++last_number;
            record((struct hd_powercut_record){.type = HD_POWERCUT_BEGIN,
                                               .number = number,
                                               .id = id_of(&st),
                                               .is_dir = S_ISDIR(st.st_mode)},
                   NULL, NULL, NULL);
        }
        pthread_mutex_unlock(&lock);
    }
    int rc = (int)syscall(call, fd);
    if (rc == 0 && number != 0) {
        pthread_mutex_lock(&lock);
        record((struct hd_powercut_record){.type = HD_POWERCUT_END, .number = number}, NULL, NULL,
               NULL);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

void hd_powercut_warn_mapped(int fd)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    if (is_watched(fd, &st)) {
        complain("writes through a shared mapping of a watched file are not followed");
    }
    pthread_mutex_unlock(&lock);
}
