/*
 * Room for the edit log. Below `reserved` bytes in every directory that is in use the namespace
 * takes no more changes: what is under way still fits, and reads go on. It ends by itself when
 * there is room again.
 */
#ifndef HD_META_SHELL_SPACE_H
#define HD_META_SHELL_SPACE_H

struct hd_edit_log;
struct hd_loop;
struct hd_meta;
struct hd_space;

struct hd_space_options {
    struct hd_loop *loop;
    struct hd_edit_log *log;
    struct hd_meta *meta; /* told on the loop's thread */
    uint64_t reserved_bytes;
};

/* Looks at once, blocking, and then every second on a thread of its own. */
int hd_space_start(const struct hd_space_options *o, struct hd_space **ret);
void hd_space_stop(struct hd_space *s); /* takes NULL; on the loop's thread */

#endif
