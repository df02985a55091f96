/* What the verbs of `howdah fs` share. See fs_shell.h. */
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- options ---- */

/* The place of an option in the verb's list, or -1. */
static int option_index(const struct hd_sh_verb *verb, const char *name, bool *ret_takes_value)
{
    const char *at = verb->options;
    for (int i = 0; at != NULL && *at != '\0'; i++) {
        size_t size = strcspn(at, " ");
        bool value = size > 0 && at[size - 1] == '=';
        if (strlen(name) == size - value && strncmp(at, name, size - value) == 0) {
            *ret_takes_value = value;
            return i;
        }
        at += size + strspn(at + size, " ");
    }
    return -1;
}

static void remove_args(struct hd_sh_args *args, int at, int count)
{
    memmove(&args->list[at], &args->list[at + count],
            (size_t)(args->count - at - count + 1) * sizeof(char *));
    args->count -= count;
}

int hd_sh_parse(struct hd_sh_args *args)
{
    while (args->verb->options != NULL && args->count > 0) {
        const char *arg = args->list[0];
        bool takes_value = false;
        if (arg[0] != '-' || arg[1] == '\0') {
            break;
        }
        if (strcmp(arg, "--") == 0) {
            remove_args(args, 0, 1);
            break;
        }
        int i = option_index(args->verb, arg + 1, &takes_value);
        if (i < 0) {
            return hd_sh_usage(args, "Illegal option %s", arg);
        }
        args->values[i] = takes_value && args->count > 1 ? args->list[1] : "";
        remove_args(args, 0, takes_value && args->count > 1 ? 2 : 1);
    }
    if (args->count < args->verb->min) {
        return hd_sh_usage(args, "Not enough arguments: expected %d but got %d", args->verb->min,
                           args->count);
    }
    if (args->verb->max >= 0 && args->count > args->verb->max) {
        return hd_sh_usage(args, "Too many arguments: expected %d but got %d", args->verb->max,
                           args->count);
    }
    return 0;
}

const char *hd_sh_value(const struct hd_sh_args *args, const char *name)
{
    bool takes_value;
    int i = option_index(args->verb, name, &takes_value);
    return i >= 0 ? args->values[i] : NULL;
}

bool hd_sh_flag(const struct hd_sh_args *args, const char *name)
{
    return hd_sh_value(args, name) != NULL;
}

int hd_sh_usage(const struct hd_sh_args *args, const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "-%s: ", args->verb->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nUsage: howdah fs [generic options] -%s %s\n", args->verb->name,
            args->verb->synopsis);
    return HD_SH_USAGE;
}

/* ---- errors ---- */

static pthread_mutex_t error_lock =
    PTHREAD_MUTEX_INITIALIZER; /* workers fail too: of exit_code and lines */

/* What Hadoop says for an error of a path; NULL when the server's own text is better. */
static const char *path_reason(int err)
{
    switch (-err) {
    case ENOENT:
        return "No such file or directory";
    case EEXIST:
        return "File exists";
    case ENOTDIR:
    case HD_E_PATH_NOT_DIR:
        return "Is not a directory";
    case EISDIR:
        return "Is a directory";
    case ENOTEMPTY:
        return "Directory is not empty";
    default:
        return NULL;
    }
}

void hd_sh_fail(struct hd_sh *sh, const char *shown, int err)
{
    const char *reason = path_reason(err);
    const char *text = hd_fail_describe(err); /* only its first line, as Hadoop */
    pthread_mutex_lock(&error_lock);
    fflush(stdout);
    sh->exit_code = HD_SH_FAILED;
    if (reason != NULL) {
        fprintf(stderr, "%s: `%s': %s\n", sh->verb, shown, reason);
    } else {
        fprintf(stderr, "%s: %.*s\n", sh->verb, (int)strcspn(text, "\n"), text);
    }
    pthread_mutex_unlock(&error_lock);
}

void hd_sh_say(struct hd_sh *sh, const char *fmt, ...)
{
    va_list ap;
    pthread_mutex_lock(&error_lock);
    fflush(stdout);
    sh->exit_code = HD_SH_FAILED;
    fprintf(stderr, "%s: ", sh->verb);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    pthread_mutex_unlock(&error_lock);
}

void hd_sh_fail_full(struct hd_sh *sh, const struct hd_sh_item *item)
{
    hd_sh_say(sh, "`%s': No such file or directory: `%s%s'", item->shown, hd_fs_uri(sh->fs),
              item->path);
}

/* ---- interrupts ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void hd_sh_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL); /* the second one ends the process */
}

bool hd_sh_interrupted(void)
{
    return interrupted != 0;
}
