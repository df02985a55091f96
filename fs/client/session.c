/* Opening, users, server defaults and node memory of a session (session.h). */
#include "fs/client/session.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_RETRY_MS = 30000,
    DEFAULT_PORT = 8020,
    CONNECT_TIMEOUT_MS = 5000,
    CALL_TIMEOUT_MS = 60000,
    DEFAULTS_VALID_MS = 3600000,
};

static char *user_name(const char *wanted)
{
    if (wanted != NULL && wanted[0] != '\0') {
        return strdup(wanted);
    }
    const char *env = getenv("HADOOP_USER_NAME");
    if (env != NULL && env[0] != '\0') {
        return strdup(env);
    }
    struct passwd entry;
    struct passwd *found = NULL;
    char buffer[4096];
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL) {
        return strdup(entry.pw_name);
    }
    char text[32];
    snprintf(text, sizeof(text), "%u", (unsigned)geteuid());
    return strdup(text);
}

/* "host", "host:port" or "[v6]:port" as "host:port" with the port said. */
static int full_address(const char *text, size_t size, char out[HD_META_ADDRESS_BYTES])
{
    char one[HD_ADDR_TEXT_BYTES];
    char host[HD_ADDR_TEXT_BYTES];
    int port;
    if (size == 0 || size >= sizeof(one)) {
        return hd_fail(-EINVAL, "no host");
    }
    memcpy(one, text, size);
    one[size] = '\0';
    int err = hd_addr_split(one, DEFAULT_PORT, host, sizeof(host), &port);
    if (err < 0) {
        return err;
    }
    int n = strchr(host, ':') != NULL ? snprintf(out, HD_META_ADDRESS_BYTES, "[%s]:%d", host, port)
                                      : snprintf(out, HD_META_ADDRESS_BYTES, "%s:%d", host, port);
    return n >= HD_META_ADDRESS_BYTES ? hd_fail(-EINVAL, "%s: too long", one) : 0;
}

/* Adds a list with commas; with names also to the session's own name. */
static int add_metas(struct hd_session *s, const char *list, size_t size, struct hd_buf *name)
{
    int err = 0;
    for (size_t at = 0; err == 0; at++) {
        size_t n = 0;
        while (at + n < size && list[at + n] != ',') {
            n++;
        }
        char address[HD_META_ADDRESS_BYTES];
        err = full_address(list + at, n, address);
        if (err == 0) {
            err = hd_failover_add(&s->failover, address);
        }
        if (err == 0 && name != NULL) {
            err = hd_buf_add(name, ",", at > 0 ? 1 : 0);
            err = err < 0 ? err : hd_buf_add(name, address, strlen(address));
        }
        at += n;
        if (at >= size) {
            break;
        }
    }
    return err;
}

static int parse_uri(struct hd_session *s, const char *uri)
{
    static const char scheme[] = "hdfs://";
    const char *text = uri;
    if (strncmp(text, scheme, sizeof(scheme) - 1) == 0) {
        text += sizeof(scheme) - 1;
    } else if (strstr(text, "://") != NULL) {
        return hd_fail(-EINVAL, "%s: only hdfs:// can be opened", uri);
    }
    HD_AUTO(hd_buf_done) struct hd_buf name = {0};
    int err = add_metas(s, text, strcspn(text, "/"), &name);
    if (err < 0) {
        return hd_fail(err, "%s: %s", uri, hd_fail_text());
    }
    if (asprintf(&s->uri, "hdfs://%.*s", (int)name.size, (const char *)name.data) < 0) {
        s->uri = NULL;
        return -ENOMEM;
    }
    return 0;
}

static char *make_client_name(const char *prefix)
{
    uint64_t random;
    char *name;
    hd_random_bytes(&random, sizeof(random));
    int n = asprintf(&name, "%s_%016llx", prefix != NULL ? prefix : "howdah",
                     (unsigned long long)random);
    return n < 0 ? NULL : name;
}

static char *make_host_name(const char *wanted)
{
    char text[256] = "localhost";
    if (wanted != NULL) {
        return strdup(wanted);
    }
    if (gethostname(text, sizeof(text)) < 0) {
        snprintf(text, sizeof(text), "localhost");
    }
    text[sizeof(text) - 1] = '\0';
    return strdup(text);
}

static void fs_free(struct hd_fs *fs)
{
    if (fs != NULL) {
        hd_rpc_client_free(fs->rpc);
        free(fs->user);
        free(fs);
    }
}

