/*
 * Subcommands of howdah admin: what each gets, and where those live that have a file of their own.
 * cmd_admin.c has the table.
 */
#ifndef HD_TOOLS_ADMIN_H
#define HD_TOOLS_ADMIN_H

#include "tools/cluster.h"
#include "tools/cmd.h"
#include "tools/meta_call.h"

/* What every subcommand gets. */
struct hd_admin {
    const struct hd_command *self;
    struct hd_cluster cluster;
    struct hd_meta_call meta;
    bool json;
    bool yes;             /* --yes: do not ask */
    bool force;           /* --force */
    const char *duration; /* of --for; NULL: not given */
    const char *names;    /* --names, --bytes: of quotas */
    const char *bytes;
};

/* The name the configuration gives a data node ("data-1"), else its address ("ip:port"). */
const char *hd_admin_node_name(const struct hd_cluster *c, const char *address);

/* The same of a node that meta reports; the name it calls itself when the configuration has none.
 */
const char *hd_admin_report_name(const struct hd_cluster *c, const Hdw__NodeReport *n);

/* argv[0] is the subcommand's name. Return the exit status. */
int hd_admin_report(struct hd_admin *a, int argc, char **argv);
int hd_admin_decommission(struct hd_admin *a, int argc, char **argv);
int hd_admin_recommission(struct hd_admin *a, int argc, char **argv);
int hd_admin_maintenance(struct hd_admin *a, int argc, char **argv);
int hd_admin_topology(struct hd_admin *a, int argc, char **argv);
int hd_admin_promote(struct hd_admin *a, int argc, char **argv);
int hd_admin_quota(struct hd_admin *a, int argc, char **argv);
int hd_admin_scan(struct hd_admin *a, int argc, char **argv);

#endif
