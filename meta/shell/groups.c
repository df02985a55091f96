/* See groups.h. */
#include "meta/shell/groups.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

enum { GROUPS_MAX = 1024, TEXT_BYTES = 32 << 10 };

struct entry {
    int64_t expires_ms;
    const char **names; /* one block: the pointers, then the text; NULL-terminated */
};

static const char *const no_groups[] = {NULL};

void hd_groups_init(struct hd_groups *g)
{
    hd_strmap_init(&g->users);
}

void hd_groups_clear(struct hd_groups *g)
{
    size_t cursor = 0;
    void *value;
    while (hd_strmap_next(&g->users, &cursor, NULL, &value)) {
        free(((struct entry *)value)->names);
        free(value);
    }
    hd_strmap_done(&g->users);
    hd_strmap_init(&g->users);
}

void hd_groups_done(struct hd_groups *g)
{
    hd_groups_clear(g);
    hd_strmap_done(&g->users);
}

/* Asks the system. NULL: no groups. */
static const char **look_up(const char *user)
{
    gid_t ids[GROUPS_MAX];
    int count = GROUPS_MAX;
    const struct passwd *pw = getpwnam(user);
    if (pw == NULL || getgrouplist(user, pw->pw_gid, ids, &count) < 0) {
        return NULL;
    }
    char text[TEXT_BYTES]; /* the names, each with its NUL */
    size_t used = 0;
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        const struct group *gr = getgrgid(ids[i]);
        size_t size = gr != NULL ? strlen(gr->gr_name) + 1 : 0;
        if (size > 0 && used + size <= sizeof(text)) {
            memcpy(text + used, gr->gr_name, size);
            used += size;
            n++;
        }
    }
    const char **names = malloc((n + 1) * sizeof(char *) + used);
    if (names == NULL) {
        return NULL;
    }
    char *at = memcpy(names + n + 1, text, used);
    for (size_t i = 0; i < n; i++) {
        names[i] = at;
        at += strlen(at) + 1;
    }
    names[n] = NULL;
    return names;
}

const char *const *hd_groups_of(struct hd_groups *g, const char *user, struct hd_mono_ms now)
{
    size_t size = strlen(user);
    struct entry *e = hd_strmap_get(&g->users, user, size);
    if (e == NULL) {
        if (g->users.count >= HD_GROUPS_USERS_MAX) {
            hd_groups_clear(g);
        }
        e = calloc(1, sizeof(*e));
        if (e == NULL || hd_strmap_put(&g->users, user, size, e) < 0) {
            free(e);
            return no_groups;
        }
    } else if (now.v < e->expires_ms) {
        return e->names != NULL ? e->names : no_groups;
    }
    free(e->names);
    e->names = look_up(user);
    e->expires_ms = now.v + HD_GROUPS_TTL_MS;
    return e->names != NULL ? e->names : no_groups;
}

bool hd_groups_has(const char *const *groups, const char *group)
{
    for (; *groups != NULL; groups++) {
        if (strcmp(*groups, group) == 0) {
            return true;
        }
    }
    return false;
}
