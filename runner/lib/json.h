/* Jobs and tasks as JSON: what `--json` prints and what the manager keeps in job.json. */
#ifndef HD_RUNNER_LIB_JSON_H
#define HD_RUNNER_LIB_JSON_H

#include "fs/base/arena.h"
#include "runner.pb-c.h"

#include <jansson.h>

/* "running", "succeeded" ... */
const char *hd_job_state_name(Hdw__RunnerJobState state);
bool hd_job_state_final(Hdw__RunnerJobState state);

/* New references; NULL: no memory. */
json_t *hd_job_json(const Hdw__RunnerJobStatus *s);
json_t *hd_task_json(const Hdw__RunnerTask *t);
json_t *hd_attempt_json(const Hdw__RunnerAttempt *a);

/* Back, into the arena. NULL when it is not what hd_job_json and hd_task_json wrote. */
Hdw__RunnerJobStatus *hd_job_from_json(const json_t *j, struct hd_arena *arena);
Hdw__RunnerTask *hd_task_from_json(const json_t *j, struct hd_arena *arena);

#endif