static int fs_new(struct hd_session *s, const char *user, int call_timeout_ms, struct hd_fs **ret)
{
    struct hd_fs *fs = calloc(1, sizeof(*fs));
    if (fs == NULL) {
        return -ENOMEM;
    }
    fs->session = s;
    fs->user = user_name(user);
    if (fs->user == NULL) {
        fs_free(fs);
        return -ENOMEM;
    }
    char address[HD_META_ADDRESS_BYTES];
    hd_failover_address(&s->failover, address);
    struct hd_rpc_client_options o = {
        .address = address,
        .protocol = HD_CLIENT_PROTOCOL,
        .user = fs->user,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .call_timeout_ms = call_timeout_ms,
        .hello = hd_failover_hello,
        .welcome = hd_failover_welcome,
        .ctx = fs,
    };
    int err = hd_rpc_client_new(&o, &fs->rpc);
    if (err < 0) {
        fs_free(fs);
        return err;
    }
    hd_list_push_back(&s->users, &fs->link);
    *ret = fs;
    return 0;
}

static void session_free(struct hd_session *s)
{
    if (hd_leave_given_up(&s->leave)) {
        hd_leave_cut(s); /* the lease may be renewed just now */
    }
    hd_content_tender_stop(&s->contents);
    hd_lease_stop(s);
    hd_failover_done(&s->failover);
    struct hd_list *node;
    while ((node = hd_list_pop_front(&s->users)) != NULL) {
        fs_free(HD_LIST_ENTRY(node, struct hd_fs, link));
    }
    hd_conn_cache_done(&s->conns);
    hd_local_cache_done(&s->locals);
    pthread_cond_destroy(&s->lease_wake);
    pthread_mutex_destroy(&s->lock);
    free(s->uri);
    free(s->client_name);
    free(s->host_name);
    free(s->socket_path);
    free(s);
}

/* Whether connections are told to be relaxed, or are only asked whom they lead to. */
static void say_hello_with(struct hd_session *s)
{
    hdw__open_session_request__init(&s->open_session);
    s->open_session.client_name = s->client_name;
    hdw__open_session_request__init(&s->open_posix);
    s->open_posix.client_name = s->client_name;
    s->open_posix.has_pushes = s->open_posix.pushes = true;
    hdw__get_cluster_request__init(&s->get_cluster);
    s->hello_posix = (struct hd_rpc_hello){HD_POSIX_PROTOCOL, "openSession", &s->open_posix.base,
                                           &hdw__open_session_response__descriptor};
    s->hello = s->relaxed
                   ? (struct hd_rpc_hello){HD_POSIX_PROTOCOL, "openSession", &s->open_session.base,
                                           &hdw__open_session_response__descriptor}
                   : (struct hd_rpc_hello){HD_META_PROTOCOL, "getCluster", &s->get_cluster.base,
                                           &hdw__get_cluster_response__descriptor};
}

static int session_set(struct hd_session *s, const struct hd_fs_options *o)
{
    if (o->uri == NULL) {
        return hd_fail(-EINVAL, "no file system named");
    }
    int err = parse_uri(s, o->uri);
    if (err == 0 && o->meta_addresses != NULL && o->meta_addresses[0] != '\0') {
        err = add_metas(s, o->meta_addresses, strlen(o->meta_addresses), NULL);
    }
    if (err < 0) {
        return err;
    }
    s->retry_ms = o->retry_ms == 0 ? DEFAULT_RETRY_MS : o->retry_ms;
    s->retry_safe_mode = o->retry_safe_mode;
    s->relaxed = o->relaxed;
    s->client_name = make_client_name(o->client_name_prefix);
    s->host_name = make_host_name(o->host_name);
    if (s->client_name == NULL || s->host_name == NULL) {
        return -ENOMEM;
    }
    say_hello_with(s);
    if (o->short_circuit && o->socket_path != NULL && o->socket_path[0] != '\0') {
        s->socket_path = strdup(o->socket_path);
        return s->socket_path == NULL ? -ENOMEM : 0;
    }
    return 0;
}

int hd_fs_open(const struct hd_fs_options *options, struct hd_fs **ret)
{
    struct hd_session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&s->lock, NULL);
    hd_clock_cond_init(&s->lease_wake);
    hd_list_init(&s->users);
    hd_list_init(&s->writers);
    hd_failover_init(&s->failover);
    hd_conn_cache_init(&s->conns);
    hd_local_cache_init(&s->locals);
    hd_content_tender_init(&s->contents);
    int err = session_set(s, options);
    if (err == 0) {
        err = fs_new(s, options->user, CALL_TIMEOUT_MS, ret);
    }
    if (err < 0) {
        session_free(s);
    }
    return err;
}

void hd_fs_close(struct hd_fs *fs)
{
    if (fs != NULL) {
        session_free(fs->session);
    }
}

