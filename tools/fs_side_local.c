/* The local side of a copy. See fs_side.h. */
#include "tools/fs_side.h"
#include "tools/fs_glob.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct hd_side_file {
    int fd;
    bool borrowed; /* stdin or stdout */
};

static int fail_at(const char *path)
{
    int e = errno;
    return hd_fail(-e, "`%s': %s", path, strerror(e));
}

static void id_names(const struct stat *st, struct hd_stat *ret)
{
    const struct passwd *pw = getpwuid(st->st_uid);
    const struct group *gr = getgrgid(st->st_gid);
    snprintf(ret->owner, sizeof(ret->owner), "%s", pw != NULL ? pw->pw_name : "");
    snprintf(ret->group, sizeof(ret->group), "%s", gr != NULL ? gr->gr_name : "");
}

static int local_stat(const struct hd_side *s, const char *path, struct hd_stat *ret)
{
    struct stat st;
    (void)s;
    if (stat(path, &st) < 0) {
        return fail_at(path);
    }
    *ret = (struct hd_stat){
        .type = S_ISDIR(st.st_mode) ? HD_TYPE_DIR : HD_TYPE_FILE,
        .ino = st.st_ino,
        .size_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
        .mode = st.st_mode & 01777,
        .mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000,
        .atime_ms = (int64_t)st.st_atim.tv_sec * 1000 + st.st_atim.tv_nsec / 1000000,
    };
    return 0;
}

/* The same with owner and group, which only sources need. Not for workers: getpwuid(3). */
static int stat_with_owner(const char *path, struct hd_stat *ret)
{
    struct stat st;
    int rc = local_stat(NULL, path, ret);
    if (rc == 0 && stat(path, &st) == 0) {
        id_names(&st, ret);
    }
    return rc;
}

static int add_item(struct hd_sh_items *out, const char *path)
{
    struct hd_sh_item item = {.shown = strdup(path), .path = strdup(path)};
    int rc = item.shown != NULL && item.path != NULL ? stat_with_owner(path, &item.st) : -ENOMEM;
    item.exists = rc == 0;
    if (rc < 0 && rc != -ENOENT) {
        hd_sh_item_done(&item);
        return rc;
    }
    return hd_sh_items_add(out, &item);
}

static int local_list(const struct hd_side *s, const struct hd_sh_item *dir,
                      struct hd_sh_items *out)
{
    struct dirent **names;
    (void)s;
    int count = scandir(dir->path, &names, NULL, alphasort);
    int rc = count < 0 ? fail_at(dir->path) : 0;
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        if (rc == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            char *path = hd_sh_join(dir->path, name);
            rc = path != NULL ? add_item(out, path) : -ENOMEM;
            free(path);
        }
        free(names[i]);
    }
    if (count >= 0) {
        free(names);
    }
    return rc;
}

static int local_make_dir(const struct hd_side *s, const char *path)
{
    (void)s;
    return mkdir(path, 0777) < 0 ? fail_at(path) : 0;
}

static int local_remove(const struct hd_side *s, const char *path)
{
    (void)s;
    return remove(path) < 0 ? fail_at(path) : 0;
}

static int local_rename(const struct hd_side *s, const char *from, const char *to, bool overwrite)
{
    (void)s;
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, overwrite ? 0 : RENAME_NOREPLACE) < 0 &&
                   !(errno == EINVAL && rename(from, to) == 0)
               ? fail_at(to)
               : 0;
}

