/* ClientProtocol: reading the namespace. */
#include "meta/core/op.h"

#define REQUEST(type) const type *q = c->request

/* Found, or FileNotFoundException with this sentence. */
static int find(struct hd_call *c, const char *path, const char *fmt, struct hd_where *ret)
{
    int err = hd_resolve(c, path, HD_FOLLOW, ret);
    if (err < 0) {
        return err;
    }
    if (ret->inode == NULL) {
        char text[64];
        snprintf(text, sizeof(text), "%s", fmt); /* "...: " and the path behind it */
        return hd_call_fail(c, -ENOENT, "%s%s", text, path);
    }
    return 0;
}

/* Also a fifo and the like: to HDFS an empty file. */
static int find_file(struct hd_call *c, const char *path, struct hd_where *ret)
{
    int err = find(c, path, "File does not exist: ", ret);
    if (err == 0 && (hd_inode_is_dir(ret->inode) || ret->inode->type == HD_INODE_SYMLINK)) {
        return hd_call_fail(c, -ENOENT, "Path is not a file: %s", path);
    }
    return err;
}

/* "/.reserved" itself has no inode; its children cannot be listed. */
static int status_of(struct hd_call *c, const char *path, unsigned flags, bool with_blocks,
                     Hdw__HdfsFileStatus **ret)
{
    struct hd_where w;
    int err = hd_resolve(c, path, flags, &w);
    if (err < 0) {
        return err;
    }
    *ret = w.inode != NULL ? hd_status(c, w.inode, false, with_blocks) : NULL;
    if (w.inode == c->ns->root) {
        (*ret)->flags =
            HDW__FLAGS__STATUS_FLAG_SNAPSHOT_ENABLED; /* as HDFS's root has from birth */
    }
    return 0;
}

int hd_op_get_file_info(struct hd_call *c)
{
    REQUEST(Hdw__GetFileInfoRequest);
    Hdw__GetFileInfoResponse *r =
        HD_MSG(c->m, Hdw__GetFileInfoResponse, hdw__get_file_info_response);
    int err = status_of(c, q->src, HD_FOLLOW, false, &r->fs);
    return err < 0 ? err : hd_call_done(c, &r->base);
}

int hd_op_get_file_link_info(struct hd_call *c)
{
    REQUEST(Hdw__GetFileLinkInfoRequest);
    Hdw__GetFileLinkInfoResponse *r =
        HD_MSG(c->m, Hdw__GetFileLinkInfoResponse, hdw__get_file_link_info_response);
    int err = status_of(c, q->src, 0, false, &r->fs);
    return err < 0 ? err : hd_call_done(c, &r->base);
}

int hd_op_get_located_file_info(struct hd_call *c)
{
    REQUEST(Hdw__GetLocatedFileInfoRequest);
    Hdw__GetLocatedFileInfoResponse *r =
        HD_MSG(c->m, Hdw__GetLocatedFileInfoResponse, hdw__get_located_file_info_response);
    int err = status_of(c, q->src, HD_FOLLOW, true, &r->fs);
    return err < 0 ? err : hd_call_done(c, &r->base);
}

/* A continuation may name the last entry by its inode. */
static int start_name(struct hd_call *c, const ProtobufCBinaryData *after, const char **ret_name,
                      size_t *ret_size)
{
    static const char prefix[] = "/.reserved/.inodes/";
    *ret_name = (const char *)after->data;
    *ret_size = after->len;
    if (after->len < sizeof(prefix) - 1 || memcmp(after->data, prefix, sizeof(prefix) - 1) != 0) {
        return 0;
    }
    struct hd_where w;
    int err = hd_resolve(c, hd_call_printf(c, "%.*s", (int)after->len, (char *)after->data), 0, &w);
    if (err == 0 && w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Directory listing startAfter not found: %.*s",
                            (int)after->len, (char *)after->data);
    }
    if (err == 0) {
        *ret_name = hd_inode_name(w.inode);
        *ret_size = w.inode->name_size;
    }
    return err;
}

