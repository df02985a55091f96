/*
 * The client of the workload that goes through the mount: what a program without libhowdah does to
 * be sure. A file is acknowledged when it is written, fsynced, renamed, and its folder fsynced.
 */
#include "tools/drill/load_clients.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAUSE_MS = 5, ERROR_PAUSE_MS = 100 };

static int write_file(const char *path, const uint8_t *data, size_t size)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    int rc = hd_fd_write(fd, data, size);
    return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

static int put_file(struct hd_load_client *c)
{
    struct hd_ledger_record r = {.op = HD_DID_PUT};
    char name[64];
    char unfinished[HD_PATH_BYTES];
    char finished[HD_PATH_BYTES];
    snprintf(name, sizeof(name), "mounted-%u-%" PRIu64, c->id, ++c->serial);
    snprintf(r.path, sizeof(r.path), "%s/%s", c->shared->dir, name);
    if (snprintf(finished, sizeof(finished), "%s/%s", c->shared->mount, name) >=
        (int)sizeof(finished) - 8) {
        return hd_fail(-ENAMETOOLONG, "%s", c->shared->mount);
    }
    snprintf(unfinished, sizeof(unfinished), "%.*s.tmp", (int)sizeof(unfinished) - 8, finished);
    r.invoke_us = hd_ledger_now_us(c->shared->ledger);
    r.size_bytes = hd_load_fill(c);
    hd_sha256(c->data, r.size_bytes, r.sha256);
    hd_load_begin(&c->waiting, HD_CLASS_WRITE);
    int rc = write_file(unfinished, c->data, r.size_bytes);
    hd_load_end(c->shared->counts, &c->waiting, HD_CLASS_WRITE, rc);
    if (rc < 0) {
        return rc;
    }
    hd_load_begin(&c->waiting, HD_CLASS_METADATA);
    rc = rename(unfinished, finished) < 0 ? -errno : hd_dir_sync(c->shared->mount);
    hd_load_end(c->shared->counts, &c->waiting, HD_CLASS_METADATA, rc);
    hd_load_note(c, &r, rc);
    return rc;
}

void hd_load_run_mount(struct hd_load_client *c)
{
    c->data = malloc(HD_LOAD_DATA_BYTES + sizeof(uint64_t));
    while (c->data != NULL && !hd_load_stopping(c)) {
        hd_clock_sleep_ms(put_file(c) < 0 ? ERROR_PAUSE_MS : PAUSE_MS);
    }
    free(c->data);
}
