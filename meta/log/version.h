/* The VERSION file of a metadata directory: who it belongs to. Text, key=value; docs/formats.md. */
#ifndef HD_META_LOG_VERSION_H
#define HD_META_LOG_VERSION_H

#include <stdbool.h>
#include <stdint.h>

enum { HD_LAYOUT_VERSION = 2 }; /* 2: links, orphans, special files, content; sessions */

struct hd_version {
    char cluster_id[96];     /* "CID-<uuid>" */
    char block_pool_id[128]; /* "BP-<int>-<ip>-<ms>" */
    uint32_t namespace_id;
    uint64_t creation_ms;
    uint64_t epoch;      /* of the primary whose log the directory has; 1 at format */
    uint64_t primary_id; /* drawn by a primary when its epoch begins, or to claim one */
    bool incomplete;     /* a secondary's that has never caught up with its primary */
    bool was_secondary;  /* what the process was that used it last */
    bool role_known;     /* false: the file is older than roles */
};

/* A new cluster's: random ids, `ip` in the block pool's name. */
void hd_version_make(struct hd_version *v, const char *ip, uint64_t creation_ms);

/* dir/VERSION. -ENOENT when there is none, -HD_E_CORRUPT, -HD_E_INCORRECT_VERSION, or an errno. */
int hd_version_read(const char *dir, struct hd_version *ret);
/* The same of a layout that is older than this program's, too. */
int hd_version_read_any(const char *dir, struct hd_version *ret);
int hd_version_write(const char *dir, const struct hd_version *v); /* durable, atomic */

#endif
