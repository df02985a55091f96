/* FUSE_INIT, byte by byte (linux/fuse.h, protocol 7.31 and later). See init_reply.h. */
#include "fs/mount/init_reply.h"

#include <linux/fuse.h>
#include <string.h>

/* Newer than Debian 12's header. */
#define INIT_EXT            (UINT32_C(1) << 30)
#define INIT_KILLPRIV_V2    (UINT32_C(1) << 28)
#define INIT_PASSTHROUGH_HI (UINT32_C(1) << 5) /* bit 37 */
#define INIT_DIRECT_MMAP_HI (UINT32_C(1) << 4) /* bit 36 */

enum { IN_FLAGS_AT = 12, IN_FLAGS2_AT = 16, MAX_STACK_DEPTH = 1 };

_Static_assert(sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out) == HD_INIT_REPLY_BYTES,
               "the INIT answer of protocol 7");

bool hd_init_request_decode(const void *request, size_t size, struct hd_init_offer *ret)
{
    struct fuse_in_header head;
    if (size < sizeof(head)) {
        return false;
    }
    memcpy(&head, request, sizeof(head));
    if (head.opcode != FUSE_INIT) {
        return false;
    }
    *ret = (struct hd_init_offer){.unique = head.unique};
    const uint8_t *body = (const uint8_t *)request + sizeof(head);
    size_t body_size = size - sizeof(head);
    uint32_t flags = 0;
    uint32_t flags2 = 0;
    if (body_size >= IN_FLAGS_AT + sizeof(flags)) {
        memcpy(&flags, body + IN_FLAGS_AT, sizeof(flags));
    }
    if ((flags & INIT_EXT) != 0 && body_size >= IN_FLAGS2_AT + sizeof(flags2)) {
        memcpy(&flags2, body + IN_FLAGS2_AT, sizeof(flags2));
    }
    ret->killpriv_v2 = (flags & INIT_KILLPRIV_V2) != 0;
    ret->passthrough = (flags2 & INIT_PASSTHROUGH_HI) != 0;
    ret->direct_mmap = (flags2 & INIT_DIRECT_MMAP_HI) != 0;
    return true;
}

bool hd_init_reply_matches(const void *reply, size_t size, const struct hd_init_offer *offer)
{
    struct fuse_out_header head;
    if (offer->unique == 0 || size != HD_INIT_REPLY_BYTES) {
        return false;
    }
    memcpy(&head, reply, sizeof(head));
    return head.unique == offer->unique && head.error == 0;
}

bool hd_init_reply_complete(void *reply, const struct hd_init_offer *offer, bool want_passthrough,
                            bool want_direct_mmap)
{
    struct fuse_init_out out;
    uint8_t *body = (uint8_t *)reply + sizeof(struct fuse_out_header);
    memcpy(&out, body, sizeof(out));
    if (offer->killpriv_v2) {
        out.flags |= INIT_KILLPRIV_V2;
    }
    bool passthrough = offer->passthrough && want_passthrough;
    if (passthrough) {
        out.flags |= INIT_EXT;
        out.flags2 |= INIT_PASSTHROUGH_HI;
        out.unused[0] = MAX_STACK_DEPTH;
    }
    if (offer->direct_mmap && want_direct_mmap) {
        out.flags |= INIT_EXT;
        out.flags2 |= INIT_DIRECT_MMAP_HI;
    }
    memcpy(body, &out, sizeof(out));
    return passthrough;
}
