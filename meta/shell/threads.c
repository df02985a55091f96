/* See threads.h. */
#include "meta/shell/threads.h"
#include "fs/base/error.h"

#include <signal.h>

enum { STACK_BYTES = 256 << 10 };

int hd_meta_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *ctx)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(ret, &attr, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (e != 0) {
        return hd_fail_errno(e, "start thread %s", name);
    }
    pthread_setname_np(*ret, name);
    return 0;
}
