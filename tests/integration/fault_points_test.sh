#!/usr/bin/env atf-sh
# The fault table of running daemons, point by point: it does what it says, it ends, it heals.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs jq
    atf_set timeout 120
}

key_of() { # SECTION KEY
    sed -n "/^\\[$1\\]/,/^\\[/s/^$2 *= *//p" "$HOWDAH_CONF" | head -n 1
}

meta_address() { key_of meta rpc_address; }
data_address() { key_of "data-$1" ipc_address; }

faults() { # ADDRESS [POINT TARGET VALUE FOR_MS]...
    address=$1
    shift
    support-set-faults "$address" "$(id -un)" "$@" || atf_fail "faults of $address: $*"
}

now_ms() { date +%s%3N; }

took() { # COMMAND...: milliseconds
    begin=$(now_ms)
    "$@" >&2 || return 1
    echo $(($(now_ms) - begin))
}

put() { # NAME
    head -c 300000 /dev/urandom >"$1.local"
    howdah fs -put "$1.local" "/$1" || atf_fail "put $1"
}

same_as_local() { # NAME
    howdah fs -cat "/$1" | cmp - "$1.local" || atf_fail "content of $1"
}

atf_test_case every_daemon_takes_faults_and_only_from_its_superuser cleanup
every_daemon_takes_faults_and_only_from_its_superuser_head() { needs; }
every_daemon_takes_faults_and_only_from_its_superuser_body() {
    cluster_up
    for a in "$(meta_address)" "$(key_of secondary rpc_address)" "$(data_address 1)" "$(key_of runner manager_address)"; do
        atf_check -o inline:'active=1\n' support-set-faults "$a" root clock.jump "" 1000 60000
        atf_check -o inline:'active=0\n' support-set-faults "$a" root
        atf_check -s exit:1 -e match:Superuser support-set-faults "$a" nobody clock.jump "" 1000 60000
    done
    atf_check -s exit:1 -e match:'no such fault' support-set-faults "$(meta_address)" root disk.melt "" 1 1
    grep -q 'msg="audit" command=setFaults user=root .*fault=clock.jump' "$D/log/meta.log" || atf_fail "no audit line"
    grep -q 'refused="Access denied for user nobody' "$D/log/data-1.log" || atf_fail "no audit line of the refusal"
    howdah down --dir "$D"
    sed -i '/^drills/d' "$HOWDAH_CONF"
    howdah up --dir "$D"
    atf_check -s exit:1 -e match:'drills = on' support-set-faults "$(meta_address)" root clock.jump "" 1000 60000
}
every_daemon_takes_faults_and_only_from_its_superuser_cleanup() { cluster_cleanup; }

atf_test_case disk_delay_slows_the_log_until_it_ends cleanup
disk_delay_slows_the_log_until_it_ends_head() { needs; }
disk_delay_slows_the_log_until_it_ends_body() {
    cluster_up
    faults "$(meta_address)" disk.delay "$D/meta" 300 2500
    ms=$(took howdah fs -mkdir /slow) || atf_fail "mkdir"
    [ "$ms" -ge 300 ] || atf_fail "$ms ms with a disk that takes 300"
    sleep 2.5
    howdah fs -mkdir /fast || atf_fail "mkdir"
    until_true 20 healthy
}
disk_delay_slows_the_log_until_it_ends_cleanup() { cluster_cleanup; }

atf_test_case disk_error_takes_a_disk_and_no_byte cleanup
disk_error_takes_a_disk_and_no_byte_head() { needs; }
disk_error_takes_a_disk_and_no_byte_body() {
    cluster_up
    put before
    faults "$(data_address 1)" disk.error "$D/data-1" 5 60000
    put during
    same_as_local before
    same_as_local during
    until_true 20 grep 'data directory failed' "$D/log/data-1.log"
    support-set-faults "$(data_address 1)" root
    howdah up --dir "$D" || atf_fail "up"
    until_true 60 healthy
}
disk_error_takes_a_disk_and_no_byte_cleanup() { cluster_cleanup; }

