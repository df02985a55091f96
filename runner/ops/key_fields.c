/*
 * See key_fields.h. A stored key is
 *
 *     one part for each spec | the key | u32 bytes of the parts, big endian
 *
 * and a part is, every byte of it inverted when the spec says reverse:
 *
 *     00                                        the key has no such field: before all others
 *     01  bytes, 00 written as 00 ff | 00 00    text
 *     01  sign and digits                       a number, see add_number
 */
#include "runner/ops/key_fields.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

#include <errno.h>

/* ---- parsing ---- */

static bool parse_number(const char **at, uint32_t *ret)
{
    uint64_t v = 0;
    const char *p = *at;
    for (; *p >= '0' && *p <= '9' && v <= UINT32_MAX; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == *at || v > INT32_MAX) {
        return false;
    }
    *ret = (uint32_t)v;
    *at = p;
    return true;
}

/* f[.c][n][r] */
static bool parse_position(const char **at, uint32_t *field, uint32_t *character,
                           struct hd_key_spec *k)
{
    if (!parse_number(at, field)) {
        return false;
    }
    if (**at == '.') {
        (*at)++;
        if (!parse_number(at, character)) {
            return false;
        }
    }
    for (; **at == 'n' || **at == 'r'; (*at)++) {
        k->numeric = k->numeric || **at == 'n';
        k->reverse = k->reverse || **at == 'r';
    }
    return true;
}

static bool parse_key(const char *text, struct hd_key_spec *k)
{
    *k = (struct hd_key_spec){.begin_char = 1};
    if (!parse_position(&text, &k->begin_field, &k->begin_char, k)) {
        return false;
    }
    if (*text == ',') {
        text++;
        if (!parse_position(&text, &k->end_field, &k->end_char, k) || k->end_field == 0) {
            return false;
        }
    }
    return *text == '\0' && k->begin_field > 0 && k->begin_char > 0;
}

/* The next word of *text into word; false at the end. */
static bool next_word(const char **text, char *word, size_t room)
{
    const char *start = *text + strspn(*text, " \t");
    size_t size = strcspn(start, " \t");
    *text = start + size;
    snprintf(word, room, "%.*s", (int)HD_MIN(size, room), start);
    return size > 0;
}

static int parse_words(struct hd_key_fields *f, const char *text, struct hd_key_spec *global)
{
    char word[64];
    while (next_word(&text, word, sizeof(word))) {
        if (strcmp(word, "-n") == 0 || strcmp(word, "-r") == 0 || strcmp(word, "-nr") == 0 ||
            strcmp(word, "-rn") == 0) {
            global->numeric = global->numeric || strchr(word, 'n') != NULL;
            global->reverse = global->reverse || strchr(word, 'r') != NULL;
            continue;
        }
        if (strncmp(word, "-k", 2) != 0) {
            return hd_fail(-EINVAL, "%s: expected -k, -n, -r or -nr", word);
        }
        if (f->count == HD_KEY_SPECS_MAX) {
            return hd_fail(-EINVAL, "%s: more than %d keys", word, HD_KEY_SPECS_MAX);
        }
        if (word[2] == '\0' && !next_word(&text, word + 2, sizeof(word) - 2)) {
            return hd_fail(-EINVAL, "-k: expected a field behind it");
        }
        if (!parse_key(word + 2, &f->specs[f->count])) {
            return hd_fail(-EINVAL, "%s: expected -k f[.c][n][r][,f[.c][n][r]], fields from 1",
                           word);
        }
        f->count++;
    }
    return 0;
}

int hd_key_fields_parse(struct hd_key_fields *f, const char *separator, const char *options)
{
    struct hd_key_spec global = {.begin_field = 1, .begin_char = 1};
    size_t size = strlen(separator);
    *f = (struct hd_key_fields){0};
    if (size == 0 || size > HD_KEY_FIELD_SEPARATOR_BYTES) {
        return hd_fail(-EINVAL, "'%s': a separator has 1 to %d bytes", separator,
                       HD_KEY_FIELD_SEPARATOR_BYTES);
    }
    memcpy(f->separator, separator, size);
    f->separator_size = (uint32_t)size;
    int err = parse_words(f, options, &global);
    if (err < 0) {
        return err;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        struct hd_key_spec *k = &f->specs[i];
        if (!k->numeric && !k->reverse) {
            k->numeric = global.numeric;
            k->reverse = global.reverse;
        }
    }
    if (f->count == 0 && options[strspn(options, " \t")] != '\0') {
        f->whole_words = true;
        f->specs[f->count++] = global;
    }
    return 0;
}

/* ---- finding ---- */

/* Where field n (from 1) begins, and its size; false when there are fewer. */
static bool find_field(const struct hd_key_fields *f, const uint8_t *key, size_t size, uint32_t n,
                       size_t *ret_at, size_t *ret_size)
{
    size_t at = 0;
    for (uint32_t i = 1;; i++) {
        const uint8_t *found =
            f->whole_words ? NULL : memmem(key + at, size - at, f->separator, f->separator_size);
        size_t end = found != NULL ? (size_t)(found - key) : size;
        if (i == n) {
            *ret_at = at;
            *ret_size = end - at;
            return true;
        }
        if (found == NULL) {
            return false;
        }
        at = end + f->separator_size;
    }
}

/* The bytes a spec means; false when the key has none of them. */
static bool find_range(const struct hd_key_fields *f, const struct hd_key_spec *k,
                       const uint8_t *key, size_t size, size_t *ret_at, size_t *ret_size)
{
    size_t at, n;
    if (!find_field(f, key, size, k->begin_field, &at, &n) || at + k->begin_char > size) {
        return false;
    }
    size_t start = at + k->begin_char - 1;
    size_t end = size;
    if (k->end_field != 0 && find_field(f, key, size, k->end_field, &at, &n)) {
        end = HD_MIN(at + (k->end_char != 0 ? k->end_char : n), size);
    }
    *ret_at = start;
    *ret_size = end > start ? end - start : 0;
    return true;
}

