/* The naive tree. See client.h. */
#include "tests/sim/client.h"

struct thing *model_find(struct model *m, const char *path)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->things[i].path, path) == 0) {
            return &m->things[i];
        }
    }
    return NULL;
}

static bool is_under(const char *path, const char *top)
{
    size_t size = strlen(top);
    return strncmp(path, top, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

void model_parent(const char *path, char out[MODEL_PATH_BYTES])
{
    snprintf(out, MODEL_PATH_BYTES, "%s", path);
    *strrchr(out, '/') = '\0';
}

bool model_is_dir(struct model *m, const char *path)
{
    const struct thing *t = model_find(m, path);
    return t != NULL && t->directory;
}

size_t model_children(struct model *m, const char *path)
{
    char parent[MODEL_PATH_BYTES];
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        model_parent(m->things[i].path, parent);
        count += strcmp(parent, path) == 0;
    }
    return count;
}

struct thing *model_add(struct model *m, const char *path, bool directory)
{
    hd_assert(m->count < MODEL_THINGS_MAX);
    struct thing *t = &m->things[m->count++];
    snprintf(t->path, sizeof(t->path), "%s", path);
    t->directory = directory;
    t->size = 0;
    return t;
}

void model_remove(struct model *m, const char *path)
{
    for (size_t i = m->count; i > 0; i--) {
        if (is_under(m->things[i - 1].path, path)) {
            m->things[i - 1] = m->things[--m->count];
        }
    }
}

bool model_rename_works(struct model *m, const char *from, const char *to, bool overwrite)
{
    char parent[MODEL_PATH_BYTES];
    const struct thing *a = model_find(m, from);
    const struct thing *b = model_find(m, to);
    model_parent(to, parent);
    if (a == NULL || is_under(to, from) || !model_is_dir(m, parent)) {
        return false;
    }
    return b == NULL || (overwrite && a->directory == b->directory && model_children(m, to) == 0);
}

void model_rename(struct model *m, const char *from, const char *to)
{
    model_remove(m, to);
    for (size_t i = 0; i < m->count; i++) {
        if (is_under(m->things[i].path, from)) {
            char path[2 * MODEL_PATH_BYTES];
            int size = snprintf(path, sizeof(path), "%s%s", to, m->things[i].path + strlen(from));
            hd_assert(size < MODEL_PATH_BYTES);
            memcpy(m->things[i].path, path, (size_t)size + 1);
        }
    }
}
