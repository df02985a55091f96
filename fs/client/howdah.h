/*
 * libhowdah: files in Howdah (or in any HDFS) for C programs.
 *
 * Everything blocks, is thread safe unless said otherwise, and returns 0 or a count, or a negative
 * error: an errno below 2048, else a name of fs/base/error.def; hd_error_errno() gives the errno of
 * either, hd_fail_text() a sentence that says what, where and why.
 *
 * Paths are absolute ("/a/b"); "/.reserved/.inodes/<id>" and "/.reserved/.inodes/<id>/name" name an
 * inode, as in HDFS, and stay right when somebody renames a directory above.
 *
 * Retries: a call is repeated with backoff while meta cannot be reached, is starting (safe mode
 * included, when retry_safe_mode is set) or says it is busy, for retry_ms at most; at-most-once
 * calls are repeated with the same call id.
 *
 * Failover: where a cluster has several metas (named in the uri, or told by the first that answers)
 * the one that serves is found by itself: when the present one refuses, says that it is a standby,
 * or leaves a call unanswered for a second, all are asked, and the primary of the highest epoch
 * takes over what is under way. An epoch below one that was seen is never followed.
 */
#ifndef HD_CLIENT_HOWDAH_H
#define HD_CLIENT_HOWDAH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hd_fs;
struct hd_file;
struct hd_dir;

struct hd_fs_options {
    const char *uri; /* "hdfs://host:port" or "host:port"; several metas: "hdfs://a:1,b:2" */
    const char *meta_addresses; /* "host:port,...": more metas of the same cluster; NULL: none */
    const char *user;           /* NULL: HADOOP_USER_NAME, else the login name */
    const char *client_name_prefix; /* "howdah-mount"; NULL: "howdah" */
    int retry_ms;                   /* 0: 30000; < 0: none */
    bool retry_safe_mode;           /* repeat what safe mode refused, within retry_ms */
    bool relaxed; /* a mount's durability (howdah.PosixProtocol.openSession); see hd_fs_sync */
    bool short_circuit;      /* read local replicas by descriptor where the node offers it */
    const char *socket_path; /* UNIX socket of local data nodes, "_PORT" replaced by the data port;
                                NULL: none */
    const char *host_name;   /* NULL: gethostname(); which locations are local */
};

/* Connects lazily: the first call dials. The options are copied. */
int hd_fs_open(const struct hd_fs_options *options, struct hd_fs **ret);
void hd_fs_close(struct hd_fs *fs); /* takes NULL; all files of it must be closed */

/*
 * The program is about to end: from now on a meta that answers nothing for patience_ms is given up,
 * and so is every call to it, under way or to come; the error is the one of its last try. As long
 * as it answers nothing changes. Returns at once, and is to be called again every now and then
 * until the program ends: each time it cuts off what has waited too long. Any thread.
 */
void hd_fs_leave(struct hd_fs *fs, int patience_ms);

/*
 * The same file system as another user (cached; borrowed from fs, lives as long as it). Data
 * connections and server defaults are shared.
 */
int hd_fs_as(struct hd_fs *fs, const char *user, struct hd_fs **ret);

const char *hd_fs_user(const struct hd_fs *fs);
const char *hd_fs_uri(const struct hd_fs *fs); /* "hdfs://host:port", several with commas */

/*
 * Who may do everything there, as meta told a relaxed connection; *ret_trusted: we are one of
 * those. False: it was not told (yet).
 */
bool hd_fs_superuser(struct hd_fs *fs, char out[64], bool *ret_trusted);

enum { HD_META_TEXT_BYTES = 300 };

/* The meta that is talked to now, "host:port". It changes when another one takes over. */
void hd_fs_meta(struct hd_fs *fs, char out[HD_META_TEXT_BYTES]);

enum hd_file_type { HD_TYPE_DIR = 1, HD_TYPE_FILE = 2, HD_TYPE_SYMLINK = 3 };

enum { HD_STAT_NAME_BYTES = 256, HD_STAT_USER_BYTES = 64 };

struct hd_stat {
    enum hd_file_type type;
    uint64_t ino;
    uint64_t size_bytes; /* of a file, as far as its writer told meta */
    uint32_t mode;       /* 01777 bits */
    uint32_t replication;
    uint64_t block_size_bytes;
    int64_t mtime_ms;
    int64_t atime_ms;
    int32_t children;    /* of a directory; -1 unknown */
    bool open_for_write; /* only filled by hd_fs_locate */
    char owner[HD_STAT_USER_BYTES];
    char group[HD_STAT_USER_BYTES];
    char name[HD_STAT_NAME_BYTES]; /* last component in listings, else "" */
    char *link;                    /* target of a symlink: heap, owned by the struct; else NULL */
};

void hd_stat_done(struct hd_stat *st); /* frees link */

/* ---- namespace ---- */

/* Follows no final symlink. -ENOENT when missing. */
int hd_fs_stat(struct hd_fs *fs, const char *path, struct hd_stat *ret);

