/* The two lives of howdah-meta. Each runs until SIGTERM; 0, or an error with a failure text. */
#ifndef HD_META_SHELL_ROLES_H
#define HD_META_SHELL_ROLES_H

#include "meta/shell/conf.h"

int hd_primary_run(const struct hd_meta_conf *conf, int signal_fd);
int hd_secondary_run(const struct hd_meta_conf *conf, int signal_fd);

#endif
