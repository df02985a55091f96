#!/usr/bin/env atf-sh
# Replicas that rot, vanish or die with their disk are found, told and made anew.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 200
}

first_block() { howdah fsck "$1" -files -blocks | grep -o 'blk_[0-9]*' | head -n 1; }

replica_of() { # NODE BLOCK: path of its data file
    find "$D/$1" -name "$2" | head -n 1
}

sound_copies() { # BLOCK BYTES: how many replicas, with equal content of that size
    find "$D" -name "$1" -size "$2"c -exec sha256sum {} + | awk '{ n[$1]++ } END { for (s in n) print n[s] }'
}

all_sound() { # three equal replicas of each file of $M/d
    for i in $(seq 1 7); do
        [ "$(sound_copies "$(cat "block.$i")" 300000)" = 3 ] || return 1
    done
}

flip() { # FILE OFFSET
    printf ROT | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

seven_files() {
    mkdir "$M/d"
    for i in $(seq 1 7); do
        head -c 300000 /dev/urandom >"$M/d/$i" || atf_fail "write $i"
        first_block "/d/$i" >"block.$i"
    done
    (cd "$M/d" && sha256sum -- *) >sums
    until_true 20 healthy
}

check_files() {
    rm -rf got
    howdah fs -get /d got || atf_fail "get"
    (cd got && sha256sum -c ../sums) >check || atf_fail "content: $(grep -v OK check)"
}

atf_test_case every_kind_of_damage_is_mended cleanup
every_kind_of_damage_is_mended_head() { needs; }
every_kind_of_damage_is_mended_body() {
    cluster_up
    seven_files
    for i in $(seq 1 7); do
        f=$(replica_of data-1 "$(cat "block.$i")")
        [ -n "$f" ] || atf_fail "data-1 has no replica of file $i"
        case $i in
        1) flip "$f" 200000 ;;
        2) flip "$f"_*.meta 20 ;;
        3) flip "$f"_*.meta 0 ;;
        4) truncate -s 100000 "$f" ;;
        5) rm "$f" ;;
        6) rm "$f"_*.meta ;;
        7) truncate -s 3 "$f"_*.meta ;;
        esac
    done
    atf_check -o save:table howdah admin scan
    cat table
    # Readers may have been there before the scan, so it counts what it found itself.
    same "$(awk '$1 == "data-2" { print $3 + $4 }' table)" 0 "bad on data-2"
    until_true 60 all_sound
    until_true 30 healthy
    check_files
    atf_check -o save:json howdah admin scan data-1 --json
    jq -e '.nodes | length == 1 and .[0].name == "data-1" and .[0].checked >= 7 and
        .[0].bad == 0 and .[0].lost == 0 and .[0].last_scan_ms > 0' json || atf_fail "$(cat json)"
    atf_check -s exit:1 -e match:'no live data node' howdah admin scan data-9
    grep -q 'replica is bad' "$D/log/data-1.log" || atf_fail "no word in the log"
}
every_kind_of_damage_is_mended_cleanup() { cluster_cleanup; }

atf_test_case what_a_reader_finds_is_mended_at_once cleanup
what_a_reader_finds_is_mended_at_once_head() { needs; }
what_a_reader_finds_is_mended_at_once_body() {
    cluster_up
    seven_files
    f=$(replica_of data-1 "$(cat block.1)")
    g=$(replica_of data-2 "$(cat block.2)")
    h=$(replica_of data-3 "$(cat block.3)")
    flip "$f" 200000
    truncate -s 10 "$g"_*.meta
    rm "$h"
    # Every node is asked, whichever the client likes best.
    for i in 1 2 3 4 5 6 7 8; do
        check_files
        rm -rf got
        howdah fs -D dfs.client.read.shortcircuit=false -get /d got || atf_fail "remote get"
        (cd got && sha256sum -c ../sums) >check || atf_fail "content: $(grep -v OK check)"
        grep -qs 'replica is bad\|replica is gone' "$D"/log/data-[123].log && break
    done
    howdah admin scan >/dev/null || atf_fail "scan"
    until_true 10 all_sound
    until_true 30 healthy
}
what_a_reader_finds_is_mended_at_once_cleanup() { cluster_cleanup; }

