#!/usr/bin/env atf-sh
# Names and attributes of a mount, as of a local disk; and that what is known needs no meta.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 300
}

atf_test_case links_and_special_files cleanup
links_and_special_files_head() { needs; }
links_and_special_files_body() {
    cluster_up
    mkdir "$M/d" && cd "$M/d" || atf_fail "cd"
    echo a >a
    ln a b
    same "$(stat -c '%h %i' a)" "2 $(stat -c %i b)" "a link"
    echo more >>b
    same "$(wc -l <a)" 2 "lines through the other name"
    rm a
    same "$(stat -c %h b)" 1 "links left"
    mkfifo pipe && [ -p pipe ] || atf_fail "fifo"
    mknod zero c 1 5 && same "$(stat -c '%F %t %T' zero)" "character special file 1 5" "device"
    ln -s target link && same "$(readlink link)" target "symlink"
    mkdir sub && mv b sub/c && same "$(stat -c %h .)" 3 "links of a directory"
    atf_check -s exit:1 -e ignore ln sub sub2
    touch -d '2001-02-03 04:05:06.123456789Z' sub/c
    same "$(TZ=UTC stat -c %y sub/c)" "2001-02-03 04:05:06.123456789 +0000" "nanoseconds"
    chmod 6755 sub/c && chown 12345:54321 sub/c
    same "$(stat -c '%a %u %g' sub/c)" "755 12345 54321" "a new owner takes set-id bits away"
}
links_and_special_files_cleanup() { cluster_cleanup; }

atf_test_case names_of_any_bytes_and_renameat2 cleanup
names_of_any_bytes_and_renameat2_head() { needs; }
names_of_any_bytes_and_renameat2_body() {
    cluster_up
    mkdir "$M/d" && cd "$M/d" || atf_fail "cd"
    python3 - <<'PY' || atf_fail "names"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def move(a, b, flags): return 0 if libc.renameat2(-100, a, -100, b, flags) == 0 else ctypes.get_errno()
raw = bytes(c for c in range(1, 256) if c != ord("/"))
open(raw, "w").close()
assert os.listdir(b".") == [raw]
os.unlink(raw)
for call in (lambda n: open(n, "w"), os.mkdir, lambda n: os.symlink("x", n), os.stat):
    try: call(b"x" * 256); raise SystemExit("256 bytes in a name")
    except OSError as e: assert e.errno == errno.ENAMETOOLONG, e
for n in "pq": open(n, "w").write(n)
os.mkdir("dir"); open("dir/in", "w").close()
assert move(b"p", b"q", 1) == errno.EEXIST
assert move(b"p", b"q", 2) == 0 and open("p").read() == "q" and open("q").read() == "p"
assert move(b"p", b"dir", 2) == 0 and os.path.isdir("p") and open("dir").read() == "q"
assert move(b"p", b"nobody", 2) == errno.ENOENT
assert move(b"dir", b"q", 4) == errno.EINVAL
assert move(b"p", b"p/x", 0) == errno.EINVAL
assert os.listdir("p") == ["in"]
PY
}
names_of_any_bytes_and_renameat2_cleanup() { cluster_cleanup; }

