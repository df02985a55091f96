/*
 * Primary and secondary as processes of their own, on loopback: what was acknowledged is there
 * after SIGKILL at any moment, with the view lost, an image rotten, the secondary's directory
 * damaged.
 */
#include "meta/shell/roles.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/rpc_client.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "fs/wire/frame.h"
#include "meta/log/image.h"

#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"
#include "rpc.pb-c.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_MS = 20000, ROUNDS = 5 };

static const char client_protocol[] = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
static const char meta_protocol[] = "howdah.MetaProtocol";
static const char posix_protocol[] = "howdah.PosixProtocol";

static char address[64];
static char second_address[64];
static char user[64];
static struct hd_arena arena;

/* --- processes --- */

static void free_address(char out[64])
{
    int fd, port;
    ATF_REQUIRE_EQ(hd_addr_listen("127.0.0.1:0", &fd, &port), 0);
    close(fd);
    snprintf(out, 64, "127.0.0.1:%d", port);
}

static void configure(void)
{
    char text[1024];
    free_address(address);
    free_address(second_address);
    snprintf(text, sizeof(text),
             "[cluster]\ndir = .\n[meta]\nrpc_address = %s\nsync = "
             "primary\n[secondary]\nrpc_address = %s\n",
             address, second_address);
    ATF_REQUIRE_EQ(hd_file_replace("howdah.conf", text, strlen(text), 0644), 0);
    const struct passwd *pw = getpwuid(geteuid());
    snprintf(user, sizeof(user), "%s", pw->pw_name);
    hd_arena_init(&arena, 0);
}

static HD_NORETURN void be_role(bool secondary)
{
    static struct hd_meta_conf conf;
    struct hd_config *c;
    int fd;
    alarm(120);
    hd_log_init(secondary ? "secondary" : "primary", HD_LOG_INFO);
    int err = hd_config_load("howdah.conf", &c);
    if (err == 0) {
        err = hd_meta_conf_load(c, secondary ? "secondary" : "meta", secondary, &conf);
        hd_config_free(c);
    }
    if (err == 0) {
        err = hd_daemon_signals(&fd);
    }
    if (err == 0) {
        static struct hd_store store = {.lock_fd = -1};
        enum hd_meta_role next;
        err = secondary ? hd_secondary_run(&conf, fd, &store, &next)
                        : hd_primary_run(&conf, fd, &store, &next);
    }
    if (err < 0) {
        hd_log_error("ends", "reason=\"%s\"", hd_fail_describe(err));
        (void)hd_file_replace("failure", hd_fail_text(), strlen(hd_fail_text()), 0644);
    }
    _exit(err < 0);
}

static pid_t start(bool secondary)
{
    pid_t pid = fork();
    ATF_REQUIRE(pid >= 0);
    if (pid == 0) {
        be_role(secondary);
    }
    const char *where = secondary ? second_address : address;
    for (int64_t end = hd_clock_mono_ms().v + READY_MS; hd_clock_mono_ms().v < end;) {
        int fd;
        if (hd_addr_connect_text(where, 1000, &fd) == 0) {
            close(fd);
            return pid;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            return -1; /* refused to start */
        }
        hd_clock_sleep_ms(5);
    }
    atf_tc_fail("%s does not listen", where);
}

