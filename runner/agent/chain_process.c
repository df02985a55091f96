/*
 * Steps with commands among them: howdah-runner --chain TEXT is one process to the agent, and runs
 * a pipeline of its own. Each command is a process, steps between commands share one. TEXT is the
 * RunnerChain message in hexadecimal, so that no quoting comes between.
 */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/agent/agent.h"
#include "runner/core/command.h"
#include "runner/core/step.h"
#include "runner/ops/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STEPS_MAX = 1000,
    EXIT_CHAIN = 1,
    EXIT_ENOUGH = 99, /* of steps between commands: done, and not all input was wanted */
    EXIT_NOT_FOUND = 127,
    EXIT_SIGPIPE = 128 + SIGPIPE, /* as a shell says it of its last command */
};

int hd_chain_steps(const Hdw__RunnerChain *chain, struct hd_arena *arena, struct hd_steps *ret)
{
    size_t count = chain != NULL ? chain->n_step : 0;
    *ret = (struct hd_steps){.count = count, .capacity = count};
    ret->items = HD_ARENA_ARRAY(arena, struct hd_step, count + 1);
    if (ret->items == NULL || count > STEPS_MAX) {
        return ret->items == NULL ? -ENOMEM : hd_fail(-EINVAL, "more than %d steps", STEPS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const Hdw__RunnerStep *s = chain->step[i];
        ret->items[i] = (struct hd_step){.op = s->op, .args = s->arg, .arg_count = s->n_arg};
        if (s->n_arg == 0 && strcmp(s->op, "exec") == 0) {
            return hd_fail(-EINVAL, "a step without its command");
        }
    }
    return 0;
}

static bool is_process(const struct hd_step *s)
{
    return strcmp(s->op, "exec") == 0;
}

/*
 * Counted repetitions and references to groups can take a pattern all memory and all time: such a
 * grep is not run within the agent, where they would be everybody's.
 */
static bool is_heavy(const struct hd_step *s)
{
    const char *pattern = s->arg_count > 0 ? s->args[s->arg_count - 1] : "";
    if (strcmp(s->op, "grep") != 0) {
        return false;
    }
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c == '{' || (*c == '\\' && c[1] >= '0' && c[1] <= '9')) {
            return true;
        }
    }
    return false;
}

bool hd_steps_have_process(const struct hd_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        if (is_process(&steps->items[i]) || is_heavy(&steps->items[i])) {
            return true;
        }
    }
    return false;
}

char *hd_chain_command(const struct hd_steps *steps, struct hd_arena *arena)
{
    Hdw__RunnerChain chain = HDW__RUNNER_CHAIN__INIT;
    Hdw__RunnerStep *all = HD_ARENA_ARRAY(arena, Hdw__RunnerStep, steps->count + 1);
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    chain.step = HD_ARENA_ARRAY(arena, Hdw__RunnerStep *, steps->count + 1);
    if (all == NULL || chain.step == NULL || n <= 0) {
        return NULL;
    }
    self[n] = '\0';
    for (size_t i = 0; i < steps->count; i++) {
        hdw__runner_step__init(&all[i]);
        all[i].op = (char *)(uintptr_t)steps->items[i].op;
        all[i].arg = steps->items[i].args;
        all[i].n_arg = steps->items[i].arg_count;
        chain.step[chain.n_step++] = &all[i];
    }
    size_t size = hdw__runner_chain__get_packed_size(&chain);
    uint8_t *packed = hd_arena_alloc(arena, size + 1);
    char *hex = hd_arena_alloc(arena, 2 * size + 1);
    if (packed == NULL || hex == NULL) {
        return NULL;
    }
    hdw__runner_chain__pack(&chain, packed);
    for (size_t i = 0; i < size; i++) {
        snprintf(hex + 2 * i, 3, "%02x", packed[i]);
    }
    return hd_arena_printf(arena, "\"%s\" --chain %s", self, hex);
}

char *hd_chain_text(const struct hd_steps *steps, struct hd_arena *arena)
{
    char *text = hd_arena_str(arena, "");
    for (size_t i = 0; text != NULL && i < steps->count; i++) {
        const struct hd_step *s = &steps->items[i];
        const char *bar = i > 0 ? " | " : "";
        text = hd_arena_printf(arena, "%s%s%s", text, bar, is_process(s) ? "" : s->op);
        for (size_t k = 0; text != NULL && k < s->arg_count; k++) {
            const char *gap = is_process(s) && k == 0 ? "" : " ";
            text = hd_arena_printf(arena, "%s%s%s", text, gap, s->args[k]);
        }
    }
    return text;
}