/* The numbers of owner and group; false when this machine does not know them. Any thread. */
static bool find_ids(const struct hd_stat *st, uid_t *ret_uid, gid_t *ret_gid)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* getpwnam(3) */
    pthread_mutex_lock(&lock);
    const struct passwd *pw = getpwnam(st->owner);
    const struct group *gr = getgrnam(st->group);
    bool found = pw != NULL && gr != NULL;
    if (found) {
        *ret_uid = pw->pw_uid;
        *ret_gid = gr->gr_gid;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static int local_set_attr(const struct hd_side *s, const char *path, const struct hd_stat *st,
                          unsigned keep)
{
    (void)s;
    if ((keep & HD_KEEP_OWNER) != 0 && geteuid() == 0) {
        uid_t uid;
        gid_t gid;
        if (find_ids(st, &uid, &gid) && chown(path, uid, gid) < 0) {
            return fail_at(path);
        }
    }
    if ((keep & HD_KEEP_MODE) != 0 && chmod(path, st->mode) < 0) {
        return fail_at(path);
    }
    if ((keep & HD_KEEP_TIMES) != 0) {
        struct timespec times[2] = {
            {.tv_sec = st->atime_ms / 1000, .tv_nsec = st->atime_ms % 1000 * 1000000},
            {.tv_sec = st->mtime_ms / 1000, .tv_nsec = st->mtime_ms % 1000 * 1000000},
        };
        if (utimensat(AT_FDCWD, path, times, 0) < 0) {
            return fail_at(path);
        }
    }
    return 0;
}

static int open_file(const char *path, int flags, struct hd_side_file **ret)
{
    struct hd_side_file *f = malloc(sizeof(*f));
    if (f == NULL) {
        return -ENOMEM;
    }
    *f = (struct hd_side_file){.fd = open(path, flags | O_CLOEXEC, 0666)};
    if (f->fd < 0) {
        int rc = fail_at(path);
        free(f);
        return rc;
    }
    *ret = f;
    return 0;
}

static int local_open(const struct hd_side *s, const char *path, struct hd_side_file **ret)
{
    (void)s;
    int rc = open_file(path, O_RDONLY, ret);
    if (rc == 0) {
        posix_fadvise((*ret)->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return rc;
}

static int local_create(const struct hd_side *s, const char *path, struct hd_side_file **ret)
{
    (void)s;
    return open_file(path, O_WRONLY | O_CREAT | O_TRUNC, ret);
}

static int64_t local_read(struct hd_side_file *f, void *out, size_t size)
{
    ssize_t n;
    do {
        n = read(f->fd, out, size);
    } while (n < 0 && errno == EINTR && !hd_sh_interrupted());
    return n < 0 ? hd_fail_errno(errno, "reading") : n;
}

static int local_write(struct hd_side_file *f, const void *data, size_t size)
{
    return hd_fd_write(f->fd, data, size);
}

static int local_close(struct hd_side_file *f)
{
    int rc = f->borrowed || close(f->fd) == 0 ? 0 : hd_fail_errno(errno, "closing");
    free(f);
    return rc;
}

static void local_abandon(struct hd_side_file *f)
{
    local_close(f);
}

int hd_side_stdio(int fd, struct hd_side_file **ret)
{
    struct hd_side_file *f = malloc(sizeof(*f));
    if (f == NULL) {
        return -ENOMEM;
    }
    *f = (struct hd_side_file){.fd = fd, .borrowed = true};
    *ret = f;
    return 0;
}

int hd_side_expand_local(const char *arg, struct hd_sh_items *out)
{
    struct stat st;
    glob_t found = {0};
    if (strncmp(arg, "file:", 5) == 0) {
        arg += strncmp(arg, "file://", 7) == 0 ? 7 : 5;
    }
    if (lstat(arg, &st) == 0 || !hd_glob_is_pattern(arg) ||
        glob(arg, GLOB_BRACE, NULL, &found) != 0) {
        return add_item(out, arg);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        rc = add_item(out, found.gl_pathv[i]);
    }
    globfree(&found);
    return rc;
}

const struct hd_side_ops hd_side_local = {
    .stat = local_stat,
    .list = local_list,
    .make_dir = local_make_dir,
    .remove = local_remove,
    .rename = local_rename,
    .set_attr = local_set_attr,
    .open = local_open,
    .create = local_create,
    .read = local_read,
    .write = local_write,
    .close = local_close,
    .abandon = local_abandon,
};
