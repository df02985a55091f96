/*
 * One fault in one file of a metadata directory: every kind of file, every kind of damage. A start
 * either has everything that was acknowledged, or refuses with a sentence; with a second directory
 * it always has everything. And the edit log cut at any byte, or with bits flipped anywhere.
 *
 * Variables: seed, rounds (flips), stride (of the cuts; 1: every byte).
 */
#include "tests/unit/meta/shell/store_rig.h"
#include "fs/base/prng.h"
#include "meta/log/mend.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rig rig;
static struct hd_prng prng;

static long variable(const atf_tc_t *tc, const char *name, long fallback)
{
    char text[32];
    snprintf(text, sizeof(text), "%ld", fallback);
    return strtol(atf_tc_get_config_var_wd(tc, name, text), NULL, 10);
}

static void shell(const char *command)
{
    ATF_REQUIRE_EQ_MSG(system(command), 0, "%s", command);
}

/*
 * good/ is a store that was killed: two images, edits behind each, a view. old/ is what it was
 * earlier, when an image and some edits were there already.
 */
static void make_stores(const char *dirs)
{
    rig_init(&rig, dirs);
    rig_begin(&rig);
    rig_work(&rig, 30);
    rig_checkpoint(&rig, 3);
    rig_work(&rig, 10);
    rig_kill(&rig);
    shell("mkdir old && cp -a a* old/");
    rig_begin(&rig);
    rig_work(&rig, 20);
    rig_checkpoint(&rig, 3);
    rig_work(&rig, 30);
    rig_kill(&rig);
    shell("mkdir good && cp -a a* good/");
}

static void copy_tree(const char *from, const char *to)
{
    DIR *d = opendir(from);
    ATF_REQUIRE_MSG(d != NULL, "%s", from);
    ATF_REQUIRE(mkdir(to, 0755) == 0 || errno == EEXIST);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char source[512];
        char target[512];
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(source, sizeof(source), "%s/%s", from, e->d_name);
        snprintf(target, sizeof(target), "%s/%s", to, e->d_name);
        HD_AUTO(hd_buf_done) struct hd_buf b = {0};
        if (e->d_type == DT_DIR) {
            copy_tree(source, target);
            continue;
        }
        ATF_REQUIRE_EQ(hd_file_read(source, 64 << 20, &b), 0);
        HD_AUTO(hd_fd_done) int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ATF_REQUIRE(fd >= 0 && hd_fd_write(fd, b.data, b.size) == 0);
    }
    closedir(d);
}

static void restore(void)
{
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_dir_remove("a"), 0);
    ATF_REQUIRE_EQ(hd_dir_remove("a2"), 0);
    copy_tree("good", ".");
}

struct file_row {
    const char *pattern;
    bool newest; /* of the names that fit: the last; else the first */
    bool spare;  /* nothing needs it while all else is whole */
};

static const struct file_row rows[] = {
    {"a/edits_0*", false, false},
    {"a/edits_0*", true, false},
    {"a/edits_inprogress_*", true, false},
    {"a/image_*[0-9]", true, true},
    {"a/image_*.sha256", true, true},
    {"a/image_*[0-9]", false, true},
    {"a/view/CURRENT", true, true},
    {"a/view/MANIFEST-*", true, true},
    {"a/view/*.log", true, true},
    {"a/view/*.ldb", true, true},
    {"a/VERSION", true, false},
    {"a/in_use.lock", true, true},
    {"a/MEMBERS", true, false},
};

static bool find(const char *root, const struct file_row *row, char out[512])
{
    char pattern[512];
    glob_t g;
    snprintf(pattern, sizeof(pattern), "%s%s", root, row->pattern);
    bool found = glob(pattern, 0, NULL, &g) == 0;
    if (found) {
        snprintf(out, 512, "%s", g.gl_pathv[row->newest ? g.gl_pathc - 1 : 0]);
    }
    globfree(&g);
    return found;
}

enum damage {
    ZEROS,
    ZERO_SECTOR,
    RANDOM,
    RANDOM_SECTOR,
    OLD,
    BIT,
    SWAPPED,
    SHORT,
    EMPTY,
    MISSING,
    DAMAGES
};

