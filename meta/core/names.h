/* User and group names, each kept once; an inode holds its number. Numbers are never stored. */
#ifndef HD_META_CORE_NAMES_H
#define HD_META_CORE_NAMES_H

#include "fs/base/map.h"

struct hd_names {
    struct hd_strmap numbers; /* name -> number + 1 */
    char **names;
    uint32_t count;
    uint32_t capacity;
};

void hd_names_init(struct hd_names *n);
void hd_names_done(struct hd_names *n);
uint32_t hd_names_number(struct hd_names *n, const char *name);
const char *hd_names_text(const struct hd_names *n, uint32_t number);

#endif
