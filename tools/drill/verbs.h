/* The verbs of `howdah drill`, and what they share. */
#ifndef HD_TOOLS_DRILL_VERBS_H
#define HD_TOOLS_DRILL_VERBS_H

#include "tools/cmd.h"
#include "tools/drill/result.h"

struct hd_drill_args {
    const struct hd_command *self;
    const char *dir, *target, *load, *html; /* NULL: not given */
    const char *word;                       /* behind the verb; NULL: none */
    int64_t for_ms;
    bool for_given;
    uint64_t seed; /* 0: not given */
    double hours;
    bool yes, json, dry;
};

/* Verbs; each returns the exit code. */
int hd_drill_plan(const struct hd_drill_args *a);   /* plan.c */
int hd_drill_soak(const struct hd_drill_args *a);   /* soak.c */
int hd_drill_report(const struct hd_drill_args *a); /* report.c */

/* "30s", "2m", "1h", "500ms", "30". -EINVAL with a sentence. */
int hd_drill_parse_time(const char *text, int64_t *ret_ms);

/* Prints and releases; an exit code. */
int hd_drill_print_json(json_t *o);

/* The end of a run: its verdict as text or JSON on stdout. */
void hd_drill_show_result(const struct hd_drill_result *r, bool json);

#endif