/* One page of a directory, or the single entry of a file; NULL: nothing there. */
static int list_page(struct hd_call *c, const char *path, const ProtobufCBinaryData *after,
                     bool with_blocks, uint32_t limit, Hdw__DirectoryListing **ret)
{
    struct hd_where w;
    const char *name = "";
    size_t name_size = 0;
    *ret = NULL;
    int err = hd_resolve(c, path, HD_FOLLOW, &w);
    if (err < 0 || w.inode == NULL) {
        return err;
    }
    Hdw__DirectoryListing *l = HD_MSG(c->m, Hdw__DirectoryListing, hdw__directory_listing);
    *ret = l;
    if (!hd_inode_is_dir(w.inode)) {
        l->partial_listing = HD_TURN_ARRAY(c->m, Hdw__HdfsFileStatus *, 1);
        l->partial_listing[l->n_partial_listing++] = hd_status(c, w.inode, false, with_blocks);
        return 0;
    }
    err = hd_check_access(c, w.inode, HD_R | HD_X);
    if (err == 0) {
        err = start_name(c, after, &name, &name_size);
    }
    if (err < 0) {
        return err;
    }
    const struct hd_children *children = &w.inode->u.children;
    struct hd_children_at at = hd_children_after(children, name, name_size);
    uint32_t room = HD_MIN(limit, hd_children_remaining(children, at));
    uint64_t locations = 0;
    l->partial_listing = HD_TURN_ARRAY(c->m, Hdw__HdfsFileStatus *, room);
    while (l->n_partial_listing < room && locations < limit) {
        struct hd_inode *child = hd_children_next(children, &at);
        l->partial_listing[l->n_partial_listing++] = hd_status(c, child, true, with_blocks);
        const struct hd_inode *file = hd_inode_of_entry(child);
        if (with_blocks && hd_inode_is_file(file)) {
            locations += (uint64_t)file->u.file.block_count * file->replication;
        }
    }
    l->remaining_entries = hd_children_remaining(children, at);
    return 0;
}

int hd_op_get_listing(struct hd_call *c)
{
    REQUEST(Hdw__GetListingRequest);
    Hdw__GetListingResponse *r = HD_MSG(c->m, Hdw__GetListingResponse, hdw__get_listing_response);
    int err =
        list_page(c, q->src, &q->start_after, q->need_location, c->m->o.list_limit, &r->dir_list);
    return err < 0 ? err : hd_call_done(c, &r->base);
}

/* The continuation of a batched listing is ours to define: a BatchedListingKey. */
static void decode_batch_key(struct hd_call *c, const ProtobufCBinaryData *in, size_t *ret_index,
                             ProtobufCBinaryData *ret_after)
{
    ProtobufCAllocator allocator = hd_arena_allocator(&c->m->fx->arena);
    Hdw__BatchedListingKey *key =
        in->len > 0 ? hdw__batched_listing_key__unpack(&allocator, in->len, in->data) : NULL;
    *ret_index = key != NULL ? key->path_index : 0;
    *ret_after = key != NULL ? key->start_after : (ProtobufCBinaryData){0};
}

static ProtobufCBinaryData encode_batch_key(struct hd_call *c, size_t index,
                                            const Hdw__HdfsFileStatus *last)
{
    Hdw__BatchedListingKey key = HDW__BATCHED_LISTING_KEY__INIT;
    key.path_index = (uint32_t)index;
    if (last != NULL) {
        key.start_after = last->path;
    }
    ProtobufCBinaryData out;
    out.len = hdw__batched_listing_key__get_packed_size(&key);
    out.data = hd_meta_alloc(c->m, out.len);
    hdw__batched_listing_key__pack(&key, out.data);
    return out;
}

int hd_op_get_batched_listing(struct hd_call *c)
{
    REQUEST(Hdw__GetBatchedListingRequest);
    Hdw__GetBatchedListingResponse *r =
        HD_MSG(c->m, Hdw__GetBatchedListingResponse, hdw__get_batched_listing_response);
    size_t index;
    ProtobufCBinaryData after;
    if (q->n_paths > 100) {
        return hd_call_fail(c, -HD_E_JAVA_ILLEGAL_ARGUMENT,
                            "Too many source paths (%zu), maximum is 100", q->n_paths);
    }
    decode_batch_key(c, &q->start_after, &index, &after);
    uint32_t room = c->m->o.list_limit;
    r->listings = HD_TURN_ARRAY(c->m, Hdw__BatchedDirectoryListing *, q->n_paths);
    for (; index < q->n_paths && room > 0; index++) {
        Hdw__BatchedDirectoryListing *b =
            HD_MSG(c->m, Hdw__BatchedDirectoryListing, hdw__batched_directory_listing);
        Hdw__DirectoryListing *l;
        int err = list_page(c, q->paths[index], &after, q->need_location, room, &l);
        if (err == 0 && l == NULL) {
            err = hd_call_fail(c, -ENOENT, "%s", q->paths[index]);
        }
        b->parent_idx = (uint32_t)index;
        r->listings[r->n_listings++] = b;
        after = (ProtobufCBinaryData){0};
        if (err < 0) {
            b->exception = HD_MSG(c->m, Hdw__RemoteException, hdw__remote_exception);
            b->exception->class_name = hd_unconst(hd_error_class(err));
            b->exception->message = hd_unconst(c->text);
            continue;
        }
        b->n_partial_listing = l->n_partial_listing;
        b->partial_listing = l->partial_listing;
        room -= (uint32_t)HD_MIN((size_t)room, l->n_partial_listing);
        if (l->remaining_entries > 0) {
            r->has_more = true;
            r->start_after =
                encode_batch_key(c, index, l->partial_listing[l->n_partial_listing - 1]);
            return hd_call_done(c, &r->base);
        }
    }
    r->has_more = index < q->n_paths;
    r->start_after = encode_batch_key(c, index, NULL);
    return hd_call_done(c, &r->base);
}

