/* Names of jobs, tasks and attempts, ours (m_000012) and Hadoop's
 * (attempt_20261122_0007_m_000012_0). */
#ifndef HD_RUNNER_LIB_NAMES_H
#define HD_RUNNER_LIB_NAMES_H

#include "runner.pb-c.h"

enum { HD_JOB_ID_BYTES = 24, HD_NAME_BYTES = 64 };

/* "20261122-0007"; true when text looks so. */
bool hd_job_id_valid(const char *text);

/* "m_000012" or "r_000003". */
void hd_task_name(Hdw__RunnerTaskKind kind, uint32_t index, char out[HD_NAME_BYTES]);

/* "m_000012_1": unique in a job; number from 1. Names files. */
void hd_attempt_name(const Hdw__RunnerAttemptKey *key, char out[HD_NAME_BYTES]);

/* "part-00000". */
void hd_part_name(uint32_t index, char out[HD_NAME_BYTES]);

/* Where an attempt writes inside the job's staging directory, before it is granted its part. */
void hd_attempt_part_name(const Hdw__RunnerAttemptKey *key, char out[HD_NAME_BYTES]);

#endif
