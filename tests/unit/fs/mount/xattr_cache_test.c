/* Kept extended attributes: what is told is kept, what a push overtook is not, and there is an end.
 */
#include "fs/mount/xattr_cache.h"

#include <atf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct hd_xattr_cache *c, uint64_t id, uint64_t stamp, size_t size)
{
    Hdw__GetPosixXattrsResponse r = HDW__GET_POSIX_XATTRS_RESPONSE__INIT;
    Hdw__PosixXattr x = HDW__POSIX_XATTR__INIT;
    Hdw__PosixXattr *all[] = {&x};
    char name[32];
    snprintf(name, sizeof(name), "user.%d", (int)id);
    x.name = name;
    x.value.len = size;
    x.value.data = calloc(1, size + 1);
    r.n_xattrs = 1;
    r.xattrs = all;
    hd_xattr_cache_put(c, id, stamp, &r);
    free(x.value.data);
}

/* The size of the value that is known; -1: nothing is. */
static int known(struct hd_xattr_cache *c, uint64_t id)
{
    struct hd_arena arena;
    char name[32];
    int size = -1;
    hd_arena_init(&arena, 0);
    snprintf(name, sizeof(name), "user.%d", (int)id);
    const Hdw__GetPosixXattrsResponse *r = hd_xattr_cache_get(c, id, &arena);
    if (r != NULL) {
        ATF_REQUIRE_EQ(r->n_xattrs, 1);
        ATF_REQUIRE_STREQ(r->xattrs[0]->name, name);
        size = (int)r->xattrs[0]->value.len;
    }
    hd_arena_done(&arena);
    return size;
}

ATF_TC_WITHOUT_HEAD(an_answer_that_a_push_overtook_is_not_kept);
ATF_TC_BODY(an_answer_that_a_push_overtook_is_not_kept, tc)
{
    struct hd_xattr_cache *c = hd_xattr_cache_new();
    uint64_t stamp = hd_xattr_cache_stamp(c, 7);
    ATF_CHECK_EQ(known(c, 7), -1);
    put(c, 7, stamp, 10);
    ATF_CHECK_EQ(known(c, 7), 10);
    put(c, 7, hd_xattr_cache_stamp(c, 7), 20);
    ATF_CHECK_EQ(known(c, 7), 20);
    stamp = hd_xattr_cache_stamp(c, 7);
    hd_xattr_cache_forget(c, 7);
    ATF_CHECK_EQ(known(c, 7), -1);
    put(c, 7, stamp, 30); /* asked before the push */
    ATF_CHECK_EQ(known(c, 7), -1);
    stamp = hd_xattr_cache_stamp(c, 7);
    hd_xattr_cache_forget_all(c);
    put(c, 7, stamp, 30);
    ATF_CHECK_EQ(known(c, 7), -1);
    put(c, 7, hd_xattr_cache_stamp(c, 7), 40);
    ATF_CHECK_EQ(known(c, 7), 40);
    hd_xattr_cache_free(c);
}

ATF_TC_WITHOUT_HEAD(the_longest_unused_make_room);
ATF_TC_BODY(the_longest_unused_make_room, tc)
{
    struct hd_xattr_cache *c = hd_xattr_cache_new();
    const size_t size = 60000;
    const uint64_t fit = HD_XATTR_CACHE_BYTES / 61000;
    put(c, 1, hd_xattr_cache_stamp(c, 1), size);
    put(c, 2, hd_xattr_cache_stamp(c, 2), size);
    for (uint64_t id = 3; id < fit + 20; id++) {
        put(c, id, hd_xattr_cache_stamp(c, id), size);
        ATF_REQUIRE_EQ(known(c, 1), (int)size); /* it is used all the time */
        ATF_REQUIRE_EQ(known(c, id), (int)size);
    }
    ATF_CHECK_EQ(known(c, 2), -1);
    ATF_CHECK_EQ(known(c, 3), -1);
    hd_xattr_cache_free(c);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_answer_that_a_push_overtook_is_not_kept);
    ATF_TP_ADD_TC(tp, the_longest_unused_make_room);
    return atf_no_error();
}
