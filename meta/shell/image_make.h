/*
 * Making and verifying images: the view's snapshot into a file, and a file into a core of its own,
 * which is what proves that it can be started from. Blocks; any thread but the loop's.
 */
#ifndef HD_META_SHELL_IMAGE_MAKE_H
#define HD_META_SHELL_IMAGE_MAKE_H

#include "meta/log/image.h"
#include "meta/shell/store.h"

/* Reads the image file at path into a fresh core and checks the whole. -HD_E_CORRUPT, ... */
int hd_image_verify(const char *path, const struct hd_meta_options *core,
                    const struct hd_version *version, struct hd_image_info *ret);

/* Writes, verifies and installs dir/image_<applied> from a snapshot of the view. */
int hd_image_make(const char *dir, struct hd_kv *view, struct hd_kv_snapshot *snapshot,
                  struct hd_txid applied, const struct hd_meta_options *core,
                  const struct hd_version *version, struct hd_image_info *ret);

/*
 * Keeps the newest `kept` images, and purges the edits that the oldest of them covers; nothing is
 * purged while there are fewer images than that.
 */
int hd_image_retain(const char *dir, struct hd_edit_log *log, size_t kept);

#endif
