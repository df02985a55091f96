#!/usr/bin/env atf-sh
# kill -9 of each daemon in turn under load; every acknowledged byte is compared afterwards.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case data_node_while_reading cleanup
data_node_while_reading_head() {
    atf_set require.user root
    atf_set require.progs jq
}
data_node_while_reading_body() {
    cluster_up
    make_text 400000000 text
    want=$(sum_of text)
    cp text "$M/big"
    howdah fs -cat /big | sha256sum >one &
    a=$!
    sha256sum <"$M/big" >two &
    b=$!
    sleep 0.2
    kill -9 "$(pid_of data-1)"
    wait $a && wait $b || atf_fail "a reader failed"
    same "$(cut -d' ' -f1 one)" "$want" "howdah fs -cat"
    same "$(cut -d' ' -f1 two)" "$want" "the mount"
    until_true 25 sh -c "[ \"\$(howdah status --dir $D --json | jq -r '.daemons[] | select(.name == \"data-1\") | .state')\" != up ]"
    howdah up --dir "$D"
    until_true 60 healthy
}
data_node_while_reading_cleanup() { cluster_cleanup; }

atf_test_case data_node_while_writing cleanup
data_node_while_writing_head() {
    atf_set require.user root
    atf_set require.progs jq
}
data_node_while_writing_body() {
    cluster_up
    make_text 400000000 text
    cp text "$M/w1" &
    a=$!
    howdah fs -put text /w2 &
    b=$!
    sleep 0.4
    kill -9 "$(pid_of data-3)"
    wait $a || atf_fail "cp failed"
    wait $b || atf_fail "put failed"
    cmp text "$M/w1" || atf_fail "w1 differs"
    howdah fs -cat /w2 | cmp - text || atf_fail "w2 differs"
    howdah up --dir "$D"
    until_true 90 healthy
    # Every replica alone: the two other nodes are down in turn.
    howdah down --dir "$D" && howdah up --dir "$D"
    cmp text "$M/w1" || atf_fail "w1 differs after a restart"
}
data_node_while_writing_cleanup() { cluster_cleanup; }

atf_test_case meta_while_creating cleanup
meta_while_creating_head() {
    atf_set require.user root
    atf_set require.progs jq
}
meta_while_creating_body() {
    cluster_up
    mkdir "$M/many"
    (
        i=0
        while [ $i -lt 20000 ]; do
            echo $i >"$M/many/$i" && sync "$M/many/$i" 2>/dev/null && echo $i
            i=$((i + 1))
        done
    ) >acked 2>/dev/null &
    c=$!
    for _ in 1 2 3; do
        sleep 1.5
        kill -9 "$(pid_of meta)"
        sleep 0.3
        howdah up --dir "$D" || atf_fail "up"
    done
    sleep 1
    kill $c
    wait $c 2>/dev/null
    [ "$(wc -l <acked)" -gt 50 ] || atf_fail "only $(wc -l <acked) were acknowledged"
    until_true 30 healthy
    while read -r i; do
        same "$(cat "$M/many/$i")" "$i" "acknowledged file $i of $(wc -l <acked)"
    done <acked
}
meta_while_creating_cleanup() { cluster_cleanup; }

atf_test_case everything_at_once cleanup
everything_at_once_head() {
    atf_set require.user root
    atf_set require.progs jq
}
everything_at_once_body() {
    cluster_up
    mkdir "$M/t"
    (
        i=0
        while :; do
            echo "content of $i" >"$M/t/$i" && sync "$M/t/$i" 2>/dev/null && echo $i
            i=$((i + 1))
        done
    ) >acked 2>/dev/null &
    c=$!
    sleep 2
    for name in meta secondary data-1 data-2 data-3 manager agent-1 agent-2 agent-3 mount; do
        kill -9 "$(cat "$D/run/$name.pid")"
    done
    kill -9 $c
    wait $c 2>/dev/null
    umount -l "$M" 2>/dev/null
    howdah up --dir "$D" || atf_fail "up"
    until_true 60 healthy
    [ -s acked ] || atf_fail "nothing was acknowledged"
    while read -r i; do
        same "$(cat "$M/t/$i")" "content of $i" "acknowledged file $i"
    done <acked
}
everything_at_once_cleanup() { cluster_cleanup; }

atf_test_case a_lost_view_is_rebuilt cleanup
a_lost_view_is_rebuilt_head() {
    atf_set require.user root
    atf_set require.progs jq
}
a_lost_view_is_rebuilt_body() {
    cluster_up
    cp -a /usr/share/perl "$M/perl"
    howdah admin checkpoint || atf_fail "checkpoint"
    ls "$D"/meta/image_*.sha256 || atf_fail "no image"
    (cd "$D/meta" && sha256sum -c image_*.sha256) || atf_fail "digest"
    echo after >"$M/after"
    howdah down --dir "$D"
    rm -rf "$D/meta/view" "$D/secondary/view"
    howdah up --dir "$D" || atf_fail "up"
    diff -r /usr/share/perl "$M/perl" || atf_fail "differs"
    same "$(cat "$M/after")" after
}
a_lost_view_is_rebuilt_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case data_node_while_reading
    atf_add_test_case data_node_while_writing
    atf_add_test_case meta_while_creating
    atf_add_test_case everything_at_once
    atf_add_test_case a_lost_view_is_rebuilt
}
