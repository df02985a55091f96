/*
 * bench-meta-bench: how many metadata operations a second howdah-meta (or any NameNode) answers.
 *
 *   bench-meta-bench --address HOST:PORT [--connections N] [--depth N] [--operations N] [--relaxed]
 *   bench-meta-bench --address HOST:PORT --ledger FILE [...]   create until the connection breaks
 *   bench-meta-bench --address HOST:PORT --verify FILE [...]   is everything of the ledger there?
 *
 * One thread, one epoll, frames made by hand, so that the load costs little beside the server.
 * `depth` calls are under way on each connection; 1 is what most clients do. The ledger gets a line
 * for every acknowledged create; exit code 3 says that --verify missed one.
 */
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, DEPTH_MAX = 512, READ_BYTES = 64 << 10, LIST_DIRS = 16 };

static const char client_protocol[] = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
static const char posix_protocol[] = "howdah.PosixProtocol";

enum operation { MKDIRS, CREATE, COMPLETE, STAT, LIST, RENAME, DELETE, OPEN_SESSION };

struct conn {
    int fd;
    uint8_t client_id[16]; /* each its own: the server's retry cache goes by it */
    struct hd_buf out;
    struct hd_buf in;
    uint32_t next_call;
    uint64_t indices[DEPTH_MAX]; /* of the call, by call id */
    uint64_t sent_ns[DEPTH_MAX]; /* when */
    int under_way;
    bool writable_wanted;
};

struct bench {
    const char *address;
    const char *user;
    int connections;
    int depth;
    uint64_t operations;
    bool relaxed;
    const char *ledger_path;
    const char *verify_path;
    bool mkdirs; /* directories instead of files */
    bool fill;   /* only make the files */
    char root[128];
    int epoll_fd;
    int ledger_fd;
    struct conn conns[CONNECTIONS_MAX];
    /* of the phase under way */
    enum operation op;
    uint64_t next_index;
    uint64_t end;
    uint64_t answered;
    uint64_t errors;
    uint64_t missing;
    uint32_t *latencies_us; /* of the calls answered; NULL: nobody asks */
    struct hd_buf ledger;   /* lines not yet written; in verify mode, all of them */
    const char **names;     /* verify mode */
    bool broken;
};

static HD_NORETURN void die(const char *what, int err)
{
    fprintf(stderr, "bench-meta-bench: %s: %s\n", what, hd_fail_describe(err));
    exit(1);
}

static void add_message(struct hd_buf *b, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    if (hd_buf_add_varint(b, size) < 0 || hd_buf_reserve(b, size) < 0) {
        die("buffer", -ENOMEM);
    }
    protobuf_c_message_pack(m, b->data + b->size);
    b->size += size;
}

/* Frame with header, method header (NULL: the connection context's frame) and body. */
static void add_frame(struct conn *c, int32_t call_id, const char *protocol, const char *method,
                      const ProtobufCMessage *body)
{
    Hdw__RpcRequestHeader h = HDW__RPC_REQUEST_HEADER__INIT;
    h.has_rpc_kind = true;
    h.rpc_kind = 2;
    h.has_rpc_op = true;
    h.rpc_op = 0;
    h.call_id = call_id;
    h.client_id.data = c->client_id;
    h.client_id.len = sizeof(c->client_id);
    h.has_retry_count = true;
    h.retry_count = call_id < 0 ? -1 : 0;
    size_t at = c->out.size;
    hd_buf_add_be32(&c->out, 0);
    add_message(&c->out, &h.base);
    if (method != NULL) {
        /* RequestHeader: method name, protocol name, version 1 */
        size_t m = strlen(method);
        size_t p = strlen(protocol);
        hd_buf_add_varint(&c->out, 6 + m + p); /* both names are below 128 bytes */
        hd_buf_add_u8(&c->out, 0x0a);
        hd_buf_add_varint(&c->out, m);
        hd_buf_add(&c->out, method, m);
        hd_buf_add_u8(&c->out, 0x12);
        hd_buf_add_varint(&c->out, p);
        hd_buf_add(&c->out, protocol, p);
        hd_buf_add_u8(&c->out, 0x18);
        hd_buf_add_u8(&c->out, 1);
    }
    add_message(&c->out, body);
    hd_put_be32(c->out.data + at, (uint32_t)(c->out.size - at - 4));
}

static void name_of(const struct bench *b, uint64_t index, bool renamed, char out[192])
{
    snprintf(out, 192, "%s/d%llu/%s%llu", b->root, (unsigned long long)(index % LIST_DIRS),
             renamed ? "r" : "f", (unsigned long long)index);
}

