#!/usr/bin/env atf-sh
# Data nodes that are to leave, are away by agreement, stand on racks, or are fuller than others.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 240
}

node() { # NAME FILTER: of the node in the report
    howdah admin report --json | jq -r --arg n "$1" ".nodes[] | select(.name == \$n) | $2"
}

is_in() { # NAME STATE
    [ "$(node "$1" .admin_state)" = "$2" ]
}

write_files() { # COUNT BYTES
    mkdir "$M/d"
    for i in $(seq 1 "$1"); do
        head -c "$2" /dev/urandom >"$M/d/$i" || atf_fail "write $i"
    done
    (cd "$M/d" && sha256sum -- *) >sums
    sync -f "$M"
    until_true 20 healthy
}

check_files() {
    rm -rf got
    howdah fs -get /d got || atf_fail "get"
    (cd got && sha256sum -c ../sums) >check || atf_fail "content: $(grep -v OK check)"
}

replicas() { # NODE: how many block files it has
    find "$D/$1" -name 'blk_*' ! -name '*.meta' | wc -l
}

again() { # what is there is started with what howdah.conf says now
    howdah up --dir "$D" >/dev/null || atf_fail "up"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

atf_test_case a_decommissioned_node_can_go cleanup
a_decommissioned_node_can_go_head() { needs; }
a_decommissioned_node_can_go_body() {
    cluster_up --nodes 4
    write_files 12 3000000
    [ "$(replicas data-4)" -gt 0 ] || atf_fail "data-4 has no replica"
    (
        while [ ! -e stop ]; do
            (cd "$M/d" && sha256sum -c --quiet) <sums >>reads 2>&1 || echo failed >>reads
        done
    ) &
    reader=$!
    howdah admin decommission data-4 || atf_fail "decommission"
    until_true 60 is_in data-4 decommissioned
    : >stop
    wait $reader
    [ ! -s reads ] || atf_fail "reads meanwhile: $(head -n 3 reads)"
    same "$(node data-4 .blocks_to_move)" 0 "blocks to move"
    kill -9 "$(pid_of data-4)"
    check_files
    sleep 5
    status | jq -e '.blocks.under_replicated == 0 and .blocks.missing == 0' || atf_fail "missed"
    kill -9 "$(pid_of meta)"
    again
    until_true 30 is_in data-4 decommissioned
    howdah admin recommission data-4 || atf_fail "recommission"
    until_true 30 healthy
    is_in data-4 in_service || atf_fail "$(node data-4 .admin_state)"
    howdah fs -cp /d /e || atf_fail "cp"
    atf_check -s exit:1 -e match:'known as data-9' howdah admin decommission data-9
}
a_decommissioned_node_can_go_cleanup() { cluster_cleanup; }

atf_test_case nothing_is_copied_during_maintenance cleanup
nothing_is_copied_during_maintenance_head() { needs; }
nothing_is_copied_during_maintenance_body() {
    cluster_up --nodes 4
    write_files 12 1000000
    before=$(($(replicas data-1) + $(replicas data-2) + $(replicas data-3)))
    atf_check -s exit:64 -e match:'--for' howdah admin maintenance data-4
    howdah admin maintenance data-4 --for 1h || atf_fail "maintenance"
    until_true 20 is_in data-4 in_maintenance
    [ "$(node data-4 .until_ms)" -gt "$(($(date +%s) * 1000))" ] || atf_fail "until"
    kill -9 "$(pid_of data-4)"
    until_true 10 sh -c "howdah admin report --json | jq -e '.nodes[] | select(.name == \"data-4\") | .state == \"dead\"'"
    kill -9 "$(pid_of meta)" # it finds out anew whom it may miss
    again
    kill -9 "$(pid_of data-4)" || atf_fail "data-4 is not up"
    sleep 9
    status | jq -e '.blocks.under_replicated == 0 and .blocks.missing == 0' || atf_fail "missed"
    same "$(($(replicas data-1) + $(replicas data-2) + $(replicas data-3)))" "$before" "replicas elsewhere"
    check_files
    again
    howdah admin recommission data-4 || atf_fail "recommission"
    until_true 30 healthy
    same "$(($(replicas data-1) + $(replicas data-2) + $(replicas data-3)))" "$before" "replicas elsewhere"
    howdah admin maintenance data-4 --for 4s || atf_fail "maintenance"
    until_true 20 is_in data-4 in_maintenance
    kill -9 "$(pid_of data-4)"
    until_true 60 sh -c "test \$(find $D/data-[123] -name 'blk_*' ! -name '*.meta' | wc -l) = 36"
    check_files
}
nothing_is_copied_during_maintenance_cleanup() { cluster_cleanup; }

atf_test_case blocks_stand_on_two_racks cleanup
blocks_stand_on_two_racks_head() { needs; }
blocks_stand_on_two_racks_body() {
    cluster_up --nodes 4
    howdah admin decommission data-4 || atf_fail "decommission" # so that all are on the others
    write_files 6 500000
    howdah admin recommission data-4 || atf_fail "recommission"
    same "$(replicas data-4)" 0 "replicas of data-4"
    howdah down --dir "$D" >/dev/null || atf_fail "down"
    {
        echo "# where the nodes stand"
        for i in 1 2 3; do echo "data-$i /left"; done
        echo "data-4   /right # alone"
    } >racks
    sed -i "/^\[meta\]/a rack_table = $PWD/racks" "$D/howdah.conf"
    again
    until_true 20 sh -c "howdah admin topology | grep -q '^Rack: /right'"
    until_true 40 sh -c "test \$(find $D/data-4 -name 'blk_*' ! -name '*.meta' | wc -l) = 6"
    until_true 20 sh -c "test \$(find $D/data-? -name 'blk_*' ! -name '*.meta' | wc -l) = 18"
    check_files
    echo "127.0.0.1 /one" >racks
    kill -HUP "$(pid_of meta)"
    until_true 20 sh -c "howdah admin topology --json | jq -e 'length == 1 and .[0].rack == \"/one\"'"
    cat >script <<'SCRIPT'
#!/bin/sh
for a in "$@"; do echo "/by-script/${a%%.*}"; done
SCRIPT
    chmod 755 script
    howdah down --dir "$D" >/dev/null || atf_fail "down"
    sed -i "s|^rack_table = .*|rack_script = $PWD/script|" "$D/howdah.conf"
    again
    until_true 20 sh -c "howdah admin topology --json | jq -e '.[0].rack == \"/by-script/127\"'"
}
blocks_stand_on_two_racks_cleanup() { cluster_cleanup; }

atf_test_case a_new_node_is_filled cleanup
a_new_node_is_filled_head() { needs; }
a_new_node_is_filled_body() {
    cluster_up
    write_files 16 4000000
    howdah down --dir "$D" >/dev/null || atf_fail "down"
    printf '\n[data-4]\naddress = 127.0.0.1:%s\nipc_address = 127.0.0.1:%s\nhttp_address = 127.0.0.1:%s\ndir = %s\n' \
        "$(free_port)" "$(free_port)" "$(free_port)" "$D/data-4" >>"$D/howdah.conf"
    again
    until_true 30 healthy
    same "$(replicas data-4)" 0 "replicas of data-4"
    # All nodes are on one disk: what they use of it is a small share.
    small=$(howdah admin report --json | jq '.nodes[0].capacity as $c | 400000000 / $c')
    atf_check -o save:dry howdah balancer --threshold "$small" --dry-run
    cat dry
    grep -q -- '-> data-4: ' dry || atf_fail "the plan"
    same "$(replicas data-4)" 0 "after a dry run"
    howdah balancer --threshold "$small" --bandwidth 1g --json >json || atf_fail "balancer: $? $(cat json)"
    jq -e '.status == "balanced" and .moved_blocks >= 8 and .failed_moves == 0' json || atf_fail "$(cat json)"
    [ "$(replicas data-4)" -ge 8 ] || atf_fail "data-4 has $(replicas data-4)"
    until_true 30 sh -c "test \$(find $D/data-? -name 'blk_*' ! -name '*.meta' | wc -l) = 48"
    until_true 30 healthy
    check_files
    howdah fsck / | grep -q HEALTHY || atf_fail "fsck"
    grep -q 'bandwidth of moves' "$D/log/data-4.log" || atf_fail "no word of the bandwidth"
    atf_check -s exit:251 -e match:'between 0 and 100' howdah balancer --threshold 101
    # One at a time: the lease of the file is the lock.
    howdah fs -mkdir -p /system && howdah fs -touchz /system/balancer.id || atf_fail "the lock's file"
    mkfifo bytes
    howdah fs -appendToFile - /system/balancer.id <bytes &
    holder=$!
    exec 9>bytes
    until_true 10 sh -c "howdah fsck /system -files -openforwrite | grep -q OPENFORWRITE"
    atf_check -s exit:255 -e match:'another balancer' howdah balancer
    exec 9>&-
    wait $holder || atf_fail "the holder"
    until_true 20 howdah balancer
}
a_new_node_is_filled_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case a_decommissioned_node_can_go
    atf_add_test_case nothing_is_copied_during_maintenance
    atf_add_test_case blocks_stand_on_two_racks
    atf_add_test_case a_new_node_is_filled
}
