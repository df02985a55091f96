/* Sessions. See session.h. */
#include "meta/core/session.h"
#include "meta/core/op.h"

int hd_session_of(struct hd_call *c, uint64_t number, struct hd_session **ret)
{
    *ret = NULL;
    return hd_call_fail(c, -HD_E_NO_SESSION, "There is no session %llu",
                        (unsigned long long)number);
}

struct hd_session *hd_call_session(const struct hd_call *c)
{
    (void)c;
    return NULL;
}

uint64_t hd_session_number(const struct hd_session *s)
{
    (void)s;
    return 0;
}

const char *hd_session_name(const struct hd_session *s)
{
    (void)s;
    return "";
}

bool hd_session_is_live(const struct hd_meta *m, uint64_t number)
{
    (void)m, (void)number;
    return false;
}

void hd_session_push_lock(struct hd_meta *m, uint64_t number, uint64_t ino, uint64_t wait_id,
                          int error)
{
    (void)m, (void)number, (void)ino, (void)wait_id, (void)error;
}
