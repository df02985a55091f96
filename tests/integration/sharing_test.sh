#!/usr/bin/env atf-sh
# Two mounts of one cluster: what one does, the other sees.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case two_mounts_see_each_other cleanup
two_mounts_see_each_other_head() {
    atf_set require.user root
    atf_set require.progs "jq python3"
}
two_mounts_see_each_other_body() {
    cluster_up
    mkdir second && howdah-mount "$(fs_uri)" "$PWD/second" || atf_fail "second mount"
    B=$PWD/second
    make_text 20000000 text
    cp text "$M/f"
    cmp text "$B/f" || atf_fail "written on one, read on the other"
    head -c 5000000 text >>"$B/f" || atf_fail "append on the second"
    head -c 5000000 text >>text
    until_true 3 cmp text "$M/f"
    echo third >>"$M/f" && echo third >>text || atf_fail "append on the first again"
    until_true 3 cmp text "$B/f"

    # Names: within the timeouts of names and attributes, even where the other has just looked.
    mkdir "$M/d" && echo 1 >"$M/d/a" && same "$(cat "$B/d/a")" 1
    [ ! -e "$B/d/b" ] || atf_fail "d/b is there"
    mv "$M/d/a" "$M/d/b"
    until_true 2 test ! -e "$B/d/a" -a -e "$B/d/b"
    same "$(cat "$B/d/b")" 1 "content after rename"
    same "$(ls "$B/d")" b
    rm "$B/d/b"
    until_true 2 test ! -e "$M/d/b"
    same "$(ls -A "$M/d")" ""
    echo one >"$M/d/c" && same "$(cat "$B/d/c")" one
    echo longer >"$M/d/t" && mv "$M/d/t" "$M/d/c"
    until_true 3 sh -c "[ \"\$(cat $B/d/c)\" = longer ]"
    chmod 600 "$M/d/c"
    until_true 3 sh -c "[ \"\$(stat -c %a $B/d/c)\" = 600 ]"
    mkdir "$B/d/e" && rmdir "$M/d/e" || atf_fail "rmdir of what the other made"
    until_true 2 test ! -e "$B/d/e"

    # Of several creators with O_EXCL one wins; of several mkdirs and renames too.
    python3 - "$M" "$B" <<'PY' || atf_fail "exclusive creation"
import os, sys, threading, time
for i in range(60):
    won, start = [], threading.Barrier(8)
    def go(n):
        path = f"{sys.argv[1 + n % 2]}/x{i}"
        start.wait()
        try:
            if i % 2:
                os.mkdir(path)
            else:
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                os.write(fd, b"%d" % n)
                os.close(fd)
            won.append(n)
        except FileExistsError:
            pass
    threads = [threading.Thread(target=go, args=(n,)) for n in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(won) == 1, (i, won)
    if i % 2 == 0:
        time.sleep(0.1)  # entry_timeout_ms
        for side in sys.argv[1:3]:
            assert open(f"{side}/x{i}").read() == str(won[0]), (i, won)
PY
    # A file has as many writers as it likes, on any mount, each at its own place.
    python3 - "$M/w" "$B/w" <<'PY' || atf_fail "two writers"
import os, sys
first = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o644)
os.write(first, b"open\n")
other = os.open(sys.argv[2], os.O_APPEND | os.O_RDWR)
os.write(other, b"other\n")
for path in sys.argv[1:]:
    assert open(path).read() == "open\nother\n", path
os.write(first, b"more\n")
assert os.pread(other, 100, 0) == b"open\nmore\n\n"
os.write(other, b"end\n")
os.close(first)
os.close(other)
for path in sys.argv[1:]:
    assert open(path).read() == "open\nmore\n\nend\n", path
PY
    umount second || atf_fail umount
    until_true 5 sh -c "! pgrep -f '$B\$'"
}
two_mounts_see_each_other_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

atf_test_case an_ordinary_user_runs_a_cluster cleanup
an_ordinary_user_runs_a_cluster_head() {
    atf_set require.user root
    atf_set require.progs "jq su unshare fusermount3"
}
an_ordinary_user_runs_a_cluster_body() {
    unshare -m true 2>/dev/null || atf_skip "no mount namespaces here"
    chmod 755 "$PWD"
    mkdir home && chown nobody home
    cat >script <<'END'
    cd home
    export HOME=$PWD
    howdah up --dir "$HOME/c" --mount "$HOME/m" || exit 1
    cp -r /usr/share/perl m/perl && diff -r /usr/share/perl m/perl || exit 2
    [ "$(stat -c %U m/perl)" = nobody ] || exit 3
    HOWDAH_CONF=$HOME/c/howdah.conf
    export HOWDAH_CONF
    howdah fsck / | grep HEALTHY || exit 4
    cat $(find m/perl/ -name '*.pod') >m/pod
    runner streaming -input /pod -output /out -mapper 'tr -cs A-Za-z \n' -reducer 'uniq -c' || exit 5
    [ -e m/out/_SUCCESS ] || exit 6
    howdah admin checkpoint || exit 7
    howdah down --dir "$HOME/c" || exit 8
    ! mountpoint -q m || exit 9
    howdah up --dir "$HOME/c" || exit 10
    diff -r /usr/share/perl m/perl || exit 11
    howdah down --dir "$HOME/c"
END
    # Debian's /dev/fuse is open to all; where it is not, a node of our own stands in for it.
    unshare --mount --pid --fork --kill-child --mount-proc sh -ec "
        mknod $PWD/fuse c 10 229 && chmod 666 $PWD/fuse && mount --bind $PWD/fuse /dev/fuse
        su -s /bin/sh nobody -c 'PATH=$PATH; . $PWD/script'" ||
        atf_fail "as nobody: exit $?: $(tail -n 5 home/c/log/*.log)"
}
an_ordinary_user_runs_a_cluster_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case two_mounts_see_each_other
    atf_add_test_case an_ordinary_user_runs_a_cluster
}
