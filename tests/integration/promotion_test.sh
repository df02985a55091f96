#!/usr/bin/env atf-sh
# The secondary takes over: nothing acknowledged is lost, and the old primary comes to heel.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 200
}

sync_is() { [ "$(status | jq -r .sync)" = "$1" ]; }
active_is() { [ "$(status | jq -r '.daemons[] | select(.active) | .name')" = "$1" ]; }
in_step() { healthy && sync_is both; }

promotion_up() {
    cluster_up
    mkdir "$M/d"
    until_true 20 in_step
}

# Names that were acknowledged, one a line in FILE, by two clients that wait for durability each time.
make_names() { # SECONDS FILE
    : >"$2"
    for k in 1 2; do
        (
            end=$(($(date +%s) + $1))
            n=0
            while [ "$(date +%s)" -lt $end ]; do
                n=$((n + 1))
                howdah fs -mkdir "/d/$k-$n" 2>>mkdir.err && echo "$k-$n" >>"$2"
            done
        ) &
    done
}

all_there() { # FILE
    [ "$(wc -l <"$1")" -ge 10 ] || atf_fail "only $(wc -l <"$1") names were made"
    howdah fs -ls /d | awk 'NR > 1 { sub(".*/", "", $NF); print $NF }' | sort >listed
    sort "$1" | comm -23 - listed >lost
    [ ! -s lost ] || atf_fail "lost: $(head -n 5 lost | tr '\n' ' ')"
}

atf_test_case a_paused_primary_is_replaced_and_comes_to_heel cleanup
a_paused_primary_is_replaced_and_comes_to_heel_head() { needs; }
a_paused_primary_is_replaced_and_comes_to_heel_body() {
    promotion_up
    make_names 9 names
    sleep 2
    meta=$(pid_of meta)
    kill -STOP "$meta"
    howdah admin promote --yes --json >promoted.json || atf_fail "promote"
    same "$(jq -r .epoch promoted.json)" 2 epoch
    jq -e '.ms < 3000' promoted.json >/dev/null || atf_fail "took $(jq .ms promoted.json) ms"
    active_is secondary || atf_fail "not active"
    sleep 2
    kill -CONT "$meta"
    wait
    until_true 30 in_step
    same "$(pid_of meta)" "$meta" "pid of the old primary"
    active_is secondary || atf_fail "the old primary is active again"
    all_there names
    find "$D" -maxdepth 1 -name 'meta.fenced-1-*' | grep -q . || atf_fail "its directory was not kept"
    # and back again
    howdah admin promote --yes || atf_fail "promote back"
    active_is meta || atf_fail "not active"
    until_true 30 in_step
    all_there names
}
a_paused_primary_is_replaced_and_comes_to_heel_cleanup() { cluster_cleanup; }

atf_test_case a_dead_primary_is_replaced cleanup
a_dead_primary_is_replaced_head() { needs; }
a_dead_primary_is_replaced_body() {
    promotion_up
    make_names 6 names
    echo before >"$M/before"
    sync "$M/before"
    sleep 2
    kill -9 "$(pid_of meta)"
    howdah admin promote --yes || atf_fail "promote"
    wait
    all_there names
    same "$(cat "$M/before")" before "content through the mount"
    echo after >"$M/after" || atf_fail "the mount does not write"
    same "$(howdah fs -cat /after)" after
    howdah up --dir "$D" || atf_fail "up"
    until_true 30 in_step
    active_is secondary || atf_fail "the started one took over"
    # both down and up again: the roles stay
    howdah down --dir "$D"
    howdah up --dir "$D" || atf_fail "up"
    until_true 30 in_step
    active_is secondary || atf_fail "the roles changed with a restart"
    all_there names
}
a_dead_primary_is_replaced_cleanup() { cluster_cleanup; }

