/* Keys and values of the view. See keys.h. */
#include "meta/core/keys.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "meta/core/acl.h"
#include "meta/core/layout.h"
#include "meta/core/links.h"
#include "meta/core/mem.h"
#include "meta/core/meta.h"
#include "meta/core/open_file.h"

enum { NS_PER_MS = 1000000 };

enum { KEY_COUNTERS = 'C', KEY_DENTRY = 'D', KEY_INODE = 'I', KEY_NODE = 'N', KEY_SESSION = 'S' };

/* ---- writing ---- */

static void put(struct hd_meta_effects *e, const void *key, size_t key_size, const void *value,
                size_t value_size)
{
    HD_MEM_GROW(e->puts, e->put_count, e->put_capacity);
    e->puts[e->put_count++] = (struct hd_meta_put){key, key_size, value, value_size};
}

static void put_message(struct hd_meta_effects *e, const void *key, size_t key_size,
                        const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *value = hd_arena_alloc(&e->arena, size + 1); /* never NULL, also of nothing */
    hd_assert(value != NULL);
    protobuf_c_message_pack(m, value);
    put(e, key, key_size, value, size);
}

static const uint8_t *inode_key(struct hd_meta_effects *e, struct hd_ino ino)
{
    uint8_t *key = hd_arena_alloc(&e->arena, 9);
    hd_assert(key != NULL);
    key[0] = KEY_INODE;
    hd_put_be64(key + 1, ino.v);
    return key;
}

static void put_dentry(struct hd_meta_effects *e, const struct hd_dentry_change *d)
{
    size_t size = 9 + d->name_size;
    uint8_t *key = hd_arena_alloc(&e->arena, size + 8);
    hd_assert(key != NULL);
    key[0] = KEY_DENTRY;
    hd_put_be64(key + 1, d->parent.v);
    memcpy(key + 9, d->name, d->name_size);
    if (d->child.v == 0) {
        put(e, key, size, NULL, 0);
    } else {
        hd_put_be64(key + size, d->child.v);
        put(e, key, size, key + size, 8);
    }
}

static void put_counters(const struct hd_ns *ns, struct hd_meta_effects *e)
{
    static const uint8_t key[] = {KEY_COUNTERS};
    Hdm__Counters c = HDM__COUNTERS__INIT;
    c.next_ino = ns->next_ino;
    c.next_block = ns->next_block;
    c.next_gs = ns->next_gs;
    put_message(e, key, sizeof(key), &c.base);
}

static void store_blocks(const struct hd_inode *i, struct hd_arena *a, Hdm__Inode *m)
{
    m->n_blocks = i->u.file.block_count;
    m->blocks = HD_ARENA_ARRAY(a, Hdm__StoredBlock *, m->n_blocks + 1);
    Hdm__StoredBlock *blocks = HD_ARENA_ARRAY(a, Hdm__StoredBlock, m->n_blocks + 1);
    hd_assert(m->blocks != NULL && blocks != NULL);
    for (uint32_t n = 0; n < m->n_blocks; n++) {
        const struct hd_blk *b = hd_file_block(i, n);
        hdm__stored_block__init(&blocks[n]);
        blocks[n].id = b->id.v;
        blocks[n].gs = b->gs.v;
        blocks[n].size = b->size_bytes;
        m->blocks[n] = &blocks[n];
    }
}

static void store_last(const struct hd_open_block *b, Hdm__OpenFile *o)
{
    o->has_recovery_gs = b->recovery_gs.v != 0;
    o->recovery_gs = b->recovery_gs.v;
    o->has_truncate_size = b->truncating;
    o->truncate_size = b->truncate_size_bytes;
    o->n_chain = b->chain_count;
    o->chain = b->chain;
    o->has_overwritten = o->overwritten = b->overwritten;
    o->has_fresh = o->fresh = b->fresh;
}

static void store_other(const struct hd_open_block *b, Hdm__OpenBlock *o)
{
    hdm__open_block__init(o);
    o->id = b->block->id.v;
    o->has_recovery_gs = b->recovery_gs.v != 0;
    o->recovery_gs = b->recovery_gs.v;
    o->has_truncate_size = b->truncating;
    o->truncate_size = b->truncate_size_bytes;
    o->n_chain = b->chain_count;
    o->chain = b->chain;
    o->has_overwritten = o->overwritten = b->overwritten;
    o->has_fresh = o->fresh = b->fresh;
}

