/*
 * A session of howdah.PosixProtocol: one per mount. Names and attributes by inode number, and the
 * promise that what was answered stays true until an event says otherwise.
 *
 *            hd_posix_open
 *                 │           the poll ends, another life of meta,
 *                 ▼           or no word from it for two thirds of the lease
 *   ┌──────────▶ LIVE ──────────────────────────────────────────────▶ LOST
 *   │                                                                  │ on_lost: forget everything
 *   │   everything that was held is claimed again                      ▼
 *   └────────────────────────────────────────────────────────── RECLAIMING (a new session)
 *
 * A thread keeps a poll parked at meta and brings the events; others carry out those that block.
 * Calls of anybody else block, may be made by any thread at once, and are repeated as howdah.h
 * says; while the session is not LIVE they wait, within the same time.
 *
 * What an answer tells may be kept when it says `cached`, its era is still the session's
 * (hd_posix_era), and no event of that inode came with a higher txid than the answer's as_of.
 *
 * Errors: as in howdah.h. -ESTALE: the inode is gone.
 */
#ifndef HD_CLIENT_POSIX_H
#define HD_CLIENT_POSIX_H

#include "fs/base/arena.h"
#include "fs/client/howdah.h"

#include "howdah.pb-c.h"

struct hd_posix;

enum { HD_POSIX_USER_BYTES = 64, HD_POSIX_NAME_MAX_BYTES = 255 };

/* Which moment an answer is of: txids are comparable within an era. */
struct hd_posix_as_of {
    uint64_t txid;
    uint32_t era;
};

/* Who asks, by name; meta believes it of a trusted session (hd_posix_is_trusted). NULL: nobody. */
struct hd_posix_cred {
    char user[HD_POSIX_USER_BYTES];
    char group[HD_POSIX_USER_BYTES];
};

struct hd_posix_attr {
    uint64_t ino;
    uint32_t mode; /* S_IFMT and 07777 */
    uint32_t nlink;
    char user[HD_POSIX_USER_BYTES];
    char group[HD_POSIX_USER_BYTES];
    uint64_t size_bytes;
    uint64_t allocated_bytes; /* one copy; holes are not */
    int64_t mtime_ns;
    int64_t atime_ns;
    int64_t ctime_ns;
    uint64_t rdev;
    uint64_t block_size_bytes;
    uint32_t replication;
    uint64_t parent; /* of a directory */
    bool cached;     /* an event will tell of changes */
    bool busy;       /* another session writes: size and times are as of its last flush */
    bool has_xattrs; /* ACLs not counted */
    bool has_acl;    /* an access or a default one */
    bool has_quota;  /* a byte quota is above it */
    char *target;    /* of a symlink: heap, owned by the struct; else NULL */
    struct hd_posix_as_of as_of;
};

void hd_posix_attr_done(struct hd_posix_attr *a); /* frees target; a zeroed one is fine */

/* From a message. target is copied. -ENOMEM, or -HD_E_BAD_MESSAGE. */
int hd_posix_attr_take(const Hdw__PosixAttr *m, struct hd_posix_as_of as_of,
                       struct hd_posix_attr *ret);

/* What to change; what is not there stays. */
struct hd_posix_change {
    bool has_mode;
    uint32_t mode;
    const char *user;  /* NULL: stays */
    const char *group; /* NULL: stays */
    bool has_mtime, has_atime;
    int64_t mtime_ns, atime_ns;
    bool mtime_now, atime_now; /* meta's clock */
};

bool hd_posix_change_is_empty(const struct hd_posix_change *c); /* NULL is empty */

/* A change as a message, for those who fill requests themselves; it borrows from c. */
void hd_posix_change_fill(const struct hd_posix_change *c, Hdw__PosixAttrChange *ret);
void hd_posix_cred_fill(const struct hd_posix_cred *c, Hdw__PosixCred *ret);

