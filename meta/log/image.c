/* Images in a directory: names, digest files, installing and listing. See image.h. */
#include "meta/log/image.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEX_BYTES = 2 * HD_SHA256_BYTES };

static const char name_format[] = "image_%020" PRIu64;

void hd_image_path(const char *dir, struct hd_txid txid, char out[HD_IMAGE_PATH_BYTES])
{
    char name[64];
    snprintf(name, sizeof(name), name_format, txid.v);
    snprintf(out, HD_IMAGE_PATH_BYTES, "%s/%s", dir, name);
}

static void digest_path(const char *dir, struct hd_txid txid, char out[HD_IMAGE_PATH_BYTES])
{
    char name[64];
    snprintf(name, sizeof(name), name_format, txid.v);
    snprintf(out, HD_IMAGE_PATH_BYTES, "%s/%s.sha256", dir, name);
}

static void to_hex(const uint8_t in[HD_SHA256_BYTES], char out[HEX_BYTES + 1])
{
    for (int i = 0; i < HD_SHA256_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", in[i]);
    }
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *p = c != '\0' ? strchr(digits, c) : NULL;
    return p != NULL ? (int)(p - digits) : -1;
}

int hd_image_install(const char *dir, const char *temp, const struct hd_image_info *info)
{
    char path[HD_IMAGE_PATH_BYTES];
    char digest[HD_IMAGE_PATH_BYTES];
    char hex[HEX_BYTES + 1];
    char line[HEX_BYTES + 64];
    hd_image_path(dir, info->txid, path);
    digest_path(dir, info->txid, digest);
    to_hex(info->sha256, hex);
    int n = snprintf(line, sizeof(line), "%s  image_%020" PRIu64 "\n", hex, info->txid.v);
    if (hd_io_rename(temp, path) < 0) {
        return hd_fail_errno(errno, "%s: rename to %s", temp, path);
    }
    /* An image counts once its digest file is there: a digest never stands without its image. */
    int err = hd_dir_sync(dir);
    return err < 0 ? err : hd_file_replace(digest, line, (size_t)n, 0644);
}

int hd_image_stat(const char *dir, struct hd_txid txid, struct hd_image_info *ret)
{
    char path[HD_IMAGE_PATH_BYTES];
    digest_path(dir, txid, path);
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = hd_file_read(path, 4096, &text);
    if (err < 0) {
        return err;
    }
    struct hd_image_info info = {.txid = txid};
    for (size_t i = 0; i < HD_SHA256_BYTES; i++) {
        int high = 2 * i + 1 < text.size ? hex_digit((char)text.data[2 * i]) : -1;
        int low = 2 * i + 1 < text.size ? hex_digit((char)text.data[2 * i + 1]) : -1;
        if (high < 0 || low < 0) {
            return hd_fail(-HD_E_CORRUPT, "%s: not a line of sha256sum", path);
        }
        info.sha256[i] = (uint8_t)(high << 4 | low);
    }
    struct stat st;
    hd_image_path(dir, txid, path);
    if (stat(path, &st) < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    info.size_bytes = (uint64_t)st.st_size;
    *ret = info;
    return 0;
}

int hd_image_load(const char *dir, struct hd_txid txid, const char *cluster_id, hd_image_fn fn,
                  void *ctx, struct hd_image_info *ret)
{
    struct hd_image_info want;
    struct hd_image_info got;
    char path[HD_IMAGE_PATH_BYTES];
    hd_image_path(dir, txid, path);
    int err = hd_image_stat(dir, txid, &want);
    if (err == 0) {
        err = hd_image_read(path, cluster_id, fn, ctx, &got);
    }
    if (err < 0) {
        return err;
    }
    if (memcmp(want.sha256, got.sha256, HD_SHA256_BYTES) != 0) {
        return hd_fail(-HD_E_CORRUPT, "%s: does not have the digest of %s.sha256", path, path);
    }
    if (got.txid.v != txid.v) {
        return hd_fail(-HD_E_CORRUPT, "%s: holds the image of txid %" PRIu64, path, got.txid.v);
    }
    *ret = got;
    return 0;
}

/* Keeps the newest max of them, newest first. */
static size_t insert(struct hd_txid *out, size_t count, size_t max, struct hd_txid txid)
{
    size_t at = count;
    while (at > 0 && out[at - 1].v < txid.v) {
        at--;
    }
    if (at >= max) {
        return count;
    }
    count = HD_MIN(count + 1, max);
    memmove(out + at + 1, out + at, (count - at - 1) * sizeof(*out));
    out[at] = txid;
    return count;
}

/* The files image_<txid><suffix>. */
static int list(const char *dir, const char *suffix, struct hd_txid *out, size_t max,
                size_t *ret_count)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    size_t count = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char name[96];
        struct hd_txid txid;
        if (sscanf(e->d_name, "image_%" SCNu64, &txid.v) != 1) {
            continue;
        }
        snprintf(name, sizeof(name), "image_%020" PRIu64 "%s", txid.v, suffix);
        if (strcmp(name, e->d_name) == 0) {
            count = insert(out, count, max, txid);
        }
    }
    closedir(d);
    *ret_count = count;
    return 0;
}

int hd_image_list(const char *dir, struct hd_txid *out, size_t max, size_t *ret_count)
{
    return list(dir, ".sha256", out, max, ret_count);
}

int hd_image_list_files(const char *dir, struct hd_txid *out, size_t max, size_t *ret_count)
{
    return list(dir, "", out, max, ret_count);
}

bool hd_image_has_digest(const char *dir, struct hd_txid txid)
{
    char path[HD_IMAGE_PATH_BYTES];
    digest_path(dir, txid, path);
    return access(path, F_OK) == 0;
}

int hd_image_remove(const char *dir, struct hd_txid txid)
{
    char path[HD_IMAGE_PATH_BYTES];
    digest_path(dir, txid, path); /* the digest first, durably: it never stands without its image */
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: remove", path);
    }
    int err = hd_dir_sync(dir);
    if (err < 0) {
        return err;
    }
    hd_image_path(dir, txid, path);
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: remove", path);
    }
    return hd_dir_sync(dir);
}

int hd_image_remove_temps(const char *dir)
{
    HD_AUTO(hd_fd_done) int fd = hd_io_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *d = fd >= 0 ? opendir(dir) : NULL;
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        bool temp = n > 4 && strcmp(e->d_name + n - 4, ".tmp") == 0;
        if (temp && strncmp(e->d_name, "image_", 6) == 0 && unlinkat(fd, e->d_name, 0) < 0) {
            err = hd_fail_errno(errno, "%s/%s: remove", dir, e->d_name);
        }
    }
    closedir(d);
    return err;
}
