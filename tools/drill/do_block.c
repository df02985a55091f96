/*
 * A replica rots. The drill writes a file, waits for all its copies, makes sure that each is good,
 * and only then spoils one. While the fault lasts the file is read all the time; nobody may get the
 * bad bytes. In the end the copy must have been replaced by a good one.
 */
#include "tools/drill/call.h"
#include "tools/drill/damage.h"
#include "tools/drill/do_files.h"
#include "tools/drill/load_clients.h"
#include "tools/drill/replicas.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <ftw.h>

enum {
    FILE_BYTES = HD_LOAD_DATA_BYTES, /* readers of the load read it too, at once */
    ROT_BYTES = 64,
    COPIES_WAIT_MS = 20000,
    READ_EVERY_MS = 20,
    MEND_LIMIT_MS = 60000,
    TRIES = 20,
};

static void file_path(const struct hd_drill_run *r, char out[HD_LEDGER_PATH_BYTES + 16])
{
    snprintf(out, HD_LEDGER_PATH_BYTES + 16, "%s/rot", r->fs_dir);
}

static void file_bytes(const struct hd_drill_run *r, uint8_t *data)
{
    struct hd_prng prng = {.state = r->seed ^ 0x526f74};
    for (size_t i = 0; i < FILE_BYTES; i++) {
        data[i] = (uint8_t)hd_prng_next(&prng);
    }
}

static int open_fs(const struct hd_drill_run *r, struct hd_fs **ret)
{
    return hd_drill_open_fs(&r->cluster, "howdah-drill-rot", 0, ret);
}

static int write_file(struct hd_fs *fs, const char *path, const uint8_t *data)
{
    struct hd_create_options o = {.mode = 0644, .sync_on_close = true, .overwrite = true};
    struct hd_file *f;
    int rc = hd_file_create(fs, path, &o, &f);
    if (rc < 0) {
        return rc;
    }
    rc = hd_file_write(f, data, FILE_BYTES);
    if (rc < 0) {
        hd_file_abandon(f);
        return rc;
    }
    return hd_file_close(f);
}

/* True when the (only) block has a copy on the target; its id then, and how many copies there are.
 */
static bool is_on_target(const struct hd_drill_run *r, const struct hd_located_file *f,
                         uint64_t *ret_id)
{
    char address[HD_TEXT_BYTES];
    for (uint32_t i = 0; f->block_count == 1 && i < f->blocks[0].location_count; i++) {
        const struct hd_location *l = &f->blocks[0].locations[i];
        snprintf(address, sizeof(address), "%s:%d", l->ip, l->data_port);
        if (strcmp(address, r->targets[0]->address) == 0) {
            *ret_id = f->blocks[0].id;
            return true;
        }
    }
    return false;
}

/* Writes the file until one of its copies lies on the target and two good ones elsewhere. */
static int make_file(struct hd_drill_run *r, struct hd_fs *fs, const char *path,
                     const uint8_t *data, uint64_t *ret_id)
{
    for (int tries = 0; tries < TRIES; tries++) {
        int rc = write_file(fs, path, data);
        bool here = false;
        uint32_t copies = 0;
        for (int64_t ms = 0; rc == 0 && copies < 3 && ms < COPIES_WAIT_MS; ms += 50) {
            struct hd_located_file f;
            rc = hd_fs_locate(fs, path, 0, FILE_BYTES, &f);
            if (rc == 0) {
                copies = f.block_count == 1 ? f.blocks[0].location_count : 0;
                here = is_on_target(r, &f, ret_id);
                hd_located_file_done(&f);
            }
            rc = rc == 0 && copies < 3 ? hd_drill_wait(r, 50) : rc;
        }
        if (rc < 0 || (here && copies >= 3)) {
            return rc;
        }
    }
    return hd_fail(-EBUSY, "no block with a copy on %s and two elsewhere could be made",
                   r->targets[0]->name);
}

/* ---- the replica's file ---- */

static struct {
    char name[40];
    char path[HD_PATH_BYTES];
} search; /* nftw has no argument of the caller's */

static int look_at(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    if (flag == FTW_F && strcmp(path + at->base, search.name) == 0) {
        snprintf(search.path, sizeof(search.path), "%s", path);
        return 1;
    }
    return 0;
}

static int find_replica(const struct hd_member *m, uint64_t id, char out[HD_PATH_BYTES])
{
    char dirs[HD_PATH_BYTES];
    char *rest = dirs;
    snprintf(dirs, sizeof(dirs), "%s", m->dirs);
    snprintf(search.name, sizeof(search.name), "blk_%" PRIu64, id);
    for (char *dir; (dir = strsep(&rest, ",")) != NULL;) {
        if (nftw(dir + strspn(dir, " "), look_at, 16, FTW_PHYS) == 1) {
            snprintf(out, HD_PATH_BYTES, "%s", search.path);
            return 0;
        }
    }
    return hd_fail(-ENOENT, "%s: no file of blk_%" PRIu64 " below %s", m->name, id, m->dirs);
}

