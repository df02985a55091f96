/* The history of drills as HTML. */
#ifndef HD_TOOLS_DRILL_REPORT_H
#define HD_TOOLS_DRILL_REPORT_H

#include "fs/base/buf.h"

#include <jansson.h>

/* One HTML document of a history (hd_drill_history_load), newest first. cluster: its URI. */
int hd_report_html(json_t *history, const char *cluster, struct hd_buf *out);

/* Text as it may stand in HTML and in a quoted attribute. */
int hd_report_escape(struct hd_buf *out, const char *text);

#endif
