/* Why a protobuf message did not decode, in the words of Hadoop's decoder. Pure. */
#ifndef HD_WIRE_EXPLAIN_H
#define HD_WIRE_EXPLAIN_H

#include "fs/wire/frame.h"

enum { HD_EXPLAIN_TEXT_BYTES = 1024 };

/*
 * "Message missing required fields: masked, createParent", "While parsing a protocol message, the
 * input ended unexpectedly ..." and the like; field names as Hadoop writes them (camel case).
 */
void hd_explain_undecodable(const ProtobufCMessageDescriptor *type, struct hd_slice data, char *out,
                            size_t size);

#endif
