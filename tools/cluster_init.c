/* The first run of `howdah up`. See cluster_init.h. */
#include "tools/cluster_init.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    /* Below the range the kernel takes for outgoing connections, where a port would not stay free.
     */
    FIRST_SPARE_PORT = 20000,
    LAST_SPARE_PORT = 31999,
    SPARE_PORTS = LAST_SPARE_PORT - FIRST_SPARE_PORT + 1,
    PORTS_A_CLUSTER = 20, /* about what three nodes take */
    DIR_MAX_BYTES = 80,   /* DIR/run/data_65535.sock has to fit into a UNIX socket address */
    MAX_CONF_BYTES = 1 << 20,
    LOCK_WAIT_MS = 5000,
};

static const char host[] = "127.0.0.1";

#define HD_NAME_SERVICE "howdah" /* what Hadoop's clients call the two metas */

/* Ports chosen so far: each is held open, so that no two members get the same one. */
struct ports {
    int fds[HD_NODES_MAX * 4 + 8];
    size_t count;
    int next_spare;
    bool spare_only;
};

static void ports_done(struct ports *p)
{
    for (size_t i = 0; i < p->count; i++) {
        close(p->fds[i]);
    }
    free(p);
}

static void ports_freep(struct ports **p)
{
    if (*p != NULL) {
        ports_done(*p);
    }
}

static bool try_port(struct ports *p, int port)
{
    char address[64];
    int got;
    snprintf(address, sizeof(address), "%s:%d", host, port);
    if (p->count == HD_ARRAY_COUNT(p->fds) ||
        hd_addr_listen(address, &p->fds[p->count], &got) < 0) {
        return false;
    }
    p->count++;
    return true;
}

/*
 * Where the search for spare ports begins: elsewhere for each DIR, so that a cluster which happens
 * to be down rarely finds its ports taken by one that was made meanwhile.
 */
static int first_spare(const char *dir)
{
    uint64_t hash = hd_hash_bytes(dir, strlen(dir));
    return FIRST_SPARE_PORT + (int)(hash % (SPARE_PORTS / PORTS_A_CLUSTER)) * PORTS_A_CLUSTER;
}

/* wanted if it is free (0: no wish), else a spare one; 0 when nothing is free. */
static int choose_port(struct ports *p, int wanted)
{
    if (wanted != 0 && !p->spare_only && try_port(p, wanted)) {
        return wanted;
    }
    for (int tried = 0; tried < SPARE_PORTS; tried++) {
        int port = p->next_spare++;
        p->next_spare = p->next_spare <= LAST_SPARE_PORT ? p->next_spare : FIRST_SPARE_PORT;
        if (try_port(p, port)) {
            return port;
        }
    }
    return 0;
}

static int add_address(struct hd_buf *out, struct ports *p, const char *key, int wanted)
{
    int port = choose_port(p, wanted);
    if (port == 0) {
        return hd_fail(-EADDRINUSE, "no free port between %d and %d", FIRST_SPARE_PORT,
                       LAST_SPARE_PORT);
    }
    return hd_buf_addf(out, "%s = %s:%d\n", key, host, port);
}

static int add_meta(struct hd_buf *out, struct ports *p, const struct hd_cluster_plan *plan)
{
    int port = choose_port(p, 8020);
    if (port == 0) {
        return hd_fail(-EADDRINUSE, "no free port between %d and %d", FIRST_SPARE_PORT,
                       LAST_SPARE_PORT);
    }
    int rc = hd_buf_addf(
        out,
        "# Made by `howdah up`; howdah.conf(5) describes every key. Ports stay as they are here.\n"
        "[cluster]\nuri = hdfs://%s:%d\ndir = %s\ndrills = on\n\n"
        "[meta]\nrpc_address = %s:%d\n",
        host, port, plan->dir, host, port);
    if (rc == 0) {
        rc = add_address(out, p, "http_address", 9870);
    }
    if (rc == 0) {
        rc =
            hd_buf_addf(out, "dir = %s/meta\nreplication = %d\n\n[secondary]\ndir = %s/secondary\n",
                        plan->dir, HD_MIN(plan->nodes, 3), plan->dir);
    }
    return rc == 0 ? add_address(out, p, "rpc_address", 9868) : rc;
}

