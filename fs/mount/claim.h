/*
 * What this mount has of the content of one file: the capability (none, READ, WRITE), the content
 * behind it (fs/client/content.h), and who uses it just now. Kept after the last close, until
 * somebody elsewhere wants the file: open, read and write of a known file ask nobody.
 *
 *              enter: acquire                    recall: settle, drop pages
 *     NONE ───────────────────────▶ READ, WRITE ────────────────────────────▶ NONE or READ
 *
 * Every operation on content lies between hd_claim_enter and hd_claim_leave. The kernel's pages of
 * an inode are good while the claim has READ or more, and only then.
 *
 * Giving back, and the locks of the kernel
 *
 * Before READ goes the kernel has to drop its pages (FUSE_NOTIFY_INVAL_INODE). It locks each page
 * for that, writes dirty ones of shared mappings by WRITE requests, and waits for both. But a page
 * is locked, too, while a READ fills it or a WRITE of write(2) carries it. So:
 *
 *  1. While pages are dropped, requests are served under the old capability. What they touched is
 *     noted, and dropped again, until a round passed in which nobody touched anything; then the
 *     gate closes for good, and those who come wait for the capability to be got anew. From the
 *     second round on the gate is closed on trial: who comes waits, but no longer than
 *     the trial time, for it may be his page that the round waits for. Each round lets everybody
 *     do one operation at least, and most need no third.
 *  2. WRITE requests that come while READ is being given back need WRITE. Dirty pages of a mapping
 *     (they are older than whatever the other mount will write) ask with `writeback`, which meta
 *     grants before those that wait, even beside READs that are under recall themselves. A plain
 *     write waits in the queue as any other, so the page it carries must not hold READ back: READ
 *     is given away at once, before the pages are dropped (give_way). For as long as that write
 *     waits, its page and those behind it may be read old on this machine: by programs that read
 *     what is being written on two machines at the same moment.
 *  3. Nothing here is called by a thread that serves the kernel but enter, leave and settle, and
 *     none of these drops pages.
 *  4. Who asked for a capability begins his operation in the moment it is granted, before a recall
 *     can close the gate: two mounts that want the same file take turns, and none gets nothing.
 *  5. A recall can overtake the grant it is for (they come on two connections); serials tell
 *     (ReleaseRequest in howdah.proto). It waits a moment for the grant then; one that comes later
 * still is void.
 *
 * Any thread, everything may block unless it says otherwise.
 */
#ifndef HD_MOUNT_CLAIM_H
#define HD_MOUNT_CLAIM_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/client/content.h"
#include "fs/client/posix.h"
#include "fs/mount/mount.h"

enum { HD_CLAIM_RANGES = 16, HD_CLAIM_IDLE_MAX = 16384 };

/*
 * A file that was made here and never settled: nobody elsewhere knows its attributes (who asks is
 * told that it is busy, and comes for READ), so chmod, chown and utimes wait for its first settle.
 */
struct hd_newborn {
    struct hd_posix_attr attr; /* with what waits */
    struct hd_posix_change change;
    char user[HD_POSIX_USER_BYTES];
    char group[HD_POSIX_USER_BYTES];
};

/* Bytes [from, to) of a file. */
struct hd_claim_range {
    uint64_t from, to;
};
#define HD_CLAIM_ALL     ((struct hd_claim_range){0, UINT64_MAX})
#define HD_CLAIM_NOTHING ((struct hd_claim_range){0, 0})

struct hd_claim {
    uint64_t id;          /* the server's number of the inode */
    uint32_t pins;        /* (table) */
    struct hd_list idle;  /* (table) nobody pins it; oldest first */
    struct hd_list dirty; /* (table) in the list of those with something to settle */

    _Atomic uint32_t opens;   /* open handles */
    _Atomic uint32_t writers; /* of these, handles for writing */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Hdw__CapKind held;
    uint64_t serial;            /* of the newest grant */
    uint64_t dealt_serial;      /* of the newest recall that was done */
    struct hd_content *content; /* NULL: never used */
    bool current;               /* content is as of the capability that is held */
    uint32_t busy;              /* operations between enter and leave */
    uint32_t alone_wanted;      /* so many wait for the content for themselves, or have it */
    bool alone;                 /* one of them has it */
    uint32_t acquiring;         /* calls under way that ask for a capability */
    bool acquiring_write;       /* a plain one for WRITE among them */
    bool recalling;             /* being given back; operations go on until the gate closes */
    uint32_t recall_turn;       /* counts recalls that began, and that gave way */
    uint64_t recall_serial;
    bool gated;             /* nobody enters */
    int64_t trial_until_ms; /* of the gate; 0: closed for good */
    bool dropped;           /* the inode is gone */
    bool spoiled;           /* content is to be made anew, what it has is lost */
    struct hd_claim_range touched[HD_CLAIM_RANGES];
    uint32_t touched_count; /* more than HD_CLAIM_RANGES: anything */

    bool dirty_noted;
    int64_t dirty_since_ms;
    int write_error;            /* the last failure of a write that was answered already */
    uint32_t error_count;       /* of such failures */
    bool written;               /* through `content`: fsync of it is the content's */
    struct hd_newborn *newborn; /* made here and not settled yet; else NULL */

    /* What getattr is told while WRITE is held and something is dirty; atomics, read without lock.
     */
    _Atomic bool shadows;
    _Atomic uint64_t written_bytes; /* since it was settled last */
    _Atomic bool told;              /* the kernel got them since the last write */
    _Atomic uint64_t size_bytes;
    _Atomic int64_t mtime_ns;
    size_t held_bytes; /* counted in hd_claims.held_bytes */
};

