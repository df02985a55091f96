/*
 * From input files to map tasks. A file is cut at its block boundaries, a last piece of less than a
 * tenth of a split joining the one before; tiny whole files whose bytes lie on the same node
 * share a task, each keeping a process of its own. Pure: files and blocks in, tasks out.
 */
#ifndef HD_RUNNER_CORE_PLAN_H
#define HD_RUNNER_CORE_PLAN_H

#include "fs/base/arena.h"

enum { HD_PLAN_NODES = 6 /* places remembered of a task */ };

struct hd_plan_block {
    uint64_t offset;
    uint64_t size;
    uint32_t nodes[HD_PLAN_NODES]; /* ids of the caller, best first */
    uint32_t node_count;
};

struct hd_plan_file {
    const char *path; /* borrowed */
    uint64_t size;
    struct hd_plan_block *blocks;
    uint32_t block_count;
    bool whole; /* cannot be read from the middle (compressed): one split */
};

struct hd_plan_options {
    uint64_t min_split;   /* bytes; a split is never smaller unless the file is */
    uint64_t max_split;   /* 0: none */
    bool combine;         /* tiny files share tasks */
    uint64_t tiny_bytes;  /* at most so large is tiny */
    uint64_t group_bytes; /* of a shared task */
    uint32_t group_files;
};

struct hd_plan_split {
    uint32_t file; /* index */
    uint64_t start;
    uint64_t length;
};

struct hd_plan_task {
    struct hd_plan_split *splits;
    uint32_t split_count;
    uint64_t bytes;
    uint32_t nodes[HD_PLAN_NODES];
    uint32_t node_count;
};

struct hd_plan {
    struct hd_plan_task *tasks; /* in the arena */
    uint32_t count;
};

enum { HD_PLAN_TASKS_MAX = 1000000 };

/* 0, -ENOMEM, or -HD_E_TOO_LARGE above HD_PLAN_TASKS_MAX tasks. */
int hd_plan_make(const struct hd_plan_file *files, uint32_t count, const struct hd_plan_options *o,
                 struct hd_arena *arena, struct hd_plan *ret);

#endif
