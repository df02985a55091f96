/* The drills that were, and DIR/drills itself. See history.h, drill.h. */
#include "tools/drill/history.h"
#include "tools/drill/drill.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { SUFFIX_BYTES = 5, KEPT = 1000 };

int hd_drill_base(const struct hd_cluster *c, char out[HD_PATH_BYTES])
{
    if (snprintf(out, HD_PATH_BYTES, "%s/drills", c->dir) >= HD_PATH_BYTES - 200) {
        return hd_fail(-ENAMETOOLONG, "%s", c->dir);
    }
    return hd_dir_make(out, 0755);
}

int hd_drill_journal_path(const char *base, char out[HD_PATH_BYTES])
{
    return snprintf(out, HD_PATH_BYTES, "%s/journal", base) < HD_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static int open_lock(const char *base, int flags, int *ret_fd)
{
    char path[HD_PATH_BYTES + 8];
    snprintf(path, sizeof(path), "%s/lock", base);
    *ret_fd = open(path, flags | O_CLOEXEC, 0644);
    return *ret_fd >= 0 ? 0 : hd_fail_errno(errno, "%s", path);
}

static pid_t read_pid(int fd)
{
    char text[16] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int hd_drill_lock(const char *base, int *ret_fd)
{
    HD_AUTO(hd_fd_done) int fd = -1;
    char text[16];
    int rc = open_lock(base, O_RDWR | O_CREAT, &fd);
    if (rc < 0) {
        return rc;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK
                   ? hd_fail(-EBUSY,
                             "another drill is under way (process %d); one at a time: wait for "
                             "it, or `howdah drill abort`",
                             (int)read_pid(fd))
                   : hd_fail_errno(errno, "%s/lock", base);
    }
    int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        return hd_fail_errno(errno, "%s/lock", base);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

pid_t hd_drill_lock_holder(const char *base)
{
    HD_AUTO(hd_fd_done) int fd = -1;
    if (open_lock(base, O_RDWR, &fd) < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    return read_pid(fd);
}

int hd_drill_history_add(const char *base, const struct hd_drill_result *r)
{
    char path[HD_PATH_BYTES + 80];
    json_t *o = hd_drill_result_json(r, true);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (text == NULL) {
        return -ENOMEM;
    }
    snprintf(path, sizeof(path), "%s/%s.json", base, r->id);
    int rc = hd_file_replace(path, text, strlen(text), 0644);
    free(text);
    return rc;
}

static int is_result(const struct dirent *e)
{
    size_t size = strlen(e->d_name);
    return size > SUFFIX_BYTES && strcmp(e->d_name + size - SUFFIX_BYTES, ".json") == 0;
}

int hd_drill_history_load(const char *base, json_t **ret)
{
    char path[HD_PATH_BYTES + 300];
    struct dirent **names = NULL;
    int count = scandir(base, &names, is_result, alphasort); /* ids begin with the time */
    if (count < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s", base);
    }
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        if (i >= count - KEPT) {
            snprintf(path, sizeof(path), "%s/%s", base, names[i]->d_name);
            json_t *o = json_load_file(path, 0, NULL);
            if (json_is_object(o)) {
                json_array_append(list, o);
            }
            json_decref(o);
        }
        free(names[i]);
    }
    free(names);
    *ret = list;
    return list != NULL ? 0 : -ENOMEM;
}

json_t *hd_drill_history_last(json_t *history, const char *drill)
{
    for (size_t i = json_array_size(history); i-- > 0;) {
        json_t *o = json_array_get(history, i);
        const char *name = json_string_value(json_object_get(o, "drill"));
        if (name != NULL && strcmp(name, drill) == 0) {
            return o;
        }
    }
    return NULL;
}
