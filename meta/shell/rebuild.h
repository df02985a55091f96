/* Making the namespace again from images and the log. Parts of hd_store_open; see store.h. */
#ifndef HD_META_SHELL_REBUILD_H
#define HD_META_SHELL_REBUILD_H

#include "meta/shell/store.h"

/* Into s->meta and the empty s->view: the newest image that verifies, or an empty namespace. */
int hd_rebuild_base(struct hd_store *s, const struct hd_meta_options *core);

/* Replays the log behind s->applied into s->meta and s->view. */
int hd_rebuild_replay(struct hd_store *s);

#endif