struct hd_posix_lock {
    uint64_t ino;
    uint64_t owner;
    uint64_t start;
    uint64_t end;  /* the last byte; UINT64_MAX: to the end */
    uint32_t type; /* F_RDLCK, F_WRLCK, F_UNLCK */
    bool flock;
    uint32_t pid;
};

/* ---- events ---- */

/* What a session holds, filled in by on_reclaim. */
struct hd_posix_holdings;
int hd_posix_hold_orphan(struct hd_posix_holdings *h, uint64_t ino);
int hd_posix_hold_writing(struct hd_posix_holdings *h, uint64_t ino);
int hd_posix_hold_lock(struct hd_posix_holdings *h, const struct hd_posix_lock *lock);

/*
 * Each may be NULL. What is told counts as done when the function returns, and when it returns
 * false (which may be done only where it says so) when hd_posix_answer is called with the serial. A
 * serial means nothing but that; it may be answered before the function has returned.
 *
 * on_attr, on_entry, on_entries and on_lock come one after the other in the thread that polls: they
 * must not block, nor call meta. on_recall and on_gone come in threads of their own, many at once.
 */
struct hd_posix_events {
    void *ctx;

    /* The attributes (also xattrs and ACLs) of ino changed. May return false. */
    bool (*on_attr)(void *ctx, uint64_t ino, uint64_t txid, uint64_t serial);

    /* In directory dir the entry changed; child: what it was, 0: it was not there. May be false. */
    bool (*on_entry)(void *ctx, uint64_t dir, const char *name, uint64_t child, uint64_t txid,
                     uint64_t serial);

    /* Any entry of the directory may have changed. May be false. */
    bool (*on_entries)(void *ctx, uint64_t dir, uint64_t txid, uint64_t serial);

    /* A lock that was waited for was granted (0), or will not be. */
    void (*on_lock)(void *ctx, uint64_t wait_id, int err);

    /* Give the capability of ino back, but for `keep`: write what is dirty, forget what is kept,
     * and hd_posix_release. */
    void (*on_recall)(void *ctx, uint64_t ino, Hdw__CapKind keep, uint64_t txid);

    /* ino has no name any more. True: it is open here, hd_posix_forget_orphans will follow. */
    bool (*on_gone)(void *ctx, uint64_t ino, uint64_t txid);

    /*
     * Nothing that was kept is valid any more, and every capability but those that on_reclaim names
     * is gone. The session is opened anew behind it. In the thread that polls; calls of meta would
     * wait for ever.
     */
    void (*on_lost)(void *ctx);

    /* What is to be claimed again; then what was not given again (locks of an ino in `lost` too).
     */
    void (*on_reclaim)(void *ctx, struct hd_posix_holdings *h);
    void (*on_reclaimed)(void *ctx, const uint64_t *lost, size_t count);
};

/* ---- the session ---- */

/*
 * Opens it on a file system that was opened `relaxed`; the events are copied, and may come before
 * it returns (*ret is set by then). -EOPNOTSUPP: the server is no Howdah, or one that knows no
 * sessions; then fs is as it was. Else the error of the first call.
 */
int hd_posix_open(struct hd_fs *fs, const struct hd_posix_events *events, struct hd_posix **ret);

/* Ends the threads: no event is under way or comes any more. Calls go on, while the lease lasts. */
void hd_posix_hush(struct hd_posix *p);

/* Ends the threads; no call may be under way. Takes NULL. The file system stays open. */
void hd_posix_close(struct hd_posix *p);

struct hd_fs *hd_posix_fs(struct hd_posix *p);
uint64_t hd_posix_session(struct hd_posix *p);     /* its number now */
const char *hd_posix_holder(struct hd_posix *p);   /* of its leases; lives as long as p */
uint32_t hd_posix_content_max(struct hd_posix *p); /* bytes of a file kept at meta; 0: none */
uint32_t hd_posix_era(struct hd_posix *p);         /* counts on_lost, from 1 on */
bool hd_posix_is_trusted(struct hd_posix *p);      /* creds are believed */
void hd_posix_superuser(struct hd_posix *p, char out[HD_POSIX_USER_BYTES]); /* "": not told */

