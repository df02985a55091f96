/*
 * Ends what tasks left behind. A task dies with its agent (spawn.h) and its process group with the
 * attempt, but what went into a session of its own lives on. Such processes are known by two things
 * they inherit: a variable in their environment, and a working directory among the agent's; one
 * that gave up both is not found.
 */
#ifndef HD_RUNNER_AGENT_SWEEP_H
#define HD_RUNNER_AGENT_SWEEP_H

#define HD_SWEEP_VARIABLE "HOWDAH_ATTEMPT_DIR" /* the working directory of the attempt */

/*
 * Kills every process but the caller whose HOWDAH_ATTEMPT_DIR or working directory is dir or below
 * it; waits until they are gone, two seconds at most. Returns how many there were, or a negative
 * errno when /proc cannot be read. dir is absolute and without links.
 */
int hd_sweep(const char *dir);

#endif
