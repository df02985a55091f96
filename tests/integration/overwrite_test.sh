#!/usr/bin/env atf-sh
# Files of a session, changed at any place, against real daemons: compared with a model all the while,
# and once more through a new session; while daemons are killed and paused.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

content() { timeout 170 support-content-client "$@" || atf_fail "content_client $*"; }

one_cluster() {
    cluster_up
    uri=$(fs_uri)
}

# Every finished replica of a block has the same bytes.
replicas_agree() {
    howdah down --dir "$D" >/dev/null 2>&1
    bad=$(find "$D"/data-* -path '*finalized*' -name 'blk_*' ! -name '*.meta' -exec sha256sum {} + |
        sed 's|\([0-9a-f]*\) .*/\(blk_[0-9]*\)$|\2 \1|' | sort -u | cut -d' ' -f1 | uniq -d)
    [ -z "$bad" ] || atf_fail "replicas differ: $bad"
}

atf_test_case changes_agree_with_a_model cleanup
changes_agree_with_a_model_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
changes_agree_with_a_model_body() {
    one_cluster
    for seed in 1 2 3; do
        content "$uri" fsx /f$seed 300 $seed
    done
    content -S "$D/run/data_PORT.sock" "$uri" fsx /local 300 4
    content -m 20000 "$uri" fsx /small 2000 5
    content -b 134217728 "$uri" fsx /one-block 300 6
    sleep 2 # what was left behind on a node goes
    replicas_agree
}
changes_agree_with_a_model_cleanup() { cluster_cleanup; }

atf_test_case threads_change_one_file cleanup
threads_change_one_file_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
threads_change_one_file_body() {
    one_cluster
    content -m 16777216 "$uri" threads /f 4 1
}
threads_change_one_file_cleanup() { cluster_cleanup; }

atf_test_case a_killed_data_node_loses_nothing cleanup
a_killed_data_node_loses_nothing_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_killed_data_node_loses_nothing_body() {
    one_cluster
    (content -m 16777216 "$uri" threads /threads 6 1) &
    load1=$!
    (content "$uri" fsx /fsx 1200 2) &
    load2=$!
    sleep 2
    kill -9 "$(pid_of data-2)"
    wait $load1 && wait $load2 || atf_fail "bytes differ or a call failed"
}
a_killed_data_node_loses_nothing_cleanup() { cluster_cleanup; }

atf_test_case a_paused_data_node_delays_by_seconds cleanup
a_paused_data_node_delays_by_seconds_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_paused_data_node_delays_by_seconds_body() {
    one_cluster
    (content -m 16777216 "$uri" threads /threads 9 1) &
    load1=$!
    (content "$uri" fsx /fsx 1200 2 2>slow) &
    load2=$!
    sleep 2
    node=$(pid_of data-2)
    kill -STOP "$node"
    sleep 5
    kill -CONT "$node"
    wait $load1 && wait $load2 || atf_fail "bytes differ or a call failed"
    cat slow
    worst=$(sed -n 's/.*the slowest took \([0-9]*\) ms/\1/p' slow)
    [ "$worst" -lt 10000 ] || atf_fail "a call took $worst ms"
}
a_paused_data_node_delays_by_seconds_cleanup() { cluster_cleanup; }

atf_test_case meta_comes_back_meanwhile cleanup
meta_comes_back_meanwhile_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
meta_comes_back_meanwhile_body() {
    one_cluster
    (content "$uri" fsx /fsx 1200 2) &
    load=$!
    sleep 2
    kill -9 "$(pid_of meta)"
    howdah up --dir "$D" || atf_fail "howdah up"
    wait $load || atf_fail "bytes differ or a call failed"
}
meta_comes_back_meanwhile_cleanup() { cluster_cleanup; }

atf_test_case a_dead_writer_leaves_what_it_flushed cleanup
a_dead_writer_leaves_what_it_flushed_head() {
    atf_set require.user root
    atf_set require.progs "jq"
}
a_dead_writer_leaves_what_it_flushed_body() {
    one_cluster
    content "$uri" crash /f 6 1
}
a_dead_writer_leaves_what_it_flushed_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case changes_agree_with_a_model
    atf_add_test_case threads_change_one_file
    atf_add_test_case a_killed_data_node_loses_nothing
    atf_add_test_case a_paused_data_node_delays_by_seconds
    atf_add_test_case meta_comes_back_meanwhile
    atf_add_test_case a_dead_writer_leaves_what_it_flushed
}
