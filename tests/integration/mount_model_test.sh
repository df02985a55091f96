#!/usr/bin/env atf-sh
# The mount against a model: what a program sees on it is what it sees on a local disk, and what it
# leaves behind when it is killed, stopped or cut off from meta is what howdah-mount(8) says.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

model() { python3 @CMAKE_SOURCE_DIR@/tests/support/mount_model.py "$@"; }

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
}

atf_test_case random_operations_agree_with_a_local_disk cleanup
random_operations_agree_with_a_local_disk_head() { needs; }
random_operations_agree_with_a_local_disk_body() {
    cluster_up
    first=$(atf_config_get seed 1)
    for seed in $first $((first + 1)) $((first + 2)); do
        model random "$M/r$seed" "$PWD/local$seed" "$seed" 400 &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid" || atf_fail "the mount answered differently"; done
}
random_operations_agree_with_a_local_disk_cleanup() { cluster_cleanup; }

atf_test_case open_files_behave cleanup
open_files_behave_head() { needs; }
open_files_behave_body() {
    cluster_up
    mkdir "$M/h" && model handles "$M/h" || atf_fail "handles"
    make_text 100000000 text
    cp text "$M/one"
    model passthrough "$M/one" || atf_fail "passthrough"
    cmp text "$M/one" || atf_fail "content"
    model hot "$M/one" text
}
open_files_behave_cleanup() { cluster_cleanup; }

atf_test_case a_killed_mount_is_replaced cleanup
a_killed_mount_is_replaced_head() { needs; }
a_killed_mount_is_replaced_body() {
    cluster_up
    mkdir second
    howdah-mount "$(fs_uri)" second || atf_fail "mount"
    echo kept >second/kept
    kill -9 "$(pgrep -f "howdah-mount $(fs_uri) second")"
    until_true 5 sh -c '! ls second'
    howdah-mount "$(fs_uri)" second -o ro || atf_fail "mount over a dead mount"
    same "$(cat second/kept)" kept
    ! touch second/x 2>/dev/null || atf_fail "wrote to a read-only mount"
    umount second
}
a_killed_mount_is_replaced_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

atf_test_case sigterm_completes_what_is_being_written cleanup
sigterm_completes_what_is_being_written_head() { needs; }
sigterm_completes_what_is_being_written_body() {
    cluster_up
    mkdir second
    howdah-mount "$(fs_uri)" second || atf_fail "mount"
    pid=$(pgrep -f "howdah-mount $(fs_uri) second")
    exec 9>second/open
    echo written >&9
    kill "$pid"
    until_true 10 sh -c "! mountpoint -q second"
    until_true 10 sh -c "[ ! -e /proc/$pid ] || grep -q 'State:.Z' /proc/$pid/status"
    exec 9>&-
    same "$(cat "$M/open")" written
    echo more >>"$M/open" || atf_fail "its lease was not given up"
}
sigterm_completes_what_is_being_written_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

atf_test_case without_meta_calls_wait_and_then_fail cleanup
without_meta_calls_wait_and_then_fail_head() { needs; }
without_meta_calls_wait_and_then_fail_body() {
    cluster_up
    mkdir second
    howdah-mount "$(fs_uri)" second -o retry_s=2 || atf_fail "mount"
    echo kept >"$M/kept"
    kill -9 "$(pid_of meta)"
    atf_check -s exit:1 -o empty -e match:'Input/output error' cat second/kept
    cat "$M/kept" >waited &
    reader=$!
    howdah up --dir "$D" || atf_fail "up"
    wait $reader || atf_fail "a call did not wait for meta"
    same "$(cat waited second/kept)" "kept
kept"
}
without_meta_calls_wait_and_then_fail_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

atf_test_case an_ordinary_user_mounts cleanup
an_ordinary_user_mounts_head() {
    atf_set require.user root
    atf_set require.progs "jq python3 su unshare fusermount3"
}
an_ordinary_user_mounts_body() {
    cluster_up
    unshare -m true 2>/dev/null || atf_skip "no mount namespaces here"
    mkdir theirs && chown nobody theirs
    mkdir -m 1777 "$M/tmp"
    uri=$(fs_uri)
    # Debian's /dev/fuse is open to all; where it is not, a node of our own stands in for it.
    unshare -m sh -ec "
        mknod $PWD/fuse c 10 229 && chmod 666 $PWD/fuse && mount --bind $PWD/fuse /dev/fuse
        su -s /bin/sh nobody -c '
            PATH=$PATH
            howdah-mount $uri $PWD/theirs || exit 1
            echo hello >theirs/tmp/mine && cat theirs/tmp/mine || exit 2
            touch theirs/not-mine 2>/dev/null && exit 3
            fusermount3 -u $PWD/theirs || exit 4'" >out || atf_fail "as nobody: exit $?"
    same "$(cat out)" hello
    same "$(stat -c %U "$M/tmp/mine")" nobody
}
an_ordinary_user_mounts_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case random_operations_agree_with_a_local_disk
    atf_add_test_case open_files_behave
    atf_add_test_case a_killed_mount_is_replaced
    atf_add_test_case sigterm_completes_what_is_being_written
    atf_add_test_case without_meta_calls_wait_and_then_fail
    atf_add_test_case an_ordinary_user_mounts
}
