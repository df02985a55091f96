/* Starting threads: small stacks, all signals left to the main thread. */
#ifndef HD_META_SHELL_THREADS_H
#define HD_META_SHELL_THREADS_H

#include <pthread.h>

/* name: at most 15 characters. 0 or a negative errno. */
int hd_meta_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *ctx);

#endif