static int add_data(struct hd_buf *out, struct ports *p, const struct hd_cluster_plan *plan, int n)
{
    bool first = n == 1; /* only one can have the default ports */
    int rc = hd_buf_addf(out, "\n[data-%d]\n", n);
    if (rc == 0) {
        rc = add_address(out, p, "address", first ? 9866 : 0);
    }
    if (rc == 0) {
        rc = add_address(out, p, "ipc_address", first ? 9867 : 0);
    }
    if (rc == 0) {
        rc = add_address(out, p, "http_address", first ? 9864 : 0);
    }
    return rc == 0 ? hd_buf_addf(out, "dir = %s/data-%d\n", plan->dir, n) : rc;
}

static int add_agent(struct hd_buf *out, struct ports *p, const struct hd_cluster_plan *plan, int n)
{
    int slots = plan->cores / plan->nodes + (n <= plan->cores % plan->nodes);
    int rc = hd_buf_addf(out, "\n[agent-%d]\n", n);
    if (rc == 0) {
        rc = add_address(out, p, "address", 0);
    }
    return rc == 0 ? hd_buf_addf(out, "data_node = data-%d\nslots = %d\n", n, HD_MAX(slots, 1))
                   : rc;
}

static int write_conf_text(struct hd_buf *out, struct ports *p, const struct hd_cluster_plan *plan)
{
    int rc = add_meta(out, p, plan);
    if (rc == 0) {
        rc = hd_buf_addf(out, "\n[data]\nsocket_path = %s/run/data_PORT.sock\n", plan->dir);
    }
    for (int n = 1; rc == 0 && n <= plan->nodes; n++) {
        rc = add_data(out, p, plan, n);
    }
    if (rc == 0 && plan->mount != NULL) {
        rc = hd_buf_addf(out, "\n[mount]\npath = %s\n", plan->mount);
    }
    if (rc == 0) {
        rc = hd_buf_addf(out, "\n[runner]\ndir = %s/runner\n", plan->dir);
    }
    if (rc == 0) {
        rc = add_address(out, p, "manager_address", 8032);
    }
    if (rc == 0) {
        rc = hd_buf_addf(out, "\n[manager]\n");
    }
    if (rc == 0) {
        rc = add_address(out, p, "http_address", 8088);
    }
    for (int n = 1; rc == 0 && n <= plan->nodes; n++) {
        rc = add_agent(out, p, plan, n);
    }
    return rc;
}

int hd_cluster_init(const struct hd_cluster_plan *plan)
{
    char path[HD_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = MAX_CONF_BYTES};
    HD_AUTO(ports_freep) struct ports *ports = calloc(1, sizeof(*ports));
    if (ports == NULL) {
        return -ENOMEM;
    }
    if (strlen(plan->dir) > DIR_MAX_BYTES) {
        return hd_fail(-ENAMETOOLONG,
                       "%s: a path above %d bytes leaves no room for UNIX sockets below it",
                       plan->dir, DIR_MAX_BYTES);
    }
    if (strpbrk(plan->dir, ",;#\n") != NULL ||
        (plan->mount != NULL && strpbrk(plan->mount, ";#\n") != NULL)) {
        return hd_fail(-EINVAL, "%s: a path with one of , ; # cannot be written into howdah.conf",
                       plan->dir);
    }
    ports->next_spare = first_spare(plan->dir);
    ports->spare_only = plan->spare_ports;
    int rc = hd_dir_make(plan->dir, 0755);
    if (rc == 0) {
        rc = write_conf_text(&text, ports, plan);
    }
    if (rc < 0) {
        return rc;
    }
    snprintf(path, sizeof(path), "%s/howdah.conf", plan->dir);
    return hd_file_replace(path, text.data, text.size, 0644);
}

