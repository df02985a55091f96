/*
 * Compressed input, told by the end of the file's name as in Hadoop, read as a stream: bytes of the
 * file in, bytes of the text out. A file may hold several members one behind the other (.gz, .bz2,
 * .zst), as `cat a.gz b.gz` makes them. What is damaged or ends early is -HD_E_CORRUPT.
 */
#ifndef HD_RUNNER_OPS_CODEC_H
#define HD_RUNNER_OPS_CODEC_H

enum hd_codec {
    HD_CODEC_PLAIN,
    HD_CODEC_ZLIB, /* .gz, .deflate */
    HD_CODEC_BZIP2,
    HD_CODEC_ZSTD,
    HD_CODEC_UNKNOWN, /* a compressed format that is not read here: .snappy, .lz4, .lzo ... */
};

/* By the name's ending; a name without a known one is plain. */
enum hd_codec hd_codec_of_name(const char *path);

struct hd_codec_reader;

/* codec is one that is read here, not PLAIN. */
int hd_codec_reader_new(enum hd_codec codec, struct hd_codec_reader **ret);
void hd_codec_reader_free(struct hd_codec_reader *r); /* takes NULL */

/*
 * Takes bytes from in and gives bytes to out, as many as there are or fit: how many is in *ret_in
 * and *ret_out. Call again with what was not taken; with nothing taken and nothing given, it needs
 * more. -HD_E_CORRUPT with a sentence, -ENOMEM.
 */
int hd_codec_read(struct hd_codec_reader *r, const uint8_t *in, size_t in_size, uint8_t *out,
                  size_t out_size, size_t *ret_in, size_t *ret_out);

/* At the end of the file: 0, or -HD_E_CORRUPT when a member is not whole. */
int hd_codec_end(const struct hd_codec_reader *r);

#endif
