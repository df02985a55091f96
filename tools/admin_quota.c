/* howdah admin quota: how many names and bytes may be in a directory and all below it. */
#include "tools/admin.h"
#include "tools/fs_format.h"
#include "fs/base/error.h"
#include "fs/os/config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

enum { NO_QUOTA = -1 };

/* "500", "-" or "none". */
static bool parse_names(const char *text, int64_t *ret)
{
    char *end;
    if (strcmp(text, "none") == 0) {
        *ret = NO_QUOTA;
        return true;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    *ret = n;
    return errno == 0 && end != text && *end == '\0' && n > 0;
}

static bool parse_size(const char *text, int64_t *ret)
{
    uint64_t size;
    if (strcmp(text, "none") == 0) {
        *ret = NO_QUOTA;
        return true;
    }
    if (hd_parse_bytes(text, &size) < 0 || size > INT64_MAX) {
        return false;
    }
    *ret = (int64_t)size;
    return true;
}

static int set(struct hd_admin *a, const char *path)
{
    int64_t names = 0;
    int64_t bytes = 0;
    if (a->names == NULL && a->bytes == NULL) {
        return hd_cmd_usage(a->self, "quota set: --names N, --bytes SIZE or both are expected");
    }
    if (a->names != NULL && !parse_names(a->names, &names)) {
        return hd_cmd_usage(a->self, "quota set: --names %s: a number from 1 on, or none",
                            a->names);
    }
    if (a->bytes != NULL && !parse_size(a->bytes, &bytes)) {
        return hd_cmd_usage(a->self, "quota set: --bytes %s: 512, 64k, 30M, 2g, or none", a->bytes);
    }
    int rc = hd_meta_set_tree_quota(&a->meta, path, a->names != NULL ? &names : NULL,
                                    a->bytes != NULL ? &bytes : NULL);
    return rc < 0 ? hd_cmd_fail(a->self, rc) : HD_EXIT_OK;
}

static int clear(struct hd_admin *a, const char *path)
{
    const int64_t none = NO_QUOTA;
    int rc = hd_meta_set_tree_quota(&a->meta, path, &none, &none);
    return rc < 0 ? hd_cmd_fail(a->self, rc) : HD_EXIT_OK;
}

/* ---- showing ---- */

static const char *limit_text(int64_t limit, bool is_size, char out[HD_SIZE_TEXT_BYTES])
{
    if (limit < 0) {
        return "-";
    }
    if (is_size) {
        return hd_format_size((uint64_t)limit, "", 1, out);
    }
    snprintf(out, HD_SIZE_TEXT_BYTES, "%" PRId64, limit);
    return out;
}

static void print_head(void)
{
    printf("%12s %12s %12s %12s  %s\n", "NAMES", "USED", "BYTES", "USED", "PATH");
}

static void print_line(const char *path, const Hdw__TreeQuota *q)
{
    char names[HD_SIZE_TEXT_BYTES], bytes[HD_SIZE_TEXT_BYTES], used[HD_SIZE_TEXT_BYTES];
    printf("%12s %12" PRIu64 " %12s %12s  %s\n", limit_text(q->names, false, names), q->used_names,
           limit_text(q->bytes, true, bytes), hd_format_size(q->used_bytes, "", 1, used), path);
}

/* null: there is no limit. */
static json_t *limit_json(int64_t limit)
{
    return limit < 0 ? json_null() : json_integer(limit);
}

static json_t *quota_json(const char *path, const Hdw__TreeQuota *q)
{
    return json_pack("{s:s%, s:o, s:o, s:I, s:I}", "path", path, strlen(path), "names",
                     limit_json(q->names), "bytes", limit_json(q->bytes), "used_names",
                     (json_int_t)q->used_names, "used_bytes", (json_int_t)q->used_bytes);
}

static int print_json(json_t *o)
{
    int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

static int get(struct hd_admin *a, const char *path)
{
    Hdw__GetTreeQuotaResponse *r;
    Hdw__TreeQuota q = HDW__TREE_QUOTA__INIT;
    int rc = hd_meta_get_tree_quota(&a->meta, path, &r);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    q.names = r->names;
    q.bytes = r->bytes;
    q.used_names = r->used_names;
    q.used_bytes = r->used_bytes;
    if (a->json) {
        return print_json(quota_json(path, &q));
    }
    print_head();
    print_line(path, &q);
    return HD_EXIT_OK;
}

static char *path_of(const Hdw__TreeQuota *q)
{
    char *path = malloc(q->path.len + 1);
    if (path != NULL) {
        memcpy(path, q->path.data, q->path.len);
        path[q->path.len] = '\0';
    }
    return path;
}

static int compare_paths(const void *a, const void *b)
{
    const Hdw__TreeQuota *x = *(Hdw__TreeQuota *const *)a;
    const Hdw__TreeQuota *y = *(Hdw__TreeQuota *const *)b;
    size_t size = HD_MIN(x->path.len, y->path.len);
    int order = memcmp(x->path.data, y->path.data, size);
    return order != 0 ? order : (x->path.len > y->path.len) - (x->path.len < y->path.len);
}

/* Those with a limit of ours: HDFS's space quotas are `hdfs dfs -count -q`'s to show. */
static int show_all(struct hd_admin *a, Hdw__TreeQuota **quotas, size_t count)
{
    json_t *list = json_array();
    if (!a->json) {
        print_head();
    }
    for (size_t n = 0; n < count; n++) {
        char *path = path_of(quotas[n]);
        if (path == NULL) {
            json_decref(list);
            return hd_cmd_fail(a->self, -ENOMEM);
        }
        if (quotas[n]->names >= 0 || quotas[n]->bytes >= 0) {
            if (a->json) {
                json_array_append_new(list, quota_json(path, quotas[n]));
            } else {
                print_line(path, quotas[n]);
            }
        }
        free(path);
    }
    if (a->json) {
        return print_json(list);
    }
    json_decref(list);
    return HD_EXIT_OK;
}

static int list(struct hd_admin *a)
{
    Hdw__TreeQuota **all = NULL;
    size_t count = 0;
    int rc = hd_meta_list_tree_quotas(&a->meta, &all, &count);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (count > 1) {
        qsort(all, count, sizeof(*all), compare_paths);
    }
    return show_all(a, all, count);
}

int hd_admin_quota(struct hd_admin *a, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct hd_admin *a, const char *path);
    } actions[] = {{"set", set}, {"get", get}, {"clear", clear}};
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        return list(a);
    }
    for (size_t n = 0; argc == 3 && n < HD_ARRAY_COUNT(actions); n++) {
        if (strcmp(argv[1], actions[n].name) == 0) {
            return argv[2][0] == '/'
                       ? actions[n].run(a, argv[2])
                       : hd_cmd_usage(a->self, "quota: %s is no absolute path", argv[2]);
        }
    }
    return hd_cmd_usage(a->self, "quota: set PATH, get PATH, clear PATH or list is expected");
}