static void add_call(struct bench *b, struct conn *c, uint64_t index)
{
    char src[192];
    char dst[192];
    const char *path = src;
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    int32_t id = (int32_t)(c->next_call++ & INT32_MAX);
    c->indices[(uint32_t)id % DEPTH_MAX] = index;
    c->sent_ns[(uint32_t)id % DEPTH_MAX] = hd_clock_mono_ns();
    c->under_way++;
    name_of(b, index, false, src);
    name_of(b, index, true, dst);
    if (b->names != NULL) {
        path = b->names[index];
    }
    switch (b->op) {
    case MKDIRS: {
        Hdw__MkdirsRequest q = HDW__MKDIRS_REQUEST__INIT;
        perm.perm = 0755;
        if (b->end == LIST_DIRS) {
            snprintf(src, sizeof(src), "%s/d%llu", b->root, (unsigned long long)index);
        }
        q.src = src;
        q.masked = &perm;
        q.create_parent = true;
        add_frame(c, id, client_protocol, "mkdirs", &q.base);
        return;
    }
    case CREATE: {
        Hdw__CreateRequest q = HDW__CREATE_REQUEST__INIT;
        perm.perm = 0644;
        q.src = src;
        q.masked = &perm;
        q.client_name = (char *)(uintptr_t) "bench";
        q.create_flag = 1;
        q.create_parent = false;
        q.replication = 3;
        q.block_size = 134217728;
        add_frame(c, id, client_protocol, "create", &q.base);
        return;
    }
    case COMPLETE: {
        Hdw__CompleteRequest q = HDW__COMPLETE_REQUEST__INIT;
        q.src = src;
        q.client_name = (char *)(uintptr_t) "bench";
        add_frame(c, id, client_protocol, "complete", &q.base);
        return;
    }
    case STAT: {
        Hdw__GetFileInfoRequest q = HDW__GET_FILE_INFO_REQUEST__INIT;
        q.src = (char *)(uintptr_t)path;
        add_frame(c, id, client_protocol, "getFileInfo", &q.base);
        return;
    }
    case LIST: { /* a directory of LIST_DIRS entries */
        Hdw__GetListingRequest q = HDW__GET_LISTING_REQUEST__INIT;
        q.src = b->root;
        add_frame(c, id, client_protocol, "getListing", &q.base);
        return;
    }
    case RENAME: {
        Hdw__Rename2Request q = HDW__RENAME2_REQUEST__INIT;
        q.src = src;
        q.dst = dst;
        add_frame(c, id, client_protocol, "rename2", &q.base);
        return;
    }
    case DELETE: {
        Hdw__DeleteRequest q = HDW__DELETE_REQUEST__INIT;
        q.src = dst;
        add_frame(c, id, client_protocol, "delete", &q.base);
        return;
    }
    case OPEN_SESSION: {
        Hdw__OpenSessionRequest q = HDW__OPEN_SESSION_REQUEST__INIT;
        q.client_name = (char *)(uintptr_t) "bench";
        add_frame(c, id, posix_protocol, "openSession", &q.base);
        return;
    }
    }
}

static void watch(struct bench *b, struct conn *c, bool writable)
{
    if (c->writable_wanted == writable) {
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u), .data.ptr = c};
    c->writable_wanted = writable;
    epoll_ctl(b->epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void flush(struct bench *b, struct conn *c)
{
    if (c->out.size == 0) {
        return;
    }
    ssize_t n = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) {
        b->broken = true;
        return;
    }
    hd_buf_consume(&c->out, n > 0 ? (size_t)n : 0);
    watch(b, c, c->out.size > 0);
}

static void refill(struct bench *b, struct conn *c)
{
    while (c->under_way < b->depth && b->next_index < b->end) {
        add_call(b, c, b->next_index++);
    }
    flush(b, c);
}

/* What is text in the response's header: exception class and message. */
static void print_error(const uint8_t *p, size_t size)
{
    fputs("bench-meta-bench: first error: ", stderr);
    for (size_t i = 0; i < size; i++) {
        fputc(p[i] >= ' ' && p[i] < 127 ? p[i] : '.', stderr);
    }
    fputc('\n', stderr);
}

