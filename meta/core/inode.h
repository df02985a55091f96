/*
 * Inodes and blocks as they are held in memory. Small on purpose: what few inodes have (leases,
 * extended attributes, quotas) is kept in maps of the namespace, with a flag here.
 */
#ifndef HD_META_CORE_INODE_H
#define HD_META_CORE_INODE_H

#include "fs/base/types.h"
#include "meta/core/children.h"

enum hd_inode_type {
    HD_INODE_DIR = 1, /* the numbers of HdfsFileStatus.FileType */
    HD_INODE_FILE = 2,
    HD_INODE_SYMLINK = 3,
    HD_INODE_FIFO = 4, /* from here on those of InodeType (record.proto) */
    HD_INODE_SOCKET = 5,
    HD_INODE_CHAR = 6,
    HD_INODE_BLOCK = 7,
    HD_INODE_LINK = 8, /* another name of a file; in directories only, never what a path leads to */
};

enum hd_inode_flag {
    HD_INODE_OPEN = 1,      /* a file under construction: ns->open has its lease */
    HD_INODE_XATTRS = 2,    /* ns->xattrs has some */
    HD_INODE_QUOTA = 4,     /* ns->quotas has one */
    HD_INODE_DIRTY = 8,     /* its value of the view is to be written at the end of the step */
    HD_INODE_ACL = 16,      /* ns->acls has them */
    HD_INODE_LINKED = 32,   /* it has more names: ns->links has them */
    HD_INODE_ORPHAN = 64,   /* it has no name: in ns->orphans */
    HD_INODE_CONTENT = 128, /* its bytes are kept in the metadata */
    HD_INODE_KNOWN = 256,   /* a session may know it */
};

enum hd_block_state {
    HD_BLOCK_OPEN,      /* being written (or under recovery) */
    HD_BLOCK_COMMITTED, /* its size is final, no replica of that size was reported yet */
    HD_BLOCK_COMPLETE,  /* at least one replica of that size was reported, once */
};

enum hd_replica_state {
    HD_REPLICA_EXPECTED, /* the storage was told to take one, or a client was told to write there */
    HD_REPLICA_WRITING,  /* reported as being written */
    HD_REPLICA_FINALIZED, /* reported whole, with the right stamp and size */
    HD_REPLICA_STOPPED,   /* of an open block: its node stopped meanwhile, perhaps without power */
};

/* One replica: where, and what is known of it. */
struct hd_replica {
    uint16_t storage; /* index of the storage */
    uint8_t state;    /* enum hd_replica_state */
    uint8_t epoch;    /* of the storage's full report that named it last */
    uint32_t slot;    /* of the storage's list */
};

enum { HD_REPLICAS_INLINE = 3, HD_NAME_INLINE = 24 };

#define HD_MODE_BITS      07777u
#define HD_HDFS_MODE_BITS 01777u /* those that HDFS knows */
#define HD_SET_GROUP_ID   02000u
#define HD_POLICY_BITS    15u

struct hd_repair;

/* A block: its name and size are durable, the replicas come from the data nodes' reports. */
struct hd_blk {
    struct hd_block_id id;
    struct hd_genstamp gs;
    uint64_t size_bytes; /* of an open one: as far as its writer told */
    struct hd_inode *file;
    struct hd_repair *repair; /* entry of the repair queue, or NULL */
    union {
        struct hd_replica few[HD_REPLICAS_INLINE];
        struct hd_replica *many; /* heap, when capacity > HD_REPLICAS_INLINE */
    } replicas;
    uint16_t replica_count;
    uint16_t replica_capacity;
    uint8_t state;     /* enum hd_block_state */
    bool awaited;      /* a parked call waits for it to be complete */
    bool has_corrupt;  /* the block map knows corrupt replicas of it */
    bool wanted_safe;  /* safe mode waits for a replica of it */
    bool counted_safe; /* and has seen one */
};

struct hd_file_body {
    union {
        struct hd_blk *one;   /* block_count == 1 */
        struct hd_blk **many; /* heap, block_count > 1; capacity is the next power of two */
    } blocks;
    uint64_t block_size_bytes;
    uint32_t block_count;
    uint32_t content_size; /* in front of the blocks */
    uint8_t *content;      /* heap, owned; NULL: none */
};

