/* What every call of contrib needs. */
#ifndef EXPLAIN_CALLS_H
#define EXPLAIN_CALLS_H

#include <contrib.h>

/* contrib takes a batch axis; one prompt is a batch of one. */
#define BATCH 1

/* Dies where the call failed. */
void check_call(contrib_status status, const char *call);

#endif
