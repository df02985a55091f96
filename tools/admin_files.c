/* See admin_files.h. */
#include "tools/admin_files.h"

#include <sys/stat.h>

bool hd_admin_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *hd_admin_meta_dir(const struct hd_admin *a, char out[HD_PATH_BYTES])
{
    out[0] = '\0';
    for (size_t i = 0; i < a->cluster.member_count; i++) {
        const struct hd_member *m = &a->cluster.members[i];
        if (m->role == HD_ROLE_META) {
            snprintf(out, HD_PATH_BYTES, "%.*s", (int)strcspn(m->dirs, ","), m->dirs);
            return out;
        }
    }
    return out;
}
