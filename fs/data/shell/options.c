/* Configuration of howdah-data: sections [NAME], [data], and the address of meta. */
#include "fs/base/error.h"
#include "fs/data/shell/data.h"
#include "fs/os/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_META "127.0.0.1:8020"

enum {
    SCAN_RATE_BYTES = 4 << 20,
    BALANCE_BANDWIDTH_BYTES = 100 << 20,
    SCAN_PERIOD_MS = 24 * 3600 * 1000,
    SCAN_PERIOD_MIN_MS = 1000,
    SLOW_DISK_MS = 300,
    DISK_TIMEOUT_MS = 60000,
    DISK_TIMEOUT_MIN_MS = 5000,
};

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

/* meta's address: the cluster's URI, else what meta itself listens on. */
static int meta_address(const struct hd_config *config, char out[HD_ADDR_TEXT_BYTES])
{
    static const char scheme[] = "hdfs://";
    struct hd_config_at cluster = {config, NULL, "cluster"};
    struct hd_config_at meta = {config, "meta", "meta"};
    const char *uri = hd_config_str(cluster, "uri", NULL);
    if (uri == NULL) {
        copy(out, HD_ADDR_TEXT_BYTES, hd_config_str(meta, "rpc_address", DEFAULT_META));
        return 0;
    }
    if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0) {
        return hd_fail(-HD_E_CONFIG, "%s: [cluster] uri = %s: not of the form hdfs://host:port",
                       hd_config_path(config), uri);
    }
    copy(out, HD_ADDR_TEXT_BYTES, uri + sizeof(scheme) - 1);
    out[strcspn(out, "/,")] = '\0';
    return 0;
}

/* Loopback addresses are called localhost, others by the machine's name. */
static void host_name(struct hd_config_at at, const char *address, char out[256])
{
    struct hd_config_at cluster = {at.config, NULL, "cluster"};
    const char *given = hd_config_str(at, "host_name", hd_config_str(cluster, "host_name", NULL));
    if (given != NULL) {
        copy(out, 256, given);
    } else if (strncmp(address, "127.", 4) == 0 || gethostname(out, 256) < 0) {
        copy(out, 256, "localhost");
    }
    out[255] = '\0';
}

static void own_user(char out[64])
{
    struct passwd pw;
    struct passwd *found = NULL;
    char buf[4096];
    if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) == 0 && found != NULL) {
        snprintf(out, 64, "%.63s", found->pw_name);
    } else {
        snprintf(out, 64, "uid%u", (unsigned)geteuid());
    }
}

static int load_numbers(struct hd_config_at at, struct hd_data_options *o)
{
    int err = hd_config_bytes(at, "reserved", 0, &o->reserved_bytes);
    if (err == 0) {
        err = hd_config_bytes(at, "balance_bandwidth", BALANCE_BANDWIDTH_BYTES,
                              &o->balance_bandwidth_bytes);
    }
    if (err == 0) {
        err = hd_config_int(at, "heartbeat_ms", 1000, &o->heartbeat_ms);
    }
    if (err == 0) {
        err = hd_config_int(at, "max_transfer_threads", 4096, &o->max_transfer_threads);
    }
    if (err == 0) {
        err = hd_config_int(at, "failed_volumes_tolerated", 0, &o->failed_volumes_tolerated);
    }
    if (err == 0) {
        err = hd_config_bytes(at, "scan_rate", SCAN_RATE_BYTES, &o->scan_rate_bytes);
    }
    if (err == 0) {
        err = hd_config_duration(at, "scan_period", SCAN_PERIOD_MS, &o->scan_period_ms);
    }
    if (err == 0) {
        err = hd_config_int(at, "slow_disk_ms", SLOW_DISK_MS, &o->slow_disk_ms);
    }
    if (err == 0) {
        err = hd_config_duration(at, "disk_timeout", DISK_TIMEOUT_MS, &o->disk_timeout_ms);
    }
    if (err == 0 && (o->slow_disk_ms < 1 || o->disk_timeout_ms < DISK_TIMEOUT_MIN_MS)) {
        err = hd_fail(-HD_E_CONFIG, "slow_disk_ms below 1 or disk_timeout below 5s");
    }
    if (err == 0 && o->scan_period_ms < SCAN_PERIOD_MIN_MS) {
        err = hd_fail(-HD_E_CONFIG, "scan_period is below a second");
    }
    if (err == 0 && (o->heartbeat_ms < 10 || o->max_transfer_threads < 1)) {
        err = hd_fail(-HD_E_CONFIG, "heartbeat_ms below 10 or max_transfer_threads below 1");
    }
    return err;
}

int hd_data_options_load(const struct hd_config *config, const char *name,
                         struct hd_data_options *ret)
{
    struct hd_config_at at = {config, name, "data"};
    struct hd_config_at cluster = {config, NULL, "cluster"};
    struct hd_data_options o = {0};
    const char *base = hd_config_str(cluster, "dir", NULL);
    copy(o.name, sizeof(o.name), name);
    copy(o.rack, sizeof(o.rack), hd_config_str(at, "rack", ""));
    copy(o.address, sizeof(o.address), hd_config_str(at, "address", "127.0.0.1:9866"));
    copy(o.ipc_address, sizeof(o.ipc_address), hd_config_str(at, "ipc_address", "127.0.0.1:9867"));
    copy(o.http_address, sizeof(o.http_address),
         hd_config_str(at, "http_address", "127.0.0.1:9864"));
    const char *dirs = hd_config_str(at, "dir", NULL);
    if (dirs == NULL) {
        return hd_fail(-HD_E_CONFIG, "%s: [%s] or [data] needs dir = directory[,directory...]",
                       hd_config_path(config), name != NULL ? name : "data");
    }
    char socket_path[HD_LAYOUT_PATH_BYTES] = "";
    const char *given = hd_config_str(at, "socket_path", NULL);
    if (given != NULL) {
        copy(socket_path, sizeof(socket_path), given);
    } else if (base != NULL) {
        snprintf(socket_path, sizeof(socket_path), "%s/run/data_PORT.sock", base);
    }
    if (strlen(socket_path) + 8 > sizeof(o.socket_path)) {
        return hd_fail(-HD_E_CONFIG, "socket_path %s is longer than a UNIX socket's name may be",
                       socket_path);
    }
    snprintf(o.socket_path, sizeof(o.socket_path), "%.*s", (int)sizeof(o.socket_path) - 1,
             socket_path);
    host_name(at, o.address, o.host_name);
    own_user(o.user);
    struct hd_config_at second = {config, NULL, "secondary"};
    copy(o.secondary_address, sizeof(o.secondary_address),
         hd_config_str(second, "rpc_address", ""));
    int err = meta_address(config, o.meta_address);
    if (err == 0) {
        err = load_numbers(at, &o);
    }
    if (err == 0) {
        o.dirs = strdup(dirs);
        err = o.dirs == NULL ? -ENOMEM : 0;
    }
    if (err == 0) {
        *ret = o;
    }
    return err;
}

void hd_data_options_done(struct hd_data_options *o)
{
    free(o->dirs);
    o->dirs = NULL;
}