static int make_below(const struct hd_cluster *c, const char *name, mode_t mode)
{
    char path[HD_PATH_BYTES];
    if (snprintf(path, sizeof(path), "%s/%s", c->dir, name) >= (int)sizeof(path)) {
        return hd_fail(-ENAMETOOLONG, "%s", c->dir);
    }
    return hd_dir_make(path, mode);
}

/* Each directory of a comma list. */
static int make_list(const char *dirs, mode_t mode)
{
    char dir[HD_PATH_BYTES];
    int rc = 0;
    while (rc == 0 && *dirs != '\0') {
        size_t size = strcspn(dirs, ",");
        snprintf(dir, sizeof(dir), "%.*s", (int)size, dirs);
        rc = hd_dir_make(dir + strspn(dir, " "), mode);
        dirs += size + (dirs[size] == ',');
    }
    return rc;
}

int hd_cluster_make_dirs(const struct hd_cluster *c)
{
    int rc = make_below(c, "run", 0755);
    if (rc == 0) {
        rc = make_below(c, "log", 0755);
    }
    for (size_t i = 0; rc == 0 && i < c->member_count; i++) {
        bool mount =
            c->members[i].role == HD_ROLE_MOUNT; /* its directory may be a dead mount: cmd_up.c */
        rc = mount ? 0 : make_list(c->members[i].dirs, 0700);
    }
    return rc;
}

static int add_property(struct hd_buf *out, const char *name, const char *value)
{
    return hd_buf_addf(out, "  <property><name>%s</name><value>%s</value></property>\n", name,
                       value);
}

/*
 * Both metas as one name service, hdfs://howdah: Hadoop's clients then go over to the one that
 * serves. Without it they know the one address of fs.defaultFS.
 */
static int add_name_service(struct hd_buf *out, const struct hd_cluster *c)
{
    static const char *const fixed[][2] = {
        {"dfs.nameservices", HD_NAME_SERVICE},
        {"dfs.ha.namenodes." HD_NAME_SERVICE, "meta,secondary"},
        {"dfs.client.failover.proxy.provider." HD_NAME_SERVICE,
         "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"},
        {"dfs.ha.automatic-failover.enabled", "false"},
        {"dfs.client.failover.sleep.base.millis", "100"},
        {"dfs.client.failover.sleep.max.millis", "1500"},
        {"ipc.client.connect.max.retries", "1"},
        {"ipc.client.connect.max.retries.on.timeouts", "1"},
        {"ipc.client.connect.timeout", "2000"},
    };
    int rc = 0;
    for (size_t i = 0; i < HD_ARRAY_COUNT(fixed) && rc == 0; i++) {
        rc = add_property(out, fixed[i][0], fixed[i][1]);
    }
    if (rc == 0) {
        rc =
            add_property(out, "dfs.namenode.rpc-address." HD_NAME_SERVICE ".meta", c->meta_address);
    }
    if (rc == 0) {
        rc = add_property(out, "dfs.namenode.rpc-address." HD_NAME_SERVICE ".secondary",
                          strchr(c->metas, ',') + 1);
    }
    return rc;
}

/* ha: NULL, or the cluster whose two metas the file names. */
static int write_site(const char *folder, const char *file, const char *const *pairs,
                      const struct hd_cluster *ha)
{
    char path[HD_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = MAX_CONF_BYTES};
    int rc = hd_buf_add_str(&text, "<?xml version=\"1.0\"?>\n<configuration>\n");
    for (; rc == 0 && pairs[0] != NULL; pairs += 2) {
        rc = add_property(&text, pairs[0], pairs[1]);
    }
    if (rc == 0 && ha != NULL) {
        rc = add_name_service(&text, ha);
    }
    if (rc == 0) {
        rc = hd_buf_add_str(&text, "</configuration>\n");
    }
    if (rc < 0) {
        return rc;
    }
    if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path)) {
        return hd_fail(-ENAMETOOLONG, "%s", folder);
    }
    return hd_file_replace(path, text.data, text.size, 0644);
}