int hd_fs_as(struct hd_fs *fs, const char *user, struct hd_fs **ret)
{
    struct hd_session *s = fs->session;
    int err = 0;
    pthread_mutex_lock(&s->lock);
    HD_LIST_FOR(it, &s->users)
    {
        struct hd_fs *u = HD_LIST_ENTRY(it, struct hd_fs, link);
        if (strcmp(u->user, user) == 0) {
            *ret = u;
            goto out;
        }
    }
    err = fs_new(s, user, CALL_TIMEOUT_MS, ret);
out:
    pthread_mutex_unlock(&s->lock);
    return err;
}

int hd_session_connect(struct hd_session *s, const char *user, int call_timeout_ms,
                       struct hd_fs **ret)
{
    pthread_mutex_lock(&s->lock);
    int err = fs_new(s, user, call_timeout_ms, ret);
    pthread_mutex_unlock(&s->lock);
    return err;
}

const char *hd_fs_user(const struct hd_fs *fs)
{
    return fs->user;
}

const char *hd_fs_uri(const struct hd_fs *fs)
{
    return fs->session->uri;
}

void hd_fs_meta(struct hd_fs *fs, char out[HD_META_TEXT_BYTES])
{
    hd_failover_address(&fs->session->failover, out);
}

int hd_session_defaults(struct hd_fs *fs, struct hd_defaults *ret, uint32_t *ret_checksum_type)
{
    struct hd_session *s = fs->session;
    int64_t now = hd_clock_mono_ms().v;
    pthread_mutex_lock(&s->lock);
    bool fresh = s->defaults_until_ms > now;
    *ret = s->defaults;
    *ret_checksum_type = s->checksum_type;
    pthread_mutex_unlock(&s->lock);
    if (fresh) {
        return 0;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetServerDefaultsRequest request = HDW__GET_SERVER_DEFAULTS_REQUEST__INIT;
    Hdw__GetServerDefaultsResponse *response;
    int err = HD_CALL(fs, "getServerDefaults", get_server_defaults, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    const Hdw__FsServerDefaults *d = response->server_defaults;
    if (d->bytes_per_checksum == 0 || d->bytes_per_checksum > 1u << 20 || d->block_size == 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "server defaults make no sense");
    }
    struct hd_defaults got = {
        .block_size_bytes = d->block_size,
        .replication = d->replication,
        .bytes_per_checksum = d->bytes_per_checksum,
        .packet_bytes = d->write_packet_size,
        .trash_minutes = d->has_trash_interval ? d->trash_interval : 0,
    };
    pthread_mutex_lock(&s->lock);
    s->defaults = got;
    s->checksum_type =
        d->checksum_type == HDW__CHECKSUM_TYPE__CHECKSUM_CRC32 ? 1 : 2; /* never none */
    s->defaults_until_ms = now + DEFAULTS_VALID_MS;
    *ret_checksum_type = s->checksum_type;
    pthread_mutex_unlock(&s->lock);
    *ret = got;
    return 0;
}

int hd_fs_defaults(struct hd_fs *fs, struct hd_defaults *ret)
{
    uint32_t type;
    return hd_session_defaults(fs, ret, &type);
}

void hd_session_node_failed(struct hd_session *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    hd_health_failed(&s->health, key, hd_clock_mono_ms().v);
    pthread_mutex_unlock(&s->lock);
}

void hd_session_node_served(struct hd_session *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    hd_health_served(&s->health, key);
    pthread_mutex_unlock(&s->lock);
}

bool hd_session_node_suspect(struct hd_session *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    bool suspect = hd_health_suspect(&s->health, key, hd_clock_mono_ms().v);
    pthread_mutex_unlock(&s->lock);
    return suspect;
}

void hd_session_note_answer(struct hd_session *s, int64_t took_ms)
{
    pthread_mutex_lock(&s->lock);
    hd_patience_note(&s->patience, took_ms);
    pthread_mutex_unlock(&s->lock);
}

int hd_session_patience_ms(struct hd_session *s)
{
    pthread_mutex_lock(&s->lock);
    int ms = hd_patience_ms(&s->patience);
    pthread_mutex_unlock(&s->lock);
    return ms;
}

int hd_session_stream_patience_ms(struct hd_session *s)
{
    pthread_mutex_lock(&s->lock);
    int ms = hd_patience_stream_ms(&s->patience);
    pthread_mutex_unlock(&s->lock);
    return ms;
}

bool hd_session_is_local(const struct hd_session *s, const char *ip, const char *host)
{
    return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0 || strcmp(host, s->host_name) == 0;
}