/* ---- in the process ---- */

static Hdw__RunnerChain *decode(const char *text, struct hd_arena *arena)
{
    size_t size = strlen(text) / 2;
    uint8_t *packed = hd_arena_alloc(arena, size + 1);
    for (size_t i = 0; packed != NULL && i < size; i++) {
        char two[3] = {text[2 * i], text[2 * i + 1], '\0'};
        char *end;
        packed[i] = (uint8_t)strtoul(two, &end, 16);
        if (*end != '\0') {
            return NULL;
        }
    }
    return packed != NULL ? hdw__runner_chain__unpack(NULL, size, packed) : NULL;
}

static int write_record(void *ctx, const uint8_t *record, size_t size)
{
    FILE *out = ctx;
    bool ok = fwrite(record, 1, size, out) == size && fputc('\n', out) != EOF;
    return ok ? 0 : -errno;
}

/* Steps between commands: stdin to stdout. A reader that has enough is no failure. An exit code. */
static int run_steps(const struct hd_step *steps, size_t count)
{
    struct hd_chain *chain;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int got = hd_chain_new(steps, count, write_record, stdout, &chain);
    if (got < 0) {
        fprintf(stderr, "%s\n", hd_fail_describe(got));
        return EXIT_CHAIN;
    }
    while (got == 0 && (n = getline(&line, &room, stdin)) > 0) {
        size_t size = (size_t)n - (line[n - 1] == '\n');
        got = hd_chain_push(chain, (uint8_t *)line, size);
    }
    bool enough = got == 1;
    if (got >= 0) {
        got = hd_chain_finish(chain);
    }
    if (got >= 0 && fflush(stdout) != 0) {
        got = -errno;
    }
    free(line);
    hd_chain_free(chain);
    if (got < 0 && got != -EPIPE) {
        fprintf(stderr, "%s\n", hd_fail_describe(got));
        return EXIT_CHAIN;
    }
    return enough || got == -EPIPE ? EXIT_ENOUGH : 0;
}

static int run_command(const struct hd_step *s, struct hd_arena *arena)
{
    struct hd_command command = {.argv = s->args, .argc = s->arg_count};
    if (s->arg_count == 1 && hd_command_parse(s->args[0], arena, &command) < 0) {
        fprintf(stderr, "'%s' is not a command\n", s->args[0]);
        return EXIT_NOT_FOUND;
    }
    char **argv = HD_ARENA_ARRAY(arena, char *, command.argc + 1);
    for (size_t i = 0; argv != NULL && i < command.argc; i++) {
        argv[i] = command.argv[i];
    }
    if (argv == NULL || command.argc == 0) {
        return EXIT_NOT_FOUND;
    }
    signal(SIGPIPE, SIG_DFL);
    if (strchr(argv[0], '/') == NULL) { /* the working directory first, as for mappers */
        char *here = hd_arena_printf(arena, "./%s", argv[0]);
        if (here != NULL && access(here, X_OK) == 0) {
            execv(here, argv);
        }
    }
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    return EXIT_NOT_FOUND;
}

struct segment {
    const struct hd_step *steps;
    size_t count;
    bool process;
    pid_t pid;
    int status; /* as waitpid gives it */
};

static size_t cut(const struct hd_steps *steps, struct segment *out)
{
    size_t count = 0;
    for (size_t i = 0; i < steps->count; i++) {
        bool process = is_process(&steps->items[i]);
        if (count > 0 && !process && !out[count - 1].process) {
            out[count - 1].count++;
            continue;
        }
        out[count++] = (struct segment){.steps = &steps->items[i], .count = 1, .process = process};
    }
    return count;
}

/* A pattern may want more than there is. AddressSanitizer alone maps terabytes. */
static void limit_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    const rlim_t bytes = (rlim_t)4 << 30;
    (void)setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes});
#endif
}

