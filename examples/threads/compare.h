/* One call of attention, on a host's threads and on one. */
#ifndef THREADS_COMPARE_H
#define THREADS_COMPARE_H

#include <contrib.h>

/* Makes the call with this context and with a context of one thread, prints how long each takes, and compares the bits of
 * the results. The exit status of the program: EXIT_SUCCESS where they are the same. */
int compare_with_one_thread(const char *name, const contrib_context *context);

/* Ends the program with the library's message where a call went wrong. */
void must_be_ok(contrib_status status);

#endif
