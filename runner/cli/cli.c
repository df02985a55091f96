/* What the verbs share. See cli.h. */
#include "runner/cli/cli.h"
#include "fs/base/error.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <stdarg.h>

enum { CONNECT_MS = 3000, PATH_BYTES = 4096 };

void hd_cli_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("runner: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

int hd_cli_exit_code(int err)
{
    switch (hd_error_errno(err)) {
    case EACCES:
    case EPERM:
        return HD_EXIT_DENIED;
    case ETIMEDOUT:
        return HD_EXIT_TIMED_OUT;
    default:
        return HD_EXIT_IO;
    }
}

int hd_cli_open(struct hd_cli *c, const char *conf, const char *dir)
{
    char found[PATH_BYTES];
    int err = 0;
    if (conf == NULL) {
        err = hd_config_find(dir, found, sizeof(found));
        conf = found;
    }
    if (err == 0) {
        err = hd_runner_settings_load(conf, NULL, &c->settings);
    }
    if (err < 0) {
        hd_cli_say("%s", hd_fail_describe(err));
        return HD_EXIT_BAD_CONF;
    }
    c->user = hd_runner_user();
    struct hd_rpc_client_options o = {.address = c->settings.manager_address,
                                      .protocol = HD_RUNNER_PROTOCOL,
                                      .user = c->user,
                                      .connect_timeout_ms = CONNECT_MS};
    err = hd_rpc_client_new(&o, &c->manager);
    if (err < 0) {
        hd_cli_say("%s", hd_fail_describe(err));
        return HD_EXIT_IO;
    }
    return 0;
}

void hd_cli_close(struct hd_cli *c)
{
    hd_rpc_client_free(c->manager);
    if (c->settings.config != NULL) {
        hd_runner_settings_done(&c->settings);
    }
}
