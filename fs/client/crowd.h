/*
 * The same question to several servers at once, each in a thread of its own, where the slowest must
 * not hold up who asks: the asker leaves when it has heard enough, the rest ends by its own
 * deadlines. Inside the room; one thread asks.
 */
#ifndef HD_CLIENT_CROWD_H
#define HD_CLIENT_CROWD_H

enum { HD_CROWD_MAX = 32 };

struct hd_crowd;

/*
 * Calls work(ctx, i) for each i below count (at most HD_CROWD_MAX). Takes ctx, which is one piece
 * of heap memory, also when it fails; work must touch nothing else that could go away, and end in
 * time. What work writes into ctx belongs to index i alone, and may be read when i has ended. A
 * thread that cannot start counts as ended with -EAGAIN. -ENOMEM.
 */
int hd_crowd_start(void *ctx, size_t count, int (*work)(void *ctx, size_t i),
                   struct hd_crowd **ret);

/* Waits for one more to end; false when until_ms (monotonic) came first, or all have ended. */
bool hd_crowd_wait(struct hd_crowd *c, int64_t until_ms);

/* Whether i has ended, and with what. */
bool hd_crowd_ended(struct hd_crowd *c, size_t i, int *ret_err);

void hd_crowd_leave(struct hd_crowd *c); /* takes NULL */

#endif
