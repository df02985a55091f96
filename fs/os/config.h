/*
 * howdah.conf: INI, read with inih. docs/man/howdah.conf.5 lists every key.
 *
 * A daemon has an instance name (data-1) and a section (data): a key is looked for in [data-1]
 * first, then in [data], then the default applies. Values are text; the typed getters refuse what
 * does not parse with a message that names file, section and key.
 */
#ifndef HD_OS_CONFIG_H
#define HD_OS_CONFIG_H

struct hd_config;

/* Loads a file. -HD_E_CONFIG with file and line in the failure text. The caller frees. */
int hd_config_load(const char *path, struct hd_config **ret);
void hd_config_free(struct hd_config *c); /* takes NULL */
void hd_config_freep(struct hd_config **c);

/* The path the configuration was read from. */
const char *hd_config_path(const struct hd_config *c);

/* Where to look: instance may be NULL. */
struct hd_config_at {
    const struct hd_config *config;
    const char *instance; /* "data-1" or NULL */
    const char *section;  /* "data" */
};

/* The value, or fallback (which may be NULL). Borrowed from the configuration. */
const char *hd_config_str(struct hd_config_at at, const char *key, const char *fallback);

/* Typed: 0, or -HD_E_CONFIG. Sizes take the suffixes k m g t (powers of 1024). */
int hd_config_int(struct hd_config_at at, const char *key, int64_t fallback, int64_t *ret);
int hd_config_bytes(struct hd_config_at at, const char *key, uint64_t fallback, uint64_t *ret);
int hd_config_bool(struct hd_config_at at, const char *key, bool fallback, bool *ret);
/* Times: "1d", "90s", "1500ms"; a bare number is seconds. Result and fallback in ms. */
int hd_config_duration(struct hd_config_at at, const char *key, int64_t fallback_ms,
                       int64_t *ret_ms);
int hd_config_double(struct hd_config_at at, const char *key, double fallback, double *ret);

/*
 * Finds the configuration file of a command: dir/howdah.conf when dir is given, else HOWDAH_CONF,
 * else ~/.howdah/howdah.conf, else /etc/howdah/howdah.conf. -ENOENT with a sentence that says
 * where was looked when none exists.
 */
int hd_config_find(const char *dir, char *out, size_t size);

/* "64m" -> 67108864. -EINVAL when it does not parse or overflows. */
int hd_parse_bytes(const char *text, uint64_t *ret);

/* "2h" -> 7200000; units ms s m h d, none: seconds. -EINVAL as above. */
int hd_parse_duration(const char *text, int64_t *ret_ms);

#endif
