/* See options.h. One table: an option, how many words it takes, what it does. */
#include "runner/cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct parser {
    struct hd_streaming_options *o;
    struct hd_arena *arena;
};

HD_PRINTF(2, 3)
static int bad(struct parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->o->error, sizeof(p->o->error), fmt, ap);
    va_end(ap);
    return -EINVAL;
}

static int push(struct parser *p, struct hd_text_list *l, const char *text)
{
    if (l->count == l->capacity) {
        size_t capacity = HD_MAX(2 * l->capacity, (size_t)8);
        char **more = HD_ARENA_ARRAY(p->arena, char *, capacity);
        if (more == NULL) {
            return bad(p, "out of memory");
        }
        if (l->count > 0) {
            memcpy(more, l->items, l->count * sizeof(*more));
        }
        l->items = more;
        l->capacity = capacity;
    }
    l->items[l->count] = hd_arena_str(p->arena, text);
    return l->items[l->count] != NULL ? (l->count++, 0) : bad(p, "out of memory");
}

static int push_commas(struct parser *p, struct hd_text_list *l, const char *text)
{
    int braces = 0;
    const char *start = text;
    for (const char *c = text;; c++) {
        braces += *c == '{';
        braces -= *c == '}';
        if (*c != '\0' && (*c != ',' || braces > 0)) {
            continue;
        }
        char *one = hd_arena_strn(p->arena, start, (size_t)(c - start));
        if (one == NULL) {
            return bad(p, "out of memory");
        }
        if (one[0] != '\0') {
            int err = push(p, l, one);
            if (err < 0) {
                return err;
            }
        }
        if (*c == '\0') {
            return 0;
        }
        start = c + 1;
    }
}

static int set_prop(struct parser *p, const char *name, const char *value)
{
    return hd_props_set(&p->o->props, name, value) == 0 ? 0 : bad(p, "too many properties");
}

/* name=value */
static int define(struct parser *p, const char *option, const char *text)
{
    const char *equal = strchr(text, '=');
    if (equal == NULL || equal == text) {
        return bad(p, "%s takes name=value, not %s", option, text);
    }
    char *name = hd_arena_strn(p->arena, text, (size_t)(equal - text));
    return name != NULL ? set_prop(p, name, equal + 1) : bad(p, "out of memory");
}

static int warn_old(struct parser *p, const char *option, const char *instead)
{
    char *text =
        hd_arena_printf(p->arena, "%s option is deprecated, please use generic option %s instead.",
                        option, instead);
    return text != NULL ? push(p, &p->o->warnings, text) : bad(p, "out of memory");
}

