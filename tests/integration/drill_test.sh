#!/usr/bin/env atf-sh
# Drills at small size: each holds on real daemons, the checker sees a loss when there is one, and
# whatever ends a drill undoes it.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.progs "jq python3"
    atf_set timeout 300
}

drill_cluster() { # NODES: without a mount, so that nobody needs to be root
    cluster_env
    howdah up --dir "$D" --nodes "$1" --no-mount --spare-ports >up.log 2>&1 || {
        cat up.log
        tail -n 20 "$D"/log/*.log
        atf_fail "howdah up failed"
    }
}

run_drill() { # NAME [options]: it must hold
    name=$1
    shift
    howdah drill run "$name" --yes --for 2s --load small --json "$@" >"$name.json" 2>"$name.err" || {
        code=$?
        cat "$name.err" "$name.json"
        tail -n 5 "$D"/log/*.log
        atf_fail "$name ended with $code"
    }
    jq -e --arg n "$name" '.drill == $n and .held == true and .acked > 0 and .lost == 0 and .wrong == 0 and
        (.longest_stall_s | has("read") and has("write") and has("metadata")) and has("noticed_s") and
        (.mended_s >= 0) and (.errors | type == "object")' "$name.json" >/dev/null || {
        cat "$name.json"
        atf_fail "$name: not a verdict"
    }
    [ ! -e "$D/drills/journal" ] || atf_fail "$name: its journal is there"
    howdah fs -ls / 2>/dev/null | grep -q howdah-drill && atf_fail "$name: its files are there"
    return 0
}

each_holds() { # NODES DRILL...
    drill_cluster "$1"
    shift
    for drill in "$@"; do
        run_drill "$drill"
        until_true 60 data_up
    done
}

data_up() { # everything but the mount, which was not started
    status | jq -e '(.safemode | not) and .blocks.missing == 0 and .blocks.under_replicated == 0 and
        .blocks.corrupt == 0 and
        ([.daemons[] | select(.role != "mount" and .state != "up")] | length == 0)' >/dev/null
}

holds() { # CASE NODES DRILL...: a case of its own for some drills that share a cluster
    eval "atf_test_case $1 cleanup
$1_head() { needs; }
$1_body() { each_holds $2 $3; }
$1_cleanup() { cluster_cleanup; }"
}

holds data_nodes_die_and_hang 4 "kill-data pause-data two-failures-at-once"
holds meta_and_secondary_die_and_hang 3 "kill-meta kill-secondary pause-meta pause-secondary"
holds the_runner_dies_and_hangs 3 "kill-agent kill-manager pause-agent pause-manager"
holds disks_are_slow_full_and_dead 4 "slow-disk full-disk dead-disk corrupt-block"
holds a_node_is_cut_off_and_clocks_jump 4 "partition clock-jump"
holds files_of_meta_are_damaged 3 "tear-edits tear-image corrupt-meta-file lose-leveldb"
holds everything_restarts 3 "reboot-all rolling-restart"
holds the_power_fails 3 "power-cut"
holds a_node_leaves_and_comes_back 4 "decommission"
holds the_secondary_takes_over 3 "promote"

# ---- a verdict that is bad ----

not_held() { # COMMAND: what happens to the cluster's files behind the drill's back
    drill_cluster 3
    HOWDAH_DRILL_BEFORE_VERDICT=$1 howdah drill run kill-secondary --yes --for 1s --load small --json \
        >out.json 2>err
    code=$?
    [ $code -eq 1 ] || {
        cat err out.json
        atf_fail "exit code $code instead of 1"
    }
    jq -e '.held == false' out.json >/dev/null || atf_fail "held: $(cat out.json)"
}

atf_test_case a_lost_file_is_seen cleanup
a_lost_file_is_seen_head() { needs; }
a_lost_file_is_seen_body() {
    # shellcheck disable=SC2016
    not_held 'f=$(howdah fs -ls "$HOWDAH_DRILL_FS_DIR" | awk "/file-/ && !/tmp/ {print \$8}" | head -n 1) &&
        howdah fs -rm -skipTrash "$f" >/dev/null'
    jq -e '.lost == 1 and .wrong == 0 and (.examples | length == 1)' out.json >/dev/null ||
        atf_fail "$(cat out.json)"
}
a_lost_file_is_seen_cleanup() { cluster_cleanup; }

atf_test_case a_name_that_came_back_is_seen cleanup
a_name_that_came_back_is_seen_head() { needs; }
a_name_that_came_back_is_seen_body() {
    # shellcheck disable=SC2016
    not_held 'd=$(awk "\$4 == \"delete\" && \$10 == \"ok\" {print \$5}" "$D"/drills/*/ledger | head -n 1) &&
        howdah fs -mkdir "$d"'
    jq -e '.lost == 1' out.json >/dev/null || atf_fail "$(cat out.json)"
}
a_name_that_came_back_is_seen_cleanup() { cluster_cleanup; }

