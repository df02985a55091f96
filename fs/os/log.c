/* The log of log.h. */
#include "fs/os/log.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

static const char *program_name = "howdah";
static enum hd_log_level least = HD_LOG_INFO;

void hd_log_init(const char *program, enum hd_log_level level)
{
    program_name = program;
    least = level;
}

static const char *level_name(enum hd_log_level level)
{
    switch (level) {
    case HD_LOG_ERROR:
        return "error";
    case HD_LOG_WARN:
        return "warn";
    case HD_LOG_INFO:
        return "info";
    case HD_LOG_DEBUG:
        return "debug";
    }
    return "info";
}

int hd_log_level_parse(const char *text, enum hd_log_level *ret)
{
    static const enum hd_log_level levels[] = {HD_LOG_ERROR, HD_LOG_WARN, HD_LOG_INFO,
                                               HD_LOG_DEBUG};
    for (size_t i = 0; i < HD_ARRAY_COUNT(levels); i++) {
        if (strcmp(text, level_name(levels[i])) == 0) {
            *ret = levels[i];
            return 0;
        }
    }
    return -EINVAL;
}

void hd_log(enum hd_log_level level, const char *message, const char *fields_fmt, ...)
{
    if (level > least) {
        return;
    }
    char line[LINE_BYTES];
    int64_t wall = hd_clock_wall_ms().v;
    time_t seconds = wall / 1000;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char when[32];
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(line, sizeof(line), "<%d>ts=%s.%03dZ level=%s prog=%s msg=\"%s\"", (int)level,
                     when, (int)(wall % 1000), level_name(level), program_name, message);
    if (fields_fmt[0] != '\0' && n + 2 < LINE_BYTES) {
        line[n++] = ' ';
        va_list ap;
        va_start(ap, fields_fmt);
        int m = vsnprintf(line + n, (size_t)(LINE_BYTES - n - 1), fields_fmt, ap);
        va_end(ap);
        n += HD_MIN(m, LINE_BYTES - n - 2);
    }
    for (int i = 0; i < n; i++) {
        if (line[i] == '\n' || line[i] == '\r') {
            line[i] = ' ';
        }
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* a log that cannot be written has nobody to tell */
}
