/* See proto_json.h. */
#include "tools/proto_json.h"

#include <stdlib.h>

static json_t *bytes_json(const ProtobufCBinaryData *b)
{
    json_t *text = json_stringn((const char *)b->data, b->len);
    if (text != NULL) {
        return text;
    }
    char *hex = malloc(2 * b->len + 3);
    if (hex == NULL) {
        return NULL;
    }
    memcpy(hex, "0x", 3);
    for (size_t i = 0; i < b->len; i++) {
        snprintf(hex + 2 + 2 * i, 3, "%02x", b->data[i]);
    }
    text = json_string(hex);
    free(hex);
    return text;
}

static json_t *enum_json(const ProtobufCFieldDescriptor *f, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);
    return v != NULL ? json_string(v->name) : json_integer(value);
}

static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)p);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return json_integer(*(const int64_t *)p);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)p);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)p);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)p);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(f, *(const int *)p);
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(const char *const *)p);
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json(p);
    case PROTOBUF_C_TYPE_MESSAGE:
        return hd_proto_json(*(const ProtobufCMessage *const *)p);
    }
    return NULL;
}

static size_t element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    return 0;
}

static json_t *list_json(const ProtobufCFieldDescriptor *f, const uint8_t *base)
{
    size_t count = *(const size_t *)(const void *)(base + f->quantifier_offset);
    const uint8_t *items = *(const uint8_t *const *)(const void *)(base + f->offset);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, value_json(f, items + i * element_size(f->type)));
    }
    return list;
}

/* Is an optional field there? */
static bool is_set(const ProtobufCFieldDescriptor *f, const uint8_t *base)
{
    const void *quantifier = base + f->quantifier_offset;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)quantifier == f->id;
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING) {
        return *(const void *const *)(const void *)(base + f->offset) != NULL;
    }
    return *(const protobuf_c_boolean *)quantifier != 0;
}

json_t *hd_proto_json(const ProtobufCMessage *m)
{
    const uint8_t *base = (const uint8_t *)m;
    json_t *o = json_object();
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            json_t *list = list_json(f, base);
            if (json_array_size(list) > 0) {
                json_object_set_new(o, f->name, list);
            } else {
                json_decref(list);
            }
        } else if (f->label == PROTOBUF_C_LABEL_REQUIRED || is_set(f, base)) {
            json_object_set_new(o, f->name, value_json(f, base + f->offset));
        }
    }
    return o;
}

static void print_value(FILE *out, const json_t *v)
{
    if (json_is_object(v)) {
        fputc('{', out);
        hd_json_print_flat(out, v);
        fputs(" }", out);
        return;
    }
    if (json_is_array(v)) {
        fputc('[', out);
        for (size_t i = 0; i < json_array_size(v); i++) {
            fputs(i > 0 ? ", " : "", out);
            print_value(out, json_array_get(v, i));
        }
        fputc(']', out);
        return;
    }
    json_dumpf(v, out, JSON_ENCODE_ANY);
}

void hd_json_print_flat(FILE *out, const json_t *object)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        fprintf(out, " %s=", key);
        print_value(out, v);
    }
}
