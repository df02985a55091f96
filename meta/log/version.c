/* The VERSION file. See version.h. */
#include "meta/log/version.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, FILE_MAX_BYTES = 64 << 10 };

static const char sum_key[] = "crc32c=";

void hd_version_make(struct hd_version *v, const char *ip, uint64_t creation_ms)
{
    char uuid[HD_UUID_TEXT_BYTES];
    uint32_t random[2];
    hd_random_uuid(uuid);
    hd_random_bytes(random, sizeof(random));
    *v = (struct hd_version){
        .namespace_id = random[0] & INT32_MAX, .creation_ms = creation_ms, .epoch = 1};
    hd_random_bytes(&v->primary_id, sizeof(v->primary_id));
    snprintf(v->cluster_id, sizeof(v->cluster_id), "CID-%s", uuid);
    snprintf(v->block_pool_id, sizeof(v->block_pool_id), "BP-%" PRIu32 "-%s-%" PRIu64,
             random[1] & INT32_MAX, ip, creation_ms);
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v > max) {
        return -HD_E_CORRUPT;
    }
    *ret = v;
    return 0;
}

enum { SEEN_CLUSTER = 1, SEEN_POOL = 2, SEEN_NAMESPACE = 4, SEEN_CREATION = 8, SEEN_LAYOUT = 16 };

/* One line. Unknown keys are for later versions to explain. */
static int parse_line(const char *key, const char *value, bool any, struct hd_version *v,
                      unsigned *seen)
{
    uint64_t n = 0;
    int err = 0;
    if (strcmp(key, "cluster_id") == 0) {
        *seen |= SEEN_CLUSTER;
        snprintf(v->cluster_id, sizeof(v->cluster_id), "%s", value);
    } else if (strcmp(key, "block_pool_id") == 0) {
        *seen |= SEEN_POOL;
        snprintf(v->block_pool_id, sizeof(v->block_pool_id), "%s", value);
    } else if (strcmp(key, "namespace_id") == 0) {
        *seen |= SEEN_NAMESPACE;
        err = parse_number(value, UINT32_MAX, &n);
        v->namespace_id = (uint32_t)n;
    } else if (strcmp(key, "creation_ms") == 0) {
        *seen |= SEEN_CREATION;
        err = parse_number(value, INT64_MAX, &v->creation_ms);
    } else if (strcmp(key, "epoch") == 0) {
        err = parse_number(value, INT64_MAX, &v->epoch);
    } else if (strcmp(key, "primary_id") == 0) {
        err = parse_number(value, UINT64_MAX, &v->primary_id);
    } else if (strcmp(key, "incomplete") == 0) {
        v->incomplete = strcmp(value, "yes") == 0;
    } else if (strcmp(key, "role") == 0) {
        v->role_known = true;
        v->was_secondary = strcmp(value, "secondary") == 0;
    } else if (strcmp(key, "layout_version") == 0) {
        *seen |= SEEN_LAYOUT;
        err = parse_number(value, UINT32_MAX, &n);
        if (err == 0 && n > HD_LAYOUT_VERSION) {
            return hd_fail(-HD_E_INCORRECT_VERSION,
                           "layout version %s is newer than this program's, %d: start the program "
                           "that wrote it, or go back with howdah-meta --rollback",
                           value, HD_LAYOUT_VERSION);
        }
        if (err == 0 && n < HD_LAYOUT_VERSION && !any) {
            return hd_fail(-HD_E_INCORRECT_VERSION,
                           "layout version %s is older than this program's, %d: start once with "
                           "howdah-meta --upgrade, which keeps the way back",
                           value, HD_LAYOUT_VERSION);
        }
    }
    return err < 0 ? hd_fail(err, "%s=%s: not a number it can have", key, value) : 0;
}

/* The last line is the sum of all before it. A file of an earlier version has none. */
static bool sum_is_right(const char *text, size_t size)
{
    const char *line = memmem(text, size, sum_key, strlen(sum_key));
    if (line == NULL) {
        return true;
    }
    char want[64];
    int n = snprintf(want, sizeof(want), "%s%08" PRIx32 "\n", sum_key,
                     hd_crc32c(0, text, (size_t)(line - text)));
    return text + size - line == n && memcmp(line, want, (size_t)n) == 0;
}

static int read_version(const char *dir, bool any, struct hd_version *ret)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/VERSION", dir);
    HD_AUTO(hd_buf_done) struct hd_buf content = {0};
    int err = hd_file_read(path, FILE_MAX_BYTES, &content);
    if (err < 0) {
        return err;
    }
    if (hd_buf_str(&content) == NULL) {
        return -ENOMEM;
    }
    if (!sum_is_right((char *)content.data, content.size)) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: its checksum is wrong; restore the file from the secondary's directory",
                       path);
    }
    struct hd_version v = {.epoch = 1};
    unsigned seen = 0;
    char *rest = (char *)content.data;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        char *equals = strchr(line, '=');
        if (line[0] == '#' || equals == NULL) {
            continue;
        }
        *equals = '\0';
        err = parse_line(line, equals + 1, any, &v, &seen);
        if (err < 0) {
            return hd_fail(err, "%s: %s", path, hd_fail_text());
        }
    }
    if (seen != (SEEN_CLUSTER | SEEN_POOL | SEEN_NAMESPACE | SEEN_CREATION | SEEN_LAYOUT) ||
        v.cluster_id[0] == '\0' || v.block_pool_id[0] == '\0') {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: a key is missing; restore the file from the secondary's directory",
                       path);
    }
    *ret = v;
    return 0;
}

int hd_version_read(const char *dir, struct hd_version *ret)
{
    return read_version(dir, false, ret);
}

int hd_version_read_any(const char *dir, struct hd_version *ret)
{
    return read_version(dir, true, ret);
}

int hd_version_write(const char *dir, const struct hd_version *v)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/VERSION", dir);
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    int err = hd_buf_addf(&out,
                          "# howdah metadata: do not edit\ncluster_id=%s\nblock_pool_id=%s\n"
                          "namespace_id=%" PRIu32 "\ncreation_ms=%" PRIu64 "\nlayout_version=%d\n"
                          "epoch=%" PRIu64 "\nprimary_id=%" PRIu64 "\n",
                          v->cluster_id, v->block_pool_id, v->namespace_id, v->creation_ms,
                          HD_LAYOUT_VERSION, v->epoch, v->primary_id);
    if (err == 0 && v->incomplete) {
        err = hd_buf_add_str(&out, "incomplete=yes\n");
    }
    if (err == 0 && v->role_known) {
        err = hd_buf_addf(&out, "role=%s\n", v->was_secondary ? "secondary" : "primary");
    }
    if (err == 0) {
        err = hd_buf_addf(&out, "%s%08" PRIx32 "\n", sum_key, hd_crc32c(0, out.data, out.size));
    }
    return err < 0 ? err : hd_file_replace(path, out.data, out.size, 0644);
}
