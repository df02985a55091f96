/*
 * From a graph of operations to stages. A stage reads files (or what stages before it made), hands
 * each record through narrow steps, brings records together with one wide operation or none, and
 * hands the outcome through narrow steps again. Pure.
 *
 * Narrow steps are fused: nothing is stored between them. What a wide operation made is stored, and
 * made once however many use it.
 */
#ifndef HD_RUNNER_CORE_STAGES_H
#define HD_RUNNER_CORE_STAGES_H

#include "runner/core/script.h"
#include "runner/core/step.h"

enum { HD_STAGE_NONE = UINT32_MAX, HD_STAGES_MAX = 1000 };

/* Files with the steps their records go through. */
struct hd_flow {
    uint32_t stage; /* whose output it reads; HD_STAGE_NONE: paths */
    char **paths;
    size_t path_count;
    struct hd_steps steps;
    uint32_t tag;       /* which data set of a join it is */
    uint32_t key_field; /* of its records */
};

enum hd_stage_end {
    HD_STAGE_KEEP,    /* for the stages behind it */
    HD_STAGE_COLLECT, /* to whoever asked */
    HD_STAGE_SAVE,
};

struct hd_stage {
    struct hd_flow *flows;
    size_t flow_count;
    size_t flow_capacity;
    struct hd_step wide;   /* op NULL: none */
    struct hd_steps after; /* behind the wide operation */
    uint32_t reduces;      /* 0: none; HD_STAGE_AUTO: by the size of the input */
    enum hd_stage_end end;
    const char *path; /* of HD_STAGE_SAVE */
    bool replace;     /* what is at path */
    uint32_t users;   /* flows that read it */
};

enum { HD_STAGE_AUTO = UINT32_MAX };

struct hd_stages {
    struct hd_stage *items; /* in an order that works */
    size_t count;
};

/* 0; -EINVAL: script->error says why; -ENOMEM. Everything is in the arena. */
int hd_stages_make(struct hd_script *script, struct hd_arena *arena, struct hd_stages *ret);

#endif
