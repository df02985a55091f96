/*
 * What session.c, push.c, known.c, caps.c and op_session.c share: everything that is kept of
 * sessions. Nothing here is durable but that a session exists (session_record.h).
 */
#ifndef HD_META_CORE_SESSION_IMPL_H
#define HD_META_CORE_SESSION_IMPL_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "meta/core/caps.h"
#include "meta/core/op.h"
#include "meta/core/session.h"
#include "howdah.pb-c.h"

enum {
    HD_SESSIONS_MAX = 10000,
    HD_KNOWN_MAX = 1 << 20,      /* inodes a session knows: beyond, it is told to forget old ones */
    HD_KNOWN_CEILING = 2 << 20,  /* beyond, answers are not to be kept, and nothing is opened */
    HD_KNOWN_EVICT = 4,          /* old ones that are looked at for a new one */
    HD_PUSHES_MAX = 1 << 17,     /* unanswered; a session that lets it come to more ends */
    HD_PUSHES_PER_POLL = 1024,   /* in one answer */
    HD_PUSH_REPEAT_MS = 3000,    /* on the same connection; on another one at once */
    HD_ENTRY_PUSHES_MAX = 32,    /* of one directory that the session does not touch meanwhile */
    HD_SESSION_CLOSED_MS = 1000, /* to come back after the poll's connection closed */
    HD_SESSION_LEASE_MS = 10000, /* when the options do not say */
    HD_RECALL_MAX_MS = 120000,   /* a capability must have been given back */
    HD_WAITS_MAX = 100000,       /* calls parked for capabilities */
};

/* What one session knows and has of one inode. Stays until the inode or the session goes: there it
 * may be open. */
struct hd_known {
    struct hd_known *hash_next;
    struct hd_session *session;
    struct hd_list in_session;
    uint64_t ino;
    uint64_t grant_serial; /* of cap */
    uint8_t bits;          /* enum hd_known_bit */
    uint8_t cap;           /* enum hd_cap */
    uint8_t entry_pushes;  /* since the session last asked for an entry */
};

enum hd_known_bit {
    HD_KNOWN_ATTR = 1,
    HD_KNOWN_ENTRIES = 2,
    HD_KNOWN_ASKED = 4,     /* PUSH_GONE is unanswered */
    HD_KNOWN_HELD = 8,      /* an orphan that is open there */
    HD_KNOWN_DUE = 16,      /* session->dues has an entry */
    HD_KNOWN_LEAVES = 32,   /* forgotten when nothing is due any more */
    HD_KNOWN_GRANTING = 64, /* the answer that grants cap is held: it is not recalled before */
};

/* Serials of what is to be answered of one inode; 0: nothing is. */
struct hd_due {
    uint64_t attr;    /* the newest PUSH_ATTR: later changes wait for it too */
    uint64_t entries; /* the newest PUSH_ENTRIES, likewise */
    uint64_t recall;
    uint8_t keep; /* of the recall */
};

/* The answer of a call, kept until sessions have answered what the call made them be told. */
struct hd_hold {
    struct hd_list link;
    struct hd_meta_reply reply; /* text and body are heap, owned; response is NULL */
    uint32_t pending;           /* pushes */
    uint64_t granted_to;        /* a session, when the answer grants it WRITE; 0: it does not */
    uint64_t granted_ino;
    uint8_t client_id[16]; /* of the call, if it has one: it may be asked again meanwhile */
    int32_t call_id;       /* < 0: none */
    uint64_t *also;        /* tokens of the call asked again; heap, owned */
    size_t also_count, also_capacity;
};

