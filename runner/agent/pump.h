/*
 * Moves bytes between the agent and a process: fills its stdin, reads its stdout and stderr, all
 * three at once, until both outputs end. One thread, poll(2); the pipes are large.
 */
#ifndef HD_RUNNER_AGENT_PUMP_H
#define HD_RUNNER_AGENT_PUMP_H

#include "runner/agent/lines.h"

struct hd_pump {
    int in_fd;  /* non-blocking write end; closed when everything is written */
    int out_fd; /* non-blocking read ends; closed at their ends */
    int err_fd;
    int cancel_fd; /* borrowed; readable: give up with -ECANCELED */
    /* More bytes for stdin: 1 and bytes (valid until the next call), 0 at the end, or an error. */
    int (*fill)(void *ctx, const uint8_t **ret_data, size_t *ret_size);
    void *fill_ctx;
    struct hd_lines *out;
    struct hd_lines *err;
    void (*tick)(void *ctx); /* about every tick_ms; may be NULL */
    void *tick_ctx;
    int tick_ms;
    int64_t silence_ms; /* -ETIMEDOUT when nothing moved so long; 0: never */
    bool closed_early;  /* out: the process closed its stdin before it had everything */
    uint64_t bytes_in;  /* out: written to stdin */
};

/* 0 or an error. Closes the three descriptors. */
int hd_pump_run(struct hd_pump *p);

/* A pipe for a task: both ends close-on-exec, ours non-blocking, as large as allowed. */
int hd_pump_pipe(bool we_write, int *ret_ours, int *ret_theirs);

#endif
