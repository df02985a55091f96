/* The list of witnesses, and asking them. See witnesses.h. */
#include "meta/shell/witnesses.h"
#include "meta/shell/dirs.h"
#include "meta/shell/threads.h"
#include "fs/base/arena.h"
#include "fs/base/error.h"
#include "fs/net/rpc_client.h"
#include "fs/os/file.h"
#include "fs/wire/methods.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    FILE_MAX_BYTES = 256 << 10,
    THREADS_MAX = 32,
    CONNECT_TIMEOUT_MS = 400,
    CALL_TIMEOUT_MS = 800, /* with an fsync in it */
};

/* --- the list --- */

static int reserve(struct hd_witness_list *l)
{
    if (l->entries == NULL) {
        l->entries = calloc(HD_WITNESSES_MAX, sizeof(*l->entries));
    }
    return l->entries != NULL ? 0 : -ENOMEM;
}

static int parse(struct hd_witness_list *l, char *text)
{
    bool end = false;
    for (char *line = strsep(&text, "\n"); line != NULL && !end; line = strsep(&text, "\n")) {
        struct hd_witness_entry e;
        if (sscanf(line, "version %" SCNu64, &l->version) == 1) {
            continue;
        }
        end = strcmp(line, "end") == 0;
        if (sscanf(line, "%79s %79s", e.uuid, e.address) == 2 && l->count < HD_WITNESSES_MAX) {
            l->entries[l->count++] = e;
        }
    }
    return end ? 0 : -HD_E_CORRUPT;
}

int hd_witness_list_load(const char *dir, struct hd_witness_list *ret)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    char path[4096];
    *ret = (struct hd_witness_list){0};
    snprintf(path, sizeof(path), "%s/witnesses", dir);
    int err = hd_file_read(path, FILE_MAX_BYTES, &text);
    if (err == -ENOENT) {
        return 0;
    }
    if (err == 0) {
        err = reserve(ret);
    }
    if (err == 0) {
        err = hd_buf_str(&text) == NULL ? -ENOMEM : parse(ret, (char *)text.data);
    }
    if (err < 0) {
        hd_witness_list_done(ret);
        return hd_fail(err, "%s: %s", path, hd_error_name(err));
    }
    return 0;
}

int hd_witness_list_store(const char *dir, const struct hd_witness_list *l)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = FILE_MAX_BYTES};
    char path[4096];
    snprintf(path, sizeof(path), "%s/witnesses", dir);
    int err = hd_buf_addf(&text, "version %" PRIu64 "\n", l->version);
    for (uint32_t i = 0; i < l->count && err == 0; i++) {
        err = hd_buf_addf(&text, "%s %s\n", l->entries[i].uuid, l->entries[i].address);
    }
    if (err == 0) {
        err = hd_buf_add_str(&text, "end\n");
    }
    return err < 0 ? err : hd_file_replace(path, text.data, text.size, 0644);
}

int hd_witness_list_load_any(const char *dirs, struct hd_witness_list *ret)
{
    char list[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    int err = hd_dirs_split(dirs, list, &count);
    int bad = 0;
    *ret = (struct hd_witness_list){0};
    for (size_t i = 0; err == 0 && i < count; i++) {
        struct hd_witness_list l;
        err = hd_witness_list_load(list[i], &l);
        if (err == -HD_E_CORRUPT) {
            bad = err; /* the other directories may have it */
            err = 0;
            continue;
        }
        struct hd_witness_list *drop = l.version > ret->version ? ret : &l;
        if (err == 0) {
            hd_witness_list_done(drop);
            *ret = drop == ret ? l : *ret;
        }
    }
    if (err == 0 && bad < 0 && ret->version == 0) {
        return hd_fail(bad, "%s: the list of witnesses is damaged", dirs); /* not: there are none */
    }
    return err;
}

int hd_witness_list_store_all(struct hd_edit_log *log, const struct hd_witness_list *l)
{
    struct hd_edit_log_dir dirs[HD_DIRS_MAX];
    size_t count = hd_edit_log_dirs(log, dirs);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        if (dirs[i].failed == NULL) {
            err = hd_witness_list_store(dirs[i].dir, l);
        }
    }
    return err;
}

