/* Full block reports. See full_report.h. */
#include "meta/core/full_report.h"
#include "meta/core/mem.h"
#include "meta/core/op.h"

/* A byte stream cut into chunks anywhere. */
struct chunks {
    const ProtobufCBinaryData *items;
    size_t count;
    size_t chunk;
    size_t offset;
};

enum stage {
    BETWEEN,
    NAMING,
    DROPPING
}; /* storages; replicas that are named; those that are not */

struct hd_full_report {
    struct hd_list link; /* of m->reports, when it is kept */
    struct hd_node *node;
    uint64_t token;
    struct hd_arena arena; /* of q, when it is kept */
    const Hdw__BlockReportRequest *q;
    struct hd_map touched; /* ids that the node told of meanwhile -> the node */
    size_t index;          /* of q->reports */
    enum stage stage;
    struct chunks in;           /* of the newer form */
    uint64_t number;            /* of the older form: replicas taken so far */
    struct hd_storage *storage; /* of reports[index] */
    uint32_t left;              /* while dropping: slots of its list */
    const char *text;           /* of a failure */
};

/* ---- replicas that are named ---- */

/* 1: a varint, 0: the clean end, -HD_E_BAD_MESSAGE: cut off or too long. */
static int next_varint(struct chunks *s, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        while (s->chunk < s->count && s->offset == s->items[s->chunk].len) {
            s->chunk++;
            s->offset = 0;
        }
        if (s->chunk == s->count) {
            return shift == 0 ? 0 : -HD_E_BAD_MESSAGE;
        }
        uint8_t byte = s->items[s->chunk].data[s->offset++];
        v |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if ((byte & 0x80) == 0) {
            *ret = v;
            return 1;
        }
    }
    return -HD_E_BAD_MESSAGE;
}

static uint64_t unzigzag(uint64_t v)
{
    return (v >> 1) ^ (0 - (v & 1));
}

/* The next replica: 1, 0 at the end, or an error. */
static int next_of_buffers(struct hd_full_report *f, struct hd_reported *ret)
{
    uint64_t id;
    uint64_t size;
    uint64_t gs;
    uint64_t state;
    int more = next_varint(&f->in, &id);
    if (more <= 0) {
        return more;
    }
    if (next_varint(&f->in, &size) != 1 || next_varint(&f->in, &gs) != 1 ||
        next_varint(&f->in, &state) != 1) {
        return -HD_E_BAD_MESSAGE;
    }
    *ret =
        (struct hd_reported){{unzigzag(id)}, {gs}, size & 0xffffffffffffu, (uint32_t)(state & 15)};
    return 1;
}

/* The older form: numbers of finalized and other replicas, 3 numbers each, a delimiter, 4 each. */
static int next_of_numbers(struct hd_full_report *f, struct hd_reported *ret)
{
    const Hdw__StorageBlockReport *r = f->q->reports[f->index];
    if (r->n_blocks == 0) {
        return 0;
    }
    uint64_t finalized = r->blocks[0];
    uint64_t others = r->n_blocks > 1 ? r->blocks[1] : 0;
    if (r->n_blocks < 2 || finalized > r->n_blocks / 3 || others > r->n_blocks / 4 ||
        r->n_blocks < 2 + 3 * finalized + (others > 0 ? 3 + 4 * others : 0)) {
        return -HD_E_BAD_MESSAGE;
    }
    if (f->number >= finalized + others) {
        return 0;
    }
    bool whole = f->number < finalized;
    const uint64_t *p = r->blocks + 2 + 3 * HD_MIN(f->number, finalized) +
                        (whole ? 0 : 3 + 4 * (f->number - finalized));
    *ret = (struct hd_reported){{p[0]}, {p[2]}, p[1], whole ? 0 : (uint32_t)p[3]};
    f->number++;
    return 1;
}

static bool is_touched(const struct hd_full_report *f, struct hd_block_id id)
{
    return f->touched.count > 0 && hd_map_get(&f->touched, id.v) != NULL;
}

/* 0: all are named; 1: `most` ran out; or an error. */
static int name_some(struct hd_meta *m, struct hd_full_report *f, uint32_t *most)
{
    bool buffers = f->q->reports[f->index]->n_blocks_buffers > 0;
    for (; *most > 0; (*most)--) {
        struct hd_reported r;
        int more = buffers ? next_of_buffers(f, &r) : next_of_numbers(f, &r);
        if (more <= 0) {
            return more;
        }
        if (!is_touched(f, r.id)) {
            hd_block_map_report(m, f->storage, r);
        }
    }
    return 1;
}

/* ---- and those that are not ---- */

static bool is_lost(const struct hd_full_report *f, struct hd_blk *b)
{
    const struct hd_replica *r = hd_blk_find_replica(b, f->storage->index);
    bool settling = b->state != HD_BLOCK_COMPLETE ||
                    (b->repair != NULL && b->repair->class == HD_REPAIR_SETTLING);
    return r->epoch != f->storage->epoch && r->state != HD_REPLICA_EXPECTED && !settling &&
           !is_touched(f, b->id);
}

/* True: all slots of the storage were looked at. */
static bool drop_some(struct hd_meta *m, struct hd_full_report *f, uint32_t *most)
{
    struct hd_storage *s = f->storage;
    f->left = HD_MIN(f->left, s->replicas.count);
    while (f->left > 0 && *most > 0) {
        (*most)--;
        f->left--;
        struct hd_blk *b = hd_replica_list_at(&s->replicas, f->left);
        if (is_lost(f, b)) {
            hd_blk_drop_replica(m, b, s->index);
            hd_repair_check(m, b);
        }
        f->left = HD_MIN(f->left, s->replicas.count);
    }
    return f->left == 0;
}

