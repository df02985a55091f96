/* howdah.conf. See config.h. */
#include "fs/os/config.h"
#include "fs/base/error.h"
#include "fs/base/map.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_BYTES = 512 };

struct hd_config {
    char *path;
    struct hd_strmap values; /* "section\nkey" -> char * (heap, owned) */
};

static size_t make_key(char out[KEY_BYTES], const char *section, const char *key)
{
    int n = snprintf(out, KEY_BYTES, "%s\n%s", section, key);
    return n < KEY_BYTES ? (size_t)n : KEY_BYTES - 1;
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
    struct hd_config *c = user;
    char key[KEY_BYTES];
    size_t size = make_key(key, section, name);
    char *copy = strdup(value);
    if (copy == NULL) {
        return 0;
    }
    free(hd_strmap_get(&c->values, key, size));
    return hd_strmap_put(&c->values, key, size, copy) == 0;
}

int hd_config_load(const char *path, struct hd_config **ret)
{
    HD_AUTO(hd_config_freep) struct hd_config *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->path = strdup(path)) == NULL) {
        return -ENOMEM;
    }
    int line = ini_parse(path, on_value, c);
    if (line < 0) {
        return hd_fail_errno(errno != 0 ? errno : EIO, "%s", path);
    }
    if (line > 0) {
        return hd_fail(-HD_E_CONFIG, "%s:%d: neither a [section] nor key = value", path, line);
    }
    *ret = HD_TAKE_PTR(c);
    return 0;
}

void hd_config_free(struct hd_config *c)
{
    if (c == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value;
    while (hd_strmap_next(&c->values, &cursor, NULL, &value)) {
        free(value);
    }
    hd_strmap_done(&c->values);
    free(c->path);
    free(c);
}

void hd_config_freep(struct hd_config **c)
{
    hd_config_free(*c);
    *c = NULL;
}

const char *hd_config_path(const struct hd_config *c)
{
    return c->path;
}

const char *hd_config_str(struct hd_config_at at, const char *key, const char *fallback)
{
    char full[KEY_BYTES];
    const char *value = NULL;
    if (at.config == NULL) {
        return fallback;
    }
    if (at.instance != NULL) {
        value = hd_strmap_get(&at.config->values, full, make_key(full, at.instance, key));
    }
    if (value == NULL) {
        value = hd_strmap_get(&at.config->values, full, make_key(full, at.section, key));
    }
    return value != NULL ? value : fallback;
}

static int bad_value(struct hd_config_at at, const char *key, const char *value, const char *want)
{
    return hd_fail(-HD_E_CONFIG, "%s: [%s] %s = %s: expected %s", at.config->path, at.section, key,
                   value, want);
}

int hd_config_int(struct hd_config_at at, const char *key, int64_t fallback, int64_t *ret)
{
    const char *value = hd_config_str(at, key, NULL);
    if (value == NULL) {
        *ret = fallback;
        return 0;
    }
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0') {
        return bad_value(at, key, value, "a whole number");
    }
    *ret = v;
    return 0;
}

int hd_parse_bytes(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)text[0])) {
        return -EINVAL;
    }
    unsigned long long v = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (tolower((unsigned char)*end)) {
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    case 't':
        shift = 40;
        break;
    default:
        break;
    }
    if (shift != 0) {
        end++;
    }
    if (errno != 0 || *end != '\0' || (v << shift) >> shift != v) {
        return -EINVAL;
    }
    *ret = v << shift;
    return 0;
}

int hd_config_bytes(struct hd_config_at at, const char *key, uint64_t fallback, uint64_t *ret)
{
    const char *value = hd_config_str(at, key, NULL);
    if (value == NULL) {
        *ret = fallback;
        return 0;
    }
    return hd_parse_bytes(value, ret) == 0 ? 0 : bad_value(at, key, value, "a size such as 64m");
}

int hd_config_bool(struct hd_config_at at, const char *key, bool fallback, bool *ret)
{
    const char *value = hd_config_str(at, key, NULL);
    if (value == NULL) {
        *ret = fallback;
        return 0;
    }
    if (strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "on") == 0 ||
        strcmp(value, "1") == 0) {
        *ret = true;
        return 0;
    }
    if (strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "off") == 0 ||
        strcmp(value, "0") == 0) {
        *ret = false;
        return 0;
    }
    return bad_value(at, key, value, "true or false");
}

int hd_parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || errno != 0 || n < 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            return __builtin_mul_overflow((int64_t)n, units[i].ms, ret_ms) ? -EINVAL : 0;
        }
    }
    return -EINVAL;
}

int hd_config_duration(struct hd_config_at at, const char *key, int64_t fallback_ms,
                       int64_t *ret_ms)
{
    const char *value = hd_config_str(at, key, NULL);
    if (value == NULL) {
        *ret_ms = fallback_ms;
        return 0;
    }
    return hd_parse_duration(value, ret_ms) == 0
               ? 0
               : bad_value(at, key, value, "a time such as 30s, 10m, 2h or 1d");
}

int hd_config_double(struct hd_config_at at, const char *key, double fallback, double *ret)
{
    const char *value = hd_config_str(at, key, NULL);
    if (value == NULL) {
        *ret = fallback;
        return 0;
    }
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end != '\0') {
        return bad_value(at, key, value, "a number");
    }
    *ret = v;
    return 0;
}

static bool take_if_there(const char *path, char *out, size_t size)
{
    return access(path, R_OK) == 0 && snprintf(out, size, "%s", path) < (int)size;
}

int hd_config_find(const char *dir, char *out, size_t size)
{
    char path[4096];
    if (dir != NULL) {
        snprintf(path, sizeof(path), "%s/howdah.conf", dir);
        return take_if_there(path, out, size)
                   ? 0
                   : hd_fail(-ENOENT, "%s: no cluster here; `howdah up --dir %s` makes one", path,
                             dir);
    }
    const char *env = getenv("HOWDAH_CONF");
    if (env != NULL && env[0] != '\0') {
        return take_if_there(env, out, size)
                   ? 0
                   : hd_fail(-ENOENT, "%s: named by HOWDAH_CONF, but not readable", env);
    }
    const char *home = getenv("HOME");
    if (home == NULL) {
        const struct passwd *pw = getpwuid(getuid());
        home = pw != NULL ? pw->pw_dir : "/";
    }
    snprintf(path, sizeof(path), "%s/.howdah/howdah.conf", home);
    if (take_if_there(path, out, size) || take_if_there("/etc/howdah/howdah.conf", out, size)) {
        return 0;
    }
    return hd_fail(-ENOENT,
                   "no cluster found: looked at %s and /etc/howdah/howdah.conf; start one with "
                   "`howdah up`, or name one with --dir or HOWDAH_CONF",
                   path);
}
