#!/usr/bin/env atf-sh
# Streaming jobs on real files, against the shell's own answer.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

want_counts() { tr -cs A-Za-z '\n' <"$1" | sort | uniq -c | awk 'NF == 2 {print $2"\t"$1}' | sort; }
got_counts() { cat "$1"/part-* | sed 's/\t$//' | awk 'NF == 2 {print $2"\t"$1}' | sort; }

atf_test_case word_count_equals_sort_and_uniq cleanup
word_count_equals_sort_and_uniq_head() {
    atf_set require.user root
    atf_set require.progs jq
    atf_set timeout 600
}
word_count_equals_sort_and_uniq_body() {
    cluster_up
    make_text 150000000 text
    mkdir "$M/in" && cp text "$M/in/a" && cp text.base "$M/in/b"
    { cat text && echo && cat text.base; } >all # a file's end is the end of a word
    runner streaming -input /in -output /out -mapper 'tr -cs A-Za-z \n' -reducer 'uniq -c' -numReduceTasks 2 2>job ||
        { cat job; atf_fail "job failed"; }
    cat job
    grep -q local job || atf_fail "no share of local tasks shown"
    same "$(cd "$M/out" && echo *)" "_SUCCESS part-00000 part-00001"
    want_counts all >want
    got_counts "$M/out" | cmp - want || atf_fail "counts differ"
    runner ps --json | jq -e . >/dev/null || atf_fail "ps --json"
}
word_count_equals_sort_and_uniq_cleanup() { cluster_cleanup; }

atf_test_case failures_have_their_exit_codes cleanup
failures_have_their_exit_codes_head() {
    atf_set require.user root
    atf_set require.progs jq
}
failures_have_their_exit_codes_body() {
    cluster_up
    mkdir "$M/in" "$M/there" && seq 1000 >"$M/in/a"
    atf_check -s exit:4 -e not-empty runner streaming -input /in -output /there -mapper cat
    atf_check -s exit:5 -e not-empty runner streaming -input /none -output /o -mapper cat
    atf_check -s exit:1 -e not-empty runner streaming -input /in -output /o -mapper false
    atf_check -s exit:1 -e match:'Required argument: -input' runner streaming -output /o -mapper cat
    atf_check -s exit:2 -e not-empty runner streaming -input /in -output /o -mapper cat -file /nosuchfile
    [ ! -e "$M/o" ] || atf_fail "a failed job left its output"
    atf_check -s exit:0 -e ignore -o ignore runner streaming -input /in -output /o -mapper cat -numReduceTasks 0
    same "$(cat "$M"/o/part-* | wc -l)" 1000
}
failures_have_their_exit_codes_cleanup() { cluster_cleanup; }

atf_test_case a_killed_agent_changes_no_byte cleanup
a_killed_agent_changes_no_byte_head() {
    atf_set require.user root
    atf_set require.progs jq
    atf_set timeout 600
}
a_killed_agent_changes_no_byte_body() {
    cluster_up
    make_text 300000000 text
    cp text "$M/in"
    runner streaming -input /in -output /out -mapper 'tr -cs A-Za-z \n' -reducer 'uniq -c' -numReduceTasks 2 2>job &
    job=$!
    sleep 2
    kill -9 "$(pid_of agent-1)"
    wait $job || { cat job; atf_fail "job failed"; }
    want_counts text >want
    got_counts "$M/out" | cmp - want || atf_fail "counts differ"
}
a_killed_agent_changes_no_byte_cleanup() { cluster_cleanup; }

