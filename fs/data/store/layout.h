/*
 * Names of files and directories under a data directory: HDFS's own layout (-57), so that a
 * directory can change hands.
 *
 *   DIR/in_use.lock
 *   DIR/current/VERSION
 *   DIR/current/<pool>/current/VERSION
 *   DIR/current/<pool>/current/finalized/subdirA/subdirB/blk_<id>, blk_<id>_<stamp>.meta
 *   DIR/current/<pool>/current/rbw/    being written
 *   DIR/current/<pool>/tmp/            copies on their way; emptied at start
 *   DIR/current/<pool>/dirty/blk_<id>.dirty  ours: regions changed in place (fs/data/core/dirty.h)
 */
#ifndef HD_DATA_STORE_LAYOUT_H
#define HD_DATA_STORE_LAYOUT_H

#include "fs/base/types.h"

#include <stdatomic.h>

enum { HD_LAYOUT_VERSION = -57, HD_LAYOUT_PATH_BYTES = 4096, HD_LAYOUT_ID_BYTES = 128 };

enum hd_place { HD_PLACE_FINALIZED, HD_PLACE_RBW, HD_PLACE_TMP };

/*
 * The folders of finalized replicas whose names are known to be durable in the folders above: one
 * bit each, A << 5 | B. Several threads.
 */
struct hd_folders {
    _Atomic(uint64_t) durable[16];
};

struct hd_layout {
    const char *dir;            /* the data directory */
    const char *pool_id;        /* BP-... */
    struct hd_folders *folders; /* NULL: nothing is known */
};

/* subdirA and subdirB of a block as one number below 1024. */
unsigned hd_layout_folder(struct hd_block_id id);

/* Directory of a place (for FINALIZED the subdirectory of the block), and the two files. */
void hd_layout_dir(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                   char out[HD_LAYOUT_PATH_BYTES]);
void hd_layout_data(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                    char out[HD_LAYOUT_PATH_BYTES]);
void hd_layout_meta(const struct hd_layout *l, enum hd_place place, struct hd_block_id id,
                    struct hd_genstamp gs, char out[HD_LAYOUT_PATH_BYTES]);

/* The folder of dirty logs, and the log of a block: it stays there wherever the replica goes. */
#define HD_LAYOUT_DIRTY_SUFFIX ".dirty" /* so that who looks for replicas by name finds no log */

void hd_layout_dirty_dir(const struct hd_layout *l, char out[HD_LAYOUT_PATH_BYTES]);
void hd_layout_dirty(const struct hd_layout *l, struct hd_block_id id,
                     char out[HD_LAYOUT_PATH_BYTES]);

/* What a file name is. *ret_gs is set for a checksum file only. */
enum hd_name_kind { HD_NAME_OTHER, HD_NAME_DATA, HD_NAME_META };
enum hd_name_kind hd_layout_parse(const char *name, struct hd_block_id *ret_id,
                                  struct hd_genstamp *ret_gs);

/* True for a pool id that may become part of a path: BP- and no slash. */
bool hd_layout_pool_id_ok(const char *pool_id);

/* The two VERSION files. */
struct hd_node_version {
    char storage_id[HD_LAYOUT_ID_BYTES];
    char cluster_id[HD_LAYOUT_ID_BYTES];
    char node_uuid[HD_LAYOUT_ID_BYTES];
};

struct hd_pool_version {
    char pool_id[HD_LAYOUT_ID_BYTES];
    uint32_t namespace_id;
    uint64_t ctime_ms;
};

/* -ENOENT when there is none yet; -HD_E_CORRUPT when a key is missing or the layout is another. */
int hd_node_version_read(const char *dir, struct hd_node_version *ret);
int hd_node_version_write(const char *dir, const struct hd_node_version *v);
int hd_pool_version_read(const struct hd_layout *l, struct hd_pool_version *ret);
int hd_pool_version_write(const struct hd_layout *l, const struct hd_pool_version *v);

/* The pool a directory holds: -ENOENT when none, -HD_E_CORRUPT when more than one. */
int hd_layout_find_pool(const char *dir, char ret_pool_id[HD_LAYOUT_ID_BYTES]);

#endif