struct hd_claims {
    pthread_mutex_t lock;
    struct hd_map by_id;
    struct hd_list idle;
    size_t idle_count;
    struct hd_list dirty;
    _Atomic size_t held_bytes; /* of all contents, as far as counted */
    _Atomic uint64_t stray;    /* the highest serial of a recall of what nobody knew */
};

int hd_claims_new(struct hd_claims **ret);
void hd_claims_free(struct hd_claims *t); /* takes NULL; everybody must be gone */

void hd_claim_pin(struct hd_claims *t, struct hd_claim *c); /* wants the table's lock */

/* With a pin. get makes it (NULL: no memory), find does not. Do not block. */
struct hd_claim *hd_claim_get(struct hd_mount *m, uint64_t id);
struct hd_claim *hd_claim_find(struct hd_mount *m, uint64_t id);
void hd_claim_put(struct hd_mount *m, struct hd_claim *c); /* takes NULL */

/*
 * Begins an operation that reads (READ) or changes (WRITE) content; its content may be used until
 * leave. page: it writes a dirty page of a mapping. 0; 1: nothing may be kept of it (an HDFS client
 * is writing the file); or an error, then there is nothing to leave.
 */
int hd_claim_enter(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind kind, bool page,
                   struct hd_content **ret);

/* Ends it, after the kernel was answered. What it touched of the kernel's pages. Does not block. */
void hd_claim_leave(struct hd_mount *m, struct hd_claim *c, struct hd_claim_range touched);

/* Within an operation that wrote: notes what getattr has to say, and that there is to be settled.
 */
void hd_claim_wrote(struct hd_mount *m, struct hd_claim *c, size_t size);

/* A file that was just made here, with WRITE granted. */
int hd_claim_adopt(struct hd_mount *m, struct hd_claim *c, const struct hd_posix_attr *attr,
                   uint64_t serial);

/*
 * Settles what was written, if there is anything, and keeps the capability. change (NULL: none)
 * goes with it. 1: done, *ret is set; 0: there was nothing, and nothing was done; or an error.
 */
int hd_claim_settle(struct hd_mount *m, struct hd_claim *c, const struct hd_posix_change *change,
                    struct hd_posix_attr *ret);

/* When the oldest byte that waits was written (monotonic ms), or when it was flushed last. */
int64_t hd_claim_waits_since(struct hd_claim *c);

/* Flushes what is dirty; settles nothing. */
int hd_claim_flush(struct hd_mount *m, struct hd_claim *c, bool durable);

/*
 * What was written here is durable with its size: 1. 0: nothing was done, for nothing was written
 * here, or it was given back since and is the nodes' and meta's. Changes that wait (newborn) are
 * not part of it: hd_claim_has_wishes, then settle.
 */
int hd_claim_sync(struct hd_mount *m, struct hd_claim *c);
bool hd_claim_has_wishes(struct hd_claim *c);

/*
 * chmod, chown and utimes of a newborn file: 1 it waits for the first settle and *ret says what is
 * so now, 0 it is no such file.
 */
int hd_claim_change_newborn(struct hd_claim *c, const struct hd_posix_change *change,
                            struct hd_posix_attr *ret);

/* Gives back down to `keep`; serial 0: not asked for by meta (then it is told). */
void hd_claim_yield(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind keep, uint64_t serial);

/*
 * Every capability is void at once, but for WRITE, which is claimed again (writes: is it held?) and
 * may turn out to be lost (spoil: what was not settled is). lose: true when the kernel's pages have
 * to go. Do not block.
 */
bool hd_claim_lose(struct hd_mount *m, struct hd_claim *c);
bool hd_claim_writes(struct hd_claim *c);
void hd_claim_spoil(struct hd_mount *m, struct hd_claim *c);

/* The inode is gone: who comes gets ESTALE, what was not settled needs not to be. */
void hd_claim_drop(struct hd_mount *m, struct hd_claim *c);

/* Waits until what is held of all files is below the limit. Not between enter and leave. */
int hd_claim_wait_memory(struct hd_mount *m, struct hd_claim *c);

/* Claims that have to settle, each with a pin; returns how many. */
size_t hd_claims_dirty(struct hd_mount *m, struct hd_claim **out, size_t max);

/* Gives back the oldest idle claims beyond HD_CLAIM_IDLE_MAX. For a thread of our own. */
void hd_claims_trim(struct hd_mount *m);

/* ---- between claim.c and claim_yield.c; all want the lock, and all but failed give it up ---- */

/* Nobody else uses the content from be_alone to be_with_others. */
void hd_claim_be_alone(struct hd_claim *c);
void hd_claim_be_with_others(struct hd_claim *c);

/* Settles while alone. */
int hd_claim_settle_alone(struct hd_mount *m, struct hd_claim *c,
                          const struct hd_posix_change *change, Hdw__CapKind keep,
                          struct hd_posix_attr *ret);

/* READ, under recall, goes at once (2 above). */
void hd_claim_give_way(struct hd_mount *m, struct hd_claim *c);

bool hd_claim_has_to_settle(const struct hd_claim *c);

/* A failure that handles have to tell later. */
void hd_claim_failed(struct hd_claim *c, int err);

/* The outcome of an operation on content that is no write: bytes of others may have been lost with
 * it, whose handles tell it too. Wants no lock. */
void hd_claim_spread(struct hd_claim *c, int err);

/* What getattr is told, and the list of those with something to settle. */
void hd_claim_note(struct hd_mount *m, struct hd_claim *c);

#endif
