/*
 * Logging: one line a call on stderr, logfmt with an sd-daemon priority in front.
 *
 *   hd_log(HD_LOG_INFO, "replica finalized", "block=%" PRIu64 " bytes=%" PRIu64, id, size);
 *
 * The message is constant, variables go into fields; a field value with blanks is quoted by the
 * caller (\"%s\"). Shells log, cores and libraries return errors. Thread safe: one write(2) a line.
 */
#ifndef HD_OS_LOG_H
#define HD_OS_LOG_H

enum hd_log_level { HD_LOG_ERROR = 3, HD_LOG_WARN = 4, HD_LOG_INFO = 6, HD_LOG_DEBUG = 7 };

/* Name shown in every line (kept, not copied), and the least urgent level that is written. */
void hd_log_init(const char *program, enum hd_log_level level);

/* "error", "warn", "info", "debug"; -EINVAL for anything else. */
int hd_log_level_parse(const char *text, enum hd_log_level *ret);

void hd_log(enum hd_log_level level, const char *message, const char *fields_fmt, ...)
    HD_PRINTF(3, 4);

#define hd_log_error(message, ...) hd_log(HD_LOG_ERROR, message, __VA_ARGS__)
#define hd_log_warn(message, ...)  hd_log(HD_LOG_WARN, message, __VA_ARGS__)
#define hd_log_info(message, ...)  hd_log(HD_LOG_INFO, message, __VA_ARGS__)
#define hd_log_debug(message, ...) hd_log(HD_LOG_DEBUG, message, __VA_ARGS__)

#endif
