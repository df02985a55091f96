/* What service.c, service_edits.c, service_image.c and checkpoint.c share. */
#ifndef HD_META_SHELL_SERVICE_IMPL_H
#define HD_META_SHELL_SERVICE_IMPL_H

#include "meta/shell/executor.h"
#include "meta/shell/service.h"
#include "meta/shell/worker.h"

enum {
    HD_CHECKPOINT_WAIT_MS = 120000, /* for the secondary, before meta makes the checkpoint itself */
    HD_SECONDARY_GONE_MS = 30000,   /* without a fetchEdits it counts as away */
};

struct hd_meta_service {
    struct hd_executor *x;
    struct hd_worker *files;  /* short work on files: edits and images, in pieces */
    struct hd_worker *images; /* long work: whole images */
    struct hd_loop_timer *timer;
    char *meta_addresses[2]; /* for openSession's answers */

    /* the secondary */
    uint64_t secondary_conn; /* 0: not connected */
    struct hd_txid secondary_txid;
    struct hd_wall_ms secondary_seen_wall;
    struct hd_mono_ms secondary_seen;
    struct hd_list fetches; /* parked fetchEdits, service_edits.c */
    struct hd_list recent;  /* the newest records, as they were handed to the log */
    size_t recent_bytes;
    struct hd_loop_timer *fetch_timer;
    struct hd_mono_ms fetch_at; /* when the last one was given records */

    /* checkpoints */
    struct hd_txid image_txid;  /* of the newest verified image; 0: none */
    struct hd_mono_ms image_at; /* when it was made, or the process started */
    struct hd_list checkpoints; /* callers that wait for one, checkpoint.c */
    bool ask_secondary;         /* with its next answer */
    struct hd_mono_ms asked_at; /* when it was to be asked; 0: it was not */
    bool making;                /* one is being made here */
    struct hd_txid upload_txid; /* of the image that is being uploaded; 0: none */
    uint64_t upload_bytes;
};

static const char hd_service_stopping[] = "howdah-meta is stopping";

/* Decodes the body; NULL after answering. Casts need no more: void. */
void *hd_service_decode(struct hd_rpc_call *call, const ProtobufCMessageDescriptor *type);

/* service_edits.c */
void hd_service_fetch_edits(struct hd_meta_service *s, struct hd_rpc_call *call);
void hd_service_fetches_timer(void *service);           /* the same, as fetch_timer's callback */
void hd_service_fetches_end(struct hd_meta_service *s); /* answers all */
void hd_service_fetches_tick(struct hd_meta_service *s, struct hd_mono_ms now);

/* service_image.c */
void hd_service_fetch_image(struct hd_meta_service *s, struct hd_rpc_call *call);
void hd_service_put_image(struct hd_meta_service *s, struct hd_rpc_call *call);

/* checkpoint.c: call answered with CheckpointResponse or, for saveNamespace, its own response. */
void hd_service_checkpoint(struct hd_meta_service *s, struct hd_rpc_call *call);
/* An image was verified and kept (loop). */
void hd_service_image_kept(struct hd_meta_service *s, struct hd_txid txid);
void hd_service_checkpoints_end(struct hd_meta_service *s); /* answers all */
void hd_service_checkpoint_tick(struct hd_meta_service *s, struct hd_mono_ms now);
void hd_service_secondary_lost(struct hd_meta_service *s);

#endif