/* All copies are good before one of them is spoilt. */
static int check_peers(const struct hd_drill_run *r, const char *path, const uint8_t *data)
{
    char meta[HD_TEXT_BYTES];
    struct hd_replica_check check = {0};
    int rc = hd_drill_active_meta(&r->cluster, 5000, meta);
    rc = rc == 0 ? hd_replicas_check(meta, path, data, FILE_BYTES, &check) : rc;
    if (rc == 0 && (check.wrong > 0 || check.read < 3)) {
        rc = hd_fail(-EBUSY, "only %" PRIu64 " good copies of %s", check.read - check.wrong, path);
    }
    return rc;
}

int hd_drill_corrupt_block(struct hd_drill_run *r)
{
    char path[HD_LEDGER_PATH_BYTES + 16];
    char replica[HD_PATH_BYTES];
    uint64_t id = 0;
    struct hd_fs *fs;
    uint8_t *data = malloc(FILE_BYTES);
    int rc = data != NULL ? open_fs(r, &fs) : -ENOMEM;
    if (rc < 0) {
        free(data);
        return rc;
    }
    file_path(r, path);
    file_bytes(r, data);
    rc = make_file(r, fs, path, data, &id);
    rc = rc == 0 ? hd_load_adopt(r->load, path, data, FILE_BYTES) : rc;
    rc = rc == 0 ? check_peers(r, path, data) : rc;
    rc = rc == 0 ? find_replica(r->targets[0], id, replica) : rc;
    uint64_t offset = hd_prng_below(&r->prng, FILE_BYTES - ROT_BYTES);
    rc = rc == 0 ? hd_damage_randomly(r, replica, offset, ROT_BYTES) : rc;
    if (rc == 0) {
        hd_drill_say(r, "fault", "%d bytes of blk_%" PRIu64 " on %s are rotten (%s)", ROT_BYTES, id,
                     r->targets[0]->name, path);
    }
    hd_fs_close(fs);
    free(data);
    return rc;
}

static int read_once(struct hd_drill_run *r, struct hd_fs *fs, const uint8_t *data, uint8_t *got)
{
    char path[HD_LEDGER_PATH_BYTES + 16];
    struct hd_file *f;
    file_path(r, path);
    int rc = hd_file_open(fs, path, &f);
    if (rc < 0) {
        return rc;
    }
    int64_t n = hd_file_pread(f, got, FILE_BYTES, 0);
    hd_file_close(f);
    if (n == FILE_BYTES && memcmp(got, data, FILE_BYTES) != 0) {
        hd_load_blame(r->load, "the rotten bytes were served to a reader");
    }
    return 0;
}

int hd_drill_read_rotten(struct hd_drill_run *r)
{
    int64_t until_ms = hd_clock_mono_ms().v + r->for_ms;
    uint8_t *data = malloc((size_t)FILE_BYTES * 2);
    int rc = data != NULL ? 0 : -ENOMEM;
    if (rc == 0) {
        file_bytes(r, data);
    }
    while (rc == 0 && hd_clock_mono_ms().v < until_ms) {
        struct hd_fs *fs; /* anew each time: it remembers no node */
        rc = open_fs(r, &fs);
        if (rc == 0) {
            rc = read_once(r, fs, data, data + FILE_BYTES);
            hd_fs_close(fs);
        }
        rc = rc == 0 ? hd_drill_wait(r, READ_EVERY_MS) : rc;
    }
    free(data);
    return rc;
}

int hd_drill_scan_rotten(struct hd_drill_run *r)
{
    if (hd_damage_is_there(r)) {
        int rc = hd_drill_scan(hd_drill_rpc_address(&r->cluster, r->targets[0]));
        hd_drill_say(r, "heal", "%s asked to verify its copies%s%s", r->targets[0]->name,
                     rc < 0 ? ": " : "", rc < 0 ? hd_fail_describe(rc) : "");
    } else {
        hd_drill_say(r, "mended", "a reader found the rotten copy, and it was replaced");
    }
    for (int64_t ms = 0; hd_damage_is_there(r) && ms < MEND_LIMIT_MS; ms += 100) {
        int rc = hd_drill_wait(r, 100);
        if (rc < 0) {
            return rc;
        }
    }
    if (hd_damage_is_there(r)) {
        hd_drill_blame(r, "the rotten copy was not replaced within %d s of a scan",
                       MEND_LIMIT_MS / 1000);
    }
    return 0;
}
