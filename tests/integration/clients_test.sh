#!/usr/bin/env atf-sh
# Programs written for HDFS, unchanged: Debian's hdfs (Go), Hadoop's FsShell (Java), Spark.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

atf_test_case go_client cleanup
go_client_head() {
    atf_set require.user root
    atf_set require.progs "jq hdfs"
}
go_client_body() {
    cluster_up
    make_text 150000000 text
    hdfs mkdir -p /go/a || atf_fail mkdir
    hdfs put text /go/a/t || atf_fail put
    cmp text "$M/go/a/t" || atf_fail "put, seen by the mount"
    cp text "$M/m" && hdfs get /m got && cmp text got || atf_fail "get"
    hdfs mv /go/a/t /go/a/u || atf_fail mv
    hdfs ls -l /go/a | grep -q u || atf_fail ls
    hdfs cat /go/a/u | cmp - text || atf_fail cat
    hdfs tail -c 100 /go/a/u | cmp - "$(tail -c 100 text >end && echo end)" || atf_fail tail
    hdfs du -s /go | grep -q . || atf_fail du
    hdfs checksum /go/a/u | grep -qE '^[0-9a-f]{32}' || atf_fail checksum # it writes CRC-32, we CRC-32C
    cp text "$M/m2"
    same "$(hdfs checksum /m2 | awk '{print $1}')" "$(hdfs checksum /m | awk '{print $1}')" checksum
    hdfs chmod 600 /go/a/u && same "$(stat -c %a "$M/go/a/u")" 600
    hdfs df || atf_fail df
    hdfs truncate 1000 /go/a/u || atf_fail truncate
    until_true 20 sh -c "test \$(stat -c %s $M/go/a/u) = 1000"
    head -c 1000 text | cmp - "$M/go/a/u" || atf_fail "content after truncate"
    ! hdfs ls /nothere 2>/dev/null || atf_fail "ls of nothing succeeded"
    hdfs rm -r /go && [ ! -e "$M/go" ] || atf_fail rm
}
go_client_cleanup() { cluster_cleanup; }

atf_test_case java_client cleanup
java_client_head() {
    atf_set require.user root
    atf_set require.progs "jq java python3"
    atf_set timeout 600
}
java_client_body() {
    jars=$(pyspark_jars)
    cluster_up
    make_text 140000000 text
    j() { java -cp "$HADOOP_CONF_DIR:$jars" org.apache.hadoop.fs.FsShell -fs "$(fs_uri)" "$@" 2>java.err; }
    ok() { j "$@" || { cat java.err; atf_fail "$*"; }; }
    ok -mkdir -p /java/d
    ok -put text /java/d/t
    cmp text "$M/java/d/t" || atf_fail "put, seen by the mount"
    ok -cat /java/d/t | cmp - text || atf_fail cat
    ok -ls -R /java | grep -q /java/d/t || atf_fail ls
    ok -appendToFile text /java/d/t
    same "$(stat -c %s "$M/java/d/t")" 280000000 "size after append"
    cat text text | cmp - "$M/java/d/t" || atf_fail "content after append"
    ok -setrep 2 /java/d/t
    same "$(j -stat '%o %r %n' /java/d/t)" "134217728 2 t"
    same "$(howdah fs -checksum /java/d/t | awk '{print $2, $3}')" "$(j -checksum /java/d/t | awk '{print $2, $3}')" checksum
    same "$(howdah fs -count /java)" "$(j -count /java)" count
    same "$(howdah fs -ls /java/d)" "$(j -ls /java/d)" "ls output"
    ok -test -e /java/d/t
    ! j -test -e /java/d/none || atf_fail "-test -e of nothing"
    ok -mv /java/d/t /java/d/u
    ok -tail /java/d/u >/dev/null
    ok -chmod 600 /java/d/u
    same "$(stat -c %a "$M/java/d/u")" 600
    ok -touchz /java/z
    ok -df >/dev/null
    ok -du /java >/dev/null
    ok -rm -r -skipTrash /java
    [ ! -e "$M/java" ] || atf_fail rm
}
java_client_cleanup() { cluster_cleanup; }

atf_test_case spark cleanup
spark_head() {
    atf_set require.user root
    atf_set require.progs "jq java python3"
    atf_set timeout 900
}
spark_body() {
    pyspark_jars >/dev/null
    cluster_up
    make_text 20000000 text
    cp text "$M/spark-in"
    python3 - "$(fs_uri)" text <<'PY' || atf_fail "spark"
import collections, sys
from pyspark.sql import SparkSession
uri, path = sys.argv[1].rstrip("/"), sys.argv[2]
s = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
lines = s.sparkContext.textFile(uri + "/spark-in")
counts = lines.flatMap(str.split).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b)
counts.map(lambda kv: "%s\t%d" % kv).saveAsTextFile(uri + "/spark-out")
got = dict(l.rsplit("\t", 1) for l in s.sparkContext.textFile(uri + "/spark-out").collect())
want = collections.Counter(w for line in open(path, encoding="utf-8", errors="replace") for w in line.split())
assert {k: int(v) for k, v in got.items()} == want, "counts differ"
s.range(1000000).selectExpr("id", "id % 10 as g").write.parquet(uri + "/spark-pq")
assert s.read.parquet(uri + "/spark-pq").groupBy("g").count().count() == 10
PY
    [ -e "$M/spark-out/_SUCCESS" ] || atf_fail "_SUCCESS"
}
spark_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case go_client
    atf_add_test_case java_client
    atf_add_test_case spark
}
