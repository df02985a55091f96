#!/usr/bin/env atf-sh
# Extended attributes, ACLs and quotas: through two mounts, and as HDFS's clients see them.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3 setfattr getfattr setfacl getfacl"
    atf_set timeout 240
}

two_mounts() {
    cluster_up "$@"
    mkdir other
    chmod 755 other
    howdah-mount "$(fs_uri)" other || atf_fail "the second mount"
    mkdir -m 777 "$M/r"
}

all_cleanup() {
    umount -l other 2>/dev/null
    cluster_cleanup
}

as_nobody() { su -s /bin/sh nobody -c "$1"; }
acl_of() { getfacl -cp "$1" | tr '\n' ' ' | sed 's/ *$//'; }

# Hadoop's own shell, when its jars are on this machine.
hadoop_shell() {
    jars=$(python3 -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))' 2>/dev/null)/jars
    java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$HADOOP_CONF_DIR:$jars/*" org.apache.hadoop.fs.FsShell "$@" \
        2>>hadoop.err
}
has_hadoop() {
    command -v java >/dev/null && python3 -c 'import pyspark' 2>/dev/null
}

atf_test_case xattrs_are_as_xattr_7_says cleanup
xattrs_are_as_xattr_7_says_head() { needs; }
xattrs_are_as_xattr_7_says_body() {
    two_mounts
    python3 - "$M/r" other/r <<'PY' || atf_fail "xattrs"
import errno, os, sys, time
a, b = sys.argv[1:]
f, g = f"{a}/f", f"{b}/f"
open(f, "w").close()
def fails(e, call, *args, **kw):
    try: call(*args, **kw)
    except OSError as x: assert x.errno == e, (x, errno.errorcode[e]); return
    raise AssertionError(f"{args} did not fail with {errno.errorcode[e]}")
assert os.listxattr(f) == [] and os.listxattr(g) == []
fails(errno.ENODATA, os.getxattr, f, "user.k")
fails(errno.ENODATA, os.getxattr, f, "security.capability")
os.setxattr(f, "user.k", b"v"); assert os.getxattr(g, "user.k") == b"v"
fails(errno.EEXIST, os.setxattr, g, "user.k", b"w", os.XATTR_CREATE)
os.setxattr(g, "user.k", b"", os.XATTR_REPLACE); assert os.getxattr(f, "user.k") == b""
fails(errno.ENODATA, os.setxattr, f, "user.none", b"w", os.XATTR_REPLACE)
os.setxattr(f, "trusted.t", b"\0\1\2"); os.setxattr(f, "security.x", b"s")
assert sorted(os.listxattr(g)) == ["security.x", "trusted.t", "user.k"]
long = "user." + "n" * 250
os.setxattr(f, long, b"x"); fails(errno.ERANGE, os.setxattr, f, long + "n", b"x")
os.setxattr(f, "user.big", bytes(65536)); assert os.getxattr(g, "user.big") == bytes(65536)
fails(errno.E2BIG, os.setxattr, f, "user.big", bytes(65537))
os.setxattr(f, "user.big2", bytes(65536)); os.setxattr(f, "user.big3", bytes(65536))
fails(errno.ENOSPC, os.setxattr, f, "user.big4", bytes(65536))
fails(errno.EOPNOTSUPP, os.setxattr, f, "other.x", b"x"); fails(errno.EOPNOTSUPP, os.getxattr, f, "other.x")
for n in ("user.big", "user.big2", "user.big3", long): os.removexattr(g, n)
fails(errno.ENODATA, os.removexattr, f, "user.big")
os.symlink("f", f"{a}/l"); os.mkfifo(f"{a}/p")
fails(errno.EPERM, os.setxattr, f"{a}/l", "user.k", b"v", follow_symlinks=False)
fails(errno.EPERM, os.setxattr, f"{a}/p", "user.k", b"v")
os.setxattr(f"{a}/p", "trusted.k", b"v"); assert os.getxattr(f"{b}/p", "trusted.k") == b"v"
os.mkdir(f"{a}/d"); os.setxattr(f"{a}/d", "user.d", b"v"); assert os.getxattr(f"{b}/d", "user.d") == b"v"
os.link(f, f"{a}/f2"); assert os.getxattr(f"{b}/f2", "user.k") == b""
before = os.stat(f).st_ctime_ns; time.sleep(0.02); os.setxattr(g, "user.k", b"z"); assert os.stat(f).st_ctime_ns > before
for i in range(50):
    p, q = ((f, g), (g, f))[i % 2]
    os.setxattr(p, "user.n", str(i).encode()); assert os.getxattr(q, "user.n") == str(i).encode()
PY
    chmod 666 "$M/r/f"
    same "$(as_nobody "getfattr -m - $M/r/f 2>/dev/null | grep -c trusted")" 0 "trusted for nobody"
    as_nobody "setfattr -n user.o -v 1 $M/r/f" || atf_fail "nobody may write it"
    as_nobody "setfattr -n trusted.o -v 1 $M/r/f" 2>/dev/null && atf_fail "trusted by nobody"
    cp -a "$M/r/f" "$M/r/copy"
    same "$(getfattr --only-values -n user.k other/r/copy)" z "cp -a"
}
xattrs_are_as_xattr_7_says_cleanup() { all_cleanup; }

atf_test_case what_has_no_xattrs_is_not_asked_for cleanup
what_has_no_xattrs_is_not_asked_for_head() { needs; }
what_has_no_xattrs_is_not_asked_for_body() {
    two_mounts
    : >"$M/r/f"
    ls -l "$M/r" >/dev/null
    python3 - "$M/r/f" <<'PY' || atf_fail "reading absent attributes takes too long for an answer without a call"
import os, sys, time
f = sys.argv[1]; os.stat(f)
t = time.time()
for _ in range(3000):
    try: os.getxattr(f, "security.capability")
    except OSError: pass
assert time.time() - t < 3
PY
}
what_has_no_xattrs_is_not_asked_for_cleanup() { all_cleanup; }

atf_test_case acls_are_as_acl_5_says cleanup
acls_are_as_acl_5_says_head() { needs; }
acls_are_as_acl_5_says_body() {
    two_mounts
    cd "$M/r" || atf_fail "cd"
    o=$OLDPWD/other/r
    echo secret >f
    chmod 600 f
    as_nobody "cat $M/r/f" 2>/dev/null && atf_fail "not yet"
    setfacl -m u:nobody:r f
    same "$(acl_of "$o/f")" "user::rw- user:nobody:r-- group::--- mask::r-- other::---"
    same "$(as_nobody "cat $M/r/f")" secret "by the ACL"
    same "$(as_nobody "cat $o/f")" secret "by the ACL, on the other mount"
    same "$(stat -c %a "$o/f")" 640 "the mode's group bits are the mask"
    as_nobody "echo x >>$M/r/f" 2>/dev/null && atf_fail "read only"
    chmod g-r f # the mask
    same "$(acl_of "$o/f" | sed 's/#.*//')" "user::rw- user:nobody:r--	"
    as_nobody "cat $o/f" 2>/dev/null && atf_fail "masked"
    chmod 640 f
    as_nobody "cat $o/f" >/dev/null || atf_fail "unmasked"
    setfacl -b f
    same "$(acl_of "$o/f")" "user::rw- group::--- other::---"
    as_nobody "cat $o/f" 2>/dev/null && atf_fail "no ACL any more"
    # Groups: one entry that says yes is enough; an entry that matches hides the others'.
    setfacl -m g:nogroup:-,g:daemon:r,o::r f # a mask, or Linux does not look at the ACL
    as_nobody "cat $M/r/f" 2>/dev/null && atf_fail "the group's entry says no"
    setfacl -m g:nogroup:r f
    as_nobody "cat $o/f" >/dev/null || atf_fail "the group's entry says yes"
    # Default ACLs stand for the umask.
    mkdir d
    setfacl -d -m u::rwx,u:nobody:rwx,g::r-x,o::- d
    same "$(acl_of "$o/d" | grep -o 'default.*')" \
        "default:user::rwx default:user:nobody:rwx default:group::r-x default:mask::rwx default:other::---"
    (umask 077 && touch d/f && mkdir d/d)
    same "$(acl_of "$o/d/f" | sed 's/	#[^ ]* *//g; s/  */ /g')" \
        "user::rw- user:nobody:rwxgroup::r-xmask::rw- other::---" "of a file"
    same "$(acl_of "$o/d/d" | grep -o 'default.*')" "$(acl_of d | grep -o 'default.*')" "of a directory"
    touch d/f2 && ln -s f d/l
    same "$(stat -c %a "$o/d/f2")" 660
    mkdir -m 700 d/e
    same "$(stat -c %a d/e)" 700 "what was asked for masks"
    setfacl -k d
    same "$(acl_of "$o/d")" "user::rwx group::r-x other::r-x"
    setfacl -d -m u:nobody:r f 2>/dev/null && atf_fail "a default ACL of a file"
    # A mask without names is an ACL too.
    touch g && setfacl -m m::rw g
    same "$(acl_of "$o/g" | sed 's/	#[^ ]* *//g')" "user::rw- group::r-- mask::rw- other::r--"
    # A hundred names.
    i=1
    while [ $i -le 100 ]; do printf 'u:%d:r,' $((20000 + i)); i=$((i + 1)); done >../list
    setfacl -m "$(cat ../list)g:nogroup:r" g || atf_fail "many"
    same "$(getfacl -cpn "$o/g" | grep -c '^user:2')" 100
    # setgid goes when somebody who is not in the group sets an ACL.
    mkdir own && chown nobody:daemon own && chmod 2770 own
    as_nobody "setfacl -m u:daemon:rx $M/r/own" || atf_fail "the owner may"
    same "$(stat -c %A "$o/own" | cut -c7)" x "setgid"
    as_nobody "setfacl -m u:daemon:rx $M/r/f" 2>/dev/null && atf_fail "only the owner"
    cd .. && howdah down --dir "$D" >/dev/null && howdah up --dir "$D" --mount "$M" || atf_fail "restart"
    same "$(acl_of "$M/r/own" | grep -o 'user:daemon:...')" user:daemon:r-x "after a restart"
}
acls_are_as_acl_5_says_cleanup() { all_cleanup; }

