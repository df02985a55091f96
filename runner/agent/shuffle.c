/*
 * Map outputs between agents: delimited ShuffleRequest and ShuffleResponse messages on a TCP
 * connection, the answer followed by the range of the data file (sendfile). A request carries an
 * HMAC with the job's key, so only agents of the job get anything.
 */
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/stream.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/agent/agent.h"
#include "runner/lib/call.h"
#include "runner/ops/run.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 256,
    TIMEOUT_MS = 30000,
    CONNECT_MS = 5000,
    MESSAGE_MAX_BYTES = 4096,
    INDEX_MAX_BYTES = 16 << 20,
    COPY_BYTES = 256 * 1024,
};

/* ---- serving ---- */

struct connection {
    struct hd_agent *agent;
    struct hd_stream stream;
};

static int check_mac(const struct hd_agent_job *job, const Hdw__ShuffleRequest *q)
{
    uint8_t mac[HD_MAC_BYTES];
    hd_shuffle_mac(job->setup->key.data, job->setup->key.len, job->id, q->map_index, q->map_number,
                   q->partition, mac);
    bool same = q->mac.len == HD_MAC_BYTES && CRYPTO_memcmp(mac, q->mac.data, HD_MAC_BYTES) == 0;
    return same ? 0 : hd_fail(-EACCES, "the key of the job is needed");
}

/* Opens the data file and finds the partition in the index. */
static int find_part(const struct hd_agent_job *job, const Hdw__ShuffleRequest *q,
                     struct hd_run_part *ret, int *ret_fd)
{
    char path[HD_AGENT_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf bytes = {0};
    struct hd_run_index index;
    hd_map_output_path(job, q->map_index, q->map_number, ".index", path, sizeof(path));
    int err = hd_file_read(path, INDEX_MAX_BYTES, &bytes);
    if (err == 0) {
        err = hd_run_index_decode(bytes.data, bytes.size, &index);
    }
    if (err < 0) {
        return err;
    }
    if (q->partition >= index.count) {
        err = hd_fail(-EINVAL, "there is no partition %u", q->partition);
    } else {
        *ret = index.parts[q->partition];
    }
    hd_run_index_done(&index);
    if (err < 0) {
        return err;
    }
    hd_map_output_path(job, q->map_index, q->map_number, ".data", path, sizeof(path));
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd >= 0 ? 0 : hd_fail_errno(errno, "%s", path);
}

static int send_range(int to, int from, uint64_t offset, uint64_t size)
{
    off_t at = (off_t)offset;
    while (size > 0) {
        ssize_t n = sendfile(to, from, &at, (size_t)HD_MIN(size, (uint64_t)1 << 30));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -HD_E_TRUNCATED;
        }
        size -= (uint64_t)n;
    }
    return 0;
}

static int answer(struct connection *c, const Hdw__ShuffleRequest *q)
{
    Hdw__ShuffleResponse response = HDW__SHUFFLE_RESPONSE__INIT;
    struct hd_run_part part;
    HD_AUTO(hd_fd_done) int fd = -1;
    struct hd_agent_job *job = hd_agent_job_get(c->agent, q->job);
    int err = job != NULL ? check_mac(job, q) : hd_fail(-ENOENT, "job %s is not here", q->job);
    if (err == 0) {
        err = find_part(job, q, &part, &fd);
    }
    if (err < 0) {
        response.error = hd_error_errno(err);
        response.message = (char *)(uintptr_t)hd_fail_describe(err);
    } else {
        response.has_size_bytes = response.has_raw_bytes = true;
        response.has_records = response.has_hash = true;
        response.size_bytes = part.size_bytes;
        response.raw_bytes = part.raw_bytes;
        response.records = part.records;
        response.hash = part.hash;
    }
    int sent = hd_stream_write_message(&c->stream, &response.base);
    if (sent == 0 && err == 0) {
        sent = send_range(c->stream.fd, fd, part.offset, part.size_bytes);
    }
    if (job != NULL) {
        hd_agent_job_put(c->agent, job);
    }
    return sent;
}

