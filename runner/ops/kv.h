/*
 * Key and value of a line, as Hadoop Streaming cuts them: the key is the text before the n-th
 * separator, the value the rest behind it. A line with fewer separators is all key and its value is
 * empty, not absent, so that a text output of it ends in a separator; `key_only` makes it absent.
 */
#ifndef HD_RUNNER_OPS_KV_H
#define HD_RUNNER_OPS_KV_H

#include "fs/base/buf.h"

enum { HD_KV_SEPARATOR_BYTES = 16 };

struct hd_kv_rule {
    uint8_t separator[HD_KV_SEPARATOR_BYTES];
    uint32_t separator_size; /* at least 1 */
    uint32_t key_fields;     /* n, at least 1 */
    bool key_only;           /* the whole line is the key, there is no value */
};

/* TAB, one field. */
void hd_kv_rule_init(struct hd_kv_rule *r);

/* -EINVAL when the separator is empty or longer than HD_KV_SEPARATOR_BYTES. */
int hd_kv_rule_set_separator(struct hd_kv_rule *r, const char *text);

struct hd_kv {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
};

/* Cuts a line (without its line end). The views borrow from it. */
void hd_kv_split(const struct hd_kv_rule *r, const uint8_t *line, size_t size, struct hd_kv *ret);

/* Appends key, separator, value and LF; only key and LF when r->key_only. */
int hd_kv_join(const struct hd_kv_rule *r, const struct hd_kv *kv, struct hd_buf *out);

#endif
