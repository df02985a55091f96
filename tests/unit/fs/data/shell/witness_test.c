/* What a witness promised is on its disks. */
#include "fs/data/shell/witness.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <unistd.h>

static struct hd_store *new_store(void)
{
    const struct hd_store_options o = {.dirs = "one,two"};
    struct hd_store *s;
    ATF_REQUIRE_EQ(hd_store_new(&o, &s), 0);
    return s;
}

static struct hd_witness_state reopen(struct hd_store *s)
{
    struct hd_witness_file *f;
    struct hd_witness_state state;
    ATF_REQUIRE_EQ(hd_witness_open(s, &f), 0);
    hd_witness_get(f, &state);
    hd_witness_close(f);
    return state;
}

static int take(struct hd_witness_file *f, uint64_t epoch, uint64_t serial, bool exposed)
{
    const struct hd_witness_request r = {
        .epoch = epoch, .owner = 7, .serial = serial, .exposed = exposed};
    struct hd_witness_state state;
    return hd_witness_take(f, &r, "10.0.0.1:8020", 42, &state);
}

/* Turns the lowest bit of a character over, `at` behind the beginning of some text of the file. */
static void flip(const char *path, const char *text, size_t at)
{
    struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_file_read(path, 4096, &b), 0);
    char *place = strstr(hd_buf_str(&b), text);
    ATF_REQUIRE(place != NULL);
    place[at] ^= 1;
    ATF_REQUIRE_EQ(hd_file_replace(path, b.data, b.size, 0644), 0);
    hd_buf_done(&b);
}

ATF_TC_WITHOUT_HEAD(the_newest_of_all_directories_counts);
ATF_TC_BODY(the_newest_of_all_directories_counts, tc)
{
    struct hd_store *s = new_store();
    struct hd_witness_file *f;
    ATF_CHECK_EQ(reopen(s).w.epoch, 0);
    ATF_REQUIRE_EQ(hd_witness_open(s, &f), 0);
    ATF_CHECK_EQ(take(f, 1, 5, true), 1);
    ATF_CHECK_EQ(take(f, 1, 4, false), 0);
    ATF_REQUIRE_EQ(hd_file_copy("one/witness", "old"), 0);
    ATF_CHECK_EQ(take(f, 2, 6, false), 1);
    hd_witness_close(f);
    ATF_REQUIRE_EQ(rename("old", "two/witness"), 0);
    struct hd_witness_state state = reopen(s);
    ATF_CHECK_EQ(state.w.epoch, 2);
    ATF_CHECK_EQ(state.w.serial, 6);
    ATF_CHECK_EQ(state.txid, 42);
    ATF_CHECK_STREQ(state.address, "10.0.0.1:8020");
    ATF_REQUIRE_EQ(unlink("one/witness"), 0);
    state = reopen(s);
    ATF_CHECK_EQ(state.w.epoch, 1);
    ATF_CHECK(state.w.exposed);
    flip("two/witness", "exposed=1", 8);
    ATF_CHECK_EQ_MSG(reopen(s).w.epoch, 0, "what was turned over is no promise");
    flip("two/witness", "exposed=0", 8);
    ATF_CHECK_EQ(reopen(s).w.epoch, 1);
    ATF_REQUIRE_EQ(truncate("two/witness", 90), 0);
    ATF_CHECK_EQ_MSG(reopen(s).w.epoch, 0, "half a file is none");
    hd_store_free(s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_newest_of_all_directories_counts);
    return atf_no_error();
}
