#!/usr/bin/env atf-sh
# Programs that were written for a local disk, on the mount, as they are.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() { # PROGRAM...
    atf_set require.user root
    atf_set require.progs "jq $*"
    atf_set timeout 600
}

begin() {
    cluster_up
    mkdir "$M/w"
    mkdir second
    howdah-mount "$(fs_uri)" second || atf_fail "mount"
    cd "$M/w" || atf_fail "cd"
}

all_cleanup() {
    umount -l second 2>/dev/null
    cluster_cleanup
}

other() { printf '%s' "$D/../second/w"; }

atf_test_case git_keeps_history cleanup
git_keeps_history_head() { needs git perl; }
git_keeps_history_body() {
    begin
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    git init -q -b main g && cd g || atf_fail "init"
    git config user.email a@example.org
    git config user.name A
    cp -r /usr/share/perl/. .
    git add -A && git commit -qm one || atf_fail "commit"
    same "$(git status --porcelain | wc -l)" 0 "clean"
    some=$(git ls-files -s | awk '$1 == 100644 {print $4; exit}')
    echo line >>"$some"
    same "$(git status --porcelain | wc -l)" 1 "changed"
    git stash -q && git stash pop -q && git commit -qam two || atf_fail "stash"
    git gc -q && git fsck --strict || atf_fail "gc, fsck"
    git clone -q . ../h || atf_fail "clone"
    diff -r --exclude .git . ../h || atf_fail "the clone differs"
    cd "$(other)/g" || atf_fail "other mount"
    same "$(git log --oneline | wc -l)" 2 "log on the other mount"
    git checkout -q HEAD~1 || atf_fail "checkout"
    cd "$M/w/g" && same "$(git rev-list --count HEAD)" 1 "checked out on the other mount"
    cd /
}
git_keeps_history_cleanup() { all_cleanup; }

atf_test_case a_compiler_builds cleanup
a_compiler_builds_head() { needs gcc ar make; }
a_compiler_builds_body() {
    begin
    for i in $(seq 30); do
        printf '#include <stdio.h>\nint f%d(void) { return printf("%%d\\n", %d); }\n' "$i" "$i" >"f$i.c"
    done
    printf 'int f1(void);\nint main(void) { f1(); return 0; }\n' >main.c
    # shellcheck disable=SC2016
    printf 'O = $(patsubst %%.c,%%.o,$(wildcard f*.c))\nprog: main.o lib.a\n\tgcc -o $@ $^\nlib.a: $(O)\n\tar rcs $@ $^\n' >Makefile
    make -s -j4 || atf_fail "make"
    same "$(./prog)" 1
    same "$("$(other)/prog")" 1 "on the other mount"
    make -q || atf_fail "make would do it again"
    sleep 0.05
    touch f7.c
    same "$(make | wc -l)" 3 "what one change rebuilds"
    strip prog
    same "$(./prog)" 1
    cd /
}
a_compiler_builds_cleanup() { all_cleanup; }

atf_test_case sqlite_keeps_tables cleanup
sqlite_keeps_tables_head() { needs sqlite3; }
sqlite_keeps_tables_body() {
    begin
    for mode in delete truncate persist wal; do
        rm -f t.db*
        sqlite3 t.db "pragma journal_mode=$mode; create table t(a integer primary key, b text);
            begin; with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
            insert into t select x, hex(randomblob(40)) from c; commit;
            update t set b = 'x' where a % 3 = 0; delete from t where a % 5 = 0; vacuum;" >/dev/null ||
            atf_fail "$mode"
        same "$(sqlite3 t.db 'pragma integrity_check; select count(*) from t;' | tr '\n' ' ')" "ok 16000 " "$mode"
    done
    same "$(sqlite3 "$(other)/t.db" 'select count(*) from t')" 16000 "on the other mount"
    # A transaction that dies with its program is rolled back, on the other mount too.
    sqlite3 t.db 'pragma journal_mode=delete' >/dev/null
    mkfifo commands
    sqlite3 t.db <commands >/dev/null &
    pid=$!
    exec 9>commands
    printf 'begin immediate;\ndelete from t;\nselect 1;\n' >&9
    sleep 1
    kill -9 $pid
    exec 9>&-
    same "$(sqlite3 "$(other)/t.db" 'pragma integrity_check; select count(*) from t;' | tr '\n' ' ')" "ok 16000 "
    cd /
}
sqlite_keeps_tables_cleanup() { all_cleanup; }