atf_test_case disk_full_is_passed_by cleanup
disk_full_is_passed_by_head() { needs; }
disk_full_is_passed_by_body() {
    cluster_up
    faults "$(data_address 1)" disk.full "$D/data-1" 0 60000
    for i in 1 2 3 4; do put f$i; done
    find "$D/data-1" -name 'blk_*' -size +0 | grep -q . && atf_fail "a full disk took blocks"
    for i in 1 2 3 4; do same_as_local f$i; done
    faults "$(data_address 1)"
    until_true 60 healthy
    until_true 60 sh -c "find '$D/data-1' -name 'blk_*' | grep -q ."
}
disk_full_is_passed_by_cleanup() { cluster_cleanup; }

atf_test_case net_cut_is_a_partition_that_heals cleanup
net_cut_is_a_partition_that_heals_head() { needs; }
net_cut_is_a_partition_that_heals_body() {
    cluster_up
    put before
    faults "$(data_address 2)" net.cut "" 0 60000
    until_true 12 sh -c "[ \"\$(howdah status --dir $D --json | jq -r '.daemons[] | select(.name == \"data-2\") | .state')\" != up ]"
    put during
    same_as_local before
    pid=$(pid_of data-2)
    faults "$(data_address 2)" # over the cut
    until_true 60 healthy
    same "$(pid_of data-2)" "$pid" "the node"
    same_as_local during
    # meta cut off answers nobody, and the same process goes on afterwards.
    faults "$(meta_address)" net.cut "" 0 3000
    ms=$(took howdah fs -mkdir /waited) || atf_fail "mkdir"
    [ "$ms" -ge 2000 ] || atf_fail "answered after $ms ms in a cut of 3000"
    until_true 60 healthy
}
net_cut_is_a_partition_that_heals_cleanup() { cluster_cleanup; }

atf_test_case net_delay_is_no_death cleanup
net_delay_is_no_death_head() { needs; }
net_delay_is_no_death_body() {
    cluster_up
    for n in 1 2 3; do faults "$(data_address $n)" net.delay "" 50 60000; done
    faults "$(meta_address)" net.delay "" 50 60000
    ms=$(took howdah fs -mkdir /late) || atf_fail "mkdir"
    [ "$ms" -ge 50 ] || atf_fail "$ms ms over a network that takes 50"
    put during
    same_as_local during
    grep -q 'is dead\|is stale: silent' "$D/log/meta.log" && atf_fail "a slow network is no death"
    until_true 20 healthy
}
net_delay_is_no_death_cleanup() { cluster_cleanup; }

atf_test_case clock_jump_changes_times_and_nothing_else cleanup
clock_jump_changes_times_and_nothing_else_head() { needs; }
clock_jump_changes_times_and_nothing_else_body() {
    cluster_up
    year=$(date +%Y)
    faults "$(meta_address)" clock.jump "" -31536000000 20000
    put before
    howdah fs -stat %y /before | grep -q "^$((year - 1))" || atf_fail "the clock did not jump: $(howdah fs -stat %y /before)"
    faults "$(meta_address)"
    put after
    howdah fs -stat %y /after | grep -q "^$year" || atf_fail "the clock did not come back"
    same_as_local before
    same_as_local after
    grep -q 'is dead' "$D/log/meta.log" && atf_fail "a node died of a clock"
    until_true 20 healthy
}
clock_jump_changes_times_and_nothing_else_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case every_daemon_takes_faults_and_only_from_its_superuser
    atf_add_test_case disk_delay_slows_the_log_until_it_ends
    atf_add_test_case disk_error_takes_a_disk_and_no_byte
    atf_add_test_case disk_full_is_passed_by
    atf_add_test_case net_cut_is_a_partition_that_heals
    atf_add_test_case net_delay_is_no_death
    atf_add_test_case clock_jump_changes_times_and_nothing_else
}
