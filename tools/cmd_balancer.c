/*
 * howdah balancer: moves replicas from full nodes to empty ones, until no node differs from the
 * cluster by more than the threshold.
 *
 * Rounds, as HDFS's: look (balancer_plan.h), choose blocks, move them (balancer_move.h), wait for
 * the nodes to tell what they have now. One balancer at a time: it holds the lease of
 * /system/balancer.id.
 */
#include "tools/cmd.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/client/howdah.h"
#include "fs/os/clock.h"
#include "fs/os/config.h"
#include "tools/balancer_move.h"
#include "tools/balancer_plan.h"
#include "tools/cluster.h"
#include "tools/fs_format.h"
#include "tools/meta_call.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: howdah balancer [--dir DIR] [--threshold PERCENT] [--bandwidth RATE] [--dry-run] "
    "[--json]\n\n"
    "Moves replicas between data nodes until the share of space that each uses differs from the\n"
    "cluster's by no more than the threshold. May be interrupted and started again at any time.\n\n"
    "  --threshold PERCENT  of a node's capacity (default 10)\n"
    "  --bandwidth RATE     bytes a second that each node spends on moves, like 50m; the nodes "
    "keep\n"
    "                       it until they are started again (default: as they have it, 100m)\n"
    "  --dry-run            shows what the first round would move\n"
    "  --json               the outcome as one JSON object\n\n"
    "Exit status, as HDFS's: 0 balanced; 255 another balancer runs; 254 no block can be moved;\n"
    "253 five rounds moved nothing; 252 an error of the cluster; 251 wrong values; 250 "
    "interrupted.\n";

/* HDFS's ExitStatus, as a process shows it. */
enum {
    BALANCED = 0,
    ALREADY_RUNNING = 255,
    NO_MOVE_BLOCK = 254,
    NO_MOVE_PROGRESS = 253,
    IO_EXCEPTION = 252,
    ILLEGAL_ARGUMENTS = 251,
    INTERRUPTED = 250,
};

enum {
    CALL_TIMEOUT_MS = 60000,
    ROUND_MOVES_MAX = 4000,
    PAGE_BLOCKS = 2000,
    STREAMS_PER_NODE = 5,
    IDLE_ROUNDS_MAX = 5,
    SETTLE_MS = 2500, /* until the nodes have deleted, and told */
    FAILURES_SHOWN = 5,
};

static const uint64_t round_bytes_max = (uint64_t)10 << 30; /* of a node, as in HDFS */
static const char lock_path[] = "/system/balancer.id";
static volatile bool interrupted;

struct balancer {
    const struct hd_command *self;
    struct hd_cluster cluster;
    struct hd_meta_call meta;  /* what is known of the nodes lives here for a round */
    struct hd_meta_call pages; /* blocks, until the next page */
    char pool_id[256];
    double threshold;
    bool json, dry_run;
    struct hd_balance_node *nodes; /* heap, owned; of this round */
    Hdw__DatanodeInfo **infos;     /* heap, owned; the same order */
    size_t node_count;
    int rounds;
    uint64_t moved_bytes, moved, failed;
    size_t failures_shown;
};

static void balancer_done(struct balancer *b)
{
    free(b->nodes);
    free(b->infos);
    hd_meta_call_done(&b->meta);
    hd_meta_call_done(&b->pages);
    hd_cluster_done(&b->cluster);
}

static const char *size_text(uint64_t bytes, char out[HD_SIZE_TEXT_BYTES])
{
    return hd_format_size(bytes, "B", 2, out);
}

/* ---- the nodes ---- */

static const Hdw__DatanodeInfo *find_info(const Hdw__GetDatanodeReportResponse *r, const char *uuid)
{
    for (size_t i = 0; i < r->n_di; i++) {
        if (strcmp(r->di[i]->id->datanode_uuid, uuid) == 0) {
            return r->di[i];
        }
    }
    return NULL;
}

/* Those that are live and in service. */
static int look_at_nodes(struct balancer *b)
{
    Hdw__GetNodesResponse *all;
    Hdw__GetDatanodeReportResponse *live;
    hd_meta_call_reset(&b->meta);
    int rc = hd_meta_get_nodes(&b->meta, &all);
    if (rc == 0) {
        rc = hd_meta_nodes(&b->meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &live);
    }
    if (rc < 0) {
        return rc;
    }
    free(b->nodes);
    free(b->infos);
    b->nodes = calloc(all->n_nodes + 1, sizeof(*b->nodes));
    b->infos = calloc(all->n_nodes + 1, sizeof(*b->infos));
    b->node_count = 0;
    if (b->nodes == NULL || b->infos == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < all->n_nodes; i++) {
        const Hdw__NodeReport *n = all->nodes[i];
        const Hdw__DatanodeInfo *info = find_info(live, n->uuid);
        if (info == NULL || strcmp(n->state, "live") != 0 ||
            n->admin_state != HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE) {
            continue;
        }
        b->infos[b->node_count] = (Hdw__DatanodeInfo *)(uintptr_t)info;
        b->nodes[b->node_count++] =
            (struct hd_balance_node){n->uuid,       n->name != NULL ? n->name : n->address,
                                     n->rack,       n->capacity_bytes,
                                     n->used_bytes, n->remaining_bytes};
    }
    return 0;
}