atf_test_case other_bytes_are_seen cleanup
other_bytes_are_seen_head() { needs; }
other_bytes_are_seen_body() {
    # shellcheck disable=SC2016
    not_held 'f=$(howdah fs -ls "$HOWDAH_DRILL_FS_DIR" | awk "/file-/ && !/tmp/ && \$5 > 0 {print \$8}" | head -n 1) &&
        size=$(howdah fs -stat %b "$f") && head -c "$size" /dev/zero | howdah fs -put -f - "$f"'
    jq -e '.wrong == 1 and .lost == 0' out.json >/dev/null || atf_fail "$(cat out.json)"
}
other_bytes_are_seen_cleanup() { cluster_cleanup; }

atf_test_case a_bad_copy_behind_a_good_one_is_seen cleanup
a_bad_copy_behind_a_good_one_is_seen_head() { needs; }
a_bad_copy_behind_a_good_one_is_seen_body() {
    # Data and sums both: the node itself finds nothing wrong with its copy.
    cat >forge.py <<END
import glob, struct, sys
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
block = sys.argv[1]
with open(block, "r+b") as f:
    first = bytes(b ^ 1 for b in f.read(512))
    f.seek(0)
    f.write(first)
with open(glob.glob(block + "_*.meta")[0], "r+b") as f:
    f.seek(7)
    f.write(struct.pack(">I", crc32c(first)))
END
    # shellcheck disable=SC2016
    not_held 'b=$(find "$D/data-2" -path "*finalized*" -name "blk_*" ! -name "*.meta" -size +8k | sort | tail -n 1) &&
        python3 "$D/../forge.py" "$b"'
    # Once with its node named, and again when a reader happened to be given that very copy.
    jq -e '.wrong >= 1 and .lost == 0 and (.examples | any(test("blk_.* on .* has other bytes")))' out.json >/dev/null || {
        cat out.json
        atf_fail "the bad copy was not named"
    }
}
a_bad_copy_behind_a_good_one_is_seen_cleanup() { cluster_cleanup; }

# ---- it is refused ----

atf_test_case a_degraded_cluster_is_refused cleanup
a_degraded_cluster_is_refused_head() { needs; }
a_degraded_cluster_is_refused_body() {
    drill_cluster 3
    howdah fs -put /etc/services /f || atf_fail "put"
    kill -9 "$(pid_of data-2)"
    until_true 25 sh -c "howdah status --dir $D --json | jq -e '.blocks.under_replicated > 0'"
    atf_check -s exit:2 -o ignore -e match:'Refused: .*data-2 is' \
        howdah drill run kill-data --yes --for 1s
    howdah up --dir "$D" --no-mount >/dev/null || atf_fail "up"
    until_true 60 data_up
    kill -9 "$(pid_of secondary)"
    atf_check -s exit:2 -o ignore -e match:'Refused: .*secondary' howdah drill run kill-data --yes --for 1s
    howdah up --dir "$D" --no-mount >/dev/null || atf_fail "up"
}
a_degraded_cluster_is_refused_cleanup() { cluster_cleanup; }

