/*
 * Hadoop's KeyFieldBasedPartitioner and KeyFieldBasedComparator: keys told apart and ordered by
 * fields, `-k f[.c][n][r][,f[.c][n][r]]` with global -n, -r, -nr.
 *
 * The order is made one of bytes: a key is stored with a prefix that sorts as the comparator says,
 * and everything between map and reduce goes on comparing bytes. Keys the comparator holds for
 * equal are in byte order.
 */
#ifndef HD_RUNNER_OPS_KEY_FIELDS_H
#define HD_RUNNER_OPS_KEY_FIELDS_H

#include "fs/base/buf.h"

enum { HD_KEY_SPECS_MAX = 32, HD_KEY_FIELD_SEPARATOR_BYTES = 16 };

/* One -k: from character begin_char of field begin_field to end_char of end_field, all from 1. */
struct hd_key_spec {
    uint32_t begin_field;
    uint32_t begin_char;
    uint32_t end_field; /* 0: to the end of the key */
    uint32_t end_char;  /* 0: to the end of the field */
    bool numeric;
    bool reverse;
};

struct hd_key_fields {
    uint8_t separator[HD_KEY_FIELD_SEPARATOR_BYTES];
    uint32_t separator_size; /* at least 1 */
    struct hd_key_spec specs[HD_KEY_SPECS_MAX];
    uint32_t count;   /* 0: the whole key */
    bool whole_words; /* no -k was seen: the key is one field */
};

/* Options as given, "" for none. -EINVAL with a sentence that begins with the bad word. */
int hd_key_fields_parse(struct hd_key_fields *f, const char *separator, const char *options);

/* KeyFieldBasedPartitioner: which of `reduces` gets the key. */
uint32_t hd_key_fields_partition(const struct hd_key_fields *f, const uint8_t *key, size_t size,
                                 uint32_t reduces);

/* The key as it is stored: replaces the content of out. 0, -ENOMEM, -HD_E_TOO_LARGE. */
int hd_key_fields_encode(const struct hd_key_fields *f, const uint8_t *key, size_t size,
                         struct hd_buf *out);

/* The key within a stored one: a view, no copy. */
void hd_key_fields_decode(const uint8_t *stored, size_t size, const uint8_t **ret_key,
                          size_t *ret_size);

#endif
