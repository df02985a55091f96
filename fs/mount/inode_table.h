/*
 * The inodes the kernel knows, and what the mount remembers of each.
 *
 * An inode's number is the server's inode id, but for the root, which the kernel calls 1. A node
 * lives while the kernel counts lookups of it (nlookup, given back by FORGET) or a request or an
 * open handle pins it. Parent and name are those of the last lookup; paths made of them are for
 * people (user.howdah.path) and for finding an open file by its name, never for a request: requests
 * say /.reserved/.inodes/<id>.
 *
 * Locks: `lock` guards the maps and the fields marked (table). Each node's `io` guards its writing
 * side and is taken first; nobody waits for `io` while holding `lock`.
 */
#ifndef HD_MOUNT_INODE_TABLE_H
#define HD_MOUNT_INODE_TABLE_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/mount/known.h"
#include "fs/mount/open_mode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

enum { HD_MOUNT_ROOT_INO = 1, HD_INODE_PATH_BYTES = 48 + 256 };

#define HD_NOT_STAGED UINT64_MAX

struct hd_stage;

/* Attributes as the kernel last got them. */
struct hd_seen {
    uint64_t size_bytes;
    int64_t mtime_ms;
    gid_t gid;
};

/* A directory's attributes as the server gave them, good until then. */
struct hd_dir_attr {
    struct stat st;
    int64_t until_ms; /* monotonic */
};

/* One more name of a file with several; key of by_name, as the node's own. */
struct hd_alias {
    struct hd_alias *next;
    uint64_t parent;
    char name[];
};

struct hd_node {
    uint64_t ino;             /* the kernel's number */
    uint64_t id;              /* the server's */
    uint64_t nlookup;         /* (table) */
    uint32_t pins;            /* (table) */
    uint64_t parent;          /* (table) ino; 0: not known */
    char *name;               /* (table) heap; NULL: not known */
    struct hd_alias *aliases; /* (table) only of a mount with a session */
    struct hd_known known;    /* (table) the same */
    uint32_t dir_handles;     /* (table) of a directory */
    uint32_t removals;        /* (table) requests under way that may take its last name */
    bool gone;                /* (table) one of them did, and nobody holds it */
    bool hidden; /* (table) unlinked while open: name is the hidden one, deleted at last close */

    struct hd_seen seen;        /* (table) */
    struct hd_dir_attr *dir;    /* (table) heap; NULL: none kept */
    uint32_t dir_changes;       /* (table) by this mount, so that an older answer is not kept */
    struct hd_seen opened;      /* (table) what the page cache was filled from */
    struct hd_open_state opens; /* (table); changes from and to no backing id under io too */
    uint32_t writers;           /* (table) handles open for writing */

    pthread_mutex_t io;
    struct hd_stage *stage; /* (io) NULL: nothing written since the file was last completed */
    bool unsynced;          /* (io) blocks completed before may not be durable yet */
    int write_error;        /* (io) the last failure of a write that was answered already */
    uint32_t error_count;   /* (io) of such failures */
    _Atomic uint64_t
        staged_size; /* file size with everything written; HD_NOT_STAGED without a stage */
    _Atomic int64_t staged_mtime_ms;
    _Atomic uint32_t version; /* of the content, as changed by this mount */
    struct hd_list dirty;     /* (table) in the list of nodes with a stage */
};

struct hd_inode_table {
    pthread_mutex_t lock;
    struct hd_map by_ino;
    struct hd_strmap by_name; /* key: parent ino (8 bytes), name */
    struct hd_list dirty;
    uint64_t root_id; /* the server's id of the root */
};

int hd_inode_table_init(struct hd_inode_table *t, uint64_t root_id);
void hd_inode_table_done(struct hd_inode_table *t); /* frees nodes that are left */

/* The kernel's number of a server id, and back. */
uint64_t hd_inode_ino(const struct hd_inode_table *t, uint64_t id);
uint64_t hd_inode_id(const struct hd_inode_table *t, uint64_t ino);

/*
 * Counts a lookup of the server's inode id at parent/name, making the node when it is new. The node
 * stays until the kernel forgets it. name NULL: keep what is known. -ENOMEM.
 */
