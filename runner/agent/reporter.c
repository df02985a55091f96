/* See reporter.h. */
#include "runner/agent/reporter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hd_reporter_init(struct hd_reporter *r, const char *prefix)
{
    *r = (struct hd_reporter){0};
    snprintf(r->prefix, sizeof(r->prefix), "%s", prefix);
}

void hd_reporter_done(struct hd_reporter *r)
{
    free(r->counters);
    hd_buf_done(&r->tail);
    r->counters = NULL;
    r->counter_count = 0;
}

static int keep(struct hd_reporter *r, const uint8_t *line, size_t size)
{
    if (size > HD_REPORTER_TAIL_BYTES / 2) { /* the end of an endless line */
        line += size - HD_REPORTER_TAIL_BYTES / 2;
        size = HD_REPORTER_TAIL_BYTES / 2;
        r->tail_cut = true;
    }
    int err = hd_buf_add(&r->tail, line, size);
    if (err == 0) {
        err = hd_buf_add_u8(&r->tail, '\n');
    }
    if (err == 0 && r->tail.size > 2 * HD_REPORTER_TAIL_BYTES) {
        size_t drop = r->tail.size - HD_REPORTER_TAIL_BYTES;
        const uint8_t *lf = memchr(r->tail.data + drop, '\n', r->tail.size - drop);
        hd_buf_consume(&r->tail, (size_t)(lf + 1 - r->tail.data));
        r->tail_cut = true;
    }
    return err;
}

bool hd_reporter_count(struct hd_reporter *r, const char *group, const char *name, int64_t amount)
{
    for (size_t i = 0; i < r->counter_count; i++) {
        struct hd_counter *c = &r->counters[i];
        if (strcmp(c->group, group) == 0 && strcmp(c->name, name) == 0) {
            c->value = (int64_t)((uint64_t)c->value + (uint64_t)amount);
            return true;
        }
    }
    if (r->counter_count == HD_REPORTER_COUNTERS_MAX) {
        return false;
    }
    if (r->counters == NULL) {
        r->counters = calloc(HD_REPORTER_COUNTERS_MAX, sizeof(*r->counters));
        if (r->counters == NULL) {
            return false;
        }
    }
    struct hd_counter *c = &r->counters[r->counter_count++];
    snprintf(c->group, sizeof(c->group), "%s", group);
    snprintf(c->name, sizeof(c->name), "%s", name);
    c->value = amount;
    return true;
}

/* "group,counter,amount": exactly three fields. */
static bool take_counter(struct hd_reporter *r, char *text)
{
    char *comma = strchr(text, ',');
    char *second = comma != NULL ? strchr(comma + 1, ',') : NULL;
    if (second == NULL || strchr(second + 1, ',') != NULL) {
        return false;
    }
    *comma = '\0';
    *second = '\0';
    char *end;
    errno = 0;
    long long amount = strtoll(second + 1, &end, 10);
    if (errno != 0 || end == second + 1 || *end != '\0') {
        return false;
    }
    return hd_reporter_count(r, text, comma + 1, amount);
}

int hd_reporter_line(void *reporter, const uint8_t *line, size_t size)
{
    struct hd_reporter *r = reporter;
    char text[1024];
    size_t prefix = strlen(r->prefix);
    if (size < prefix || size >= sizeof(text) || memcmp(line, r->prefix, prefix) != 0) {
        return keep(r, line, size);
    }
    memcpy(text, line, size);
    text[size] = '\0';
    char *report = text + prefix;
    if (strncmp(report, "counter:", 8) == 0 && take_counter(r, report + 8)) {
        return 0;
    }
    if (strncmp(report, "status:", 7) == 0) {
        snprintf(r->status, sizeof(r->status), "%.*s", (int)sizeof(r->status) - 1, report + 7);
        return 0;
    }
    return keep(r, line, size);
}