/* The head of a response: call id and status come first in RpcResponseHeader, always. */
static void answer(struct bench *b, struct conn *c, const uint8_t *p, size_t size)
{
    uint64_t header_size, call_id, status;
    int n = hd_varint_decode(p, size, &header_size);
    int at = n + 1;
    at += hd_varint_decode(p + at, size - (size_t)at, &call_id) + 1;
    at += hd_varint_decode(p + at, size - (size_t)at, &status);
    size_t body_size = size - (size_t)n - (size_t)header_size;
    uint64_t index = c->indices[call_id % DEPTH_MAX];
    c->under_way--;
    if (b->latencies_us != NULL) {
        uint64_t ns = hd_clock_mono_ns() - c->sent_ns[call_id % DEPTH_MAX];
        b->latencies_us[b->answered] = (uint32_t)(ns / 1000);
    }
    b->answered++;
    if (status != 0) {
        if (b->errors++ == 0) {
            print_error(p + n, (size_t)header_size);
        }
        return;
    }
    if (b->op == STAT && body_size <= 1) {
        b->missing++;
        if (b->names != NULL) {
            fprintf(stderr, "bench-meta-bench: missing: %s\n", b->names[index]);
        }
    }
    if ((b->op == CREATE || b->op == MKDIRS) && b->ledger_fd >= 0) {
        char name[192];
        name_of(b, index, false, name);
        hd_buf_addf(&b->ledger, "%s\n", name);
    }
}

static void receive(struct bench *b, struct conn *c)
{
    if (hd_buf_reserve(&c->in, READ_BYTES) < 0) {
        die("buffer", -ENOMEM);
    }
    ssize_t n = recv(c->fd, c->in.data + c->in.size, READ_BYTES, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        b->broken = true;
        return;
    }
    c->in.size += n > 0 ? (size_t)n : 0;
    size_t at = 0;
    while (c->in.size - at >= 4) {
        size_t size = hd_get_be32(c->in.data + at);
        if (c->in.size - at - 4 < size) {
            break;
        }
        answer(b, c, c->in.data + at + 4, size);
        at += 4 + size;
    }
    hd_buf_consume(&c->in, at);
    refill(b, c);
}

static void write_ledger(struct bench *b)
{
    if (b->ledger_fd >= 0 && b->ledger.size > 0) {
        if (hd_fd_write(b->ledger_fd, b->ledger.data, b->ledger.size) < 0) {
            die("ledger", -EIO);
        }
        hd_buf_clear(&b->ledger);
    }
}

/* Runs count operations over all connections; seconds it took. */
static double phase(struct bench *b, enum operation op, uint64_t count)
{
    b->op = op;
    b->next_index = b->answered = 0;
    b->end = count;
    uint64_t begin = hd_clock_mono_ns();
    for (int i = 0; i < b->connections; i++) {
        refill(b, &b->conns[i]);
    }
    while (b->answered < count && !b->broken) {
        struct epoll_event events[64];
        int n = epoll_wait(b->epoll_fd, events, 64, 30000);
        if (n == 0) {
            fprintf(stderr, "bench-meta-bench: no answer for 30 s\n");
            exit(1);
        }
        for (int i = 0; i < n && !b->broken; i++) {
            struct conn *c = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0) {
                flush(b, c);
            }
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
                receive(b, c);
            }
        }
        write_ledger(b);
    }
    return (double)(hd_clock_mono_ns() - begin) / 1e9;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_latencies(uint32_t *us, uint64_t count)
{
    qsort(us, count, sizeof(*us), by_value);
    printf("  p50 %u p99 %u max %u us", us[count / 2], us[count * 99 / 100], us[count - 1]);
}

static void report(struct bench *b, const char *what, enum operation op, uint64_t count)
{
    uint64_t errors = b->errors;
    b->latencies_us = calloc(count + 1, sizeof(*b->latencies_us));
    double seconds = phase(b, op, count);
    printf("%-8s %4d connections x %d: %9.0f /s%s", what, b->connections, b->depth,
           (double)count / seconds, b->relaxed ? " (written)" : "");
    if (b->errors > errors) {
        printf("  %llu errors", (unsigned long long)(b->errors - errors));
    }
    if (b->latencies_us != NULL && b->answered == count && count > 0) {
        print_latencies(b->latencies_us, count);
    }
    free(b->latencies_us);
    b->latencies_us = NULL;
    printf("\n");
    fflush(stdout);
    if (b->broken) {
        fprintf(stderr, "bench-meta-bench: connection lost\n");
        exit(1);
    }
}

