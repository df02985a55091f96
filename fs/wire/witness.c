/* Which requests a witness accepts. See witness.h. */
#include "fs/wire/witness.h"

bool hd_witness_ask(struct hd_witness *w, const struct hd_witness_request *r)
{
    const struct hd_witness next = {r->epoch, r->owner, r->serial, r->exposed};
    if (r->epoch < w->epoch || (r->epoch == w->epoch && r->owner != w->owner)) {
        return false;
    }
    if (r->ask_only) {
        return true;
    }
    if (r->epoch == w->epoch) {
        bool again = r->serial == w->serial && r->exposed == w->exposed;
        if (r->serial < w->serial || (r->serial == w->serial && !again)) {
            return false;
        }
    } else if (r->serial == 0 && !r->force && (w->epoch == 0 || w->exposed)) {
        /* A promotion that would lose what the primary acknowledged alone, as far as is known here:
         * one that knows nothing may have forgotten it with its disks. */
        return false;
    }
    *w = next;
    return true;
}
