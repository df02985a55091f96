/* What the commands share. See cmd.h. */
#include "tools/cmd.h"
#include "fs/base/error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

int hd_cmd_help(const struct hd_command *self)
{
    fputs(self->usage, stdout);
    return HD_EXIT_OK;
}

int hd_cmd_usage(const struct hd_command *self, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "howdah %s: ", self->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n`howdah %s --help` says how it is used\n", self->name);
    return HD_EXIT_USAGE;
}

int hd_cmd_fail(const struct hd_command *self, int err)
{
    fprintf(stderr, "howdah %s: %s\n", self->name, hd_fail_describe(err));
    return HD_EXIT_FAILED;
}

static const struct hd_option *find_option(const struct hd_option *options, const char *name,
                                           size_t size)
{
    for (; options->name != NULL; options++) {
        if (strlen(options->name) == size && memcmp(options->name, name, size) == 0) {
            return options;
        }
    }
    return NULL;
}

/* Takes one option at argv[at]; *ret_used is how many arguments it filled. */
static int take_option(const struct hd_command *self, const struct hd_option *options, int argc,
                       char **argv, int at, int *ret_used)
{
    const char *name = argv[at] + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct hd_option *o = find_option(options, name, size);
    if (o == NULL) {
        return hd_cmd_usage(self, "unknown option %s", argv[at]);
    }
    *ret_used = 1;
    if (o->flag != NULL) {
        *o->flag = true;
        return equals == NULL ? 0 : hd_cmd_usage(self, "--%s takes no value", o->name);
    }
    if (equals != NULL) {
        *o->value = equals + 1;
        return 0;
    }
    if (at + 1 >= argc) {
        return hd_cmd_usage(self, "--%s needs a value", o->name);
    }
    *o->value = argv[at + 1];
    *ret_used = 2;
    return 0;
}

int hd_cmd_options(const struct hd_command *self, const struct hd_option *options, int *argc,
                   char **argv)
{
    int kept = 1;
    bool ended = false;
    for (int i = 1; i < *argc;) {
        if (ended || argv[i][0] != '-' || argv[i][1] != '-') {
            argv[kept++] = argv[i++];
            continue;
        }
        if (argv[i][2] == '\0') {
            ended = true;
            i++;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0) {
            hd_cmd_help(self);
            return -1;
        }
        int used;
        int rc = take_option(self, options, *argc, argv, i, &used);
        if (rc != 0) {
            return rc;
        }
        i += used;
    }
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}
