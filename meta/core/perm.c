/* Permissions: Hadoop's checks with Hadoop's sentences. The superuser passes all of them. */
#include "meta/core/acl.h"
#include "meta/core/op.h"

static const char *const access_names[] = {
    "NONE", "EXECUTE", "WRITE", "WRITE_EXECUTE", "READ", "READ_EXECUTE", "READ_WRITE", "ALL",
};

/* "drwxr-xr-t", "drwxr-x---+" when there is more to it */
static void mode_text(const struct hd_ns *ns, const struct hd_inode *i, char out[12])
{
    static const char letters[] = "rwxrwxrwx";
    out[0] = i->type == HD_INODE_DIR ? 'd' : i->type == HD_INODE_SYMLINK ? 'l' : '-';
    for (int bit = 0; bit < 9; bit++) {
        out[1 + bit] = (i->mode & (0400 >> bit)) != 0 ? letters[bit] : '-';
    }
    if ((i->mode & 01000) != 0) {
        out[9] = (i->mode & 1) != 0 ? 't' : 'T';
    }
    const struct hd_acls *acls = hd_ns_acls(ns, i);
    out[10] = acls != NULL && acls->access.count > 0 ? '+' : '\0';
    out[11] = '\0';
}

/* "/p":owner:group:drwxr-xr-x */
static const char *describe(struct hd_call *c, const struct hd_inode *entry)
{
    char mode[12];
    const struct hd_inode *i = entry->type == HD_INODE_LINK ? entry->u.link : entry;
    mode_text(c->ns, i, mode);
    return hd_call_printf(c, "\"%s\":%s:%s:%s", hd_inode_path(entry, &c->m->fx->arena),
                          hd_ns_user(c->ns, i), hd_ns_group(c->ns, i), mode);
}

bool hd_user_in_group(const struct hd_call *c, const char *group)
{
    for (const char *const *g = c->event->groups; g != NULL && *g != NULL; g++) {
        if (strcmp(*g, group) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_owner(const struct hd_call *c, const struct hd_inode *i)
{
    return strcmp(c->event->user, hd_ns_user(c->ns, i)) == 0;
}

int hd_check_access(struct hd_call *c, const struct hd_inode *i, unsigned access)
{
    if (c->superuser || i->type == HD_INODE_SYMLINK || hd_acl_allows(c, i, access)) {
        return 0;
    }
    return hd_call_fail(c, -EACCES, "Permission denied: user=%s, access=%s, inode=%s",
                        c->event->user, access_names[access & 7], describe(c, i));
}

int hd_check_traverse(struct hd_call *c, const struct hd_inode *i)
{
    int err = 0;
    if (c->superuser) {
        return 0;
    }
    for (const struct hd_inode *p = i->parent; p != NULL; p = p->parent) {
        int denied = hd_check_access(c, p, HD_X);
        err = denied < 0 ? denied : err; /* the topmost one is named */
    }
    return err;
}

int hd_check_owner(struct hd_call *c, const struct hd_inode *i)
{
    if (c->superuser || is_owner(c, i)) {
        return 0;
    }
    return hd_call_fail(c, -EACCES, "Permission denied. user=%s is not the owner of inode=%s",
                        c->event->user, hd_inode_path(i, &c->m->fx->arena));
}

int hd_check_superuser(struct hd_call *c, const char *privilege)
{
    if (c->superuser) {
        return 0;
    }
    return hd_call_fail(c, -EACCES,
                        "Access denied for user %s. Superuser privilege is required for operation "
                        "%s",
                        c->event->user, privilege);
}

int hd_check_unlink(struct hd_call *c, const struct hd_inode *entry)
{
    const struct hd_inode *parent = entry->parent;
    int err = hd_check_access(c, parent, HD_W | HD_X) < 0 ? hd_check_access(c, parent, HD_W) : 0;
    if (err == 0) {
        err = hd_check_access(c, parent, HD_X);
    }
    if (err < 0 || c->superuser || (parent->mode & 01000) == 0 || is_owner(c, parent) ||
        is_owner(c, entry->type == HD_INODE_LINK ? entry->u.link : entry)) {
        return err;
    }
    return hd_call_fail(c, -EACCES, "Permission denied by sticky bit: user=%s, path=%s, parent=%s",
                        c->event->user, describe(c, entry), describe(c, parent));
}

int hd_check_subtree(struct hd_call *c, struct hd_inode *top)
{
    if (c->superuser) {
        return 0;
    }
    for (struct hd_inode *i = top; i != NULL; i = hd_ns_walk(top, i)) {
        if (hd_inode_is_dir(i) && i->u.children.count > 0) {
            int err = hd_check_access(c, i, HD_R | HD_W | HD_X);
            if (err < 0) {
                return err;
            }
        }
    }
    return 0;
}
