/* rename(2), renameat2(2) and the sticky bit. */
#include "groups.h"

static int rename2(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

void run_rename(void)
{
    put("f", "f", 0644);
    OK(rename("f", "g"));
    TRUE(!is_there("f") && holds("g", "g") == false && holds("g", "f"));
    put("h", "h", 0644);
    ino_t ino = st_of("g").st_ino;
    OK(rename("g", "h"));
    SAME(st_of("h").st_ino, ino);
    TRUE(holds("h", "f"));
    OK(rename("h", "h"));
    TRUE(is_there("h"));
    OK(link("h", "same"));
    OK(rename("h", "same")); /* the same file: nothing happens */
    TRUE(is_there("h") && is_there("same"));
    SAME(st_of("h").st_nlink, 2);
    OK(unlink("same"));

    FAILS(ENOENT, rename("no", "x"));
    FAILS(ENOENT, rename("h", "no/x"));
    FAILS(ENOTDIR, rename("h/x", "y"));
    FAILS(ENOTDIR, rename("h", "h/y"));
    dir("d", 0755);
    dir("e", 0755);
    FAILS(EISDIR, rename("h", "d"));
    FAILS(ENOTDIR, rename("d", "h"));
    OK(rename("d", "e")); /* over an empty one */
    TRUE(!is_there("d"));
    dir("d", 0755);
    put("e/x", "", 0644);
    FAILS(ENOTEMPTY, rename("d", "e"));
    OK(rename("e", "d"));
    TRUE(is_there("d/x"));
    dir("d/in", 0755);
    dir("d/in/deep", 0755);
    FAILS(EINVAL, rename("d", "d/in/deep/x"));
    FAILS(EINVAL, rename("d", "d/self"));
    FAILS(ENOTEMPTY, rename("d/in/deep", "d"));
    FAILS(EBUSY, rename("d/.", "x"));
    FAILS(EBUSY, rename("d/in/..", "x"));
    FAILS(EBUSY, rename("h", "d/."));

    nlink_t here = st_of(".").st_nlink;
    nlink_t there = st_of("d").st_nlink;
    OK(rename("d/in", "in"));
    SAME(st_of(".").st_nlink, here + 1);
    SAME(st_of("d").st_nlink, there - 1);
    struct stat up;
    OK(stat("in/..", &up));
    SAME(up.st_ino, st_of(".").st_ino);

    OK(symlink("h", "l"));
    OK(rename("l", "m"));
    TRUE(S_ISLNK(st_of("m").st_mode));
    put("over", "over", 0644);
    OK(rename("m", "over"));
    TRUE(S_ISLNK(st_of("over").st_mode));
    OK(mkfifo("p", 0644));
    OK(rename("p", "over"));
    TRUE(S_ISFIFO(st_of("over").st_mode));

    dir("from", 0755);
    dir("to", 0755);
    put("from/x", "", 0644);
    struct times_before a = times_of("from");
    struct times_before b = times_of("to");
    struct times_before c = times_of("from/x");
    OK(rename("from/x", "to/x"));
    c.path = "to/x";
    TRUE(moved(&a, "mc") && moved(&b, "mc") && moved_at_least(&c, "c"));

    int fd = OK(open("to/x", O_RDWR));
    put("other", "new", 0644);
    SAME(OK(write(fd, "kept", 4)), 4);
    OK(rename("other", "to/x"));
    char out[8];
    SAME(OK(pread(fd, out, sizeof(out), 0)), 4);
    struct stat st;
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    close(fd);
    TRUE(holds("to/x", "new"));

    dir("closed", 0755);
    put("closed/x", "", 0666);
    dir("open", 0777);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, rename("closed/x", "open/x"));
        FAILS(EACCES, rename("to/x", "open/x"));
    }
    put("open/mine", "", 0644);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, rename("open/mine", "closed/mine"));
        OK(rename("open/mine", "open/yours"));
    }
}

void run_renameat2(void)
{
    put("a", "a", 0644);
    put("b", "b", 0644);
    FAILS(EEXIST, rename2("a", "b", RENAME_NOREPLACE));
    TRUE(holds("a", "a") && holds("b", "b"));
    OK(rename2("a", "c", RENAME_NOREPLACE));
    TRUE(holds("c", "a"));
    OK(rename2("b", "c", RENAME_EXCHANGE));
    TRUE(holds("c", "b") && holds("b", "a"));
    FAILS(ENOENT, rename2("b", "no", RENAME_EXCHANGE));
    FAILS(ENOENT, rename2("no", "b", RENAME_EXCHANGE));
    dir("d", 0755);
    put("d/x", "x", 0644);
    nlink_t here = st_of(".").st_nlink;
    OK(rename2("d", "b", RENAME_EXCHANGE)); /* a directory and a file */
    TRUE(holds("b/x", "x") && holds("d", "a"));
    SAME(st_of(".").st_nlink, here);
    dir("e", 0755);
    OK(rename2("d", "e", RENAME_EXCHANGE));
    TRUE(holds("e", "a"));
    dir("d/in", 0755);
    nlink_t d = st_of("d").st_nlink;
    OK(rename2("c", "d/in", RENAME_EXCHANGE));
    SAME(st_of("d").st_nlink, d - 1);
    TRUE(S_ISDIR(st_of("c").st_mode));
    OK(mkdir("c/deep", 0755));
    FAILS(EINVAL, rename2("c", "c/deep", RENAME_EXCHANGE));
    FAILS(EINVAL, rename2("c/deep", "c", RENAME_EXCHANGE));
    FAILS(EINVAL, rename2("b", "c", RENAME_EXCHANGE | RENAME_NOREPLACE));
    OK(link("e", "e2"));
    OK(rename2("e", "e2", RENAME_EXCHANGE));
    SAME(st_of("e").st_nlink, 2);
}

void run_sticky(void)
{
    dir("t", 01777);
    put("t/root", "", 0666);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EPERM, unlink("t/root"));
        FAILS(EPERM, rename("t/root", "t/x"));
        put("t/mine", "", 0666);
        OK(mkdir("t/folder", 0777));
    }
    AS(ANOTHER, GROUP_A)
    {
        FAILS(EPERM, unlink("t/mine"));
        FAILS(EPERM, rmdir("t/folder"));
        put("t/his", "", 0644);
        FAILS(EPERM, rename("t/his", "t/mine")); /* over somebody else's */
        OK(unlink("t/his"));
    }
    AS(SOMEONE, GROUP_A)
    {
        OK(rename("t/mine", "t/again"));
        OK(unlink("t/again"));
        OK(rmdir("t/folder"));
    }
    OK(chown("t", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_A)
    {
        OK(unlink("t/root")); /* the owner of the directory may */
    }
}
