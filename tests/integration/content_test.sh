#!/usr/bin/env atf-sh
# Content through the mount: page cache and mappings, direct opens, appends from two mounts, holes,
# databases on two mounts, and a data node that dies while a file is overwritten.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 300
}

two_mounts() {
    cluster_up
    mkdir mnt-2
    howdah-mount "$(fs_uri)" mnt-2 || atf_fail "second mount"
}

all_cleanup() {
    umount -l mnt-2 2>/dev/null
    cluster_cleanup
}

atf_test_case appends_of_two_mounts_are_all_there cleanup
appends_of_two_mounts_are_all_there_head() { needs; }
appends_of_two_mounts_are_all_there_body() {
    two_mounts
    for k in 1 2 3; do
        for m in "$M" mnt-2; do
            (for i in $(seq 60); do echo "$m $k $i" >>"$m/log" || exit 1; done) &
            pids="$pids $!"
        done
    done
    for p in $pids; do wait "$p" || atf_fail "an append failed"; done
    same "$(sort -u "$M/log" | wc -l)" 360 "lines"
    same "$(sum_of "$M/log")" "$(sum_of mnt-2/log)"
}
appends_of_two_mounts_are_all_there_cleanup() { all_cleanup; }

atf_test_case mappings_see_what_others_write cleanup
mappings_see_what_others_write_head() { needs; }
mappings_see_what_others_write_body() {
    two_mounts
    python3 - "$M/f" mnt-2/f <<'PY' || atf_fail "mappings"
import mmap, os, sys
a, b = sys.argv[1:]
size = 300_000
fa = os.open(a, os.O_RDWR | os.O_CREAT); os.ftruncate(fa, size); ma = mmap.mmap(fa, size)
fb = os.open(b, os.O_RDWR); mb = mmap.mmap(fb, size)
for i in range(40):
    m, n = (ma, mb) if i % 2 else (mb, ma)
    at = (i * 7919) % (size - 100); data = bytes([i + 1]) * 100
    m[at:at + 100] = data; m.flush()
    assert n[at:at + 100] == data, f"round {i}"
os.pwrite(fa, b"by write", 12345); assert mb[12345:12353] == b"by write" and ma[12345:12353] == b"by write"
# A reader that was there first does not keep a later writer from mapping.
r = os.open(a, os.O_RDONLY); os.read(r, 10); w = os.open(a, os.O_RDWR); m = mmap.mmap(w, size); m[0:4] = b"late"; m.flush()
assert os.pread(r, 4, 0) == b"late" and open(b, "rb").read(4) == b"late"
PY
}
mappings_see_what_others_write_cleanup() { all_cleanup; }

atf_test_case direct_opens cleanup
direct_opens_head() { needs; }
direct_opens_body() {
    two_mounts
    head -c 3000000 /dev/urandom >want
    dd if=want of="$M/f" bs=64k oflag=direct status=none || atf_fail "direct write"
    cmp want mnt-2/f || atf_fail "other mount differs"
    dd if=mnt-2/f of=got bs=128k iflag=direct status=none || atf_fail "direct read"
    cmp want got || atf_fail "direct read differs"
    printf 'X' | dd of="$M/f" bs=1 seek=70000 conv=notrunc status=none
    same "$(dd if=mnt-2/f bs=1 skip=70000 count=1 status=none)" X
}
direct_opens_cleanup() { all_cleanup; }

atf_test_case holes_and_space cleanup
holes_and_space_head() { needs; }
holes_and_space_body() {
    two_mounts
    python3 - "$M/h" mnt-2/h <<'PY' || atf_fail "holes"
import ctypes, errno, os, sys
a, b = sys.argv[1:]; libc = ctypes.CDLL(None, use_errno=True)
def fallocate(fd, mode, off, n):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(n)): raise OSError(ctypes.get_errno(), "fallocate")
fd = os.open(a, os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 3 << 30); assert os.fstat(fd).st_blocks < 100
os.pwrite(fd, b"x" * 1_000_000, 1 << 30); os.fsync(fd)
assert os.lseek(fd, 0, os.SEEK_DATA) <= 1 << 30
fallocate(fd, 1 | 2, (1 << 30) + 4096, 8192)
want = bytearray(b"x" * 1_000_000); want[4096:12288] = bytes(8192)
assert os.pread(fd, 1_000_000, 1 << 30) == bytes(want)
fallocate(fd, 16, (1 << 30) + 100, 50); want[100:150] = bytes(50)
fallocate(fd, 0, 0, 1000)
try: fallocate(fd, 8, 0, 4096); raise SystemExit("collapse")
except OSError as e: assert e.errno == errno.EOPNOTSUPP
o = os.open(b, os.O_RDONLY); assert os.pread(o, 1_000_000, 1 << 30) == bytes(want); assert os.fstat(o).st_size == 3 << 30
c = os.open(a + ".copy", os.O_RDWR | os.O_CREAT); n = 0
while n < 1_000_000: n += os.copy_file_range(fd, c, 1_000_000 - n, (1 << 30) + n, n)
assert open(b + ".copy", "rb").read() == bytes(want)
PY
}
holes_and_space_cleanup() { all_cleanup; }

atf_test_case programs_that_were_just_written_run cleanup
programs_that_were_just_written_run_head() { needs; }
programs_that_were_just_written_run_body() {
    two_mounts
    cp /bin/echo "$M/e"
    same "$("$M/e" one)" one
    same "$(mnt-2/e two)" two
}
programs_that_were_just_written_run_cleanup() { all_cleanup; }

atf_test_case a_data_node_dies_while_a_file_is_overwritten cleanup
a_data_node_dies_while_a_file_is_overwritten_head() { needs; }
a_data_node_dies_while_a_file_is_overwritten_body() {
    two_mounts
    python3 - "$M/f" "$(pid_of data-2)" <<'PY' || atf_fail "overwriting"
import os, random, signal, sys
rnd = random.Random(9); fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); want = bytearray(rnd.randbytes(8_000_000)); os.pwrite(fd, want, 0)
for i in range(200):
    at = rnd.randrange(7_900_000); d = rnd.randbytes(rnd.randrange(1, 60_000)); want[at:at + len(d)] = d; os.pwrite(fd, d, at)
    if i == 90: os.kill(int(sys.argv[2]), signal.SIGKILL)
    if i % 30 == 0: os.fsync(fd)
os.close(fd); assert open(sys.argv[1], "rb").read() == bytes(want); open("want", "wb").write(want)
PY
    cmp want mnt-2/f || atf_fail "the other mount differs"
}
a_data_node_dies_while_a_file_is_overwritten_cleanup() { all_cleanup; }

atf_init_test_cases() {
    atf_add_test_case appends_of_two_mounts_are_all_there
    atf_add_test_case mappings_see_what_others_write
    atf_add_test_case direct_opens
    atf_add_test_case holes_and_space
    atf_add_test_case programs_that_were_just_written_run
    atf_add_test_case a_data_node_dies_while_a_file_is_overwritten
}