static int on_input(struct parser *p, const char *v)
{
    return push_commas(p, &p->o->inputs, v);
}
static int on_output(struct parser *p, const char *v)
{
    p->o->output = v;
    return 0;
}
static int on_mapper(struct parser *p, const char *v)
{
    p->o->mapper = v;
    return 0;
}
static int on_combiner(struct parser *p, const char *v)
{
    p->o->combiner = v;
    return 0;
}
static int on_reducer(struct parser *p, const char *v)
{
    p->o->reducer = v;
    return 0;
}
static int on_reduces(struct parser *p, const char *v)
{
    char *end;
    errno = 0;
    long long n = strtoll(v, &end, 10);
    if (errno != 0 || end == v || *end != '\0' || n < 0 || n > 1000000) {
        return bad(p, "-numReduceTasks takes a number from 0 up, not %s", v);
    }
    p->o->reduces = n;
    return 0;
}
static int on_cmdenv(struct parser *p, const char *v)
{
    if (strchr(v, '=') == NULL || v[0] == '=') {
        return bad(p, "-cmdenv takes name=value, not %s", v);
    }
    return push(p, &p->o->env, v);
}
static int on_define(struct parser *p, const char *v)
{
    return define(p, "-D", v);
}
static int on_jobconf(struct parser *p, const char *v)
{
    int err = warn_old(p, "-jobconf", "-D");
    return err == 0 ? define(p, "-jobconf", v) : err;
}
static int on_files(struct parser *p, const char *v)
{
    return push_commas(p, &p->o->files, v);
}
static int on_file(struct parser *p, const char *v)
{
    int err = warn_old(p, "-file", "-files");
    return err == 0 ? push(p, &p->o->files, v) : err;
}
static int on_cache_file(struct parser *p, const char *v)
{
    int err = warn_old(p, "-cacheFile", "-files");
    return err == 0 ? push(p, &p->o->files, v) : err;
}
static int on_archives(struct parser *p, const char *v)
{
    return bad(p, "-archives is not supported yet (%s); unpack it and ship its files", v);
}
static int on_libjars(struct parser *p, const char *v)
{
    return bad(p, "-libjars: there is no JVM to give %s to", v);
}
static int on_conf(struct parser *p, const char *v)
{
    return push(p, &p->o->confs, v);
}
static int on_old_conf(struct parser *p, const char *v)
{
    int err = warn_old(p, "-additionalconfspec", "-conf");
    return err == 0 ? on_conf(p, v) : err;
}
static int on_fs(struct parser *p, const char *v)
{
    p->o->fs = v;
    return 0;
}
static int on_dfs(struct parser *p, const char *v)
{
    int err = warn_old(p, "-dfs", "-fs");
    return err == 0 ? on_fs(p, v) : err;
}
static int on_jt(struct parser *p, const char *v)
{
    (void)v; /* there is one manager, the configuration names it */
    (void)p;
    return 0;
}

static const char *simple_name(const char *class_name)
{
    const char *dot = strrchr(class_name, '.');
    return dot != NULL ? dot + 1 : class_name;
}

