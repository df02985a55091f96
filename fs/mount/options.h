/*
 * The command line of howdah-mount, its mount(8) helper form (mount.howdah) and the [mount] section
 * of howdah.conf. Parsing is pure but for the reading of the configuration file.
 */
#ifndef HD_MOUNT_OPTIONS_H
#define HD_MOUNT_OPTIONS_H

struct hd_mount_options {
    char *uri;         /* "hdfs://host:port", several metas with commas; heap */
    char *metas;       /* more metas of the cluster, "host:port,..."; NULL: none; heap */
    char *cluster_dir; /* directory of the cluster that becomes the root; "/" */
    char *path;        /* the mount point as given; heap */
    char *conf;        /* howdah.conf or NULL; heap */
    char *user;        /* every request acts as this user; NULL: as the caller; heap */
    char *log;         /* where a daemon's log goes; NULL: nowhere; heap */
    char *socket_path; /* UNIX sockets of local data nodes ("_PORT"); NULL: none; heap */
    char *host_name;   /* which locations are local; NULL: gethostname(); heap */

    bool foreground; /* -f */
    bool pretend;    /* mount.howdah -f: check everything, mount nothing */
    bool help;
    bool version;
    bool read_only;
    bool allow_other; /* default: when run by root */
    bool strict;      /* -o sync: every change is durable before its answer */
    bool passthrough;
    bool debug;    /* libfuse's trace on stderr */
    int log_level; /* enum hd_log_level */

    int64_t attr_timeout_ms;  /* -1: not said; an hour in a session, else a second */
    int64_t entry_timeout_ms; /* -1: the same, else 10 ms */
    int64_t retry_s;
    int64_t write_behind_ms; /* the longest that written bytes wait in the mount */
    int64_t max_threads;
    uint64_t passthrough_min_bytes; /* smaller files are read the ordinary way */
    uint64_t memory_bytes;          /* of written bytes, over all files; then writers wait */
    unsigned long mount_flags;      /* MS_* of mount(2) */

    uint32_t given; /* bits of what the command line said, so that the configuration is weaker */
};

/* Defaults; root tells whether the caller may use allow_other without asking. */
void hd_mount_options_init(struct hd_mount_options *o, bool root);
void hd_mount_options_done(struct hd_mount_options *o);

/* The whole command line. -EINVAL with a sentence for what it does not know. */
int hd_mount_options_parse(struct hd_mount_options *o, int argc, char **argv);

/* One "-o" list: "rw,attr_timeout_ms=500". */
int hd_mount_options_list(struct hd_mount_options *o, const char *list);

/* "hdfs://host:port[/dir]" or "host:port[/dir]" into uri and cluster_dir. */
int hd_mount_options_spec(struct hd_mount_options *o, const char *spec);

/*
 * Reads the configuration: the one named, else the one found (hd_config_find) when its cluster is
 * the one that is mounted. What the command line gave stays; a cluster or a mount point it left
 * out is taken from there. -EINVAL when one is still missing.
 */
int hd_mount_options_configure(struct hd_mount_options *o);

/* The text of --help. */
const char *hd_mount_options_usage(void);

#endif
