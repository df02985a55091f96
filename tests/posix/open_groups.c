/* open(2) and creat(2), special files, access rights. */
#include "groups.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

void run_open(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0640));
    SAME(st_of("f").st_mode, S_IFREG | 0640);
    SAME(st_of("f").st_size, 0);
    SAME(st_of("f").st_nlink, 1);
    SAME(OK(write(fd, "hello", 5)), 5);
    close(fd);
    FAILS(EEXIST, open("f", O_CREAT | O_EXCL | O_RDWR, 0644));
    fd = OK(open("f", O_CREAT | O_RDWR, 0600));
    SAME(st_of("f").st_mode & 07777, 0640);
    SAME(st_of("f").st_size, 5);
    close(fd);
    struct times_before b = times_of("f");
    fd = OK(open("f", O_WRONLY | O_TRUNC));
    SAME(st_of("f").st_size, 0);
    TRUE(moved(&b, "mc"));
    close(fd);
    struct times_before folder = times_of(".");
    fd = OK(open("g", O_CREAT | O_WRONLY, 0644));
    TRUE(moved(&folder, "mc"));
    close(fd);
    folder = times_of(".");
    fd = OK(open("g", O_CREAT | O_WRONLY, 0644));
    TRUE(moved(&folder, ""));
    close(fd);
    umask(027);
    fd = OK(open("u", O_CREAT | O_WRONLY, 0777));
    close(fd);
    SAME(st_of("u").st_mode & 07777, 0750);
    umask(0);
    fd = OK(open("zero", O_CREAT | O_WRONLY, 0)); /* the mode is not for this descriptor */
    SAME(OK(write(fd, "x", 1)), 1);
    close(fd);
    fd = OK(open("rw", O_CREAT | O_RDWR, 0400));
    SAME(OK(write(fd, "x", 1)), 1);
    close(fd);
    FAILS(ENOENT, open("no", O_RDONLY));
    FAILS(ENOENT, open("no/x", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOTDIR, open("f/x", O_CREAT | O_WRONLY, 0644));
    dir("d", 0755);
    FAILS(EISDIR, open("d", O_WRONLY));
    FAILS(EISDIR, open("d", O_RDWR));
    FAILS(EISDIR, open("d", O_CREAT | O_RDWR, 0644));
    FAILS(EISDIR, open("d", O_TRUNC | O_WRONLY));
    FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
    fd = OK(open("d", O_RDONLY | O_DIRECTORY));
    int in = OK(openat(fd, "x", O_CREAT | O_EXCL | O_WRONLY, 0644));
    close(in);
    close(fd);
    TRUE(is_there("d/x"));
    fd = OK(open("f", O_RDONLY));
    FAILS(EBADF, write(fd, "x", 1));
    close(fd);
    fd = OK(open("f", O_WRONLY));
    char c;
    FAILS(EBADF, read(fd, &c, 1));
    close(fd);
    fd = OK(open("d", O_RDONLY));
    FAILS(EISDIR, read(fd, &c, 1));
    close(fd);
    fd = OK(open("f", O_PATH));
    FAILS(EBADF, read(fd, &c, 1));
    struct stat st;
    OK(fstat(fd, &st));
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0) {
        SAME(OK(write(fd, "x", 1)), 1);
        close(fd);
    } else {
        SAME(errno, EOPNOTSUPP);
    }
}

void run_openmodes(void)
{
    static const struct {
        mode_t mode;
        bool read, write;
    } rows[] = {{0000, false, false},
                {0400, true, false},
                {0200, false, true},
                {0600, true, true},
                {0077, false, false}};
    dir("d", 0777);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int who = 0; who < 3; who++) { /* the owner's, the group's, everybody's bits */
            mode_t mode = rows[i].mode == 0077 ? (who == 0   ? 0077
                                                  : who == 1 ? 0707
                                                             : 0770)
                                               : rows[i].mode >> (3 * who);
            put("d/f", "x", mode);
            OK(chown("d/f", who == 0 ? SOMEONE : ANOTHER, who == 1 ? GROUP_A : GROUP_B));
            OK(chmod("d/f", mode));
            AS(SOMEONE, NOBODY, GROUP_A)
            {
                int r = open("d/f", O_RDONLY);
                int w = open("d/f", O_WRONLY);
                int both = open("d/f", O_RDWR);
                SAME(r >= 0, rows[i].read);
                SAME(w >= 0, rows[i].write);
                SAME(both >= 0, rows[i].read && rows[i].write);
                SAME(faccessat(AT_FDCWD, "d/f", F_OK, AT_EACCESS), 0);
                close(r), close(w), close(both);
            }
            OK(unlink("d/f"));
        }
    }
    put("d/f", "x", 0666);
    OK(chmod("d", 0700));
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, open("d/f", O_RDONLY));
        FAILS(EACCES, open("d/new", O_CREAT | O_WRONLY, 0644));
        FAILS(EACCES, chmod("d/f", 0644));
        struct stat st;
        FAILS(EACCES, stat("d/f", &st));
    }
    OK(chmod("d", 0711));
    AS(SOMEONE, GROUP_A)
    {
        int fd = OK(open("d/f", O_RDWR));
        close(fd);
        FAILS(EACCES, open("d", O_RDONLY));
        FAILS(EACCES, open("d/new", O_CREAT | O_WRONLY, 0644));
    }
    put("r", "x", 0444);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, open("r", O_RDONLY | O_TRUNC));
        FAILS(EACCES, open("r", O_WRONLY | O_TRUNC));
    }
    TRUE(holds("r", "x"));
}

