/* Reading directories; long and odd paths. */
#include "groups.h"

#include <dirent.h>
#include <limits.h>

enum { MANY = 3000 };

static int index_of(const char *name)
{
    int i = -1;
    return sscanf(name, "entry-%d", &i) == 1 ? i : -1;
}

void run_readdir(void)
{
    dir("d", 0755);
    for (int i = 0; i < MANY; i++) {
        char name[64];
        snprintf(name, sizeof(name), "d/entry-%04d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0644);
        TRUE(fd >= 0);
        close(fd);
    }
    static unsigned char seen[MANY];
    DIR *d = opendir("d");
    TRUE(d != NULL);
    int dots = 0, others = 0;
    long places[MANY + 2];
    char names[MANY + 2][16];
    int count = 0;
    for (struct dirent *e; d != NULL; count++) {
        long at = telldir(d);
        e = readdir(d);
        if (e == NULL || count >= MANY + 2) {
            break;
        }
        places[count] = at;
        snprintf(names[count], sizeof(names[count]), "%.15s", e->d_name);
        int i = index_of(e->d_name);
        if (i >= 0 && i < MANY) {
            seen[i]++;
            TRUE(e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
        } else if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            dots++;
        } else {
            others++;
        }
    }
    SAME(count, MANY + 2);
    SAME(dots, 2);
    SAME(others, 0);
    for (int i = 0; i < MANY; i++) {
        SAME(seen[i], 1);
    }
    for (int i = 0; i < 40; i++) { /* back to any place */
        int k = (i * 797) % count;
        seekdir(d, places[k]);
        struct dirent *e = readdir(d);
        TRUE(e != NULL && strncmp(e->d_name, names[k], 15) == 0);
    }
    rewinddir(d);
    for (count = 0; readdir(d) != NULL; count++) {
    }
    SAME(count, MANY + 2);
    /* Removing while reading: what was not removed before it was reached comes once. */
    rewinddir(d);
    int removed = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (index_of(e->d_name) >= 0) {
            char name[300];
            snprintf(name, sizeof(name), "d/%s", e->d_name);
            OK(unlink(name));
            removed++;
        }
    }
    SAME(removed, MANY);
    rewinddir(d);
    for (count = 0; readdir(d) != NULL; count++) {
    }
    SAME(count, 2);
    put("d/new", "", 0644);
    rewinddir(d);
    bool found = false;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        found = found || strcmp(e->d_name, "new") == 0;
    }
    TRUE(found);
    closedir(d);
    put("f", "", 0644);
    TRUE(opendir("f") == NULL && errno == ENOTDIR);
    TRUE(opendir("no") == NULL && errno == ENOENT);
    struct stat up, here;
    OK(stat("d/..", &up));
    OK(stat(".", &here));
    SAME(up.st_ino, here.st_ino);
    struct stat st = st_of("d/new");
    d = opendir("d");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, "new") == 0) {
            SAME(e->d_ino, st.st_ino);
        }
    }
    closedir(d);
}

void run_paths(void)
{
    /* Deeper than PATH_MAX, step by step. */
    char here[PATH_MAX];
    TRUE(getcwd(here, sizeof(here)) != NULL);
    const char *step = long_name(200);
    int depth = 0;
    while (depth < 25 && mkdir(step, 0755) == 0 && chdir(step) == 0) {
        depth++;
    }
    SAME(depth, 25);
    put("bottom", "deep", 0644);
    TRUE(holds("bottom", "deep"));
    OK(unlink("bottom"));
    for (int i = 0; i < depth; i++) {
        OK(chdir(".."));
        OK(rmdir(step));
    }
    char cwd[PATH_MAX];
    TRUE(getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, here) == 0);
    /* Just PATH_MAX - 1 bytes is a path. */
    char path[PATH_MAX + 8];
    dir("d", 0755);
    put("d/f", "x", 0644);
    size_t n = 0;
    path[0] = '\0';
    while (n + 2 < PATH_MAX - 4) {
        memcpy(path + n, "./", 3);
        n += 2;
    }
    memcpy(path + n, "d/f", 4);
    n += 3;
    TRUE(n < PATH_MAX && access(path, F_OK) == 0);
    memset(path, '/', PATH_MAX);
    path[PATH_MAX] = '\0';
    FAILS(ENAMETOOLONG, access(path, F_OK));
    OK(access("d//f", F_OK));
    OK(access("d/./f", F_OK));
    OK(access("d/../d/f", F_OK));
    FAILS(ENOTDIR, access("d/f/", F_OK));
    FAILS(ENOTDIR, access("d/f/.", F_OK));
    FAILS(ENOTDIR, access("d/f/..", F_OK));
    /* Forty links are too many. */
    char name[32], target[32];
    put("l0", "x", 0644);
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof(name), "l%d", i);
        snprintf(target, sizeof(target), "l%d", i - 1);
        OK(symlink(target, name));
    }
    OK(access("l40", F_OK));
    FAILS(ELOOP, access("l41", F_OK));
}