/* In the order of the file, so that the value is the same after a reload. */
static void store_open(const struct hd_ns *ns, const struct hd_inode *i, struct hd_arena *a,
                       Hdm__OpenFile *o)
{
    const struct hd_open_file *f = hd_ns_open_file(ns, i);
    const struct hd_blk *last = hd_file_last_block(i);
    hdm__open_file__init(o);
    o->holder = f->lease->holder;
    o->machine = f->machine;
    o->committed = last != NULL && last->state != HD_BLOCK_OPEN;
    o->has_content_block = f->content_block.v != 0;
    o->content_block = f->content_block.v;
    o->others = HD_ARENA_ARRAY(a, Hdm__OpenBlock *, f->block_count + 1);
    Hdm__OpenBlock *others = HD_ARENA_ARRAY(a, Hdm__OpenBlock, f->block_count + 1);
    hd_assert(o->others != NULL && others != NULL);
    for (uint32_t n = 0; f->block_count > 0 && n < i->u.file.block_count; n++) {
        const struct hd_open_block *b = hd_open_block_of(ns, hd_file_block(i, n));
        if (b != NULL && b->block == last) {
            store_last(b, o);
        } else if (b != NULL) {
            store_other(b, &others[o->n_others]);
            o->others[o->n_others] = &others[o->n_others];
            o->n_others++;
        }
    }
}

static void store_xattrs(const struct hd_xattrs *x, struct hd_arena *a, Hdm__Inode *m)
{
    m->n_xattrs = x->count;
    m->xattrs = HD_ARENA_ARRAY(a, Hdm__StoredXAttr *, x->count);
    Hdm__StoredXAttr *items = HD_ARENA_ARRAY(a, Hdm__StoredXAttr, x->count);
    hd_assert(m->xattrs != NULL && items != NULL);
    for (uint32_t n = 0; n < x->count; n++) {
        hdm__stored_xattr__init(&items[n]);
        items[n].space = x->items[n].space;
        items[n].name = x->items[n].name;
        items[n].value.data = x->items[n].value;
        items[n].value.len = x->items[n].value_size;
        m->xattrs[n] = &items[n];
    }
}

static void store_times(const struct hd_inode *i, Hdm__Inode *m)
{
    m->mtime_ms = i->mtime_ms;
    m->atime_ms = i->atime_ms;
    m->has_mtime_part_ns = i->mtime_part_ns != 0;
    m->mtime_part_ns = i->mtime_part_ns;
    m->has_atime_part_ns = i->atime_part_ns != 0;
    m->atime_part_ns = i->atime_part_ns;
    m->has_ctime_ns = true;
    m->ctime_ns = i->ctime_ns;
}

/* What an inode of its type has beside the rest. */
static void store_body(const struct hd_inode *i, struct hd_arena *a, Hdm__Inode *m)
{
    switch ((enum hd_inode_type)i->type) {
    case HD_INODE_FILE:
        m->has_replication = m->has_block_size = true;
        m->replication = i->replication;
        m->block_size = i->u.file.block_size_bytes;
        store_blocks(i, a, m);
        m->has_content = i->u.file.content_size > 0;
        m->content.data = i->u.file.content;
        m->content.len = i->u.file.content_size;
        break;
    case HD_INODE_SYMLINK:
        m->target = i->u.target;
        break;
    case HD_INODE_CHAR:
    case HD_INODE_BLOCK:
        m->has_rdev = true;
        m->rdev = i->u.rdev;
        break;
    case HD_INODE_LINK:
        m->has_link = true;
        m->link = i->u.link->ino.v;
        break;
    case HD_INODE_DIR:
    case HD_INODE_FIFO:
    case HD_INODE_SOCKET:
        break;
    }
}

