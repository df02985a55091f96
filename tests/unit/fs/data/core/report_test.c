/* Block reports have Hadoop's bytes; directories are chosen in turn. */
#include "fs/data/core/report.h"
#include "fs/data/core/volume_pick.h"

#include <atf-c.h>
#include <errno.h>

ATF_TC_WITHOUT_HEAD(a_replica_in_a_report_is_four_varints);
ATF_TC_BODY(a_replica_in_a_report_is_four_varints, tc)
{
    static const uint8_t want[] = {0x82, 0x80, 0x80, 0x80, 0x08, 0xe8, 0x07, 0xe9, 0x07, 0x00};
    struct hd_replica r = {.id = {1073741825}, .gs = {1001}, .size_bytes = 1000};
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    ATF_REQUIRE_EQ(hd_report_add(&out, &r), 0);
    ATF_REQUIRE_EQ(out.size, sizeof(want));
    ATF_CHECK_EQ(memcmp(out.data, want, sizeof(want)), 0);
}

ATF_TC_WITHOUT_HEAD(directories_take_turns_and_full_ones_are_passed_over);
ATF_TC_BODY(directories_take_turns_and_full_ones_are_passed_over, tc)
{
    struct hd_volume_space_left v[] = {{true, 1000}, {true, 10}, {false, 5000}, {true, 2000}};
    unsigned cursor = 0;
    ATF_CHECK_EQ(hd_volume_pick(v, 4, 100, &cursor), 0);
    ATF_CHECK_EQ(hd_volume_pick(v, 4, 100, &cursor), 3);
    ATF_CHECK_EQ(hd_volume_pick(v, 4, 100, &cursor), 0);
    ATF_CHECK_EQ(hd_volume_pick(v, 4, 5000, &cursor), -ENOSPC);
}

ATF_TC_WITHOUT_HEAD(the_emptiest_directory_is_taken_while_they_lie_far_apart);
ATF_TC_BODY(the_emptiest_directory_is_taken_while_they_lie_far_apart, tc)
{
    struct hd_volume_space_left v[] = {{true, (uint64_t)1 << 30}, {true, (uint64_t)100 << 30}};
    unsigned cursor = 0;
    for (int i = 0; i < 3; i++) {
        ATF_CHECK_EQ(hd_volume_pick(v, 2, 1, &cursor), 1);
    }
}

ATF_TC_WITHOUT_HEAD(a_doubtful_replica_has_a_state_of_its_own);
ATF_TC_BODY(a_doubtful_replica_has_a_state_of_its_own, tc)
{
    struct hd_buf b = {0};
    struct hd_replica r = {
        .id = {1}, .gs = {2}, .size_bytes = 3, .state = HD_REPLICA_RWR, .doubtful = true};
    ATF_REQUIRE_EQ(hd_report_add(&b, &r), 0);
    ATF_CHECK_EQ(b.size, 4);
    ATF_CHECK_EQ(memcmp(b.data, "\2\3\2\5", 4), 0);
    hd_buf_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_doubtful_replica_has_a_state_of_its_own);
    ATF_TP_ADD_TC(tp, a_replica_in_a_report_is_four_varints);
    ATF_TP_ADD_TC(tp, directories_take_turns_and_full_ones_are_passed_over);
    ATF_TP_ADD_TC(tp, the_emptiest_directory_is_taken_while_they_lie_far_apart);
    return atf_no_error();
}
