/* See kv.h. */
#include "runner/ops/kv.h"

#include <errno.h>

void hd_kv_rule_init(struct hd_kv_rule *r)
{
    *r = (struct hd_kv_rule){.separator = "\t", .separator_size = 1, .key_fields = 1};
}

int hd_kv_rule_set_separator(struct hd_kv_rule *r, const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || size > HD_KV_SEPARATOR_BYTES) {
        return -EINVAL;
    }
    memcpy(r->separator, text, size);
    r->separator_size = (uint32_t)size;
    return 0;
}

static const uint8_t *find_separator(const struct hd_kv_rule *r, const uint8_t *from, size_t size)
{
    if (r->separator_size == 1) {
        return memchr(from, r->separator[0], size);
    }
    return memmem(from, size, r->separator, r->separator_size);
}

void hd_kv_split(const struct hd_kv_rule *r, const uint8_t *line, size_t size, struct hd_kv *ret)
{
    const uint8_t *end = line + size;
    *ret = (struct hd_kv){.key = line, .key_size = size, .value = end, .value_size = 0};
    if (r->key_only) {
        return;
    }
    const uint8_t *at = line;
    const uint8_t *found = NULL;
    for (uint32_t i = 0; i < r->key_fields; i++) {
        found = find_separator(r, at, (size_t)(end - at));
        if (found == NULL) {
            return;
        }
        at = found + r->separator_size;
    }
    ret->key_size = (size_t)(found - line);
    ret->value = at;
    ret->value_size = (size_t)(end - at);
}

int hd_kv_join(const struct hd_kv_rule *r, const struct hd_kv *kv, struct hd_buf *out)
{
    size_t need = kv->key_size + kv->value_size + r->separator_size + 1;
    int err = hd_buf_reserve(out, need);
    if (err < 0) {
        return err;
    }
    uint8_t *p = out->data + out->size;
    memcpy(p, kv->key, kv->key_size);
    p += kv->key_size;
    if (!r->key_only) {
        memcpy(p, r->separator, r->separator_size);
        p += r->separator_size;
        memcpy(p, kv->value, kv->value_size);
        p += kv->value_size;
    }
    *p++ = '\n';
    out->size = (size_t)(p - out->data);
    return 0;
}
