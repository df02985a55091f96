/*
 * howdah admin scan: has data nodes verify their replicas now, and waits until they have.
 *
 * Nodes are asked directly, on their ipc ports; meta says where they are. What they find bad they
 * report to meta themselves: this command only counts.
 */
#include "tools/admin.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static const char protocol[] = "howdah.DataProtocol";

enum { CALL_TIMEOUT_MS = 10000, WAIT_FIRST_MS = 20, WAIT_MS = 200, SILENCES_MAX = 3 };

/* One node and what it said last. */
struct scan_node {
    char address[HD_TEXT_BYTES]; /* transfer, as names go by it */
    char ipc[HD_TEXT_BYTES];
    const char *name;
    Hdw__GetScanStatusResponse status; /* numbers only */
    uint64_t bad_before, lost_before;  /* counted before this scan */
    int silences;
    bool done;
    int err;
    char text[256]; /* of err */
};

struct scan {
    struct hd_admin *admin;
    struct scan_node *nodes; /* heap, owned */
    size_t count;
};

static int call(struct scan_node *n, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *type, struct hd_arena *arena,
                ProtobufCMessage **ret)
{
    struct hd_rpc_client_options options = {.address = n->ipc,
                                            .protocol = protocol,
                                            .user = hd_user_name(),
                                            .connect_timeout_ms = CALL_TIMEOUT_MS,
                                            .call_timeout_ms = CALL_TIMEOUT_MS};
    struct hd_rpc_client *client;
    int rc = hd_rpc_client_new(&options, &client);
    if (rc < 0) {
        return rc;
    }
    struct hd_rpc_args args = {
        .method = method, .request = request, .response_type = type, .arena = arena, .call_id = -1};
    rc = hd_rpc_call(client, &args, ret, NULL);
    hd_rpc_client_free(client);
    return rc;
}

static int ask_status(struct scan_node *n)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__GetScanStatusRequest q = HDW__GET_SCAN_STATUS_REQUEST__INIT;
    ProtobufCMessage *m;
    hd_arena_init(&arena, 0);
    int rc =
        call(n, "getScanStatus", &q.base, &hdw__get_scan_status_response__descriptor, &arena, &m);
    if (rc == 0) {
        n->status = *(const Hdw__GetScanStatusResponse *)m;
        n->status.base.unknown_fields = NULL;
        n->status.base.n_unknown_fields = 0;
    }
    return rc;
}

static int begin(struct scan_node *n)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__ScanReplicasRequest q = HDW__SCAN_REPLICAS_REQUEST__INIT;
    ProtobufCMessage *m;
    hd_arena_init(&arena, 0);
    int rc = ask_status(n);
    if (rc < 0) {
        return rc;
    }
    n->bad_before = n->status.replicas_bad;
    n->lost_before = n->status.replicas_lost;
    return call(n, "scanReplicas", &q.base, &hdw__scan_replicas_response__descriptor, &arena, &m);
}

static void give_up(struct scan_node *n, int err)
{
    n->done = true;
    n->err = err;
    snprintf(n->text, sizeof(n->text), "%s", hd_fail_describe(err));
}

/* ---- which nodes ---- */

static bool is_meant(const struct scan_node *n, const Hdw__DatanodeID *id, const char *wanted)
{
    char by_host[HD_TEXT_BYTES];
    snprintf(by_host, sizeof(by_host), "%s:%u", id->host_name, id->xfer_port);
    return wanted == NULL || strcmp(wanted, n->name) == 0 || strcmp(wanted, n->address) == 0 ||
           strcmp(wanted, by_host) == 0 || strcmp(wanted, id->datanode_uuid) == 0;
}

