/*
 * Sessions: one a mount. A session has a number (that of the record that began it, so never given
 * twice), a call parked that carries pushes to it (poll), and what caps.h keeps.
 *
 * It ends when its polls stop for session_lease_ms, or SESSION_CLOSED_MS after the connection of
 * the last one closed, or when it leaves a push unanswered for too long. With it go its
 * capabilities, its locks and its holds on orphans; files it was writing are recovered at once.
 *
 * That it exists is durable (record Session), so that the next process knows whom to wait for:
 * until each has reclaimed or its lease has passed there is grace (hd_caps_in_grace).
 */
#ifndef HD_META_CORE_SESSION_H
#define HD_META_CORE_SESSION_H

#include "fs/base/types.h"

struct hd_call;
struct hd_meta;
struct hd_session;

/*
 * The session a request names; it must be that of the connection. -HD_E_NO_SESSION with the text
 * when it has ended: the client opens another and knows nothing.
 */
int hd_session_of(struct hd_call *c, uint64_t number, struct hd_session **ret);

/* The session of the call's connection; NULL: none, or it has ended. */
struct hd_session *hd_call_session(const struct hd_call *c);

uint64_t hd_session_number(const struct hd_session *s);
const char *hd_session_name(const struct hd_session *s); /* client_name: holder of its leases */

/* Is there a session of this number? */
bool hd_session_is_live(const struct hd_meta *m, uint64_t number);

/* PUSH_LOCK: the lock that was waited for was granted (error 0), or will not be. Of a session that
 * has ended nothing happens. */
void hd_session_push_lock(struct hd_meta *m, uint64_t number, uint64_t ino, uint64_t wait_id,
                          int error);

#endif
