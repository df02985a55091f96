/*
 * Image files: the whole view at one txid, image_<txid>, with image_<txid>.sha256 beside it in the
 * format of sha256sum(1). The tables are in docs/formats.md ("Image").
 *
 * An image is written under a temporary name, read back whole (every block's CRC, the order of the
 * keys, the count, the digest) and only then gets its name and its digest file, durably.
 *
 * Everything blocks on the disk. One thread a writer.
 */
#ifndef HD_META_LOG_IMAGE_H
#define HD_META_LOG_IMAGE_H

#include "fs/base/buf.h"
#include "fs/base/types.h"

enum { HD_IMAGE_PATH_BYTES = 4096, HD_SHA256_BYTES = 32, HD_IMAGE_KEY_MAX_BYTES = 64 << 10 };

struct hd_image_writer;

/* Starts dir/image_<txid>.tmp. */
int hd_image_writer_new(const char *dir, const char *cluster_id, struct hd_txid txid,
                        struct hd_image_writer **ret);
/* Keys in ascending byte order. */
int hd_image_writer_add(struct hd_image_writer *w, const void *key, size_t key_size,
                        const void *value, size_t value_size);
/* Completes the file and makes it durable, still under its temporary name. */
int hd_image_writer_finish(struct hd_image_writer *w);
const char *hd_image_writer_path(const struct hd_image_writer *w);
/* Takes NULL; removes the file unless finish succeeded. */
void hd_image_writer_free(struct hd_image_writer *w);

/* Called with every key. A negative result stops the reading and is its result. */
typedef int (*hd_image_fn)(void *ctx, const void *key, size_t key_size, const void *value,
                           size_t value_size);

struct hd_image_info {
    struct hd_txid txid;
    uint64_t keys;
    uint64_t size_bytes;
    uint8_t sha256[HD_SHA256_BYTES];
};

/*
 * Reads and checks a whole image file. fn may be NULL. -HD_E_CORRUPT names file and offset. The
 * digest is computed, not compared.
 */
int hd_image_read(const char *path, const char *cluster_id, hd_image_fn fn, void *ctx,
                  struct hd_image_info *ret);

/* The same for dir/image_<txid>, and compares with the name and with the .sha256 file. */
int hd_image_load(const char *dir, struct hd_txid txid, const char *cluster_id, hd_image_fn fn,
                  void *ctx, struct hd_image_info *ret);

/* Gives the finished and checked file `temp` its name in dir, and writes the digest file. */
int hd_image_install(const char *dir, const char *temp, const struct hd_image_info *info);

/* The txids of the images in dir that have a digest file, newest first; at most max of them. */
int hd_image_list(const char *dir, struct hd_txid *out, size_t max, size_t *ret_count);

/* The same of the image files themselves, whether they have a digest file or not. */
int hd_image_list_files(const char *dir, struct hd_txid *out, size_t max, size_t *ret_count);
bool hd_image_has_digest(const char *dir, struct hd_txid txid);

/* Digest and size of dir/image_<txid> without reading the image: from the digest file. */
int hd_image_stat(const char *dir, struct hd_txid txid, struct hd_image_info *ret);

int hd_image_remove(const char *dir, struct hd_txid txid);

/* Removes unfinished images (image_*.tmp) that an earlier process left. */
int hd_image_remove_temps(const char *dir);
void hd_image_path(const char *dir, struct hd_txid txid, char out[HD_IMAGE_PATH_BYTES]);

#endif
