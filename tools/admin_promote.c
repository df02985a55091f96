/* howdah admin promote: makes the secondary the primary, and waits until it serves. */
#include "tools/admin.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "meta/log/version.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

enum { PROMOTE_TIMEOUT_MS = 30000, SERVE_TIMEOUT_MS = 60000, ASK_EVERY_MS = 50 };

struct promotion {
    struct hd_admin *admin;
    char target[HD_TEXT_BYTES]; /* the meta that is to become primary */
    char active[HD_TEXT_BYTES]; /* the one that is; "" when none answers */
    uint64_t epoch;
    uint64_t txid;
    int64_t took_ms;
};

/*
 * Another cluster may have taken the port of one that is down. When a directory of the metadata is
 * on this machine, it knows whose it is.
 */
static int check_cluster(const struct promotion *p, const char *address, const char *cluster_id)
{
    const struct hd_cluster *c = &p->admin->cluster;
    for (size_t i = 0; i < c->member_count; i++) {
        const struct hd_member *m = &c->members[i];
        struct hd_version v;
        char dir[HD_PATH_BYTES];
        if (m->role != HD_ROLE_META && m->role != HD_ROLE_SECONDARY) {
            continue;
        }
        snprintf(dir, sizeof(dir), "%.*s", (int)strcspn(m->dirs, ", "), m->dirs);
        if (hd_version_read(dir, &v) == 0 && strcmp(v.cluster_id, cluster_id) != 0) {
            return hd_fail(-HD_E_CONFIG, "%s is of cluster %s, and %s of cluster %s", address,
                           cluster_id, dir, v.cluster_id);
        }
    }
    return 0;
}

/* Whoever answers as a secondary is asked; of a primary that answers, the other one. */
static int look_around(struct promotion *p)
{
    const char *metas = p->admin->cluster.metas;
    const char *user = hd_user_name();
    uint64_t best = 0;
    while (*metas != '\0') {
        char one[HD_TEXT_BYTES];
        struct hd_meta_self self;
        size_t n = strcspn(metas, ",");
        snprintf(one, sizeof(one), "%.*s", (int)n, metas);
        metas += n + (metas[n] == ',');
        int rc = hd_meta_ask_self(one, user, &self);
        int other = rc == 0 ? check_cluster(p, one, self.cluster_id) : 0;
        if (other < 0) {
            return other;
        }
        if (rc == 0 && self.primary) {
            snprintf(p->active, sizeof(p->active), "%s", one);
        } else if (rc == 0 && (p->target[0] == '\0' || self.epoch > best)) {
            best = self.epoch;
            snprintf(p->target, sizeof(p->target), "%s", one);
        }
    }
    if (p->target[0] == '\0') {
        return hd_fail(-HD_E_RETRIABLE, "no secondary answers at %s", p->admin->cluster.metas);
    }
    return 0;
}

static bool confirmed(const struct promotion *p)
{
    char answer[16] = "";
    if (p->admin->yes) {
        return true;
    }
    printf("Primary now: %s\nTo be promoted: %s\n"
           "The present primary will answer nothing any more and become the secondary.\n"
           "Go on? [y/N] ",
           p->active[0] != '\0' ? p->active : "none answers", p->target);
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int promote(struct promotion *p)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call m = {0};
    Hdw__PromoteResponse *r;
    int rc = hd_meta_call_init(&m, p->target, hd_user_name(), PROMOTE_TIMEOUT_MS);
    if (rc == 0) {
        rc = hd_meta_promote(&m, p->admin->force, &r);
    }
    if (rc == 0) {
        p->epoch = r->epoch;
        p->txid = r->txid;
    }
    return rc;
}

static int wait_serving(const struct promotion *p)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + SERVE_TIMEOUT_MS;
    struct hd_meta_self self;
    int rc;
    while ((rc = hd_meta_ask_self(p->target, hd_user_name(), &self)) < 0 || !self.primary) {
        if (hd_clock_mono_ms().v >= deadline_ms) {
            return hd_fail(-ETIMEDOUT, "%s has epoch %" PRIu64 " and does not serve yet", p->target,
                           p->epoch);
        }
        hd_clock_sleep_ms(ASK_EVERY_MS);
    }
    return 0;
}

static void print_result(const struct promotion *p)
{
    if (p->admin->json) {
        json_t *o =
            json_pack("{s:s, s:I, s:I, s:I}", "address", p->target, "epoch", (json_int_t)p->epoch,
                      "txid", (json_int_t)p->txid, "ms", (json_int_t)p->took_ms);
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(o);
        return;
    }
    printf("%s is the primary now: epoch %" PRIu64 ", txid %" PRIu64 ", after %" PRId64 " ms\n",
           p->target, p->epoch, p->txid, p->took_ms);
}

int hd_admin_promote(struct hd_admin *a, int argc, char **argv)
{
    struct promotion p = {.admin = a};
    (void)argc;
    (void)argv;
    int rc = look_around(&p);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (!confirmed(&p)) {
        fprintf(stderr, "howdah admin: nothing was done\n");
        return HD_EXIT_FAILED;
    }
    int64_t begin_ms = hd_clock_mono_ms().v;
    rc = promote(&p);
    if (rc == 0) {
        rc = wait_serving(&p);
    }
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    p.took_ms = hd_clock_mono_ms().v - begin_ms;
    print_result(&p);
    return HD_EXIT_OK;
}