atf_test_case a_killed_manager_changes_no_byte cleanup
a_killed_manager_changes_no_byte_head() {
    atf_set require.user root
    atf_set require.progs jq
    atf_set timeout 600
}
a_killed_manager_changes_no_byte_body() {
    cluster_up
    make_text 60000000 text
    cp text "$M/in"
    printf '#!/bin/sh\nsleep 0.3; exec tr -cs A-Za-z "\\n"\n' >words && chmod +x words # a file that the manager keeps
    want_counts text >want
    for pause in 0.1 0.5 1 2; do # in planning, in maps, in reduces
        runner streaming -D mapreduce.job.maps=6 -files words -input /in -output /out -mapper words \
            -reducer 'sh -c "sleep 0.5; uniq -c"' -numReduceTasks 2 2>job &
        job=$!
        sleep $pause
        kill -9 "$(pid_of manager)"
        howdah up --dir "$D" >up.log 2>&1 || { cat up.log; atf_fail "up after the kill"; }
        wait $job # the client may have died with its submission: then there was no job
        until_true 60 test -z "$(runner ps --json | jq -r '.[].id')"
        if [ "$pause" = 0.1 ] && [ ! -e "$M/out" ]; then
            continue
        fi
        test -e "$M/out/_SUCCESS" || { cat job; runner history; atf_fail "no output after a kill at $pause s"; }
        got_counts "$M/out" | cmp - want || atf_fail "counts differ after a kill at $pause s"
        same "$(runner history --json | jq -r '.[0].state')" succeeded
        rm -r "$M/out"
        same "$(ls -A "$M" | tr '\n' ' ')" "in " "nothing is left behind"
    done
    same "$(find "$D" -path '*jobs*' -name job.record)" "" "records of jobs that ended"
}
a_killed_manager_changes_no_byte_cleanup() { cluster_cleanup; }

atf_test_case a_manager_that_dies_late_changes_no_end cleanup
a_manager_that_dies_late_changes_no_end_head() {
    atf_set require.user root
    atf_set require.progs jq
}
a_manager_that_dies_late_changes_no_end_body() {
    cluster_up
    seq 10 >"$M/in"
    running() { # until there is a job: its id
        until_true 20 sh -c "runner ps --json | jq -e '[.[] | select(.state == \"running\")] | length == 1'" >&2
        runner ps --json | jq -r '.[0].id'
    }
    restart() {
        kill -9 "$(pid_of manager)"
        "$@"
        howdah up --dir "$D" >up.log 2>&1 || { cat up.log; atf_fail "up after the kill"; }
        until_true 60 sh -c "runner ps --json | jq -e 'length == 0'"
    }
    # A job that was killed, of which the history could not be written.
    runner streaming -files /bin/true -input /in -output /killed -mapper 'sleep 20' 2>job &
    pid=$!
    id=$(running)
    dir=$(find "$D" -type d -path "*/jobs/$id")
    mkdir "$dir/job.json"
    runner kill "$id"
    wait $pid && atf_fail "a killed job succeeded"
    test -e "$dir/job.record" && test -e "$dir/files" || atf_fail "a record went before the history came"
    restart rmdir "$dir/job.json"
    same "$(runner history --json | jq -r '.[0].id + " " + .[0].state')" "$id killed"
    runner show "$id" | grep -q 'killed by' || atf_fail "not told why"
    test ! -e "$M/killed" || atf_fail "a killed job ran again"
    test ! -e "$dir/files" && test ! -e "$dir/job.record" || atf_fail "left in $dir: $(ls "$dir")"
    # A manager that died between the two renames of a commit that replaces.
    mkdir "$M/out" && echo old >"$M/out/part-00000"
    runner pipe 'read /out | map "sh -c \"sleep 3; cat\"" | save /out if-exists=replace' 2>job &
    pid=$!
    id=$(running)
    restart mv "$M/out" "$M/.out.replaced-$id"
    wait $pid || { cat job; atf_fail "the job that went on failed"; }
    same "$(cat "$M"/out/part-*)" old
    test -e "$M/out/_SUCCESS" || atf_fail "not replaced"
    same "$(ls -A "$M" | grep -v user | xargs)" "in out" "nothing else is left"
}
a_manager_that_dies_late_changes_no_end_cleanup() { cluster_cleanup; }

