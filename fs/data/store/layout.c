/* Paths and VERSION files. See layout.h. */
#include "fs/data/store/layout.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { VERSION_BYTES_MAX = 65536, SUBDIR_MASK = 0x1f };

unsigned hd_layout_folder(struct hd_block_id id)
{
    return (unsigned)(id.v >> 16 & SUBDIR_MASK) << 5 | (unsigned)(id.v >> 8 & SUBDIR_MASK);
}

void hd_layout_dir(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                   char out[HD_LAYOUT_PATH_BYTES])
{
    const char *base = "current/finalized";
    switch (place) {
    case HD_PLACE_FINALIZED:
        snprintf(out, HD_LAYOUT_PATH_BYTES, "%s/current/%s/%s/subdir%u/subdir%u", l->dir,
                 l->pool_id, base, (unsigned)(id.v >> 16 & SUBDIR_MASK),
                 (unsigned)(id.v >> 8 & SUBDIR_MASK));
        return;
    case HD_PLACE_RBW:
        base = "current/rbw";
        break;
    case HD_PLACE_TMP:
        base = "tmp";
        break;
    }
    snprintf(out, HD_LAYOUT_PATH_BYTES, "%s/current/%s/%s", l->dir, l->pool_id, base);
}

static void append(char out[HD_LAYOUT_PATH_BYTES], const char *name)
{
    size_t n = strlen(out);
    snprintf(out + n, HD_LAYOUT_PATH_BYTES - n, "/%s", name);
}

void hd_layout_data(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                    char out[HD_LAYOUT_PATH_BYTES])
{
    char name[32];
    snprintf(name, sizeof(name), "blk_%" PRIu64, id.v);
    hd_layout_dir(l, place, id, out);
    append(out, name);
}

void hd_layout_meta(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                    struct hd_genstamp gs, char out[HD_LAYOUT_PATH_BYTES])
{
    char name[64];
    snprintf(name, sizeof(name), "blk_%" PRIu64 "_%" PRIu64 ".meta", id.v, gs.v);
    hd_layout_dir(l, place, id, out);
    append(out, name);
}

void hd_layout_dirty_dir(const struct hd_layout *l, char out[HD_LAYOUT_PATH_BYTES])
{
    snprintf(out, HD_LAYOUT_PATH_BYTES, "%s/current/%s/dirty", l->dir, l->pool_id);
}

void hd_layout_dirty(const struct hd_layout *l, struct hd_block_id id,
                     char out[HD_LAYOUT_PATH_BYTES])
{
    char name[40];
    snprintf(name, sizeof(name), "blk_%" PRIu64 HD_LAYOUT_DIRTY_SUFFIX, id.v);
    hd_layout_dirty_dir(l, out);
    append(out, name);
}

/* Digits without sign or leading blanks; NULL when there are none or too many. */
static const char *parse_u64(const char *p, uint64_t *ret)
{
    uint64_t v = 0;
    const char *start = p;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
            return NULL;
        }
    }
    *ret = v;
    return p == start ? NULL : p;
}

enum hd_name_kind hd_layout_parse(const char *name, struct hd_block_id *ret_id,
                                  struct hd_genstamp *ret_gs)
{
    if (strncmp(name, "blk_", 4) != 0) {
        return HD_NAME_OTHER;
    }
    const char *p = parse_u64(name + 4, &ret_id->v);
    if (p != NULL && *p == '\0') {
        return HD_NAME_DATA;
    }
    p = p != NULL && *p == '_' ? parse_u64(p + 1, &ret_gs->v) : NULL;
    return p != NULL && strcmp(p, ".meta") == 0 ? HD_NAME_META : HD_NAME_OTHER;
}

bool hd_layout_pool_id_ok(const char *pool_id)
{
    return strncmp(pool_id, "BP-", 3) == 0 && strchr(pool_id, '/') == NULL &&
           strlen(pool_id) < HD_LAYOUT_ID_BYTES;
}

/* "key=value" of a properties file into out; false when absent or too long. */
static bool property(const char *text, const char *key, char out[HD_LAYOUT_ID_BYTES])
{
    size_t key_size = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if (strncmp(line, key, key_size) == 0 && line[key_size] == '=') {
            const char *value = line + key_size + 1;
            size_t n = 0;
            for (; value < end; value++) {
                if (*value != '\\' && *value != '\r') { /* Java writes "\:" for ":" */
                    if (n + 1 == HD_LAYOUT_ID_BYTES) {
                        return false;
                    }
                    out[n++] = *value;
                }
            }
            out[n] = '\0';
            return true;
        }
        line = *end == '\0' ? NULL : end + 1;
    }
    return false;
}

