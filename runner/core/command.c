/* See command.h. */
#include "runner/core/command.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct word {
    const char *at;
    size_t size;
    bool quoted;
};

/*
 * The next word of *text, or false. A quote ends the word before it and begins one of its own, so
 * a"b c"d is three words, and '' is none: Hadoop does the same.
 */
static bool next_word(const char **text, struct word *ret)
{
    const char *p = *text;
    while (*p != '\0') {
        char quote = *p == '\'' || *p == '"' ? *p : '\0';
        const char *start = quote != '\0' ? p + 1 : p;
        const char *end = start;
        if (quote != '\0') {
            while (*end != '\0' && *end != quote) {
                end++;
            }
            p = *end != '\0' ? end + 1 : end;
        } else {
            while (*end != '\0' && *end != ' ' && *end != '\'' && *end != '"') {
                end++;
            }
            p = *end == ' ' ? end + 1 : end;
        }
        if (end > start) {
            *ret =
                (struct word){.at = start, .size = (size_t)(end - start), .quoted = quote != '\0'};
            *text = p;
            return true;
        }
    }
    *text = p;
    return false;
}

static bool is_operator(const struct word *w)
{
    static const char *const operators[] = {"|", "&&", ";", "<", ">"};
    for (size_t i = 0; !w->quoted && i < HD_ARRAY_COUNT(operators); i++) {
        if (strlen(operators[i]) == w->size && memcmp(operators[i], w->at, w->size) == 0) {
            return true;
        }
    }
    return false;
}

int hd_command_parse(const char *text, struct hd_arena *arena, struct hd_command *ret)
{
    struct word w;
    size_t count = 0;
    bool shell = false;
    for (const char *p = text; next_word(&p, &w); count++) {
        shell = shell || is_operator(&w);
    }
    if (count == 0) {
        return -EINVAL;
    }
    size_t argc = shell ? 3 : count;
    char **argv = HD_ARENA_ARRAY(arena, char *, argc + 1);
    if (argv == NULL) {
        return -ENOMEM;
    }
    if (shell) {
        argv[0] = hd_arena_str(arena, "sh");
        argv[1] = hd_arena_str(arena, "-c");
        argv[2] = hd_arena_str(arena, text);
    } else {
        const char *p = text;
        for (size_t i = 0; i < count && next_word(&p, &w); i++) {
            argv[i] = hd_arena_strn(arena, w.at, w.size);
        }
    }
    for (size_t i = 0; i < argc; i++) {
        if (argv[i] == NULL) {
            return -ENOMEM;
        }
    }
    *ret = (struct hd_command){.argv = argv, .argc = argc};
    return 0;
}

static bool is_aggregate(const char *text)
{
    static const char package[] = "org.apache.hadoop.mapred.lib.aggregate.";
    if (strncmp(text, package, sizeof(package) - 1) == 0) {
        text += sizeof(package) - 1;
    }
    return strcasecmp(text, "aggregate") == 0 || strcmp(text, "ValueAggregatorReducer") == 0 ||
           strcmp(text, "ValueAggregatorCombiner") == 0;
}

char hd_command_builtin(const char *text)
{
    static const char *const identities[] = {"IdentityMapper",
                                             "IdentityReducer",
                                             "org.apache.hadoop.mapred.lib.IdentityMapper",
                                             "org.apache.hadoop.mapred.lib.IdentityReducer",
                                             "org.apache.hadoop.mapreduce.Mapper",
                                             "org.apache.hadoop.mapreduce.Reducer"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(identities); i++) {
        if (strcmp(text, identities[i]) == 0) {
            return 'I';
        }
    }
    return is_aggregate(text) ? 'A' : 0;
}
