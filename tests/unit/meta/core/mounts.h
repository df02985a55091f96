/*
 * Mounts of a world (harness.h): sessions that do what tests tell them to do. A mount has a
 * connection for calls and one for polls, as the real one.
 */
#ifndef HD_TESTS_META_CORE_MOUNTS_H
#define HD_TESTS_META_CORE_MOUNTS_H

#include "harness.h"
#include "meta/core/session_impl.h"
#include "howdah.pb-c.h"

#define POSIX_PROTOCOL "howdah.PosixProtocol"

struct mount {
    struct world *w;
    const char *name;
    uint64_t calls_conn;
    uint64_t polls_conn;
    uint64_t number;
    uint64_t poll; /* token of the one that is parked, or was answered last */
};

static inline uint64_t mount_send_on(struct mount *t, uint64_t conn, const char *method,
                                     const void *q)
{
    t->w->posix = true;
    t->w->session = t->number;
    uint64_t token = world_send(t->w, POSIX_PROTOCOL, method, q, conn);
    t->w->posix = false;
    t->w->session = 0;
    return token;
}

static inline uint64_t mount_send(struct mount *t, const char *method, const void *q)
{
    return mount_send_on(t, t->calls_conn, method, q);
}

/* SEND(t, "acquire", Acquire, acquire, .ino = ...) -> token */
#define SEND(t, name, Type, lower, ...)                                                            \
    ({                                                                                             \
        Hdw__##Type##Request q_ = {PROTOBUF_C_MESSAGE_INIT(&hdw__##lower##_request__descriptor),   \
                                   __VA_ARGS__};                                                   \
        mount_send((t), (name), &q_);                                                              \
    })

