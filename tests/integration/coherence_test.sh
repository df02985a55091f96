#!/usr/bin/env atf-sh
# Two mounts that keep what they know: neither shows what is not so any more, neither waits for the
# other for ever, and one that dies leaves nothing behind.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq python3"
    atf_set timeout 300
}

two_mounts() {
    cluster_up
    M2=$PWD/mnt-2
    mkdir "$M2"
    howdah-mount "$(fs_uri)" "$M2" || atf_fail "second mount"
}

all_cleanup() {
    umount -l mnt-2 2>/dev/null
    cluster_cleanup
}

atf_test_case nothing_old_is_seen cleanup
nothing_old_is_seen_head() { needs; }
nothing_old_is_seen_body() {
    two_mounts
    python3 - "$M" "$M2" <<'PY' || atf_fail "stale"
import os, sys
mounts = sys.argv[1:]
os.mkdir(f"{mounts[0]}/d")
for i in range(200):
    p, q = (f"{m}/d" for m in (mounts if i % 2 else reversed(mounts)))
    assert not os.path.exists(f"{q}/a") and not os.path.exists(f"{q}/b")     # kept: not there
    open(f"{p}/a", "w").write("x" * i)
    assert os.stat(f"{q}/a").st_size == i and os.listdir(q) == ["a"]
    os.chmod(f"{q}/a", 0o600 + i % 8); assert os.stat(f"{p}/a").st_mode & 0o777 == 0o600 + i % 8
    os.utime(f"{p}/a", ns=(i, i * 1001)); assert os.stat(f"{q}/a").st_mtime_ns == i * 1001
    os.link(f"{q}/a", f"{q}/b"); assert os.stat(f"{p}/a").st_nlink == 2
    os.unlink(f"{p}/a"); assert os.stat(f"{q}/b").st_nlink == 1 and not os.path.exists(f"{q}/a")
    os.rename(f"{q}/b", f"{q}/a"); assert os.listdir(p) == ["a"] and not os.path.exists(f"{p}/b")
    os.unlink(f"{p}/a"); assert os.listdir(q) == []
    os.mkdir(f"{p}/a"); assert os.path.isdir(f"{q}/a"); os.rmdir(f"{q}/a")
PY
}
nothing_old_is_seen_cleanup() { all_cleanup; }

atf_test_case what_an_hdfs_client_does_is_seen cleanup
what_an_hdfs_client_does_is_seen_head() { needs; }
what_an_hdfs_client_does_is_seen_body() {
    two_mounts
    mkdir "$M/d"
    for i in 1 2 3; do
        ls -l "$M/d" "$M2/d" >/dev/null
        stat "$M/d/f" "$M2/d/f" 2>/dev/null
        echo "$i" | howdah fs -put - /d/f || atf_fail "put"
        same "$(cat "$M/d/f" "$M2/d/f")" "$i
$i" "after put"
        howdah fs -mv /d/f /d/g || atf_fail "mv"
        same "$(ls "$M/d") $(ls "$M2/d")" "g g" "after mv"
        [ ! -e "$M/d/f" ] || atf_fail "the old name is there"
        howdah fs -rm -skipTrash /d/g || atf_fail "rm"
        same "$(ls "$M/d")$(ls "$M2/d")" "" "after rm"
    done
}
what_an_hdfs_client_does_is_seen_cleanup() { all_cleanup; }

atf_test_case both_change_one_directory cleanup
both_change_one_directory_head() { needs; }
both_change_one_directory_body() {
    two_mounts
    mkdir "$M/d"
    cat >change.py <<'PY'
import os, random, sys, time
d, who, end = sys.argv[1], sys.argv[2], time.time() + float(sys.argv[3])
rnd, slowest, n, stale = random.Random(who), 0, 0, 0
while time.time() < end:
    a, b = f"{d}/{rnd.randrange(8)}", f"{d}/{rnd.randrange(8)}"
    begun = time.time()
    try: rnd.choice([lambda: open(a, "w").close(), lambda: os.mkdir(a), lambda: os.rename(a, b),
                     lambda: os.unlink(a), lambda: os.rmdir(a), lambda: os.listdir(d)])()
    except OSError as e:
        # 116, ESTALE: the kernel looked twice, and both times the name had gone on (docs/consistency.md).
        assert e.errno in (2, 17, 20, 21, 22, 39, 116), e
        stale += e.errno == 116
    slowest, n = max(slowest, time.time() - begun), n + 1
print(f"{who}: {n} calls, slowest {slowest:.3f} s")
assert slowest < 5
assert stale * 1000 < n, f"{stale} of {n} calls gave ESTALE"
PY
    seconds=$(atf_config_get seconds 20)
    for who in 1 2 3 4; do
        eval "dir=\$M$([ $((who % 2)) -eq 0 ] && echo 2)/d"
        timeout $((seconds + 30)) python3 change.py "$dir" $who "$seconds" &
        pids="$pids $!"
    done
    for p in $pids; do wait "$p" || atf_fail "a changer failed or hung"; done
    same "$(ls -A "$M/d")" "$(ls -A "$M2/d")" "the directory in the end"
}
both_change_one_directory_cleanup() { all_cleanup; }

