/* How Hadoop's shell prints things. See fs_format.h. */
#include "tools/fs_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

const char *hd_format_size(uint64_t bytes, const char *unit, int decimals,
                           char out[HD_SIZE_TEXT_BYTES])
{
    static const char prefixes[] = "KMGTPE";
    if (bytes < 1024) {
        snprintf(out, HD_SIZE_TEXT_BYTES, "%" PRIu64 "%s%s", bytes, unit[0] != '\0' ? " " : "",
                 unit);
        return out;
    }
    int i = 0;
    while (i < 5 && bytes >> (10 * (i + 2)) != 0) {
        i++;
    }
    unsigned shift = 10U * (unsigned)(i + 1);
    if ((bytes & (((uint64_t)1 << shift) - 1)) == 0) {
        snprintf(out, HD_SIZE_TEXT_BYTES, "%" PRIu64 " %c%s", bytes >> shift, prefixes[i], unit);
        return out;
    }
    char number[24];
    snprintf(number, sizeof(number), "%.*f", decimals,
             (double)bytes / (double)((uint64_t)1 << shift));
    if (strncmp(number, "1024", 4) == 0 && i < 5) { /* rounded up into the next prefix */
        i++;
        snprintf(number, sizeof(number), "%.*f", decimals,
                 (double)bytes / (double)((uint64_t)1 << (shift + 10)));
    }
    snprintf(out, HD_SIZE_TEXT_BYTES, "%s %c%s", number, prefixes[i], unit);
    return out;
}

const char *hd_format_bytes(uint64_t bytes, bool human, char out[HD_SIZE_TEXT_BYTES])
{
    if (human) {
        return hd_format_size(bytes, "", 1, out);
    }
    snprintf(out, HD_SIZE_TEXT_BYTES, "%" PRIu64, bytes);
    return out;
}

const char *hd_format_mode(uint32_t mode, char out[HD_MODE_TEXT_BYTES])
{
    static const char letters[] = "rwxrwxrwx";
    for (int i = 0; i < 9; i++) {
        out[i] = (mode >> (8 - i) & 1) != 0 ? letters[i] : '-';
    }
    if ((mode & 01000) != 0) {
        out[8] = out[8] == 'x' ? 't' : 'T';
    }
    out[9] = '\0';
    return out;
}

const char *hd_format_time(int64_t time_ms, const char *format, bool utc,
                           char out[HD_TIME_TEXT_BYTES])
{
    struct tm tm;
    time_t seconds = (time_t)(time_ms >= 0 ? time_ms / 1000 : (time_ms - 999) / 1000);
    out[0] = '\0';
    if ((utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)) != NULL) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (strftime(out, HD_TIME_TEXT_BYTES, format, &tm) == 0) {
            out[0] = '\0';
        }
#pragma GCC diagnostic pop
    }
    return out;
}

/* One clause's bits of rwxXt, spread over the classes of who. -EINVAL for another letter. */
static int clause_bits(const char *letters, size_t size, uint32_t who, uint32_t old_mode,
                       bool is_dir, uint32_t *ret)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        switch (letters[i]) {
        case 'r':
            bits |= 0444 & who;
            break;
        case 'w':
            bits |= 0222 & who;
            break;
        case 'x':
            bits |= 0111 & who;
            break;
        case 'X':
            bits |= is_dir || (old_mode & 0111) != 0 ? 0111 & who : 0;
            break;
        case 't':
            bits |= 01000;
            break;
        default:
            return -EINVAL;
        }
    }
    *ret = bits;
    return 0;
}

/* "go-w" at text[0..size): changes *mode. */
static int apply_clause(const char *text, size_t size, bool is_dir, uint32_t *mode)
{
    size_t at = 0;
    uint32_t who = 0;
    for (; at < size && strchr("ugoa", text[at]) != NULL; at++) {
        who |= text[at] == 'u' ? 0700 : text[at] == 'g' ? 0070 : text[at] == 'o' ? 0007 : 0777;
    }
    who = who != 0 ? who : 0777;
    if (at == size || strchr("+-=", text[at]) == NULL) {
        return -EINVAL;
    }
    while (at < size) {
        char op = text[at++];
        size_t letters = 0;
        uint32_t bits;
        while (at + letters < size && strchr("+-=", text[at + letters]) == NULL) {
            letters++;
        }
        if (clause_bits(text + at, letters, who, *mode, is_dir, &bits) < 0) {
            return -EINVAL;
        }
        at += letters;
        if (op == '+') {
            *mode |= bits;
        } else if (op == '-') {
            *mode &= ~bits;
        } else {
            *mode = (*mode & ~who) | bits;
        }
    }
    return 0;
}

int hd_parse_mode(const char *text, uint32_t old_mode, bool is_dir, uint32_t *ret)
{
    uint32_t mode = old_mode & 01777;
    if (text[0] >= '0' && text[0] <= '7') {
        char *end;
        unsigned long v = strtoul(text, &end, 8);
        if (*end != '\0' || v > 01777) {
            return -EINVAL;
        }
        *ret = (uint32_t)v;
        return 0;
    }
    if (text[0] == '\0') {
        return -EINVAL;
    }
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        if (size == 0 || apply_clause(text, size, is_dir, &mode) < 0) {
            return -EINVAL;
        }
        text += size + (text[size] == ',');
    }
    *ret = mode;
    return 0;
}