atf_test_case hadoop_s_shell_sees_the_same cleanup
hadoop_s_shell_sees_the_same_head() { needs; }
hadoop_s_shell_sees_the_same_body() {
    has_hadoop || atf_skip "no java, or no jars of Hadoop's client"
    two_mounts
    mkdir "$M/r/d"
    hadoop_shell -setfacl -m user:nobody:rwx,group:daemon:r-x,default:user:nobody:r-x /r/d ||
        atf_fail "setfacl: $(cat hadoop.err)"
    same "$(acl_of other/r/d)" "user::rwx user:nobody:rwx group::r-x group:daemon:r-x mask::rwx other::r-x default:user::rwx default:user:nobody:r-x default:group::r-x default:mask::r-x default:other::r-x"
    hadoop_shell -touchz /r/d/h
    touch "$M/r/d/m"
    hadoop_shell -getfacl -R /r/d >acls
    same "$(grep -c '^user:nobody:r-x' acls)" 2 "files below, both ways"
    same "$(grep -c '^default:' acls)" 5
    same "$(hadoop_shell -ls -d /r/d | cut -c11)" + "ls"
    setfacl -x u:nobody other/r/d
    hadoop_shell -getfacl /r/d >acls
    grep -q '^user:nobody' acls && atf_fail "removed on a mount"
    hadoop_shell -setfacl -b /r/d
    same "$(acl_of "$M/r/d")" "user::rwx group::r-x other::r-x"
    hadoop_shell -setfacl -m default:user:nobody:r-x /r/d/h 2>/dev/null && atf_fail "of a file"
    setfattr -n user.k -v z "$M/r/d/m"
    hadoop_shell -setfattr -n user.h -v hdfs /r/d/m || atf_fail "setfattr: $(cat hadoop.err)"
    same "$(getfattr --only-values -n user.h other/r/d/m)" hdfs
    hadoop_shell -getfattr -d /r/d/m | grep -q '^user.k="z"' || atf_fail "getfattr"
    # What an HDFS user may do goes by the ACL.
    echo x >"$M/r/s" && chmod 600 "$M/r/s"
    HADOOP_USER_NAME=nobody howdah fs -cat /r/s >/dev/null 2>&1 && atf_fail "not yet"
    setfacl -m u:nobody:r "$M/r/s"
    same "$(HADOOP_USER_NAME=nobody howdah fs -cat /r/s)" x "an HDFS user by the ACL"
}
hadoop_s_shell_sees_the_same_cleanup() { all_cleanup; }