static int list_nodes(struct scan *s, const char *wanted)
{
    Hdw__GetDatanodeReportResponse *live;
    int rc = hd_meta_nodes(&s->admin->meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &live);
    if (rc < 0) {
        return rc;
    }
    s->nodes = calloc(live->n_di + 1, sizeof(*s->nodes));
    if (s->nodes == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < live->n_di; i++) {
        const Hdw__DatanodeID *id = live->di[i]->id;
        struct scan_node *n = &s->nodes[s->count];
        snprintf(n->address, sizeof(n->address), "%s:%u", id->ip_addr, id->xfer_port);
        snprintf(n->ipc, sizeof(n->ipc), strchr(id->ip_addr, ':') != NULL ? "[%s]:%u" : "%s:%u",
                 id->ip_addr, id->ipc_port);
        n->name = hd_admin_node_name(&s->admin->cluster, n->address);
        s->count += is_meant(n, id, wanted);
    }
    if (s->count == 0) {
        return wanted != NULL ? hd_fail(-ENOENT, "%s: no live data node of this name", wanted)
                              : hd_fail(-ENOENT, "no data node is live");
    }
    return 0;
}

/* ---- waiting ---- */

static void show_progress(const struct scan *s, bool last)
{
    uint64_t total = 0;
    uint64_t done = 0;
    for (size_t i = 0; i < s->count; i++) {
        total += s->nodes[i].status.replicas_total;
        done += s->nodes[i].status.replicas_done;
    }
    if (isatty(STDERR_FILENO) != 0) {
        fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " replicas checked%s", done, total,
                last ? "\n" : "");
        fflush(stderr);
    }
}

static void poll_node(struct scan_node *n)
{
    int rc = ask_status(n);
    if (rc == 0) {
        n->silences = 0;
        n->done = !n->status.scanning;
    } else if (++n->silences == SILENCES_MAX) {
        give_up(n, rc);
    }
}

static void wait_all(struct scan *s)
{
    bool left = true;
    for (int64_t wait_ms = WAIT_FIRST_MS; left; wait_ms = HD_MIN(wait_ms * 2, (int64_t)WAIT_MS)) {
        hd_clock_sleep_ms(wait_ms);
        left = false;
        for (size_t i = 0; i < s->count; i++) {
            if (!s->nodes[i].done) {
                poll_node(&s->nodes[i]);
            }
            left = left || !s->nodes[i].done;
        }
        show_progress(s, !left);
    }
}

/* ---- what came of it ---- */

static uint64_t bad_of(const struct scan_node *n)
{
    return n->status.replicas_bad - HD_MIN(n->bad_before, n->status.replicas_bad);
}

static uint64_t lost_of(const struct scan_node *n)
{
    return n->status.replicas_lost - HD_MIN(n->lost_before, n->status.replicas_lost);
}

static json_t *node_json(const struct scan_node *n)
{
    if (n->err < 0) {
        return json_pack("{s:s, s:s, s:s}", "name", n->name, "address", n->address, "error",
                         n->text);
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "name", n->name, "address", n->address,
                     "checked", (json_int_t)n->status.replicas_done, "bad", (json_int_t)bad_of(n),
                     "lost", (json_int_t)lost_of(n), "last_scan_ms",
                     (json_int_t)n->status.last_scan_ms);
}

static void print_json(const struct scan *s)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < s->count; i++) {
        json_array_append_new(nodes, node_json(&s->nodes[i]));
    }
    json_t *all = json_pack("{s:o}", "nodes", nodes);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static void print_table(const struct scan *s)
{
    printf("%-24s %10s %8s %8s\n", "NODE", "CHECKED", "BAD", "LOST");
    for (size_t i = 0; i < s->count; i++) {
        const struct scan_node *n = &s->nodes[i];
        if (n->err < 0) {
            printf("%-24s %s\n", n->name, n->text);
        } else {
            printf("%-24s %10" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n", n->name,
                   n->status.replicas_done, bad_of(n), lost_of(n));
        }
    }
}

int hd_admin_scan(struct hd_admin *a, int argc, char **argv)
{
    struct scan s = {.admin = a};
    int failed = 0;
    int rc = list_nodes(&s, argc > 1 ? argv[1] : NULL);
    if (rc < 0) {
        free(s.nodes);
        return hd_cmd_fail(a->self, rc);
    }
    for (size_t i = 0; i < s.count; i++) {
        rc = begin(&s.nodes[i]);
        if (rc < 0) {
            give_up(&s.nodes[i], rc);
        }
    }
    wait_all(&s);
    if (a->json) {
        print_json(&s);
    } else {
        print_table(&s);
    }
    for (size_t i = 0; i < s.count; i++) {
        failed += s.nodes[i].err < 0;
    }
    free(s.nodes);
    return failed == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}
