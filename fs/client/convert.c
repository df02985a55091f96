/* The conversions of convert.h. */
#include "fs/client/convert.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

void hd_convert_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text != NULL ? text : "");
}

int hd_convert_status(const Hdw__HdfsFileStatus *from, struct hd_stat *ret)
{
    struct hd_stat st = {
        .type = from->file_type == HDW__FILE_TYPE__IS_DIR       ? HD_TYPE_DIR
                : from->file_type == HDW__FILE_TYPE__IS_SYMLINK ? HD_TYPE_SYMLINK
                                                                : HD_TYPE_FILE,
        .ino = from->has_file_id ? from->file_id : 0,
        .size_bytes = from->length,
        .mode = from->permission->perm & 01777u,
        .replication = from->block_replication,
        .block_size_bytes = from->blocksize,
        .mtime_ms = (int64_t)from->modification_time,
        .atime_ms = (int64_t)from->access_time,
        .children = from->has_children_num ? from->children_num : -1,
    };
    hd_convert_text(st.owner, sizeof(st.owner), from->owner);
    hd_convert_text(st.group, sizeof(st.group), from->group);
    if (from->path.len >= sizeof(st.name)) {
        return hd_fail(-ENAMETOOLONG, "a name of %zu bytes", from->path.len);
    }
    if (from->path.len > 0) {
        memcpy(st.name, from->path.data, from->path.len);
    }
    if (st.type == HD_TYPE_SYMLINK) {
        size_t size = from->has_symlink ? from->symlink.len : 0;
        st.link = strndup(size > 0 ? (const char *)from->symlink.data : "", size);
        if (st.link == NULL) {
            return -ENOMEM;
        }
    }
    *ret = st;
    return 0;
}

void hd_stat_done(struct hd_stat *st)
{
    free(st->link);
    st->link = NULL;
}
