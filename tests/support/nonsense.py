"""Says nonsense to every port that the given processes listen on: nonsense.py SEED [SOCKET...] -- PID...

Random bytes, right beginnings with hostile lengths, messages cut anywhere, many idle connections.
Fails when a process is gone afterwards or has grown by more than 64 MiB.
"""
import os
import random
import re
import socket
import struct
import sys

split = sys.argv.index("--")
rand, unix, pids = random.Random(int(sys.argv[1])), sys.argv[2:split], [int(p) for p in sys.argv[split + 1:]]


def ports(pid):
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            m = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        if m:
            inodes.add(m.group(1))
    found = set()
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as f:
        for line in list(f)[1:]:
            w = line.split()
            if w[3] == "0A" and w[9] in inodes:
                found.add(int(w[1].split(":")[1], 16))
    return found


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def messages():
    noise = rand.randbytes
    hrpc = b"hrpc\x09\x00\x00"
    context = bytes.fromhex("0a") + varint(4) + b"root"
    header = b"\x08\x02\x10\x00\x18\x05\x22\x10" + noise(16) + b"\x28\x01"
    call = varint(len(header)) + header
    yield b""
    for n in (1, 3, 7, 100, 70000):
        yield noise(n)
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for length in (0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 64 << 20, 5):
        yield hrpc + struct.pack(">I", length) + noise(300)
        yield hrpc + struct.pack(">I", len(call)) + call + struct.pack(">I", length) + call + noise(50)
    yield hrpc + struct.pack(">I", len(call) + len(context)) + call + context
    for _ in range(30):
        frame = struct.pack(">I", len(call) + 20) + call + noise(20)
        yield (hrpc + frame * 3)[:rand.randrange(200)]
    for op in (80, 81, 82, 83, 84, 85, 86, 87, 88, 127, 0, 255):
        for length in (0, 1, 40, 0xffffffff, 0x7fffffff, 1 << 40, 1 << 63):
            yield struct.pack(">HB", 28, op) + varint(length) + noise(40)
        yield struct.pack(">HB", rand.randrange(65536), op) + noise(60)
    # Deep nesting, and a header of a read whose fields are noise.
    yield struct.pack(">HB", 28, 81) + varint(2000) + b"\x0a\xcd\x0f" * 600 + noise(200)


targets = [("127.0.0.1", p) for pid in pids for p in sorted(ports(pid))] + unix
assert len(targets) >= 10, targets
before = {pid: resident(pid) for pid in pids}
idle = []
for t in targets:
    for m in messages():
        s = socket.socket(socket.AF_UNIX if isinstance(t, str) else socket.AF_INET)
        s.settimeout(0.05)
        try:
            s.connect(t)
            s.sendall(m)
            if rand.random() < 0.5:
                s.shutdown(socket.SHUT_WR)
            if rand.random() < 0.3:
                s.recv(4096)
        except OSError:
            pass
        if rand.random() < 0.3 and len(idle) < 600:
            idle.append(s)
        else:
            s.close()
bad = []
for pid in pids:
    now = resident(pid)
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        name = f.read().strip()
    print(f"{name} {pid}: {before[pid] >> 20} -> {now >> 20} MiB")
    if now > before[pid] + (64 << 20):
        bad.append(f"{name} grew to {now >> 20} MiB")
sys.exit("; ".join(bad) if bad else 0)
