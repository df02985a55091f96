/* Options of howdah-mount. See options.h; docs/man/howdah-mount.8 describes each. */
#include "fs/mount/options.h"
#include "fs/base/error.h"
#include "fs/os/config.h"
#include "fs/os/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum {
    RETRY_S = 60,
    WRITE_BEHIND_MS = 5000,
    MAX_THREADS = 512,
    PASSTHROUGH_MIN_BYTES = 4 << 20,
    TIMEOUT_MAX_MS = 86400000,
};

enum value_kind {
    VALUE_NONE,
    VALUE_MS,
    VALUE_SECONDS,
    VALUE_COUNT,
    VALUE_BYTES,
    VALUE_BOOL,
    VALUE_TEXT
};

struct option_row {
    const char *name;
    enum value_kind kind;
    size_t offset; /* of the field it sets */
    bool value;    /* VALUE_NONE: what a bool field becomes */
};

#define FIELD(member) offsetof(struct hd_mount_options, member)

static const struct option_row rows[] = {
    {"rw", VALUE_NONE, FIELD(read_only), false},
    {"ro", VALUE_NONE, FIELD(read_only), true},
    {"allow_other", VALUE_NONE, FIELD(allow_other), true},
    {"noallow_other", VALUE_NONE, FIELD(allow_other), false},
    {"sync", VALUE_NONE, FIELD(strict), true},
    {"async", VALUE_NONE, FIELD(strict), false},
    {"debug", VALUE_NONE, FIELD(debug), true},
    {"passthrough", VALUE_BOOL, FIELD(passthrough), false},
    {"attr_timeout_ms", VALUE_MS, FIELD(attr_timeout_ms), false},
    {"entry_timeout_ms", VALUE_MS, FIELD(entry_timeout_ms), false},
    {"write_behind_ms", VALUE_MS, FIELD(write_behind_ms), false},
    {"retry_s", VALUE_SECONDS, FIELD(retry_s), false},
    {"max_threads", VALUE_COUNT, FIELD(max_threads), false},
    {"passthrough_min_bytes", VALUE_BYTES, FIELD(passthrough_min_bytes), false},
    {"memory", VALUE_BYTES, FIELD(memory_bytes), false},
    {"conf", VALUE_TEXT, FIELD(conf), false},
    {"user", VALUE_TEXT, FIELD(user), false},
    {"log", VALUE_TEXT, FIELD(log), false},
    {"socket_path", VALUE_TEXT, FIELD(socket_path), false},
    {"host_name", VALUE_TEXT, FIELD(host_name), false},
};

/* What mount(8) and fstab say to others, or what is always so here. */
static const char *const ignored[] = {"defaults",
                                      "auto",
                                      "noauto",
                                      "nofail",
                                      "_netdev",
                                      "user",
                                      "nouser",
                                      "users",
                                      "owner",
                                      "group",
                                      "default_permissions",
                                      "intr",
                                      "nolazytime"};

static const struct {
    const char *name;
    unsigned long set;
    unsigned long clear;
} flags[] = {
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"dirsync", MS_DIRSYNC, 0},
};

void hd_mount_options_init(struct hd_mount_options *o, bool root)
{
    *o = (struct hd_mount_options){
        .allow_other = root,
        .passthrough = true,
        .log_level = HD_LOG_INFO,
        .attr_timeout_ms = -1,
        .entry_timeout_ms = -1,
        .retry_s = RETRY_S,
        .write_behind_ms = WRITE_BEHIND_MS,
        .max_threads = MAX_THREADS,
        .passthrough_min_bytes = PASSTHROUGH_MIN_BYTES,
        .memory_bytes = (uint64_t)256 << 20,
        .mount_flags = MS_NOSUID | MS_NODEV,
    };
}

void hd_mount_options_done(struct hd_mount_options *o)
{
    free(o->uri);
    free(o->metas);
    free(o->cluster_dir);
    free(o->path);
    free(o->conf);
    free(o->user);
    free(o->log);
    free(o->socket_path);
    free(o->host_name);
    *o = (struct hd_mount_options){0};
}

