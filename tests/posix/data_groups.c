/* Bytes: write, truncate, append, holes, fallocate, mmap, unlinked files, sync, copies. */
#include "groups.h"

#include <sys/mman.h>

static char *pattern(size_t size, unsigned seed)
{
    char *p = malloc(size);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245 + 12345;
        p[i] = (char)(seed >> 16);
    }
    return p;
}

static bool same_bytes(int fd, const char *want, size_t size, off_t offset)
{
    char *got = calloc(1, size);
    ssize_t n = pread(fd, got, size, offset);
    bool same = n == (ssize_t)size && memcmp(got, want, size) == 0;
    free(got);
    return same;
}

void run_truncate(void)
{
    put("f", "0123456789", 0644);
    OK(truncate("f", 4));
    TRUE(holds("f", "0123"));
    OK(truncate("f", 6));
    int fd = OK(open("f", O_RDWR));
    TRUE(same_bytes(fd, "0123\0\0", 6, 0));
    OK(ftruncate(fd, 2));
    OK(ftruncate(fd, 5));
    TRUE(same_bytes(fd, "01\0\0\0", 5, 0));
    SAME(OK(pwrite(fd, "Z", 1, 4)), 1);
    TRUE(same_bytes(fd, "01\0\0Z", 5, 0));
    OK(ftruncate(fd, 0));
    SAME(st_of("f").st_size, 0);
    size_t big = 3 << 20;
    char *bytes = pattern(big, 1);
    SAME(OK(pwrite(fd, bytes, big, 0)), big);
    OK(ftruncate(fd, 1234567));
    SAME(st_of("f").st_size, 1234567);
    TRUE(same_bytes(fd, bytes, 1234567, 0));
    OK(ftruncate(fd, big));
    char zeros[4096] = {0};
    TRUE(same_bytes(fd, zeros, sizeof(zeros), 1234567));
    TRUE(same_bytes(fd, zeros, sizeof(zeros), (off_t)big - 4096));
    free(bytes);
    close(fd);
    struct times_before b = times_of("f");
    OK(truncate("f", (off_t)big)); /* the same size */
    (void)b;
    FAILS(EINVAL, truncate("f", -1));
    FAILS(ENOENT, truncate("no", 0));
    FAILS(ENOTDIR, truncate("f/x", 0));
    dir("d", 0755);
    FAILS(EISDIR, truncate("d", 0));
    fd = OK(open("f", O_RDONLY));
    FAILS(EINVAL, ftruncate(fd, 0));
    close(fd);
    AS(SOMEONE, GROUP_A)
    {
        FAILS(EACCES, truncate("f", 0));
    }
}

void run_write(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    size_t size = 1 << 20;
    char *model = pattern(size, 7);
    SAME(OK(write(fd, model, size)), size);
    unsigned seed = 3;
    for (int i = 0; i < 300; i++) {
        seed = seed * 1103515245 + 12345;
        size_t at = (seed >> 8) % (size - 9000);
        size_t n = 1 + (seed >> 3) % 9000;
        char *piece = pattern(n, seed);
        memcpy(model + at, piece, n);
        SAME(OK(pwrite(fd, piece, n, (off_t)at)), n);
        free(piece);
        if (i % 50 == 0) {
            TRUE(same_bytes(fd, model, size, 0));
        }
        if (i % 77 == 0) {
            OK(fsync(fd));
        }
    }
    TRUE(same_bytes(fd, model, size, 0));
    close(fd);
    fd = OK(open("f", O_RDWR));
    TRUE(same_bytes(fd, model, size, 0));
    SAME(OK(lseek(fd, -5, SEEK_END)), size - 5);
    SAME(OK(write(fd, "0123456789", 10)), 10);
    SAME(st_of("f").st_size, size + 5);
    SAME(OK(lseek(fd, 0, SEEK_CUR)), size + 5);
    char c;
    SAME(OK(read(fd, &c, 1)), 0);
    SAME(OK(pread(fd, &c, 1, 1 << 30)), 0);
    FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
    FAILS(EINVAL, pwrite(fd, "x", 1, -1));
    close(fd);
    free(model);
    /* Two descriptors of one file. */
    int a = OK(open("g", O_CREAT | O_RDWR, 0644));
    int b = OK(open("g", O_RDWR));
    SAME(OK(write(a, "from a", 6)), 6);
    TRUE(same_bytes(b, "from a", 6, 0));
    SAME(OK(pwrite(b, "B", 1, 5)), 1);
    TRUE(same_bytes(a, "from B", 6, 0));
    int dup_fd = OK(dup(a));
    SAME(OK(write(dup_fd, "!", 1)), 1);
    SAME(OK(lseek(a, 0, SEEK_CUR)), 7);
    close(dup_fd);
    SAME(OK(write(a, "?", 1)), 1);
    close(a);
    TRUE(same_bytes(b, "from B!?", 8, 0));
    close(b);
}

