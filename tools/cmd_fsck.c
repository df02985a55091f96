/*
 * howdah fsck: walks a path, asks meta for the health of every file's blocks, and prints what
 * Hadoop's fsck prints. The exit code follows the last line: HEALTHY 0, CORRUPT 1, missing path 0.
 */
#include "tools/cmd.h"
#include "tools/fs_format.h"
#include "tools/fs_shell.h"
#include "tools/meta_call.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: howdah fsck [--dir DIR] [--json] PATH [-files [-blocks [-locations | -racks]]]\n"
    "                   [-openforwrite] [-list-corruptfileblocks]\n\n"
    "Checks the files at and below PATH: how many replicas their blocks have.\n\n"
    "  -files        names every file        -locations  with the nodes of each replica\n"
    "  -blocks       with its blocks         -racks      with their racks as well\n"
    "  -openforwrite also files being written (they are skipped otherwise)\n"
    "  -list-corruptfileblocks  only the blocks without a good replica, and their files\n"
    "  --json        everything as one JSON object\n\n"
    "Exit code: 0 healthy or no such path, 1 corrupt, 255 the check could not be made.\n";

enum { CALL_TIMEOUT_MS = 30000, EXIT_BROKEN = 255 };

struct fsck {
    bool files, blocks, locations, racks, open_files, list_corrupt, json;
    struct hd_sh sh; /* file system, paths, walking */
    struct hd_meta_call meta;
    json_t *report;               /* array of files, with --json */
    char pool[HD_TEXT_BYTES + 1]; /* "BP-...:" in front of block names; "" unknown */
    bool failed;                  /* something could not be asked */
    bool foreign;                 /* a file system that does not know our MetaProtocol */
    uint64_t dir_count, link_count, file_count, open_count, size_bytes;
    uint64_t block_count, minimal, over, under, mis, missing, corrupt, missing_replicas,
        expected_replicas, replicas;
    uint64_t corrupt_files;
};

/* How one file is. */
struct verdict {
    uint64_t missing, under, corrupt;
};

static const Hdw__BlockHealth *find_health(const Hdw__BlockHealthResponse *h, uint64_t id,
                                           size_t hint)
{
    if (hint < h->n_blocks && h->blocks[hint]->block_id == id) {
        return h->blocks[hint];
    }
    for (size_t i = 0; i < h->n_blocks; i++) {
        if (h->blocks[i]->block_id == id) {
            return h->blocks[i];
        }
    }
    return NULL;
}

/* Replicas that can be read: what is on nodes that are to leave is there until it is elsewhere. */
static uint32_t found(const Hdw__BlockHealth *h)
{
    return h->live + h->decommissioned;
}

/* Adds one block to the counters. */
static void count_block(struct fsck *k, const Hdw__BlockHealth *h, struct verdict *v)
{
    k->block_count++;
    k->expected_replicas += h->expected;
    k->replicas += h->live;
    k->minimal += found(h) > 0;
    k->over += h->live > h->expected;
    if (found(h) == 0) {
        k->missing++;
        v->missing++;
        k->corrupt += h->corrupt > 0;
        v->corrupt += h->corrupt > 0;
    } else if (found(h) < h->expected) {
        k->under++;
        v->under++;
        k->missing_replicas += h->expected - found(h);
    }
}

/* ---- text ---- */

static void print_locations(const struct fsck *k, const struct hd_located_block *b)
{
    if (!k->locations && !k->racks) {
        return;
    }
    fputs("  [", stdout);
    for (uint32_t i = 0; i < b->location_count; i++) {
        const struct hd_location *l = &b->locations[i];
        printf("%s%s%s%s:%d", i > 0 ? ", " : "", k->racks ? l->rack : "", k->racks ? "/" : "",
               l->ip, l->data_port);
    }
    fputs("]", stdout);
}

static void print_block(const struct fsck *k, const struct hd_located_block *b, uint32_t index,
                        const Hdw__BlockHealth *h)
{
    printf("%u. %sblk_%" PRIu64 "_%" PRIu64 " len=%" PRIu64, index, k->pool, b->id, b->genstamp,
           b->size_bytes);
    if (found(h) == 0) {
        fputs(h->corrupt > 0 ? " CORRUPT!" : " MISSING!", stdout);
    } else {
        printf(" Live_repl=%u", h->live);
        if (h->decommissioned > 0) {
            printf(" Decommissioned_repl=%u", h->decommissioned);
        }
        print_locations(k, b);
    }
    if (found(h) > 0 && found(h) < h->expected) {
        printf(" Under replicated: target %u", h->expected);
    }
    putchar('\n');
}

