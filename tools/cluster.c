/* A cluster as its configuration describes it. See cluster.h. */
#include "tools/cluster.h"
#include "fs/base/error.h"

#include <inttypes.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct role_row {
    const char *name;
    const char *section; /* of the configuration */
    const char *program;
    const char *address_key;
    const char *dir_key;
} roles[] = {
    [HD_ROLE_META] = {"meta", "meta", "howdah-meta", "rpc_address", "dir"},
    [HD_ROLE_SECONDARY] = {"secondary", "secondary", "howdah-meta", "rpc_address", "dir"},
    [HD_ROLE_DATA] = {"data", "data", "howdah-data", "address", "dir"},
    [HD_ROLE_MANAGER] = {"manager", "runner", "howdah-runner", "manager_address", "dir"},
    [HD_ROLE_AGENT] = {"agent", "runner", "howdah-runner", "address", "dir"},
    [HD_ROLE_MOUNT] = {"mount", "mount", "howdah-mount", "path", "path"},
};

const char *hd_role_name(enum hd_role role)
{
    return roles[role].name;
}

static int copy_text(char *out, size_t size, const char *text, const char *what)
{
    if (snprintf(out, size, "%s", text) >= (int)size) {
        return hd_fail(-HD_E_CONFIG, "%s: longer than %zu bytes: %s", what, size - 1, text);
    }
    return 0;
}

static struct hd_config_at at_of(const struct hd_cluster *c, const char *name, enum hd_role role)
{
    return (struct hd_config_at){
        .config = c->config, .instance = name, .section = roles[role].section};
}

const char *hd_member_str(const struct hd_cluster *c, const struct hd_member *m, const char *key,
                          const char *fallback)
{
    return hd_config_str(at_of(c, m->name, m->role), key, fallback);
}

static int add_member(struct hd_cluster *c, enum hd_role role, const char *name)
{
    struct hd_member *m = &c->members[c->member_count];
    *m = (struct hd_member){.role = role, .program = roles[role].program};
    int rc = copy_text(m->name, sizeof(m->name), name, "daemon name");
    if (rc == 0) {
        rc = copy_text(m->address, sizeof(m->address),
                       hd_member_str(c, m, roles[role].address_key, ""), name);
    }
    if (rc == 0) {
        rc = copy_text(m->http, sizeof(m->http), hd_member_str(c, m, "http_address", ""), name);
    }
    if (rc == 0) {
        rc =
            copy_text(m->dirs, sizeof(m->dirs), hd_member_str(c, m, roles[role].dir_key, ""), name);
    }
    if (rc == 0) {
        c->member_count++;
    }
    return rc;
}

/* True when the configuration has a value for key in exactly this section. */
static bool has_section(const struct hd_cluster *c, const char *section, const char *key)
{
    return hd_config_str((struct hd_config_at){.config = c->config, .section = section}, key,
                         NULL) != NULL;
}

/* The numbered instances data-1, data-2 ... (agent-1 ...): as many as follow each other. */
static int count_instances(const struct hd_cluster *c, const char *role)
{
    int n = 0;
    char section[32];
    for (; n < HD_NODES_MAX; n++) {
        snprintf(section, sizeof(section), "%s-%d", role, n + 1);
        if (!has_section(c, section, "address")) {
            break;
        }
    }
    return n;
}

static int add_instances(struct hd_cluster *c, enum hd_role role, int count)
{
    char name[32];
    int rc = 0;
    for (int i = 1; rc == 0 && i <= count; i++) {
        snprintf(name, sizeof(name), "%s-%d", roles[role].name, i);
        rc = add_member(c, role, name);
    }
    return rc;
}

