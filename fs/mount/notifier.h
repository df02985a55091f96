/*
 * Tells the kernel that names are not what they were. The kernel takes the directory's lock for it,
 * which it also holds while it waits for our answer to a change of that directory; and our change
 * may wait, at meta, for another mount, which waits for us. So:
 *
 *   - names are told by threads of their own;
 *   - while a change of the directory is under way the push counts as done, and the kernel is told
 *     when it has ended;
 *   - a push whose telling is under way counts as done as soon as a change of the directory comes,
 *     and in any case after HD_NOTIFIER_PATIENCE_MS.
 *
 * How the kernel is told, and what `done` means, is the owner's.
 */
#ifndef HD_MOUNT_NOTIFIER_H
#define HD_MOUNT_NOTIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HD_NOTIFIER_THREADS = 4, HD_NOTIFIER_PATIENCE_MS = 500 };

enum hd_notice_kind {
    HD_NOTICE_CHANGED, /* the name leads elsewhere: forget it, and what the directory's listing was
                        */
    HD_NOTICE_EXPIRED, /* it may: ask at the next use */
};

struct hd_notice {
    enum hd_notice_kind kind;
    uint64_t dir;
    const char *name; /* copied */
    uint64_t ticket;  /* 0: nobody waits */
};

struct hd_notifier_owner {
    void *ctx;
    void (*tell)(void *ctx,
                 const struct hd_notice *notice); /* may block for the directory's lock */
    void (*done)(void *ctx, uint64_t ticket);     /* must not block; under our lock */
};

struct hd_notifier;
int hd_notifier_new(const struct hd_notifier_owner *owner, struct hd_notifier **ret);
void hd_notifier_free(struct hd_notifier *n); /* takes NULL; what was not told is dropped */

/*
 * True: it counts as done (without memory too: then the kernel is told at once by the caller's
 * thread). False: `done` will be called with the ticket.
 */
bool hd_notifier_add(struct hd_notifier *n, const struct hd_notice *notice);

void hd_notifier_change_begin(struct hd_notifier *n, uint64_t dir);
void hd_notifier_change_end(struct hd_notifier *n, uint64_t dir);

/*
 * Waits until all that was added is told, or until nothing was for stuck_ms: then the directories
 * that are left are held by requests of ours that wait themselves.
 */
void hd_notifier_drain(struct hd_notifier *n, int stuck_ms);

#endif
