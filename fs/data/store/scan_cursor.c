/* The scanner's bookmark. See scan_cursor.h. */
#include "fs/data/store/scan_cursor.h"
#include "fs/base/buf.h"
#include "fs/base/crc.h"
#include "fs/data/store/layout.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 4096 };

static const char name[] = "scanner.cursor";

#define CURSOR_FORMAT                                                                              \
    "version=1\nlast_block=%" PRIu64 "\npass_begin_ms=%" PRIu64 "\npass_checked=%" PRIu64          \
    "\nfull_begin_ms=%" PRIu64 "\nfull_end_ms=%" PRIu64 "\nfull_checked=%" PRIu64 "\n"

#define CURSOR_SCAN                                                                                \
    "version=1\nlast_block=%" SCNu64 "\npass_begin_ms=%" SCNu64 "\npass_checked=%" SCNu64          \
    "\nfull_begin_ms=%" SCNu64 "\nfull_end_ms=%" SCNu64 "\nfull_checked=%" SCNu64 "\ncrc=%8x\n%n"

static uint32_t sum_of(const char *text, size_t size)
{
    return hd_checksum(HD_CHECKSUM_CRC32C, text, (uint32_t)size);
}

/* The sum is over everything before its own line. */
static bool decode(const char *text, struct hd_scan_cursor *ret)
{
    struct hd_scan_cursor c = {0};
    unsigned sum = 0;
    int end = 0;
    int got = sscanf(text, CURSOR_SCAN, &c.last.v, &c.pass_begin_ms, &c.pass_checked,
                     &c.full_begin_ms, &c.full_end_ms, &c.full_checked, &sum, &end);
    const char *line = strstr(text, "crc=");
    if (got != 7 || line == NULL || text[end] != '\0' ||
        sum_of(text, (size_t)(line - text)) != sum) {
        return false;
    }
    *ret = c;
    return true;
}

void hd_scan_cursor_read(const char *pool_dir, struct hd_scan_cursor *ret)
{
    char path[HD_LAYOUT_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    *ret = (struct hd_scan_cursor){0};
    snprintf(path, sizeof(path), "%s/%s", pool_dir, name);
    if (hd_file_read(path, FILE_BYTES_MAX, &text) == 0 && hd_buf_str(&text) != NULL) {
        decode(hd_buf_str(&text), ret);
    }
}

int hd_scan_cursor_write(const char *pool_dir, const struct hd_scan_cursor *c)
{
    char path[HD_LAYOUT_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    snprintf(path, sizeof(path), "%s/%s", pool_dir, name);
    int err = hd_buf_addf(&text, CURSOR_FORMAT, c->last.v, c->pass_begin_ms, c->pass_checked,
                          c->full_begin_ms, c->full_end_ms, c->full_checked);
    if (err == 0) {
        err = hd_buf_addf(&text, "crc=%08x\n", sum_of((const char *)text.data, text.size));
    }
    return err < 0 ? err : hd_file_replace(path, text.data, text.size, 0644);
}