static int add_members(struct hd_cluster *c)
{
    int data = count_instances(c, "data");
    int agents = count_instances(c, "agent");
    c->nodes = data;
    c->members = calloc((size_t)(data + agents + 4), sizeof(*c->members));
    if (c->members == NULL) {
        return -ENOMEM;
    }
    int rc = has_section(c, "meta", "rpc_address") ? add_member(c, HD_ROLE_META, "meta") : 0;
    if (rc == 0 && has_section(c, "secondary", "dir")) {
        rc = add_member(c, HD_ROLE_SECONDARY, "secondary");
    }
    if (rc == 0) {
        rc = add_instances(c, HD_ROLE_DATA, data);
    }
    if (rc == 0 && has_section(c, "runner", "manager_address")) {
        rc = add_member(c, HD_ROLE_MANAGER, "manager");
    }
    if (rc == 0) {
        rc = add_instances(c, HD_ROLE_AGENT, agents);
    }
    if (rc == 0 && c->mount[0] != '\0') {
        rc = add_member(c, HD_ROLE_MOUNT, "mount");
    }
    return rc;
}

/* Where conf lies, for a configuration that does not name its directory. */
static int parent_of(const char *conf, char out[HD_PATH_BYTES])
{
    int rc = copy_text(out, HD_PATH_BYTES, conf, "configuration");
    char *slash = rc == 0 ? strrchr(out, '/') : NULL;
    if (slash != NULL) {
        *slash = '\0';
    }
    return rc;
}

static int load_cluster_keys(struct hd_cluster *c)
{
    struct hd_config_at cluster = {.config = c->config, .section = "cluster"};
    struct hd_config_at meta = {.config = c->config, .section = "meta"};
    struct hd_config_at mount = {.config = c->config, .section = "mount"};
    struct hd_config_at data = {.config = c->config, .section = "data"};
    const char *uri = hd_config_str(cluster, "uri", NULL);
    const char *dir = hd_config_str(cluster, "dir", NULL);
    if (uri == NULL || strncmp(uri, "hdfs://", 7) != 0) {
        return hd_fail(-HD_E_CONFIG, "%s: [cluster] uri = hdfs://HOST:PORT is missing", c->conf);
    }
    int rc = copy_text(c->uri, sizeof(c->uri), uri, "[cluster] uri");
    if (rc < 0) {
        return rc;
    }
    size_t size = strlen(c->uri);
    if (c->uri[size - 1] == '/') {
        c->uri[size - 1] = '\0';
    }
    if ((rc = copy_text(c->meta_address, sizeof(c->meta_address), c->uri + 7, "[cluster] uri")) <
            0 ||
        (rc = copy_text(c->mount, sizeof(c->mount), hd_config_str(mount, "path", ""),
                        "[mount] path")) < 0 ||
        (rc = copy_text(c->host_name, sizeof(c->host_name), hd_config_str(cluster, "host_name", ""),
                        "[cluster] host_name")) < 0 ||
        (rc = copy_text(c->socket_path, sizeof(c->socket_path),
                        hd_config_str(data, "socket_path", ""), "[data] socket_path")) < 0 ||
        (rc = hd_config_int(meta, "stale_ms", 5000, &c->stale_ms)) < 0) {
        return rc;
    }
    rc = dir != NULL ? copy_text(c->dir, sizeof(c->dir), dir, "[cluster] dir")
                     : parent_of(c->conf, c->dir);
    if (rc == 0 && c->socket_path[0] == '\0' &&
        snprintf(c->socket_path, sizeof(c->socket_path), "%s/run/data_PORT.sock", c->dir) >=
            (int)sizeof(c->socket_path)) {
        c->socket_path[0] = '\0';
    }
    return rc;
}

/* Another meta that may serve now. */
static const char *secondary_address(const struct hd_cluster *c)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_SECONDARY) {
            return c->members[i].address;
        }
    }
    return NULL;
}

