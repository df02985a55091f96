/* The look around of descriptors.h. */
#include "fs/mount/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

bool hd_process_has_open(pid_t pid, const char *path)
{
    char name[64];
    char target[PATH_MAX];
    if (pid <= 0) {
        return false;
    }
    snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(name);
    if (dir == NULL) {
        return false;
    }
    bool found = false;
    const struct dirent *e;
    for (int n = 0; !found && n < HD_DESCRIPTORS_MAX && (e = readdir(dir)) != NULL; n++) {
        ssize_t size = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        if (size > 0) {
            target[size] = '\0';
            found = strcmp(target, path) == 0;
        }
    }
    closedir(dir);
    return found;
}
