#!/usr/bin/env atf-sh
# A few cycles of tests/torture; hundreds of them by hand.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

torture=@CMAKE_SOURCE_DIR@/tests/torture
seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')

needs() {
    atf_set require.progs "jq python3"
    atf_set timeout 280
}

no_sanitizers() { # The preloaded library must come before a sanitizer's.
    ldd "$(command -v howdah-data)" | grep -q 'asan\|tsan' && atf_skip "built with a sanitizer"
    return 0
}

atf_test_case an_undone_journal_is_what_a_disk_may_hold
an_undone_journal_is_what_a_disk_may_hold_head() { needs; }
an_undone_journal_is_what_a_disk_may_hold_body() {
    no_sanitizers
    atf_check -o match:held "$torture/disk" --bin @HD_BIN_DIR@ --rounds 40 --seed $((seed % 10000))
}

atf_test_case a_replica_that_is_overwritten_survives_kills_and_power_cuts
a_replica_that_is_overwritten_survives_kills_and_power_cuts_head() { needs; }
a_replica_that_is_overwritten_survives_kills_and_power_cuts_body() {
    no_sanitizers
    atf_check -o match:held "$torture/overwrite" --bin @HD_BIN_DIR@ --cycles 8 --seed "$seed"
}

atf_test_case a_power_cut_loses_nothing_that_was_synced
a_power_cut_loses_nothing_that_was_synced_head() { needs; }
a_power_cut_loses_nothing_that_was_synced_body() {
    no_sanitizers
    "$torture/powercut" --bin @HD_BIN_DIR@ --cycles 3 --seconds 2 --seed "$seed" --quick || atf_fail "seed $seed"
}

atf_test_case a_kill_loses_nothing_that_was_flushed
a_kill_loses_nothing_that_was_flushed_head() { needs; }
a_kill_loses_nothing_that_was_flushed_body() {
    "$torture/kill" --bin @HD_BIN_DIR@ --cycles 3 --seconds 2 --seed "$seed" || atf_fail "seed $seed"
}

atf_test_case a_kill_of_all_loses_nothing_that_was_flushed
a_kill_of_all_loses_nothing_that_was_flushed_head() { needs; }
a_kill_of_all_loses_nothing_that_was_flushed_body() {
    "$torture/kill" --bin @HD_BIN_DIR@ --cycles 2 --seconds 2 --victims all --quick --seed "$seed" || atf_fail "seed $seed"
}

atf_init_test_cases() {
    atf_add_test_case an_undone_journal_is_what_a_disk_may_hold
    atf_add_test_case a_replica_that_is_overwritten_survives_kills_and_power_cuts
    atf_add_test_case a_power_cut_loses_nothing_that_was_synced
    atf_add_test_case a_kill_loses_nothing_that_was_flushed
    atf_add_test_case a_kill_of_all_loses_nothing_that_was_flushed
}
