/* Names of files beside the first, and files without one. See links.h. */
#include "meta/core/links.h"
#include "meta/core/mem.h"

void hd_links_add(struct hd_ns *ns, struct hd_inode *file, struct hd_inode *link)
{
    struct hd_links *l = hd_map_get(&ns->links, file->ino.v);
    if (l == NULL) {
        l = HD_MEM_NEW(struct hd_links);
        int err = hd_map_put(&ns->links, file->ino.v, l);
        hd_assert(err == 0);
        file->flags |= HD_INODE_LINKED;
    }
    hd_assert(l->count == 0 || l->items[l->count - 1]->ino.v < link->ino.v);
    HD_MEM_GROW(l->items, l->count, l->capacity);
    l->items[l->count++] = link;
    link->u.link = file;
}

static void links_free(struct hd_links *l)
{
    free(l->items);
    free(l);
}

void hd_links_remove(struct hd_ns *ns, struct hd_inode *link)
{
    struct hd_inode *file = link->u.link;
    struct hd_links *l = hd_map_get(&ns->links, file->ino.v);
    uint32_t low = 0;
    uint32_t high = l->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (l->items[middle]->ino.v <= link->ino.v) {
            low = middle;
        } else {
            high = middle;
        }
    }
    hd_assert(l->items[low] == link);
    l->count--;
    memmove(&l->items[low], &l->items[low + 1], sizeof(*l->items) * (l->count - low));
    if (l->count == 0) {
        links_free(hd_map_remove(&ns->links, file->ino.v));
        file->flags &= (uint16_t)~HD_INODE_LINKED;
    }
}

struct hd_inode *hd_links_first(const struct hd_ns *ns, const struct hd_inode *file)
{
    if ((file->flags & HD_INODE_LINKED) == 0) {
        return NULL;
    }
    const struct hd_links *l = hd_map_get(&ns->links, file->ino.v);
    return l->items[0];
}

uint32_t hd_ns_nlink(const struct hd_ns *ns, const struct hd_inode *i)
{
    if (hd_inode_is_dir(i)) {
        return 2 + i->u.children.directories;
    }
    if (hd_inode_is_orphan(i)) {
        return 0;
    }
    if ((i->flags & HD_INODE_LINKED) == 0) {
        return 1;
    }
    const struct hd_links *l = hd_map_get(&ns->links, i->ino.v);
    return 1 + l->count;
}

void hd_orphans_add(struct hd_ns *ns, struct hd_inode *i)
{
    int err = hd_map_put(&ns->orphans, i->ino.v, i);
    hd_assert(err == 0);
    i->flags |= HD_INODE_ORPHAN;
}

void hd_orphans_remove(struct hd_ns *ns, struct hd_inode *i)
{
    void *removed = hd_map_remove(&ns->orphans, i->ino.v);
    hd_assert(removed == i);
    i->flags &= (uint16_t)~HD_INODE_ORPHAN;
}

void hd_links_done(struct hd_ns *ns)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&ns->links, &cursor, &ino, &value)) {
        links_free(value);
    }
    hd_map_done(&ns->links);
    hd_map_done(&ns->orphans);
}
