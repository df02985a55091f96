/*
 * Answering calls: the call being answered, how handlers fail, and what the families share.
 *
 * A handler looks, decides, commits records (after which it must not fail), and sets the response.
 * It may ask to be run again when a block is complete: HD_PARK.
 */
#ifndef HD_META_CORE_OP_H
#define HD_META_CORE_OP_H

#include "fs/base/error.h"
#include "meta/core/block_map.h"
#include "meta/core/state.h"
#include "client_namenode.pb-c.h"

#include <errno.h>

enum { HD_DIRECTORY_MAX_ITEMS = 4194304, HD_FILE_MAX_BLOCKS = 10000 };

/*
 * Returned by a handler that waits: call->wait_block names the block, or wait_ino the queue of
 * capabilities (hd_caps_want sets it); and by one whose answer comes with hd_meta_answer_later.
 */
enum { HD_PARK = 1, HD_LATER = 2 };

struct hd_call {
    struct hd_meta *m;
    struct hd_ns *ns;
    const struct hd_meta_event *event;
    const struct hd_method *method;
    const void *request; /* decoded */
    const ProtobufCMessage *response;
    const char *text; /* of the failure; in the effects' arena */
    bool superuser;
    bool time_is_up; /* it was parked as long as it may be */
    bool committed;  /* it has made a record */
    struct hd_block_id wait_block;
    uint64_t wait_ino; /* 0: it waits for wait_block */
    int64_t wait_ms;   /* in that queue, at most; 0: as long as it takes */
    bool wait_first;   /* before all that wait there */
};

typedef int hd_handler(struct hd_call *c);

enum hd_method_flag {
    HD_METHOD_CHANGES = 1,   /* its answer waits for the log */
    HD_METHOD_ONCE = 2,      /* at most once: kept in the retry cache */
    HD_METHOD_SUPERUSER = 4, /* refused to others */
    HD_METHOD_SAFE_OK = 8,   /* a change that safe mode allows */
};

struct hd_method {
    const char *protocol;
    const char *name;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    hd_handler *handler;
    unsigned flags;
    const char *privilege; /* what the text of a refusal calls it; NULL: its name */
};

/* Leaves the sentence in the call and returns err. */
int hd_call_fail(struct hd_call *c, int err, const char *fmt, ...) HD_PRINTF(3, 4);

/* Sets the response. */
static inline int hd_call_done(struct hd_call *c, ProtobufCMessage *response)
{
    c->response = response;
    return 0;
}

/* Answers a call whose handler has returned HD_LATER; err 0: with the response. */
void hd_meta_answer_later(struct hd_meta *m, uint64_t token, int err, const char *text,
                          const ProtobufCMessage *response);

char *hd_call_printf(struct hd_call *c, const char *fmt, ...) HD_PRINTF(2, 3);

/* Hadoop's SafeModeException: "<what>. Name node is in safe mode. ..." or 0 when it is off. */
int hd_call_check_safe_mode(struct hd_call *c, const char *fmt, ...) HD_PRINTF(2, 3);

/* ---- paths (path.c) ---- */

enum hd_resolve_flag {
    HD_FOLLOW = 1,         /* a symlink at the end is an UnresolvedPathException */
    HD_BLOCKED = 2,        /* a path below a file is ParentNotDirectoryException */
    HD_BLOCKED_DENIED = 4, /* ... AccessControlException, also for the superuser */
};

/* What a path leads to. */
struct hd_where {
    const char *path;        /* as given */
    struct hd_inode *inode;  /* NULL: missing; never a LINK */
    struct hd_inode *entry;  /* what has the name: the inode itself, or a LINK that is followed */
    struct hd_inode *parent; /* deepest directory that exists on the way to it; of "/": NULL */
    const char *name;        /* last component */
    size_t name_size;
    const char *rest; /* first missing component and all behind it, when missing */
    unsigned missing; /* how many components are missing; 1: only the last */
    bool by_inode;    /* "/.reserved/.inodes/..." */
};

/* 0 (found or missing), -HD_E_ASSERTION, -HD_E_UNRESOLVED_LINK, -EACCES, -ENOTDIR. */
int hd_resolve(struct hd_call *c, const char *path, unsigned flags, struct hd_where *ret);

/* Hadoop's rule for names of new files and directories. */
bool hd_path_is_valid(const char *path);

/* The checks of a new name: reserved, too long, too many, too deep. */
int hd_check_new_name(struct hd_call *c, const struct hd_where *w, const char *name,
                      size_t name_size);

/* The path of the parent of `path`: "/a" of "/a/b". */
const char *hd_path_parent(struct hd_call *c, const char *path);

/* ---- permissions (perm.c) ---- */

enum hd_access { HD_X = 1, HD_W = 2, HD_R = 4 };

int hd_check_access(struct hd_call *c, const struct hd_inode *i, unsigned access);
int hd_check_traverse(struct hd_call *c, const struct hd_inode *i); /* x on all above */
int hd_check_owner(struct hd_call *c, const struct hd_inode *i);
int hd_check_superuser(struct hd_call *c, const char *privilege);

/* w on the parent and the sticky bit: may the entry leave? */
int hd_check_unlink(struct hd_call *c, const struct hd_inode *entry);

/* rwx on every directory below that is not empty. */
int hd_check_subtree(struct hd_call *c, struct hd_inode *top);
bool hd_user_in_group(const struct hd_call *c, const char *group);

