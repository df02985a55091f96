"""Operations of programs on a mount, compared with a local directory or with what POSIX says.

    mount_model.py random MOUNT_DIR LOCAL_DIR SEED STEPS   random operations, every answer compared
    mount_model.py passthrough FILE                        readers passed through beside writers
    mount_model.py handles DIR                             unlinked, patched, shared and cut open files
    mount_model.py hot FILE LOCAL                          MB/s of FILE and of LOCAL, page cache hot
"""
import errno
import mmap
import os
import random
import stat
import sys
import time

NAMES = ["a", "b", "c", "d", "e"]
FLAGS = {
    "rewrite": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "append": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "new": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "both": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
}


def write(path, how, data, patch, sync):
    fd = os.open(path, FLAGS[how], 0o644)
    try:
        half = len(data) // 2
        os.write(fd, data[:half])
        if patch and how != "append" and half >= 5:
            os.pwrite(fd, b"PATCH", 0)
        if sync:
            os.fsync(fd)
        os.write(fd, data[half:])
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def read_at(path, at, size):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, size, at)
    finally:
        os.close(fd)


def look(path):
    s = os.lstat(path)
    size = 0 if stat.S_ISDIR(s.st_mode) else s.st_size
    return stat.S_IFMT(s.st_mode), stat.S_IMODE(s.st_mode), size, s.st_uid


def unlinked(path, data):
    fd = os.open(path, FLAGS["both"], 0o600)
    try:
        os.write(fd, data)
        os.unlink(path)
        same = os.pread(fd, len(data) + 1, 0) == data
        os.write(fd, b"zz")
        return same, os.fstat(fd).st_size, os.path.exists(path)
    finally:
        os.close(fd)


def set_time(path, t):
    os.utime(path, (t, t))
    return int(os.stat(path).st_mtime)


def cut(path, size):
    os.truncate(path, size)
    return os.stat(path).st_size


def set_mode(path, mode):
    os.chmod(path, mode)
    return look(path)


def set_attribute(path, value):
    os.setxattr(path, "user.t", value)
    return os.getxattr(path, "user.t"), os.listxattr(path)


def link(path, target):
    os.symlink(target, path)
    return os.readlink(path)


def choose(r):
    """An operation: function, paths below the directory, other arguments."""
    def path():
        return "/".join(r.choice(NAMES) for _ in range(r.randint(1, 3)))

    def data():
        size = r.randint(0, 3000) if r.random() < 0.7 else r.choice([0, 1, 70000, 1 << 20, r.randint(0, 6 << 20)])
        return r.randbytes(size)

    table = [
        (22, lambda: (write, [path()], r.choice(list(FLAGS)), data(), r.random() < 0.5, r.random() < 0.2)),
        (10, lambda: (read, [path()])),
        (6, lambda: (read_at, [path()], r.randint(0, 4000), r.randint(1, 4000))),
        (8, lambda: (look, [path()])),
        (10, lambda: (os.mkdir, [path()], r.choice([0o755, 0o700]))),
        (4, lambda: (os.rmdir, [path()])),
        (7, lambda: (os.unlink, [path()])),
        (10, lambda: (os.rename, [path(), path()])),
        (6, lambda: (lambda p: sorted(os.listdir(p)), [path()])),
        (4, lambda: (unlinked, [path()], data())),
        (4, lambda: (set_time, [path()], r.randint(1, 2**31))),
        (4, lambda: (cut, [path()], r.choice([0, 1, 100, 2999, 5000]))),
        (3, lambda: (set_mode, [path()], r.choice([0o644, 0o600, 0o755, 0o400]))),
        (1, lambda: (link, [path()], path())),
        (1, lambda: (set_attribute, [path()], r.randbytes(r.randint(1, 200)))),
    ]
    return r.choices([make for _, make in table], [weight for weight, _ in table])[0]()


def attempt(base, f, paths, *args):
    try:
        return "ok", f(*[base + "/" + p for p in paths], *args)
    except OSError as e:
        return "error", errno.errorcode.get(e.errno, e.errno)


def compare_trees(mount, local):
    for root, dirs, files in os.walk(local):
        there = os.path.join(mount, os.path.relpath(root, local))
        assert sorted(os.listdir(there)) == sorted(dirs + files), there
        for name in files:
            if not os.path.islink(os.path.join(root, name)):
                assert read(os.path.join(root, name)) == read(os.path.join(there, name)), name


