/* Token text as people can read it: UTF-8, with what would not print made visible. */
#ifndef EXPLAIN_TEXT_H
#define EXPLAIN_TEXT_H

#include <stddef.h>

/* The length of the first character of `text` and its code point, or 0 where `text` is not valid UTF-8. */
size_t utf8_decode(const char *text, unsigned *code);

/* Writes up to four bytes and says how many. `code` must be a code point that UTF-8 can hold. */
size_t utf8_encode(unsigned code, char *out);

/* How many characters; for most scripts, how many columns of a terminal. */
size_t utf8_length(const char *text);

/* A copy in which control characters and what XML cannot hold stand as escapes, such as \n. */
char *printable(const char *text);

/* The same in double quotes, so that a leading space shows. */
char *quoted(const char *text);

#endif
