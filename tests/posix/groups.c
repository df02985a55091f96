/* The groups there are. */
#include "groups.h"

const struct suite_group suite_groups[] = {
#define GROUP(name) {#name, run_##name},
#include "groups.def"
#undef GROUP
    {NULL, NULL},
};
