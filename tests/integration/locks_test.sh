#!/usr/bin/env atf-sh
# Locks of files on two mounts (tests/support/lock_programs.py): each scenario first on the local disk
# under the test, so that what fails on the mounts is the mounts'; then what only mounts can do to
# them: one dies, meta dies and comes back.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

programs() { python3 @CMAKE_SOURCE_DIR@/tests/support/lock_programs.py "$@"; }

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 240
}

two_mounts() {
    cluster_up
    mkdir other
    howdah-mount "$(fs_uri)" other || atf_fail "the second mount"
    mkdir "$M/r"
}

all_cleanup() {
    umount -l other 2>/dev/null
    cluster_cleanup
}

holds() { # SCENARIO
    mkdir local
    programs "$1" local local || atf_skip "$1: not on the local disk either"
    two_mounts
    programs "$1" "$M/r" other/r || atf_fail "$1: on two mounts"
    rm -rf "$M/r" && mkdir "$M/r"
    programs "$1" "$M/r" "$M/r" || atf_fail "$1: on one mount"
}

scenarios="counting ranges closing flocks ofd waiting signals deadlock"

atf_test_case a_mount_that_is_killed_lets_go cleanup
a_mount_that_is_killed_lets_go_head() { needs; }
a_mount_that_is_killed_lets_go_body() {
    two_mounts
    pid=$(pgrep -f "howdah-mount $(fs_uri) other") || atf_fail "where is the mount?"
    programs killed_mount "$M/r" other/r "$pid" || atf_fail "killed_mount"
}
a_mount_that_is_killed_lets_go_cleanup() { all_cleanup; }

atf_test_case they_survive_a_restart_of_meta cleanup
they_survive_a_restart_of_meta_head() { needs; }
they_survive_a_restart_of_meta_body() {
    two_mounts
    programs restarted_meta "$M/r" other/r \
        "kill -9 $(pid_of meta); sleep 1; howdah up --dir $D --mount $M >/dev/null" ||
        atf_fail "restarted_meta"
}
they_survive_a_restart_of_meta_cleanup() { all_cleanup; }

atf_test_case they_survive_a_promotion cleanup
they_survive_a_promotion_head() { needs; }
they_survive_a_promotion_body() {
    two_mounts
    # What was made in the last second and not synced need not survive it.
    programs restarted_meta "$M/r" other/r "sleep 2; howdah admin promote --yes --dir $D >/dev/null" ||
        atf_fail "restarted_meta"
}
they_survive_a_promotion_cleanup() { all_cleanup; }

atf_init_test_cases() {
    for s in $scenarios; do
        atf_test_case "$s" cleanup
        eval "${s}_head() { needs; }
${s}_body() { holds $s; }
${s}_cleanup() { all_cleanup; }"
        atf_add_test_case "$s"
    done
    atf_add_test_case a_mount_that_is_killed_lets_go
    atf_add_test_case they_survive_a_restart_of_meta
    atf_add_test_case they_survive_a_promotion
}
