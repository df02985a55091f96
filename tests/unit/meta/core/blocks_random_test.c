/*
 * Random writes of a session at any place of a file, several blocks open at once, with meta
 * starting anew and the session dying in between. The model knows which bytes were written and told
 * of: none of them may become a hole, no other may be anything else than content, block or hole in
 * order, and at every step view and log give what is in memory.
 */
#include "tests/unit/meta/core/blocks.h"

#include "fs/base/prng.h"

enum { FILE_MAX = 5 * MIB, UNIT = 1024, UNITS = FILE_MAX / UNIT, OPEN_MAX = 8, REPLICAS_MAX = 512 };

/* A block that the session has open, and set up. */
struct written {
    uint64_t id, gs, offset, size, limit;
    bool last; /* it may still grow, up to the limit */
};

/* What every node has of a block. */
struct copy {
    uint64_t id, gs, size;
    bool finalized;
};

struct model {
    struct bench b;
    struct hd_prng prng;
    uint64_t ino;
    struct written open[OPEN_MAX];
    size_t open_count;
    struct copy copies[REPLICAS_MAX];
    size_t copy_count;
    bool told[UNITS]; /* written, and meta knows */
};

static uint64_t below(struct model *m, uint64_t n)
{
    return hd_prng_below(&m->prng, n);
}

static uint64_t size_of(struct model *m)
{
    return hd_file_size(inode_of(&m->b, m->ino));
}

static void note_copy(struct model *m, uint64_t id, uint64_t gs, uint64_t size, bool finalized)
{
    size_t n = 0;
    while (n < m->copy_count && m->copies[n].id != id) {
        n++;
    }
    ATF_REQUIRE(n < REPLICAS_MAX);
    m->copies[n] = (struct copy){id, gs, size, finalized};
    m->copy_count = HD_MAX(m->copy_count, n + 1);
}

static void tell(struct model *m, uint64_t from, uint64_t to, bool data)
{
    for (uint64_t u = data ? from / UNIT : (from + UNIT - 1) / UNIT; u * UNIT < to && u < UNITS;
         u++) {
        m->told[u] = data;
    }
}

/* Blocks that are no more in the file are not open here either. */
static void forget_gone(struct model *m)
{
    for (size_t n = 0; n < m->open_count;) {
        struct hd_blk *k = hd_ns_block(&m->b.w.m->ns, (struct hd_block_id){m->open[n].id});
        if (k == NULL || k->state != HD_BLOCK_OPEN) {
            m->open[n] = m->open[--m->open_count];
        } else {
            n++;
        }
    }
}

static void check_layout(struct model *m)
{
    const struct hd_inode *i = inode_of(&m->b, m->ino);
    uint64_t at = i->u.file.content_size;
    bool was_hole = false;
    for (uint32_t n = 0; n < i->u.file.block_count; n++) {
        const struct hd_blk *k = hd_file_block(i, n);
        bool hole = k->id.v == 0;
        ATF_REQUIRE_MSG(!(hole && was_hole), "two holes: %s", layout_of(&m->b, m->ino));
        ATF_REQUIRE(!hole || (k->size_bytes > 0 && k->state == HD_BLOCK_COMPLETE));
        ATF_REQUIRE(hole || k->size_bytes <= MIB);
        for (uint64_t u = at / UNIT; hole && u < UNITS && u * UNIT < at + k->size_bytes; u++) {
            bool whole = u * UNIT >= at && (u + 1) * UNIT <= at + k->size_bytes;
            ATF_REQUIRE_MSG(!whole || !m->told[u], "byte %llu became a hole: %s",
                            (unsigned long long)u * UNIT, layout_of(&m->b, m->ino));
        }
        was_hole = hole;
        at += k->size_bytes;
    }
    for (uint64_t u = (at + UNIT - 1) / UNIT; u < UNITS; u++) {
        ATF_REQUIRE_MSG(!m->told[u], "byte %llu is gone: %s", (unsigned long long)u * UNIT,
                        layout_of(&m->b, m->ino));
    }
}

/* ---- what the session does ---- */

static void recover_all(struct model *m);

static void close_one(struct model *m, size_t index)
{
    struct written w = m->open[index];
    Hdw__ExtendedBlock k = HDW__EXTENDED_BLOCK__INIT;
    k.pool_id = S("BP-1");
    k.block_id = w.id;
    k.generation_stamp = w.gs;
    for (int n = 1; n <= NODES; n++) {
        node_received(&m->b.w, n, w.id, w.gs, w.size);
    }
    (void)GOT(&m->b.t, close_block_send(&m->b.t, m->ino, &k, w.size), CloseBlock, close_block);
    note_copy(m, w.id, w.gs, w.size, true);
    m->open[index] = m->open[--m->open_count];
}

