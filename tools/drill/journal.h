/*
 * The journal of a drill: how to undo everything it has done or is about to do. Each inverse is
 * durable before its fault is injected, so whatever becomes of the drill's process, `howdah drill
 * abort` or the next `run` can heal. The inverses are undone in the opposite order; each may be
 * undone again, and does nothing where there is nothing to undo (the fault never happened, or the
 * cluster mended it by itself).
 *
 * The file is text, one inverse a line, fields separated by tabs. A torn last line was never
 * answered for, so its fault was never injected. A journal that is not there: nothing to undo.
 */
#ifndef HD_TOOLS_DRILL_JOURNAL_H
#define HD_TOOLS_DRILL_JOURNAL_H

#include "tools/cluster.h"

enum hd_inverse_kind {
    HD_UNDO_START,    /* start every daemon that does not run */
    HD_UNDO_CONTINUE, /* a member's name: SIGCONT */
    HD_UNDO_BYTES,    /* path, offset, saved file, bad file: put saved's bytes where bad's are */
    HD_UNDO_MOVE,     /* from, to: move back to `to` unless something is there by now */
    HD_UNDO_REPLACE,  /* saved file, path, size of the bad file: saved takes its place */
    HD_UNDO_FAULTS,   /* "host:port": empty fault table */
    HD_UNDO_NODE,     /* "ip:port" of a data node: back in service */
    HD_UNDO_POWERCUT, /* journal of writes, seed: end what howdah-powercut had begun */
    HD_UNDO_RESTART,  /* a member's name, pid: stop that process, so that START starts it anew */
    HD_UNDO_KINDS,
};

enum { HD_UNDO_ARGS = 4 };

struct hd_inverse {
    enum hd_inverse_kind kind;
    char *args[HD_UNDO_ARGS]; /* heap, owned; NULL behind the last */
};

struct hd_journal {
    char path[HD_PATH_BYTES];
    int fd;                  /* -1: not open for writing */
    struct hd_inverse *list; /* heap, owned */
    size_t count;
};

/* Opens the journal at path for a new drill: -EEXIST when one has to be healed first. */
int hd_journal_open(const char *path, struct hd_journal *ret);

/* Reads what is there; none is an empty journal. */
int hd_journal_load(const char *path, struct hd_journal *ret);
void hd_journal_done(struct hd_journal *j); /* closes and frees; the file stays */

/* Notes an inverse; durable when it returns. Arguments hold no tab and no newline. */
int hd_journal_add(struct hd_journal *j, enum hd_inverse_kind kind, const char *const *args,
                   size_t count);

/* Everything is undone: removes the file, durably. */
int hd_journal_clear(struct hd_journal *j);

/* One inverse as a line; and back. For hd_journal_load and tests. -HD_E_BAD_MESSAGE. */
int hd_inverse_decode(char *line, struct hd_inverse *ret);

#endif
