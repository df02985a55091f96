/* What sessions know and hold. See caps.h. */
#include "meta/core/caps.h"
#include "meta/core/op.h"
#include "meta/core/session.h"

bool hd_caps_know(struct hd_call *c, struct hd_inode *i)
{
    (void)c, (void)i;
    return false;
}

int hd_caps_want(struct hd_call *c, struct hd_inode *file, enum hd_cap want)
{
    (void)c, (void)file, (void)want;
    return 0;
}

bool hd_caps_has(struct hd_call *c, const struct hd_inode *file, enum hd_cap kind)
{
    (void)c, (void)file, (void)kind;
    return false;
}

bool hd_caps_elsewhere(struct hd_call *c, const struct hd_inode *file)
{
    (void)c, (void)file;
    return false;
}

bool hd_caps_busy(struct hd_call *c, const struct hd_inode *file)
{
    (void)c, (void)file;
    return false;
}

bool hd_caps_grant(struct hd_call *c, struct hd_inode *file, enum hd_cap kind,
                   uint64_t *ret_serial)
{
    (void)c, (void)file, (void)kind;
    *ret_serial = 0;
    return false;
}

void hd_caps_keep(struct hd_call *c, struct hd_inode *file, enum hd_cap keep)
{
    (void)c, (void)file, (void)keep;
}

bool hd_caps_trusted(const struct hd_call *c)
{
    (void)c;
    return false;
}

void hd_caps_orphaned(struct hd_meta *m, struct hd_inode *file, uint64_t holder_session)
{
    (void)m, (void)file, (void)holder_session;
}

bool hd_caps_in_grace(const struct hd_meta *m)
{
    (void)m;
    return false;
}