static void put_inode(const struct hd_ns *ns, struct hd_meta_effects *e, const struct hd_inode *i)
{
    Hdm__Inode m = HDM__INODE__INIT;
    Hdm__OpenFile open;
    m.ino = i->ino.v;
    m.parent = i->parent != NULL ? i->parent->ino.v : 0;
    m.name.data = (uint8_t *)(uintptr_t)hd_inode_name(i);
    m.name.len = i->name_size;
    m.type = (Hdm__InodeType)i->type;
    m.mode = i->mode;
    m.user = (char *)(uintptr_t)hd_ns_user(ns, i);
    m.group = (char *)(uintptr_t)hd_ns_group(ns, i);
    m.has_orphan = m.orphan = hd_inode_is_orphan(i);
    store_times(i, &m);
    m.has_policy = i->policy != 0;
    m.policy = i->policy;
    store_body(i, &e->arena, &m);
    if (hd_inode_is_open(i)) {
        store_open(ns, i, &e->arena, &open);
        m.open = &open;
    }
    const struct hd_xattrs *x = hd_ns_xattrs(ns, i);
    if (x != NULL) {
        store_xattrs(x, &e->arena, &m);
    }
    const struct hd_quota *q = hd_ns_quota(ns, i);
    if (q != NULL) {
        m.has_name_quota = m.has_space_quota = m.has_byte_quota = true;
        m.name_quota = q->names;
        m.space_quota = q->space_bytes;
        m.byte_quota = q->data_bytes;
    }
    const struct hd_acls *acls = hd_ns_acls(ns, i);
    if (acls != NULL) {
        m.acl = hd_acl_store(ns, &acls->access, &e->arena, &m.n_acl);
        m.default_acl = hd_acl_store(ns, &acls->standard, &e->arena, &m.n_default_acl);
    }
    put_message(e, inode_key(e, i->ino), 9, &m.base);
}

static const uint8_t *node_key(struct hd_meta_effects *e, const char *uuid, size_t *ret_size)
{
    size_t size = strlen(uuid);
    uint8_t *key = hd_arena_alloc(&e->arena, size + 1);
    hd_assert(key != NULL);
    key[0] = KEY_NODE;
    memcpy(key + 1, uuid, size);
    *ret_size = size + 1;
    return key;
}

static void put_node(const struct hd_ns *ns, struct hd_meta_effects *e, const char *uuid)
{
    const struct hd_node_admin *n = hd_node_admins_find(&ns->node_admins, uuid);
    size_t size;
    const uint8_t *key = node_key(e, uuid, &size);
    if (n == NULL) {
        put(e, key, size, NULL, 0);
        return;
    }
    Hdm__NodeAdmin m;
    hd_node_admin_store(n, &m);
    put_message(e, key, size, &m.base);
}