static void print_file_line(const struct hd_sh_item *item, const struct hd_located_file *f,
                            const struct verdict *v)
{
    printf("%s %" PRIu64 " bytes, replicated: replication=%u, %u block(s):%s", item->path,
           f->size_bytes, item->st.replication, f->block_count,
           f->open_for_write ? " OPENFORWRITE:" : "");
    if (v->missing > 0) {
        printf(" MISSING %" PRIu64 " blocks", v->missing);
    }
    if (v->under > 0) {
        printf(" Under replicated blocks: %" PRIu64, v->under);
    }
    puts(v->missing == 0 && v->under == 0 ? "  OK" : "");
}

/* Without -files: a line for what is not well. */
static void print_problem(const struct hd_sh_item *item, const struct verdict *v)
{
    if (v->missing > 0) {
        printf("%s: MISSING %" PRIu64 " blocks%s\n", item->path, v->missing,
               v->corrupt > 0 ? ", CORRUPT" : "");
    } else if (v->under > 0) {
        printf("%s: Under replicated blocks: %" PRIu64 "\n", item->path, v->under);
    }
}

/* ---- JSON ---- */

static int print_json(json_t *o)
{
    int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc;
}

static json_t *block_json(const struct hd_located_block *b, const Hdw__BlockHealth *h)
{
    json_t *nodes = json_array();
    char address[HD_TEXT_BYTES];
    for (uint32_t i = 0; i < b->location_count; i++) {
        snprintf(address, sizeof(address), "%s:%d", b->locations[i].ip, b->locations[i].data_port);
        json_array_append_new(nodes, json_pack("{s:s, s:s, s:s}", "address", address, "host",
                                               b->locations[i].host, "rack", b->locations[i].rack));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "id", (json_int_t)b->id,
                     "generation_stamp", (json_int_t)b->genstamp, "length",
                     (json_int_t)b->size_bytes, "expected", (json_int_t)h->expected, "live",
                     (json_int_t)h->live, "decommissioned", (json_int_t)h->decommissioned,
                     "corrupt", (json_int_t)h->corrupt, "locations", nodes);
}

static void add_file_json(struct fsck *k, const struct hd_sh_item *item,
                          const struct hd_located_file *f, const Hdw__BlockHealthResponse *health,
                          const struct verdict *v)
{
    json_t *blocks = json_array();
    for (uint32_t i = 0; i < f->block_count; i++) {
        const Hdw__BlockHealth *h = find_health(health, f->blocks[i].id, i);
        if (h != NULL) {
            json_array_append_new(blocks, block_json(&f->blocks[i], h));
        }
    }
    json_array_append_new(k->report,
                          json_pack("{s:s, s:I, s:I, s:b, s:b, s:o}", "path", item->path, "length",
                                    (json_int_t)f->size_bytes, "replication",
                                    (json_int_t)item->st.replication, "open", f->open_for_write,
                                    "healthy", v->missing == 0, "blocks", blocks));
}

/* ---- one file ---- */

static void report_file(struct fsck *k, const struct hd_sh_item *item,
                        const struct hd_located_file *f, const Hdw__BlockHealthResponse *health)
{
    struct verdict v = {0};
    for (size_t i = 0; i < health->n_blocks; i++) {
        count_block(k, health->blocks[i], &v);
    }
    k->corrupt_files += v.missing > 0;
    if (k->json) {
        add_file_json(k, item, f, health, &v);
    } else if (k->list_corrupt) {
        for (size_t i = 0; i < health->n_blocks; i++) {
            if (found(health->blocks[i]) == 0) {
                printf("blk_%" PRIu64 "\t%s\n", health->blocks[i]->block_id, item->path);
            }
        }
    } else if (!k->files) {
        print_problem(item, &v);
    } else {
        print_file_line(item, f, &v);
        for (uint32_t i = 0; k->blocks && i < f->block_count; i++) {
            const Hdw__BlockHealth *h = find_health(health, f->blocks[i].id, i);
            if (h != NULL) {
                print_block(k, &f->blocks[i], i, h);
            }
        }
        if (k->blocks) {
            putchar('\n');
        }
    }
}

