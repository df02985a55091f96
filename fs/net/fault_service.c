/* setFaults. See fault_service.h. */
#include "fs/net/fault_service.h"
#include "fs/base/error.h"
#include "fs/os/fault.h"
#include "fs/os/log.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <unistd.h>

enum { NAME_BYTES = 256, GROUPS_MAX = 256, NSS_BYTES = 16 << 10 };

const char hd_fault_protocol[] = "howdah.FaultProtocol";

static bool drills;
static char own_user[NAME_BYTES];
static char supergroup[NAME_BYTES] = "supergroup";

int hd_fault_service_init(const struct hd_config *config)
{
    struct hd_config_at cluster = {.config = config, .section = "cluster"};
    struct passwd pw;
    struct passwd *found = NULL;
    char buf[NSS_BYTES];
    int err = hd_config_bool(cluster, "drills", false, &drills);
    if (err < 0) {
        return err;
    }
    snprintf(supergroup, sizeof(supergroup), "%s",
             hd_config_str(cluster, "supergroup", "supergroup"));
    if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) == 0 && found != NULL) {
        snprintf(own_user, sizeof(own_user), "%s", found->pw_name);
    }
    return 0;
}

static bool in_supergroup(const char *user)
{
    struct passwd pw;
    struct passwd *user_found = NULL;
    struct group gr;
    struct group *group_found = NULL;
    char user_buf[NSS_BYTES];
    char group_buf[NSS_BYTES];
    gid_t ids[GROUPS_MAX];
    int count = GROUPS_MAX;
    if (getgrnam_r(supergroup, &gr, group_buf, sizeof(group_buf), &group_found) != 0 ||
        group_found == NULL ||
        getpwnam_r(user, &pw, user_buf, sizeof(user_buf), &user_found) != 0 || user_found == NULL ||
        getgrouplist(user, pw.pw_gid, ids, &count) < 0) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (ids[i] == gr.gr_gid) {
            return true;
        }
    }
    return false;
}

static bool is_superuser(const char *user)
{
    return strcmp(user, "root") == 0 || strcmp(user, own_user) == 0 || in_supergroup(user);
}

static int read_faults(const Hdw__SetFaultsRequest *q, struct hd_fault faults[HD_FAULTS_MAX])
{
    if (q->n_faults > HD_FAULTS_MAX) {
        return hd_fail(-EINVAL, "%zu faults; at most %d at once", q->n_faults, HD_FAULTS_MAX);
    }
    for (size_t i = 0; i < q->n_faults; i++) {
        const Hdw__Fault *f = q->faults[i];
        faults[i] = (struct hd_fault){.target = f->target, .value = f->value, .for_ms = f->for_ms};
        int err = hd_fault_point_parse(f->point, &faults[i].point);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static void audit(const struct hd_rpc_call *call, const struct hd_fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hd_log_warn("audit",
                    "command=setFaults user=%.100s address=%s fault=%s target=\"%.300s\" "
                    "value=%" PRIi64 " for_ms=%" PRIu64,
                    call->user, call->peer_ip, hd_fault_point_name(faults[i].point),
                    faults[i].target != NULL ? faults[i].target : "", faults[i].value,
                    faults[i].for_ms);
    }
    if (count == 0) {
        hd_log_warn("audit", "command=setFaults user=%.100s address=%s fault=none", call->user,
                    call->peer_ip);
    }
}

/* 0, or why not. */
static int check_caller(const struct hd_rpc_call *call)
{
    if (!drills) {
        return hd_fail(-HD_E_UNSUPPORTED,
                       "Faults are not taken here: they need drills = on in [cluster] of "
                       "howdah.conf, and a restart of this daemon");
    }
    if (!is_superuser(call->user)) {
        return hd_fail(-EACCES, "Access denied for user %.200s. Superuser privilege is required",
                       call->user);
    }
    return 0;
}

void hd_fault_service_call(struct hd_rpc_call *call)
{
    struct hd_fault faults[HD_FAULTS_MAX];
    char text[HD_FAIL_TEXT_BYTES + 64];
    if (strcmp(call->method, "setFaults") != 0) {
        snprintf(text, sizeof(text), "Unknown method %.100s called on %s protocol.", call->method,
                 call->protocol);
        hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, text);
        return;
    }
    const Hdw__SetFaultsRequest *q = (const Hdw__SetFaultsRequest *)hd_rpc_call_decode(
        call, &hdw__set_faults_request__descriptor);
    if (q == NULL) {
        return;
    }
    int err = check_caller(call);
    if (err == 0) {
        err = read_faults(q, faults);
    }
    if (err == 0) {
        err = hd_fault_set(faults, q->n_faults);
    }
    if (err < 0) {
        snprintf(text, sizeof(text), "%s", hd_fail_text());
        hd_log_warn("audit", "command=setFaults user=%.100s address=%s refused=\"%.300s\"",
                    call->user, call->peer_ip, text);
        hd_rpc_reply_error(call, err, text);
        return;
    }
    audit(call, faults, q->n_faults);
    Hdw__SetFaultsResponse r = HDW__SET_FAULTS_RESPONSE__INIT;
    r.active = (uint32_t)q->n_faults;
    hd_rpc_reply(call, &r.base, 0);
}