atf_test_case hadoop_lines_run_and_why_explains cleanup
hadoop_lines_run_and_why_explains_head() {
    atf_set require.user root
    atf_set require.progs jq
}
hadoop_lines_run_and_why_explains_body() {
    cluster_up
    mkdir "$M/in" && for i in 1 2 3 4 5 6; do seq 1000 >"$M/in/$i"; done
    atf_check -e ignore hadoop jar /no/such/hadoop-streaming-3.3.6.jar -D mapreduce.job.maps=6 -input /in -output /o \
        -mapper 'cut -c1' -reducer 'uniq -c'
    same "$(awk '{s += $1} END {print s}' "$M/o/part-00000")" 6000
    atf_check -o match:'/in/6' hadoop fs -ls /in
    atf_check -s exit:1 -e match:'only hadoop-streaming' hadoop jar wordcount.jar Main /in /out
    atf_check -s exit:1 -e match:'not a command' hadoop distcp a b
    job=$(runner history --json | jq -r '.[0].id')
    atf_check -o match:'submit .*first map started .*last reduce ended .*succeeded' -o match:'map' runner why "$job"
    same "$(runner why "$job" --json | jq -r '.map.median_ms <= .map.slowest_ms and .reduce.waiting == 0')" true
    atf_check -s exit:5 -e match:'no such job' runner why 20200101-0001
}
hadoop_lines_run_and_why_explains_cleanup() { cluster_cleanup; }

atf_test_case the_status_page_tells_jobs_tasks_and_nodes cleanup
the_status_page_tells_jobs_tasks_and_nodes_head() {
    atf_set require.user root
    atf_set require.progs "jq curl"
}
the_status_page_tells_jobs_tasks_and_nodes_body() {
    cluster_up
    mkdir "$M/in" && seq 100 >"$M/in/a"
    runner streaming -D mapreduce.job.name='<b>bold</b>' -input /in -output /o -mapper cat 2>/dev/null
    url=http://$(status | jq -r '.daemons[] | select(.role == "manager") | .http')
    job=$(runner history --json | jq -r '.[0].id')
    curl -sf "$url/" >page || atf_fail "no page at $url"
    grep -q '<html' page && grep -q "/job/$job" page && grep -q 'agent-3' page || atf_fail "$(cat page)"
    grep -q '&lt;b&gt;bold' page && ! grep -q '<b>bold' page || atf_fail "a name is not escaped"
    curl -sf "$url/job/$job" >page && grep -q '<svg' page && grep -q m_000000 page || atf_fail "$(cat page)"
    curl -sf "$url/metrics" >page && grep -q '^howdah_runner_jobs_ended_total{state="succeeded"} 1$' page || atf_fail "$(cat page)"
    same "$(curl -s -o /dev/null -w '%{http_code}' "$url/job/20200101-0001")" 404
    same "$(curl -s -o /dev/null -w '%{http_code}' -d x "$url/")" 405
}
the_status_page_tells_jobs_tasks_and_nodes_cleanup() { cluster_cleanup; }

atf_test_case compressed_input_is_read_as_text cleanup
compressed_input_is_read_as_text_head() {
    atf_set require.user root
    atf_set require.progs jq gzip bzip2 zstd
}
compressed_input_is_read_as_text_body() {
    cluster_up
    mkdir "$M/in"
    seq 1 300000 >lines
    { gzip -c lines && echo last | gzip -c; } >"$M/in/a.gz"
    bzip2 -c lines >"$M/in/b.bz2"
    zstd -qc lines >"$M/in/c.zst"
    atf_check -s exit:0 -e ignore -o ignore runner streaming -input /in -output /o -mapper cat -numReduceTasks 0
    { cat lines lines lines && echo last; } | sort >want
    sed 's/\t$//' "$M"/o/part-* | sort | cmp - want || atf_fail "lines differ"
    head -c 100000 "$M/in/a.gz" >"$M/cut.gz"
    atf_check -s exit:1 -e match:'/cut.gz: compressed data ends early' \
        runner streaming -input /cut.gz -output /o2 -mapper cat -numReduceTasks 0
    cp lines "$M/plain.bz2"
    atf_check -s exit:1 -e match:'/plain.bz2: damaged bzip2 data' \
        runner streaming -input /plain.bz2 -output /o3 -mapper cat -numReduceTasks 0
    cp lines "$M/x.snappy"
    atf_check -s exit:5 -e match:'/x.snappy: input compressed as .snappy cannot be read' \
        runner streaming -input /x.snappy -output /o4 -mapper cat -numReduceTasks 0
}
compressed_input_is_read_as_text_cleanup() { cluster_cleanup; }