/* Starts a segment between two descriptors, which it takes. */
static int start(struct segment *s, int in, int out, int unused, struct hd_arena *arena)
{
    s->pid = fork();
    if (s->pid < 0) {
        return -errno;
    }
    if (s->pid == 0) {
        if (unused >= 0) {
            close(unused);
        }
        if ((in != 0 && dup2(in, 0) < 0) || (out != 1 && dup2(out, 1) < 0)) {
            _exit(EXIT_CHAIN);
        }
        if (in > 2) {
            close(in);
        }
        if (out > 2) {
            close(out);
        }
        if (!s->process) {
            limit_memory();
        }
        _exit(s->process ? run_command(s->steps, arena) : run_steps(s->steps, s->count));
    }
    if (in != 0) {
        close(in);
    }
    if (out != 1) {
        close(out);
    }
    return 0;
}

/* grep finds nothing in many a split, and says so by its exit code. */
static bool is_grep(const struct segment *s)
{
    const char *name = s->process ? s->steps->args[0] : "";
    size_t size = strcspn(name, " ");
    static const char *const greps[] = {"grep", "egrep", "fgrep", "zgrep", "rg"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(greps); i++) {
        if (strlen(greps[i]) == size && memcmp(greps[i], name, size) == 0) {
            return true;
        }
    }
    return false;
}

/* The segment behind it, if any, went well. Who writes to one that has enough may end as it likes.
 */
static bool went_well(const struct segment *s, bool last, bool enough)
{
    if (enough) {
        return true;
    }
    if (WIFSIGNALED(s->status)) {
        return WTERMSIG(s->status) == SIGPIPE && !last;
    }
    int code = WEXITSTATUS(s->status);
    return code == 0 || (code == EXIT_ENOUGH && !s->process) || (code == EXIT_SIGPIPE && !last) ||
           (code == 1 && is_grep(s));
}

static bool has_enough(const struct segment *s)
{
    return !s->process && WIFEXITED(s->status) && WEXITSTATUS(s->status) == EXIT_ENOUGH;
}

static int wait_all(struct segment *s, size_t count)
{
    int worst = 0;
    for (size_t i = 0; i < count; i++) {
        while (s[i].pid > 0 && waitpid(s[i].pid, &s[i].status, 0) < 0 && errno == EINTR) {
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        int status = s[i].status;
        if (went_well(&s[i], last, !last && has_enough(&s[i + 1]))) {
            continue;
        }
        const char *name = s[i].process ? s[i].steps->args[0] : s[i].steps->op;
        if (WIFSIGNALED(status)) {
            fprintf(stderr, "%s: killed by signal %d\n", name, WTERMSIG(status));
        } else {
            fprintf(stderr, "%s: exit %d\n", name, WEXITSTATUS(status));
        }
        worst = WIFEXITED(status) ? HD_MAX(worst, WEXITSTATUS(status)) : EXIT_CHAIN;
    }
    return worst;
}

static int run_segments(struct segment *s, size_t count, struct hd_arena *arena)
{
    int in = 0;
    for (size_t i = 0; i < count; i++) {
        int pipe_fds[2] = {-1, 1};
        if (i + 1 < count && pipe2(pipe_fds, O_CLOEXEC) < 0) {
            fprintf(stderr, "pipe: %s\n", strerror(errno));
            return EXIT_CHAIN;
        }
        int err = start(&s[i], in, pipe_fds[1], pipe_fds[0], arena);
        if (err < 0) {
            fprintf(stderr, "fork: %s\n", strerror(-err));
            return EXIT_CHAIN;
        }
        in = pipe_fds[0];
    }
    close(0); /* the pipeline has them: who reads must see its end */
    close(1);
    return wait_all(s, count);
}

int hd_chain_process(const char *text)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_steps steps;
    hd_arena_init(&arena, 0);
    signal(SIGPIPE, SIG_IGN);
    Hdw__RunnerChain *chain = decode(text, &arena);
    if (chain == NULL || hd_chain_steps(chain, &arena, &steps) < 0 || steps.count == 0) {
        fprintf(stderr, "--chain: not a chain\n");
        return EXIT_CHAIN;
    }
    struct segment *segments = HD_ARENA_ARRAY(&arena, struct segment, steps.count);
    int rc = segments != NULL ? run_segments(segments, cut(&steps, segments), &arena) : EXIT_CHAIN;
    hdw__runner_chain__free_unpacked(chain, NULL);
    return rc;
}
