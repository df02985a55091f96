/* The first run of `howdah up`: directories, ports, howdah.conf and hadoop-conf. */
#ifndef HD_TOOLS_CLUSTER_INIT_H
#define HD_TOOLS_CLUSTER_INIT_H

#include "tools/cluster.h"

struct hd_cluster_plan {
    const char *dir;   /* absolute */
    const char *mount; /* absolute, or NULL: none */
    int nodes;
    int cores;        /* shared out among the agents as slots */
    bool spare_ports; /* none of HDFS's own */
};

/*
 * Makes DIR with its folders and writes DIR/howdah.conf. Ports are HDFS's defaults, and free ones
 * where those are taken or there are more nodes than one; from now on they are what the file says.
 */
int hd_cluster_init(const struct hd_cluster_plan *plan);

/* Makes the folders a cluster needs, as far as they are missing. */
int hd_cluster_make_dirs(const struct hd_cluster *c);

/* Writes core-site.xml and hdfs-site.xml for Hadoop's clients into a folder (made if missing). */
int hd_cluster_write_hadoop_conf(const struct hd_cluster *c, const char *folder);

/* Changes [mount] path in howdah.conf and keeps every other line. */
int hd_cluster_set_mount(const char *conf, const char *path);

/*
 * Until the descriptor is closed no other `howdah up` of this machine chooses ports. Waits a few
 * seconds at most and then goes on without (*ret_fd = -1).
 */
void hd_cluster_ports_lock(int *ret_fd);

#endif
