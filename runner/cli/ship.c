/* The files of -files and -file: local ones go to the manager piece by piece. See cli.h. */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/cli/cli.h"
#include "runner/cli/options.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 };

static int put(struct hd_cli *c, int fd, uint32_t mode, uint64_t *ret_upload)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    uint64_t upload = 0;
    hd_arena_init(&arena, 0);
    for (uint64_t offset = 0;;) {
        hd_arena_reset(&arena);
        uint8_t *piece = hd_arena_alloc(&arena, PIECE_BYTES);
        ssize_t n = piece != NULL ? pread(fd, piece, PIECE_BYTES, (off_t)offset) : -1;
        if (n < 0) {
            return hd_fail_errno(errno, "read");
        }
        if (n == 0 && upload != 0) {
            *ret_upload = upload;
            return 0;
        }
        Hdw__PutFileRequest request = HDW__PUT_FILE_REQUEST__INIT;
        Hdw__PutFileResponse *response;
        request.upload = upload;
        request.offset = offset;
        request.mode = mode;
        request.data.data = piece;
        request.data.len = (size_t)n;
        int err = hd_runner_call(c->manager, "putFile", &request,
                                 &hdw__put_file_response__descriptor, 0, &arena, &response);
        if (err < 0) {
            return err;
        }
        upload = response->upload;
        offset += (uint64_t)n;
    }
}

static int ship_one(struct hd_cli *c, const char *text, Hdw__RunnerFile *out,
                    struct hd_arena *arena)
{
    const char *hash = strrchr(text, '#');
    char *path = hash != NULL ? hd_arena_strn(arena, text, (size_t)(hash - text))
                              : hd_arena_str(arena, text);
    if (path == NULL) {
        return HD_EXIT_IO;
    }
    const char *local = strncmp(path, "file://", 7) == 0 ? path + 7 : path;
    const char *slash = strrchr(path, '/');
    const char *name = hash != NULL ? hash + 1 : slash != NULL ? slash + 1 : path;
    out->name = hd_arena_str(arena, name);
    if (strncmp(path, "hdfs:", 5) == 0) {
        out->path = hd_cli_path(c, path, arena);
        return out->path != NULL && out->name != NULL ? 0 : HD_EXIT_NO_FILE;
    }
    struct stat st;
    HD_AUTO(hd_fd_done) int fd = open(local, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        hd_cli_say("File: %s does not exist, or is not readable.", local);
        return HD_EXIT_NO_FILE;
    }
    if (!S_ISREG(st.st_mode)) {
        hd_cli_say("%s: not a file; folders are not shipped", local);
        return HD_EXIT_NO_FILE;
    }
    int err = put(c, fd, st.st_mode & 0777, &out->upload);
    if (err < 0) {
        hd_cli_say("%s: %s", local, hd_fail_describe(err));
        return hd_cli_exit_code(err);
    }
    out->has_upload = true;
    return 0;
}

int hd_ship_files(struct hd_cli *c, const struct hd_streaming_options *o, Hdw__RunnerJobSpec *spec,
                  struct hd_arena *arena)
{
    spec->file = HD_ARENA_ARRAY(arena, Hdw__RunnerFile *, o->files.count + 1);
    Hdw__RunnerFile *all = HD_ARENA_ARRAY(arena, Hdw__RunnerFile, o->files.count + 1);
    if (spec->file == NULL || all == NULL) {
        return HD_EXIT_IO;
    }
    for (size_t i = 0; i < o->files.count; i++) {
        hdw__runner_file__init(&all[i]);
        int rc = ship_one(c, o->files.items[i], &all[i], arena);
        if (rc != 0) {
            return rc;
        }
        spec->file[spec->n_file++] = &all[i];
    }
    return 0;
}
