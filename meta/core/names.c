/* Names kept once. See names.h. */
#include "meta/core/names.h"
#include "meta/core/mem.h"

void hd_names_init(struct hd_names *n)
{
    *n = (struct hd_names){0};
    hd_strmap_init(&n->numbers);
}

void hd_names_done(struct hd_names *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        free(n->names[i]);
    }
    free(n->names);
    hd_strmap_done(&n->numbers);
}

uint32_t hd_names_number(struct hd_names *n, const char *name)
{
    size_t size = strlen(name);
    void *found = hd_strmap_get(&n->numbers, name, size);
    if (found != NULL) {
        return (uint32_t)((uintptr_t)found - 1);
    }
    HD_MEM_GROW(n->names, n->count, n->capacity);
    uint32_t number = n->count++;
    n->names[number] = hd_mem_str(name, size);
    int err = hd_strmap_put(&n->numbers, name, size, (void *)((uintptr_t)number + 1));
    hd_assert(err == 0);
    return number;
}

const char *hd_names_text(const struct hd_names *n, uint32_t number)
{
    hd_assert(number < n->count);
    return n->names[number];
}
