#!/usr/bin/env atf-sh
# Metadata directories of a real meta: several of them, one that goes away, a full disk, and what
# `howdah admin edits` and `image` say of all that.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq"
    atf_set timeout 120
}

up_again() { howdah up --dir "$D" || atf_fail "up again: $(tail -n 20 "$D/log/meta.log")"; }
kill_meta() { kill -9 "$(cat "$D/run/meta.pid")"; }
meta_dirs() { # LIST: of [meta], from the next start on
    sed -i "/^\[meta\]/,/^\[/s|^dir = .*|dir = $1|" "$D/howdah.conf"
}
names() { howdah fs -ls -R / | awk '{ print $NF }' | sort; }

atf_test_case either_directory_is_enough cleanup
either_directory_is_enough_head() { needs; }
either_directory_is_enough_body() {
    cluster_up
    meta_dirs "$D/meta, $D/second"
    howdah fs -mkdir -p /a/b
    kill_meta
    up_again
    howdah fs -mkdir /a/c
    howdah admin checkpoint
    howdah fs -mkdir /a/d
    names >before
    howdah down --dir "$D"
    for x in meta second; do
        howdah admin edits verify "$D/$x" && howdah admin image verify "$D/$x" || atf_fail "$x"
    done

    # The second one is taken away while meta runs: it goes on, and says so.
    up_again
    mv "$D/second" "$D/gone"
    howdah admin checkpoint # begins a new segment, which has no place there
    howdah fs -mkdir /a/e
    names >before
    until_true 10 sh -c "howdah status --dir $D --json | jq -e '.failed_dirs == [\"$D/second\"]'"
    kill_meta
    mv "$D/gone" "$D/second"
    up_again
    until_true 10 healthy
    names | cmp - before || atf_fail "with an old second directory"
    same "$(status | jq -c .failed_dirs)" "[]" "failed directories"
    ls "$D/second/aside" || atf_fail "what the second directory had is gone"

    # Now the first one is lost, whole. The other does not start before it is told to.
    howdah down --dir "$D"
    rm -rf "$D/meta"
    if timeout 60 howdah up --dir "$D" >out 2>&1; then atf_fail "started without the first"; fi
    grep -q "howdah admin edits accept $D/second" "$D/log/meta.log" || atf_fail "$(tail -n 5 "$D/log/meta.log")"
    howdah admin edits accept "$D/second" || atf_fail accept
    up_again
    names | cmp - before || atf_fail "from the second directory alone"
    ls "$D/meta"/image_* || atf_fail "the first was not filled"
}
either_directory_is_enough_cleanup() { cluster_cleanup; }

refused() { # changes are, and why is said
    ! howdah fs -mkdir "/during-$(date +%N)" 2>err && grep -q "metadata disk is full" err
}

atf_test_case a_full_disk_stops_changes_and_nothing_else cleanup
a_full_disk_stops_changes_and_nothing_else_head() { needs; }
a_full_disk_stops_changes_and_nothing_else_body() {
    cluster_env
    mkdir small
    mount -t tmpfs -o size=96m small small || atf_skip "no tmpfs"
    cluster_up
    howdah down --dir "$D"
    mv "$D/meta" small/meta
    meta_dirs "$PWD/small/meta"
    sed -i '/^\[meta\]/a reserved = 32m' "$D/howdah.conf"
    up_again
    until_true 10 healthy
    howdah fs -mkdir /before
    dd if=/dev/zero of=small/filler bs=1M count=65 status=none
    until_true 10 refused
    refused || atf_fail "a change went through: $(cat err)"
    howdah fs -ls / | grep -q before || atf_fail "reads"
    rm small/filler
    until_true 10 howdah fs -mkdir /after
    kill_meta
    up_again
    until_true 10 healthy
    howdah fs -test -d /after || atf_fail "after"
}
a_full_disk_stops_changes_and_nothing_else_cleanup() {
    cluster_cleanup
    umount -l small 2>/dev/null
    return 0
}

atf_test_case damage_is_told_by_file_and_offset cleanup
damage_is_told_by_file_and_offset_head() { needs; }
damage_is_told_by_file_and_offset_body() {
    cluster_up
    for i in $(seq 20); do howdah fs -mkdir /d$i; done
    howdah admin edits verify || atf_fail "while meta runs"
    same "$(howdah admin edits dump | grep -c make_directory)" 20 "records"
    howdah admin edits dump --json | jq -se 'any(.make_directory.inode.name == "d7")' || atf_fail "dump --json"
    howdah admin checkpoint
    howdah admin image verify || atf_fail "image verify"
    same "$(howdah admin image stats --json | jq .directories)" 21 "directories"
    howdah admin image dump --json | jq -se 'any(.name == "d7" and .key == "inode")' || atf_fail "image dump"
    howdah down --dir "$D"
    cp -a "$D/meta" copy
    e=$(find copy -name 'edits_0*' | sort | head -1)
    printf 'X' | dd of="$e" bs=1 seek=700 conv=notrunc status=none
    howdah admin edits verify copy >out && atf_fail "damage unseen"
    grep -q "DAMAGED.*offset" out || atf_fail "$(cat out)"
    howdah admin edits verify --json "$e" | jq -e '.good == false and (.segments[0].ranges | length) == 3' || atf_fail "ranges"
    i=$(find copy -name 'image_*' ! -name '*.sha256' | head -1)
    printf 'X' | dd of="$i" bs=1 seek=300 conv=notrunc status=none
    howdah admin image verify copy >out && atf_fail "damaged image unseen"
    grep -q "DAMAGED.*offset" out || atf_fail "$(cat out)"
}
damage_is_told_by_file_and_offset_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case either_directory_is_enough
    atf_add_test_case a_full_disk_stops_changes_and_nothing_else
    atf_add_test_case damage_is_told_by_file_and_offset
}
