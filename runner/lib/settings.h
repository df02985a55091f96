/* What runner programs read from howdah.conf. */
#ifndef HD_RUNNER_LIB_SETTINGS_H
#define HD_RUNNER_LIB_SETTINGS_H

#include "fs/client/howdah.h"
#include "fs/os/config.h"

struct hd_runner_settings {
    struct hd_config *config; /* owned */
    char *uri;                /* of the cluster */
    char *manager_address;
    char *http_address; /* of the manager's status page; NULL: none */
    char *dir;          /* of the runner, under it one folder per process */
    char *host_name;    /* NULL: gethostname */
    char *socket_path;  /* of local data nodes */
    char *address;      /* agent: where its shuffle server listens, "host:port" */
    char *data_node;    /* agent: transfer address of the data node beside it, or NULL */
    int64_t slots;      /* agent */
};

/* name is the instance ("agent-1") or NULL. -HD_E_CONFIG, -ENOENT ... with a sentence. */
int hd_runner_settings_load(const char *path, const char *name, struct hd_runner_settings *ret);
void hd_runner_settings_done(struct hd_runner_settings *s);

/* A file system object by these settings. prefix as in hd_fs_options; relaxed as there. */
int hd_runner_fs_open(const struct hd_runner_settings *s, const char *prefix, bool relaxed,
                      struct hd_fs **ret);

#endif
