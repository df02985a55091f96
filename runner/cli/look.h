/*
 * What the verbs that look at one job, or at all, share: their options, one call of the manager.
 */
#ifndef HD_RUNNER_CLI_LOOK_H
#define HD_RUNNER_CLI_LOOK_H

#include "runner/cli/cli.h"

#include <jansson.h>

struct hd_look {
    struct hd_cli cli;
    struct hd_arena arena; /* answers */
    const char *conf;
    const char *dir;
    bool json;
    bool all;
    bool failed;
    char *words[2]; /* what is no option: the job, the task */
    int word_count;
};

struct hd_look_verb {
    const char *usage; /* behind "runner " */
    const char *help;
    int min_words;
    int max_words;
};

/* Reads the options and opens the connection. 0, or an exit code after saying why. */
int hd_look_start(struct hd_look *l, const struct hd_look_verb *v, int argc, char **argv);

/* Closes everything; returns rc. Also after a failed start. */
int hd_look_end(struct hd_look *l, int rc);

/* One call; the answer (through ret, a pointer to a message) lives until the end. */
int hd_look_call(struct hd_look *l, const char *method, const void *request,
                 const ProtobufCMessageDescriptor *type, void *ret);

/* Prints and releases o; an exit code. */
int hd_look_print_json(json_t *o);

#endif