static void put_session(const struct hd_ns *ns, struct hd_meta_effects *e, const char *name)
{
    const char *machine = hd_session_records_find(&ns->session_records, name);
    size_t size = strlen(name);
    uint8_t *key = hd_arena_alloc(&e->arena, size + 1);
    hd_assert(key != NULL);
    key[0] = KEY_SESSION;
    memcpy(key + 1, name, size);
    if (machine == NULL) {
        put(e, key, size + 1, NULL, 0);
        return;
    }
    Hdm__Session m = HDM__SESSION__INIT;
    m.client_name = (char *)(uintptr_t)name;
    m.machine = (char *)(uintptr_t)machine;
    put_message(e, key, size + 1, &m.base);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of their names. */
static void put_sessions(const struct hd_ns *ns, struct hd_meta_effects *e)
{
    const struct hd_strmap *all = &ns->session_records.by_name;
    const char **names = HD_ARENA_ARRAY(&e->arena, const char *, all->count + 1);
    hd_assert(names != NULL);
    size_t count = 0;
    size_t cursor = 0;
    void *machine;
    while (hd_strmap_next(all, &cursor, &names[count], &machine)) {
        count++;
    }
    qsort(names, count, sizeof(*names), compare_texts);
    for (size_t n = 0; n < count; n++) {
        put_session(ns, e, names[n]);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* In the order of their numbers. */
static void put_orphans(const struct hd_ns *ns, struct hd_meta_effects *e)
{
    uint64_t *inos = HD_ARENA_ARRAY(&e->arena, uint64_t, ns->orphans.count + 1);
    hd_assert(inos != NULL);
    size_t count = 0;
    size_t cursor = 0;
    void *orphan;
    while (hd_map_next(&ns->orphans, &cursor, &inos[count], &orphan)) {
        count++;
    }
    qsort(inos, count, sizeof(*inos), compare_numbers);
    for (size_t n = 0; n < count; n++) {
        put_inode(ns, e, hd_ns_inode(ns, inos[n]));
    }
}

void hd_view_emit(struct hd_ns *ns, struct hd_meta_effects *e)
{
    struct hd_view_changes *v = &ns->view;
    if (v->counters) {
        put_counters(ns, e);
    }
    for (size_t n = 0; n < v->dentry_count; n++) {
        put_dentry(e, &v->dentries[n]);
    }
    for (size_t n = 0; n < v->gone_count; n++) {
        put(e, inode_key(e, v->gone[n]), 9, NULL, 0);
    }
    for (size_t n = 0; n < v->changed_count; n++) {
        struct hd_inode *i = hd_ns_inode(ns, v->changed[n].v);
        if (i != NULL) {
            i->flags &= (uint16_t)~HD_INODE_DIRTY;
            put_inode(ns, e, i);
        }
    }
    for (size_t n = 0; n < v->admin_count; n++) {
        put_node(ns, e, v->admins[n]);
    }
    for (size_t n = 0; n < v->session_count; n++) {
        put_session(ns, e, v->sessions[n]);
    }
    v->session_count = 0;
    v->counters = false;
    v->dentry_count = v->gone_count = v->changed_count = v->admin_count = 0;
    hd_arena_reset(&v->arena);
}

void hd_view_emit_all(struct hd_ns *ns, struct hd_meta_effects *e)
{
    put_counters(ns, e);
    for (struct hd_inode *i = ns->root; i != NULL; i = hd_ns_walk(ns->root, i)) {
        put_inode(ns, e, i);
        if (i->parent != NULL) {
            put_dentry(e, &(struct hd_dentry_change){.parent = i->parent->ino,
                                                     .child = i->ino,
                                                     .name = hd_inode_name(i),
                                                     .name_size = i->name_size});
        }
    }
    put_orphans(ns, e);
    for (uint32_t n = 0; n < ns->node_admins.count; n++) {
        put_node(ns, e, ns->node_admins.items[n].uuid);
    }
    put_sessions(ns, e);
}

/* ---- reading ---- */

void hd_view_load_init(struct hd_view_load *l)
{
    *l = (struct hd_view_load){0};
    hd_arena_init(&l->arena, 0);
}

void hd_view_load_done(struct hd_view_load *l)
{
    free(l->dentries);
    hd_arena_done(&l->arena);
}

static int load_counters(struct hd_ns *ns, struct hd_view_load *l, const Hdm__Counters *c)
{
    if (c->next_ino <= HD_ROOT_INO || c->next_block < HD_FIRST_BLOCK_ID ||
        c->next_gs < HD_FIRST_GENSTAMP) {
        return hd_fail(-HD_E_CORRUPT, "view: counters are too small");
    }
    ns->next_ino = c->next_ino;
    ns->next_block = c->next_block;
    ns->next_gs = c->next_gs;
    l->counters = true;
    return 0;
}

static int load_blocks(struct hd_ns *ns, struct hd_inode *i, const Hdm__Inode *m)
{
    for (size_t n = 0; n < m->n_blocks; n++) {
        const Hdm__StoredBlock *b = m->blocks[n];
        if (b->id == 0 && b->size > 0) {
            hd_file_add_block(i, hd_hole_new(b->size));
            continue;
        }
        if (b->id == 0 || hd_ns_block(ns, (struct hd_block_id){b->id}) != NULL) {
            return hd_fail(-HD_E_CORRUPT, "view: block %llu is in two files",
                           (unsigned long long)b->id);
        }
        hd_ns_new_block(ns, i, b)->state = HD_BLOCK_COMPLETE;
    }
    if (m->has_content) {
        hd_file_set_content(i, m->content.data, m->content.len);
    }
    return 0;
}

static int load_other(struct hd_ns *ns, struct hd_inode *i, const Hdm__OpenBlock *o)
{
    struct hd_open_file *f = hd_ns_open_file(ns, i);
    struct hd_blk *b = hd_ns_block(ns, (struct hd_block_id){o->id});
    if (b == NULL || b->file != i || hd_open_file_find(f, b) != NULL) {
        return hd_fail(-HD_E_CORRUPT, "view: the open block %llu is not in inode %llu",
                       (unsigned long long)o->id, (unsigned long long)i->ino.v);
    }
    struct hd_open_block *n = hd_open_file_add(f, b);
    n->recovery_gs.v = o->has_recovery_gs ? o->recovery_gs : 0;
    n->truncating = o->has_truncate_size;
    n->truncate_size_bytes = o->truncate_size;
    n->overwritten = o->has_overwritten && o->overwritten;
    n->fresh = o->has_fresh && o->fresh;
    hd_open_block_set_chain(n, o->chain, o->n_chain);
    return 0;
}

static int load_open(struct hd_ns *ns, struct hd_inode *i, const Hdm__OpenFile *o)
{
    hd_ns_open(ns, i, o->holder, o->machine);
    struct hd_open_file *f = hd_ns_open_file(ns, i);
    struct hd_blk *last = hd_file_last_block(i);
    f->content_block.v = o->has_content_block ? o->content_block : 0;
    for (size_t n = 0; n < o->n_others; n++) {
        int err = load_other(ns, i, o->others[n]);
        if (err < 0) {
            return err;
        }
    }
    if (last == NULL || hd_blk_is_hole(last)) {
        return 0;
    }
    if (o->committed) {
        last->state = HD_BLOCK_COMMITTED;
        return 0;
    }
    Hdm__OpenBlock b = HDM__OPEN_BLOCK__INIT;
    b.id = last->id.v;
    b.has_recovery_gs = o->has_recovery_gs;
    b.recovery_gs = o->recovery_gs;
    b.has_truncate_size = o->has_truncate_size;
    b.truncate_size = o->truncate_size;
    b.has_overwritten = o->has_overwritten;
    b.overwritten = o->overwritten;
    b.has_fresh = o->has_fresh;
    b.fresh = o->fresh;
    b.n_chain = o->n_chain;
    b.chain = o->chain;
    return load_other(ns, i, &b);
}

static bool names_fit(const Hdm__Inode *m)
{
    bool root = m->ino == HD_ROOT_INO;
    bool orphan = m->has_orphan && m->orphan;
    bool nameless = root || orphan;
    return m->name.len <= HD_NAME_MAX_BYTES && (m->parent == 0) == nameless &&
           (m->name.len == 0) == nameless && !(root && orphan) &&
           (!root || m->type == HDM__INODE_TYPE__DIRECTORY) &&
           (!orphan || (m->type != HDM__INODE_TYPE__DIRECTORY && m->type != HDM__INODE_TYPE__LINK));
}

static bool inode_fits(const struct hd_view_load *l, const Hdm__Inode *m)
{
    return m->ino > l->last_ino && names_fit(m) && m->type >= HDM__INODE_TYPE__DIRECTORY &&
           m->type <= HDM__INODE_TYPE__LINK &&
           (m->type != HDM__INODE_TYPE__SYMLINK || m->target != NULL) &&
           (m->type == HDM__INODE_TYPE__FILE || (m->n_blocks == 0 && m->open == NULL)) &&
           m->mode <= HD_MODE_BITS && m->replication <= HD_REPLICATION_MAX &&
           m->policy <= HD_POLICY_BITS && m->mtime_part_ns < NS_PER_MS &&
           m->atime_part_ns < NS_PER_MS;
}

static void load_times(struct hd_inode *i, const Hdm__Inode *m)
{
    i->mtime_ms = m->mtime_ms;
    i->atime_ms = m->atime_ms;
    i->mtime_part_ns = m->has_mtime_part_ns ? m->mtime_part_ns : 0;
    i->atime_part_ns = m->has_atime_part_ns ? m->atime_part_ns : 0;
    i->ctime_ns = m->ctime_ns;
    if (!m->has_ctime_ns) { /* of an older version, to which directories had no access time */
        i->ctime_ns = m->mtime_ms * NS_PER_MS;
        i->atime_ms = i->type == HD_INODE_DIR ? m->mtime_ms : m->atime_ms;
    }
}

/* A file comes before all its LINKs, since its number is lower. */
static int load_link(struct hd_ns *ns, struct hd_inode *i, const Hdm__Inode *m)
{
    struct hd_inode *file = hd_ns_inode(ns, m->link);
    if (!m->has_link || file == NULL || hd_inode_is_dir(file) || file->type == HD_INODE_LINK ||
        hd_inode_is_orphan(file)) {
        i->type = HD_INODE_FIFO; /* it has no file to be freed with */
        return hd_fail(-HD_E_CORRUPT, "view: inode %llu is a name of %llu, which is no file",
                       (unsigned long long)m->ino, (unsigned long long)m->link);
    }
    hd_links_add(ns, file, i);
    return 0;
}

static int load_body(struct hd_ns *ns, struct hd_inode *i, const Hdm__Inode *m)
{
    switch ((enum hd_inode_type)i->type) {
    case HD_INODE_FILE:
        i->replication = (uint16_t)m->replication;
        i->u.file.block_size_bytes = m->block_size;
        return load_blocks(ns, i, m);
    case HD_INODE_SYMLINK:
        i->u.target = hd_mem_str(m->target, strlen(m->target));
        return 0;
    case HD_INODE_CHAR:
    case HD_INODE_BLOCK:
        i->u.rdev = m->rdev;
        return 0;
    case HD_INODE_LINK:
        return load_link(ns, i, m);
    case HD_INODE_DIR:
    case HD_INODE_FIFO:
    case HD_INODE_SOCKET:
        return 0;
    }
    hd_unreachable();
}

static int load_inode(struct hd_ns *ns, struct hd_view_load *l, const Hdm__Inode *m)
{
    if (!inode_fits(l, m)) {
        return hd_fail(-HD_E_CORRUPT, "view: inode %llu makes no sense",
                       (unsigned long long)m->ino);
    }
    struct hd_inode *i = hd_inode_new((struct hd_ino){m->ino}, (enum hd_inode_type)m->type,
                                      (const char *)m->name.data, m->name.len);
    i->mode = (uint16_t)m->mode;
    i->user = hd_names_number(&ns->names, m->user);
    i->group = hd_names_number(&ns->names, m->group);
    load_times(i, m);
    i->policy = m->has_policy ? m->policy & HD_POLICY_BITS : 0;
    hd_ns_register(ns, i);
    l->last_ino = m->ino;
    i->loading_parent = m->parent;
    int err = load_body(ns, i, m);
    if (err < 0) {
        return err;
    }
    err = m->open != NULL ? load_open(ns, i, m->open) : 0;
    if (err < 0) {
        return err;
    }
    for (size_t n = 0; n < m->n_xattrs; n++) {
        hd_ns_set_xattr(ns, i, m->xattrs[n]);
    }
    hd_acl_put(ns, i, false, m->acl, m->n_acl);
    hd_acl_put(ns, i, true, m->default_acl, m->n_default_acl);
    if (m->has_name_quota || m->has_space_quota || m->has_byte_quota) {
        hd_ns_set_quotas(ns, i,
                         (struct hd_quota_limits){
                             .names = m->has_name_quota ? m->name_quota : -1,
                             .space_bytes = m->has_space_quota ? m->space_quota : -1,
                             .data_bytes = m->has_byte_quota ? m->byte_quota : -1,
                         });
    }
    if (m->ino == HD_ROOT_INO) {
        ns->root = i;
    } else if (m->parent == 0) {
        hd_orphans_add(ns, i);
    }
    return 0;
}

static int load_node(struct hd_ns *ns, const uint8_t *key, size_t key_size, const Hdm__NodeAdmin *m)
{
    if (m == NULL || strlen(m->uuid) != key_size - 1 ||
        memcmp(key + 1, m->uuid, key_size - 1) != 0 || m->wish == HD_WISH_NONE ||
        m->wish > HD_WISH_MAINTENANCE) {
        return hd_fail(-HD_E_CORRUPT, "view: a data node's administrative state does not decode");
    }
    hd_node_admins_set(&ns->node_admins, m);
    return 0;
}

static int load_session(struct hd_ns *ns, const uint8_t *key, size_t key_size,
                        const Hdm__Session *m)
{
    if (m == NULL || strlen(m->client_name) != key_size - 1 ||
        memcmp(key + 1, m->client_name, key_size - 1) != 0) {
        return hd_fail(-HD_E_CORRUPT, "view: a session does not decode");
    }
    hd_session_records_set(&ns->session_records, m);
    return 0;
}

int hd_view_load_key(struct hd_ns *ns, struct hd_view_load *l, const void *key, size_t key_size,
                     const void *value, size_t value_size)
{
    const uint8_t *k = key;
    ProtobufCAllocator allocator = hd_arena_allocator(&l->arena);
    hd_arena_reset(&l->arena);
    if (key_size == 1 && k[0] == KEY_COUNTERS) {
        Hdm__Counters *c = hdm__counters__unpack(&allocator, value_size, value);
        return c != NULL ? load_counters(ns, l, c)
                         : hd_fail(-HD_E_CORRUPT, "view: counters do not decode");
    }
    if (key_size > 9 && k[0] == KEY_DENTRY && value_size == 8) {
        HD_MEM_GROW(l->dentries, l->dentry_count, l->dentry_capacity);
        l->dentries[l->dentry_count++] =
            (struct hd_loaded_dentry){.parent = hd_get_be64(k + 1),
                                      .child = hd_get_be64(value),
                                      .name_hash = hd_hash_bytes(k + 9, key_size - 9)};
        return 0;
    }
    if (key_size == 9 && k[0] == KEY_INODE) {
        if (l->last_ino == 0) { /* the first: its entries tell how many there are */
            hd_ns_reserve_load(ns, l->dentry_count + 1);
        }
        Hdm__Inode *m = hdm__inode__unpack(&allocator, value_size, value);
        if (m == NULL || m->ino != hd_get_be64(k + 1)) {
            return hd_fail(-HD_E_CORRUPT, "view: inode %llu does not decode",
                           (unsigned long long)hd_get_be64(k + 1));
        }
        return load_inode(ns, l, m);
    }
    if (key_size > 1 && k[0] == KEY_NODE) {
        return load_node(ns, k, key_size, hdm__node_admin__unpack(&allocator, value_size, value));
    }
    if (key_size > 1 && k[0] == KEY_SESSION) {
        return load_session(ns, k, key_size, hdm__session__unpack(&allocator, value_size, value));
    }
    return hd_fail(-HD_E_CORRUPT, "view: unknown key of %zu bytes", key_size);
}

/* Entries come in the order of their keys: by directory, then by name. */
static int link_dentry(struct hd_ns *ns, struct hd_inode *parent, const struct hd_loaded_dentry *d)
{
    struct hd_inode *i = hd_ns_inode(ns, d->child);
    if (parent == NULL || !hd_inode_is_dir(parent)) {
        return hd_fail(-HD_E_CORRUPT, "view: inode %llu is in %llu, which is no directory",
                       (unsigned long long)d->child, (unsigned long long)d->parent);
    }
    if (i == NULL || i->parent != NULL || i->loading_parent != d->parent ||
        hd_hash_bytes(hd_inode_name(i), i->name_size) != d->name_hash) {
        return hd_fail(-HD_E_CORRUPT, "view: an entry of %llu says it is inode %llu, which is not",
                       (unsigned long long)d->parent, (unsigned long long)d->child);
    }
    if (d->child >= ns->next_ino) {
        return hd_fail(-HD_E_CORRUPT, "view: inode %llu is beyond the counter",
                       (unsigned long long)d->child);
    }
    if (!hd_ns_link_last(ns, parent, i)) {
        return hd_fail(-HD_E_CORRUPT, "view: the entries of %llu are not in order at %s",
                       (unsigned long long)d->parent, hd_inode_name(i));
    }
    return 0;
}

/* How many inodes the root leads to, itself included. */
static uint64_t count_reached(struct hd_inode *root)
{
    struct hd_inode **directories = NULL; /* still to be looked into */
    size_t count = 0;
    size_t capacity = 0;
    uint64_t reached = 1;
    HD_MEM_GROW(directories, count, capacity);
    directories[count++] = root;
    while (count > 0) {
        const struct hd_children *children = &directories[--count]->u.children;
        struct hd_children_at at = {0, 0};
        for (struct hd_inode *i; (i = hd_children_next(children, &at)) != NULL; reached++) {
            if (hd_inode_is_dir(i) && i->u.children.count > 0) {
                HD_MEM_GROW(directories, count, capacity);
                directories[count++] = i;
            }
        }
    }
    free(directories);
    return reached;
}

int hd_view_load_link(struct hd_ns *ns, struct hd_view_load *l)
{
    if (ns->root == NULL || !l->counters) {
        return hd_fail(-HD_E_CORRUPT, "view: no root or no counters");
    }
    struct hd_inode *parent = NULL;
    hd_ns_reserve(ns, l->dentry_count);
    for (size_t n = 0; n < l->dentry_count; n++) {
        if (parent == NULL || parent->ino.v != l->dentries[n].parent) {
            parent = hd_ns_inode(ns, l->dentries[n].parent);
        }
        int err = link_dentry(ns, parent, &l->dentries[n]);
        if (err < 0) {
            return err;
        }
    }
    uint64_t reached = count_reached(ns->root);
    if (reached + ns->orphans.count != ns->inodes.count || reached != l->dentry_count + 1) {
        return hd_fail(-HD_E_CORRUPT,
                       "view: %llu inodes, %llu reached, %llu entries, %llu without a name",
                       (unsigned long long)ns->inodes.count, (unsigned long long)reached,
                       (unsigned long long)l->dentry_count, (unsigned long long)ns->orphans.count);
    }
    hd_ns_count_quotas(ns);
    return 0;
}