struct hd_inode {
    struct hd_ino ino;
    struct hd_inode *parent; /* NULL: the root */
    union {
        struct hd_inode *hash_next; /* of ns->dentries */
        uint64_t loading_parent;    /* while the view is loaded: the ino it says it is in */
    };
    int64_t mtime_ms; /* wall; and what is below the millisecond: mtime_part_ns */
    int64_t atime_ms; /* wall; 0 of a directory that HDFS made */
    int64_t ctime_ns; /* wall */
    uint32_t mtime_part_ns, atime_part_ns;
    uint32_t user; /* numbers of ns->names */
    uint32_t group;
    uint16_t mode; /* 07777 bits */
    uint16_t replication;
    uint16_t flags;      /* enum hd_inode_flag */
    unsigned type : 4;   /* enum hd_inode_type */
    unsigned policy : 4; /* storage policy; 0: inherited */
    uint8_t name_size;   /* at most 255 */
    union {
        char few[HD_NAME_INLINE]; /* NUL behind it, as behind the other */
        char *many;               /* heap, owned, when name_size >= HD_NAME_INLINE */
    } name;
    union {
        struct hd_children children; /* of a directory */
        struct hd_file_body file;
        char *target;          /* of a symlink: heap, owned */
        uint64_t rdev;         /* of a device */
        struct hd_inode *link; /* of a LINK: the file; never a directory, never a LINK */
    } u;
};

static inline bool hd_inode_is_dir(const struct hd_inode *i)
{
    return i->type == HD_INODE_DIR;
}

static inline bool hd_inode_is_file(const struct hd_inode *i)
{
    return i->type == HD_INODE_FILE;
}

static inline bool hd_inode_is_orphan(const struct hd_inode *i)
{
    return (i->flags & HD_INODE_ORPHAN) != 0;
}

/* What an entry of a directory leads to: the inode itself, or the file of a LINK. */
static inline struct hd_inode *hd_inode_of_entry(struct hd_inode *entry)
{
    return entry != NULL && entry->type == HD_INODE_LINK ? entry->u.link : entry;
}

static inline bool hd_inode_is_open(const struct hd_inode *i)
{
    return (i->flags & HD_INODE_OPEN) != 0;
}

/* The name in its directory, NUL-terminated; "" of the root. */
static inline const char *hd_inode_name(const struct hd_inode *i)
{
    return i->name_size < HD_NAME_INLINE ? i->name.few : i->name.many;
}

/* Must be in no directory meanwhile. */
void hd_inode_set_name(struct hd_inode *i, const char *name, size_t name_size);

/* The n-th block of a file. */
struct hd_blk *hd_file_block(const struct hd_inode *file, uint32_t index);
struct hd_blk *hd_file_last_block(const struct hd_inode *file); /* NULL: none */
void hd_file_add_block(struct hd_inode *file, struct hd_blk *block);
struct hd_blk *hd_file_pop_block(struct hd_inode *file); /* the last one; the caller owns it */

/* Bytes of all blocks; of an open file the last block as far as its writer told. */
uint64_t hd_file_size(const struct hd_inode *file);

/* Bytes that count against a space quota: an open block counts whole, times the replication. */
uint64_t hd_file_space(const struct hd_inode *file);

/* Bytes that are stored, one copy of them: holes are none. */
uint64_t hd_file_data(const struct hd_inode *file);

struct hd_inode *hd_inode_new(struct hd_ino ino, enum hd_inode_type type, const char *name,
                              size_t name_size);
void hd_inode_free(struct hd_inode *i); /* not its blocks, not its children; takes NULL */

/* Is `ancestor` the inode itself or above it? */
bool hd_inode_is_within(const struct hd_inode *i, const struct hd_inode *ancestor);

struct hd_arena;

/* "/a/b", in the arena. */
const char *hd_inode_path(const struct hd_inode *i, struct hd_arena *arena);

#endif
