/* From wire messages to the structs of howdah.h. Inside the room. */
#ifndef HD_CLIENT_CONVERT_H
#define HD_CLIENT_CONVERT_H

#include "fs/client/howdah.h"

#include "hdfs.pb-c.h"

/* The caller calls hd_stat_done. Names that do not fit are -ENAMETOOLONG; 0 otherwise, or -ENOMEM.
 */
int hd_convert_status(const Hdw__HdfsFileStatus *from, struct hd_stat *ret);

/* Copies text into a fixed array, cut at its size. */
void hd_convert_text(char *out, size_t size, const char *text);

#endif
