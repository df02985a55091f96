/*
 * What a mount with a session knows of an inode and may go on telling without asking meta: when an
 * answer may be kept, and what a push takes away. Pure; the inode table's lock guards it.
 *
 * Everything is of one era of the session (fs/client/posix.h); what is of another is nothing.
 */
#ifndef HD_MOUNT_KNOWN_H
#define HD_MOUNT_KNOWN_H

#include <sys/stat.h>

/* Names of a directory by their hash: complete, so that what is not among them is not there. */
struct hd_name_set {
    uint64_t *slots; /* open addressing; 0: free */
    size_t capacity; /* a power of two */
    size_t count;
};

enum { HD_NAME_SET_MAX = 4 << 20 }; /* of one directory; a larger one is not kept */

/* Bits of what there is besides the attributes. */
enum { HD_KNOWN_XATTRS = 1, HD_KNOWN_ACL = 2, HD_KNOWN_QUOTA = 4, HD_KNOWN_BUSY = 8 };

/* Attributes with the moment they are of. */
struct hd_known_attr {
    uint64_t size_bytes;
    uint64_t blocks; /* of 512 bytes */
    uint64_t rdev;
    int64_t mtime_ns, atime_ns, ctime_ns;
    uint32_t mode, nlink;
    uid_t uid;
    gid_t gid;
    uint32_t flags; /* HD_KNOWN_* */
    uint32_t era;
    uint64_t as_of;
    bool cached; /* meta will tell of changes */
};

struct hd_known {
    struct hd_known_attr attr; /* when has_attr */
    bool has_attr;
    bool listed; /* of a directory: its entries were told and changes will be */
    uint32_t era;
    uint32_t changes;          /* of a directory's entries, as far as it is known of them */
    uint64_t pushed;           /* txid of the last change of the attributes that was told */
    uint64_t entries_pushed;   /* of the entries of a directory */
    struct hd_name_set *names; /* heap; NULL: not all of them are known */
};

void hd_known_done(struct hd_known *k);

/* Forgets what is of another era. */
void hd_known_turn(struct hd_known *k, uint32_t era);

/*
 * An answer has come, in era; stray: the highest txid of a push for inodes that were not known, one
 * of which this may have been. True: it, or what was known already and is newer, is in k->attr and
 * may be told on.
 */
bool hd_known_learn(struct hd_known *k, const struct hd_known_attr *a, uint32_t era,
                    uint64_t stray);

/* The attributes changed at txid. */
void hd_known_push(struct hd_known *k, uint32_t era, uint64_t txid);

/* An entry of the directory changed at txid; appeared: it may be there now (NULL: no). */
void hd_known_push_entry(struct hd_known *k, uint32_t era, uint64_t txid, const char *appeared);

/* Any of them may have. */
void hd_known_push_entries(struct hd_known *k, uint32_t era, uint64_t txid);

/* May what an answer said of an entry of this directory (also that there is none) be kept? */
bool hd_known_entry_holds(const struct hd_known *k, bool cached, uint32_t answer_era,
                          uint64_t as_of, uint32_t era, uint64_t stray);

/* The directory was made empty, or all its names are told: from now on absence is known. Without
 * memory it stays unknown. */
void hd_known_all_names(struct hd_known *k, uint32_t era);
void hd_known_add_name(struct hd_known *k, const char *name);
bool hd_known_is_absent(const struct hd_known *k, uint32_t era, const char *name);
void hd_known_drop_names(struct hd_known *k);

void hd_known_stat(const struct hd_known_attr *a, uint64_t ino, struct stat *ret);

#endif
