/*
 * Which sessions there are, as far as it is durable: the names of those that began and did not end.
 * Record Session; in the view 'S' name.
 */
#ifndef HD_META_CORE_SESSION_RECORD_H
#define HD_META_CORE_SESSION_RECORD_H

#include "fs/base/map.h"
#include "record.pb-c.h"

struct hd_session_records {
    struct hd_strmap by_name; /* client_name -> machine (heap, owned) */
};

void hd_session_records_init(struct hd_session_records *r);
void hd_session_records_done(struct hd_session_records *r);
void hd_session_records_set(struct hd_session_records *r, const Hdm__Session *op);

/* The machine; NULL: there is no such session. */
const char *hd_session_records_find(const struct hd_session_records *r, const char *name);

#endif
