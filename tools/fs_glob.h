/* Hadoop's path patterns: * ? [a-z] [^a] {a,b} and \ before any of them. Pure. */
#ifndef HD_TOOLS_FS_GLOB_H
#define HD_TOOLS_FS_GLOB_H

/* True when text holds a pattern character that is not escaped. */
bool hd_glob_is_pattern(const char *text);

/* True when name matches a pattern without braces (hd_glob_expand_braces takes them away). */
bool hd_glob_match(const char *pattern, const char *name);

/* Removes the backslashes, in place. */
void hd_glob_unescape(char *text);

/*
 * Every text that the braces of pattern stand for: "a{b,c}" gives "ab", "ac". Calls fn for each, in
 * the order of writing, until it returns non-zero, and returns that. -HD_E_TOO_LARGE above 10,000
 * texts, -EINVAL for an open brace.
 */
int hd_glob_expand_braces(const char *pattern, int (*fn)(void *ctx, const char *text), void *ctx);

#endif
