/*
 * The rack map's sources: [meta] rack_table = FILE, lines of "address rack", and rack_script =
 * PROGRAM, which gets addresses as arguments and prints a rack for each (HDFS's
 * net.topology.script.file.name). Where both are given the table goes first.
 *
 * Files and programs are looked at on a thread of its own; what they say comes back on the loop.
 */
#ifndef HD_META_SHELL_RACK_MAP_H
#define HD_META_SHELL_RACK_MAP_H

#include "fs/base/arena.h"
#include "meta/core/meta.h"

struct hd_loop;
struct hd_rack_map;

struct hd_rack_map_options {
    struct hd_loop *loop;
    const char *table;  /* "": none */
    const char *script; /* "": none */
    /* On the loop. Borrowed for the call. replace: what was told before holds no more. */
    void (*on_racks)(void *ctx, const struct hd_meta_rack *racks, size_t count, bool replace);
    void *ctx;
};

/* Reads the table. NULL in *ret when there is neither a table nor a script. */
int hd_rack_map_start(const struct hd_rack_map_options *o, struct hd_rack_map **ret);
void hd_rack_map_stop(struct hd_rack_map *r); /* takes NULL */

/* Asks the script about an address. Takes NULL. */
void hd_rack_map_want(struct hd_rack_map *r, const char *address);

/* Reads the table again, and asks the script about all it was asked before. Takes NULL. */
void hd_rack_map_reload(struct hd_rack_map *r);

/* ---- for tests ---- */

struct hd_rack_list {
    struct hd_arena arena;
    struct hd_meta_rack *items; /* heap, owned; texts in the arena */
    size_t count, capacity;
};

void hd_rack_list_done(struct hd_rack_list *l);

/* Adds what the file says. An errno, or -HD_E_CONFIG with file and line. */
int hd_rack_table_read(const char *path, struct hd_rack_list *l);

/* Runs the program; adds a rack for each address. -HD_E_IO when it fails or says too little. */
int hd_rack_script_run(const char *program, char *const *addresses, size_t count,
                       struct hd_rack_list *l);

#endif
