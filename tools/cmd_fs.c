/*
 * howdah fs: Hadoop's file system shell. Finds the verb, opens the file system, keeps the exit
 * code.
 *
 *   howdah fs [--dir DIR] [-fs URI] [-D name=value] -VERB [options] arguments     (or VERB)
 */
#include "tools/cmd.h"
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct hd_sh_verb *const tables[] = {
    hd_sh_verbs_list, hd_sh_verbs_read, hd_sh_verbs_copy, hd_sh_verbs_change, hd_sh_verbs_trash,
    hd_sh_verbs_attr, hd_sh_verbs_acl,  hd_sh_verbs_info, hd_sh_verbs_find,
};

static const char intro[] =
    "usage: howdah fs [--dir DIR] [-fs URI] [-D NAME=VALUE] -COMMAND [arguments]\n\n"
    "Hadoop's file system shell. COMMAND may be written without its dash. Paths are absolute, "
    "relative\n"
    "to /user/<you>, or hdfs:// URIs; * ? [a-z] {a,b} are expanded; - is stdin or stdout.\n"
    "-D takes dfs.replication, dfs.blocksize, dfs.client.read.shortcircuit and\n"
    "fs.permissions.umask-mode.\n\n";

/* What stands before the verb. */
struct generic {
    const char *dir;
    const char *uri;
    uint32_t replication;
    uint64_t block_size_bytes;
    uint32_t umask;
    bool no_short_circuit; /* blocks of this machine are read as if they were elsewhere */
};

static const struct hd_sh_verb *find_verb(const char *name)
{
    for (size_t t = 0; t < HD_ARRAY_COUNT(tables); t++) {
        for (const struct hd_sh_verb *v = tables[t]; v->name != NULL; v++) {
            if (strcmp(v->name, name) == 0) {
                return v;
            }
        }
    }
    return NULL;
}

static void print_help(const char *only)
{
    const struct hd_sh_verb *one = only != NULL ? find_verb(only + (only[0] == '-')) : NULL;
    if (one != NULL) {
        printf("-%s %s :\n  %s\n", one->name, one->synopsis, one->help);
        return;
    }
    fputs(intro, stdout);
    for (size_t t = 0; t < HD_ARRAY_COUNT(tables); t++) {
        for (const struct hd_sh_verb *v = tables[t]; v->name != NULL; v++) {
            printf("  -%s %s\n", v->name, v->synopsis);
        }
    }
    printf("  -help [<command> ...]\n  -usage [<command> ...]\n");
}

/* -help and -usage, with or without commands. */
static int help(int argc, char **argv, bool usage_only)
{
    int rc = HD_SH_OK;
    if (argc == 0) {
        print_help(NULL);
    }
    for (int i = 0; i < argc; i++) {
        const struct hd_sh_verb *v = find_verb(argv[i] + (argv[i][0] == '-'));
        if (v == NULL) {
            fprintf(stderr, "-%s: Unknown command\n", argv[i] + (argv[i][0] == '-'));
            rc = HD_SH_USAGE;
        } else if (usage_only) {
            printf("Usage: howdah fs [generic options] -%s %s\n", v->name, v->synopsis);
        } else {
            print_help(v->name);
        }
    }
    return rc;
}

static int take_property(struct generic *g, const char *text)
{
    const char *equals = strchr(text, '=');
    const char *value = equals != NULL ? equals + 1 : "";
    size_t size = equals != NULL ? (size_t)(equals - text) : 0;
    char *end = NULL;
    if (size == 15 && strncmp(text, "dfs.replication", size) == 0) {
        unsigned long v = strtoul(value, &end, 10);
        g->replication = v > 0 && v <= HD_REPLICATION_MAX ? (uint32_t)v : 0;
        return *end == '\0' && g->replication != 0 ? 0 : -1;
    }
    if (size == 13 && strncmp(text, "dfs.blocksize", size) == 0) {
        return hd_parse_bytes(value, &g->block_size_bytes) == 0 ? 0 : -1;
    }
    if (size == 28 && strncmp(text, "dfs.client.read.shortcircuit", size) == 0) {
        g->no_short_circuit = strcmp(value, "false") == 0;
        return g->no_short_circuit || strcmp(value, "true") == 0 ? 0 : -1;
    }
    if (size == 25 && strncmp(text, "fs.permissions.umask-mode", size) == 0) {
        g->umask = (uint32_t)strtoul(value, &end, 8) & 0777;
        return *end == '\0' && value[0] != '\0' ? 0 : -1;
    }
    return size > 0 ? 0 : -1; /* Hadoop's other properties mean nothing here */
}

