#!/usr/bin/env atf-sh
# tests/posix on the mount: what each call promises, and each error. A case a group; the same program
# on the local disk under the test comes first, so that what fails on the mount is the mount's.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

groups() { posix-suite --list; }

holds_here_and_on_the_mount() { # GROUP
    cluster_up
    mkdir local "$M/posix"
    chmod 755 local "$M/posix"
    if ! posix-suite "$PWD/local" "$1" >local.out; then
        cat local.out
        atf_skip "$1: the local disk does not hold it either"
    fi
    posix-suite "$M/posix" "$1" >mount.out || {
        cat mount.out
        atf_fail "$1: $(wc -l <mount.out) do not hold"
    }
    same "$(ls -A "$M/posix" | wc -l)" 0 "left over"
}

atf_init_test_cases() {
    for g in $(groups); do
        atf_test_case "$g" cleanup
        eval "${g}_head() { atf_set require.user root; atf_set require.progs jq; }
${g}_body() { holds_here_and_on_the_mount $g; }
${g}_cleanup() { cluster_cleanup; }"
        atf_add_test_case "$g"
    done
}
