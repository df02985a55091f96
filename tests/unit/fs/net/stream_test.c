/* Blocking streams over socket pairs: exact reads, messages, time-outs, descriptors. */
#include "fs/net/stream.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/os/clock.h"
#include "data_transfer.pb-c.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOTAL_BYTES = 4 << 20 };

static void make_pair(struct hd_stream *a, struct hd_stream *b, int timeout_ms, size_t capacity)
{
    int fds[2];
    ATF_REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ATF_REQUIRE_EQ(hd_stream_init(a, fds[0], timeout_ms, capacity), 0);
    ATF_REQUIRE_EQ(hd_stream_init(b, fds[1], timeout_ms, capacity), 0);
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7);
}

struct writer {
    struct hd_stream *stream;
    int err;
};

/* Pieces of all sizes, some gathered from three places. */
static void *write_all(void *ctx)
{
    struct writer *w = ctx;
    struct hd_prng prng = {5};
    uint8_t *data = malloc(TOTAL_BYTES);
    for (size_t i = 0; i < TOTAL_BYTES; i++) {
        data[i] = byte_at(i);
    }
    for (size_t at = 0; at < TOTAL_BYTES && w->err == 0;) {
        size_t n = hd_prng_below(&prng, 200000);
        n = HD_MIN(n, TOTAL_BYTES - at);
        if (n % 2 == 0) {
            w->err = hd_stream_write(w->stream, data + at, n);
        } else {
            size_t third = n / 3;
            struct iovec iov[4] = {{data + at, third},
                                   {data + at + third, 0},
                                   {data + at + third, third},
                                   {data + at + 2 * third, n - 2 * third}};
            w->err = hd_stream_writev(w->stream, iov, 4);
        }
        at += n;
    }
    free(data);
    return NULL;
}

static void check_transfer(size_t capacity, size_t piece_max)
{
    struct hd_stream a;
    struct hd_stream b;
    struct hd_prng prng = {6};
    pthread_t thread;
    make_pair(&a, &b, 20000, capacity);
    struct writer w = {.stream = &a};
    pthread_create(&thread, NULL, write_all, &w);
    uint8_t *piece = malloc(piece_max);
    for (size_t at = 0; at < TOTAL_BYTES;) {
        size_t n = 1 + hd_prng_below(&prng, piece_max);
        n = HD_MIN(n, TOTAL_BYTES - at);
        ATF_REQUIRE_EQ(hd_stream_read(&b, piece, n), 0);
        for (size_t i = 0; i < n; i++) {
            ATF_REQUIRE_EQ(piece[i], byte_at(at + i));
        }
        at += n;
    }
    pthread_join(thread, NULL);
    ATF_CHECK_EQ(w.err, 0);
    hd_stream_done(&a);
    ATF_CHECK_EQ(hd_stream_wait(&b), 0);
    ATF_CHECK_EQ(hd_stream_read(&b, piece, 1), -HD_E_CLOSED);
    hd_stream_done(&b);
    free(piece);
}

ATF_TC_WITHOUT_HEAD(bytes_arrive_in_order_whatever_the_pieces);
ATF_TC_BODY(bytes_arrive_in_order_whatever_the_pieces, tc)
{
    check_transfer(0, 1000);
    check_transfer(0, 300000);
    check_transfer(100, 3000);
}

ATF_TC_WITHOUT_HEAD(messages_come_back_as_they_were);
ATF_TC_BODY(messages_come_back_as_they_were, tc)
{
    struct hd_stream a;
    struct hd_stream b;
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    make_pair(&a, &b, 5000, 64); /* messages larger and smaller than the buffer */
    for (size_t size = 0; size < 3000; size += 17) {
        char *text = malloc(size + 1);
        memset(text, 'm', size);
        text[size] = '\0';
        Hdw__BlockOpResponse m = HDW__BLOCK_OP_RESPONSE__INIT;
        m.status = HDW__STATUS__STATUS_ERROR;
        m.message = text;
        ProtobufCMessage *got;
        ATF_REQUIRE_EQ(hd_stream_write_message(&a, &m.base), 0);
        ATF_REQUIRE_EQ(hd_stream_write(&a, "next", 4), 0);
        ATF_REQUIRE_EQ(
            hd_stream_read_message(&b, &hdw__block_op_response__descriptor, 4096, &arena, &got), 0);
        char next[4];
        ATF_REQUIRE_EQ(hd_stream_read(&b, next, 4), 0);
        ATF_CHECK_EQ(memcmp(next, "next", 4), 0);
        ATF_CHECK_STREQ(((Hdw__BlockOpResponse *)got)->message, text);
        hd_arena_reset(&arena);
        free(text);
    }
    hd_arena_done(&arena);
    hd_stream_done(&a);
    hd_stream_done(&b);
}

static int read_message_from(const void *bytes, size_t size, size_t max)
{
    struct hd_stream a;
    struct hd_stream b;
    struct hd_arena arena;
    ProtobufCMessage *got;
    hd_arena_init(&arena, 0);
    make_pair(&a, &b, 5000, 0);
    ATF_REQUIRE_EQ(hd_stream_write(&a, bytes, size), 0);
    hd_stream_done(&a);
    int err = hd_stream_read_message(&b, &hdw__block_op_response__descriptor, max, &arena, &got);
    hd_stream_done(&b);
    hd_arena_done(&arena);
    return err;
}

