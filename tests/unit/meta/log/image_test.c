/* Images: what is written comes back; what is damaged anywhere is refused with file and offset. */
#include "meta/log/image.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char cluster[] = "CID-test";

static size_t make_key(unsigned i, char out[32])
{
    return (size_t)snprintf(out, 32, "key-%08u", i);
}

static size_t make_value(unsigned i, uint8_t out[300])
{
    struct hd_prng p = {i};
    size_t size = hd_prng_below(&p, 300);
    for (size_t j = 0; j < size; j++) {
        out[j] = (uint8_t)hd_prng_next(&p);
    }
    return size;
}

/* Writes, checks and installs the image of txid with `keys` keys. */
static void make_image(uint64_t txid, unsigned keys)
{
    struct hd_image_writer *w;
    struct hd_image_info info;
    ATF_REQUIRE_EQ(hd_image_writer_new(".", cluster, (struct hd_txid){txid}, &w), 0);
    for (unsigned i = 0; i < keys; i++) {
        char key[32];
        uint8_t value[300];
        size_t key_size = make_key(i, key);
        ATF_REQUIRE_EQ(hd_image_writer_add(w, key, key_size, value, make_value(i, value)), 0);
    }
    ATF_REQUIRE_EQ(hd_image_writer_finish(w), 0);
    const char *path = hd_image_writer_path(w);
    ATF_REQUIRE_EQ_MSG(hd_image_read(path, cluster, NULL, NULL, &info), 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(info.keys, keys);
    ATF_REQUIRE_EQ(hd_image_install(".", path, &info), 0);
    hd_image_writer_free(w);
}

static int check_key(void *ctx, const void *key, size_t key_size, const void *value,
                     size_t value_size)
{
    unsigned *next = ctx;
    char want_key[32];
    uint8_t want[300];
    ATF_REQUIRE_EQ(key_size, make_key(*next, want_key));
    ATF_REQUIRE_EQ(memcmp(key, want_key, key_size), 0);
    ATF_REQUIRE_EQ(value_size, make_value(*next, want));
    ATF_REQUIRE_EQ(memcmp(value, want, value_size), 0);
    (*next)++;
    return 0;
}

ATF_TC_WITHOUT_HEAD(image_comes_back);
ATF_TC_BODY(image_comes_back, tc)
{
    static const unsigned sizes[] = {0, 1, 1000, 20000};
    for (size_t i = 0; i < HD_ARRAY_COUNT(sizes); i++) {
        struct hd_image_info info;
        unsigned next = 0;
        make_image(100 + i, sizes[i]);
        ATF_REQUIRE_EQ_MSG(
            hd_image_load(".", (struct hd_txid){100 + i}, cluster, check_key, &next, &info), 0,
            "%s", hd_fail_text());
        ATF_CHECK_EQ(next, sizes[i]);
        ATF_CHECK_EQ(info.keys, sizes[i]);
    }
}

ATF_TC_WITHOUT_HEAD(digest_is_that_of_sha256sum);
ATF_TC_BODY(digest_is_that_of_sha256sum, tc)
{
    make_image(7, 1000);
    ATF_CHECK_EQ(system("sha256sum --check --quiet image_00000000000000000007.sha256"), 0);
}

ATF_TC_WITHOUT_HEAD(flips_and_cuts_are_refused);
ATF_TC_BODY(flips_and_cuts_are_refused, tc)
{
    static const char name[] = "image_00000000000000000007";
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    struct hd_image_info info;
    make_image(7, 1000);
    ATF_REQUIRE_EQ(hd_file_read(name, 1 << 24, &b), 0);
    struct hd_prng p = {3};
    for (int i = 0; i < 600; i++) {
        size_t bit = i < 128 * 2 ? (size_t)i * 4 : hd_prng_below(&p, b.size * 8);
        if (i >= 560) {
            bit = (b.size - 32) * 8 + (size_t)(i - 560) * 6; /* the footer */
        }
        HD_AUTO(hd_fd_done) int fd = open(name, O_WRONLY);
        uint8_t flipped = (uint8_t)(b.data[bit / 8] ^ (1u << bit % 8));
        ATF_REQUIRE_EQ(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        int err = hd_image_load(".", (struct hd_txid){7}, cluster, NULL, NULL, &info);
        ATF_CHECK_MSG(err < 0, "flip in byte %zu", bit / 8);
        ATF_CHECK_MSG(strstr(hd_fail_text(), name) != NULL, "%s", hd_fail_text());
        ATF_REQUIRE_EQ(pwrite(fd, &b.data[bit / 8], 1, (off_t)(bit / 8)), 1);
    }
    for (size_t n = 0; n < b.size; n += 1 + b.size / 300) {
        ATF_REQUIRE_EQ(truncate(name, (off_t)n), 0);
        ATF_CHECK(hd_image_load(".", (struct hd_txid){7}, cluster, NULL, NULL, &info) < 0);
        HD_AUTO(hd_fd_done) int fd = open(name, O_WRONLY);
        ATF_REQUIRE_EQ(hd_fd_pwrite(fd, b.data, b.size, 0), 0);
    }
    ATF_CHECK_EQ(hd_image_load(".", (struct hd_txid){7}, cluster, NULL, NULL, &info), 0);
}

ATF_TC_WITHOUT_HEAD(image_counts_only_with_its_digest);
ATF_TC_BODY(image_counts_only_with_its_digest, tc)
{
    struct hd_txid list[4];
    struct hd_image_info info;
    size_t count;
    make_image(5, 10);
    make_image(30, 10);
    make_image(9, 10);
    ATF_REQUIRE_EQ(hd_image_list(".", list, 4, &count), 0);
    ATF_REQUIRE_EQ(count, 3);
    ATF_CHECK(list[0].v == 30 && list[1].v == 9 && list[2].v == 5);
    ATF_REQUIRE_EQ(hd_image_list(".", list, 2, &count), 0);
    ATF_CHECK(count == 2 && list[0].v == 30 && list[1].v == 9);
    ATF_REQUIRE_EQ(unlink("image_00000000000000000030.sha256"), 0);
    ATF_REQUIRE_EQ(hd_image_list(".", list, 4, &count), 0);
    ATF_CHECK(count == 2 && list[0].v == 9);
    ATF_CHECK_EQ(hd_image_load(".", (struct hd_txid){30}, cluster, NULL, NULL, &info), -ENOENT);
    ATF_REQUIRE_EQ(hd_image_remove(".", (struct hd_txid){9}), 0);
    ATF_CHECK_EQ(access("image_00000000000000000009", F_OK), -1);
}

ATF_TC_WITHOUT_HEAD(wrong_digest_name_or_cluster_is_refused);
ATF_TC_BODY(wrong_digest_name_or_cluster_is_refused, tc)
{
    struct hd_image_info info;
    make_image(5, 10);
    make_image(6, 20);
    ATF_CHECK_EQ(hd_image_load(".", (struct hd_txid){5}, "CID-other", NULL, NULL, &info),
                 -HD_E_INCORRECT_VERSION);
    ATF_REQUIRE_EQ(rename("image_00000000000000000006", "image_00000000000000000005"), 0);
    ATF_CHECK_EQ(hd_image_load(".", (struct hd_txid){5}, cluster, NULL, NULL, &info),
                 -HD_E_CORRUPT);
    ATF_REQUIRE_EQ(rename("image_00000000000000000006.sha256", "image_00000000000000000005.sha256"),
                   0);
    ATF_CHECK_EQ(hd_image_load(".", (struct hd_txid){5}, cluster, NULL, NULL, &info),
                 -HD_E_CORRUPT);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "txid 6") != NULL, "%s", hd_fail_text());
}

