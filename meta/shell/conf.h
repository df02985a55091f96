/* What howdah-meta reads from howdah.conf, for both roles. */
#ifndef HD_META_SHELL_CONF_H
#define HD_META_SHELL_CONF_H

#include "fs/os/config.h"
#include "meta/core/meta.h"

enum { HD_CONF_TEXT_BYTES = 1024 };

struct hd_meta_conf {
    bool secondary;                        /* the role */
    char dir[HD_CONF_TEXT_BYTES];          /* of this process; several with commas between */
    uint64_t reserved_bytes;               /* below this much room, no more changes */
    char rpc_address[HD_CONF_TEXT_BYTES];  /* of this process */
    char own_address[HD_CONF_TEXT_BYTES];  /* of this process, as others reach it */
    char peer_address[HD_CONF_TEXT_BYTES]; /* of the other meta; "" when there is none */
    bool sync_both;                        /* acknowledged: durable at the peer too */
    int64_t secondary_timeout_ms;          /* silence of the peer that waiting answers bear */
    char superuser[256];
    char supergroup[256];
    char host_name[256];
    char rack_table[HD_CONF_TEXT_BYTES];  /* "": none */
    char rack_script[HD_CONF_TEXT_BYTES]; /* "": none */
    int64_t flush_ms;
    int64_t checkpoints_kept;
    int64_t checkpoint_interval_s;
    int64_t checkpoint_txns;
    struct hd_meta_options core; /* points into this struct; ids are the store's to fill in */
};

/* name: the instance, "meta" or "secondary". 0 or -HD_E_CONFIG. conf must not be moved. */
int hd_meta_conf_load(const struct hd_config *config, const char *name, bool secondary,
                      struct hd_meta_conf *conf);

#endif
