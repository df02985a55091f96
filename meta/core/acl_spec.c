/* ACLs as lists, and HDFS's ways to change them. See acl_spec.h. */
#include "meta/core/acl_spec.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"

#include <stdlib.h>
#include <string.h>

void hd_acl_spec_init(struct hd_acl_spec *s, size_t capacity, struct hd_arena *arena)
{
    *s = (struct hd_acl_spec){.capacity = capacity};
    s->lines = HD_ARENA_ARRAY(arena, struct hd_acl_line, capacity + 1);
    hd_assert(s->lines != NULL);
}

void hd_acl_spec_add(struct hd_acl_spec *s, struct hd_acl_line line)
{
    hd_assert(s->count < s->capacity);
    s->lines[s->count++] = line;
}

static int compare_keys(const struct hd_acl_line *a, const struct hd_acl_line *b)
{
    if (a->is_default != b->is_default) {
        return a->is_default ? 1 : -1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->name == NULL || b->name == NULL) {
        return (a->name != NULL) - (b->name != NULL);
    }
    return strcmp(a->name, b->name);
}

static int compare(const void *a, const void *b)
{
    return compare_keys(a, b);
}

void hd_acl_spec_sort(struct hd_acl_spec *s)
{
    if (s->count > 1) {
        qsort(s->lines, s->count, sizeof(*s->lines), compare);
    }
}

static const struct hd_acl_line *find(const struct hd_acl_spec *s, const struct hd_acl_line *key)
{
    for (size_t n = 0; n < s->count; n++) {
        if (compare_keys(&s->lines[n], key) == 0) {
            return &s->lines[n];
        }
    }
    return NULL;
}

const struct hd_acl_line *hd_acl_spec_find(const struct hd_acl_spec *s, bool is_default,
                                           enum hd_acl_kind kind, const char *name)
{
    const struct hd_acl_line key = {.is_default = is_default, .kind = (uint8_t)kind, .name = name};
    return find(s, &key);
}

static const char name_not_wanted[] = "Invalid ACL: this entry type must not have a name.";

const char *hd_acl_spec_fault(const struct hd_acl_spec *s, bool is_default, size_t max,
                              struct hd_arena *arena)
{
    size_t count = 0;
    bool named = false;
    for (size_t n = 0; n < s->count; n++) {
        const struct hd_acl_line *l = &s->lines[n];
        if (l->is_default != is_default) {
            continue;
        }
        if (n > 0 && compare_keys(&s->lines[n - 1], l) == 0) {
            return "Invalid ACL: multiple entries with same scope, type and name.";
        }
        if (l->name != NULL && (l->kind == HD_ACL_MASK || l->kind == HD_ACL_OTHER)) {
            return name_not_wanted;
        }
        count++;
        named = named || l->name != NULL;
    }
    if (count == 0) {
        return NULL;
    }
    if (hd_acl_spec_find(s, is_default, HD_ACL_USER, NULL) == NULL ||
        hd_acl_spec_find(s, is_default, HD_ACL_GROUP, NULL) == NULL ||
        hd_acl_spec_find(s, is_default, HD_ACL_OTHER, NULL) == NULL) {
        return "Invalid ACL: the user, group and other entries are required.";
    }
    if (named && hd_acl_spec_find(s, is_default, HD_ACL_MASK, NULL) == NULL) {
        return "Invalid ACL: mask is required and cannot be deleted.";
    }
    if (count > max) {
        return hd_arena_printf(arena,
                               "Invalid ACL: ACL has %zu %s entries, which exceeds maximum of %zu.",
                               count, is_default ? "default" : "access", max);
    }
    return NULL;
}

/* ---- HDFS's changes ---- */

/* What a change did to one of the two ACLs. */
struct half {
    bool touched;    /* it has lines that the caller named */
    bool mask_named; /* the mask is one of them */
    bool has_mask;   /* a mask was given, or was there */
    uint8_t mask;    /* its permissions */
};

struct change {
    struct half half[2]; /* access, default */
    struct hd_acl_spec *out;
};

/* Masks are set aside: whether they stay is decided at the end. */
static void keep(struct change *ch, const struct hd_acl_line *l)
{
    struct half *h = &ch->half[l->is_default];
    if (l->kind == HD_ACL_MASK) {
        h->has_mask = true;
        h->mask = l->perm;
    } else {
        hd_acl_spec_add(ch->out, *l);
    }
}

static void note(struct change *ch, const struct hd_acl_line *l)
{
    struct half *h = &ch->half[l->is_default];
    h->touched = true;
    h->mask_named = h->mask_named || l->kind == HD_ACL_MASK;
}

