/*
 * From the text of -mapper, -combiner, -reducer to an argument vector, by Hadoop Streaming's rules:
 * words end at spaces and at quotes ('...' and "..." keep spaces), a backslash means nothing, no
 * shell is involved. One rule is ours: when |, &&, ;, < or > stands unquoted as a word of its own,
 * the whole text is given to `sh -c`.
 */
#ifndef HD_RUNNER_CORE_COMMAND_H
#define HD_RUNNER_CORE_COMMAND_H

#include "fs/base/arena.h"

struct hd_command {
    char **argv; /* NULL-terminated, in the arena */
    size_t argc;
};

/* -EINVAL when there is no word in the text, -ENOMEM. */
int hd_command_parse(const char *text, struct hd_arena *arena, struct hd_command *ret);

/*
 * Names that stand for a built-in: 'I' identity (mapper or reducer), 'A' Hadoop's aggregators
 * (reducer and combiner), 0 when it is none. Classes by simple and full names.
 */
char hd_command_builtin(const char *text);

#endif
