/*
 * The journal that libhowdah-powercut.so keeps and howdah-powercut reads: what the page cache knows
 * and a disk would not. Records in the order things happened, each a header, its names and the
 * bytes that were overwritten; in the machine's own byte order, for use on the same machine only.
 *
 * A file or directory is known by device and inode, so renames change nothing. What was unlinked or
 * replaced stays reachable by a hard link in the folder beside the journal (JOURNAL.files), named
 * by the record's number, so inodes are not reused.
 */
#ifndef HD_POWERCUT_JOURNAL_H
#define HD_POWERCUT_JOURNAL_H

enum { HD_POWERCUT_MAGIC = 0x54435750, HD_POWERCUT_NAME_MAX = 4096 };

enum hd_powercut_type {
    HD_POWERCUT_DIR,    /* a process watches this directory; name: its path */
    HD_POWERCUT_WRITE,  /* bytes go to [offset, offset + size): old bytes, up to the old end */
    HD_POWERCUT_RESIZE, /* the end moves from old_end to offset: old bytes that are cut off */
    HD_POWERCUT_BEGIN,  /* a sync of `id` begins; number is its own */
    HD_POWERCUT_END,    /* the sync that began as `number` succeeded */
    HD_POWERCUT_CREATE, /* parent/name is new, and so is id: a file or directory */
    HD_POWERCUT_LINK,   /* parent/name is new, a further name of id */
    HD_POWERCUT_UNLINK, /* parent/name is gone; it was id, kept as `number`; a directory if is_dir
                         */
    HD_POWERCUT_RENAME, /* parent/name became parent2/name2; is id; replaced one is kept as `number`
                         */
};

struct hd_powercut_id {
    uint64_t dev;
    uint64_t ino;
};

struct hd_powercut_record {
    uint32_t magic;
    uint32_t type;
    uint64_t number; /* counts up; unique in a journal */
    struct hd_powercut_id id;
    struct hd_powercut_id parent;
    struct hd_powercut_id parent2;
    struct hd_powercut_id replaced; /* ino 0: none */
    uint64_t offset;
    uint64_t size;
    uint64_t old_end;
    uint32_t mode; /* of a directory that was removed */
    uint32_t is_dir;
    uint32_t name_bytes; /* without NUL, follow the header */
    uint32_t name2_bytes;
    uint64_t data_bytes; /* follow the names */
};

#endif