static void connect_one(struct bench *b, struct conn *c)
{
    static const uint8_t preamble[] = {'h', 'r', 'p', 'c', 9, 0, 0};
    Hdw__IpcConnectionContext context = HDW__IPC_CONNECTION_CONTEXT__INIT;
    Hdw__UserInformation user = HDW__USER_INFORMATION__INIT;
    hd_random_bytes(c->client_id, sizeof(c->client_id));
    int err = hd_addr_connect_text(b->address, 5000, &c->fd);
    if (err < 0) {
        die("connect", err);
    }
    user.effective_user = (char *)(uintptr_t)b->user;
    context.user_info = &user;
    context.protocol = (char *)(uintptr_t)client_protocol;
    hd_buf_add(&c->out, preamble, sizeof(preamble));
    add_frame(c, -3, NULL, NULL, &context.base);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static int run_ledger(struct bench *b)
{
    b->ledger_fd = open(b->ledger_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (b->ledger_fd < 0) {
        die("ledger", hd_fail_errno(errno, "%s", b->ledger_path));
    }
    phase(b, b->mkdirs ? MKDIRS : CREATE, b->operations);
    write_ledger(b);
    printf("acknowledged %llu\n", (unsigned long long)b->answered);
    return b->errors > 0;
}

static int run_verify(struct bench *b)
{
    int err = hd_file_read(b->verify_path, HD_BUF_MAX_BYTES / 2, &b->ledger);
    if (err < 0) {
        die("verify", err);
    }
    size_t count = 0;
    for (size_t i = 0; i < b->ledger.size; i++) {
        count += b->ledger.data[i] == '\n';
    }
    b->names = calloc(count + 1, sizeof(*b->names));
    char *at = (char *)b->ledger.data;
    for (size_t i = 0; i < count && b->names != NULL; i++) {
        b->names[i] = at;
        at = strchr(at, '\n');
        *at++ = '\0';
    }
    phase(b, STAT, count);
    printf("verified %zu, missing %llu, errors %llu\n", count, (unsigned long long)b->missing,
           (unsigned long long)b->errors);
    return b->broken || b->errors > 0 ? 1 : b->missing > 0 ? 3 : 0;
}

static int run(struct bench *b)
{
    const struct passwd *pw = getpwuid(geteuid());
    b->user = pw != NULL ? pw->pw_name : "root";
    b->ledger_fd = -1;
    uint8_t run[5];
    hd_random_bytes(run, sizeof(run));
    snprintf(b->root, sizeof(b->root), "/bench-%02x%02x%02x%02x%02x", run[0], run[1], run[2],
             run[3], run[4]);
    b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < b->connections; i++) {
        connect_one(b, &b->conns[i]);
    }
    if (b->relaxed) {
        int depth = b->depth;
        b->depth = 1;
        phase(b, OPEN_SESSION, (uint64_t)b->connections);
        b->depth = depth;
    }
    if (b->verify_path != NULL) {
        return run_verify(b);
    }
    phase(b, MKDIRS, LIST_DIRS);
    if (b->ledger_path != NULL) {
        return run_ledger(b);
    }
    report(b, b->mkdirs ? "mkdir" : "create", b->mkdirs ? MKDIRS : CREATE, b->operations);
    if (!b->mkdirs) {
        report(b, "complete", COMPLETE, b->operations);
    }
    if (b->fill) {
        return b->errors > 0;
    }
    report(b, "stat", STAT, b->operations * 5);
    report(b, "list", LIST, b->operations);
    report(b, "rename", RENAME, b->operations);
    report(b, "delete", DELETE, b->operations);
    return b->errors > 0;
}

static const char usage[] =
    "usage: bench-meta-bench --address HOST:PORT [--connections N] [--depth N] [--operations N]\n"
    "                        [--relaxed] [--mkdirs] [--fill] [--ledger FILE | --verify FILE]\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"operations", required_argument, NULL, 'n'},
        {"relaxed", no_argument, NULL, 'r'},
        {"ledger", required_argument, NULL, 'l'},
        {"verify", required_argument, NULL, 'v'},
        {"mkdirs", no_argument, NULL, 'm'},
        {"fill", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static struct bench b = {.connections = 8, .depth = 1, .operations = 20000};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'a':
            b.address = optarg;
            break;
        case 'c':
            b.connections = atoi(optarg);
            break;
        case 'd':
            b.depth = atoi(optarg);
            break;
        case 'n':
            b.operations = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            b.relaxed = true;
            break;
        case 'l':
            b.ledger_path = optarg;
            break;
        case 'v':
            b.verify_path = optarg;
            break;
        case 'm':
            b.mkdirs = true;
            break;
        case 'f':
            b.fill = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 64;
        }
    }
    if (b.address == NULL || b.connections < 1 || b.connections > CONNECTIONS_MAX || b.depth < 1 ||
        b.depth > DEPTH_MAX) {
        fputs(usage, stderr);
        return 64;
    }
    return run(&b);
}
