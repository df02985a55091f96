/*
 * PosixProtocol: what its handlers share. Inodes are named by number, errors are those of POSIX.
 *
 * Of a session of the superuser (a mount that everybody of a machine uses) the kernel has checked the
 * permissions already; PosixCred says for whom it asks, and is used for ownership only. The user of
 * any other session is checked here.
 */
#ifndef HD_META_CORE_POSIX_H
#define HD_META_CORE_POSIX_H

#include "meta/core/op.h"
#include "howdah.pb-c.h"

enum { HD_LINKS_MAX = 65000 }; /* names of one file */

/* The inode of a number; of a LINK its file. -ESTALE: there is none (any more). */
int hd_posix_inode(struct hd_call *c, uint64_t ino, struct hd_inode **ret);

/* The same, and it must be a directory (-ENOTDIR), a regular file (-EISDIR, -EINVAL). */
int hd_posix_directory(struct hd_call *c, uint64_t ino, struct hd_inode **ret);
int hd_posix_file(struct hd_call *c, uint64_t ino, struct hd_inode **ret);

/* All attributes, for the answer; its session knows the inode from now on. */
Hdw__PosixAttr *hd_posix_attr(struct hd_call *c, struct hd_inode *i);

/* Who does it, and his group. They live as long as the request, or the namespace. */
const char *hd_posix_user(const struct hd_call *c, const Hdw__PosixCred *cred);
const char *hd_posix_group(const struct hd_call *c, const Hdw__PosixCred *cred);

/* May the caller reach the inode, and do this with it? 0 or -EACCES; trusted sessions always. */
int hd_posix_access(struct hd_call *c, const struct hd_inode *i, unsigned access);

/* May he make this change? 0, -EACCES, -EPERM's -HD_E_NOT_PERMITTED, -EINVAL. */
int hd_posix_check_change(struct hd_call *c, const struct hd_inode *i,
                          const Hdw__PosixAttrChange *change);

/*
 * The record of a change, which has been checked: now becomes the time of the step, a new owner takes
 * the set-id bits off as chown(2) says. Its strings are the request's. No change: false.
 */
bool hd_posix_change(struct hd_call *c, const struct hd_inode *i, const Hdw__PosixAttrChange *change,
                     Hdm__SetAttributes *ret);

/* S_IFMT and the mode's bits. */
uint32_t hd_posix_mode(const struct hd_inode *i);

uint32_t hd_posix_nlink(const struct hd_ns *ns, const struct hd_inode *i);

/* The files that stay without a name when `top` and all below it go: those that a session has open
 * perhaps. `held`: the caller has `top` itself. For a record's `orphans`; in the effects' arena. */
size_t hd_posix_orphans(struct hd_call *c, struct hd_inode *top, bool held, uint64_t **ret);

/* After the record: asks the sessions whether they have them open. */
void hd_posix_orphaned(struct hd_call *c, const uint64_t *orphans, size_t count, bool held);

/* The inode that a record is about, and the answer of the call that made it, asked for again when only
 * the record is left of it. False: it cannot be known. */
uint64_t hd_posix_record_ino(const Hdm__EditRecord *r);
bool hd_posix_answer_again(struct hd_call *c, uint64_t ino);

#endif