atf_test_case a_node_that_is_silent_fails_the_scan cleanup
a_node_that_is_silent_fails_the_scan_head() { needs; }
a_node_that_is_silent_fails_the_scan_body() {
    cluster_up
    seven_files
    kill -STOP "$(pid_of data-3)"
    atf_check -s exit:1 -o match:'data-1 +[0-9]+ +0 +0' -e ignore timeout 100 howdah admin scan
    kill -CONT "$(pid_of data-3)"
    until_true 30 healthy
    atf_check -o match:'data-3 +[0-9]+ +0 +0' -e ignore howdah admin scan
}
a_node_that_is_silent_fails_the_scan_cleanup() {
    cluster_env
    [ -e "$D/run/data-3.pid" ] && kill -CONT "$(cat "$D/run/data-3.pid")" 2>/dev/null
    cluster_cleanup
}

# Writes, appends, truncates and deletes for some seconds.
busy() { # SECONDS
    python3 - "$M" "$1" <<'PY'
import os, random, sys, threading, time
mount, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
def work(k):
    r = random.Random(k)
    while time.monotonic() < end:
        name = f"{mount}/busy-{k}-{r.randrange(6)}"
        what = r.randrange(5)
        try:
            if what == 0:
                open(name, "wb").write(os.urandom(r.randrange(1, 400000)))
            elif what == 1:
                with open(name, "ab") as f:
                    f.write(os.urandom(r.randrange(1, 5000)))
                    f.flush()
                    os.fsync(f.fileno())
            elif what == 2:
                os.truncate(name, r.randrange(1, 300000))
            elif what == 3 and r.randrange(3) == 0:
                os.unlink(name)
            else:
                open(name, "rb").read()
        except FileNotFoundError:
            pass
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
PY
}

atf_test_case scans_of_a_busy_node_accuse_nobody cleanup
scans_of_a_busy_node_accuse_nobody_head() { needs; }
scans_of_a_busy_node_accuse_nobody_body() {
    cluster_up
    seven_files
    busy 12 2>busy.err &
    p=$!
    n=0
    while kill -0 $p 2>/dev/null; do
        howdah admin scan --json >json || atf_fail "scan"
        jq -e '[.nodes[] | .bad + .lost] | add == 0' json >/dev/null || atf_fail "$(cat json; grep 'replica is' "$D"/log/data-*.log)"
        n=$((n + 1))
    done
    wait $p || atf_fail "the writers: $(tail -n 3 busy.err)"
    [ $n -gt 5 ] || atf_fail "only $n scans"
    ! grep 'replica is bad\|replica is gone' "$D"/log/data-*.log || atf_fail "accused"
    until_true 60 healthy
    check_files
}
scans_of_a_busy_node_accuse_nobody_cleanup() { cluster_cleanup; }

set_key() { # SECTION KEY VALUE
    sed -i "/^\\[$1\\]/,/^\\[/{/^$2 *=/d}; s|^\\[$1\\]|[$1]\\n$2 = $3|" "$HOWDAH_CONF"
}

# What a disk does that dies: the file system is shut down under the node (EXT4_IOC_SHUTDOWN).
dies() {
    python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 1))' "$1"
}

atf_test_case a_dead_disk_costs_its_own_replicas_only cleanup
a_dead_disk_costs_its_own_replicas_only_head() {
    atf_set require.user root
    atf_set require.progs "jq python3 mkfs.ext4 losetup"
    atf_set timeout 200
}
a_dead_disk_costs_its_own_replicas_only_body() {
    cluster_up
    howdah down --dir "$D"
    for n in 1 2; do
        truncate -s 600M disk$n.img
        mkfs.ext4 -q disk$n.img && mkdir "$D/disk$n" || atf_fail "mkfs"
        mount -o loop disk$n.img "$D/disk$n" 2>/dev/null || atf_skip "no loop devices here"
    done
    rm -rf "$D/data-1"
    set_key data-1 dir "$D/disk1/d,$D/disk2/d"
    set_key data-1 failed_volumes_tolerated 1
    howdah up --dir "$D" --mount "$M" || atf_fail "up"
    until_true 20 healthy
    seven_files
    pid=$(pid_of data-1)
    for n in 1 2; do
        find "$D/disk$n/d" -name 'blk_*' | grep -q . || atf_fail "disk $n has no replica"
    done
    dies "$D/disk1" || atf_skip "this file system cannot be shut down"
    t0=$(date +%s)
    until_true 15 grep -q 'data directory failed' "$D/log/data-1.log"
    took=$(($(date +%s) - t0))
    [ $took -le 60 ] || atf_fail "noticed after $took s"
    until_true 60 healthy
    same "$(pid_of data-1)" "$pid" "the node"
    alive "$pid" || atf_fail "the node is gone"
    # Three replicas of each, one of them on what data-1 has left.
    for i in $(seq 1 7); do
        b=$(cat "block.$i")
        n=$(find "$D/disk2" "$D/data-2" "$D/data-3" -name "$b" -size 300000c | wc -l)
        same "$n" 3 "replicas of file $i"
    done
    check_files
    howdah admin scan || atf_fail "scan"
}
a_dead_disk_costs_its_own_replicas_only_cleanup() {
    cluster_cleanup
    umount -l "$D/disk1" "$D/disk2" 2>/dev/null
    return 0
}