/* A read moves the access time, when it is older than the precision asked for. */
static void touch_atime(struct hd_call *c, struct hd_inode *file)
{
    int64_t precision_ms = c->m->o.atime_precision_ms;
    if (precision_ms <= 0 || hd_safe_mode_on(c->m) ||
        c->m->wall.v <= file->atime_ms + precision_ms) {
        return;
    }
    Hdm__SetAttributes op = HDM__SET_ATTRIBUTES__INIT;
    Hdm__EditRecord r = HDM__EDIT_RECORD__INIT;
    op.ino = file->ino.v;
    op.has_atime_ms = true;
    op.atime_ms = c->m->wall.v;
    op.has_keep_ctime = op.keep_ctime = true;
    r.op_case = HDM__EDIT_RECORD__OP_SET_ATTRIBUTES;
    r.set_attributes = &op;
    hd_meta_commit(c->m, &r);
    c->committed = false; /* the reader need not wait for it */
}

int hd_op_get_block_locations(struct hd_call *c)
{
    REQUEST(Hdw__GetBlockLocationsRequest);
    struct hd_where w;
    if ((int64_t)q->offset < 0 || (int64_t)q->length < 0) {
        return hd_call_fail(c, -HD_E_JAVA_ILLEGAL_ARGUMENT,
                            "Negative %s is not supported. File: %s",
                            (int64_t)q->offset < 0 ? "offset" : "length", q->src);
    }
    int err = find_file(c, q->src, &w);
    if (err == 0) {
        err = hd_check_access(c, w.inode, HD_R);
    }
    if (err < 0) {
        return err;
    }
    Hdw__GetBlockLocationsResponse *r =
        HD_MSG(c->m, Hdw__GetBlockLocationsResponse, hdw__get_block_locations_response);
    r->locations = hd_located_blocks(c, w.inode, q->offset, HD_MAX(q->length, (uint64_t)1));
    for (size_t i = 0; c->m->safe.starting && i < r->locations->n_blocks; i++) {
        if (r->locations->blocks[i]->n_locs == 0) {
            return hd_call_check_safe_mode(c, "Zero blocklocations for %s", q->src);
        }
    }
    touch_atime(c, w.inode);
    return hd_call_done(c, &r->base);
}

int hd_op_is_file_closed(struct hd_call *c)
{
    REQUEST(Hdw__IsFileClosedRequest);
    struct hd_where w;
    int err = find_file(c, q->src, &w);
    if (err < 0) {
        return err;
    }
    Hdw__IsFileClosedResponse *r =
        HD_MSG(c->m, Hdw__IsFileClosedResponse, hdw__is_file_closed_response);
    r->result = !hd_inode_is_open(w.inode);
    return hd_call_done(c, &r->base);
}

int hd_op_get_preferred_block_size(struct hd_call *c)
{
    REQUEST(Hdw__GetPreferredBlockSizeRequest);
    struct hd_where w;
    int err = find_file(c, q->filename, &w);
    if (err < 0) {
        return err;
    }
    Hdw__GetPreferredBlockSizeResponse *r =
        HD_MSG(c->m, Hdw__GetPreferredBlockSizeResponse, hdw__get_preferred_block_size_response);
    r->bsize = hd_inode_is_file(w.inode) ? w.inode->u.file.block_size_bytes
                                         : c->m->o.block_size_bytes; /* a fifo and the like */
    return hd_call_done(c, &r->base);
}

