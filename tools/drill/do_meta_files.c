/*
 * Files of meta that are torn, rotten or gone when it starts. Nothing is damaged but what another
 * copy can replace: an image that has a predecessor and the log, the view that can be made of both,
 * and the end of the log behind its last record.
 */
#include "tools/drill/call.h"
#include "tools/drill/damage.h"
#include "tools/drill/do_files.h"
#include "tools/drill/do_process.h"
#include "tools/meta_call.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LIST_MAX = 512,
    ROT_BYTES = 64,
    CHECKPOINT_TIMEOUT_MS = 120000,
    SEGMENT_HEADER_BYTES = 128, /* docs/formats.md, "Edit log" */
    RECORD_HEADER_BYTES = 28,
    RECORD_MAX_BYTES = 64 << 20,
    TORN_BYTES = 2048,
    GONE_WAIT_MS = 5000,
};

/* ---- shared ---- */

/* Killed, and really gone: nobody writes to its files any more. */
static int kill_target(struct hd_drill_run *r)
{
    int rc = hd_drill_signal(r, r->targets[0], SIGKILL, "killed");
    return rc == 0 ? hd_drill_stop_member(r, r->targets[0]) : rc;
}

/* The newest image of a metadata directory, of at least `least` images. */
static int newest_image(const char *dir, size_t least, char out[HD_PATH_BYTES])
{
    static char names[LIST_MAX][256];
    size_t count = hd_damage_list(dir, "image_", names, LIST_MAX);
    size_t images = 0;
    const char *newest = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strchr(names[i], '.') == NULL) { /* not image_<txid>.sha256 */
            newest = names[i];
            images++;
        }
    }
    if (images < least) {
        return hd_fail(-ENOENT, "%s: %zu images, and %zu are needed to spoil one", dir, images,
                       least);
    }
    return snprintf(out, HD_PATH_BYTES, "%s/%s", dir, newest) < HD_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static int view_path(const char *dir, char out[HD_PATH_BYTES])
{
    return snprintf(out, HD_PATH_BYTES, "%s/view", dir) < HD_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

/* One checkpoint by the meta that is primary. */
static int checkpoint(const struct hd_drill_run *r)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call meta = {0};
    char address[HD_TEXT_BYTES];
    Hdw__CheckpointResponse *answer;
    int rc = hd_drill_active_meta(&r->cluster, 5000, address);
    rc = rc == 0 ? hd_meta_call_init(&meta, address, hd_user_name(), CHECKPOINT_TIMEOUT_MS) : rc;
    return rc == 0 ? hd_meta_checkpoint(&meta, &answer) : rc;
}

/* Some change of names, so that the next checkpoint is another one. */
static int touch(struct hd_drill_run *r, const char *name)
{
    char path[HD_LEDGER_PATH_BYTES + 32];
    struct hd_fs *fs;
    snprintf(path, sizeof(path), "%s/%s", r->fs_dir, name);
    int rc = hd_cluster_open_fs(&r->cluster, NULL, &fs);
    if (rc == 0) {
        rc = hd_fs_mkdir(fs, path, 0755, true);
        hd_fs_close(fs);
    }
    return rc;
}

int hd_drill_two_images(struct hd_drill_run *r)
{
    int rc = touch(r, "before-the-first-image");
    rc = rc == 0 ? checkpoint(r) : rc;
    rc = rc == 0 ? touch(r, "before-the-second-image") : rc;
    return rc == 0 ? checkpoint(r) : rc;
}

int hd_drill_start_damaged(struct hd_drill_run *r)
{
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc = hd_drill_start_all(r);
    if (rc < 0) {
        hd_drill_blame(r, "%s does not start on what was left to it: %.300s", r->targets[0]->name,
                       hd_fail_describe(rc));
    } else {
        hd_drill_say(r, "mended", "%s started on the damaged files and serves after %.1f s",
                     r->targets[0]->name, (double)(hd_clock_mono_ms().v - begin_ms) / 1e3);
    }
    return 0;
}

/* ---- rot ---- */

static int rot_somewhere(struct hd_drill_run *r, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || st.st_size == 0) {
        return hd_fail(-ENOENT, "%s: nothing there to spoil", path);
    }
    size_t size = (size_t)HD_MIN(st.st_size, (off_t)ROT_BYTES);
    uint64_t offset = hd_prng_below(&r->prng, (uint64_t)st.st_size - size + 1);
    int rc = hd_damage_randomly(r, path, offset, size);
    if (rc == 0) {
        hd_drill_say(r, "fault", "%zu bytes of %s at %" PRIu64 " are rotten", size, path, offset);
    }
    return rc;
}

/* A file of the view that is not empty. */
static int some_view_file(struct hd_drill_run *r, const char *dir, char out[HD_PATH_BYTES])
{
    static char names[LIST_MAX][256];
    char view[HD_PATH_BYTES];
    int rc = view_path(dir, view);
    size_t count = rc == 0 ? hd_damage_list(view, "", names, LIST_MAX) : 0;
    for (size_t tries = 0; count > 0 && tries < 100; tries++) {
        const char *name = names[hd_prng_below(&r->prng, count)];
        struct stat st;
        if (strncmp(name, "LO", 2) != 0 && /* LOG and LOCK mean nothing */
            snprintf(out, HD_PATH_BYTES, "%s/%s", view, name) < HD_PATH_BYTES &&
            stat(out, &st) == 0 && st.st_size > 0) {
            return 0;
        }
    }
    return hd_fail(-ENOENT, "%s: no file to spoil", view);
}