/*
 * A directory, in bytewise order of names. hd_dir_next: 1 and an entry, 0 at the end, or an error.
 * start_after: "" or the name to go on behind. Not thread safe.
 */
int hd_dir_open(struct hd_fs *fs, const char *path, const char *start_after, struct hd_dir **ret);
int hd_dir_next(struct hd_dir *d, struct hd_stat *ret);
void hd_dir_close(struct hd_dir *d); /* takes NULL */

/* parents: also make missing parents, and an existing directory is fine. mode is used as it is. */
int hd_fs_mkdir(struct hd_fs *fs, const char *path, uint32_t mode, bool parents);

/* Renames a file or directory. overwrite: replaces a file or an empty directory. */
int hd_fs_rename(struct hd_fs *fs, const char *from, const char *to, bool overwrite);

/* HDFS's older call: into an existing directory; 1 done, 0 refused. */
int hd_fs_rename_into(struct hd_fs *fs, const char *from, const char *to);

/* 1 deleted, 0 nothing there; -ENOTEMPTY. */
int hd_fs_delete(struct hd_fs *fs, const char *path, bool recursive);

int hd_fs_symlink(struct hd_fs *fs, const char *target, const char *path);
int hd_fs_set_mode(struct hd_fs *fs, const char *path, uint32_t mode);
int hd_fs_set_owner(struct hd_fs *fs, const char *path, const char *owner,
                    const char *group); /* NULL: leave */
int hd_fs_set_times(struct hd_fs *fs, const char *path, int64_t mtime_ms,
                    int64_t atime_ms); /* -1: leave */
int hd_fs_set_replication(struct hd_fs *fs, const char *path,
                          uint32_t replication); /* 1 done, 0 not a file */

/* 1 done, 0 the last block is being cut (poll hd_fs_is_closed). Only to a smaller size. */
int hd_fs_truncate(struct hd_fs *fs, const char *path, uint64_t size_bytes);
int hd_fs_is_closed(struct hd_fs *fs, const char *path);     /* 1, 0, or an error */
int hd_fs_recover_lease(struct hd_fs *fs, const char *path); /* 1 closed, 0 under way */

/* user.*, trusted.* ... as named by setxattr(2). flags: 0, 1 create only, 2 replace only. */
int hd_fs_set_xattr(struct hd_fs *fs, const char *path, const char *name, const void *value,
                    size_t size, int flags);
/* Value on the heap, the caller frees. -ENODATA. */
int hd_fs_get_xattr(struct hd_fs *fs, const char *path, const char *name, void **ret_value,
                    size_t *ret_size);
/* Names with their prefix, each ended by NUL, on the heap. */
int hd_fs_list_xattrs(struct hd_fs *fs, const char *path, char **ret_names, size_t *ret_size);
int hd_fs_remove_xattr(struct hd_fs *fs, const char *path, const char *name);

/* ACLs, as Hadoop has them: whole lists, the mode's part too. */
enum hd_fs_acl_kind { HD_FS_ACL_USER, HD_FS_ACL_GROUP, HD_FS_ACL_MASK, HD_FS_ACL_OTHER };

struct hd_fs_acl_rule {
    bool is_default;
    enum hd_fs_acl_kind kind;
    uint32_t perm;                 /* 4 r, 2 w, 1 x */
    char name[HD_STAT_USER_BYTES]; /* "": the owner's, the owning group's */
};

struct hd_fs_acl {
    struct hd_fs_acl_rule *rules; /* heap, owned; without an ACL user, group and other */
    size_t count;
    char owner[HD_STAT_USER_BYTES];
    char group[HD_STAT_USER_BYTES];
    bool sticky;
};

int hd_fs_get_acl(struct hd_fs *fs, const char *path, struct hd_fs_acl *ret);
void hd_fs_acl_done(struct hd_fs_acl *a); /* a zeroed one is fine */

/* rules: to be added or changed, to be removed (their permissions do not matter), or all; with
 * DROP_DEFAULT and DROP none. */
enum hd_fs_acl_change {
    HD_FS_ACL_MODIFY,
    HD_FS_ACL_REMOVE,
    HD_FS_ACL_SET,
    HD_FS_ACL_DROP_DEFAULT,
    HD_FS_ACL_DROP,
};
int hd_fs_change_acl(struct hd_fs *fs, const char *path, enum hd_fs_acl_change how,
                     const struct hd_fs_acl_rule *rules, size_t count);

struct hd_summary {
    uint64_t size_bytes, files, directories, space_bytes;
    int64_t name_quota, space_quota; /* -1: none */
};
int hd_fs_summary(struct hd_fs *fs, const char *path, struct hd_summary *ret);

struct hd_usage {
    uint64_t capacity_bytes, used_bytes, remaining_bytes;
    uint64_t under_replicated, corrupt, missing;
};
int hd_fs_usage(struct hd_fs *fs, struct hd_usage *ret);