static int set_text(char **field, const char *text, size_t size)
{
    char *copy = strndup(text, size);
    if (copy == NULL) {
        return -ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

static int parse_number(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < min || v > max) {
        return hd_fail(-EINVAL, "option %s=%s: a number from %lld to %lld is wanted", name, text,
                       (long long)min, (long long)max);
    }
    *ret = v;
    return 0;
}

static int parse_bool(const char *name, const char *text, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return hd_fail(-EINVAL, "option %s=%s: yes or no is wanted", name, text);
}

static int set_value(struct hd_mount_options *o, const struct option_row *row, const char *value)
{
    void *field = (char *)o + row->offset;
    switch (row->kind) {
    case VALUE_NONE:
        *(bool *)field = row->value;
        return 0;
    case VALUE_BOOL:
        return parse_bool(row->name, value, field);
    case VALUE_MS:
        return parse_number(row->name, value, 0, TIMEOUT_MAX_MS, field);
    case VALUE_SECONDS:
        return parse_number(row->name, value, 0, TIMEOUT_MAX_MS / 1000, field);
    case VALUE_COUNT:
        return parse_number(row->name, value, 1, 4096, field);
    case VALUE_BYTES:
        if (hd_parse_bytes(value, field) < 0) {
            return hd_fail(-EINVAL, "option %s=%s: a size is wanted (4096, 64k, 1m)", row->name,
                           value);
        }
        return 0;
    case VALUE_TEXT:
        return set_text(field, value, strlen(value));
    }
    return -EINVAL;
}

static uint32_t row_bit(const struct option_row *row)
{
    return 1u << (uint32_t)(row - rows);
}

static bool is_ignored(const char *item)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(ignored); i++) {
        if (strcmp(item, ignored[i]) == 0) {
            return true;
        }
    }
    return strncmp(item, "x-", 2) == 0 || strncmp(item, "X-", 2) == 0 ||
           strncmp(item, "comment=", 8) == 0;
}

static int set_option(struct hd_mount_options *o, char *item)
{
    if (is_ignored(item)) {
        return 0;
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(flags); i++) {
        if (strcmp(item, flags[i].name) == 0) {
            o->mount_flags = (o->mount_flags | flags[i].set) & ~flags[i].clear;
            return 0;
        }
    }
    char *value = strchr(item, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        if (strcmp(item, rows[i].name) != 0) {
            continue;
        }
        if ((value != NULL) != (rows[i].kind != VALUE_NONE)) {
            return hd_fail(-EINVAL, "option %s %s a value", item,
                           value != NULL ? "does not take" : "wants");
        }
        o->given |= row_bit(&rows[i]);
        return set_value(o, &rows[i], value);
    }
    return hd_fail(
        -EINVAL,
        "option %s is not known; known are rw ro sync async allow_other noallow_other "
        "passthrough= passthrough_min_bytes= attr_timeout_ms= entry_timeout_ms= retry_s= "
        "write_behind_ms= memory= max_threads= conf= user= log= socket_path= host_name= debug "
        "and those of mount(8)",
        item);
}

int hd_mount_options_list(struct hd_mount_options *o, const char *list)
{
    char *copy = strdup(list);
    if (copy == NULL) {
        return -ENOMEM;
    }
    int rc = 0;
    char *rest = copy;
    for (char *item = strsep(&rest, ","); item != NULL && rc == 0; item = strsep(&rest, ",")) {
        if (item[0] != '\0') {
            rc = set_option(o, item);
        }
    }
    free(copy);
    return rc;
}

static bool is_host_port(const char *text, size_t size)
{
    const char *colon = memrchr(text, ':', size);
    return colon != NULL && colon != text && colon + 1 < text + size &&
           strspn(colon + 1, "0123456789") == (size_t)(text + size - colon - 1);
}

/* "host:port", or several with commas. */
static bool is_authority(const char *text, size_t size)
{
    for (;;) {
        const char *comma = memchr(text, ',', size);
        size_t n = comma != NULL ? (size_t)(comma - text) : size;
        if (!is_host_port(text, n)) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        text += n + 1;
        size -= n + 1;
    }
}

int hd_mount_options_spec(struct hd_mount_options *o, const char *spec)
{
    static const char scheme[] = "hdfs://";
    const char *host = spec;
    if (strncmp(spec, scheme, sizeof(scheme) - 1) == 0) {
        host += sizeof(scheme) - 1;
    } else if (strstr(spec, "://") != NULL) {
        return hd_fail(-EINVAL, "%s: hdfs://HOST:PORT[/DIR] is wanted", spec);
    }
    const char *dir = strchrnul(host, '/');
    size_t host_size = (size_t)(dir - host);
    if (!is_authority(host, host_size)) {
        return hd_fail(-EINVAL, "%s: hdfs://HOST:PORT[,HOST:PORT...][/DIR] is wanted", spec);
    }
    char *uri = NULL;
    if (asprintf(&uri, "%s%.*s", scheme, (int)host_size, host) < 0) {
        return -ENOMEM;
    }
    free(o->uri);
    o->uri = uri;
    size_t dir_size = strlen(dir);
    while (dir_size > 1 && dir[dir_size - 1] == '/') {
        dir_size--;
    }
    return dir_size == 0 ? set_text(&o->cluster_dir, "/", 1)
                         : set_text(&o->cluster_dir, dir, dir_size);
}

