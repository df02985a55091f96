/* Where the blocks of a file are, as plain structs. */
#include "fs/base/error.h"
#include "fs/client/blocks.h"
#include "fs/client/convert.h"

#include <errno.h>
#include <stdlib.h>

static int convert_block(const Hdw__LocatedBlock *from, uint64_t size, struct hd_located_block *ret)
{
    *ret = (struct hd_located_block){
        .id = from->b->block_id,
        .genstamp = from->b->generation_stamp,
        .offset_bytes = from->offset,
        .size_bytes = size,
        .corrupt = from->corrupt,
        .location_count = (uint32_t)from->n_locs,
    };
    ret->locations = calloc(HD_MAX(from->n_locs, (size_t)1), sizeof(ret->locations[0]));
    if (ret->locations == NULL) {
        ret->location_count = 0;
        return -ENOMEM;
    }
    for (size_t i = 0; i < from->n_locs; i++) {
        const Hdw__DatanodeInfo *node = from->locs[i];
        struct hd_location *l = &ret->locations[i];
        hd_convert_text(l->host, sizeof(l->host), node->id->host_name);
        hd_convert_text(l->ip, sizeof(l->ip), node->id->ip_addr);
        hd_convert_text(l->uuid, sizeof(l->uuid), node->id->datanode_uuid);
        hd_convert_text(l->rack, sizeof(l->rack), node->location);
        l->data_port = (int)node->id->xfer_port;
    }
    return 0;
}

int hd_fs_locate(struct hd_fs *fs, const char *path, uint64_t offset, uint64_t size,
                 struct hd_located_file *ret)
{
    struct hd_blocks *b;
    int err = hd_blocks_fetch(fs, path, offset, size, false, &b);
    if (err < 0) {
        return err;
    }
    struct hd_located_file f = {
        .size_bytes = b->size_bytes,
        .open_for_write = b->open_for_write,
        .block_count = (uint32_t)b->count,
    };
    f.blocks = calloc(HD_MAX(b->count, (size_t)1), sizeof(f.blocks[0]));
    if (f.blocks == NULL) {
        f.block_count = 0;
        err = -ENOMEM;
    }
    for (size_t i = 0; i < b->count && err == 0; i++) {
        err = convert_block(b->blocks[i], b->extents[i].size_bytes, &f.blocks[i]);
    }
    hd_blocks_unref(b);
    if (err < 0) {
        hd_located_file_done(&f);
        return err;
    }
    *ret = f;
    return 0;
}

void hd_located_file_done(struct hd_located_file *f)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        free(f->blocks[i].locations);
    }
    free(f->blocks);
    *f = (struct hd_located_file){.block_count = 0};
}