struct hd_push {
    struct hd_list link; /* of session->pushes, by serial */
    uint64_t serial;
    uint64_t ino;
    struct hd_txid txid;
    struct hd_mono_ms made;
    struct hd_mono_ms sent; /* 0: not yet */
    uint64_t sent_conn;
    Hdw__PushKind kind;
    enum hd_cap keep; /* RECALL */
    char *name;       /* ENTRY: heap, owned */
    size_t name_size;
    uint64_t child;         /* ENTRY */
    uint64_t wait_id;       /* LOCK */
    int error;              /* LOCK */
    struct hd_hold **holds; /* heap, owned */
    size_t hold_count, hold_capacity;
};

struct hd_session {
    struct hd_list link; /* of sessions->all */
    struct hd_list tell; /* of sessions->to_tell */
    uint64_t number;
    char *name; /* heap, owned, as user and machine */
    char *user;
    char *machine;
    bool trusted;
    bool reclaiming; /* it was there before the restart, and has not said all */
    struct hd_mono_ms reclaim_until;
    struct hd_mono_ms heard;  /* its last poll */
    struct hd_mono_ms closed; /* when the connection of it closed; 0: it has not */
    uint64_t poll_conn;
    uint64_t poll_token; /* of the parked call; 0: none */
    struct hd_mono_ms poll_until;
    uint64_t serial; /* of the newest push or grant */
    struct hd_list pushes;
    struct hd_map by_serial;
    struct hd_mono_ms answered; /* when a push was answered last */
    struct hd_list known;       /* least recently touched first */
    size_t known_count;
    struct hd_map dues; /* ino -> hd_due */
};

/* A session of the process before, that is waited for. */
struct hd_awaited {
    struct hd_list link;
    char *name;
    struct hd_mono_ms until;
};

/* Calls that wait for the capabilities of one inode, in the order in which they came. */
struct hd_cap_queue {
    uint64_t ino;
    struct hd_list waits;  /* struct hd_parked */
    struct hd_list kicked; /* of sessions->kicked */
};

/* A file that has become an orphan in this call. */
struct hd_orphaned {
    uint64_t ino;
    uint64_t holder;
};

struct hd_sessions {
    struct hd_list all;
    struct hd_map by_number;
    struct hd_strmap by_name;
    struct hd_list to_tell; /* have news since the step began */
    struct hd_list holds;
    struct hd_list awaited;
    bool grace;
    struct hd_known **buckets; /* heap, owned */
    size_t bucket_count;       /* a power of two, or 0 */
    size_t known_count;
    struct hd_map queues; /* ino -> hd_cap_queue */
    struct hd_list kicked;
    size_t wait_count;
    const struct hd_cap_queue *running; /* a call of it is being run again; or NULL */
    bool requeued;                      /* and has parked again */
    bool writeback; /* the WRITE that was given in this call does not wait for others */
    bool purge_due; /* there may be orphans that nobody holds */
    struct hd_orphaned *orphaned;
    size_t orphaned_count, orphaned_capacity;
    uint64_t *granted; /* inodes whose WRITE was given away in this call: others' attributes age */
    size_t granted_count, granted_capacity;
};

#define HD_GRACE_QUEUE UINT64_MAX /* calls that wait for the end of grace */

/* ---- known.c ---- */

struct hd_known *hd_known_find(const struct hd_sessions *x, uint64_t ino,
                               const struct hd_session *s);
/* NULL at the ceiling. The entry becomes the session's most recently touched. */
struct hd_known *hd_known_get(struct hd_sessions *x, uint64_t ino, struct hd_session *s,
                              size_t ceiling);
/* The sessions that know an inode: for (k = first; k != NULL; k = next(k)). */
struct hd_known *hd_known_first(const struct hd_sessions *x, uint64_t ino);
struct hd_known *hd_known_next(const struct hd_known *k);
void hd_known_drop(struct hd_sessions *x, struct hd_known *k);

struct hd_due *hd_due_find(const struct hd_known *k); /* NULL: none */
struct hd_due *hd_due_get(struct hd_known *k);
/* Nothing is due any more? Then the entry of it goes, and perhaps k. */
void hd_due_settle(struct hd_sessions *x, struct hd_known *k);

