/* chmod, chown, set-id bits, times. */
#include "groups.h"

#include <limits.h>

void run_chmod(void)
{
    put("f", "", 0644);
    for (mode_t mode = 0; mode <= 07777; mode += 0111) {
        OK(chmod("f", mode));
        SAME(st_of("f").st_mode & 07777, mode);
    }
    dir("d", 0755);
    for (mode_t mode = 0; mode <= 07777; mode += 01111) {
        OK(chmod("d", mode));
        SAME(st_of("d").st_mode & 07777, mode);
    }
    OK(mkfifo("p", 0));
    OK(chmod("p", 0611));
    SAME(st_of("p").st_mode & 07777, 0611);
    struct times_before b = times_of("f");
    OK(chmod("f", 0600));
    TRUE(moved(&b, "c"));
    OK(symlink("f", "l"));
    OK(chmod("l", 0444));
    SAME(st_of("f").st_mode & 07777, 0444);
    FAILS(ENOENT, chmod("no", 0644));
    FAILS(ENOTDIR, chmod("f/x", 0644));
    OK(symlink("loop", "loop"));
    FAILS(ELOOP, chmod("loop", 0644));
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EPERM, chmod("f", 0777));
    }
    OK(chown("f", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_B)
    {
        OK(chmod("f", 0700));
        SAME(st_of("f").st_mode & 07777, 0700);
    }
    int fd = OK(open("f", O_RDONLY));
    OK(fchmod(fd, 0123));
    close(fd);
    SAME(st_of("f").st_mode & 07777, 0123);
}

void run_setid(void)
{
    /* Not of the group: the set-group-id bit falls. */
    put("f", "x", 0644);
    OK(chown("f", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_B)
    {
        OK(chmod("f", 02755));
        SAME(st_of("f").st_mode & 07777, 0755);
    }
    AS(SOMEONE, GROUP_A)
    {
        OK(chmod("f", 02755));
        SAME(st_of("f").st_mode & 07777, 02755);
    }
    /* A write by somebody else takes them away. */
    OK(chmod("f", 06777));
    AS(ANOTHER, GROUP_B)
    {
        int fd = OK(open("f", O_WRONLY));
        SAME(OK(write(fd, "y", 1)), 1);
        close(fd);
    }
    SAME(st_of("f").st_mode & 07777, 0777);
    OK(chmod("f", 06777));
    AS(ANOTHER, GROUP_B)
    {
        OK(truncate("f", 0));
    }
    SAME(st_of("f").st_mode & 07777, 0777);
    /* So does chown by the owner. */
    OK(chmod("f", 06755));
    AS(SOMEONE, GROUP_A, GROUP_B)
    {
        OK(chown("f", (uid_t)-1, GROUP_B));
    }
    SAME(st_of("f").st_mode & 07777, 0755);
    /* A set-group-id directory hands its group down, and the bit to directories. */
    dir("d", 0777);
    OK(chown("d", 0, GROUP_A));
    OK(chmod("d", 02777));
    AS(SOMEONE, GROUP_B)
    {
        put("d/f", "", 0644);
        SAME(st_of("d/f").st_gid, GROUP_A);
        SAME(st_of("d/f").st_mode & 02000, 0);
        OK(mkdir("d/e", 0755));
        SAME(st_of("d/e").st_gid, GROUP_A);
        SAME(st_of("d/e").st_mode & 07777, 02755);
        OK(mkfifo("d/p", 0644));
        SAME(st_of("d/p").st_gid, GROUP_A);
        OK(symlink("x", "d/l"));
        SAME(st_of("d/l").st_gid, GROUP_A);
        OK(mkdir("plain", 0755) < 0 ? 0 : rmdir("plain"));
    }
    OK(chown("d", SOMEONE, GROUP_B)); /* a directory keeps its bit */
    SAME(st_of("d").st_mode & 07777, 02777);
}

void run_chown(void)
{
    put("f", "", 0644);
    OK(chown("f", 123, 456));
    SAME(st_of("f").st_uid, 123);
    SAME(st_of("f").st_gid, 456);
    OK(chown("f", (uid_t)-1, 457));
    SAME(st_of("f").st_uid, 123);
    SAME(st_of("f").st_gid, 457);
    OK(chown("f", 4000000001u, (gid_t)-1));
    SAME(st_of("f").st_uid, 4000000001u);
    dir("d", 0755);
    OK(chown("d", SOMEONE, GROUP_A));
    SAME(st_of("d").st_uid, SOMEONE);
    OK(mkfifo("p", 0644));
    OK(chown("p", SOMEONE, GROUP_A));
    SAME(st_of("p").st_gid, GROUP_A);
    OK(symlink("f", "l"));
    OK(lchown("l", 7, 8));
    SAME(st_of("l").st_uid, 7);
    SAME(st_of("f").st_gid, 457);
    OK(chown("l", 9, 10));
    SAME(st_of("f").st_uid, 9);
    struct times_before b = times_of("f");
    OK(chown("f", 11, 12));
    TRUE(moved(&b, "c"));
    FAILS(ENOENT, chown("no", 0, 0));
    FAILS(ENOTDIR, chown("f/x", 0, 0));
    OK(chown("f", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_A, GROUP_B)
    {
        FAILS(EPERM, chown("f", ANOTHER, (gid_t)-1));
        FAILS(EPERM, chown("f", (uid_t)-1, NOBODY));
        OK(chown("f", (uid_t)-1, GROUP_B));
        OK(chown("f", SOMEONE, (gid_t)-1));
        SAME(st_of("f").st_gid, GROUP_B);
    }
    AS(ANOTHER, GROUP_B)
    {
        FAILS(EPERM, chown("f", (uid_t)-1, GROUP_B));
    }
}

void run_utimens(void)
{
    put("f", "x", 0644);
    struct timespec t[2] = {{1234567890, 123456789}, {987654321, 987654321}};
    OK(utimensat(AT_FDCWD, "f", t, 0));
    struct stat st = st_of("f");
    SAME(st.st_atim.tv_sec, 1234567890);
    SAME(st.st_atim.tv_nsec, 123456789);
    SAME(st.st_mtim.tv_sec, 987654321);
    SAME(st.st_mtim.tv_nsec, 987654321);
    t[0].tv_nsec = UTIME_OMIT;
    t[1] = (struct timespec){5, 6};
    OK(utimensat(AT_FDCWD, "f", t, 0));
    SAME(st_of("f").st_atim.tv_sec, 1234567890);
    SAME(st_of("f").st_mtim.tv_nsec, 6);
    t[0] = (struct timespec){7, 8};
    t[1].tv_nsec = UTIME_OMIT;
    struct times_before b = times_of("f");
    OK(utimensat(AT_FDCWD, "f", t, 0));
    SAME(st_of("f").st_atim.tv_nsec, 8);
    SAME(st_of("f").st_mtim.tv_sec, 5);
    TRUE(moved_at_least(&b, "c"));
    t[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "f", t, 0));
    TRUE(st_of("f").st_mtim.tv_sec > 1700000000);
    t[0] = t[1] = (struct timespec){-86400, 5}; /* before 1970 */
    OK(utimensat(AT_FDCWD, "f", t, 0));
    SAME(st_of("f").st_mtim.tv_sec, -86400);
    SAME(st_of("f").st_mtim.tv_nsec, 5);
    t[0] = t[1] = (struct timespec){4102444800, 999999999}; /* 2100 */
    OK(utimensat(AT_FDCWD, "f", t, 0));
    SAME(st_of("f").st_mtim.tv_sec, 4102444800);
    t[0].tv_nsec = 1000000000;
    FAILS(EINVAL, utimensat(AT_FDCWD, "f", t, 0));
    FAILS(ENOENT, utimensat(AT_FDCWD, "no", NULL, 0));
    dir("d", 0755);
    t[0] = t[1] = (struct timespec){1, 2};
    OK(utimensat(AT_FDCWD, "d", t, 0));
    SAME(st_of("d").st_mtim.tv_nsec, 2);
    OK(symlink("f", "l"));
    OK(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
    SAME(st_of("l").st_mtim.tv_nsec, 2);
    SAME(st_of("f").st_mtim.tv_sec, 4102444800);
    OK(mkfifo("p", 0644));
    OK(utimensat(AT_FDCWD, "p", t, 0));
    SAME(st_of("p").st_atim.tv_nsec, 2);
    OK(chmod("f", 0666));
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EPERM, utimensat(AT_FDCWD, "f", t, 0));
        OK(utimensat(AT_FDCWD, "f", NULL, 0)); /* now: who may write may */
    }
    OK(chmod("f", 0644));
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, utimensat(AT_FDCWD, "f", NULL, 0));
    }
    int fd = OK(open("f", O_RDWR));
    t[0] = t[1] = (struct timespec){100, 200};
    SAME(OK(write(fd, "y", 1)), 1);
    OK(futimens(fd, t));
    close(fd);
    SAME(st_of("f").st_mtim.tv_sec, 100); /* closing does not move it */
    SAME(st_of("f").st_mtim.tv_nsec, 200);
}

