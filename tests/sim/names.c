/*
 * What HDFS has no words for: a file gets a second name and loses the first, which is a rename in
 * two steps; two names are exchanged. Through howdah.PosixProtocol, against the same model.
 */
#include "tests/sim/client.h"
#include "fs/base/error.h"
#include "howdah.pb-c.h"

#define POSIX_PROTOCOL "howdah.PosixProtocol"

#define NAMES_CALL(c, method, lower, request, ret)                                                 \
    client_call_on((c), POSIX_PROTOCOL, (method), &(request)->base,                                \
                   &hdw__##lower##_response__descriptor, (const void **)(ret))

static ProtobufCBinaryData name_of(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    return (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
}

static uint64_t ino_of(struct sim_client *c, const char *path)
{
    const Hdw__HdfsFileStatus *s = client_stat(c, path);
    return s != NULL ? s->file_id : 0;
}

static uint64_t parent_ino(struct sim_client *c, const char *path)
{
    char parent[MODEL_PATH_BYTES];
    model_parent(path, parent);
    uint64_t ino = ino_of(c, parent);
    if (ino == 0) {
        sim_fail(c->sim, "%s is missing", parent);
    }
    return ino;
}

static void unlink_name(struct sim_client *c, const char *path)
{
    Hdw__UnlinkRequest q = HDW__UNLINK_REQUEST__INIT;
    const Hdw__UnlinkResponse *r;
    q.parent = parent_ino(c, path);
    q.name = name_of(path);
    client_expect(c, "unlink", path, NAMES_CALL(c, "unlink", unlink, &q, &r), true);
}

/* The path of something that is there, but for the client's own directory; of a file, if asked. */
static bool random_thing(struct sim_client *c, bool file, char out[MODEL_PATH_BYTES])
{
    const struct model *m = &c->model;
    size_t at = (size_t)sim_draw(c->sim, m->count);
    for (size_t n = 0; n < m->count; n++, at++) {
        const struct thing *t = &m->things[at % m->count];
        if (strcmp(t->path, c->root) != 0 && !(file && t->directory)) {
            snprintf(out, MODEL_PATH_BYTES, "%s", t->path);
            return true;
        }
    }
    return false;
}

/* ---- a second name instead of the first ---- */

void names_relink(struct sim_client *c)
{
    struct model *m = &c->model;
    struct pending *p = &c->pending;
    char parent[MODEL_PATH_BYTES];
    char path[MODEL_PATH_BYTES];
    if (!random_thing(c, true, path)) {
        return;
    }
    client_begin(c, WORK_RELINK, path);
    client_random_path(c, p->to);
    model_parent(p->to, parent);
    if (!model_is_dir(m, parent)) {
        return;
    }
    Hdw__LinkRequest q = HDW__LINK_REQUEST__INIT;
    const Hdw__LinkResponse *r;
    q.ino = p->ino = ino_of(c, path);
    q.parent = parent_ino(c, p->to);
    q.name = name_of(p->to);
    int err = NAMES_CALL(c, "link", link, &q, &r);
    client_expect(c, "link", p->to, err, model_find(m, p->to) == NULL);
    if (err < 0) {
        return;
    }
    if (r->attr->ino != p->ino || ino_of(c, p->to) != p->ino) {
        sim_fail(c->sim, "%s is not the file it is a name of", p->to);
    }
    unlink_name(c, path);
    model_rename(m, path, p->to);
}

void names_settle_relink(struct sim_client *c)
{
    struct pending *p = &c->pending;
    if (p->ino == 0 || model_find(&c->model, p->path) == NULL || ino_of(c, p->to) != p->ino) {
        return;
    }
    if (ino_of(c, p->path) == p->ino) {
        unlink_name(c, p->path);
    }
    model_rename(&c->model, p->path, p->to);
}

/* ---- an exchange ---- */

static bool is_above(const char *top, const char *path)
{
    size_t size = strlen(top);
    return strncmp(path, top, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static void model_exchange(struct model *m, const char *a, const char *b)
{
    static const char aside[] = "/~";
    model_rename(m, a, aside);
    model_rename(m, b, a);
    model_rename(m, aside, b);
}

void names_exchange(struct sim_client *c)
{
    struct pending *p = &c->pending;
    char path[MODEL_PATH_BYTES];
    if (!random_thing(c, false, path)) {
        return;
    }
    client_begin(c, WORK_EXCHANGE, path);
    if (!random_thing(c, false, p->to) || is_above(path, p->to) || is_above(p->to, path) ||
        strlen(path) + 16 > MODEL_PATH_BYTES || strlen(p->to) + 16 > MODEL_PATH_BYTES) {
        return; /* the model's paths have an end */
    }
    Hdw__MoveRequest q = HDW__MOVE_REQUEST__INIT;
    const Hdw__MoveResponse *r;
    p->ino = ino_of(c, path);
    q.from_parent = parent_ino(c, path);
    q.from_name = name_of(path);
    q.to_parent = parent_ino(c, p->to);
    q.to_name = name_of(p->to);
    q.has_exchange = q.exchange = true;
    client_expect(c, "exchange", path, NAMES_CALL(c, "move", move, &q, &r), true);
    model_exchange(&c->model, path, p->to);
}

void names_settle_exchange(struct sim_client *c)
{
    struct pending *p = &c->pending;
    if (p->ino != 0 && model_find(&c->model, p->path) != NULL && ino_of(c, p->to) == p->ino) {
        model_exchange(&c->model, p->path, p->to);
    }
}
