/* The kernel's form of ACLs: what setfacl wrote on ext4, what the kernel refuses, and nonsense. */
#include "fs/mount/acl_xattr.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* setfacl -m u:1000:rw,u:65534:r,g:5:rx file (mode 640), as getxattr gave it */
static const uint8_t from_ext4[] = {
    0x02, 0x00, 0x00, 0x00,                         /* version */
    0x01, 0x00, 0x06, 0x00, 0xff, 0xff, 0xff, 0xff, /* user::rw- */
    0x02, 0x00, 0x06, 0x00, 0xe8, 0x03, 0x00, 0x00, /* user:1000:rw- */
    0x02, 0x00, 0x04, 0x00, 0xfe, 0xff, 0x00, 0x00, /* user:65534:r-- */
    0x04, 0x00, 0x04, 0x00, 0xff, 0xff, 0xff, 0xff, /* group::r-- */
    0x08, 0x00, 0x05, 0x00, 0x05, 0x00, 0x00, 0x00, /* group:5:r-x */
    0x10, 0x00, 0x07, 0x00, 0xff, 0xff, 0xff, 0xff, /* mask::rwx */
    0x20, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, /* other::--- */
};

ATF_TC_WITHOUT_HEAD(what_the_kernel_wrote_is_read_and_written_again);
ATF_TC_BODY(what_the_kernel_wrote_is_read_and_written_again, tc)
{
    struct hd_acl_item items[HD_ACL_ITEMS_MAX];
    uint8_t out[sizeof(from_ext4)];
    int count = hd_acl_xattr_decode(from_ext4, sizeof(from_ext4), items);
    ATF_REQUIRE_EQ(count, 7);
    ATF_CHECK_EQ(items[1].tag, HD_ACL_NAMED_USER);
    ATF_CHECK_EQ(items[1].id, 1000);
    ATF_CHECK_EQ(items[4].perm, 5);
    for (int n = 0; n < 3; n++) { /* in any order */
        struct hd_acl_item swap = items[n];
        items[n] = items[6 - n];
        items[6 - n] = swap;
    }
    ATF_REQUIRE_EQ(hd_acl_xattr_size(7), sizeof(out));
    hd_acl_xattr_encode(items, 7, out);
    ATF_CHECK(memcmp(out, from_ext4, sizeof(out)) == 0);
}

ATF_TC_WITHOUT_HEAD(sizes_and_versions_are_checked);
ATF_TC_BODY(sizes_and_versions_are_checked, tc)
{
    struct hd_acl_item items[HD_ACL_ITEMS_MAX];
    uint8_t bytes[sizeof(from_ext4)];
    static uint8_t many[4 + 8 * (HD_ACL_ITEMS_MAX + 1)] = {2};
    for (size_t size = 1; size < sizeof(from_ext4); size++) {
        ATF_CHECK_EQ_MSG(hd_acl_xattr_decode(from_ext4, size, items), size == 4 ? 0 : -EINVAL,
                         "%zu bytes", size);
    }
    ATF_CHECK_EQ(hd_acl_xattr_decode(NULL, 0, items), 0);
    memcpy(bytes, from_ext4, sizeof(bytes));
    bytes[0] = 1;
    ATF_CHECK_EQ(hd_acl_xattr_decode(bytes, sizeof(bytes), items), -EOPNOTSUPP);
    ATF_CHECK_EQ(hd_acl_xattr_decode(many, sizeof(many), items), -ENOSPC);
}

/* Items as text: u user, U named user, g, G, m, o. */
static int decode_tags(const char *text)
{
    struct hd_acl_item back[HD_ACL_ITEMS_MAX];
    static const char letters[] = "uUgGmo";
    uint8_t bytes[4 + 8 * 16] = {2};
    size_t count = strlen(text);
    for (size_t n = 0; n < count; n++) {
        uint8_t tag = (uint8_t)(1 << (strchr(letters, text[n]) - letters));
        uint8_t item[8] = {tag, 0, 7, 0, 9};
        memcpy(bytes + 4 + 8 * n, item, sizeof(item));
    }
    return hd_acl_xattr_decode(bytes, 4 + 8 * count, back);
}

ATF_TC_WITHOUT_HEAD(owner_group_others_once_a_mask_with_names_all_in_order);
ATF_TC_BODY(owner_group_others_once_a_mask_with_names_all_in_order, tc)
{
    static const char *const good[] = {"ugo", "ugmo", "uUgmo", "ugGmo", "uUUgGGmo"};
    static const char *const bad[] = {"u",     "ug",    "ugoo", "uugo", "uggo",  "uUgo",
                                      "ugGo",  "guo",   "ogu",  "uogm", "ugmmo", "ugom",
                                      "Uugmo", "ugUmo", "uUgm", "Ugmo", "uUmo"};
    for (size_t n = 0; n < HD_ARRAY_COUNT(good); n++) {
        ATF_CHECK_EQ_MSG(decode_tags(good[n]), (int)strlen(good[n]), "%s", good[n]);
    }
    for (size_t n = 0; n < HD_ARRAY_COUNT(bad); n++) {
        ATF_CHECK_EQ_MSG(decode_tags(bad[n]), -EINVAL, "%s", bad[n]);
    }
}

ATF_TC_WITHOUT_HEAD(nonsense_does_no_harm);
ATF_TC_BODY(nonsense_does_no_harm, tc)
{
    struct hd_prng prng = {3};
    struct hd_acl_item items[HD_ACL_ITEMS_MAX];
    for (int step = 0; step < 200000; step++) {
        uint8_t bytes[sizeof(from_ext4)];
        memcpy(bytes, from_ext4, sizeof(bytes));
        for (int n = 0; n < 3; n++) {
            bytes[hd_prng_below(&prng, sizeof(bytes))] = (uint8_t)hd_prng_next(&prng);
        }
        size_t size = hd_prng_below(&prng, sizeof(bytes) + 1);
        int count = hd_acl_xattr_decode(bytes, size, items);
        ATF_REQUIRE(count <= 7);
        for (int n = 0; n < count; n++) {
            ATF_REQUIRE(items[n].perm <= 7);
        }
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_the_kernel_wrote_is_read_and_written_again);
    ATF_TP_ADD_TC(tp, sizes_and_versions_are_checked);
    ATF_TP_ADD_TC(tp, owner_group_others_once_a_mask_with_names_all_in_order);
    ATF_TP_ADD_TC(tp, nonsense_does_no_harm);
    return atf_no_error();
}
