/* Capabilities and content: the calls of posix.h. */
#include "fs/base/error.h"
#include "fs/client/posix_impl.h"

#include <errno.h>

int hd_posix_acquire(struct hd_posix *p, uint64_t ino, const struct hd_posix_acquire *a,
                     struct hd_arena *arena, Hdw__AcquireResponse **ret,
                     struct hd_posix_as_of *ret_as_of)
{
    Hdw__AcquireRequest q = HDW__ACQUIRE_REQUEST__INIT;
    q.ino = ino;
    q.want = a->want;
    q.has_blocks = q.blocks = a->blocks;
    q.has_writeback = q.writeback = a->writeback;
    return HD_POSIX_CALL(p, "acquire", acquire, &q, &q.session, arena, ret, ret_as_of);
}

int hd_posix_release(struct hd_posix *p, uint64_t ino, Hdw__CapKind keep, uint64_t serial)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ReleaseRequest q = HDW__RELEASE_REQUEST__INIT;
    Hdw__ReleaseResponse *r;
    q.ino = ino;
    q.keep = keep;
    q.has_serial = serial != 0;
    q.serial = serial;
    return HD_POSIX_CALL(p, "release", release, &q, &q.session, &arena, &r, NULL);
}

/* The attributes of an answer, for who wants them. */
static int take(const Hdw__PosixAttr *m, struct hd_posix_as_of as_of, struct hd_posix_attr *ret)
{
    return ret == NULL ? 0 : hd_posix_attr_take(m, as_of, ret);
}

int hd_posix_write_content(struct hd_posix *p, uint64_t ino, const void *data, size_t size,
                           const struct hd_posix_change *change, Hdw__CapKind keep,
                           struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__WriteContentRequest q = HDW__WRITE_CONTENT_REQUEST__INIT;
    Hdw__PosixAttrChange c;
    Hdw__WriteContentResponse *r;
    struct hd_posix_as_of as_of;
    if (ret != NULL) {
        *ret = (struct hd_posix_attr){0};
    }
    q.ino = ino;
    q.content.data = (uint8_t *)(uintptr_t)data;
    q.content.len = size;
    q.has_keep = true;
    q.keep = keep;
    if (!hd_posix_change_is_empty(change)) {
        hd_posix_change_fill(change, &c);
        q.change = &c;
    }
    int err = HD_POSIX_CALL(p, "writeContent", write_content, &q, &q.session, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}

int hd_posix_read_content(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                          Hdw__ReadContentResponse **ret, struct hd_posix_as_of *ret_as_of)
{
    Hdw__ReadContentRequest q = HDW__READ_CONTENT_REQUEST__INIT;
    q.ino = ino;
    return HD_POSIX_CALL(p, "readContent", read_content, &q, NULL, arena, ret, ret_as_of);
}

int hd_posix_open_blocks(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                         Hdw__OpenBlocksResponse **ret)
{
    Hdw__OpenBlocksRequest q = HDW__OPEN_BLOCKS_REQUEST__INIT;
    q.ino = ino;
    return HD_POSIX_CALL(p, "openBlocks", open_blocks, &q, &q.session, arena, ret, NULL);
}

int hd_posix_open_block(struct hd_posix *p, uint64_t ino, uint64_t offset,
                        Hdw__DatanodeInfo **excluded, size_t excluded_count, struct hd_arena *arena,
                        Hdw__OpenBlockResponse **ret)
{
    Hdw__OpenBlockRequest q = HDW__OPEN_BLOCK_REQUEST__INIT;
    q.ino = ino;
    q.offset = offset;
    q.excluded = excluded;
    q.n_excluded = excluded_count;
    return HD_POSIX_CALL(p, "openBlock", open_block, &q, &q.session, arena, ret, NULL);
}

int hd_posix_close_block(struct hd_posix *p, uint64_t ino, Hdw__ExtendedBlock *block)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__CloseBlockRequest q = HDW__CLOSE_BLOCK_REQUEST__INIT;
    Hdw__CloseBlockResponse *r;
    q.ino = ino;
    q.block = block;
    return HD_POSIX_CALL(p, "closeBlock", close_block, &q, &q.session, &arena, &r, NULL);
}

int hd_posix_resize(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                    uint64_t size, struct hd_arena *arena, Hdw__ResizeResponse **ret,
                    struct hd_posix_as_of *ret_as_of)
{
    Hdw__ResizeRequest q = HDW__RESIZE_REQUEST__INIT;
    Hdw__PosixCred who;
    q.ino = ino;
    q.size = size;
    if (cred != NULL) {
        hd_posix_cred_fill(cred, &who);
        q.cred = &who;
    }
    return HD_POSIX_CALL(p, "resize", resize, &q, &q.session, arena, ret, ret_as_of);
}

int hd_posix_punch(struct hd_posix *p, uint64_t ino, uint64_t offset, uint64_t length,
                   struct hd_arena *arena, Hdw__PunchResponse **ret,
                   struct hd_posix_as_of *ret_as_of)
{
    Hdw__PunchRequest q = HDW__PUNCH_REQUEST__INIT;
    q.ino = ino;
    q.offset = offset;
    q.length = length;
    return HD_POSIX_CALL(p, "punch", punch, &q, &q.session, arena, ret, ret_as_of);
}

int hd_posix_close_blocks(struct hd_posix *p, uint64_t ino, const struct hd_posix_change *change,
                          Hdw__CapKind keep, struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__CloseBlocksRequest q = HDW__CLOSE_BLOCKS_REQUEST__INIT;
    Hdw__PosixAttrChange c;
    Hdw__CloseBlocksResponse *r;
    struct hd_posix_as_of as_of;
    if (ret != NULL) {
        *ret = (struct hd_posix_attr){0};
    }
    q.ino = ino;
    q.has_keep = true;
    q.keep = keep;
    if (!hd_posix_change_is_empty(change)) {
        hd_posix_change_fill(change, &c);
        q.change = &c;
    }
    int err = HD_POSIX_CALL(p, "closeBlocks", close_blocks, &q, &q.session, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}