atf_test_case an_open_file_needs_no_name cleanup
an_open_file_needs_no_name_head() { needs; }
an_open_file_needs_no_name_body() {
    cluster_up
    mkdir "$M/d"
    python3 - "$M/d" <<'PY' || atf_fail "unlinked"
import os, sys
os.chdir(sys.argv[1])
fd = os.open("u", os.O_RDWR | os.O_CREAT)
os.write(fd, b"still here"); os.unlink("u")
assert os.listdir(".") == [] and os.fstat(fd).st_nlink == 0
os.pwrite(fd, b"STILL", 0)
assert os.pread(fd, 20, 0) == b"STILL here"
a = os.open("a", os.O_RDWR | os.O_CREAT); os.write(a, b"x" * 100000); os.fsync(a)
open("b", "w").write("b"); os.rename("b", "a")
assert os.pread(a, 3, 99997) == b"xxx" and open("a").read() == "b"
d = os.open(".", os.O_DIRECTORY); os.unlink("a"); os.chdir(".."); os.rmdir("d")
assert os.fstat(d).st_nlink == 0
try: os.open("x", os.O_CREAT, dir_fd=d); raise SystemExit("made in a directory that is gone")
except FileNotFoundError: pass
PY
    until_true 20 no_blocks
}
no_blocks() { howdah fsck / | grep -Eq 'Total blocks[^0-9]*0|blocks: *0' || [ -z "$(find "$D"/data-*/ -name 'blk_*[0-9]' | head -1)" ]; }
an_open_file_needs_no_name_cleanup() { cluster_cleanup; }

atf_test_case who_makes_it_owns_it cleanup
who_makes_it_owns_it_head() { needs; }
who_makes_it_owns_it_body() {
    cluster_up
    mkdir -m 1777 "$M/t"
    python3 - "$M/t" <<'PY' || atf_fail "owners"
import os, sys
os.chdir(sys.argv[1])
if os.fork() == 0:
    os.setgroups([]); os.setgid(54321); os.setuid(12345); os.umask(0o027)
    open("f", "w").close(); os.mkdir("d", 0o777); os.symlink("x", "s"); os.mkfifo("p", 0o666)
    try: os.chown("f", 0, 0); os._exit(1)
    except PermissionError: pass
    os._exit(0)
assert os.wait()[1] == 0
for n, mode in (("f", 0o100640), ("d", 0o040750), ("s", 0o120777), ("p", 0o010640)):
    st = os.lstat(n); assert (st.st_uid, st.st_gid, st.st_mode) == (12345, 54321, mode), (n, st)
os.mkdir("g"); os.chown("g", 0, 54321); os.chmod("g", 0o2755); os.mkdir("g/sub"); open("g/f", "w").close()
assert os.stat("g/sub").st_gid == 54321 and os.stat("g/sub").st_mode & 0o2000 and os.stat("g/f").st_gid == 54321
if os.fork() == 0:
    os.setgid(1); os.setuid(1)
    try: os.unlink("f"); os._exit(1)
    except PermissionError: os._exit(0)
assert os.wait()[1] == 0
PY
}
who_makes_it_owns_it_cleanup() { cluster_cleanup; }

atf_test_case what_is_known_needs_no_meta cleanup
what_is_known_needs_no_meta_head() { needs; }
what_is_known_needs_no_meta_body() {
    cluster_up
    mkdir "$M/d"
    (cd "$M/d" && mkdir $(seq -f 'sub%g' 20) && for d in sub*; do touch $(seq -f "$d/f%g" 100); done)
    ls -lR "$M/d" >first
    ls -lR "$M/d" >second
    stat "$M/d/absent" 2>/dev/null
    kill -STOP "$(pid_of meta)"
    timeout 4 ls -lR "$M/d" >third || { kill -CONT "$(pid_of meta)"; atf_fail "ls asked meta"; }
    timeout 2 sh -c "stat '$M/d/sub3/f7' >/dev/null && ! stat '$M/d/absent' 2>/dev/null" ||
        { kill -CONT "$(pid_of meta)"; atf_fail "stat asked meta"; }
    kill -CONT "$(pid_of meta)"
    cmp second third || atf_fail "the listing differs"
    rm -rf "$M/d" && [ ! -e "$M/d" ] || atf_fail "rm"
}
what_is_known_needs_no_meta_cleanup() { kill -CONT "$(pid_of meta)" 2>/dev/null; cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case links_and_special_files
    atf_add_test_case names_of_any_bytes_and_renameat2
    atf_add_test_case an_open_file_needs_no_name
    atf_add_test_case who_makes_it_owns_it
    atf_add_test_case what_is_known_needs_no_meta
}
