"""Random operations over several mounts of one filesystem, against one model in memory.

    mounts_model.py step SEED STEPS MOUNT_DIR...      one operation after the other: what one mount did,
                                                      the next call on any mount has to see
    mounts_model.py fsx SEED STEPS FILE [OTHER]       one file: read, write, mmap, truncate, punch, ...;
                                                      OTHER is the same file on another mount
    mounts_model.py crowd SEED SECONDS MOUNT_DIR...   all mounts at once in one directory, unordered;
                                                      afterwards all see the same

The seed repeats a run; a failure names the step. A line "step N: ..." a thousand steps.
"""
import ctypes
import errno
import mmap
import os
import random
import stat
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE, NOREPLACE = 2, 1
PUNCH, ZERO, KEEP = 2, 16, 1


def renameat2(a, b, flags):
    if LIBC.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags) < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), a)


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


class File:
    def __init__(self, mode):
        self.data = bytearray()
        self.mode = mode
        self.links = 1
        self.xattrs = {}
        self.mtime = None


class Model:
    """The tree: a dict is a directory, a str a symlink, a File a file."""

    def __init__(self):
        self.root = {}

    def find(self, path):
        at = self.root
        for part in path:
            at = at[part]
        return at

    def dirs(self):
        out = [()]
        for path in out:
            for name, child in self.find(path).items():
                if isinstance(child, dict):
                    out.append(path + (name,))
        return out