atf_test_case what_makes_no_sense_is_refused cleanup
what_makes_no_sense_is_refused_head() { needs; }
what_makes_no_sense_is_refused_body() {
    atf_check -o match:kill-data -o match:two-failures-at-once howdah drill list
    atf_check -s exit:64 -o empty -e match:'no such drill' howdah drill run kill-everything --yes
    atf_check -s exit:64 -e match:'a time like' -o empty howdah drill run kill-data --for soon
    atf_check -s exit:64 -e not-empty -o empty howdah drill
    drill_cluster 3
    atf_check -s exit:2 -e match:'no such daemon' -o ignore howdah drill run kill-data --target data-9 --yes --for 1s
    atf_check -s exit:2 -e match:'acts on data' -o ignore howdah drill run kill-data --target meta --yes --for 1s
    atf_check -s exit:2 -e match:'more data nodes than copies' -o ignore howdah drill run decommission --yes --for 1s
    atf_check -s exit:2 -e match:'nobody is there to be asked' -o ignore sh -c 'howdah drill run kill-data </dev/null'
    atf_check -s exit:2 -e match:'--load heavy' -o ignore howdah drill run kill-data --load heavy --yes --for 1s
    howdah fs -put /etc/services /single || atf_fail "put"
    howdah fs -setrep 1 /single >/dev/null
    until_true 30 sh -c "howdah fsck --json /single | jq -e '.report[0].blocks[0].live == 1'"
    for n in data-1 data-2 data-3; do
        howdah drill run kill-data --target $n --for 1s </dev/null >"radius-$n" 2>&1
    done
    grep -l 'have no copy but those on' radius-data-* | wc -l | grep -qx ' *1' || atf_fail "$(cat radius-*)"
    atf_check -o match:'no drill is under way' howdah drill abort
    [ ! -e "$D/drills/journal" ] || atf_fail "a journal"
}
what_makes_no_sense_is_refused_cleanup() { cluster_cleanup; }

# ---- however it ends, it heals ----

begun() { grep -q ' fault ' drill.err; }

atf_test_case ctrl_c_heals_first cleanup
ctrl_c_heals_first_head() { needs; }
ctrl_c_heals_first_body() {
    drill_cluster 3
    pid=$(pid_of data-2)
    howdah drill run pause-data --target data-2 --yes --for 10m --json >drill.json 2>drill.err &
    drill=$!
    until_true 30 begun
    grep -q '^State:.*T' "/proc/$pid/status" || atf_fail "data-2 is not paused"
    atf_check -s exit:2 -o ignore -e match:'another drill is under way' howdah drill run kill-meta --yes
    kill -INT $drill
    wait $drill
    code=$?
    same $code 3 "exit code"
    grep -q '^State:.*T' "/proc/$pid/status" && atf_fail "data-2 is still paused"
    jq -e '.held == null and .outcome == "aborted"' drill.json >/dev/null || atf_fail "$(cat drill.json)"
    [ ! -e "$D/drills/journal" ] || atf_fail "the journal is there"
    until_true 60 data_up
}
ctrl_c_heals_first_cleanup() { cluster_cleanup; }

atf_test_case abort_ends_a_drill_elsewhere cleanup
abort_ends_a_drill_elsewhere_head() { needs; }
abort_ends_a_drill_elsewhere_body() {
    drill_cluster 3
    howdah drill run kill-data --target data-3 --yes --for 10m >drill.err 2>&1 &
    drill=$!
    until_true 30 begun
    atf_check -o match:'told to end' howdah drill abort
    wait $drill
    same $? 3 "exit code"
    until_true 60 data_up
}
abort_ends_a_drill_elsewhere_cleanup() { cluster_cleanup; }

atf_test_case a_killed_drill_is_healed_by_its_guard cleanup
a_killed_drill_is_healed_by_its_guard_head() { needs; }
a_killed_drill_is_healed_by_its_guard_body() {
    drill_cluster 3
    pid=$(pid_of meta)
    howdah drill run pause-meta --yes --for 10m >drill.err 2>&1 &
    drill=$!
    until_true 30 begun
    kill -9 $drill
    until_true 30 sh -c "! grep -q '^State:.*T' /proc/$pid/status"
    until_true 60 sh -c "[ ! -e $D/drills/journal ]"
    until_true 60 data_up
}
a_killed_drill_is_healed_by_its_guard_cleanup() { cluster_cleanup; }

