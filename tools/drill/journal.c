/* The journal of a drill. See journal.h. */
#include "tools/drill/journal.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 20, MAX_UNDOS = 10000 };

static const struct {
    const char *name;
    size_t args;
} kinds[] = {
    [HD_UNDO_START] = {"start", 0},     [HD_UNDO_CONTINUE] = {"continue", 1},
    [HD_UNDO_BYTES] = {"bytes", 4},     [HD_UNDO_MOVE] = {"move", 2},
    [HD_UNDO_REPLACE] = {"replace", 3}, [HD_UNDO_FAULTS] = {"faults", 1},
    [HD_UNDO_NODE] = {"node", 1},       [HD_UNDO_POWERCUT] = {"powercut", 2},
    [HD_UNDO_RESTART] = {"restart", 2},
};

static void undo_done(struct hd_inverse *u)
{
    for (size_t i = 0; i < HD_UNDO_ARGS; i++) {
        free(u->args[i]);
    }
    *u = (struct hd_inverse){0};
}

static int append(struct hd_journal *j, struct hd_inverse *u)
{
    struct hd_inverse *grown =
        j->count < MAX_UNDOS ? realloc(j->list, (j->count + 1) * sizeof(*grown)) : NULL;
    if (grown == NULL) {
        undo_done(u);
        return hd_fail(-HD_E_TOO_LARGE, "journal: more than %d inverses", MAX_UNDOS);
    }
    j->list = grown;
    j->list[j->count++] = *u;
    return 0;
}

int hd_inverse_decode(char *line, struct hd_inverse *ret)
{
    struct hd_inverse u = {.kind = HD_UNDO_KINDS};
    char *rest = line;
    const char *name = strsep(&rest, "\t");
    for (size_t k = 0; k < HD_UNDO_KINDS; k++) {
        if (strcmp(kinds[k].name, name) == 0) {
            u.kind = (enum hd_inverse_kind)k;
        }
    }
    size_t want = u.kind != HD_UNDO_KINDS ? kinds[u.kind].args : 0;
    bool good = u.kind != HD_UNDO_KINDS;
    for (size_t i = 0; good && i < want; i++) {
        const char *arg = strsep(&rest, "\t");
        u.args[i] = arg != NULL ? strdup(arg) : NULL;
        good = u.args[i] != NULL;
    }
    if (!good || rest != NULL) {
        undo_done(&u);
        return hd_fail(-HD_E_BAD_MESSAGE, "journal: not an inverse: %s", name);
    }
    *ret = u;
    return 0;
}

int hd_journal_open(const char *path, struct hd_journal *ret)
{
    struct hd_journal j = {.fd = -1};
    if (snprintf(j.path, sizeof(j.path), "%s", path) >= (int)sizeof(j.path)) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    j.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (j.fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int rc = hd_dir_sync_parent(path);
    if (rc < 0) {
        hd_fd_done(&j.fd);
        return rc;
    }
    *ret = j;
    return 0;
}

int hd_journal_load(const char *path, struct hd_journal *ret)
{
    struct hd_journal j = {.fd = -1};
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    snprintf(j.path, sizeof(j.path), "%s", path);
    int rc = hd_file_read(path, MAX_BYTES, &text);
    if (rc == -ENOENT) {
        *ret = j;
        return 0;
    }
    char *at = rc == 0 ? (char *)(uintptr_t)hd_buf_str(&text) : NULL;
    if (at == NULL) {
        return rc < 0 ? rc : -ENOMEM;
    }
    for (char *newline; rc == 0 && (newline = strchr(at, '\n')) != NULL; at = newline + 1) {
        struct hd_inverse u;
        *newline = '\0';
        rc = hd_inverse_decode(at, &u);
        rc = rc == 0 ? append(&j, &u) : rc;
    }
    if (rc < 0) {
        hd_journal_done(&j);
        return rc;
    }
    *ret = j;
    return 0;
}

void hd_journal_done(struct hd_journal *j)
{
    for (size_t i = 0; i < j->count; i++) {
        undo_done(&j->list[i]);
    }
    free(j->list);
    hd_fd_done(&j->fd);
    *j = (struct hd_journal){.fd = -1};
}

int hd_journal_add(struct hd_journal *j, enum hd_inverse_kind kind, const char *const *args,
                   size_t count)
{
    HD_AUTO(hd_buf_done) struct hd_buf line = {0};
    struct hd_inverse u = {.kind = kind};
    int rc = count == kinds[kind].args ? hd_buf_add_str(&line, kinds[kind].name) : -EINVAL;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strpbrk(args[i], "\t\n") != NULL) {
            rc = hd_fail(-EINVAL, "journal: a tab or a newline in %s", args[i]);
        } else {
            rc = hd_buf_addf(&line, "\t%s", args[i]);
            u.args[i] = strdup(args[i]);
        }
    }
    rc = rc == 0 ? hd_buf_add_u8(&line, '\n') : rc;
    rc = rc == 0 ? hd_fd_write(j->fd, line.data, line.size) : rc;
    if (rc == 0 && fdatasync(j->fd) < 0) {
        rc = hd_fail_errno(errno, "%s", j->path);
    }
    if (rc < 0) {
        undo_done(&u);
        return rc;
    }
    return append(j, &u);
}

int hd_journal_clear(struct hd_journal *j)
{
    if (unlink(j->path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s", j->path);
    }
    return hd_dir_sync_parent(j->path);
}
