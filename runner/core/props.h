/* Job properties: names and values in the order they were first set. Heap; not thread safe. */
#ifndef HD_RUNNER_CORE_PROPS_H
#define HD_RUNNER_CORE_PROPS_H

struct hd_prop {
    char *name;
    char *value;
};

struct hd_props {
    struct hd_prop *items;
    size_t count;
    size_t capacity;
};

enum { HD_PROPS_MAX = 10000 };

void hd_props_done(struct hd_props *p);

/* Sets or replaces. An old (deprecated) name also sets its new one. 0, -ENOMEM, -HD_E_TOO_LARGE. */
int hd_props_set(struct hd_props *p, const char *name, const char *value);

/* The value under this name or, failing that, under its deprecated name; else fallback. */
const char *hd_props_get(const struct hd_props *p, const char *name, const char *fallback);

/* Numbers and booleans; fallback when unset or not a number ("true" and "false" otherwise). */
int64_t hd_props_int(const struct hd_props *p, const char *name, int64_t fallback);
bool hd_props_bool(const struct hd_props *p, const char *name, bool fallback);

/* A number of bytes, which may end in k, m, g or t. */
int64_t hd_props_bytes(const struct hd_props *p, const char *name, int64_t fallback);

/* The deprecated twin of a property or NULL; and the other way round. Static memory. */
const char *hd_props_old_name(const char *name);
const char *hd_props_new_name(const char *old_name);

/* A property as the name of an environment variable: every byte but [A-Za-z0-9] becomes '_'. */
void hd_props_env_name(char *name);

#endif
