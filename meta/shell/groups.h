/*
 * Groups of users, from the machine's user database, remembered for a while.
 *
 * A user this machine does not know has no groups. One thread; a look-up of an unknown or expired
 * name asks getpwnam and getgrouplist, which may block as the machine's nsswitch.conf has it.
 */
#ifndef HD_META_SHELL_GROUPS_H
#define HD_META_SHELL_GROUPS_H

#include "fs/base/map.h"
#include "fs/base/types.h"

enum { HD_GROUPS_TTL_MS = 300000, HD_GROUPS_USERS_MAX = 100000 };

struct hd_groups {
    struct hd_strmap users;
};

void hd_groups_init(struct hd_groups *g);
void hd_groups_done(struct hd_groups *g);

/* NULL-terminated names, never NULL; good until the next call. */
const char *const *hd_groups_of(struct hd_groups *g, const char *user, struct hd_mono_ms now);

/* Forgets everything: the next call asks again. */
void hd_groups_clear(struct hd_groups *g);

bool hd_groups_has(const char *const *groups, const char *group);

#endif
