#!/usr/bin/env atf-sh
# Pipelines and job files on a real cluster, against awk, sort and join.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

tab=$(printf '\t')
make_tables() { # rows: key, letters, number; names: of every other key
    awk 'BEGIN {srand(4); for (i = 0; i < 50000; i++) printf "%d\t%s\t%d\n", int(rand() * 5000), substr("abcdefghijklmnopqrstuvwxyz", 1 + int(rand() * 20), 5), int(rand() * 1000)}' >rows
    awk 'BEGIN {for (i = 0; i < 5000; i += 2) printf "%d\tname%d\n", i, i}' >names
    mkdir "$M/j" && cp rows names "$M/j/"
}
is_same() { # PIPELINE WHAT: the pipeline's lines, in any order, are those of the file `want`
    runner pipe "$1" >got 2>err || { cat err; atf_fail "$1: exit $?"; }
    sort got | cmp - want || atf_fail "$1: other lines than expected"
}

atf_test_case operations_equal_the_shells cleanup
operations_equal_the_shells_head() {
    atf_set require.user root
    atf_set require.progs jq
}
operations_equal_the_shells_body() {
    cluster_up
    make_tables
    grep abcde rows | sort >want && is_same 'read /j/rows | filter grep abcde'
    grep -E '([0-9])\1\1' rows | sort >want && is_same 'read /j/rows | grep -E "([0-9])\\1\\1"'
    grep 'a\{1\}b' rows | sort >want && is_same "read /j/rows | grep 'a\\{1\\}b' | filter grep ."
    grep -iE 'ABC|xyz' rows | sort >want && is_same 'read /j/rows | grep -iE "ABC|xyz"'
    cut -f2 rows | sort -u >want && is_same 'read /j/rows | map "cut -f2" | distinct | collect'
    cut -f2 rows | rev | grep c | sort >want && is_same 'read /j/rows | fields 2 | map rev | grep c | map cat'
    awk '{s[$1] += $3} END {for (k in s) print k "\t" s[k]}' rows | sort >want &&
        is_same 'read /j/rows | map "cut -f1,3" | reduceByKey sum'
    awk '{n[$2]++} END {for (k in n) print k "\t" n[k]}' rows | sort >want &&
        is_same 'read /j/rows key=2 | countByKey' && is_same 'read /j/rows | fields 2 | count | map cat'
    cat rows names | sort >want && is_same 'read /j/rows | union /j/names'
    cut -f1 rows | sort | uniq -c | sort >want && is_same 'read /j/rows | fields 1 | sortByKey | reduce "sh -c \"cut -f1 | uniq -c\""'
    join -t"$tab" -a 1 <(sort -k1,1 -t"$tab" rows) <(sort -k1,1 -t"$tab" names) |
        awk -F"$tab" -v OFS="$tab" 'NF == 3 {$4 = ""} 1' | sort >want && is_same 'join /j/rows /j/names how=left'
    runner pipe 'read /j/rows | sortByKey numeric desc' | cut -f1 >got
    cut -f1 rows | sort -nr | cmp - got || atf_fail "sortByKey numeric desc"
    same "$(runner pipe 'read /j/rows | take 5')" "$(head -5 rows)"
    same "$(runner pipe 'read /j/rows | count')" 50000
    same "$(runner pipe 'read /j/rows | flatMap tokens | count | top 3')" \
        "$(tr -s ' \t' '\n' <rows | sort | uniq -c | awk '{print $2"\t"$1}' | sort -t"$tab" -k2,2nr -k1,1 | head -3)"
    same "$(runner map 'grep -c abcde' "$M/j/rows" | awk '{s += $1} END {print s}')" "$(grep -c abcde rows)"
    same "$(runner distinct "$M/j/rows" "$M/j/names" | wc -l)" "$(sort -u rows names | wc -l)"
    same "$(ls -A "$M/user/root/.runner")" "" "nothing is left of pipelines"
}
operations_equal_the_shells_cleanup() { cluster_cleanup; }

