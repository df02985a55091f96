/* The notifier with a kernel of straw, whose directories have locks. */
#include "fs/mount/notifier.h"
#include "fs/os/clock.h"

#include <atf-c.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct kernel {
    pthread_mutex_t directory; /* the lock of directory 1 */
    atomic_uint told;
    atomic_uint told_other; /* of other directories */
    atomic_uint done;       /* bits: tickets */
};

static void tell(void *ctx, const struct hd_notice *notice)
{
    struct kernel *k = ctx;
    if (notice->dir == 1) {
        pthread_mutex_lock(&k->directory);
        pthread_mutex_unlock(&k->directory);
        k->told++;
    } else {
        k->told_other++;
    }
}

static void done(void *ctx, uint64_t ticket)
{
    struct kernel *k = ctx;
    k->done |= 1u << ticket;
}

static struct hd_notifier *start(struct kernel *k)
{
    struct hd_notifier *n;
    *k = (struct kernel){0};
    pthread_mutex_init(&k->directory, NULL);
    const struct hd_notifier_owner owner = {.ctx = k, .tell = tell, .done = done};
    ATF_REQUIRE_EQ(hd_notifier_new(&owner, &n), 0);
    return n;
}

static bool add(struct hd_notifier *n, uint64_t dir, uint64_t ticket)
{
    const struct hd_notice notice = {.dir = dir, .name = "name", .ticket = ticket};
    return hd_notifier_add(n, &notice);
}

#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int64_t until_ = hd_clock_mono_ms().v + 10000;                                             \
        while (!(condition) && hd_clock_mono_ms().v < until_) {                                    \
            hd_clock_sleep_ms(1);                                                                  \
        }                                                                                          \
        ATF_CHECK_MSG((condition), #condition);                                                    \
    } while (0)

ATF_TC_WITHOUT_HEAD(a_push_is_done_when_the_kernel_was_told);
ATF_TC_BODY(a_push_is_done_when_the_kernel_was_told, tc)
{
    struct kernel k;
    struct hd_notifier *n = start(&k);
    pthread_mutex_lock(&k.directory);
    ATF_CHECK(!add(n, 1, 3));
    ATF_CHECK(!add(n, 2, 4));
    EVENTUALLY((k.done & 1u << 4) != 0);
    ATF_CHECK_EQ(k.done & 1u << 3, 0);
    pthread_mutex_unlock(&k.directory);
    EVENTUALLY((k.done & 1u << 3) != 0);
    ATF_CHECK_EQ(k.told, 1);
    hd_notifier_free(n);
}

ATF_TC_WITHOUT_HEAD(a_push_for_a_directory_that_we_change_is_done_at_once_and_told_behind);
ATF_TC_BODY(a_push_for_a_directory_that_we_change_is_done_at_once_and_told_behind, tc)
{
    struct kernel k;
    struct hd_notifier *n = start(&k);
    hd_notifier_change_begin(n, 1);
    ATF_CHECK(add(n, 1, 3));
    ATF_CHECK(!add(n, 2, 4));
    EVENTUALLY(k.told_other == 1);
    ATF_CHECK_EQ(k.told, 0);
    hd_notifier_change_end(n, 1);
    EVENTUALLY(k.told == 1);
    ATF_CHECK_EQ(k.done & 1u << 3, 0); /* add said so already */
    hd_notifier_free(n);
}

ATF_TC_WITHOUT_HEAD(a_change_that_begins_frees_the_push_that_waits_for_its_lock);
ATF_TC_BODY(a_change_that_begins_frees_the_push_that_waits_for_its_lock, tc)
{
    struct kernel k;
    struct hd_notifier *n = start(&k);
    pthread_mutex_lock(&k.directory); /* the change's, in the kernel */
    ATF_CHECK(!add(n, 1, 3));
    hd_notifier_change_begin(n, 1);
    ATF_CHECK_EQ(k.done & 1u << 3, 1u << 3);
    ATF_CHECK_EQ(k.told, 0);
    pthread_mutex_unlock(&k.directory);
    hd_notifier_change_end(n, 1);
    EVENTUALLY(k.told == 1);
    hd_notifier_free(n);
}

ATF_TC_WITHOUT_HEAD(patience_ends);
ATF_TC_BODY(patience_ends, tc)
{
    struct kernel k;
    struct hd_notifier *n = start(&k);
    pthread_mutex_lock(&k.directory);
    for (uint64_t i = 0; i < HD_NOTIFIER_THREADS + 2; i++) { /* more than there are threads */
        ATF_CHECK(!add(n, 1, i + 1));
    }
    EVENTUALLY(k.done == (1u << (HD_NOTIFIER_THREADS + 3)) - 2);
    ATF_CHECK_EQ(k.told, 0);
    pthread_mutex_unlock(&k.directory);
    EVENTUALLY(k.told == HD_NOTIFIER_THREADS + 2);
    hd_notifier_free(n);
}

ATF_TC_WITHOUT_HEAD(draining_does_not_wait_for_a_directory_that_is_held);
ATF_TC_BODY(draining_does_not_wait_for_a_directory_that_is_held, tc)
{
    struct kernel k;
    struct hd_notifier *n = start(&k);
    pthread_mutex_lock(&k.directory);
    (void)add(n, 1, 0);
    for (int i = 0; i < 1000; i++) {
        (void)add(n, 2, 0);
    }
    hd_notifier_drain(n, 50);
    ATF_CHECK_EQ(k.told_other, 1000);
    pthread_mutex_unlock(&k.directory);
    hd_notifier_drain(n, 5000);
    ATF_CHECK_EQ(k.told, 1);
    hd_notifier_free(n);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_push_is_done_when_the_kernel_was_told);
    ATF_TP_ADD_TC(tp, a_push_for_a_directory_that_we_change_is_done_at_once_and_told_behind);
    ATF_TP_ADD_TC(tp, a_change_that_begins_frees_the_push_that_waits_for_its_lock);
    ATF_TP_ADD_TC(tp, patience_ends);
    ATF_TP_ADD_TC(tp, draining_does_not_wait_for_a_directory_that_is_held);
    return atf_no_error();
}