/* ---- one round ---- */

static int choose_page(struct hd_balance_plan *plan, struct hd_balance_pair *pair,
                       const Hdw__GetNodeBlocksResponse *page, struct hd_map *chosen,
                       struct hd_moves *moves)
{
    for (size_t i = 0; i < page->n_blocks; i++) {
        const Hdw__NodeBlock *n = page->blocks[i];
        if (pair->bytes == 0 || moves->count == ROUND_MOVES_MAX) {
            return 0;
        }
        if (n->size_bytes == 0 || hd_map_get(chosen, n->block_id) != NULL ||
            !hd_balance_may_move(plan, pair, n->uuids, n->n_uuids, n->size_bytes)) {
            continue;
        }
        const struct hd_move move = {.block_id = n->block_id,
                                     .gs = n->generation_stamp,
                                     .size_bytes = n->size_bytes,
                                     .source = pair->source,
                                     .target = pair->target};
        int rc = hd_map_put(chosen, n->block_id, plan);
        rc = rc == 0 ? hd_moves_add(moves, &move) : rc;
        if (rc < 0) {
            return rc;
        }
        hd_balance_take(plan, pair, n->size_bytes);
    }
    return 0;
}

static int choose_pair(struct balancer *b, struct hd_balance_plan *plan,
                       struct hd_balance_pair *pair, struct hd_map *chosen, struct hd_moves *moves)
{
    uint64_t cursor = 0;
    do {
        Hdw__GetNodeBlocksResponse *page;
        hd_meta_call_reset(&b->pages);
        int rc = hd_meta_node_blocks(&b->pages, plan->nodes[pair->source].uuid, cursor, PAGE_BLOCKS,
                                     &page);
        if (rc == 0) {
            rc = choose_page(plan, pair, page, chosen, moves);
        }
        if (rc < 0) {
            return rc;
        }
        cursor = page->cursor;
    } while (cursor != 0 && pair->bytes > 0 && moves->count < ROUND_MOVES_MAX && !interrupted);
    return 0;
}

