/* Clocks. Monotonic time for every duration and deadline, wall time only for what is stored. */
#ifndef HD_OS_CLOCK_H
#define HD_OS_CLOCK_H

#include "fs/base/types.h"

#include <pthread.h>

struct hd_mono_ms hd_clock_mono_ms(void);
uint64_t hd_clock_mono_ns(void);
struct hd_wall_ms hd_clock_wall_ms(void); /* as a clock.jump of fault.h shows it */

/* Sleeps; returns early only when the thread is cancelled. */
void hd_clock_sleep_ms(int64_t ms);

/* A condition whose timed waits go by monotonic time. */
void hd_clock_cond_init(pthread_cond_t *cond);

/* Cryptographically random bytes (getrandom); never fails on a running system. */
void hd_random_bytes(void *out, size_t size);

/* A random UUID as text, HD_UUID_TEXT_BYTES with the NUL. */
void hd_random_uuid(char out[HD_UUID_TEXT_BYTES]);

#endif
