/* runner: the command. A table of verbs; cli.h maps the files. */
#include "runner/cli/cli.h"

#include <signal.h>
#include <string.h>

static const char help[] =
    "Usage: runner VERB ...\n"
    "\n"
    "  streaming OPTIONS     run commands over files beside their blocks (Hadoop Streaming's "
    "options)\n"
    "  pipe 'A | B | C'      a pipeline: read PATH | flatMap tokens | count | top 10\n"
    "  run FILE.job          a job file; check and explain tell what it would do\n"
    "  map|filter|sort|... ARGS PATH...   one operation over files, its result on stdout\n"
    "  ps [--all]            running jobs\n"
    "  history               all jobs, newest first\n"
    "  show JOB              a job, its tasks, their attempts\n"
    "  logs JOB [TASK]       what attempts wrote to stderr (--failed: only failed ones)\n"
    "  why JOB               where its time went, what held it up\n"
    "  kill JOB              end a job\n"
    "  wait JOB              wait for its end\n"
    "\n"
    "Every verb takes --help, --conf FILE and --dir DIR; listings take --json. The cluster is "
    "found by\n"
    "--dir, else HOWDAH_CONF, else ~/.howdah/howdah.conf, else /etc/howdah/howdah.conf. See "
    "runner(1).\n";

static const struct {
    const char *name;
    int (*fn)(int argc, char **argv);
} verbs[] = {
    {"streaming", hd_cmd_streaming},
    {"ps", hd_cmd_ps},
    {"history", hd_cmd_history},
    {"show", hd_cmd_show},
    {"logs", hd_cmd_logs},
    {"kill", hd_cmd_kill},
    {"wait", hd_cmd_wait},
    {"why", hd_cmd_why},
    {"pipe", hd_cmd_pipe},
    {"run", hd_cmd_run},
    {"check", hd_cmd_check},
    {"explain", hd_cmd_explain},
    {"map", hd_cmd_operation},
    {"filter", hd_cmd_operation},
    {"grep", hd_cmd_operation},
    {"flatMap", hd_cmd_operation},
    {"sort", hd_cmd_operation},
    {"distinct", hd_cmd_operation},
    {"count", hd_cmd_operation},
    {"top", hd_cmd_operation},
    {"take", hd_cmd_operation},
    {"reduceByKey", hd_cmd_operation},
    {"countByValue", hd_cmd_operation},
    {"countByKey", hd_cmd_operation},
    {"join", hd_cmd_operation},
    {"union", hd_cmd_operation},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    if (argc < 2) {
        fputs(help, stderr);
        return HD_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        fputs(help, stdout);
        return HD_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("runner 0.1.0");
        return HD_EXIT_OK;
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, argv[1]) == 0) {
            return verbs[i].fn(argc - 1, argv + 1);
        }
    }
    hd_cli_say("%s: no such verb; see runner --help", argv[1]);
    return HD_EXIT_USAGE;
}
