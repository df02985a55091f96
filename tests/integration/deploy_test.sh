#!/usr/bin/env atf-sh
# The package: what is in it, that it runs from where it is unpacked, and that its units, its example
# configuration and mount(8) make a cluster of several machines.
. @CMAKE_BINARY_DIR@/tests/cluster.subr
. @CMAKE_SOURCE_DIR@/tests/support/installed.subr

unpack() { # the package in ./root
    (cd @CMAKE_BINARY_DIR@ && cpack -G DEB -B "$OLDPWD/pack") >cpack.out 2>&1 || {
        cat cpack.out
        atf_fail "cpack failed"
    }
    deb=$(echo "$PWD"/pack/howdah_*.deb)
    dpkg-deb -x "$deb" root || atf_fail "dpkg-deb -x"
    rm -rf pack/_CPack_Packages
}

needs_package() { # [PROGRAM...]
    atf_set require.user root
    atf_set require.progs "jq cpack dpkg-deb dpkg-shlibdeps $*"
}

atf_test_case the_package_is_whole
the_package_is_whole_head() { needs_package; }
the_package_is_whole_body() {
    unpack
    for p in howdah howdah-meta howdah-data howdah-mount howdah-runner runner; do
        [ -x root/usr/bin/$p ] || atf_fail "usr/bin/$p is missing"
        atf_check -s exit:0 -o not-empty root/usr/bin/$p --help
    done
    same "$(readlink -f root/usr/sbin/mount.howdah)" "$PWD/root/usr/bin/howdah-mount"
    for page in @CMAKE_SOURCE_DIR@/docs/man/*.[1-8]; do
        [ -e "root/usr/share/man/man${page##*.}/${page##*/}" ] || atf_fail "${page##*/} is missing"
    done
    for c in howdah runner; do
        bash -n root/usr/share/bash-completion/completions/$c || atf_fail "completion of $c"
    done
    for u in meta secondary data@ manager agent@ mount@; do
        f=root/usr/lib/systemd/system/howdah-$u.service
        program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$f")
        [ -x "root/usr/bin/${program#/usr/bin/}" ] || atf_fail "$f starts $program"
        ! grep -q '@[A-Z_]*@' "$f" || atf_fail "$f is a template still"
    done
    for f in lib/sysusers.d/howdah.conf lib/tmpfiles.d/howdah.conf share/doc/howdah/examples/howdah.conf include/howdah/howdah.h; do
        [ -s root/usr/$f ] || atf_fail "usr/$f is missing"
    done
    atf_check -s exit:0 -o match:'Depends:.*fuse3' -o match:'Depends:.*libfuse3' dpkg-deb -I "$deb"
    # shellcheck disable=SC2010
    ! dpkg-deb -c "$deb" | grep -v '^[^ ]* root/root ' || atf_fail "files of another owner"
}

atf_test_case it_runs_from_where_it_is_unpacked cleanup
it_runs_from_where_it_is_unpacked_head() { needs_package; }
it_runs_from_where_it_is_unpacked_body() {
    unpack
    PATH=$PWD/root/usr/bin:$PATH
    cluster_up
    same "$(readlink "/proc/$(pid_of meta)/exe")" "$PWD/root/usr/bin/howdah-meta"
    same "$(readlink "/proc/$(pid_of mount)/exe")" "$PWD/root/usr/bin/howdah-mount"
    echo hello >"$M/hello"
    same "$(howdah fs -cat /hello)" hello
}
it_runs_from_where_it_is_unpacked_cleanup() { cluster_cleanup; }