int hd_witness_list_copy(const struct hd_witness_list *from, struct hd_witness_list *ret)
{
    *ret = (struct hd_witness_list){.version = from->version};
    if (from->count > 0) {
        if (reserve(ret) < 0) {
            return -ENOMEM;
        }
        memcpy(ret->entries, from->entries, from->count * sizeof(*from->entries));
        ret->count = from->count;
    }
    return 0;
}

void hd_witness_list_done(struct hd_witness_list *l)
{
    free(l->entries);
    *l = (struct hd_witness_list){0};
}

static void remove_at(struct hd_witness_list *l, uint32_t i)
{
    l->entries[i] = l->entries[--l->count];
    l->version++;
}

bool hd_witness_list_note(struct hd_witness_list *l, const char *uuid, const char *address)
{
    if (reserve(l) < 0 || strlen(uuid) >= HD_WITNESS_TEXT_BYTES || uuid[0] == '\0' ||
        strpbrk(uuid, " \t\r\n\v\f") != NULL || strcmp(uuid, "version") == 0 ||
        strlen(address) >= HD_WITNESS_TEXT_BYTES) {
        return false;
    }
    uint64_t before = l->version;
    bool found = false;
    for (uint32_t i = 0; i < l->count; i++) {
        struct hd_witness_entry *e = &l->entries[i];
        bool same_node = strcmp(e->uuid, uuid) == 0;
        bool same_place = strcmp(e->address, address) == 0;
        if (same_node && same_place) {
            found = true;
        } else if (same_node || same_place) {
            remove_at(l, i--); /* it moved, or another took its place */
        }
    }
    if (!found && l->count < HD_WITNESSES_MAX) {
        struct hd_witness_entry *e = &l->entries[l->count++];
        snprintf(e->uuid, sizeof(e->uuid), "%s", uuid);
        snprintf(e->address, sizeof(e->address), "%s", address);
        l->version++;
    }
    return l->version != before;
}

/* --- asking --- */

struct asking {
    const struct hd_witness_list *list;
    const Hdw__WitnessRequest *request;
    const char *user;
    hd_witness_fn fn;
    void *ctx;
    pthread_mutex_t lock; /* guards next and the calls of fn */
    uint32_t next;
};

static void ask_one(struct asking *a, const char *address)
{
    const struct hd_rpc_client_options o = {.address = address,
                                            .protocol = HD_PROTOCOL_DATA,
                                            .user = a->user,
                                            .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                            .call_timeout_ms = CALL_TIMEOUT_MS};
    struct hd_rpc_client *client = NULL;
    struct hd_arena arena;
    ProtobufCMessage *m = NULL;
    hd_arena_init(&arena, 0);
    const struct hd_rpc_args args = {.method = "witness",
                                     .request = &a->request->base,
                                     .response_type = &hdw__witness_response__descriptor,
                                     .arena = &arena,
                                     .timeout_ms = CALL_TIMEOUT_MS,
                                     .call_id = -1};
    int err = hd_rpc_client_new(&o, &client);
    if (err == 0) {
        err = hd_rpc_call(client, &args, &m, NULL);
    }
    pthread_mutex_lock(&a->lock);
    a->fn(a->ctx, err, err == 0 ? (const Hdw__WitnessResponse *)m : NULL);
    pthread_mutex_unlock(&a->lock);
    hd_rpc_client_free(client);
    hd_arena_done(&arena);
}

static void *run(void *ctx)
{
    struct asking *a = ctx;
    for (;;) {
        pthread_mutex_lock(&a->lock);
        uint32_t i = a->next++;
        pthread_mutex_unlock(&a->lock);
        if (i >= a->list->count) {
            return NULL;
        }
        ask_one(a, a->list->entries[i].address);
    }
}

void hd_witnesses_ask(const struct hd_witness_list *l, const Hdw__WitnessRequest *q,
                      const char *user, hd_witness_fn fn, void *ctx)
{
    struct asking a = {.list = l, .request = q, .user = user, .fn = fn, .ctx = ctx};
    pthread_t threads[THREADS_MAX];
    uint32_t n = 0;
    pthread_mutex_init(&a.lock, NULL);
    while (n + 1 < HD_MIN(l->count, (uint32_t)THREADS_MAX) &&
           hd_meta_thread_start(&threads[n], "witness", run, &a) == 0) {
        n++;
    }
    (void)run(&a); /* this thread takes its share, and all when no other could be started */
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&a.lock);
}
