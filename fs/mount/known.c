/* What is known of an inode: the rules of known.h. */
#include "fs/mount/known.h"
#include "fs/base/map.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 8, FILE_IO_BYTES = 1 << 20, SMALL_IO_BYTES = 4096 };

/* ---- names ---- */

/* Never 0, which is a free slot. */
static uint64_t hash_of(const char *name)
{
    return hd_hash_bytes(name, strlen(name)) | 1;
}

/* Where the hash is, or the free slot where it belongs. */
static size_t slot_of(const struct hd_name_set *s, uint64_t hash)
{
    size_t at = (hash >> 1) & (s->capacity - 1);
    while (s->slots[at] != 0 && s->slots[at] != hash) {
        at = (at + 1) & (s->capacity - 1);
    }
    return at;
}

static bool grow(struct hd_name_set *s)
{
    struct hd_name_set old = *s;
    size_t capacity = old.capacity == 0 ? (size_t)FIRST_CAPACITY : old.capacity * 2;
    uint64_t *slots = capacity > HD_NAME_SET_MAX ? NULL : calloc(capacity, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    s->slots = slots;
    s->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != 0) {
            slots[slot_of(s, old.slots[i])] = old.slots[i];
        }
    }
    free(old.slots);
    return true;
}

void hd_known_drop_names(struct hd_known *k)
{
    if (k->names != NULL) {
        free(k->names->slots);
        free(HD_TAKE_PTR(k->names));
    }
}

void hd_known_all_names(struct hd_known *k, uint32_t era)
{
    hd_known_turn(k, era);
    hd_known_drop_names(k);
    k->names = calloc(1, sizeof(*k->names));
}

void hd_known_add_name(struct hd_known *k, const char *name)
{
    struct hd_name_set *s = k->names;
    k->changes++;
    if (s == NULL) {
        return;
    }
    if ((s->count + 1) * 4 > s->capacity * 3 && !grow(s)) {
        hd_known_drop_names(k);
        return;
    }
    uint64_t hash = hash_of(name);
    size_t at = slot_of(s, hash);
    s->count += s->slots[at] == 0;
    s->slots[at] = hash;
}

bool hd_known_is_absent(const struct hd_known *k, uint32_t era, const char *name)
{
    const struct hd_name_set *s = k->names;
    if (s == NULL || k->era != era) {
        return false;
    }
    return s->count == 0 || s->slots[slot_of(s, hash_of(name))] == 0;
}

/* ---- attributes ---- */

void hd_known_done(struct hd_known *k)
{
    hd_known_drop_names(k);
}

void hd_known_turn(struct hd_known *k, uint32_t era)
{
    if (k->era != era) {
        hd_known_drop_names(k);
        *k = (struct hd_known){.era = era};
    }
}

bool hd_known_learn(struct hd_known *k, const struct hd_known_attr *a, uint32_t era, uint64_t stray)
{
    hd_known_turn(k, era);
    if (k->has_attr && (a->era != era || a->as_of < k->attr.as_of)) {
        return true; /* what is known is newer */
    }
    if (!a->cached || (a->flags & HD_KNOWN_BUSY) != 0 || a->era != era || a->as_of < k->pushed ||
        a->as_of < stray) {
        k->has_attr = false;
        return false;
    }
    k->attr = *a;
    k->has_attr = true;
    return true;
}

void hd_known_push(struct hd_known *k, uint32_t era, uint64_t txid)
{
    hd_known_turn(k, era);
    k->pushed = HD_MAX(k->pushed, txid);
    if (k->has_attr && k->attr.as_of < txid) {
        k->has_attr = false;
    }
}

void hd_known_push_entry(struct hd_known *k, uint32_t era, uint64_t txid, const char *appeared)
{
    hd_known_turn(k, era);
    k->entries_pushed = HD_MAX(k->entries_pushed, txid);
    k->changes++;
    if (appeared != NULL) {
        hd_known_add_name(k, appeared);
    }
}

void hd_known_push_entries(struct hd_known *k, uint32_t era, uint64_t txid)
{
    hd_known_push_entry(k, era, txid, NULL);
    hd_known_drop_names(k);
    k->listed = false;
}

bool hd_known_entry_holds(const struct hd_known *k, bool cached, uint32_t answer_era,
                          uint64_t as_of, uint32_t era, uint64_t stray)
{
    uint64_t pushed = k->era == era ? k->entries_pushed : 0;
    return cached && answer_era == era && as_of >= pushed && as_of >= stray;
}

static struct timespec time_of(int64_t ns)
{
    int64_t s = ns / 1000000000;
    int64_t rest = ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        s--;
    }
    return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

void hd_known_stat(const struct hd_known_attr *a, uint64_t ino, struct stat *ret)
{
    *ret = (struct stat){
        .st_ino = ino,
        .st_mode = a->mode,
        .st_nlink = a->nlink,
        .st_uid = a->uid,
        .st_gid = a->gid,
        .st_rdev = a->rdev,
        .st_size = (off_t)a->size_bytes,
        .st_blocks = (blkcnt_t)a->blocks,
        .st_blksize = S_ISREG(a->mode) ? FILE_IO_BYTES : SMALL_IO_BYTES,
        .st_mtim = time_of(a->mtime_ns),
        .st_atim = time_of(a->atime_ns),
        .st_ctim = time_of(a->ctime_ns),
    };
}
