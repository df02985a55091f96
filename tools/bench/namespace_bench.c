/*
 * bench-namespace-bench: a metadata directory with many files in it, in seconds.
 *
 *   bench-namespace-bench --dir DIR --files N [--blocks N] [--per-directory N]
 *
 * Makes DIR as a stopped meta would leave it: an image of N closed files, --blocks blocks (1) each,
 * --per-directory (1000) to a directory, and an edit log behind it that is empty. For measuring
 * starts, memory and checkpoints; there are no replicas.
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "meta/log/edit_log.h"
#include "meta/log/image.h"
#include "meta/log/version.h"

#include "record.pb-c.h"

#include <getopt.h>
#include <stdlib.h>

enum { ROOT = 16385, KEY_BYTES = 64, BLOCK_BYTES = 1 << 20 };

struct making {
    uint64_t files;
    uint64_t blocks; /* of each */
    uint64_t per_directory;
    uint64_t directories;
    struct hd_image_writer *w;
    struct hd_buf value;
};

static uint64_t directory_ino(uint64_t d)
{
    return ROOT + 1 + d;
}

static uint64_t file_ino(const struct making *m, uint64_t f)
{
    return ROOT + 1 + m->directories + f;
}

static int put(struct making *m, const void *key, size_t key_size, const ProtobufCMessage *value)
{
    hd_buf_clear(&m->value);
    size_t size = protobuf_c_message_get_packed_size(value);
    int err = hd_buf_reserve(&m->value, size + 1);
    if (err < 0) {
        return err;
    }
    protobuf_c_message_pack(value, m->value.data);
    return hd_image_writer_add(m->w, key, key_size, m->value.data, size);
}

static int put_counters(struct making *m)
{
    Hdm__Counters c = HDM__COUNTERS__INIT;
    c.next_ino = file_ino(m, m->files);
    c.next_block = 1073741825 + m->files * m->blocks;
    c.next_gs = 1001;
    return put(m, "C", 1, &c.base);
}

static int put_dentry(struct making *m, uint64_t parent, const char *name, uint64_t child)
{
    uint8_t key[KEY_BYTES] = {'D'};
    uint8_t value[8];
    hd_put_be64(key + 1, parent);
    hd_put_be64(value, child);
    memcpy(key + 9, name, strlen(name));
    return hd_image_writer_add(m->w, key, 9 + strlen(name), value, sizeof(value));
}

static int put_inode(struct making *m, uint64_t ino, uint64_t parent, const char *name,
                     Hdm__InodeType type, uint64_t first_block)
{
    Hdm__StoredBlock blocks[16];
    Hdm__StoredBlock *list[16];
    uint8_t key[9] = {'I'};
    Hdm__Inode i = HDM__INODE__INIT;
    i.ino = ino;
    i.parent = parent;
    i.name.data = (uint8_t *)(uintptr_t)name;
    i.name.len = strlen(name);
    i.type = type;
    i.mode = type == HDM__INODE_TYPE__FILE ? 0644 : 0755;
    i.user = (char *)(uintptr_t) "root";
    i.group = (char *)(uintptr_t) "supergroup";
    i.mtime_ms = i.atime_ms = 1700000000000;
    if (type == HDM__INODE_TYPE__FILE) {
        i.has_replication = i.has_block_size = true;
        i.replication = 3;
        i.block_size = 128 << 20;
        i.n_blocks = (size_t)m->blocks;
        i.blocks = list;
        for (size_t b = 0; b < m->blocks; b++) {
            hdm__stored_block__init(&blocks[b]);
            blocks[b].id = first_block + b;
            blocks[b].gs = 1000;
            blocks[b].size = BLOCK_BYTES;
            list[b] = &blocks[b];
        }
    }
    hd_put_be64(key + 1, ino);
    return put(m, key, sizeof(key), &i.base);
}

static void name_of(char out[24], char kind, uint64_t n)
{
    snprintf(out, 24, "%c%09llu", kind, (unsigned long long)n);
}

/* Keys in their order: counters, the entries by directory, the inodes by number. */
static int put_all(struct making *m)
{
    char name[24];
    int err = put_counters(m);
    for (uint64_t d = 0; d < m->directories && err == 0; d++) {
        name_of(name, 'd', d);
        err = put_dentry(m, ROOT, name, directory_ino(d));
    }
    for (uint64_t f = 0; f < m->files && err == 0; f++) {
        name_of(name, 'f', f);
        err = put_dentry(m, directory_ino(f / m->per_directory), name, file_ino(m, f));
    }
    if (err == 0) {
        err = put_inode(m, ROOT, 0, "", HDM__INODE_TYPE__DIRECTORY, 0);
    }
    for (uint64_t d = 0; d < m->directories && err == 0; d++) {
        name_of(name, 'd', d);
        err = put_inode(m, directory_ino(d), ROOT, name, HDM__INODE_TYPE__DIRECTORY, 0);
    }
    for (uint64_t f = 0; f < m->files && err == 0; f++) {
        name_of(name, 'f', f);
        err = put_inode(m, file_ino(m, f), directory_ino(f / m->per_directory), name,
                        HDM__INODE_TYPE__FILE, 1073741825 + f * m->blocks);
    }
    return err < 0 ? err : hd_image_writer_finish(m->w);
}

static int make(struct making *m, const char *dir)
{
    const struct hd_txid txid = {m->files + 1};
    struct hd_version v;
    struct hd_image_info info;
    struct hd_edit_log *log = NULL;
    hd_version_make(&v, "127.0.0.1", (uint64_t)hd_clock_wall_ms().v);
    int err = hd_dir_make(dir, 0755);
    if (err == 0) {
        err = hd_image_writer_new(dir, v.cluster_id, txid, &m->w);
    }
    if (err == 0) {
        err = put_all(m);
    }
    if (err == 0) {
        err = hd_image_read(hd_image_writer_path(m->w), v.cluster_id, NULL, NULL, &info);
    }
    if (err == 0) {
        err = hd_image_install(dir, hd_image_writer_path(m->w), &info);
    }
    const struct hd_edit_log_options o = {.dir = dir, .cluster_id = v.cluster_id};
    if (err == 0) {
        err = hd_edit_log_open(&o, &log, NULL);
    }
    if (err == 0) {
        err = hd_edit_log_start(log, (struct hd_txid){txid.v + 1});
    }
    hd_edit_log_close(log);
    hd_image_writer_free(m->w);
    hd_buf_done(&m->value);
    return err < 0 ? err : hd_version_write(dir, &v);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},
        {"files", required_argument, NULL, 'f'},
        {"blocks", required_argument, NULL, 'b'},
        {"per-directory", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct making m = {.files = 1000000, .blocks = 1, .per_directory = 1000};
    const char *dir = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            dir = optarg;
            break;
        case 'f':
            m.files = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            m.blocks = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            m.per_directory = strtoull(optarg, NULL, 10);
            break;
        default:
            return 64;
        }
    }
    if (dir == NULL || optind < argc || m.files == 0 || m.blocks > 16 || m.per_directory == 0) {
        fprintf(stderr, "usage: bench-namespace-bench --dir DIR --files N [--blocks 0-16] "
                        "[--per-directory N]\n");
        return 64;
    }
    m.directories = (m.files + m.per_directory - 1) / m.per_directory;
    int err = make(&m, dir);
    if (err < 0) {
        fprintf(stderr, "bench-namespace-bench: %s\n", hd_fail_describe(err));
    }
    return err < 0;
}
