/* Names and numbers from a made-up system whose clock stands still until told. */
#include "fs/mount/users.h"

#include <atf-c.h>
#include <errno.h>
#include <string.h>

static int64_t now_ms;
static int asked;

static int uid_of(const char *name, uid_t *ret)
{
    asked++;
    if (strcmp(name, "alice") != 0) {
        return -ENOENT;
    }
    *ret = 1001;
    return 0;
}

static int gid_of(const char *name, gid_t *ret)
{
    asked++;
    if (strcmp(name, "staff") != 0) {
        return -ENOENT;
    }
    *ret = 50;
    return 0;
}

static int name_of_uid(uid_t uid, char out[HD_STAT_USER_BYTES])
{
    asked++;
    if (uid != 1001) {
        return -ENOENT;
    }
    strcpy(out, "alice");
    return 0;
}

static int name_of_gid(gid_t gid, char out[HD_STAT_USER_BYTES])
{
    asked++;
    if (gid != 50) {
        return -ENOENT;
    }
    strcpy(out, "staff");
    return 0;
}

static int64_t clock_ms(void)
{
    return now_ms;
}

static const struct hd_users_source source = {uid_of, gid_of, name_of_uid, name_of_gid, clock_ms};

ATF_TC_WITHOUT_HEAD(names_and_numbers_map_both_ways);
ATF_TC_BODY(names_and_numbers_map_both_ways, tc)
{
    struct hd_users *u;
    char name[HD_STAT_USER_BYTES];
    ATF_REQUIRE_EQ(hd_users_new(&source, &u), 0);
    ATF_CHECK_EQ(hd_users_uid(u, "alice"), 1001);
    ATF_CHECK_EQ(hd_users_gid(u, "staff"), 50);
    hd_users_user_name(u, 1001, name);
    ATF_CHECK_STREQ(name, "alice");
    hd_users_group_name(u, 50, name);
    ATF_CHECK_STREQ(name, "staff");
    hd_users_free(u);
}

ATF_TC_WITHOUT_HEAD(strangers_are_nobody_or_their_digits);
ATF_TC_BODY(strangers_are_nobody_or_their_digits, tc)
{
    struct hd_users *u;
    char name[HD_STAT_USER_BYTES];
    ATF_REQUIRE_EQ(hd_users_new(&source, &u), 0);
    ATF_CHECK_EQ(hd_users_uid(u, "hdfs"), 65534);
    ATF_CHECK_EQ(hd_users_gid(u, "supergroup"), 65534);
    ATF_CHECK_EQ(hd_users_uid(u, ""), 65534);
    hd_users_user_name(u, 4242, name);
    ATF_CHECK_STREQ(name, "4242");
    ATF_CHECK_EQ(hd_users_uid(u, "4242"), 4242);
    hd_users_free(u);
}

ATF_TC_WITHOUT_HEAD(answers_are_kept_for_a_minute);
ATF_TC_BODY(answers_are_kept_for_a_minute, tc)
{
    struct hd_users *u;
    ATF_REQUIRE_EQ(hd_users_new(&source, &u), 0);
    asked = 0;
    now_ms = 1000;
    for (int i = 0; i < 10; i++) {
        (void)hd_users_uid(u, "alice");
        (void)hd_users_uid(u, "nobody there");
        now_ms += 5999;
    }
    ATF_CHECK_EQ(asked, 2);
    now_ms += 5999;
    (void)hd_users_uid(u, "alice");
    ATF_CHECK_EQ(asked, 3);
    hd_users_free(u);
}

ATF_TC_WITHOUT_HEAD(the_cache_has_a_ceiling);
ATF_TC_BODY(the_cache_has_a_ceiling, tc)
{
    struct hd_users *u;
    char name[HD_STAT_USER_BYTES];
    ATF_REQUIRE_EQ(hd_users_new(&source, &u), 0);
    for (uid_t uid = 0; uid < 40000; uid++) {
        hd_users_user_name(u, uid, name);
    }
    hd_users_user_name(u, 1001, name);
    ATF_CHECK_STREQ(name, "alice");
    hd_users_free(u);
}

ATF_TC_WITHOUT_HEAD(the_system_knows_root);
ATF_TC_BODY(the_system_knows_root, tc)
{
    struct hd_users *u;
    char name[HD_STAT_USER_BYTES];
    ATF_REQUIRE_EQ(hd_users_new(&hd_users_system, &u), 0);
    ATF_CHECK_EQ(hd_users_uid(u, "root"), 0);
    hd_users_group_name(u, 0, name);
    ATF_CHECK_STREQ(name, "root");
    hd_users_free(u);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, names_and_numbers_map_both_ways);
    ATF_TP_ADD_TC(tp, strangers_are_nobody_or_their_digits);
    ATF_TP_ADD_TC(tp, answers_are_kept_for_a_minute);
    ATF_TP_ADD_TC(tp, the_cache_has_a_ceiling);
    ATF_TP_ADD_TC(tp, the_system_knows_root);
    return atf_no_error();
}