int hd_drill_corrupt_meta_file(struct hd_drill_run *r)
{
    char dir[HD_PATH_BYTES];
    char path[HD_PATH_BYTES];
    hd_damage_dir(r->targets[0], dir);
    int rc = kill_target(r);
    if (rc == 0) {
        rc = hd_prng_below(&r->prng, 3) == 0 ? newest_image(dir, 2, path)
                                             : some_view_file(r, dir, path);
    }
    return rc == 0 ? rot_somewhere(r, path) : rc;
}

/* ---- losses ---- */

int hd_drill_lose_leveldb(struct hd_drill_run *r)
{
    char dir[HD_PATH_BYTES];
    char view[HD_PATH_BYTES];
    hd_damage_dir(r->targets[0], dir);
    int rc = view_path(dir, view);
    rc = rc == 0 ? kill_target(r) : rc;
    rc = rc == 0 ? hd_damage_remove(r, view) : rc;
    if (rc == 0) {
        hd_drill_say(r, "fault", "%s is gone", view);
    }
    return rc;
}

int hd_drill_tear_image(struct hd_drill_run *r)
{
    char dir[HD_PATH_BYTES];
    char image[HD_PATH_BYTES];
    struct stat st;
    hd_damage_dir(r->targets[0], dir);
    int rc = newest_image(dir, 2, image);
    rc = rc == 0 ? hd_drill_lose_leveldb(r) : rc; /* else nobody would read the image */
    if (rc == 0 && stat(image, &st) < 0) {
        rc = hd_fail_errno(errno, "%s", image);
    }
    rc = rc == 0 ? hd_damage_cut(r, image, (uint64_t)st.st_size / 2) : rc;
    if (rc == 0) {
        hd_drill_say(r, "fault", "%s is cut in half", image);
    }
    return rc;
}

/* ---- a torn end of the log ---- */

/* Where the last record of a segment ends, and its txid (that before the segment without one). */
static int find_end(const char *path, uint64_t *ret_end, uint64_t *ret_txid)
{
    uint8_t header[RECORD_HEADER_BYTES];
    uint8_t first[SEGMENT_HEADER_BYTES];
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int rc = hd_fd_pread(fd, first, sizeof(first), 0);
    if (rc < 0) {
        return rc;
    }
    uint64_t at = SEGMENT_HEADER_BYTES;
    *ret_txid = hd_get_le64(first + 16) - 1;
    while (hd_fd_pread(fd, header, sizeof(header), at) == 0) {
        uint32_t size = hd_get_le32(header);
        if (size == 0 || size > RECORD_MAX_BYTES ||
            hd_crc32c(0, header, 20) != hd_get_le32(header + 20)) {
            break;
        }
        *ret_txid = hd_get_le64(header + 4);
        at += RECORD_HEADER_BYTES + size + 1;
    }
    hd_fail_clear();
    *ret_end = at;
    return 0;
}

/*
 * What a crash leaves of a record that was on its way and never acknowledged: a good header, and of
 * the rest only the first sectors, or none. The others read as zeros.
 */
static void make_torn(struct hd_drill_run *r, uint64_t end, uint64_t txid, uint8_t out[TORN_BYTES])
{
    memset(out, 0, TORN_BYTES);
    hd_put_le32(out, TORN_BYTES - RECORD_HEADER_BYTES - 1);
    hd_put_le64(out + 4, txid + 1);
    hd_put_le64(out + 12, txid);
    hd_put_le32(out + 20, hd_crc32c(0, out, 20));
    hd_put_le32(out + 24, (uint32_t)hd_prng_next(&r->prng));
    uint64_t kept = 512 - end % 512 + 512 * hd_prng_below(&r->prng, 2);
    for (uint64_t i = RECORD_HEADER_BYTES; i < kept; i++) {
        out[i] = (uint8_t)(1 + hd_prng_below(&r->prng, 255));
    }
    if (kept < RECORD_HEADER_BYTES) {
        memset(out + kept, 0, RECORD_HEADER_BYTES - kept);
    }
}

int hd_drill_tear_edits(struct hd_drill_run *r)
{
    static char names[LIST_MAX][256];
    char dir[HD_PATH_BYTES];
    char path[HD_PATH_BYTES];
    uint8_t torn[TORN_BYTES];
    uint64_t end = 0;
    uint64_t txid = 0;
    struct stat st;
    hd_damage_dir(r->targets[0], dir);
    int rc = kill_target(r);
    size_t count = rc == 0 ? hd_damage_list(dir, "edits_inprogress_", names, LIST_MAX) : 0;
    if (rc == 0 && count != 1) {
        return hd_fail(-ENOENT, "%s: %zu segments are being written, not one", dir, count);
    }
    if (rc == 0 && snprintf(path, sizeof(path), "%s/%s", dir, names[0]) >= (int)sizeof(path)) {
        rc = -ENAMETOOLONG;
    }
    rc = rc == 0 ? find_end(path, &end, &txid) : rc;
    if (rc == 0 && (stat(path, &st) < 0 || st.st_size < (off_t)(end + TORN_BYTES))) {
        /* Not preallocated so far: what a crash leaves behind the end is as long as was written. */
        rc = truncate(path, (off_t)(end + TORN_BYTES)) < 0 ? hd_fail_errno(errno, "%s", path) : 0;
    }
    if (rc == 0) {
        make_torn(r, end, txid, torn);
        rc = hd_damage_bytes(r, path, end, torn, sizeof(torn));
    }
    if (rc == 0) {
        hd_drill_say(r, "fault", "half a record behind txid %" PRIu64 " at %" PRIu64 " of %s", txid,
                     end, names[0]);
    }
    return rc;
}