static int read_version(const char *path, struct hd_buf *text)
{
    int err = hd_file_read(path, VERSION_BYTES_MAX, text);
    if (err < 0) {
        return err;
    }
    if (hd_buf_str(text) == NULL) {
        return -ENOMEM;
    }
    char layout[HD_LAYOUT_ID_BYTES];
    if (!property(hd_buf_str(text), "layoutVersion", layout) || atoi(layout) != HD_LAYOUT_VERSION) {
        return hd_fail(-HD_E_CORRUPT, "%s: layoutVersion is not %d", path, HD_LAYOUT_VERSION);
    }
    return 0;
}

int hd_node_version_read(const char *dir, struct hd_node_version *ret)
{
    char path[HD_LAYOUT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/current/VERSION", dir);
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = read_version(path, &text);
    if (err < 0) {
        return err;
    }
    const char *s = hd_buf_str(&text);
    if (!property(s, "storageID", ret->storage_id) || !property(s, "clusterID", ret->cluster_id) ||
        !property(s, "datanodeUuid", ret->node_uuid)) {
        return hd_fail(-HD_E_CORRUPT, "%s: storageID, clusterID or datanodeUuid is missing", path);
    }
    return 0;
}

int hd_node_version_write(const char *dir, const struct hd_node_version *v)
{
    char path[HD_LAYOUT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/current", dir);
    int err = hd_dir_make(path, 0755);
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    if (err == 0) {
        err = hd_buf_addf(&text,
                          "storageID=%s\nclusterID=%s\ncTime=0\ndatanodeUuid=%s\n"
                          "storageType=DATA_NODE\nlayoutVersion=%d\n",
                          v->storage_id, v->cluster_id, v->node_uuid, HD_LAYOUT_VERSION);
    }
    append(path, "VERSION");
    return err < 0 ? err : hd_file_replace(path, text.data, text.size, 0644);
}

int hd_pool_version_read(const struct hd_layout *l, struct hd_pool_version *ret)
{
    char path[HD_LAYOUT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/current/%s/current/VERSION", l->dir, l->pool_id);
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = read_version(path, &text);
    if (err < 0) {
        return err;
    }
    char namespace_id[HD_LAYOUT_ID_BYTES];
    char ctime_ms[HD_LAYOUT_ID_BYTES];
    const char *s = hd_buf_str(&text);
    if (!property(s, "namespaceID", namespace_id) || !property(s, "cTime", ctime_ms) ||
        !property(s, "blockpoolID", ret->pool_id)) {
        return hd_fail(-HD_E_CORRUPT, "%s: namespaceID, cTime or blockpoolID is missing", path);
    }
    ret->namespace_id = (uint32_t)strtoul(namespace_id, NULL, 10);
    ret->ctime_ms = strtoull(ctime_ms, NULL, 10);
    return 0;
}

int hd_pool_version_write(const struct hd_layout *l, const struct hd_pool_version *v)
{
    char path[HD_LAYOUT_PATH_BYTES];
    static const char *const dirs[] = {"current/finalized", "current/rbw", "tmp"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(dirs); i++) {
        snprintf(path, sizeof(path), "%s/current/%s/%s", l->dir, l->pool_id, dirs[i]);
        int err = hd_dir_make(path, 0755);
        if (err < 0) {
            return err;
        }
    }
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int err = hd_buf_addf(
        &text, "namespaceID=%" PRIu32 "\ncTime=%" PRIu64 "\nblockpoolID=%s\nlayoutVersion=%d\n",
        v->namespace_id, v->ctime_ms, v->pool_id, HD_LAYOUT_VERSION);
    snprintf(path, sizeof(path), "%s/current/%s/current/VERSION", l->dir, l->pool_id);
    return err < 0 ? err : hd_file_replace(path, text.data, text.size, 0644);
}

int hd_layout_find_pool(const char *dir, char ret_pool_id[HD_LAYOUT_ID_BYTES])
{
    char path[HD_LAYOUT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/current", dir);
    DIR *d = opendir(path);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", path);
    }
    int found = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (hd_layout_pool_id_ok(e->d_name)) {
            snprintf(ret_pool_id, HD_LAYOUT_ID_BYTES, "%.*s", HD_LAYOUT_ID_BYTES - 1, e->d_name);
            found++;
        }
    }
    closedir(d);
    if (found > 1) {
        return hd_fail(-HD_E_CORRUPT, "%s: %d block pools; one is supported", path, found);
    }
    return found == 1 ? 0 : -ENOENT;
}
