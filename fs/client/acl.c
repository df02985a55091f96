/* ACLs by ClientProtocol. See howdah.h. */
#include "fs/base/error.h"
#include "fs/client/session.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { RULES_MAX = 256 };

void hd_fs_acl_done(struct hd_fs_acl *a)
{
    free(a->rules);
    *a = (struct hd_fs_acl){0};
}

static void add(struct hd_fs_acl *a, bool is_default, enum hd_fs_acl_kind kind, uint32_t perm,
                const char *name)
{
    struct hd_fs_acl_rule *r = &a->rules[a->count++];
    *r = (struct hd_fs_acl_rule){.is_default = is_default, .kind = kind, .perm = perm & 7u};
    snprintf(r->name, sizeof(r->name), "%s", name != NULL ? name : "");
}

/* What the server leaves out, since the mode says it, is put in: the list is whole, and in order.
 */
static int fill(const Hdw__AclStatus *s, struct hd_fs_acl *ret)
{
    uint32_t mode = s->permission != NULL ? s->permission->perm : 0;
    bool masked = false;
    ret->rules = calloc(s->n_entries + 4, sizeof(*ret->rules));
    if (ret->rules == NULL) {
        return -ENOMEM;
    }
    snprintf(ret->owner, sizeof(ret->owner), "%s", s->owner);
    snprintf(ret->group, sizeof(ret->group), "%s", s->group);
    ret->sticky = s->sticky;
    add(ret, false, HD_FS_ACL_USER, mode >> 6, NULL);
    for (size_t n = 0; n < s->n_entries; n++) {
        const Hdw__AclEntry *e = s->entries[n];
        if (e->scope == HDW__ACL_ENTRY_SCOPE__SCOPE_ACCESS) {
            masked = true;
            add(ret, false, (enum hd_fs_acl_kind)e->type, (uint32_t)e->permissions, e->name);
        }
    }
    add(ret, false, masked ? HD_FS_ACL_MASK : HD_FS_ACL_GROUP, mode >> 3, NULL);
    add(ret, false, HD_FS_ACL_OTHER, mode, NULL);
    for (size_t n = 0; n < s->n_entries; n++) {
        const Hdw__AclEntry *e = s->entries[n];
        if (e->scope == HDW__ACL_ENTRY_SCOPE__SCOPE_DEFAULT) {
            add(ret, true, (enum hd_fs_acl_kind)e->type, (uint32_t)e->permissions, e->name);
        }
    }
    return 0;
}

int hd_fs_get_acl(struct hd_fs *fs, const char *path, struct hd_fs_acl *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    *ret = (struct hd_fs_acl){0};
    Hdw__GetAclStatusRequest request = HDW__GET_ACL_STATUS_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    Hdw__GetAclStatusResponse *response;
    int err = HD_CALL(fs, "getAclStatus", get_acl_status, &request, &arena, &response);
    return err < 0 ? err : fill(response->result, ret);
}

/* The rules as messages, in the arena. */
static Hdw__AclEntry **spec_of(const struct hd_fs_acl_rule *rules, size_t count,
                               struct hd_arena *arena)
{
    Hdw__AclEntry **list = HD_ARENA_ARRAY(arena, Hdw__AclEntry *, count + 1);
    Hdw__AclEntry *entries = HD_ARENA_ARRAY(arena, Hdw__AclEntry, count + 1);
    for (size_t n = 0; list != NULL && entries != NULL && n < count; n++) {
        hdw__acl_entry__init(&entries[n]);
        entries[n].scope = rules[n].is_default ? HDW__ACL_ENTRY_SCOPE__SCOPE_DEFAULT
                                               : HDW__ACL_ENTRY_SCOPE__SCOPE_ACCESS;
        entries[n].type = (Hdw__AclEntryType)rules[n].kind;
        entries[n].permissions = (Hdw__FsAction)(rules[n].perm & 7u);
        entries[n].name = rules[n].name[0] != '\0' ? (char *)(uintptr_t)rules[n].name : NULL;
        list[n] = &entries[n];
    }
    return entries != NULL ? list : NULL;
}

/* Requests with a path and a list of entries, and with a path alone. */
#define CHANGE(fs, method, Type, TYPE, lower, path, list, count, arena)                            \
    ({                                                                                             \
        Hdw__##Type##Request q_ = HDW__##TYPE##_REQUEST__INIT;                                     \
        Hdw__##Type##Response *r_;                                                                 \
        q_.src = (char *)(uintptr_t)(path);                                                        \
        q_.acl_spec = (list);                                                                      \
        q_.n_acl_spec = (count);                                                                   \
        HD_CALL((fs), (method), lower, &q_, (arena), &r_);                                         \
    })
#define DROP(fs, method, Type, TYPE, lower, path, arena)                                           \
    ({                                                                                             \
        Hdw__##Type##Request q_ = HDW__##TYPE##_REQUEST__INIT;                                     \
        Hdw__##Type##Response *r_;                                                                 \
        q_.src = (char *)(uintptr_t)(path);                                                        \
        HD_CALL((fs), (method), lower, &q_, (arena), &r_);                                         \
    })

int hd_fs_change_acl(struct hd_fs *fs, const char *path, enum hd_fs_acl_change how,
                     const struct hd_fs_acl_rule *rules, size_t count)
{
    HD_AUTO(hd_arena_done) struct hd_arena a;
    hd_arena_init(&a, 0);
    if (count > RULES_MAX) {
        return hd_fail(-EINVAL, "%s: an ACL of %zu entries", path, count);
    }
    Hdw__AclEntry **list = spec_of(rules, count, &a);
    if (list == NULL) {
        return -ENOMEM;
    }
    switch (how) {
    case HD_FS_ACL_MODIFY:
        return CHANGE(fs, "modifyAclEntries", ModifyAclEntries, MODIFY_ACL_ENTRIES,
                      modify_acl_entries, path, list, count, &a);
    case HD_FS_ACL_REMOVE:
        return CHANGE(fs, "removeAclEntries", RemoveAclEntries, REMOVE_ACL_ENTRIES,
                      remove_acl_entries, path, list, count, &a);
    case HD_FS_ACL_SET:
        return CHANGE(fs, "setAcl", SetAcl, SET_ACL, set_acl, path, list, count, &a);
    case HD_FS_ACL_DROP_DEFAULT:
        return DROP(fs, "removeDefaultAcl", RemoveDefaultAcl, REMOVE_DEFAULT_ACL,
                    remove_default_acl, path, &a);
    case HD_FS_ACL_DROP:
        return DROP(fs, "removeAcl", RemoveAcl, REMOVE_ACL, remove_acl, path, &a);
    }
    return -EINVAL;
}
