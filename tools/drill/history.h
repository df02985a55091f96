/* The drills of a cluster that were: DIR/drills/<id>.json, one file each. */
#ifndef HD_TOOLS_DRILL_HISTORY_H
#define HD_TOOLS_DRILL_HISTORY_H

#include "tools/drill/result.h"

/* Keeps a result as base/<id>.json, durably. */
int hd_drill_history_add(const char *base, const struct hd_drill_result *r);

/*
 * Every result that can be read, oldest first: an array of the objects hd_drill_result_json gives.
 * A new reference. No folder is an empty history; a file that is no JSON is left out.
 */
int hd_drill_history_load(const char *base, json_t **ret);

/* The newest result of a drill; NULL when it never ran. Borrowed from history. */
json_t *hd_drill_history_last(json_t *history, const char *drill);

#endif
