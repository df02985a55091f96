/* Extended attributes: xattr(7)'s rules for mounts, and that HDFS's clients see the same ones. */
#include "tests/unit/meta/core/posix_calls.h"

static int set(struct world *w, uint64_t ino, const char *name, const char *value, size_t size,
               unsigned flags)
{
    ProtobufCBinaryData bytes = {size, (uint8_t *)(uintptr_t)value};
    bool create = flags == 1;
    bool replace = flags == 2;
    return POSIX(w, "setPosixXattr", SetPosixXattr, set_posix_xattr, NULL, .ino = ino,
                 .name = S(name), .has_value = value != NULL, .value = bytes,
                 .has_create_only = create, .create_only = create, .has_replace_only = replace,
                 .replace_only = replace);
}

static int set_text(struct world *w, uint64_t ino, const char *name, const char *value)
{
    return set(w, ino, name, value, strlen(value), 0);
}

static int drop(struct world *w, uint64_t ino, const char *name)
{
    return set(w, ino, name, NULL, 0, 0);
}

/* "user.a=1 user.b=2", in the order of storing. */
static const char *all(struct world *w, uint64_t ino)
{
    static char text[1024];
    Hdw__GetPosixXattrsResponse *r = NULL;
    size_t at = 0;
    ATF_REQUIRE_EQ(POSIX(w, "getPosixXattrs", GetPosixXattrs, get_posix_xattrs, &r, .ino = ino), 0);
    text[0] = '\0';
    for (size_t n = 0; n < r->n_xattrs; n++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s=%.*s", n > 0 ? " " : "",
                               r->xattrs[n]->name, (int)r->xattrs[n]->value.len,
                               (const char *)r->xattrs[n]->value.data);
    }
    return text;
}

ATF_TC_WITHOUT_HEAD(they_are_set_replaced_and_removed);
ATF_TC_BODY(they_are_set_replaced_and_removed, tc)
{
    struct world w;
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100644);
    ATF_CHECK(!px_attr(&w, f)->has_xattrs);
    ATF_CHECK_EQ(set_text(&w, f, "user.a", "1"), 0);
    ATF_CHECK(px_attr(&w, f)->has_xattrs);
    ATF_CHECK_EQ(set(&w, f, "user.a", "2", 1, 1), -EEXIST);
    ATF_CHECK_EQ(set(&w, f, "user.b", "2", 1, 2), -ENODATA);
    ATF_CHECK_EQ(set(&w, f, "user.b", "2", 1, 1), 0);
    ATF_CHECK_EQ(set(&w, f, "user.a", "", 0, 2), 0);
    ATF_CHECK_EQ(set_text(&w, f, "trusted.t", "3"), 0);
    ATF_CHECK_EQ(set_text(&w, f, "security.s", "4"), 0);
    ATF_CHECK_STREQ(all(&w, f), "user.a= user.b=2 trusted.t=3 security.s=4");
    ATF_CHECK_EQ(drop(&w, f, "user.none"), -ENODATA);
    ATF_CHECK_EQ(drop(&w, f, "user.a"), 0);
    ATF_CHECK_EQ(drop(&w, f, "trusted.t"), 0);
    ATF_CHECK_EQ(drop(&w, f, "security.s"), 0);
    int64_t before = px_attr(&w, f)->ctime_ns;
    world_pass(&w, 100);
    ATF_CHECK_EQ(drop(&w, f, "user.b"), 0);
    ATF_CHECK(px_attr(&w, f)->ctime_ns > before);
    ATF_CHECK(!px_attr(&w, f)->has_xattrs);
    ATF_CHECK_EQ(set_text(&w, 99999, "user.a", "1"), -ESTALE);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(names_and_sizes_have_limits);