static void close_all(struct model *m)
{
    while (m->open_count > 0) {
        close_one(m, 0);
    }
    if (hd_inode_is_open(inode_of(&m->b, m->ino))) {
        (void)close_blocks(&m->b.t, m->ino);
    }
    if (hd_inode_is_open(inode_of(&m->b, m->ino))) {
        recover_all(m); /* a block that was cut, and not set up */
    }
}

/* Only the file's last block may still grow. */
static void refresh_last(struct model *m)
{
    const struct hd_blk *last = hd_file_last_block(inode_of(&m->b, m->ino));
    for (size_t n = 0; n < m->open_count; n++) {
        bool content = inode_of(&m->b, m->ino)->u.file.content_size > 0 && m->open[n].offset == 0;
        m->open[n].last &= content || (last != NULL && last->id.v == m->open[n].id);
    }
}

/* The open block that the offset is in, opened when there is none. */
static struct written *reach(struct model *m, uint64_t offset)
{
    for (size_t n = 0; n < m->open_count; n++) {
        struct written *w = &m->open[n];
        if (offset >= w->offset && offset < w->offset + (w->last ? w->limit : w->size)) {
            return w;
        }
    }
    if (m->open_count == OPEN_MAX) {
        close_one(m, below(m, OPEN_MAX));
    }
    uint64_t content = inode_of(&m->b, m->ino)->u.file.content_size;
    Hdw__OpenBlockResponse *r = open_block(&m->b.t, m->ino, offset);
    set_up(&m->b.t, r);
    struct written w = {.id = r->block->b->block_id,
                        .gs = r->block->b->generation_stamp,
                        .offset = r->block->offset,
                        .size = r->block->b->num_bytes,
                        .limit = r->limit,
                        .last = true};
    if (content > 0 && w.offset == 0) { /* first what it takes the place of */
        w.size = content;
    }
    note_copy(m, w.id, w.gs, w.size, false);
    for (size_t n = 0; n < m->open_count; n++) { /* a short one has grown into the hole */
        if (m->open[n].id == w.id) {
            m->open[n] = w;
            return &m->open[n];
        }
    }
    refresh_last(m);
    m->open[m->open_count] = w;
    return &m->open[m->open_count++];
}

static void tell_last(struct model *m)
{
    for (size_t n = 0; n < m->open_count; n++) {
        struct written *w = &m->open[n];
        if (w->last && w->size > 0) {
            ATF_REQUIRE_EQ(0, tell_length(&m->b.t, m->ino, w->id, (int64_t)w->size));
        }
    }
}

static void write_some(struct model *m)
{
    tell_last(m);
    uint64_t offset = below(m, 4) == 0 ? size_of(m) : below(m, FILE_MAX - MIB);
    uint64_t left = 1 + below(m, below(m, 3) == 0 ? MIB : 5000);
    if (offset > size_of(m)) {
        (void)resize(&m->b.t, m->ino, offset);
        refresh_last(m);
    }
    while (left > 0) {
        struct written *w = reach(m, offset);
        uint64_t room = (w->last ? w->limit : w->size) - (offset - w->offset);
        uint64_t n = HD_MIN(left, room);
        ATF_REQUIRE_MSG(n > 0 && n <= room && offset >= w->offset,
                        "at %llu: block %llu+%llu, limit %llu, last %d: %s",
                        (unsigned long long)offset, (unsigned long long)w->offset,
                        (unsigned long long)w->size, (unsigned long long)w->limit, w->last,
                        layout_of(&m->b, m->ino));
        w->size = HD_MAX(w->size, offset - w->offset + n);
        note_copy(m, w->id, w->gs, w->size, false);
        tell_last(m);
        ATF_REQUIRE(offset + n <= size_of(m));
        tell(m, offset, offset + n, true);
        offset += n;
        left -= n;
    }
}

static void resize_some(struct model *m)
{
    tell_last(m);
    if (below(m, 2) == 0) {
        close_all(m);
    }
    uint64_t size = below(m, 5) == 0 ? 0 : below(m, FILE_MAX);
    bool shrinks = size < size_of(m);
    Hdw__ResizeResponse *r = resize(&m->b.t, m->ino, size);
    ATF_REQUIRE_EQ(size, r->attr->size);
    tell(m, size, FILE_MAX, false);
    forget_gone(m);
    if (shrinks && r->cut) { /* the replicas follow, or are left to meta */
        const struct hd_blk *last = hd_file_last_block(inode_of(&m->b, m->ino));
        for (size_t n = 0; n < m->open_count; n++) {
            if (m->open[n].id == last->id.v) {
                m->open[n] = m->open[--m->open_count];
            }
        }
        if (below(m, 2) == 0 && size > 0) {
            (void)reach(m, size - 1);
        }
    }
    refresh_last(m);
}

