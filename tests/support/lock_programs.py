#!/usr/bin/env python3
"""Programs that lock files on one or two mounts: lock_programs.py SCENARIO MOUNT [OTHER MOUNT [ARG...]]

Each scenario is a function; it ends with an assertion error when something is not as fcntl(2) and
flock(2) say. Programs are processes of their own, which do what they are told over a pipe.
"""
import errno
import fcntl
import multiprocessing
import os
import signal
import struct
import sys
import time

F_OFD_SETLK, F_OFD_SETLKW = 37, 38
RD, WR, UN = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


def record(kind, start=0, length=0):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


class Program:
    """A process: p.lock(...) and the like give what the call gave, 0 or the name of its error."""

    def __init__(self):
        self.pipe, far = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.serve, args=(far,), daemon=True)
        self.process.start()

    def serve(self, pipe):
        self.fds = []
        signal.signal(signal.SIGALRM, lambda *a: None)
        signal.siginterrupt(signal.SIGALRM, True)
        while True:
            name, args = pipe.recv()
            try:
                result = getattr(self, "do_" + name)(*args)
                pipe.send(0 if result is None else result)
            except OSError as e:
                pipe.send("EDEADLK" if e.errno == errno.EDEADLK else errno.errorcode[e.errno])

    def do_open(self, path, flags=os.O_RDWR | os.O_CREAT):
        self.fds.append(os.open(path, flags, 0o666))
        return len(self.fds) - 1

    def do_dup(self, n):
        self.fds.append(os.dup(self.fds[n]))
        return len(self.fds) - 1

    def do_close(self, n):
        os.close(self.fds[n])

    def call(self, command, n, kind, start, length):
        # fcntl.fcntl repeats after a signal (PEP 475) unless the handler raises; lockf too.
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        buf = ctypes.create_string_buffer(record(kind, start, length))
        if libc.fcntl(self.fds[n], command, buf) != 0:
            e = ctypes.get_errno()
            raise OSError(e, os.strerror(e))
        return buf.raw[:-1]

    def do_lock(self, n, kind, start=0, length=0):
        self.call(fcntl.F_SETLK, n, kind, start, length)

    def do_wait(self, n, kind, start=0, length=0):
        self.call(fcntl.F_SETLKW, n, kind, start, length)

    def do_ofd(self, n, kind, start=0, length=0):
        self.call(F_OFD_SETLK, n, kind, start, length)

    def do_get(self, n, kind, start=0, length=0):
        kind, _, start, length, pid = struct.unpack("hhqqi4x",
                                                    self.call(fcntl.F_GETLK, n, kind, start, length))
        return (kind, start, length, pid)

    def do_flock(self, n, op):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.flock(self.fds[n], op) != 0:
            e = ctypes.get_errno()
            raise OSError(e, os.strerror(e))

    def do_alarm(self, seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def do_write(self, n, data, at):
        os.pwrite(self.fds[n], data, at)

    def start(self, name, *args):
        self.pipe.send((name, args))

    def result(self, timeout=30):
        assert self.pipe.poll(timeout), "no answer"
        return self.pipe.recv()

    def waits(self):
        return not self.pipe.poll(0.3)

    def kill(self):
        self.process.kill()
        self.process.join()

    def __getattr__(self, name):
        if name.startswith("do_") or name.startswith("_"):
            raise AttributeError(name)

        def tell(*args):
            self.start(name, *args)
            return self.result()
        return tell


def until(seconds, what):
    end = time.time() + seconds
    while not what():
        assert time.time() < end, "not true in time"
        time.sleep(0.05)


def two(a, b, name="lk"):
    p, q = Program(), Program()
    assert p.open(f"{a}/{name}") == 0 and q.open(f"{b}/{name}") == 0
    return p, q


def counting(a, b):
    """What is done under a lock is done by one at a time, whichever mount it came through."""
    here = "counter"

    def add(path, lock):
        for _ in range(60):
            with open(path, "r+") as f:
                lock(f, fcntl.LOCK_EX)
                with open(here) as c:
                    v = int(c.read())
                with open(here, "w") as c:
                    c.write(str(v + 1))

    for name, lock in (("p", fcntl.lockf), ("f", fcntl.flock)):
        open(f"{a}/{name}", "w").close()
        with open(here, "w") as c:
            c.write("0")
        ps = [multiprocessing.Process(target=add, args=(f"{m}/{name}", lock))
              for m in (a, b, a, b)]
        [p.start() for p in ps]
        [p.join() for p in ps]
        with open(here) as c:
            assert c.read() == "240", name


def ranges(a, b):
    p, q = two(a, b)
    assert p.lock(0, WR, 10, 10) == 0
    assert q.lock(0, WR, 0, 10) == 0 and q.lock(0, WR, 20, 0) == 0
    assert q.lock(0, RD, 19, 1) == "EAGAIN"
    assert q.get(0, RD, 0, 0)[:3] == (WR, 10, 10)
    kind, start, length, pid = p.get(0, WR, 0, 0)
    assert (kind, start, length) == (WR, 0, 10)
    assert p.lock(0, RD, 13, 2) == 0  # a hole for readers in the middle
    assert q.lock(0, RD, 13, 2) == 0 and q.lock(0, RD, 12, 2) == "EAGAIN"
    assert p.lock(0, WR, 13, 2) == "EAGAIN"  # not while the other reads
    assert q.lock(0, UN, 0, 0) == 0
    assert p.lock(0, WR, 0, 0) == 0 and q.get(0, RD, 0, 0)[:3] == (WR, 0, 0)
    assert p.lock(0, UN, 0, 0) == 0 and q.get(0, WR, 0, 0)[0] == UN
    r = Program()
    assert r.open(f"{a}/lk", os.O_RDONLY) == 0 and r.lock(0, WR) == "EBADF"
    assert r.lock(0, RD) == 0 and p.lock(0, WR) == "EAGAIN"  # two programs of one mount
    assert p.get(0, WR)[3] == r.process.pid


def closing(a, b):
    p, q = two(a, b)
    assert p.lock(0, WR) == 0 and p.open(f"{a}/lk") == 1 and p.close(1) == 0
    assert q.lock(0, WR) == 0, "any close of the file lets go of all"
    assert p.lock(0, WR) == "EAGAIN"
    q.kill()
    until(5, lambda: p.lock(0, WR) == 0)
    assert p.dup(0) == 2 and p.close(0) == 0  # the duplicate's close counts too
    r = Program()
    assert r.open(f"{b}/lk") == 0 and r.lock(0, WR) == 0


def flocks(a, b):
    p, q = two(a, b)
    sh, ex, un, nb = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, fcntl.LOCK_NB
    assert p.flock(0, sh) == 0 and q.flock(0, sh) == 0
    assert p.flock(0, ex | nb) == "EAGAIN"
    assert q.flock(0, ex | nb) == 0, "the other lost his when he asked for more"
    assert p.flock(0, sh | nb) == "EAGAIN" and q.flock(0, sh) == 0 and p.flock(0, sh | nb) == 0
    assert q.flock(0, un) == 0 and p.flock(0, ex) == 0
    assert p.open(f"{a}/lk") == 1 and p.flock(1, sh | nb) == "EAGAIN", "another open file"
    assert p.dup(0) == 2 and p.close(0) == 0
    assert q.flock(0, sh | nb) == "EAGAIN", "the duplicate holds it still"
    assert p.close(2) == 0
    until(5, lambda: q.flock(0, ex | nb) == 0)
    assert p.lock(1, WR) == 0, "the two kinds do not see each other"


def ofd(a, b):
    p, q = two(a, b)
    assert p.open(f"{a}/lk") == 1
    assert p.ofd(0, WR, 0, 10) == 0 and p.ofd(1, WR, 0, 10) == "EAGAIN"
    assert p.ofd(1, WR, 10, 10) == 0
    assert q.lock(0, WR, 5, 1) == "EAGAIN" and q.ofd(0, RD, 15, 1) == "EAGAIN"
    assert p.close(1) == 0
    until(5, lambda: q.ofd(0, RD, 15, 1) == 0)
    assert q.lock(0, WR, 5, 1) == "EAGAIN"
    p.kill()
    until(5, lambda: q.ofd(0, WR, 0, 0) == 0)


def waiting(a, b):
    p, q = two(a, b)
    r = Program()
    assert r.open(f"{a}/lk") == 0
    assert p.lock(0, WR) == 0
    q.start("wait", 0, WR)
    assert q.waits()
    r.start("wait", 0, WR)
    assert r.waits()
    assert p.lock(0, UN) == 0
    assert q.result() == 0, "the first to come"
    assert r.waits()
    q.kill()
    assert r.result() == 0
    assert p.flock(0, fcntl.LOCK_EX) == 0
    s = Program()
    assert s.open(f"{b}/lk") == 0
    s.start("flock", 0, fcntl.LOCK_SH)
    assert s.waits()
    assert p.close(0) == 0
    assert s.result() == 0


def signals(a, b):
    p, q = two(a, b)
    assert p.lock(0, WR) == 0
    assert q.alarm(0.3) == 0 and q.wait(0, WR) == "EINTR"
    assert p.lock(0, UN) == 0
    r = Program()
    assert r.open(f"{a}/lk") == 0 and r.lock(0, WR) == 0, "a wait that was given up gets nothing"
    assert q.alarm(0.3) == 0 and q.flock(0, fcntl.LOCK_SH) == 0
    assert p.flock(0, fcntl.LOCK_SH) == 0
    assert q.alarm(0.3) == 0 and q.flock(0, fcntl.LOCK_EX) == "EINTR"
    s = Program()
    assert s.open(f"{b}/lk") == 0
    s.start("wait", 0, WR)
    assert s.waits()
    s.kill()  # while it waits
    assert r.lock(0, UN) == 0 and p.lock(0, WR) == 0


def deadlock(a, b):
    p, q = two(a, b)
    assert p.open(f"{a}/lk2") == 1 and q.open(f"{b}/lk2") == 1
    assert p.lock(0, WR) == 0 and q.lock(1, WR) == 0
    p.start("wait", 1, WR)
    assert p.waits()
    assert q.wait(0, RD) == "EDEADLK"
    assert q.lock(1, UN) == 0 and p.result() == 0
    assert p.lock(0, UN) == 0 and p.lock(1, UN) == 0
    assert p.lock(0, RD) == 0 and q.lock(0, RD) == 0
    p.start("wait", 0, WR)
    assert p.waits()
    assert q.wait(0, WR) == "EDEADLK"
    q.kill()
    assert p.result() == 0


def killed_mount(a, b, mount_pid):
    """The mount of b dies: what its programs held is free again."""
    p, q = two(a, b)
    assert q.lock(0, WR) == 0 and q.flock(0, fcntl.LOCK_EX) == 0
    r = Program()
    assert r.open(f"{a}/lk") == 0
    p.start("wait", 0, WR)
    r.start("flock", 0, fcntl.LOCK_EX)
    assert p.waits() and r.waits()
    os.kill(int(mount_pid), signal.SIGKILL)
    assert p.result(40) == 0 and r.result(40) == 0


def restarted_meta(a, b, command):
    """Meta dies and comes back (by the command): what was held is held, who waited waits."""
    p, q = two(a, b)
    r = Program()
    assert r.open(f"{b}/other") == 0
    assert p.lock(0, WR, 0, 10) == 0 and p.lock(0, RD, 10, 10) == 0
    assert p.flock(0, fcntl.LOCK_EX) == 0
    q.start("wait", 0, WR, 15, 1)
    assert q.waits()
    assert os.system(command) == 0
    assert r.lock(0, WR) == 0, "once those that were there are back, others get what is free"
    assert r.open(f"{b}/lk") == 1
    assert r.lock(1, RD, 5, 1) == "EAGAIN" and r.lock(1, RD, 12, 1) == 0
    assert r.flock(1, fcntl.LOCK_SH | fcntl.LOCK_NB) == "EAGAIN"
    assert q.waits()
    assert p.lock(0, UN, 0, 0) == 0
    assert q.result() == 0
    assert r.lock(1, WR, 15, 1) == "EAGAIN"


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    for child in multiprocessing.active_children():
        child.kill()
