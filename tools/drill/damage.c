/* Writing to files behind a daemon's back. See damage.h. */
#include "tools/drill/damage.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name in the drill's folder: <what>. */
static int beside(const struct hd_drill_run *r, const char *what, char out[HD_PATH_BYTES])
{
    return snprintf(out, HD_PATH_BYTES, "%s/%s", r->dir, what) < HD_PATH_BYTES
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s", r->dir);
}

int hd_damage_bytes(struct hd_drill_run *r, const char *path, uint64_t offset, const uint8_t *bad,
                    size_t size)
{
    uint8_t good[HD_DAMAGE_MAX];
    char good_path[HD_PATH_BYTES];
    char bad_path[HD_PATH_BYTES];
    char offset_text[24];
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || size > sizeof(good)) {
        return hd_fail_errno(fd < 0 ? errno : EFBIG, "%s", path);
    }
    int rc = hd_fd_pread(fd, good, size, offset);
    rc = rc == 0 ? beside(r, "saved.good", good_path) : rc;
    rc = rc == 0 ? beside(r, "saved.bad", bad_path) : rc;
    rc = rc == 0 ? hd_file_replace(good_path, good, size, 0600) : rc;
    rc = rc == 0 ? hd_file_replace(bad_path, bad, size, 0600) : rc;
    snprintf(offset_text, sizeof(offset_text), "%" PRIu64, offset);
    rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_BYTES, path, offset_text, good_path, bad_path) : rc;
    rc = rc == 0 ? hd_fd_pwrite(fd, bad, size, offset) : rc;
    if (rc == 0 && fdatasync(fd) < 0) {
        rc = hd_fail_errno(errno, "%s", path);
    }
    /* What a daemon reads next shall come from the disk, as it would after a while. */
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    snprintf(r->path, sizeof(r->path), "%s", path);
    r->offset = offset;
    return rc;
}

int hd_damage_randomly(struct hd_drill_run *r, const char *path, uint64_t offset, size_t size)
{
    uint8_t bytes[HD_DAMAGE_MAX];
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || size > sizeof(bytes)) {
        return hd_fail_errno(fd < 0 ? errno : EFBIG, "%s", path);
    }
    int rc = hd_fd_pread(fd, bytes, size, offset);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (uint8_t)(1 + hd_prng_below(&r->prng, 255));
    }
    return rc < 0 ? rc : hd_damage_bytes(r, path, offset, bytes, size);
}

static int copy_file(const char *from, const char *to)
{
    HD_AUTO(hd_fd_done) int in = open(from, O_RDONLY | O_CLOEXEC);
    HD_AUTO(hd_fd_done) int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (in < 0 || out < 0) {
        return hd_fail_errno(errno, "%s", in < 0 ? from : to);
    }
    ssize_t n;
    while ((n = copy_file_range(in, NULL, out, NULL, 1 << 26, 0)) > 0) {
    }
    if (n < 0 || fsync(out) < 0) {
        return hd_fail_errno(errno, "%s", to);
    }
    return hd_dir_sync_parent(to);
}

int hd_damage_cut(struct hd_drill_run *r, const char *path, uint64_t size_bytes)
{
    char saved[HD_PATH_BYTES];
    char size_text[24];
    int rc = beside(r, "saved.whole", saved);
    rc = rc == 0 ? copy_file(path, saved) : rc;
    snprintf(size_text, sizeof(size_text), "%" PRIu64, size_bytes);
    rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_REPLACE, saved, path, size_text) : rc;
    return rc == 0 && truncate(path, (off_t)size_bytes) < 0 ? hd_fail_errno(errno, "%s", path) : rc;
}

int hd_damage_remove(struct hd_drill_run *r, const char *path)
{
    char away[HD_PATH_BYTES];
    int rc = beside(r, "saved.away", away);
    rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_MOVE, away, path) : rc;
    return rc == 0 && rename(path, away) < 0 ? hd_fail_errno(errno, "%s", path) : rc;
}

bool hd_damage_is_there(const struct hd_drill_run *r)
{
    char bad_path[HD_PATH_BYTES];
    uint8_t now[HD_DAMAGE_MAX];
    HD_AUTO(hd_buf_done) struct hd_buf bad = {0};
    HD_AUTO(hd_fd_done) int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && beside(r, "saved.bad", bad_path) == 0 &&
           hd_file_read(bad_path, sizeof(now), &bad) == 0 &&
           hd_fd_pread(fd, now, bad.size, r->offset) == 0 && memcmp(now, bad.data, bad.size) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t hd_damage_list(const char *dir, const char *prefix, char (*ret)[256], size_t max)
{
    size_t count = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; d != NULL && count < max && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && e->d_name[0] != '.') {
            snprintf(ret[count++], sizeof(ret[0]), "%s", e->d_name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    qsort(ret, count, sizeof(ret[0]), by_name);
    return count;
}

void hd_damage_dir(const struct hd_member *m, char out[HD_PATH_BYTES])
{
    size_t size = strcspn(m->dirs, ",");
    while (size > 0 && m->dirs[size - 1] == ' ') {
        size--;
    }
    snprintf(out, HD_PATH_BYTES, "%.*s", (int)size, m->dirs);
}