/* mount.howdah SPEC DIR [-sfnv] [-o LIST] [-t TYPE] [-N NS] has letters of its own. */
static int parse_letter(struct hd_mount_options *o, bool helper, char letter)
{
    switch (letter) {
    case 'f':
        if (helper) {
            o->pretend = true;
        } else {
            o->foreground = true;
        }
        return 0;
    case 'h':
        o->help = true;
        return 0;
    case 'd':
        o->debug = true;
        o->foreground = true;
        return 0;
    case 'V':
        o->version = true;
        return 0;
    case 'r':
        o->read_only = true;
        return 0;
    case 's':
    case 'n':
    case 'v':
    case 'w':
        if (helper) {
            return 0;
        }
        break;
    default: /* letters are input */
        break;
    }
    return hd_fail(-EINVAL, "flag -%c is not known; see --help", letter);
}

static int parse_long(struct hd_mount_options *o, const char *name, const char *value,
                      bool *ret_used)
{
    *ret_used = false;
    if (strcmp(name, "help") == 0) {
        o->help = true;
        return 0;
    }
    if (strcmp(name, "version") == 0) {
        o->version = true;
        return 0;
    }
    if (strcmp(name, "foreground") == 0) {
        o->foreground = true;
        return 0;
    }
    if (strcmp(name, "conf") != 0 && strcmp(name, "log-level") != 0 && strcmp(name, "name") != 0) {
        return hd_fail(-EINVAL, "--%s is not known; see --help", name);
    }
    if (value == NULL) {
        return hd_fail(-EINVAL, "--%s wants a value", name);
    }
    *ret_used = true;
    if (strcmp(name, "conf") == 0) {
        return set_text(&o->conf, value, strlen(value));
    }
    enum hd_log_level level;
    if (strcmp(name, "log-level") == 0) {
        if (hd_log_level_parse(value, &level) < 0) {
            return hd_fail(-EINVAL, "--log-level %s: error, warn, info or debug is wanted", value);
        }
        o->log_level = (int)level;
    }
    return 0;
}

static int parse_flag(struct hd_mount_options *o, bool helper, const char *arg, const char *next,
                      bool *ret_used)
{
    *ret_used = false;
    if (arg[1] == '-') {
        char name[32];
        size_t size = strcspn(arg + 2, "=");
        const char *inline_value = arg[2 + size] == '=' ? arg + 2 + size + 1 : NULL;
        snprintf(name, sizeof(name), "%.*s", (int)HD_MIN(size, sizeof(name) - 1), arg + 2);
        int rc = parse_long(o, name, inline_value != NULL ? inline_value : next, ret_used);
        *ret_used = *ret_used && inline_value == NULL;
        return rc;
    }
    for (const char *p = arg + 1; *p != '\0'; p++) {
        bool takes_value = *p == 'o' || (helper && (*p == 't' || *p == 'N'));
        if (!takes_value) {
            int rc = parse_letter(o, helper, *p);
            if (rc < 0) {
                return rc;
            }
            continue;
        }
        const char *value = p[1] != '\0' ? p + 1 : next;
        if (value == NULL) {
            return hd_fail(-EINVAL, "-%c wants a value", *p);
        }
        *ret_used = p[1] == '\0';
        return *p == 'o' ? hd_mount_options_list(o, value) : 0;
    }
    return 0;
}

