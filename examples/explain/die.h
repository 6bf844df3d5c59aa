/* Leaving with a message: the program has nothing to offer when its input is broken. */
#ifndef EXPLAIN_DIE_H
#define EXPLAIN_DIE_H

#include <stddef.h>

/* The sum check failed, or the comparison. */
#define EXIT_CHECK_FAILED 1
/* A flag, the file, memory or the library: there is no result. */
#define EXIT_NO_RESULT 2

/* Prints "explain: " and the message to stderr and exits with EXIT_NO_RESULT. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed memory for `count` things of `size` bytes (never NULL, even for none), or dies. */
void *allocate(size_t count, size_t size);

/* `block`, which holds `count` things of `size` bytes and has room for `*capacity`, with room for one more. */
void *make_room(void *block, size_t count, size_t *capacity, size_t size);

#endif
