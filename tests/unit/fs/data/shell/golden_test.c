/*
 * Conversations of Hadoop's clients with Hadoop's data nodes, recorded: our node gets the client's
 * half and must answer with the node's, byte for byte.
 */
#include "tests/unit/fs/data/shell/node.h"

enum { WAIT_MS = 5000, QUIET_MS = 150, FILE_MAX = 1 << 20 };

static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};

static void load(const char *name, const char *half, struct hd_buf *out)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/tests/golden/hdfs/%s.%s.bin", HD_SOURCE_DIR, name, half);
    ATF_REQUIRE_EQ_MSG(hd_file_read(path, FILE_MAX, out), 0, "%s", hd_fail_text());
}

/* Reads until `want` bytes are there and it is quiet, or the node closes. True when it closed. */
static bool collect(int fd, size_t want, struct hd_buf *out)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, out->size < want ? WAIT_MS : QUIET_MS);
        ATF_REQUIRE_EQ(hd_buf_reserve(out, 65536), 0);
        ssize_t got = n <= 0 ? 0 : recv(fd, out->data + out->size, 65536, 0);
        if (got <= 0) {
            return n > 0;
        }
        out->size += (size_t)got;
    }
}

enum end { ANY, CLOSES, STAYS };

static void replay(struct node *n, const char *name, enum end end)
{
    HD_AUTO(hd_buf_done) struct hd_buf say = {0};
    HD_AUTO(hd_buf_done) struct hd_buf want = {0};
    HD_AUTO(hd_buf_done) struct hd_buf got = {0};
    load(name, "c2s", &say);
    load(name, "s2c", &want);
    HD_AUTO(hd_fd_done) int fd = node_connect(n);
    ATF_REQUIRE_EQ(hd_fd_write(fd, say.data, say.size), 0);
    bool closed = collect(fd, want.size, &got);
    ATF_CHECK_EQ_MSG(got.size, want.size, "%s: %zu bytes, Hadoop sends %zu", name, got.size,
                     want.size);
    size_t same = 0;
    while (same < got.size && same < want.size && got.data[same] == want.data[same]) {
        same++;
    }
    ATF_CHECK_EQ_MSG(same, want.size, "%s: differs at byte %zu", name, same);
    ATF_CHECK_MSG(end == ANY || closed == (end == CLOSES), "%s: the connection %s", name,
                  closed ? "was closed" : "stays open");
}

/* The replicas that the captures ask for. */
static void put(struct node *n, uint64_t id, uint64_t gs, uint64_t first, size_t size,
                unsigned seed, struct hd_sum_format f)
{
    uint8_t *data = capture_bytes(first, size, seed);
    node_put(n, id, gs, f, data, size);
    free(data);
}

static void check(struct node *n, uint64_t id, uint64_t gs, uint64_t first, size_t size,
                  unsigned seed)
{
    uint8_t *data = capture_bytes(first, size, seed);
    node_check(n, id, gs, data, size);
    free(data);
}