static void punch_some(struct model *m)
{
    tell_last(m);
    uint64_t from = below(m, FILE_MAX);
    uint64_t to = from + below(m, 3 * MIB);
    (void)ASK(&m->b.t, "punch", Punch, punch, .session = m->b.t.number, .ino = m->ino,
              .offset = from, .length = to - from);
    const struct hd_inode *i = inode_of(&m->b, m->ino);
    uint64_t at = i->u.file.content_size;
    for (uint32_t n = 0; n < i->u.file.block_count; n++) { /* what is a hole now within the range */
        const struct hd_blk *k = hd_file_block(i, n);
        if (k->id.v == 0) {
            tell(m, HD_MAX(at, from), HD_MIN(at + k->size_bytes, to), false);
        }
        at += k->size_bytes;
    }
}

static void replace_by_content(struct model *m)
{
    static const char zeros[4096];
    uint64_t size = below(m, 4000);
    (void)GOT(&m->b.t, write_content_send(&m->b.t, m->ino, zeros, size), WriteContent,
              write_content);
    m->open_count = 0;
    tell(m, 0, FILE_MAX, false);
    tell(m, 0, size, true);
}

/* ---- failures ---- */

/* Blocks of the file that are open, with what the nodes have of them, are recovered. */
static void recover_all(struct model *m)
{
    for (int tries = 0; tries < 200 && hd_inode_is_open(inode_of(&m->b, m->ino)); tries++) {
        const struct hd_inode *i = inode_of(&m->b, m->ino);
        for (uint32_t n = 0; n < i->u.file.block_count; n++) {
            struct hd_blk *k = hd_file_block(i, n);
            if (k->id.v == 0 || k->state != HD_BLOCK_OPEN) {
                continue;
            }
            uint64_t id = k->id.v;
            struct copy *c = NULL;
            for (size_t x = 0; x < m->copy_count; x++) {
                c = m->copies[x].id == id ? &m->copies[x] : c;
            }
            Hdw__RecoveringBlock *r = await_recovery(&m->b, id);
            ATF_REQUIRE_MSG(r != NULL, "no recovery of %llu: %s", (unsigned long long)id,
                            layout_of(&m->b, m->ino));
            uint64_t length = r->truncate_block != NULL ? r->truncate_block->num_bytes
                                                        : HD_MAX(c->size, r->block->b->num_bytes);
            struct answer *a = synchronized(&m->b, r, length, false);
            ATF_REQUIRE_MSG(a->err == 0, "%s", a->text);
            note_copy(m, id, r->new_gen_stamp, length, true);
            break; /* the layout may be another one */
        }
        world_pass(&m->b.w, 500);
    }
    ATF_REQUIRE(!hd_inode_is_open(inode_of(&m->b, m->ino)));
}

static void new_session(struct model *m, int n)
{
    m->b.t = mount_start(&m->b.w, n % 4);
    mount_poll(&m->b.t, 3000);
    m->open_count = 0;
    take_write(&m->b.t, m->ino);
}

static void die(struct model *m)
{
    static int number = 1;
    kill_mount(&m->b);
    recover_all(m);
    new_session(m, number++);
}

/* ---- */

static void step(struct model *m)
{
    switch (below(m, 16)) {
    case 0:
    case 1:
        resize_some(m);
        break;
    case 2:
        punch_some(m);
        break;
    case 3:
        close_all(m);
        break;
    case 4:
        if (below(m, 4) == 0) {
            replace_by_content(m);
        }
        break;
    case 5:
        if (below(m, 3) == 0) {
            die(m);
        }
        break;
    case 6:
        if (m->open_count > 0) {
            close_one(m, below(m, m->open_count));
        }
        break;
    default:
        write_some(m);
        break;
    }
}

ATF_TC_WITHOUT_HEAD(nothing_told_is_lost);
ATF_TC_BODY(nothing_told_is_lost, tc)
{
    enum { SEEDS = 300, STEPS = 80 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        static struct model m;
        m = (struct model){.prng = {seed}};
        bench_init(&m.b);
        m.b.w.m->o.session_lease_ms = 1000000000; /* polls are not what this is about */
        m.ino = make_file(&m.b.t, "f");
        for (int n = 0; n < STEPS; n++) {
            step(&m);
            check_layout(&m);
            if (n % 5 == 0) {
                world_check(&m.b.w);
            }
        }
        die(&m);
        check_layout(&m);
        bench_done(&m.b);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, nothing_told_is_lost);
    return atf_no_error();
}
