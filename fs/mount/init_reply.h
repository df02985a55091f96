/*
 * The bits of FUSE_INIT that libfuse 3.14 does not know. Pure.
 *
 * We sit between libfuse and /dev/fuse (fuse_session_custom_io): the kernel's INIT request is noted
 * on its way in, and libfuse's answer to it is completed on its way out with
 *   FUSE_PASSTHROUGH and max_stack_depth  (reads go to a backing file; needs CAP_SYS_ADMIN)
 *   FUSE_HANDLE_KILLPRIV_V2               (no question for security.capability before each write:
 *                                          set-id bits are cleared by us, where there can be any)
 *   FUSE_DIRECT_IO_ALLOW_MMAP             (shared mappings of files that are open past the page
 *                                          cache; only where any offset can be written)
 */
#ifndef HD_MOUNT_INIT_REPLY_H
#define HD_MOUNT_INIT_REPLY_H

/* What the kernel offered. */
struct hd_init_offer {
    uint64_t unique; /* of the request; 0: none seen yet */
    bool passthrough;
    bool killpriv_v2;
    bool direct_mmap;
};

/* Space enough for any INIT answer: header and fuse_init_out. */
enum { HD_INIT_REPLY_BYTES = 80 };

/* Looks at a request as read from the kernel; true and the offer when it is FUSE_INIT. */
bool hd_init_request_decode(const void *request, size_t size, struct hd_init_offer *ret);

/* True when these bytes begin an answer to that INIT that can be completed. */
bool hd_init_reply_matches(const void *reply, size_t size, const struct hd_init_offer *offer);

/* Completes the answer in place (HD_INIT_REPLY_BYTES). Returns whether passthrough is on. */
bool hd_init_reply_complete(void *reply, const struct hd_init_offer *offer, bool want_passthrough,
                            bool want_direct_mmap);

#endif
