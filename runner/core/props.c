/* See props.h. */
#include "runner/core/props.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* New and deprecated names that scripts and command lines still use. */
static const struct {
    const char *name;
    const char *old;
} twins[] = {
    {"mapreduce.job.id", "mapred.job.id"},
    {"mapreduce.job.name", "mapred.job.name"},
    {"mapreduce.job.maps", "mapred.map.tasks"},
    {"mapreduce.job.reduces", "mapred.reduce.tasks"},
    {"mapreduce.job.user.name", "user.name"},
    {"mapreduce.job.local.dir", "job.local.dir"},
    {"mapreduce.job.priority", "mapred.job.priority"},
    {"mapreduce.job.queuename", "mapred.job.queue.name"},
    {"mapreduce.task.id", "mapred.tip.id"},
    {"mapreduce.task.attempt.id", "mapred.task.id"},
    {"mapreduce.task.partition", "mapred.task.partition"},
    {"mapreduce.task.ismap", "mapred.task.is.map"},
    {"mapreduce.task.output.dir", "mapred.work.output.dir"},
    {"mapreduce.task.timeout", "mapred.task.timeout"},
    {"mapreduce.task.io.sort.mb", "io.sort.mb"},
    {"mapreduce.task.io.sort.factor", "io.sort.factor"},
    {"mapreduce.map.input.file", "map.input.file"},
    {"mapreduce.map.input.start", "map.input.start"},
    {"mapreduce.map.input.length", "map.input.length"},
    {"mapreduce.map.maxattempts", "mapred.map.max.attempts"},
    {"mapreduce.reduce.maxattempts", "mapred.reduce.max.attempts"},
    {"mapreduce.input.fileinputformat.inputdir", "mapred.input.dir"},
    {"mapreduce.input.fileinputformat.split.minsize", "mapred.min.split.size"},
    {"mapreduce.input.fileinputformat.split.maxsize", "mapred.max.split.size"},
    {"mapreduce.input.fileinputformat.input.dir.recursive", "mapred.input.dir.recursive"},
    {"mapreduce.output.fileoutputformat.outputdir", "mapred.output.dir"},
    {"mapreduce.output.textoutputformat.separator", "mapred.textoutputformat.separator"},
    {"mapreduce.map.output.key.field.separator", "map.output.key.field.separator"},
    {"mapreduce.job.partitioner.class", "mapred.partitioner.class"},
    {"mapreduce.input.linerecordreader.line.maxlength", "mapred.linerecordreader.maxlength"},
    {"mapreduce.output.fileoutputformat.compress", "mapred.output.compress"},
    {"mapreduce.map.output.key.class", "mapred.mapoutput.key.class"},
    {"mapreduce.map.output.value.class", "mapred.mapoutput.value.class"},
    {"mapreduce.job.output.key.class", "mapred.output.key.class"},
    {"mapreduce.job.output.value.class", "mapred.output.value.class"},
    {"mapreduce.map.failures.maxpercent", "mapred.max.map.failures.percent"},
    {"mapreduce.reduce.failures.maxpercent", "mapred.max.reduce.failures.percent"},
    {"mapreduce.job.cache.files", "mapred.cache.files"},
    {"mapreduce.job.cache.archives", "mapred.cache.archives"},
    {"dfs.blocksize", "dfs.block.size"},
    {"mapreduce.job.output.key.comparator.class", "mapred.output.key.comparator.class"},
    {"mapreduce.partition.keycomparator.options", "mapred.text.key.comparator.options"},
    {"mapreduce.partition.keypartitioner.options", "mapred.text.key.partitioner.options"},
};

void hd_props_done(struct hd_props *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
    *p = (struct hd_props){0};
}

static struct hd_prop *find(const struct hd_props *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->items[i].name, name) == 0) {
            return &p->items[i];
        }
    }
    return NULL;
}

static int set_one(struct hd_props *p, const char *name, const char *value)
{
    struct hd_prop *have = find(p, name);
    char *copy = strdup(value);
    if (copy == NULL) {
        return -ENOMEM;
    }
    if (have != NULL) {
        free(have->value);
        have->value = copy;
        return 0;
    }
    if (p->count == HD_PROPS_MAX) {
        free(copy);
        return -HD_E_TOO_LARGE;
    }
    if (p->count == p->capacity) {
        size_t capacity = HD_MAX(2 * p->capacity, (size_t)32);
        struct hd_prop *more = realloc(p->items, capacity * sizeof(*more));
        if (more == NULL) {
            free(copy);
            return -ENOMEM;
        }
        p->items = more;
        p->capacity = capacity;
    }
    char *own_name = strdup(name);
    if (own_name == NULL) {
        free(copy);
        return -ENOMEM;
    }
    p->items[p->count++] = (struct hd_prop){.name = own_name, .value = copy};
    return 0;
}

int hd_props_set(struct hd_props *p, const char *name, const char *value)
{
    const char *modern = hd_props_new_name(name);
    int err = set_one(p, name, value);
    return err == 0 && modern != NULL ? set_one(p, modern, value) : err;
}

const char *hd_props_get(const struct hd_props *p, const char *name, const char *fallback)
{
    const struct hd_prop *have = find(p, name);
    return have != NULL ? have->value : fallback;
}

int64_t hd_props_int(const struct hd_props *p, const char *name, int64_t fallback)
{
    const char *value = hd_props_get(p, name, NULL);
    char *end;
    if (value == NULL) {
        return fallback;
    }
    errno = 0;
    long long v = strtoll(value, &end, 10);
    return errno == 0 && end != value && *end == '\0' ? v : fallback;
}

int64_t hd_props_bytes(const struct hd_props *p, const char *name, int64_t fallback)
{
    static const char suffixes[] = "kmgt";
    const char *value = hd_props_get(p, name, "");
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    const char *suffix = *end != '\0' ? strchr(suffixes, *end | 0x20) : NULL;
    int shift = suffix != NULL ? 10 * (int)(suffix - suffixes + 1) : 0;
    if (errno != 0 || end == value || v < 0 || v > INT64_MAX >> shift ||
        (suffix != NULL ? end[1] : *end) != '\0') {
        return fallback;
    }
    return v << shift;
}

bool hd_props_bool(const struct hd_props *p, const char *name, bool fallback)
{
    const char *value = hd_props_get(p, name, "");
    if (strcmp(value, "true") == 0) {
        return true;
    }
    return strcmp(value, "false") == 0 ? false : fallback;
}

const char *hd_props_old_name(const char *name)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(twins); i++) {
        if (strcmp(twins[i].name, name) == 0) {
            return twins[i].old;
        }
    }
    return NULL;
}

const char *hd_props_new_name(const char *old_name)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(twins); i++) {
        if (strcmp(twins[i].old, old_name) == 0) {
            return twins[i].name;
        }
    }
    return NULL;
}

void hd_props_env_name(char *name)
{
    for (; *name != '\0'; name++) {
        char c = *name;
        bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!keep) {
            *name = '_';
        }
    }
}