/* An event that was answered with false is done. Any thread, does not block. */
void hd_posix_answer(struct hd_posix *p, uint64_t serial);

/*
 * Any method of the protocol. session: where the request has the session's number, set before each
 * try, or NULL. ret_as_of may be NULL. The response lives in arena.
 */
int hd_posix_call(struct hd_posix *p, const char *method, const ProtobufCMessage *request,
                  uint64_t *session, const ProtobufCMessageDescriptor *type, struct hd_arena *arena,
                  ProtobufCMessage **ret, struct hd_posix_as_of *ret_as_of);

/* ---- names and attributes: every ret is to be given to hd_posix_attr_done, also after errors ----
 */

/* An entry that is not there is an answer too: 1 found, 0 not, or an error. parent: of "..", or
 * what the answer said of the directory (ino 0: nothing); may be NULL. */
struct hd_posix_found {
    struct hd_posix_attr attr;
    bool cached; /* that it is not there */
    struct hd_posix_as_of as_of;
};
int hd_posix_lookup(struct hd_posix *p, uint64_t dir, const char *name, struct hd_posix_found *ret,
                    struct hd_posix_attr *ret_dir);
void hd_posix_found_done(struct hd_posix_found *f);

int hd_posix_get_attr(struct hd_posix *p, uint64_t ino, struct hd_posix_attr *ret);

struct hd_posix_entry {
    char name[HD_POSIX_NAME_MAX_BYTES + 1];
    struct hd_posix_attr attr;
};

struct hd_posix_page {
    struct hd_posix_entry *entries; /* in bytewise order */
    size_t count;
    bool more;
    bool cached;
    struct hd_posix_as_of as_of;
};

/* Entries behind start_after ("": from the first). Give the page to hd_posix_page_done. */
int hd_posix_read_dir(struct hd_posix *p, uint64_t dir, const char *start_after, uint32_t max,
                      struct hd_posix_page *ret);
void hd_posix_page_done(struct hd_posix_page *page);

struct hd_posix_make {
    const char *name;
    uint32_t mode; /* S_IFMT and 07777, as the program gave it */
    uint32_t umask;
    uint64_t rdev;
    bool exclusive; /* else an existing file is answered */
    bool open;      /* a regular file: with the WRITE capability */
};

struct hd_posix_made {
    struct hd_posix_attr attr;
    struct hd_posix_attr dir; /* ino 0: not told */
    bool existed;
    Hdw__CapKind granted;
    uint64_t serial; /* of the grant: see hd_posix_release */
};

int hd_posix_make_node(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                       const struct hd_posix_make *make, struct hd_posix_made *ret);
int hd_posix_make_symlink(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                          const char *name, const char *target, struct hd_posix_made *ret);
int hd_posix_link(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino, uint64_t dir,
                  const char *name, struct hd_posix_made *ret);
void hd_posix_made_done(struct hd_posix_made *m);

/* ret->attr: of what had the name, afterwards (nlink 0: gone or an orphan). */
struct hd_posix_unlink {
    const char *name;
    bool directory; /* rmdir */
    bool held;      /* it is open here */
};
int hd_posix_unlink(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t dir,
                    const struct hd_posix_unlink *what, struct hd_posix_made *ret);

struct hd_posix_move {
    uint64_t from_dir;
    const char *from;
    uint64_t to_dir;
    const char *to;
    bool no_replace;
    bool exchange;
    bool held; /* what is replaced is open here */
};
struct hd_posix_moved {
    struct hd_posix_attr attr;     /* what was moved */
    struct hd_posix_attr other;    /* what was replaced or exchanged; ino 0: nothing */
    struct hd_posix_attr from_dir; /* ino 0: not told */
    struct hd_posix_attr to_dir;
};
int hd_posix_move(struct hd_posix *p, const struct hd_posix_cred *cred,
                  const struct hd_posix_move *move, struct hd_posix_moved *ret);
void hd_posix_moved_done(struct hd_posix_moved *m);

