/*
 * At most once, over restarts: each call of methods.def that is kept in the retry cache, repeated
 * with its ids after a kill -9, gets the same answer and changes nothing a second time.
 */
#include "harness.h"

/* Sends, restarts, sends again. */
static void check_repeated(struct world *w, const char *method, const void *request)
{
    static int32_t call_id = 100;
    w->call_id = ++call_id;
    struct answer *a = world_call(w, method, request);
    ATF_REQUIRE_MSG(a->err == 0, "%s: %s", method, a->text);
    struct bytes first = bytes_of(a->body.data, a->body.size);
    for (int restarts = 0; restarts < 2; restarts++) {
        size_t records = w->record_count;
        a = world_call(w, method, request);
        ATF_CHECK_MSG(a->err == 0, "%s again: %s", method, a->text);
        ATF_CHECK_MSG(a->body.size == first.size &&
                          memcmp(a->body.data, first.data, first.size) == 0,
                      "%s is answered otherwise after %d restarts", method, restarts);
        ATF_CHECK_MSG(w->record_count <= records + 1, "%s ran again", method); /* open_life */
        world_restart(w);
        for (int n = 1; n <= 3; n++) {
            node_register(w, n);
            node_beat(w, n);
        }
        w->m->safe.starting = false; /* the blocks of the next calls are not reported yet */
    }
    free(first.data);
    w->call_id = -1;
    world_check(w);
}

#define REQUEST(Type, lower, ...)                                                                  \
    (&(Hdw__##Type##Request){PROTOBUF_C_MESSAGE_INIT(&hdw__##lower##_request__descriptor),         \
                             __VA_ARGS__})

static void three_nodes(struct world *w)
{
    world_init(w);
    for (int n = 1; n <= 3; n++) {
        node_start(w, n);
    }
}

ATF_TC_WITHOUT_HEAD(names_come_and_go_once);
ATF_TC_BODY(names_come_and_go_once, tc)
{
    struct world w;
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    p.perm = 0755;
    three_nodes(&w);
    check_repeated(
        &w, "mkdirs",
        REQUEST(Mkdirs, mkdirs, .src = S("/a/b/c"), .masked = &p, .create_parent = true));
    check_repeated(&w, "mkdirs", REQUEST(Mkdirs, mkdirs, .src = S("/d"), .masked = &p));
    check_repeated(&w, "create",
                   REQUEST(Create, create, .src = S("/d/f"), .masked = &p, .client_name = S("c"),
                           .create_flag = 1, .create_parent = true, .replication = 3,
                           .block_size = 1 << 20));
    ATF_CHECK(do_complete(&w, "/d/f", "c", NULL));
    check_repeated(&w, "create",
                   REQUEST(Create, create, .src = S("/d/f"), .masked = &p, .client_name = S("c"),
                           .create_flag = 3, .create_parent = true, .replication = 2,
                           .block_size = 1 << 20));
    ATF_CHECK(do_complete(&w, "/d/f", "c", NULL));
    check_repeated(&w, "createSymlink",
                   REQUEST(CreateSymlink, create_symlink, .target = S("/d/f"), .link = S("/d/l"),
                           .dir_perm = &p));
    check_repeated(&w, "rename", REQUEST(Rename, rename, .src = S("/d/f"), .dst = S("/d/g")));
    check_repeated(&w, "rename2", REQUEST(Rename2, rename2, .src = S("/d/g"), .dst = S("/d/h")));
    do_create(&w, "/d/k", "c");
    ATF_CHECK(do_complete(&w, "/d/k", "c", NULL));
    check_repeated(
        &w, "rename2",
        REQUEST(Rename2, rename2, .src = S("/d/h"), .dst = S("/d/k"), .overwrite_dest = true));
    check_repeated(&w, "delete", REQUEST(Delete, delete, .src = S("/d/k")));
    check_repeated(&w, "delete", REQUEST(Delete, delete, .src = S("/a"), .recursive = true));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(attributes_are_set_once);
ATF_TC_BODY(attributes_are_set_once, tc)
{
    struct world w;
    Hdw__XAttr x = HDW__XATTR__INIT;
    three_nodes(&w);
    do_mkdirs(&w, "/d", 0755);
    x.name = S("n");
    x.has_value = true;
    x.value = (ProtobufCBinaryData){1, (uint8_t *)S("v")};
    check_repeated(&w, "setXAttr",
                   REQUEST(SetXAttr, set_xattr, .src = S("/d"), .x_attr = &x, .has_flag = true,
                           .flag = 1)); /* CREATE: a second one would fail */
    x.has_value = false;
    check_repeated(&w, "removeXAttr",
                   REQUEST(RemoveXAttr, remove_xattr, .src = S("/d"), .x_attr = &x));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(files_are_opened_joined_and_their_chains_changed_once);
ATF_TC_BODY(files_are_opened_joined_and_their_chains_changed_once, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/a", 1 << 20);
    do_write(&w, "/b", 1000);
    check_repeated(
        &w, "concat",
        REQUEST(Concat, concat, .trg = S("/a"), .n_srcs = 1, .srcs = (char *[]){S("/b")}));
    do_write(&w, "/full", 1 << 20);
    check_repeated(&w, "append", REQUEST(Append, append, .src = S("/full"), .client_name = S("c")));
    do_create(&w, "/f", "c");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c", NULL);
    Hdw__LocatedBlock *fresh = CALL(&w, "updateBlockForPipeline", UpdateBlockForPipeline,
                                    update_block_for_pipeline, .block = l->b, .client_name = S("c"))
                                   ->block;
    Hdw__DatanodeID *ids[] = {l->locs[0]->id, l->locs[1]->id};
    fresh->b->num_bytes = 100;
    check_repeated(&w, "updatePipeline",
                   REQUEST(UpdatePipeline, update_pipeline, .client_name = S("c"),
                           .old_block = l->b, .new_block = fresh->b, .n_new_nodes = 2,
                           .new_nodes = ids, .n_storage_i_ds = 2, .storage_i_ds = l->storage_i_ds));
    world_done(&w);
}

/* The block that append answers: where it is is known only from nodes that have reported. */
ATF_TC_WITHOUT_HEAD(an_append_is_answered_with_its_block_again);
ATF_TC_BODY(an_append_is_answered_with_its_block_again, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 1000);
    w.call_id = 7;
    Hdw__AppendResponse *first =
        CALL(&w, "append", Append, append, .src = S("/f"), .client_name = S("c"));
    world_restart(&w);
    for (int n = 1; n <= 3; n++) {
        node_register(&w, n);
        node_beat(&w, n);
        node_report(&w, n, (const uint64_t[][3]){{b->block_id, 1000, b->generation_stamp}}, 1);
    }
    Hdw__AppendResponse *second =
        CALL(&w, "append", Append, append, .src = S("/f"), .client_name = S("c"));
    ATF_REQUIRE(first->block != NULL && second->block != NULL);
    ATF_CHECK_EQ(first->block->b->block_id, second->block->b->block_id);
    ATF_CHECK_EQ(first->block->b->generation_stamp, second->block->b->generation_stamp);
    ATF_CHECK_EQ(first->block->b->num_bytes, second->block->b->num_bytes);
    ATF_CHECK_EQ(second->block->n_locs, 3);
    w.call_id = -1;
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, names_come_and_go_once);
    ATF_TP_ADD_TC(tp, attributes_are_set_once);
    ATF_TP_ADD_TC(tp, files_are_opened_joined_and_their_chains_changed_once);
    ATF_TP_ADD_TC(tp, an_append_is_answered_with_its_block_again);
    return atf_no_error();
}
