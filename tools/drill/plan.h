/* A drill file, read. plan.c has its form. */
#ifndef HD_TOOLS_DRILL_PLAN_H
#define HD_TOOLS_DRILL_PLAN_H

#include "tools/drill/verbs.h"

enum { HD_PLAN_STEPS_MAX = 100, HD_PLAN_LIMITS = 5 };

extern const char *const hd_plan_limit_names[HD_PLAN_LIMITS];

struct hd_plan_step {
    char section[64];
    char drill[32];
    char target[80]; /* "": by lot */
    char load[100];
    char note[400];
    int64_t for_ms;
    uint64_t seed;                 /* 0: a random one */
    double most_s[HD_PLAN_LIMITS]; /* as in hd_plan_limit_names; < 0: no limit */
};

struct hd_plan {
    char title[200];
    struct hd_plan_step steps[HD_PLAN_STEPS_MAX];
    size_t count;
};

/* Reads and checks the whole file. -EINVAL with file, section and key in the text; -ENOENT. */
int hd_plan_load(const char *path, struct hd_plan *ret);

/* The name of the first limit of the step that the result is above; NULL: none. */
const char *hd_plan_missed(const struct hd_plan_step *s, const struct hd_drill_result *r);

#endif