/* ---- push.c ---- */

struct hd_push *hd_push_new(struct hd_meta *m, struct hd_session *s, Hdw__PushKind kind,
                            uint64_t ino);
void hd_push_end(struct hd_meta *m, struct hd_session *s, struct hd_push *p); /* frees it */
void hd_push_answered(struct hd_meta *m, struct hd_session *s, uint64_t serial, bool held);
/* The hold's reply leaves when p, too, was answered. */
void hd_push_hold(struct hd_push *p, struct hd_hold *hold);
struct hd_hold *hd_hold_new(struct hd_sessions *x, const struct hd_meta_reply *reply,
                            const struct hd_meta_event *event);
/* The call, asked again, is answered with the one before. False: that is not held. */
bool hd_hold_join(struct hd_sessions *x, const struct hd_meta_event *event);
void hd_push_deliver(struct hd_meta *m, struct hd_session *s); /* answers the parked poll, or not */

/* ---- caps.c ---- */

/* Makes others give back what is above `keep`. False: there is nobody. */
bool hd_caps_recall_others(struct hd_meta *m, uint64_t ino, const struct hd_session *own,
                           enum hd_cap keep);
/* No more than keep stays of what was granted with a serial up to `serial`. */
void hd_caps_lower(struct hd_meta *m, struct hd_known *k, enum hd_cap keep, uint64_t serial);
uint64_t hd_caps_raise(struct hd_meta *m, struct hd_known *k, enum hd_cap cap); /* its serial */
void hd_caps_kick(struct hd_meta *m, uint64_t ino); /* who waits for it is to look again */
void hd_caps_kick_all(struct hd_meta *m);
bool hd_caps_is_awaited(const struct hd_sessions *x, uint64_t ino); /* does a call wait for it? */
void hd_caps_check_orphan(struct hd_meta *m, uint64_t ino); /* purges it if nobody holds it */

/* ---- session.c ---- */

struct hd_session *hd_session_find(const struct hd_sessions *x, uint64_t number);
/* The session whose call it is; NULL: there is none, or another user's. */
struct hd_session *hd_session_of_event(const struct hd_sessions *x,
                                       const struct hd_meta_event *event);
struct hd_session *hd_session_named(const struct hd_sessions *x, const char *name);
struct hd_session *hd_session_begin(struct hd_call *c, const char *name);
void hd_session_end(struct hd_meta *m, struct hd_session *s, const char *why);
void hd_session_reclaimed(struct hd_meta *m, struct hd_session *s);
int64_t hd_session_lease_ms(const struct hd_meta *m);

/* ---- for meta.c ---- */

struct hd_sessions *hd_sessions_new(void);
void hd_sessions_free(struct hd_meta *m);
void hd_sessions_start(struct hd_meta *m); /* who was there before is waited for */
void hd_sessions_closed(struct hd_meta *m, uint64_t conn_id);
void hd_sessions_check(struct hd_meta *m);    /* what the clock asks for */
void hd_sessions_step_end(struct hd_meta *m); /* parked polls are answered */

/*
 * At the end of a call (reply: its answer, the last of the effects; NULL: there is none, or nobody
 * waits for it), or of a step (NULL, NULL): turns what changed into pushes, and keeps the answer if
 * it made any. Before the view is told.
 */
void hd_caps_changes(struct hd_meta *m, const struct hd_meta_event *event,
                     struct hd_meta_reply *reply);

/* A call that returned HD_PARK with wait_ino set. */
void hd_caps_park(struct hd_meta *m, const struct hd_call *c, struct hd_parked *p);
typedef void hd_run_parked(struct hd_meta *m, struct hd_parked *p, bool late);
/* Runs those again that were kicked, in the order in which they came. run() frees them. */
void hd_caps_run_waits(struct hd_meta *m, hd_run_parked *run);
void hd_caps_check_waits(struct hd_meta *m); /* what the clock asks for */

#endif