int hd_mount_options_parse(struct hd_mount_options *o, int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "";
    bool helper = strncmp(program, "mount.", 6) == 0;
    for (int i = 1; i < argc; i++) {
        int rc;
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            bool used;
            rc = parse_flag(o, helper, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            i += used;
        } else if (o->uri == NULL && o->path == NULL && argv[i][0] != '/') {
            rc = hd_mount_options_spec(o, argv[i]);
        } else if (o->path == NULL) {
            rc = set_text(&o->path, argv[i], strlen(argv[i]));
        } else {
            rc = hd_fail(-EINVAL, "%s: one argument too many", argv[i]);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* What the command line left out. */
static int complete(struct hd_mount_options *o, const struct hd_config *c)
{
    struct hd_config_at cluster = {c, NULL, "cluster"};
    struct hd_config_at mount = {c, NULL, "mount"};
    const char *uri = hd_config_str(cluster, "uri", NULL);
    const char *path = hd_config_str(mount, "path", NULL);
    int rc = 0;
    if (o->uri == NULL && uri != NULL) {
        rc = hd_mount_options_spec(o, uri);
    }
    if (rc == 0 && o->path == NULL && path != NULL) {
        rc = set_text(&o->path, path, strlen(path));
    }
    return rc;
}

static int apply_config(struct hd_mount_options *o, const struct hd_config *c)
{
    struct hd_config_at mount = {c, NULL, "mount"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        const char *value = hd_config_str(mount, rows[i].name, NULL);
        if (value == NULL || (o->given & row_bit(&rows[i])) != 0 || rows[i].kind == VALUE_NONE) {
            continue;
        }
        int rc = set_value(o, &rows[i], value);
        if (rc < 0) {
            return hd_fail(rc, "%s: [mount] %s", hd_config_path(c), hd_fail_text());
        }
    }
    struct hd_config_at cluster = {c, NULL, "cluster"};
    struct hd_config_at data = {c, NULL, "data"};
    const char *host_name = hd_config_str(cluster, "host_name", NULL);
    if (o->host_name == NULL && host_name != NULL) {
        o->host_name = strdup(host_name);
    }
    struct hd_config_at secondary = {c, NULL, "secondary"};
    const char *other = hd_config_str(secondary, "rpc_address", NULL);
    if (other != NULL) {
        int rc = set_text(&o->metas, other, strlen(other));
        if (rc < 0) {
            return rc;
        }
    }
    const char *dir = hd_config_str(cluster, "dir", NULL);
    const char *socket_path = hd_config_str(data, "socket_path", NULL);
    if (o->socket_path == NULL && socket_path != NULL) {
        o->socket_path = strdup(socket_path);
    } else if (o->socket_path == NULL && dir != NULL &&
               asprintf(&o->socket_path, "%s/run/data_PORT.sock", dir) < 0) {
        o->socket_path = NULL;
        return -ENOMEM;
    }
    return 0;
}

static bool same_cluster(const struct hd_mount_options *o, const struct hd_config *c)
{
    struct hd_config_at cluster = {c, NULL, "cluster"};
    const char *uri = hd_config_str(cluster, "uri", "");
    size_t size = strlen(o->uri);
    return strncmp(uri, o->uri, size) == 0 && (uri[size] == '\0' || uri[size] == '/');
}

static int check_whole(const struct hd_mount_options *o)
{
    if (o->uri == NULL || o->path == NULL) {
        return hd_fail(-EINVAL, "hdfs://HOST:PORT and PATH are wanted; see --help");
    }
    return 0;
}

static int read_config(struct hd_mount_options *o)
{
    char found[4096];
    bool named = o->conf != NULL;
    if (!named && hd_config_find(NULL, found, sizeof(found)) < 0) {
        return 0;
    }
    HD_AUTO(hd_config_freep) struct hd_config *c = NULL;
    int rc = hd_config_load(named ? o->conf : found, &c);
    if (rc < 0) {
        return named ? rc : 0;
    }
    if (!named && o->uri != NULL && !same_cluster(o, c)) {
        return 0;
    }
    rc = complete(o, c);
    return rc < 0 ? rc : apply_config(o, c);
}

int hd_mount_options_configure(struct hd_mount_options *o)
{
    int rc = read_config(o);
    return rc < 0 ? rc : check_whole(o);
}

const char *hd_mount_options_usage(void)
{
    return "usage: howdah-mount [hdfs://HOST:PORT[/DIR]] [PATH] [-f] [-o OPTION,...] [--conf "
           "FILE]\n"
           "\n"
           "Mounts Howdah, or any HDFS, at PATH. umount PATH ends it. What is left out is taken\n"
           "from howdah.conf.\n"
           "\n"
           "  -f, --foreground   stay in the foreground\n"
           "  --conf FILE        howdah.conf of the cluster\n"
           "  --log-level LEVEL  error, warn, info or debug\n"
           "  --help, --version\n"
           "\n"
           "options (-o):\n"
           "  ro, rw                    read-only or not (rw)\n"
           "  allow_other               other users may enter (default when run by root)\n"
           "  sync                      every change is durable before its answer\n"
           "  passthrough=no            never let the kernel read local blocks by itself\n"
           "  passthrough_min_bytes=N   smaller files are read the ordinary way (4m)\n"
           "  attr_timeout_ms=N         how long the kernel trusts attributes\n"
           "                            (3600000; of a foreign HDFS 1000)\n"
           "  entry_timeout_ms=N        how long it trusts a looked-up name\n"
           "                            (3600000; of a foreign HDFS 10)\n"
           "  retry_s=N                 how long a call waits for meta before EIO (60)\n"
           "  write_behind_ms=N         how long written bytes may wait in the mount (5000)\n"
           "  memory=N                  written bytes of all files that may wait (256m)\n"
           "  max_threads=N             requests at work at once (512)\n"
           "  user=NAME                 every request acts as NAME\n"
           "  conf=FILE, log=FILE       as --conf; where the daemon's log goes\n"
           "  nosuid, nodev, noexec, noatime, ... as in mount(8)\n";
}