/* What the locations alone say of the blocks: for a file system without our MetaProtocol. */
static int guess_health(struct fsck *k, const struct hd_sh_item *item,
                        const struct hd_located_file *f, Hdw__BlockHealthResponse **ret)
{
    Hdw__BlockHealthResponse *r = HD_ARENA_NEW(&k->meta.arena, Hdw__BlockHealthResponse);
    Hdw__BlockHealth *list = HD_ARENA_ARRAY(&k->meta.arena, Hdw__BlockHealth, f->block_count + 1);
    Hdw__BlockHealth **pointers =
        HD_ARENA_ARRAY(&k->meta.arena, Hdw__BlockHealth *, f->block_count + 1);
    if (r == NULL || list == NULL || pointers == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < f->block_count; i++) {
        const struct hd_located_block *b = &f->blocks[i];
        list[i].block_id = b->id;
        list[i].expected = item->st.replication;
        list[i].live = b->corrupt ? 0 : b->location_count;
        list[i].corrupt = b->corrupt ? b->location_count : 0;
        pointers[i] = &list[i];
    }
    r->n_blocks = f->block_count;
    r->blocks = pointers;
    *ret = r;
    return 0;
}

static int ask_health(struct fsck *k, const struct hd_sh_item *item,
                      const struct hd_located_file *f, Hdw__BlockHealthResponse **ret)
{
    hd_meta_call_reset(&k->meta);
    int rc = k->foreign ? -HD_E_NO_SUCH_PROTOCOL : hd_meta_block_health(&k->meta, item->path, ret);
    k->foreign = rc == -HD_E_NO_SUCH_PROTOCOL || rc == -HD_E_NO_SUCH_METHOD;
    return k->foreign ? guess_health(k, item, f, ret) : rc;
}

static void check_file(struct fsck *k, const struct hd_sh_item *item)
{
    struct hd_located_file f;
    Hdw__BlockHealthResponse *health;
    int rc = hd_fs_locate(k->sh.fs, item->path, 0, INT64_MAX, &f);
    if (rc == -ENOENT) {
        return; /* deleted meanwhile */
    }
    if (rc < 0) {
        hd_sh_fail(&k->sh, item->path, rc);
        k->failed = true;
        return;
    }
    if (f.open_for_write && !k->open_files) {
        k->open_count++;
        hd_located_file_done(&f);
        return;
    }
    rc = ask_health(k, item, &f, &health);
    if (rc == 0) {
        k->file_count++;
        k->size_bytes += f.size_bytes;
        report_file(k, item, &f, health);
    } else if (rc != -ENOENT) {
        hd_sh_fail(&k->sh, item->path, rc);
        k->failed = true;
    }
    hd_located_file_done(&f);
}

static void check_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct fsck *k = ctx;
    (void)sh;
    switch (item->st.type) {
    case HD_TYPE_DIR:
        k->dir_count++;
        if (k->files && !k->json) {
            printf("%s <dir>\n", item->path);
        }
        break;
    case HD_TYPE_SYMLINK:
        k->link_count++;
        break;
    case HD_TYPE_FILE:
        check_file(k, item);
        break;
    }
}

/* ---- summary ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_counter(const char *label, uint64_t n, uint64_t whole)
{
    printf(" %s\t%" PRIu64, label, n);
    if (whole != 0) {
        printf(" (%.1f %%)", share(n, whole));
    }
    putchar('\n');
}

/* Live nodes and their racks. */
static void count_nodes(struct fsck *k, size_t *nodes, size_t *racks)
{
    Hdw__GetDatanodeReportResponse *r;
    *nodes = *racks = 0;
    if (hd_meta_nodes(&k->meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &r) < 0) {
        return;
    }
    struct hd_strmap seen;
    hd_strmap_init(&seen);
    for (size_t i = 0; i < r->n_di; i++) {
        const char *rack = r->di[i]->location != NULL ? r->di[i]->location : "/default-rack";
        if (hd_strmap_get(&seen, rack, strlen(rack)) == NULL) {
            hd_strmap_put(&seen, rack, strlen(rack), r);
        }
    }
    *nodes = r->n_di;
    *racks = seen.count;
    hd_strmap_done(&seen);
}

