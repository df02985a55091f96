/*
 * The commands of `howdah`: one file each (cmd_*.c), behind the table of main.c.
 *
 * A command gets its own arguments, argv[0] being its name, and returns the exit code of the
 * process: 0 good, 1 the thing asked for failed, 64 the arguments make no sense. `fs` and `fsck`
 * keep Hadoop's codes.
 */
#ifndef HD_TOOLS_CMD_H
#define HD_TOOLS_CMD_H

enum { HD_EXIT_OK = 0, HD_EXIT_FAILED = 1, HD_EXIT_USAGE = 64 };

#define HD_VERSION "0.1.0"

struct hd_command {
    const char *name;
    const char *summary; /* one line of `howdah --help` */
    const char *usage;   /* the whole text of `howdah NAME --help` */
    int (*run)(const struct hd_command *self, int argc, char **argv);
};

extern const struct hd_command hd_cmd_up;
extern const struct hd_command hd_cmd_down;
extern const struct hd_command hd_cmd_status;
extern const struct hd_command hd_cmd_fs;
extern const struct hd_command hd_cmd_admin;
extern const struct hd_command hd_cmd_fsck;
extern const struct hd_command hd_cmd_balancer;
extern const struct hd_command hd_cmd_drill; /* tools/drill/cmd_drill.c */

/* Writes the command's usage to stdout; 0. What --help does. */
int hd_cmd_help(const struct hd_command *self);

/* "howdah NAME: message" and a hint on stderr; HD_EXIT_USAGE. */
int hd_cmd_usage(const struct hd_command *self, const char *fmt, ...) HD_PRINTF(2, 3);

/* "howdah NAME: <failure text of err>" on stderr; HD_EXIT_FAILED. */
int hd_cmd_fail(const struct hd_command *self, int err);

/*
 * Options of the form --name, --name VALUE and --name=VALUE, anywhere among the arguments. They are
 * taken out of argv; "--" ends them. An unknown one prints a usage error. Returns 0,
 * HD_EXIT_USAGE, or -1 after --help was printed.
 */
struct hd_option {
    const char *name;   /* without the dashes */
    const char **value; /* where its value goes; NULL for a flag */
    bool *flag;         /* set for a flag */
};
int hd_cmd_options(const struct hd_command *self, const struct hd_option *options, int *argc,
                   char **argv);

#endif
