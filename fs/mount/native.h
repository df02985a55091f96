/*
 * The names and attributes of a mount with a session (m->posix): what requests share. The kernel
 * may keep what it is told for long; pushes take it back (native_events.c, notifier.h).
 *
 * Inodes are named by the kernel's number (ino) unless it says id.
 */
#ifndef HD_MOUNT_NATIVE_H
#define HD_MOUNT_NATIVE_H

#include "fs/client/posix.h"
#include "fs/mount/mount.h"

struct hd_locks;
struct hd_notifier;
struct hd_orphans;
struct hd_xattr_cache;

enum { HD_NEGATIVES_MAX = 65536 };

struct hd_native {
    struct hd_notifier *notifier;
    struct hd_locks *locks;        /* locks.h */
    struct hd_xattr_cache *xattrs; /* xattr_cache.h */
    _Atomic uint64_t stray;  /* the highest txid of a push for an inode that nobody knew, in era */
    _Atomic uint64_t pushes; /* of attributes, so far */
    struct hd_strmap
        negatives; /* (table) parent and name of what the kernel was told is not there */
    _Atomic int64_t cautious_until_ms; /* an open came into a removal: hold what is removed */
    pthread_cond_t removed;            /* with the table's lock: a removal ended */
    struct hd_orphans *orphans;        /* what has no name and is open here */
};

int hd_native_start(struct hd_mount *m);
void hd_native_stop(struct hd_mount *m); /* behind the last request; before the session is closed */

/* The table of the session's events: a struct hd_mount is the ctx. */
extern const struct hd_posix_events hd_native_events;

/* ---- requests ---- */

/* Who asks. */
void hd_native_cred(fuse_req_t req, struct hd_posix_cred *ret);

/*
 * A change of directory `dir` by the kernel, which holds the directory's lock until it has the
 * answer: pushes that need that lock are not waited for meanwhile. Begin before the call of meta,
 * end when nothing is asked of meta any more, and before the kernel is answered: a push that comes
 * behind that answer must wait for the kernel, and one that comes in between does so for no longer
 * than the answer takes. (Creating, linking, removing, moving; attributes, xattrs and ACLs of a
 * directory.)
 */
void hd_native_change_begin(struct hd_mount *m, uint64_t dir);
void hd_native_change_end(struct hd_mount *m, uint64_t dir);

/* Attributes that an answer brought, for the table. True: they, or newer ones, may be kept. */
bool hd_native_learned(struct hd_mount *m, const struct hd_posix_attr *attr);

/* Something of the inode changed, which an answer as of then did not tell. */
void hd_native_unlearn(struct hd_mount *m, uint64_t ino, const struct hd_posix_as_of *as_of);

/* The attributes without asking meta, with what is written here. flags (may be NULL): HD_KNOWN_*.
 */
bool hd_native_known(struct hd_mount *m, uint64_t ino, struct stat *ret, uint32_t *ret_flags);

/* The same, asking when it must. *ret_timeout_s: how long they hold. */
int hd_native_stat(struct hd_mount *m, uint64_t ino, struct stat *ret, double *ret_timeout_s);

/*
 * The attributes from meta. What somebody else is writing is brought to rest first, and so it is by
 * hd_native_settled for attributes that some other answer told: it may ask for them again.
 */
int hd_native_ask(struct hd_mount *m, uint64_t id, struct hd_posix_attr *ret);
int hd_native_settled(struct hd_mount *m, struct hd_posix_attr *attr);

/* Attributes as of an answer, or newer ones that are known; learns. */
void hd_native_take(struct hd_mount *m, const struct hd_posix_attr *attr, struct stat *ret,
                    double *ret_timeout_s);

/*
 * Counts a lookup of attr at parent/name and fills the entry that answers it. cached: what the
 * answer said of the entry itself (of one that was just made: attr->cached). -ENOMEM.
 */
int hd_native_entry(struct hd_mount *m, const struct hd_posix_attr *attr, bool cached,
                    uint64_t parent, const char *name, struct fuse_entry_param *ret);

/*
 * After an entry was answered. The kernel knows since when its own attributes are newer than an
 * answer, but not for an inode that was new to it: a push that came in between found none there.
 */
void hd_native_answered(struct hd_mount *m, const struct fuse_entry_param *e);

/*
 * The node counts as open from now on (hd_io_is_open). -ESTALE: too late, it is gone; the kernel
 * looks its name up again. Waits for a removal that is under way.
 */
int hd_native_opened(struct hd_mount *m, struct hd_node *n);

/* An open failed with -ESTALE: for a moment what is removed is held, so that the next one does not.
 */
void hd_native_be_cautious(struct hd_mount *m);

/* The last handle of a file was closed: if it has no name it may go. By id. */
void hd_native_last_close(struct hd_mount *m, uint64_t id);

/* An unlink or a replacing rename said that the file, which was open here, has no name any more. */
void hd_native_orphaned(struct hd_mount *m, uint64_t id);

/* ---- operations, in the place of those of mount.h ---- */

void hd_native_lookup(fuse_req_t req, uint64_t parent, const char *name);
void hd_native_mkdir(fuse_req_t req, uint64_t parent, const char *name, mode_t mode);
void hd_native_mknod(fuse_req_t req, uint64_t parent, const char *name, mode_t mode, dev_t dev);
void hd_native_symlink(fuse_req_t req, const char *target, uint64_t parent, const char *name);
void hd_native_readlink(fuse_req_t req, uint64_t ino);
void hd_native_link(fuse_req_t req, uint64_t ino, uint64_t parent, const char *name);
void hd_native_remove(fuse_req_t req, uint64_t parent, const char *name, bool directory);
void hd_native_rename(fuse_req_t req, uint64_t parent, const char *name, uint64_t new_parent,
                      const char *new_name, unsigned flags);
void hd_native_getattr(fuse_req_t req, uint64_t ino);
void hd_native_setattr(fuse_req_t req, uint64_t ino, const struct stat *attr, int to_set);
void hd_native_opendir(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi);
void hd_native_readdir(fuse_req_t req, uint64_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi, bool plus);
void hd_native_releasedir(fuse_req_t req, struct fuse_file_info *fi);
void hd_native_getxattr(fuse_req_t req, uint64_t ino, const char *name, size_t size);
void hd_native_setxattr(fuse_req_t req, uint64_t ino, const char *name, const char *value,
                        size_t size, int flags);
void hd_native_listxattr(fuse_req_t req, uint64_t ino, size_t size);
void hd_native_removexattr(fuse_req_t req, uint64_t ino, const char *name);
void hd_native_statfs(fuse_req_t req, uint64_t ino);
void hd_native_fsyncdir(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi);

#endif
