/* Leases. See lease.h. */
#include "meta/core/lease.h"
#include "meta/core/mem.h"

void hd_leases_init(struct hd_leases *l)
{
    hd_strmap_init(&l->by_holder);
    hd_list_init(&l->all);
}

void hd_leases_done(struct hd_leases *l)
{
    hd_assert(hd_list_empty(&l->all));
    hd_strmap_done(&l->by_holder);
}

struct hd_lease *hd_leases_find(const struct hd_leases *l, const char *holder)
{
    return hd_strmap_get(&l->by_holder, holder, strlen(holder));
}

void hd_leases_add(struct hd_leases *l, struct hd_open_file *f, const char *holder,
                   struct hd_mono_ms now)
{
    struct hd_lease *lease = hd_leases_find(l, holder);
    if (lease == NULL) {
        lease = HD_MEM_NEW(struct hd_lease);
        lease->holder = hd_mem_str(holder, strlen(holder));
        hd_list_init(&lease->files);
        hd_list_push_back(&l->all, &lease->in_leases);
        int err = hd_strmap_put(&l->by_holder, holder, strlen(holder), lease);
        hd_assert(err == 0);
    }
    lease->renewed = now;
    lease->file_count++;
    hd_list_push_back(&lease->files, &f->in_lease);
    f->lease = lease;
}

void hd_leases_remove(struct hd_leases *l, struct hd_open_file *f)
{
    struct hd_lease *lease = f->lease;
    hd_list_remove(&f->in_lease);
    f->lease = NULL;
    hd_assert(lease->file_count > 0);
    if (--lease->file_count == 0) {
        hd_list_remove(&lease->in_leases);
        hd_strmap_remove(&l->by_holder, lease->holder, strlen(lease->holder));
        free(lease->holder);
        free(lease);
    }
}