void run_times(void)
{
    put("f", "one", 0644);
    struct times_before b = times_of("f");
    int fd = OK(open("f", O_RDWR));
    close(fd);
    TRUE(moved(&b, ""));
    b = times_of("f");
    fd = OK(open("f", O_RDWR));
    SAME(OK(write(fd, "two", 3)), 3);
    close(fd);
    TRUE(moved(&b, "mc"));
    b = times_of("f");
    fd = OK(open("f", O_RDWR));
    SAME(OK(write(fd, "", 0)), 0);
    close(fd);
    TRUE(moved(&b, ""));
    b = times_of("f");
    struct stat st;
    OK(stat("f", &st));
    TRUE(moved(&b, ""));
    b = times_of(".");
    OK(chmod("f", 0600));
    TRUE(moved(&b, ""));
    b = times_of(".");
    OK(unlink("f"));
    TRUE(moved(&b, "mc"));
    b = times_of(".");
    OK(mkdir("d", 0755));
    TRUE(moved(&b, "mc"));
    b = times_of(".");
    OK(symlink("x", "l"));
    TRUE(moved(&b, "mc"));
    b = times_of(".");
    OK(rmdir("d"));
    TRUE(moved(&b, "mc"));
    b = times_of(".");
    FAILS(ENOENT, unlink("no"));
    FAILS(EEXIST, mkdir("l", 0755));
    TRUE(moved(&b, ""));
    put("g", "long enough", 0644);
    b = times_of("g");
    OK(truncate("g", 4));
    TRUE(moved(&b, "mc"));
    fd = OK(open("g", O_RDONLY));
    struct stat now;
    OK(fstat(fd, &now));
    close(fd);
    SAME(now.st_size, 4);
    SAME(now.st_mtim.tv_nsec, st_of("g").st_mtim.tv_nsec);
    TRUE(st_of("g").st_blocks >= 0 && st_of("g").st_blksize >= 512);
}