static void print_summary(struct fsck *k)
{
    struct hd_defaults defaults = {0};
    size_t nodes;
    size_t racks;
    uint64_t average = k->block_count != 0 ? k->size_bytes / k->block_count : 0;
    count_nodes(k, &nodes, &racks);
    hd_fs_defaults(k->sh.fs, &defaults);
    printf("\nStatus: %s\n Number of data-nodes:\t%zu\n Number of racks:\t\t%zu\n Total "
           "dirs:\t\t\t%" PRIu64 "\n Total symlinks:\t\t%" PRIu64 "\n\nReplicated Blocks:\n",
           k->missing == 0 ? "HEALTHY" : "CORRUPT", nodes, racks, k->dir_count, k->link_count);
    printf(" Total size:\t%" PRIu64 " B\n Total files:\t%" PRIu64, k->size_bytes, k->file_count);
    if (k->open_count > 0) {
        printf(" (Files currently being written: %" PRIu64 ")", k->open_count);
    }
    printf("\n Total blocks (validated):\t%" PRIu64, k->block_count);
    if (k->block_count != 0) {
        printf(" (avg. block size %" PRIu64 " B)", average);
    }
    putchar('\n');
    if (k->missing > 0) {
        printf("  ********************************\n  CORRUPT FILES:\t%" PRIu64
               "\n  MISSING BLOCKS:\t%" PRIu64 "\n  ********************************\n",
               k->corrupt_files, k->missing);
    }
    print_counter("Minimally replicated blocks:", k->minimal, k->block_count);
    print_counter("Over-replicated blocks:", k->over, k->block_count);
    print_counter("Under-replicated blocks:", k->under, k->block_count);
    print_counter("Mis-replicated blocks:\t", k->mis, k->block_count);
    printf(" Default replication factor:\t%u\n Average block replication:\t%.1f\n",
           defaults.replication,
           k->block_count != 0 ? (double)k->replicas / (double)k->block_count : 0.0);
    printf(" Missing blocks:\t\t%" PRIu64 "\n Corrupt blocks:\t\t%" PRIu64 "\n", k->missing,
           k->corrupt);
    print_counter("Missing replicas:\t", k->missing_replicas, k->expected_replicas);
    printf(" Blocks queued for replication:\t%" PRIu64 "\n", k->under);
}

static int print_json_report(struct fsck *k, const char *path)
{
    json_t *o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "path",
                          path, "healthy", k->missing == 0, "directories", (json_int_t)k->dir_count,
                          "files", (json_int_t)k->file_count, "symlinks", (json_int_t)k->link_count,
                          "size", (json_int_t)k->size_bytes, "blocks", (json_int_t)k->block_count,
                          "under_replicated", (json_int_t)k->under, "over_replicated",
                          (json_int_t)k->over, "missing", (json_int_t)k->missing, "corrupt",
                          (json_int_t)k->corrupt, "report", k->report);
    return print_json(o);
}

/* ---- the command ---- */

static void fsck_done(struct fsck *k)
{
    json_decref(k->report);
    hd_meta_call_done(&k->meta);
    hd_fs_close(k->sh.fs);
    hd_cluster_done(&k->sh.cluster);
}

/* The block pool's name; without it blocks are named without. */
static void ask_pool(struct fsck *k)
{
    Hdw__GetClusterResponse *cluster;
    int rc = hd_meta_get_cluster(&k->meta, &cluster);
    k->foreign = rc == -HD_E_NO_SUCH_PROTOCOL;
    if (rc == 0) {
        snprintf(k->pool, sizeof(k->pool), "%s:", cluster->block_pool_id);
    }
}

