/* Header and arithmetic of checksum files. See meta_file.h. */
#include "fs/data/store/meta_file.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

int hd_sum_format_check(uint32_t type, uint32_t bytes_per_checksum, struct hd_sum_format *ret)
{
    if (type > HD_CHECKSUM_CRC32C) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "checksum type %u is unknown", type);
    }
    if (bytes_per_checksum == 0 || bytes_per_checksum > HD_BYTES_PER_CHECKSUM_MAX) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "%u bytes per checksum; 1 to %d are possible",
                       bytes_per_checksum, HD_BYTES_PER_CHECKSUM_MAX);
    }
    *ret = (struct hd_sum_format){(enum hd_checksum_type)type, bytes_per_checksum};
    return 0;
}

bool hd_sum_format_equal(struct hd_sum_format a, struct hd_sum_format b)
{
    return a.type == b.type && a.bytes_per_checksum == b.bytes_per_checksum;
}

void hd_meta_file_header_encode(struct hd_sum_format f, uint8_t out[HD_META_FILE_HEADER_BYTES])
{
    hd_put_be16(out, HD_META_FILE_VERSION);
    out[2] = (uint8_t)f.type;
    hd_put_be32(out + 3, f.bytes_per_checksum);
}

int hd_meta_file_header_decode(const uint8_t in[HD_META_FILE_HEADER_BYTES],
                               struct hd_sum_format *ret)
{
    if (hd_get_be16(in) != HD_META_FILE_VERSION ||
        hd_sum_format_check(in[2], hd_get_be32(in + 3), ret) < 0) {
        return hd_fail(-HD_E_CORRUPT, "checksum file header: version %u, type %u, %u bytes a sum",
                       hd_get_be16(in), in[2], hd_get_be32(in + 3));
    }
    return 0;
}

int hd_meta_file_read_header(int fd, struct hd_sum_format *ret)
{
    uint8_t header[HD_META_FILE_HEADER_BYTES];
    int err = hd_fd_pread(fd, header, sizeof(header), 0);
    return err < 0 ? err : hd_meta_file_header_decode(header, ret);
}

uint64_t hd_meta_file_offset(struct hd_sum_format f, uint64_t bytes)
{
    return HD_META_FILE_HEADER_BYTES + bytes / f.bytes_per_checksum * HD_SUM_BYTES;
}

uint64_t hd_meta_file_size(struct hd_sum_format f, uint64_t replica_bytes)
{
    if (f.type == HD_CHECKSUM_NULL) {
        return HD_META_FILE_HEADER_BYTES;
    }
    return hd_meta_file_offset(f, replica_bytes + f.bytes_per_checksum - 1);
}
