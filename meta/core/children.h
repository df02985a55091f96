/*
 * The children of a directory, ordered bytewise by name: a vector of sorted chunks. A look-up is
 * two binary searches, an insertion moves at most one chunk, paging walks in order.
 */
#ifndef HD_META_CORE_CHILDREN_H
#define HD_META_CORE_CHILDREN_H

struct hd_inode;
struct hd_children_chunk;

struct hd_children {
    struct hd_children_chunk **chunks; /* heap, owned; none is empty */
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    uint32_t count;       /* children in all chunks */
    uint32_t directories; /* of them; kept by who inserts and removes */
};

/* A place between two children. */
struct hd_children_at {
    uint32_t chunk;
    uint32_t index;
};

void hd_children_done(struct hd_children *c); /* the inodes stay */

struct hd_inode *hd_children_find(const struct hd_children *c, const char *name, size_t name_size);
void hd_children_insert(struct hd_children *c, struct hd_inode *child); /* name must be new */

/* Puts a child behind all others. False: its name is not greater than the last one's. */
bool hd_children_append(struct hd_children *c, struct hd_inode *child);

void hd_children_remove(struct hd_children *c, struct hd_inode *child); /* must be there */

/* The place of the first child whose name is greater than `name` ("" is before all). */
struct hd_children_at hd_children_after(const struct hd_children *c, const char *name,
                                        size_t name_size);

/* The child at the place, and moves on; NULL at the end. */
struct hd_inode *hd_children_next(const struct hd_children *c, struct hd_children_at *at);

/* How many children are at or behind the place. */
uint32_t hd_children_remaining(const struct hd_children *c, struct hd_children_at at);

/* Bytewise order of names. */
int hd_name_compare(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
