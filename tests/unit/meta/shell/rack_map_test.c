/* Tests of the rack map's sources: the table and the script. */
#include "meta/shell/rack_map.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct hd_rack_list list;

static void begin(void)
{
    list = (struct hd_rack_list){0};
    hd_arena_init(&list.arena, 0);
}

static void put_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(name, "w");
    ATF_REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    ATF_REQUIRE(chmod(name, mode) == 0);
}

ATF_TC_WITHOUT_HEAD(a_table_has_an_address_and_a_rack_in_a_line);
ATF_TC_BODY(a_table_has_an_address_and_a_rack_in_a_line, tc)
{
    begin();
    put_file("table", "# racks\n\n10.0.0.1 /a\n  data-2\t/b # the other room\n", 0644);
    ATF_REQUIRE_EQ(hd_rack_table_read("table", &list), 0);
    ATF_REQUIRE_EQ(list.count, 2);
    ATF_CHECK_STREQ(list.items[0].address, "10.0.0.1");
    ATF_CHECK_STREQ(list.items[0].rack, "/a");
    ATF_CHECK_STREQ(list.items[1].address, "data-2");
    ATF_CHECK_STREQ(list.items[1].rack, "/b");
    hd_rack_list_done(&list);
}

ATF_TC_WITHOUT_HEAD(a_table_that_makes_no_sense_is_refused_with_its_line);
ATF_TC_BODY(a_table_that_makes_no_sense_is_refused_with_its_line, tc)
{
    begin();
    put_file("table", "10.0.0.1 /a\n10.0.0.2\n", 0644);
    ATF_CHECK_EQ(hd_rack_table_read("table", &list), -HD_E_CONFIG);
    ATF_CHECK(strstr(hd_fail_text(), "table:2") != NULL);
    put_file("table", "10.0.0.1 /a /b\n", 0644);
    ATF_CHECK_EQ(hd_rack_table_read("table", &list), -HD_E_CONFIG);
    ATF_CHECK_EQ(hd_rack_table_read("none", &list), -ENOENT);
    hd_rack_list_done(&list);
}

ATF_TC_WITHOUT_HEAD(a_script_tells_a_rack_for_each_address);
ATF_TC_BODY(a_script_tells_a_rack_for_each_address, tc)
{
    enum { MANY = 250 }; /* more than one run takes */
    char *addresses[MANY];
    char text[MANY][16];
    begin();
    put_file("script", "#!/bin/sh\necho $# >>runs\nfor a in \"$@\"; do echo /r-$a; done\n", 0755);
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof(text[i]), "10.0.0.%d", i);
        addresses[i] = text[i];
    }
    ATF_REQUIRE_EQ(hd_rack_script_run("./script", addresses, MANY, &list), 0);
    ATF_REQUIRE_EQ(list.count, MANY);
    ATF_CHECK_STREQ(list.items[0].rack, "/r-10.0.0.0");
    ATF_CHECK_STREQ(list.items[MANY - 1].address, "10.0.0.249");
    ATF_CHECK_STREQ(list.items[MANY - 1].rack, "/r-10.0.0.249");
    ATF_CHECK(atf_utils_grep_file("^100$", "runs"));
    ATF_CHECK(atf_utils_grep_file("^50$", "runs"));
    hd_rack_list_done(&list);
}

ATF_TC_WITHOUT_HEAD(a_script_that_fails_or_says_too_little_is_told);
ATF_TC_BODY(a_script_that_fails_or_says_too_little_is_told, tc)
{
    char first[] = "10.0.0.1";
    char second[] = "10.0.0.2";
    char *const addresses[] = {first, second};
    begin();
    put_file("little", "#!/bin/sh\necho /one\n", 0755);
    put_file("fails", "#!/bin/sh\necho /one /two\nexit 3\n", 0755);
    put_file("much", "#!/bin/sh\nyes /rack\n", 0755);
    ATF_CHECK_EQ(hd_rack_script_run("./little", addresses, 2, &list), -HD_E_IO);
    ATF_CHECK(strstr(hd_fail_text(), "1 racks for 2 addresses") != NULL);
    ATF_CHECK_EQ(hd_rack_script_run("./fails", addresses, 2, &list), -HD_E_IO);
    ATF_CHECK_EQ(hd_rack_script_run("./much", addresses, 2, &list), -HD_E_IO);
    ATF_CHECK(hd_rack_script_run("./none", addresses, 2, &list) < 0);
    hd_rack_list_done(&list);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_table_has_an_address_and_a_rack_in_a_line);
    ATF_TP_ADD_TC(tp, a_table_that_makes_no_sense_is_refused_with_its_line);
    ATF_TP_ADD_TC(tp, a_script_tells_a_rack_for_each_address);
    ATF_TP_ADD_TC(tp, a_script_that_fails_or_says_too_little_is_told);
    return atf_no_error();
}