atf_test_case copies_are_copies cleanup
copies_are_copies_head() { needs rsync tar cpio; }
copies_are_copies_body() {
    begin
    rsync -aHAX --inplace /usr/share/perl/ a/ || atf_fail "rsync"
    rsync -aHAXn --itemize-changes --checksum /usr/share/perl/ a/ | grep -v '^\.d' >left
    same "$(wc -l <left)" 0 "rsync sees a difference"
    echo changed >>"$(find a -name strict.pm -type f | head -n 1)"
    rsync -aHAX --inplace --no-whole-file /usr/share/perl/ a/ || atf_fail "rsync again"
    tar -C /usr/share -cf t.tar perl && mkdir x && tar -C x -xpf t.tar || atf_fail "tar"
    tar -C x -df t.tar || atf_fail "tar -d"
    diff -r /usr/share/perl x/perl || atf_fail "diff"
    (cd x && find . -depth -print0 | cpio -0pdm --quiet ../y) || atf_fail "cpio"
    diff -r x y || atf_fail "diff"
    cp -a x z && diff -r x z || atf_fail "cp -a"
    (cd x && find . -type f -exec stat -c '%n %a %Y' {} +) | sort >one
    (cd z && find . -type f -exec stat -c '%n %a %Y' {} +) | sort >two
    cmp one two || atf_fail "times and modes"
    rm -rf a x y z
    [ ! -e x ] || atf_fail "rm"
    cd /
}
copies_are_copies_cleanup() { all_cleanup; }

atf_test_case editors_save cleanup
editors_save_head() { needs ex sed; }
editors_save_body() {
    begin
    seq 1000 >f
    chmod 640 f
    ex -s f <<'EX' || atf_fail "ex"
%s/^7$/seven/
w
q
EX
    same "$(grep -c seven f)" 1
    same "$(stat -c %a f)" 640
    ex -s -c 'set backup writebackup backupcopy=no' -c '%s/seven/7/' -c 'wq' f || atf_fail "ex with a backup"
    same "$(grep -c seven f)" 0
    sed -i 's/^8$/eight/' f
    same "$(grep -c eight "$(other)/f")" 1 "on the other mount"
    sort -R f | sort -n -o f || atf_fail "sort onto itself"
    same "$(head -n 2 f | tr '\n' ' ')" "eight 1 "
    cd /
}
editors_save_cleanup() { all_cleanup; }

atf_test_case fio_verifies cleanup
fio_verifies_head() { needs fio; }
fio_verifies_body() {
    begin
    for rw in write randwrite randrw; do
        for engine in psync mmap; do
            fio --name=v --filename=f --size=24m --bs=4k-64k --rw=$rw --ioengine=$engine --verify=crc32c \
                --do_verify=1 --verify_fatal=1 --fsync=200 --randseed=5 --output-format=terse >out || {
                cat out
                atf_fail "$rw by $engine"
            }
        done
    done
    fio --name=d --filename=f --size=24m --bs=64k --rw=randwrite --direct=1 --verify=crc32c --verify_fatal=1 >out ||
        atf_fail "direct"
    cd /
}
fio_verifies_cleanup() { all_cleanup; }

postgres_bin() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort | tail -n 1; }

atf_test_case postgresql_serves cleanup
postgresql_serves_head() { needs su; }
postgresql_serves_body() {
    bin=$(postgres_bin)
    [ -x "$bin/initdb" ] && id postgres >/dev/null 2>&1 || atf_skip "no PostgreSQL"
    begin
    chmod 755 "$M" "$M/w" "$PWD"
    mkdir pg && chown postgres pg && chmod 700 pg
    pg() { su postgres -s /bin/sh -c "cd / && $*"; }
    pg "$bin/initdb -D $M/w/pg -A trust -N" >init.out 2>&1 || {
        cat init.out
        atf_fail "initdb"
    }
    run="-D $M/w/pg -l $M/w/pg/log -o '-k $M/w/pg -c listen_addresses= -c shared_buffers=16MB' -w -t 120"
    pg "$bin/pg_ctl $run start" >start.out 2>&1 || {
        cat start.out pg/log
        atf_fail "start"
    }
    pg "$bin/pgbench -h $M/w/pg -i -s 2 -q postgres" >bench.out 2>&1 || {
        cat bench.out
        atf_fail "pgbench -i"
    }
    pg "$bin/pgbench -h $M/w/pg -c 4 -t 100 postgres" >bench.out 2>&1 || {
        cat bench.out
        atf_fail "pgbench"
    }
    # The server is killed and recovers from its log.
    kill -9 "$(head -n 1 pg/postmaster.pid)"
    for try in 1 2 3 4 5 6; do # its children need a moment to see it
        sleep 1
        pg "$bin/pg_ctl $run start" >start.out 2>&1 && break
    done
    [ "$try" -lt 6 ] || atf_fail "start after kill -9: $(tail -n 3 pg/log | tr '\n' ' ')"
    same "$(pg "$bin/psql -h $M/w/pg -Atc 'select sum(tbalance) = (select sum(delta) from pgbench_history) from pgbench_tellers' postgres")" t
    pg "$bin/pg_ctl $run -m fast stop" >/dev/null || atf_fail "stop"
    cd /
}
postgresql_serves_cleanup() {
    cluster_env
    pid=$(head -n 1 "$M/w/pg/postmaster.pid" 2>/dev/null)
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    all_cleanup
}

atf_init_test_cases() {
    for c in git_keeps_history a_compiler_builds sqlite_keeps_tables copies_are_copies editors_save \
        fio_verifies postgresql_serves; do
        atf_add_test_case $c
    done
}
