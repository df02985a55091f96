/* Making and removing names: mkdir, rmdir, unlink, link, symlink, and what a name may be. */
#include "groups.h"

#include <dirent.h>

void run_names(void)
{
    char every[256];
    size_t n = 0;
    for (int c = 1; c < 256; c++) {
        if (c != '/') {
            every[n++] = (char)c;
        }
    }
    every[n] = '\0';
    put(every, "x", 0644);
    TRUE(holds(every, "x"));
    bool seen = false;
    DIR *d = opendir(".");
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        seen = seen || strcmp(e->d_name, every) == 0;
    }
    closedir(d);
    TRUE(seen);
    OK(unlink(every));
    const char *max = long_name(255);
    OK(mkdir(max, 0755));
    OK(rmdir(max));
    put(max, "", 0644);
    OK(unlink(max));
    OK(symlink("t", max));
    OK(unlink(max));
    OK(mkfifo(max, 0644));
    OK(unlink(max));
    const char *more = long_name(256);
    put("f", "", 0644);
    FAILS(ENAMETOOLONG, open(more, O_CREAT | O_WRONLY, 0644));
    FAILS(ENAMETOOLONG, open(more, O_RDONLY));
    FAILS(ENAMETOOLONG, mkdir(more, 0755));
    FAILS(ENAMETOOLONG, rmdir(more));
    FAILS(ENAMETOOLONG, unlink(more));
    FAILS(ENAMETOOLONG, link("f", more));
    FAILS(ENAMETOOLONG, link(more, "g"));
    FAILS(ENAMETOOLONG, symlink("f", more));
    FAILS(ENAMETOOLONG, rename("f", more));
    FAILS(ENAMETOOLONG, rename(more, "f"));
    FAILS(ENAMETOOLONG, mkfifo(more, 0644));
    FAILS(ENAMETOOLONG, chmod(more, 0644));
    FAILS(ENAMETOOLONG, truncate(more, 0));
    FAILS(ENOENT, open("", O_RDONLY));
    FAILS(ENOENT, mkdir("", 0755));
    put("A", "upper", 0644);
    put("a", "lower", 0644);
    TRUE(holds("A", "upper") && holds("a", "lower"));
    put("e\xcc\x81", "decomposed", 0644);
    TRUE(!is_there("\xc3\xa9"));
    put("sp ace", "", 0644);
    put("new\nline", "", 0644);
    put("...", "", 0644);
    put(".reserved", "own", 0644);
    TRUE(holds(".reserved", "own"));
}

void run_mkdir(void)
{
    OK(mkdir("d", 0751));
    SAME(st_of("d").st_mode, S_IFDIR | 0751);
    SAME(st_of("d").st_nlink, 2);
    nlink_t before = st_of(".").st_nlink;
    OK(mkdir("e", 0777));
    SAME(st_of(".").st_nlink, before + 1);
    OK(rmdir("e"));
    SAME(st_of(".").st_nlink, before);
    umask(077);
    OK(mkdir("m", 0777));
    SAME(st_of("m").st_mode & 07777, 0700);
    umask(0);
    OK(mkdir("t", 01777));
    SAME(st_of("t").st_mode & 07777, 01777);
    FAILS(EEXIST, mkdir("d", 0755));
    FAILS(EEXIST, mkdir(".", 0755));
    FAILS(EEXIST, mkdir("d/..", 0755));
    put("f", "", 0644);
    FAILS(EEXIST, mkdir("f", 0755));
    FAILS(ENOTDIR, mkdir("f/x", 0755));
    FAILS(ENOENT, mkdir("no/x", 0755));
    OK(symlink("nowhere", "l"));
    FAILS(EEXIST, mkdir("l", 0755));
    OK(mkfifo("p", 0644));
    FAILS(EEXIST, mkdir("p", 0755));
    OK(mkdir("slash/", 0755));
    TRUE(is_there("slash"));
    dir("own", 0755);
    OK(chown("own", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_B)
    {
        OK(mkdir("own/n", 0755));
        SAME(st_of("own/n").st_uid, SOMEONE);
        SAME(st_of("own/n").st_gid, GROUP_B);
    }
    AS(ANOTHER, GROUP_B)
    {
        FAILS(EACCES, mkdir("own/x", 0755));
    }
    OK(chmod("own", 0600));
    AS(SOMEONE, GROUP_B)
    {
        FAILS(EACCES, mkdir("own/x", 0755));
    }
}

void run_rmdir(void)
{
    dir("d", 0755);
    OK(rmdir("d"));
    TRUE(!is_there("d"));
    FAILS(ENOENT, rmdir("d"));
    dir("d", 0755);
    put("d/f", "", 0644);
    FAILS(ENOTEMPTY, rmdir("d"));
    OK(unlink("d/f"));
    dir("d/e", 0755);
    FAILS(ENOTEMPTY, rmdir("d"));
    FAILS(ENOTEMPTY, rmdir("d/e/.."));
    FAILS(EINVAL, rmdir("d/e/."));
    put("f", "", 0644);
    FAILS(ENOTDIR, rmdir("f"));
    FAILS(ENOTDIR, rmdir("f/x"));
    OK(symlink("d", "l"));
    FAILS(ENOTDIR, rmdir("l"));
    OK(rmdir("d/e"));
    dir("own", 0755);
    dir("own/x", 0777);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, rmdir("own/x"));
    }
    OK(chmod("own", 0777));
    AS(SOMEONE, GROUP_A)
    {
        OK(rmdir("own/x"));
    }
    dir("g", 0755);
    int fd = OK(open("g", O_RDONLY | O_DIRECTORY));
    OK(rmdir("g"));
    struct stat st;
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    FAILS(ENOENT, openat(fd, "x", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOENT, mkdirat(fd, "x", 0755));
    close(fd);
}

