/*
 * howdah admin image: looks into an image of the namespace.
 *
 *   dump     one line a key
 *   verify   every checksum, the order, the digest, every value, every parent
 *   stats    files, directories, sizes, the deepest path, the biggest directories
 */
#include "tools/admin_files.h"
#include "tools/image_stats.h"
#include "tools/proto_json.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "meta/log/image.h"
#include "meta/log/inspect.h"

#include "record.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { IMAGES_MAX = 1000 };

struct image {
    struct hd_admin *admin;
    const char *path;
    struct hd_image_stats stats;
};

/* ---- dump ---- */

static int print_message(const struct image *m, const char *kind, const ProtobufCMessage *value)
{
    json_t *o = hd_proto_json(value);
    if (m->admin->json) {
        json_object_set_new(o, "key", json_string(kind));
        json_dumpf(o, stdout, JSON_COMPACT);
    } else {
        fputs(kind, stdout);
        hd_json_print_flat(stdout, o);
    }
    putchar('\n');
    json_decref(o);
    return ferror(stdout) ? -EIO : 0;
}

static int print_dentry(const struct image *m, const uint8_t *key, size_t key_size, uint64_t child)
{
    uint64_t parent = hd_get_be64(key + 1);
    const char *name = (const char *)key + 9;
    json_t *text = json_stringn(name, key_size - 9);
    if (m->admin->json) {
        json_t *o = json_pack("{s:s, s:I, s:o?, s:I}", "key", "dentry", "parent",
                              (json_int_t)parent, "name", text, "child", (json_int_t)child);
        json_dumpf(o, stdout, JSON_COMPACT);
        json_decref(o);
    } else {
        printf("dentry parent=%" PRIu64 " name=", parent);
        if (text != NULL) {
            json_dumpf(text, stdout, JSON_ENCODE_ANY);
        } else {
            fwrite(name, 1, key_size - 9, stdout);
        }
        printf(" child=%" PRIu64, child);
        json_decref(text);
    }
    putchar('\n');
    return ferror(stdout) ? -EIO : 0;
}

static int dump_key(void *ctx, const void *key, size_t key_size, const void *value,
                    size_t value_size)
{
    const struct image *m = ctx;
    const uint8_t *k = key;
    int err = 0;
    if (k[0] == 'D' && key_size > 9 && value_size == 8) {
        return print_dentry(m, k, key_size, hd_get_be64(value));
    }
    const ProtobufCMessageDescriptor *type = k[0] == 'I'   ? &hdm__inode__descriptor
                                             : k[0] == 'C' ? &hdm__counters__descriptor
                                             : k[0] == 'N' ? &hdm__node_admin__descriptor
                                             : k[0] == 'S' ? &hdm__session__descriptor
                                                           : NULL;
    ProtobufCMessage *o =
        type != NULL ? protobuf_c_message_unpack(type, NULL, value_size, value) : NULL;
    if (o == NULL) {
        return hd_fail(-HD_E_CORRUPT, "a key of %zu bytes ('%c') does not decode", key_size, k[0]);
    }
    err = print_message(m,
                        k[0] == 'I'   ? "inode"
                        : k[0] == 'C' ? "counters"
                        : k[0] == 'N' ? "node"
                                      : "session",
                        o);
    protobuf_c_message_free_unpacked(o, NULL);
    return err;
}

/* ---- verify, stats ---- */

static int count_key(void *ctx, const void *key, size_t key_size, const void *value,
                     size_t value_size)
{
    struct image *m = ctx;
    return hd_image_stats_add(&m->stats, key, key_size, value, value_size);
}

/* The digest file beside the image, when the image has its own name. */
static int check_digest(const char *path, const struct hd_image_info *info)
{
    char dir[HD_IMAGE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    struct hd_image_info noted;
    snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash != NULL ? path : ".");
    int err = hd_image_stat(slash == path ? "/" : dir, info->txid, &noted);
    if (err < 0) {
        return err;
    }
    return memcmp(noted.sha256, info->sha256, HD_SHA256_BYTES) == 0
               ? 0
               : hd_fail(-HD_E_CORRUPT, "%s: does not have the digest of its .sha256 file", path);
}