ATF_TC_WITHOUT_HEAD(unfinished_images_are_swept);
ATF_TC_BODY(unfinished_images_are_swept, tc)
{
    struct hd_image_writer *w;
    make_image(5, 10);
    ATF_REQUIRE_EQ(hd_file_replace("image_00000000000000000008.tmp", "x", 1, 0644), 0);
    ATF_REQUIRE_EQ(hd_file_replace("other.tmp", "x", 1, 0644), 0);
    ATF_REQUIRE_EQ(hd_image_writer_new(".", cluster, (struct hd_txid){9}, &w), 0);
    hd_image_writer_free(w); /* not finished: leaves nothing */
    ATF_CHECK_EQ(access("image_00000000000000000009.tmp", F_OK), -1);
    ATF_REQUIRE_EQ(hd_image_remove_temps("."), 0);
    ATF_CHECK_EQ(access("image_00000000000000000008.tmp", F_OK), -1);
    ATF_CHECK_EQ(access("other.tmp", F_OK), 0);
    ATF_CHECK_EQ(access("image_00000000000000000005", F_OK), 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, image_comes_back);
    ATF_TP_ADD_TC(tp, digest_is_that_of_sha256sum);
    ATF_TP_ADD_TC(tp, flips_and_cuts_are_refused);
    ATF_TP_ADD_TC(tp, image_counts_only_with_its_digest);
    ATF_TP_ADD_TC(tp, wrong_digest_name_or_cluster_is_refused);
    ATF_TP_ADD_TC(tp, unfinished_images_are_swept);
    return atf_no_error();
}
