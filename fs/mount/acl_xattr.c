/* The kernel's form of ACLs. See acl_xattr.h. */
#include "fs/mount/acl_xattr.h"
#include "fs/base/bytes.h"

#include <errno.h>
#include <stdlib.h>

enum { VERSION = 2, HEAD_BYTES = 4, ITEM_BYTES = 8 };

#define NO_ID UINT32_MAX

static bool is_tag(unsigned tag)
{
    return tag != 0 && (tag & (tag - 1)) == 0 && tag <= HD_ACL_OTHER_OBJ;
}

static int check(const struct hd_acl_item *items, size_t count)
{
    unsigned seen = 0;
    for (size_t n = 0; n < count; n++) {
        const struct hd_acl_item *i = &items[n];
        bool again = (seen & i->tag) != 0 && !hd_acl_is_named(i);
        if (!is_tag(i->tag) || again || seen >= 2u * i->tag || i->perm > 7 ||
            (hd_acl_is_named(i) && i->id == NO_ID)) {
            return -EINVAL;
        }
        seen |= i->tag;
    }
    const unsigned must = HD_ACL_USER_OBJ | HD_ACL_GROUP_OBJ | HD_ACL_OTHER_OBJ;
    bool named = (seen & (HD_ACL_NAMED_USER | HD_ACL_NAMED_GROUP)) != 0;
    return (seen & must) != must || (named && (seen & HD_ACL_MASK_OBJ) == 0) ? -EINVAL : 0;
}

int hd_acl_xattr_decode(const void *value, size_t size, struct hd_acl_item *ret)
{
    const uint8_t *at = value;
    if (size == 0) {
        return 0;
    }
    if (size < HEAD_BYTES || (size - HEAD_BYTES) % ITEM_BYTES != 0) {
        return -EINVAL;
    }
    if (hd_get_le32(at) != VERSION) {
        return -EOPNOTSUPP;
    }
    size_t count = (size - HEAD_BYTES) / ITEM_BYTES;
    if (count > HD_ACL_ITEMS_MAX) {
        return -ENOSPC;
    }
    at += HEAD_BYTES;
    for (size_t n = 0; n < count; n++, at += ITEM_BYTES) {
        ret[n] = (struct hd_acl_item){hd_get_le16(at), hd_get_le16(at + 2), hd_get_le32(at + 4)};
    }
    int err = count == 0 ? 0 : check(ret, count);
    return err < 0 ? err : (int)count;
}

static int compare(const void *a, const void *b)
{
    const struct hd_acl_item *x = a;
    const struct hd_acl_item *y = b;
    return x->tag != y->tag ? x->tag - y->tag : (x->id > y->id) - (x->id < y->id);
}

size_t hd_acl_xattr_size(size_t count)
{
    return HEAD_BYTES + count * ITEM_BYTES;
}

void hd_acl_xattr_encode(struct hd_acl_item *items, size_t count, void *out)
{
    uint8_t *at = out;
    qsort(items, count, sizeof(*items), compare);
    hd_put_le32(at, VERSION);
    at += HEAD_BYTES;
    for (size_t n = 0; n < count; n++, at += ITEM_BYTES) {
        hd_put_le16(at, items[n].tag);
        hd_put_le16(at + 2, items[n].perm);
        hd_put_le32(at + 4, hd_acl_is_named(&items[n]) ? items[n].id : NO_ID);
    }
}
