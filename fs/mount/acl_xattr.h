/*
 * ACLs as the kernel passes them: the value of system.posix_acl_access and system.posix_acl_default
 * (version 2 of <linux/posix_acl_xattr.h>). Pure; users and groups are numbers here.
 */
#ifndef HD_MOUNT_ACL_XATTR_H
#define HD_MOUNT_ACL_XATTR_H

enum hd_acl_tag { /* the kernel's numbers, in the order entries have to be in */
                  HD_ACL_USER_OBJ = 0x01,
                  HD_ACL_NAMED_USER = 0x02,
                  HD_ACL_GROUP_OBJ = 0x04,
                  HD_ACL_NAMED_GROUP = 0x08,
                  HD_ACL_MASK_OBJ = 0x10,
                  HD_ACL_OTHER_OBJ = 0x20,
};

struct hd_acl_item {
    uint16_t tag;  /* enum hd_acl_tag */
    uint16_t perm; /* 4 r, 2 w, 1 x */
    uint32_t id;   /* of a named user or group */
};

enum { HD_ACL_ITEMS_MAX = 512 };

static inline bool hd_acl_is_named(const struct hd_acl_item *i)
{
    return i->tag == HD_ACL_NAMED_USER || i->tag == HD_ACL_NAMED_GROUP;
}

/*
 * Takes a value apart; up to HD_ACL_ITEMS_MAX items. The count, or -EINVAL (not a valid ACL: it has
 * owner, group and others once, in order, no more than one mask, one when somebody is named),
 * -EOPNOTSUPP (another version), -ENOSPC (too many). An empty value and one without items: 0.
 */
int hd_acl_xattr_decode(const void *value, size_t size, struct hd_acl_item *ret);

/* Sorts the items and puts the value together; `out` has room for hd_acl_xattr_size(count). */
size_t hd_acl_xattr_size(size_t count);
void hd_acl_xattr_encode(struct hd_acl_item *items, size_t count, void *out);

#endif
