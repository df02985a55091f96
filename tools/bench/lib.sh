# What the benches share: a cluster of their own, CPU-seconds over all its processes, and lines of
# one form:   what   figure unit   goal   peers' figures (see docs/benchmarks.md for where from).
# Times are whole-process figures of the kernel (utime + stime); ratios are taken in one run.

set -u
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="${HOWDAH_BIN:-$top/build/release/bin}:$PATH"
BENCH=$(mktemp -d "${TMPDIR:-/tmp}/howdah-bench.XXXXXX")
D=$BENCH/cluster
M=$BENCH/mnt
export HOWDAH_CONF=$D/howdah.conf HADOOP_CONF_DIR=$D/hadoop-conf
ticks=$(getconf CLK_TCK)

bench_up() { howdah up --dir "$D" --nodes 3 --mount "$M"; }
bench_up_no_mount() { howdah up --dir "$D" --nodes 3 --no-mount; }
bench_down() { howdah down --dir "$D" >/dev/null 2>&1; }
bench_done() {
    bench_down
    local m
    for m in "$M" "$BENCH/ordinary"; do
        mountpoint -q "$m" && umount -l "$m"
    done
    rm -rf "$BENCH"
}
trap bench_done EXIT
trap 'exit 130' INT TERM

# meta_set KEY VALUE: a key of [meta], from the next start on.
meta_set() { sed -i "/^\[meta\]/a $1 = $2" "$HOWDAH_CONF"; }
fs_uri() { sed -n 's/^uri = //p' "$HOWDAH_CONF"; }

# line WHAT FIGURE UNIT [GOAL [PEERS]]
line() { printf '%-52s %10s %-8s %-16s %s\n' "$1" "$2" "${3:-}" "${4:+goal $4}" "${5:-}"; }

now_ns() { date +%s%N; }
ms_since() { echo $((($(now_ns) - $1) / 1000000)); }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# CPU-seconds so far of all daemons of the cluster, and of process ids given besides.
daemons_cpu() {
    { cat "$D"/run/*.pid; [ $# -eq 0 ] || printf '%s\n' "$@"; } | while read -r pid; do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{print $12 + $13}'
    done | awk -v t="$ticks" '{s += $1} END {printf "%.2f\n", s / t}'
}

# measure COMMAND...: sets wall (seconds) and cpu (CPU-seconds of the command and all daemons).
measure() {
    local d0 t0 own
    d0=$(daemons_cpu)
    t0=$(now_ns)
    own=$({ TIMEFORMAT='%U %S'; time "$@" >/dev/null 2>"$BENCH/err"; } 2>&1) || { cat "$BENCH/err" >&2; return 1; }
    wall=$(awk -v a="$t0" -v b="$(now_ns)" 'BEGIN {printf "%.2f", (b - a) / 1e9}')
    cpu=$(awk -v o="$own" -v a="$d0" -v b="$(daemons_cpu)" 'BEGIN {split(o, p, " "); printf "%.2f", p[1] + p[2] + b - a}')
}

# best_ms COMMAND...: the smallest wall of seven.
best_ms() {
    local t0
    for _ in 1 2 3 4 5 6 7; do
        t0=$(now_ns)
        "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; return 1; }
        ms_since "$t0"
    done | sort -n | head -1
}
