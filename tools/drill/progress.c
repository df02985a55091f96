/* What a drill says on its way, and how it waits: until a signal asks it to stop. See drill.h. */
#include "tools/drill/drill.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>

enum { STEP_MS = 50, TELL_EVERY_MS = 5000, GOOD_SAMPLES = 3 };

static volatile sig_atomic_t interrupted;

static void note_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

bool hd_drill_interrupted(void)
{
    return interrupted != 0;
}

void hd_drill_catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    interrupted = 0;
}

void hd_drill_go_on(void)
{
    interrupted = 0;
}

void hd_drill_say(struct hd_drill_run *r, const char *kind, const char *fmt, ...)
{
    char text[600];
    int64_t ms = r->timeline != NULL ? hd_timeline_now_ms(r->timeline) : 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (r->timeline != NULL) {
        hd_timeline_mark(r->timeline, kind, text);
    }
    if (strcmp(kind, "fault") == 0 && r->result.fault_at_s == 0) {
        r->result.fault_at_s = (double)ms / 1e3;
    }
    FILE *out = r->json ? stderr : stdout;
    fprintf(out, "%02d:%02d.%d  %-10s %s\n", (int)(ms / 60000), (int)(ms / 1000 % 60),
            (int)(ms / 100 % 10), kind, text);
    fflush(out);
}

void hd_drill_blame(struct hd_drill_run *r, const char *fmt, ...)
{
    if (r->blame[0] == '\0') {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(r->blame, sizeof(r->blame), fmt, ap);
        va_end(ap);
        hd_drill_say(r, "not held", "%s", r->blame);
    }
}

int hd_drill_wait(struct hd_drill_run *r, int64_t ms)
{
    int64_t until_ms = hd_clock_mono_ms().v + ms;
    (void)r;
    while (interrupted == 0) {
        int64_t left = until_ms - hd_clock_mono_ms().v;
        if (left <= 0) {
            return 0;
        }
        hd_clock_sleep_ms(HD_MIN(left, STEP_MS));
    }
    return hd_fail(-ECANCELED, "interrupted");
}

/* What is not as it was before, in a few words. */
static const char *what_is_missing(const struct hd_drill_run *r, const struct hd_sample *s,
                                   struct hd_buf *out)
{
    const struct hd_sample *b = &r->before;
    int rc = 0;
    if (!s->answers) {
        return "no meta answers as primary";
    }
    rc = s->safe_mode ? hd_buf_addf(out, ", safe mode") : rc;
    rc = s->under > 0 ? hd_buf_addf(out, ", %" PRIu64 " blocks with too few copies", s->under) : rc;
    rc = s->missing > 0 ? hd_buf_addf(out, ", %" PRIu64 " blocks without any", s->missing) : rc;
    rc = s->corrupt > 0 ? hd_buf_addf(out, ", %" PRIu64 " with bad copies", s->corrupt) : rc;
    rc = s->live < b->live ? hd_buf_addf(out, ", %u of %u data nodes live", s->live, b->live) : rc;
    rc = s->stale > b->stale ? hd_buf_addf(out, ", %u data nodes silent", s->stale) : rc;
    rc = s->agents < b->agents ? hd_buf_addf(out, ", %d of %d agents", s->agents, b->agents) : rc;
    rc = s->exposed > b->exposed || s->secondary_seen < b->secondary_seen
             ? hd_buf_addf(out, ", the secondary not in step")
             : rc;
    return rc == 0 && out->size > 2 ? hd_buf_str(out) + 2 : "nothing any more";
}

int hd_drill_wait_whole(struct hd_drill_run *r, int64_t limit_ms)
{
    int64_t begin_ms = hd_clock_mono_ms().v;
    int64_t told_ms = begin_ms;
    int64_t from_ms = hd_timeline_now_ms(r->timeline);
    int good = 0;
    while (good < GOOD_SAMPLES) { /* in a row: a report may still be on its way */
        HD_AUTO(hd_buf_done) struct hd_buf text = {0};
        struct hd_sample s = hd_timeline_last(r->timeline);
        int64_t now_ms = hd_clock_mono_ms().v;
        good = s.t_ms > from_ms && hd_sample_as_before(&s, &r->before) ? good + 1 : 0;
        if (now_ms - begin_ms > limit_ms) {
            return hd_fail(-ETIMEDOUT, "not whole %" PRId64 " s after it was healed: %s",
                           limit_ms / 1000, what_is_missing(r, &s, &text));
        }
        if (now_ms - told_ms > TELL_EVERY_MS && good == 0) {
            hd_drill_say(r, "recovery", "still: %s", what_is_missing(r, &s, &text));
            told_ms = now_ms;
        }
        from_ms = good > 0 ? s.t_ms : from_ms;
        int rc = hd_drill_wait(r, 100);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
