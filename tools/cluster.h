/*
 * A cluster as its howdah.conf describes it: the daemons of this machine, where they answer, how
 * they are started. Reads the configuration and nothing else; whether a daemon runs is process.h's
 * knowledge, how it feels is probe.h's.
 */
#ifndef HD_TOOLS_CLUSTER_H
#define HD_TOOLS_CLUSTER_H

#include "fs/base/types.h"
#include "fs/os/config.h"
#include "fs/client/howdah.h"

enum hd_role {
    HD_ROLE_META,
    HD_ROLE_SECONDARY,
    HD_ROLE_DATA,
    HD_ROLE_MANAGER,
    HD_ROLE_AGENT,
    HD_ROLE_MOUNT
};

enum { HD_MEMBER_ARGS = 16, HD_TEXT_BYTES = 300, HD_PATH_BYTES = 4096, HD_NODES_MAX = 1000 };

/* One daemon. Texts that do not apply are "". */
struct hd_member {
    enum hd_role role;
    char name[32]; /* "meta", "data-1", ...: pid file, log file and section are named so */
    char address[HD_TEXT_BYTES]; /* where it answers, "host:port"; the mount: its path */
    char http[HD_TEXT_BYTES];
    char dirs[HD_PATH_BYTES]; /* where it keeps things; comma list */
    const char *program;      /* "howdah-data" */
};

struct hd_cluster {
    char conf[HD_PATH_BYTES]; /* howdah.conf, absolute */
    char dir[HD_PATH_BYTES];  /* DIR of `up`, absolute */
    char uri[HD_TEXT_BYTES];  /* hdfs://host:port */
    char meta_address[HD_TEXT_BYTES];
    char metas[2 * HD_TEXT_BYTES]; /* that address and the secondary's, "a:1,b:2" */
    char mount[HD_PATH_BYTES];     /* "" without one */
    char socket_path[HD_PATH_BYTES];
    char host_name[HD_TEXT_BYTES];
    int nodes;
    int64_t stale_ms;
    struct hd_config *config;  /* owned */
    struct hd_member *members; /* heap, owned; in the order of starting: meta first, mount last */
    size_t member_count;
};

/* Loads conf (a path). -ENOENT, -HD_E_CONFIG with a sentence. */
int hd_cluster_load(const char *conf, struct hd_cluster *ret);

/* Finds the configuration as hd_config_find does (dir may be NULL) and loads it. */
int hd_cluster_find(const char *dir, struct hd_cluster *ret);
void hd_cluster_done(struct hd_cluster *c);

const char *hd_role_name(enum hd_role role); /* "meta", "secondary", ... */

/* The member's value for a key of the configuration (its own section, then its role's), or
 * fallback. */
const char *hd_member_str(const struct hd_cluster *c, const struct hd_member *m, const char *key,
                          const char *fallback);

/*
 * Its command line. argv[0] is the program's name; the texts live in the cluster, the member or
 * are constants. argv is NULL-terminated.
 */
void hd_member_argv(const struct hd_cluster *c, const struct hd_member *m,
                    const char *argv[HD_MEMBER_ARGS]);

/* DIR/run/<name>.pid and DIR/log/<name>.log. */
void hd_member_pid_path(const struct hd_cluster *c, const struct hd_member *m,
                        char out[HD_PATH_BYTES]);
void hd_member_log_path(const struct hd_cluster *c, const struct hd_member *m,
                        char out[HD_PATH_BYTES]);

/* HADOOP_USER_NAME, else the login name of the effective user. Static memory. */
const char *hd_user_name(void);

/* Opens the file system of the cluster (or uri, when not NULL) for a command. */
int hd_cluster_open_fs(const struct hd_cluster *c, const char *uri, struct hd_fs **ret);

#endif
