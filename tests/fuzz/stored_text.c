/*
 * The small text files of a metadata directory with any content: VERSION, MEMBERS, the digest of an
 * image. Each is read or refused; what was read can be written and is read again the same.
 */
#include "fs/base/assert.h"
#include "fs/os/file.h"
#include "meta/log/image.h"
#include "meta/log/members.h"
#include "meta/log/version.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/howdah-fuzz-stored.XXXXXX";

static void remove_dir(void)
{
    (void)hd_dir_remove(dir);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    hd_assert(fd >= 0 && hd_fd_write(fd, data, size) == 0);
    close(fd);
}

static void try_version(void)
{
    static struct hd_version v;
    static struct hd_version again;
    if (hd_version_read(dir, &v) == 0) {
        int err = hd_version_write(dir, &v);
        err = err == 0 ? hd_version_read(dir, &again) : err;
        hd_assert(err == 0 && strcmp(v.cluster_id, again.cluster_id) == 0 &&
                  strcmp(v.block_pool_id, again.block_pool_id) == 0 &&
                  v.namespace_id == again.namespace_id && v.creation_ms == again.creation_ms);
    }
}

static void try_members(void)
{
    static struct hd_members m;
    static struct hd_members again;
    if (hd_members_read(dir, &m) == 0) {
        hd_assert(m.count <= HD_DIRS_MAX);
        int err = hd_members_write(dir, m.self, &m);
        err = err == 0 ? hd_members_read(dir, &again) : err;
        hd_assert(err == 0 && again.count == m.count && again.generation == m.generation);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made) {
        hd_assert(mkdtemp(dir) != NULL);
        atexit(remove_dir);
        made = true;
        put("image_00000000000000000007", (const uint8_t *)"x", 1);
    }
    if (size == 0) {
        return 0;
    }
    struct hd_image_info info;
    switch (data[0] % 3) {
    case 0:
        put("VERSION", data + 1, size - 1);
        try_version();
        break;
    case 1:
        put("MEMBERS", data + 1, size - 1);
        try_members();
        break;
    default:
        put("image_00000000000000000007.sha256", data + 1, size - 1);
        (void)hd_image_stat(dir, (struct hd_txid){7}, &info);
        break;
    }
    return 0;
}
