/* See settings.h. */
#include "runner/lib/settings.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS_MAX = 1024 };

static char *join(const char *a, const char *b)
{
    char *out = NULL;
    return asprintf(&out, "%s%s", a, b) < 0 ? NULL : out;
}

static int load_agent(struct hd_runner_settings *s, const char *name)
{
    struct hd_config_at at = {.config = s->config, .instance = name, .section = "runner"};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int err = hd_config_int(at, "slots", HD_MAX(cores, 1L), &s->slots);
    if (err < 0) {
        return err;
    }
    if (s->slots < 1 || s->slots > SLOTS_MAX) {
        return hd_fail(-HD_E_CONFIG, "%s: slots = %lld: expected 1 to %d", name,
                       (long long)s->slots, SLOTS_MAX);
    }
    const char *data_node = hd_config_str(at, "data_node", NULL);
    if (data_node != NULL) {
        struct hd_config_at data = {.config = s->config, .instance = data_node, .section = "data"};
        s->data_node = strdup(hd_config_str(data, "address", "127.0.0.1:9866"));
    }
    s->address = strdup(hd_config_str(at, "address", "0.0.0.0:0"));
    return s->address != NULL && (data_node == NULL || s->data_node != NULL) ? 0 : -ENOMEM;
}

int hd_runner_settings_load(const char *path, const char *name, struct hd_runner_settings *ret)
{
    struct hd_runner_settings s = {0};
    int err = hd_config_load(path, &s.config);
    if (err < 0) {
        return err;
    }
    struct hd_config_at cluster = {.config = s.config, .section = "cluster"};
    struct hd_config_at data = {.config = s.config, .section = "data"};
    struct hd_config_at runner = {.config = s.config, .instance = name, .section = "runner"};
    const char *dir = hd_config_str(cluster, "dir", "/var/lib/howdah");
    const char *own_dir = hd_config_str(runner, "dir", NULL);
    const char *socket = hd_config_str(data, "socket_path", NULL);
    const char *host = hd_config_str(cluster, "host_name", NULL);
    s.uri = strdup(hd_config_str(cluster, "uri", "hdfs://127.0.0.1:8020"));
    s.manager_address = strdup(hd_config_str(runner, "manager_address", "127.0.0.1:8032"));
    s.dir = own_dir != NULL ? strdup(own_dir) : join(dir, "/runner");
    s.socket_path = socket != NULL ? strdup(socket) : join(dir, "/run/data_PORT.sock");
    const struct hd_config_at manager = {.config = s.config, .section = "manager"};
    const char *http = hd_config_str(manager, "http_address", NULL);
    s.http_address = http != NULL ? strdup(http) : NULL;
    s.host_name = host != NULL ? strdup(host) : NULL;
    if (s.uri == NULL || s.manager_address == NULL || s.dir == NULL || s.socket_path == NULL ||
        (host != NULL && s.host_name == NULL)) {
        err = -ENOMEM;
    }
    if (err == 0 && name != NULL && strncmp(name, "agent", 5) == 0) {
        err = load_agent(&s, name);
    }
    if (err < 0) {
        hd_runner_settings_done(&s);
        return err;
    }
    *ret = s;
    return 0;
}

void hd_runner_settings_done(struct hd_runner_settings *s)
{
    hd_config_free(s->config);
    free(s->uri);
    free(s->manager_address);
    free(s->http_address);
    free(s->dir);
    free(s->host_name);
    free(s->socket_path);
    free(s->address);
    free(s->data_node);
    *s = (struct hd_runner_settings){0};
}

int hd_runner_fs_open(const struct hd_runner_settings *s, const char *prefix, bool relaxed,
                      struct hd_fs **ret)
{
    struct hd_config_at secondary = {.config = s->config, .section = "secondary"};
    struct hd_fs_options o = {
        .uri = s->uri,
        /* who serves names after a promotion */
        .meta_addresses = s->config != NULL ? hd_config_str(secondary, "rpc_address", NULL) : NULL,
        .client_name_prefix = prefix,
        .retry_safe_mode = true,
        .relaxed = relaxed,
        .short_circuit = true,
        .socket_path = s->socket_path,
        .host_name = s->host_name};
    return hd_fs_open(&o, ret);
}