class Stepper:
    NAMES = ["a", "b", "c", "d", "e", "ü" * 20]

    def __init__(self, seed, mounts):
        self.rnd = random.Random(seed)
        self.mounts = mounts
        self.model = Model()
        self.handles = []  # (fd, File) open on some mount, perhaps without a name by now
        self.log = []

    def path(self, where, name=None, mount=None):
        parts = where if name is None else where + (name,)
        return os.path.join(self.rnd.choice(self.mounts) if mount is None else mount, *parts)

    def pick(self, kind=None):
        """A directory and a name in it that is there (of a kind)."""
        places = []
        for where in self.model.dirs():
            for name, child in self.model.find(where).items():
                if kind is None or isinstance(child, kind):
                    places.append((where, name, child))
        return self.rnd.choice(places) if places else None

    def fresh(self):
        where = self.rnd.choice([d for d in self.model.dirs() if len(d) < 4])
        return where, self.rnd.choice(self.NAMES)

    def drop(self, node):
        if isinstance(node, File):
            node.links -= 1

    def expect(self, err, call):
        try:
            call()
        except OSError as e:
            assert e.errno == err, f"errno {errno.errorcode[e.errno]}, wanted {errno.errorcode[err]}"
            return
        raise AssertionError(f"done, wanted {errno.errorcode[err]}")

    # ---- operations: each changes both, or nothing when it makes no sense ----

    def op_create(self):
        where, name = self.fresh()
        here = self.model.find(where)
        flags = os.O_RDWR | os.O_CREAT
        if name in here:
            self.expect(errno.EEXIST, lambda: os.open(self.path(where, name), flags | os.O_EXCL, 0o644))
            return
        mode = self.rnd.choice([0o644, 0o600, 0o755])
        fd = os.open(self.path(where, name), flags | os.O_EXCL, mode)
        here[name] = f = File(mode)
        f.data += self.rnd.randbytes(self.rnd.choice([0, 1, 100, 4096, 4097, 50000]))
        os.write(fd, f.data)
        if self.rnd.random() < 0.3 and len(self.handles) < 6:
            self.handles.append((fd, f))
        else:
            os.close(fd)

    def op_write(self):
        got = self.pick(File)
        if got is None:
            return
        where, name, f = got
        at = self.rnd.randrange(len(f.data) + 3000)
        data = self.rnd.randbytes(self.rnd.choice([1, 10, 512, 4096, 20000]))
        fd = os.open(self.path(where, name), os.O_WRONLY)
        if at > len(f.data):
            f.data += bytes(at - len(f.data))
        assert os.pwrite(fd, data, at) == len(data)
        f.data[at:at + len(data)] = data
        f.mtime = None
        os.close(fd)

    def op_append(self):
        got = self.pick(File)
        if got is not None:
            where, name, f = got
            data = self.rnd.randbytes(self.rnd.randrange(1, 6000))
            with open(self.path(where, name), "ab", 0) as out:
                out.write(data)
            f.data += data
            f.mtime = None

    def op_truncate(self):
        got = self.pick(File)
        if got is not None:
            where, name, f = got
            size = self.rnd.randrange(len(f.data) + 5000)
            os.truncate(self.path(where, name), size)
            f.data[size:] = bytes(max(0, size - len(f.data)))
            f.mtime = None

    def op_handle(self):
        if not self.handles:
            return
        i = self.rnd.randrange(len(self.handles))
        fd, f = self.handles[i]
        what = self.rnd.random()
        if what < 0.4:
            assert os.pread(fd, len(f.data) + 10, 0) == bytes(f.data), "an open file reads differently"
            st = os.fstat(fd)
            assert st.st_nlink == f.links, f"an open file has {st.st_nlink} links, not {f.links}"
            assert st.st_size == len(f.data)
        elif what < 0.7:
            data = self.rnd.randbytes(3000)
            at = self.rnd.randrange(len(f.data) + 1)
            os.pwrite(fd, data, at)
            f.data[at:at + 3000] = data
            f.mtime = None
        else:
            os.close(fd)
            del self.handles[i]

    def op_unlink(self):
        got = self.pick((File, str))
        if got is not None:
            where, name, node = got
            os.unlink(self.path(where, name))
            del self.model.find(where)[name]
            self.drop(node)

    def op_mkdir(self):
        where, name = self.fresh()
        here = self.model.find(where)
        if name in here:
            self.expect(errno.EEXIST, lambda: os.mkdir(self.path(where, name)))
        else:
            os.mkdir(self.path(where, name))
            here[name] = {}

    def op_rmdir(self):
        got = self.pick(dict)
        if got is not None:
            where, name, node = got
            if node:
                self.expect(errno.ENOTEMPTY, lambda: os.rmdir(self.path(where, name)))
            else:
                os.rmdir(self.path(where, name))
                del self.model.find(where)[name]

    def op_symlink(self):
        where, name = self.fresh()
        here = self.model.find(where)
        if name not in here:
            here[name] = "to/" + str(self.rnd.randrange(1000))
            os.symlink(here[name], self.path(where, name))

    def op_link(self):
        got = self.pick(File)
        where, name = self.fresh()
        here = self.model.find(where)
        if got is not None and name not in here:
            mount = self.rnd.choice(self.mounts)
            os.link(self.path(got[0], got[1], mount), self.path(where, name, mount))
            here[name] = got[2]
            got[2].links += 1

    def op_rename(self):
        got = self.pick()
        if got is None:
            return
        where, name, node = got
        to, other = self.fresh()
        src = where + (name,)
        mount = self.rnd.choice(self.mounts)
        a, b = self.path(where, name, mount), self.path(to, other, mount)
        there = self.model.find(to)
        target = there.get(other)
        if isinstance(node, dict) and to[:len(src)] == src:
            self.expect(errno.EINVAL, lambda: os.rename(a, b))
            return
        if target is not None and isinstance(target, dict) and target and to + (other,) == src[:len(to) + 1]:
            # Over a directory above it, whatever it is.
            if to + (other,) != src:
                self.expect(errno.ENOTEMPTY, lambda: os.rename(a, b))
            return
        if to + (other,) == src or (target is node and isinstance(node, File)):
            os.rename(a, b)
            return
        if target is None:
            os.rename(a, b)
        elif isinstance(target, dict) != isinstance(node, dict):
            self.expect(errno.EISDIR if isinstance(target, dict) else errno.ENOTDIR, lambda: os.rename(a, b))
            return
        elif isinstance(target, dict) and target:
            self.expect(errno.ENOTEMPTY, lambda: os.rename(a, b))
            return
        else:
            os.rename(a, b)
            self.drop(target)
        del self.model.find(where)[name]
        there[other] = node

    def op_exchange(self):
        one, two = self.pick(), self.pick()
        if one is None or two is None:
            return
        p, q = one[0] + (one[1],), two[0] + (two[1],)
        if p[:len(q)] == q or q[:len(p)] == p:
            return
        mount = self.rnd.choice(self.mounts)
        renameat2(self.path(p, None, mount), self.path(q, None, mount), EXCHANGE)
        self.model.find(one[0])[one[1]], self.model.find(two[0])[two[1]] = two[2], one[2]

    def op_chmod(self):
        got = self.pick(File)
        if got is not None:
            got[2].mode = self.rnd.choice([0o600, 0o640, 0o755, 0o4755, 0o444])
            os.chmod(self.path(got[0], got[1]), got[2].mode)

    def op_times(self):
        got = self.pick(File)
        if got is not None:
            got[2].mtime = self.rnd.randrange(10**18)
            os.utime(self.path(got[0], got[1]), ns=(1, got[2].mtime))

    def op_xattr(self):
        got = self.pick(File)
        if got is not None:
            where, name, f = got
            key = self.rnd.choice(["user.a", "user.b", "user.c"])
            if key in f.xattrs and self.rnd.random() < 0.4:
                os.removexattr(self.path(where, name), key)
                del f.xattrs[key]
            else:
                f.xattrs[key] = self.rnd.randbytes(self.rnd.randrange(100))
                os.setxattr(self.path(where, name), key, f.xattrs[key])

    # ---- what must be seen ----

    def look(self, where, name, mount):
        node = self.model.find(where).get(name)
        path = self.path(where, name, mount)
        try:
            st = os.lstat(path)
        except FileNotFoundError:
            assert node is None, f"{path} is not there"
            return
        assert node is not None, f"{path} is still there"
        if isinstance(node, dict):
            assert stat.S_ISDIR(st.st_mode), f"{path} is no directory"
            names = sorted(os.listdir(path))
            assert names == sorted(node), f"{path} lists {names}, not {sorted(node)}"
            assert st.st_nlink == 2 + sum(isinstance(c, dict) for c in node.values()), f"{path}: links"
        elif isinstance(node, str):
            assert os.readlink(path) == node, f"{path} leads elsewhere"
        else:
            assert st.st_size == len(node.data), f"{path}: {st.st_size} bytes, not {len(node.data)}"
            assert st.st_nlink == node.links, f"{path}: {st.st_nlink} links, not {node.links}"
            assert stat.S_IMODE(st.st_mode) == node.mode, f"{path}: mode {oct(st.st_mode)}"
            assert node.mtime is None or st.st_mtime_ns == node.mtime, f"{path}: mtime {st.st_mtime_ns}, not {node.mtime}"
            with open(path, "rb") as f:
                assert f.read() == bytes(node.data), f"{path}: other bytes"
            names = sorted(n for n in os.listxattr(path) if n.startswith("user."))
            assert names == sorted(node.xattrs), f"{path}: xattrs {names}"
            for key, value in node.xattrs.items():
                assert os.getxattr(path, key) == value, f"{path}: {key}"

    def check_some(self):
        for _ in range(2):
            where = self.rnd.choice(self.model.dirs())
            here = self.model.find(where)
            name = self.rnd.choice(list(here) + self.NAMES)
            self.look(where, name, self.rnd.choice(self.mounts))

    def check_all(self):
        for mount in self.mounts:
            for where in self.model.dirs():
                for name in list(self.model.find(where)) + self.NAMES:
                    self.look(where, name, mount)

    def run(self, steps):
        ops = [getattr(self, n) for n in dir(self) if n.startswith("op_")]
        for step in range(steps):
            op = self.rnd.choice(ops)
            try:
                op()
                self.check_some()
                if step % 500 == 499:
                    self.check_all()
            except (AssertionError, OSError) as e:
                sys.exit(f"step {step} ({op.__name__}): {e!r}")
            if step % 1000 == 999:
                print(f"step {step + 1}: good", flush=True)
        self.check_all()
        for fd, _ in self.handles:
            os.close(fd)


