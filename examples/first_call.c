/* The smallest useful call: how much did each of three parts contribute to their sum? */
#include <contrib.h>
#include <stdio.h>
#include <stdlib.h>

/* float32 in main memory, row-major. */
static contrib_tensor tensor(float *data, int64_t *shape, int32_t ndim)
{
    return (contrib_tensor){ .data = data, .device_type = CONTRIB_DEVICE_CPU, .ndim = ndim,
                             .dtype = { CONTRIB_DTYPE_FLOAT, 32, 1 }, .shape = shape };
}

int main(void)
{
    float parts[3][4] = { { 2, 0, 1, 3 }, { 1, 1, 0, 0 }, { 0, 0, 0, 0.5f } };
    float whole[4] = { 3, 1, 1, 3.5f };
    float contributions[3];
    int64_t shape[] = { 3, 4 };

    contrib_tensor parts_tensor = tensor(&parts[0][0], shape, 2);
    contrib_tensor whole_tensor = tensor(whole, &shape[1], 1);
    contrib_tensor out = tensor(contributions, shape, 1);
    contrib_options options = CONTRIB_OPTIONS_INIT;

    contrib_status status = contrib_contributions(&whole_tensor, &parts_tensor, &out, &options);
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s\n", contrib_status_name(status), contrib_last_error_message());
        return EXIT_FAILURE;
    }
    for (int i = 0; i < 3; i++)
        printf("part %d: %.3f\n", i, (double)contributions[i]); /* 0.706, 0.235, 0.059 */
    return EXIT_SUCCESS;
}
