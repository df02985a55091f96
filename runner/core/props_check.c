/* See props_check.h. Two tables: properties with the values that are served, and numbers. */
#include "runner/core/props_check.h"
#include "fs/base/error.h"

#include <errno.h>

/*
 * `served`: values separated by '|', class names with or without their package; NULL: none is.
 * `hint` says what to do instead.
 */
static const struct {
    const char *name;
    const char *served;
    const char *hint;
} limited[] = {
    {"mapreduce.job.partitioner.class", "HashPartitioner|KeyFieldBasedPartitioner", NULL},
    {"mapreduce.job.output.key.comparator.class", "Text$Comparator|KeyFieldBasedComparator", NULL},
    {"mapreduce.job.output.group.comparator.class", NULL, "a reducer sees lines, not groups"},
    {"mapred.output.value.groupfn.class", NULL, "a reducer sees lines, not groups"},
    {"mapreduce.job.combiner.group.comparator.class", NULL, "a combiner sees lines, not groups"},
    {"mapreduce.job.inputformat.class", "TextInputFormat", NULL},
    {"mapred.input.format.class", "TextInputFormat", NULL},
    {"mapreduce.job.outputformat.class", "TextOutputFormat", NULL},
    {"mapred.output.format.class", "TextOutputFormat", NULL},
    {"mapreduce.job.output.key.class", "Text", NULL},
    {"mapreduce.job.output.value.class", "Text", NULL},
    {"mapreduce.map.output.key.class", "Text", NULL},
    {"mapreduce.map.output.value.class", "Text", NULL},
    {"mapreduce.job.map.class", NULL, "use -mapper"},
    {"mapred.mapper.class", NULL, "use -mapper"},
    {"mapreduce.job.combine.class", NULL, "use -combiner"},
    {"mapred.combiner.class", NULL, "use -combiner"},
    {"mapreduce.job.reduce.class", NULL, "use -reducer"},
    {"mapred.reducer.class", NULL, "use -reducer"},
    {"mapreduce.input.pathFilter.class", NULL, "use a pattern as -input"},
    {"mapred.input.pathFilter.class", NULL, "use a pattern as -input"},
    {"mapreduce.input.fileinputformat.input.dir.nonrecursive.ignore.subdirs", "false",
     "use a pattern as -input"},
    {"mapreduce.output.fileoutputformat.compress", "false", "output is plain text"},
    {"mapreduce.output.basename", "part", "parts are called part-00000"},
    {"mapreduce.map.env", NULL, "use -cmdenv"},
    {"mapreduce.reduce.env", NULL, "use -cmdenv"},
    {"mapred.child.env", NULL, "use -cmdenv"},
    {"mapreduce.job.cache.files", NULL, "use -files"},
    {"mapreduce.job.cache.archives", NULL, "use -files"},
    {"tmpfiles", NULL, "use -files"},
    {"tmparchives", NULL, "use -files"},
    {"tmpjars", NULL, "there is no JVM"},
    {"mapreduce.map.skip.maxrecords", "0", "records are never skipped"},
    {"mapreduce.reduce.skip.maxgroups", "0", "records are never skipped"},
    {"mapreduce.map.failures.maxpercent", "0", "every task must succeed"},
    {"mapreduce.reduce.failures.maxpercent", "0", "every task must succeed"},
    {"mapreduce.job.running.map.limit", "0", "slots are the limit"},
    {"mapreduce.job.running.reduce.limit", "0", "slots are the limit"},
    {"mapreduce.job.end-notification.url", NULL, "use runner wait"},
    {"stream.recordreader.class", NULL, "input is text"},
    {"stream.map.input.ignoreKey", "true", "leave -mapper out to see offsets"},
    {"stream.map.input.writer.class", NULL, "see -io"},
    {"stream.map.output.reader.class", NULL, "see -io"},
    {"stream.reduce.input.writer.class", NULL, "see -io"},
    {"stream.reduce.output.reader.class", NULL, "see -io"},
};

static const struct {
    const char *name;
    int64_t min;
    bool suffix; /* 64m and the like */
} numbers[] = {
    {"mapreduce.job.maps", 0, false},
    {"mapreduce.job.reduces", 0, false},
    {"mapreduce.map.maxattempts", 1, false},
    {"mapreduce.reduce.maxattempts", 1, false},
    {"mapreduce.task.timeout", 0, false},
    {"mapreduce.task.io.sort.mb", 1, false},
    {"mapreduce.task.io.sort.factor", 2, false},
    {"mapreduce.input.fileinputformat.split.minsize", 0, false},
    {"mapreduce.input.fileinputformat.split.maxsize", 0, false},
    {"mapreduce.input.linerecordreader.line.maxlength", 1, false},
    {"stream.num.map.output.key.fields", 1, false},
    {"stream.num.reduce.output.key.fields", 1, false},
    {"stream.jobconf.truncate.limit", -1, false},
    {"num.key.fields.for.partition", 1, false},
    {"aggregate.max.num.unique.values", 0, false},
    {"dfs.replication", 1, false},
    {"dfs.blocksize", 1, true},
};

/* Whether value, or what stands behind its last dot, is one of the words. */
static bool is_served(const char *served, const char *value)
{
    const char *dot = strrchr(value, '.');
    const char *word = dot != NULL ? dot + 1 : value;
    size_t size = strlen(word);
    for (const char *p = served; p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        if (strcspn(p, "|") == size && strncmp(p, word, size) == 0) {
            return true;
        }
    }
    return false;
}

int hd_props_check(const struct hd_props *p)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(limited); i++) {
        const char *name = limited[i].name;
        const char *value = hd_props_get(p, name, NULL);
        if (value == NULL || value[0] == '\0' || is_served(limited[i].served, value)) {
            continue;
        }
        const char *hint = limited[i].hint;
        return hd_fail(-EINVAL, "%s = %s is not supported%s%s", name, value,
                       hint != NULL ? ": " : "", hint != NULL ? hint : "");
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(numbers); i++) {
        const char *name = numbers[i].name;
        const char *value = hd_props_get(p, name, NULL);
        if (value == NULL) {
            continue;
        }
        int64_t n = numbers[i].suffix ? hd_props_bytes(p, name, INT64_MIN)
                                      : hd_props_int(p, name, INT64_MIN);
        if (n == INT64_MIN || n < numbers[i].min) {
            return hd_fail(-EINVAL, "%s = %s: expected a number from %lld up", name, value,
                           (long long)numbers[i].min);
        }
    }
    return 0;
}