void run_append(void)
{
    int a = OK(open("f", O_CREAT | O_WRONLY | O_APPEND, 0644));
    int b = OK(open("f", O_RDWR | O_APPEND));
    for (int i = 0; i < 50; i++) {
        SAME(OK(write(a, "aaaa\n", 5)), 5);
        SAME(OK(write(b, "bbbb\n", 5)), 5);
    }
    SAME(st_of("f").st_size, 500);
    SAME(OK(lseek(a, 0, SEEK_SET)), 0);
    SAME(OK(write(a, "end", 3)), 3);
    TRUE(same_bytes(b, "end", 3, 500));
    OK(ftruncate(b, 10));
    SAME(OK(write(a, "x", 1)), 1);
    SAME(st_of("f").st_size, 11);
    close(a);
    close(b);
}

void run_holes(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    SAME(OK(pwrite(fd, "end", 3, 10 << 20)), 3);
    SAME(st_of("f").st_size, (10 << 20) + 3);
    char zeros[65536] = {0};
    TRUE(same_bytes(fd, zeros, sizeof(zeros), 12345));
    SAME(OK(pwrite(fd, "mid", 3, 5 << 20)), 3);
    close(fd);
    fd = OK(open("f", O_RDWR));
    TRUE(same_bytes(fd, "mid", 3, 5 << 20));
    TRUE(same_bytes(fd, "end", 3, 10 << 20));
    TRUE(same_bytes(fd, zeros, sizeof(zeros), (5 << 20) + 3));
    off_t data = OK(lseek(fd, 0, SEEK_DATA));
    TRUE(data <= 5 << 20);
    off_t hole = OK(lseek(fd, 10 << 20, SEEK_HOLE));
    SAME(hole, (10 << 20) + 3); /* the end is one */
    FAILS(ENXIO, lseek(fd, (10 << 20) + 3, SEEK_DATA));
    FAILS(ENXIO, lseek(fd, 20 << 20, SEEK_HOLE));
    close(fd);
    OK(truncate("sparse", 0) < 0 ? 0 : 0);
    fd = OK(open("sparse", O_CREAT | O_RDWR, 0644));
    OK(ftruncate(fd, (off_t)3 << 30));
    SAME(st_of("sparse").st_size, (off_t)3 << 30);
    TRUE(st_of("sparse").st_blocks < 64);
    TRUE(same_bytes(fd, zeros, sizeof(zeros), (off_t)2 << 30));
    SAME(OK(pwrite(fd, "x", 1, (off_t)3 << 30)), 1);
    TRUE(same_bytes(fd, "x", 1, (off_t)3 << 30));
    close(fd);
}

void run_fallocate(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    OK(fallocate(fd, 0, 0, 100000));
    SAME(st_of("f").st_size, 100000);
    char zeros[4096] = {0};
    TRUE(same_bytes(fd, zeros, sizeof(zeros), 50000));
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200000));
    SAME(st_of("f").st_size, 100000);
    char *bytes = pattern(100000, 5);
    SAME(OK(pwrite(fd, bytes, 100000, 0)), 100000);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 3000));
    memset(bytes + 5000, 0, 3000);
    TRUE(same_bytes(fd, bytes, 100000, 0));
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 20000, 1));
    bytes[20000] = 0;
    TRUE(same_bytes(fd, bytes, 100000, 0));
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 99990, 100));
    SAME(st_of("f").st_size, 100090);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 50000));
    SAME(st_of("f").st_size, 100090);
    memset(bytes + 99990, 0, 10);
    TRUE(same_bytes(fd, bytes, 100000, 0));
    FAILS(EINVAL, fallocate(fd, 0, 0, 0));
    FAILS(EINVAL, fallocate(fd, 0, -1, 10));
    OK(posix_fallocate(fd, 0, 300000) == 0 ? 0 : -1);
    SAME(st_of("f").st_size, 300000);
    close(fd);
    fd = OK(open("f", O_RDONLY));
    TRUE(same_bytes(fd, bytes, 100000, 0));
    FAILS(EBADF, fallocate(fd, 0, 0, 10));
    close(fd);
    free(bytes);
}

