/* Directories, read a page at a time. */
#include "fs/base/error.h"
#include "fs/client/convert.h"
#include "fs/client/session.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

struct hd_dir {
    struct hd_fs *fs;
    char *path;
    struct hd_arena arena; /* holds the page */
    Hdw__DirectoryListing *page;
    size_t next; /* in the page */
    bool more;   /* behind the page */
    char last[HD_STAT_NAME_BYTES];
};

static int fetch_page(struct hd_dir *d)
{
    hd_arena_reset(&d->arena);
    d->page = NULL;
    d->next = 0;
    d->more = false;
    Hdw__GetListingRequest request = HDW__GET_LISTING_REQUEST__INIT;
    request.src = d->path;
    request.start_after.data = (uint8_t *)d->last;
    request.start_after.len = strlen(d->last);
    Hdw__GetListingResponse *response;
    int err = HD_CALL(d->fs, "getListing", get_listing, &request, &d->arena, &response);
    if (err < 0) {
        return err;
    }
    if (response->dir_list == NULL) {
        return hd_fail(-ENOENT, "%s: No such file or directory", d->path);
    }
    d->page = response->dir_list;
    d->more = d->page->remaining_entries > 0 && d->page->n_partial_listing > 0;
    return 0;
}

int hd_dir_open(struct hd_fs *fs, const char *path, const char *start_after, struct hd_dir **ret)
{
    struct hd_dir *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return -ENOMEM;
    }
    d->fs = fs;
    hd_arena_init(&d->arena, 0);
    hd_convert_text(d->last, sizeof(d->last), start_after);
    d->path = strdup(path);
    int err = d->path == NULL ? -ENOMEM : fetch_page(d);
    if (err == 0 && d->page->n_partial_listing == 1 && d->page->partial_listing[0]->path.len == 0) {
        err = hd_fail(-ENOTDIR, "%s: Not a directory", path);
    }
    if (err < 0) {
        hd_dir_close(d);
        return err;
    }
    *ret = d;
    return 0;
}

int hd_dir_next(struct hd_dir *d, struct hd_stat *ret)
{
    while (d->page == NULL || d->next >= d->page->n_partial_listing) {
        if (d->page != NULL && !d->more) {
            return 0;
        }
        int err = fetch_page(d);
        if (err < 0) {
            return err;
        }
    }
    int err = hd_convert_status(d->page->partial_listing[d->next], ret);
    if (err < 0) {
        return err;
    }
    d->next++;
    hd_convert_text(d->last, sizeof(d->last), ret->name);
    return 1;
}

void hd_dir_close(struct hd_dir *d)
{
    if (d != NULL) {
        hd_arena_done(&d->arena);
        free(d->path);
        free(d);
    }
}
