/* PosixProtocol: setAttr: chmod, chown, utimensat. The size is changed by resize. */
#include "meta/core/caps.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"

/* Who writes the file tells its times himself when he is done: he has to do that first. */
static int want_times(struct hd_call *c, struct hd_inode *i, const Hdw__PosixAttrChange *change)
{
    bool mtime = change->has_mtime_ns || (change->has_mtime_now && change->mtime_now);
    return mtime && hd_inode_is_file(i) && hd_caps_busy(c, i) ? hd_caps_want(c, i, HD_CAP_READ) : 0;
}

int hd_op_set_attr(struct hd_call *c)
{
    const Hdw__SetAttrRequest *q = c->request;
    struct hd_inode *i;
    int err = hd_call_check_safe_mode(c, "Cannot set attributes");
    if (err == 0) {
        err = hd_posix_inode(c, q->ino, &i);
    }
    if (err == 0) {
        err = hd_posix_check_change(c, i, q->change);
    }
    if (err == 0) {
        err = want_times(c, i, q->change);
    }
    if (err != 0) {
        return err;
    }
    Hdm__SetAttributes op;
    if (hd_posix_change(c, i, q->change, &op)) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    }
    Hdw__SetAttrResponse *r = HD_MSG(c->m, Hdw__SetAttrResponse, hdw__set_attr_response);
    r->attr = hd_posix_attr(c, i);
    return hd_call_done(c, &r->base);
}
