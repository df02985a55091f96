/* How the daemons are. See probe.h. */
#include "tools/probe.h"
#include "tools/meta_call.h"
#include "tools/process.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <errno.h>
#include <mntent.h>
#include <stdlib.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 2000, KNOCK_TIMEOUT_MS = 500 };

const char *hd_state_name(enum hd_state state)
{
    switch (state) {
    case HD_STATE_UP:
        return "up";
    case HD_STATE_STALE:
        return "stale";
    case HD_STATE_DEAD:
        return "dead";
    case HD_STATE_STOPPED:
        return "stopped";
    }
    hd_unreachable();
}

/* Calls fn for each mount until it returns true. */
static bool find_mount(bool (*fn)(const struct mntent *, void *), void *ctx)
{
    struct mntent entry;
    char text[HD_PATH_BYTES * 2];
    bool found = false;
    FILE *f = setmntent("/proc/self/mounts", "re");
    while (f != NULL && !found && getmntent_r(f, &entry, text, sizeof(text)) != NULL) {
        found = fn(&entry, ctx);
    }
    if (f != NULL) {
        endmntent(f);
    }
    return found;
}

static bool is_at(const struct mntent *entry, void *path)
{
    return strcmp(entry->mnt_dir, path) == 0;
}

bool hd_probe_mounted(const char *path)
{
    return find_mount(is_at, (void *)path);
}

struct source_search {
    const char *uri;
    char (*paths)[HD_PATH_BYTES];
    size_t count;
    size_t max;
};

static bool note_source(const struct mntent *entry, void *ctx)
{
    struct source_search *s = ctx;
    size_t size = strlen(s->uri);
    bool same = strncmp(entry->mnt_fsname, s->uri, size) == 0 &&
                (entry->mnt_fsname[size] == '\0' || strcmp(entry->mnt_fsname + size, "/") == 0);
    if (same && strncmp(entry->mnt_type, "fuse", 4) == 0 && s->count < s->max) {
        snprintf(s->paths[s->count++], HD_PATH_BYTES, "%s", entry->mnt_dir);
    }
    return s->count == s->max;
}

size_t hd_probe_mounts_of(const char *uri, char (*paths)[HD_PATH_BYTES], size_t max)
{
    struct source_search s = {.uri = uri, .paths = paths, .max = max};
    if (max > 0) {
        find_mount(note_source, &s);
    }
    return s.count;
}

bool hd_probe_port(const char *address, int timeout_ms)
{
    int fd;
    if (hd_addr_connect_text(address, timeout_ms, &fd) < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* ---- data nodes, as meta sees them ---- */

static void node_address(const Hdw__DatanodeInfo *node, char out[HD_TEXT_BYTES])
{
    snprintf(out, HD_TEXT_BYTES, "%s:%u", node->id->ip_addr, node->id->xfer_port);
}

static enum hd_state node_state(const struct hd_cluster *c, const Hdw__DatanodeInfo *node,
                                bool dead)
{
    int64_t age_ms = hd_clock_wall_ms().v - (int64_t)node->last_update;
    if (dead) {
        return HD_STATE_DEAD;
    }
    return age_ms > c->stale_ms ? HD_STATE_STALE : HD_STATE_UP;
}

static int add_foreign(struct hd_health *h, const char *address, enum hd_state state)
{
    struct hd_foreign_node *grown =
        h->foreign_count < HD_NODES_MAX
            ? realloc(h->foreign, (h->foreign_count + 1) * sizeof(*grown))
            : NULL;
    if (grown == NULL) {
        return -ENOMEM;
    }
    h->foreign = grown;
    h->foreign[h->foreign_count].state = state;
    snprintf(h->foreign[h->foreign_count].address, HD_TEXT_BYTES, "%s", address);
    h->foreign_count++;
    return 0;
}

/* Matches one node of the report with a member by its transfer address. */
static int note_node(const struct hd_cluster *c, struct hd_health *h, const Hdw__DatanodeInfo *node,
                     bool dead)
{
    char address[HD_TEXT_BYTES];
    node_address(node, address);
    enum hd_state state = node_state(c, node, dead);
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_DATA && strcmp(c->members[i].address, address) == 0) {
            if (h->members[i].pid != 0) {
                h->members[i].state = state;
            }
            return 0;
        }
    }
    return add_foreign(h, address, state);
}

static int note_nodes(const struct hd_cluster *c, struct hd_health *h, struct hd_meta_call *meta,
                      Hdw__DatanodeReportType type)
{
    Hdw__GetDatanodeReportResponse *report;
    if (hd_meta_nodes(meta, type, &report) < 0) {
        return 0; /* not everyone may ask; the states then come from processes and ports alone */
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < report->n_di; i++) {
        rc = note_node(c, h, report->di[i], type == HDW__DATANODE_REPORT_TYPE__REPORT_DEAD);
    }
    return rc;
}