atf_test_case units_make_a_cluster_of_several_machines
units_make_a_cluster_of_several_machines_head() {
    needs_package unshare setpriv ip systemd-sysusers systemd-tmpfiles
    atf_set timeout 120
}
units_make_a_cluster_of_several_machines_body() {
    unpack
    cat >script <<'END'
if [ -e /usr/lib/systemd/system/sysinit.target ]; then
    systemd-analyze verify --man=no howdah-meta.service howdah-secondary.service howdah-manager.service \
        howdah-data@data-1.service howdah-agent@agent-1.service howdah-mount@srv-howdah.service >verify.out 2>&1 ||
        { cat verify.out; exit 1; }
    not grep howdah verify.out
fi
# The example is used as it is.
unit meta howdah-meta
unit meta howdah-manager
unit second howdah-secondary
for n in 1 2 3; do
    on data-$n install -d -o howdah-data /var/lib/howdah/data /var/lib/howdah/data/disk1 /var/lib/howdah/data/disk2
    unit data-$n howdah-data@data-$n
    unit data-$n howdah-agent@agent-$n
done
until_true 20 sh -c 'howdah admin report | grep -q "Live datanodes (3)"'
mkdir -p /srv/howdah
unit client howdah-mount@srv-howdah
until_true 10 mountpoint -q /srv/howdah
ps -o user:20,args -C howdah-meta,howdah-data,howdah-runner,howdah-mount
[ "$(ps -o user:20= -C howdah-data | sort -u)" = howdah-data ]
cp -r /usr/share/perl /srv/howdah/perl
diff -r /usr/share/perl /srv/howdah/perl
howdah fsck /perl | grep 'Average block replication' | grep -q '3\.0'
for n in 1 2 3; do
    for disk in 1 2; do
        on data-$n find /var/lib/howdah/data/disk$disk -name 'blk_*' | grep -q .
    done
done
howdah admin checkpoint
on second find /var/lib/howdah/secondary -name 'image_*.sha256' | grep .
on meta find /var/lib/howdah/meta -name 'image_*.sha256' | grep .
cat $(find /srv/howdah/perl/ -name '*.p[lm]') >/srv/howdah/text
runner streaming -input /text -output /out -mapper 'tr -cs A-Za-z \n' -reducer 'uniq -c' 2>&1 | tee job
[ -e /srv/howdah/out/_SUCCESS ]
grep local job | grep -v ' 0 %'
umount /srv/howdah
until_true 5 sh -c '! pgrep -x howdah-mount'
END
    installed "$PWD/root" "$PWD/script"
}

atf_test_case mount_and_fstab
mount_and_fstab_head() {
    needs_package unshare ip mount
    atf_set timeout 120
}
mount_and_fstab_body() {
    unpack
    cat >script <<'END'
export HADOOP_USER_NAME=root
howdah up --dir /srv/c --nodes 3 --mount /srv/m
uri=$(howdah status --dir /srv/c --json | jq -r .fs)
echo first >/srv/m/f
mkdir /srv/two /srv/three /srv/m/sub
echo below >/srv/m/sub/g

mount -t howdah "$uri" /srv/two -o ro,attr_timeout_ms=100,_netdev,nofail,x-systemd.automount
[ "$(cat /srv/two/f)" = first ]
grep ' /srv/two fuse.howdah ro,' /proc/mounts
touch /srv/two/x 2>&1 | grep 'Read-only file system'
(echo x >>/srv/two/f) 2>&1 | grep 'Read-only file system'
rm /srv/two/f 2>&1 | grep 'Read-only file system'
pid=$(pgrep -f "$uri /srv/two")
umount /srv/two
until_true 5 sh -c "! kill -0 $pid"

not mount -t howdah "$uri" /srv/two -o ro,no_such_option=1 2>err
grep no_such_option err
not mountpoint -q /srv/two
not mount -t howdah hdfs://127.0.0.1:1 /srv/two -o retry_s=1 2>err
cat err
not mountpoint -q /srv/two

# fstab: by mount point only, a second at the same time, a folder of the cluster, remount in place.
printf '%s\n' "$uri /srv/two howdah rw,noatime,_netdev,nofail,conf=/srv/c/howdah.conf 0 0" \
    "$uri/sub /srv/three howdah ro,noauto 0 0" >/etc/fstab
mount -a -t howdah
not mountpoint -q /srv/three
mount /srv/three
echo second >/srv/two/h
[ "$(cat /srv/m/h)" = second ]
[ "$(cat /srv/three/g)" = below ]
findmnt -t fuse.howdah
umount /srv/two /srv/three
until_true 5 sh -c '[ $(pgrep -cx howdah-mount) = 1 ]'
howdah down --dir /srv/c
not pgrep howdah
END
    installed "$PWD/root" "$PWD/script"
}

atf_init_test_cases() {
    atf_add_test_case the_package_is_whole
    atf_add_test_case it_runs_from_where_it_is_unpacked
    atf_add_test_case units_make_a_cluster_of_several_machines
    atf_add_test_case mount_and_fstab
}