static int read_image(struct image *m, hd_image_fn fn, struct hd_image_info *ret)
{
    char id[HD_INSPECT_ID_BYTES];
    int err = hd_inspect_cluster_id(m->path, id);
    return err < 0 ? err : hd_image_read(m->path, id, fn, m, ret);
}

static int verify_one(struct hd_admin *a, const char *path)
{
    struct image m = {.admin = a, .path = path};
    struct hd_image_info info = {0};
    int err = read_image(&m, count_key, &info);
    if (err == 0) {
        err = hd_image_stats_check(&m.stats);
    }
    if (err == 0) {
        err = check_digest(path, &info);
    }
    if (a->json) {
        json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I}", "path", path, "good", err == 0, "txid",
                              (json_int_t)info.txid.v, "keys", (json_int_t)info.keys, "bytes",
                              (json_int_t)info.size_bytes);
        if (err < 0) {
            json_object_set_new(o, "why", json_string(hd_fail_describe(err)));
        }
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
    } else if (err == 0) {
        printf("good     %s: txid %" PRIu64 ", %" PRIu64 " keys, %" PRIu64 " bytes\n", path,
               info.txid.v, info.keys, info.size_bytes);
    } else {
        printf("DAMAGED  %s\n", hd_fail_describe(err));
    }
    hd_image_stats_done(&m.stats);
    return err;
}

static int stats(struct hd_admin *a, const char *path)
{
    struct image m = {.admin = a, .path = path};
    struct hd_image_info info;
    int err = read_image(&m, count_key, &info);
    if (err == 0) {
        err = hd_image_stats_check(&m.stats);
    }
    if (err == 0) {
        hd_image_stats_print(&m.stats, path, info.txid.v, a->json);
    }
    hd_image_stats_done(&m.stats);
    return err < 0 ? hd_cmd_fail(a->self, err) : HD_EXIT_OK;
}

/* ---- the command ---- */

static int verify_all(struct hd_admin *a, const char *dir)
{
    static struct hd_txid images[IMAGES_MAX];
    size_t count;
    int bad = 0;
    int err = hd_image_list_files(dir, images, IMAGES_MAX, &count);
    if (err < 0) {
        return hd_cmd_fail(a->self, err);
    }
    for (size_t i = 0; i < count; i++) {
        char path[HD_IMAGE_PATH_BYTES];
        hd_image_path(dir, images[i], path);
        bad += verify_one(a, path) < 0;
    }
    if (count == 0 && !a->json) {
        printf("%s: no image\n", dir);
    }
    return bad == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

/* The newest image of dir. */
static int newest(const char *dir, char out[HD_IMAGE_PATH_BYTES])
{
    struct hd_txid txid;
    size_t count;
    int err = hd_image_list_files(dir, &txid, 1, &count);
    if (err == 0 && count == 0) {
        err = hd_fail(-ENOENT, "%s: no image (image_*)", dir);
    }
    if (err == 0) {
        hd_image_path(dir, txid, out);
    }
    return err;
}

int hd_admin_image(struct hd_admin *a, int argc, char **argv)
{
    char dir[HD_PATH_BYTES];
    char file[HD_IMAGE_PATH_BYTES];
    const char *verb = argc > 1 ? argv[1] : "";
    const char *path = argc > 2 ? argv[2] : hd_admin_meta_dir(a, dir);
    bool verifies = strcmp(verb, "verify") == 0;
    if (!verifies && strcmp(verb, "dump") != 0 && strcmp(verb, "stats") != 0) {
        return hd_cmd_usage(a->self, "image: dump, verify or stats [PATH] is expected");
    }
    if (hd_admin_is_dir(path)) {
        if (verifies) {
            return verify_all(a, path);
        }
        int err = newest(path, file);
        if (err < 0) {
            return hd_cmd_fail(a->self, err);
        }
        path = file;
    }
    if (verifies) {
        return verify_one(a, path) < 0 ? HD_EXIT_FAILED : HD_EXIT_OK;
    }
    if (strcmp(verb, "stats") == 0) {
        return stats(a, path);
    }
    struct image m = {.admin = a, .path = path};
    struct hd_image_info info;
    int err = read_image(&m, dump_key, &info);
    return err < 0 ? hd_cmd_fail(a->self, err) : HD_EXIT_OK;
}
