/*
 * The witnesses: data nodes that keep, durably, who is primary (fs/wire/witness.h). The list is in
 * the metadata directory, of the primary and, as far as it was told, of the secondary, so that both
 * ask the same ones. Blocks; any thread.
 */
#ifndef HD_META_SHELL_WITNESSES_H
#define HD_META_SHELL_WITNESSES_H

#include "fs/base/types.h"

#include "howdah.pb-c.h"

struct hd_edit_log;

enum { HD_WITNESSES_MAX = 1000, HD_WITNESS_TEXT_BYTES = 80 };

struct hd_witness_entry {
    char uuid[HD_WITNESS_TEXT_BYTES];
    char address[HD_WITNESS_TEXT_BYTES]; /* "ip:ipc port" */
};

struct hd_witness_list {
    uint64_t version; /* grows with each change; 0: empty since ever */
    uint32_t count;
    struct hd_witness_entry *entries; /* heap, owned; HD_WITNESSES_MAX of them, or NULL */
};

/* dir/witnesses. A missing file is an empty list; -HD_E_CORRUPT. */
int hd_witness_list_load(const char *dir, struct hd_witness_list *ret);
int hd_witness_list_store(const char *dir, const struct hd_witness_list *l); /* durable */
/* The same for a list of directories: the newest list of any, and into every one that is in use. */
int hd_witness_list_load_any(const char *dirs, struct hd_witness_list *ret);
int hd_witness_list_store_all(struct hd_edit_log *log, const struct hd_witness_list *l);
int hd_witness_list_copy(const struct hd_witness_list *from, struct hd_witness_list *ret);
void hd_witness_list_done(struct hd_witness_list *l);

/* A node is there under this address. True when that changed the list (and its version). */
bool hd_witness_list_note(struct hd_witness_list *l, const char *uuid, const char *address);

/* One answer, or err < 0. Called by several threads, but never at the same time. */
typedef void (*hd_witness_fn)(void *ctx, int err, const Hdw__WitnessResponse *r);

/* Asks all side by side; returns when each has answered or was given up. */
void hd_witnesses_ask(const struct hd_witness_list *l, const Hdw__WitnessRequest *q,
                      const char *user, hd_witness_fn fn, void *ctx);

#endif