static int on_input_format(struct parser *p, const char *v)
{
    if (strcmp(simple_name(v), "TextInputFormat") == 0) {
        return 0;
    }
    return bad(p, "-inputformat : class not found : %s (TextInputFormat is what there is)", v);
}
static int on_output_format(struct parser *p, const char *v)
{
    if (strcmp(simple_name(v), "TextOutputFormat") == 0) {
        return 0;
    }
    return bad(p, "-outputformat : class not found : %s (TextOutputFormat is what there is)", v);
}
static int on_partitioner(struct parser *p, const char *v)
{
    if (strcmp(simple_name(v), "HashPartitioner") == 0 ||
        strcmp(simple_name(v), "KeyFieldBasedPartitioner") == 0) {
        return set_prop(p, "mapreduce.job.partitioner.class", v);
    }
    return bad(p,
               "-partitioner : class not found : %s (HashPartitioner and KeyFieldBasedPartitioner "
               "are what there is)",
               v);
}
static int on_input_reader(struct parser *p, const char *v)
{
    return bad(p, "-inputreader : class not found : %s", v);
}
static int on_io(struct parser *p, const char *v)
{
    static const char *const names[] = {"stream.map.input", "stream.map.output",
                                        "stream.reduce.input", "stream.reduce.output"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        int err = set_prop(p, names[i], v);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}
static int on_debug_script(struct parser *p, const char *v)
{
    return bad(p, "-mapdebug and -reducedebug are not supported (%s); see runner logs", v);
}
static int on_howdah_conf(struct parser *p, const char *v)
{
    p->o->howdah_conf = v;
    return 0;
}
static int on_howdah_dir(struct parser *p, const char *v)
{
    p->o->howdah_dir = v;
    return 0;
}

static int on_lazy(struct parser *p, const char *v)
{
    (void)v;
    return set_prop(p, "stream.lazyoutput", "true");
}
static int on_background(struct parser *p, const char *v)
{
    (void)v;
    p->o->background = true;
    return 0;
}
static int on_verbose(struct parser *p, const char *v)
{
    (void)v;
    p->o->verbose = true;
    return 0;
}
static int on_info(struct parser *p, const char *v)
{
    (void)v;
    p->o->info = true;
    return 0;
}
static int on_help(struct parser *p, const char *v)
{
    (void)v;
    p->o->help = true;
    return 0;
}

static const struct {
    const char *name;
    bool takes_word;
    int (*fn)(struct parser *p, const char *word);
} table[] = {
    {"-input", true, on_input},
    {"-output", true, on_output},
    {"-mapper", true, on_mapper},
    {"-combiner", true, on_combiner},
    {"-reducer", true, on_reducer},
    {"-numReduceTasks", true, on_reduces},
    {"-cmdenv", true, on_cmdenv},
    {"-D", true, on_define},
    {"-jobconf", true, on_jobconf},
    {"-files", true, on_files},
    {"-file", true, on_file},
    {"-cacheFile", true, on_cache_file},
    {"-archives", true, on_archives},
    {"-cacheArchive", true, on_archives},
    {"-libjars", true, on_libjars},
    {"-conf", true, on_conf},
    {"-additionalconfspec", true, on_old_conf},
    {"-fs", true, on_fs},
    {"-dfs", true, on_dfs},
    {"-jt", true, on_jt},
    {"-inputformat", true, on_input_format},
    {"-outputformat", true, on_output_format},
    {"-partitioner", true, on_partitioner},
    {"-inputreader", true, on_input_reader},
    {"-io", true, on_io},
    {"-mapdebug", true, on_debug_script},
    {"-reducedebug", true, on_debug_script},
    {"--conf", true, on_howdah_conf},
    {"--dir", true, on_howdah_dir},
    {"-lazyOutput", false, on_lazy},
    {"-background", false, on_background},
    {"-verbose", false, on_verbose},
    {"-debug", false, on_verbose},
    {"-info", false, on_info},
    {"-help", false, on_help},
    {"--help", false, on_help},
};

/* One option at argv[i]; returns how many words it took, or an error. */
static int parse_one(struct parser *p, int argc, char **argv, int i)
{
    const char *word = argv[i];
    if (strncmp(word, "-D", 2) == 0 && word[2] != '\0') { /* -Dname=value */
        int err = define(p, "-D", word + 2);
        return err < 0 ? err : 1;
    }
    for (size_t t = 0; t < HD_ARRAY_COUNT(table); t++) {
        if (strcmp(table[t].name, word) != 0) {
            continue;
        }
        if (table[t].takes_word && i + 1 >= argc) {
            return bad(p, "Missing argument for option: %s", word + 1);
        }
        int err = table[t].fn(p, table[t].takes_word ? argv[i + 1] : NULL);
        return err < 0 ? err : 1 + table[t].takes_word;
    }
    if (word[0] == '-') {
        return bad(p, "Unrecognized option: %s", word);
    }
    return bad(p, "Found 1 unexpected arguments on the command line [%s]", word);
}

int hd_streaming_parse(int argc, char **argv, struct hd_arena *arena,
                       struct hd_streaming_options *o)
{
    struct parser p = {.o = o, .arena = arena};
    *o = (struct hd_streaming_options){.reduces = -1};
    for (int i = 0; i < argc;) {
        int took = parse_one(&p, argc, argv, i);
        if (took < 0) {
            return took;
        }
        i += took;
    }
    if (o->help || o->info) {
        return 0;
    }
    if (o->inputs.count == 0) {
        return bad(&p, "Required argument: -input <name>");
    }
    if (o->output == NULL) {
        return bad(&p, "Required argument: -output ");
    }
    return 0;
}

void hd_streaming_options_done(struct hd_streaming_options *o)
{
    hd_props_done(&o->props);
}

uint32_t hd_streaming_reduces(const struct hd_streaming_options *o)
{
    if (o->reducer != NULL && strcmp(o->reducer, "NONE") == 0) {
        return 0;
    }
    if (o->reduces >= 0) {
        return (uint32_t)o->reduces;
    }
    return (uint32_t)HD_MAX(hd_props_int(&o->props, "mapreduce.job.reduces", 1), (int64_t)0);
}