static int check_summary_access(struct hd_call *c, struct hd_inode *top)
{
    for (struct hd_inode *i = top; !c->superuser && i != NULL; i = hd_ns_walk(top, i)) {
        int err = hd_inode_is_dir(i) ? hd_check_access(c, i, HD_R | HD_X) : 0;
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* The quota shown: the root's name quota is the largest number while none is set. */
static void quota_of(struct hd_call *c, const struct hd_inode *i, int64_t *ret_names,
                     int64_t *ret_space)
{
    const struct hd_quota *q = hd_ns_quota(c->ns, i);
    *ret_names = q != NULL ? q->names : -1;
    *ret_space = q != NULL ? q->space_bytes : -1;
    if (i == c->ns->root && *ret_names < 0) {
        *ret_names = INT64_MAX;
    }
}

int hd_op_get_content_summary(struct hd_call *c)
{
    REQUEST(Hdw__GetContentSummaryRequest);
    struct hd_where w;
    int64_t names;
    int64_t space;
    int err = find(c, q->path, "File does not exist: ", &w);
    if (err == 0) {
        err = check_summary_access(c, w.inode);
    }
    if (err < 0) {
        return err;
    }
    struct hd_usage_sum sum = hd_ns_usage(w.inode);
    quota_of(c, w.inode, &names, &space);
    Hdw__GetContentSummaryResponse *r =
        HD_MSG(c->m, Hdw__GetContentSummaryResponse, hdw__get_content_summary_response);
    Hdw__ContentSummary *s = HD_MSG(c->m, Hdw__ContentSummary, hdw__content_summary);
    r->summary = s;
    s->length = sum.size_bytes;
    s->file_count = sum.files;
    s->directory_count = sum.directories;
    s->space_consumed = sum.space_bytes;
    s->quota = (uint64_t)names;
    s->space_quota = (uint64_t)space;
    s->has_snapshot_length = s->has_snapshot_file_count = true;
    s->has_snapshot_directory_count = s->has_snapshot_space_consumed = true;
    s->erasure_coding_policy = hd_unconst(hd_inode_is_dir(w.inode) ? "" : "Replicated");
    return hd_call_done(c, &r->base);
}

int hd_op_get_quota_usage(struct hd_call *c)
{
    REQUEST(Hdw__GetQuotaUsageRequest);
    struct hd_where w;
    int64_t names;
    int64_t space;
    int err = find(c, q->path, "File/Directory does not exist: ", &w);
    if (err == 0) {
        err = check_summary_access(c, w.inode);
    }
    if (err < 0) {
        return err;
    }
    struct hd_usage_sum sum = hd_ns_usage(w.inode);
    quota_of(c, w.inode, &names, &space);
    Hdw__GetQuotaUsageResponse *r =
        HD_MSG(c->m, Hdw__GetQuotaUsageResponse, hdw__get_quota_usage_response);
    r->usage = HD_MSG(c->m, Hdw__QuotaUsage, hdw__quota_usage);
    r->usage->file_and_directory_count = sum.files + sum.directories;
    r->usage->space_consumed = sum.space_bytes;
    r->usage->quota = (uint64_t)names;
    r->usage->space_quota = (uint64_t)space;
    return hd_call_done(c, &r->base);
}

int hd_op_check_access(struct hd_call *c)
{
    REQUEST(Hdw__CheckAccessRequest);
    struct hd_where w;
    int err = find(c, q->path, "Path not found: ", &w);
    if (err == 0) {
        err = hd_check_access(c, w.inode, (unsigned)q->mode);
    }
    if (err < 0) {
        return err;
    }
    return hd_call_done(c,
                        &HD_MSG(c->m, Hdw__CheckAccessResponse, hdw__check_access_response)->base);
}

int hd_op_get_link_target(struct hd_call *c)
{
    REQUEST(Hdw__GetLinkTargetRequest);
    struct hd_where w;
    int err = hd_resolve(c, q->path, 0, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "File does not exist: %s", q->path);
    }
    if (w.inode->type != HD_INODE_SYMLINK) {
        return hd_call_fail(c, -HD_E_IO, "Path %s is not a symbolic link", q->path);
    }
    Hdw__GetLinkTargetResponse *r =
        HD_MSG(c->m, Hdw__GetLinkTargetResponse, hdw__get_link_target_response);
    r->target_path = w.inode->u.target;
    return hd_call_done(c, &r->base);
}

int hd_op_get_enclosing_root(struct hd_call *c)
{
    REQUEST(Hdw__GetEnclosingRootRequest);
    struct hd_where w;
    int err = hd_resolve(c, q->filename, 0, &w);
    if (err < 0) {
        return err;
    }
    Hdw__GetEnclosingRootResponse *r =
        HD_MSG(c->m, Hdw__GetEnclosingRootResponse, hdw__get_enclosing_root_response);
    r->enclosing_root_path = hd_unconst("/");
    return hd_call_done(c, &r->base);
}