int hd_cluster_write_hadoop_conf(const struct hd_cluster *c, const char *folder)
{
    struct hd_config_at meta = {.config = c->config, .section = "meta"};
    uint64_t block_size;
    int64_t replication;
    char block_text[24];
    char replication_text[24];
    int rc = hd_config_bytes(meta, "block_size", HD_DEFAULT_BLOCK_SIZE, &block_size);
    if (rc == 0) {
        rc = hd_config_int(meta, "replication", 3, &replication);
    }
    if (rc == 0) {
        rc = hd_dir_make(folder, 0755);
    }
    if (rc < 0) {
        return rc;
    }
    snprintf(block_text, sizeof(block_text), "%" PRIu64, block_size);
    snprintf(replication_text, sizeof(replication_text), "%" PRId64, replication);
    const char *const core[] = {"fs.defaultFS", c->uri, "hadoop.security.authentication", "simple",
                                NULL};
    const char *const hdfs[] = {"dfs.namenode.rpc-address",
                                c->meta_address,
                                "dfs.replication",
                                replication_text,
                                "dfs.blocksize",
                                block_text,
                                "dfs.client.use.datanode.hostname",
                                "false",
                                "dfs.client.read.shortcircuit",
                                "false",
                                "dfs.client.block.write.replace-datanode-on-failure.best-effort",
                                "true",
                                NULL};
    rc = write_site(folder, "core-site.xml", core, NULL);
    return rc == 0 ? write_site(folder, "hdfs-site.xml", hdfs, strchr(c->metas, ',') ? c : NULL)
                   : rc;
}

/* One line of the file: the new path for [mount] path, else the line as it is. */
static int copy_line(struct hd_buf *out, const char *line, size_t size, bool in_mount,
                     const char *path)
{
    const char *at = line + strspn(line, " \t");
    if (in_mount && strncmp(at, "path", 4) == 0 &&
        (at[4] == ' ' || at[4] == '=' || at[4] == '\t')) {
        return hd_buf_addf(out, "path = %s\n", path);
    }
    return hd_buf_add(out, line, size);
}

int hd_cluster_set_mount(const char *conf, const char *path)
{
    HD_AUTO(hd_buf_done) struct hd_buf old = {0};
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = MAX_CONF_BYTES};
    bool in_mount = false;
    bool seen = false;
    int rc = hd_file_read(conf, MAX_CONF_BYTES, &old);
    const char *line = rc == 0 ? hd_buf_str(&old) : NULL;
    if (line == NULL) {
        return rc < 0 ? rc : -ENOMEM;
    }
    while (rc == 0 && *line != '\0') {
        const char *newline = strchr(line, '\n');
        size_t size = newline != NULL ? (size_t)(newline - line) + 1 : strlen(line);
        if (line[0] == '[') {
            in_mount = strncmp(line, "[mount]", 7) == 0;
            seen = seen || in_mount;
        }
        rc = copy_line(&text, line, size, in_mount, path);
        line += size;
    }
    if (rc == 0 && !seen) {
        rc = hd_buf_addf(&text, "\n[mount]\npath = %s\n", path);
    }
    return rc == 0 ? hd_file_replace(conf, text.data, text.size, 0644) : rc;
}

void hd_cluster_ports_lock(int *ret_fd)
{
    static const char name[] =
        "howdah-ports"; /* abstract: one for each network namespace, as ports are */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name));
    memcpy(addr.sun_path + 1, name, sizeof(name) - 1);
    int64_t deadline_ms = hd_clock_mono_ms().v + LOCK_WAIT_MS;
    *ret_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    while (*ret_fd >= 0 && bind(*ret_fd, (struct sockaddr *)&addr, size) < 0) {
        if (errno != EADDRINUSE || hd_clock_mono_ms().v >= deadline_ms) {
            hd_fd_done(ret_fd);
            return;
        }
        hd_clock_sleep_ms(20);
    }
}
