/* See pump.h. */
#include "runner/agent/pump.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { PIPE_BYTES = 1 << 20 };

int hd_pump_pipe(bool we_write, int *ret_ours, int *ret_theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return hd_fail_errno(errno, "pipe");
    }
    (void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES); /* refused beyond the user's quota: then small */
    int ours = we_write ? fds[1] : fds[0];
    if (fcntl(ours, F_SETFL, (we_write ? O_WRONLY : O_RDONLY) | O_NONBLOCK) < 0) {
        int err = hd_fail_errno(errno, "fcntl");
        close(fds[0]);
        close(fds[1]);
        return err;
    }
    *ret_ours = ours;
    *ret_theirs = we_write ? fds[0] : fds[1];
    return 0;
}

struct state {
    struct hd_pump *p;
    const uint8_t *data; /* waiting to be written */
    size_t size;
    int64_t moved_ms;
    int64_t ticked_ms;
};

/* Writes until the pipe is full or there is nothing more. */
static int push(struct state *s)
{
    struct hd_pump *p = s->p;
    for (;;) {
        if (s->size == 0) {
            int got = p->fill(p->fill_ctx, &s->data, &s->size);
            if (got < 0) {
                return got;
            }
            if (got == 0) {
                hd_fd_done(&p->in_fd);
                return 0;
            }
            continue;
        }
        ssize_t n = write(p->in_fd, s->data, s->size);
        if (n < 0 && errno == EAGAIN) {
            return 0;
        }
        if (n < 0 && errno == EPIPE) {
            p->closed_early = true;
            hd_fd_done(&p->in_fd);
            return 0;
        }
        if (n < 0) {
            return hd_fail_errno(errno, "write to the task");
        }
        s->data += n;
        s->size -= (size_t)n;
        p->bytes_in += (uint64_t)n;
        return 0; /* the outputs are looked at before more is filled */
    }
}

/* Reads from one output; closes it at its end. */
static int drain(struct hd_lines *l, int *fd)
{
    int got = hd_lines_read(l, *fd);
    if (got == 0) {
        hd_fd_done(fd);
    }
    return got == -EAGAIN || got > 0 ? 0 : got;
}

static int turn(struct state *s, const struct pollfd fds[4])
{
    struct hd_pump *p = s->p;
    int err = 0;
    if (fds[3].revents != 0) {
        return -ECANCELED;
    }
    if (fds[1].revents != 0) {
        err = drain(p->out, &p->out_fd);
    }
    if (err == 0 && fds[2].revents != 0) {
        err = drain(p->err, &p->err_fd);
    }
    if (err == 0 && fds[0].revents != 0) {
        err = push(s);
    }
    return err;
}

static int check_time(struct state *s, bool moved)
{
    struct hd_pump *p = s->p;
    int64_t now = hd_clock_mono_ms().v;
    if (moved) {
        s->moved_ms = now;
    } else if (p->silence_ms > 0 && now - s->moved_ms >= p->silence_ms) {
        return hd_fail(-ETIMEDOUT, "the task neither read nor wrote for %lld ms",
                       (long long)p->silence_ms);
    }
    if (p->tick != NULL && now - s->ticked_ms >= p->tick_ms) {
        s->ticked_ms = now;
        p->tick(p->tick_ctx);
    }
    return 0;
}

int hd_pump_run(struct hd_pump *p)
{
    int64_t now = hd_clock_mono_ms().v;
    struct state s = {.p = p, .moved_ms = now, .ticked_ms = now};
    int err = 0;
    while (err == 0 && (p->out_fd >= 0 || p->err_fd >= 0)) {
        struct pollfd fds[4] = {{.fd = p->in_fd, .events = POLLOUT},
                                {.fd = p->out_fd, .events = POLLIN},
                                {.fd = p->err_fd, .events = POLLIN},
                                {.fd = p->cancel_fd, .events = POLLIN}};
        int n = poll(fds, 4, p->tick_ms > 0 ? p->tick_ms : 1000);
        if (n < 0 && errno != EINTR) {
            err = hd_fail_errno(errno, "poll");
        } else if (n > 0) {
            err = turn(&s, fds);
        }
        if (err == 0) {
            err = check_time(&s, n > 0);
        }
    }
    hd_fd_done(&p->in_fd);
    hd_fd_done(&p->out_fd);
    hd_fd_done(&p->err_fd);
    return err;
}