atf_test_case job_files_are_checked_before_they_run cleanup
job_files_are_checked_before_they_run_head() {
    atf_set require.user root
    atf_set require.progs jq
}
job_files_are_checked_before_they_run_body() {
    cluster_up
    make_tables
    cat >visits.job <<'JOB'
job visits
  names = read /j/names
  rows  = read /j/$table persist=memory+disk
  both  = join rows names how=inner
  both | save /j/joined parts=2 if-exists=fail
  rows | countByKey | save /j/counts
JOB
    atf_check -s exit:3 -e match:'visits.job:3:.*-p table=' runner check visits.job
    atf_check -o match:good runner check visits.job -p table=rows
    atf_check -o match:'join inner, 2 reduces' -o match:'saved to /j/counts' runner explain visits.job -p table=rows
    atf_check -e ignore runner run visits.job -p table=rows
    join -t"$tab" <(sort -k1,1 -t"$tab" rows) <(sort -k1,1 -t"$tab" names) | sort >want
    cat "$M"/j/joined/part-* | sort | cmp - want || atf_fail "joined"
    same "$(cd "$M/j/joined" && echo *)" "_SUCCESS part-00000 part-00001"
    same "$(awk -F"$tab" '{s += $2} END {print s}' "$M"/j/counts/part-*)" 50000
    atf_check -s exit:4 -e match:'already exists' runner run visits.job -p table=rows
    sed -i s/=fail/=replace/ visits.job && rm -r "$M/j/counts"
    atf_check -e ignore runner run visits.job -p table=rows
    printf 'job bad\n  read /j/x\n  fliter cat\n' >bad.job
    atf_check -s exit:3 -e match:'bad.job:3:3: fliter.*filter' runner check bad.job
    atf_check -s exit:3 -e match:'bad.job:3:3' runner run bad.job
    atf_check -s exit:5 -e match:'does not exist' runner pipe 'read /j/none | count'
    atf_check -s exit:1 -e match:'false: exit 1' runner pipe 'read /j/rows | map false'
    atf_check -s exit:1 -e match:"'a' is not a number" runner pipe 'read /j/names | map "sed s/.*/k\\ta/" | reduceByKey sum'
    atf_check -s exit:64 -e match:Usage runner grep
}
job_files_are_checked_before_they_run_cleanup() { cluster_cleanup; }

atf_test_case odd_records_are_records_too cleanup
odd_records_are_records_too_head() {
    atf_set require.user root
    atf_set require.progs jq
}
odd_records_are_records_too_body() {
    cluster_up
    make_tables
    mkdir "$M/j/none" "$M/j/many"
    : >"$M/j/empty"
    printf 'b\0x\n\nb\0x\n\t\nlast' >"$M/j/odd" # NUL, empty, an empty key, no line end
    printf 'b\0x\n\nb\0x\n\t\nlast\n' | sort >want
    is_same 'read /j/odd' && is_same 'read /j/odd | map cat' && is_same 'read /j/odd | sortByKey | reduce cat'
    atf_check -e ignore runner pipe 'read /j/odd | sortByKey | map cat | filter cat | save /j/o2'
    cat "$M"/j/o2/part-* | sort | cmp - want || atf_fail "saved and read again"
    printf 'b\0x\n\n\t\nlast\n' | sort >want && is_same 'read /j/odd | distinct' && is_same 'read /j/odd | distinct | map cat'
    for input in /j/empty /j/none '/j/rows | grep nowhere' '/j/rows | map "grep nowhere"' '/j/empty | map cat' '/j/none | sort | map cat'; do
        same "$(runner pipe "read $input | count")" 0 "count of read $input"
        same "$(runner pipe "read $input | distinct | sort | map cat")" "" "read $input"
        same "$(runner pipe "read $input | take 3")" ""
    done
    head -c 3000000 /dev/zero | tr '\0' z >"$M/j/long"
    same "$(runner pipe 'read /j/long | map cat | distinct | tokens' | wc -c)" 3000001
    for i in $(seq 200); do echo "$i" >"$M/j/many/$i"; done
    n=$(runner pipe 'read /j/many | sample 0.5' | wc -l)
    [ "$n" -gt 50 ] && [ "$n" -lt 150 ] || atf_fail "sample 0.5 of 200 files with a line each gave $n"
    yes same | head -300000 >"$M/j/yes"
    same "$(runner pipe 'read /j/yes | sort | map cat | count')" 300000
    same "$(runner pipe 'read /j/yes | sort | reduce "uniq -c"' | awk '{s += $1} END {print s, $2}')" "300000 same"
    # A command whose reader has enough: a shell says 141, others complain and exit 1.
    for i in 1 2 3 4 5 6; do cat rows; done >"$M/j/big"
    same "$(runner pipe 'read /j/big | map "cat | cat" | take 5')" "$(head -5 rows)"
    printf '#!/usr/bin/perl\n$SIG{PIPE} = "IGNORE"; while (<>) {print or exit 3}\n' >stubborn && chmod 755 stubborn
    same "$(runner pipe "read /j/big | map $PWD/stubborn | take 5")" "$(head -5 rows)"
    same "$(runner pipe 'read /j/big | map "sed s/^//" | map "head -5"' | head -5)" "$(head -5 rows)"
    atf_check -s exit:1 -e match:'exit 3' runner pipe 'read /j/rows | map "sh -c \"cat; exit 3\"" | map cat'
}
odd_records_are_records_too_cleanup() { cluster_cleanup; }

