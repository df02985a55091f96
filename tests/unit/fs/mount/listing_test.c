/* A listing over a made-up directory of numbered names that changes while it is read. */
#include "fs/mount/listing.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 2000 };

struct directory {
    bool there[NAMES];
    int opens;
    int open_now;
    int fail; /* what next returns instead, once */
};

struct cursor {
    struct directory *dir;
    int at;
};

static int fake_open(void *arg, const char *start_after, void **ret)
{
    struct cursor *c = malloc(sizeof(*c));
    c->dir = arg;
    c->at = start_after[0] == '\0' ? 0 : atoi(start_after) + 1;
    c->dir->opens++;
    c->dir->open_now++;
    *ret = c;
    return 0;
}

static int fake_next(void *cursor, struct hd_stat *ret)
{
    struct cursor *c = cursor;
    if (c->dir->fail != 0) {
        int rc = c->dir->fail;
        c->dir->fail = 0;
        return rc;
    }
    while (c->at < NAMES && !c->dir->there[c->at]) {
        c->at++;
    }
    if (c->at == NAMES) {
        return 0;
    }
    snprintf(ret->name, sizeof(ret->name), "%06d", c->at++);
    ret->link = strdup("owned");
    return 1;
}

static void fake_close(void *cursor)
{
    ((struct cursor *)cursor)->dir->open_now--;
    free(cursor);
}

static struct hd_listing *make(struct directory *dir)
{
    struct hd_listing_source source = {fake_open, fake_next, fake_close, dir};
    struct hd_listing *l;
    ATF_REQUIRE_EQ(hd_listing_new(&source, &l), 0);
    return l;
}

static int name_at(struct hd_listing *l, uint64_t index)
{
    const struct hd_stat *st;
    int rc = hd_listing_at(l, index, &st);
    ATF_REQUIRE(rc >= 0);
    return rc == 1 ? atoi(st->name) : -1;
}

ATF_TC_WITHOUT_HEAD(going_forward_gives_every_name_once_with_one_cursor);
ATF_TC_BODY(going_forward_gives_every_name_once_with_one_cursor, tc)
{
    static struct directory dir;
    memset(dir.there, true, sizeof(dir.there));
    struct hd_listing *l = make(&dir);
    for (int i = 0; i < NAMES; i++) {
        ATF_REQUIRE_EQ(name_at(l, (uint64_t)i), i);
    }
    ATF_CHECK_EQ(name_at(l, NAMES), -1);
    ATF_CHECK_EQ(name_at(l, NAMES + 5), -1);
    ATF_CHECK_EQ(dir.opens, 1);
    hd_listing_free(l);
    ATF_CHECK_EQ(dir.open_now, 0);
}

ATF_TC_WITHOUT_HEAD(any_index_of_a_still_directory_is_right);
ATF_TC_BODY(any_index_of_a_still_directory_is_right, tc)
{
    static struct directory dir;
    struct hd_prng prng = {9};
    memset(dir.there, true, sizeof(dir.there));
    struct hd_listing *l = make(&dir);
    for (int i = 0; i < 3000; i++) {
        int at = (int)hd_prng_below(&prng, NAMES + 100);
        ATF_REQUIRE_EQ(name_at(l, (uint64_t)at), at < NAMES ? at : -1);
    }
    hd_listing_free(l);
}

ATF_TC_WITHOUT_HEAD(names_removed_behind_a_reader_make_it_skip_none);
ATF_TC_BODY(names_removed_behind_a_reader_make_it_skip_none, tc)
{
    static struct directory dir;
    memset(dir.there, true, sizeof(dir.there));
    struct hd_listing *l = make(&dir);
    for (int i = 0; i < NAMES; i++) { /* rm -r: each name is removed when it was seen */
        ATF_REQUIRE_EQ(name_at(l, (uint64_t)i), i);
        dir.there[i] = false;
    }
    ATF_CHECK_EQ(name_at(l, NAMES), -1);
    hd_listing_rewind(l);
    ATF_CHECK_EQ(name_at(l, 0), -1);
    hd_listing_free(l);
}

ATF_TC_WITHOUT_HEAD(a_rewind_sees_the_directory_of_now);
ATF_TC_BODY(a_rewind_sees_the_directory_of_now, tc)
{
    static struct directory dir;
    dir.there[10] = true;
    struct hd_listing *l = make(&dir);
    ATF_CHECK_EQ(name_at(l, 0), 10);
    dir.there[5] = true;
    ATF_CHECK_EQ(name_at(l, 0), 10);
    hd_listing_rewind(l);
    ATF_CHECK_EQ(name_at(l, 0), 5);
    ATF_CHECK_EQ(name_at(l, 1), 10);
    ATF_CHECK_EQ(name_at(l, 2), -1);
    hd_listing_free(l);
}

ATF_TC_WITHOUT_HEAD(an_error_passes_and_the_next_try_goes_on);
ATF_TC_BODY(an_error_passes_and_the_next_try_goes_on, tc)
{
    static struct directory dir;
    const struct hd_stat *st;
    memset(dir.there, true, sizeof(dir.there));
    struct hd_listing *l = make(&dir);
    ATF_CHECK_EQ(name_at(l, 300), 300);
    dir.fail = -EIO;
    ATF_CHECK_EQ(hd_listing_at(l, 301, &st), -EIO);
    ATF_CHECK_EQ(name_at(l, 301), 301);
    hd_listing_free(l);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, going_forward_gives_every_name_once_with_one_cursor);
    ATF_TP_ADD_TC(tp, any_index_of_a_still_directory_is_right);
    ATF_TP_ADD_TC(tp, names_removed_behind_a_reader_make_it_skip_none);
    ATF_TP_ADD_TC(tp, a_rewind_sees_the_directory_of_now);
    ATF_TP_ADD_TC(tp, an_error_passes_and_the_next_try_goes_on);
    return atf_no_error();
}
