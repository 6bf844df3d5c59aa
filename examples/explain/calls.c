/* A status looked at, and memory described as a tensor. */
#include "calls.h"

#include "die.h"

void check_call(contrib_status status, const char *call)
{
    if (status != CONTRIB_OK)
        die("%s: %s: %s", call, contrib_status_name(status), contrib_last_error_message());
}

contrib_tensor tensor_of(const float *data, int64_t *shape, int32_t n_dims)
{
    return (contrib_tensor){
        /* contrib writes only to outputs, which are not const where they come from. */
        .data = (void *)data,
        .device_type = CONTRIB_DEVICE_CPU,
        .ndim = n_dims,
        .dtype = { CONTRIB_DTYPE_FLOAT, 32, 1 },
        .shape = shape,
    };
}
