/* The table of methods. See methods.h. */
#include "fs/wire/methods.h"
#include "client_datanode.pb-c.h"
#include "client_namenode.pb-c.h"
#include "datanode.pb-c.h"
#include "ha.pb-c.h"
#include "howdah.pb-c.h"
#include "inter_datanode.pb-c.h"
#include "namenode.pb-c.h"

static const struct hd_method methods[] = {
#define HD_METHOD(name_, protocol_, messages_, repeat_, only_reads_)                               \
    {.name = #name_,                                                                               \
     .protocol = HD_PROTOCOL_##protocol_,                                                          \
     .request = &hdw__##messages_##_request__descriptor,                                           \
     .response = &hdw__##messages_##_response__descriptor,                                         \
     .repeat = HD_REPEAT_##repeat_,                                                                \
     .only_reads = (only_reads_)},
#include "fs/wire/methods.def"
};

const struct hd_method *hd_method_find(const char *protocol, const char *name)
{
    size_t low = 0;
    size_t high = HD_ARRAY_COUNT(methods);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct hd_method *m = &methods[middle];
        int order = strcmp(name, m->name);
        if (order == 0) {
            order = strcmp(protocol, m->protocol);
        }
        if (order == 0) {
            return m;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct hd_method *hd_method_table(size_t *ret_count)
{
    *ret_count = HD_ARRAY_COUNT(methods);
    return methods;
}