atf_test_case keys_are_parted_and_ordered_by_fields cleanup
keys_are_parted_and_ordered_by_fields_head() {
    atf_set require.user root
    atf_set require.progs jq
}
keys_are_parted_and_ordered_by_fields_body() {
    cluster_up
    seq 1 3000 | awk '{ printf "g%d.%d.%s%d.x\n", $1 % 7, $1 * 7919 % 2000, $1 % 5 == 0 ? "-" : "", $1 * 31 % 100 }' >lines
    cp lines "$M/in"
    k=org.apache.hadoop.mapred.lib.KeyFieldBased
    # every group whole in one part, there by the third field downwards, then the second upwards
    runner streaming -D stream.map.output.field.separator=. -D stream.num.map.output.key.fields=3 \
        -D mapreduce.map.output.key.field.separator=. -D mapreduce.partition.keypartitioner.options=-k1,1 \
        -D mapreduce.job.output.key.comparator.class=${k}Comparator \
        -D mapreduce.partition.keycomparator.options='-k3,3nr -k2,2n' -D mapreduce.job.reduces=3 \
        -partitioner ${k}Partitioner -input /in -output /o -mapper cat -reducer cat || atf_fail "job failed"
    for part in "$M"/o/part-*; do
        tr '\t' . <"$part" | sort -c -t. -k3,3nr -k2,2n || atf_fail "$part is not in order"
        cut -d. -f1 <"$part" | sort -u
    done >groups
    same "$(wc -l <groups)" 7
    same "$(sort -u groups | wc -l)" 7
    same "$(cat "$M"/o/part-* | tr '\t' . | sort | sha256sum)" "$(sort lines | sha256sum)"
    atf_check -s exit:1 -e match:'expected -k' runner streaming -input /in -output /o2 -mapper cat \
        -D mapreduce.job.partitioner.class=${k}Partitioner -D mapreduce.partition.keypartitioner.options=-kx
    atf_check -s exit:1 -e match:'mapreduce.job.partitioner.class = my.Own is not supported' \
        runner streaming -input /in -output /o2 -mapper cat -D mapred.partitioner.class=my.Own
}
keys_are_parted_and_ordered_by_fields_cleanup() { cluster_cleanup; }

atf_test_case records_have_delimiters_and_limits cleanup
records_have_delimiters_and_limits_head() {
    atf_set require.user root
    atf_set require.progs jq
}
records_have_delimiters_and_limits_body() {
    cluster_up
    seq 1 400000 >lines
    tr '\n' '@' <lines | sed 's/@/<->/g' >"$M/in"
    atf_check -s exit:0 -e ignore -o ignore runner streaming -input /in -output /o -mapper cat -numReduceTasks 0 \
        -D 'textinputformat.record.delimiter=<->' -D mapreduce.job.maps=9
    same "$(cd "$M/o" && echo part-* | wc -w)" 9
    sed 's/\t$//' "$M"/o/part-* | cmp - lines || atf_fail "records differ"
    cp lines "$M/lines"
    atf_check -s exit:0 -e ignore -o ignore runner streaming -input /lines -output /o2 -mapper cat -numReduceTasks 0 \
        -D mapreduce.input.linerecordreader.line.maxlength=6 -D mapreduce.job.maps=3
    seq 1 9999 >few
    sed 's/\t$//' "$M"/o2/part-* | cmp - few || atf_fail "lines differ"
    atf_check -s exit:1 -e match:'needs a mapper' runner streaming -input /in -output /o3 \
        -D textinputformat.record.delimiter=x
}
records_have_delimiters_and_limits_cleanup() { cluster_cleanup; }