/* ---- partitions ---- */

/* String.hashCode: over UTF-16 units. Bytes that are not UTF-8 count as U+FFFD, as Java has it. */
static uint32_t hash_string(const uint8_t *p, size_t size)
{
    uint32_t h = 0;
    for (size_t i = 0; i < size;) {
        uint32_t c = p[i];
        size_t more = c < 0x80 ? 0 : c < 0xc2 ? SIZE_MAX : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        bool good = more != SIZE_MAX && more < size - i && c < 0xf5;
        c = more == 0 ? c : c & (0x3fu >> HD_MIN(more, (size_t)3));
        for (size_t j = 1; good && j <= more; j++) {
            good = (p[i + j] & 0xc0) == 0x80;
            c = c << 6 | (p[i + j] & 0x3fu);
        }
        if (!good) {
            c = 0xfffd;
            more = 0;
        }
        if (c >= 0x10000) {
            h = 31 * h + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        h = 31 * h + c;
        i += 1 + more;
    }
    return h;
}

uint32_t hd_key_fields_partition(const struct hd_key_fields *f, const uint8_t *key, size_t size,
                                 uint32_t reduces)
{
    uint32_t h = 0;
    if (f->count == 0) {
        h = hash_string(key, size);
    }
    for (uint32_t i = 0; size > 0 && i < f->count; i++) {
        size_t at, n;
        if (!find_range(f, &f->specs[i], key, size, &at, &n)) {
            continue;
        }
        for (size_t b = at; b < at + n; b++) {
            h = 31 * h + (uint32_t)(int32_t)(int8_t)key[b];
        }
    }
    return (h & 0x7fffffffu) % reduces;
}

/* ---- order ---- */

static int add_text(struct hd_buf *out, const uint8_t *p, size_t size)
{
    int err = hd_buf_reserve(out, 2 * size + 2);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < size; i++) {
        out->data[out->size++] = p[i];
        if (p[i] == 0) {
            out->data[out->size++] = 0xff;
        }
    }
    return hd_buf_add(out, "\0", 2);
}

static size_t count_digits(const uint8_t *p, size_t size)
{
    size_t n = 0;
    while (n < size && p[n] >= '0' && p[n] <= '9') {
        n++;
    }
    return n;
}

/*
 * [-]digits[.digits] and nothing behind it, as sort -n reads it; what is no number is zero.
 *
 *     80                                                               zero
 *     81 | u32 count of whole digits | whole digits | fraction | 00    positive, without outer
 * zeros 7f | the same inverted                                           negative
 */
static int add_number(struct hd_buf *out, const uint8_t *p, size_t size)
{
    bool negative = size > 0 && p[0] == '-';
    p += negative;
    size -= negative;
    size_t zeros = 0;
    while (zeros < size && p[zeros] == '0') {
        zeros++;
    }
    p += zeros;
    size -= zeros;
    size_t whole = count_digits(p, size);
    const uint8_t *fraction = p + whole;
    size_t parts = 0;
    if (whole < size && *fraction == '.') {
        fraction++;
        parts = count_digits(fraction, size - whole - 1);
    }
    while (parts > 0 && fraction[parts - 1] == '0') {
        parts--;
    }
    if (whole + parts == 0) {
        return hd_buf_add_u8(out, 0x80);
    }
    int err = hd_buf_reserve(out, whole + parts + 6);
    if (err < 0) {
        return err;
    }
    size_t start = out->size + 1;
    (void)hd_buf_add_u8(out, negative ? 0x7f : 0x81);
    (void)hd_buf_add_be32(out, (uint32_t)whole);
    (void)hd_buf_add(out, p, whole);
    (void)hd_buf_add(out, fraction, parts);
    (void)hd_buf_add_u8(out, 0);
    for (size_t i = start; negative && i < out->size; i++) {
        out->data[i] = (uint8_t)~out->data[i];
    }
    return 0;
}

static int add_part(const struct hd_key_fields *f, const struct hd_key_spec *k, const uint8_t *key,
                    size_t size, struct hd_buf *out)
{
    size_t start = out->size;
    size_t at, n;
    bool has = find_range(f, k, key, size, &at, &n);
    int err = hd_buf_add_u8(out, has);
    if (err == 0 && has) {
        err = k->numeric ? add_number(out, key + at, n) : add_text(out, key + at, n);
    }
    for (size_t i = start; k->reverse && i < out->size; i++) {
        out->data[i] = (uint8_t)~out->data[i];
    }
    return err;
}

int hd_key_fields_encode(const struct hd_key_fields *f, const uint8_t *key, size_t size,
                         struct hd_buf *out)
{
    int err = 0;
    hd_buf_clear(out);
    for (uint32_t i = 0; err == 0 && i < f->count; i++) {
        err = add_part(f, &f->specs[i], key, size, out);
    }
    size_t parts = out->size;
    if (err == 0) {
        err = hd_buf_add(out, key, size);
    }
    return err == 0 ? hd_buf_add_be32(out, (uint32_t)parts) : err;
}

void hd_key_fields_decode(const uint8_t *stored, size_t size, const uint8_t **ret_key,
                          size_t *ret_size)
{
    size_t parts = size >= 4 ? hd_get_be32(stored + size - 4) : 0;
    bool whole = size >= 4 && parts <= size - 4; /* as encode made it */
    *ret_key = whole ? stored + parts : stored;
    *ret_size = whole ? size - 4 - parts : size;
}
