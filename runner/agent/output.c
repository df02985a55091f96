/*
 * The part file of a task. An attempt writes _attempt_<name> into the job's staging directory and
 * renames it to part-NNNNN once the manager has granted it; staging becomes the output directory
 * by one rename when the job is done. See agent.h.
 */
#include "fs/base/error.h"
#include "runner/agent/agent.h"
#include "runner/lib/call.h"

#include <errno.h>

enum { BUF_BYTES = 256 * 1024 };

static int create_file(struct hd_output *o)
{
    const struct hd_attempt *t = o->attempt;
    struct hd_create_options create = {
        .mode = 0644,
        .overwrite = true,
        .replication = (uint32_t)hd_props_int(&t->job->props, "dfs.replication", 0),
        .block_size_bytes = (uint64_t)hd_props_bytes(&t->job->props, "dfs.blocksize", 0)};
    return hd_file_create(t->job->fs, o->path, &create, &o->file);
}

int hd_output_open(struct hd_output *o, struct hd_attempt *t, const struct hd_kv_rule *in)
{
    char name[HD_NAME_BYTES];
    *o = (struct hd_output){.attempt = t, .in = *in, .text = t->job->io.text_output};
    o->text.key_only = in->key_only;
    hd_attempt_part_name(t->work->key, name);
    snprintf(o->path, sizeof(o->path), "%s/%s", t->job->setup->staging, name);
    o->lazy = hd_props_bool(&t->job->props, "stream.lazyoutput", false);
    return o->lazy ? 0 : create_file(o);
}

static int flush(struct hd_output *o)
{
    int err = o->file == NULL ? create_file(o) : 0;
    if (err == 0) {
        err = hd_file_write(o->file, o->buf.data, o->buf.size);
    }
    o->bytes += o->buf.size;
    hd_buf_clear(&o->buf);
    return err;
}

int hd_output_kv(struct hd_output *o, const struct hd_kv *kv)
{
    if (o->discard) {
        return 0;
    }
    o->records++;
    int err = hd_kv_join(&o->text, kv, &o->buf);
    if (err == 0 && o->buf.size >= BUF_BYTES) {
        err = flush(o);
    }
    return err;
}

int hd_output_raw(void *output, const uint8_t *line, size_t size)
{
    struct hd_output *o = output;
    o->records++;
    int err = hd_buf_add(&o->buf, line, size);
    if (err == 0) {
        err = hd_buf_add_u8(&o->buf, '\n');
    }
    if (err == 0 && o->buf.size >= BUF_BYTES) {
        err = flush(o);
    }
    return err;
}

int hd_output_line(void *output, const uint8_t *line, size_t size)
{
    struct hd_output *o = output;
    struct hd_kv kv;
    hd_kv_split(&o->in, line, size, &kv);
    return hd_output_kv(o, &kv);
}

int hd_output_commit(struct hd_output *o)
{
    struct hd_attempt *t = o->attempt;
    char part[HD_AGENT_PATH_BYTES];
    char name[HD_NAME_BYTES];
    int err = o->buf.size > 0 ? flush(o) : 0;
    if (err == 0 && o->file == NULL) { /* lazy, and nothing was written: no part */
        hd_buf_done(&o->buf);
        return 0;
    }
    if (err == 0) {
        err = hd_file_close(HD_TAKE_PTR(o->file));
    }
    hd_buf_done(&o->buf);
    if (err < 0) {
        return err;
    }
    Hdw__CommitTaskRequest request = HDW__COMMIT_TASK_REQUEST__INIT;
    Hdw__CommitTaskResponse *response;
    request.agent_id = t->agent->id;
    request.key = t->work->key;
    err = hd_runner_call(t->agent->manager, "commitTask", &request,
                         &hdw__commit_task_response__descriptor, 0, &t->arena, &response);
    if (err < 0) {
        return err;
    }
    if (!response->granted) {
        return hd_fail(-ECANCELED, "another attempt has the task now");
    }
    hd_part_name(t->work->key->index, name);
    snprintf(part, sizeof(part), "%s/%s", t->job->setup->staging, name);
    return hd_fs_rename(t->job->fs, o->path, part, true);
}

void hd_output_abort(struct hd_output *o)
{
    if (o->file != NULL) {
        hd_file_abandon(o->file);
        o->file = NULL;
    }
    hd_buf_done(&o->buf);
    if (o->path[0] != '\0') {
        (void)hd_fs_delete(o->attempt->job->fs, o->path, false);
    }
}
