#!/usr/bin/env atf-sh
# The secondary: checkpoints that are interrupted, what may be purged, and when meta's disk is lost.
. @CMAKE_BINARY_DIR@/tests/cluster.subr

needs() {
    atf_set require.user root
    atf_set require.progs "jq"
    atf_set timeout 200
}

up_again() { howdah up --dir "$D" || atf_fail "up again: $(tail -n 20 "$D"/log/meta.log "$D"/log/secondary.log)"; }

tree() { (cd "$1" && find . -printf '%p %y %m %s %T@\n' | sort); }

# A daemon may be purging while we look. It removes the digest before the image, and writes it after:
# a digest that is still there vouches for an image that is there.
images_are_good() { # DIR
    (cd "$1" && for f in image_*.sha256; do sha256sum -c "$f" || [ ! -e "$f" ] || exit 1; done) ||
        atf_fail "a digest in $1: $(ls "$1")"
}

pairs_only() { # DIR: no image without its digest, no digest without its image
    same "$(cd "$1" && ls image_* | grep -vc sha256)" "$(cd "$1" && ls image_*.sha256 | wc -l)" "pairs in $1"
}

atf_test_case killed_checkpoints_are_made_again cleanup
killed_checkpoints_are_made_again_head() { needs; }
killed_checkpoints_are_made_again_body() {
    cluster_up
    cp -a /usr/share/perl "$M/perl"
    tree "$M/perl" >before
    for delay in 0 0.01 0.02 0.04 0.08; do
        echo $delay >"$M/round$delay"
        timeout 60 howdah admin checkpoint >out 2>&1 &
        c=$!
        sleep $delay
        kill -9 "$(cat "$D/run/secondary.pid")"
        wait $c
        images_are_good "$D/meta"
        up_again
        [ -z "$(find "$D/meta" "$D/secondary" -name '*tmp*' -mmin +1)" ] || atf_fail "left over"
    done
    until_true 30 howdah admin checkpoint
    images_are_good "$D/meta"
    images_are_good "$D/secondary"
    pairs_only "$D/meta"
    pairs_only "$D/secondary"
    # meta dies while the image comes in.
    for delay in 0.005 0.02 0.05; do
        timeout 60 howdah admin checkpoint >out 2>&1 &
        c=$!
        sleep $delay
        kill -9 "$(cat "$D/run/meta.pid")"
        wait $c
        up_again
        images_are_good "$D/meta"
    done
    until_true 30 howdah admin checkpoint
    howdah down --dir "$D"
    rm -rf "$D/meta/view"
    up_again
    until_true 30 healthy
    tree "$M/perl" | cmp - before || atf_fail "the tree differs"
}
killed_checkpoints_are_made_again_cleanup() { cluster_cleanup; }

# The secondary too: of one that had more than its primary, this would be an older copy.
both_as_saved() {
    rm -rf "$D/meta" "$D/secondary"
    cp -a saved/meta saved/secondary "$D"
}

atf_test_case what_is_purged_is_not_needed cleanup
what_is_purged_is_not_needed_head() { needs; }
what_is_purged_is_not_needed_body() {
    cluster_up
    for round in 1 2 3 4 5 6; do
        mkdir "$M/r$round"
        for i in $(seq 30); do echo "$round $i" >"$M/r$round/$i"; done
        [ $round = 1 ] || mv "$M/r$((round - 1))/1" "$M/r$round/moved"
        # Around restarts as well, which begin new segments.
        [ $round != 3 ] || { kill -9 "$(pid_of meta)" && up_again; }
        howdah admin checkpoint || atf_fail "checkpoint $round"
    done
    rm "$M/r2/2"
    tree "$M" >before
    same "$(find "$D/meta" -name 'image_*' ! -name '*.sha256' | wc -l)" 2 "images kept"
    images_are_good "$D/meta"
    howdah down --dir "$D"
    ls "$D/meta"
    mkdir saved && cp -a "$D/meta" "$D/secondary" saved

    # The view is lost; then the newest image too; then the newest image is damaged.
    rm -rf "$D/meta/view"
    up_again
    tree "$M" | cmp - before || atf_fail "without the view"
    howdah down --dir "$D"
    newest=$(cd saved/meta && find . -name 'image_*' ! -name '*.sha256' | sort | tail -1)
    both_as_saved
    rm -rf "$D/meta/view" "$D/meta/$newest" "$D/meta/$newest.sha256"
    up_again
    tree "$M" | cmp - before || atf_fail "without the newest image"
    howdah down --dir "$D"
    both_as_saved
    rm -rf "$D/meta/view"
    printf 'XX' | dd of="$D/meta/$newest" bs=1 seek=100 conv=notrunc status=none
    up_again
    tree "$M" | cmp - before || atf_fail "with a damaged newest image"
}
what_is_purged_is_not_needed_cleanup() { cluster_cleanup; }

atf_test_case the_secondarys_folder_replaces_metas cleanup
the_secondarys_folder_replaces_metas_head() { needs; }
the_secondarys_folder_replaces_metas_body() {
    cluster_up
    cp -a /usr/share/perl "$M/perl"
    howdah admin checkpoint || atf_fail "checkpoint"
    echo after >"$M/after" && sync "$M/after"
    mv "$M/perl" "$M/moved"
    sleep 2 # the tail arrives
    tree "$M" >before
    howdah down --dir "$D"
    ls "$D/secondary"
    rm -rf "$D/meta"
    cp -a "$D/secondary" "$D/meta"
    howdah up --dir "$D" --no-mount # both are secondaries now: it is for the operator to say
    howdah admin promote --yes || atf_fail "promote: $(tail -n 20 "$D/log/meta.log")"
    up_again
    until_true 30 healthy
    tree "$M" | cmp - before || atf_fail "the tree differs"
    diff -r /usr/share/perl "$M/moved" || atf_fail "content"
    same "$(cat "$M/after")" after
    echo new >"$M/new" || atf_fail "write"
    until_true 30 howdah admin checkpoint
}
the_secondarys_folder_replaces_metas_cleanup() { cluster_cleanup; }

atf_init_test_cases() {
    atf_add_test_case killed_checkpoints_are_made_again
    atf_add_test_case what_is_purged_is_not_needed
    atf_add_test_case the_secondarys_folder_replaces_metas
}