static int check_path(struct fsck *k, const char *path)
{
    char date[HD_TIME_TEXT_BYTES];
    HD_AUTO(hd_sh_item_done) struct hd_sh_item root = {0};
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc = hd_sh_lookup(&k->sh, path, &root);
    if (rc < 0) {
        hd_sh_fail(&k->sh, path, rc);
        return EXIT_BROKEN;
    }
    bool quiet = k->json || k->list_corrupt;
    if (!quiet) {
        printf("FSCK started by %s (auth:SIMPLE) for path %s at %s\n\n", hd_fs_user(k->sh.fs),
               root.path,
               hd_format_time(hd_clock_wall_ms().v, "%a %b %d %H:%M:%S %Z %Y", false, date));
    }
    if (!root.exists) {
        if (k->json) {
            print_json(json_pack("{s:s, s:s}", "path", root.path, "error", "does not exist"));
        } else {
            printf("\nPath '%s' does not exist\n", root.path);
        }
        return HD_EXIT_OK;
    }
    ask_pool(k);
    hd_sh_walk(&k->sh, &root, check_item, k);
    if (k->failed || k->sh.exit_code != 0) {
        fprintf(stderr, "howdah fsck: the check is not complete\n");
        return EXIT_BROKEN;
    }
    int code = k->missing == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
    if (k->json) {
        return print_json_report(k, root.path) == 0 ? code : EXIT_BROKEN;
    }
    if (k->list_corrupt) {
        if (k->corrupt_files == 0) {
            printf("The filesystem under path '%s' has no CORRUPT files\n", root.path);
        } else {
            printf("The filesystem under path '%s' has %" PRIu64 " CORRUPT files\n", root.path,
                   k->corrupt_files);
        }
        return code;
    }
    print_summary(k);
    printf("FSCK ended at %s in %" PRId64
           " milliseconds\n\n\nThe filesystem under path '%s' is %s\n",
           hd_format_time(hd_clock_wall_ms().v, "%a %b %d %H:%M:%S %Z %Y", false, date),
           hd_clock_mono_ms().v - begin_ms, root.path, k->missing == 0 ? "HEALTHY" : "CORRUPT");
    return code;
}

/* Hadoop's options have one dash. 0, or an exit code after a message. */
static int take_words(const struct hd_command *self, int argc, char **argv, struct fsck *k,
                      const char **path)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"-files", &k->files},
        {"-blocks", &k->blocks},
        {"-locations", &k->locations},
        {"-racks", &k->racks},
        {"-openforwrite", &k->open_files},
        {"-list-corruptfileblocks", &k->list_corrupt},
    };
    for (int i = 1; i < argc; i++) {
        bool known = argv[i][0] != '-';
        if (known && *path != NULL) {
            return hd_cmd_usage(self, "only one path is expected, not also %s", argv[i]);
        }
        *path = known ? argv[i] : *path;
        for (size_t f = 0; f < HD_ARRAY_COUNT(flags); f++) {
            if (strcmp(argv[i], flags[f].name) == 0) {
                *flags[f].flag = known = true;
            }
        }
        if (!known) {
            return hd_cmd_usage(self, "unknown option %s", argv[i]);
        }
    }
    k->files = k->files || k->blocks || k->locations || k->racks;
    k->blocks = k->blocks || k->locations || k->racks;
    return *path != NULL ? 0 : hd_cmd_usage(self, "a path is expected");
}

static int run_fsck(const struct hd_command *self, int argc, char **argv)
{
    const char *dir = NULL;
    const char *path = NULL;
    HD_AUTO(fsck_done) struct fsck k = {.sh = {.verb = "fsck"}};
    const struct hd_option options[] = {{"dir", &dir, NULL}, {"json", NULL, &k.json}, {0}};
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    rc = take_words(self, argc, argv, &k, &path);
    if (rc != 0) {
        return rc;
    }
    k.report = json_array();
    rc = hd_cluster_find(dir, &k.sh.cluster);
    if (rc == 0) {
        rc = hd_cluster_open_fs(&k.sh.cluster, NULL, &k.sh.fs);
    }
    if (rc == 0) {
        rc = hd_meta_call_init(&k.meta, k.sh.cluster.metas, hd_user_name(), CALL_TIMEOUT_MS);
    }
    if (rc < 0) {
        hd_cmd_fail(self, rc);
        return EXIT_BROKEN;
    }
    return check_path(&k, path);
}

const struct hd_command hd_cmd_fsck = {
    .name = "fsck",
    .summary = "files, their blocks, and where the replicas are",
    .usage = usage,
    .run = run_fsck,
};
