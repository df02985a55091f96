/*
 * howdah admin decommission, recommission, maintenance, topology: what is asked of data nodes, and
 * where they stand. A node is named as howdah.conf names it ("data-1"), by its uuid, or by
 * "host:port" of its transfers.
 */
#include "tools/admin.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* The configuration knows nodes that have not told their names; the others meta knows. */
static const char *address_of(const struct hd_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_DATA && strcmp(c->members[i].name, name) == 0) {
            return c->members[i].address;
        }
    }
    return name;
}

static int set_state(struct hd_admin *a, const char *node, Hdw__NodeAdminState state,
                     uint64_t until_ms)
{
    int rc = hd_meta_set_node_state(&a->meta, address_of(&a->cluster, node), state, until_ms);
    if (rc == -HD_E_ILLEGAL_ARGUMENT && strcmp(address_of(&a->cluster, node), node) != 0) {
        rc =
            hd_meta_set_node_state(&a->meta, node, state, until_ms); /* another address, its name */
    }
    return rc < 0 ? hd_cmd_fail(a->self, rc) : HD_EXIT_OK;
}

int hd_admin_decommission(struct hd_admin *a, int argc, char **argv)
{
    if (argc != 2) {
        return hd_cmd_usage(a->self, "decommission: the name of a data node is expected");
    }
    return set_state(a, argv[1], HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING, 0);
}

int hd_admin_recommission(struct hd_admin *a, int argc, char **argv)
{
    if (argc != 2) {
        return hd_cmd_usage(a->self, "recommission: the name of a data node is expected");
    }
    return set_state(a, argv[1], HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE, 0);
}

int hd_admin_maintenance(struct hd_admin *a, int argc, char **argv)
{
    int64_t for_ms;
    if (argc != 2) {
        return hd_cmd_usage(a->self, "maintenance: the name of a data node is expected");
    }
    if (a->duration == NULL || hd_parse_duration(a->duration, &for_ms) < 0 || for_ms <= 0) {
        return hd_cmd_usage(a->self, "maintenance: --for 30s, 10m, 2h or 1d is expected");
    }
    return set_state(a, argv[1], HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE,
                     (uint64_t)(hd_clock_wall_ms().v + for_ms));
}

/* ---- topology ---- */

static int compare_racks(const void *a, const void *b)
{
    const Hdw__NodeReport *x = *(Hdw__NodeReport *const *)a;
    const Hdw__NodeReport *y = *(Hdw__NodeReport *const *)b;
    int order = strcmp(x->rack, y->rack);
    return order != 0 ? order : strcmp(x->address, y->address);
}

static json_t *rack_json(const struct hd_cluster *c, Hdw__NodeReport **nodes, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name",
                                              hd_admin_report_name(c, nodes[i]), "address",
                                              nodes[i]->address, "host", nodes[i]->host, "state",
                                              nodes[i]->state));
    }
    return json_pack("{s:s, s:o}", "rack", nodes[0]->rack, "nodes", list);
}

static void print_rack(Hdw__NodeReport **nodes, size_t count)
{
    printf("Rack: %s\n", nodes[0]->rack);
    for (size_t i = 0; i < count; i++) {
        printf("   %s (%s)%s\n", nodes[i]->address, nodes[i]->host,
               strcmp(nodes[i]->state, "dead") == 0 ? " dead" : "");
    }
    printf("\n");
}

int hd_admin_topology(struct hd_admin *a, int argc, char **argv)
{
    Hdw__GetNodesResponse *r;
    json_t *racks = json_array();
    (void)argc;
    (void)argv;
    int rc = hd_meta_get_nodes(&a->meta, &r);
    if (rc < 0) {
        json_decref(racks);
        return hd_cmd_fail(a->self, rc);
    }
    if (r->n_nodes > 0) {
        qsort(r->nodes, r->n_nodes, sizeof(*r->nodes), compare_racks);
    }
    for (size_t i = 0, next; i < r->n_nodes; i = next) {
        for (next = i; next < r->n_nodes && strcmp(r->nodes[next]->rack, r->nodes[i]->rack) == 0;) {
            next++;
        }
        if (a->json) {
            json_array_append_new(racks, rack_json(&a->cluster, &r->nodes[i], next - i));
        } else {
            print_rack(&r->nodes[i], next - i);
        }
    }
    if (a->json) {
        json_dumpf(racks, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(racks);
    return HD_EXIT_OK;
}
