#!/usr/bin/env atf-sh
# Writers that die, and Java's client while meta is away.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case a_killed_writers_file_is_taken_over cleanup
a_killed_writers_file_is_taken_over_head() {
    atf_set require.user root
    atf_set require.progs jq
    atf_set timeout 120
}
a_killed_writers_file_is_taken_over_body() {
    cluster_up
    howdah down --dir "$D"
    sed -i 's/^\[meta\]/[meta]\nlease_soft_ms = 2000\nlease_hard_ms = 6000/' "$HOWDAH_CONF"
    howdah up --dir "$D" || atf_fail up
    make_text 200000000 text
    for name in a b; do # slowly, so that it is killed in the middle
        (
            head -c 150000000 text
            exec sleep 60
        ) | howdah fs -put - /$name &
    done
    path_of() { howdah fs -ls / | awk -v n="/$1" 'index($8, n) == 1 {print $8; exit}'; }
    there() { [ -n "$(path_of a)" ] && [ -n "$(path_of b)" ] &&
        [ "$(howdah fsck / -files -openforwrite | grep -c OPENFORWRITE)" -ge 2 ]; }
    until_true 20 there
    sleep 3
    a=$(path_of a) b=$(path_of b)
    pgrep -f 'howdah fs -put - /[ab]' | while read -r p; do
        [ "$(readlink "/proc/$p/exe")" = "@CMAKE_BINARY_DIR@/bin/howdah" ] && tr '\0' '\n' <"/proc/$p/environ" | grep -qx "HOWDAH_CONF=$HOWDAH_CONF" && kill -9 "$p"
    done
    # a: another client wants it, and gets it after the soft limit.
    echo end >end
    took_over() { howdah fs -appendToFile end "$a"; }
    until_true 30 took_over
    howdah fs -cat "$a" >got
    size=$(($(stat -c %s got) - 4))
    [ $size -ge 134217728 ] || atf_fail "$size bytes are left of 150000000"
    head -c $size got | cmp - text -n $size || atf_fail "content"
    same "$(tail -c 4 got)" end
    # b: nobody asks; meta closes it after the hard limit.
    closed() { ! howdah fsck / -files -openforwrite | grep -q OPENFORWRITE; }
    until_true 40 closed
    howdah fs -cat "$b" >got
    [ "$(stat -c %s got)" -ge 134217728 ] || atf_fail "b has $(stat -c %s got) bytes"
    cmp got text -n "$(stat -c %s got)" || atf_fail "content of b"
    same "$(howdah fs -stat %b "$b")" "$(stat -c %s got)" "length"
    until_true 30 healthy
}
a_killed_writers_file_is_taken_over_cleanup() { cluster_cleanup; }

atf_test_case java_waits_for_a_killed_meta cleanup
java_waits_for_a_killed_meta_head() {
    atf_set require.user root
    atf_set require.progs "jq java python3"
    atf_set timeout 300
}
java_waits_for_a_killed_meta_body() {
    jars=$(pyspark_jars)
    cluster_up
    make_text 400000000 text
    j() {
        java -cp "$HADOOP_CONF_DIR:$jars" org.apache.hadoop.fs.FsShell -fs "$(cat uri)" \
            -Ddfs.client.retry.policy.enabled=true -Dipc.client.connect.max.retries=20 "$@" 2>>java.err
    }
    fs_uri >uri
    (
        cat text
        sleep 1
        cat text.base
    ) | j -put - /j1 &
    a=$!
    j -mkdir -p /made/by/java &
    b=$!
    sleep 1.5
    for _ in 1 2; do
        kill -9 "$(cat "$D/run/meta.pid")"
        sleep 1.5
        howdah up --dir "$D" || atf_fail "up"
        sleep 0.5
    done
    wait $a || atf_fail "put: $(cat java.err)"
    wait $b || atf_fail "mkdir: $(cat java.err)"
    cat text text.base | cmp - "$M/j1" || atf_fail "content"
    [ -d "$M/made/by/java" ] || atf_fail "mkdir"
    until_true 30 healthy
}
java_waits_for_a_killed_meta_cleanup() { cluster_cleanup; }

atf_test_case data_nodes_killed_in_turn_are_not_noticed cleanup
data_nodes_killed_in_turn_are_not_noticed_head() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 180
}
data_nodes_killed_in_turn_are_not_noticed_body() {
    cluster_up --nodes 4
    timeout 150 "@CMAKE_SOURCE_DIR@/tests/torture/node-kills" --dir "$D" --mount "$M" --seconds 12 --seed 7 ||
        atf_fail "a call failed, or a byte was wrong"
}
data_nodes_killed_in_turn_are_not_noticed_cleanup() { cluster_cleanup; }

atf_test_case fsync_covers_what_was_there_before cleanup
fsync_covers_what_was_there_before_head() {
    atf_set require.user root
    atf_set require.progs "jq python3 strace"
}
fsync_covers_what_was_there_before_body() {
    cluster_up
    head -c 3000000 /dev/urandom >f
    howdah fs -D dfs.blocksize=1048576 -put f /f # closed, not synced
    howdah fsck /f -files -blocks | grep -o 'blk_[0-9]*' | sort -u >blocks
    same "$(wc -l <blocks)" 3
    strace -f -y -e trace=fsync,fdatasync -o syncs -p "$(pid_of data-1)" 2>attached &
    tracer=$!
    until_true 10 grep -q attached attached
    python3 - "$M/f" <<'PY' || atf_fail "append and fsync"
import os, sys
f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
os.write(f, b"more")
os.fsync(f)
PY
    kill "$tracer"
    wait "$tracer"
    # The log that says which parts are being changed is none of the blocks.
    grep -v /dirty/ syncs | grep -o 'blk_[0-9]*>) *= 0' | grep -o 'blk_[0-9]*' | sort >synced
    cmp synced blocks || atf_fail "each block once: $(cat synced)"
}
fsync_covers_what_was_there_before_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case fsync_covers_what_was_there_before
    atf_add_test_case data_nodes_killed_in_turn_are_not_noticed
    atf_add_test_case a_killed_writers_file_is_taken_over
    atf_add_test_case java_waits_for_a_killed_meta
}
