/* The MEMBERS file. See members.h. */
#include "meta/log/members.h"
#include "fs/base/assert.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILE_MAX_BYTES = 64 << 10, ACCEPTED_STEP = 1000000 };

static const char sum_key[] = "crc32c=";

const struct hd_dir_member *hd_members_find(const struct hd_members *m, const char *id)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->list[i].id, id) == 0) {
            return &m->list[i];
        }
    }
    return NULL;
}

void hd_members_add(struct hd_members *m, const char *id, const char *path)
{
    hd_assert(m->count < HD_DIRS_MAX);
    struct hd_dir_member *e = &m->list[m->count++];
    snprintf(e->id, sizeof(e->id), "%s", id);
    snprintf(e->path, sizeof(e->path), "%s", path);
}

/* "member=<id> <path>" */
static int parse_member(char *value, struct hd_members *m)
{
    char *space = strchr(value, ' ');
    if (space == NULL || space - value >= HD_DIR_ID_BYTES || space == value ||
        m->count == HD_DIRS_MAX) {
        return -HD_E_CORRUPT;
    }
    *space = '\0';
    hd_members_add(m, value, space + 1);
    return 0;
}

static int parse_line(char *line, struct hd_members *m)
{
    char *value = strchr(line, '=');
    if (line[0] == '#' || value == NULL) {
        return 0;
    }
    *value++ = '\0';
    if (strcmp(line, "self") == 0) {
        snprintf(m->self, sizeof(m->self), "%s", value);
    } else if (strcmp(line, "generation") == 0) {
        m->generation = strtoull(value, NULL, 10);
    } else if (strcmp(line, "member") == 0) {
        return parse_member(value, m);
    }
    return 0;
}

/* The last line is the sum of all before it. */
static bool sum_is_right(const char *text, size_t size, size_t *ret_body)
{
    const char *last = size > 0 ? memrchr(text, '\n', size - 1) : NULL;
    last = last != NULL ? last + 1 : text;
    if (size == 0 || text[size - 1] != '\n' || strncmp(last, sum_key, strlen(sum_key)) != 0) {
        return false;
    }
    char want[32];
    *ret_body = (size_t)(last - text);
    snprintf(want, sizeof(want), "%s%08" PRIx32 "\n", sum_key, hd_crc32c(0, text, *ret_body));
    return strcmp(last, want) == 0;
}

int hd_members_read(const char *dir, struct hd_members *ret)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/MEMBERS", dir);
    HD_AUTO(hd_buf_done) struct hd_buf content = {0};
    int err = hd_file_read(path, FILE_MAX_BYTES, &content);
    if (err < 0) {
        return err;
    }
    if (hd_buf_str(&content) == NULL) {
        return -ENOMEM;
    }
    struct hd_members m = {0};
    size_t body = 0;
    bool good = sum_is_right((char *)content.data, content.size, &body);
    char *rest = (char *)content.data;
    rest[body] = '\0';
    for (char *line = strsep(&rest, "\n"); line != NULL && good; line = strsep(&rest, "\n")) {
        good = parse_line(line, &m) == 0;
    }
    if (!good || m.generation == 0 || m.self[0] == '\0' || hd_members_find(&m, m.self) == NULL) {
        return hd_fail(
            -HD_E_CORRUPT,
            "%s: damaged; it tells which metadata directories were in use together. When "
            "%s has all that was acknowledged: howdah admin edits accept %s",
            path, dir, dir);
    }
    *ret = m;
    return 0;
}

int hd_members_write(const char *dir, const char *self, const struct hd_members *m)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/MEMBERS", dir);
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    int err = hd_buf_addf(&out,
                          "# metadata directories in use together: do not edit\nself=%s\n"
                          "generation=%" PRIu64 "\n",
                          self, m->generation);
    for (size_t i = 0; i < m->count && err == 0; i++) {
        err = hd_buf_addf(&out, "member=%s %s\n", m->list[i].id, m->list[i].path);
    }
    if (err == 0) {
        err = hd_buf_addf(&out, "%s%08" PRIx32 "\n", sum_key, hd_crc32c(0, out.data, out.size));
    }
    return err < 0 ? err : hd_file_replace(path, out.data, out.size, 0644);
}

int hd_members_accept(const char *dir)
{
    char path[PATH_BYTES];
    HD_AUTO(hd_fd_done) int lock = -1;
    struct hd_members old = {0};
    snprintf(path, sizeof(path), "%s/VERSION", dir);
    if (access(path, F_OK) < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err = hd_dir_lock(dir, &lock);
    if (err < 0) {
        return err;
    }
    err = hd_members_read(dir, &old);
    if (err < 0 && err != -ENOENT && err != -HD_E_CORRUPT) {
        return err;
    }
    /* A step that no directory left out can have made by itself: they count up by one. */
    struct hd_members m = {.generation = old.generation + ACCEPTED_STEP};
    hd_random_uuid(m.self); /* who claims to be its partner from now on is none */
    hd_members_add(&m, m.self, dir);
    return hd_members_write(dir, m.self, &m);
}