start_data() { # NAME
    howdah-data --conf "$HOWDAH_CONF" --name "$1" >"$1.out" 2>&1 &
    echo $! >"$1.pid2"
}

atf_test_case addresses_tell_nodes_apart_and_clones_are_refused cleanup
addresses_tell_nodes_apart_and_clones_are_refused_head() { needs; }
addresses_tell_nodes_apart_and_clones_are_refused_body() {
    cluster_up
    seven_files
    live() { howdah admin report --json | jq '[.nodes[] | select(.state == "live")] | length'; }
    # Two more with the same port on addresses of their own.
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.2", 0)); print(s.getsockname()[1])')
    for n in 2 3; do
        cat >>"$HOWDAH_CONF" <<CONF

[data-1$n]
address = 127.0.0.$n:$port
ipc_address = 127.0.0.$n:0
http_address = 127.0.0.$n:0
socket_path = $D/run/data-1$n.sock
dir = $D/data-1$n
CONF
        start_data data-1$n
    done
    until_true 10 sh -c "howdah admin report --json | jq -e '[.nodes[] | select(.state == \"live\")] | length == 5'"
    sleep 2
    same "$(live)" 5 "live nodes"
    howdah admin report --json | jq -e --arg a "127.0.0.3:$port" '.nodes[] | select(.address == $a)' ||
        atf_fail "no node at 127.0.0.3"
    # A copy of data-2's directory elsewhere is not data-2.
    cp -a "$D/data-2" "$D/data-14" && rm -f "$D/data-14/in_use.lock"
    cat >>"$HOWDAH_CONF" <<CONF

[data-14]
address = 127.0.0.4:$port
ipc_address = 127.0.0.4:0
http_address = 127.0.0.4:0
socket_path = $D/run/data-14.sock
dir = $D/data-14
CONF
    start_data data-14
    until_true 10 grep -q 'has a copy of its' data-14.out
    until_true 10 sh -c "! kill -0 $(cat data-14.pid2) 2>/dev/null"
    same "$(live)" 5 "live nodes beside a clone"
    same "$(state_of data-2)" up "the original"
    check_files
}
addresses_tell_nodes_apart_and_clones_are_refused_cleanup() {
    for f in data-1?.pid2; do [ -e "$f" ] && kill "$(cat "$f")" 2>/dev/null; done
    cluster_cleanup
}

atf_test_case a_wiped_node_joins_as_new cleanup
a_wiped_node_joins_as_new_head() { needs; }
a_wiped_node_joins_as_new_body() {
    cluster_up
    seven_files
    p=$(pid_of data-2)
    kill -9 "$p"
    until_true 10 sh -c "! kill -0 $p 2>/dev/null"
    rm -rf "$D/data-2"
    howdah up --dir "$D" --mount "$M" || atf_fail "up"
    until_true 60 healthy
    until_true 60 all_sound
    check_files
}
a_wiped_node_joins_as_new_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case every_kind_of_damage_is_mended
    atf_add_test_case what_a_reader_finds_is_mended_at_once
    atf_add_test_case scans_of_a_busy_node_accuse_nobody
    atf_add_test_case a_node_that_is_silent_fails_the_scan
    atf_add_test_case a_dead_disk_costs_its_own_replicas_only
    atf_add_test_case addresses_tell_nodes_apart_and_clones_are_refused
    atf_add_test_case a_wiped_node_joins_as_new
}
