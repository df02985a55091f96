#!/usr/bin/env atf-sh
# A whole cluster on one machine: up, status, down.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case up_and_down cleanup
up_and_down_head() {
    atf_set require.user root
    atf_set require.progs jq
}
up_and_down_body() {
    cluster_up
    mountpoint -q "$M" || atf_fail "not mounted"
    healthy || atf_fail "not healthy: $(status)"
    same "$(status | jq -r '[.daemons[].role] | sort | unique | join(" ")')" "agent data manager meta mount secondary"
    same "$(status | jq '[.daemons[] | select(.role == "data")] | length')" 3
    for f in howdah.conf hadoop-conf/core-site.xml hadoop-conf/hdfs-site.xml run/meta.pid log/data-1.log meta secondary data-3; do
        [ -e "$D/$f" ] || atf_fail "$f is missing"
    done
    pids=$(status | jq -r '.daemons[].pid')
    howdah up --dir "$D" || atf_fail "up again"
    same "$(status | jq -r '.daemons[].pid')" "$pids" "pids after a second up"
    howdah down --dir "$D" || atf_fail "down"
    ! mountpoint -q "$M" || atf_fail "still mounted"
    for pid in $pids; do
        ! alive "$pid" || atf_fail "pid $pid is still there"
    done
    howdah down --dir "$D" || atf_fail "down again"
    same "$(status | jq -r '[.daemons[].state] | unique | join(" ")')" stopped
}
up_and_down_cleanup() { cluster_cleanup; }

atf_test_case up_brings_back_what_was_killed cleanup
up_brings_back_what_was_killed_head() {
    atf_set require.user root
    atf_set require.progs jq
}
up_brings_back_what_was_killed_body() {
    cluster_up
    for name in meta secondary data-2 manager agent-1; do
        kill -9 "$(pid_of "$name")"
    done
    sleep 0.5
    same "$(state_of manager)" stopped
    howdah up --dir "$D" || atf_fail "up"
    until_true 30 healthy
}
up_brings_back_what_was_killed_cleanup() { cluster_cleanup; }

atf_test_case down_leaves_another_clusters_mount cleanup
down_leaves_another_clusters_mount_head() {
    atf_set require.user root
    atf_set require.progs jq
}
down_leaves_another_clusters_mount_body() {
    cluster_up
    howdah up --dir "$PWD/b" --nodes 1 && howdah down --dir "$PWD/b" || atf_fail "second cluster"
    port=$(fs_uri | sed 's/.*:\([0-9]*\).*/\1/')
    old=$(sed -n 's/^uri = .*:\([0-9]*\).*/\1/p' b/howdah.conf)
    sed -i "s/:$old\b/:$port/" b/howdah.conf
    kill -9 "$(pid_of meta)"
    sleep 0.3
    howdah up --dir "$PWD/b" || atf_fail "the second cluster at the first one's address"
    howdah down --dir "$D"
    mountpoint -q b/mnt || atf_fail "the other cluster's mount is gone"
}
down_leaves_another_clusters_mount_cleanup() {
    howdah down --dir "$PWD/b" >/dev/null 2>&1
    cluster_cleanup
}

atf_test_case down_waits_for_no_meta_that_is_gone cleanup
down_waits_for_no_meta_that_is_gone_head() {
    atf_set require.user root
    atf_set require.progs jq
}
down_waits_for_no_meta_that_is_gone_body() {
    cluster_up
    for how in KILL STOP; do
        howdah up --dir "$D" || atf_fail "up"
        pids=$(status | jq -r '.daemons[].pid')
        echo begun >"$M/closed" || atf_fail "write"
        sleep 30 >"$M/open" & # in use, with a writer to be finished
        holder=$!
        kill "-$how" "$(pid_of meta)" "$(pid_of secondary)"
        (echo more >"$M/new") 2>/dev/null & # a call under way
        sleep 0.5
        begin=$(date +%s)
        howdah down --dir "$D" || atf_fail "down"
        took=$(($(date +%s) - begin))
        kill "$holder"
        [ "$took" -le 30 ] || atf_fail "down took $took s after SIG$how"
        ! mountpoint -q "$M" || atf_fail "still mounted"
        for pid in $pids; do
            ! alive "$pid" || atf_fail "pid $pid is still there"
        done
    done
}
down_waits_for_no_meta_that_is_gone_cleanup() { cluster_cleanup; }

atf_test_case commands_say_where_they_looked
commands_say_where_they_looked_body() {
    unset HOWDAH_CONF
    HOME=$PWD atf_check -s not-exit:0 -e match:'no cluster' howdah fs -ls /
    atf_check -s exit:0 -o match:'up' howdah --help
    atf_check -s exit:64 -e not-empty howdah nosuchcommand
}

atf_init_test_cases() {
    atf_add_test_case up_and_down
    atf_add_test_case up_brings_back_what_was_killed
    atf_add_test_case down_leaves_another_clusters_mount
    atf_add_test_case down_waits_for_no_meta_that_is_gone
    atf_add_test_case commands_say_where_they_looked
}