/* The exit status of a process that got `sig`. */
static int stop(pid_t pid, int sig)
{
    int status;
    ATF_REQUIRE(pid > 0); /* -1 would be everybody */
    ATF_REQUIRE_EQ(kill(pid, sig), 0);
    ATF_REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

/* --- calls --- */

static struct hd_rpc_client *connect_to(const char *where, const char *as)
{
    const struct hd_rpc_client_options o = {
        .address = where, .protocol = client_protocol, .user = as, .connect_timeout_ms = 2000};
    struct hd_rpc_client *c;
    ATF_REQUIRE_EQ(hd_rpc_client_new(&o, &c), 0);
    return c;
}

static int call(struct hd_rpc_client *c, const char *protocol, const char *method,
                const ProtobufCMessage *q, const ProtobufCMessageDescriptor *type, void *ret,
                int64_t *ret_state)
{
    ProtobufCMessage *r = NULL;
    hd_arena_reset(&arena);
    const struct hd_rpc_args args = {.method = method,
                                     .request = q,
                                     .response_type = type,
                                     .arena = &arena,
                                     .call_id = -1,
                                     .protocol = protocol};
    int err = hd_rpc_call(c, &args, &r, ret_state);
    if (err == 0 && ret != NULL) {
        *(ProtobufCMessage **)ret = r;
    }
    return err;
}

static int make_dir(struct hd_rpc_client *c, unsigned i, int64_t *ret_state)
{
    Hdw__MkdirsRequest q = HDW__MKDIRS_REQUEST__INIT;
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    char path[64];
    snprintf(path, sizeof(path), "/dir/%u", i);
    perm.perm = 0755;
    q.src = path;
    q.masked = &perm;
    q.create_parent = true;
    return call(c, client_protocol, "mkdirs", &q.base, &hdw__mkdirs_response__descriptor, NULL,
                ret_state);
}

static bool has_dir(struct hd_rpc_client *c, unsigned i)
{
    Hdw__GetFileInfoRequest q = HDW__GET_FILE_INFO_REQUEST__INIT;
    Hdw__GetFileInfoResponse *r;
    char path[64];
    snprintf(path, sizeof(path), "/dir/%u", i);
    q.src = path;
    int err = call(c, client_protocol, "getFileInfo", &q.base,
                   &hdw__get_file_info_response__descriptor, &r, NULL);
    ATF_REQUIRE_EQ_MSG(err, 0, "%s", hd_fail_text());
    return r->fs != NULL;
}

static void make_dirs(struct hd_rpc_client *c, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        ATF_REQUIRE_EQ_MSG(make_dir(c, i, NULL), 0, "%s", hd_fail_text());
    }
}

static void require_dirs(unsigned last)
{
    struct hd_rpc_client *c = connect_to(address, user);
    for (unsigned i = 1; i <= last; i++) {
        ATF_REQUIRE_MSG(has_dir(c, i), "/dir/%u of %u is lost", i, last);
    }
    hd_rpc_client_free(c);
}

