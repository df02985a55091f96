/* An open file: a reader or a writer. Inside the room. */
#ifndef HD_CLIENT_FILE_H
#define HD_CLIENT_FILE_H

#include "fs/client/howdah.h"

struct hd_reader;
struct hd_writer;

struct hd_file {
    struct hd_fs *fs;
    char *path; /* as opened */
    struct hd_reader *reader;
    struct hd_writer *writer;
};

int hd_file_new(struct hd_fs *fs, const char *path, struct hd_file **ret);
void hd_file_free(struct hd_file *f); /* the struct; reader and writer must be gone */

void hd_reader_close(struct hd_reader *r);

int hd_writer_close(struct hd_writer *w);
void hd_writer_abandon(struct hd_writer *w);

#endif