static const char *const damage_names[] = {
    "zeros",   "a sector of zeros",   "random",    "a random sector", "an old version",
    "one bit", "two sectors swapped", "cut short", "empty",           "missing"};

static void put(const char *path, uint64_t offset, const void *data, size_t size)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR);
    ATF_REQUIRE_MSG(fd >= 0, "%s", path);
    ATF_REQUIRE_EQ(hd_fd_pwrite(fd, data, size, offset), 0);
}

static void scribble(const char *path, uint64_t offset, size_t size, bool zeros)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_buf_reserve(&b, size + 1), 0);
    for (size_t i = 0; i < size; i++) {
        b.data[i] = zeros ? 0 : (uint8_t)hd_prng_below(&prng, 256);
    }
    put(path, offset, b.data, size);
}

static void flip(const char *path, uint64_t size)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR);
    uint8_t byte;
    off_t at = (off_t)hd_prng_below(&prng, size);
    ATF_REQUIRE(pread(fd, &byte, 1, at) == 1);
    byte = (uint8_t)(byte ^ 1 << hd_prng_below(&prng, 8));
    ATF_REQUIRE(pwrite(fd, &byte, 1, at) == 1);
}

static void swap_sectors(const char *path, uint64_t size)
{
    uint8_t x[512];
    uint8_t y[512];
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR);
    if (size >= 1024) {
        ATF_REQUIRE(pread(fd, x, 512, 0) == 512 && pread(fd, y, 512, 512) == 512);
        ATF_REQUIRE(pwrite(fd, y, 512, 0) == 512 && pwrite(fd, x, 512, 512) == 512);
    }
}

static void take_old(const struct file_row *row, const char *path)
{
    char old[512];
    if (find("old/", row, old)) {
        HD_AUTO(hd_buf_done) struct hd_buf b = {0};
        ATF_REQUIRE_EQ(hd_file_read(old, 64 << 20, &b), 0);
        ATF_REQUIRE_EQ(truncate(path, 0), 0);
        put(path, 0, b.data, b.size);
    }
}

/* What of the file was ever written: the rest is preallocated. */
static uint64_t written_size(const char *path)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_file_read(path, 64 << 20, &b), 0);
    while (b.size > 0 && b.data[b.size - 1] == 0) {
        b.size--;
    }
    return b.size;
}

static void damage(const struct file_row *row, const char *path, enum damage d)
{
    uint64_t size = written_size(path);
    uint64_t sector = size > 512 ? hd_prng_below(&prng, (size / 512)) * 512 : 0;
    size_t in_sector = (size_t)HD_MIN(size - sector, (uint64_t)512);
    switch (d) {
    case ZEROS:
    case RANDOM:
        scribble(path, 0, (size_t)size, d == ZEROS);
        break;
    case ZERO_SECTOR:
    case RANDOM_SECTOR:
        scribble(path, sector, in_sector, d == ZERO_SECTOR);
        break;
    case OLD:
        take_old(row, path);
        break;
    case BIT:
        flip(path, size);
        break;
    case SWAPPED:
        swap_sectors(path, size);
        break;
    case SHORT:
        ATF_REQUIRE_EQ(truncate(path, (off_t)hd_prng_below(&prng, size)), 0);
        break;
    case EMPTY:
        ATF_REQUIRE_EQ(truncate(path, 0), 0);
        break;
    case MISSING:
        ATF_REQUIRE_EQ(unlink(path), 0);
        break;
    case DAMAGES:
        break;
    }
}

static const char *outcome(void)
{
    int err = rig_open(&rig);
    if (err < 0) {
        return strlen(hd_fail_text()) > 20 && strstr(hd_fail_text(), "a") != NULL
                   ? "refused"
                   : "refused without a sentence";
    }
    return rig.gone_astray ? "WRONG" : "whole";
}

