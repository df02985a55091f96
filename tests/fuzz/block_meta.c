/*
 * Checksum files as a crash or a bad disk left them: the header, and how far the sums vouch for the
 * data. The first byte says where the input is divided into sums and data.
 */
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/file.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || hd_fd_write(fd, data, size) < 0) {
        abort();
    }
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_sum_format f;
    uint64_t good;
    if (size == 0) {
        return 0;
    }
    size_t sums_bytes = HD_MIN((size_t)data[0], size - 1);
    uint64_t data_bytes = size - 1 - sums_bytes;
    int meta_fd = file_of(data + 1, sums_bytes);
    int data_fd = file_of(data + 1 + sums_bytes, (size_t)data_bytes);
    if (hd_files_verified_prefix(data_fd, meta_fd, data_bytes, &good) == 0) {
        if (good > data_bytes) {
            abort();
        }
        /* What was vouched for can be cut to, and is vouched for again. */
        if (good > 0 && hd_meta_file_read_header(meta_fd, &f) == 0 && f.type != HD_CHECKSUM_NULL) {
            uint64_t again;
            uint64_t keep = good / 2;
            if (hd_files_cut(data_fd, meta_fd, f, good, keep) < 0 ||
                hd_files_verified_prefix(data_fd, meta_fd, keep, &again) < 0 || again != keep) {
                abort();
            }
        }
    }
    close(meta_fd);
    close(data_fd);
    return 0;
}
