/* The growable byte string of buf.h. */
#include "fs/base/buf.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hd_buf_init(struct hd_buf *b, size_t max)
{
    *b = (struct hd_buf){.max = max};
}

void hd_buf_done(struct hd_buf *b)
{
    free(b->data);
    *b = (struct hd_buf){.max = b->max};
}

void hd_buf_clear(struct hd_buf *b)
{
    b->size = 0;
}

int hd_buf_reserve(struct hd_buf *b, size_t more)
{
    size_t max = b->max != 0 ? b->max : HD_BUF_MAX_BYTES;
    if (more > max || b->size > max - more) {
        return -HD_E_TOO_LARGE;
    }
    size_t need = b->size + more;
    if (need <= b->capacity) {
        return 0;
    }
    size_t capacity = b->capacity != 0 ? b->capacity : 64;
    while (capacity < need) {
        capacity *= 2;
    }
    uint8_t *data = realloc(b->data, capacity);
    if (data == NULL) {
        return -ENOMEM;
    }
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int hd_buf_add(struct hd_buf *b, const void *data, size_t size)
{
    int err = hd_buf_reserve(b, size);
    if (err < 0) {
        return err;
    }
    if (size > 0) {
        memcpy(b->data + b->size, data, size);
        b->size += size;
    }
    return 0;
}

int hd_buf_add_u8(struct hd_buf *b, uint8_t v)
{
    return hd_buf_add(b, &v, 1);
}

int hd_buf_add_be16(struct hd_buf *b, uint16_t v)
{
    uint8_t bytes[2];
    hd_put_be16(bytes, v);
    return hd_buf_add(b, bytes, sizeof(bytes));
}

int hd_buf_add_be32(struct hd_buf *b, uint32_t v)
{
    uint8_t bytes[4];
    hd_put_be32(bytes, v);
    return hd_buf_add(b, bytes, sizeof(bytes));
}

int hd_buf_add_be64(struct hd_buf *b, uint64_t v)
{
    uint8_t bytes[8];
    hd_put_be64(bytes, v);
    return hd_buf_add(b, bytes, sizeof(bytes));
}

size_t hd_varint_encode(uint64_t v, uint8_t *out)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

size_t hd_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

int hd_buf_add_varint(struct hd_buf *b, uint64_t v)
{
    uint8_t bytes[10];
    return hd_buf_add(b, bytes, hd_varint_encode(v, bytes));
}

int hd_varint_decode(const uint8_t *data, size_t size, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 10; i++) {
        if (i == size) {
            return 0;
        }
        v |= (uint64_t)(data[i] & 0x7f) << (7 * i);
        if ((data[i] & 0x80) == 0) {
            *ret_value = v;
            return (int)i + 1;
        }
    }
    return -HD_E_BAD_MESSAGE;
}

int hd_buf_addv(struct hd_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    hd_assert(n >= 0);
    int err = hd_buf_reserve(b, (size_t)n + 1);
    if (err == 0) {
        vsnprintf((char *)b->data + b->size, (size_t)n + 1, fmt, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return err;
}

int hd_buf_addf(struct hd_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int err = hd_buf_addv(b, fmt, ap);
    va_end(ap);
    return err;
}

int hd_buf_add_str(struct hd_buf *b, const char *text)
{
    return hd_buf_add(b, text, strlen(text));
}

const char *hd_buf_str(struct hd_buf *b)
{
    if (hd_buf_reserve(b, 1) < 0) {
        return NULL;
    }
    b->data[b->size] = '\0';
    return (const char *)b->data;
}

void hd_buf_consume(struct hd_buf *b, size_t n)
{
    hd_assert(n <= b->size);
    if (n > 0 && n < b->size) {
        memmove(b->data, b->data + n, b->size - n);
    }
    b->size -= n;
}