static void *connection_main(void *arg)
{
    struct connection *c = arg;
    struct hd_agent *a = c->agent;
    struct hd_arena arena;
    hd_arena_init(&arena, 1 << 20);
    while (hd_stream_wait(&c->stream) == 1) {
        ProtobufCMessage *m;
        hd_arena_reset(&arena);
        if (hd_stream_read_message(&c->stream, &hdw__shuffle_request__descriptor, MESSAGE_MAX_BYTES,
                                   &arena, &m) < 0 ||
            answer(c, (const Hdw__ShuffleRequest *)(const void *)m) < 0) {
            break;
        }
    }
    hd_arena_done(&arena);
    hd_stream_done(&c->stream);
    free(c);
    pthread_mutex_lock(&a->lock);
    a->shuffle_connections--;
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static bool take_connection(struct hd_agent *a)
{
    pthread_mutex_lock(&a->lock);
    bool room = a->shuffle_connections < CONNECTIONS_MAX;
    a->shuffle_connections += room;
    pthread_mutex_unlock(&a->lock);
    return room;
}

static void start_connection(struct hd_agent *a, int fd)
{
    pthread_t thread;
    pthread_attr_t attr;
    struct connection *c = take_connection(a) ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        close(fd);
        return;
    }
    c->agent = a;
    int rc = hd_stream_init(&c->stream, fd, TIMEOUT_MS, 0);
    if (rc == 0) {
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, 256u << 10);
        rc = pthread_create(&thread, &attr, connection_main, c);
        pthread_attr_destroy(&attr);
        if (rc != 0) {
            hd_stream_done(&c->stream);
        }
    }
    if (rc != 0) {
        free(c);
        pthread_mutex_lock(&a->lock);
        a->shuffle_connections--;
        pthread_mutex_unlock(&a->lock);
    }
}

static void *accept_main(void *arg)
{
    struct hd_agent *a = arg;
    for (;;) {
        struct pollfd p = {.fd = a->shuffle_fd, .events = POLLIN};
        (void)poll(&p, 1, -1);
        int fd = accept4(a->shuffle_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_connection(a, fd);
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            struct pollfd pause = {.fd = -1};
            hd_log_warn("shuffle accept failed", "errno=%d", errno);
            (void)poll(&pause, 1, 1000); /* out of descriptors: some will be closed */
        }
    }
    return NULL;
}

int hd_shuffle_serve(struct hd_agent *a)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, accept_main, a);
    if (rc != 0) {
        return hd_fail_errno(rc, "pthread_create");
    }
    pthread_detach(thread);
    return 0;
}

/* ---- fetching ---- */

static int copy_in(struct hd_stream *s, uint64_t size, int fd)
{
    uint8_t *chunk = malloc(COPY_BYTES);
    int err = chunk != NULL ? 0 : -ENOMEM;
    for (uint64_t at = 0; err == 0 && at < size;) {
        size_t n = (size_t)HD_MIN(size - at, (uint64_t)COPY_BYTES);
        err = hd_stream_read(s, chunk, n);
        if (err == 0) {
            err = hd_fd_pwrite(fd, chunk, n, at);
        }
        at += n;
    }
    free(chunk);
    return err;
}

int hd_shuffle_fetch(struct hd_attempt *t, const Hdw__RunnerMapOutput *from, uint32_t partition,
                     int fd, struct hd_run_part *ret)
{
    const struct hd_agent_job *job = t->job;
    uint8_t mac[HD_MAC_BYTES];
    int sock;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 1 << 20);
    int err = hd_addr_connect_text(from->address, CONNECT_MS, &sock);
    if (err < 0) {
        return err;
    }
    HD_AUTO(hd_stream_done) struct hd_stream stream;
    err = hd_stream_init(&stream, sock, TIMEOUT_MS, 0);
    if (err < 0) {
        return err;
    }
    Hdw__ShuffleRequest request = HDW__SHUFFLE_REQUEST__INIT;
    hd_shuffle_mac(job->setup->key.data, job->setup->key.len, job->id, from->index, from->number,
                   partition, mac);
    request.job = (char *)(uintptr_t)job->id;
    request.map_index = from->index;
    request.map_number = from->number;
    request.partition = partition;
    request.mac.data = mac;
    request.mac.len = sizeof(mac);
    ProtobufCMessage *m;
    err = hd_stream_write_message(&stream, &request.base);
    if (err == 0) {
        err = hd_stream_read_message(&stream, &hdw__shuffle_response__descriptor, MESSAGE_MAX_BYTES,
                                     &arena, &m);
    }
    if (err < 0) {
        return err;
    }
    const Hdw__ShuffleResponse *response = (const Hdw__ShuffleResponse *)(const void *)m;
    if (response->error != 0) {
        return hd_fail(-HD_E_IO, "%s", response->message != NULL ? response->message : "refused");
    }
    *ret = (struct hd_run_part){.size_bytes = response->size_bytes,
                                .raw_bytes = response->raw_bytes,
                                .records = response->records,
                                .hash = response->hash};
    return copy_in(&stream, response->size_bytes, fd);
}
