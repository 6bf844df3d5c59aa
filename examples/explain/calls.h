/* What every call of contrib needs. */
#ifndef EXPLAIN_CALLS_H
#define EXPLAIN_CALLS_H

#include <contrib.h>

/* contrib takes a batch axis; one prompt is a batch of one. */
#define BATCH 1

/* Dies where the call failed. */
void check_call(contrib_status status, const char *call);

/* float32 in main memory, row-major. */
contrib_tensor tensor_of(const float *data, int64_t *shape, int32_t n_dims);

#endif
