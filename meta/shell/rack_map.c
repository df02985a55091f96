/* The rack map's sources. See rack_map.h. */
#include "meta/shell/rack_map.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "meta/shell/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 100000,
    ADDRESSES_MAX = 10000,
    ARGUMENTS_MAX = 100, /* of one run of the script, as HDFS has it */
    OUTPUT_MAX_BYTES = 64 << 10,
    SCRIPT_TIMEOUT_MS = 10000,
    LINE_BYTES = 1024,
};

extern char **environ;

/* ---- lists ---- */

void hd_rack_list_done(struct hd_rack_list *l)
{
    free(l->items);
    hd_arena_done(&l->arena);
    *l = (struct hd_rack_list){0};
}

static int add(struct hd_rack_list *l, const char *address, const char *rack)
{
    if (l->count == ENTRIES_MAX) {
        return hd_fail(-HD_E_CONFIG, "more than %d racks are told", ENTRIES_MAX);
    }
    if (l->count == l->capacity) {
        size_t capacity = l->capacity != 0 ? l->capacity * 2 : 16;
        struct hd_meta_rack *items = realloc(l->items, capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        l->items = items;
        l->capacity = capacity;
    }
    struct hd_meta_rack entry = {hd_arena_str(&l->arena, address), hd_arena_str(&l->arena, rack)};
    if (entry.address == NULL || entry.rack == NULL) {
        return -ENOMEM;
    }
    l->items[l->count++] = entry;
    return 0;
}

/* ---- the table ---- */

static int take_line(const char *path, int number, char *line, struct hd_rack_list *l)
{
    static const char blank[] = " \t\r\n";
    char *rest = NULL;
    line[strcspn(line, "#")] = '\0';
    const char *address = strtok_r(line, blank, &rest);
    const char *rack = strtok_r(NULL, blank, &rest);
    if (address == NULL) {
        return 0;
    }
    if (rack == NULL || strtok_r(NULL, blank, &rest) != NULL) {
        return hd_fail(-HD_E_CONFIG, "%s:%d: not of the form \"address rack\"", path, number);
    }
    return add(l, address, rack);
}

int hd_rack_table_read(const char *path, struct hd_rack_list *l)
{
    char line[LINE_BYTES];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        int err = -errno;
        return hd_fail(err, "%s: %s", path, strerror(-err));
    }
    int err = 0;
    for (int number = 1; err == 0 && fgets(line, sizeof(line), f) != NULL; number++) {
        err = take_line(path, number, line, l);
    }
    if (err == 0 && ferror(f)) {
        err = hd_fail(-EIO, "%s: cannot be read", path);
    }
    fclose(f);
    return err;
}

/* ---- the script ---- */

static int spawn(const char *program, char *const *argv, pid_t *ret_pid, int *ret_fd)
{
    int fds[2];
    sigset_t none;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none); /* the daemon's are blocked */
    posix_spawnattr_setpgroup(&attr, 0);      /* so that what it starts ends with it */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int err = -posix_spawn(ret_pid, program, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (err < 0) {
        close(fds[0]);
        return hd_fail(err, "%s: %s", program, strerror(-err));
    }
    *ret_fd = fds[0];
    return 0;
}

/* Reads to the end or until the time is up. 0, -ETIMEDOUT, -HD_E_TOO_LARGE or an errno. */
static int read_all(int fd, char *out, size_t size, int64_t deadline_ms)
{
    size_t used = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - hd_clock_mono_ms().v;
        int n = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;
        if (n == 0) {
            return -ETIMEDOUT;
        }
        if (used + 1 == size) {
            return -HD_E_TOO_LARGE;
        }
        ssize_t got = n > 0 ? read(fd, out + used, size - 1 - used) : -1;
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        if (got == 0) {
            out[used] = '\0';
            return 0;
        }
        used += got > 0 ? (size_t)got : 0;
    }
}

static int take_output(const char *program, char *text, char *const *addresses, size_t count,
                       struct hd_rack_list *l)
{
    char *rest = NULL;
    size_t told = 0;
    for (const char *rack = strtok_r(text, " \t\r\n", &rest); rack != NULL;
         rack = strtok_r(NULL, " \t\r\n", &rest), told++) {
        int err = told < count ? add(l, addresses[told], rack) : 0;
        if (err < 0) {
            return err;
        }
    }
    return told == count
               ? 0
               : hd_fail(-HD_E_IO, "%s: told %zu racks for %zu addresses", program, told, count);
}

static int run_once(const char *program, char *const *addresses, size_t count,
                    struct hd_rack_list *l)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t)program};
    char *text = malloc(OUTPUT_MAX_BYTES);
    pid_t pid = 0;
    int fd = -1;
    memcpy(&argv[1], addresses, count * sizeof(*addresses));
    int err = text != NULL ? spawn(program, argv, &pid, &fd) : -ENOMEM;
    if (err < 0) {
        free(text);
        return err;
    }
    int status = 0;
    err = read_all(fd, text, OUTPUT_MAX_BYTES, hd_clock_mono_ms().v + SCRIPT_TIMEOUT_MS);
    close(fd);
    if (err < 0) {
        kill(-pid, SIGKILL);
        err = hd_fail(-HD_E_IO, "%s: no answer: %s", program, hd_fail_describe(err));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (err == 0 && status != 0) {
        err = hd_fail(-HD_E_IO, "%s: failed with status %d", program, status);
    }
    if (err == 0) {
        err = take_output(program, text, addresses, count, l);
    }
    free(text);
    return err;
}

