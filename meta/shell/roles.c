/* Which role to begin with. See roles.h. */
#include "meta/shell/roles.h"
#include "meta/shell/dirs.h"
#include "meta/shell/secondary_impl.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>

enum { PEER_TIMEOUT_MS = 700 };

int hd_role_peek(const char *dirs, struct hd_version *ret)
{
    char list[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    int result = hd_dirs_split(dirs, list, &count);
    if (result < 0) {
        return result;
    }
    result = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        struct hd_version v;
        int err = hd_version_read(list[i], &v);
        if (err == 0 && result == 0 && v.epoch == ret->epoch) {
            ret->incomplete = ret->incomplete || v.incomplete; /* one may have missed the news */
        } else if (err == 0 && (result < 0 || v.epoch > ret->epoch)) {
            *ret = v;
            result = 0;
        } else if (err < 0 && err != -ENOENT && result == -ENOENT) {
            result = err;
        }
    }
    return result;
}

/* --- what others know --- */

struct seen {
    uint64_t epoch;
    uint64_t owner;
    char address[HD_CONF_TEXT_BYTES];
};

static void on_witness(void *ctx, int err, const Hdw__WitnessResponse *r)
{
    struct seen *s = ctx;
    if (err == 0 && r->epoch > s->epoch) {
        s->epoch = r->epoch;
        s->owner = r->owner;
        snprintf(s->address, sizeof(s->address), "%s", r->address != NULL ? r->address : "");
    }
}

static void ask_witnesses(const struct hd_meta_conf *conf, const struct hd_version *own,
                          struct seen *ret)
{
    struct hd_witness_list witnesses;
    Hdw__WitnessRequest q = HDW__WITNESS_REQUEST__INIT;
    q.epoch = own->epoch;
    q.has_owner = q.has_ask_only = q.ask_only = true;
    q.owner = own->primary_id;
    if (hd_witness_list_load_any(conf->dir, &witnesses) == 0) {
        hd_witnesses_ask(&witnesses, &q, conf->superuser, on_witness, ret);
        hd_witness_list_done(&witnesses);
    }
}

enum peer { PEER_SILENT, PEER_SECONDARY, PEER_PRIMARY };

static enum peer ask_peer(const struct hd_meta_conf *conf, struct seen *ret)
{
    const Hdw__GetClusterRequest q = HDW__GET_CLUSTER_REQUEST__INIT;
    Hdw__GetClusterResponse *r;
    struct hd_primary_link link = {0};
    enum peer peer = PEER_SILENT;
    if (conf->peer_address[0] == '\0' || hd_primary_link_open(&link, conf) < 0) {
        return PEER_SILENT;
    }
    if (hd_primary_link_call(&link, "getCluster", &q.base, &hdw__get_cluster_response__descriptor,
                             PEER_TIMEOUT_MS, &r) == 0) {
        bool primary = r->role == NULL || strcmp(r->role, "primary") == 0;
        peer = primary ? PEER_PRIMARY : PEER_SECONDARY;
        ret->epoch = r->has_epoch ? r->epoch : 1;
        ret->owner = r->primary_id;
    }
    hd_primary_link_close(&link);
    return peer;
}

/* --- */

static enum hd_meta_role decide_new(const struct hd_meta_conf *conf)
{
    struct seen peer = {0};
    if (conf->secondary) {
        return HD_META_SECONDARY;
    }
    enum peer state = ask_peer(conf, &peer);
    if (state == PEER_SILENT) {
        return HD_META_PRIMARY; /* and a new cluster */
    }
    hd_log_warn("this directory is new, but the other meta has a cluster: following it",
                "dir=%s peer=%s peer_is=%s", conf->dir, conf->peer_address,
                state == PEER_PRIMARY ? "primary" : "secondary");
    return HD_META_SECONDARY;
}

int hd_role_decide(const struct hd_meta_conf *conf, enum hd_meta_role *ret)
{
    struct hd_version own;
    struct seen peer = {0};
    int err = hd_role_peek(conf->dir, &own);
    if (err == -ENOENT) {
        *ret = decide_new(conf);
        return 0;
    }
    bool secondary = err == 0 && own.role_known ? own.was_secondary : conf->secondary;
    if (err < 0 || secondary || conf->peer_address[0] == '\0') {
        *ret = secondary ? HD_META_SECONDARY : HD_META_PRIMARY;
        return 0; /* what is wrong with VERSION is said when the store is opened */
    }
    struct seen witnesses = {.epoch = own.epoch};
    bool other =
        ask_peer(conf, &peer) == PEER_PRIMARY &&
        (peer.epoch > own.epoch || (peer.epoch == own.epoch && peer.owner != own.primary_id));
    if (!other) {
        ask_witnesses(conf, &own, &witnesses);
    }
    if (other || witnesses.epoch > own.epoch) {
        hd_log_warn("another meta was promoted: following it",
                    "epoch=%" PRIu64 " new_epoch=%" PRIu64 " peer=%s", own.epoch,
                    HD_MAX(peer.epoch, witnesses.epoch), conf->peer_address);
        *ret = HD_META_SECONDARY;
        return 0;
    }
    *ret = HD_META_PRIMARY;
    return 0;
}
