# What the benches share: a cluster of their own, and CPU-seconds over all its processes.
# Times are whole-process figures of the kernel (utime + stime); ratios are taken in one run.

set -u
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="${HOWDAH_BIN:-$top/build/release/bin}:$PATH"
BENCH=$(mktemp -d "${TMPDIR:-/tmp}/howdah-bench.XXXXXX")
D=$BENCH/cluster
M=$BENCH/mnt
export HOWDAH_CONF=$D/howdah.conf HADOOP_CONF_DIR=$D/hadoop-conf

bench_up() { howdah up --dir "$D" --nodes 3 --mount "$M" "$@"; }
bench_done() {
    howdah down --dir "$D" >/dev/null 2>&1
    mountpoint -q "$M" && umount -l "$M"
    rm -rf "$BENCH"
}
trap bench_done EXIT

ticks=$(getconf CLK_TCK)

# CPU-seconds so far of all daemons of the cluster.
daemons_cpu() {
    cat "$D"/run/*.pid | while read -r pid; do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{print $12 + $13}'
    done | awk -v t="$ticks" '{s += $1} END {printf "%.2f\n", s / t}'
}

# measure LABEL COMMAND...: wall seconds, and CPU-seconds of the command and all daemons.
measure() {
    local label=$1
    shift
    local d0 t0 d1 t1 own
    d0=$(daemons_cpu)
    t0=$(date +%s%N)
    own=$({ TIMEFORMAT='%U %S'; time "$@" >/dev/null 2>"$BENCH/err"; } 2>&1) || { cat "$BENCH/err"; return 1; }
    t1=$(date +%s%N)
    d1=$(daemons_cpu)
    wall=$(awk -v a="$t0" -v b="$t1" 'BEGIN {printf "%.3f", (b - a) / 1e9}')
    cpu=$(awk -v o="$own" -v a="$d0" -v b="$d1" 'BEGIN {split(o, p, " "); printf "%.2f", p[1] + p[2] + b - a}')
    printf '%-46s %8s s wall %8s s CPU\n' "$label" "$wall" "$cpu"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
