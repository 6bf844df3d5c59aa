/* A DLTensor is a contrib_tensor: every size, offset and constant agrees with the real <dlpack/dlpack.h>, and a
 * `DLTensor *` can be passed as it is. In C11 and in C++17.
 */
#include <dlpack/dlpack.h>

#include <contrib.h>

#include <math.h>
#include <stdio.h>

#ifdef __cplusplus
#define ASSERT(condition) static_assert(condition, #condition)
#else
#define ASSERT(condition) _Static_assert(condition, #condition)
#endif

#define SAME_OFFSET(their_field, our_field) \
    ASSERT(offsetof(DLTensor, their_field) == offsetof(contrib_tensor, our_field)); \
    ASSERT(sizeof(((DLTensor *)0)->their_field) == sizeof(((contrib_tensor *)0)->our_field))

ASSERT(sizeof(DLTensor) == sizeof(contrib_tensor));
ASSERT(sizeof(DLDataType) == sizeof(contrib_dtype));
ASSERT(sizeof(DLDevice) == 2 * sizeof(int32_t));
SAME_OFFSET(data, data);
SAME_OFFSET(device.device_type, device_type);
SAME_OFFSET(device.device_id, device_id);
SAME_OFFSET(ndim, ndim);
SAME_OFFSET(dtype, dtype);
SAME_OFFSET(dtype.code, dtype.code);
SAME_OFFSET(dtype.bits, dtype.bits);
SAME_OFFSET(dtype.lanes, dtype.lanes);
SAME_OFFSET(shape, shape);
SAME_OFFSET(strides, strides);
SAME_OFFSET(byte_offset, byte_offset);

ASSERT((int)kDLCPU == CONTRIB_DEVICE_CPU);
ASSERT((int)kDLCUDAHost == CONTRIB_DEVICE_CUDA_HOST);
ASSERT((int)kDLROCMHost == CONTRIB_DEVICE_ROCM_HOST);
ASSERT((int)kDLCUDAManaged == CONTRIB_DEVICE_CUDA_MANAGED);
ASSERT((int)kDLInt == CONTRIB_DTYPE_INT);
ASSERT((int)kDLFloat == CONTRIB_DTYPE_FLOAT);
ASSERT((int)kDLBfloat == CONTRIB_DTYPE_BFLOAT);

/* A float32 tensor as a framework exports it: with NULL strides, where it is contiguous. */
static DLTensor exported(float *data, int32_t ndim, int64_t *shape, int64_t *strides) {
    DLTensor tensor;
    tensor.data = data;
    tensor.device.device_type = kDLCPU;
    tensor.device.device_id = 0;
    tensor.ndim = ndim;
    tensor.dtype.code = kDLFloat;
    tensor.dtype.bits = 32;
    tensor.dtype.lanes = 1;
    tensor.shape = shape;
    tensor.strides = strides;
    tensor.byte_offset = 0;
    return tensor;
}

int main(void) {
    /* One whole of three numbers, and two parts that are the columns of a matrix. The 1-norm of the whole is 7; the
     * parts are 2 and 5 away from it, up to the epsilons: proximities 5 and 2. */
    float whole_data[3] = {4.0f, 2.0f, 1.0f};
    float parts_data[3][2] = {{3.0f, 1.0f}, {1.0f, 0.0f}, {1.0f, 1.0f}};
    float out_data[4] = {-1.0f, -1.0f, -1.0f, -1.0f};
    int64_t whole_shape[1] = {3}, parts_shape[2] = {2, 3}, parts_strides[2] = {1, 2}, out_shape[1] = {2};
    DLTensor whole = exported(whole_data, 1, whole_shape, NULL);
    DLTensor parts = exported(&parts_data[0][0], 2, parts_shape, parts_strides);
    DLTensor out = exported(out_data, 1, out_shape, NULL);
    contrib_status status;

    out.byte_offset = sizeof(float);
    status = contrib_contributions((const contrib_tensor *)&whole, (const contrib_tensor *)&parts,
                                   (const contrib_tensor *)&out, NULL);
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s\n", contrib_status_name(status), contrib_last_error_message());
        return 1;
    }
    if (fabsf(out_data[1] - 5.0f / 7.0f) > 1e-5f || fabsf(out_data[2] - 2.0f / 7.0f) > 1e-5f) {
        fprintf(stderr, "got %g and %g\n", (double)out_data[1], (double)out_data[2]);
        return 2;
    }
    if (out_data[0] != -1.0f || out_data[3] != -1.0f) {
        fprintf(stderr, "wrote outside the output\n");
        return 3;
    }

    whole.device.device_type = kDLCUDA;
    status = contrib_contributions((const contrib_tensor *)&whole, (const contrib_tensor *)&parts,
                                   (const contrib_tensor *)&out, NULL);
    if (status != CONTRIB_ERROR_DEVICE) {
        fprintf(stderr, "memory of a GPU: %s\n", contrib_status_name(status));
        return 4;
    }
    return 0;
}