ATF_TC_WITHOUT_HEAD(reads_are_answered_like_hadoops);
ATF_TC_BODY(reads_are_answered_like_hadoops, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    put(&n, 1073741851, 1030, 0, 131072, 5, crc32c);
    put(&n, 1073741852, 1031, 131072, 18928, 5, crc32c);
    put(&n, 1073741831, 1007, 0, 1500, 8, crc32c);
    put(&n, 1073741855, 1035, 0, 1300, 12, (struct hd_sum_format){HD_CHECKSUM_CRC32, 256});
    static const char *const names[] = {
        "dtp-read.b1",      "dtp-read.b2",       "dtp-pread.1",         "dtp-pread.2",
        "dtp-nosums",       "dtp-crc32.read",    "rawdtp-read-ok",      "rawdtp-read-gs-older",
        "rawdtp-read-zero", "rawdtp-read-zero2", "rawdtp-read-notoken", "rawdtp-read-nosums",
        "rawdtp-read-mid"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        replay(&n, names[i], STAYS);
    }
    replay(&n, "rawdtp-reuse", CLOSES);
    replay(&n, "rawdtp-copy", CLOSES);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(block_checksums_are_hadoops);
ATF_TC_BODY(block_checksums_are_hadoops, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    put(&n, 1073741851, 1030, 0, 131072, 5, crc32c);
    put(&n, 1073741852, 1031, 131072, 18928, 5, crc32c);
    put(&n, 1073741831, 1007, 0, 1500, 8, crc32c);
    put(&n, 1073741855, 1035, 0, 1300, 12, (struct hd_sum_format){HD_CHECKSUM_CRC32, 256});
    static const char *const names[] = {
        "dtp-cksum.b1",    "dtp-cksum.b2",       "dtp-cksum.part",
        "dtp-cksum.one",   "dtp-cksum.comp1",    "dtp-cksum.comp2",
        "dtp-crc32.cksum", "rawdtp-cksum-noopt", "rawdtp-cksum-partial"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        replay(&n, names[i], CLOSES);
    }
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(refusals_have_hadoops_words_or_silence);
ATF_TC_BODY(refusals_have_hadoops_words_or_silence, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    put(&n, 1073741831, 1007, 0, 1500, 8, crc32c);
    static const char *const names[] = {"rawdtp-read-missing",   "rawdtp-read-beyond",
                                        "rawdtp-read-off",       "rawdtp-version27",
                                        "rawdtp-op82",           "rawdtp-op99",
                                        "rawdtp-missingfield",   "rawdtp-custom",
                                        "rawdtp-write-exists",   "rawdtp-write-badstage",
                                        "rawdtp-append-oldgs",   "rawdtp-append-badlen",
                                        "rawdtp-cksum-missing",  "rawdtp-write-deadmirror",
                                        "balance.replace-exists"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        replay(&n, names[i], CLOSES);
    }
    replay(&n, "rawdtp-scr-fds-tcp", ANY);
    replay(&n, "rawdtp-scr-release-tcp", ANY);
    check(&n, 1073741831, 1007, 0, 1500, 8); /* nothing of it did any harm */
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(the_tail_of_a_pipeline_acknowledges_like_hadoops);
ATF_TC_BODY(the_tail_of_a_pipeline_acknowledges_like_hadoops, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    replay(&n, "dtp-write.b2-hop3", CLOSES);
    check(&n, 1073741852, 1031, 131072, 18928, 5);
    replay(&n, "dtp-read.b2", STAYS);
    node_stop(&n);
}

/* 1000 bytes, append of 700: the first packet fills the partial chunk. */
ATF_TC_WITHOUT_HEAD(an_append_into_a_partial_chunk_keeps_the_sums_right);
ATF_TC_BODY(an_append_into_a_partial_chunk_keeps_the_sums_right, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    put(&n, 1073741854, 1033, 0, 1000, 9, crc32c);
    replay(&n, "dtp-append.hop3", CLOSES);
    uint8_t *want = capture_bytes(0, 1700, 9);
    uint8_t *added = capture_bytes(0, 700, 6);
    memcpy(want + 1000, added, 700);
    node_check(&n, 1073741854, 1034, want, 1700);
    free(want);
    free(added);
    node_stop(&n);
}

/* hflush sends a partial chunk again from its start. */
ATF_TC_WITHOUT_HEAD(chunks_sent_again_after_hflush_replace_what_is_there);
ATF_TC_BODY(chunks_sent_again_after_hflush_replace_what_is_there, tc)
{
    static struct node n;
    static const size_t sizes[] = {1000, 100, 2000, 5};
    node_start(&n, TEST_POOL);
    replay(&n, "dtp-hflush.hop3", CLOSES);
    uint8_t want[3105];
    size_t at = 0;
    for (unsigned i = 0; i < HD_ARRAY_COUNT(sizes); i++) {
        uint8_t *part = capture_bytes(0, sizes[i], i + 1);
        memcpy(want + at, part, sizes[i]);
        at += sizes[i];
        free(part);
    }
    node_check(&n, 1073741853, 1032, want, at);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(a_copy_between_nodes_is_taken_without_a_word);
ATF_TC_BODY(a_copy_between_nodes_is_taken_without_a_word, tc)
{
    static struct node n;
    node_start(&n, TEST_POOL);
    replay(&n, "transfer.hop2", CLOSES);
    check(&n, 1073741858, 1040, 0, 9000, 10);
    node_stop(&n);
}

/* A client in recovery has a replica copied here (stage 7), then writes on (stage 3). */
ATF_TC_WITHOUT_HEAD(a_transferred_rbw_replica_is_written_on_under_a_new_stamp);
ATF_TC_BODY(a_transferred_rbw_replica_is_written_on_under_a_new_stamp, tc)
{
    static struct node n;
    struct hd_replica r;
    node_start(&n, "BP-1496649253-127.0.0.1-1795365366813");
    replay(&n, "pipe-recovery.transfer", CLOSES);
    ATF_REQUIRE_EQ(hd_store_get(n.data.store, (struct hd_block_id){1073741836}, &r), 0);
    ATF_CHECK(r.state == HD_REPLICA_RBW && r.size_bytes == 1000 && r.gs.v == 1012);
    replay(&n, "pipe-recovery.hop3", CLOSES);
    ATF_REQUIRE_EQ(hd_store_get(n.data.store, (struct hd_block_id){1073741836}, &r), 0);
    ATF_CHECK(r.state == HD_REPLICA_FINALIZED && r.size_bytes == 71100 && r.gs.v == 1013);
    node_stop(&n);
}

/* Every request cut after every byte: closed or waited for, never a crash, and still serving. */
ATF_TC_WITHOUT_HEAD(requests_cut_anywhere_do_no_harm);
ATF_TC_BODY(requests_cut_anywhere_do_no_harm, tc)
{
    static struct node n;
    static const char *const names[] = {"rawdtp-read-ok", "dtp-append.hop3", "rawdtp-write-exists",
                                        "rawdtp-cksum-noopt", "rawdtp-garbage"};
    node_start(&n, TEST_POOL);
    put(&n, 1073741831, 1007, 0, 1500, 8, crc32c);
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        HD_AUTO(hd_buf_done) struct hd_buf say = {0};
        load(names[i], "c2s", &say);
        for (size_t cut = 0; cut < HD_MIN(say.size, (size_t)200); cut++) {
            HD_AUTO(hd_fd_done) int fd = node_connect(&n);
            ATF_REQUIRE_EQ(hd_fd_write(fd, say.data, cut), 0);
        }
    }
    replay(&n, "rawdtp-read-ok", STAYS);
    node_stop(&n);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, reads_are_answered_like_hadoops);
    ATF_TP_ADD_TC(tp, block_checksums_are_hadoops);
    ATF_TP_ADD_TC(tp, refusals_have_hadoops_words_or_silence);
    ATF_TP_ADD_TC(tp, the_tail_of_a_pipeline_acknowledges_like_hadoops);
    ATF_TP_ADD_TC(tp, an_append_into_a_partial_chunk_keeps_the_sums_right);
    ATF_TP_ADD_TC(tp, chunks_sent_again_after_hflush_replace_what_is_there);
    ATF_TP_ADD_TC(tp, a_copy_between_nodes_is_taken_without_a_word);
    ATF_TP_ADD_TC(tp, a_transferred_rbw_replica_is_written_on_under_a_new_stamp);
    ATF_TP_ADD_TC(tp, requests_cut_anywhere_do_no_harm);
    return atf_no_error();
}