static int choose(struct balancer *b, struct hd_balance_plan *plan, struct hd_moves *moves)
{
    HD_AUTO(hd_map_done) struct hd_map chosen;
    hd_map_init(&chosen);
    for (size_t i = 0; i < plan->pair_count; i++) {
        int rc = choose_pair(b, plan, &plan->pairs[i], &chosen, moves);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void print_plan(const struct balancer *b, const struct hd_balance_plan *plan)
{
    char left[HD_SIZE_TEXT_BYTES];
    printf("round %d: %zu nodes, %.4g%% used; %zu above, %zu below by more than %g%%; %s to move\n",
           b->rounds, plan->node_count, plan->average, plan->over, plan->under, plan->threshold,
           size_text(plan->bytes_left, left));
}

static void print_moves(const struct hd_balance_plan *plan, const struct hd_moves *moves)
{
    for (size_t i = 0; i < plan->pair_count; i++) {
        const struct hd_balance_pair *pair = &plan->pairs[i];
        uint64_t bytes = 0;
        size_t count = 0;
        char text[HD_SIZE_TEXT_BYTES];
        for (size_t n = 0; n < moves->count; n++) {
            bool of_pair =
                moves->items[n].source == pair->source && moves->items[n].target == pair->target;
            count += of_pair;
            bytes += of_pair ? moves->items[n].size_bytes : 0;
        }
        printf("  %s -> %s: %zu blocks, %s\n", plan->nodes[pair->source].name,
               plan->nodes[pair->target].name, count, size_text(bytes, text));
    }
}

static void on_move(void *ctx, const struct hd_moves *m, const struct hd_move *move,
                    const char *failure)
{
    struct balancer *b = ctx;
    if (failure != NULL && b->failures_shown++ < FAILURES_SHOWN) {
        fprintf(stderr, "howdah balancer: blk_%" PRIu64 " from %s to %s: %s\n", move->block_id,
                b->nodes[move->source].name, b->nodes[move->target].name, failure);
    }
    if (!b->json && isatty(STDERR_FILENO) != 0) {
        fprintf(stderr, "\r  %zu of %zu blocks moved, %zu failed ", m->moved, m->count, m->failed);
    }
}

static int run_moves(struct balancer *b, struct hd_moves *moves)
{
    const struct hd_moves_options o = {.pool_id = b->pool_id,
                                       .infos = b->infos,
                                       .info_count = b->node_count,
                                       .streams = STREAMS_PER_NODE,
                                       .on_move = on_move,
                                       .ctx = b,
                                       .stop = &interrupted};
    int64_t start_ms = hd_clock_mono_ms().v;
    int rc = hd_moves_run(moves, &o);
    b->moved += moves->moved;
    b->moved_bytes += moves->moved_bytes;
    b->failed += moves->failed;
    if (!b->json && rc == 0) {
        char text[HD_SIZE_TEXT_BYTES];
        printf("%s  %zu blocks moved, %s in %.1f s; %zu failed\n",
               isatty(STDERR_FILENO) != 0 ? "\r" : "", moves->moved,
               size_text(moves->moved_bytes, text),
               (double)(hd_clock_mono_ms().v - start_ms) / 1000.0, moves->failed);
    }
    return rc;
}

/* -1: another round; else how it ended. *ret_moved: blocks of this round. */
static int one_round(struct balancer *b, size_t *ret_moved)
{
    struct hd_balance_plan plan;
    struct hd_moves moves = {0};
    int end = -1;
    b->rounds++;
    int rc = look_at_nodes(b);
    if (rc == 0) {
        rc = hd_balance_plan(b->nodes, b->node_count, b->threshold, round_bytes_max, &plan);
    }
    if (rc < 0) {
        hd_cmd_fail(b->self, rc);
        return IO_EXCEPTION;
    }
    if (!b->json) {
        print_plan(b, &plan);
    }
    if (plan.over + plan.under == 0) {
        end = BALANCED;
    } else if ((rc = choose(b, &plan, &moves)) == 0 && moves.count == 0) {
        end = NO_MOVE_BLOCK;
    }
    if (rc == 0 && end < 0 && !b->json && b->dry_run) {
        print_moves(&plan, &moves);
    }
    if (rc == 0 && end < 0) {
        if (b->dry_run) {
            b->moved = moves.count;
            for (size_t i = 0; i < moves.count; i++) {
                b->moved_bytes += moves.items[i].size_bytes;
            }
            end = BALANCED;
        } else {
            rc = run_moves(b, &moves);
        }
    }
    *ret_moved = moves.moved;
    hd_moves_done(&moves);
    hd_balance_plan_done(&plan);
    if (rc < 0) {
        hd_cmd_fail(b->self, rc);
        return IO_EXCEPTION;
    }
    return end;
}

static int rounds(struct balancer *b)
{
    int idle = 0;
    for (;;) {
        size_t moved = 0;
        int end = one_round(b, &moved);
        if (end >= 0) {
            return end;
        }
        idle = moved > 0 ? 0 : idle + 1;
        for (int64_t slept_ms = 0; slept_ms < SETTLE_MS && !interrupted; slept_ms += 100) {
            hd_clock_sleep_ms(100);
        }
        if (interrupted) {
            return INTERRUPTED;
        }
        if (idle == IDLE_ROUNDS_MAX) {
            return NO_MOVE_PROGRESS;
        }
    }
}

/* ---- one at a time ---- */

/* The lease of the file is the lock; what a balancer that died left behind is taken over. */
static int lock(struct hd_fs *fs, struct hd_file **ret)
{
    char host[256] = "localhost";
    const struct hd_create_options o = {.mode = 0644, .parents = true};
    int rc = hd_file_create(fs, lock_path, &o, ret);
    if (rc == -EEXIST || rc == -HD_E_BEING_CREATED) {
        rc = hd_file_append(fs, lock_path, ret);
    }
    if (rc < 0) {
        return rc;
    }
    gethostname(host, sizeof(host) - 2);
    strcat(host, "\n");
    rc = hd_file_write(*ret, host, strlen(host));
    if (rc == 0) {
        rc = hd_file_hflush(*ret);
    }
    if (rc < 0) {
        hd_file_abandon(*ret);
    }
    return rc;
}

static void unlock(struct hd_fs *fs, struct hd_file *file)
{
    hd_file_close(file);
    hd_fs_delete(fs, lock_path, false);
}

static int run_locked(struct balancer *b)
{
    struct hd_fs *fs;
    struct hd_file *file;
    int rc = hd_cluster_open_fs(&b->cluster, NULL, &fs);
    if (rc < 0) {
        hd_cmd_fail(b->self, rc);
        return IO_EXCEPTION;
    }
    rc = lock(fs, &file);
    if (rc < 0) {
        bool running = rc == -HD_E_BEING_CREATED || rc == -HD_E_RECOVERY;
        if (running) {
            fprintf(stderr, "howdah balancer: another balancer is running (%s is open)\n",
                    lock_path);
        } else {
            hd_cmd_fail(b->self, rc);
        }
        hd_fs_close(fs);
        return running ? ALREADY_RUNNING : IO_EXCEPTION;
    }
    int end = rounds(b);
    unlock(fs, file);
    hd_fs_close(fs);
    return end;
}

/* ---- the command ---- */

static const char *end_word(int end)
{
    switch (end) {
    case BALANCED:
        return "balanced";
    case ALREADY_RUNNING:
        return "already_running";
    case NO_MOVE_BLOCK:
        return "no_move_block";
    case NO_MOVE_PROGRESS:
        return "no_move_progress";
    case INTERRUPTED:
        return "interrupted";
    default:
        return "error";
    }
}

static void print_end(const struct balancer *b, int end)
{
    static const char *const sentences[] = {"The cluster is balanced", "No block can be moved",
                                            "No block has been moved for 5 rounds", "Interrupted"};
    const char *sentence = end == BALANCED           ? sentences[b->dry_run && b->moved > 0 ? 1 : 0]
                           : end == NO_MOVE_BLOCK    ? sentences[1]
                           : end == NO_MOVE_PROGRESS ? sentences[2]
                           : end == INTERRUPTED      ? sentences[3]
                                                     : NULL;
    char text[HD_SIZE_TEXT_BYTES];
    if (b->json) {
        json_t *o = json_pack("{s:s, s:i, s:I, s:I, s:I, s:b}", "status", end_word(end), "rounds",
                              b->rounds, "moved_blocks", (json_int_t)b->moved, "moved_bytes",
                              (json_int_t)b->moved_bytes, "failed_moves", (json_int_t)b->failed,
                              "dry_run", b->dry_run);
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(o);
    } else if (b->dry_run && b->moved > 0) {
        printf("%" PRIu64 " blocks, %s would be moved first\n", b->moved,
               size_text(b->moved_bytes, text));
    } else if (sentence != NULL) {
        printf("%s. %" PRIu64 " blocks moved, %s, in %d rounds\n", sentence, b->moved,
               size_text(b->moved_bytes, text), b->rounds);
    }
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = true;
}

static int connect_meta(struct balancer *b, const char *dir, uint64_t bandwidth)
{
    Hdw__GetClusterResponse *r;
    int rc = hd_cluster_find(dir, &b->cluster);
    if (rc == 0) {
        rc = hd_meta_call_init(&b->meta, b->cluster.meta_address, hd_user_name(), CALL_TIMEOUT_MS);
    }
    if (rc == 0) {
        rc = hd_meta_call_init(&b->pages, b->cluster.meta_address, hd_user_name(), CALL_TIMEOUT_MS);
    }
    if (rc == 0) {
        rc = hd_meta_get_cluster(&b->meta, &r);
    }
    if (rc == 0) {
        snprintf(b->pool_id, sizeof(b->pool_id), "%s", r->block_pool_id);
    }
    return rc == 0 && bandwidth > 0 && !b->dry_run
               ? hd_meta_set_bandwidth(&b->meta, (int64_t)bandwidth)
               : rc;
}

static bool parse_threshold(const char *text, double *ret)
{
    char *end;
    *ret = strtod(text, &end);
    return end != text && *end == '\0' && *ret > 0 && *ret <= 100;
}

static int run_balancer(const struct hd_command *self, int argc, char **argv)
{
    HD_AUTO(balancer_done) struct balancer b = {.self = self};
    const char *dir = NULL;
    const char *threshold = "10";
    const char *rate = NULL;
    uint64_t bandwidth = 0;
    const struct hd_option options[] = {{"dir", &dir, NULL},        {"threshold", &threshold, NULL},
                                        {"bandwidth", &rate, NULL}, {"dry-run", NULL, &b.dry_run},
                                        {"json", NULL, &b.json},    {0}};
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    if (argc > 1) {
        return hd_cmd_usage(self, "unexpected argument %s", argv[1]);
    }
    if (!parse_threshold(threshold, &b.threshold)) {
        hd_cmd_usage(self, "--threshold %s: not between 0 and 100", threshold);
        return ILLEGAL_ARGUMENTS;
    }
    if (rate != NULL &&
        (hd_parse_bytes(rate, &bandwidth) < 0 || bandwidth == 0 || bandwidth > INT64_MAX)) {
        hd_cmd_usage(self, "--bandwidth %s: bytes a second are expected, like 50m", rate);
        return ILLEGAL_ARGUMENTS;
    }
    rc = connect_meta(&b, dir, bandwidth);
    if (rc < 0) {
        hd_cmd_fail(self, rc);
        return IO_EXCEPTION;
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int end = b.dry_run ? rounds(&b) : run_locked(&b);
    print_end(&b, end);
    return end;
}

const struct hd_command hd_cmd_balancer = {
    .name = "balancer",
    .summary = "moves replicas from full data nodes to empty ones",
    .usage = usage,
    .run = run_balancer,
};
