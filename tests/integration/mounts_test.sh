#!/usr/bin/env atf-sh
# Several mounts of one cluster against one model (tests/support/mounts_model.py): what one did, the
# next call on any other sees; also while daemons are killed and come back.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

model() { python3 @CMAKE_SOURCE_DIR@/tests/support/mounts_model.py "$@"; }

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 600
}

more_mounts() { # N: $PWD/mnt-2 ... beside $M
    for i in $(seq 2 "$1"); do
        mkdir "mnt-$i"
        howdah-mount "$(fs_uri)" "mnt-$i" || atf_fail "mount $i"
    done
}

all_cleanup() {
    for m in mnt-*; do umount -l "$m" 2>/dev/null; done
    cluster_cleanup
}

seed() { atf_config_get seed "$1"; }

atf_test_case the_next_call_sees_it cleanup
the_next_call_sees_it_head() { needs; }
the_next_call_sees_it_body() {
    cluster_up
    more_mounts 3
    mkdir "$M/r"
    model step "$(seed 1)" "$(atf_config_get steps 2000)" "$M/r" mnt-2/r mnt-3/r || atf_fail "step"
}
the_next_call_sees_it_cleanup() { all_cleanup; }

atf_test_case one_file_is_one_file cleanup
one_file_is_one_file_head() { needs; }
one_file_is_one_file_body() {
    cluster_up
    more_mounts 2
    model fsx "$(seed 1)" "$(atf_config_get steps 1500)" "$M/f" mnt-2/f || atf_fail "fsx"
    # Blocks so small that an operation crosses several.
    howdah down --dir "$D"
    sed -i 's/^\[meta\]/[meta]\nmin_block_size = 64k\nblock_size = 256k/' "$D/howdah.conf"
    howdah up --dir "$D" || atf_fail "up"
    umount -l mnt-2
    howdah-mount "$(fs_uri)" mnt-2 || atf_fail "mount"
    model fsx "$(seed 2)" "$(atf_config_get steps 800)" "$M/g" mnt-2/g || atf_fail "fsx in small blocks"
}
one_file_is_one_file_cleanup() { all_cleanup; }

atf_test_case a_crowd_agrees_in_the_end cleanup
a_crowd_agrees_in_the_end_head() { needs; }
a_crowd_agrees_in_the_end_body() {
    cluster_up
    more_mounts 3
    mkdir "$M/r"
    model crowd "$(seed 1)" "$(atf_config_get seconds 10)" "$M/r" mnt-2/r mnt-3/r || atf_fail "crowd"
}
a_crowd_agrees_in_the_end_cleanup() { all_cleanup; }

atf_test_case daemons_die_meanwhile cleanup
daemons_die_meanwhile_head() { needs; }
daemons_die_meanwhile_body() {
    cluster_up
    more_mounts 2
    mkdir "$M/r"
    model step "$(seed 3)" 1200 "$M/r" mnt-2/r >step.out 2>&1 &
    step=$!
    model fsx "$(seed 3)" 800 "$M/f" mnt-2/f >fsx.out 2>&1 &
    file=$!
    for victim in data-1 meta data-2 meta data-3; do
        sleep 2
        alive $step || alive $file || break
        kill -9 "$(pid_of $victim)"
        sleep 1
        howdah up --dir "$D" >/dev/null || atf_fail "up after $victim"
        until_true 60 healthy
    done
    wait $step || { cat step.out; atf_fail "step"; }
    wait $file || { cat fsx.out; atf_fail "fsx"; }
}
daemons_die_meanwhile_cleanup() { all_cleanup; }

# Two mounts at the same names all the time, and one is killed in the middle of what it tells the
# kernel: its programs get an error, they do not wait for ever.
atf_test_case a_killed_mount_hangs_nobody cleanup
a_killed_mount_hangs_nobody_head() { needs; }
a_killed_mount_hangs_nobody_body() {
    cluster_up
    for try in 1 2 3; do
        mkdir -p "mnt-$try" "$M/r$try"
        howdah-mount "$(fs_uri)" "mnt-$try" -f 2>/dev/null &
        mount=$!
        until_true 10 mountpoint -q "mnt-$try"
        programs=
        for k in 1 2 3; do
            (while echo x >"mnt-$try/r$try/f$k" && mv "mnt-$try/r$try/f$k" "mnt-$try/r$try/g" &&
                ls "mnt-$try/r$try" >/dev/null; do :; done) 2>/dev/null &
            programs="$programs $!"
            (while [ ! -e done ]; do
                echo y >"$M/r$try/f$k"
                mv "$M/r$try/f$k" "$M/r$try/g"
                rm -f "$M/r$try/g"
            done) 2>/dev/null &
        done
        sleep 2
        kill -9 $mount
        for p in $programs; do
            until_true 20 sh -c "! kill -0 $p 2>/dev/null || grep -q '^State:.Z' /proc/$p/status"
        done
        touch done
        sleep 1
        rm done
    done
}
a_killed_mount_hangs_nobody_cleanup() { all_cleanup; }

atf_init_test_cases() {
    atf_add_test_case the_next_call_sees_it
    atf_add_test_case one_file_is_one_file
    atf_add_test_case a_crowd_agrees_in_the_end
    atf_add_test_case daemons_die_meanwhile
    atf_add_test_case a_killed_mount_hangs_nobody
}
