/*
 * Whether every property of a job means here what its author expects. What changes a job's output
 * in Hadoop and is not done here is refused with a sentence before the job starts, never ignored;
 * so is a number that is none. Names nobody knows are the job's own and pass.
 */
#ifndef HD_RUNNER_CORE_PROPS_CHECK_H
#define HD_RUNNER_CORE_PROPS_CHECK_H

#include "runner/core/props.h"

/* 0, or -EINVAL with a sentence that begins with the property's name. */
int hd_props_check(const struct hd_props *p);

#endif
