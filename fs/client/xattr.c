/* Extended attributes: "user.name" and the like on this side, namespace and name on the wire. */
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/client/session.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
    const char *prefix;
    Hdw__XAttrNamespace space;
} spaces[] = {
    {"user.", HDW__XATTR_NAMESPACE__XATTR_NS_USER},
    {"trusted.", HDW__XATTR_NAMESPACE__XATTR_NS_TRUSTED},
    {"security.", HDW__XATTR_NAMESPACE__XATTR_NS_SECURITY},
    {"system.", HDW__XATTR_NAMESPACE__XATTR_NS_SYSTEM},
    {"raw.", HDW__XATTR_NAMESPACE__XATTR_NS_RAW},
};

static int parse_name(const char *name, Hdw__XAttr *x)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(spaces); i++) {
        size_t n = strlen(spaces[i].prefix);
        if (strncmp(name, spaces[i].prefix, n) == 0) {
            x->namespace_ = spaces[i].space;
            x->name = (char *)(uintptr_t)(name + n);
            return 0;
        }
    }
    return hd_fail(-EOPNOTSUPP, "%s: no such kind of extended attribute", name);
}

static const char *prefix_of(const Hdw__XAttr *x)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(spaces); i++) {
        if (spaces[i].space == x->namespace_) {
            return spaces[i].prefix;
        }
    }
    return "";
}

/* What a foreign server only says in words. */
static int attribute_error(int err)
{
    if (err == -HD_E_XATTR_NOT_FOUND) {
        return -ENODATA;
    }
    if (err != -HD_E_IO) {
        return err;
    }
    const char *text = hd_fail_text();
    if (strstr(text, "already exists") != NULL) {
        return -EEXIST;
    }
    if (strstr(text, "does not exist") != NULL || strstr(text, "No matching attributes") != NULL ||
        strstr(text, "attributes provided was not found") != NULL) {
        return -ENODATA;
    }
    return err;
}

int hd_fs_set_xattr(struct hd_fs *fs, const char *path, const char *name, const void *value,
                    size_t size, int flags)
{
    Hdw__XAttr x = HDW__XATTR__INIT;
    int err = parse_name(name, &x);
    if (err < 0) {
        return err;
    }
    x.has_value = true;
    x.value.data = (uint8_t *)(uintptr_t)value;
    x.value.len = size;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SetXAttrRequest request = HDW__SET_XATTR_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    request.x_attr = &x;
    request.has_flag = true;
    request.flag = flags == 0 ? 3 : (uint32_t)flags; /* either is both */
    Hdw__SetXAttrResponse *response;
    return attribute_error(HD_CALL(fs, "setXAttr", set_xattr, &request, &arena, &response));
}

int hd_fs_get_xattr(struct hd_fs *fs, const char *path, const char *name, void **ret_value,
                    size_t *ret_size)
{
    Hdw__XAttr x = HDW__XATTR__INIT;
    int err = parse_name(name, &x);
    if (err < 0) {
        return err;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__XAttr *wanted[] = {&x};
    Hdw__GetXAttrsRequest request = HDW__GET_XATTRS_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    request.n_x_attrs = 1;
    request.x_attrs = wanted;
    Hdw__GetXAttrsResponse *response;
    err = attribute_error(HD_CALL(fs, "getXAttrs", get_xattrs, &request, &arena, &response));
    if (err < 0) {
        return err;
    }
    if (response->n_x_attrs == 0) {
        return hd_fail(-ENODATA, "%s: no attribute %s", path, name);
    }
    const Hdw__XAttr *got = response->x_attrs[0];
    size_t size = got->has_value ? got->value.len : 0;
    void *value = malloc(size + 1);
    if (value == NULL) {
        return -ENOMEM;
    }
    if (size > 0) {
        memcpy(value, got->value.data, size);
    }
    ((char *)value)[size] = '\0';
    *ret_value = value;
    *ret_size = size;
    return 0;
}

int hd_fs_list_xattrs(struct hd_fs *fs, const char *path, char **ret_names, size_t *ret_size)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ListXAttrsRequest request = HDW__LIST_XATTRS_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    Hdw__ListXAttrsResponse *response;
    int err = HD_CALL(fs, "listXAttrs", list_xattrs, &request, &arena, &response);
    if (err < 0) {
        return err;
    }
    struct hd_buf names = {.max = 1 << 20};
    for (size_t i = 0; i < response->n_x_attrs && err == 0; i++) {
        const Hdw__XAttr *x = response->x_attrs[i];
        err = hd_buf_addf(&names, "%s%s", prefix_of(x), x->name);
        if (err == 0) {
            err = hd_buf_add_u8(&names, 0);
        }
    }
    if (err == 0 && names.size == 0) {
        err = hd_buf_reserve(&names, 1); /* an empty list is memory, too */
    }
    if (err < 0) {
        hd_buf_done(&names);
        return err;
    }
    *ret_names = (char *)names.data;
    *ret_size = names.size;
    return 0;
}

int hd_fs_remove_xattr(struct hd_fs *fs, const char *path, const char *name)
{
    Hdw__XAttr x = HDW__XATTR__INIT;
    int err = parse_name(name, &x);
    if (err < 0) {
        return err;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__RemoveXAttrRequest request = HDW__REMOVE_XATTR_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    request.x_attr = &x;
    Hdw__RemoveXAttrResponse *response;
    return attribute_error(HD_CALL(fs, "removeXAttr", remove_xattr, &request, &arena, &response));
}
