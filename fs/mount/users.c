/* The cache of users.h: four small maps, emptied when one grows past its ceiling. */
#include "fs/mount/users.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_MS = 60000, ENTRIES_MAX = 16384, LOOKUP_BYTES = 16384, NOBODY = 65534 };

struct user_entry {
    uint32_t id;
    int64_t until_ms;
    char name[HD_STAT_USER_BYTES];
};

enum user_table { UID_OF, GID_OF, NAME_OF_UID, NAME_OF_GID, TABLES };

struct hd_users {
    const struct hd_users_source *source;
    pthread_mutex_t lock;
    struct hd_strmap tables[TABLES]; /* key: the name, or the number's bytes */
};

static int system_uid_of(const char *name, uid_t *ret)
{
    char buf[LOOKUP_BYTES];
    struct passwd pw;
    struct passwd *found = NULL;
    if (getpwnam_r(name, &pw, buf, sizeof(buf), &found) != 0 || found == NULL) {
        return -ENOENT;
    }
    *ret = pw.pw_uid;
    return 0;
}

static int system_gid_of(const char *name, gid_t *ret)
{
    char buf[LOOKUP_BYTES];
    struct group gr;
    struct group *found = NULL;
    if (getgrnam_r(name, &gr, buf, sizeof(buf), &found) != 0 || found == NULL) {
        return -ENOENT;
    }
    *ret = gr.gr_gid;
    return 0;
}

static int system_name_of_uid(uid_t uid, char out[HD_STAT_USER_BYTES])
{
    char buf[LOOKUP_BYTES];
    struct passwd pw;
    struct passwd *found = NULL;
    if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) != 0 || found == NULL ||
        strlen(pw.pw_name) >= HD_STAT_USER_BYTES) {
        return -ENOENT;
    }
    strcpy(out, pw.pw_name);
    return 0;
}

static int system_name_of_gid(gid_t gid, char out[HD_STAT_USER_BYTES])
{
    char buf[LOOKUP_BYTES];
    struct group gr;
    struct group *found = NULL;
    if (getgrgid_r(gid, &gr, buf, sizeof(buf), &found) != 0 || found == NULL ||
        strlen(gr.gr_name) >= HD_STAT_USER_BYTES) {
        return -ENOENT;
    }
    strcpy(out, gr.gr_name);
    return 0;
}

static int64_t system_now_ms(void)
{
    return hd_clock_mono_ms().v;
}

const struct hd_users_source hd_users_system = {
    .uid_of = system_uid_of,
    .gid_of = system_gid_of,
    .name_of_uid = system_name_of_uid,
    .name_of_gid = system_name_of_gid,
    .now_ms = system_now_ms,
};

int hd_users_new(const struct hd_users_source *source, struct hd_users **ret)
{
    struct hd_users *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return -ENOMEM;
    }
    u->source = source;
    pthread_mutex_init(&u->lock, NULL);
    for (size_t i = 0; i < TABLES; i++) {
        hd_strmap_init(&u->tables[i]);
    }
    *ret = u;
    return 0;
}

static void empty_table(struct hd_strmap *table)
{
    size_t cursor = 0;
    const char *key;
    void *value;
    while (hd_strmap_next(table, &cursor, &key, &value)) {
        free(value);
    }
    hd_strmap_done(table);
    hd_strmap_init(table);
}

void hd_users_free(struct hd_users *u)
{
    if (u == NULL) {
        return;
    }
    for (size_t i = 0; i < TABLES; i++) {
        empty_table(&u->tables[i]);
        hd_strmap_done(&u->tables[i]);
    }
    pthread_mutex_destroy(&u->lock);
    free(u);
}

static bool cached(struct hd_users *u, enum user_table which, const void *key, size_t key_size,
                   struct user_entry *ret)
{
    pthread_mutex_lock(&u->lock);
    const struct user_entry *e = hd_strmap_get(&u->tables[which], key, key_size);
    bool fresh = e != NULL && e->until_ms > u->source->now_ms();
    if (fresh) {
        *ret = *e;
    }
    pthread_mutex_unlock(&u->lock);
    return fresh;
}

/* Keeps an answer; without memory it is only not kept. */
static void keep(struct hd_users *u, enum user_table which, const void *key, size_t key_size,
                 struct user_entry *entry)
{
    struct user_entry *copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        return;
    }
    entry->until_ms = u->source->now_ms() + KEEP_MS;
    *copy = *entry;
    pthread_mutex_lock(&u->lock);
    struct hd_strmap *table = &u->tables[which];
    if (table->count >= ENTRIES_MAX) {
        empty_table(table);
    }
    free(hd_strmap_remove(table, key, key_size));
    if (hd_strmap_put(table, key, key_size, copy) < 0) {
        free(copy);
    }
    pthread_mutex_unlock(&u->lock);
}

/* "1000" is a number without a name, as hd_users_user_name writes it. */
static bool numeric(const char *name, uint32_t *ret)
{
    if (name[0] == '\0' || strspn(name, "0123456789") != strlen(name)) {
        return false;
    }
    *ret = (uint32_t)strtoul(name, NULL, 10);
    return true;
}

uid_t hd_users_uid(struct hd_users *u, const char *name)
{
    struct user_entry e = {.id = NOBODY};
    if (!cached(u, UID_OF, name, strlen(name), &e)) {
        uid_t uid;
        if (u->source->uid_of(name, &uid) == 0) {
            e.id = uid;
        } else {
            (void)numeric(name, &e.id);
        }
        keep(u, UID_OF, name, strlen(name), &e);
    }
    return e.id;
}

gid_t hd_users_gid(struct hd_users *u, const char *name)
{
    struct user_entry e = {.id = NOBODY};
    if (!cached(u, GID_OF, name, strlen(name), &e)) {
        gid_t gid;
        if (u->source->gid_of(name, &gid) == 0) {
            e.id = gid;
        } else {
            (void)numeric(name, &e.id);
        }
        keep(u, GID_OF, name, strlen(name), &e);
    }
    return e.id;
}

void hd_users_user_name(struct hd_users *u, uid_t uid, char out[HD_STAT_USER_BYTES])
{
    struct user_entry e = {.id = uid};
    if (!cached(u, NAME_OF_UID, &uid, sizeof(uid), &e)) {
        if (u->source->name_of_uid(uid, e.name) < 0) {
            snprintf(e.name, sizeof(e.name), "%u", uid);
        }
        keep(u, NAME_OF_UID, &uid, sizeof(uid), &e);
    }
    memcpy(out, e.name, HD_STAT_USER_BYTES);
}

void hd_users_group_name(struct hd_users *u, gid_t gid, char out[HD_STAT_USER_BYTES])
{
    struct user_entry e = {.id = gid};
    if (!cached(u, NAME_OF_GID, &gid, sizeof(gid), &e)) {
        if (u->source->name_of_gid(gid, e.name) < 0) {
            snprintf(e.name, sizeof(e.name), "%u", gid);
        }
        keep(u, NAME_OF_GID, &gid, sizeof(gid), &e);
    }
    memcpy(out, e.name, HD_STAT_USER_BYTES);
}