atf_test_case an_exposed_primary_is_replaced_by_force_only cleanup
an_exposed_primary_is_replaced_by_force_only_head() { needs; }
an_exposed_primary_is_replaced_by_force_only_body() {
    promotion_up
    secondary=$(pid_of secondary)
    kill -9 "$secondary"
    t0=$(date +%s%N)
    howdah fs -mkdir /alone || atf_fail "mkdir without the secondary"
    ms=$((($(date +%s%N) - t0) / 1000000))
    [ $ms -lt 30000 ] || atf_fail "it took $ms ms to go on"
    sync_is exposed || atf_fail "sync is $(status | jq .sync)"
    howdah status --dir "$D" | grep -q exposed || atf_fail "status does not say so"
    kill -9 "$(pid_of meta)"
    howdah-meta --conf "$HOWDAH_CONF" --role secondary --name secondary 2>secondary.log &
    until_true 10 sh -c 'howdah admin promote --yes 2>&1 | grep -q exposed'
    atf_check -s not-exit:0 -e match:exposed howdah admin promote --yes
    howdah admin promote --yes --force || atf_fail "force"
    howdah fs -test -e /d || atf_fail "the namespace is not there"
    umount -l "$M" # with no meta left its end would wait for one
    kill %1
    wait
}
an_exposed_primary_is_replaced_by_force_only_cleanup() { cluster_cleanup; }

atf_test_case the_secondary_is_lost_and_comes_back cleanup
the_secondary_is_lost_and_comes_back_head() { needs; }
the_secondary_is_lost_and_comes_back_body() {
    promotion_up
    make_names 8 names
    sleep 1
    kill -9 "$(pid_of secondary)"
    sleep 1
    sync_is exposed || atf_fail "sync is $(status | jq .sync)"
    howdah up --dir "$D" || atf_fail "up"
    until_true 10 sync_is both
    p=$(pid_of secondary)
    kill -STOP "$p"
    until_true 10 sync_is exposed
    kill -CONT "$p"
    until_true 10 sync_is both
    wait
    kill -9 "$(pid_of meta)"
    howdah admin promote --yes || atf_fail "promote"
    all_there names
}
the_secondary_is_lost_and_comes_back_cleanup() { cluster_cleanup; }

atf_test_case a_lost_directory_is_fetched_from_the_other cleanup
a_lost_directory_is_fetched_from_the_other_head() { needs; }
a_lost_directory_is_fetched_from_the_other_body() {
    promotion_up
    howdah fs -mkdir /d/x
    kill -9 "$(pid_of meta)"
    rm -rf "$D/meta"
    howdah up --dir "$D" >up.log 2>&1 &
    sleep 2
    howdah admin promote --yes || atf_fail "promote"
    wait
    howdah up --dir "$D" || atf_fail "up"
    until_true 30 in_step
    active_is secondary || atf_fail "a new cluster was made"
    howdah fs -test -d /d/x || atf_fail "lost"
}
a_lost_directory_is_fetched_from_the_other_cleanup() { cluster_cleanup; }

atf_test_case sync_primary_waits_for_nobody cleanup
sync_primary_waits_for_nobody_head() { needs; }
sync_primary_waits_for_nobody_body() {
    cluster_up
    howdah down --dir "$D"
    sed -i '/^\[meta\]/a sync = primary' "$HOWDAH_CONF"
    howdah up --dir "$D" || atf_fail "up"
    until_true 10 sync_is primary
    kill -STOP "$(pid_of secondary)"
    howdah fs -mkdir /x || atf_fail "mkdir"
    kill -CONT "$(pid_of secondary)"
    atf_check -s not-exit:0 -e match:--force howdah admin promote --yes
    # by force, with the primary alive: it finds out by itself
    howdah admin promote --yes --force || atf_fail "force"
    until_true 10 grep -q "another meta has been promoted" "$D/log/meta.log"
    until_true 10 active_is secondary
}
sync_primary_waits_for_nobody_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case a_paused_primary_is_replaced_and_comes_to_heel
    atf_add_test_case a_dead_primary_is_replaced
    atf_add_test_case an_exposed_primary_is_replaced_by_force_only
    atf_add_test_case the_secondary_is_lost_and_comes_back
    atf_add_test_case a_lost_directory_is_fetched_from_the_other
    atf_add_test_case sync_primary_waits_for_nobody
}