def fsx(seed, steps, path, other):
    rnd = random.Random(seed)
    model = bytearray()
    top = 3_000_000
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def grow(size):
        if size > len(model):
            model.extend(bytes(size - len(model)))

    for step in range(steps):
        at, n = rnd.randrange(top), rnd.randrange(1, 70_000)
        what = rnd.choice(["write", "write", "read", "read", "truncate", "map write", "map read", "punch", "zero",
                           "allocate", "sync", "reopen", "copy", "append", "seek", "other"])
        try:
            if what == "write":
                data = rnd.randbytes(n)
                grow(at)
                model[at:at + n] = data
                assert os.pwrite(fd, data, at) == n
            elif what == "read":
                assert os.pread(fd, n, at) == bytes(model[at:at + n]), f"read {at}+{n}"
            elif what == "truncate":
                os.ftruncate(fd, at)
                grow(at)
                del model[at:]
            elif what.startswith("map") and len(model) > 10:
                with mmap.mmap(fd, len(model)) as m:
                    a = rnd.randrange(len(model))
                    b = min(len(model), a + n)
                    if what == "map read":
                        assert m[a:b] == bytes(model[a:b]), f"mapped {a}-{b}"
                    else:
                        data = rnd.randbytes(b - a)
                        m[a:b] = data
                        model[a:b] = data
                        if rnd.random() < 0.5:
                            m.flush()
            elif what == "punch":
                fallocate(fd, PUNCH | KEEP, at, n)
                end = min(len(model), at + n)
                if at < end:
                    model[at:end] = bytes(end - at)
            elif what == "zero":
                fallocate(fd, ZERO, at, n)
                grow(at + n)
                model[at:at + n] = bytes(n)
            elif what == "allocate":
                fallocate(fd, 0, at, n)
                grow(at + n)
            elif what == "sync":
                os.fsync(fd)
            elif what == "reopen":
                os.close(fd)
                fd = os.open(path, os.O_RDWR)
            elif what == "copy" and len(model) > 0:
                src = rnd.randrange(len(model))
                if src + n <= at or at + n <= src:
                    done = os.copy_file_range(fd, fd, n, src, at)
                    data = model[src:src + done]
                    grow(at if done else 0)
                    model[at:at + done] = data
            elif what == "append":
                data = rnd.randbytes(min(n, 5000))
                if len(model) < top:
                    with open(path, "ab", 0) as f:
                        f.write(data)
                    model += data
            elif what == "seek" and len(model) > 0:
                a = rnd.randrange(len(model))
                try:
                    d = os.lseek(fd, a, os.SEEK_DATA)
                    assert not any(model[a:d]), f"SEEK_DATA skipped data in {a}-{d}"
                except OSError as e:
                    assert e.errno == errno.ENXIO and not any(model[a:]), f"SEEK_DATA at {a}"
                h = os.lseek(fd, a, os.SEEK_HOLE)
                assert a <= h <= len(model), f"SEEK_HOLE at {a} gave {h}"
            elif what == "other" and other is not None:
                with open(other, "rb") as f:
                    assert f.read() == bytes(model), "the other mount reads other bytes"
                if rnd.random() < 0.3 and len(model) > 0:
                    with open(other, "r+b", 0) as f:
                        a = rnd.randrange(len(model))
                        data = rnd.randbytes(min(2000, len(model) - a))
                        f.seek(a)
                        f.write(data)
                        model[a:a + len(data)] = data
            assert os.fstat(fd).st_size == len(model), f"size {os.fstat(fd).st_size}, not {len(model)}"
        except (AssertionError, OSError) as e:
            sys.exit(f"step {step} ({what} {at}+{n} of {len(model)}): {e!r}")
        if step % 1000 == 999:
            print(f"step {step + 1}: good", flush=True)
    os.close(fd)
    for p in filter(None, (path, other)):
        with open(p, "rb") as f:
            if f.read() != bytes(model):
                sys.exit(f"{p}: other bytes at the end")