ATF_TC_WITHOUT_HEAD(bad_messages_are_errors);
ATF_TC_BODY(bad_messages_are_errors, tc)
{
    ATF_CHECK_EQ(read_message_from("\x04\x08\x00\x12\x00", 5, 100), 0);
    ATF_CHECK_EQ(read_message_from("\x04\x08\x00\x12\x00", 5, 3), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(read_message_from("\x04\x08\x00\x12", 4, 100), -HD_E_CLOSED);
    ATF_CHECK_EQ(read_message_from("\x02\x12\x00", 3, 100), -HD_E_BAD_MESSAGE); /* no status */
    ATF_CHECK_EQ(read_message_from("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 100),
                 -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(read_message_from("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, 100),
                 -HD_E_TOO_LARGE);
}

ATF_TC_WITHOUT_HEAD(silence_is_a_timeout);
ATF_TC_BODY(silence_is_a_timeout, tc)
{
    struct hd_stream a;
    struct hd_stream b;
    char byte;
    make_pair(&a, &b, 20, 0);
    int64_t began = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_stream_read(&a, &byte, 1), -ETIMEDOUT);
    ATF_CHECK(hd_clock_mono_ms().v - began >= 19);
    char *much = calloc(1, TOTAL_BYTES);
    ATF_CHECK_EQ(hd_stream_write(&a, much, TOTAL_BYTES), -ETIMEDOUT);
    free(much);
    hd_stream_done(&a);
    hd_stream_done(&b);
}

ATF_TC_WITHOUT_HEAD(write_to_a_closed_peer_is_an_error_and_no_signal);
ATF_TC_BODY(write_to_a_closed_peer_is_an_error_and_no_signal, tc)
{
    struct hd_stream a;
    struct hd_stream b;
    make_pair(&a, &b, 1000, 0);
    hd_stream_done(&b);
    ATF_CHECK_EQ(hd_stream_write(&a, "x", 1), -HD_E_CLOSED);
    hd_stream_done(&a);
}

static int64_t count_open_fds(void)
{
    int64_t count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

ATF_TC_WITHOUT_HEAD(descriptors_come_with_their_bytes);
ATF_TC_BODY(descriptors_come_with_their_bytes, tc)
{
    struct hd_stream a;
    struct hd_stream b;
    int pipe_fds[2];
    int got[4];
    int count;
    char text[8];
    int64_t open_before = count_open_fds();
    make_pair(&a, &b, 1000, 0);
    ATF_REQUIRE_EQ(pipe(pipe_fds), 0);
    /* A message in front: reading it must not lose what comes behind. */
    ATF_REQUIRE_EQ(hd_stream_write(&a, "\x04\x08\x00\x12\x00", 5), 0);
    ATF_REQUIRE_EQ(hd_stream_send_fds(&a, "fds", 3, pipe_fds, 2), 0);
    ATF_REQUIRE_EQ(hd_stream_write(&a, "end", 3), 0);
    struct hd_arena arena;
    ProtobufCMessage *m;
    hd_arena_init(&arena, 0);
    ATF_REQUIRE_EQ(hd_stream_read_message(&b, &hdw__block_op_response__descriptor, 100, &arena, &m),
                   0);
    hd_arena_done(&arena);
    ATF_REQUIRE_EQ(hd_stream_recv_fds(&b, text, 3, got, 4, &count), 0);
    ATF_CHECK_EQ(memcmp(text, "fds", 3), 0);
    ATF_REQUIRE_EQ(count, 2);
    ATF_REQUIRE_EQ(write(got[1], "!", 1), 1);
    ATF_REQUIRE_EQ(read(pipe_fds[0], text, 1), 1);
    ATF_CHECK_EQ(text[0], '!');
    ATF_CHECK((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
    ATF_REQUIRE_EQ(hd_stream_read(&b, text, 3), 0);
    ATF_CHECK_EQ(memcmp(text, "end", 3), 0);
    ATF_REQUIRE_EQ(hd_stream_send_fds(&a, "x", 1, pipe_fds, 2), 0); /* never asked for */
    ATF_CHECK_EQ(hd_stream_wait(&b), 1);
    hd_stream_done(&a);
    hd_stream_done(&b);
    for (int i = 0; i < 2; i++) {
        close(pipe_fds[i]);
        close(got[i]);
    }
    ATF_CHECK_EQ(count_open_fds(), open_before);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, bytes_arrive_in_order_whatever_the_pieces);
    ATF_TP_ADD_TC(tp, messages_come_back_as_they_were);
    ATF_TP_ADD_TC(tp, bad_messages_are_errors);
    ATF_TP_ADD_TC(tp, silence_is_a_timeout);
    ATF_TP_ADD_TC(tp, write_to_a_closed_peer_is_an_error_and_no_signal);
    ATF_TP_ADD_TC(tp, descriptors_come_with_their_bytes);
    return atf_no_error();
}