static uint64_t checkpoint(struct hd_rpc_client *c)
{
    const Hdw__CheckpointRequest q = HDW__CHECKPOINT_REQUEST__INIT;
    Hdw__CheckpointResponse *r;
    int err = call(c, meta_protocol, "checkpoint", &q.base, &hdw__checkpoint_response__descriptor,
                   &r, NULL);
    ATF_REQUIRE_EQ_MSG(err, 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(access(r->path, R_OK), 0);
    return r->txid;
}

/* Written and durable txid of a process; 0 while it cannot tell. */
static uint64_t txid_of(const char *where)
{
    struct hd_rpc_client *c = connect_to(where, user);
    const Hdw__GetClusterRequest q = HDW__GET_CLUSTER_REQUEST__INIT;
    Hdw__GetClusterResponse *r;
    uint64_t txid = 0;
    if (call(c, meta_protocol, "getCluster", &q.base, &hdw__get_cluster_response__descriptor, &r,
             NULL) == 0) {
        txid = r->durable_txid;
    }
    hd_rpc_client_free(c);
    return txid;
}

static void until_secondary_has(uint64_t txid)
{
    for (int64_t end = hd_clock_mono_ms().v + READY_MS; txid_of(second_address) < txid;) {
        ATF_REQUIRE_MSG(hd_clock_mono_ms().v < end, "the secondary does not reach txid %" PRIu64,
                        txid);
        hd_clock_sleep_ms(10);
    }
}

/* --- cases --- */

/* A child makes directories and tells of each acknowledged one until the primary is killed. */
static unsigned acknowledge_until_killed(pid_t primary, unsigned first, unsigned count,
                                         bool relaxed)
{
    int pipe_fds[2];
    ATF_REQUIRE_EQ(pipe(pipe_fds), 0);
    pid_t writer = fork();
    if (writer == 0) {
        struct hd_rpc_client *c = connect_to(address, user);
        Hdw__OpenSessionRequest q = HDW__OPEN_SESSION_REQUEST__INIT;
        q.client_name = (char *)(uintptr_t) "test";
        if (relaxed) {
            (void)call(c, posix_protocol, "openSession", &q.base,
                       &hdw__open_session_response__descriptor, NULL, NULL);
        }
        for (unsigned i = first; make_dir(c, i, NULL) == 0; i++) {
            if (write(pipe_fds[1], &i, sizeof(i)) != (ssize_t)sizeof(i)) {
                break;
            }
        }
        _exit(0);
    }
    close(pipe_fds[1]);
    unsigned acked = first - 1;
    unsigned seen = 0;
    unsigned i;
    while (read(pipe_fds[0], &i, sizeof(i)) == (ssize_t)sizeof(i)) {
        acked = i;
        if (++seen == count) {
            stop(primary, SIGKILL);
        }
    }
    close(pipe_fds[0]);
    ATF_REQUIRE_EQ(waitpid(writer, NULL, 0), writer);
    ATF_REQUIRE(seen >= count);
    return acked;
}

static void kill_rounds(bool relaxed)
{
    unsigned acked = 0;
    configure();
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t primary = start(false);
        ATF_REQUIRE(primary > 0);
        require_dirs(acked);
        acked = acknowledge_until_killed(primary, acked + 1, 30 + 41 * round, relaxed);
    }
    pid_t primary = start(false);
    ATF_REQUIRE(primary > 0);
    require_dirs(acked);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

ATF_TC_WITHOUT_HEAD(acknowledged_changes_survive_kill);
ATF_TC_BODY(acknowledged_changes_survive_kill, tc)
{
    kill_rounds(false);
}

ATF_TC_WITHOUT_HEAD(written_changes_of_a_session_survive_kill);
ATF_TC_BODY(written_changes_of_a_session_survive_kill, tc)
{
    kill_rounds(true);
}

ATF_TC_WITHOUT_HEAD(sync_txid_covers_what_the_session_saw);
ATF_TC_BODY(sync_txid_covers_what_the_session_saw, tc)
{
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *c = connect_to(address, user);
    Hdw__OpenSessionRequest open = HDW__OPEN_SESSION_REQUEST__INIT;
    Hdw__OpenSessionResponse *opened;
    open.client_name = (char *)(uintptr_t) "test";
    ATF_REQUIRE_EQ(call(c, posix_protocol, "openSession", &open.base,
                        &hdw__open_session_response__descriptor, &opened, NULL),
                   0);
    ATF_CHECK_STREQ(opened->superuser, user);
    int64_t seen = 0;
    for (unsigned i = 1; i <= 20; i++) {
        int64_t state = 0;
        ATF_REQUIRE_EQ(make_dir(c, i, &state), 0);
        ATF_CHECK_MSG(state > seen, "stateId %" PRId64 " after %" PRId64, state, seen);
        seen = state;
    }
    Hdw__SyncTxidRequest sync = HDW__SYNC_TXID_REQUEST__INIT;
    Hdw__SyncTxidResponse *synced;
    sync.txid = (uint64_t)seen;
    ATF_REQUIRE_EQ(call(c, posix_protocol, "syncTxid", &sync.base,
                        &hdw__sync_txid_response__descriptor, &synced, NULL),
                   0);
    ATF_CHECK(synced->durable_txid >= (uint64_t)seen);
    ATF_CHECK(txid_of(address) >= (uint64_t)seen);
    sync.txid = (uint64_t)seen + 1000; /* of a log whose end was lost */
    ATF_CHECK_EQ(call(c, posix_protocol, "syncTxid", &sync.base,
                      &hdw__sync_txid_response__descriptor, &synced, NULL),
                 -HD_E_IO);
    hd_rpc_client_free(c);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

/* hello of a mount; what it was told. */
static Hdw__OpenSessionResponse hello(struct hd_rpc_client *c, bool pushes)
{
    Hdw__OpenSessionRequest q = HDW__OPEN_SESSION_REQUEST__INIT;
    Hdw__OpenSessionResponse *r;
    q.client_name = (char *)(uintptr_t) "mount";
    q.has_pushes = q.pushes = pushes;
    int err = call(c, posix_protocol, "openSession", &q.base,
                   &hdw__open_session_response__descriptor, &r, NULL);
    ATF_REQUIRE_EQ_MSG(err, 0, "%s", hd_fail_text());
    return *r; /* numbers are looked at only */
}

static int look_up(struct hd_rpc_client *c, bool *ret_cached)
{
    Hdw__LookupRequest q = HDW__LOOKUP_REQUEST__INIT;
    Hdw__LookupResponse *r;
    q.parent = 16385;
    q.name.data = (uint8_t *)(uintptr_t) "x";
    q.name.len = 1;
    int err =
        call(c, posix_protocol, "lookup", &q.base, &hdw__lookup_response__descriptor, &r, NULL);
    if (err == 0) {
        *ret_cached = r->has_cached && r->cached;
    }
    return err;
}

ATF_TC_WITHOUT_HEAD(connections_of_a_mount_have_one_session_and_a_restart_ends_it);
ATF_TC_BODY(connections_of_a_mount_have_one_session_and_a_restart_ends_it, tc)
{
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *calls = connect_to(address, user);
    struct hd_rpc_client *polls = connect_to(address, user);
    Hdw__OpenSessionResponse first = hello(calls, true);
    ATF_CHECK(first.session != 0 && first.trusted && first.lease_ms == 10000);
    ATF_CHECK_EQ(first.content_max, 4096);
    ATF_CHECK_EQ(hello(polls, true).session, first.session);
    bool cached = false;
    ATF_CHECK_EQ(look_up(calls, &cached), 0);
    ATF_CHECK(cached);
    Hdw__PollRequest poll = HDW__POLL_REQUEST__INIT;
    Hdw__PollResponse *polled;
    poll.client_name = (char *)(uintptr_t) "mount";
    poll.session = first.session;
    poll.wait_ms = 10;
    ATF_CHECK_EQ(call(polls, posix_protocol, "poll", &poll.base, &hdw__poll_response__descriptor,
                      &polled, NULL),
                 0);

    ATF_REQUIRE_EQ(WTERMSIG(stop(primary, SIGKILL)), SIGKILL);
    primary = start(false);
    hd_rpc_client_disconnect(calls);
    ATF_CHECK_EQ(look_up(calls, &cached), 0); /* a connection without a session: as any client */
    ATF_CHECK(!cached);
    Hdw__OpenSessionResponse second = hello(calls, true);
    ATF_CHECK(second.session > first.session);
    ATF_CHECK(second.incarnation != first.incarnation);
    hd_rpc_client_disconnect(polls);
    ATF_CHECK_EQ(hello(polls, false).session, second.session);
    ATF_CHECK_EQ(call(polls, posix_protocol, "poll", &poll.base, &hdw__poll_response__descriptor,
                      &polled, NULL),
                 -HD_E_NO_SESSION); /* the old number */
    ATF_CHECK_EQ(look_up(polls, &cached), 0);
    hd_rpc_client_free(calls);
    hd_rpc_client_free(polls);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

ATF_TC_WITHOUT_HEAD(checkpoint_and_edits_are_the_superusers);
ATF_TC_BODY(checkpoint_and_edits_are_the_superusers, tc)
{
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *c = connect_to(address, "somebody-else");
    const Hdw__CheckpointRequest q = HDW__CHECKPOINT_REQUEST__INIT;
    ATF_CHECK_EQ(call(c, meta_protocol, "checkpoint", &q.base,
                      &hdw__checkpoint_response__descriptor, NULL, NULL),
                 -EACCES);
    Hdw__FetchEditsRequest f = HDW__FETCH_EDITS_REQUEST__INIT;
    f.from_txid = 1;
    ATF_CHECK_EQ(call(c, meta_protocol, "fetchEdits", &f.base,
                      &hdw__fetch_edits_response__descriptor, NULL, NULL),
                 -EACCES);
    const Hdw__GetClusterRequest g = HDW__GET_CLUSTER_REQUEST__INIT;
    ATF_CHECK_EQ(call(c, meta_protocol, "getCluster", &g.base,
                      &hdw__get_cluster_response__descriptor, NULL, NULL),
                 0);
    hd_rpc_client_free(c);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

/* What the server answers to a connection of real_user in the name of "ann". */
static struct hd_rpc_response_header connect_as_proxy(const char *real_user, struct hd_buf *in)
{
    Hdw__IpcConnectionContext context = HDW__IPC_CONNECTION_CONTEXT__INIT;
    Hdw__UserInformation who = HDW__USER_INFORMATION__INIT;
    Hdw__RpcRequestHeader header = HDW__RPC_REQUEST_HEADER__INIT;
    uint8_t id[HD_RPC_CLIENT_ID_BYTES] = {1};
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    HD_AUTO(hd_fd_done) int fd = -1;
    who.effective_user = (char *)(uintptr_t) "ann";
    who.real_user = (char *)(uintptr_t)real_user;
    context.user_info = &who;
    header.has_rpc_kind = header.has_rpc_op = true;
    header.rpc_kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER;
    header.call_id = HD_RPC_CALL_CONTEXT;
    header.client_id = (ProtobufCBinaryData){sizeof(id), id};
    size_t header_size = protobuf_c_message_get_packed_size(&header.base);
    size_t context_size = protobuf_c_message_get_packed_size(&context.base);
    ATF_REQUIRE(header_size < 128 && context_size < 128); /* lengths of one byte */
    uint8_t packed[256];
    ATF_REQUIRE_EQ(hd_rpc_preamble_add(&out, HD_RPC_AUTH_SIMPLE), 0);
    hd_buf_add_be32(&out, (uint32_t)(header_size + context_size + 2));
    hd_buf_add_varint(&out, header_size);
    hd_buf_add(&out, packed, protobuf_c_message_pack(&header.base, packed));
    hd_buf_add_varint(&out, context_size);
    hd_buf_add(&out, packed, protobuf_c_message_pack(&context.base, packed));
    ATF_REQUIRE_EQ(hd_rpc_ping_add(&out, id), 0);
    ATF_REQUIRE_EQ(hd_addr_connect_text(address, 1000, &fd), 0);
    ATF_REQUIRE_EQ(hd_fd_write(fd, out.data, out.size), 0);
    ATF_REQUIRE_EQ(shutdown(fd, SHUT_WR), 0);
    ATF_REQUIRE_EQ(hd_fd_read_all(fd, in), 0);
    struct hd_rpc_response_header ret = {0};
    struct hd_slice body;
    if (hd_frame_take((struct hd_slice){in->data, in->size}, 1 << 20, &body) > 0) {
        ATF_REQUIRE_EQ(hd_rpc_response_decode(&body, &ret), 0);
    }
    return ret;
}

ATF_TC_WITHOUT_HEAD(only_superusers_call_in_anothers_name);
ATF_TC_BODY(only_superusers_call_in_anothers_name, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf in = {0};
    configure();
    pid_t primary = start(false);
    struct hd_rpc_response_header r = connect_as_proxy("somebody-else", &in);
    ATF_CHECK(
        hd_slice_equals(r.error_msg, "User: somebody-else is not allowed to impersonate ann"));
    in.size = 0;
    r = connect_as_proxy(user, &in);
    ATF_CHECK_EQ(r.error_msg.size, 0);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

static int create_file(struct hd_rpc_client *c, int64_t call_id, uint64_t *ret_ino)
{
    Hdw__CreateRequest q = HDW__CREATE_REQUEST__INIT;
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    ProtobufCMessage *r = NULL;
    perm.perm = 0644;
    q.src = (char *)(uintptr_t) "/file";
    q.masked = &perm;
    q.client_name = (char *)(uintptr_t) "holder";
    q.create_flag = HDW__CREATE_FLAG__CREATE_FLAG_CREATE;
    q.replication = 1;
    q.block_size = 128 << 20;
    hd_arena_reset(&arena);
    const struct hd_rpc_args args = {.method = "create",
                                     .request = &q.base,
                                     .response_type = &hdw__create_response__descriptor,
                                     .arena = &arena,
                                     .call_id = call_id};
    int err = hd_rpc_call(c, &args, &r, NULL);
    if (err == 0) {
        *ret_ino = ((Hdw__CreateResponse *)r)->fs->file_id;
    }
    return err;
}

/* The view had the record already when meta was killed: nothing is replayed. */
ATF_TC_WITHOUT_HEAD(repeated_call_gets_its_first_answer_after_a_restart);
ATF_TC_BODY(repeated_call_gets_its_first_answer_after_a_restart, tc)
{
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *c = connect_to(address, user);
    int64_t id = hd_rpc_call_id_new(c);
    uint64_t first = 0;
    uint64_t again = 0;
    ATF_REQUIRE_EQ(create_file(c, id, &first), 0);
    for (int round = 0; round < 2; round++) { /* also when it is a segment further back */
        make_dirs(c, 1, 5);
        ATF_REQUIRE_EQ(stop(primary, SIGTERM), 0);
        primary = start(false);
        hd_rpc_client_disconnect(c);
        ATF_REQUIRE_EQ_MSG(create_file(c, id, &again), 0, "%s", hd_fail_text());
        ATF_CHECK_EQ(first, again);
    }
    hd_rpc_client_free(c);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

/* Two checkpoints with changes between and behind them: 30 directories in all. */
static void make_two_checkpoints(void)
{
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 1, 10);
    uint64_t first = checkpoint(c);
    ATF_CHECK_EQ(checkpoint(c), first); /* nothing new: the same */
    make_dirs(c, 11, 20);
    ATF_CHECK(checkpoint(c) > first);
    make_dirs(c, 21, 30);
    hd_rpc_client_free(c);
}

static void rot(const char *path, off_t offset)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_WRONLY);
    ATF_REQUIRE(fd >= 0);
    ATF_REQUIRE_EQ(pwrite(fd, "ROT", 3, offset), 3);
}

ATF_TC_WITHOUT_HEAD(lost_view_and_rotten_image_lose_nothing);
ATF_TC_BODY(lost_view_and_rotten_image_lose_nothing, tc)
{
    struct hd_txid images[4];
    char path[HD_IMAGE_PATH_BYTES];
    size_t count;
    configure();
    pid_t primary = start(false);
    make_two_checkpoints();
    stop(primary, SIGKILL);
    ATF_REQUIRE_EQ(hd_image_list("meta", images, 4, &count), 0);
    ATF_REQUIRE_EQ(count, 2);
    ATF_REQUIRE_EQ(hd_dir_remove("meta/view"), 0);
    primary = start(false);
    require_dirs(30);
    stop(primary, SIGKILL);
    hd_image_path("meta", images[0], path);
    rot(path, 200);
    rot("meta/view/CURRENT", 0);
    primary = start(false);
    require_dirs(30);
    stop(primary, SIGKILL);
    hd_image_path("meta", images[1], path);
    rot(path, 200); /* now no image is left, and the edits do not reach back to 1 */
    ATF_REQUIRE_EQ(hd_dir_remove("meta/view"), 0);
    ATF_CHECK_EQ(start(false), -1);
    HD_AUTO(hd_buf_done) struct hd_buf why = {0};
    ATF_REQUIRE_EQ(hd_file_read("failure", 4096, &why), 0);
    ATF_CHECK_MSG(strstr(hd_buf_str(&why), "no image before it can be used") != NULL, "%s",
                  hd_buf_str(&why));
}

ATF_TC_WITHOUT_HEAD(full_disk_refuses_changes_and_answers_reads);
ATF_TC_BODY(full_disk_refuses_changes_and_answers_reads, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf conf = {0};
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 1, 5);
    hd_rpc_client_free(c);
    stop(primary, SIGTERM);
    /* More than any disk has: as if this one were full. */
    ATF_REQUIRE_EQ(hd_file_read("howdah.conf", 4096, &conf), 0);
    ATF_REQUIRE_EQ(hd_buf_add_str(&conf, "[meta]\nreserved = 100000t\n"), 0);
    ATF_REQUIRE_EQ(hd_file_replace("full.conf", conf.data, conf.size, 0644), 0);
    ATF_REQUIRE_EQ(rename("howdah.conf", "good.conf"), 0);
    ATF_REQUIRE_EQ(rename("full.conf", "howdah.conf"), 0);
    primary = start(false);
    require_dirs(5);
    c = connect_to(address, user);
    ATF_CHECK_EQ(make_dir(c, 6, NULL), -HD_E_SAFE_MODE);
    ATF_CHECK_MSG(strstr(hd_fail_text(), "metadata disk is full") != NULL, "%s", hd_fail_text());
    hd_rpc_client_free(c);
    stop(primary, SIGTERM);
    ATF_REQUIRE_EQ(rename("good.conf", "howdah.conf"), 0);
    primary = start(false);
    c = connect_to(address, user);
    make_dirs(c, 6, 6);
    hd_rpc_client_free(c);
    stop(primary, SIGTERM);
}

ATF_TC_WITHOUT_HEAD(log_that_ends_before_the_view_is_refused);
ATF_TC_BODY(log_that_ends_before_the_view_is_refused, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf why = {0};
    configure();
    pid_t primary = start(false);
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 1, 10);
    hd_rpc_client_free(c);
    ATF_REQUIRE_EQ(stop(primary, SIGTERM), 0);
    ATF_REQUIRE_EQ(truncate("meta/edits_inprogress_00000000000000000001", 600), 0);
    ATF_CHECK_EQ(start(false), -1);
    ATF_REQUIRE_EQ(hd_file_read("failure", 4096, &why), 0);
    ATF_CHECK_MSG(strstr(hd_buf_str(&why), "acknowledged records are missing") != NULL, "%s",
                  hd_buf_str(&why));
}

ATF_TC_WITHOUT_HEAD(second_process_on_the_directory_is_refused);
ATF_TC_BODY(second_process_on_the_directory_is_refused, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf why = {0};
    configure();
    pid_t primary = start(false);
    free_address(address); /* so that only the directory is contested */
    char text[256];
    snprintf(text, sizeof(text), "[cluster]\ndir = .\n[meta]\nrpc_address = %s\n", address);
    ATF_REQUIRE_EQ(hd_file_replace("howdah.conf", text, strlen(text), 0644), 0);
    ATF_CHECK_EQ(start(false), -1);
    ATF_REQUIRE_EQ(hd_file_read("failure", 4096, &why), 0);
    ATF_CHECK_MSG(strstr(hd_buf_str(&why), "another process") != NULL, "%s", hd_buf_str(&why));
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

ATF_TC_WITHOUT_HEAD(secondary_follows_and_makes_the_checkpoints);
ATF_TC_BODY(secondary_follows_and_makes_the_checkpoints, tc)
{
    struct hd_txid images[4];
    size_t count;
    configure();
    pid_t primary = start(false);
    pid_t secondary = start(true);
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 1, 10);
    until_secondary_has(txid_of(address));
    uint64_t txid = checkpoint(c);
    ATF_REQUIRE_EQ(hd_image_list("secondary", images, 4, &count), 0);
    ATF_CHECK_MSG(count == 1 && images[0].v == txid, "the secondary made none");
    stop(primary, SIGKILL); /* and comes back: the secondary finds it again */
    primary = start(false);
    hd_rpc_client_free(c);
    c = connect_to(address, user);
    make_dirs(c, 11, 20);
    until_secondary_has(txid_of(address));
    checkpoint(c);
    hd_rpc_client_free(c);
    ATF_CHECK_EQ(stop(secondary, SIGTERM), 0);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

ATF_TC_WITHOUT_HEAD(damaged_secondary_starts_over);
ATF_TC_BODY(damaged_secondary_starts_over, tc)
{
    configure();
    pid_t primary = start(false);
    pid_t secondary = start(true);
    make_two_checkpoints();
    until_secondary_has(txid_of(address));
    stop(secondary, SIGKILL);
    glob_t open_segment; /* its name depends on who made the checkpoints */
    ATF_REQUIRE_EQ(glob("secondary/edits_inprogress_*", 0, NULL, &open_segment), 0);
    rot(open_segment.gl_pathv[0], 300);
    globfree(&open_segment);
    secondary = start(true);
    until_secondary_has(txid_of(address));
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 31, 35);
    until_secondary_has(txid_of(address));
    hd_rpc_client_free(c);
    ATF_CHECK_EQ(stop(secondary, SIGTERM), 0);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

/* The way back from a lost primary directory: the secondary's has the same formats. */
ATF_TC_WITHOUT_HEAD(secondarys_directory_can_take_the_primarys_place);
ATF_TC_BODY(secondarys_directory_can_take_the_primarys_place, tc)
{
    configure();
    pid_t primary = start(false);
    pid_t secondary = start(true);
    make_two_checkpoints();
    until_secondary_has(txid_of(address));
    stop(secondary, SIGKILL);
    stop(primary, SIGKILL);
    ATF_REQUIRE_EQ(hd_dir_remove("meta"), 0);
    ATF_REQUIRE_EQ(rename("secondary", "meta"), 0);
    primary = start(false);
    ATF_REQUIRE(primary > 0);
    require_dirs(30);
    ATF_CHECK_EQ(stop(primary, SIGTERM), 0);
}

ATF_TC_WITHOUT_HEAD(older_directory_ends_when_the_secondary_has_more);
ATF_TC_BODY(older_directory_ends_when_the_secondary_has_more, tc)
{
    struct hd_version v;
    int status = 0;
    configure();
    pid_t primary = start(false);
    pid_t secondary = start(true);
    struct hd_rpc_client *c = connect_to(address, user);
    make_dirs(c, 1, 10);
    ATF_REQUIRE_EQ(stop(primary, SIGTERM), 0);
    ATF_REQUIRE_EQ(system("cp -a meta backup"), 0);
    primary = start(false);
    make_dirs(c, 11, 20);
    until_secondary_has(txid_of(address));
    hd_rpc_client_free(c);
    (void)stop(primary, SIGKILL);
    ATF_REQUIRE_EQ(system("mv meta lost && mv backup meta"), 0);
    primary = start(false);
    for (int64_t end = hd_clock_mono_ms().v + READY_MS;
         primary > 0 && waitpid(primary, &status, WNOHANG) == 0;) {
        ATF_REQUIRE_MSG(hd_clock_mono_ms().v < end, "it serves what is older than acknowledged");
        hd_clock_sleep_ms(10);
    }
    ATF_CHECK_EQ(status, 0);
    ATF_REQUIRE_EQ(hd_version_read("meta", &v), 0);
    ATF_CHECK_MSG(v.role_known && v.was_secondary, "nor does it at its next start");
    ATF_CHECK_EQ(stop(secondary, SIGTERM), 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, acknowledged_changes_survive_kill);
    ATF_TP_ADD_TC(tp, written_changes_of_a_session_survive_kill);
    ATF_TP_ADD_TC(tp, sync_txid_covers_what_the_session_saw);
    ATF_TP_ADD_TC(tp, connections_of_a_mount_have_one_session_and_a_restart_ends_it);
    ATF_TP_ADD_TC(tp, checkpoint_and_edits_are_the_superusers);
    ATF_TP_ADD_TC(tp, only_superusers_call_in_anothers_name);
    ATF_TP_ADD_TC(tp, repeated_call_gets_its_first_answer_after_a_restart);
    ATF_TP_ADD_TC(tp, lost_view_and_rotten_image_lose_nothing);
    ATF_TP_ADD_TC(tp, full_disk_refuses_changes_and_answers_reads);
    ATF_TP_ADD_TC(tp, log_that_ends_before_the_view_is_refused);
    ATF_TP_ADD_TC(tp, second_process_on_the_directory_is_refused);
    ATF_TP_ADD_TC(tp, secondary_follows_and_makes_the_checkpoints);
    ATF_TP_ADD_TC(tp, damaged_secondary_starts_over);
    ATF_TP_ADD_TC(tp, older_directory_ends_when_the_secondary_has_more);
    ATF_TP_ADD_TC(tp, secondarys_directory_can_take_the_primarys_place);
    return atf_no_error();
}
