/*
 * howdah: the one command of an operator and a user.
 *
 *   main.c        the table of commands, --help, --version
 *   cmd.[ch]      what commands share: options, usage errors
 *   cmd_up.c      starts a cluster on this machine        cmd_down.c   stops it
 *   cmd_status.c  what runs, and how it is                cmd_fsck.c   files, blocks and where they
 * are cmd_admin.c   report, safe mode, checkpoints          cmd_fs.c     Hadoop's file system shell
 *   fs_*.c        the verbs of cmd_fs.c                   cluster*.c   what a cluster on one
 * machine consists of process.c     pid files, starting and stopping        probe.c      asking the
 * daemons how they are
 */
#include "tools/cmd.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct hd_command *const commands[] = {
    &hd_cmd_up,    &hd_cmd_down, &hd_cmd_status,   &hd_cmd_fs,
    &hd_cmd_admin, &hd_cmd_fsck, &hd_cmd_balancer, &hd_cmd_drill,
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: howdah COMMAND [arguments]\n\n");
    for (size_t i = 0; i < HD_ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(
        out,
        "\n`howdah COMMAND --help` says more. Commands but `up` find the cluster by --dir DIR,\n"
        "else HOWDAH_CONF, else ~/.howdah/howdah.conf, else /etc/howdah/howdah.conf.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return HD_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return HD_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("howdah %s\n", HD_VERSION);
        return HD_EXIT_OK;
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i]->name) == 0) {
            return commands[i]->run(commands[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "howdah: %s: no such command; `howdah --help` lists them\n", argv[1]);
    return HD_EXIT_USAGE;
}