/* ---- answers that many calls share (status.c) ---- */

/* `entry` may be a LINK: its name, and all else of its file. */
Hdw__HdfsFileStatus *hd_status(struct hd_call *c, struct hd_inode *entry, bool with_name,
                               bool with_blocks);
Hdw__LocatedBlocks *hd_located_blocks(struct hd_call *c, struct hd_inode *file, uint64_t offset,
                                      uint64_t length);
Hdw__ExtendedBlock *hd_extended_block(struct hd_meta *m, struct hd_block_id id,
                                      struct hd_genstamp gs, uint64_t size_bytes);
Hdw__Token *hd_empty_token(struct hd_meta *m);

/* A block with these storages as its locations. offset UINT64_MAX: -1. */
Hdw__LocatedBlock *hd_located_block(struct hd_meta *m, const struct hd_blk *b, uint64_t offset,
                                    const uint16_t *storages, size_t count, bool with_storages);

/* A block with its usable replicas, nearest to the caller first. */
Hdw__LocatedBlock *hd_block_locations(struct hd_call *c, struct hd_blk *b, uint64_t offset);

/* What is in the metadata, and a hole, as blocks with reserved ids (op_content.c). */
Hdw__LocatedBlock *hd_located_content(struct hd_call *c, const struct hd_inode *file);
Hdw__LocatedBlock *hd_located_hole(struct hd_call *c, uint32_t index, uint64_t offset,
                                   uint64_t size_bytes);

/* A hole; or a block in the place of one that no node has made yet. */
bool hd_blk_reads_as_hole(const struct hd_call *c, struct hd_blk *b);

const char *hd_block_name(struct hd_call *c, struct hd_block_id id, struct hd_genstamp gs);

/* ---- files being written (op_write.c, op_lease.c) ---- */

/*
 * The file of a path and an id that the holder has open, or FileNotFoundException and
 * LeaseExpiredException as Hadoop words them.
 */
int hd_open_file_of(struct hd_call *c, const char *path, uint64_t ino, const char *holder,
                    struct hd_inode **ret);

/* May an open block have that length now? Does the client name its stamp? 0 or an error. */
int hd_check_length(struct hd_call *c, const struct hd_blk *b, uint64_t size_bytes);
int hd_check_stamp(struct hd_call *c, const struct hd_blk *b, const Hdw__ExtendedBlock *named);

/* Nodes for a new block of the file, of which the request names excluded and favored ones; storages
 * has room for the replication. Fails when there is none. */
int hd_choose_targets(struct hd_call *c, const Hdw__AddBlockRequest *q, struct hd_inode *file,
                      uint16_t *storages, uint32_t *ret_count);

/* The nodes of these storages, for a record; their strings live as long as the nodes. */
char **hd_chain_uuids(struct hd_call *c, const uint16_t *storages, size_t count);

/* The call waits for the block to be complete: return HD_PARK. False: it did, or nothing is to
 * come. */
bool hd_park_for(struct hd_call *c, const struct hd_blk *b);

/* Makes the last block's size final, when the client names it right. */
int hd_commit_last(struct hd_call *c, struct hd_inode *file, const Hdw__ExtendedBlock *last);

/* The highest block that is not complete yet, for parking: NULL when all are. */
struct hd_blk *hd_first_incomplete(struct hd_inode *file, bool penultimate_only);

/*
 * Refuses, or starts recovery, when the file is open: create, append and truncate against a lease.
 * `what` is Hadoop's name of the operation ("CREATE_FILE").
 */
int hd_check_lease(struct hd_call *c, const struct hd_where *w, const char *holder,
                   const char *what);

/* Ends a lease's hold on a file: 1 closed, 0 recovery is under way, or an error with text. */
int hd_release_lease(struct hd_meta *m, struct hd_inode *file, const char **ret_text);

void hd_close_file(struct hd_meta *m, struct hd_inode *file);
void hd_leases_check(struct hd_meta *m);

/* Tells a node to recover the block, which is under recovery. */
void hd_send_recovery(struct hd_meta *m, struct hd_open_block *o);

/* Whoever has this name is not there any more: his files are closed, or recovered, from now on. */
void hd_leases_holder_gone(struct hd_meta *m, const char *holder);

/* What a full block report is answered with (op_node.c). */
ProtobufCMessage *hd_report_answer(struct hd_meta *m);

/* ---- quotas (op_quota.c) ---- */

/* May the directory `at`, and all above it but those that hold `up_to` already, take so much more?
 * 0, -HD_E_NS_QUOTA, -HD_E_DS_QUOTA (both are EDQUOT). */
struct hd_charge;
int hd_check_charge(struct hd_call *c, const struct hd_inode *at, struct hd_charge more,
                    const struct hd_inode *up_to);

/* May anything be added to the file's data? Writers of blocks are asked again when they tell how
 * much it was. */
int hd_check_data_room(struct hd_call *c, const struct hd_inode *file);

/* The same of names and HDFS's space. */
int hd_check_quota(struct hd_call *c, struct hd_inode *parent, int64_t names, int64_t bytes,
                   const struct hd_inode *up_to);

/* ---- handlers, by family ---- */

#define HD_METHOD(protocol, name, lower, handler, flags, privilege) hd_handler hd_op_##handler;
#include "meta/core/methods.def"

extern const struct hd_method hd_methods[];
extern const size_t hd_method_count;

#endif