int hd_inode_enter(struct hd_inode_table *t, uint64_t id, uint64_t parent, const char *name,
                   const struct hd_seen *seen, struct hd_node **ret);

/* The same of a file that may have several names: those that are known stay. */
int hd_inode_enter_alias(struct hd_inode_table *t, uint64_t id, uint64_t parent, const char *name,
                         const struct hd_seen *seen, struct hd_node **ret);

/* (table) The node, and the node with a name, or NULL. */
struct hd_node *hd_inode_find(struct hd_inode_table *t, uint64_t ino);
struct hd_node *hd_inode_find_child(struct hd_inode_table *t, uint64_t parent, const char *name);

/* Gives n lookups back. */
void hd_inode_forget(struct hd_inode_table *t, uint64_t ino, uint64_t n);

/* The node with a pin, or NULL when it is not known. Drop the pin with hd_inode_put. */
struct hd_node *hd_inode_get(struct hd_inode_table *t, uint64_t ino);
struct hd_node *hd_inode_get_child(struct hd_inode_table *t, uint64_t parent, const char *name);
void hd_inode_put(struct hd_inode_table *t, struct hd_node *n); /* takes NULL */

/* A rename that was done: the node at from, if known, is now at to; one at to is nameless. */
void hd_inode_moved(struct hd_inode_table *t, uint64_t from_parent, const char *from,
                    uint64_t to_parent, const char *to);

/* An exchange that was done: each is where the other was. */
void hd_inode_exchanged(struct hd_inode_table *t, uint64_t parent, const char *name,
                        uint64_t other_parent, const char *other_name);

/* An unlink that was done: whoever was there has no name. */
void hd_inode_unlinked(struct hd_inode_table *t, uint64_t parent, const char *name);

void hd_inode_see(struct hd_inode_table *t, uint64_t ino, const struct hd_seen *seen);
struct hd_seen hd_inode_seen(struct hd_inode_table *t, struct hd_node *n);

/*
 * The kernel forgets a directory's attributes when it makes a file there, and asks for them at the
 * next name. They are kept for as long as it would have trusted them: keep stores them until_ms
 * unless there were changes since hd_inode_dir_changes; changed brings in the time of a file made
 * there (0: some other change, nothing is known now); kept gives them with the time they are good
 * for. All by the kernel's number of the directory.
 */
uint32_t hd_inode_dir_changes(struct hd_inode_table *t, uint64_t ino);
void hd_inode_keep_dir(struct hd_inode_table *t, uint64_t ino, uint32_t changes,
                       const struct stat *st, int64_t until_ms);
void hd_inode_dir_changed(struct hd_inode_table *t, uint64_t ino, int64_t created_ms);
bool hd_inode_kept_dir(struct hd_inode_table *t, uint64_t ino, int64_t now_ms, struct stat *ret,
                       int64_t *ret_left_ms);

/*
 * The path below the root, "/a/b", by the names last seen. -ENODATA when a step is not known,
 * -ENAMETOOLONG when out is too small.
 */
int hd_inode_path(struct hd_inode_table *t, uint64_t ino, char *out, size_t size);

/* The parent's number as far as it is known, else the root's. */
uint64_t hd_inode_parent(struct hd_inode_table *t, uint64_t ino);

/* What requests say: "/.reserved/.inodes/<id>" and "/.reserved/.inodes/<id>/name". */
void hd_inode_object(const struct hd_inode_table *t, uint64_t ino, char out[HD_INODE_PATH_BYTES]);
/* -ENAMETOOLONG for a name of more than HD_NAME_MAX_BYTES. */
int hd_inode_child(const struct hd_inode_table *t, uint64_t parent, const char *name,
                   char out[HD_INODE_PATH_BYTES]);

/* In and out of the list of nodes with written bytes. */
void hd_inode_mark_dirty(struct hd_inode_table *t, struct hd_node *n, bool dirty);

/* Up to max nodes of that list, each with a pin. Returns how many. */
size_t hd_inode_dirty_nodes(struct hd_inode_table *t, struct hd_node **out, size_t max);

#endif
