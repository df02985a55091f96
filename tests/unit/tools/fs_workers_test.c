/* Jobs are done once each, whatever the number of threads and jobs. */
#include "tools/fs_workers.h"

#include <atf-c.h>
#include <errno.h>
#include <stdatomic.h>

enum { JOBS = 5000 };

struct job {
    atomic_int done;
};

static void do_job(void *ctx)
{
    struct job *j = ctx;
    atomic_fetch_add(&j->done, 1);
}

ATF_TC_WITHOUT_HEAD(every_job_is_done_once);
ATF_TC_BODY(every_job_is_done_once, tc)
{
    static struct job jobs[JOBS];
    for (int threads = 1; threads <= 9; threads += 4) {
        struct hd_workers *w;
        ATF_REQUIRE_EQ(hd_workers_new(threads, do_job, &w), 0);
        for (int i = 0; i < JOBS; i++) {
            hd_workers_put(w, &jobs[i]);
        }
        hd_workers_finish(w);
    }
    for (int i = 0; i < JOBS; i++) {
        ATF_REQUIRE_EQ(atomic_load(&jobs[i].done), 3);
    }
}

ATF_TC_WITHOUT_HEAD(nothing_to_do_is_fine);
ATF_TC_BODY(nothing_to_do_is_fine, tc)
{
    struct hd_workers *w;
    ATF_REQUIRE_EQ(hd_workers_new(4, do_job, &w), 0);
    hd_workers_finish(w);
    hd_workers_finish(NULL);
    ATF_CHECK_EQ(hd_workers_new(0, do_job, &w), -EINVAL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_job_is_done_once);
    ATF_TP_ADD_TC(tp, nothing_to_do_is_fine);
    return atf_no_error();
}
