/* Short PosixProtocol calls for tests of meta's core. Each gives the error; the answer by pointer.
 */
#ifndef HD_TESTS_META_CORE_POSIX_CALLS_H
#define HD_TESTS_META_CORE_POSIX_CALLS_H

#include "tests/unit/meta/core/harness.h"
#include "howdah.pb-c.h"

#include <sys/stat.h>

#define POSIX_PROTOCOL "howdah.PosixProtocol"

/* POSIX(w, "lookup", Lookup, lookup, &answer, .parent = ...): the error, and the decoded answer. */
#define POSIX(w, name_, Type, lower, ret, ...)                                                     \
    ({                                                                                             \
        Hdw__##Type##Request q_ = {PROTOBUF_C_MESSAGE_INIT(&hdw__##lower##_request__descriptor),   \
                                   __VA_ARGS__};                                                   \
        struct answer *a_ = world_answer((w), world_send((w), POSIX_PROTOCOL, (name_), &q_, 1));   \
        ATF_REQUIRE_MSG(a_ != NULL, "%s was not answered", (name_));                               \
        Hdw__##Type##Response **ret_ = (ret);                                                      \
        if (ret_ != NULL && a_->err == 0) {                                                        \
            *ret_ = world_decode((w), a_, &hdw__##lower##_response__descriptor);                   \
        }                                                                                          \
        a_->err;                                                                                   \
    })

static inline ProtobufCBinaryData text_bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

enum { ROOT = HD_ROOT_INO };

static inline int px_make(struct world *w, uint64_t parent, const char *name, uint32_t mode,
                          Hdw__MakeNodeResponse **ret)
{
    return POSIX(w, "makeNode", MakeNode, make_node, ret, .parent = parent,
                 .name = text_bytes(name), .mode = mode, .has_exclusive = true, .exclusive = true);
}

/* Makes it, which must work; its number. */
static inline uint64_t px_new(struct world *w, uint64_t parent, const char *name, uint32_t mode)
{
    Hdw__MakeNodeResponse *r = NULL;
    int err = px_make(w, parent, name, mode, &r);
    ATF_REQUIRE_MSG(err == 0, "make %s: %s", name, hd_error_name(err));
    return r->attr->ino;
}

/* What has the name; NULL: nothing. */
static inline Hdw__PosixAttr *px_lookup(struct world *w, uint64_t parent, const char *name)
{
    Hdw__LookupResponse *r = NULL;
    int err = POSIX(w, "lookup", Lookup, lookup, &r, .parent = parent, .name = text_bytes(name));
    ATF_REQUIRE_MSG(err == 0, "lookup %s: %s", name, hd_error_name(err));
    return r->attr;
}

/* NULL: it is gone. */
static inline Hdw__PosixAttr *px_attr(struct world *w, uint64_t ino)
{
    Hdw__GetAttrResponse *r = NULL;
    int err = POSIX(w, "getAttr", GetAttr, get_attr, &r, .ino = ino);
    ATF_REQUIRE_MSG(err == 0 || err == -ESTALE, "getAttr: %s", hd_error_name(err));
    return err == 0 ? r->attr : NULL;
}

static inline int px_link(struct world *w, uint64_t ino, uint64_t parent, const char *name)
{
    return POSIX(w, "link", Link, link, NULL, .ino = ino, .parent = parent,
                 .name = text_bytes(name));
}

static inline int px_symlink(struct world *w, uint64_t parent, const char *name, const char *target,
                             Hdw__MakeSymlinkResponse **ret)
{
    return POSIX(w, "makeSymlink", MakeSymlink, make_symlink, ret, .parent = parent,
                 .name = text_bytes(name), .target = text_bytes(target));
}

static inline int px_remove(struct world *w, uint64_t parent, const char *name, bool directory,
                            bool held, Hdw__UnlinkResponse **ret)
{
    return POSIX(w, "unlink", Unlink, unlink, ret, .parent = parent, .name = text_bytes(name),
                 .has_directory = directory, .directory = directory, .has_held = held,
                 .held = held);
}

static inline int px_unlink(struct world *w, uint64_t parent, const char *name)
{
    return px_remove(w, parent, name, false, false, NULL);
}

static inline int px_rmdir(struct world *w, uint64_t parent, const char *name)
{
    return px_remove(w, parent, name, true, false, NULL);
}

enum px_move_flag { NO_REPLACE = 1, EXCHANGE = 2, HELD = 4 };

static inline int px_move(struct world *w, uint64_t from, const char *from_name, uint64_t to,
                          const char *to_name, unsigned flags, Hdw__MoveResponse **ret)
{
    bool no_replace = (flags & NO_REPLACE) != 0;
    bool exchange = (flags & EXCHANGE) != 0;
    bool held = (flags & HELD) != 0;
    return POSIX(w, "move", Move, move, ret, .from_parent = from,
                 .from_name = text_bytes(from_name), .to_parent = to,
                 .to_name = text_bytes(to_name), .has_no_replace = no_replace,
                 .no_replace = no_replace, .has_exchange = exchange, .exchange = exchange,
                 .has_held = held, .held = held);
}

static inline int px_set(struct world *w, uint64_t ino, Hdw__PosixAttrChange change,
                         Hdw__PosixAttr **ret)
{
    Hdw__SetAttrResponse *r = NULL;
    change.base = (ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(&hdw__posix_attr_change__descriptor);
    int err = POSIX(w, "setAttr", SetAttr, set_attr, &r, .ino = ino, .change = &change);
    if (ret != NULL) {
        *ret = r != NULL ? r->attr : NULL;
    }
    return err;
}

#endif