int hd_posix_set_attr(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                      const struct hd_posix_change *change, struct hd_posix_attr *ret);

struct hd_posix_space {
    uint64_t total_bytes, free_bytes, total_names, free_names;
};
int hd_posix_statfs(struct hd_posix *p, uint64_t ino, struct hd_posix_space *ret);

/* Orphans that are not open here any more. */
int hd_posix_forget_orphans(struct hd_posix *p, const uint64_t *inos, size_t count);

/* ---- xattrs and ACLs ---- */

int hd_posix_get_xattrs(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                        Hdw__GetPosixXattrsResponse **ret, struct hd_posix_as_of *ret_as_of);
/* value NULL: removes. flags: 0, XATTR_CREATE or XATTR_REPLACE. ret may be NULL. */
int hd_posix_set_xattr(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                       const char *name, const void *value, size_t size, int flags,
                       struct hd_posix_attr *ret);
/* No entries: removes it. */
int hd_posix_set_acl(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                     bool is_default, Hdw__PosixAclEntry **entries, size_t count, bool clear_setgid,
                     struct hd_posix_attr *ret);

/* ---- locks ---- */

enum hd_posix_lock_how { HD_LOCK_TRY, HD_LOCK_WAIT, HD_LOCK_CANCEL, HD_LOCK_UNLOCK_ALL };
/* 1 granted, 0 not (or, with WAIT: it stays queued under wait_id until on_lock), or an error. */
int hd_posix_set_lock(struct hd_posix *p, const struct hd_posix_lock *lock,
                      enum hd_posix_lock_how how, uint64_t wait_id);
/* ret->type F_UNLCK: nobody stands in the way. */
int hd_posix_get_lock(struct hd_posix *p, const struct hd_posix_lock *lock,
                      struct hd_posix_lock *ret);

/* ---- capabilities and content; responses live in arena ---- */

struct hd_posix_acquire {
    Hdw__CapKind want;
    bool blocks;
    bool writeback;
};
/* Waits until others have given theirs back. */
int hd_posix_acquire(struct hd_posix *p, uint64_t ino, const struct hd_posix_acquire *a,
                     struct hd_arena *arena, Hdw__AcquireResponse **ret,
                     struct hd_posix_as_of *ret_as_of);
/*
 * serial: of the recall that asked for it, or of the newest grant of ino that was seen. A grant
 * that comes with a lower serial than a recall or release that is done has been given back already.
 */
int hd_posix_release(struct hd_posix *p, uint64_t ino, Hdw__CapKind keep, uint64_t serial);

/* change may be NULL; ret may be NULL. */
int hd_posix_write_content(struct hd_posix *p, uint64_t ino, const void *data, size_t size,
                           const struct hd_posix_change *change, Hdw__CapKind keep,
                           struct hd_posix_attr *ret);
int hd_posix_read_content(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                          Hdw__ReadContentResponse **ret, struct hd_posix_as_of *ret_as_of);
int hd_posix_open_blocks(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                         Hdw__OpenBlocksResponse **ret);
int hd_posix_open_block(struct hd_posix *p, uint64_t ino, uint64_t offset,
                        Hdw__DatanodeInfo **excluded, size_t excluded_count, struct hd_arena *arena,
                        Hdw__OpenBlockResponse **ret);
int hd_posix_close_block(struct hd_posix *p, uint64_t ino, Hdw__ExtendedBlock *block);
int hd_posix_resize(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                    uint64_t size, struct hd_arena *arena, Hdw__ResizeResponse **ret,
                    struct hd_posix_as_of *ret_as_of);
int hd_posix_punch(struct hd_posix *p, uint64_t ino, uint64_t offset, uint64_t length,
                   struct hd_arena *arena, Hdw__PunchResponse **ret,
                   struct hd_posix_as_of *ret_as_of);
int hd_posix_close_blocks(struct hd_posix *p, uint64_t ino, const struct hd_posix_change *change,
                          Hdw__CapKind keep, struct hd_posix_attr *ret);

#endif