atf_test_case a_file_removed_elsewhere_stays_while_it_is_open cleanup
a_file_removed_elsewhere_stays_while_it_is_open_head() { needs; }
a_file_removed_elsewhere_stays_while_it_is_open_body() {
    two_mounts
    python3 - "$M" "$M2" <<'PY' || atf_fail "removed elsewhere"
import os, sys
a, b = sys.argv[1:]
for size in (10, 3_000_000):
    open(f"{a}/f", "wb").write(b"y" * size)
    fd = os.open(f"{b}/f", os.O_RDWR)
    os.unlink(f"{a}/f")
    assert not os.path.exists(f"{b}/f") and os.fstat(fd).st_nlink == 0
    assert os.pread(fd, size + 1, 0) == b"y" * size
    os.pwrite(fd, b"zz", 5); os.fsync(fd); assert os.pread(fd, 4, 4) == b"yzzy"
    open(f"{a}/f", "wb").write(b"new"); assert open(f"{b}/f", "rb").read() == b"new"
    os.close(fd); os.unlink(f"{b}/f")
PY
}
a_file_removed_elsewhere_stays_while_it_is_open_cleanup() { all_cleanup; }

atf_test_case meta_dies_meanwhile cleanup
meta_dies_meanwhile_head() { needs; }
meta_dies_meanwhile_body() {
    two_mounts
    mkdir "$M/d"
    python3 - "$M/d" "$M2/d" >out 2>&1 <<'PY' &
import os, sys, threading
wrong = []
def run(d, k):
    try:
        for i in range(300):
            open(f"{d}/{k}.{i}", "w").write(str(i)); os.rename(f"{d}/{k}.{i}", f"{d}/{k}-{i}")
    except OSError as e: wrong.append(f"{d} {i}: {e!r}")
threads = [threading.Thread(target=run, args=(d, f"{k}{n}")) for k in "ab" for n, d in enumerate(sys.argv[1:])]
[t.start() for t in threads]; [t.join() for t in threads]
assert not wrong, wrong
PY
    work=$!
    for i in 1 2; do
        sleep 0.5
        kill -9 "$(pid_of meta)"
        sleep 0.5
        howdah up --dir "$D" >/dev/null || atf_fail "up"
    done
    wait $work || { cat out; atf_fail "a call failed"; }
    same "$(ls "$M/d" | wc -l)" 1200 "files"
    same "$(ls "$M/d" | cksum)" "$(ls "$M2/d" | cksum)" "listings"
}
meta_dies_meanwhile_cleanup() { all_cleanup; }

atf_test_case a_dead_mount_leaves_nothing cleanup
a_dead_mount_leaves_nothing_head() { needs; }
a_dead_mount_leaves_nothing_body() {
    two_mounts
    echo first >"$M/f"
    python3 - "$M2" <<'PY' &
import fcntl, os, sys, time
f = open(f"{sys.argv[1]}/f", "a"); f.write("second\n"); f.flush(); os.fsync(f.fileno()); fcntl.lockf(f, fcntl.LOCK_EX)
g = open(f"{sys.argv[1]}/g", "w"); g.write("g" * 2000000); g.flush(); os.fsync(g.fileno()); os.unlink(f"{sys.argv[1]}/g")
open(f"{sys.argv[1]}/ready", "w").close()
time.sleep(1000)
PY
    holder=$!
    until_true 20 test -e "$M/ready"
    second=$(pgrep -f "howdah-mount .*$M2\$")
    kill -9 "$second" $holder
    umount -l "$M2"
    begun=$(date +%s)
    timeout 30 python3 - "$M/f" <<'PY' || atf_fail "what it held stays held"
import fcntl, sys
f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX)
assert f.read() == "first\nsecond\n"
f.write("third\n")
PY
    [ $(($(date +%s) - begun)) -lt 20 ] || atf_fail "it took too long"
    until_true 60 no_big_block
}
no_big_block() { [ -z "$(find "$D"/data-* -name 'blk_*' -size +1000k | head -1)" ]; }
a_dead_mount_leaves_nothing_cleanup() { all_cleanup; }

atf_init_test_cases() {
    atf_add_test_case nothing_old_is_seen
    atf_add_test_case what_an_hdfs_client_does_is_seen
    atf_add_test_case both_change_one_directory
    atf_add_test_case a_file_removed_elsewhere_stays_while_it_is_open
    atf_add_test_case meta_dies_meanwhile
    atf_add_test_case a_dead_mount_leaves_nothing
}
