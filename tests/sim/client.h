/*
 * Clients: random work in a directory of their own, against a naive model of it, with the
 * decisions of fs/client/core. Every answer has to be the model's; what a dead client left half
 * done has to be there whole or not at all, and written files never shorter than what was flushed.
 */
#ifndef HD_TESTS_SIM_CLIENT_H
#define HD_TESTS_SIM_CLIENT_H

#include "tests/sim/sim.h"
#include "hdfs.pb-c.h"

enum { MODEL_THINGS_MAX = 64, MODEL_PATH_BYTES = 64 };

/* The model: every path that exists, and what it is. */
struct thing {
    char path[MODEL_PATH_BYTES];
    bool directory;
    uint32_t size;
    uint8_t data[SIM_FILE_BYTES];
};

struct model {
    struct thing things[MODEL_THINGS_MAX];
    size_t count;
};

struct thing *model_find(struct model *m, const char *path);
bool model_is_dir(struct model *m, const char *path);
size_t model_children(struct model *m, const char *path);
struct thing *model_add(struct model *m, const char *path, bool directory);
void model_remove(struct model *m, const char *path); /* with all below */
bool model_rename_works(struct model *m, const char *from, const char *to, bool overwrite);
void model_rename(struct model *m, const char *from, const char *to);
void model_parent(const char *path, char out[MODEL_PATH_BYTES]);

enum work {
    WORK_NONE,
    WORK_MKDIR,
    WORK_DELETE,
    WORK_RENAME,
    WORK_WRITE,
    WORK_TRUNCATE,
    WORK_RELINK,
    WORK_EXCHANGE,
};

/* What is under way, so that the client's next life can tell what became of it. */
struct pending {
    enum work work;
    char path[MODEL_PATH_BYTES];
    char to[MODEL_PATH_BYTES];
    bool old_may_stay; /* WRITE: the call that begins it has not been answered */
    bool existed;      /* WRITE: there was a file (an older one, or the one appended to) */
    uint32_t flushed;  /* bytes of data[] that were promised */
    uint32_t sent;     /* bytes of data[] that may be there */
    uint32_t size;     /* TRUNCATE: to */
    uint64_t ino;      /* RELINK, EXCHANGE: of path; 0: nothing was asked yet */
    uint8_t data[SIM_FILE_BYTES];
};

struct sim_client {
    struct sim *sim;
    int actor;
    char root[16]; /* "/c1" */
    char name[32]; /* the lease holder of this life */
    int32_t call_id;
    bool done;
    struct model model;
    struct pending pending;
};

void sim_client_start(struct sim *s, int i);

/* Every replica of every file has the model's bytes; fails otherwise. */
void sim_client_check(struct sim *s, int i);

/* ---- calls (call.c) ---- */

/* Calls until there is an answer, as fs/client does. */
int client_call(struct sim_client *c, const char *method, const ProtobufCMessage *q,
                const ProtobufCMessageDescriptor *type, const void **ret);

int client_call_on(struct sim_client *c, const char *protocol, const char *method,
                   const ProtobufCMessage *q, const ProtobufCMessageDescriptor *type,
                   const void **ret);

/* CLIENT_CALL(c, &err, "create", create, &request) -> const Hdw__CreateResponse's address */
#define CLIENT_CALL(c, method, lower, request, ret)                                                \
    client_call((c), (method), &(request)->base, &hdw__##lower##_response__descriptor,             \
                (const void **)(ret))

/* ---- work (client.c; names.c) ---- */

Hdw__HdfsFileStatus *client_stat(struct sim_client *c, const char *path); /* NULL: nothing */
void client_random_path(struct sim_client *c, char *out);
void client_begin(struct sim_client *c, enum work work, const char *path);
void client_expect(struct sim_client *c, const char *what, const char *path, int err, bool works);

void names_relink(struct sim_client *c);
void names_exchange(struct sim_client *c);
void names_settle_relink(struct sim_client *c);
void names_settle_exchange(struct sim_client *c);

/* ---- writing (write.c) ---- */

/* Writes pending->data[from..size) behind what the file has; from > 0 or append: append. */
struct write_job {
    const char *path;
    uint32_t from, size;
    bool append;
    uint32_t flag; /* of create */
    uint32_t replication;
};

/* 0: closed with all of it; an error of create or append; or 1: the writer lost the file. */
int client_write(struct sim_client *c, const struct write_job *job);

#endif
