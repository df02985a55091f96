/* What was promised stays written down, and what was torn promises nothing. */
#include "tools/drill/ledger.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hd_ledger_record record(const char *path, enum hd_ledger_result result)
{
    struct hd_ledger_record r = {.invoke_us = 17,
                                 .ack_us = 4711,
                                 .client = 3,
                                 .op = HD_DID_APPEND,
                                 .ack = result == HD_RESULT_OK ? HD_ACK_SYNCED : HD_ACK_NONE,
                                 .result = result,
                                 .offset = UINT64_C(1) << 40,
                                 .size_bytes = 5};
    snprintf(r.path, sizeof(r.path), "%s", path);
    hd_sha256("hello", 5, r.sha256);
    return r;
}

ATF_TC_WITHOUT_HEAD(a_line_gives_back_what_was_put_in);
ATF_TC_BODY(a_line_gives_back_what_was_put_in, tc)
{
    char line[640];
    struct hd_ledger_record in = record("/d/log-1", HD_RESULT_UNKNOWN);
    struct hd_ledger_record out;
    ATF_REQUIRE(hd_ledger_encode(&in, line, sizeof(line)) > 0);
    ATF_CHECK(strstr(line, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824") !=
              NULL); /* sha256("hello") */
    ATF_REQUIRE_EQ(hd_ledger_decode(line, &out), 0);
    ATF_CHECK_EQ(memcmp(&in, &out, sizeof(in)), 0);
    ATF_CHECK_EQ(hd_ledger_encode(&in, line, 20), -HD_E_TOO_LARGE);
}

ATF_TC_WITHOUT_HEAD(what_is_no_line_is_refused);
ATF_TC_BODY(what_is_no_line_is_refused, tc)
{
    char line[640];
    struct hd_ledger_record r = record("/d/log-1", HD_RESULT_OK);
    struct hd_ledger_record out;
    ATF_REQUIRE(hd_ledger_encode(&r, line, sizeof(line)) > 0);
    ATF_CHECK_EQ(hd_ledger_decode("", &out), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(hd_ledger_decode("1 2 3 eat /x 0 0 00 synced ok\n", &out), -HD_E_BAD_MESSAGE);
    memcpy(strstr(line, "append"), "upend ", 6);
    ATF_CHECK_EQ(hd_ledger_decode(line, &out), -HD_E_BAD_MESSAGE);
    ATF_REQUIRE(hd_ledger_encode(&r, line, sizeof(line)) > 0);
    *strrchr(line, '\n') = '\0'; /* torn */
    ATF_CHECK_EQ(hd_ledger_decode(line, &out), -HD_E_BAD_MESSAGE);
}

struct many {
    struct hd_ledger *ledger;
    int failed;
};

static void *add_many(void *ctx)
{
    struct many *m = ctx;
    struct hd_ledger_record r = record("/d/log-1", HD_RESULT_OK);
    for (int i = 0; i < 100; i++) {
        m->failed += hd_ledger_add(m->ledger, &r) < 0;
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(threads_share_a_ledger);
ATF_TC_BODY(threads_share_a_ledger, tc)
{
    pthread_t threads[4];
    struct many m = {0};
    struct hd_ledger_record *list;
    size_t count;
    ATF_REQUIRE_EQ(hd_ledger_open("ledger", &m.ledger), 0);
    for (int i = 0; i < 4; i++) {
        ATF_REQUIRE_EQ(pthread_create(&threads[i], NULL, add_many, &m), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ATF_CHECK_EQ(m.failed, 0);
    ATF_CHECK_EQ(hd_ledger_acked(m.ledger), 400);
    hd_ledger_close(m.ledger);
    ATF_REQUIRE_EQ(hd_ledger_load("ledger", &list, &count), 0);
    ATF_CHECK_EQ(count, 400);
    free(list);
}

ATF_TC_WITHOUT_HEAD(only_acknowledged_bytes_are_read_again);
ATF_TC_BODY(only_acknowledged_bytes_are_read_again, tc)
{
    struct hd_ledger *l;
    struct hd_ledger_record got;
    struct hd_prng prng = {.state = 1};
    struct hd_ledger_record unknown = record("/d/unknown", HD_RESULT_UNKNOWN);
    struct hd_ledger_record dir = record("/d/dir", HD_RESULT_OK);
    struct hd_ledger_record ok = record("/d/ok", HD_RESULT_OK);
    dir.op = HD_DID_MKDIR;
    ATF_REQUIRE_EQ(hd_ledger_open("ledger", &l), 0);
    ATF_REQUIRE_EQ(hd_ledger_add(l, &unknown), 0);
    ATF_REQUIRE_EQ(hd_ledger_add(l, &dir), 0);
    ATF_CHECK(!hd_ledger_pick(l, &prng, &got));
    ATF_REQUIRE_EQ(hd_ledger_add(l, &ok), 0);
    ATF_REQUIRE(hd_ledger_pick(l, &prng, &got));
    ATF_CHECK_STREQ(got.path, "/d/ok");
    ATF_CHECK_EQ(hd_ledger_acked(l), 2);
    hd_ledger_close(l);
}

ATF_TC_WITHOUT_HEAD(a_torn_last_line_promises_nothing);
ATF_TC_BODY(a_torn_last_line_promises_nothing, tc)
{
    struct hd_ledger *l;
    struct hd_ledger_record *list;
    size_t count;
    struct hd_ledger_record r = record("/d/ok", HD_RESULT_OK);
    ATF_REQUIRE_EQ(hd_ledger_open("ledger", &l), 0);
    ATF_REQUIRE_EQ(hd_ledger_add(l, &r), 0);
    ATF_REQUIRE_EQ(hd_ledger_add(l, &r), 0);
    hd_ledger_close(l);
    FILE *f = fopen("ledger", "r+");
    ATF_REQUIRE(f != NULL);
    fseek(f, -9, SEEK_END);
    ATF_REQUIRE_EQ(ftruncate(fileno(f), ftell(f)), 0);
    fclose(f);
    ATF_REQUIRE_EQ(hd_ledger_load("ledger", &list, &count), 0);
    ATF_CHECK_EQ(count, 1);
    free(list);
    ATF_CHECK_EQ(hd_ledger_open("ledger", &l), -EEXIST);
}

/* The descriptor of the ledger that is open. */
static int ledger_fd(void)
{
    char link[64];
    char target[4096];
    for (int fd = 3; fd < 256; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (n > 7 && strcmp(target + n - 7, "/ledger") == 0) {
            return fd;
        }
    }
    return -1;
}

ATF_TC_WITHOUT_HEAD(a_ledger_that_cannot_be_written_takes_no_more);
ATF_TC_BODY(a_ledger_that_cannot_be_written_takes_no_more, tc)
{
    struct hd_ledger *l;
    struct hd_ledger_record r = record("/d/ok", HD_RESULT_OK);
    if (access("/dev/full", W_OK) != 0) {
        atf_tc_skip("needs /dev/full");
    }
    ATF_REQUIRE_EQ(hd_ledger_open("ledger", &l), 0);
    int full = ledger_fd();
    FILE *f = fopen("/dev/full", "w");
    ATF_REQUIRE(f != NULL);
    ATF_REQUIRE(full >= 0 && dup2(fileno(f), full) >= 0);
    ATF_CHECK_EQ(hd_ledger_add(l, &r), -ENOSPC);
    ATF_CHECK_EQ(hd_ledger_add(l, &r), -ENOSPC);
    ATF_CHECK_EQ(hd_ledger_acked(l), 0);
    fclose(f);
    hd_ledger_close(l);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_line_gives_back_what_was_put_in);
    ATF_TP_ADD_TC(tp, what_is_no_line_is_refused);
    ATF_TP_ADD_TC(tp, threads_share_a_ledger);
    ATF_TP_ADD_TC(tp, only_acknowledged_bytes_are_read_again);
    ATF_TP_ADD_TC(tp, a_torn_last_line_promises_nothing);
    ATF_TP_ADD_TC(tp, a_ledger_that_cannot_be_written_takes_no_more);
    return atf_no_error();
}