atf_test_case aggregate_equals_awk cleanup
aggregate_equals_awk_head() {
    atf_set require.user root
    atf_set require.progs jq
}
aggregate_equals_awk_body() {
    cluster_up
    make_text 30000000 text
    cp text "$M/in"
    cat >"$PWD/map" <<'MAP'
#!/usr/bin/awk -f
{
    for (i = 1; i <= NF && i < 6; i++) print "LongValueSum:" $i "\t1"
    print "LongValueMax:length\t" length($0)
    print "UniqValueCount:first letters\t" substr($1, 1, 1)
}
MAP
    chmod +x map
    for mb in 1 100; do
        atf_check -s exit:0 -e ignore -o ignore runner streaming -input /in -output /o$mb -mapper map -file map -reducer aggregate \
            -D mapreduce.job.reduces=3 -D mapreduce.task.io.sort.mb=$mb
        cat "$M"/o$mb/part-* | sort >got
        tr '\r' '\n' <text | ./map | awk -F'\t' '
            /^LongValueSum/ { n[substr($1, 14)]++ }
            /^LongValueMax/ { if ($2 > max) max = $2 }
            /^Uniq/ { if (!($2 in seen)) { seen[$2]; unique++ } }
            END { for (w in n) print w "\t" n[w]; print "length\t" max; print "first letters\t" unique }' | sort >want
        cmp got want || atf_fail "aggregates differ"
    done
    atf_check -s exit:1 -e match:"aggregate: the mapper writes AGGREGATOR:id" \
        runner streaming -input /in -output /o3 -mapper cat -reducer aggregate
}
aggregate_equals_awk_cleanup() { cluster_cleanup; }

atf_test_case an_agent_started_again_ends_what_tasks_left cleanup
an_agent_started_again_ends_what_tasks_left_head() {
    atf_set require.user root
    atf_set require.progs jq
}
gone() { ! alive "$1"; }
an_agent_started_again_ends_what_tasks_left_body() {
    cluster_up
    echo line >"$M/in"
    pids=$PWD/pids
    # a grandchild in a session of its own that holds none of the task's pipes
    runner streaming -input /in -output /o -numReduceTasks 0 -background \
        -mapper "sh -c 'setsid sleep 1003 </dev/null >/dev/null 2>&1 & echo \$! >>$pids; cat; exec sleep 1004'"
    until_true 10 test -s "$pids"
    for a in agent-1 agent-2 agent-3; do kill -9 "$(pid_of $a)"; done
    alive "$(head -1 "$pids")" || atf_fail "the grandchild is gone already: nothing is tested"
    howdah up --dir "$D" --nodes 3 --mount "$M" || atf_fail "up failed"
    until_true 10 gone "$(head -1 "$pids")"
    until_true 20 sh -c "[ \$(wc -l <$pids) -gt 1 ]" # the next attempt, whose job is killed
    runner kill "$(runner ps --json | jq -r '.[0].id')"
    until_true 10 gone "$(tail -1 "$pids")"
}
an_agent_started_again_ends_what_tasks_left_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case an_agent_started_again_ends_what_tasks_left
    atf_add_test_case aggregate_equals_awk
    atf_add_test_case records_have_delimiters_and_limits
    atf_add_test_case keys_are_parted_and_ordered_by_fields
    atf_add_test_case compressed_input_is_read_as_text
    atf_add_test_case word_count_equals_sort_and_uniq
    atf_add_test_case failures_have_their_exit_codes
    atf_add_test_case a_killed_agent_changes_no_byte
    atf_add_test_case a_killed_manager_changes_no_byte
    atf_add_test_case a_manager_that_dies_late_changes_no_end
    atf_add_test_case hadoop_lines_run_and_why_explains
    atf_add_test_case the_status_page_tells_jobs_tasks_and_nodes
}
