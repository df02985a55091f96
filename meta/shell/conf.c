/* Configuration of howdah-meta. See conf.h. */
#include "meta/shell/conf.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

enum { INLINE_MAX_BYTES = 1 << 20 }; /* of [meta] inline_bytes */

static int copy(char *out, size_t size, const char *value, const char *what)
{
    return (size_t)snprintf(out, size, "%s", value) < size
               ? 0
               : hd_fail(-HD_E_CONFIG, "%s: longer than %zu bytes", what, size);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]", 5) == 0;
}

/* Where every client finds meta; what meta itself listens on may be 0.0.0.0. */
static const char *meta_address(struct hd_config_at cluster, struct hd_config_at meta)
{
    static const char scheme[] = "hdfs://";
    const char *uri = hd_config_str(cluster, "uri", NULL);
    return uri != NULL && strncmp(uri, scheme, sizeof(scheme) - 1) == 0
               ? uri + sizeof(scheme) - 1
               : hd_config_str(meta, "rpc_address", "127.0.0.1:8020");
}

/* meta and its secondary, the one that this process is and the other. */
static int load_addresses(struct hd_config_at at, struct hd_config_at cluster,
                          struct hd_meta_conf *c)
{
    const struct hd_config_at meta = {at.config, c->secondary ? NULL : at.instance, "meta"};
    const struct hd_config_at second = {at.config, c->secondary ? at.instance : "secondary",
                                        "secondary"};
    char *first = c->secondary ? c->peer_address : c->own_address;
    int err = copy(first, HD_CONF_TEXT_BYTES, meta_address(cluster, meta), "uri");
    first[strcspn(first, "/,")] = '\0';
    if (err < 0) {
        return err;
    }
    return c->secondary
               ? copy(c->own_address, sizeof(c->own_address), c->rpc_address, "rpc_address")
               : copy(c->peer_address, sizeof(c->peer_address),
                      hd_config_str(second, "rpc_address", ""), "rpc_address");
}

static int load_sync(struct hd_config_at meta, struct hd_meta_conf *c)
{
    const char *sync = hd_config_str(meta, "sync", c->peer_address[0] != '\0' ? "both" : "primary");
    c->sync_both = strcmp(sync, "both") == 0;
    if (!c->sync_both && strcmp(sync, "primary") != 0) {
        return hd_fail(-HD_E_CONFIG, "%s: [meta] sync = %s: neither primary nor both",
                       hd_config_path(meta.config), sync);
    }
    if (c->sync_both && c->peer_address[0] == '\0') {
        return hd_fail(-HD_E_CONFIG, "%s: [meta] sync = both needs [secondary] rpc_address",
                       hd_config_path(meta.config));
    }
    return 0;
}

static int load_names(struct hd_config_at at, struct hd_config_at cluster, struct hd_meta_conf *c)
{
    const char *root = hd_config_str(cluster, "dir", NULL);
    const char *dir = hd_config_str(at, "dir", NULL);
    if (dir == NULL && root == NULL) {
        return hd_fail(-HD_E_CONFIG, "%s: neither [cluster] dir nor [%s] dir is set",
                       hd_config_path(at.config), at.section);
    }
    int n = dir != NULL ? snprintf(c->dir, sizeof(c->dir), "%s", dir)
                        : snprintf(c->dir, sizeof(c->dir), "%s/%s", root, at.section);
    if (n >= (int)sizeof(c->dir)) {
        return hd_fail(-HD_E_CONFIG, "[%s] dir: too long", at.section);
    }
    const char *own = c->secondary ? "127.0.0.1:9868" : "127.0.0.1:8020";
    int err = copy(c->rpc_address, sizeof(c->rpc_address), hd_config_str(at, "rpc_address", own),
                   "rpc_address");
    if (err == 0) {
        err = load_addresses(at, cluster, c);
    }
    if (err == 0) {
        err = copy(c->supergroup, sizeof(c->supergroup),
                   hd_config_str(cluster, "supergroup", "supergroup"), "supergroup");
    }
    if (err < 0) {
        return err;
    }
    const struct passwd *pw = getpwuid(geteuid());
    snprintf(c->superuser, sizeof(c->superuser), "%s", pw != NULL ? pw->pw_name : "root");
    const char *host = hd_config_str(cluster, "host_name", NULL);
    if (host != NULL) {
        return copy(c->host_name, sizeof(c->host_name), host, "host_name");
    }
    snprintf(c->host_name, sizeof(c->host_name), "localhost");
    if (!is_loopback(c->rpc_address)) {
        gethostname(c->host_name, sizeof(c->host_name) - 1);
    }
    return 0;
}

struct int_key {
    const char *key;
    int64_t fallback;
    int64_t min;
    int64_t *ret;
};

static int load_ints(struct hd_config_at at, const struct int_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = hd_config_int(at, keys[i].key, keys[i].fallback, keys[i].ret);
        if (err < 0) {
            return err;
        }
        if (*keys[i].ret < keys[i].min) {
            return hd_fail(-HD_E_CONFIG, "%s: [%s] %s = %lld: below %lld",
                           hd_config_path(at.config), at.section, keys[i].key,
                           (long long)*keys[i].ret, (long long)keys[i].min);
        }
    }
    return 0;
}

