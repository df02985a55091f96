/* Names and attributes: one ClientProtocol call each. */
#include "fs/base/error.h"
#include "fs/client/convert.h"
#include "fs/client/session.h"

#include "client_namenode.pb-c.h"

#include <errno.h>

/* Hadoop takes strings it does not change; protobuf-c has no const. */
#define TEXT(s) ((char *)(uintptr_t)(s))

/* Declares the arena of one call. */
#define CALL_ARENA(name)                                                                           \
    HD_AUTO(hd_arena_done) struct hd_arena name;                                                   \
    hd_arena_init(&name, 0)

int hd_fs_stat(struct hd_fs *fs, const char *path, struct hd_stat *ret)
{
    CALL_ARENA(arena);
    Hdw__GetFileLinkInfoRequest request = HDW__GET_FILE_LINK_INFO_REQUEST__INIT;
    request.src = TEXT(path);
    Hdw__GetFileLinkInfoResponse *response;
    int err = HD_CALL(fs, "getFileLinkInfo", get_file_link_info, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    if (response->fs == NULL) {
        return hd_fail(-ENOENT, "%s: No such file or directory", path);
    }
    return hd_convert_status(response->fs, ret);
}

int hd_fs_mkdir(struct hd_fs *fs, const char *path, uint32_t mode, bool parents)
{
    CALL_ARENA(arena);
    if (!parents) { /* mkdirs is content with a directory that is there */
        struct hd_stat st;
        int err = hd_fs_stat(fs, path, &st);
        if (err == 0) {
            hd_stat_done(&st);
            return hd_fail(-EEXIST, "%s: File exists", path);
        }
        if (err != -ENOENT) {
            return err;
        }
    }
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    permission.perm = mode;
    Hdw__MkdirsRequest request = HDW__MKDIRS_REQUEST__INIT;
    request.src = TEXT(path);
    request.masked = &permission;
    request.unmasked = &permission;
    request.create_parent = parents;
    Hdw__MkdirsResponse *response;
    int err = HD_CALL(fs, "mkdirs", mkdirs, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    return response->result ? 0 : hd_fail(-EIO, "%s: the directory was not made", path);
}

/* What a foreign server only says in words. */
static int rename_error(int err)
{
    if (err != -HD_E_IO) {
        return err;
    }
    const char *text = hd_fail_text();
    if (strstr(text, "is not empty") != NULL) {
        return -ENOTEMPTY;
    }
    if (strstr(text, "must both be directories") != NULL) {
        return -ENOTDIR;
    }
    if (strstr(text, "under source") != NULL || strstr(text, "cannot be the root") != NULL) {
        return -EINVAL;
    }
    return err;
}

int hd_fs_rename(struct hd_fs *fs, const char *from, const char *to, bool overwrite)
{
    CALL_ARENA(arena);
    Hdw__Rename2Request request = HDW__RENAME2_REQUEST__INIT;
    request.src = TEXT(from);
    request.dst = TEXT(to);
    request.overwrite_dest = overwrite;
    Hdw__Rename2Response *response;
    return rename_error(HD_CALL(fs, "rename2", rename2, &request, &arena, &response));
}

int hd_fs_rename_into(struct hd_fs *fs, const char *from, const char *to)
{
    CALL_ARENA(arena);
    Hdw__RenameRequest request = HDW__RENAME_REQUEST__INIT;
    request.src = TEXT(from);
    request.dst = TEXT(to);
    Hdw__RenameResponse *response;
    int err = HD_CALL(fs, "rename", rename, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_delete(struct hd_fs *fs, const char *path, bool recursive)
{
    CALL_ARENA(arena);
    Hdw__DeleteRequest request = HDW__DELETE_REQUEST__INIT;
    request.src = TEXT(path);
    request.recursive = recursive;
    Hdw__DeleteResponse *response;
    int err = HD_CALL(fs, "delete", delete, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_symlink(struct hd_fs *fs, const char *target, const char *path)
{
    CALL_ARENA(arena);
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    permission.perm = 0755;
    Hdw__CreateSymlinkRequest request = HDW__CREATE_SYMLINK_REQUEST__INIT;
    request.target = TEXT(target);
    request.link = TEXT(path);
    request.dir_perm = &permission;
    Hdw__CreateSymlinkResponse *response;
    return HD_CALL(fs, "createSymlink", create_symlink, &request, &arena, &response);
}

int hd_fs_set_mode(struct hd_fs *fs, const char *path, uint32_t mode)
{
    CALL_ARENA(arena);
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    permission.perm = mode;
    Hdw__SetPermissionRequest request = HDW__SET_PERMISSION_REQUEST__INIT;
    request.src = TEXT(path);
    request.permission = &permission;
    Hdw__SetPermissionResponse *response;
    return HD_CALL(fs, "setPermission", set_permission, &request, &arena, &response);
}

int hd_fs_set_owner(struct hd_fs *fs, const char *path, const char *owner, const char *group)
{
    CALL_ARENA(arena);
    Hdw__SetOwnerRequest request = HDW__SET_OWNER_REQUEST__INIT;
    request.src = TEXT(path);
    request.username = TEXT(owner);
    request.groupname = TEXT(group);
    Hdw__SetOwnerResponse *response;
    return HD_CALL(fs, "setOwner", set_owner, &request, &arena, &response);
}

int hd_fs_set_times(struct hd_fs *fs, const char *path, int64_t mtime_ms, int64_t atime_ms)
{
    CALL_ARENA(arena);
    Hdw__SetTimesRequest request = HDW__SET_TIMES_REQUEST__INIT;
    request.src = TEXT(path);
    request.mtime = (uint64_t)mtime_ms;
    request.atime = (uint64_t)atime_ms;
    Hdw__SetTimesResponse *response;
    return HD_CALL(fs, "setTimes", set_times, &request, &arena, &response);
}

int hd_fs_set_replication(struct hd_fs *fs, const char *path, uint32_t replication)
{
    CALL_ARENA(arena);
    Hdw__SetReplicationRequest request = HDW__SET_REPLICATION_REQUEST__INIT;
    request.src = TEXT(path);
    request.replication = replication;
    Hdw__SetReplicationResponse *response;
    int err = HD_CALL(fs, "setReplication", set_replication, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_truncate(struct hd_fs *fs, const char *path, uint64_t size_bytes)
{
    CALL_ARENA(arena);
    Hdw__TruncateRequest request = HDW__TRUNCATE_REQUEST__INIT;
    request.src = TEXT(path);
    request.new_length = size_bytes;
    request.client_name = fs->session->client_name;
    Hdw__TruncateResponse *response;
    int err = HD_CALL(fs, "truncate", truncate, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_is_closed(struct hd_fs *fs, const char *path)
{
    CALL_ARENA(arena);
    Hdw__IsFileClosedRequest request = HDW__IS_FILE_CLOSED_REQUEST__INIT;
    request.src = TEXT(path);
    Hdw__IsFileClosedResponse *response;
    int err = HD_CALL(fs, "isFileClosed", is_file_closed, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_recover_lease(struct hd_fs *fs, const char *path)
{
    CALL_ARENA(arena);
    Hdw__RecoverLeaseRequest request = HDW__RECOVER_LEASE_REQUEST__INIT;
    request.src = TEXT(path);
    request.client_name = fs->session->client_name;
    Hdw__RecoverLeaseResponse *response;
    int err = HD_CALL(fs, "recoverLease", recover_lease, &request, &arena, &response);
    return err < 0 ? err : response->result;
}

int hd_fs_summary(struct hd_fs *fs, const char *path, struct hd_summary *ret)
{
    CALL_ARENA(arena);
    Hdw__GetContentSummaryRequest request = HDW__GET_CONTENT_SUMMARY_REQUEST__INIT;
    request.path = TEXT(path);
    Hdw__GetContentSummaryResponse *response;
    int err = HD_CALL(fs, "getContentSummary", get_content_summary, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    const Hdw__ContentSummary *s = response->summary;
    *ret = (struct hd_summary){
        .size_bytes = s->length,
        .files = s->file_count,
        .directories = s->directory_count,
        .space_bytes = s->space_consumed,
        .name_quota = (int64_t)s->quota,
        .space_quota = (int64_t)s->space_quota,
    };
    return 0;
}

int hd_fs_usage(struct hd_fs *fs, struct hd_usage *ret)
{
    CALL_ARENA(arena);
    Hdw__GetFsStatsRequest request = HDW__GET_FS_STATS_REQUEST__INIT;
    Hdw__GetFsStatsResponse *response;
    int err = HD_CALL(fs, "getFsStats", get_fs_stats, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    *ret = (struct hd_usage){
        .capacity_bytes = response->capacity,
        .used_bytes = response->used,
        .remaining_bytes = response->remaining,
        .under_replicated = response->under_replicated,
        .corrupt = response->corrupt_blocks,
        .missing = response->missing_blocks,
    };
    return 0;
}
