/* How Hadoop's shell prints sizes, modes and times. Pure but for the local time zone. */
#ifndef HD_TOOLS_FS_FORMAT_H
#define HD_TOOLS_FS_FORMAT_H

enum { HD_SIZE_TEXT_BYTES = 40, HD_MODE_TEXT_BYTES = 10, HD_TIME_TEXT_BYTES = 40 };

/*
 * "512", "1.5 K", "128 M": powers of 1024, `decimals` digits unless the division is exact. unit is
 * appended ("" or "B": "1.50 GB"). Returns out.
 */
const char *hd_format_size(uint64_t bytes, const char *unit, int decimals,
                           char out[HD_SIZE_TEXT_BYTES]);

/* The size as -h wants it ("1.5 K") or as plain bytes. */
const char *hd_format_bytes(uint64_t bytes, bool human, char out[HD_SIZE_TEXT_BYTES]);

/* "rwxr-xr-t": nine characters, no type in front. */
const char *hd_format_mode(uint32_t mode, char out[HD_MODE_TEXT_BYTES]);

/* strftime of a time in ms, in UTC or the local zone. */
const char *hd_format_time(int64_t time_ms, const char *format, bool utc,
                           char out[HD_TIME_TEXT_BYTES]);

/*
 * A new mode out of an octal ("1777") or symbolic ("u+rw,go-w,a+X") text. is_dir matters for X.
 * -EINVAL when it does not parse.
 */
int hd_parse_mode(const char *text, uint32_t old_mode, bool is_dir, uint32_t *ret);

#endif
