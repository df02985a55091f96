/*
 * howdah-powercut: makes a power cut of a kill. A process ran under libhowdah-powercut.so and was
 * killed; its files are as the page cache had them. `undo` takes back what no sync made durable, or
 * a part of it that the seed draws, as a disk may have kept it. See howdah-powercut(1).
 *
 *   journal.h  what the journal holds          preload.c, calls.c  who writes it
 *   load.c     reading it, what is durable      contents.c bytes of files     names.c  directories
 */
#include "fs/base/error.h"
#include "tools/powercut/undo.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

static const char usage[] =
    "usage: howdah-powercut undo JOURNAL [--seed S] [--drop all|random] [--ext4] [--keep]\n"
    "                            [--verbose]\n"
    "       howdah-powercut show JOURNAL\n"
    "\n"
    "Gives the files that a killed process wrote under libhowdah-powercut.so the contents a disk\n"
    "would have after a power cut. The process and all its threads have to be gone.\n"
    "\n"
    "  --drop all     everything that was not synced is gone (default)\n"
    "  --drop random  by the seed: dropped, kept, torn at 512 or 4096 bytes, out of order\n"
    "  --seed S       a number; the same seed and journal give the same files (default: 1)\n"
    "  --ext4         names as ext4 keeps them: in order, and a sync of any file keeps all before\n"
    "  --keep         leave the journal there\n";

static int bad_usage(const char *what)
{
    fprintf(stderr, "howdah-powercut: %s\n%s", what, usage);
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct hd_undo_options *o)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"drop", required_argument, NULL, 'd'},
        {"ext4", no_argument, NULL, 'e'},
        {"keep", no_argument, NULL, 'k'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end = NULL;
        switch (c) {
        case 's':
            o->seed = strtoull(optarg, &end, 10);
            if (*end != '\0' || end == optarg) {
                return bad_usage("--seed takes a number");
            }
            break;
        case 'd':
            o->random = strcmp(optarg, "random") == 0;
            if (!o->random && strcmp(optarg, "all") != 0) {
                return bad_usage("--drop takes all or random");
            }
            break;
        case 'e':
            o->ext4 = true;
            break;
        case 'k':
            o->keep = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct hd_undo_options o = {.seed = 1};
    int rc = parse(argc, argv, &o);
    if (rc != 0) {
        return rc;
    }
    if (argc - optind != 2) {
        return bad_usage("a verb and a journal are needed");
    }
    bool show = strcmp(argv[optind], "show") == 0;
    if (!show && strcmp(argv[optind], "undo") != 0) {
        return bad_usage("the verbs are undo and show");
    }
    struct hd_undo_counts counts = {0};
    struct hd_undo u = {.options = o};
    int err = hd_undo_load(&u, argv[optind + 1]);
    if (err == 0 && show) {
        hd_undo_show(&u);
    } else if (err == 0) {
        err = hd_undo_run(&u, &counts);
    }
    hd_undo_done(&u);
    if (err < 0) {
        fprintf(stderr, "howdah-powercut: %s\n", hd_fail_describe(err));
        return EXIT_FAILURE;
    }
    if (!show) {
        printf("seed=%" PRIu64 " files=%" PRIu64 " writes=%" PRIu64 " dropped=%" PRIu64
               " torn=%" PRIu64 " names=%" PRIu64 " undone=%" PRIu64 "\n",
               o.seed, counts.files, counts.writes, counts.dropped, counts.torn, counts.names,
               counts.undone);
    }
    return EXIT_SUCCESS;
}