static int load_core(struct hd_config_at meta, struct hd_meta_conf *c)
{
    struct hd_meta_options *o = &c->core;
    int64_t replication, list_limit, trash, streams, maintenance;
    uint64_t inline_bytes;
    const struct int_key keys[] = {
        {"replication", 3, 1, &replication},
        {"list_limit", 1000, 1, &list_limit},
        {"trash_minutes", 0, 0, &trash},
        {"repair_streams_per_node", 4, 1, &streams},
        {"maintenance_replicas_min", 1, 1, &maintenance},
        {"heartbeat_ms", 1000, 1, &o->heartbeat_ms},
        {"stale_ms", 5000, 1, &o->stale_ms},
        {"dead_ms", 15000, 1, &o->dead_ms},
        {"closed_grace_ms", 2500, 0, &o->closed_grace_ms},
        {"safemode_extension_ms", 0, 0, &o->safe_mode_extension_ms},
        {"safemode_patience_ms", 30000, 0, &o->safe_mode_patience_ms},
        {"metadata_flush_ms", 1000, 1, &c->flush_ms},
        {"lease_soft_ms", 60000, 1, &o->lease_soft_ms},
        {"lease_hard_ms", 1200000, 1, &o->lease_hard_ms},
        {"retry_cache_ms", 600000, 0, &o->retry_cache_ms},
        {"session_lease_ms", 10000, 1000, &o->session_lease_ms},
        {"atime_precision_ms", 3600000, 0, &o->atime_precision_ms},
        {"complete_wait_ms", 1000, 0, &o->complete_wait_ms},
        {"repair_grace_ms", 5000, 0, &o->repair_grace_ms},
        {"checkpoints_kept", 2, 1, &c->checkpoints_kept},
        {"secondary_timeout_ms", 2000, 100, &c->secondary_timeout_ms},
    };
    int err = load_ints(meta, keys, HD_ARRAY_COUNT(keys));
    if (err == 0) {
        err = hd_config_bytes(meta, "block_size", HD_DEFAULT_BLOCK_SIZE, &o->block_size_bytes);
    }
    if (err == 0) {
        err = hd_config_bytes(meta, "min_block_size", (uint64_t)1 << 20, &o->min_block_size_bytes);
    }
    if (err == 0) {
        err = hd_config_double(meta, "safemode_threshold", 0.999, &o->safe_mode_threshold);
    }
    if (err < 0) {
        return err;
    }
    err = hd_config_bytes(meta, "xattrs_max", HD_XATTRS_MAX_BYTES, &o->xattrs_max_bytes);
    if (err == 0) {
        err = hd_config_bytes(meta, "inline_bytes", 4096, &inline_bytes);
    }
    if (err < 0) {
        return err;
    }
    if (inline_bytes > INLINE_MAX_BYTES) {
        return hd_fail(-HD_E_CONFIG, "%s: [meta] inline_bytes: above %d",
                       hd_config_path(meta.config), INLINE_MAX_BYTES);
    }
    o->inline_bytes = (uint32_t)inline_bytes;
    if (replication > HD_REPLICATION_MAX || list_limit > 1000000) {
        return hd_fail(-HD_E_CONFIG, "%s: [meta] replication or list_limit: too large",
                       hd_config_path(meta.config));
    }
    o->replication = (uint32_t)replication;
    o->replication_max = HD_REPLICATION_MAX;
    o->list_limit = (uint32_t)list_limit;
    o->trash_minutes = (uint64_t)trash;
    o->repair_streams_per_node = (uint32_t)HD_MIN(streams, 1000);
    o->maintenance_replicas_min = (uint32_t)HD_MIN(maintenance, HD_REPLICATION_MAX);
    o->superuser = c->superuser;
    o->supergroup = c->supergroup;
    o->host_name = c->host_name;
    hd_random_bytes(&o->seed, sizeof(o->seed));
    return 0;
}

static int load_racks(struct hd_config_at meta, struct hd_meta_conf *c)
{
    int err = copy(c->rack_table, sizeof(c->rack_table), hd_config_str(meta, "rack_table", ""),
                   "rack_table");
    return err < 0 ? err
                   : copy(c->rack_script, sizeof(c->rack_script),
                          hd_config_str(meta, "rack_script", ""), "rack_script");
}

int hd_meta_conf_load(const struct hd_config *config, const char *name, bool secondary,
                      struct hd_meta_conf *conf)
{
    const struct hd_config_at at = {config, name, secondary ? "secondary" : "meta"};
    const struct hd_config_at meta = {config, secondary ? NULL : name, "meta"};
    const struct hd_config_at second = {config, secondary ? name : NULL, "secondary"};
    const struct hd_config_at cluster = {config, NULL, "cluster"};
    *conf = (struct hd_meta_conf){.secondary = secondary};
    int err = load_names(at, cluster, conf);
    if (err == 0) {
        err = load_core(meta, conf);
    }
    if (err == 0) {
        err = load_sync(meta, conf);
    }
    if (err == 0) {
        err = load_racks(meta, conf);
    }
    if (err == 0) {
        err = hd_config_bytes(at, "reserved", (uint64_t)64 << 20, &conf->reserved_bytes);
    }
    const struct int_key keys[] = {
        {"checkpoint_interval_s", 3600, 1, &conf->checkpoint_interval_s},
        {"checkpoint_txns", 1000000, 1, &conf->checkpoint_txns},
    };
    return err < 0 ? err : load_ints(second, keys, HD_ARRAY_COUNT(keys));
}