static void merge(struct change *ch, const struct hd_acl_spec *old, const struct hd_acl_spec *by)
{
    for (size_t n = 0; n < old->count; n++) {
        const struct hd_acl_line *l = find(by, &old->lines[n]);
        keep(ch, l != NULL ? l : &old->lines[n]);
    }
    for (size_t n = 0; n < by->count; n++) {
        note(ch, &by->lines[n]);
        if (find(old, &by->lines[n]) == NULL) {
            keep(ch, &by->lines[n]);
        }
    }
}

static void remove_lines(struct change *ch, const struct hd_acl_spec *old,
                         const struct hd_acl_spec *by)
{
    for (size_t n = 0; n < old->count; n++) {
        if (find(by, &old->lines[n]) != NULL) {
            note(ch, &old->lines[n]);
        } else {
            keep(ch, &old->lines[n]);
        }
    }
}

static void replace(struct change *ch, const struct hd_acl_spec *old, const struct hd_acl_spec *by)
{
    for (size_t n = 0; n < by->count; n++) {
        note(ch, &by->lines[n]);
        keep(ch, &by->lines[n]);
    }
    for (size_t n = 0; n < old->count; n++) {
        if (!ch->half[old->lines[n].is_default].touched) {
            keep(ch, &old->lines[n]);
        }
    }
}

/* A default ACL that lacks owner, group or others gets the access ACL's. */
static void complete_default(struct hd_acl_spec *s)
{
    static const uint8_t kinds[] = {HD_ACL_USER, HD_ACL_GROUP, HD_ACL_OTHER};
    bool any = false;
    for (size_t n = 0; n < s->count; n++) {
        any = any || s->lines[n].is_default;
    }
    for (size_t k = 0; any && k < HD_ARRAY_COUNT(kinds); k++) {
        const struct hd_acl_line *access = hd_acl_spec_find(s, false, kinds[k], NULL);
        if (access != NULL && hd_acl_spec_find(s, true, kinds[k], NULL) == NULL) {
            struct hd_acl_line copy = *access;
            copy.is_default = true;
            hd_acl_spec_add(s, copy);
        }
    }
}

static const char *settle_mask(struct change *ch, bool is_default)
{
    const struct half *h = &ch->half[is_default];
    struct hd_acl_spec *s = ch->out;
    bool found = false;
    bool needed = false;
    uint8_t all = 0; /* of the group class */
    for (size_t n = 0; n < s->count; n++) {
        const struct hd_acl_line *l = &s->lines[n];
        if (l->is_default == is_default) {
            found = true;
            needed = needed || l->name != NULL;
            all |= l->kind == HD_ACL_GROUP || l->name != NULL ? l->perm : 0;
        }
    }
    if (!found) {
        return NULL;
    }
    if (!h->has_mask && needed && h->mask_named) {
        return "Invalid ACL: mask is required and cannot be deleted.";
    }
    struct hd_acl_line mask = {.is_default = is_default, .kind = HD_ACL_MASK, .perm = h->mask};
    if (h->has_mask && (!h->touched || h->mask_named)) {
        hd_acl_spec_add(s, mask);
    } else if (needed || h->has_mask) {
        mask.perm = all;
        hd_acl_spec_add(s, mask);
    }
    return NULL;
}

int hd_acl_spec_change(const struct hd_acl_spec *old, const struct hd_acl_spec *by,
                       enum hd_acl_change how, size_t max, struct hd_arena *arena,
                       struct hd_acl_spec *ret, const char **ret_text)
{
    struct change ch = {.out = ret};
    for (size_t n = 0; n < by->count; n++) {
        if (by->lines[n].name != NULL && by->lines[n].kind >= HD_ACL_MASK) {
            *ret_text = name_not_wanted;
            return -HD_E_ACL;
        }
    }
    hd_acl_spec_init(ret, old->count + by->count + 5, arena); /* three copies and two masks */
    switch (how) {
    case HD_ACL_MERGE:
        merge(&ch, old, by);
        break;
    case HD_ACL_REMOVE:
        remove_lines(&ch, old, by);
        break;
    case HD_ACL_REPLACE:
        replace(&ch, old, by);
        break;
    }
    complete_default(ret);
    *ret_text = settle_mask(&ch, false);
    if (*ret_text == NULL) {
        *ret_text = settle_mask(&ch, true);
    }
    hd_acl_spec_sort(ret);
    if (*ret_text == NULL) {
        *ret_text = hd_acl_spec_fault(ret, false, max, arena);
    }
    if (*ret_text == NULL) {
        *ret_text = hd_acl_spec_fault(ret, true, max, arena);
    }
    return *ret_text != NULL ? -HD_E_ACL : 0;
}
