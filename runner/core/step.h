/*
 * A narrow step, or a wide operation, by name and words:
 *
 *   exec COMMAND...     a process; one word is cut as hd_command_parse does
 *   tokens              words between white space
 *   grep [-viEF] PATTERN
 *   fields N,N          fields between TABs, from 1
 *   key N               field N goes to the front
 *   sample FRACTION SEED
 *   take N  |  top N BY (BY: K[n][r], the greatest first) | ordered N BY (the least first)
 *   lines               how many there were, at the end
 *   sum                 of numbers, at the end
 */
#ifndef HD_RUNNER_CORE_STEP_H
#define HD_RUNNER_CORE_STEP_H

struct hd_step {
    const char *op;
    char **args;
    size_t arg_count;
};

struct hd_steps {
    struct hd_step *items;
    size_t count;
    size_t capacity;
};

#endif