atf_test_case quotas_hold cleanup
quotas_hold_head() { needs; }
quotas_hold_body() {
    two_mounts
    mkdir "$M/r/q" "$M/r/q/sub" "$M/r/free"
    howdah admin quota set /r/q --names 5 --bytes 30M || atf_fail "set"
    w=$PWD
    o=$w/other/r
    cd "$M/r/q" || atf_fail "cd"
    touch 1 2 3 || atf_fail "three names"
    touch 4 2>"$w/err" && atf_fail "names over quota"
    grep -q 'quota exceeded' "$w/err" || atf_fail "$(cat "$w/err")"
    touch "$o/q/sub/4" 2>/dev/null && atf_fail "on the other mount, below"
    ln 1 5 2>/dev/null && atf_fail "another name"
    ln -s 1 5 2>/dev/null && atf_fail "a symlink"
    mkdir 5 2>/dev/null && atf_fail "a directory"
    touch ../free/f && mv ../free/f . 2>/dev/null && atf_fail "moved in"
    mv -n 1 1b && mv 1b 1 || atf_fail "within it everything goes"
    mv 1 ../free/ && mv ../free/f . || atf_fail "out and in"
    rm -f 2 3 f
    head -c 20000000 /dev/zero >a || atf_fail "20 MB fit"
    head -c 20000000 /dev/zero >b 2>"$w/err" && atf_fail "bytes over quota"
    grep -q 'quota exceeded' "$w/err" || atf_fail "$(cat "$w/err")"
    rm b
    until_true 10 touch small
    echo x >small || atf_fail "a small file fits"
    truncate -s 1G hole || atf_fail "holes are free"
    rm hole
    dd if=/dev/zero of=a bs=1M count=10 conv=notrunc status=none || atf_fail "overwriting is free"
    python3 - "$PWD" "$o/q" <<'PY' || atf_fail "growing files"
import errno, os, sys
q, other = sys.argv[1:]
fd = os.open(f"{q}/a", os.O_WRONLY | os.O_APPEND)
written, err = 20000000, 0
try:
    while written < 40_000_000: written += os.write(fd, bytes(1 << 20))
    os.fsync(fd)
except OSError as e: err = e.errno
try: os.close(fd)
except OSError as e: err = e.errno
assert err == errno.EDQUOT, err
size = os.stat(f"{other}/a").st_size
assert 20000000 <= size <= 30 << 20, size
assert open(f"{other}/a", "rb").read().count(0) == size, "what was taken is there"
os.truncate(f"{q}/a", 1000)
n = 0
try:
    while n < 40000: # small content counts too
        with open(f"{q}/small", "wb") as f: f.write(bytes(3000))
        os.rename(f"{q}/small", f"{q}/small"); n += 10000
except OSError as e: raise AssertionError(e)
PY
    cd "$w" || atf_fail "cd"
    howdah admin quota get /r/q --json >get.json
    same "$(jq .names get.json)" 5
    same "$(jq .bytes get.json)" 31457280
    same "$(jq .used_names get.json)" "$(find "$M/r/q" | wc -l)" "names in use"
    same "$(jq .used_bytes get.json)" 4000 "bytes in use"
    same "$(df -B1 --output=size "$M/r/q/sub" | tail -1 | tr -d ' ')" 31457280 "df"
    same "$(df -B1 --output=used other/r/q | tail -1 | tr -d ' ')" 4096 "df, in its blocks"
    same "$(df --output=itotal "$M/r/q" | tail -1 | tr -d ' ')" 5 "df -i"
    [ "$(df -B1 --output=size "$M/r/free" | tail -1)" -gt 31457280 ] || atf_fail "df beside it"
    # An HDFS client is held to it as well.
    head -c 40000000 /dev/zero >big
    howdah fs -put big /r/q/big 2>"$w/err" && atf_fail "put over quota"
    howdah fs -put get.json /r/q/j || atf_fail "a small one fits"
    howdah fs -rm -skipTrash /r/q/j /r/q/big >/dev/null 2>&1
    same "$(howdah admin quota list --json | jq -r '.[].path')" /r/q "list"
    howdah down --dir "$D" >/dev/null && howdah up --dir "$D" --mount "$M" || atf_fail "restart"
    same "$(howdah admin quota get /r/q --json | jq .used_bytes)" 4000 "counted anew"
    howdah admin quota clear /r/q || atf_fail "clear"
    head -c 40000000 /dev/zero >"$M/r/q/b" || atf_fail "no limit any more"
    same "$(howdah admin quota list --json | jq length)" 0
}
quotas_hold_cleanup() { all_cleanup; }