/*
 * Takes the generic options at argv[1...]; *ret_at is the place of the verb. 0, or HD_SH_USAGE
 * after a message.
 */
static int take_generic(struct generic *g, int argc, char **argv, int *ret_at)
{
    int at = 1;
    while (at < argc) {
        const char *arg = argv[at];
        const char **target = strcmp(arg, "--dir") == 0 ? &g->dir
                              : strcmp(arg, "-fs") == 0 ? &g->uri
                                                        : NULL;
        bool property = strncmp(arg, "-D", 2) == 0;
        bool ignored = strcmp(arg, "-conf") == 0 || strcmp(arg, "-jt") == 0;
        if (strncmp(arg, "--dir=", 6) == 0) {
            g->dir = arg + 6;
            at++;
            continue;
        }
        if (target == NULL && !property && !ignored) {
            break;
        }
        const char *value = property && arg[2] != '\0' ? arg + 2
                            : at + 1 < argc            ? argv[++at]
                                                       : NULL;
        if (value == NULL || (property && take_property(g, value) < 0)) {
            fprintf(stderr, "howdah fs: %s %s: not understood\n", arg, value != NULL ? value : "");
            return HD_SH_USAGE;
        }
        if (target != NULL) {
            *target = value;
        }
        at++;
    }
    *ret_at = at;
    return 0;
}

static int open_shell(struct hd_sh *sh, const struct generic *g)
{
    sh->umask = g->umask;
    sh->replication = g->replication;
    sh->block_size_bytes = g->block_size_bytes;
    int rc = hd_cluster_find(g->dir, &sh->cluster);
    if (rc < 0 && g->uri == NULL) {
        return rc;
    }
    hd_fail_clear();
    if (g->no_short_circuit) {
        sh->cluster.socket_path[0] = '\0';
    }
    return hd_cluster_open_fs(&sh->cluster, g->uri, &sh->fs);
}

static int finish(struct hd_sh *sh, int rc)
{
    hd_fs_close(sh->fs);
    hd_cluster_done(&sh->cluster);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        sh->exit_code = sh->exit_code != 0 ? sh->exit_code : HD_SH_FAILED;
    }
    if (hd_sh_interrupted()) {
        return HD_SH_INTERRUPTED;
    }
    return rc != 0 ? rc : sh->exit_code;
}

static int run_fs(const struct hd_command *self, int argc, char **argv)
{
    struct generic g = {.umask = 022};
    int at;
    (void)self;
    int rc = take_generic(&g, argc, argv, &at);
    if (rc != 0) {
        return rc;
    }
    if (at >= argc) {
        print_help(NULL);
        return HD_SH_USAGE;
    }
    const char *name = argv[at] + strspn(argv[at], "-");
    if (strcmp(name, "help") == 0 || strcmp(name, "usage") == 0) {
        return help(argc - at - 1, argv + at + 1, name[0] == 'u');
    }
    const struct hd_sh_verb *verb = find_verb(name);
    if (verb == NULL) {
        fprintf(stderr, "%s: Unknown command\n`howdah fs -help` lists the commands\n", argv[at]);
        return HD_SH_USAGE;
    }
    if (at + 1 < argc && strcmp(argv[at + 1], "--help") == 0) {
        print_help(verb->name);
        return HD_SH_OK;
    }
    struct hd_sh_args args = {.verb = verb, .count = argc - at - 1, .list = argv + at + 1};
    rc = hd_sh_parse(&args);
    if (rc != 0) {
        return rc;
    }
    struct hd_sh sh = {.verb = verb->name};
    rc = open_shell(&sh, &g);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", verb->name, hd_fail_describe(rc));
        hd_cluster_done(&sh.cluster);
        return HD_SH_FAILED;
    }
    hd_sh_catch_interrupts();
    return finish(&sh, verb->run(&sh, &args));
}

const struct hd_command hd_cmd_fs = {
    .name = "fs",
    .summary = "Hadoop's file system shell: -ls, -put, -cat ...",
    .usage = intro,
    .run = run_fs,
};
