#!/usr/bin/env atf-sh
# Disks that fail and fill, nodes that hang, peers that talk nonsense.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 200
}

# A cluster made, stopped, its configuration changed by a command, and started.
cluster_changed() { # COMMAND
    cluster_up
    howdah down --dir "$D" || atf_fail "down"
    eval "$1" || atf_fail "configuration"
    howdah up --dir "$D" --mount "$M" || {
        tail -n 20 "$D"/log/*.log
        atf_fail "up"
    }
}

set_key() { # SECTION KEY VALUE
    sed -i "/^\\[$1\\]/,/^\\[/{/^$2 *=/d}; s|^\\[$1\\]|[$1]\\n$2 = $3|" "$HOWDAH_CONF"
}

atf_test_case a_disk_of_two_is_lost cleanup
a_disk_of_two_is_lost_head() { needs; }
a_disk_of_two_is_lost_body() {
    cluster_changed 'set_key data-1 dir "$D/data-1,$D/disk-2" && set_key data-1 failed_volumes_tolerated 1'
    mkdir "$M/d"
    for i in $(seq 40); do
        head -c 300000 /dev/urandom >"$M/d/$i" || atf_fail "write $i"
    done
    (cd "$M/d" && sha256sum -- *) >sums
    for d in data-1 disk-2; do
        find "$D/$d" -name 'blk_*' | grep -q . || atf_fail "$d has no block"
    done
    pid=$(pid_of data-1)
    rm -rf "$D/disk-2"
    : >"$D/disk-2"
    echo more >"$M/d/more" || atf_fail "write after the loss"
    until_true 20 grep 'data directory failed' "$D/log/data-1.log"
    until_true 60 healthy
    sleep 1
    until_true 60 healthy
    same "$(pid_of data-1)" "$pid" "the node"
    alive "$pid" || atf_fail "the node is gone"
    # All replicas of each block are there, so with the two other nodes down this one has all.
    kill "$(pid_of data-2)" "$(pid_of data-3)"
    until_true 20 sh -c '! pgrep -F "$D/run/data-2.pid" && ! pgrep -F "$D/run/data-3.pid"'
    sync "$M" 2>/dev/null
    echo 3 >/proc/sys/vm/drop_caches
    howdah fs -get /d got || atf_fail "get from the node with one disk"
    (cd got && sha256sum -c ../sums) >check || atf_fail "content: $(grep -v OK check)"
}
a_disk_of_two_is_lost_cleanup() { cluster_cleanup; }

small_disks() { # NODE... gets 64 MiB
    for n in "$@"; do
        mount -t tmpfs -o size=64m tmpfs "$D/$n" || return 1
    done
}

small_disks_cleanup() {
    cluster_cleanup
    for n in 1 2 3; do umount -l "$D/data-$n" 2>/dev/null; done
    return 0
}

atf_test_case one_full_disk_is_the_others_matter cleanup
one_full_disk_is_the_others_matter_head() { needs; }
one_full_disk_is_the_others_matter_body() {
    cluster_changed 'set_key meta replication 2 && set_key meta block_size 16m && small_disks data-1'
    make_text 150000000 text
    cp text "$M/big" || atf_fail "cp of more than one disk holds"
    cmp text "$M/big" || atf_fail "content"
    for i in $(seq 20); do
        head -c 8000000 text >"$M/f$i" || atf_fail "file $i"
    done
    for i in $(seq 20); do
        head -c 8000000 text | cmp - "$M/f$i" || atf_fail "content of file $i"
    done
    until_true 40 healthy
}
one_full_disk_is_the_others_matter_cleanup() { small_disks_cleanup; }

atf_test_case a_full_cluster_says_so_and_loses_nothing cleanup
a_full_cluster_says_so_and_loses_nothing_head() { needs; }
a_full_cluster_says_so_and_loses_nothing_body() {
    cluster_changed 'set_key meta replication 2 && set_key meta block_size 4m && small_disks data-1 data-2 data-3'
    make_text 9000000 text
    start=$(date +%s)
    i=0
    while [ $i -lt 40 ]; do
        cp text "$M/f$i" 2>err || break
        sync "$M/f$i" 2>err || break
        i=$((i + 1))
    done
    cat err
    took=$(($(date +%s) - start))
    [ $i -ge 4 ] || atf_fail "only $i files of 9 MB fit into 96 MiB: $(tail -n 1 err)"
    [ $i -lt 12 ] || atf_fail "$i files of 9 MB fit into 96 MiB"
    grep -q 'No space left' err || atf_fail "the writer was told: $(tail -n 1 err)"
    [ $took -lt 60 ] || atf_fail "it took $took s"
    atf_check -s not-exit:0 -e not-empty timeout 60 howdah fs -put text /refused
    n=0
    while [ $n -lt $i ]; do
        cmp text "$M/f$n" || atf_fail "file $n, which was acknowledged"
        n=$((n + 1))
    done
    rm -f "$M/f0" "$M/f1" "$M/f2" "$M/f$i"
    freed() { cp text "$M/again" && cmp text "$M/again"; }
    until_true 30 freed
}
a_full_cluster_says_so_and_loses_nothing_cleanup() { small_disks_cleanup; }

atf_test_case a_hung_node_is_passed_by cleanup
a_hung_node_is_passed_by_head() { needs; }
a_hung_node_is_passed_by_body() {
    cluster_up
    make_text 300000000 text
    cp text "$M/old" && sync "$M/old"
    echo 3 >/proc/sys/vm/drop_caches
    start=$(date +%s)
    cp text "$M/new" &
    a=$!
    howdah fs -cat /old | cmp - text &
    b=$!
    cmp "$M/old" text &
    c=$!
    sleep 0.3
    p=$(pid_of data-2)
    kill -STOP "$p"
    wait $a && sync "$M/new" || atf_fail "cp"
    wait $b || atf_fail "howdah fs -cat"
    wait $c || atf_fail "the mount's reader"
    took=$(($(date +%s) - start))
    echo "took $took s"
    until_true 20 sh -c "[ \"\$(howdah status --dir $D --json | jq -r '.daemons[] | select(.name == \"data-2\") | .state')\" != up ]"
    kill -CONT "$p"
    [ $took -le 45 ] || atf_fail "it took $took s"
    cmp text "$M/new" || atf_fail "content"
    until_true 60 healthy
}
a_hung_node_is_passed_by_cleanup() {
    cluster_env
    [ -e "$D/run/data-2.pid" ] && kill -CONT "$(cat "$D/run/data-2.pid")" 2>/dev/null
    cluster_cleanup
}

atf_test_case nonsense_harms_nothing cleanup
nonsense_harms_nothing_head() { needs; }
nonsense_harms_nothing_body() {
    cluster_up
    echo kept >"$M/kept"
    pids=$(status | jq -r '.daemons[].pid' | tr '\n' ' ')
    for seed in 1 2; do
        # shellcheck disable=SC2086 # pids are words
        timeout 100 python3 @CMAKE_SOURCE_DIR@/tests/support/nonsense.py $seed "$D"/run/*.sock -- $pids ||
            atf_fail "nonsense"
    done
    until_true 10 healthy
    same "$(status | jq -r '.daemons[].pid' | tr '\n' ' ')" "$pids" "processes"
    same "$(cat "$M/kept")" kept
    echo after >"$M/after" && same "$(howdah fs -cat /after)" after
    for log in "$D"/log/*.log; do
        ! grep -E 'assert|Sanitizer|stack smashing' "$log" || atf_fail "$log"
        [ "$(wc -c <"$log")" -lt 4000000 ] || atf_fail "$log has $(wc -c <"$log") bytes"
    done
}
nonsense_harms_nothing_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case a_disk_of_two_is_lost
    atf_add_test_case one_full_disk_is_the_others_matter
    atf_add_test_case a_full_cluster_says_so_and_loses_nothing
    atf_add_test_case a_hung_node_is_passed_by
    atf_add_test_case nonsense_harms_nothing
}
