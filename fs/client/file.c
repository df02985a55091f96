/* Opening and closing of hd_file, whichever kind it is. */
#include "fs/client/file.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

int hd_file_new(struct hd_fs *fs, const char *path, struct hd_file **ret)
{
    struct hd_file *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -ENOMEM;
    }
    f->fs = fs;
    f->path = strdup(path);
    if (f->path == NULL) {
        free(f);
        return -ENOMEM;
    }
    *ret = f;
    return 0;
}

void hd_file_free(struct hd_file *f)
{
    free(f->path);
    free(f);
}

int hd_file_close(struct hd_file *f)
{
    int err = 0;
    if (f == NULL) {
        return 0;
    }
    if (f->reader != NULL) {
        hd_reader_close(f->reader);
    }
    if (f->writer != NULL) {
        err = hd_writer_close(f->writer);
    }
    hd_file_free(f);
    return err;
}

void hd_file_abandon(struct hd_file *f)
{
    if (f == NULL) {
        return;
    }
    if (f->reader != NULL) {
        hd_reader_close(f->reader);
    }
    if (f->writer != NULL) {
        hd_writer_abandon(f->writer);
    }
    hd_file_free(f);
}
