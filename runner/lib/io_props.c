/* See io_props.h. */
#include "runner/lib/io_props.h"
#include "fs/base/error.h"
#include "runner/core/props_check.h"
#include "runner/ops/record_filter.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* text (and, as in Hadoop, any unknown word) or keyonlytext. */
static int read_io(const struct hd_props *p, const char *name, bool *ret_key_only)
{
    const char *value = hd_props_get(p, name, "text");
    if (strcasecmp(value, "rawbytes") == 0 || strcasecmp(value, "typedbytes") == 0) {
        return hd_fail(-EINVAL, "%s = %s is not supported; use text or keyonlytext", name, value);
    }
    *ret_key_only = strcasecmp(value, "keyonlytext") == 0;
    return 0;
}

static int read_separator(const struct hd_props *p, const char *name, struct hd_kv_rule *r)
{
    const char *value = hd_props_get(p, name, "\t");
    if (hd_kv_rule_set_separator(r, value) < 0) {
        return hd_fail(-EINVAL, "%s: a separator has 1 to %d bytes", name, HD_KV_SEPARATOR_BYTES);
    }
    return 0;
}

static int read_fields(const struct hd_props *p, const char *name, struct hd_kv_rule *r)
{
    int64_t n = hd_props_int(p, name, 1);
    if (n < 1 || n > 1000000) {
        return hd_fail(-EINVAL, "%s: expected a number from 1 up", name);
    }
    r->key_fields = (uint32_t)n;
    return 0;
}

static bool names_class(const struct hd_props *p, const char *name, const char *class)
{
    const char *value = hd_props_get(p, name, "");
    const char *dot = strrchr(value, '.');
    return strcmp(dot != NULL ? dot + 1 : value, class) == 0;
}

static int read_key_fields(const struct hd_props *p, const char *name, const char *options,
                           struct hd_key_fields *ret)
{
    const char *separator = hd_props_get(p, "mapreduce.map.output.key.field.separator", "\t");
    int err = hd_key_fields_parse(ret, separator, options);
    return err < 0 ? hd_fail(err, "%s: %s", name, hd_fail_text()) : 0;
}

static int read_partition(const struct hd_props *p, struct hd_io_props *io)
{
    static const char name[] = "mapreduce.partition.keypartitioner.options";
    char first[64];
    io->partition_fields =
        names_class(p, "mapreduce.job.partitioner.class", "KeyFieldBasedPartitioner");
    const char *count = hd_props_get(p, "num.key.fields.for.partition", NULL);
    if (count != NULL) { /* the old way, which wins in Hadoop too */
        snprintf(first, sizeof(first), "-k1,%.32s", count);
    }
    return read_key_fields(p, name, count != NULL ? first : hd_props_get(p, name, ""),
                           &io->partition);
}

static int read_sort(const struct hd_props *p, struct hd_io_props *io)
{
    static const char name[] = "mapreduce.partition.keycomparator.options";
    io->sort_fields =
        names_class(p, "mapreduce.job.output.key.comparator.class", "KeyFieldBasedComparator");
    io->max_unique = hd_props_int(p, "aggregate.max.num.unique.values", INT64_MAX);
    int err = read_key_fields(p, name, hd_props_get(p, name, ""), &io->sort);
    io->sort_fields = io->sort_fields && io->sort.count > 0; /* else the order is that of bytes */
    io->sort_factor =
        (uint32_t)HD_MIN(hd_props_int(p, "mapreduce.task.io.sort.factor", 0), (int64_t)1000);
    return err;
}

static int check_delimiter(const struct hd_props *p)
{
    struct hd_record_filter f;
    const char *delimiter = hd_props_get(p, "textinputformat.record.delimiter", NULL);
    int err = hd_record_filter_init(&f, delimiter, 0, 0, 0);
    hd_record_filter_done(&f);
    return err;
}

int hd_io_props_read(const struct hd_props *p, struct hd_io_props *ret)
{
    struct hd_io_props io;
    int err;
    bool ignored;
    hd_kv_rule_init(&io.map_output);
    hd_kv_rule_init(&io.reduce_input);
    hd_kv_rule_init(&io.reduce_output);
    hd_kv_rule_init(&io.text_output);
    io.partition_fields = io.sort_fields = false;
    if ((err = hd_props_check(p)) < 0 || (err = read_partition(p, &io)) < 0 ||
        (err = read_sort(p, &io)) < 0 || (err = check_delimiter(p)) < 0 ||
        (err = read_io(p, "stream.map.input", &ignored)) < 0 ||
        (err = read_io(p, "stream.map.output", &io.map_output.key_only)) < 0 ||
        (err = read_io(p, "stream.reduce.input", &io.reduce_input.key_only)) < 0 ||
        (err = read_io(p, "stream.reduce.output", &io.reduce_output.key_only)) < 0 ||
        (err = read_separator(p, "stream.map.output.field.separator", &io.map_output)) < 0 ||
        (err = read_separator(p, "stream.reduce.input.field.separator", &io.reduce_input)) < 0 ||
        (err = read_separator(p, "stream.reduce.output.field.separator", &io.reduce_output)) < 0 ||
        (err = read_separator(p, "mapreduce.output.textoutputformat.separator", &io.text_output)) <
            0 ||
        (err = read_fields(p, "stream.num.map.output.key.fields", &io.map_output)) < 0 ||
        (err = read_fields(p, "stream.num.reduce.output.key.fields", &io.reduce_output)) < 0) {
        return err;
    }
    *ret = io;
    return 0;
}
