/* Content in the metadata, and holes. See reserved_view.h. */
#include "fs/data/shell/reserved_view.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"
#include "fs/wire/reserved.h"

#include <inttypes.h>

static int fetch_content(struct hd_data *d, struct hd_ino ino, struct hd_arena *arena,
                         struct hd_block_view *ret)
{
    Hdw__ReadContentRequest q = HDW__READ_CONTENT_REQUEST__INIT;
    ProtobufCMessage *m;
    q.ino = ino.v;
    int err = hd_control_posix_call(d->control, "readContent", &q.base,
                                    &hdw__read_content_response__descriptor, arena, &m);
    if (err < 0) {
        return hd_fail(-HD_E_REPLICA_NOT_FOUND, "content of inode %" PRIu64 ": %s", ino.v,
                       hd_fail_describe(err));
    }
    const Hdw__ReadContentResponse *r = (const Hdw__ReadContentResponse *)m;
    ret->memory = r->content.data;
    ret->replica.size_bytes = r->content.len;
    return 0;
}

int hd_reserved_or_replica(struct hd_data *d, const Hdw__ExtendedBlock *b, struct hd_arena *arena,
                           struct hd_block_view *ret)
{
    if (!hd_reserved_is(b->block_id)) {
        return hd_store_view(d->store, (struct hd_block_id){b->block_id}, ret);
    }
    *ret = (struct hd_block_view){
        .data_fd = -1,
        .meta_fd = -1,
        .format = {HD_CHECKSUM_CRC32C, HD_BYTES_PER_CHECKSUM},
        .replica = {.id = {b->block_id},
                    .gs = {HD_RESERVED_GENSTAMP},
                    .state = HD_REPLICA_FINALIZED,
                    .size_bytes = hd_reserved_size(b->block_id)},
    };
    snprintf(ret->data_path, sizeof(ret->data_path), "%s", "/no/file");
    int err = 0;
    if (hd_reserved_is_content(b->block_id)) {
        err = fetch_content(d, hd_reserved_ino(b->block_id), arena, ret);
    }
    ret->visible_bytes = ret->replica.size_bytes;
    return err;
}
