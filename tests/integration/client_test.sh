#!/usr/bin/env atf-sh
# The client library against real daemons: random operations compared with a shadow, while daemons
# are killed and paused, and replicas spoiled.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

fsx() { timeout 120 support-fsx-client -b 1048576 "$(fs_uri)" "$@" || atf_fail "fsx_client $*"; }

# Two writers with a shadow, one that flushes line by line and checks that readers see each.
start_load() {
    (fsx fsx /fsx1 300 1) &
    load1=$!
    (fsx fsx /fsx2 300 2) &
    load2=$!
    (fsx flush /flush 8) &
    load3=$!
}

end_load() {
    wait $load1 && wait $load2 || atf_fail "bytes differ or a call failed"
    wait $load3 || atf_fail "a flushed line was not there"
}

atf_test_case random_operations_agree_with_a_shadow cleanup
random_operations_agree_with_a_shadow_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
random_operations_agree_with_a_shadow_body() {
    cluster_up
    for seed in 1 2 3; do
        fsx fsx /f$seed 300 $seed
    done
    timeout 60 support-fsx-client -x -S "$D/run/data_PORT.sock" -b 1048576 "$(fs_uri)" fsx /g 300 4 ||
        atf_fail "with local descriptors, relaxed"
}
random_operations_agree_with_a_shadow_cleanup() { cluster_cleanup; }

atf_test_case a_killed_data_node_is_not_noticed cleanup
a_killed_data_node_is_not_noticed_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_killed_data_node_is_not_noticed_body() {
    cluster_up
    start_load
    sleep 1
    kill -9 "$(pid_of data-2)"
    end_load
}
a_killed_data_node_is_not_noticed_cleanup() { cluster_cleanup; }

atf_test_case a_paused_data_node_delays_by_seconds cleanup
a_paused_data_node_delays_by_seconds_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_paused_data_node_delays_by_seconds_body() {
    cluster_up
    fsx fill /big 200000000
    start_load
    sleep 1
    p=$(pid_of data-1)
    kill -STOP "$p"
    start=$(date +%s)
    timeout 60 support-fsx-client "$(fs_uri)" cat /big || atf_fail "read beside a paused node"
    took=$(($(date +%s) - start))
    end_load
    kill -CONT "$p"
    [ $took -le 60 ] || atf_fail "a read of 200 MB took $took s"
}
a_paused_data_node_delays_by_seconds_cleanup() { cluster_cleanup; }

atf_test_case a_killed_meta_is_waited_for cleanup
a_killed_meta_is_waited_for_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_killed_meta_is_waited_for_body() {
    cluster_up
    start_load
    sleep 1
    kill -9 "$(pid_of meta)"
    howdah up --dir "$D" --nodes 3 --mount "$M" || atf_fail "up again"
    end_load
}
a_killed_meta_is_waited_for_cleanup() { cluster_cleanup; }

atf_test_case spoiled_replicas_are_never_read cleanup
spoiled_replicas_are_never_read_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
spoiled_replicas_are_never_read_body() {
    cluster_up
    head -c 3000000 /dev/urandom >bytes
    fsx put bytes /f
    block=$(timeout 20 support-fsx-client "$(fs_uri)" locate /f | awk 'NR == 2 {print $1}')
    for n in 1 2; do # one of three copies stays good
        file=$(find "$D/data-$n" -name "${block%_*}")
        [ -n "$file" ] || atf_fail "data-$n has no ${block%_*}"
        printf '\377\376\375' | dd of="$file" bs=1 seek=100000 conv=notrunc status=none
    done
    fsx get /f got
    cmp bytes got || atf_fail "over the network"
    timeout 60 support-fsx-client -S "$D/run/data_PORT.sock" "$(fs_uri)" get /f got2
    cmp bytes got2 || atf_fail "by descriptor"
}
spoiled_replicas_are_never_read_cleanup() { cluster_cleanup; }

atf_test_case a_hanging_node_delays_a_call_by_little cleanup
a_hanging_node_delays_a_call_by_little_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_hanging_node_delays_a_call_by_little_body() {
    cluster_up
    uri=$(fs_uri)
    head -c 20000000 /dev/urandom >bytes
    fsx put bytes /read
    longest() { sed -n 's/.*longest_ms \([0-9]*\).*/\1/p' "$1"; }
    for n in 1 2 3; do # whichever of them is asked first
        bench-stall-bench -u "$uri" read /read 4 >read.$n &
        r=$!
        bench-stall-bench -u "$uri" write /write 4 >write.$n &
        w=$!
        sleep 1
        p=$(pid_of data-$n)
        kill -STOP "$p"
        wait $r || atf_fail "reading: $(cat read.$n)"
        wait $w || atf_fail "writing: $(cat write.$n)"
        kill -CONT "$p"
        [ "$(longest read.$n)" -lt 30000 ] || atf_fail "reading: $(cat read.$n)"
        [ "$(longest write.$n)" -lt 30000 ] || atf_fail "writing: $(cat write.$n)"
        until_true 40 healthy
    done
}
a_hanging_node_delays_a_call_by_little_cleanup() { cluster_cleanup; }

atf_test_case calls_go_on_soon_after_meta_is_back cleanup
calls_go_on_soon_after_meta_is_back_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
calls_go_on_soon_after_meta_is_back_body() {
    cluster_up
    mkdir "$M/names"
    bench-stall-bench names "$M/names" 7 >names &
    b=$!
    sleep 1
    kill -9 "$(pid_of meta)"
    sleep 2
    howdah up --dir "$D" --mount "$M" || atf_fail "up again"
    wait $b || atf_fail "a call failed: $(cat names)"
    ms=$(sed -n 's/.*longest_ms \([0-9]*\).*/\1/p' names)
    [ "$ms" -lt 30000 ] || atf_fail "away for 2 s, and a call took $ms ms"
}
calls_go_on_soon_after_meta_is_back_cleanup() { cluster_cleanup; }

atf_test_case a_promoted_secondary_is_followed cleanup
a_promoted_secondary_is_followed_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_promoted_secondary_is_followed_body() {
    cluster_up
    echo before >"$M/before"
    sync "$M/before"
    mkdir "$M/names"
    sync "$M/names"
    p=$(pid_of meta)
    bench-stall-bench names "$M/names" 9 >names 2>names.err &
    b=$!
    sleep 1
    kill -STOP "$p"
    howdah admin promote --yes || atf_fail "promote"
    echo after >"$M/after"
    sync "$M/after"
    kill -CONT "$p"
    wait $b # what was not synced may have got lost: a name that is gone is no error of the client
    ms=$(sed -n 's/.*longest_ms \([0-9]*\).*/\1/p' names)
    [ "$ms" -lt 30000 ] || atf_fail "a call took $ms ms: $(cat names names.err)"
    same "$(cat "$M/before")" before
    same "$(cat "$M/after")" after
    same "$(howdah fs -cat /after)" after "by the shell"
}
a_promoted_secondary_is_followed_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case a_hanging_node_delays_a_call_by_little
    atf_add_test_case calls_go_on_soon_after_meta_is_back
    atf_add_test_case a_promoted_secondary_is_followed
    atf_add_test_case random_operations_agree_with_a_shadow
    atf_add_test_case a_killed_data_node_is_not_noticed
    atf_add_test_case a_paused_data_node_delays_by_seconds
    atf_add_test_case a_killed_meta_is_waited_for
    atf_add_test_case spoiled_replicas_are_never_read
}