struct hd_defaults {
    uint64_t block_size_bytes;
    uint32_t replication, bytes_per_checksum, packet_bytes;
    uint64_t trash_minutes;
};
int hd_fs_defaults(struct hd_fs *fs, struct hd_defaults *ret); /* cached for an hour */

/* Blocks and where they are. */
struct hd_location {
    char host[256];
    char ip[46];
    int data_port;
    char uuid[40];
    char rack[256];
};
struct hd_located_block {
    uint64_t id, genstamp, offset_bytes, size_bytes;
    bool corrupt;
    uint32_t location_count;
    struct hd_location *locations; /* nearest first */
};
struct hd_located_file {
    uint64_t size_bytes; /* a last block under construction included, as far as told */
    bool open_for_write;
    uint32_t block_count;
    struct hd_located_block *blocks;
};
int hd_fs_locate(struct hd_fs *fs, const char *path, uint64_t offset, uint64_t size,
                 struct hd_located_file *ret);
void hd_located_file_done(struct hd_located_file *f);

/*
 * HDFS's file checksum: algorithm ("MD5-of-0MD5-of-512CRC32C") and its bytes (28, or 4 with
 * COMPOSITE-CRC).
 */
struct hd_file_checksum {
    char algorithm[64];
    uint8_t bytes[32];
    size_t size;
};
int hd_fs_checksum(struct hd_fs *fs, const char *path, struct hd_file_checksum *ret);

/*
 * Waits until every namespace change this file system object has seen answered is durable. -EIO
 * once, when changes that a relaxed session was answered, and that were not synced, got lost with
 * their meta (a power cut, or a failover within a second of them).
 */
int hd_fs_sync(struct hd_fs *fs);

/*
 * The same for who keeps several points of view, as file descriptors are: *since is from
 * hd_fs_losses when the point of view began, and is brought up to date when -EIO is returned. A
 * loss nobody was told of yet counts as later than any point of view.
 */
int hd_fs_sync_since(struct hd_fs *fs, uint32_t *since);
uint32_t hd_fs_losses(struct hd_fs *fs);

/* ---- reading ---- */

/* Opens for reading. Many threads may pread at once. */
int hd_file_open(struct hd_fs *fs, const char *path, struct hd_file **ret);

/* Up to size bytes at offset; fewer only at the end of the file. 0 at the end. */
int64_t hd_file_pread(struct hd_file *f, void *out, size_t size, uint64_t offset);
uint64_t hd_file_size(struct hd_file *f); /* as known at open or last refresh */
int hd_file_refresh(struct hd_file *f);   /* asks meta for blocks and size again */

/* A descriptor of the whole file when it is one finalized block with a local replica; -ENOENT when
 * not. */
int hd_file_local_fd(struct hd_file *f, int *ret_fd);

struct hd_read_stats {
    uint64_t local_bytes, remote_bytes, retries;
};
void hd_file_read_stats(struct hd_file *f, struct hd_read_stats *ret);

/* ---- writing ---- */

struct hd_create_options {
    uint32_t mode;             /* used as it is */
    bool overwrite;            /* else -EEXIST */
    bool parents;              /* make missing parents */
    uint32_t replication;      /* 0: server default */
    uint64_t block_size_bytes; /* 0: server default */
    bool sync_on_close;        /* the last packet asks for fsync on every node */
};
int hd_file_create(struct hd_fs *fs, const char *path, const struct hd_create_options *o,
                   struct hd_file **ret);
int hd_file_append(struct hd_fs *fs, const char *path, struct hd_file **ret);

/*
 * Appends. Not to be called by two threads at once on one file; bytes are buffered into packets and
 * sent while the caller goes on. An error is final for the file: the chain was repaired as far as
 * it could be.
 */
int hd_file_write(struct hd_file *f, const void *data, size_t size);
int hd_file_hflush(
    struct hd_file *f); /* every node in the chain has the bytes in memory; meta knows the length */
int hd_file_hsync(struct hd_file *f); /* every node has them on disk */
uint64_t
hd_file_written(struct hd_file *f); /* file size with everything accepted by hd_file_write */
uint64_t hd_file_ino(struct hd_file *f);
int64_t hd_file_mtime_ms(struct hd_file *f); /* as told when it was opened for writing; else 0 */

/* Completes a written file (its bytes are on every node of the chain and the file is closed at
 * meta) and frees. */
int hd_file_close(struct hd_file *f); /* takes NULL */

/* Frees without completing: the lease is left to expire. For a process that gives up. */
void hd_file_abandon(struct hd_file *f);

/*
 * Makes a closed file durable: an fsync of its replicas on every live node that has one
 * (howdah.DataProtocol), and hd_fs_sync. hd_fs_sync_blocks: the replicas alone. A foreign HDFS has
 * no such call: there only what is written through hd_file_hsync is durable, and these return 0.
 */
int hd_fs_sync_blocks(struct hd_fs *fs, const char *path);
int hd_fs_sync_file(struct hd_fs *fs, const char *path);

#endif
