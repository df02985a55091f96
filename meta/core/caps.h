/*
 * What sessions (mounts) know and hold of inodes, and how they are kept from acting on what is old.
 *
 * Knowing: an answer that told a session an inode's attributes, or what a directory has, is
 * remembered. When a record changes that, each session that knows it is told (a push), and the
 * answer of the call that made the change is held until they have all answered or ended. So once a
 * change is acknowledged no session answers its programs from before it.
 *
 * Capabilities: the content of a file may be kept by any number of sessions (READ) or kept back by
 * one (WRITE). Who wants what another has makes meta recall it; waiting is in the order of coming.
 *
 * Nothing of this is durable: after a restart sessions know nothing, and say what they hold
 * (session.h). All on the core's one thread; `c` is the call being answered.
 */
#ifndef HD_META_CORE_CAPS_H
#define HD_META_CORE_CAPS_H

#include "meta/core/inode.h"

struct hd_call;
struct hd_meta;

enum hd_cap { HD_CAP_NONE, HD_CAP_READ, HD_CAP_WRITE }; /* CapKind */

/*
 * The answer tells the caller of i: its attributes and, of a directory, its entries and what is not
 * there. True: it may keep it (`cached`), it will be told. False: no session, or it knows too much.
 */
bool hd_caps_know(struct hd_call *c, struct hd_inode *i);

/*
 * The handler is about to change, or needs to know, the content of the file: nobody but the
 * caller's own session may have more than goes with `want` (READ: nobody WRITE, WRITE: nobody
 * anything). 0: so it is, until the step ends. HD_PARK: recalled; return it, the handler runs
 * again. Must be called before anything is committed. Of other inodes than files 0.
 */
int hd_caps_want(struct hd_call *c, struct hd_inode *file, enum hd_cap want);

/* Does the caller's session have `kind` or more? */
bool hd_caps_has(struct hd_call *c, const struct hd_inode *file, enum hd_cap kind);

/* Has the caller's session been told of it? */
bool hd_caps_knows(const struct hd_call *c, const struct hd_inode *i);

/* May another session have it open? Then unlinking its last name leaves an orphan. */
bool hd_caps_elsewhere(struct hd_call *c, const struct hd_inode *file);

/* Has another session WRITE? Then size and times are as of its last flush. */
bool hd_caps_busy(struct hd_call *c, const struct hd_inode *file);

/*
 * Gives the caller's session `kind` of a file that nobody else knows (it was made in this call).
 * False: there is no session. *ret_serial: AcquireResponse.serial and the like.
 */
bool hd_caps_grant(struct hd_call *c, struct hd_inode *file, enum hd_cap kind,
                   uint64_t *ret_serial);

/* The caller's session keeps no more than `keep` (WriteContent.keep, CloseBlocks.keep). */
void hd_caps_keep(struct hd_call *c, struct hd_inode *file, enum hd_cap keep);

/* Is the call a superuser's session's, whose PosixCred counts and which is not checked? */
bool hd_caps_trusted(const struct hd_call *c);

/*
 * The file has become an orphan (behind the record, in the same step). Whoever knows it is asked
 * whether it is open there; PurgeOrphan is recorded when nobody holds it. holder_session: known to
 * hold it (`held` of the request), or 0.
 */
void hd_caps_orphaned(struct hd_meta *m, struct hd_inode *file, uint64_t holder_session);

/* Since the start sessions of the life before are waited for: what they held is not given away. */
bool hd_caps_in_grace(const struct hd_meta *m);

#endif