def crowd(seed, seconds, mounts):
    """Everybody at the same few names. Each answer by itself must make sense; at the end all agree."""
    end = time.time() + seconds
    wrong = []
    slowest = [0.0]

    def one(k, mount):
        rnd = random.Random(seed * 100 + k)
        # ESTALE: the kernel looked twice, and both times the name had gone on (docs/consistency.md).
        fine = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL,
                errno.ESTALE}
        while time.time() < end and not wrong:
            a, b = (os.path.join(mount, rnd.choice("pqrst")) for _ in range(2))
            t0 = time.time()
            what = rnd.randrange(9)
            try:
                if what == 0:
                    new = os.path.join(mount, f"new-{k}")
                    with open(new, "w") as f:
                        f.write(f"{k} {rnd.random()}\n" * rnd.choice([1, 5, 500]))
                    os.rename(new, a)
                elif what == 1:
                    os.rename(a, b)
                elif what == 2:
                    os.unlink(a)
                elif what == 3:
                    os.link(a, b)
                elif what == 4:
                    os.listdir(mount)
                elif what == 5:
                    with open(a) as f:
                        lines = set(f.read().splitlines())
                        if len(lines) > 1:
                            wrong.append(f"{a}: torn: {list(lines)[:3]}")
                elif what == 6:
                    os.stat(a)
                elif what == 7:
                    renameat2(a, b, EXCHANGE)
                elif what == 8:
                    os.mkdir(a + ".d")
                    os.rmdir(a + ".d")
            except OSError as e:
                if e.errno not in fine:
                    wrong.append(f"{mount} {what} {a} {b}: {e!r}")
            slowest[0] = max(slowest[0], time.time() - t0)

    threads = [threading.Thread(target=one, args=(k, m)) for k, m in enumerate(mounts * 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        sys.exit("\n".join(wrong[:5]))
    seen = []
    for mount in mounts:
        seen.append({n: (os.stat(os.path.join(mount, n)).st_nlink, open(os.path.join(mount, n), "rb").read())
                     for n in os.listdir(mount)})
    if any(s != seen[0] for s in seen):
        sys.exit(f"the mounts differ: {[sorted(s) for s in seen]}")
    print(f"slowest call {slowest[0]:.3f} s")


def main(argv):
    if len(argv) < 5 or argv[1] not in ("step", "fsx", "crowd"):
        sys.exit(__doc__)
    seed, count = int(argv[2]), int(argv[3])
    if argv[1] == "step":
        Stepper(seed, argv[4:]).run(count)
    elif argv[1] == "fsx":
        fsx(seed, count, argv[4], argv[5] if len(argv) > 5 else None)
    else:
        crowd(seed, count, argv[4:])


if __name__ == "__main__":
    main(sys.argv)