ATF_TC_BODY(names_and_sizes_have_limits, tc)
{
    struct world w;
    static char big[65537];
    char name[300];
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100644);
    ATF_CHECK_EQ(set_text(&w, f, "user.", "1"), -EINVAL);
    ATF_CHECK_EQ(set_text(&w, f, "none", "1"), -EOPNOTSUPP);
    ATF_CHECK_EQ(set_text(&w, f, "other.x", "1"), -EOPNOTSUPP);
    ATF_CHECK_EQ(set_text(&w, f, "system.posix_acl_access", "1"), -EOPNOTSUPP);
    ATF_CHECK_EQ(set_text(&w, f, "raw.x", "1"), -EOPNOTSUPP);
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[256] = '\0';
    ATF_CHECK_EQ(set_text(&w, f, name, "1"), -ERANGE);
    name[255] = '\0';
    ATF_CHECK_EQ(set_text(&w, f, name, "1"), 0);
    ATF_CHECK_EQ(set(&w, f, "user.big", big, 65537, 0), -E2BIG);
    for (int n = 0; n < 3; n++) {
        snprintf(name, sizeof(name), "user.big%d", n);
        ATF_CHECK_EQ(set(&w, f, name, big, 65536, 0), 0);
    }
    ATF_CHECK_EQ(set(&w, f, "user.big3", big, 65536, 0), -ENOSPC);
    ATF_CHECK_EQ(set(&w, f, "user.big2", big, 65536, 0), 0); /* instead of itself */
    ATF_CHECK_EQ(drop(&w, f, "user.big0"), 0);
    ATF_CHECK_EQ(set(&w, f, "user.big3", big, 65536, 0), 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_has_which);
ATF_TC_BODY(what_has_which, tc)
{
    struct world w;
    world_init(&w);
    uint64_t d = px_new(&w, ROOT, "d", 041777);
    uint64_t p = px_new(&w, ROOT, "p", 0010644);
    uint64_t f = px_new(&w, ROOT, "f", 0100666);
    Hdw__MakeSymlinkResponse *l = NULL;
    ATF_REQUIRE_EQ(px_symlink(&w, ROOT, "l", "f", &l), 0);
    ATF_CHECK_EQ(set_text(&w, d, "user.k", "v"), 0);
    ATF_CHECK_EQ(set_text(&w, p, "user.k", "v"), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(set_text(&w, p, "trusted.k", "v"), 0);
    ATF_CHECK_EQ(set_text(&w, l->attr->ino, "user.k", "v"), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(set_text(&w, f, "trusted.k", "v"), 0);
    w.user = "eve"; /* a session of her own: checked here */
    ATF_CHECK_EQ(set_text(&w, f, "user.k", "v"), 0);
    ATF_CHECK_EQ(set_text(&w, f, "trusted.k", "v"), -HD_E_NOT_PERMITTED);
    ATF_CHECK_EQ(set_text(&w, d, "user.k", "v"), -HD_E_NOT_PERMITTED); /* sticky */
    ATF_CHECK_STREQ(all(&w, f), "user.k=v");
    w.user = "root";
    ATF_CHECK_EQ(set_text(&w, f, "security.s", "1"), 0);
    ATF_CHECK_EQ(px_set(&w, f, (Hdw__PosixAttrChange){.has_mode = true, .mode = 0600}, NULL), 0);
    w.user = "eve"; /* who may not read it may see what decides about access */
    ATF_CHECK_STREQ(all(&w, f), "security.s=1");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(hdfs_s_clients_see_the_same);
ATF_TC_BODY(hdfs_s_clients_see_the_same, tc)
{
    struct world w;
    world_init(&w);
    uint64_t f = px_new(&w, ROOT, "f", 0100644);
    Hdw__XAttr x = HDW__XATTR__INIT;
    x.namespace_ = HDW__XATTR_NAMESPACE__XATTR_NS_USER;
    x.name = S("h");
    x.has_value = true;
    x.value = text_bytes("hdfs");
    CALL(&w, "setXAttr", SetXAttr, set_xattr, .src = S("/f"), .x_attr = &x);
    ATF_CHECK_EQ(set_text(&w, f, "user.p", "posix"), 0);
    ATF_CHECK_EQ(set_text(&w, f, "security.s", "not shown"), 0);
    ATF_CHECK_STREQ(all(&w, f), "user.h=hdfs user.p=posix security.s=not shown");
    Hdw__ListXAttrsResponse *r = CALL(&w, "listXAttrs", ListXAttrs, list_xattrs, .src = S("/f"));
    ATF_REQUIRE_EQ(r->n_x_attrs, 2);
    ATF_CHECK_STREQ(r->x_attrs[0]->name, "h");
    ATF_CHECK_STREQ(r->x_attrs[1]->name, "p");
    ATF_CHECK_EQ(px_link(&w, f, ROOT, "g"), 0);
    ATF_CHECK_STREQ(all(&w, px_lookup(&w, ROOT, "g")->ino), all(&w, f));
    world_check(&w);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, they_are_set_replaced_and_removed);
    ATF_TP_ADD_TC(tp, names_and_sizes_have_limits);
    ATF_TP_ADD_TC(tp, what_has_which);
    ATF_TP_ADD_TC(tp, hdfs_s_clients_see_the_same);
    return atf_no_error();
}
