/*
 * PosixProtocol: what its handlers share. Inodes are named by number, errors are those of POSIX.
 *
 * Of a session of the superuser (a mount that everybody of a machine uses) the kernel has checked
 * the permissions already; PosixCred says for whom it asks, and is used for ownership only. The
 * user of any other session is checked here.
 */
#ifndef HD_META_CORE_POSIX_H
#define HD_META_CORE_POSIX_H

#include "meta/core/op.h"
#include "howdah.pb-c.h"

enum {
    HD_LINKS_MAX = 65000,        /* names of one file */
    HD_SYMLINK_MAX_BYTES = 4096, /* of a target, with a NUL behind it: PATH_MAX */
};

/* The inode of a number; of a LINK its file. -ESTALE: there is none (any more). */
int hd_posix_inode(struct hd_call *c, uint64_t ino, struct hd_inode **ret);

/* The same, and it must be a directory (-ENOTDIR), a regular file (-EISDIR, -EINVAL). */
int hd_posix_directory(struct hd_call *c, uint64_t ino, struct hd_inode **ret);
int hd_posix_file(struct hd_call *c, uint64_t ino, struct hd_inode **ret);

/* All attributes, for the answer; its session knows the inode from now on. */
Hdw__PosixAttr *hd_posix_attr(struct hd_call *c, struct hd_inode *i);

/* What is told of an inode that may be about to go, and what is left of it afterwards: nlink 0 when
 * it is gone. */
Hdw__PosixAttr *hd_posix_before(struct hd_call *c, struct hd_inode *i);
Hdw__PosixAttr *hd_posix_left(struct hd_call *c, Hdw__PosixAttr *before);

/* A name in a directory. */
struct hd_posix_entry {
    struct hd_inode *parent;
    struct hd_inode *entry; /* NULL: nothing has the name */
    struct hd_inode *inode; /* what it leads to: the entry itself, or the file of a LINK */
    const char *name;
    size_t name_size;
    bool dots; /* "." or "..", which no entry has */
};

/* -ESTALE, -ENOTDIR, -EACCES, and what is no name: -HD_E_NAME_TOO_LONG, -EINVAL, -ENOENT. */
int hd_posix_entry(struct hd_call *c, uint64_t parent, const ProtobufCBinaryData *name,
                   struct hd_posix_entry *ret);
int hd_posix_missing(struct hd_call *c, const struct hd_posix_entry *e); /* -ENOENT */
int hd_posix_exists(struct hd_call *c, const struct hd_posix_entry *e);  /* -EEXIST */

/* May the name be made? `names` more in the directory, 0: one takes another's place. */
int hd_posix_check_new(struct hd_call *c, const struct hd_posix_entry *e, int64_t names);

/* Who does it, and his group. They live as long as the request, or the namespace. */
const char *hd_posix_user(const struct hd_call *c, const Hdw__PosixCred *cred);
const char *hd_posix_group(const struct hd_call *c, const Hdw__PosixCred *cred);

/* May the caller reach the inode, and do this with it? 0 or -EACCES; trusted sessions always. */
int hd_posix_access(struct hd_call *c, const struct hd_inode *i, unsigned access);

/*
 * May the session have the content, HD_R or HD_W, or lock it, 0? What is open stays so when the
 * mode changes: the owner, who could change it back, may always.
 */
int hd_posix_may_open(struct hd_call *c, const struct hd_inode *i, unsigned access);

/* May he make this change? 0, -EACCES, -EPERM's -HD_E_NOT_PERMITTED, -EINVAL. */
int hd_posix_check_change(struct hd_call *c, const struct hd_inode *i,
                          const Hdw__PosixAttrChange *change);

/*
 * The record of a change, which has been checked: now becomes the time of the step, a new owner
 * takes the set-id bits off as chown(2) says. Its strings are the request's. No change: false.
 */
bool hd_posix_change(struct hd_call *c, const struct hd_inode *i,
                     const Hdw__PosixAttrChange *change, Hdm__SetAttributes *ret);

/* chown(2): a program is not its new owner's in the old one's name. */
uint32_t hd_posix_mode_without_set_id(const struct hd_inode *i, uint32_t mode);

/* S_IFMT and the mode's bits. */
uint32_t hd_posix_mode(const struct hd_inode *i);

/* The files that stay without a name when `top` and all below it go: those that a session has open
 * perhaps. `held`: the caller has `top` itself. For a record's `orphans`; in the effects' arena. */
size_t hd_posix_orphans(struct hd_call *c, struct hd_inode *top, bool held, uint64_t **ret);

/* After the record: asks the sessions whether they have them open. */
void hd_posix_orphaned(struct hd_call *c, const uint64_t *orphans, size_t count, bool held);

/* The inode that a record is about, and the answer of the call that made it, asked for again when
 * only the record is left of it. False: it cannot be known. */
uint64_t hd_posix_record_ino(const Hdm__EditRecord *r);
bool hd_posix_answer_again(struct hd_call *c, uint64_t ino);

#endif