int hd_rack_script_run(const char *program, char *const *addresses, size_t count,
                       struct hd_rack_list *l)
{
    int err = 0;
    for (size_t at = 0; at < count && err == 0; at += ARGUMENTS_MAX) {
        err = run_once(program, addresses + at, HD_MIN(count - at, (size_t)ARGUMENTS_MAX), l);
    }
    return err;
}

/* ---- on the loop, and beside it ---- */

struct hd_rack_map {
    struct hd_rack_map_options o; /* texts are the configuration's */
    struct hd_worker *worker;
    char **asked; /* addresses the script was asked about; heap, owned */
    size_t asked_count, asked_capacity;
    bool stopped;
};

/* One look at the sources. */
struct look {
    struct hd_job job;
    struct hd_rack_map *map;
    bool table;
    char **addresses; /* copies */
    size_t address_count;
    struct hd_rack_list found;
    bool failed; /* the table was not read: what it said before holds on */
};

static void look_free(struct look *k)
{
    for (size_t i = 0; i < k->address_count; i++) {
        free(k->addresses[i]);
    }
    free(k->addresses);
    hd_rack_list_done(&k->found);
    free(k);
}

static void run(struct hd_job *job)
{
    struct look *k = HD_LIST_ENTRY(job, struct look, job);
    const struct hd_rack_map_options *o = &k->map->o;
    int err = 0;
    /* What comes later wins, so the script's word comes first. */
    if (o->script[0] != '\0' && k->address_count > 0) {
        err = hd_rack_script_run(o->script, k->addresses, k->address_count, &k->found);
        if (err < 0) {
            hd_log_error("the rack script failed", "reason=\"%s\"", hd_fail_describe(err));
        }
    }
    if (k->table && o->table[0] != '\0') {
        err = hd_rack_table_read(o->table, &k->found);
        if (err < 0) {
            hd_log_error("the rack table is not read; what was known before holds", "reason=\"%s\"",
                         hd_fail_describe(err));
            k->failed = true;
        }
    }
}

static void done(struct hd_job *job)
{
    struct look *k = HD_LIST_ENTRY(job, struct look, job);
    if (!job->cancelled && !k->map->stopped && !k->failed) {
        hd_log_info("racks", "count=%zu table=%s", k->found.count, k->table ? "read" : "as it was");
        k->map->o.on_racks(k->map->o.ctx, k->found.items, k->found.count, k->table);
    }
    look_free(k);
}

static int copy_addresses(struct look *k, char *const *addresses, size_t count)
{
    k->addresses = calloc(count + 1, sizeof(char *));
    while (k->addresses != NULL && k->address_count < count) {
        char *copy = strdup(addresses[k->address_count]);
        if (copy == NULL) {
            return -ENOMEM;
        }
        k->addresses[k->address_count++] = copy;
    }
    return k->addresses != NULL ? 0 : -ENOMEM;
}

static void look(struct hd_rack_map *r, bool table, char *const *addresses, size_t count)
{
    struct look *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        return;
    }
    hd_arena_init(&k->found.arena, 0);
    if (copy_addresses(k, addresses, count) < 0) {
        look_free(k);
        return;
    }
    k->map = r;
    k->table = table;
    k->job.run = run;
    k->job.done = done;
    hd_worker_add(r->worker, &k->job);
}

int hd_rack_map_start(const struct hd_rack_map_options *o, struct hd_rack_map **ret)
{
    *ret = NULL;
    if (o->table[0] == '\0' && o->script[0] == '\0') {
        return 0;
    }
    struct hd_rack_map *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->o = *o;
    int err = hd_worker_start("racks", o->loop, &r->worker);
    if (err < 0) {
        free(r);
        return err;
    }
    look(r, true, NULL, 0);
    *ret = r;
    return 0;
}

void hd_rack_map_stop(struct hd_rack_map *r)
{
    if (r == NULL) {
        return;
    }
    r->stopped = true;
    hd_worker_stop(r->worker);
    for (size_t i = 0; i < r->asked_count; i++) {
        free(r->asked[i]);
    }
    free(r->asked);
    free(r);
}

static bool was_asked(const struct hd_rack_map *r, const char *address)
{
    for (size_t i = 0; i < r->asked_count; i++) {
        if (strcmp(r->asked[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static void remember(struct hd_rack_map *r, const char *address)
{
    if (r->asked_count == ADDRESSES_MAX || was_asked(r, address)) {
        return;
    }
    if (r->asked_count == r->asked_capacity) {
        size_t capacity = r->asked_capacity != 0 ? r->asked_capacity * 2 : 16;
        char **asked = realloc(r->asked, capacity * sizeof(*asked));
        if (asked == NULL) {
            return;
        }
        r->asked = asked;
        r->asked_capacity = capacity;
    }
    char *copy = strdup(address);
    if (copy != NULL) {
        r->asked[r->asked_count++] = copy;
    }
}

void hd_rack_map_want(struct hd_rack_map *r, const char *address)
{
    if (r != NULL && r->o.script[0] != '\0') {
        char *const one[] = {(char *)(uintptr_t)address};
        remember(r, address);
        look(r, false, one, 1);
    }
}

void hd_rack_map_reload(struct hd_rack_map *r)
{
    if (r != NULL) {
        look(r, true, r->asked, r->asked_count);
    }
}
