/* What `admin edits` and `admin image` share: they look at files, not at a running meta. */
#ifndef HD_TOOLS_ADMIN_FILES_H
#define HD_TOOLS_ADMIN_FILES_H

#include "tools/admin.h"

bool hd_admin_is_dir(const char *path);

/* The cluster's (first) metadata directory, into out; also returned. */
const char *hd_admin_meta_dir(const struct hd_admin *a, char out[HD_PATH_BYTES]);

int hd_admin_edits(struct hd_admin *a, int argc, char **argv);
int hd_admin_image(struct hd_admin *a, int argc, char **argv);

#endif