void run_mmap(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    size_t size = 100000;
    char *model = pattern(size, 11);
    SAME(OK(write(fd, model, size)), size);
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    TRUE(m != MAP_FAILED);
    if (m == MAP_FAILED) {
        close(fd);
        free(model);
        return;
    }
    TRUE(memcmp(m, model, size) == 0);
    memcpy(m + 4090, "across a page", 13);
    memcpy(model + 4090, "across a page", 13);
    TRUE(same_bytes(fd, model, size, 0)); /* read sees the mapping */
    SAME(OK(pwrite(fd, "written", 7, 50000)), 7);
    memcpy(model + 50000, "written", 7);
    TRUE(memcmp(m, model, size) == 0); /* and the mapping what was written */
    OK(msync(m, size, MS_SYNC));
    memcpy(m + 99990, "the end", 7);
    memcpy(model + 99990, "the end", 7);
    OK(munmap(m, size));
    close(fd);
    fd = OK(open("f", O_RDONLY));
    TRUE(same_bytes(fd, model, size, 0));
    m = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    TRUE(m != MAP_FAILED && memcmp(m, model, size) == 0);
    munmap(m, size);
    SAME(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED, 1);
    m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    TRUE(m != MAP_FAILED);
    m[0] = (char)(model[0] + 1);
    TRUE(same_bytes(fd, model, 1, 0));
    munmap(m, size);
    close(fd);
    /* A file that lives in a mapping after it was closed and unlinked. */
    fd = OK(open("g", O_CREAT | O_RDWR, 0644));
    OK(ftruncate(fd, 8192));
    m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    TRUE(m != MAP_FAILED);
    close(fd);
    OK(unlink("g"));
    memcpy(m + 4000, "still", 5);
    OK(msync(m, 8192, MS_SYNC));
    TRUE(memcmp(m + 4000, "still", 5) == 0);
    munmap(m, 8192);
    free(model);
}

void run_unlinked(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    SAME(OK(write(fd, "data", 4)), 4);
    OK(unlink("f"));
    struct stat st;
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    SAME(st.st_size, 4);
    SAME(OK(pwrite(fd, "more", 4, 2)), 4);
    TRUE(same_bytes(fd, "damore", 6, 0));
    OK(fchmod(fd, 0600));
    OK(ftruncate(fd, 3));
    OK(fsync(fd));
    TRUE(same_bytes(fd, "dam", 3, 0));
    put("f", "another", 0644);
    TRUE(same_bytes(fd, "dam", 3, 0));
    TRUE(holds("f", "another"));
    size_t big = 2 << 20;
    char *bytes = pattern(big, 9);
    SAME(OK(pwrite(fd, bytes, big, 0)), big);
    OK(fsync(fd));
    TRUE(same_bytes(fd, bytes, big, 0));
    free(bytes);
    close(fd);
    TRUE(holds("f", "another"));
    OK(unlink("f"));
    dir("d", 0755);
    fd = OK(open("d/f", O_CREAT | O_RDWR, 0644));
    OK(unlink("d/f"));
    OK(rmdir("d")); /* nothing hidden is left in it */
    SAME(OK(write(fd, "x", 1)), 1);
    close(fd);
}

void run_sync(void)
{
    int fd = OK(open("f", O_CREAT | O_RDWR, 0644));
    SAME(OK(write(fd, "x", 1)), 1);
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    OK(syncfs(fd));
    close(fd);
    fd = OK(open(".", O_RDONLY | O_DIRECTORY));
    OK(fsync(fd));
    close(fd);
    fd = OK(open("g", O_CREAT | O_RDWR | O_SYNC, 0644));
    SAME(OK(write(fd, "sync", 4)), 4);
    close(fd);
    TRUE(holds("g", "sync"));
    fd = OK(open("h", O_CREAT | O_RDWR | O_DIRECT, 0644));
    char *page = aligned_alloc(4096, 8192);
    memset(page, 'D', 8192);
    SAME(OK(pwrite(fd, page, 8192, 0)), 8192);
    memset(page, 0, 8192);
    SAME(OK(pread(fd, page, 8192, 0)), 8192);
    TRUE(page[0] == 'D' && page[8191] == 'D');
    free(page);
    close(fd);
}

void run_copy(void)
{
    size_t size = 700000;
    char *bytes = pattern(size, 21);
    int in = OK(open("in", O_CREAT | O_RDWR, 0644));
    int out = OK(open("out", O_CREAT | O_RDWR, 0644));
    SAME(OK(write(in, bytes, size)), size);
    size_t done = 0;
    while (done < size) {
        ssize_t n = OK(copy_file_range(in, &(loff_t){(loff_t)done}, out, &(loff_t){(loff_t)done},
                                       size - done, 0));
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    SAME(done, size);
    TRUE(same_bytes(out, bytes, size, 0));
    SAME(OK(copy_file_range(in, &(loff_t){0}, out, &(loff_t){(loff_t)size}, 1000, 0)), 1000);
    TRUE(same_bytes(out, bytes, 1000, (off_t)size));
    SAME(OK(copy_file_range(in, &(loff_t){(loff_t)size}, out, NULL, 1000, 0)), 0);
    free(bytes);
    close(in);
    close(out);
}