atf_test_case what_no_guard_healed_is_healed_later cleanup
what_no_guard_healed_is_healed_later_head() { needs; }
what_no_guard_healed_is_healed_later_body() {
    drill_cluster 3
    howdah drill run lose-leveldb --yes --for 10m >drill.err 2>&1 &
    drill=$!
    until_true 30 begun
    sleep 1
    # shellcheck disable=SC2046
    kill -9 $(pgrep -P $drill) $drill # its guard is its only child by now; daemons it started are others'
    [ -e "$D/drills/journal" ] || atf_fail "no journal"
    [ ! -e "$D/meta/view" ] || atf_fail "the view is there"
    atf_check -o match:'undone: ' -e ignore howdah drill abort
    [ -e "$D/meta/view" ] || atf_fail "no view"
    until_true 60 data_up
}
what_no_guard_healed_is_healed_later_cleanup() { cluster_cleanup; }

# ---- several ----

atf_test_case a_game_day_is_planned_held_and_reported cleanup
a_game_day_is_planned_held_and_reported_head() { needs; }
a_game_day_is_planned_held_and_reported_body() {
    drill_cluster 4
    cat >day.ini <<END
title = A small game day
[kill-data]
for = 2s
load = small
target = data-2
note = nobody has to do anything
[hang]
drill = pause-secondary
for = 2s
load = small
read_s = 30
END
    atf_check -o match:'nothing has been changed' -o match:'pause-secondary' howdah drill plan day.ini --dry-run
    [ ! -e "$D/drills" ] || atf_fail "a dry run left something"
    howdah drill plan day.ini --yes --json >plan.json 2>plan.err || atf_fail "$(cat plan.err plan.json)"
    jq -e '.held and (.drills | length == 2) and ([.drills[] | .lost] | add == 0)' plan.json >/dev/null ||
        atf_fail "$(cat plan.json)"
    sed -i 's/^read_s = 30/read_s = 0/' day.ini
    atf_check -s exit:1 -o match:'above the plan' -e ignore howdah drill plan day.ini --yes
    atf_check -s exit:2 -e match:'kill-date' -o empty sh -c 'printf "[kill-date]\nfor = 1s\n" >bad.ini; howdah drill plan bad.ini'
    howdah drill soak --hours 0.0005 --seed 5 --for 1s --load small --yes --json >soak.json 2>soak.err ||
        atf_fail "$(cat soak.err soak.json)"
    jq -e '.held and .seed == 5 and .lost == 0 and .drills >= 1' soak.json >/dev/null || atf_fail "$(cat soak.json)"
    atf_check -o match:'kill-data .*held' -o match:'not held|held' howdah drill report
    howdah drill report --json | jq -e 'length >= 5 and (.[0].samples | length > 0)' >/dev/null || atf_fail "history"
    atf_check -o match:'drills, ' howdah drill report --html r.html
    grep -q '<html' r.html && grep -q '<svg' r.html || atf_fail "no report"
    python3 -c '
import html.parser, sys
class P(html.parser.HTMLParser):
    open = []
    def handle_starttag(self, t, a):
        if t not in ("meta", "br"): self.open.append(t)
    def handle_endtag(self, t):
        assert self.open and self.open.pop() == t, t
p = P(); p.feed(open("r.html").read()); p.close(); assert not p.open, p.open' || atf_fail "not well formed"
    atf_check -o match:'kill-data .*held' howdah drill list
}
a_game_day_is_planned_held_and_reported_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    for c in data_nodes_die_and_hang meta_and_secondary_die_and_hang the_runner_dies_and_hangs \
        disks_are_slow_full_and_dead a_node_is_cut_off_and_clocks_jump files_of_meta_are_damaged \
        everything_restarts the_power_fails a_node_leaves_and_comes_back the_secondary_takes_over \
        a_lost_file_is_seen a_name_that_came_back_is_seen other_bytes_are_seen \
        a_bad_copy_behind_a_good_one_is_seen a_degraded_cluster_is_refused \
        what_makes_no_sense_is_refused ctrl_c_heals_first abort_ends_a_drill_elsewhere \
        a_killed_drill_is_healed_by_its_guard what_no_guard_healed_is_healed_later \
        a_game_day_is_planned_held_and_reported; do
        atf_add_test_case $c
    done
}
