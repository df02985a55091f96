/*
 * The options of Hadoop Streaming, generic ones in any position. Pure: words in, options out; what
 * is wrong with them is a sentence in `error`, word for word Hadoop's where it has one.
 */
#ifndef HD_RUNNER_CLI_OPTIONS_H
#define HD_RUNNER_CLI_OPTIONS_H

#include "fs/base/arena.h"
#include "runner/core/props.h"

struct hd_text_list {
    char **items; /* in the arena */
    size_t count;
    size_t capacity;
};

struct hd_streaming_options {
    struct hd_text_list inputs; /* split at commas */
    const char *output;
    const char *mapper;
    const char *combiner;
    const char *reducer;
    int64_t reduces;           /* -1: not said */
    struct hd_text_list files; /* "path" or "path#link" */
    struct hd_text_list env;   /* "NAME=value" */
    struct hd_text_list confs; /* -conf files, in order */
    struct hd_text_list warnings;
    struct hd_props props; /* -D, -io ... */
    const char *fs;
    const char *howdah_conf; /* --conf, --dir: which cluster */
    const char *howdah_dir;
    bool background;
    bool verbose;
    bool help;
    bool info;
    char error[512];
};

/* argv without the program and verb. 0, or -EINVAL with o->error set. */
int hd_streaming_parse(int argc, char **argv, struct hd_arena *arena,
                       struct hd_streaming_options *o);
void hd_streaming_options_done(struct hd_streaming_options *o);

/* How many reduces the options ask for. */
uint32_t hd_streaming_reduces(const struct hd_streaming_options *o);

#endif
