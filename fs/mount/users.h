/*
 * Users and groups: HDFS has names, the kernel has numbers. Answers of the resolver are kept for a
 * minute. A name without a number is nobody or nogroup; a number without a name is its digits.
 * Thread safe.
 */
#ifndef HD_MOUNT_USERS_H
#define HD_MOUNT_USERS_H

#include "fs/client/howdah.h"

#include <sys/types.h>

/* Where names come from; the system's is hd_users_system. Each returns 0, or -ENOENT. */
struct hd_users_source {
    int (*uid_of)(const char *name, uid_t *ret);
    int (*gid_of)(const char *name, gid_t *ret);
    int (*name_of_uid)(uid_t uid, char out[HD_STAT_USER_BYTES]);
    int (*name_of_gid)(gid_t gid, char out[HD_STAT_USER_BYTES]);
    int64_t (*now_ms)(void); /* monotonic */
};

extern const struct hd_users_source hd_users_system;

struct hd_users;
int hd_users_new(const struct hd_users_source *source, struct hd_users **ret);
void hd_users_free(struct hd_users *u); /* takes NULL */

uid_t hd_users_uid(struct hd_users *u, const char *name);
gid_t hd_users_gid(struct hd_users *u, const char *name);
void hd_users_user_name(struct hd_users *u, uid_t uid, char out[HD_STAT_USER_BYTES]);
void hd_users_group_name(struct hd_users *u, gid_t gid, char out[HD_STAT_USER_BYTES]);

#endif