/* ---- storage by storage ---- */

/* From here on what the node tells of single blocks is of the new epoch, in every storage. */
static int begin(struct hd_meta *m, struct hd_full_report *f)
{
    for (size_t i = 0; i < f->q->n_reports; i++) {
        const Hdw__DatanodeStorage *told = f->q->reports[i]->storage;
        struct hd_storage *s =
            hd_nodes_add_storage(m, f->node, told->storage_uuid, told->storage_type);
        if (s == NULL) {
            f->text =
                hd_arena_printf(&m->fx->arena, "Storage %s is another node's", told->storage_uuid);
            return -HD_E_IO;
        }
        hd_block_map_report_begin(s);
    }
    return 0;
}

static void begin_storage(struct hd_meta *m, struct hd_full_report *f)
{
    const Hdw__StorageBlockReport *r = f->q->reports[f->index];
    f->storage = hd_nodes_find_storage(&m->nodes, r->storage->storage_uuid);
    f->in = (struct chunks){r->blocks_buffers, r->n_blocks_buffers, 0, 0};
    f->number = 0;
    f->stage = NAMING;
}

/* 0: all was taken in; 1: `most` ran out; or an error: what was not named is not gone then. */
static int take_some(struct hd_meta *m, struct hd_full_report *f, uint32_t *most)
{
    while (f->index < f->q->n_reports) {
        if (f->stage == BETWEEN) {
            begin_storage(m, f);
        }
        if (f->stage == NAMING) {
            int err = name_some(m, f, most);
            if (err != 0) {
                return err;
            }
            f->stage = DROPPING;
            f->left = UINT32_MAX;
        }
        if (!drop_some(m, f, most)) {
            return 1;
        }
        hd_block_map_report_end(m, f->storage);
        f->stage = BETWEEN;
        f->index++;
    }
    return 0;
}

/* ---- reports that are kept ---- */

static void report_free(struct hd_full_report *f)
{
    f->node->report = NULL;
    hd_list_remove(&f->link);
    hd_map_done(&f->touched);
    hd_arena_done(&f->arena);
    free(f);
}

void hd_full_report_cancel(struct hd_meta *m, struct hd_node *node)
{
    if (node->report != NULL) {
        hd_meta_answer_later(m, node->report->token, -HD_E_IO,
                             "The node has registered, reported or died meanwhile", NULL);
        report_free(node->report);
    }
}

void hd_full_reports_done(struct hd_meta *m)
{
    HD_LIST_FOR_SAFE(it, &m->reports)
    {
        report_free(HD_LIST_ENTRY(it, struct hd_full_report, link));
    }
}

void hd_full_report_touch(struct hd_node *node, struct hd_block_id id)
{
    if (node->report != NULL) {
        int err = hd_map_put(&node->report->touched, id.v, node);
        hd_assert(err == 0);
    }
}

static int keep(struct hd_call *c, struct hd_node *node)
{
    struct hd_full_report *f = HD_MEM_NEW(struct hd_full_report);
    hd_arena_init(&f->arena, 0);
    hd_map_init(&f->touched);
    ProtobufCAllocator allocator = hd_arena_allocator(&f->arena);
    f->q = hdw__block_report_request__unpack(&allocator, c->event->body_size, c->event->body);
    if (f->q == NULL) { /* it was decoded a moment ago: there is no memory for it twice */
        hd_arena_done(&f->arena);
        free(f);
        return hd_call_fail(c, -HD_E_RETRIABLE, "No memory for a block report of %zu bytes",
                            c->event->body_size);
    }
    f->node = node;
    f->token = c->event->token;
    node->report = f;
    hd_list_push_back(&c->m->reports, &f->link);
    int err = begin(c->m, f);
    if (err < 0) {
        c->text = f->text;
        report_free(f);
    }
    return err < 0 ? err : HD_LATER;
}

static int fail(struct hd_meta *m, struct hd_full_report *f, int err)
{
    if (f->text == NULL) {
        f->text =
            hd_arena_printf(&m->fx->arena, "The block report of %s does not decode", f->node->uuid);
    }
    return err;
}

int hd_full_report_take(struct hd_call *c, struct hd_node *node, const Hdw__BlockReportRequest *q)
{
    hd_full_report_cancel(c->m, node);
    if (c->event->body_size > HD_FULL_REPORT_AT_ONCE_BYTES) {
        return keep(c, node);
    }
    struct hd_full_report f = {.node = node, .q = q};
    uint32_t most = UINT32_MAX;
    int err = begin(c->m, &f);
    if (err == 0) {
        err = take_some(c->m, &f, &most);
    }
    if (err < 0) {
        fail(c->m, &f, err);
        c->text = f.text;
    }
    return err;
}

bool hd_full_report_work(struct hd_meta *m, uint32_t most)
{
    if (hd_list_empty(&m->reports)) {
        return false;
    }
    struct hd_full_report *f = HD_LIST_ENTRY(m->reports.next, struct hd_full_report, link);
    int err = take_some(m, f, &most);
    f->node->heard = m->now; /* it waits for the answer, and may say nothing meanwhile */
    if (err > 0) {
        return true;
    }
    if (err < 0) {
        fail(m, f, err);
    }
    hd_meta_answer_later(m, f->token, err, f->text, err == 0 ? hd_report_answer(m) : NULL);
    report_free(f);
    hd_nodes_count_absent(m);
    hd_safe_mode_check(m);
    return !hd_list_empty(&m->reports);
}
