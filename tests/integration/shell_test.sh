#!/usr/bin/env atf-sh
# howdah fs: Hadoop's file system shell, without a JVM.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case every_verb cleanup
every_verb_head() {
    atf_set require.user root
    atf_set require.progs jq
}
every_verb_body() {
    cluster_up
    h() { howdah fs "$@" || atf_fail "howdah fs $*"; }
    make_text 5000000 t
    h -mkdir -p /sh/x
    h -put t /sh/x/t
    h -cat /sh/x/t | cmp - t || atf_fail cat
    h -ls /sh/x | grep -q '/sh/x/t$' || atf_fail ls
    h ls /sh/x | grep -q '^Found 1 items' || atf_fail "ls without the dash"
    same "$(h -ls --json /sh/x | jq -r '.[] | "\(.path) \(.size) \(.type)"')" "/sh/x/t 5000000 file" "ls --json"
    h -get /sh/x/t got && cmp t got || atf_fail get
    h -cp /sh/x/t /sh/x/u
    h -mv /sh/x/u /sh/v
    h -du -s /sh | grep -q 10000000 || atf_fail du
    h -appendToFile t /sh/v
    same "$(h -stat %b /sh/v)" 10000000
    h -test -d /sh
    atf_check -s exit:1 howdah fs -test -e /none
    h -getmerge /sh/x m && cmp m t || atf_fail getmerge
    h -setrep 2 /sh/v
    same "$(h -stat '%r %n' /sh/v)" "2 v"
    tail -c 1024 t >end
    h -tail /sh/x/t | cmp - end || atf_fail tail
    head -c 1024 t >begin
    h -head /sh/x/t | cmp - begin || atf_fail head
    h -touchz /sh/z
    h -test -z /sh/z
    same "$(h -count /sh | awk '{print $1, $2, $3, $4}')" "2 3 15000000 /sh"
    h -chmod 700 /sh/z
    same "$(h -stat %a /sh/z)" 700
    h -chmod -R u=rwX,go=rX /sh
    h -chown nobody:nogroup /sh/z
    same "$(h -stat %u:%g /sh/z)" nobody:nogroup
    h -find / -name z | grep -q /sh/z || atf_fail find
    h -checksum /sh/x/t | grep -q 'MD5-of-0MD5-of-512CRC32C' || atf_fail checksum
    h -truncate -w 1000 /sh/v
    same "$(h -stat %b /sh/v)" 1000
    gzip -k t && h -put t.gz /sh/t.gz && h -text /sh/t.gz | cmp - t || atf_fail text
    h -df / | grep -q '^Filesystem' || atf_fail df
    h -expunge
    h -ls '/sh/*' | grep -q /sh/v || atf_fail glob
    echo piped | h -put - /sh/piped
    same "$(h -cat /sh/piped)" piped
    atf_check -s exit:1 -e match:"ls: .*/none.: No such file or directory" howdah fs -ls /none
    atf_check -s exit:1 -e match:"rm: .*/sh.: Is a directory" howdah fs -rm /sh
    atf_check -s exit:255 -e match:'Unknown command' howdah fs -nosuchverb
    uri=$(fs_uri) # one of two metas, the other of which is not there
    both=hdfs://127.0.0.1:1,${uri#hdfs://}
    h -fs "$both" -test -w /sh
    h -fs "$both" -ls "$uri/sh" | grep -q "$uri/sh/z" || atf_fail "a path that names one meta of two"
    atf_check -s exit:1 -e match:'Wrong FS' howdah fs -fs "$both" -ls hdfs://127.0.0.1:2/sh
    h -rm -r /sh
    atf_check -s exit:1 howdah fs -test -e /sh
}
every_verb_cleanup() { cluster_cleanup; }

atf_test_case admin_and_fsck cleanup
admin_and_fsck_head() {
    atf_set require.user root
    atf_set require.progs jq
}
admin_and_fsck_body() {
    cluster_up
    make_text 1000000 t
    howdah fs -put t /t
    atf_check -s exit:0 -o match:'HEALTHY' howdah fsck /
    atf_check -s exit:0 -o match:'blk_[0-9]*' howdah fsck /t -files -blocks -locations
    atf_check -s exit:0 -o match:'Live datanodes .3.' howdah admin report
    atf_check -s exit:0 -o match:'OFF' howdah admin safemode get
    atf_check -s exit:0 -o match:'ON' howdah admin safemode enter
    atf_check -s exit:1 -e match:'safe mode' howdah fs -mkdir /refused
    atf_check -s exit:0 -o ignore howdah fs -cat /t
    atf_check -s exit:0 -o match:'OFF' howdah admin safemode leave
    atf_check -s exit:0 -o not-empty howdah admin checkpoint
    atf_check -s exit:0 -o ignore howdah admin hadoop-conf conf
    grep -q fs.defaultFS conf/core-site.xml || atf_fail "core-site.xml"
}
admin_and_fsck_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case every_verb
    atf_add_test_case admin_and_fsck
}
