/* Any protobuf-c message as JSON, by its descriptor: what dumps print. */
#ifndef HD_TOOLS_PROTO_JSON_H
#define HD_TOOLS_PROTO_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/*
 * Fields that are not set are left out; of a oneof the field that is. Bytes are text where they are
 * UTF-8, else "0x...". Enumerations are their names. NULL: no memory.
 */
json_t *hd_proto_json(const ProtobufCMessage *m);

/* Appends an object's members to a stream as " key=value", nested ones as key={...}. */
void hd_json_print_flat(FILE *out, const json_t *object);

#endif