void run_unlink(void)
{
    put("f", "x", 0644);
    OK(unlink("f"));
    FAILS(ENOENT, unlink("f"));
    FAILS(ENOENT, open("f", O_RDONLY));
    dir("d", 0755);
    FAILS(EISDIR, unlink("d"));
    put("f", "x", 0000);
    FAILS(ENOTDIR, unlink("f/x"));
    FAILS(ENOTDIR, unlink("f/"));
    OK(symlink("f", "l"));
    OK(unlink("l"));
    TRUE(is_there("f"));
    OK(symlink("loop", "loop"));
    FAILS(ELOOP, unlink("loop/x"));
    OK(unlink("loop"));
    OK(mkfifo("p", 0644));
    OK(unlink("p"));
    OK(link("f", "g"));
    struct times_before b = times_of("g");
    OK(unlink("f"));
    SAME(st_of("g").st_nlink, 1);
    TRUE(moved(&b, "c"));
    put("d/x", "", 0666);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, unlink("d/x"));
    }
    OK(chmod("d", 0777));
    AS(SOMEONE, GROUP_A)
    {
        OK(unlink("d/x"));
    }
}

void run_link(void)
{
    put("f", "one", 0644);
    OK(link("f", "g"));
    SAME(st_of("f").st_nlink, 2);
    SAME(st_of("f").st_ino, st_of("g").st_ino);
    put("g", "two", 0644);
    TRUE(holds("f", "two"));
    OK(chmod("g", 0600));
    SAME(st_of("f").st_mode & 07777, 0600);
    dir("d", 0755);
    OK(link("g", "d/h"));
    SAME(st_of("f").st_nlink, 3);
    OK(unlink("f"));
    SAME(st_of("d/h").st_nlink, 2);
    TRUE(holds("d/h", "two"));
    OK(rename("g", "i"));
    TRUE(holds("i", "two"));
    OK(unlink("i"));
    SAME(st_of("d/h").st_nlink, 1);
    OK(link("d/h", "f"));
    FAILS(EEXIST, link("f", "d/h"));
    FAILS(EEXIST, link("f", "d"));
    FAILS(ENOENT, link("no", "x"));
    FAILS(ENOENT, link("f", "no/x"));
    FAILS(ENOTDIR, link("f/x", "y"));
    FAILS(ENOTDIR, link("f", "f/y"));
    FAILS(EPERM, link("d", "e"));
    OK(symlink("f", "l"));
    OK(link("l", "m")); /* the link itself, on Linux */
    TRUE(S_ISLNK(st_of("m").st_mode));
    SAME(st_of("l").st_nlink, 2);
    OK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
    TRUE(S_ISREG(st_of("n").st_mode));
    OK(mkfifo("p", 0644));
    OK(link("p", "q"));
    SAME(st_of("q").st_nlink, 2);
    struct times_before file = times_of("f");
    struct times_before folder = times_of("d");
    OK(link("f", "d/z"));
    TRUE(moved(&file, "c"));
    TRUE(moved(&folder, "mc"));
    OK(chmod("n", 0666)); /* else protected_hardlinks says EPERM */
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, link("n", "d/y"));
    }
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof(name), "many-%d", i);
        OK(link("p", name));
    }
    SAME(st_of("p").st_nlink, 202);
}

void run_symlink(void)
{
    char out[8192];
    OK(symlink("some/where", "l"));
    SAME(OK(readlink("l", out, sizeof(out))), 10);
    TRUE(memcmp(out, "some/where", 10) == 0);
    SAME(st_of("l").st_size, 10);
    SAME(st_of("l").st_mode & S_IFMT, S_IFLNK);
    SAME(OK(readlink("l", out, 4)), 4);
    FAILS(EEXIST, symlink("x", "l"));
    FAILS(ENOENT, symlink("x", "no/l"));
    put("f", "content", 0644);
    FAILS(ENOTDIR, symlink("x", "f/l"));
    FAILS(EINVAL, readlink("f", out, sizeof(out)));
    FAILS(EINVAL, readlink(".", out, sizeof(out)));
    FAILS(ENOENT, readlink("no", out, sizeof(out)));
    OK(symlink("f", "to-f"));
    TRUE(holds("to-f", "content"));
    OK(symlink("to-f", "to-to-f"));
    TRUE(holds("to-to-f", "content"));
    FAILS(ENOENT, open("l", O_RDONLY));
    OK(symlink("b", "a"));
    OK(symlink("a", "b"));
    FAILS(ELOOP, open("a", O_RDONLY));
    FAILS(ELOOP, open("to-f", O_RDONLY | O_NOFOLLOW));
    dir("d", 0755);
    OK(symlink("../f", "d/up"));
    TRUE(holds("d/up", "content"));
    OK(symlink("d", "to-d"));
    put("to-d/new", "", 0644);
    TRUE(is_there("d/new"));
    int fd = OK(open("dangling-target", O_CREAT | O_WRONLY, 0644));
    close(fd);
    OK(unlink("dangling-target"));
    OK(symlink("made", "dangling"));
    fd = OK(open("dangling", O_CREAT | O_WRONLY, 0644));
    close(fd);
    TRUE(S_ISREG(st_of("made").st_mode));
    FAILS(EEXIST, open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0644));
    char *target = strdup(long_name(4095));
    OK(symlink(target, "long"));
    SAME(OK(readlink("long", out, sizeof(out))), 4095);
    free(target);
    FAILS(ENAMETOOLONG, symlink(long_name(4096), "longer"));
    FAILS(ENOENT, symlink("", "empty"));
    OK(lchown("to-f", SOMEONE, GROUP_A));
    SAME(st_of("to-f").st_uid, SOMEONE);
    SAME(st_of("f").st_uid, 0);
}
