/* See session_record.h. */
#include "meta/core/session_record.h"
#include "meta/core/mem.h"

void hd_session_records_init(struct hd_session_records *r)
{
    hd_strmap_init(&r->by_name);
}

void hd_session_records_done(struct hd_session_records *r)
{
    size_t cursor = 0;
    const char *name;
    void *machine;
    while (hd_strmap_next(&r->by_name, &cursor, &name, &machine)) {
        free(machine);
    }
    hd_strmap_done(&r->by_name);
}

void hd_session_records_set(struct hd_session_records *r, const Hdm__Session *op)
{
    size_t size = strlen(op->client_name);
    free(hd_strmap_remove(&r->by_name, op->client_name, size));
    if (op->has_ended && op->ended) {
        return;
    }
    const char *machine = op->machine != NULL ? op->machine : "";
    int err =
        hd_strmap_put(&r->by_name, op->client_name, size, hd_mem_str(machine, strlen(machine)));
    hd_assert(err == 0);
}

const char *hd_session_records_find(const struct hd_session_records *r, const char *name)
{
    return hd_strmap_get(&r->by_name, name, strlen(name));
}
