/*
 * A growable byte string with a ceiling. Growing past the ceiling fails with -HD_E_TOO_LARGE and
 * leaves the content as it was. A zeroed struct is an empty buffer without a ceiling of its own
 * (HD_BUF_MAX_BYTES applies). Not thread safe.
 */
#ifndef HD_BASE_BUF_H
#define HD_BASE_BUF_H

#include <stdarg.h>

#define HD_BUF_MAX_BYTES ((size_t)1 << 31)

struct hd_buf {
    uint8_t *data;   /* heap, owned; NULL while capacity is 0 */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max;      /* ceiling in bytes; 0 means HD_BUF_MAX_BYTES */
};

void hd_buf_init(struct hd_buf *b, size_t max);
void hd_buf_done(struct hd_buf *b);  /* frees; the struct is an empty buffer again */
void hd_buf_clear(struct hd_buf *b); /* size 0, memory kept */

/* Makes room for `more` bytes behind the content. 0 or -HD_E_TOO_LARGE or -ENOMEM. */
int hd_buf_reserve(struct hd_buf *b, size_t more);

/* Append. 0 or the errors of hd_buf_reserve. */
int hd_buf_add(struct hd_buf *b, const void *data, size_t size);
int hd_buf_add_u8(struct hd_buf *b, uint8_t v);
int hd_buf_add_be16(struct hd_buf *b, uint16_t v);
int hd_buf_add_be32(struct hd_buf *b, uint32_t v);
int hd_buf_add_be64(struct hd_buf *b, uint64_t v);
int hd_buf_add_varint(struct hd_buf *b, uint64_t v); /* base-128, at most 10 bytes */
int hd_buf_addf(struct hd_buf *b, const char *fmt, ...) HD_PRINTF(2, 3);
int hd_buf_addv(struct hd_buf *b, const char *fmt, va_list ap) HD_PRINTF(2, 0);
int hd_buf_add_str(struct hd_buf *b, const char *text);

/* The content as a C string (a NUL is kept behind the content, not counted). NULL on -ENOMEM. */
const char *hd_buf_str(struct hd_buf *b);

/* Drops the first n bytes (n <= size). */
void hd_buf_consume(struct hd_buf *b, size_t n);

/*
 * Decodes a varint at data[0..size). Returns the bytes it took, 0 when more bytes are needed,
 * -HD_E_BAD_MESSAGE when it is longer than 10 bytes.
 */
int hd_varint_decode(const uint8_t *data, size_t size, uint64_t *ret_value);

/* Bytes that hd_buf_add_varint would write for v; and the raw encoder (out holds 10 bytes). */
size_t hd_varint_size(uint64_t v);
size_t hd_varint_encode(uint64_t v, uint8_t *out);

#endif
