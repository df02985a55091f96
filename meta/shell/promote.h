/*
 * Making a secondary the primary (howdah admin promote): asks the witnesses, claims the next epoch
 * from them, stops following, and writes the new role down. Blocks; a thread of its own.
 */
#ifndef HD_META_SHELL_PROMOTE_H
#define HD_META_SHELL_PROMOTE_H

#include "meta/shell/secondary_impl.h"

/*
 * 0: s->store is open, with the new epoch, durable; nobody follows any more; *ret_epoch. Errors
 * leave the secondary as it was, still following (*ret_stopped false), or say that the process
 * cannot go on (true). stop_tail ends the tail thread and waits for it.
 */
int hd_promote(struct hd_secondary *s, bool force, void (*stop_tail)(struct hd_secondary *s),
               uint64_t *ret_epoch, bool *ret_stopped);

#endif
