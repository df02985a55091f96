/* The cluster's side of a copy. See fs_side.h. */
#include "tools/fs_side.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

struct hd_side_file {
    struct hd_file *file;
    uint64_t offset; /* of the next read */
};

static int cluster_stat(const struct hd_side *s, const char *path, struct hd_stat *ret)
{
    struct hd_sh_item item;
    int rc = hd_sh_lookup(s->sh, path, &item);
    if (rc < 0) {
        return rc;
    }
    if (!item.exists) {
        hd_sh_item_done(&item);
        return hd_fail(-ENOENT, "`%s': No such file or directory", path);
    }
    *ret = item.st;
    item.st.link = NULL;
    hd_sh_item_done(&item);
    return 0;
}

static int cluster_list(const struct hd_side *s, const struct hd_sh_item *dir,
                        struct hd_sh_items *out)
{
    return hd_sh_list(s->sh, dir, out);
}

static int cluster_make_dir(const struct hd_side *s, const char *path)
{
    return hd_fs_mkdir(s->sh->fs, path, 0777 & ~s->sh->umask, false);
}

static int cluster_remove(const struct hd_side *s, const char *path)
{
    int rc = hd_fs_delete(s->sh->fs, path, false);
    return HD_MIN(rc, 0);
}

static int cluster_rename(const struct hd_side *s, const char *from, const char *to, bool overwrite)
{
    return hd_fs_rename(s->sh->fs, from, to, overwrite);
}

static int cluster_set_attr(const struct hd_side *s, const char *path, const struct hd_stat *st,
                            unsigned keep)
{
    int rc = 0;
    if ((keep & HD_KEEP_OWNER) != 0) {
        rc = hd_fs_set_owner(s->sh->fs, path, st->owner[0] != '\0' ? st->owner : NULL,
                             st->group[0] != '\0' ? st->group : NULL);
    }
    if (rc == 0 && (keep & HD_KEEP_MODE) != 0) {
        rc = hd_fs_set_mode(s->sh->fs, path, st->mode);
    }
    if (rc == 0 && (keep & HD_KEEP_TIMES) != 0) {
        rc = hd_fs_set_times(s->sh->fs, path, st->mtime_ms, st->atime_ms);
    }
    return rc;
}

static int wrap(int rc, struct hd_file *file, struct hd_side_file **ret)
{
    if (rc < 0) {
        return rc;
    }
    struct hd_side_file *f = malloc(sizeof(*f));
    if (f == NULL) {
        hd_file_abandon(file);
        return -ENOMEM;
    }
    *f = (struct hd_side_file){.file = file};
    *ret = f;
    return 0;
}

static int cluster_open(const struct hd_side *s, const char *path, struct hd_side_file **ret)
{
    struct hd_file *file = NULL;
    int rc = hd_file_open(s->sh->fs, path, &file);
    if (rc == -HD_E_UNRESOLVED_LINK) {
        HD_AUTO(hd_sh_item_done) struct hd_sh_item item = {0};
        rc = hd_sh_lookup(s->sh, path, &item);
        rc = rc == 0 ? hd_file_open(s->sh->fs, item.path, &file) : rc;
    }
    return wrap(rc, file, ret);
}

static int cluster_create(const struct hd_side *s, const char *path, struct hd_side_file **ret)
{
    struct hd_create_options o = {.mode = 0666 & ~s->sh->umask,
                                  .overwrite = true,
                                  .replication = s->sh->replication,
                                  .block_size_bytes = s->sh->block_size_bytes};
    struct hd_file *file = NULL;
    int rc = hd_file_create(s->sh->fs, path, &o, &file);
    return wrap(rc, file, ret);
}

static int64_t cluster_read(struct hd_side_file *f, void *out, size_t size)
{
    int64_t n = hd_file_pread(f->file, out, size, f->offset);
    f->offset += n > 0 ? (uint64_t)n : 0;
    return n;
}

static int cluster_write(struct hd_side_file *f, const void *data, size_t size)
{
    return hd_file_write(f->file, data, size);
}

static int cluster_close(struct hd_side_file *f)
{
    int rc = hd_file_close(f->file);
    free(f);
    return rc;
}

static void cluster_abandon(struct hd_side_file *f)
{
    hd_file_abandon(f->file);
    free(f);
}

const struct hd_side_ops hd_side_cluster = {
    .stat = cluster_stat,
    .list = cluster_list,
    .make_dir = cluster_make_dir,
    .remove = cluster_remove,
    .rename = cluster_rename,
    .set_attr = cluster_set_attr,
    .open = cluster_open,
    .create = cluster_create,
    .read = cluster_read,
    .write = cluster_write,
    .close = cluster_close,
    .abandon = cluster_abandon,
};