/* The response to a token that must have been answered well. */
#define GOT(t, token, Type, lower)                                                                 \
    ({                                                                                             \
        struct answer *a_ = world_answer((t)->w, (token));                                         \
        ATF_REQUIRE_MSG(a_ != NULL, "not answered");                                               \
        ATF_REQUIRE_MSG(a_->err == 0, "%s: %s", hd_error_name(a_->err),                            \
                        a_->text != NULL ? a_->text : "");                                         \
        (Hdw__##Type##Response *)world_decode((t)->w, a_, &hdw__##lower##_response__descriptor);   \
    })

#define ASK(t, name, Type, lower, ...)                                                             \
    ({                                                                                             \
        uint64_t token_ = SEND(t, name, Type, lower, __VA_ARGS__);                                 \
        GOT(t, token_, Type, lower);                                                               \
    })

static inline bool is_answered(struct mount *t, uint64_t token)
{
    return world_answer(t->w, token) != NULL;
}

static inline int error_of(struct mount *t, uint64_t token)
{
    struct answer *a = world_answer(t->w, token);
    ATF_REQUIRE(a != NULL);
    return a->err;
}

static inline Hdw__OpenSessionResponse *mount_hello(struct mount *t)
{
    Hdw__OpenSessionResponse *r =
        ASK(t, "openSession", OpenSession, open_session, .client_name = S(t->name),
            .has_pushes = true, .pushes = true);
    t->number = r->session;
    return r;
}

static inline struct mount mount_start(struct world *w, int n)
{
    static const char *const names[] = {"mount-0", "mount-1", "mount-2", "mount-3"};
    struct mount t = {.w = w,
                      .name = names[n],
                      .calls_conn = 1000 + 10 * (uint64_t)n,
                      .polls_conn = 1001 + 10 * (uint64_t)n};
    (void)mount_hello(&t);
    return t;
}

/* A poll that answers `count` pushes. */
static inline void mount_poll_with(struct mount *t, uint32_t wait_ms, const uint64_t *serials,
                                   size_t count, bool held)
{
    Hdw__PushAnswer answers[64];
    Hdw__PushAnswer *pointers[64];
    ATF_REQUIRE(count <= 64);
    for (size_t n = 0; n < count; n++) {
        hdw__push_answer__init(&answers[n]);
        answers[n].serial = serials[n];
        answers[n].has_held = answers[n].held = held;
        pointers[n] = &answers[n];
    }
    Hdw__PollRequest q = HDW__POLL_REQUEST__INIT;
    q.client_name = S(t->name);
    q.session = t->number;
    q.wait_ms = wait_ms;
    q.n_answers = count;
    q.answers = pointers;
    t->poll = mount_send_on(t, t->polls_conn, "poll", &q);
}

static inline void mount_poll(struct mount *t, uint32_t wait_ms)
{
    mount_poll_with(t, wait_ms, NULL, 0, false);
}

/* What the poll brought; NULL: it is parked. */
static inline Hdw__PollResponse *mount_pushes(struct mount *t)
{
    return is_answered(t, t->poll) ? GOT(t, t->poll, Poll, poll) : NULL;
}

/* Answers everything that the poll brought, and polls again. */
static inline void mount_answer_all(struct mount *t, bool held)
{
    Hdw__PollResponse *r = mount_pushes(t);
    ATF_REQUIRE(r != NULL && r->n_pushes > 0 && r->n_pushes <= 64);
    uint64_t serials[64];
    for (size_t n = 0; n < r->n_pushes; n++) {
        serials[n] = r->pushes[n]->serial;
    }
    mount_poll_with(t, 3000, serials, r->n_pushes, held);
}

/* The only push that the poll brought. */
static inline Hdw__Push *mount_push(struct mount *t)
{
    Hdw__PollResponse *r = mount_pushes(t);
    ATF_REQUIRE_MSG(r != NULL, "the poll is parked");
    ATF_REQUIRE_MSG(r->n_pushes == 1, "%zu pushes", r->n_pushes);
    return r->pushes[0];
}

/* One of a kind among those that the poll brought; NULL: there is none. */
static inline Hdw__Push *mount_push_of(struct mount *t, Hdw__PushKind kind, uint64_t ino)
{
    Hdw__PollResponse *r = mount_pushes(t);
    for (size_t n = 0; r != NULL && n < r->n_pushes; n++) {
        if (r->pushes[n]->kind == kind && r->pushes[n]->ino == ino) {
            return r->pushes[n];
        }
    }
    return NULL;
}

static inline ProtobufCBinaryData bytes_named(const char *name)
{
    return (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
}

static inline uint64_t mount_lookup_send(struct mount *t, uint64_t parent, const char *name)
{
    return SEND(t, "lookup", Lookup, lookup, .parent = parent, .name = bytes_named(name));
}

static inline Hdw__LookupResponse *mount_lookup(struct mount *t, uint64_t parent, const char *name)
{
    uint64_t token = mount_lookup_send(t, parent, name);
    return GOT(t, token, Lookup, lookup);
}

static inline uint64_t mount_make_send(struct mount *t, uint64_t parent, const char *name,
                                       uint32_t mode)
{
    return SEND(t, "makeNode", MakeNode, make_node, .parent = parent, .name = bytes_named(name),
                .mode = mode, .has_exclusive = true, .exclusive = true);
}

static inline uint64_t mount_make(struct mount *t, uint64_t parent, const char *name, uint32_t mode)
{
    uint64_t token = mount_make_send(t, parent, name, mode);
    return GOT(t, token, MakeNode, make_node)->attr->ino;
}

static inline uint64_t mount_unlink_send(struct mount *t, uint64_t parent, const char *name,
                                         bool held)
{
    return SEND(t, "unlink", Unlink, unlink, .parent = parent, .name = bytes_named(name),
                .has_held = true, .held = held);
}

static inline uint64_t mount_chmod_send(struct mount *t, uint64_t ino, uint32_t mode)
{
    Hdw__PosixAttrChange change = HDW__POSIX_ATTR_CHANGE__INIT;
    change.has_mode = true;
    change.mode = mode;
    return SEND(t, "setAttr", SetAttr, set_attr, .ino = ino, .change = &change);
}

static inline uint64_t mount_acquire(struct mount *t, uint64_t ino, Hdw__CapKind want)
{
    return SEND(t, "acquire", Acquire, acquire, .session = t->number, .ino = ino, .want = want);
}

static inline uint64_t mount_acquire_writeback(struct mount *t, uint64_t ino)
{
    return SEND(t, "acquire", Acquire, acquire, .session = t->number, .ino = ino,
                .want = HDW__CAP_KIND__CAP_WRITE, .has_writeback = true, .writeback = true);
}

static inline int mount_granted(struct mount *t, uint64_t token)
{
    return is_answered(t, token) ? (int)GOT(t, token, Acquire, acquire)->granted : -1;
}

static inline void mount_release(struct mount *t, uint64_t ino, Hdw__CapKind keep, uint64_t serial)
{
    (void)ASK(t, "release", Release, release, .session = t->number, .ino = ino, .keep = keep,
              .has_serial = serial != 0, .serial = serial);
}

/* The connection of the mount's polls closes. */
static inline void mount_close(struct mount *t)
{
    struct hd_meta_event ev = {.type = HD_META_CONN_CLOSED, .conn_id = t->polls_conn};
    world_step(t->w, &ev);
}

/* Time passes while these mounts poll and answer nothing. */
static inline void mounts_pass(struct mount **mounts, size_t count, int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += 500) {
        for (size_t n = 0; n < count; n++) {
            mount_poll(mounts[n], 1000);
        }
        world_pass(mounts[0]->w, 500);
    }
}

#endif
