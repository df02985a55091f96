/*
 * A program that is about to end does not wait for a meta that is away (hd_fs_leave). Who asks
 * begins with a try of a call, tells how it ended, and stops trying when it was given up. Inside
 * the room.
 */
#ifndef HD_CLIENT_LEAVE_H
#define HD_CLIENT_LEAVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hd_session;

/* All zeros: nobody leaves. */
struct hd_leave {
    atomic_llong since_ms; /* when leaving began; 0: not */
    atomic_int patience_ms;
    atomic_llong answered_ms; /* the last answer since then */
    atomic_llong failing_ms;  /* when the first of the tries began that failed since; 0: none */
    atomic_bool given_up;     /* for good */
};

/* Whether no call may be tried any more. */
bool hd_leave_given_up(struct hd_leave *l);

/* The most a try may take that begins now, of timeout_ms (0 and less: as long as it likes). */
int hd_leave_timeout_ms(const struct hd_leave *l, int timeout_ms);

/* A try that began at began_ms was answered by who serves, or was not: gives up when it is time. */
void hd_leave_note(struct hd_leave *l, bool answered, int64_t began_ms);

/* Ends the calls that wait for a meta given up. */
void hd_leave_cut(struct hd_session *s);

#endif