def run_random(mount, local, seed, steps):
    r = random.Random(int(seed))
    os.mkdir(mount)
    os.mkdir(local)
    for step in range(int(steps)):
        operation = choose(r)
        want, got = attempt(local, *operation), attempt(mount, *operation)
        if want != got:
            sys.exit("seed %s step %d: %s%.80r: local %.80r, mount %.80r"
                     % (seed, step, operation[0].__name__, operation[1:], want, got))
    compare_trees(mount, local)


def run_passthrough(path):
    size = os.stat(path).st_size
    a, b = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    head = os.pread(a, 100, 0)
    w = os.open(path, os.O_WRONLY | os.O_APPEND)
    assert os.write(w, b"tail!") == 5
    c = os.open(path, os.O_RDONLY)
    assert os.pread(c, 10, size) == b"tail!" and os.pread(c, 100, 0) == head
    assert os.pread(a, 100, 0) == head and os.pread(b, 100, 0) == head
    assert os.fstat(c).st_size == size + 5
    os.close(w)
    d = os.open(path, os.O_RDONLY)
    assert os.pread(d, 10, size) == b"tail!" and os.pread(d, 100, 0) == head
    rw = os.open(path, os.O_RDWR)
    os.ftruncate(rw, size)
    assert os.fstat(rw).st_size == size and os.pread(d, 10, size) == b""
    for fd in (a, b, c, d, rw):
        os.close(fd)
    e = os.open(path, os.O_RDONLY)
    assert os.pread(e, 100, 0) == head and os.pread(e, 100, size) == b""
    m = mmap.mmap(e, size, mmap.MAP_SHARED, mmap.PROT_READ)
    assert m[:100] == head
    m.close()
    os.close(e)


def run_handles(base):
    p = base + "/f"
    with open(p, "wb") as f:  # a header filled in at the end
        f.write(b"0" * 16 + b"body" * 1000)
        f.seek(0)
        f.write(b"HEADER__")
    assert read(p)[:8] == b"HEADER__" and len(read(p)) == 4016
    w1, w2 = os.open(p, os.O_WRONLY | os.O_APPEND), os.open(p, os.O_WRONLY | os.O_APPEND)
    reader = os.open(p, os.O_RDONLY)
    os.write(w1, b"one")
    os.write(w2, b"two")
    assert os.pread(reader, 10, 4016) == b"onetwo"  # before any close
    os.close(w1)
    os.write(w2, b"three")
    os.close(w2)
    assert os.pread(reader, 20, 4016) == b"onetwothree"
    os.close(reader)
    fd = os.open(p, os.O_RDWR | os.O_TRUNC)
    os.pwrite(fd, b"end", 1 << 20)  # a gap is zeros
    os.fsync(fd)
    os.close(fd)
    assert read(p) == b"\0" * (1 << 20) + b"end"
    os.truncate(p, (1 << 20) + 10)
    assert read(p) == b"\0" * (1 << 20) + b"end" + b"\0" * 7
    for name in ("security.selinux", "system.posix_acl_access", "user.none"):
        try:
            os.getxattr(p, name)
            raise AssertionError(name)
        except OSError as e:
            assert e.errno in (errno.EOPNOTSUPP, errno.ENODATA), name
    assert os.getxattr(p, "user.howdah.path").decode().endswith("/f")
    assert os.listxattr(p) == []
    os.chmod(p, 0o4755)
    assert stat.S_IMODE(os.stat(p).st_mode) == 0o4755, "set-user-id"
    fd = os.open(p, os.O_RDWR)
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as m:
        m[:6] = b"mapped"
    assert os.pread(fd, 6, 0) == b"mapped", "a shared writable mapping"
    os.close(fd)


def speed(path):
    best = 0.0
    for _ in range(5):
        start = time.monotonic()
        size = 0
        with open(path, "rb", buffering=0) as f:
            while chunk := f.read(1 << 20):
                size += len(chunk)
        best = max(best, size / 1e6 / (time.monotonic() - start))
    return best


def run_hot(path, local):
    print("mount %.0f local %.0f MB/s" % (speed(path), speed(local)))


if __name__ == "__main__":
    globals()["run_" + sys.argv[1]](*sys.argv[2:])
