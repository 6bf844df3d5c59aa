/* Leaving with a message, and memory or leaving. */
#include "die.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void die(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("explain: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_NO_RESULT);
}

void *allocate(size_t count, size_t size)
{
    /* calloc refuses a product that overflows, so that callers need not look. */
    void *block = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

    if (block == NULL)
        die("out of memory: %zu times %zu bytes", count, size);
    return block;
}

void *make_room(void *block, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return block;

    size_t larger = *capacity > 0 ? *capacity * 2 : 8;
    if (larger > SIZE_MAX / size || (block = realloc(block, larger * size)) == NULL)
        die("out of memory: %zu times %zu bytes", larger, size);
    *capacity = larger;
    return block;
}