int hd_cluster_load(const char *conf, struct hd_cluster *ret)
{
    struct hd_cluster c = {0};
    char real[PATH_MAX];
    if (realpath(conf, real) == NULL) {
        return hd_fail_errno(errno, "%s", conf);
    }
    int rc = copy_text(c.conf, sizeof(c.conf), real, "configuration");
    if (rc == 0) {
        rc = hd_config_load(c.conf, &c.config);
    }
    if (rc == 0) {
        rc = load_cluster_keys(&c);
    }
    if (rc == 0) {
        rc = add_members(&c);
    }
    if (rc == 0) {
        const char *second = secondary_address(&c);
        snprintf(c.metas, sizeof(c.metas), "%s%s%s", c.meta_address, second != NULL ? "," : "",
                 second != NULL ? second : "");
    }
    if (rc < 0) {
        hd_cluster_done(&c);
        return rc;
    }
    *ret = c;
    return 0;
}

int hd_cluster_find(const char *dir, struct hd_cluster *ret)
{
    char conf[HD_PATH_BYTES];
    int rc = hd_config_find(dir, conf, sizeof(conf));
    return rc < 0 ? rc : hd_cluster_load(conf, ret);
}

void hd_cluster_done(struct hd_cluster *c)
{
    hd_config_free(c->config);
    free(c->members);
    *c = (struct hd_cluster){0};
}

void hd_member_argv(const struct hd_cluster *c, const struct hd_member *m,
                    const char *argv[HD_MEMBER_ARGS])
{
    size_t n = 0;
    argv[n++] = m->program;
    if (m->role == HD_ROLE_MOUNT) {
        argv[n++] = c->uri;
        argv[n++] = c->mount;
        argv[n++] = "-f";
    }
    argv[n++] = "--conf";
    argv[n++] = c->conf;
    if (m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY) {
        argv[n++] = "--role";
        argv[n++] = m->role == HD_ROLE_META ? "primary" : "secondary";
    } else if (m->role == HD_ROLE_MANAGER || m->role == HD_ROLE_AGENT) {
        argv[n++] = "--role";
        argv[n++] = hd_role_name(m->role);
    }
    if (m->role != HD_ROLE_MOUNT) {
        argv[n++] = "--name";
        argv[n++] = m->name;
    }
    argv[n] = NULL;
}

static void run_path(const struct hd_cluster *c, const char *folder, const char *name,
                     const char *suffix, char out[HD_PATH_BYTES])
{
    int n = snprintf(out, HD_PATH_BYTES, "%s/%s/%s.%s", c->dir, folder, name, suffix);
    if (n >= HD_PATH_BYTES) {
        out[0] = '\0'; /* refused when DIR was made; see cluster_init.c */
    }
}

void hd_member_pid_path(const struct hd_cluster *c, const struct hd_member *m,
                        char out[HD_PATH_BYTES])
{
    run_path(c, "run", m->name, "pid", out);
}

void hd_member_log_path(const struct hd_cluster *c, const struct hd_member *m,
                        char out[HD_PATH_BYTES])
{
    run_path(c, "log", m->name, "log", out);
}

const char *hd_user_name(void)
{
    static char name[HD_STAT_USER_BYTES];
    const char *env = getenv("HADOOP_USER_NAME");
    if (env != NULL && env[0] != '\0') {
        return env;
    }
    if (name[0] == '\0') {
        const struct passwd *pw = getpwuid(geteuid());
        if (pw != NULL) {
            snprintf(name, sizeof(name), "%s", pw->pw_name);
        } else {
            snprintf(name, sizeof(name), "%u", (unsigned)geteuid());
        }
    }
    return name;
}

int hd_cluster_open_fs(const struct hd_cluster *c, const char *uri, struct hd_fs **ret)
{
    struct hd_fs_options options = {
        .uri = uri != NULL ? uri : c->uri,
        .meta_addresses = uri == NULL || strcmp(uri, c->uri) == 0 ? secondary_address(c) : NULL,
        .user = hd_user_name(),
        .client_name_prefix = "howdah-fs",
        .short_circuit = true,
        .socket_path = c->socket_path[0] != '\0' ? c->socket_path : NULL,
        .host_name = c->host_name[0] != '\0' ? c->host_name : NULL,
    };
    return hd_fs_open(&options, ret);
}
