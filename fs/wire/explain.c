/*
 * Why a message did not decode. See explain.h.
 *
 * Walks the bytes with the descriptor twice, as Hadoop's decoder does: first the syntax of all
 * levels, then the required fields, those of a message before those of its sub-messages.
 */
#include "fs/wire/explain.h"
#include "fs/wire/field.h"
#include "fs/base/error.h"

#include <ctype.h>

enum { DEPTH_MAX = 32, PATH_BYTES = 256 };

struct missing {
    char *out;
    size_t size;
    size_t used;
    int count;
};

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                uint32_t tag)
{
    return protobuf_c_message_descriptor_get_field(type, tag >> 3);
}

static bool is_message(const ProtobufCFieldDescriptor *d, uint32_t tag)
{
    return d != NULL && d->type == PROTOBUF_C_TYPE_MESSAGE && (tag & 7) == HD_WIRE_BYTES;
}

static int check_syntax(const ProtobufCMessageDescriptor *type, struct hd_slice in, int depth)
{
    struct hd_field f;
    int more;
    while ((more = hd_field_next(&in, &f)) > 0) {
        const ProtobufCFieldDescriptor *d = field_of(type, f.tag);
        if (!is_message(d, f.tag)) {
            continue;
        }
        if (depth == DEPTH_MAX) {
            return hd_fail(-HD_E_BAD_MESSAGE,
                           "Protocol message had too many levels of nesting.  May be malicious.");
        }
        int err = check_syntax(d->descriptor, f.bytes, depth + 1);
        if (err < 0) {
            return err;
        }
    }
    return more;
}

/* modification_time is not camel case in Hadoop either, but no request has such a field required.
 */
static void add_missing(struct missing *m, const char *path, const char *name)
{
    char camel[PATH_BYTES];
    size_t n = 0;
    for (const char *p = name; *p != '\0' && n + 1 < sizeof(camel); p++) {
        bool upper = *p == '_' && p[1] != '\0';
        p += upper ? 1 : 0;
        camel[n++] = upper ? (char)toupper((unsigned char)*p) : *p;
    }
    camel[n] = '\0';
    int written = snprintf(m->out + m->used, m->size - m->used, "%s%s%s",
                           m->count++ > 0 ? ", " : "", path, camel);
    m->used = HD_MIN(m->used + (size_t)HD_MAX(written, 0), m->size - 1);
}

static bool has_field(struct hd_slice in, const ProtobufCFieldDescriptor *d)
{
    struct hd_field f;
    while (hd_field_next(&in, &f) > 0) {
        if (f.tag >> 3 == d->id) {
            return true;
        }
    }
    return false;
}

static void find_missing(struct missing *m, const ProtobufCMessageDescriptor *type,
                         struct hd_slice in, const char *path, int depth)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        if (d->label == PROTOBUF_C_LABEL_REQUIRED && !has_field(in, d)) {
            add_missing(m, path, d->name);
        }
    }
    for (unsigned i = 0; i < type->n_fields && depth < DEPTH_MAX; i++) {
        const ProtobufCFieldDescriptor *d = &type->fields[i];
        struct hd_slice rest = in;
        struct hd_field f;
        int index = 0;
        while (hd_field_next(&rest, &f) > 0) {
            if (f.tag >> 3 != d->id || !is_message(d, f.tag)) {
                continue;
            }
            char below[PATH_BYTES];
            if (d->label == PROTOBUF_C_LABEL_REPEATED) {
                snprintf(below, sizeof(below), "%s%s[%d].", path, d->name, index++);
            } else {
                snprintf(below, sizeof(below), "%s%s.", path, d->name);
            }
            find_missing(m, d->descriptor, f.bytes, below, depth + 1);
        }
    }
}

void hd_explain_undecodable(const ProtobufCMessageDescriptor *type, struct hd_slice data, char *out,
                            size_t size)
{
    if (check_syntax(type, data, 0) < 0) {
        snprintf(out, size, "%s", hd_fail_text());
        return;
    }
    static const char prefix[] = "Message missing required fields: ";
    struct missing m = {.out = out, .size = size, .used = sizeof(prefix) - 1};
    snprintf(out, size, "%s", prefix);
    find_missing(&m, type, data, "", 0);
    if (m.count == 0) {
        snprintf(out, size, "Protocol message tag had invalid wire type.");
    }
}