/* Who of the metas is the primary; SIZE_MAX: none. Those that answer at all are up. */
static size_t find_active(const struct hd_cluster *c, struct hd_health *h)
{
    size_t active = SIZE_MAX;
    uint64_t best = 0;
    for (size_t i = 0; i < c->member_count; i++) {
        struct hd_meta_self self = {0};
        enum hd_role role = c->members[i].role;
        if ((role != HD_ROLE_META && role != HD_ROLE_SECONDARY) || h->members[i].pid == 0) {
            continue;
        }
        const char *address = role == HD_ROLE_META ? c->meta_address : c->members[i].address;
        int rc = hd_meta_ask_self(address, hd_user_name(), &self);
        bool alive = rc == 0 || !hd_rpc_is_connection_error(rc);
        h->members[i].state = alive ? HD_STATE_UP : HD_STATE_STALE;
        if (rc == 0 && self.primary && (active == SIZE_MAX || self.epoch > best)) {
            active = i;
            best = self.epoch;
        }
    }
    if (active != SIZE_MAX) {
        h->members[active].active = true;
    }
    return active;
}

static int ask_meta(const struct hd_cluster *c, struct hd_health *h)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call meta = {0};
    Hdw__GetClusterResponse *cluster;
    size_t active = find_active(c, h);
    bool second = active != SIZE_MAX && c->members[active].role == HD_ROLE_SECONDARY;
    h->sync = "";
    int rc = hd_meta_call_init(&meta, second ? c->members[active].address : c->meta_address,
                               hd_user_name(), ASK_TIMEOUT_MS);
    if (rc == 0) {
        rc = hd_meta_get_cluster(&meta, &cluster);
    }
    if (rc == 0 && cluster->role != NULL && strcmp(cluster->role, "primary") != 0) {
        rc = hd_fail(-HD_E_STANDBY, "no meta is primary: choose with `howdah admin promote`");
    }
    h->safe_mode = true;
    if (rc < 0) {
        snprintf(h->error, sizeof(h->error), "meta: %s", hd_fail_describe(rc));
        return 0;
    }
    h->meta_answers = true;
    h->epoch = cluster->epoch;
    h->sync = cluster->has_exposed && cluster->exposed                      ? "exposed"
              : cluster->sync != NULL && strcmp(cluster->sync, "both") == 0 ? "both"
                                                                            : "primary";
    h->safe_mode = cluster->safe_mode;
    h->blocks_total = cluster->blocks_total;
    h->blocks_missing = cluster->blocks_missing;
    h->blocks_under_replicated = cluster->blocks_under_replicated;
    h->blocks_corrupt = cluster->blocks_corrupt;
    h->nodes_live = cluster->nodes_live;
    for (size_t i = 0, at = 0; i < cluster->n_failed_dirs && at < sizeof(h->failed_dirs); i++) {
        at += (size_t)snprintf(h->failed_dirs + at, sizeof(h->failed_dirs) - at, "%s%s",
                               i > 0 ? "," : "", cluster->failed_dirs[i]);
    }
    rc = note_nodes(c, h, &meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE);
    return rc == 0 ? note_nodes(c, h, &meta, HDW__DATANODE_REPORT_TYPE__REPORT_DEAD) : rc;
}

/* What the process and its port say, before meta is asked. */
static enum hd_state look_at(const struct hd_cluster *c, const struct hd_member *m, pid_t pid)
{
    if (pid == 0) {
        return HD_STATE_STOPPED;
    }
    switch (m->role) {
    case HD_ROLE_META:
    case HD_ROLE_SECONDARY:
        return HD_STATE_STALE; /* until it answers */
    case HD_ROLE_MOUNT:
        return hd_probe_mounted(c->mount) ? HD_STATE_UP : HD_STATE_STALE;
    case HD_ROLE_DATA:
    case HD_ROLE_MANAGER:
    case HD_ROLE_AGENT:
        return m->address[0] == '\0' || hd_probe_port(m->address, KNOCK_TIMEOUT_MS)
                   ? HD_STATE_UP
                   : HD_STATE_STALE;
    }
    hd_unreachable();
}

int hd_probe(const struct hd_cluster *c, struct hd_health *ret)
{
    struct hd_health h = {.members = calloc(c->member_count + 1, sizeof(*h.members))};
    if (h.members == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        h.members[i].pid = hd_process_find(c, &c->members[i]);
        h.members[i].state = look_at(c, &c->members[i], h.members[i].pid);
        h.members[i].http = h.members[i].pid != 0 && c->members[i].http[0] != '\0' &&
                            hd_probe_port(c->members[i].http, KNOCK_TIMEOUT_MS);
    }
    int rc = ask_meta(c, &h);
    if (rc < 0) {
        hd_health_done(&h);
        return rc;
    }
    *ret = h;
    return 0;
}

void hd_health_done(struct hd_health *h)
{
    free(h->members);
    free(h->foreign);
    *h = (struct hd_health){0};
}