void run_mknod(void)
{
    OK(mkfifo("p", 0640));
    SAME(st_of("p").st_mode, S_IFIFO | 0640);
    FAILS(EEXIST, mkfifo("p", 0644));
    FAILS(ENOENT, mkfifo("no/p", 0644));
    int r = OK(open("p", O_RDONLY | O_NONBLOCK));
    int w = OK(open("p", O_WRONLY | O_NONBLOCK));
    char c = 0;
    SAME(OK(write(w, "x", 1)), 1);
    SAME(OK(read(r, &c, 1)), 1);
    SAME(c, 'x');
    close(w);
    close(r);
    FAILS(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
    OK(mknod("c", S_IFCHR | 0660, makedev(1, 3)));
    SAME(st_of("c").st_mode, S_IFCHR | 0660);
    SAME(st_of("c").st_rdev, makedev(1, 3));
    OK(mknod("b", S_IFBLK | 0600, makedev(7, 300)));
    SAME(st_of("b").st_mode, S_IFBLK | 0600);
    SAME(st_of("b").st_rdev, makedev(7, 300));
    OK(mknod("s", S_IFSOCK | 0600, 0));
    SAME(st_of("s").st_mode, S_IFSOCK | 0600);
    OK(mknod("r", S_IFREG | 0604, 0));
    SAME(st_of("r").st_mode, S_IFREG | 0604);
    SAME(st_of("r").st_size, 0);
    put("r", "written", 0604);
    TRUE(holds("r", "written"));
    umask(077);
    OK(mkfifo("q", 0666));
    SAME(st_of("q").st_mode & 07777, 0600);
    umask(0);
    OK(chmod("p", 0600));
    OK(chown("p", SOMEONE, GROUP_A));
    OK(rename("p", "p2"));
    OK(link("p2", "p3"));
    OK(unlink("p2"));
    TRUE(S_ISFIFO(st_of("p3").st_mode));
    FAILS(EINVAL, truncate("p3", 0));
    dir("own", 0777);
    AS(SOMEONE, GROUP_A)
    {
        OK(mkfifo("own/p", 0644));
        FAILS(EPERM, mknod("own/c", S_IFCHR | 0600, makedev(1, 3)));
    }
    SAME(st_of("own/p").st_uid, SOMEONE);
}

void run_access(void)
{
    put("f", "x", 0640);
    OK(chown("f", SOMEONE, GROUP_A));
    AS(SOMEONE, GROUP_B)
    {
        SAME(faccessat(AT_FDCWD, "f", R_OK | W_OK, AT_EACCESS), 0);
        FAILS(EACCES, faccessat(AT_FDCWD, "f", X_OK, AT_EACCESS));
    }
    AS(ANOTHER, GROUP_A)
    {
        SAME(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
        FAILS(EACCES, faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS));
    }
    AS(ANOTHER, GROUP_B, GROUP_A) /* by a supplementary group */
    {
        SAME(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
        int fd = OK(open("f", O_RDONLY));
        close(fd);
    }
    AS(ANOTHER, GROUP_B)
    {
        FAILS(EACCES, faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    }
    FAILS(EACCES, access("f", X_OK)); /* not even root */
    OK(chmod("f", 0641));
    OK(access("f", X_OK));
    FAILS(ENOENT, access("no", F_OK));
    FAILS(ENOTDIR, access("f/x", F_OK));
    dir("d", 0755);
    dir("d/e", 0755);
    put("d/e/f", "x", 0644);
    OK(chmod("d", 0000));
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, faccessat(AT_FDCWD, "d/e/f", F_OK, AT_EACCESS));
        FAILS(EACCES, chdir("d/e"));
    }
    OK(chmod("d", 0755));
    AS(SOMEONE, GROUP_A)
    {
        SAME(faccessat(AT_FDCWD, "d/e/f", F_OK, AT_EACCESS), 0);
    }
}

void run_sockets(void)
{
    int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
    OK(bind(s, (struct sockaddr *)&a, sizeof(a)));
    TRUE(S_ISSOCK(st_of("sock").st_mode));
    OK(listen(s, 1));
    int c = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(connect(c, (struct sockaddr *)&a, sizeof(a)));
    close(c);
    FAILS(ENXIO, open("sock", O_RDONLY));
    int again = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, bind(again, (struct sockaddr *)&a, sizeof(a)));
    close(again);
    close(s);
    OK(unlink("sock"));
}
