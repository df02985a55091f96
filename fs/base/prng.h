/* A seeded generator (splitmix64): the only randomness of the pure cores. Not for secrets. */
#ifndef HD_BASE_PRNG_H
#define HD_BASE_PRNG_H

struct hd_prng {
    uint64_t state;
};

static inline uint64_t hd_prng_next(struct hd_prng *p)
{
    uint64_t z = (p->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number in [0, bound); bound > 0. The bias is below 2^-32 for bounds below 2^32. */
static inline uint64_t hd_prng_below(struct hd_prng *p, uint64_t bound)
{
    return hd_prng_next(p) % bound;
}

#endif