atf_test_case howdah_fs_has_them_too cleanup
howdah_fs_has_them_too_head() { needs; }
howdah_fs_has_them_too_body() {
    two_mounts
    mkdir "$M/r/d" && touch "$M/r/d/f"
    howdah fs -setfacl -m user:nobody:rwx,group:daemon:r-x,default:user:nobody:r-x /r/d || atf_fail "-m"
    same "$(howdah fs -getfacl /r/d | grep -v '^#' | grep .)" "$(getfacl -cp other/r/d | grep .)" "getfacl"
    howdah fs -setfacl -R -x user:nobody /r/d || atf_fail "-x"
    same "$(acl_of other/r/d | cut -d' ' -f2)" "group::r-x"
    howdah fs -setfacl --set user::rw-,user:daemon:rwx,group::---,mask::r--,other::--- /r/d/f || atf_fail "--set"
    howdah fs -getfacl /r/d/f | grep -q '^user:daemon:rwx	#effective:r--$' || atf_fail "effective"
    howdah fs -setfacl -m default:user:nobody:r-- /r/d/f 2>err && atf_fail "a default ACL of a file"
    grep -q 'only directories may have a default ACL' err || atf_fail "$(cat err)"
    howdah fs -setfacl -m user:nobody:rwz /r/d/f 2>/dev/null && atf_fail "nonsense"
    howdah fs -setfacl -b /r/d && howdah fs -setfacl -b /r/d/f || atf_fail "-b"
    same "$(acl_of "$M/r/d")" "user::rwx group::r-x other::r-x"
    howdah fs -setfattr -n user.k -v v /r/d/f || atf_fail "-setfattr"
    same "$(getfattr --only-values -n user.k other/r/d/f)" v
    same "$(howdah fs -getfattr -d /r/d/f | tail -1)" 'user.k="v"'
    howdah fs -setfattr -x user.k /r/d/f || atf_fail "-x"
    howdah fs -getfattr -n user.k /r/d/f 2>/dev/null && atf_fail "it was removed"
    true
}
howdah_fs_has_them_too_cleanup() { all_cleanup; }

atf_init_test_cases() {
    atf_add_test_case xattrs_are_as_xattr_7_says
    atf_add_test_case what_has_no_xattrs_is_not_asked_for
    atf_add_test_case acls_are_as_acl_5_says
    atf_add_test_case hadoop_s_shell_sees_the_same
    atf_add_test_case quotas_hold
    atf_add_test_case howdah_fs_has_them_too
}
