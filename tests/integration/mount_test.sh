#!/usr/bin/env atf-sh
# The mount, used the way people use a disk.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case trees_copy_identically cleanup
trees_copy_identically_head() {
    atf_set require.user root
    atf_set require.progs jq
}
trees_copy_identically_body() {
    cluster_up
    cp -a /usr/share/perl "$M/perl" || atf_fail "cp -a"
    diff -r /usr/share/perl "$M/perl" || atf_fail "differs"
    same "$(cd "$M/perl" && find . -printf '%p %y %m %s %TY%Tm%Td%TH%TM\n' | sort | sha256sum)" \
        "$(cd /usr/share/perl && find . -printf '%p %y %m %s %TY%Tm%Td%TH%TM\n' | sort | sha256sum)" "modes, sizes, times"
    howdah down --dir "$D" && howdah up --dir "$D"
    diff -r /usr/share/perl "$M/perl" || atf_fail "differs after a restart"
    rm -r "$M/perl" || atf_fail "rm -r"
    same "$(ls -A "$M")" ""
}
trees_copy_identically_cleanup() { cluster_cleanup; }

atf_test_case everyday_commands cleanup
everyday_commands_head() {
    atf_set require.user root
    atf_set require.progs jq
}
everyday_commands_body() {
    cluster_up
    cd "$M" || atf_fail "cd"
    mkdir -p w/a/b && echo hello >w/a/x && mv w/a/x w/a/b/y && echo more >>w/a/b/y
    same "$(cat w/a/b/y)" "hello
more"
    echo new >w/a/b/y
    same "$(cat w/a/b/y)" new "after a rewrite"
    cp w/a/b/y w/z && ln -s z w/l
    same "$(readlink w/l)" z
    same "$(cat w/l)" new "through a symlink"
    chmod 640 w/z
    same "$(stat -c %a w/z)" 640
    chown nobody:nogroup w/z
    same "$(stat -c %U:%G w/z)" nobody:nogroup
    touch -d '2001-02-03 04:05:06.789 UTC' w/z
    same "$(stat -c %Y w/z)" 981173106
    ! rmdir w/a 2>/dev/null || atf_fail "rmdir of a full directory"
    ! mkdir w/a 2>/dev/null || atf_fail "mkdir of what is there"
    ! rmdir w/z 2>/dev/null || atf_fail "rmdir of a file"
    ! mv -T w/a w/a/b/c 2>/dev/null || atf_fail "a directory moved below itself"
    mkdir w/d && mv w/z w/d/ && mv w/d w/e
    same "$(cat w/e/z)" new
    : >w/empty
    same "$(stat -c %s w/empty)" 0
    truncate -s 2 w/e/z
    same "$(cat w/e/z)" ne "after truncate"
    printf 'x' >w/over && printf 'y' >w/with && mv w/with w/over
    same "$(cat w/over)" y "rename over a file"
    setfattr -n user.colour -v blue w/over
    same "$(getfattr -n user.colour --only-values w/over)" blue
    same "$(cat 'w/none' 2>&1 | grep -c 'No such file')" 1
    name=$(printf 'n%.0s' $(seq 255))
    echo long >"w/$name"
    same "$(cat "w/$name")" long
    ! echo long >"w/x$name" 2>/dev/null || atf_fail "a name of 256 bytes"
    seq 1 2000 | while read -r i; do : >"w/a/$i"; done
    same "$(find w/a -maxdepth 1 -type f | wc -l)" 2000
    df "$M" | tail -1 | grep -q '[1-9]' || atf_fail df
    rm -r w
    [ ! -e w ] || atf_fail "rm -r"
    cd /
}
everyday_commands_cleanup() { cluster_cleanup; }

atf_test_case a_large_file_has_blocks cleanup
a_large_file_has_blocks_head() {
    atf_set require.user root
    atf_set require.progs "jq getfattr"
}
a_large_file_has_blocks_body() {
    cluster_up
    make_text 300000000 text
    cp text "$M/big" || atf_fail "cp"
    cmp text "$M/big" || atf_fail "cmp"
    cat "$M/big" | cmp - text || atf_fail "cat"
    same "$(howdah fsck /big -files -blocks -locations | grep -o 'blk_[0-9]*' | sort -u | wc -l)" 3 "blocks"
    same "$(getfattr -n user.howdah.locations --only-values "$M/big" | grep -c .)" 3 "locations"
    # Random reads against the source, by several readers at once.
    for seed in 1 2 3; do
        python3 - text "$M/big" $seed <<'PY' &
import os, random, sys
a, b = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)
r, size = random.Random(int(sys.argv[3])), os.fstat(a).st_size
assert os.fstat(b).st_size == size
for _ in range(300):
    at, n = r.randrange(size + 10), r.randrange(1, 300000)
    assert os.pread(a, n, at) == os.pread(b, n, at), (at, n)
PY
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid" || atf_fail "random reads differ"; done
    # Appends, a second reader, and what another mount sees.
    cat text.base >>"$M/big" && cat text.base >>text
    cmp text "$M/big" || atf_fail "after append"
    mkdir second && howdah-mount "$(fs_uri)" "$PWD/second" || atf_fail "second mount"
    cmp text second/big || atf_fail "through the second mount"
    umount second
}
a_large_file_has_blocks_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

atf_test_case an_unsupported_write_is_no_lie cleanup
an_unsupported_write_is_no_lie_head() {
    atf_set require.user root
    atf_set require.progs jq
}
an_unsupported_write_is_no_lie_body() {
    cluster_up
    make_text 3000000 text
    cp text "$M/h"
    if printf X | dd of="$M/h" bs=1 seek=1000 conv=notrunc status=none 2>/dev/null; then
        printf X | dd of=text bs=1 seek=1000 conv=notrunc status=none
    fi
    cmp text "$M/h" || atf_fail "neither refused nor done"
}
an_unsupported_write_is_no_lie_cleanup() { cluster_cleanup; }

atf_test_case permissions_hold_for_other_users cleanup
permissions_hold_for_other_users_head() {
    atf_set require.user root
    atf_set require.progs "jq su"
}
permissions_hold_for_other_users_body() {
    cluster_up
    as_nobody() { su -s /bin/sh nobody -c "$1" 2>/dev/null; }
    echo secret >"$M/secret" && chmod 600 "$M/secret"
    ! as_nobody "cat $M/secret" || atf_fail "read a 0600 file"
    ! as_nobody "touch $M/theirs" || atf_fail "wrote into a 0755 root"
    mkdir -m 1777 "$M/tmp"
    as_nobody "touch $M/tmp/mine" || atf_fail "could not write into a 1777 directory"
    same "$(stat -c %U "$M/tmp/mine")" nobody
    echo root >"$M/tmp/roots"
    ! as_nobody "rm -f $M/tmp/roots" || atf_fail "removed another's file from a sticky directory"
    atf_check -s exit:1 -e match:'Permission denied' env HADOOP_USER_NAME=nobody howdah fs -cat /secret
}
permissions_hold_for_other_users_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case trees_copy_identically
    atf_add_test_case everyday_commands
    atf_add_test_case a_large_file_has_blocks
    atf_add_test_case an_unsupported_write_is_no_lie
    atf_add_test_case permissions_hold_for_other_users
}