/* must: every damage has to be mended. */
static void run_matrix(bool must)
{
    unsigned counts[2] = {0};
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        const struct file_row *row = &rows[i];
        for (enum damage d = ZEROS; d < DAMAGES; d++) {
            char path[512];
            int rounds = d == BIT || d == SHORT || d == ZERO_SECTOR || d == RANDOM_SECTOR ? 3 : 1;
            for (int round = 0; round < rounds; round++) {
                restore();
                if (!find("", row, path) || written_size(path) == 0) {
                    continue;
                }
                damage(row, path, d);
                const char *got = outcome();
                bool whole = strcmp(got, "whole") == 0;
                bool has_to = row->spare || (must && strcmp(row->pattern, "a/MEMBERS") != 0);
                ATF_CHECK_MSG(whole || (!has_to && strcmp(got, "refused") == 0), "%s, %s: %s %s",
                              path, damage_names[d], got, hd_fail_text());
                counts[whole]++;
            }
        }
    }
    printf("%u whole, %u refused\n", counts[1], counts[0]);
    ATF_CHECK(counts[1] > 50);
}

ATF_TC_WITHOUT_HEAD(one_fault_is_mended_or_refused);
ATF_TC_BODY(one_fault_is_mended_or_refused, tc)
{
    prng.state = (uint64_t)variable(tc, "seed", 1);
    make_stores("a");
    run_matrix(false);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(one_fault_beside_a_second_directory_is_mended);
ATF_TC_BODY(one_fault_beside_a_second_directory_is_mended, tc)
{
    prng.state = (uint64_t)variable(tc, "seed", 2);
    make_stores("a,a2");
    run_matrix(true);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(without_a_view_damaged_images_and_segments_are_mended_or_refused);
ATF_TC_BODY(without_a_view_damaged_images_and_segments_are_mended_or_refused, tc)
{
    prng.state = (uint64_t)variable(tc, "seed", 3);
    make_stores("a");
    shell("rm -r good/a/view");
    unsigned whole = 0;
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        const struct file_row *row = &rows[i];
        for (enum damage d = ZEROS; d < DAMAGES; d++) {
            char path[512];
            restore();
            if (strstr(row->pattern, "inprogress") != NULL || !find("", row, path)) {
                continue; /* nothing else tells how far the log had come */
            }
            damage(row, path, d);
            const char *got = outcome();
            ATF_CHECK_MSG(strcmp(got, "whole") == 0 || (!row->spare && strcmp(got, "refused") == 0),
                          "%s, %s: %s %s", path, damage_names[d], got, hd_fail_text());
            whole += strcmp(got, "whole") == 0;
        }
    }
    ATF_CHECK(whole > 20);
    rig_done(&rig);
}

/* As if the crash came when the segment had this many bytes, and nothing of it was applied. */
ATF_TC_WITHOUT_HEAD(every_prefix_of_the_log_is_its_whole_records);
ATF_TC_BODY(every_prefix_of_the_log_is_its_whole_records, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf log = {0};
    char path[512];
    size_t stride = (size_t)variable(tc, "stride", 29);
    rig_init(&rig, "a");
    rig_begin(&rig);
    rig_work(&rig, 10);
    rig_checkpoint(&rig, 2);
    uint64_t base = rig.acked;
    rig_kill(&rig);
    shell("mkdir good && cp -a a good/");
    rig_begin(&rig);
    rig_work(&rig, 60);
    rig_kill(&rig);
    ATF_REQUIRE(find("", &rows[2], path));
    ATF_REQUIRE_EQ(hd_file_read(path, 64 << 20, &log), 0);
    uint64_t end = written_size(path);
    size_t whole = HD_SEGMENT_HEADER_BYTES;
    uint64_t txid = base;
    for (size_t n = 0; n <= end; n += n + stride > end && n < end ? end - n : stride) {
        struct hd_record rec;
        size_t bytes;
        while (whole < n &&
               hd_record_decode(log.data + whole, n - whole, &rec, &bytes) == HD_RECORD_GOOD) {
            whole += bytes;
            txid = rec.txid.v;
        }
        restore();
        shell("rm -f a/edits_inprogress_*");
        ATF_REQUIRE_EQ(hd_file_replace(path, log.data, n, 0644), 0);
        rig.acked = txid;
        int err = rig_open(&rig);
        ATF_REQUIRE_MSG(err == 0, "%zu bytes: %s", n, hd_fail_text());
        ATF_REQUIRE_MSG(!rig.gone_astray && hd_meta_txid(rig.s.meta).v == txid,
                        "%zu bytes: txid %" PRIu64 ", not %" PRIu64, n, hd_meta_txid(rig.s.meta).v,
                        txid);
    }
    ATF_CHECK_EQ(txid, hd_meta_txid(rig.s.meta).v);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(flipped_bits_lose_nothing_unseen);
ATF_TC_BODY(flipped_bits_lose_nothing_unseen, tc)
{
    long rounds = variable(tc, "rounds", 150);
    unsigned whole = 0;
    prng.state = (uint64_t)variable(tc, "seed", 4);
    make_stores("a");
    for (long i = 0; i < rounds; i++) {
        char path[512];
        restore();
        for (uint64_t n = 1 + hd_prng_below(&prng, 4); n > 0; n--) {
            ATF_REQUIRE(find("", &rows[hd_prng_below(&prng, 3)], path));
            flip(path, written_size(path));
        }
        const char *got = outcome();
        whole += strcmp(got, "whole") == 0;
        ATF_REQUIRE_MSG(strcmp(got, "whole") == 0 || strcmp(got, "refused") == 0,
                        "round %ld: %s %s", i, got, hd_fail_text());
    }
    printf("%u of %ld whole\n", whole, rounds);
    rig_done(&rig);
}

/* The other copy has the same records in other segments, as a secondary's has. */
ATF_TC_WITHOUT_HEAD(a_log_is_mended_from_another_copy);
ATF_TC_BODY(a_log_is_mended_from_another_copy, tc)
{
    static const char *const commands[] = {
        "printf X | dd of=$(ls a/edits_0* | head -1) bs=1 seek=500 conv=notrunc status=none",
        "printf X | dd of=$(ls a/edits_in* | tail -1) bs=1 seek=300 conv=notrunc status=none",
        "rm $(ls a/edits_0* | sed -n 2p)",
        "truncate -s 200 $(ls a/edits_0* | head -1)",
        "printf XXXX | dd of=$(ls a/edits_0* | tail -1) bs=1 seek=0 conv=notrunc status=none",
    };
    rig_init(&rig, "a");
    for (int i = 0; i < 3; i++) {
        rig_begin(&rig);
        rig_work(&rig, 20);
        rig_kill(&rig);
    }
    shell("mkdir good && cp -a a good/ && cp -a a other");
    rig.dirs = "other"; /* a start ends the segment, and the next one begins another */
    rig_begin(&rig);
    rig_kill(&rig);
    rig.dirs = "a";
    for (size_t i = 0; i < HD_ARRAY_COUNT(commands); i++) {
        restore();
        ATF_REQUIRE_EQ(hd_dir_remove("a/view"), 0); /* all of the log is needed */
        shell(commands[i]);
        ATF_CHECK_MSG(rig_open(&rig) < 0, "%s: opened", commands[i]);
        rig_kill(&rig);
        hd_store_close(&rig.s);
        ATF_REQUIRE_EQ_MSG(hd_edits_mend("a", "other", NULL, NULL), 0, "%s: %s", commands[i],
                           hd_fail_text());
        ATF_REQUIRE_EQ_MSG(rig_open(&rig), 0, "%s: %s", commands[i], hd_fail_text());
        ATF_CHECK(!rig.gone_astray);
    }
    rig_kill(&rig);
    shell("rm $(ls other/edits_0* | head -1); rm $(ls a/edits_0* | sed -n 2p); rm -f "
          "$(ls other/edits_0* | head -1)");
    ATF_CHECK_EQ(hd_edits_mend("a", "other", NULL, NULL), -ENOENT);
    rig_done(&rig);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, one_fault_is_mended_or_refused);
    ATF_TP_ADD_TC(tp, one_fault_beside_a_second_directory_is_mended);
    ATF_TP_ADD_TC(tp, without_a_view_damaged_images_and_segments_are_mended_or_refused);
    ATF_TP_ADD_TC(tp, every_prefix_of_the_log_is_its_whole_records);
    ATF_TP_ADD_TC(tp, flipped_bits_lose_nothing_unseen);
    ATF_TP_ADD_TC(tp, a_log_is_mended_from_another_copy);
    return atf_no_error();
}