atf_test_case replacing_waits_for_the_commit cleanup
replacing_waits_for_the_commit_head() {
    atf_set require.user root
    atf_set require.progs jq
}
replacing_waits_for_the_commit_body() {
    cluster_up
    mkdir -p "$M/j/out" && echo old >"$M/j/out/part-00000" && seq 3 >"$M/j/in"
    atf_check -s exit:1 -e not-empty runner pipe 'read /j/in | map false | save /j/out if-exists=replace'
    same "$(cat "$M/j/out/part-00000")" old "after a job that failed"
    atf_check -s exit:5 -e not-empty runner pipe 'read /j/nowhere | save /j/out if-exists=replace'
    same "$(cat "$M/j/out/part-00000")" old "after a job that could not begin"
    atf_check -s exit:4 -e match:'already exists' runner pipe 'read /j/in | map cat | save /j/out'
    atf_check -e ignore runner pipe 'read /j/out | map "sed s/^/very./" | save /j/out if-exists=replace' # its own input
    same "$(cat "$M"/j/out/part-*)" very.old
    atf_check -e ignore runner pipe 'read /j/in | distinct | save /j/out parts=2 if-exists=replace'
    same "$(cat "$M"/j/out/part-* | sort | xargs)" "1 2 3"
    atf_check -e ignore runner pipe 'read /j/in | save /j/new if-exists=replace' # nothing to replace
    same "$(cd "$M/j" && ls -A | xargs)" "in new out" "nothing else is left"
    # The second output stands there: nothing of the first is begun.
    printf 'read /j/in\nsave /j/first\nread /j/in\nsave /j/out\n' >two.job
    atf_check -s exit:4 -e match:'/j/out.*already exists' runner run two.job
    test ! -e "$M/j/first" || atf_fail "begun although the second output exists"
}
replacing_waits_for_the_commit_cleanup() { cluster_cleanup; }

atf_test_case an_end_in_the_middle_leaves_nothing cleanup
an_end_in_the_middle_leaves_nothing_head() {
    atf_set require.user root
    atf_set require.progs jq
}
an_end_in_the_middle_leaves_nothing_body() {
    cluster_up
    make_tables
    left() { same "$(ls -A "$M/user/root/.runner")" "" "$1"; }
    for i in 1 2 3 4 5 6; do cat rows; done >"$M/j/big"
    runner pipe 'read /j/big' | head -1 >first
    same "$(cat first)" "$(head -1 rows)"
    left "after a reader that had enough"
    for sig in INT TERM HUP; do
        setsid env --default-signal=INT runner pipe 'read /j/rows | countByKey | map "sleep 30" | distinct | count' >out 2>err &
        pid=$!
        until_true 20 sh -c "runner ps --json | jq -e '[.[] | select(.state == \"running\")] | length == 1'"
        sleep 1
        kill -$sig "$pid"
        code=0
        wait "$pid" || code=$?
        same "$code" 6 "exit code after $sig: $(cat err)"
        left "after $sig"
        until_true 10 sh -c "runner ps --json | jq -e 'length == 0'"
    done
    atf_check -s exit:1 -e not-empty runner pipe 'read /j/rows | countByKey | distinct | map false'
    left "after a failure"
}
an_end_in_the_middle_leaves_nothing_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case odd_records_are_records_too
    atf_add_test_case replacing_waits_for_the_commit
    atf_add_test_case an_end_in_the_middle_leaves_nothing
    atf_add_test_case operations_equal_the_shells
    atf_add_test_case job_files_are_checked_before_they_run
}
