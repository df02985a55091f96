/* A function for each group: run_<name>. */
#ifndef HD_TESTS_POSIX_GROUPS_H
#define HD_TESTS_POSIX_GROUPS_H

#include "suite.h"

#define GROUP(name) void run_##name(void);
#include "groups.def"
#undef GROUP

#endif
